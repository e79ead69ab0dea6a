// Messages on the channel (channel.h), as both ends use them. Blocking is the descriptor's own business: a
// non-blocking one gives -EAGAIN. Any thread; no state.
#pragma once
#include "contract/channel.h"

#define CHANNEL_FDS_MAX 6 // CHANNEL_START: region, the four statistics arrays, snapshot

// A message with text (fmt may be NULL), cut to fit.
void channel_message(struct channel_msg *m, enum channel_type type, uint64_t generation, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

// Sends m with n descriptors (they stay the caller's). 0, or -errno: -EAGAIN (no room now), -EPIPE and
// -ECONNRESET (the peer has gone); SIGPIPE is never raised.
int channel_send(int fd, const struct channel_msg *m, const int *fds, unsigned n);

// Takes one message. Returns the number of its descriptors, which are the caller's from then on and are
// closed on exec; fds has room for CHANNEL_FDS_MAX. Or -errno: -EAGAIN (nothing there), -EPIPE (the peer has
// closed), -EPROTO (not a message of ours: size, magic, type, or the number of descriptors that the type
// takes; nothing is left open). After anything but -EAGAIN and -EINTR the connection is to be closed.
int channel_recv(int fd, struct channel_msg *m, int fds[static CHANNEL_FDS_MAX]);

void channel_close_fds(const int *fds, int n);
