// Reno's window: slow start and congestion avoidance (RFC 5681), from ten segments (RFC 6928).
#include "tcp/cc.h"
#include "tcp/conn.h"

uint32_t cc_initial_window(uint32_t mss)
{
	uint32_t floor = 2 * mss > 14600 ? 2 * mss : 14600;

	return 10 * mss < floor ? 10 * mss : floor;
}

static void newreno_init(struct tcp_conn *c)
{
	c->cwnd = cc_initial_window(c->mss);
	c->ssthresh = CWND_MAX;
}

static void newreno_acked(struct tcp_conn *c, uint32_t bytes, uint32_t flight, uint64_t now)
{
	uint32_t grow;

	(void)now;
	// A window that was not used says nothing about the path (RFC 7661 3).
	if (c->cwnd < c->ssthresh) {
		if (flight < c->cwnd / 2)
			return;
		// Slow start ends at ssthresh, however much one ACK tells of (RFC 5681 3.1).
		grow = bytes < c->ssthresh - c->cwnd ? bytes : c->ssthresh - c->cwnd;
	} else {
		if (flight + c->mss < c->cwnd)
			return;
		grow = (uint32_t)((uint64_t)c->mss * bytes / c->cwnd);
		if (grow > c->mss)
			grow = c->mss;
		if (grow == 0)
			grow = 1;
	}
	c->cwnd = c->cwnd + grow > CWND_MAX ? CWND_MAX : c->cwnd + grow;
}

static uint32_t newreno_lost(struct tcp_conn *c, uint32_t flight, bool timeout)
{
	// Not beyond the window: what is under way includes what has arrived behind a loss.
	uint32_t half = (flight < c->cwnd ? flight : c->cwnd) / 2;

	(void)timeout;
	return half > 2u * c->mss ? half : 2u * c->mss;
}

static void newreno_idle(struct tcp_conn *c)
{
	uint32_t iw = cc_initial_window(c->mss);

	if (c->cwnd > iw)
		c->cwnd = iw;
}

const struct cc_ops cc_newreno = {
	.name = "newreno",
	.init = newreno_init,
	.acked = newreno_acked,
	.lost = newreno_lost,
	.idle = newreno_idle,
};
