// snapshot_verify(): what a data plane may believe of a snapshot made by somebody else.
#include "base/random.h"
#include "contract/region.h"
#include "contract/stages.h"
#include "image.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
// cmocka needs the headers above first
#include <cmocka.h>

static char why[256];

// On the heap at its exact size, so that a sanitizer sees a read behind the end.
static bool passes(const struct image *m)
{
	void *copy = aligned_alloc(64, (m->used + 63) & ~63u);
	bool ok;

	memcpy(copy, m->bytes, m->used);
	ok = snapshot_verify(copy, m->used, why, sizeof why);
	free(copy);
	return ok;
}

static void a_sound_snapshot_passes(void **state)
{
	struct image m;

	(void)state;
	image_build(&m);
	if (!passes(&m))
		fail_msg("%s", why);
}

static void a_snapshot_without_routes_and_upstreams_passes(void **state)
{
	struct image m;
	struct snapshot *s = image_header(&m);

	(void)state;
	image_build(&m);
	s->routes.n = s->upstreams.n = s->nodes.n = s->hosts.n = s->ends.n = s->prompts.n = 0;
	s->host_any = s->host_suffixes = 0;
	image_sum(&m);
	assert_false(passes(&m)); // a table has at least its one empty slot
	s->hosts = image_records(&m, 1, sizeof(struct snap_host));
	s->size = m.used;
	image_sum(&m);
	if (!passes(&m))
		fail_msg("%s", why);
}

static void every_changed_byte_behind_the_header_is_refused(void **state)
{
	struct image m;

	(void)state;
	image_build(&m);
	for (uint32_t i = sizeof(struct snapshot); i < m.used; i++) {
		m.bytes[i] ^= 0x10;
		assert_false(snapshot_verify(m.bytes, m.used, why, sizeof why));
		m.bytes[i] ^= 0x10;
	}
}

static void a_wrong_size_is_refused(void **state)
{
	struct image m;

	(void)state;
	image_build(&m);
	for (uint32_t n = 0; n < m.used; n++)
		assert_false(snapshot_verify(m.bytes, n, why, sizeof why));
	assert_false(snapshot_verify(m.bytes, m.used + 8, why, sizeof why));
}

// The records that snapshot_faults.def damages.
#define S  image_header(m)
#define P  image_port(m, 0)
#define PA ((struct snap_address *)image_at(m, P->addresses))
#define PR ((struct snap_netroute *)image_at(m, P->routes))
#define L  image_listener(m, 1)
#define M  ((struct snap_limit *)image_at(m, S->limits))
#define MP ((struct snap_limit_part *)image_at(m, M->parts))
#define LU ((struct snap_limit_use *)image_at(m, L->limits))
#define LP ((struct snap_page *)image_at(m, L->pages))
#define TP ((struct snap_address *)image_at(m, L->trusted))
#define R  image_route(m, 0)
#define R1 image_route(m, 1)
#define R2 image_route(m, 2)
#define AN ((struct snap_answer *)image_at(m, S->answers))
#define PT ((struct snap_prompt *)image_at(m, S->prompts))
#define O  ((uint32_t *)image_at(m, S->order))
#define C  ((struct snap_condition *)image_at(m, R1->conditions))
#define T  ((struct snap_target *)image_at(m, R->targets))
#define U  image_upstream(m, 0)
#define E  image_endpoint(m, 0, 1)
#define H  image_host(m, "api.example.com")
#define D  image_edge(m, "orders")
#define V  image_node(m, 1) // that D leads to, with a "{name}"
#define N  image_ends(m, 0)

static void damage_field(struct image *m, unsigned which)
{
	enum { FAULTS_BEGIN = __COUNTER__ + 1 };

	switch (which) {
#define FAULT(damage)                                                                                          \
	case __COUNTER__ - FAULTS_BEGIN:                                                                       \
		damage;                                                                                        \
		break;
#include "snapshot_faults.def"
#undef FAULT
	}
}

static const char *const fault[] = {
#define FAULT(damage) #damage,
#include "snapshot_faults.def"
#undef FAULT
};

static void every_field_out_of_range_is_refused(void **state)
{
	struct image m;

	(void)state;
	for (unsigned i = 0; i < sizeof fault / sizeof fault[0]; i++) {
		image_build(&m);
		damage_field(&m, i);
		image_sum(&m);
		why[0] = 0;
		if (passes(&m))
			fail_msg("accepted: %s", fault[i]);
		assert_true(why[0]);
	}
}

// Every reference of the snapshot.
static unsigned references(struct image *m, struct snap_ref **ref)
{
	struct snapshot *s = image_header(m);
	struct snap_ref *all[] = {
		&s->source,        &s->ports,     &s->listeners,  &s->routes,
		&s->upstreams,     &s->hosts,     &s->nodes,      &s->ends,
		&P->name,          &P->device,    &P->addresses,  &P->routes,
		&L->name,          &R->name,      &R->targets,    &R1->body,
		&R1->content_type, &R2->location, &R->host_text,  &R->path_text,
		&U->name,          &U->endpoints, &E->name,       &C[4].value,
		&C[2].name,        &C[0].value,   &N->exact.list, &image_ends(m, 2)->prefix.list,
		&R->stage_conf[0], &S->order,     &S->prompts,    &S->answers,
		&AN->text};

	memcpy(ref, all, sizeof all);
	return sizeof all / sizeof all[0];
}
#undef S
#undef P
#undef L
#undef R
#undef R1
#undef R2
#undef T
#undef U
#undef E
#undef H
#undef D
#undef V
#undef N

static void every_reference_that_leaves_the_snapshot_is_refused(void **state)
{
	struct image built, broken;
	struct snap_ref *ref[64];
	unsigned n;

	(void)state;
	image_build(&built);
	n = references(&built, ref);
	for (unsigned i = 0; i < n; i++) {
		size_t at = (size_t)((unsigned char *)ref[i] - built.bytes);
		struct snap_ref wrong[] = {{0, ref[i]->n},
					   {built.used & ~7u, ref[i]->n},
					   {UINT32_MAX & ~7u, ref[i]->n},
					   {ref[i]->off, built.used},
					   {ref[i]->off, UINT32_MAX}};

		for (unsigned k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
			broken = built;
			memcpy(broken.bytes + at, &wrong[k], sizeof wrong[k]);
			image_sum(&broken);
			if (passes(&broken))
				fail_msg("reference %u became %u+%u and was accepted", i, wrong[k].off,
					 wrong[k].n);
		}
	}
}

static void records_that_lie_on_each_other_are_refused_when_they_cost_more_than_the_snapshot(void **state)
{
	struct image m;

	(void)state;
	image_build(&m);
	// All claim the whole second half as their list of routes.
	for (unsigned i = 0; i < 3; i++)
		image_ends(&m, i)->exact.list = (struct snap_ref){m.used / 2 & ~7u, m.used / 2 / 8};
	image_sum(&m);
	assert_false(passes(&m));
}

static uint64_t sum(const struct snapshot *s, struct snap_ref r, size_t size)
{
	const unsigned char *p = snap_at(s, r);
	uint64_t n = 0;

	for (size_t i = 0; i < r.n * size; i++)
		n += p[i];
	return n;
}

static uint64_t read_conditions(const struct snapshot *s, const struct snap_route *r)
{
	const struct snap_condition *c = snap_at(s, r->conditions);
	uint64_t t = 0;

	for (uint32_t i = 0; i < r->conditions.n; i++) {
		static const size_t size[CONDITION_KINDS] = {4, sizeof(struct snap_address), 1, 1, 1, 8, 8, 8};
		const struct snap_ref *v = snap_at(s, c[i].value);

		t += sum(s, c[i].name, 1) + sum(s, c[i].value, size[c[i].kind]);
		for (uint32_t k = 0; c[i].kind >= CONDITION_NEGOTIATED && k < c[i].value.n; k++)
			t += sum(s, v[k], 1);
	}
	return t;
}

static uint64_t read_takes(const struct snapshot *s, const union snap_takes *list)
{
	const struct snap_take *v;
	uint64_t t = 0;
	uint32_t n;

	v = snap_takes(s, list, &n);
	for (uint32_t i = 0; i < n; i++)
		t += v[i].rank + v[i].methods;
	return t;
}

// And all below it.
static uint64_t read_node(const struct snapshot *s, uint32_t at)
{
	const struct snap_node *v = (const struct snap_node *)snap_at(s, s->nodes) + at;
	const struct snap_edge *e = snap_edges(v);
	uint64_t t = 0;

	if (v->ends) {
		const struct snap_ends *ends = (const struct snap_ends *)snap_at(s, s->ends) + v->ends - 1;

		t += read_takes(s, &ends->exact) + read_takes(s, &ends->prefix) + read_takes(s, &ends->rest);
	}
	if (v->param)
		t += read_node(s, v->param - 1);
	for (uint32_t i = 0; i < v->slots; i++)
		if (e[i].hash)
			t += read_node(s, e[i].node) +
			     sum(s,
				 (struct snap_ref){(uint32_t)(snap_edge_text(s, &e[i]).p - (const char *)s),
						   e[i].n},
				 1);
	return t;
}

static uint64_t read_prompts(const struct snapshot *s)
{
	const struct snap_answer *a = snap_at(s, s->answers);
	uint64_t t = 0;

	for (uint32_t i = 0; i < s->routes.n; i++) {
		struct snap_prompt p = snap_prompt(s, i);

		t += p.stat_slot + (p.answer ? sum(s, a[p.answer - 1].text, 1) : 0);
	}
	return t;
}

// Reads all that is referred to, as those do who trust it.
static uint64_t read_all(const struct snapshot *s)
{
	const struct snap_port *p = snap_at(s, s->ports);
	const struct snap_listener *l = snap_at(s, s->listeners);
	const struct snap_route *r = snap_at(s, s->routes);
	const struct snap_upstream *u = snap_at(s, s->upstreams);
	const struct snap_host *h = snap_at(s, s->hosts);
	uint64_t t = sum(s, s->source, 1);

	for (uint32_t i = 0; i < s->ports.n; i++)
		t += sum(s, p[i].name, 1) + sum(s, p[i].device, 1) +
		     sum(s, p[i].addresses, sizeof(struct snap_address)) +
		     sum(s, p[i].routes, sizeof(struct snap_netroute));
	for (uint32_t i = 0; i < s->listeners.n; i++)
		t += sum(s, l[i].name, 1) + p[l[i].port].mtu;
	for (uint32_t i = 0; i < s->upstreams.n; i++)
		t += sum(s, u[i].name, 1) + p[u[i].port].mtu +
		     sum(s, u[i].endpoints, sizeof(struct snap_endpoint));
	for (uint32_t i = 0; i < s->routes.n; i++) {
		const struct snap_target *k = snap_at(s, r[i].targets);

		t += sum(s, r[i].name, 1) + sum(s, r[i].host_text, 1) + sum(s, r[i].path_text, 1);
		if (r[i].action == ACTION_TO)
			for (uint32_t j = 0; j < r[i].targets.n; j++)
				t += u[k[j].upstream].stat_slot;
		if (r[i].action == ACTION_RESPOND)
			t += sum(s, r[i].content_type, 1) + sum(s, r[i].body, 1);
		if (r[i].action == ACTION_REDIRECT)
			t += sum(s, r[i].location, 1);
		for (unsigned j = 0; j < 8; j++)
			t += sum(s, r[i].stage_conf[j], 1);
		t += read_conditions(s, &r[i]);
	}
	t += read_prompts(s);
	for (uint32_t i = 0; i < s->hosts.n; i++)
		for (uint32_t k = 0; h[i].used && k < h[i].count; k++)
			t += r[snap_host_route(s, &h[i], k)].stages;
	for (uint32_t i = 0; i < s->hosts.n; i++)
		if (h[i].used)
			t += sum(s,
				 (struct snap_ref){(uint32_t)(snap_host_text(s, &h[i]).p - (const char *)s),
						   h[i].n},
				 1) +
			     read_node(s, h[i].root);
	return t;
}

static void random_damage_never_crashes_the_check_nor_the_readers_of_what_passed(void **state)
{
	static struct image built;
	struct random rnd;
	uint64_t read = 0;
	unsigned passed = 0;
	unsigned char *copy;

	(void)state;
	image_build(&built);
	random_seed(&rnd, 1);
	copy = aligned_alloc(8, built.used);
	for (unsigned i = 0; i < 100000; i++) {
		struct snapshot *s = (struct snapshot *)copy;

		memcpy(copy, built.bytes, built.used);
		for (uint32_t k = 1 + random_below(&rnd, 3); k > 0; k--) {
			uint32_t at = random_below(&rnd, built.used);

			// Small steps and single bits hit more than random bytes do.
			switch (random_below(&rnd, 3)) {
			case 0:
				copy[at] = (unsigned char)random_next(&rnd);
				break;
			case 1:
				copy[at] ^= (unsigned char)(1u << random_below(&rnd, 8));
				break;
			default:
				copy[at] = (unsigned char)(copy[at] + (random_below(&rnd, 2) ? 1 : 255));
			}
		}
		s->checksum = hash64(s + 1, built.used - sizeof *s);
		if (snapshot_verify(s, built.used, why, sizeof why)) {
			read += read_all(s);
			passed++;
		}
	}
	free(copy);
	// Bytes of texts and unbounded figures may well change; most must not.
	assert_true(read > 0);
	assert_in_range(passed, 1, 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_snapshot_passes),
		cmocka_unit_test(a_snapshot_without_routes_and_upstreams_passes),
		cmocka_unit_test(every_changed_byte_behind_the_header_is_refused),
		cmocka_unit_test(a_wrong_size_is_refused),
		cmocka_unit_test(every_field_out_of_range_is_refused),
		cmocka_unit_test(every_reference_that_leaves_the_snapshot_is_refused),
		cmocka_unit_test(
			records_that_lie_on_each_other_are_refused_when_they_cost_more_than_the_snapshot),
		cmocka_unit_test(random_damage_never_crashes_the_check_nor_the_readers_of_what_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
