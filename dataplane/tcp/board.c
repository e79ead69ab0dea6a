// The scoreboard: what is known of each part of the send queue that was sent. c->sacked and c->lost are its
// sums.
#include "tcp/sendq.h"

static uint32_t begin_of(const struct sendq_item *it, unsigned i)
{
	return it->seq + (i ? it->part[i - 1].end : 0);
}

static bool whole(const struct pkt *p)
{
	const struct sendq_item *it = sendq_item(p);

	return it->n_parts == 1 && (it->part[0].flags & PART_SACKED) && it->part[0].end == it->len;
}

static struct pkt *skip(const struct pkt *p)
{
	struct pkt *next = sendq_item(p)->next;

	if (sendq_item(p)->skip)
		return sendq_item(p)->skip;
	return next && whole(next) ? next : NULL;
}

// The last buffer of the stretch that the peer has from p on; who asks again finds it at once.
static struct pkt *stretch_end(struct pkt *p)
{
	struct pkt *end = p, *next;

	while ((next = skip(end)))
		end = next;
	for (; p != end; p = next) {
		next = skip(p);
		sendq_item(p)->skip = end;
	}
	return end;
}

static bool seek(const struct tcp_conn *c, struct board_pos *b, bool open)
{
	b->part = NULL;
	for (; b->pkt; b->pkt = sendq_item(b->pkt)->next, b->i = 0) {
		struct sendq_item *it = sendq_item(b->pkt);

		if (open && b->i == 0 && whole(b->pkt)) {
			b->pkt = stretch_end(b->pkt);
			continue;
		}
		for (; b->i < it->n_parts; b->i++) {
			b->hi = it->seq + it->part[b->i].end;
			if (seq_le(b->hi, c->snd_una))
				continue;
			b->lo = seq_max(begin_of(it, b->i), c->snd_una);
			b->part = &it->part[b->i];
			return true;
		}
		if (it->n_parts == 0 || it->part[it->n_parts - 1].end < it->len)
			return false; // nothing behind it was sent
	}
	return false;
}

bool board_first(const struct tcp_conn *c, struct board_pos *b)
{
	*b = (struct board_pos){.pkt = c->snd_head};
	return seek(c, b, false);
}

bool board_next(const struct tcp_conn *c, struct board_pos *b)
{
	b->i++;
	return seek(c, b, false);
}

bool board_first_open(const struct tcp_conn *c, struct board_pos *b)
{
	*b = (struct board_pos){.pkt = c->snd_head};
	return seek(c, b, true);
}

bool board_next_open(const struct tcp_conn *c, struct board_pos *b)
{
	b->i++;
	return seek(c, b, true);
}

static void unmark(struct tcp_conn *c, struct sendq_part *part, uint32_t n)
{
	if (part->flags & PART_LOST)
		c->lost -= n;
	if (part->flags & PART_SACKED)
		c->sacked -= n;
	part->flags &= (uint8_t) ~(PART_LOST | PART_SACKED);
}

void board_lost(struct tcp_conn *c, const struct board_pos *b)
{
	b->part->flags |= PART_LOST;
	c->lost += b->hi - b->lo;
}

// The peer has all of the buffer: that is one part.
static void join_parts(struct sendq_item *it)
{
	struct sendq_part all = it->part[0];

	for (unsigned i = 0; i < it->n_parts; i++) {
		if (!(it->part[i].flags & PART_SACKED))
			return;
		all.flags |= it->part[i].flags;
		all.sent_at = seq_max(all.sent_at, it->part[i].sent_at);
	}
	if (it->part[it->n_parts - 1].end < it->len)
		return;
	all.end = it->len;
	it->part[0] = all;
	it->n_parts = 1;
	it->skip = NULL;
}

void board_sacked(struct tcp_conn *c, const struct board_pos *b)
{
	unmark(c, b->part, b->hi - b->lo);
	b->part->flags |= PART_SACKED;
	c->sacked += b->hi - b->lo;
	join_parts(sendq_item(b->pkt));
}

void board_lose_all(struct tcp_conn *c, bool renege)
{
	struct board_pos b;

	for (bool more = board_first(c, &b); more; more = board_next(c, &b)) {
		if (renege) {
			if (whole(b.pkt))
				sendq_item(b.pkt)->skip = NULL;
			unmark(c, b.part, b.hi - b.lo);
		}
		if (!(b.part->flags & (PART_SACKED | PART_LOST)))
			board_lost(c, &b);
	}
}

// Parts of one buffer. What goes out again may begin or end within a part: the whole part then counts as sent
// again, as those who send it again do send all of it.
static void item_sent(struct tcp_conn *c, struct sendq_item *it, uint32_t lo, uint32_t hi, uint32_t at)
{
	uint32_t known = begin_of(it, it->n_parts);

	for (unsigned i = 0; i < it->n_parts; i++) {
		struct sendq_part *part = &it->part[i];
		uint32_t from = seq_max(begin_of(it, i), c->snd_una), to = it->seq + part->end;

		if (seq_le(to, lo) || seq_ge(from, hi) || seq_ge(from, to))
			continue;
		if (part->flags & PART_LOST)
			unmark(c, part, to - from);
		if (c->flags & CONN_RECOVERY) // twice in one recovery: not to be undone
			c->doubtful = part->flags & PART_RETRANS || c->doubtful == UINT8_MAX ? UINT8_MAX
											     : c->doubtful + 1;
		part->flags |= PART_RETRANS;
		part->sent_at = at;
	}
	if (seq_le(hi, known))
		return;
	if (it->n_parts < PARTS_MAX) {
		it->part[it->n_parts++] = (struct sendq_part){.end = (uint16_t)(hi - it->seq), .sent_at = at};
		return;
	}
	struct sendq_part *last = &it->part[PARTS_MAX - 1];
	uint32_t from = seq_max(begin_of(it, PARTS_MAX - 1), c->snd_una);
	unmark(c, last, seq_lt(from, known) ? known - from : 0);
	last->end = (uint16_t)(hi - it->seq);
	last->sent_at = at;
}

void board_sent(struct tcp_conn *c, uint32_t lo, uint32_t hi, uint32_t at)
{
	for (struct pkt *p = sendq_find(c, lo); p && seq_lt(lo, hi); p = sendq_item(p)->next) {
		struct sendq_item *it = sendq_item(p);
		uint32_t end = it->seq + it->len;
		uint32_t to = seq_lt(end, hi) ? end : hi;

		item_sent(c, it, lo, to, at);
		lo = to;
	}
}
