// The walk over tables laid down by hand, as contract/snapshot.h describes them; how control builds them is
// tested where control is. Here: what the tables' format promises to its reader.
#include "base/hash.h"
#include "route/route.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

// Two hosts: any and ".t". Under any: "/" (prefix, route 2, GET), "/a" (route 1). Under ".t": "/{x}" (route 0).
static _Alignas(8) struct {
	struct snapshot s;
	struct snap_route routes[3];
	struct snap_host hosts[4];
	struct snap_node nodes[5]; // and edges
	struct snap_ends ends[3];
	struct snap_take lists[4]; // one route each
	uint32_t order[2];
} t;

#define REF(member, count) ((struct snap_ref){(uint32_t)((char *)(member) - (char *)&t), count})

static int lay_down(void **state)
{
	uint64_t any = routekey_host(SLICE("")), suffix = routekey_host(SLICE(".t"));
	struct routekey key = routekey_segment(SLICE("a"));
	uint32_t slot;

	(void)state;
	memset(&t, 0, sizeof(t));
	t.lists[2].rank = 1; // beside route 1, of one host
	t.routes[2].methods = t.lists[2].methods = 1u << METHOD_GET;
	t.hosts[any & 3] =
		(struct snap_host){.hash = any, .root = 2, .first = 1, .count = 2, .used = HOST_IN_A_ROW};
	for (slot = suffix & 3; t.hosts[slot].used;)
		slot = (slot + 1) & 3;
	t.hosts[slot] = (struct snap_host){
		.hash = suffix, .root = 1, .count = 1, .used = HOST_IN_ORDER, .n = 2, .text = ".t"};
	t.nodes[0].ends = 1; // of "/{x}" and of "/a": their ranks count from another's each
	t.ends[0].exact.list = REF(&t.lists[0], 1);
	t.nodes[1].param = 1 + 0;
	t.nodes[2] = (struct snap_node){.tag = {routekey_tag(routekey_edge(key.hash))}, .slots = 1, .ends = 2};
	t.ends[1].prefix.list = REF(&t.lists[2], 1);
	((struct snap_edge *)t.nodes)[3] = (struct snap_edge){
		.w = {key.w[0], key.w[1]}, .n = 1, .hash = routekey_edge(key.hash), .node = 0};
	t.s.routes = REF(t.routes, 3);
	t.s.hosts = REF(t.hosts, 4);
	t.s.nodes = REF(t.nodes, 4);
	t.s.ends = REF(t.ends, 2);
	t.s.order = REF(t.order, 1);
	t.s.host_any = t.s.host_suffixes = 1;
	return 0;
}

static struct route_match m;

static int find(const char *host, const char *path, enum http_method method)
{
	struct route_query q = {
		.host = slice_of(host, strlen(host)), .path = slice_of(path, strlen(path)), .method = method};

	switch (route_find(&t.s, &q, &m)) {
	case ROUTE_FOUND:
		return (int)m.index;
	case ROUTE_NO_METHOD:
		return -2;
	default:
		return -1;
	}
}

static void hosts_and_paths_are_walked_and_the_lowest_index_wins(void **state)
{
	(void)state;
	assert_int_equal(find("x.t", "/a", METHOD_GET), 0);
	assert_true(slice_eq(m.param[0], SLICE("a")));
	assert_int_equal(find("t", "/a", METHOD_GET), 1);
	assert_int_equal(m.n_params, 0);
	assert_int_equal(find("x.t", "/a/b", METHOD_GET), 2);
	assert_ptr_equal(m.route, &t.routes[2]);
	assert_int_equal(find("", "/b", METHOD_GET), 2);
}

static void methods_are_collected_only_when_nothing_takes_the_request(void **state)
{
	(void)state;
	assert_int_equal(find("", "/b", METHOD_POST), -2);
	assert_int_equal(m.allow, 1u << METHOD_GET);
	assert_null(m.route);
	assert_int_equal(find("", "/a", METHOD_POST), 1);
}

static void suffixes_and_any_are_looked_up_only_where_the_header_says_so(void **state)
{
	(void)state;
	t.s.host_suffixes = 0;
	assert_int_equal(find("x.t", "/a", METHOD_GET), 1);
	t.s.host_any = 0;
	assert_int_equal(find("x.t", "/a", METHOD_GET), -1);
}

static void what_is_no_path_is_found_nowhere(void **state)
{
	(void)state;
	assert_int_equal(find("", "", METHOD_GET), -1);
	assert_int_equal(find("", "a", METHOD_GET), -1);
	assert_int_equal(find("", "*", METHOD_GET), 2);
}

static void long_hosts_and_paths_end(void **state)
{
	static char host[4000], path[16384];

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(host); i++)
		host[i] = i % 2 ? '.' : 't';
	for (size_t i = 0; i + 1 < sizeof(path); i++)
		path[i] = i % 2 ? 'a' : '/';
	assert_int_equal(find(host, path, METHOD_GET), 2);
	assert_int_equal(find("t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t", "/b", METHOD_PUT),
			 0);
}

static void allow_lists_methods_as_far_as_there_is_room(void **state)
{
	char out[80];
	uint32_t two = 1u << METHOD_GET | 1u << METHOD_PATCH | 1u << METHOD_OTHER;

	(void)state;
	assert_int_equal(route_allow(out, sizeof(out), two), 10);
	assert_memory_equal(out, "GET, PATCH", 10);
	assert_int_equal(route_allow(out, 9, two), 3);
	assert_int_equal(route_allow(out, sizeof(out), 0), 0);
	assert_int_equal(route_allow(out, sizeof(out), UINT32_MAX), 60);
	assert_memory_equal(out, "GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH", 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(hosts_and_paths_are_walked_and_the_lowest_index_wins, lay_down),
		cmocka_unit_test_setup(methods_are_collected_only_when_nothing_takes_the_request, lay_down),
		cmocka_unit_test_setup(suffixes_and_any_are_looked_up_only_where_the_header_says_so, lay_down),
		cmocka_unit_test_setup(what_is_no_path_is_found_nowhere, lay_down),
		cmocka_unit_test_setup(long_hosts_and_paths_end, lay_down),
		cmocka_unit_test_setup(allow_lists_methods_as_far_as_there_is_room, lay_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
