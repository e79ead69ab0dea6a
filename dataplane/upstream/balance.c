// Which endpoint takes the next attempt.
#include "base/hash.h"
#include "upstream/upstream.h"

#define OTHERS_AGE 1000000ull // ns

struct candidate {
	struct upstream_pool *p;
	const struct snap_upstream *u;
	const struct snap_endpoint *e; // all of them
	uint64_t avoid, now;
	uint32_t most; // connections of one endpoint, 0: no bound
	bool full;
};

static inline bool usable(struct candidate *k, uint32_t i)
{
	const struct snap_endpoint *e = &k->e[i];
	const struct upstream_endpoint *rt = &k->p->endpoint[e->slot];

	if (i < 64 && (k->avoid >> i & 1))
		return false;
	if (atomic_load_explicit(&region_endpoints(k->p->region)[e->slot].admin, memory_order_relaxed) !=
	    ADMIN_READY)
		return false;
	// A trial of one that was down holds off the others until its outcome is known.
	if (rt->epoch == e->epoch && rt->health == HEALTH_DOWN && (k->now < rt->down_until || rt->tried))
		return false;
	if (rt->epoch != e->epoch)
		return true; // removed since, and its slot is another's: nothing is known of it any more
	if (k->most && !rt->idle && rt->connections >= k->most) {
		k->full = true;
		return false;
	}
	return true;
}

static uint32_t weight_of(const struct candidate *k, uint32_t i)
{
	int32_t by_hand = atomic_load_explicit(&region_endpoints(k->p->region)[k->e[i].slot].weight,
					       memory_order_relaxed);

	return by_hand >= 0 ? (uint32_t)by_hand : k->e[i].weight;
}

static uint32_t equal_weight(const struct candidate *k, uint32_t n)
{
	uint32_t w = weight_of(k, 0);

	for (uint32_t i = 1; i < n && w; i++)
		if (weight_of(k, i) != w)
			w = 0;
	return w;
}

// Those of equal weight take turns. The turn costs the same however many there are: each proves its weight when
// it is due, and only what has changed is a reason to look at all of them. -1: none; -2: they are not equal.
static int rotate(struct candidate *k, uint32_t n)
{
	struct upstream_rotation *r = &k->p->rotation[k->u->stat_slot];
	bool known = r->upstream == k->u && r->weight;

	for (uint32_t tried = 0; tried < n; tried++) {
		uint32_t i = r->turn < n ? r->turn : 0; // it may have had more of them

		if (!known || weight_of(k, i) != r->weight) {
			r->upstream = k->u;
			r->weight = equal_weight(k, n);
			if (!r->weight)
				return -2;
			known = true;
		}
		r->turn = i + 1;
		if (usable(k, i))
			return (int)i;
	}
	return -1;
}

// Smooth weighted round robin: each gains its weight, the richest is taken and pays the total. With equal
// weights this is plain rotation.
static int round_robin(struct candidate *k, uint32_t n)
{
	int64_t total = 0;
	int best = rotate(k, n);

	if (best != -2)
		return best;
	best = -1;
	for (uint32_t i = 0; i < n; i++) {
		struct upstream_endpoint *rt = &k->p->endpoint[k->e[i].slot];
		uint32_t w = weight_of(k, i);

		if (w == 0 || !usable(k, i))
			continue;
		rt->current += (int32_t)w;
		total += w;
		if (best < 0 || rt->current > k->p->endpoint[k->e[best].slot].current)
			best = (int)i;
	}
	if (best >= 0)
		k->p->endpoint[k->e[best].slot].current -= (int32_t)total;
	return best;
}

// In flight on an endpoint, over all workers. The others' part is read again when it is older than 1 ms.
static uint32_t in_flight(struct candidate *k, uint32_t slot)
{
	struct upstream_endpoint *rt = &k->p->endpoint[slot];

	if (k->p->workers > 1 && (rt->others_at == 0 || k->now - rt->others_at > OTHERS_AGE)) {
		rt->others = 0;
		rt->others_at = k->now;
		for (uint32_t w = 0; w < k->p->workers; w++)
			if (w != k->p->worker)
				rt->others += atomic_load_explicit(&region_active(k->p->region, w)[slot],
								   memory_order_relaxed);
	}
	return rt->active + rt->others;
}

// Fewest attempts in flight for its weight; of equals, one at random start. Up to 16 endpoints are all looked
// at, of more two random ones (power of two choices), so that the cost stays bounded.
static int least_request(struct candidate *k, uint32_t n)
{
	int best = -1;
	uint64_t best_load = UINT64_MAX;
	uint32_t look = n <= 16 ? n : 2, start = random_below(k->p->random, n);

	for (uint32_t tried = 0; tried < n && look > 0; tried++) {
		uint32_t i = (start + tried) % n, w = weight_of(k, i);
		uint64_t load;

		if (w == 0 || !usable(k, i))
			continue;
		load = ((uint64_t)in_flight(k, k->e[i].slot) << 16) / w;
		if (load < best_load) {
			best_load = load;
			best = (int)i;
		}
		look--;
		if (n > 16)
			start = random_below(k->p->random, n);
	}
	return best;
}

// -ln(h / 2^64), h not 0: by the series of ln((1 + t) / (1 - t)), t at most 1/3, to six digits.
static double minus_ln(uint64_t h)
{
	int shift = __builtin_clzll(h);
	double m = (double)(h << shift) / 9223372036854775808.0, t = (m - 1) / (m + 1), s = t * t;

	return (shift + 1) * 0.6931471805599453 -
	       2 * t * (1 + s * (1 / 3.0 + s * (1 / 5.0 + s * (1 / 7.0 + s * (1 / 9.0 + s / 11)))));
}

static inline uint64_t draw(uint64_t key, uint64_t name)
{
	return hash_mix(hash_mix(key, name), 0x9e3779b97f4a7c15ull) | 1;
}

double upstream_rendezvous(uint64_t key, uint64_t name, uint32_t weight)
{
	return minus_ln(draw(key, name)) / weight;
}

// Where a key's search stands: the largest draw so far, for its weight.
struct nearest {
	uint64_t draw;
	uint32_t weight; // 0: none yet
	double cost;     // negative: not yet known
};

// Between equal weights the larger draw is the smaller cost, so that logarithms are for others only, and of
// those for few.
static bool nearer(struct nearest *best, uint64_t h, uint32_t weight)
{
	if (weight == best->weight)
		return h > best->draw;
	if (best->weight == 0)
		return true;
	if (best->cost < 0)
		best->cost = minus_ln(best->draw) / best->weight;
	// -ln(x) is at least 1 - x, which most draws are too far away by. A bit less, as ours has six digits.
	if ((1 - (double)(h >> 11) * 0x1p-53) * 0.9999 >= best->cost * weight)
		return false;
	return minus_ln(h) / weight < best->cost;
}

static uint64_t endpoint_name(const struct snap_endpoint *e)
{
	return hash_mix(e->addr.w[0] ^ e->tcp_port, e->addr.w[1]);
}

const struct snap_endpoint *upstream_pick_sticky(struct upstream_pool *p, const struct snapshot *s,
						 const struct snap_upstream *u,
						 const struct upstream_stick *stick, uint64_t avoid,
						 uint64_t now, bool *full)
{
	struct candidate k = {.p = p, .u = u, .e = snap_at(s, u->endpoints), .avoid = avoid, .now = now};
	struct nearest nearest = {.weight = 0};
	int best = -1;

	*full = false;
	if (u->max_connections)
		k.most = upstream_share(p, u->max_connections);
	for (uint32_t i = 0; i < u->endpoints.n; i++) {
		uint64_t h;
		uint32_t w;

		if (stick->token) {
			if (k.e[i].token == stick->token && usable(&k, i))
				return &k.e[i];
			continue;
		}
		w = weight_of(&k, i);
		if (w == 0 || !stick->hash)
			continue;
		// Few are nearer than all before them: of the others nothing more is looked at.
		h = draw(stick->hash, endpoint_name(&k.e[i]));
		if (!nearer(&nearest, h, w) || !usable(&k, i))
			continue;
		best = (int)i;
		nearest = (struct nearest){h, w, -1};
	}
	if (best < 0)
		return upstream_pick(p, s, u, avoid, now, full);
	*full = k.full;
	return &k.e[best];
}

const struct snap_endpoint *upstream_pick(struct upstream_pool *p, const struct snapshot *s,
					  const struct snap_upstream *u, uint64_t avoid, uint64_t now,
					  bool *full)
{
	struct candidate k = {.p = p, .u = u, .e = snap_at(s, u->endpoints), .avoid = avoid, .now = now};
	int i = -1;

	if (u->max_connections)
		k.most = upstream_share(p, u->max_connections);

	if (u->endpoints.n)
		i = u->balance == BALANCE_LEAST_REQUEST ? least_request(&k, u->endpoints.n)
							: round_robin(&k, u->endpoints.n);
	*full = k.full;
	return i < 0 ? NULL : &k.e[i];
}
