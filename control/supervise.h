// The data plane seen from control: started, restarted when it dies, spoken to over its channel.
//
//   NONE        no process; one is started when the pause after the last death is over
//   CONNECTING  a process; its socket does not take us yet
//   GREETING    connected, no HELLO yet
//   STARTING    START has been sent
//   RUNNING     traffic flows under control->running
//   STOPPING    SHUTDOWN has been sent (or it is being killed); ends in NONE
//
// A data plane that is found running (control was started again) is adopted as it is. One that never came to
// run is no reason to try forever: `failed` is then called.
#pragma once
#include "contract/channel.h"
#include "generation.h"
#include "instance.h"
#include "log.h"
#include "loop.h"
#include <sys/types.h>

enum dataplane_state {
	DATAPLANE_NONE,
	DATAPLANE_CONNECTING,
	DATAPLANE_GREETING,
	DATAPLANE_STARTING,
	DATAPLANE_RUNNING,
	DATAPLANE_STOPPING,
};
extern const char *const dataplane_state_name[];

// error NULL: all workers run the generation. Else a sentence: nothing has changed.
typedef void publish_fn(void *ctx, const char *error);

struct supervise {
	struct loop *loop;
	struct log *log;
	struct instance *instance;
	const char *program; // path of churchgate-dataplane
	enum dataplane_state state;
	pid_t pid;
	bool child;
	int pidfd, channel;
	int memory; // packet memory, kept for the next data plane; -1: none
	struct loop_op death, input, timer;
	uint64_t since;    // of the state, ns
	uint64_t started;  // of the process
	uint64_t deadline; // of the state; 0: none
	unsigned deaths;   // one soon after another
	unsigned restarts;
	bool ran;        // one has run at least once
	bool serves;     // this one has
	int exit_status; // of the last one that ended in our sight: 128 + signal, or as it exited
	char last_words[240];
	struct generation running, before, next;
	publish_fn *publish_done;
	void *publish_ctx;
	uint64_t publish_deadline;
	void (*stopped)(void *ctx);                 // after supervise_shutdown()
	void (*failed)(void *ctx, const char *why); // it cannot be made to run
	void (*listed)(void *ctx);                  // the list of addresses is there, before it runs
	void (*attached)(void *ctx);                // it runs, or runs again
	void *ctx;
};

void supervise_init(struct supervise *s);
// Before the loop runs: 1 where a running data plane was found and adopted (running is its snapshot), 0 where
// there is none, -1 with a sentence in why.
int supervise_adopt(struct supervise *s, char *why, size_t why_size);
// Starts what is missing, under s->running. The region and the statistics are open.
void supervise_start(struct supervise *s);
// Takes over next. One at a time: -1 where another is under way, or nothing runs.
int supervise_publish(struct supervise *s, struct generation *next, publish_fn *done, void *ctx);
void supervise_kick(struct supervise *s); // workers look at their command rings
// Lets it finish within drain ns, then ends it; s->stopped is called.
void supervise_shutdown(struct supervise *s, uint64_t drain);
// Ends it at once and waits; outside of the loop.
void supervise_end(struct supervise *s);
void supervise_fini(struct supervise *s);
