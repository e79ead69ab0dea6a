#include "net/reassembly.h"
#include "net/ethernet.h"
#include "net/icmp.h"
#include "net/icmp6.h"
#include <errno.h>

// RFC 8200 4.5: 60 s. For IPv4, whose identification soon comes round again (RFC 4963), half of it; RFC 1122
// 3.3.2 would have it longer, RFC 791 3.2 shorter.
#define WAIT_IPV4 30000000000ull
#define WAIT_IPV6 60000000000ull

#define UNIT    8u
#define BUCKETS 256u
enum { ECN_NOT = 0, ECN_CE = 3 };

enum state {
	FREE,
	GATHERING,
	REFUSED, // nothing of it is taken any more
};

struct net_reassembly_entry {
	struct timer timer;
	struct addr src, dst;
	uint32_t id;
	uint16_t port;
	uint8_t proto, state;
	uint8_t ecn;          // 1 << what was seen
	bool tell;            // of the first fragment
	uint8_t next;         // in its hash chain, or in the free list; 0 ends (entry 0 is never used)
	uint8_t older, newer; // all that are not free, by arrival of their first
	uint8_t buffers;      // how many of buffer[] are there
	uint32_t head;        // of the first fragment, in front of buffer[0]'s payload; 0: it has not come
	uint32_t first;       // bytes of its payload
	uint32_t total, top;  // the datagram's payload (0: not known), and the end of what has come
	uint32_t come;        // bytes
	struct pkt *buffer[PKT_CHAIN_MAX]; // each with PKT_ROOM bytes of the payload
	uint64_t there[REASSEMBLY_BYTES / UNIT / 64];
};

struct net_reassembly {
	struct net_reassembly_entry entry[REASSEMBLY_MAX + 1];
	uint64_t source[REASSEMBLY_MAX + 1]; // what REASSEMBLY_SOURCE counts; of free ones anything
	uint8_t bucket[BUCKETS];
	uint8_t free, oldest, newest;
	uint32_t used; // buffers
};

_Static_assert(REASSEMBLY_MAX < 256, "indexes are bytes");
_Static_assert(PKT_ROOM % UNIT == 0, "a unit lies in one buffer");

int reassembly_init(struct net *n, struct arena *a)
{
	struct net_reassembly *r = arena_alloc(a, sizeof(*r), 64);
	uint32_t share = pkt_pool_size(n->pool) / 16;

	if (!r)
		return -ENOMEM;
	n->reassembly = r;
	n->reassembly_buffers = share < REASSEMBLY_BUFFERS ? share : REASSEMBLY_BUFFERS;
	for (unsigned i = 1; i <= REASSEMBLY_MAX; i++)
		r->entry[i].next = (uint8_t)(i < REASSEMBLY_MAX ? i + 1 : 0);
	r->free = 1;
	return 0;
}

static uint8_t index_of(const struct net_reassembly *r, const struct net_reassembly_entry *e)
{
	return (uint8_t)(e - r->entry);
}

static uint64_t source_of(struct addr src)
{
	return addr_is_v4(src) ? src.w[1] : src.w[0];
}

static uint8_t *bucket(struct net *n, uint16_t port, struct addr src, struct addr dst, uint32_t id,
		       uint8_t proto)
{
	struct {
		struct addr src, dst;
		uint32_t id;
		uint16_t port, proto;
	} key = {src, dst, id, port, proto};

	return &n->reassembly->bucket[siphash(n->key, &key, sizeof(key)) % BUCKETS];
}

static void free_buffers(struct net *n, struct net_reassembly_entry *e)
{
	for (unsigned i = 0; i < PKT_CHAIN_MAX; i++) {
		pkt_free_chain(e->buffer[i]);
		e->buffer[i] = NULL;
	}
	n->reassembly->used -= e->buffers;
	e->buffers = 0;
}

static void release(struct net *n, struct net_reassembly_entry *e)
{
	struct net_reassembly *r = n->reassembly;
	uint8_t i = index_of(r, e), *at = bucket(n, e->port, e->src, e->dst, e->id, e->proto);

	free_buffers(n, e);
	timer_cancel(n->wheel, &e->timer);
	while (*at != i)
		at = &r->entry[*at].next;
	*at = e->next;
	*(e->older ? &r->entry[e->older].newer : &r->oldest) = e->newer;
	*(e->newer ? &r->entry[e->newer].older : &r->newest) = e->older;
	e->state = FREE;
	e->next = r->free;
	r->free = i;
}

// Gives up the one that has waited longest; with a source, among those of that source.
static bool evict_oldest(struct net *n, const uint64_t *source, const struct net_reassembly_entry *but)
{
	struct net_reassembly *r = n->reassembly;

	for (uint8_t i = r->oldest; i; i = r->entry[i].newer) {
		if (&r->entry[i] == but || (source && r->source[i] != *source))
			continue;
		if (r->entry[i].state == GATHERING)
			net_count(n, CTR_ip_fragment_full);
		release(n, &r->entry[i]);
		return true;
	}
	return false;
}

static struct net_reassembly_entry *find_or_make(struct net *n, uint16_t port, const struct fragment *f)
{
	struct net_reassembly *r = n->reassembly;
	uint8_t *at = bucket(n, port, f->src, f->dst, f->id, f->proto);
	struct net_reassembly_entry *e;
	uint64_t source = source_of(f->src);
	unsigned same = 0;

	for (uint8_t i = *at; i; i = e->next) {
		e = &r->entry[i];
		if (e->id == f->id && e->proto == f->proto && e->port == port && addr_eq(e->src, f->src) &&
		    addr_eq(e->dst, f->dst))
			return e;
	}
	for (uint8_t i = r->oldest; i; i = r->entry[i].newer)
		same += r->source[i] == source;
	if (same >= REASSEMBLY_SOURCE)
		(void)evict_oldest(n, &source, NULL);
	else if (!r->free)
		(void)evict_oldest(n, NULL, NULL);
	e = &r->entry[r->free];
	r->free = e->next;
	*e = (struct net_reassembly_entry){.src = f->src,
					   .dst = f->dst,
					   .id = f->id,
					   .port = port,
					   .proto = f->proto,
					   .state = GATHERING,
					   .older = r->newest,
					   .next = *at};
	*at = index_of(r, e);
	*(r->newest ? &r->entry[r->newest].newer : &r->oldest) = *at;
	r->newest = *at;
	r->source[*at] = source;
	timer_arm(n->wheel, &e->timer, n->now + (addr_is_v4(f->src) ? WAIT_IPV4 : WAIT_IPV6));
	return e;
}

static bool is_there(const struct net_reassembly_entry *e, uint32_t unit)
{
	return e->there[unit / 64] >> unit % 64 & 1;
}

// Copies the payload to its place, or compares it with what is there; false: it differs.
static bool place(struct net_reassembly_entry *e, const struct pkt *p, const struct fragment *f, bool compare)
{
	uint32_t skip = f->head, at = f->offset, end = f->offset + f->len;

	for (; p && at < end; p = pkt_next(p)) {
		const char *from = pkt_data(p) + skip;
		uint32_t left = pkt_len(p) > skip ? pkt_len(p) - skip : 0;

		skip -= skip < pkt_len(p) ? skip : pkt_len(p);
		while (left > 0 && at < end) {
			char *to = pkt_at(e->buffer[at / PKT_ROOM], PKT_HEADROOM + at % PKT_ROOM);
			uint32_t k = PKT_ROOM - at % PKT_ROOM;

			k = k < left ? k : left;
			k = k < end - at ? k : end - at;
			if (!compare)
				memcpy(to, from, k);
			else if (memcmp(to, from, k) != 0)
				return false;
			from += k;
			at += k;
			left -= k;
		}
	}
	return true;
}

// Buffers for what lies between two offsets. CTR_COUNT, or why there is none.
static enum counter make_room(struct net *n, struct net_reassembly_entry *e, uint32_t from, uint32_t to)
{
	struct net_reassembly *r = n->reassembly;

	for (uint32_t i = from / PKT_ROOM; i <= (to - 1) / PKT_ROOM; i++) {
		if (e->buffer[i])
			continue;
		while (r->used >= n->reassembly_buffers)
			if (!evict_oldest(n, NULL, e))
				return CTR_ip_fragment_full;
		e->buffer[i] = pkt_alloc(n->pool);
		if (!e->buffer[i])
			return CTR_rx_no_buffer;
		pkt_append(e->buffer[i], PKT_ROOM);
		e->buffers++;
		r->used++;
	}
	return CTR_COUNT;
}

static void refuse(struct net *n, struct net_reassembly_entry *e)
{
	free_buffers(n, e);
	e->state = REFUSED;
}

// What is wrong with a fragment among those that have come, or CTR_COUNT. Ends the datagram where it must.
static enum counter check(struct net *n, struct net_reassembly_entry *e, const struct pkt *p,
			  const struct fragment *f)
{
	uint32_t end = f->offset + f->len, units = (end + UNIT - 1) / UNIT, known = 0;

	if (e->state == REFUSED)
		return CTR_ip_fragment_refused;
	if (end > REASSEMBLY_BYTES) {
		refuse(n, e);
		return CTR_ip_fragment_too_long;
	}
	for (uint32_t i = f->offset / UNIT; i < units; i++)
		known += is_there(e, i);
	if (known == units - f->offset / UNIT && end <= e->top && (f->more || end == e->total) &&
	    place(e, p, f, true))
		return CTR_ip_fragment_duplicate;
	if (known > 0 || (e->total && end > e->total) || (!f->more && (e->total || e->top > end))) {
		refuse(n, e);
		return CTR_ip_fragment_overlap;
	}
	return CTR_COUNT;
}

// The buffers as one chain that begins with the headers.
static struct pkt *chain(struct net *n, struct net_reassembly_entry *e)
{
	struct pkt *whole = e->buffer[0];
	uint32_t last = (e->total - 1) / PKT_ROOM;

	pkt_trim(e->buffer[last], PKT_ROOM - ((e->total - 1) % PKT_ROOM + 1));
	for (uint32_t i = 1; i <= last; i++)
		pkt_chain(whole, e->buffer[i]);
	memset(e->buffer, 0, sizeof(e->buffer));
	release(n, e);
	return whole;
}

struct pkt *reassembly_input(struct net *n, uint16_t port, struct pkt *p, const struct fragment *f,
			     uint32_t *first_head, uint8_t *ecn)
{
	struct net_reassembly_entry *e;
	enum counter why = CTR_COUNT;

	net_count(n, CTR_ip_fragment_rx);
	// Nothing is longer than its length can say (RFC 791 3.1; the "ping of death"), nothing but the last
	// piece ends between units, and none is empty.
	if (f->len == 0 || (f->more && f->len % UNIT != 0) || f->offset + f->len + f->head > UINT16_MAX) {
		net_drop(n, p, CTR_ip_fragment_bad);
		return NULL;
	}
	e = find_or_make(n, port, f);
	why = check(n, e, p, f);
	if (why == CTR_COUNT) {
		why = make_room(n, e, f->offset, f->offset + f->len);
		if (why != CTR_COUNT)
			refuse(n, e);
	}
	if (why != CTR_COUNT) {
		net_drop(n, p, why);
		return NULL;
	}
	place(e, p, f, false);
	for (uint32_t i = f->offset / UNIT; i < (f->offset + f->len + UNIT - 1) / UNIT; i++)
		e->there[i / 64] |= 1ull << i % 64;
	e->come += f->len;
	e->ecn |= (uint8_t)(1u << f->ecn);
	if (e->top < f->offset + f->len)
		e->top = f->offset + f->len;
	if (!f->more)
		e->total = f->offset + f->len;
	if (f->offset == 0) {
		memcpy(pkt_prepend(e->buffer[0], f->head), pkt_data(p), f->head);
		e->head = f->head;
		e->first = f->len;
		e->tell = f->tell;
	}
	pkt_set_port(e->buffer[f->offset / PKT_ROOM], port);
	pkt_free_chain(p);
	if (e->come != e->total)
		return NULL;
	if ((e->ecn & 1u << ECN_CE) && (e->ecn & 1u << ECN_NOT)) {
		refuse(n, e);
		net_count(n, CTR_ip_fragment_bad);
		return NULL;
	}
	*first_head = e->head;
	*ecn = e->ecn & 1u << ECN_CE ? ECN_CE : (uint8_t)(e->ecn ? __builtin_ctz(e->ecn) : 0);
	net_count(n, CTR_ip_reassembled);
	return chain(n, e);
}

bool reassembly_owns_timer(const struct net *n, const struct timer *t)
{
	return (const char *)t >= (const char *)n->reassembly &&
	       (const char *)t < (const char *)(n->reassembly + 1);
}

// RFC 792, RFC 4443 3.3: the sender hears of it only where the first fragment has come.
void reassembly_timer(struct net *n, struct timer *t)
{
	struct net_reassembly_entry *e =
		(struct net_reassembly_entry *)((char *)t - offsetof(struct net_reassembly_entry, timer));

	if (e->state == GATHERING) {
		net_count(n, CTR_ip_fragment_timeout);
		if (e->head && e->tell) {
			struct pkt *p = e->buffer[0];
			uint32_t payload = e->first < PKT_ROOM ? e->first : PKT_ROOM;

			pkt_trim(p, PKT_ROOM - payload);
			if (addr_is_v4(e->src))
				icmp_error(n, e->port, p, ICMP_TIME_EXCEEDED, ICMP_REASSEMBLY);
			else
				icmp6_error(n, e->port, p, ICMP6_TIME_EXCEEDED, ICMP_REASSEMBLY, 0);
		}
	}
	release(n, e);
}

void reassembly_fini(struct net *n)
{
	while (n->reassembly && n->reassembly->oldest)
		release(n, &n->reassembly->entry[n->reassembly->oldest]);
}
