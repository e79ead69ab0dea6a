// Our TCP as a library, on a packet socket of a device whose kernel has no address: what worker.c is to the
// gateway, in one function.
#include "stack/stack.h"
#include "tests/linux/peer.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <rte_errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#define BATCH     64 // frames sent with one call
#define BURST     2  // and received: as a worker that polls finds them at this rate
#define FRAME_MAX 2048
#define BUFFER    (4u << 20) // bytes: 20 ms at 400 Mbit/s are 1 MB, and a buffer carries 1448 of its 2300 bytes
#define MEMORY    64u        // MiB
#define POOL      (32u << 20)  // bytes
#define MSL       250000000ull // ns: both ends are of this test alone

static struct cg_stack *stack;
static struct cg_sock *sock;
static struct pkt_pool *pool;
static int fd = -1;

static struct addr address(const char *text)
{
	struct addr a;
	uint32_t v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return addr_from_v4(v4);
	if (inet_pton(AF_INET6, text, a.b) != 1)
		peer_die(text, EINVAL);
	return a;
}

static void attach(const char *dev, uint8_t mac[6])
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int one = 1, size = 32 << 20;
	struct ifreq r = {0};

	fd = socket(AF_PACKET, SOCK_RAW, 0);
	at.sll_ifindex = (int)if_nametoindex(dev);
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", dev);
	if (fd < 0 || !at.sll_ifindex || ioctl(fd, SIOCGIFHWADDR, &r) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)))
		peer_die(dev, errno);
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
}

// A kernel takes packets as they come, not when its process has a slice of a processor; where that is not
// allowed, all is only slower.
static void at_once(void)
{
	const struct sched_param first = {.sched_priority = 1};

	if (sched_setscheduler(0, SCHED_RR, &first))
		fprintf(stderr, "peer: runs with others' priority\n");
}

static unsigned receive(void)
{
	static uint8_t frame[BURST][FRAME_MAX];
	struct mmsghdr m[BURST] = {0};
	struct iovec v[BURST];
	int n;

	for (unsigned i = 0; i < BURST; i++) {
		v[i] = (struct iovec){frame[i], FRAME_MAX};
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(fd, m, BURST, MSG_DONTWAIT, NULL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		peer_die("recvmmsg", errno);
	if (n > 0)
		cg_clock(stack, peer_now());
	for (int i = 0; i < n; i++)
		cg_input_frame(stack, frame[i], m[i].msg_len);
	return n > 0 ? (unsigned)n : 0;
}

static void transmit(void)
{
	static uint8_t frame[BATCH][FRAME_MAX];

	for (;;) {
		struct mmsghdr m[BATCH] = {0};
		struct iovec v[BATCH];
		unsigned n = 0;
		uint32_t len;

		while (n < BATCH && (len = cg_output_frame(stack, frame[n], FRAME_MAX))) {
			v[n] = (struct iovec){frame[n], len};
			m[n].msg_hdr.msg_iov = &v[n];
			m[n++].msg_hdr.msg_iovlen = 1;
		}
		if (n == 0)
			return;
		for (unsigned done = 0; done < n;) {
			int sent = sendmmsg(fd, m + done, n - done, 0);
			done += sent > 0 ? (unsigned)sent : 1; // what a full device refuses is lost
		}
	}
}

// What came, what is due, what goes; then, where nothing came, waits for the next of it.
static void turn(void)
{
	unsigned got = receive();
	uint64_t now = peer_now(), next;

	cg_advance(stack, now);
	transmit();
	if (got)
		return;
	next = cg_next(stack);
	now = peer_now();
	next = next > now ? next - now : 0;
	if (next > 1000000000)
		next = 1000000000;
	struct timespec t = {.tv_sec = (time_t)(next / 1000000000), .tv_nsec = (long)(next % 1000000000)};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	if (ppoll(&p, 1, &t, NULL) < 0 && errno != EINTR)
		peer_die("ppoll", errno);
}

static void library_open(const struct peer_conf *conf)
{
	uint32_t buffer = conf->buffer ? conf->buffer : BUFFER;
	struct cg_options opt = {.cc = conf->newreno ? TCP_CC_NEWRENO : TCP_CC_CUBIC, .rcv_buf = buffer};
	struct cg_config c = {
		.n_addresses = 1,
		.no_dad = true,
		.tcp = {.rcv_buf = buffer, .snd_buf = buffer, .msl = MSL},
		.now = peer_now(),
	};
	int err;

	if (!pkt_start(MEMORY) || !(pool = pkt_pool_create("peer", POOL, -1)))
		peer_die("no packet pool", rte_errno);
	attach(conf->device, c.mac);
	at_once();
	c.pool = pool;
	c.address[0].addr = address(conf->local);
	c.address[0].prefix = strchr(conf->local, ':') ? 64 : 24;
	if (getrandom(&c.seed, sizeof(c.seed), 0) != sizeof(c.seed))
		peer_die("getrandom", errno);
	stack = cg_create(&c, &err);
	if (!stack)
		peer_die("cg_create", -err);
	if (conf->remote[0]) {
		sock = cg_connect(stack, address(conf->remote), conf->port, &opt, &err);
		if (!sock)
			peer_die("cg_connect", -err);
		while (!(cg_poll(sock) & (CG_OPEN | CG_ERROR)))
			turn();
	} else {
		struct cg_listener *l = cg_listen(stack, (struct addr){0}, conf->port, &opt, &err);
		if (!l)
			peer_die("cg_listen", -err);
		printf("listening\n");
		fflush(stdout);
		while (!(sock = cg_accept(l)))
			turn();
		cg_unlisten(l);
	}
	if (cg_poll(sock) & CG_ERROR)
		peer_die("open", cg_error(sock));
}

static size_t library_read(void *buf, size_t n)
{
	ssize_t got;

	while ((got = cg_read(sock, buf, n)) == -EAGAIN)
		turn();
	if (got < 0)
		peer_die("cg_read", (int)-got);
	return (size_t)got;
}

static size_t library_write(const void *buf, size_t n)
{
	ssize_t put;

	while ((put = cg_write(sock, buf, n)) == -EAGAIN || put == -ENOBUFS)
		turn();
	if (put < 0)
		peer_die("cg_write", (int)-put);
	return (size_t)put;
}

static void library_shutdown(void)
{
	int err = cg_shutdown(sock);

	if (err)
		peer_die("cg_shutdown", -err);
}

static void library_report(char *text, size_t size)
{
	struct tcp_info i;

	cg_info(sock, &i);
	int n = snprintf(text, size, "retransmits %u, cwnd %u, srtt %u us", i.retransmits, i.cwnd / i.mss,
			 i.srtt_us);
	// And whatever else happened.
	for (enum counter c = 0; c < CTR_COUNT && n > 0 && (size_t)n < size; c++)
		if (cg_counter(stack, c))
			n += snprintf(text + n, size - (size_t)n, ", %s %llu", counter_info[c].name,
				      (unsigned long long)cg_counter(stack, c));
}

// Until the stack has forgotten the connection, TIME_WAIT included; then nothing may be left of it.
static void library_close(void)
{
	struct tcp_pools pools;
	const char *wrong = cg_check(stack);

	if (wrong)
		peer_die(wrong, 0);
	cg_close(sock);
	for (;;) {
		cg_pools(stack, &pools);
		if (pools.conns_used + pools.time_wait_used == 0)
			break;
		turn();
	}
	cg_destroy(stack);
	if (pkt_pool_used(pool))
		peer_die("packet buffers are missing", 0);
}

const struct peer_ops peer_library = {library_open,     library_read,  library_write,
				      library_shutdown, library_close, library_report};
