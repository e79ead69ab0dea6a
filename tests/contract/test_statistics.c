// The statistics as an outsider reads them: through the exporter's page, and through the BPF maps themselves.
#include "tests/contract/lab.h"
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
// cmocka needs the headers above first
#include <cmocka.h>

static const char *self;

static int setup(void **state)
{
	struct lab *l = malloc(sizeof(*l));

	lab_open(l);
	*state = l;
	return 0;
}

static int teardown(void **state)
{
	lab_close(*state);
	free(*state);
	return 0;
}

static double scrape(const struct lab *l, const char *sample)
{
	char *page = lab_get(l, "/metrics", NULL);
	double v = lab_value(page, sample);

	free(page);
	return v;
}

// What the data plane does for each request.
static void requests_count(struct lab *l, unsigned worker, const char *route, unsigned n)
{
	uint32_t slot = region_name_slot(region_routes(l->region), STATS_ROUTES, route);
	struct route_stats *r = &l->stats.route[worker * STATS_ROUTES + slot];

	stat_add(&r->started, n);
	stat_add(&r->finished, n);
	stat_add(&r->requests[2], n);
	stat_add(&r->duration[hist_bucket(3000)], n);
	stat_add(&r->duration_sum_ns, 3000ull * n);
}

static void what_is_counted_stands_on_the_page(struct lab *l)
{
	requests_count(l, 0, "hello", 3);
	requests_count(l, 1, "hello", 4);
	assert_true(scrape(l, "churchgate_up") == 1);
	assert_true(scrape(l, "churchgate_http_requests_total{route=\"hello\",class=\"2xx\"}") == 7);
	assert_true(scrape(l, "http_server_request_duration_seconds_bucket{route=\"hello\",le=\"0.000004\"}") ==
		    7);
	requests_count(l, 1, "hello", 1);
	assert_true(scrape(l, "churchgate_http_requests_total{route=\"hello\",class=\"2xx\"}") == 8);
}

static void files_are_read(void **state)
{
	struct lab *l = *state;

	lab_create(l, LAB_FILES);
	lab_export(l, self, NULL);
	what_is_counted_stands_on_the_page(l);
}

static void pinned_maps_are_read(void **state)
{
	struct lab *l = *state;

	if (!lab_create(l, LAB_BPF))
		skip();
	lab_export(l, self, NULL);
	what_is_counted_stands_on_the_page(l);
}

static void the_host_s_maps_are_found_elsewhere_on_request(void **state)
{
	struct lab *l = *state;
	char path[128];
	FILE *f;

	if (!lab_create(l, LAB_BPF))
		skip();
	snprintf(path, sizeof(path), "%s/stats", l->dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "bpf /sys/fs/bpf\n");
	fclose(f);
	snprintf(path, sizeof(path), "%s/bpf", l->dir);
	lab_export(l, self, path);
	what_is_counted_stands_on_the_page(l);
}

// bpftool and other BPF programs see an array as elements by index.
static void an_entry_of_a_map_is_one_worker_s_slot(void **state)
{
	struct lab *l = *state;
	char path[128];
	struct route_stats seen;
	uint32_t slot, key;
	int fd;

	if (!lab_create(l, LAB_BPF))
		skip();
	requests_count(l, 1, "hello", 5);
	slot = region_name_slot(region_routes(l->region), STATS_ROUTES, "hello");
	snprintf(path, sizeof(path), "%s/bpf/%s", l->dir, stats_array_name[STATS_ROUTE]);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	key = 1 * STATS_ROUTES + slot;
	assert_int_equal(bpf_map_lookup_elem(fd, &key, &seen), 0);
	assert_int_equal(stat_get(&seen.requests[2]), 5);
	key = 0 * STATS_ROUTES + slot;
	assert_int_equal(bpf_map_lookup_elem(fd, &key, &seen), 0);
	assert_int_equal(stat_get(&seen.requests[2]), 0);
	close(fd);
}

static void a_mapping_to_read_stays_one(void **state)
{
	LIBBPF_OPTS(bpf_obj_get_opts, readonly, .file_flags = BPF_F_RDONLY);
	struct lab *l = *state;
	struct port_stats none = {0};
	struct stats st;
	uint32_t key = 0;
	char path[128];
	int fd[STATS_ARRAYS], other;

	if (!lab_create(l, LAB_BPF))
		skip();
	for (unsigned a = 0; a < STATS_ARRAYS; a++) {
		snprintf(path, sizeof(path), "%s/bpf/%s", l->dir, stats_array_name[a]);
		fd[a] = bpf_obj_get(path);
		assert_true(fd[a] >= 0);
	}
	assert_int_equal(stats_map(&st, fd, LAB_WORKERS, 0), 0);
	for (unsigned a = 0; a < STATS_ARRAYS; a++)
		close(fd[a]);
	stat_add(&l->stats.port[1].rx_packets, 9);
	assert_int_equal(stat_get(&st.port[1].rx_packets), 9);
	assert_int_equal(mprotect(st.port, 4096, PROT_READ | PROT_WRITE), -1);
	stats_unmap(&st);
	snprintf(path, sizeof(path), "%s/bpf/%s", l->dir, stats_array_name[STATS_PORT]);
	other = bpf_obj_get_opts(path, &readonly);
	assert_true(other >= 0);
	assert_true(bpf_map_update_elem(other, &key, &none, BPF_ANY) < 0);
	close(other);
}

static void an_instance_may_come_go_and_be_replaced(void **state)
{
	struct lab *l = *state;

	lab_export(l, self, NULL);
	assert_true(scrape(l, "churchgate_up") == 0);
	lab_create(l, LAB_FILES);
	requests_count(l, 0, "hello", 3);
	assert_true(scrape(l, "churchgate_up") == 1);
	assert_true(scrape(l, "churchgate_http_requests_total{route=\"hello\",class=\"2xx\"}") == 3);
	lab_destroy(l, LAB_FILES);
	assert_true(scrape(l, "churchgate_up") == 0);
	assert_true(scrape(l, "churchgate_workers") == -1);
	lab_create(l, LAB_FILES);
	assert_true(scrape(l, "churchgate_up") == 1);
	assert_true(scrape(l, "churchgate_http_requests_total{route=\"other\",class=\"2xx\"}") == 0);
	assert_true(scrape(l, "churchgate_exporter_attachments_total") == 2);
	// The same directory with maps in place of files, while the old ones are still mapped.
	lab_destroy(l, LAB_FILES);
	if (lab_create(l, LAB_BPF))
		lab_destroy(l, LAB_BPF);
}

static void a_region_that_is_none_is_refused(void **state)
{
	struct lab *l = *state;

	lab_create(l, LAB_FILES);
	l->region->magic = 0;
	lab_export(l, self, NULL);
	assert_true(scrape(l, "churchgate_up") == 0);
	l->region->magic = REGION_MAGIC;
	l->region->version++;
	assert_true(scrape(l, "churchgate_up") == 0);
	l->region->version--;
	l->region->off_health = UINT64_MAX;
	assert_true(scrape(l, "churchgate_up") == 0);
}

static void other_pages_and_health(void **state)
{
	struct lab *l = *state;
	int status;
	char *body;

	lab_create(l, LAB_FILES);
	lab_export(l, self, NULL);
	body = lab_get(l, "/health", &status);
	assert_int_equal(status, 200);
	assert_non_null(strstr(body, "\"instance\":true"));
	free(body);
	body = lab_get(l, "/", &status);
	assert_int_equal(status, 404);
	assert_non_null(strstr(body, "\"error\":\"not_found\""));
	free(body);
}

struct rival {
	_Atomic int stop;
	stat_cell *tid; // NULL: the rival itself
};

static void *spin(void *arg)
{
	struct rival *r = arg;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	if (r->tid)
		stat_add(r->tid, (uint64_t)gettid());
	while (!atomic_load_explicit(&r->stop, memory_order_relaxed))
		;
	return NULL;
}

// Two threads that never wait, on one CPU: the scheduler has to take it from each of them again and again.
static void involuntary_switches_of_a_worker_are_counted(void **state)
{
	static const char name0[] = "churchgate_worker_involuntary_switches_total{worker=\"0\"}";
	static const char name1[] = "churchgate_worker_involuntary_switches_total{worker=\"1\"}";
	struct lab *l = *state;
	struct rival worker = {0}, other = {0};
	pthread_t a, b;

	lab_create(l, LAB_FILES);
	lab_export(l, self, NULL);
	if (scrape(l, "churchgate_bpf_available") != 1)
		skip();
	worker.tid = &l->stats.worker[1].tid;
	assert_int_equal(pthread_create(&a, NULL, spin, &worker), 0);
	assert_int_equal(pthread_create(&b, NULL, spin, &other), 0);
	while (scrape(l, name1) < 3)
		;
	atomic_store(&worker.stop, 1);
	atomic_store(&other.stop, 1);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	assert_true(scrape(l, name0) == 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(files_are_read),
		T(pinned_maps_are_read),
		T(the_host_s_maps_are_found_elsewhere_on_request),
		T(an_entry_of_a_map_is_one_worker_s_slot),
		T(a_mapping_to_read_stays_one),
		T(an_instance_may_come_go_and_be_replaced),
		T(a_region_that_is_none_is_refused),
		T(other_pages_and_health),
		T(involuntary_switches_of_a_worker_are_counted),
	};

	(void)argc;
	self = argv[0];
	alarm(120); // a page that never comes is a failure
	return cmocka_run_group_tests(tests, NULL, NULL);
}
