// Rate limits: what they are and did, who is near them, and what is changed by hand.
#include "command.h"
#include "contract/limit_key.h"
#include "ratelimits.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOP        20
#define TOP_MAX    1000
#define SLICE_LINE 65536      // lines of the table looked at in one turn: 4 MiB
#define SLICE_REST 1000000ull // ns between two turns

static const struct snapshot *running(const struct request *rq)
{
	return rq->control->dataplane.running.snapshot;
}

static json_t *text(const struct snapshot *s, struct snap_ref r)
{
	return json_stringn((const char *)s + r.off, r.n);
}

static const struct snap_limit *limit_find(struct request *rq, const char *name)
{
	const struct snapshot *s = running(rq);
	const struct snap_limit *l = snap_at(s, s->limits);
	const char *words[SNAP_LIMITS_MAX], *near;
	struct memory m = {0};

	for (uint32_t i = 0; i < s->limits.n; i++)
		if (slice_eq(snap_text(s, l[i].name), slice_of(name, strlen(name))))
			return &l[i];
	for (uint32_t i = 0; i < s->limits.n; i++)
		words[i] = memory_text(&m, (const char *)s + l[i].name.off, l[i].name.n);
	near = diag_suggest(name, words, s->limits.n);
	request_error(rq, "no rate limit \"%s\"%s%s%s", name, near ? "; did you mean \"" : "", near ? near : "",
		      near ? "\"?" : "");
	memory_free(&m);
	return NULL;
}

static void rate_text(uint32_t count, uint64_t period, char out[static 32])
{
	const char *unit = period == 1000000000ull           ? "s"
			   : period == 60 * 1000000000ull    ? "min"
			   : period == 3600 * 1000000000ull  ? "h"
			   : period == 86400 * 1000000000ull ? "day"
							     : "?";

	snprintf(out, 32, "%u/%s", count, unit);
}

static json_t *key_text(const struct snapshot *s, const struct snap_limit *l)
{
	const struct snap_limit_part *p = snap_at(s, l->parts);
	json_t *list = json_array();

	for (uint32_t i = 0; i < l->parts.n; i++) {
		char word[96];

		snprintf(word, sizeof(word), "%s%s%.*s", limit_part_name(p[i].kind), p[i].name.n ? ":" : "",
			 (int)p[i].name.n, (const char *)s + p[i].name.off);
		json_array_append_new(list, json_string(word));
	}
	return list;
}

// In force: as set by hand, or else as configured.
static uint64_t interval_of(const struct request *rq, const struct snap_limit *l)
{
	uint64_t v = region_limits(rq->control->instance.region)[l->slot].interval;

	return v ? v : l->interval;
}

static uint64_t burst_of(const struct request *rq, const struct snap_limit *l)
{
	uint64_t v = region_limits(rq->control->instance.region)[l->slot].burst;

	return v ? v : l->burst;
}

static json_t *limit_row(struct request *rq, const struct snap_limit *l)
{
	static const char *const actions[LIMIT_ACTIONS] = {"reject", "delay", "tag", "shadow"};
	struct region *r = rq->control->instance.region;
	const struct region_limit *hand = &region_limits(r)[l->slot];
	bool by_hand = hand->interval || hand->burst;
	char rate[32];
	json_t *row;

	rate_text(hand->interval ? hand->rate : l->rate, hand->interval ? hand->period : l->period, rate);
	row = json_pack("{s:o, s:o, s:s, s:I, s:s, s:s}", "name", text(running(rq), l->name), "key",
			key_text(running(rq), l), "rate", rate, "burst", (json_int_t)burst_of(rq, l), "action",
			actions[l->action], "set_by", by_hand ? "hand" : "configuration");
	for (unsigned d = 0; d < LIMIT_DECISIONS; d++) {
		uint64_t sum = 0;

		for (uint32_t w = 0; w < region_workers(r); w++)
			sum += stat_get(&region_limit_stats(r, w)[l->slot].n[d]);
		json_object_set_new(row, limit_decision_name[d], json_integer((json_int_t)sum));
	}
	return row;
}

void command_show_ratelimits(struct request *rq)
{
	const struct snapshot *s = running(rq);
	const struct snap_limit *l = snap_at(s, s->limits);
	const struct limit_table *t = &rq->control->instance.limits;
	json_t *rows = json_array();

	for (uint32_t i = 0; i < s->limits.n; i++)
		json_array_append_new(rows, limit_row(rq, &l[i]));
	request_answer(rq, json_pack("{s:I, s:I, s:o}", "table_bytes",
				     (json_int_t)rq->control->instance.limits_bytes, "table_keys",
				     (json_int_t)(t->head ? limit_table_cells(t) : 0), "ratelimits", rows));
}

// A listing under way: the table in slices, and the keys that have used most so far, as a heap whose least is
// on top.
struct listing {
	struct request *rq;
	struct control *control;
	struct loop_op timer;
	char name[REGION_NAME];
	uint32_t slot, wanted, n;
	uint64_t line, live;
	struct {
		uint64_t id, tat;
	} heap[TOP_MAX];
};

static void heap_down(struct listing *q)
{
	for (uint32_t i = 0, k; (k = 2 * i + 1) < q->n; i = k) {
		if (k + 1 < q->n && q->heap[k + 1].tat < q->heap[k].tat)
			k++;
		if (q->heap[i].tat <= q->heap[k].tat)
			return;
		uint64_t id = q->heap[i].id, tat = q->heap[i].tat;

		q->heap[i] = q->heap[k];
		q->heap[k].id = id;
		q->heap[k].tat = tat;
	}
}

static void visit(void *ctx, uint64_t id, uint64_t tat)
{
	struct listing *q = ctx;

	if (limit_table_slot(id) != q->slot || (id & LIMIT_TABLE_ASIDE))
		return;
	q->live++;
	if (q->n == q->wanted) {
		if (q->n == 0 || tat <= q->heap[0].tat)
			return;
		q->heap[0].id = id;
		q->heap[0].tat = tat;
		heap_down(q);
		return;
	}
	uint32_t i = q->n++;

	for (; i && q->heap[(i - 1) / 2].tat > tat; i = (i - 1) / 2)
		q->heap[i] = q->heap[(i - 1) / 2];
	q->heap[i].id = id;
	q->heap[i].tat = tat;
}

// What a worker wrote down of a key; else its identity.
static json_t *key_name(struct region *r, uint64_t id)
{
	char name[sizeof(((struct region_limit_key *)0)->text)], hex[32];
	json_t *j = NULL;

	for (uint32_t w = 0; w < region_workers(r) && !j; w++) {
		const struct region_limit_key *k = &region_limit_keys(r, w)[id % REGION_LIMIT_KEYS];

		if (atomic_load_explicit(&k->id, memory_order_acquire) != id)
			continue;
		memcpy(name, k->text, sizeof(name));
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&k->id, memory_order_relaxed) != id)
			continue;
		name[sizeof(name) - 1] = '\0';
		j = json_string(name); // NULL where it is no UTF-8
	}
	snprintf(hex, sizeof(hex), "#%016llx", (unsigned long long)id);
	return j ? j : json_string(hex);
}

static int by_use(const void *pa, const void *pb)
{
	const uint64_t *a = pa, *b = pb;

	return a[1] < b[1] ? 1 : a[1] > b[1] ? -1 : 0;
}

static void listing_end(struct listing *q)
{
	const struct snap_limit *l = limit_find(q->rq, q->name);
	uint64_t now = loop_now();
	json_t *rows;

	if (!l)
		return; // another configuration runs meanwhile; that was said
	rows = json_array();
	qsort(q->heap, q->n, sizeof(q->heap[0]), by_use);
	for (uint32_t i = 0; i < q->n; i++) {
		uint64_t interval = interval_of(q->rq, l), burst = burst_of(q->rq, l);
		uint64_t ahead = q->heap[i].tat > now ? q->heap[i].tat - now : 0;
		uint64_t used = (ahead + interval - 1) / interval;

		json_array_append_new(rows, json_pack("{s:o, s:I, s:I, s:f}", "key",
						      key_name(q->control->instance.region, q->heap[i].id),
						      "used", (json_int_t)used, "left",
						      (json_int_t)(used < burst ? burst - used : 0),
						      "idle_again_s", (double)ahead / 1e9));
	}
	json_t *row = limit_row(q->rq, l);

	json_object_set_new(row, "live_keys", json_integer((json_int_t)q->live));
	json_object_set_new(row, "top", rows);
	request_answer(q->rq, row);
}

static void on_slice(void *ctx, struct loop_op *op, int result)
{
	struct listing *q = ctx;

	(void)result;
	q->line = limit_table_visit(&q->control->instance.limits, q->line, SLICE_LINE, visit, q);
	if (q->line && !q->control->stopping) {
		loop_timer(&q->control->loop, op, SLICE_REST);
		return;
	}
	listing_end(q);
	free(q);
}

void command_show_ratelimit(struct request *rq)
{
	unsigned long wanted = TOP;
	const struct snap_limit *l;
	struct listing *q;
	char *end = NULL;

	if (rq->argc == 3 && strcmp(rq->argv[1], "top") == 0)
		wanted = strtoul(rq->argv[2], &end, 10);
	if ((rq->argc != 1 && !end) || (end && (*end || end == rq->argv[2])) || wanted > TOP_MAX) {
		request_error(rq, "show ratelimit NAME [top N], N at most %d", TOP_MAX);
		return;
	}
	l = limit_find(rq, rq->argv[0]);
	if (!l)
		return;
	if (!rq->control->instance.limits.head) {
		request_error(rq, "the table of rate limits is not there yet");
		return;
	}
	q = calloc(1, sizeof(*q));
	if (!q) {
		request_error(rq, "no memory left");
		return;
	}
	q->rq = rq;
	q->control = rq->control;
	q->slot = l->slot;
	q->wanted = (uint32_t)wanted;
	snprintf(q->name, sizeof(q->name), "%s", rq->argv[0]);
	q->timer = (struct loop_op){.fn = on_slice, .ctx = q};
	loop_timer(&rq->control->loop, &q->timer, 0);
}

void command_set_ratelimit(struct request *rq)
{
	static const char usage[] = "set ratelimit NAME rate COUNT/UNIT [burst N] | auto";
	struct region_limit *hand;
	const struct snap_limit *l;
	uint64_t period = 0, burst = 0;
	uint32_t count = 0;
	const char *why;
	char *end;

	if (rq->argc == 2 && strcmp(rq->argv[1], "auto") == 0) {
		l = limit_find(rq, rq->argv[0]);
		if (!l)
			return;
		hand = &region_limits(rq->control->instance.region)[l->slot];
		atomic_store(&hand->interval, 0);
		atomic_store(&hand->burst, 0);
		request_log(rq, "rate limit %s set to what is configured", rq->argv[0]);
		request_answer(rq, limit_row(rq, l));
		return;
	}
	if ((rq->argc != 3 && rq->argc != 5) || strcmp(rq->argv[1], "rate") != 0 ||
	    (rq->argc == 5 && strcmp(rq->argv[3], "burst") != 0)) {
		request_error(rq, "%s", usage);
		return;
	}
	if (!unit_rate(rq->argv[2], &count, &period, &why)) {
		request_error(rq, "\"%s\" %s", rq->argv[2], why);
		return;
	}
	if (rq->argc == 5) {
		burst = strtoull(rq->argv[4], &end, 10);
		if (*end || end == rq->argv[4] || rq->argv[4][0] == '-' || burst == 0 || burst > 1000000000) {
			request_error(rq, "\"%s\" is not a burst: 1..1000000000", rq->argv[4]);
			return;
		}
	}
	l = limit_find(rq, rq->argv[0]);
	if (!l)
		return;
	// A burst that follows from the rate follows the new one, too.
	if (!burst)
		burst = l->burst == l->rate ? count : burst_of(rq, l);
	if (burst > SNAP_LIMIT_TIME_MAX / ((period + count - 1) / count)) {
		request_error(rq, "a burst of %llu takes more than 400 days to earn at %s",
			      (unsigned long long)burst, rq->argv[2]);
		return;
	}
	hand = &region_limits(rq->control->instance.region)[l->slot];
	hand->rate = count;
	hand->period = period;
	atomic_store(&hand->burst, burst);
	atomic_store(&hand->interval, (period + count - 1) / count);
	request_log(rq, "rate limit %s set to %s, burst %llu", rq->argv[0], rq->argv[2],
		    (unsigned long long)burst);
	request_answer(rq, limit_row(rq, l));
}

// The key as its parts are given, in the order of the configuration; those that have no value need none.
static bool key_build(struct request *rq, const struct snap_limit *l, struct limit_key *key)
{
	const struct snap_limit_part *p = snap_at(running(rq), l->parts);
	const struct limit_table *t = &rq->control->instance.limits;
	int at = 1;

	limit_key_start(key);
	for (uint32_t i = 0; i < l->parts.n; i++) {
		const char *word = at < rq->argc ? rq->argv[at] : NULL;
		struct addr a;

		if (p[i].kind == LIMIT_PART_CONSTANT) {
			limit_key_value(key, t, p[i].kind, slice_of("", 0));
			continue;
		}
		if (!word) {
			request_error(rq, "the key has more parts: %s is missing", limit_part_name(p[i].kind));
			return false;
		}
		at++;
		if (p[i].kind != LIMIT_PART_CLIENT_IP) {
			limit_key_value(key, t, p[i].kind, slice_of(word, strlen(word)));
			continue;
		}
		if (addr_parse(word, strlen(word), &a) != 0) {
			request_error(rq, "\"%s\" is no address", word);
			return false;
		}
		limit_key_address(key, &p[i], a);
	}
	if (at < rq->argc) {
		request_error(rq, "the key has fewer parts than that");
		return false; // the request is gone
	}
	return true;
}

void command_clear_ratelimit(struct request *rq)
{
	const struct snap_limit *l;
	struct limit_key *key;
	struct limit_table_key k;
	struct limit_table_claims claims;
	const struct limit_table *t = &rq->control->instance.limits;

	if (rq->argc < 1) {
		request_error(rq, "clear ratelimit NAME KEY, each part of the key a word");
		return;
	}
	l = limit_find(rq, rq->argv[0]);
	if (!l)
		return;
	if (!t->head) {
		request_error(rq, "the table of rate limits is not there yet");
		return;
	}
	key = calloc(1, sizeof(*key));
	if (!key) {
		request_error(rq, "no memory left");
		return;
	}
	if (key_build(rq, l, key)) {
		uint64_t tat;

		k = limit_table_key(t, l->slot, key->b, key->n);
		limit_table_claims_init(&claims, t, 0xff);
		bool known = limit_table_peek(t, &k, loop_now(), burst_of(rq, l) * interval_of(rq, l),
					      burst_of(rq, l) * interval_of(rq, l), &tat) == LIMIT_TABLE_OVER;

		limit_table_set(t, &claims, &k, loop_now(), 0); // nothing is claimed where nothing is set
		uint32_t size = key->n;

		for (enum limit_key_aspect a = LIMIT_KEY_BLOCKED; a <= LIMIT_KEY_STRIKES; a++) {
			k = limit_key_aspect(key, t, l->slot, a, size);
			limit_table_set(t, &claims, &k, loop_now(), 0);
		}
		for (uint32_t i = 0; i < LIMIT_KEY_STRIKES_EXACT && i < l->strikes; i++) {
			struct limit_table_key one = limit_key_strike(t, &k, i);

			limit_table_set(t, &claims, &one, loop_now(), 0);
		}
		request_log(rq, "rate limit %s cleared for one key", rq->argv[0]);
		request_answer(rq, json_pack("{s:s, s:b}", "ratelimit", rq->argv[0], "had_used_some", known));
	}
	free(key);
}
