#include "housekeeping.h"
#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#define LOOK_PUBLISH_MS 1
#define LOOK_DRAIN_MS   10
#define DRAIN_BY_SIGNAL 10000000000ull         // ns, for requests in flight after SIGTERM
#define DRAIN_MAX       (3600ull * 1000000000) // ns
#define DRAIN_LAST      200000000ull           // ns beyond it in which tunnels are closed
#define QUIET           250000000ull           // ns without any request in flight, then a drain is over
#define GIVE_UP_AFTER   5000000000ull          // ns for requests of a generation that was replaced

// A generation that found no place and waits for one.
static void waiting_drop(struct housekeeping *h)
{
	if (h->waiting_fd >= 0)
		close(h->waiting_fd);
	h->waiting_fd = -1;
}

static void control_close(struct housekeeping *h)
{
	log_set_channel(-1);
	if (h->control_fd >= 0)
		close(h->control_fd); // which takes it out of the epoll set too
	h->control_fd = -1;
	h->telling = false;
	waiting_drop(h);
}

static void tell(struct housekeeping *h, const struct channel_msg *m, const int *fds, unsigned n)
{
	int err;

	if (h->control_fd < 0)
		return;
	err = channel_send(h->control_fd, m, fds, n);
	if (err) {
		control_close(h);
		log_print(LOG_WARNING, "control does not take messages: %s", strerror(-err));
	}
}

static void tell_hello(struct housekeeping *h)
{
	const struct generation *g = h->dataplane->running;
	struct channel_msg m;

	channel_message(&m, CHANNEL_HELLO, h->running ? g->snapshot->generation : 0, NULL);
	m.state = h->running ? CHANNEL_RUNNING : CHANNEL_WAITING;
	m.pid = (uint64_t)getpid();
	tell(h, &m, h->running ? &g->fd : NULL, h->running ? 1 : 0);
}

static void tell_memory(struct housekeeping *h)
{
	struct channel_msg m;

	if (h->dataplane->packets.fd < 0)
		return;
	channel_message(&m, CHANNEL_MEMORY, 0, NULL);
	tell(h, &m, &h->dataplane->packets.fd, 1);
}

static void tell_limits(struct housekeeping *h)
{
	struct channel_msg m;

	if (h->dataplane->limits_fd < 0)
		return;
	channel_message(&m, CHANNEL_LIMITS, 0, NULL);
	tell(h, &m, &h->dataplane->limits_fd, 1);
}

static void tell_addresses(struct housekeeping *h)
{
	struct channel_msg m;

	if (h->dataplane->addresses_fd < 0)
		return;
	channel_message(&m, CHANNEL_ADDRESSES, 0, NULL);
	tell(h, &m, &h->dataplane->addresses_fd, 1);
}

static void tell_published(struct housekeeping *h, uint64_t generation)
{
	struct channel_msg m;

	channel_message(&m, CHANNEL_PUBLISHED, generation, NULL);
	tell(h, &m, NULL, 0);
}

static void refuse(struct housekeeping *h, uint64_t generation, const char *why)
{
	struct channel_msg m;

	log_print(LOG_ERROR, "%s", why);
	channel_message(&m, CHANNEL_REFUSED, generation, "%s", why);
	tell(h, &m, NULL, 0);
}

static int watch(struct housekeeping *h, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static void accept_control(struct housekeeping *h)
{
	int fd = accept4(h->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t n = sizeof peer;

	if (fd < 0)
		return;
	// The socket's mode keeps others out already; who could open it otherwise is told apart here.
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 ||
	    (peer.uid != 0 && peer.uid != geteuid())) {
		close(fd);
		log_print(LOG_WARNING, "a connection that is not control's was refused");
		return;
	}
	control_close(h);
	h->control_fd = fd;
	if (watch(h, fd) < 0) {
		control_close(h);
		return;
	}
	tell_hello(h);
	tell_memory(h);
	tell_limits(h);
	tell_addresses(h);
	if (h->control_fd >= 0)
		log_set_channel(h->control_fd);
}

// What all workers run, or have overtaken.
static uint64_t run_by_all(const struct dataplane *d)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < d->n_workers; i++) {
		uint64_t g = atomic_load_explicit(&d->worker[i]->running_generation, memory_order_acquire);

		least = g < least ? g : least;
	}
	return least;
}

static bool is_read(const struct dataplane *d, uint64_t generation)
{
	for (unsigned i = 0; i < d->n_workers; i++)
		if (worker_reads(d->worker[i], generation))
			return true;
	return false;
}

// Unmaps what no worker reads any more.
static void reclaim(struct dataplane *d)
{
	for (unsigned i = 0; i < GENERATIONS; i++) {
		struct generation *g = &d->generation[i];

		if (g->snapshot && g != d->running && !is_read(d, g->snapshot->generation)) {
			log_print(LOG_DEBUG, "generation %llu is no longer in use",
				  (unsigned long long)g->snapshot->generation);
			generation_close(g);
		}
	}
}

static void start(struct housekeeping *h, const int fds[CHANNEL_FDS_MAX])
{
	struct itimerspec second = {.it_value.tv_sec = 1, .it_interval.tv_sec = 1};
	char why[240];
	uint64_t generation;

	if (h->running) {
		channel_close_fds(fds, CHANNEL_FDS_MAX);
		refuse(h, 0, "the data plane runs already");
		return;
	}
	if (dataplane_attach(h->dataplane, fds, why, sizeof why)) {
		refuse(h, 0, why);
		return;
	}
	generation = h->dataplane->running->snapshot->generation;
	if (dataplane_start(h->dataplane, why, sizeof why)) {
		// EAL starts once in a process's life, so this process has no second try.
		refuse(h, generation, why);
		h->stop = true;
		h->exit_code = 1;
		return;
	}
	h->running = true;
	timerfd_settime(h->timer_fd, 0, &second, NULL);
	log_print(LOG_INFO, "%u workers run generation %llu", h->dataplane->n_workers,
		  (unsigned long long)generation);
	tell_published(h, generation);
	tell_memory(h);
}

static void memory(struct housekeeping *h, int fd)
{
	struct dataplane *d = h->dataplane;

	if (h->running) {
		close(fd); // too late
		return;
	}
	if (d->memory_fd >= 0)
		close(d->memory_fd);
	d->memory_fd = fd;
}

static void keep(struct housekeeping *h, int *kept, int fd)
{
	if (h->running) {
		close(fd); // those that are used stay
		return;
	}
	if (*kept >= 0)
		close(*kept);
	*kept = fd;
}

static struct generation *generation_free(struct dataplane *d)
{
	for (unsigned i = 0; i < GENERATIONS; i++)
		if (!d->generation[i].snapshot)
			return &d->generation[i];
	return NULL;
}

static uint64_t given_up(const struct dataplane *d)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < d->n_workers; i++)
		n += stat_get(&d->stats.worker[i].c[CTR_http_given_up]);
	return n;
}

// The requests that hold the oldest generation are ended, once it has been replaced for long enough. However
// long a client takes over its request, and however many there are, the configuration stays the operator's.
static void give_up_oldest(struct housekeeping *h)
{
	struct dataplane *d = h->dataplane;
	const struct generation *oldest = NULL;

	for (unsigned i = 0; i < GENERATIONS; i++) {
		const struct generation *g = &d->generation[i];

		if (g != d->running && (!oldest || g->snapshot->generation < oldest->snapshot->generation))
			oldest = g;
	}
	if (clock_kernel() - oldest->replaced < GIVE_UP_AFTER || h->giving_up == oldest->snapshot->generation)
		return;
	h->giving_up = oldest->snapshot->generation;
	h->given_up = given_up(d);
	for (unsigned i = 0; i < d->n_workers; i++)
		atomic_store_explicit(&d->worker[i]->give_up, h->giving_up + 1, memory_order_relaxed);
}

static void publish_in(struct housekeeping *h, struct generation *g, int fd)
{
	struct dataplane *d = h->dataplane;
	const struct snapshot *now;
	char why[240];

	if (generation_open(g, fd, why, sizeof why)) {
		refuse(h, 0, why);
		return;
	}
	now = d->running->snapshot;
	if (g->snapshot->generation <= now->generation)
		snprintf(why, sizeof why, "generation %llu is not newer than %llu, which runs",
			 (unsigned long long)g->snapshot->generation, (unsigned long long)now->generation);
	else if (generation_fits(now, g->snapshot, why, sizeof why))
		why[0] = 0;
	if (why[0]) {
		refuse(h, g->snapshot->generation, why);
		generation_close(g);
		return;
	}
	// Workers may never run the one that this one overtakes: whoever waits for it hears so.
	if (h->telling)
		refuse(h, h->tell, "overtaken by a newer generation");
	d->running->replaced = clock_kernel();
	d->running = g;
	h->telling = true;
	h->tell = g->snapshot->generation;
	for (unsigned i = 0; i < d->n_workers; i++) {
		worker_prepare(d->worker[i], g->snapshot);
		atomic_store_explicit(&d->worker[i]->next_regexes, g->regexes, memory_order_release);
		atomic_store_explicit(&d->worker[i]->next_snapshot, g->snapshot, memory_order_release);
	}
}

static void publish(struct housekeeping *h, int fd)
{
	struct dataplane *d = h->dataplane;
	struct generation *g;

	if (!h->running) {
		close(fd);
		refuse(h, 0, "no generation can be published before START");
		return;
	}
	if (h->waiting_fd >= 0)
		refuse(h, 0, "overtaken by a newer generation");
	waiting_drop(h);
	reclaim(d);
	g = generation_free(d);
	if (g) {
		publish_in(h, g, fd);
		return;
	}
	h->waiting_fd = fd;
	h->giving_up = 0;
	log_print(LOG_INFO, "%u generations are in use; the next one waits for the oldest", GENERATIONS);
}

static void publish_look(struct housekeeping *h)
{
	struct generation *g;
	int fd = h->waiting_fd;

	reclaim(h->dataplane);
	g = generation_free(h->dataplane);
	if (!g) {
		give_up_oldest(h);
		return;
	}
	if (h->giving_up)
		log_print(
			LOG_WARNING,
			"%llu requests of generation %llu, the oldest of %u in use, were ended for a newer one",
			(unsigned long long)(given_up(h->dataplane) - h->given_up),
			(unsigned long long)h->giving_up, GENERATIONS);
	h->waiting_fd = -1;
	publish_in(h, g, fd);
}

static void drain(struct housekeeping *h, uint64_t within)
{
	uint64_t now = clock_kernel();

	if (!h->running || within == 0) {
		h->stop = true;
		return;
	}
	log_print(LOG_INFO, "finishing requests in flight");
	h->draining = DRAIN_ON;
	atomic_store(&h->dataplane->region->draining, h->draining);
	h->deadline = now + (within < DRAIN_MAX ? within : DRAIN_MAX);
	h->busy_seen = now;
}

static void drain_look(struct housekeeping *h)
{
	const struct dataplane *d = h->dataplane;
	uint64_t conns = 0, exchanges = 0, now = clock_kernel();
	bool known = true; // what is in flight: a worker's gauges may be of before its last connections

	// A control that attaches meanwhile calls off what its predecessor began, but this end is certain.
	atomic_store(&d->region->draining, h->draining);
	for (unsigned i = 0; i < d->n_workers; i++) {
		known = known && atomic_load_explicit(&d->worker[i]->draining, memory_order_acquire);
		conns += stat_get(&d->stats.worker[i].conns_used);
		exchanges += stat_get(&d->stats.worker[i].exchanges_used);
	}
	if (exchanges || !known)
		h->busy_seen = now;
	if ((known && conns == 0) || now - h->busy_seen > QUIET) {
		h->stop = true;
	} else if (now > h->deadline + DRAIN_LAST) {
		h->stop = true;
	} else if (now > h->deadline && h->draining != DRAIN_END) {
		log_print(LOG_WARNING, "%llu requests and tunnels were still in flight at the deadline",
			  (unsigned long long)exchanges);
		h->draining = DRAIN_END;
	}
}

static void obey(struct housekeeping *h, const struct channel_msg *m, const int *fds, int n)
{
	switch (m->type) {
	case CHANNEL_START:
		start(h, fds);
		break;
	case CHANNEL_PUBLISH:
		publish(h, fds[0]);
		break;
	case CHANNEL_MEMORY:
		memory(h, fds[0]);
		break;
	case CHANNEL_LIMITS:
		keep(h, &h->dataplane->limits_fd, fds[0]);
		break;
	case CHANNEL_ADDRESSES:
		keep(h, &h->dataplane->addresses_fd, fds[0]);
		break;
	case CHANNEL_SHUTDOWN:
		drain(h, m->generation);
		break;
	case CHANNEL_KICK:
		break; // workers that sleep do so for less than it takes to wake them
	default:
		channel_close_fds(fds, n);
		log_print(LOG_WARNING, "control sent message type %u, which only the data plane sends",
			  m->type);
		control_close(h);
	}
}

static void read_control(struct housekeeping *h)
{
	while (h->control_fd >= 0 && !h->stop) {
		struct channel_msg m;
		int fds[CHANNEL_FDS_MAX];
		int n = channel_recv(h->control_fd, &m, fds);

		if (n == -EAGAIN)
			return;
		if (n < 0) {
			control_close(h);
			if (n != -EPIPE && n != -ECONNRESET)
				log_print(LOG_WARNING, "control's connection closed: %s", strerror(-n));
			return;
		}
		obey(h, &m, fds, n);
	}
}

static void read_signal(struct housekeeping *h)
{
	struct signalfd_siginfo s;

	if (read(h->signal_fd, &s, sizeof s) != sizeof s)
		return;
	// The second one means it.
	if (h->deadline)
		h->stop = true;
	else
		drain(h, DRAIN_BY_SIGNAL);
}

static void each_second(struct housekeeping *h)
{
	struct dataplane *d = h->dataplane;
	struct worker_stats *st = &d->stats.worker[0];
	uint64_t expired;

	if (read(h->timer_fd, &expired, sizeof expired) != sizeof expired)
		return;
	clock_adjust(&d->clock);
	for (unsigned i = 0; i < d->n_ports; i++) {
		struct port_stats *p = &d->stats.port[i];

		atomic_store_explicit(&p->link_up, port_link_up(&d->port[i]), memory_order_relaxed);
		atomic_store_explicit(&p->offloads, port_offloads(&d->port[i]), memory_order_relaxed);
		atomic_store_explicit(&p->rx_memory, (uint64_t)d->port[i].held * pkt_pool_buffer(d->pool),
				      memory_order_relaxed);
	}
	atomic_store_explicit(&st->packet_memory, pkt_pool_memory(d->pool), memory_order_relaxed);
	atomic_store_explicit(&st->pool_size, pkt_pool_size(d->pool), memory_order_relaxed);
	atomic_store_explicit(&st->pool_used, pkt_pool_used(d->pool), memory_order_relaxed);
	reclaim(d);
}

static void look(struct housekeeping *h)
{
	if (h->telling && run_by_all(h->dataplane) >= h->tell) {
		h->telling = false;
		log_print(LOG_INFO, "all workers run generation %llu", (unsigned long long)h->tell);
		tell_published(h, h->tell);
		reclaim(h->dataplane);
	}
	if (h->waiting_fd >= 0 && !h->stop)
		publish_look(h);
	if (h->deadline && !h->stop)
		drain_look(h);
}

int housekeeping_run(struct housekeeping *h)
{
	while (!h->stop) {
		struct epoll_event e[8];
		int n = epoll_wait(h->epoll_fd, e, 8,
				   h->telling                          ? LOOK_PUBLISH_MS
				   : h->deadline || h->waiting_fd >= 0 ? LOOK_DRAIN_MS
								       : -1);

		for (int i = 0; i < n && !h->stop; i++) {
			if (e[i].data.fd == h->signal_fd)
				read_signal(h);
			else if (e[i].data.fd == h->timer_fd)
				each_second(h);
			else if (e[i].data.fd == h->listen_fd)
				accept_control(h);
			else if (e[i].data.fd == h->control_fd)
				read_control(h);
		}
		look(h);
	}
	return h->exit_code;
}

// Of two data planes in one directory the second gives up; the kernel takes the lock back however the first
// one ends. Asking by connecting would push control off its connection.
static int directory_lock(struct housekeeping *h, char *why, size_t why_size)
{
	const char *dir = h->dataplane->dir;
	int err;

	h->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (h->dir_fd >= 0 && flock(h->dir_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	err = -errno;
	if (err == -EWOULDBLOCK)
		snprintf(why, why_size, "%s: a data plane runs here already", dir);
	else
		snprintf(why, why_size, "%s: cannot be locked: %m", dir);
	return err;
}

static int listen_at(struct housekeeping *h, char *why, size_t why_size)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	mode_t mask;
	int n = snprintf(h->path, sizeof h->path, "%s/" CHANNEL_SOCKET, h->dataplane->dir), err;

	if (n < 0 || (size_t)n >= sizeof h->path) {
		h->path[0] = 0;
		snprintf(why, why_size, "%s: too long for a socket's directory", h->dataplane->dir);
		return -ENAMETOOLONG;
	}
	memcpy(at.sun_path, h->path, sizeof at.sun_path);
	unlink(at.sun_path); // left behind by one that was killed
	h->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mask = umask(0177);
	err = h->listen_fd < 0 || bind(h->listen_fd, (struct sockaddr *)&at, sizeof at) < 0 ||
			      listen(h->listen_fd, 4) < 0
		      ? -errno
		      : 0;
	umask(mask);
	if (err)
		snprintf(why, why_size, "%s: %s", h->path, strerror(-err));
	return err;
}

int housekeeping_open(struct housekeeping *h, struct dataplane *d, char *why, size_t why_size)
{
	sigset_t signals;
	int err;

	*h = (struct housekeeping){.dataplane = d,
				   .dir_fd = -1,
				   .listen_fd = -1,
				   .control_fd = -1,
				   .waiting_fd = -1,
				   .signal_fd = -1,
				   .timer_fd = -1,
				   .epoll_fd = -1};
	err = directory_lock(h, why, why_size);
	if (!err)
		err = listen_at(h, why, why_size);
	if (err)
		goto fail;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	h->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	h->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (h->signal_fd < 0 || h->timer_fd < 0 || h->epoll_fd < 0 || watch(h, h->listen_fd) ||
	    watch(h, h->signal_fd) || watch(h, h->timer_fd)) {
		err = errno ? -errno : -EIO;
		snprintf(why, why_size, "cannot wait for events: %s", strerror(-err));
		goto fail;
	}
	return 0;
fail:
	housekeeping_close(h);
	return err;
}

void housekeeping_close(struct housekeeping *h)
{
	const int fds[] = {h->listen_fd, h->signal_fd, h->timer_fd, h->epoll_fd, h->dir_fd};

	control_close(h);
	if (h->path[0])
		unlink(h->path);
	for (unsigned i = 0; i < sizeof fds / sizeof fds[0]; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}
