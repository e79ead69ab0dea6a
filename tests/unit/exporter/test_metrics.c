// The page of metrics over synthetic statistics.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first.
#include "ebpf/metrics.h"
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 2

struct bench {
	struct region *region;
	struct stats stats;
	uint64_t switches[SNAP_WORKERS_MAX];
	double busy_ratio[SNAP_WORKERS_MAX];
	struct metrics_source source;
	struct text page;
};

static void *cells(enum stats_array a)
{
	size_t n = (size_t)stats_entry_size(a) * stats_entries(a, WORKERS);
	void *p = aligned_alloc(64, (n + 63) / 64 * 64);

	assert_non_null(p);
	memset(p, 0, n);
	return p;
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->region = aligned_alloc(4096, region_size(WORKERS));
	memset(b->region, 0, region_size(WORKERS));
	region_create(b->region, WORKERS);
	b->stats = (struct stats){cells(STATS_WORKER), cells(STATS_PORT), cells(STATS_ROUTE),
				  cells(STATS_UPSTREAM), WORKERS};
	b->busy_ratio[1] = -1;
	b->source = (struct metrics_source){.region = b->region,
					    .stats = &b->stats,
					    .now = 5000000000,
					    .bpf = true,
					    .switches = b->switches,
					    .busy_ratio = b->busy_ratio};
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	text_free(&b->page);
	free(b->stats.worker);
	free(b->stats.port);
	free(b->stats.route);
	free(b->stats.upstream);
	free(b->region);
	free(b);
	return 0;
}

static const char *page(struct bench *b)
{
	text_free(&b->page);
	metrics_write(&b->page, &b->source);
	assert_false(b->page.failed);
	text_add(&b->page, "", 1);
	return b->page.p;
}

static void has(struct bench *b, const char *line)
{
	const char *text = page(b), *at = text;
	size_t n = strlen(line);

	while ((at = strstr(at, line)) && ((at > text && at[-1] != '\n') || at[n] != '\n'))
		at++;
	if (!at)
		fail_msg("no line %s", line);
}

static void has_not(struct bench *b, const char *part)
{
	if (strstr(page(b), part))
		fail_msg("there is %s", part);
}

static void without_an_instance_it_says_so(void **state)
{
	struct bench *b = *state;

	b->source.region = NULL;
	b->source.stats = NULL;
	has(b, "churchgate_up 0");
	has(b, "churchgate_bpf_available 1");
	has_not(b, "http_");
}

static void a_route_is_the_sum_of_its_workers(void **state)
{
	struct bench *b = *state;
	uint32_t s = region_name_slot(region_routes(b->region), STATS_ROUTES, "orders");
	struct route_stats *r0 = &b->stats.route[s], *r1 = &b->stats.route[STATS_ROUTES + s];

	stat_add(&r0->requests[2], 7);
	stat_add(&r1->requests[2], 5);
	stat_add(&r1->requests[0], 1);
	stat_add(&r0->started, 10);
	stat_add(&r0->finished, 7);
	stat_add(&r1->started, 6);
	stat_add(&r1->finished, 6);
	stat_add(&r0->duration[hist_bucket(3000)], 7);
	stat_add(&r1->duration[hist_bucket(3000000)], 5);
	stat_add(&r0->duration_sum_ns, 21000);
	stat_add(&r1->duration_sum_ns, 15000000);
	has(b, "churchgate_up 1");
	has(b, "churchgate_http_requests_total{route=\"orders\",class=\"2xx\"} 12");
	has(b, "churchgate_http_requests_total{route=\"orders\",class=\"none\"} 1");
	has(b, "churchgate_http_requests_total{route=\"orders\",class=\"5xx\"} 0");
	has(b, "http_server_active_requests{route=\"orders\"} 3");
	has(b, "http_server_request_duration_seconds_bucket{route=\"orders\",le=\"0.000002\"} 0");
	has(b, "http_server_request_duration_seconds_bucket{route=\"orders\",le=\"0.000004\"} 7");
	has(b, "http_server_request_duration_seconds_bucket{route=\"orders\",le=\"+Inf\"} 12");
	has(b, "http_server_request_duration_seconds_count{route=\"orders\"} 12");
	has(b, "http_server_request_duration_seconds_sum{route=\"orders\"} 0.015021");
}

static void what_is_answered_at_once_counts_in_the_first_bucket(void **state)
{
	struct bench *b = *state;
	uint32_t s = region_name_slot(region_routes(b->region), STATS_ROUTES, "orders");

	stat_add(&b->stats.route[s].requests[4], 1);
	stat_add(&b->stats.route[s].duration[hist_bucket(3000)], 1);
	stat_add(&b->stats.worker[0].at_once[4][s], 2);
	stat_add(&b->stats.worker[1].at_once[4][s], 4);
	stat_add(&b->stats.worker[1].at_once[2][s], 8);
	has(b, "churchgate_http_requests_total{route=\"orders\",class=\"4xx\"} 7");
	has(b, "churchgate_http_requests_total{route=\"orders\",class=\"2xx\"} 8");
	has(b, "churchgate_http_requests_total{route=\"other\",class=\"4xx\"} 0");
	has(b, "http_server_active_requests{route=\"orders\"} 0");
	has(b, "http_server_request_duration_seconds_bucket{route=\"orders\",le=\"0.000001\"} 14");
	has(b, "http_server_request_duration_seconds_count{route=\"orders\"} 15");
}

static void slots_without_a_name_are_not_listed(void **state)
{
	struct bench *b = *state;

	stat_add(&b->stats.route[77].requests[2], 1);
	stat_add(&b->stats.port[3].rx_packets, 1);
	has_not(b, "route=\"\"");
	has_not(b, "churchgate_port_rx_packets_total{");
	has(b, "http_server_active_requests{route=\"other\"} 0");
}

static void a_route_called_other_shares_the_row_of_the_rest(void **state)
{
	struct bench *b = *state;

	// As control would if it did not know slot 0: the same name in another slot.
	strcpy(region_routes(b->region)[5].text, "other");
	region_routes(b->region)[5].key = 99;
	stat_add(&b->stats.route[0].requests[4], 1);
	stat_add(&b->stats.route[5].requests[4], 2);
	has(b, "churchgate_http_requests_total{route=\"other\",class=\"4xx\"} 3");
}

static void more_finished_than_started_is_no_active_request(void **state)
{
	struct bench *b = *state;

	stat_add(&b->stats.route[0].finished, 1);
	has(b, "http_server_active_requests{route=\"other\"} 0");
}

static void an_upstream_shows_its_attempts_and_connections(void **state)
{
	struct bench *b = *state;
	uint32_t s = region_name_slot(region_upstreams(b->region), STATS_UPSTREAMS, "orders-v1");
	struct upstream_stats *u = &b->stats.upstream[STATS_UPSTREAMS + s];

	stat_add(&u->attempts, 9);
	stat_add(&u->responses[5], 2);
	stat_add(&u->connections, 8);
	stat_add(&u->idle, 3);
	stat_add(&u->pending, 4);
	stat_add(&u->retries, 6);
	has(b, "http_client_attempts_total{upstream=\"orders-v1\"} 9");
	has(b, "http_client_responses_total{upstream=\"orders-v1\",class=\"5xx\"} 2");
	has(b, "http_client_open_connections{upstream=\"orders-v1\",state=\"active\"} 5");
	has(b, "http_client_open_connections{upstream=\"orders-v1\",state=\"idle\"} 3");
	has(b, "http_client_pending_requests{upstream=\"orders-v1\"} 4");
	has(b, "http_client_retries_total{upstream=\"orders-v1\"} 6");
}

static void an_endpoint_is_up_until_all_workers_see_it_down(void **state)
{
	struct bench *b = *state;
	uint32_t s = region_endpoint_slot(b->region, "orders-v1/198.18.1.2:8080");
	_Atomic uint8_t *health = region_health(b->region, 0), *second = region_health(b->region, 1);
	const char *up = "churchgate_endpoint_up{upstream=\"orders-v1\",endpoint=\"198.18.1.2:8080\"} ";
	char line[160];

	snprintf(line, sizeof(line), "%s1", up);
	has(b, line);
	health[s] = HEALTH_DOWN;
	has(b, line);
	has(b, "churchgate_endpoint_workers_down{upstream=\"orders-v1\",endpoint=\"198.18.1.2:8080\"} 1");
	second[s] = HEALTH_DOWN;
	snprintf(line, sizeof(line), "%s0", up);
	has(b, line);
	region_endpoints(b->region)[s].admin = ADMIN_DRAIN;
	has(b,
	    "churchgate_endpoint_admin{upstream=\"orders-v1\",endpoint=\"198.18.1.2:8080\",state=\"drain\"} 1");
}

static void an_endpoint_that_was_released_is_not_listed(void **state)
{
	struct bench *b = *state;
	uint32_t s = region_endpoint_slot(b->region, "gone/[fd00:c6:12::1]:80");

	has(b, "churchgate_endpoint_up{upstream=\"gone\",endpoint=\"[fd00:c6:12::1]:80\"} 1");
	region_endpoint_release(b->region, s);
	has_not(b, "upstream=\"gone\"");
}

static void a_worker_shows_its_shares_and_age(void **state)
{
	struct bench *b = *state;

	stat_add(&b->stats.worker[0].busy_ns, 1250000000);
	stat_add(&b->stats.worker[0].generation, 3);
	stat_add(&b->stats.worker[0].alive_ns, 4750000000);
	stat_add(&b->stats.worker[1].conns_high, 11);
	stat_add(&b->stats.worker[0].pool_size, 4096);
	b->busy_ratio[0] = 0.25;
	b->switches[1] = 42;
	has(b, "churchgate_worker_busy_seconds_total{worker=\"0\"} 1.25");
	has(b, "churchgate_worker_generation{worker=\"0\"} 3");
	has(b, "churchgate_worker_alive_age_seconds{worker=\"0\"} 0.25");
	has_not(b, "churchgate_worker_alive_age_seconds{worker=\"1\"}");
	has(b, "churchgate_worker_busy_ratio{worker=\"0\"} 0.250000");
	has_not(b, "churchgate_worker_busy_ratio{worker=\"1\"}");
	has(b, "churchgate_worker_involuntary_switches_total{worker=\"1\"} 42");
	has(b, "churchgate_pool_used_high{pool=\"connections\",worker=\"1\"} 11");
	has(b, "churchgate_pool_size{pool=\"packet_buffers\",worker=\"all\"} 4096");
}

static void packet_memory_is_shown_in_bytes_by_who_holds_it(void **state)
{
	struct bench *b = *state;
	struct worker_stats *v = b->stats.worker;

	stat_add(&v[0].pool_size, 1000);
	stat_add(&v[0].pool_used, 10);
	stat_add(&v[0].packet_memory, 2368000);
	stat_add(&v[1].queued_in, 2368);
	stat_add(&v[1].queued_out, 4736);
	stat_add(&v[1].queue_limit, 1776000);
	stat_add(&v[0].packet_cached, 7104);
	has(b, "churchgate_packet_memory_used_bytes 23680");
	has(b, "churchgate_packet_memory_free_bytes 2344320");
	has(b, "churchgate_packet_memory_receive_queues_bytes{worker=\"1\"} 2368");
	has(b, "churchgate_packet_memory_send_queues_bytes{worker=\"0\"} 0");
	has(b, "churchgate_packet_memory_send_queues_bytes{worker=\"1\"} 4736");
	has(b, "churchgate_packet_memory_queue_limit_bytes{worker=\"1\"} 1776000");
	has(b, "churchgate_packet_memory_cached_bytes{worker=\"0\"} 7104");
}

static void without_bpf_no_switches_are_claimed(void **state)
{
	struct bench *b = *state;

	b->source.bpf = false;
	has(b, "churchgate_bpf_available 0");
	has_not(b, "involuntary");
}

static void ports_are_listed_by_worker(void **state)
{
	struct bench *b = *state;

	strcpy(region_ports(b->region)[1].text, "lan");
	region_ports(b->region)[1].key = 7;
	stat_add(&b->stats.port[STATS_PORTS + 1].tx_bytes, 1500);
	stat_add(&b->stats.port[1].rx_memory, 9472);
	has(b, "churchgate_packet_memory_receiving_bytes{port=\"lan\"} 9472");
	stat_add(&b->stats.port[1].link_up, 1);
	has(b, "churchgate_port_tx_bytes_total{port=\"lan\",worker=\"1\"} 1500");
	has(b, "churchgate_port_tx_bytes_total{port=\"lan\",worker=\"0\"} 0");
	has(b, "churchgate_port_link_up{port=\"lan\"} 1");
}

static void drops_have_a_reason_and_other_counters_a_name(void **state)
{
	struct bench *b = *state;

	stat_add(&b->stats.worker[0].c[CTR_tcp_bad_checksum], 2);
	stat_add(&b->stats.worker[1].c[CTR_tcp_bad_checksum], 3);
	stat_add(&b->stats.worker[1].c[CTR_up_replayed], 4);
	has(b, "churchgate_drops_total{group=\"tcp\",reason=\"tcp_bad_checksum\"} 5");
	has(b, "churchgate_drops_total{group=\"rx\",reason=\"rx_not_for_us_mac\"} 0");
	has(b, "churchgate_upstream_replayed_total 4");
	has(b, "churchgate_net_arp_rx_total 0");
	has(b, "churchgate_http_requests_begun_total 0");
	has_not(b, "churchgate_tcp_bad_checksum_total");
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

// Names and labels of each sample, and each TYPE line: a server refuses what comes twice.
static void nothing_is_listed_twice(void **state)
{
	struct bench *b = *state;
	char *text, *save, **line;
	size_t n = 0;

	region_name_slot(region_routes(b->region), STATS_ROUTES, "a");
	region_name_slot(region_upstreams(b->region), STATS_UPSTREAMS, "a");
	region_endpoint_slot(b->region, "a/198.18.0.1:1");
	text = strdup(page(b));
	line = calloc(strlen(text), sizeof(*line));
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		if (strncmp(l, "# HELP", 6) == 0)
			continue;
		*strrchr(l, ' ') = '\0'; // value, or type
		line[n++] = l;
	}
	qsort(line, n, sizeof(*line), compare);
	for (size_t i = 1; i < n; i++)
		assert_string_not_equal(line[i - 1], line[i]);
	free(line);
	free(text);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(without_an_instance_it_says_so),
		T(a_route_is_the_sum_of_its_workers),
		T(what_is_answered_at_once_counts_in_the_first_bucket),
		T(slots_without_a_name_are_not_listed),
		T(a_route_called_other_shares_the_row_of_the_rest),
		T(more_finished_than_started_is_no_active_request),
		T(an_upstream_shows_its_attempts_and_connections),
		T(an_endpoint_is_up_until_all_workers_see_it_down),
		T(an_endpoint_that_was_released_is_not_listed),
		T(a_worker_shows_its_shares_and_age),
		T(packet_memory_is_shown_in_bytes_by_who_holds_it),
		T(without_bpf_no_switches_are_claimed),
		T(ports_are_listed_by_worker),
		T(drops_have_a_reason_and_other_counters_a_name),
		T(nothing_is_listed_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
