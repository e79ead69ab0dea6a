// Messages with descriptors between control and the data plane.
#include "contract/channel_io.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
// cmocka needs the headers above first
#include <cmocka.h>

static int end[2]; // a connected pair
static int one;    // some descriptor to pass

static int open_pair(void **state)
{
	(void)state;
	one = open("/dev/null", O_RDONLY);
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, end);
}

static int close_pair(void **state)
{
	(void)state;
	close(one);
	close(end[0]);
	close(end[1]);
	return 0;
}

// The lowest free descriptor: the same before and after, when nothing was left open.
static int next_free(void)
{
	int fd = dup(one);

	close(fd);
	return fd;
}

static void a_message_arrives_with_its_text(void **state)
{
	struct channel_msg out, in;
	int fds[CHANNEL_FDS_MAX];

	(void)state;
	channel_message(&out, CHANNEL_REFUSED, 17, "port %s: %d", "wan", 5);
	assert_int_equal(channel_send(end[0], &out, NULL, 0), 0);
	assert_int_equal(channel_recv(end[1], &in, fds), 0);
	assert_int_equal(in.type, CHANNEL_REFUSED);
	assert_int_equal(in.generation, 17);
	assert_string_equal(in.text, "port wan: 5");
	assert_int_equal(channel_recv(end[1], &in, fds), -EAGAIN);
}

static void a_text_too_long_is_cut(void **state)
{
	struct channel_msg m;
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	channel_message(&m, CHANNEL_LOG, 0, "%s", text);
	assert_int_equal(strlen(m.text), sizeof m.text - 1);
}

static void descriptors_arrive_closed_on_exec(void **state)
{
	struct channel_msg m;
	int six[] = {one, one, one, one, one, one}, fds[CHANNEL_FDS_MAX];

	(void)state;
	channel_message(&m, CHANNEL_START, 0, NULL);
	assert_int_equal(channel_send(end[0], &m, six, 6), 0);
	assert_int_equal(channel_recv(end[1], &m, fds), 6);
	for (int i = 0; i < 6; i++)
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
	channel_close_fds(fds, 6);
}

static void each_type_takes_its_number_of_descriptors(void **state)
{
	static const struct {
		uint16_t type, state;
		unsigned n;
	} good[] = {{CHANNEL_HELLO, CHANNEL_WAITING, 0},
		    {CHANNEL_HELLO, CHANNEL_RUNNING, 1},
		    {CHANNEL_START, 0, 6},
		    {CHANNEL_PUBLISH, 0, 1},
		    {CHANNEL_PUBLISHED, 0, 0},
		    {CHANNEL_REFUSED, 0, 0},
		    {CHANNEL_SHUTDOWN, 0, 0},
		    {CHANNEL_LOG, 0, 0},
		    {CHANNEL_KICK, 0, 0},
		    {CHANNEL_MEMORY, 0, 1}};
	int six[] = {one, one, one, one, one, one};

	(void)state;
	for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
		for (unsigned n = 0; n <= 6; n++) {
			struct channel_msg m;
			int fds[CHANNEL_FDS_MAX];

			channel_message(&m, good[i].type, 0, NULL);
			m.state = good[i].state;
			if (n != good[i].n) {
				assert_int_equal(channel_send(end[0], &m, six, n), -EINVAL);
				continue;
			}
			assert_int_equal(channel_send(end[0], &m, six, n), 0);
			assert_int_equal(channel_recv(end[1], &m, fds), n);
			channel_close_fds(fds, (int)n);
		}
}

// What a peer that does not use channel_send() may try.
static void send_raw(const void *data, size_t size, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * 32)];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)data, size};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds) {
		struct cmsghdr *c;

		h.msg_control = control.room;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		for (unsigned i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &one, sizeof(int));
	}
	assert_int_equal(sendmsg(end[0], &h, 0), (ssize_t)size);
}

static void refused(const void *data, size_t size, unsigned n_fds)
{
	struct channel_msg m;
	int fds[CHANNEL_FDS_MAX], before = next_free();

	send_raw(data, size, n_fds);
	assert_int_equal(channel_recv(end[1], &m, fds), -EPROTO);
	assert_int_equal(next_free(), before);
}

static void what_is_no_message_is_refused_and_leaves_no_descriptor_open(void **state)
{
	struct channel_msg m;
	char longer[sizeof m + 1] = {0};

	(void)state;
	channel_message(&m, CHANNEL_PUBLISH, 0, NULL);
	memcpy(longer, &m, sizeof m);
	refused(&m, sizeof m - 1, 1);
	refused(longer, sizeof longer, 1);
	refused(&m, 1, 0);
	refused(&m, sizeof m, 0);
	refused(&m, sizeof m, 2);
	refused(&m, sizeof m, 7);
	refused(&m, sizeof m, 32);
	m.magic++;
	refused(&m, sizeof m, 1);
	channel_message(&m, 0, 0, NULL);
	refused(&m, sizeof m, 0);
	channel_message(&m, CHANNEL_MEMORY + 1, 0, NULL);
	refused(&m, sizeof m, 0);
	channel_message(&m, CHANNEL_HELLO, 0, NULL);
	m.state = 2;
	refused(&m, sizeof m, 0);
	refused(&m, sizeof m, 1);
}

static void a_text_without_its_end_is_ended(void **state)
{
	struct channel_msg m;
	int fds[CHANNEL_FDS_MAX];

	(void)state;
	channel_message(&m, CHANNEL_LOG, 0, NULL);
	memset(m.text, 'x', sizeof m.text);
	send_raw(&m, sizeof m, 0);
	assert_int_equal(channel_recv(end[1], &m, fds), 0);
	assert_int_equal(strlen(m.text), sizeof m.text - 1);
}

static void a_peer_that_has_gone_is_told_as_such(void **state)
{
	struct channel_msg m;
	int fds[CHANNEL_FDS_MAX];

	(void)state;
	shutdown(end[0], SHUT_RDWR);
	assert_int_equal(channel_recv(end[1], &m, fds), -EPIPE);
	channel_message(&m, CHANNEL_KICK, 0, NULL);
	assert_int_equal(channel_send(end[1], &m, NULL, 0), -EPIPE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_pair, close_pair)
	const struct CMUnitTest tests[] = {
		TEST(a_message_arrives_with_its_text),
		TEST(a_text_too_long_is_cut),
		TEST(descriptors_arrive_closed_on_exec),
		TEST(each_type_takes_its_number_of_descriptors),
		TEST(what_is_no_message_is_refused_and_leaves_no_descriptor_open),
		TEST(a_text_without_its_end_is_ended),
		TEST(a_peer_that_has_gone_is_told_as_such),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
