// Denied and allowed addresses, by hand.
#include "addresses.h"
#include "command.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOP        20
#define TOP_MAX    10000
#define SLICE_LINE 65536      // lines of the list looked at in one turn: 4 MiB
#define SLICE_REST 1000000ull // ns between two turns

static const char *const words[ADDRESS_KINDS] = {"deny", "allow"};

static struct address_list *list_of(struct request *rq)
{
	struct address_list *l = &rq->control->instance.addresses;

	if (l->head)
		return l;
	request_error(rq, "the list of addresses is not there yet");
	return NULL;
}

static void network_text(struct addr a, unsigned len, char out[static ADDR_TEXT_MAX + 8])
{
	char text[ADDR_TEXT_MAX];

	addr_text(a, text);
	if (len == 128)
		snprintf(out, ADDR_TEXT_MAX + 8, "%s", text);
	else
		snprintf(out, ADDR_TEXT_MAX + 8, "%s/%u", text, addr_is_v4(a) ? len - 96 : len);
}

static void add(struct request *rq, enum address_kind kind)
{
	struct address_list *l;
	char text[ADDR_TEXT_MAX + 8], span[32] = "";
	uint64_t span_ns = 0;
	const char *why;
	struct addr a;
	uint32_t len;
	int err;

	if ((rq->argc != 1 && rq->argc != 3) || (rq->argc == 3 && strcmp(rq->argv[1], "for") != 0)) {
		request_error(rq, "add %s ADDRESS[/LENGTH] [for TIME]", words[kind]);
		return;
	}
	if (!address_network(rq->argv[0], &a, &len, &why)) {
		request_error(rq, "\"%s\" %s", rq->argv[0], why);
		return;
	}
	if (rq->argc == 3 && (!unit_time(rq->argv[2], &span_ns, &why) || span_ns == 0)) {
		request_error(rq, "\"%s\" %s", rq->argv[2], span_ns ? why : "is no time, as 5m is");
		return;
	}
	l = list_of(rq);
	if (!l)
		return;
	l->now = loop_now();
	err = address_list_add(l, kind, a, len, span_ns ? loop_now() + span_ns : 0, ADDRESS_HAND);
	if (err < 0) {
		request_error(rq, "the list is full: system.memory.addresses says how large it is");
		return;
	}
	network_text(a, len, text);
	if (span_ns)
		unit_time_text(span_ns, span);
	request_log(rq, "%s is on the %s list%s%s", text, words[kind], span_ns ? " for " : "", span);
	request_answer(rq, json_pack("{s:s, s:s, s:s, s:b}", "address", text, "list", words[kind], "for",
				     span_ns ? span : "good", "was_there", err == 1));
}

static void del(struct request *rq, enum address_kind kind)
{
	struct address_list *l;
	char text[ADDR_TEXT_MAX + 8];
	const char *why;
	struct addr a;
	uint32_t len;

	if (rq->argc != 1) {
		request_error(rq, "del %s ADDRESS[/LENGTH]", words[kind]);
		return;
	}
	if (!address_network(rq->argv[0], &a, &len, &why)) {
		request_error(rq, "\"%s\" %s", rq->argv[0], why);
		return;
	}
	l = list_of(rq);
	if (!l)
		return;
	network_text(a, len, text);
	if (!address_list_remove(l, kind, a, len, ADDRESS_FILE | ADDRESS_HAND | ADDRESS_LIMIT)) {
		request_error(rq, "%s is not on the %s list", text, words[kind]);
		return;
	}
	request_log(rq, "%s is no longer on the %s list", text, words[kind]);
	request_answer(rq, json_pack("{s:s, s:s}", "address", text, "removed_from", words[kind]));
}

// A listing or an emptying under way, in slices.
struct walk {
	struct request *rq;
	struct control *control;
	struct loop_op timer;
	enum address_kind kind;
	bool clear;
	uint64_t line, by[8], entries, removed;
	uint32_t wanted, n;
	struct address_entry *top; // [wanted], a heap whose least is on top
};

static bool less(const struct address_entry *a, const struct address_entry *b)
{
	return a->hits < b->hits;
}

static void heap_down(struct walk *w)
{
	for (uint32_t i = 0, k; (k = 2 * i + 1) < w->n; i = k) {
		struct address_entry e = w->top[i];

		if (k + 1 < w->n && less(&w->top[k + 1], &w->top[k]))
			k++;
		if (!less(&w->top[k], &e))
			return;
		w->top[i] = w->top[k];
		w->top[k] = e;
	}
}

static void list_one(struct walk *w, const struct address_entry *e)
{
	uint32_t i;

	for (unsigned bit = 0; bit < 3; bit++)
		w->by[bit] += e->source >> bit & 1;
	w->entries++;
	if (w->n == w->wanted) {
		if (w->n && less(&w->top[0], e)) {
			w->top[0] = *e;
			heap_down(w);
		}
		return;
	}
	for (i = w->n++; i && less(e, &w->top[(i - 1) / 2]); i = (i - 1) / 2)
		w->top[i] = w->top[(i - 1) / 2];
	w->top[i] = *e;
}

static void visit(void *ctx, const struct address_entry *e)
{
	struct walk *w = ctx;

	if (e->kind != w->kind || (e->until && e->until <= loop_now()))
		return;
	if (!w->clear)
		list_one(w, e);
	else if (address_list_remove(&w->control->instance.addresses, e->kind, e->addr, e->len, e->source))
		w->removed++;
}

static int by_hits(const void *pa, const void *pb)
{
	const struct address_entry *a = pa, *b = pb;

	return a->hits < b->hits ? 1 : a->hits > b->hits ? -1 : 0;
}

static json_t *row(const struct address_entry *e)
{
	char text[ADDR_TEXT_MAX + 8], left[32] = "";
	uint64_t now = loop_now();

	network_text(e->addr, e->len, text);
	if (e->until)
		unit_time_text((e->until > now ? e->until - now : 0) / 1000000000u * 1000000000u, left);
	return json_pack("{s:s, s:I, s:s, s:s}", "address", text, "hits", (json_int_t)e->hits, "left",
			 e->until ? left : "-", "by",
			 e->source & ADDRESS_HAND    ? "hand"
			 : e->source & ADDRESS_LIMIT ? "rate limit"
						     : "configuration");
}

static void walk_end(struct walk *w)
{
	json_t *rows;

	if (w->clear) {
		request_log(w->rq, "the %s list was emptied of %llu entries", words[w->kind],
			    (unsigned long long)w->removed);
		request_answer(w->rq, json_pack("{s:s, s:I}", "list", words[w->kind], "removed",
						(json_int_t)w->removed));
		return;
	}
	rows = json_array();
	qsort(w->top, w->n, sizeof(w->top[0]), by_hits);
	for (uint32_t i = 0; i < w->n; i++)
		json_array_append_new(rows, row(&w->top[i]));
	request_answer(w->rq,
		       json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "list", words[w->kind], "entries",
				 (json_int_t)w->entries, "by_configuration", (json_int_t)w->by[0], "by_hand",
				 (json_int_t)w->by[1], "by_rate_limits", (json_int_t)w->by[2], "room",
				 (json_int_t)address_list_room(w->control->instance.addresses_bytes),
				 words[w->kind], rows));
}

static void on_slice(void *ctx, struct loop_op *op, int result)
{
	struct walk *w = ctx;

	(void)result;
	w->line = address_list_visit(&w->control->instance.addresses, w->line, SLICE_LINE, visit, w);
	if (w->line && !w->control->stopping) {
		loop_timer(&w->control->loop, op, SLICE_REST);
		return;
	}
	walk_end(w);
	free(w->top);
	free(w);
}

static void walk(struct request *rq, enum address_kind kind, bool clear, uint32_t wanted)
{
	struct walk *w = list_of(rq) ? calloc(1, sizeof(*w)) : NULL;

	if (!rq->control->instance.addresses.head)
		return;
	if (w)
		*w = (struct walk){
			.rq = rq, .control = rq->control, .kind = kind, .clear = clear, .wanted = wanted};
	if (!w || !(w->top = calloc(wanted + 1, sizeof(*w->top)))) {
		free(w);
		request_error(rq, "no memory left");
		return;
	}
	w->timer = (struct loop_op){.fn = on_slice, .ctx = w};
	loop_timer(&rq->control->loop, &w->timer, 0);
}

static void show(struct request *rq, enum address_kind kind)
{
	unsigned long wanted = TOP;
	char *end = NULL;

	if (rq->argc == 2 && strcmp(rq->argv[0], "top") == 0)
		wanted = strtoul(rq->argv[1], &end, 10);
	if ((rq->argc != 0 && !end) || (end && (*end || end == rq->argv[1])) || wanted > TOP_MAX)
		request_error(rq, "show %s [top N], N at most %d", words[kind], TOP_MAX);
	else
		walk(rq, kind, false, (uint32_t)wanted);
}

static void clear(struct request *rq, enum address_kind kind)
{
	if (rq->argc)
		request_error(rq, "clear %s", words[kind]);
	else
		walk(rq, kind, true, 0);
}

void command_add_deny(struct request *rq)
{
	add(rq, ADDRESS_DENY);
}
void command_add_allow(struct request *rq)
{
	add(rq, ADDRESS_ALLOW);
}
void command_del_deny(struct request *rq)
{
	del(rq, ADDRESS_DENY);
}
void command_del_allow(struct request *rq)
{
	del(rq, ADDRESS_ALLOW);
}
void command_show_deny(struct request *rq)
{
	show(rq, ADDRESS_DENY);
}
void command_show_allow(struct request *rq)
{
	show(rq, ADDRESS_ALLOW);
}
void command_clear_deny(struct request *rq)
{
	clear(rq, ADDRESS_DENY);
}
void command_clear_allow(struct request *rq)
{
	clear(rq, ADDRESS_ALLOW);
}
