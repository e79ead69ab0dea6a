// Golden layouts: what processes of different builds share must not move without a new version number.
#include "contract/channel.h"
#include "contract/record.h"
#include "contract/region.h"
#include "contract/snapshot.h"
#include "contract/stats.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
// cmocka needs the headers above first
#include <cmocka.h>

#define AT(type, field, offset) assert_int_equal(offsetof(struct type, field), offset)
#define SIZE(type, bytes)       assert_int_equal(sizeof(struct type), bytes)

static void snapshot_of_version_9_has_its_layout(void **state)
{
	(void)state;
	assert_int_equal(SNAPSHOT_VERSION, 9);
	SIZE(snap_ref, 8);
	SIZE(snap_tcp, 48);
	SIZE(snap_system, 360);
	AT(snap_system, compressions, 352);
	AT(snap_system, tcp, 304);
	AT(snap_system, packet_memory, 16);
	AT(snap_system, upstream_reserve, 24);
	AT(snap_system, cpu, 48);
	SIZE(snap_address, 24);
	SIZE(snap_netroute, 40);
	SIZE(snap_port, 40);
	AT(snap_port, vlan, 32);
	AT(snap_port, routers, 38);
	AT(snap_port, tso, 39);
	AT(snap_system, limit_memory, 32);
	AT(snap_system, address_memory, 40);
	SIZE(snap_listener, 168);
	AT(snap_listener, credits, 94);
	AT(snap_listener, max_in_flight, 160);
	AT(snap_listener, body_timeout, 112);
	AT(snap_listener, min_body_rate, 136);
	AT(snap_listener, max_line, 80);
	AT(snap_listener, forwarded, 91);
	AT(snap_listener, max_body, 96);
	AT(snap_listener, trusted, 104);
	AT(snap_listener, path, 144);
	AT(snap_listener, pages, 152);
	SIZE(snap_page, 24);
	AT(snap_listener, limits, 72);
	SIZE(snap_limit_part, 16);
	SIZE(snap_limit, 96);
	AT(snap_limit, slot, 24);
	AT(snap_limit, interval, 48);
	SIZE(snap_limit_use, 16);
	AT(snap_listener, port, 24);
	AT(snap_listener, head_timeout, 32);
	AT(snap_listener, syn_cookies, 56);
	AT(snap_listener, max_per_address, 60);
	SIZE(snap_target, 16);
	SIZE(snap_route, 256);
	AT(snap_route, credits, 14);
	AT(snap_route, max_in_flight, 60);
	AT(snap_route, rewrites, 22);
	AT(snap_route, rewrite_path, 88);
	AT(snap_route, sticky_name, 104);
	SIZE(snap_piece, 16);
	AT(snap_route, upgrade, 20);
	AT(snap_route, tunnel_idle, 80);
	AT(snap_route, conditions, 120);
	AT(snap_route, path, 40);
	AT(snap_route, pages, 224);
	SIZE(snap_condition, 24);
	AT(snap_condition, name, 8);
	SIZE(snap_api, 40);
	SIZE(snap_take, 8);
	AT(snap_route, targets, 48);
	AT(snap_route, status, 16);
	AT(snap_route, answer, 24);
	AT(snap_route, trailers_request, 38);
	AT(snap_route, timeout, 64);
	AT(snap_route, attempts, 18);
	AT(snap_route, stage_conf, 128);
	SIZE(snap_endpoint, 48);
	AT(snap_endpoint, token, 40);
	SIZE(snap_upstream, 72);
	AT(snap_upstream, pool_probe, 64);
	AT(snap_upstream, connect_timeout, 24);
	SIZE(snap_host, 64);
	AT(snap_host, first, 12);
	AT(snap_host, used, 22);
	AT(snap_host, text, 24);
	SIZE(snap_prompt, 4);
	SIZE(snap_answer, 16);
	AT(snap_answer, head, 8);
	SIZE(snap_node, 32);
	AT(snap_node, slots, 16);
	AT(snap_node, param_rank, 28);
	SIZE(snap_edge, 32);
	AT(snap_edge, n, 16);
	AT(snap_edge, rank, 28);
	SIZE(snap_ends, 24);
	AT(snap_ends, rest, 16);
	SIZE(snapshot, 544);
	AT(snapshot, ends, 472);
	AT(snapshot, order, 512);
	AT(snapshot, answers, 528);
	AT(snapshot, touched, 536);
	AT(snapshot, limits, 488);
	AT(snapshot, apis, 496);
	AT(snapshot, regexes, 504);
	AT(snapshot, checksum, 32);
	AT(snapshot, system, 48);
	AT(snapshot, ports, 424);
	AT(snapshot, hosts, 456);
	AT(snapshot, host_any, 480);
}

static void region_of_version_5_has_its_layout(void **state)
{
	(void)state;
	assert_int_equal(REGION_VERSION, 5);
	SIZE(region_credits, 32);
	AT(region_credits, home, 8);
	SIZE(region_credit_cell, 16);
	SIZE(region_credit_name, 80);
	AT(region, n_credits_by_hand, 140);
	SIZE(region_endpoint, 24);
	AT(region_endpoint, admin, 12);
	SIZE(region_target, 16);
	SIZE(region_name, 72);
	SIZE(region, 2208);
	AT(region, n_routes_off, 136);
	AT(region, route_off, 144);
	SIZE(region_limit, 32);
	SIZE(region_limit_stats, 64);
	SIZE(region_limit_key, 64);
	AT(region, off_endpoints, 24);
	AT(region, log_level, 80);
	AT(region, draining, 96);
	SIZE(rec_ring, 192);
}

static void statistics_have_their_layout(void **state)
{
	(void)state;
	AT(worker_stats, busy_ns, (CTR_COUNT * 8 + 63) / 64 * 64);
	SIZE(worker_stats, (CTR_COUNT * 8 + 63) / 64 * 64 + 192 + 6 * 1024 * 8);
	AT(worker_stats, at_once, (CTR_COUNT * 8 + 63) / 64 * 64 + 192);
	AT(worker_stats, long_turns, (CTR_COUNT * 8 + 63) / 64 * 64 + 120);
	AT(worker_stats, packet_memory, (CTR_COUNT * 8 + 63) / 64 * 64 + 152);
	SIZE(port_stats, 64);
	AT(port_stats, rx_memory, 56);
	SIZE(route_stats, 960);
	AT(route_stats, started, 48);
	AT(route_stats, duration, 72);
	SIZE(upstream_stats, 1024);
	AT(upstream_stats, attempts, 48);
	AT(upstream_stats, active, 104);
	AT(upstream_stats, duration, 144);
}

static void records_and_messages_have_their_layout(void **state)
{
	(void)state;
	SIZE(channel_msg, 264);
	AT(channel_msg, text, 24);
	SIZE(rec_cmd, 24);
	SIZE(rec_reply_end, 16);
	SIZE(rec_conn, 128);
	SIZE(rec_access, 352);
	SIZE(rec_message, 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshot_of_version_9_has_its_layout),
		cmocka_unit_test(region_of_version_5_has_its_layout),
		cmocka_unit_test(statistics_have_their_layout),
		cmocka_unit_test(records_and_messages_have_their_layout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
