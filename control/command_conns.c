// show conns: asked of each worker through its command ring, answered on its reply ring in bounded slices.
// One listing at a time; others wait for it.
#include "command.h"
#include "contract/record.h"
#include "contract/snapshot.h"
#include <stdlib.h>
#include <string.h>

#define LIMIT     1000 // and the most of a mere user: an answer takes some 10 ms of everybody's time then
#define LIMIT_MAX 100000
#define PATIENCE  1000000000ull // ns without an answer
#define LOOK      2000000ull    // ns between looks at the rings

struct query {
	struct query *next;
	struct request *rq;
	uint32_t id, limit, got;
	uint64_t deadline;
	bool waiting[SNAP_WORKERS_MAX];
	uint32_t n_waiting;
	bool cut, asked;
	uint32_t looks;
	json_t *rows;
	struct loop_op timer;
};

// In the order of the states that workers write (RFC 9293 3.3.2).
static const char *const state_name[] = {"closed",     "syn-sent",   "syn-received", "established",
					 "fin-wait-1", "fin-wait-2", "close-wait",   "closing",
					 "last-ack",   "time-wait"};

static void query_begin(struct control *c);

static void query_ask(struct control *c, struct query *q, uint32_t worker, uint64_t cursor)
{
	struct region *r = c->instance.region;
	struct rec_cmd cmd = {.epoch = r->control_epoch,
			      .id = q->id,
			      .cmd = CMD_LIST_CONNS,
			      .limit = q->limit - q->got,
			      .cursor = cursor};

	if (rec_ring_put(region_ring(r, worker, RING_CMD), region_ring_size(RING_CMD), REC_CMD, &cmd,
			 sizeof(cmd))) {
		q->waiting[worker] = true;
		q->n_waiting++;
		q->asked = true;
		q->deadline = loop_now() + PATIENCE;
	} else {
		q->cut = true;
	}
}

static void query_end(struct control *c, struct query *q)
{
	json_t *j = json_pack("{s:o}", "conns", q->rows);

	for (uint32_t w = 0; w < SNAP_WORKERS_MAX; w++)
		if (q->waiting[w])
			json_object_set_new(j, "no_answer_from_worker", json_integer(w));
	if (q->cut)
		json_object_set_new(j, "more", json_true());
	// Which may run the next command of its line: another listing, behind this one.
	request_answer(q->rq, j);
	c->query = q->next;
	free(q);
	query_begin(c);
}

static void conn_add(struct query *q, uint32_t worker, const struct rec_conn *r)
{
	char addr[ADDR_TEXT_MAX], client[ADDR_TEXT_MAX], local[ADDR_TEXT_MAX + 16], remote[ADDR_TEXT_MAX + 16];
	size_t states = sizeof(state_name) / sizeof(state_name[0]);

	if (q->got >= q->limit) {
		q->cut = true;
		return;
	}
	q->got++;
	snprintf(remote, sizeof(remote), addr_is_v4(r->remote) ? "%s:%u" : "[%s]:%u",
		 addr_text(r->remote, addr), r->remote_port);
	snprintf(local, sizeof(local), addr_is_v4(r->local) ? "%s:%u" : "[%s]:%u", addr_text(r->local, addr),
		 r->local_port);
	json_array_append_new(
		q->rows,
		json_pack(
			"{s:s, s:s, s:s, s:s, s:s, s:i, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, "
			"s:I, s:I, s:s}",
			"side", r->side & 1 ? "upstream" : "client", "remote", remote, "client",
			r->side & 1 ? "-" : addr_text(r->client, client), "local", local, "state",
			r->state < states ? state_name[r->state] : "?", "worker", (int)worker, "age_s",
			(double)r->age_ns / 1e9, "idle_s", (double)r->idle_ns / 1e9, "bytes_in",
			(json_int_t)r->bytes_in, "bytes_out", (json_int_t)r->bytes_out, "queued_in",
			(json_int_t)r->queued_in, "queued_out", (json_int_t)r->queued_out, "srtt_us",
			(json_int_t)r->srtt_us, "cwnd", (json_int_t)r->cwnd, "retransmits",
			(json_int_t)r->retransmits, "congestion",
			r->congestion == CONGESTION_NEWRENO ? "newreno" : "cubic", "ecn", (int)r->ecn, "mss",
			(json_int_t)r->mss, "window", (json_int_t)r->window, "use",
			r->side & 2 ? "tunnel" : "http"));
}

static void take(struct control *c, struct query *q, uint32_t worker)
{
	struct region *r = c->instance.region;
	_Alignas(16) char room[REC_MAX];
	uint16_t type;
	int n;

	while ((n = rec_ring_get(region_ring(r, worker, RING_REPLY), region_ring_size(RING_REPLY), &type,
				 room)) > 0) {
		struct rec_conn conn;
		struct rec_reply_end end;

		if (type == REC_REPLY && n == sizeof(conn)) {
			memcpy(&conn, room, sizeof(conn));
			if (conn.epoch == r->control_epoch && conn.id == q->id)
				conn_add(q, worker, &conn);
		} else if (type == REC_REPLY_END && n == sizeof(end)) {
			memcpy(&end, room, sizeof(end));
			if (end.epoch != r->control_epoch || end.id != q->id || !q->waiting[worker])
				continue; // of a listing that was given up
			q->waiting[worker] = false;
			q->n_waiting--;
			if (end.cursor && q->got < q->limit)
				query_ask(c, q, worker, end.cursor);
			else if (end.cursor)
				q->cut = true;
		}
		q->deadline = loop_now() + PATIENCE;
	}
}

static void on_look(void *ctx, struct loop_op *op, int result)
{
	struct control *c = ctx;
	struct query *q = c->query;

	(void)result;
	for (uint32_t w = 0; w < c->instance.stats.workers; w++)
		take(c, q, w);
	if (q->n_waiting == 0 || loop_now() >= q->deadline || c->stopping) {
		query_end(c, q);
		return;
	}
	// Workers that sleep look at their rings only when told; a mute data plane is not flooded with it.
	if (q->asked || ++q->looks % 64 == 0)
		supervise_kick(&c->dataplane);
	q->asked = false;
	loop_timer(&c->loop, op, LOOK);
}

static void query_begin(struct control *c)
{
	struct query *q = c->query;

	if (!q)
		return;
	q->id = ++c->query_id;
	q->timer = (struct loop_op){.fn = on_look, .ctx = c};
	q->deadline = loop_now() + PATIENCE;
	for (uint32_t w = 0; w < c->instance.stats.workers; w++)
		query_ask(c, q, w, 0);
	supervise_kick(&c->dataplane);
	loop_timer(&c->loop, &q->timer, LOOK);
}

void command_show_conns(struct request *rq)
{
	struct query *q, **at = &rq->control->query;
	char *end = NULL;
	long limit = LIMIT, most = rq->level == LEVEL_USER ? LIMIT : LIMIT_MAX;

	if (rq->argc == 1)
		limit = strtol(rq->argv[0], &end, 10);
	if (rq->argc > 1 || limit <= 0 || limit > most || (end && *end)) {
		request_error(rq, "show conns [LIMIT], 1 to %ld; %d if none is given", most, LIMIT);
		return;
	}
	if (rq->control->dataplane.state != DATAPLANE_RUNNING) {
		request_error(rq, "the data plane does not run now: it is %s",
			      dataplane_state_name[rq->control->dataplane.state]);
		return;
	}
	q = calloc(1, sizeof(*q));
	if (!q) {
		request_error(rq, "no memory left");
		return;
	}
	q->rq = rq;
	q->limit = (uint32_t)limit;
	q->rows = json_array();
	while (*at)
		at = &(*at)->next;
	*at = q;
	if (rq->control->query == q)
		query_begin(rq->control);
}
