#include "contract/channel_io.h"
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(sizeof(struct channel_msg) == 264, "both ends were built with one layout");

void channel_message(struct channel_msg *m, enum channel_type type, uint64_t generation, const char *fmt, ...)
{
	va_list ap;

	memset(m, 0, sizeof *m);
	m->magic = CHANNEL_MAGIC;
	m->type = (uint16_t)type;
	m->generation = generation;
	if (!fmt)
		return;
	va_start(ap, fmt);
	vsnprintf(m->text, sizeof m->text, fmt, ap);
	va_end(ap);
}

// How many descriptors a type travels with.
static bool fds_fit(const struct channel_msg *m, unsigned n)
{
	switch (m->type) {
	case CHANNEL_HELLO:
		return m->state == CHANNEL_WAITING ? n == 0 : m->state == CHANNEL_RUNNING && n == 1;
	case CHANNEL_START:
		return n == CHANNEL_FDS_MAX;
	case CHANNEL_PUBLISH:
	case CHANNEL_MEMORY:
	case CHANNEL_LIMITS:
	case CHANNEL_ADDRESSES:
		return n == 1;
	case CHANNEL_PUBLISHED:
	case CHANNEL_REFUSED:
	case CHANNEL_SHUTDOWN:
	case CHANNEL_LOG:
	case CHANNEL_KICK:
		return n == 0;
	default:
		return false;
	}
}

int channel_send(int fd, const struct channel_msg *m, const int *fds, unsigned n)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)m, sizeof *m};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (m->magic != CHANNEL_MAGIC || !fds_fit(m, n))
		return -EINVAL;
	if (n) {
		struct cmsghdr *c;

		h.msg_control = control.room;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	do
		sent = sendmsg(fd, &h, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

void channel_close_fds(const int *fds, int n)
{
	for (int i = 0; i < n; i++)
		close(fds[i]);
}

int channel_recv(int fd, struct channel_msg *m, int fds[static CHANNEL_FDS_MAX])
{
	// Room for more descriptors than any type takes, so that a wrong number is seen as such.
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * (CHANNEL_FDS_MAX + 2))];
	} control;
	int got[CHANNEL_FDS_MAX + 2];
	unsigned n = 0;
	struct iovec iov = {m, sizeof *m};
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.room,
			   .msg_controllen = sizeof control.room};
	ssize_t r;

	do
		r = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		size_t bytes;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0))
			continue;
		bytes = c->cmsg_len - CMSG_LEN(0);
		for (size_t i = 0; i < bytes / sizeof(int) && n < sizeof got / sizeof got[0]; i++, n++)
			memcpy(&got[n], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
	if (r == 0 && n == 0)
		return -EPIPE;
	if (r != sizeof *m || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || m->magic != CHANNEL_MAGIC ||
	    !fds_fit(m, n)) {
		channel_close_fds(got, (int)n);
		return -EPROTO;
	}
	m->text[sizeof m->text - 1] = 0;
	memcpy(fds, got, n * sizeof(int));
	return (int)n;
}
