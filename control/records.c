// What workers write to their log rings, taken regularly and written to the log.
#include "contract/record.h"
#include "control.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define EVERY  50000000ull // ns
#define BUDGET 20000       // records of a worker at a time

static const char *name_of(struct region_name *table, uint32_t slot, uint32_t n)
{
	return slot < n && table[slot].text[0] ? table[slot].text : "-";
}

// client - method path status bytes-in bytes-out duration route upstream request-id
static void access_line(struct control *c, const struct rec_access *a)
{
	struct region *r = c->instance.region;
	char client[ADDR_TEXT_MAX], text[640], id[33];
	unsigned method = a->method_n < sizeof(a->text) ? a->method_n : 0;
	unsigned path = a->path_n <= sizeof(a->text) - method ? a->path_n : (unsigned)sizeof(a->text) - method;
	int n;

	memcpy(id, a->request_id, sizeof(a->request_id));
	id[32] = '\0';
	n = snprintf(text, sizeof(text),
		     "%s:%u \"%.*s %.*s\" %u in=%llu out=%llu ms=%u.%03u route=%.63s upstream=%.63s id=%s",
		     addr_text(a->client, client), a->client_port, (int)method, a->text, (int)path,
		     a->text + method, a->status, (unsigned long long)a->bytes_in,
		     (unsigned long long)a->bytes_out, a->duration_us / 1000, a->duration_us % 1000,
		     name_of(region_routes(r), a->route_slot, STATS_ROUTES),
		     a->upstream_slot ? name_of(region_upstreams(r), a->upstream_slot, STATS_UPSTREAMS) : "-",
		     id[0] ? id : "-");
	if (n > 0)
		log_line(&c->log, a->realtime_ns, "access", text,
			 n < (int)sizeof(text) ? (unsigned)n : (unsigned)sizeof(text) - 1);
}

static void record(struct control *c, uint16_t type, const void *p, size_t n)
{
	if (type == REC_ACCESS && n == sizeof(struct rec_access)) {
		struct rec_access a;

		memcpy(&a, p, sizeof(a));
		if (c->instance.region->log_level >= LOG_INFO)
			access_line(c, &a);
	} else if (type == REC_MESSAGE && n == sizeof(struct rec_message)) {
		struct rec_message m;

		memcpy(&m, p, sizeof(m));
		if (m.level <= c->instance.region->log_level && m.level <= LOG_DEBUG)
			log_line(&c->log, m.realtime_ns, conf_log_levels[m.level], m.text,
				 m.n < sizeof(m.text) ? m.n : (unsigned)sizeof(m.text));
	}
}

// What rate limits put onto the deny list.
static void blocks(struct control *c, uint32_t worker)
{
	struct rec_ring *ring = region_ring(c->instance.region, worker, RING_BLOCK);
	_Alignas(16) char room[REC_MAX];
	struct rec_block b;
	uint16_t type;
	int n;

	while ((n = rec_ring_get(ring, region_ring_size(RING_BLOCK), &type, room)) > 0) {
		if (type != REC_BLOCK || n != (int)sizeof(b))
			continue;
		memcpy(&b, room, sizeof(b));
		b.limit[sizeof(b.limit) - 1] = '\0';
		addresses_block(c, &b);
	}
	if (n < 0)
		log_error(&c->log, "the ring of worker %u for the deny list was corrupt; its records are lost",
			  worker);
}

void records_drain(struct control *c)
{
	struct region *r = c->instance.region;
	_Alignas(16) char room[REC_MAX];

	for (uint32_t w = 0; w < c->instance.stats.workers; w++) {
		struct rec_ring *ring = region_ring(r, w, RING_LOG);
		uint16_t type;
		int n;

		blocks(c, w);
		for (unsigned i = 0; i < BUDGET; i++) {
			n = rec_ring_get(ring, region_ring_size(RING_LOG), &type, room);
			if (n == 0)
				break;
			if (n < 0) {
				log_error(&c->log,
					  "the log ring of worker %u was corrupt; its records are lost", w);
				break;
			}
			record(c, type, room, (size_t)n);
		}
	}
	log_flush(&c->log);
}

static void on_records(void *ctx, struct loop_op *op, int result)
{
	struct control *c = ctx;

	if (result == -ECANCELED || c->loop.stop)
		return;
	records_drain(c);
	loop_timer(&c->loop, op, EVERY);
}

static void on_sampling(void *ctx, struct loop_op *op, int result)
{
	struct control *c = ctx;

	if (result == -ECANCELED || c->loop.stop)
		return;
	for (uint32_t w = 0; w < c->instance.stats.workers && w < SAMPLE_WORKERS; w++) {
		const struct worker_stats *s = &c->instance.stats.worker[w];
		uint64_t busy = stat_get(&s->busy_ns), idle = stat_get(&s->idle_ns);
		uint64_t dbusy = busy - c->busy_seen[w], all = dbusy + idle - c->idle_seen[w];

		c->busy_share[w] = busy >= c->busy_seen[w] && all ? (double)dbusy / (double)all : 0;
		c->busy_seen[w] = busy;
		c->idle_seen[w] = idle;
	}
	loop_timer(&c->loop, op, 1000000000);
}

void records_start(struct control *c)
{
	c->records = (struct loop_op){.fn = on_records, .ctx = c};
	c->sampling = (struct loop_op){.fn = on_sampling, .ctx = c};
	loop_timer(&c->loop, &c->records, EVERY);
	loop_timer(&c->loop, &c->sampling, 1000000000);
}
