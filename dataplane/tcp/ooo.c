// What came out of order, as runs without holes, each a list of single buffers whose data is payload. A window
// may hold thousands of buffers, and a hostile peer as many runs as buffers. So runs stand in a splay tree
// (Sleator and Tarjan, 1985): whatever the order in which segments come, each costs on average a number of
// steps that grows with the logarithm of the number of runs, and next to nothing where the one before was.
//
// What is kept is limited by the buffer memory that it takes, as that of all that is received (recvq.c).
#include "tcp/recvq.h"

#define SMALL_MAX 8      // small buffers kept, with holes between them
#define OOO_FLOOR 16384u // buffer bytes that anybody may have, as far as his window goes

static struct recvq_item *item(const struct pkt *p)
{
	return recvq_item(p);
}

// The tree's root stands in the newest run.
static struct pkt *root_of(const struct tcp_conn *c)
{
	return c->ooo ? item(c->ooo)->root : NULL;
}

// The run that begins at seq, or else one of its neighbours, becomes the root.
static struct pkt *splay(struct pkt *t, uint32_t seq)
{
	struct pkt *before = NULL, *behind = NULL, **b = &before, **a = &behind, *k;

	while (t && item(t)->seq != seq) {
		if (seq_lt(seq, item(t)->seq)) {
			if ((k = item(t)->left) && seq_lt(seq, item(k)->seq)) {
				item(t)->left = item(k)->right;
				item(k)->right = t;
				t = k;
			}
			if (!item(t)->left)
				break;
			*a = t;
			a = &item(t)->left;
			t = item(t)->left;
		} else {
			if ((k = item(t)->right) && seq_gt(seq, item(k)->seq)) {
				item(t)->right = item(k)->left;
				item(k)->left = t;
				t = k;
			}
			if (!item(t)->right)
				break;
			*b = t;
			b = &item(t)->right;
			t = item(t)->right;
		}
	}
	if (!t)
		return NULL;
	*b = item(t)->left;
	*a = item(t)->right;
	item(t)->left = before;
	item(t)->right = behind;
	return t;
}

// Puts the last run that begins at or before seq at the root and returns it. NULL: there is none; the first run
// is then the root.
static struct pkt *find_before(struct tcp_conn *c, uint32_t seq)
{
	struct pkt *root = splay(root_of(c), seq), *before = NULL;

	if (!root)
		return NULL;
	if (seq_le(item(root)->seq, seq)) {
		before = root;
	} else if (item(root)->left) {
		before = splay(item(root)->left, seq);
		item(root)->left = NULL;
		item(before)->right = root;
		root = before;
	}
	item(c->ooo)->root = root;
	return before;
}

// The run behind the one that find_before() returned.
static struct pkt *find_behind(struct tcp_conn *c, struct pkt *before)
{
	if (!before)
		return root_of(c);
	item(before)->right = splay(item(before)->right, item(before)->seq);
	return item(before)->right;
}

// Takes the run out of the order of age.
static void age_remove(struct tcp_conn *c, struct pkt *run)
{
	struct pkt *newer = item(run)->newer, *older = item(run)->older;

	if (older)
		item(older)->newer = newer;
	if (newer) {
		item(newer)->older = older;
	} else {
		c->ooo = older;
		if (older)
			item(older)->root = item(run)->root;
	}
}

static void age_insert(struct tcp_conn *c, struct pkt *run)
{
	item(run)->root = root_of(c);
	item(run)->newer = NULL;
	item(run)->older = c->ooo;
	if (c->ooo)
		item(c->ooo)->newer = run;
	c->ooo = run;
}

static void run_grew(struct tcp_conn *c, struct pkt *run)
{
	if (run == c->ooo)
		return;
	age_remove(c, run);
	age_insert(c, run);
}

// Takes out what find_behind() returned.
static void remove_behind(struct tcp_conn *c, struct pkt *before, struct pkt *behind)
{
	struct pkt *rest = item(behind)->right;

	if (before)
		item(before)->right = rest;
	else
		item(c->ooo)->root = splay(rest, item(behind)->seq);
	age_remove(c, behind);
}

static void buffer_kept(struct tcp_conn *c, const struct pkt *p)
{
	c->ooo_count++;
	c->ooo_small = (uint8_t)(c->ooo_small + (pkt_len(p) <= COLLAPSE_MAX));
	recvq_hold(c, p);
}

static void buffer_gone(struct tcp_conn *c, const struct pkt *p)
{
	c->ooo_count--;
	c->ooo_small = (uint8_t)(c->ooo_small - (pkt_len(p) <= COLLAPSE_MAX));
	recvq_let_go(c, p);
}

// The buffers of a run that was taken out.
static void run_free(struct tcp_conn *c, struct pkt *p)
{
	while (p) {
		struct pkt *next = item(p)->next;
		buffer_gone(c, p);
		pkt_free(p);
		p = next;
	}
}

void ooo_drop(struct tcp_conn *c)
{
	struct pkt *run = splay(root_of(c), c->rcv_nxt + INT32_MAX), *last = item(run)->last;

	item(c->ooo)->root = run;
	if (last == run) {
		item(c->ooo)->root = item(run)->left;
		age_remove(c, run);
	} else {
		item(run)->last = item(last)->prev;
		item(item(run)->last)->next = NULL;
		item(run)->end -= pkt_len(last);
	}
	buffer_gone(c, last);
	pkt_free(last);
}

static bool full(const struct tcp_conn *c)
{
	uint32_t max = c->tcp->conf.ooo_max, share = tcp_share(c->tcp);
	uint32_t limit = 3 * c->rcv_buf < share ? 3 * c->rcv_buf : share;

	return c->ooo_count >= (max && max < UINT16_MAX ? max : UINT16_MAX) ||
	       c->rcv_held >= (limit > OOO_FLOOR ? limit : OOO_FLOOR);
}

// May one more buffer with n bytes at seq be kept? What is nearer to rcv_nxt is worth more. The root may be
// another one afterwards.
static bool admit(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint32_t n)
{
	if (tcp_tight(t)) {
		tcp_count(t, CTR_tcp_ooo_no_buffer);
		return false;
	}
	// A peer that sends every other byte would have a buffer held for each.
	if (n <= COLLAPSE_MAX && c->ooo_count >= SMALL_MAX && c->ooo_small >= SMALL_MAX) {
		tcp_count(t, CTR_tcp_ooo_crumbs);
		return false;
	}
	if (!full(c))
		return true;
	tcp_count(t, CTR_tcp_ooo_full);
	if (!c->ooo)
		return false;
	struct pkt *far = splay(root_of(c), c->rcv_nxt + INT32_MAX);
	item(c->ooo)->root = far;
	if (seq_le(item(far)->seq, seq))
		return false;
	ooo_drop(c);
	return true;
}

// Behind what stands in the run's last buffer, which has room.
static void run_copy(struct tcp_conn *c, struct pkt *run, struct pkt *p)
{
	struct pkt *last = item(run)->last;
	uint32_t n = pkt_len(p);
	bool small = pkt_len(last) <= COLLAPSE_MAX;

	memcpy(pkt_append(last, n), pkt_data(p), n);
	item(run)->end += n;
	c->ooo_small = (uint8_t)(c->ooo_small - (small && pkt_len(last) > COLLAPSE_MAX));
	pkt_free(p);
}

static void run_append(struct tcp_conn *c, struct pkt *run, struct pkt *p)
{
	item(p)->next = NULL;
	item(p)->prev = item(run)->last;
	item(item(run)->last)->next = p;
	item(run)->last = p;
	item(run)->end += pkt_len(p);
	buffer_kept(c, p);
}

static struct pkt *run_begin(struct tcp_conn *c, struct pkt *before, struct pkt *p, uint32_t seq)
{
	struct pkt *behind = before ? item(before)->right : root_of(c);

	*item(p) = (struct recvq_item){
		.last = p, .seq = seq, .end = seq + pkt_len(p), .left = before, .right = behind};
	if (before)
		item(before)->right = NULL;
	age_insert(c, p);
	item(p)->root = p;
	buffer_kept(c, p);
	return p;
}

void ooo_add(struct tcp *t, struct tcp_conn *c, struct pkt *p, uint32_t seq)
{
	struct pkt *before = find_before(c, seq), *behind = find_behind(c, before);
	uint32_t end = seq + pkt_len(p), edge = end;

	if (before && seq_ge(item(before)->end, end)) {
		recvq_duplicate(c, seq, end);
		tcp_count(t, CTR_tcp_duplicate);
		run_grew(c, before); // it is told of first (RFC 2018 4)
		pkt_free(p);
		return;
	}
	if (before && seq_gt(item(before)->end, seq)) {
		recvq_duplicate(c, seq, item(before)->end);
		pkt_adj(p, item(before)->end - seq);
		seq = item(before)->end;
	}
	if (behind && seq_lt(item(behind)->seq, end) && seq_gt(item(behind)->end, end))
		edge = item(behind)->seq;
	bool copy = before && item(before)->end == seq && recvq_fits(c, item(before)->last, edge - seq);
	if (!copy) {
		if (!admit(t, c, seq, edge - seq)) {
			pkt_free(p);
			return;
		}
		before = find_before(c, seq);
	}
	while ((behind = find_behind(c, before)) && seq_lt(item(behind)->seq, end)) {
		if (seq_gt(item(behind)->end, end)) {
			recvq_duplicate(c, item(behind)->seq, end);
			pkt_trim(p, end - item(behind)->seq);
			end = item(behind)->seq;
			break;
		}
		recvq_duplicate(c, item(behind)->seq, item(behind)->end);
		remove_behind(c, before, behind);
		run_free(c, behind);
	}
	tcp_count(t, CTR_tcp_ooo);
	if (copy) {
		run_copy(c, before, p);
	} else if (before && item(before)->end == seq) {
		run_append(c, before, p);
	} else {
		before = run_begin(c, before, p, seq);
	}
	run_grew(c, before);
	behind = find_behind(c, before);
	if (behind && item(behind)->seq == end) {
		remove_behind(c, before, behind);
		item(behind)->prev = item(before)->last;
		item(item(before)->last)->next = behind;
		item(before)->last = item(behind)->last;
		item(before)->end = item(behind)->end;
	}
}

struct pkt *ooo_take(struct tcp_conn *c, uint32_t from)
{
	struct pkt *first = splay(root_of(c), from);

	if (!first)
		return NULL;
	item(c->ooo)->root = first;
	if (seq_gt(item(first)->seq, c->rcv_nxt))
		return NULL;
	remove_behind(c, NULL, first);
	for (const struct pkt *p = first; p; p = item(p)->next)
		buffer_gone(c, p);
	return first;
}

void ooo_clear(struct tcp_conn *c)
{
	while (c->ooo) {
		struct pkt *run = c->ooo;
		age_remove(c, run);
		run_free(c, run);
	}
}

unsigned recvq_sack(struct tcp_conn *c, struct sack_block *v, unsigned max)
{
	unsigned n = 0;

	if (c->dsack.lo != c->dsack.hi)
		v[n++] = c->dsack;
	for (const struct pkt *run = c->ooo; run && n < max; run = item(run)->older)
		v[n++] = (struct sack_block){item(run)->seq, item(run)->end};
	return n;
}

// The runs of the tree from left to right, without holes in them and with holes between them.
static const char *tree_check(const struct tcp_conn *c, const struct pkt *run, uint32_t *at, unsigned *runs)
{
	const char *why;

	if (!run)
		return NULL;
	why = tree_check(c, item(run)->left, at, runs);
	if (why)
		return why;
	if (seq_le(item(run)->seq, *at) || seq_le(item(run)->end, item(run)->seq))
		return "runs out of order";
	*at = item(run)->end;
	*runs += 1;
	return tree_check(c, item(run)->right, at, runs);
}

const char *ooo_check(const struct tcp_conn *c, uint32_t *held)
{
	unsigned tree = 0, list = 0, count = 0, small = 0;
	const struct pkt *newer = NULL;
	uint32_t at = c->rcv_nxt;
	const char *why = tree_check(c, root_of(c), &at, &tree);

	for (const struct pkt *run = c->ooo; run; newer = run, run = item(run)->older, list++) {
		uint32_t end = item(run)->seq;
		const struct pkt *last = NULL;

		for (const struct pkt *p = run; p; last = p, p = item(p)->next) {
			if (last && item(p)->prev != last)
				return "a run does not know its buffers";
			end += pkt_len(p);
			count++;
			small += pkt_len(p) <= COLLAPSE_MAX;
			*held += pkt_truesize(p);
		}
		if (item(run)->newer != newer || item(run)->last != last || item(run)->end != end)
			return "a run does not know its buffers";
	}
	if (why)
		return why;
	if (tree != list)
		return "runs out of order that are not in their tree";
	if (count != c->ooo_count || small != c->ooo_small)
		return "buffers out of order miscounted";
	return c->tcp->conf.ooo_max && count > c->tcp->conf.ooo_max ? "too many buffers out of order" : NULL;
}
