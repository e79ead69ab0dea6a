// Refusing new connections early. A worker that does not keep up finds a long receive queue each time it looks,
// in which the frames of connections that it has wait as long as those of connections that somebody wants, or
// that a flood pretends to want. Then SYNs are dropped as they come out of the queue, before anything is done
// for them: the longer the queue the more of them, and never all. Their senders try again.
//
// A queue may be long for a moment, when a card collects or the worker was held up; only one that was long for
// 2 ms is taken for a sign, and that holds until none was long for 100 ms.
//
// One for each receive queue; its worker's alone.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct shed {
	uint64_t since,
		last; // ns: found long at every look since then (0: not at the last one); at the last time
	bool on;
	uint8_t level, sum; // of 256 SYNs so many are dropped; what that comes to, modulo 256
};

// A look at `now` (ns) found n frames, or more than the `most` that were taken.
void shed_observe(struct shed *s, unsigned n, unsigned most, uint64_t now);
// True: drop this frame of n bytes. Only while level is not 0.
bool shed_frame(struct shed *s, const char *frame, uint32_t n);
