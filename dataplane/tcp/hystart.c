// HyStart++ (RFC 9406): the first slow start ends before it has filled all queues on the path. Where round
// trips become longer it first grows at a quarter of its pace, for five rounds at most; if they become shorter
// again it was something else, and it goes on as before.
//
// Round trips are RACK's, one of each ACK, so it is done where SACK is agreed. How much one ACK may add is not
// bounded (L of RFC 9406 4.2): receivers whose card joins segments acknowledge dozens at once.
#include "tcp/conn.h"

#define SAMPLES    8
#define ROUNDS     5
#define THRESH_MIN 4000u // us
#define THRESH_MAX 16000u
#define RTT_MAX    ((1u << 27) - 1)
#define SLOWLY     4

// False: that was the last round.
static bool round_begin(struct tcp_conn *c)
{
	struct hystart *h = &c->hystart;

	h->last = h->samples ? h->least : 0u;
	h->samples = 0;
	h->begun = 1;
	h->round_end = c->snd_max;
	if (h->slow_rounds == 0)
		return true;
	h->slow_rounds = (h->slow_rounds - 1u) & 7;
	return h->slow_rounds != 0;
}

static void sample(struct hystart *h, uint32_t us)
{
	us = us < RTT_MAX ? us : RTT_MAX;
	if (h->samples == 0 || us < h->least)
		h->least = us & RTT_MAX;
	if (h->samples < SAMPLES)
		h->samples = (h->samples + 1u) & 31;
}

static uint32_t threshold(uint32_t us)
{
	us /= 8;
	return us < THRESH_MIN ? THRESH_MIN : us > THRESH_MAX ? THRESH_MAX : us;
}

uint32_t hystart_acked(struct tcp_conn *c, uint32_t bytes)
{
	struct hystart *h = &c->hystart;

	if (c->rack_rtt == 0)
		return bytes;
	if ((!h->begun || seq_gt(c->snd_una, h->round_end)) && !round_begin(c)) {
		tcp_count(c->tcp, CTR_tcp_hystart);
		*h = (struct hystart){0};
		c->w_max = 0;
		c->ssthresh = c->cwnd;
		return 0;
	}
	sample(h, c->rack_rtt);
	if (h->samples == SAMPLES) {
		if (h->slow_rounds == 0 && h->last && h->least >= h->last + threshold(h->last)) {
			h->slow_rounds = ROUNDS;
			c->w_max = h->least;
		} else if (h->slow_rounds && h->least < c->w_max) {
			h->slow_rounds = 0;
		}
	}
	return h->slow_rounds ? bytes / SLOWLY : bytes;
}
