#include "supervise.h"
#include "compile.h"
#include "contract/channel_io.h"
#include "in_flight.h"
#include "xdp.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS          1000000ull
#define SECOND      1000000000ull
#define TICK        (5 * MS) // while something is waited for
#define CONNECT_MAX (30 * SECOND)
#define START_MAX   (60 * SECOND)
#define PUBLISH_MAX (10 * SECOND)
#define KILL_AFTER  (5 * SECOND)  // beyond the time it was given to drain
#define SOON        (10 * SECOND) // a death this soon after the start counts towards the pause
#define HELLO_MAX   5000          // ms
#define ADOPT_MAX   (10 * SECOND) // for one that starts or ends meanwhile
#define TRIES       3             // to come to run at all

const char *const dataplane_state_name[] = {"none",     "connecting", "greeting",
					    "starting", "running",    "stopping"};

static const uint64_t pauses[] = {0, 0, 100 * MS, SECOND, 5 * SECOND};

static void on_death(void *ctx, struct loop_op *op, int result);
static void on_input(void *ctx, struct loop_op *op, int result);
static void on_timer(void *ctx, struct loop_op *op, int result);

void supervise_init(struct supervise *s)
{
	s->pidfd = s->channel = s->memory = -1;
	s->running = s->before = s->next = GENERATION_NONE;
	s->death = (struct loop_op){.fn = on_death, .ctx = s};
	s->input = (struct loop_op){.fn = on_input, .ctx = s};
	s->timer = (struct loop_op){.fn = on_timer, .ctx = s};
}

static void state_set(struct supervise *s, enum dataplane_state state, uint64_t limit)
{
	s->state = state;
	s->since = loop_now();
	s->deadline = limit ? s->since + limit : 0;
	if (!s->timer.busy)
		loop_timer(s->loop, &s->timer, TICK);
}

static void publish_end(struct supervise *s, const char *error)
{
	publish_fn *done = s->publish_done;

	if (!done)
		return;
	s->publish_done = NULL;
	if (error) {
		generation_drop(&s->next);
	} else {
		// Requests in flight may still look at the generation before: its slots stay theirs.
		generation_drop(&s->before);
		s->before = s->running;
		s->running = s->next;
		s->next = GENERATION_NONE;
		compile_release(s->instance->region, s->running.snapshot, s->before.snapshot);
	}
	in_flight_apply(s->instance->region, s->running.snapshot);
	done(s->publish_ctx, error);
}

static void channel_close(struct supervise *s)
{
	if (s->channel < 0)
		return;
	// The poll under way holds the file: it ends only when it is cancelled or the peer goes.
	loop_cancel(s->loop, &s->input);
	shutdown(s->channel, SHUT_RDWR);
	close(s->channel);
	s->channel = -1;
}

// When a process was started, on our clock; now where /proc does not say.
static uint64_t process_started(pid_t pid)
{
	char path[64], text[1024], *p;
	unsigned long long ticks = 0;
	struct timespec boot;
	uint64_t age;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	p = strrchr(text, ')'); // the name in front may hold anything
	for (unsigned field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, " %llu", &ticks) != 1)
		return loop_now();
	clock_gettime(CLOCK_BOOTTIME, &boot);
	age = (uint64_t)boot.tv_sec * SECOND + (uint64_t)boot.tv_nsec -
	      ticks * (SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
	return age < loop_now() ? loop_now() - age : 0;
}

static int process_watch(struct supervise *s, pid_t pid, bool child)
{
	s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (s->pidfd < 0)
		return -errno;
	s->pid = pid;
	s->child = child;
	s->started = child ? loop_now() : process_started(pid);
	return 0;
}

static void process_kill(struct supervise *s)
{
	if (s->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
}

static int channel_connect(struct supervise *s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char path[320];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	instance_path(s->instance, CHANNEL_SOCKET, path, sizeof(path));
	memcpy(a.sun_path, path, strnlen(path, sizeof(a.sun_path) - 1));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	s->channel = fd;
	return 0;
}

static void channel_listen(struct supervise *s)
{
	if (s->channel >= 0 && !s->input.busy)
		loop_poll(s->loop, &s->input, s->channel, POLLIN);
}

static int dataplane_spawn(struct supervise *s)
{
	char *argv[] = {(char *)(uintptr_t)s->program, (char *)(uintptr_t) "--dir", s->instance->dir, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	pid_t pid;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	// A session of its own: it outlives us, and the terminal's signals are ours to pass on.
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (s->log->fd != STDERR_FILENO) {
		posix_spawn_file_actions_adddup2(&files, s->log->fd, STDOUT_FILENO);
		posix_spawn_file_actions_adddup2(&files, s->log->fd, STDERR_FILENO);
	} else {
		posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
	}
	log_flush(s->log);
	err = posix_spawn(&pid, s->program, &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	if (err)
		return -err;
	err = process_watch(s, pid, true);
	if (err < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return err;
	}
	s->serves = false;
	instance_write_pid(s->instance, pid);
	loop_poll(s->loop, &s->death, s->pidfd, POLLIN);
	return 0;
}

static void start_now(struct supervise *s)
{
	int err = dataplane_spawn(s);

	if (err < 0) {
		char why[400];

		snprintf(why, sizeof(why), "%s: %s", s->program, strerror(-err));
		s->failed(s->ctx, why);
		return;
	}
	log_note(s->log, "data plane started, pid %d, generation %llu", (int)s->pid,
		 (unsigned long long)s->running.snapshot->generation);
	state_set(s, DATAPLANE_CONNECTING, CONNECT_MAX);
}

static void start_send(struct supervise *s)
{
	int fds[CHANNEL_FDS_MAX] = {s->instance->region_fd,   s->instance->stats_fd[0],
				    s->instance->stats_fd[1], s->instance->stats_fd[2],
				    s->instance->stats_fd[3], s->running.fd};
	const struct snap_system *y = &s->running.snapshot->system;
	struct channel_msg m;
	int err;

	// What was in flight died with the one before.
	credits_restart(s->instance->region);
	in_flight_apply(s->instance->region, s->running.snapshot);
	// Best effort: without it the data plane makes new memory.
	if (s->memory >= 0) {
		channel_message(&m, CHANNEL_MEMORY, 0, NULL);
		channel_send(s->channel, &m, &s->memory, 1);
	}
	if (y->limit_memory) {
		char why[200];

		if (instance_make_limits(s->instance, y->limit_memory, y->hugepages != HUGEPAGES_NEVER, why,
					 sizeof(why)) < 0)
			log_error(s->log, "%s", why); // the data plane refuses to start
		channel_message(&m, CHANNEL_LIMITS, 0, NULL);
		if (s->instance->limits_fd >= 0)
			channel_send(s->channel, &m, &s->instance->limits_fd, 1);
	}
	if (y->address_memory) {
		char why[200];

		if (instance_make_addresses(s->instance, y->address_memory, y->hugepages != HUGEPAGES_NEVER,
					    why, sizeof(why)) < 0)
			log_error(s->log, "%s", why); // the data plane refuses to start
		else
			s->listed(s->ctx);
		channel_message(&m, CHANNEL_ADDRESSES, 0, NULL);
		if (s->instance->addresses_fd >= 0)
			channel_send(s->channel, &m, &s->instance->addresses_fd, 1);
	}
	channel_message(&m, CHANNEL_START, s->running.snapshot->generation, NULL);
	err = channel_send(s->channel, &m, fds, CHANNEL_FDS_MAX);
	if (err < 0) {
		log_error(s->log, "channel to the data plane: %s", strerror(-err));
		process_kill(s);
		return;
	}
	state_set(s, DATAPLANE_STARTING, START_MAX);
}

static void runs(struct supervise *s)
{
	bool again = s->ran;

	s->ran = s->serves = true;
	state_set(s, DATAPLANE_RUNNING, 0);
	in_flight_apply(s->instance->region, s->running.snapshot);
	log_note(s->log, "data plane %s, pid %d, generation %llu", again ? "runs again" : "runs", (int)s->pid,
		 (unsigned long long)s->running.snapshot->generation);
	s->attached(s->ctx);
}

// It runs already, and our connection was lost or made anew: what it runs is what holds.
static void reunited(struct supervise *s, uint64_t generation, int fd)
{
	struct generation found;
	char why[200];

	if (s->next.fd >= 0 && generation == s->next.snapshot->generation) {
		close(fd);
		publish_end(s, NULL);
	} else if (generation == s->running.snapshot->generation) {
		close(fd);
		publish_end(s, "the connection to the data plane was lost");
	} else if (generation_adopt(&found, fd, why, sizeof(why)) == 0) {
		publish_end(s, "the data plane runs another generation");
		log_note(s->log, "the data plane runs generation %llu, published before",
			 (unsigned long long)generation);
		generation_drop(&s->before);
		s->before = s->running;
		s->running = found;
	} else {
		log_error(s->log, "what the data plane runs cannot be read: %s", why);
	}
	runs(s);
}

// HELLO on a fresh connection.
static void greeted(struct supervise *s, const struct channel_msg *m, int *fds, int n)
{
	if (m->state == CHANNEL_RUNNING && n == 1)
		reunited(s, m->generation, fds[0]);
	else
		start_send(s);
}

static void message(struct supervise *s, const struct channel_msg *m, int *fds, int n)
{
	char text[sizeof(m->text) + 1];

	snprintf(text, sizeof(text), "%.*s", (int)sizeof(m->text), m->text);
	switch (m->type) {
	case CHANNEL_HELLO:
		if (s->state == DATAPLANE_GREETING)
			greeted(s, m, fds, n);
		else
			channel_close_fds(fds, n);
		return;
	case CHANNEL_PUBLISHED:
		if (s->state == DATAPLANE_STARTING && m->generation == s->running.snapshot->generation)
			runs(s);
		else if (s->next.fd >= 0 && m->generation == s->next.snapshot->generation)
			publish_end(s, NULL);
		break;
	case CHANNEL_REFUSED:
		log_error(s->log, "the data plane refused generation %llu: %s",
			  (unsigned long long)m->generation, text);
		snprintf(s->last_words, sizeof(s->last_words), "%.239s", text);
		if (s->state == DATAPLANE_STARTING) {
			if (!s->ran)
				s->failed(s->ctx, text);
			else
				process_kill(s); // tried again after a pause
		} else {
			// In this order: who is told may publish the next at once, and what that was given
			// stays.
			compile_release(s->instance->region, s->running.snapshot, s->before.snapshot);
			publish_end(s, text);
		}
		break;
	case CHANNEL_MEMORY:
		if (s->memory >= 0)
			close(s->memory);
		s->memory = fds[0];
		return;
	case CHANNEL_LIMITS:
		// The one that is used: after a start of ours the data plane has it alone.
		if (s->instance->limits_fd >= 0)
			break;
		if (instance_adopt_limits(s->instance, fds[0], s->running.snapshot->system.limit_memory, text,
					  sizeof(text)) < 0)
			log_error(s->log, "%s", text);
		return;
	case CHANNEL_ADDRESSES:
		if (s->instance->addresses_fd >= 0)
			break;
		if (instance_adopt_addresses(s->instance, fds[0], s->running.snapshot->system.address_memory,
					     text, sizeof(text)) < 0)
			log_error(s->log, "%s", text);
		return;
	case CHANNEL_LOG:
		// It stands on the data plane's standard error too, which is our log: kept for what is said of
		// a failure.
		snprintf(s->last_words, sizeof(s->last_words), "%.239s", text);
		break;
	default:
		break;
	}
	channel_close_fds(fds, n);
}

static void channel_drain(struct supervise *s)
{
	struct channel_msg m;
	int fds[CHANNEL_FDS_MAX];

	while (s->channel >= 0) {
		int n = channel_recv(s->channel, &m, fds);

		if (n == -EAGAIN || n == -EINTR)
			return;
		if (n >= 0) {
			message(s, &m, fds, n);
			continue;
		}
		if (n != -EPIPE && n != -ECONNRESET)
			log_error(s->log, "channel to the data plane: %s", strerror(-n));
		channel_close(s);
		if (s->state != DATAPLANE_STOPPING && s->state != DATAPLANE_NONE)
			state_set(s, DATAPLANE_CONNECTING, CONNECT_MAX);
	}
}

static void on_input(void *ctx, struct loop_op *op, int result)
{
	struct supervise *s = ctx;

	(void)op;
	// After a cancellation a new channel may have been opened meanwhile: it is listened to.
	if (result != -ECANCELED)
		channel_drain(s);
	channel_listen(s);
}

static void death_log(struct supervise *s)
{
	siginfo_t info = {0};

	s->exit_status = 0;
	if (!s->child || waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0) {
		log_note(s->log, "data plane %d has ended", (int)s->pid);
		return;
	}
	s->exit_status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	if (info.si_code == CLD_EXITED)
		log_note(s->log, "data plane %d has ended with status %d", (int)s->pid, info.si_status);
	else
		log_error(s->log, "data plane %d was ended by signal %d", (int)s->pid, info.si_status);
}

static void on_death(void *ctx, struct loop_op *op, int result)
{
	struct supervise *s = ctx;
	bool stopping = s->state == DATAPLANE_STOPPING;
	char why[320];

	(void)op;
	if (result < 0 || s->pidfd < 0)
		return;
	channel_drain(s); // its last words
	death_log(s);
	close(s->pidfd);
	s->pidfd = -1;
	channel_close(s);
	instance_write_pid(s->instance, 0);
	if (stopping) {
		s->state = DATAPLANE_NONE;
		s->stopped(s->ctx);
		return;
	}
	publish_end(s, "the data plane ended while it took the configuration");
	s->deaths = loop_now() - s->started < SOON ? s->deaths + 1 : 0;
	s->restarts++;
	if (!s->ran && s->deaths >= TRIES) {
		snprintf(why, sizeof(why), "the data plane does not start%s%s", s->last_words[0] ? ": " : "",
			 s->last_words);
		s->failed(s->ctx, why);
		return;
	}
	unsigned step = s->deaths ? s->deaths - 1 : 0;
	uint64_t pause = pauses[step < 5 ? step : 4];

	if (pause == 0) {
		start_now(s);
		return;
	}
	state_set(s, DATAPLANE_NONE, pause);
}

static void connect_try(struct supervise *s)
{
	if (channel_connect(s) == 0) {
		state_set(s, DATAPLANE_GREETING, CONNECT_MAX);
		channel_listen(s);
	}
}

static void reconnect(struct supervise *s)
{
	channel_close(s);
	state_set(s, DATAPLANE_CONNECTING, CONNECT_MAX);
}

// A state has lasted too long. One that serves is not ended for being mute: its workers carry traffic.
static void overdue(struct supervise *s, uint64_t now)
{
	log_error(s->log, "the data plane stays in state %s", dataplane_state_name[s->state]);
	if (s->serves && (s->state == DATAPLANE_CONNECTING || s->state == DATAPLANE_GREETING)) {
		reconnect(s);
		return;
	}
	s->deadline = now + KILL_AFTER;
	process_kill(s);
}

static void on_timer(void *ctx, struct loop_op *op, int result)
{
	struct supervise *s = ctx;
	uint64_t now = loop_now();
	bool late = s->deadline && now >= s->deadline;

	(void)op;
	if (result < 0)
		return;
	if (s->publish_done && now >= s->publish_deadline) {
		publish_end(s, "the data plane did not take the configuration in time");
		reconnect(s); // its HELLO will tell what it runs
	}
	switch (s->state) {
	case DATAPLANE_NONE:
		if (late) {
			s->deadline = 0;
			start_now(s);
		} else if (!s->deadline) {
			return;
		}
		break;
	case DATAPLANE_CONNECTING:
		connect_try(s);
		break;
	default:
		break;
	}
	if (late && s->deadline && now >= s->deadline)
		overdue(s, now);
	if (s->timer.busy || (s->state == DATAPLANE_RUNNING && !s->publish_done))
		return;
	loop_timer(s->loop, &s->timer, TICK);
}

// Whether a data plane holds the directory: one that has just been started does, and one that is ending still
// does, though neither takes connections.
static bool dataplane_lives(const struct supervise *s)
{
	int fd = open(s->instance->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool lives = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd);
	return lives || instance_read_pid(s->instance);
}

// Connects and waits for HELLO. The number of descriptors, -ENOENT where no data plane is, -EAGAIN where one is
// that comes or goes (once more in a moment), -ETIMEDOUT where it is mute.
static int hello_take(struct supervise *s, struct channel_msg *m, int *fds)
{
	bool lives = dataplane_lives(s); // looked at first: one may begin to listen meanwhile
	struct pollfd p = {.events = POLLIN};
	int n;

	n = channel_connect(s);
	if (n < 0)
		return lives || n == -EAGAIN ? -EAGAIN : -ENOENT;
	p.fd = s->channel;
	n = poll(&p, 1, HELLO_MAX) > 0 ? channel_recv(s->channel, m, fds) : -ETIMEDOUT;
	if (n >= 0 && m->type == CHANNEL_HELLO)
		return n;
	if (n >= 0) {
		channel_close_fds(fds, n);
		n = -EPROTO;
	}
	close(s->channel);
	s->channel = -1;
	return n == -EPIPE || n == -ECONNRESET ? -EAGAIN : n;
}

int supervise_adopt(struct supervise *s, char *why, size_t why_size)
{
	uint64_t end = loop_now() + ADOPT_MAX;
	struct channel_msg m;
	int fds[CHANNEL_FDS_MAX], n, err;
	struct ucred peer;
	socklen_t len = sizeof(peer);

again:
	n = hello_take(s, &m, fds);
	if (n == -ENOENT)
		return 0;
	if (n == -EAGAIN && loop_now() < end) {
		poll(NULL, 0, 10);
		goto again;
	}
	if (n < 0) {
		snprintf(why, why_size, "a data plane runs in %s, but does not answer (%s)", s->instance->dir,
			 strerror(n == -EAGAIN ? ETIMEDOUT : -n));
		return -1;
	}
	if (getsockopt(s->channel, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid <= 0)
		peer.pid = (pid_t)m.pid;
	err = process_watch(s, peer.pid, false);
	if (err < 0) {
		channel_close_fds(fds, n);
		close(s->channel);
		s->channel = -1;
		if (err == -ESRCH && loop_now() < end)
			goto again; // it ended after its greeting
		snprintf(why, why_size, "data plane %d: %s", (int)peer.pid, strerror(-err));
		return -1;
	}
	loop_poll(s->loop, &s->death, s->pidfd, POLLIN);
	if (m.state != CHANNEL_RUNNING) {
		s->state = DATAPLANE_GREETING; // it waits for START
		return 0;
	}
	if (generation_adopt(&s->running, fds[0], why, why_size) < 0)
		return -1;
	s->ran = s->serves = true;
	s->state = DATAPLANE_RUNNING;
	return 1;
}

void supervise_start(struct supervise *s)
{
	if (s->state == DATAPLANE_RUNNING) {
		log_note(s->log, "attached to the running data plane, pid %d, generation %llu", (int)s->pid,
			 (unsigned long long)s->running.snapshot->generation);
		s->since = loop_now();
		channel_listen(s);
		s->attached(s->ctx);
	} else if (s->state == DATAPLANE_GREETING) {
		channel_listen(s);
		start_send(s);
	} else {
		start_now(s);
	}
}

int supervise_publish(struct supervise *s, struct generation *next, publish_fn *done, void *ctx)
{
	struct channel_msg m;
	int err;

	if (s->state != DATAPLANE_RUNNING || s->publish_done)
		return -1;
	in_flight_prepare(s->instance->region, next->snapshot);
	channel_message(&m, CHANNEL_PUBLISH, next->snapshot->generation, NULL);
	err = channel_send(s->channel, &m, &next->fd, 1);
	if (err < 0)
		return -1;
	s->next = *next;
	*next = GENERATION_NONE;
	s->publish_done = done;
	s->publish_ctx = ctx;
	s->publish_deadline = loop_now() + PUBLISH_MAX;
	if (!s->timer.busy)
		loop_timer(s->loop, &s->timer, TICK);
	return 0;
}

void supervise_kick(struct supervise *s)
{
	struct channel_msg m;

	channel_message(&m, CHANNEL_KICK, 0, NULL);
	if (s->channel >= 0)
		channel_send(s->channel, &m, NULL, 0);
}

void supervise_shutdown(struct supervise *s, uint64_t drain)
{
	struct channel_msg m;
	bool polite = s->state == DATAPLANE_RUNNING;

	if (s->state == DATAPLANE_NONE || s->pidfd < 0) {
		s->state = DATAPLANE_NONE;
		s->deadline = 0;
		s->stopped(s->ctx);
		return;
	}
	publish_end(s, "shutting down");
	channel_message(&m, CHANNEL_SHUTDOWN, drain, NULL);
	state_set(s, DATAPLANE_STOPPING, drain + KILL_AFTER);
	if (!polite || channel_send(s->channel, &m, NULL, 0) < 0)
		process_kill(s);
}

void supervise_end(struct supervise *s)
{
	struct pollfd p = {.fd = s->pidfd, .events = POLLIN};

	process_kill(s);
	if (s->pidfd >= 0 && poll(&p, 1, 5000) > 0)
		death_log(s);
	if (s->running.snapshot)
		xdp_detach(s->running.snapshot, s->log);
}

void supervise_fini(struct supervise *s)
{
	generation_drop(&s->running);
	generation_drop(&s->before);
	generation_drop(&s->next);
	if (s->channel >= 0)
		close(s->channel);
	if (s->pidfd >= 0)
		close(s->pidfd);
	if (s->memory >= 0)
		close(s->memory);
	s->channel = s->pidfd = s->memory = -1;
}
