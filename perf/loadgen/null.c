#include "null.h"
#include <errno.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE 20.0 // seconds until the first frame comes back
#define LOST     2e-3 // seconds without any: those under way were lost

static void frames_send(const struct null_conf *conf, struct link *l, unsigned n)
{
	char *at;

	while (n-- > 0 && (at = link_frame(l, conf->bytes))) {
		memset(at, 0, conf->bytes);
		memcpy(at, l->frame, 34);
	}
}

// Ticks at its end; what came back is added to l->received.
static uint64_t circulate(const struct null_conf *conf, struct link *l, uint64_t now, double seconds)
{
	uint64_t end = now + (uint64_t)(seconds * conf->hz), last = now;

	for (; now < end; now = rte_rdtsc()) {
		unsigned n = rte_eth_rx_burst(l->port, 0, (struct rte_mbuf **)l->rx, LINK_BURST);

		if (n) {
			l->n_rx = n;
			l->received += n;
			link_release(l);
			last = now;
		} else if ((double)(now - last) > LOST * conf->hz) {
			n = conf->flight;
			last = now;
		}
		frames_send(conf, l, n);
		link_flush(l);
	}
	return now;
}

int null_play(const struct null_conf *conf, struct link *l)
{
	uint64_t now = rte_rdtsc(), begin = now, before;

	l->lossy = true;
	memset(l->frame, 2, 6); // to whom does not matter
	while (!l->received) {
		now = circulate(conf, l, now, 0.01);
		if ((double)(now - begin) > PATIENCE * conf->hz)
			return -ENODEV;
	}
	now = circulate(conf, l, now, 1);
	printf("{\"null\": %u, \"runs\": [", conf->bytes);
	for (unsigned i = 0; i < conf->runs; i++) {
		before = l->received;
		begin = now;
		now = circulate(conf, l, now, conf->seconds);
		printf("%s%.0f", i ? ", " : "",
		       (double)(l->received - before) / ((double)(now - begin) / conf->hz));
	}
	printf("]}\n");
	fflush(stdout);
	return 0;
}
