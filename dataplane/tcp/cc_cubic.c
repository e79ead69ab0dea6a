// CUBIC (RFC 9438): after a loss the window returns to where it was along a cubic curve of time, not of round
// trips, rests there, and then looks for more. Slow start is that of RFC 5681, the first one with HyStart++
// (4.10). Windows in bytes, times in ms.
#include "tcp/cc.h"
#include "tcp/conn.h"

#define TIME_MAX 100000 // ms from the curve's middle; keeps the cube within 64 bits

// Constants of RFC 9438 4.1 as fractions: C is 4/10, beta 7/10, and alpha 3 (1 - beta) / (1 + beta) = 9/17.

static uint64_t now_ms(const struct tcp_conn *c)
{
	return c->tcp->now / 1000000;
}

// The largest r with r^3 <= x.
static uint32_t cube_root(uint64_t x)
{
	uint64_t r = 0;

	for (uint64_t bit = 1u << 20; bit; bit >>= 1)
		if ((r | bit) * (r | bit) * (r | bit) <= x)
			r |= bit;
	return (uint32_t)r;
}

// RFC 9438 4.2: W_cubic, t ms after the epoch began.
static uint64_t curve(const struct tcp_conn *c, uint64_t t)
{
	int64_t d = (int64_t)(t < TIME_MAX ? t : TIME_MAX) - c->cubic.k;
	int64_t w = (int64_t)c->w_max + d * d * d * 4 * c->mss / 10000000000;

	return w < 0 ? 0 : (uint64_t)w;
}

// n / d, mostly less than a byte for a large window: rounded such that many of them come to what they should.
static uint32_t portion(const struct tcp_conn *c, uint64_t n, uint64_t d)
{
	uint64_t dice = c->snd_una * 2654435769u >> 4;

	return (uint32_t)(n / d + (dice * d >> 28 < n % d));
}

static void epoch_begin(struct tcp_conn *c)
{
	c->cubic.epoch = (uint32_t)now_ms(c) | 1;
	c->cubic.w_est = c->cwnd;
	if (c->cwnd < c->w_max) {
		uint64_t cube = (uint64_t)(c->w_max - c->cwnd) * 2500000000 / c->mss;
		c->cubic.k = cube_root(cube);
	} else {
		c->cubic.k = 0;
		c->w_max = c->cwnd;
	}
}

static void cubic_init(struct tcp_conn *c)
{
	c->cwnd = cc_initial_window(c->mss);
	c->ssthresh = CWND_MAX;
	c->w_max = 0;
	c->cubic.epoch = 0;
}

static void slow_start(struct tcp_conn *c, uint32_t bytes, uint32_t flight)
{
	if (flight < c->cwnd / 2)
		return;
	if (c->ssthresh >= CWND_MAX)
		bytes = hystart_acked(c, bytes);
	// It ends at ssthresh, however much one ACK tells of (RFC 5681 3.1).
	c->cwnd += bytes < c->ssthresh - c->cwnd ? bytes : c->ssthresh - c->cwnd;
}

static void cubic_acked(struct tcp_conn *c, uint32_t bytes, uint32_t flight, uint64_t now)
{
	(void)now;
	if (c->cwnd < c->ssthresh) {
		slow_start(c, bytes, flight);
		return;
	}
	// RFC 9438 5.8: the curve does not run while the window is not used.
	if (flight + c->mss < c->cwnd) {
		c->cubic.epoch = 0;
		return;
	}
	if (c->cubic.epoch == 0)
		epoch_begin(c);
	uint32_t t = (uint32_t)now_ms(c) - (c->cubic.epoch & ~1u);
	uint64_t target = curve(c, t + c->srtt / 1000), cwnd = c->cwnd;

	// RFC 9438 4.3: never slower than Reno with the same loss rate would be.
	// By less until it is back at the window before the loss, seven tenths of which are ssthresh.
	bool back = 7ull * c->cubic.w_est >= 10ull * c->ssthresh;
	c->cubic.w_est += portion(c, 9ull * c->mss * bytes, (back ? 9ull : 17ull) * c->cwnd);
	if (target > cwnd + cwnd / 2)
		target = cwnd + cwnd / 2;
	if (target > cwnd) {
		uint64_t grow = (target - cwnd) * bytes / cwnd;
		cwnd += grow < target - cwnd ? grow : target - cwnd;
	}
	if (curve(c, t) < c->cubic.w_est && cwnd < c->cubic.w_est)
		cwnd = c->cubic.w_est;
	c->cwnd = cwnd > CWND_MAX ? CWND_MAX : (uint32_t)cwnd;
}

static uint32_t cubic_lost(struct tcp_conn *c, uint32_t flight, bool timeout)
{
	// Not beyond the window: what is under way includes what has arrived behind a loss (RFC 9438 4.6).
	uint32_t used = flight < c->cwnd ? flight : c->cwnd, ssthresh = (uint32_t)((uint64_t)used * 7 / 10);

	// RFC 9438 4.7, fast convergence: a window that did not get back to where it was makes room. After a
	// timeout nothing is known of what the path carries, and the curve begins where slow start ends (4.8).
	if (c->ssthresh >= CWND_MAX) // HyStart++ had its own use for it
		c->w_max = 0;
	if (timeout)
		c->w_max = 0;
	else
		c->w_max = c->cwnd < c->w_max ? (uint32_t)((uint64_t)c->cwnd * 17 / 20) : c->cwnd;
	c->cubic.epoch = 0;
	return ssthresh > 2u * c->mss ? ssthresh : 2u * c->mss;
}

static void cubic_idle(struct tcp_conn *c)
{
	uint32_t iw = cc_initial_window(c->mss), keep = c->cwnd - c->cwnd / 4;

	if (c->ssthresh >= CWND_MAX)
		c->hystart = (struct hystart){0};
	c->cubic.epoch = 0;
	if (c->cwnd <= iw)
		return;
	// Slow start leads back to near where it was.
	if (c->ssthresh < keep)
		c->ssthresh = keep;
	c->cwnd = iw;
}

const struct cc_ops cc_cubic = {
	.name = "cubic",
	.init = cubic_init,
	.acked = cubic_acked,
	.lost = cubic_lost,
	.idle = cubic_idle,
};
