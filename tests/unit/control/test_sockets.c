// The control socket as a client sees it: lines, answers, JSON, batches, levels; and the instance's directory.
#include "control/command.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
// after what it needs
#include <cmocka.h>

struct world {
	struct control c;
	struct config config;
	char dir[64];
	int stop_fd, hold_fd;
	struct loop_op stop, hold;
	sem_t held, go;
	pthread_t thread;
};

static void on_stop(void *ctx, struct loop_op *op, int result)
{
	(void)op;
	(void)result;
	((struct world *)ctx)->c.loop.stop = true;
}

// The loop stands still until it is let go: what is sent meanwhile is all there when it goes on.
static void on_hold(void *ctx, struct loop_op *op, int result)
{
	struct world *w = ctx;
	uint64_t n;

	(void)result;
	assert_int_equal(read(w->hold_fd, &n, sizeof(n)), sizeof(n));
	sem_post(&w->held);
	sem_wait(&w->go);
	loop_poll(&w->c.loop, op, w->hold_fd, POLLIN);
}

static void hold(struct world *w)
{
	uint64_t one = 1;

	assert_int_equal(write(w->hold_fd, &one, sizeof(one)), sizeof(one));
	sem_wait(&w->held);
}

static void *world_run(void *ctx)
{
	struct world *w = ctx;

	loop_run(&w->c.loop);
	return NULL;
}

static const char config_text[] = "version: 1\n"
				  "system: {ports: [{name: p, device: d, addresses: [198.18.0.1/24]}]}\n"
				  "control:\n"
				  "  - {socket: admin.sock}\n"
				  "  - {socket: operator.sock, level: operator}\n"
				  "  - {socket: user.sock, mode: \"0666\", level: user}\n";

static int world_open(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char why[200];

	strcpy(w->dir, "/tmp/cg-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->c.log.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_true(w->c.log.fd >= 0);
	assert_int_equal(instance_open(&w->c.instance, w->dir, why, sizeof(why)), 0);
	assert_int_equal(instance_create_region(&w->c.instance, 1, why, sizeof(why)), 0);
	assert_int_equal(loop_init(&w->c.loop), 0);
	assert_true(config_parse(&w->config, "t", config_text, strlen(config_text)));
	sockets_apply(&w->c, &w->config);
	w->hold_fd = eventfd(0, EFD_CLOEXEC);
	w->hold = (struct loop_op){.fn = on_hold, .ctx = w};
	sem_init(&w->held, 0, 0);
	sem_init(&w->go, 0, 0);
	loop_poll(&w->c.loop, &w->hold, w->hold_fd, POLLIN);
	w->stop_fd = eventfd(0, EFD_CLOEXEC);
	w->stop = (struct loop_op){.fn = on_stop, .ctx = w};
	loop_poll(&w->c.loop, &w->stop, w->stop_fd, POLLIN);
	assert_int_equal(pthread_create(&w->thread, NULL, world_run, w), 0);
	*state = w;
	return 0;
}

static int world_close(void **state)
{
	struct world *w = *state;
	uint64_t one = 1;

	assert_int_equal(write(w->stop_fd, &one, sizeof(one)), sizeof(one));
	pthread_join(w->thread, NULL);
	loop_fini(&w->c.loop);
	sockets_close(&w->c);
	instance_close(&w->c.instance, true);
	assert_int_equal(access(w->dir, F_OK), -1); // nothing is left
	config_free(&w->config);
	close(w->stop_fd);
	close(w->hold_fd);
	close(w->c.log.fd);
	free(w);
	return 0;
}

static int client(const struct world *w, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", w->dir, name);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

// Reads up to the empty line that ends an answer.
static const char *answer(int fd)
{
	static char text[1 << 20];
	size_t n = 0;

	for (;;) {
		ssize_t k = recv(fd, text + n, 1, 0);

		if (k <= 0)
			return "(connection closed)";
		n++;
		text[n] = '\0';
		if (n >= 2 && strcmp(text + n - 2, "\n\n") == 0)
			return text;
		assert_true(n + 1 < sizeof(text));
	}
}

static const char *ask(int fd, const char *line)
{
	assert_int_equal(send(fd, line, strlen(line), 0), (ssize_t)strlen(line));
	return answer(fd);
}

static void answer_ends_with_an_empty_line_and_the_next_line_is_answered(void **state)
{
	int fd = client(*state, "admin.sock");

	assert_string_equal(ask(fd, "show log\n"), "level  warning\nfile   stderr\n\n");
	assert_string_equal(ask(fd, "set log error\r\nshow log\n"), "level  error\n\n");
	assert_string_equal(answer(fd), "level  error\nfile   stderr\n\n");
	close(fd);
}

static void json_answers_are_one_document_on_a_line(void **state)
{
	int fd = client(*state, "admin.sock");

	ask(fd, "set log error\n");
	assert_string_equal(ask(fd, "json show log\n"), "{\"level\":\"error\",\"file\":\"stderr\"}\n\n");
	assert_string_equal(ask(fd, "--json nonsense here now\n"),
			    "{\"error\":\"unknown command \\\"nonsense here\\\"; help lists them\"}\n\n");
	assert_string_equal(
		ask(fd, "json show log; show log\n"),
		"[{\"level\":\"error\",\"file\":\"stderr\"},{\"level\":\"error\",\"file\":\"stderr\"}]\n\n");
	close(fd);
}

static void batch_goes_on_after_an_error_and_names_each_command(void **state)
{
	int fd = client(*state, "admin.sock");

	assert_string_equal(ask(fd, "set log debug; set log loud;show log\n"),
			    "# set log debug\nlevel  debug\n"
			    "# set log loud\nerror: \"loud\" is no level: set log error|warning|info|debug\n"
			    "# show log\nlevel  debug\nfile   stderr\n\n");
	close(fd);
}

static void level_is_that_of_the_socket(void **state)
{
	int fd = client(*state, "user.sock");
	struct world *w = *state;
	char path[128];
	struct stat st;

	assert_non_null(strstr(ask(fd, "set log info\n"), "error: \"set log\" needs level operator"));
	assert_non_null(strstr(ask(fd, "shutdown now\n"), "needs level admin"));
	close(fd);
	snprintf(path, sizeof(path), "%s/user.sock", w->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	snprintf(path, sizeof(path), "%s/admin.sock", w->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void line_without_end_is_refused_beyond_its_limit(void **state)
{
	int fd = client(*state, "admin.sock");
	char *line = malloc(5000);

	memset(line, 'x', 5000);
	send(fd, line, 5000, MSG_NOSIGNAL);
	assert_string_equal(answer(fd), "error: a line of more than 4 KiB\n\n");
	close(fd);
	free(line);
	fd = client(*state, "admin.sock");
	assert_non_null(strstr(ask(fd, "show log\n"), "level"));
	close(fd);
}

static void clients_that_leave_early_do_no_harm(void **state)
{
	for (int i = 0; i < 100; i++) {
		int fd = client(*state, "admin.sock");

		send(fd, "help; help; help; help\nhelp", i % 27, MSG_NOSIGNAL);
		close(fd);
	}
	int fd = client(*state, "admin.sock");

	assert_non_null(strstr(ask(fd, "show log\n"), "level"));
	close(fd);
}

static void idle_sessions_of_mere_users_keep_no_operator_out(void **state)
{
	int user[64], fd;
	unsigned answered = 0;

	for (unsigned i = 0; i < 64; i++)
		user[i] = client(*state, "user.sock");
	for (unsigned i = 0; i < 64; i++) {
		send(user[i], "show log\n", 9, MSG_NOSIGNAL); // some have been shown out
		answered += strstr(answer(user[i]), "level  ") != NULL;
	}
	assert_in_range(answered, 1, 32); // those of a test before may be ending still
	fd = client(*state, "operator.sock");
	send(fd, "show log\n", 9, MSG_NOSIGNAL);
	assert_non_null(strstr(answer(fd), "level  "));
	close(fd);
	for (unsigned i = 0; i < 64; i++)
		close(user[i]);
}

static void a_batch_of_a_mere_user_lets_an_operator_in_between(void **state)
{
	int user = client(*state, "user.sock"), fd = client(*state, "operator.sock");
	char line[64 * 10 + 2] = "";
	const char *last;

	ask(fd, "set log error\n");
	ask(user, "show log\n");
	hold(*state);
	for (unsigned i = 0; i < 64; i++)
		strcat(line, "show log;");
	strcat(line, "\n");
	send(user, line, strlen(line), 0);
	send(fd, "set log debug\n", 14, 0);
	sem_post(&((struct world *)*state)->go);
	last = answer(user);
	for (const char *next; (next = strstr(last + 1, "level  ")); last = next)
		;
	assert_memory_equal(last, "level  debug", 12);
	assert_string_equal(answer(fd), "level  debug\n\n");
	close(user);
	close(fd);
}

static void a_mere_user_lists_so_many_connections_and_no_more(void **state)
{
	int user = client(*state, "user.sock"), fd = client(*state, "operator.sock");

	assert_non_null(strstr(ask(user, "show conns 1000\n"), "the data plane does not run now"));
	assert_non_null(strstr(ask(user, "show conns 1001\n"), "1 to 1000"));
	assert_non_null(strstr(ask(fd, "show conns 100000\n"), "the data plane does not run now"));
	assert_non_null(strstr(ask(fd, "show conns 100001\n"), "1 to 100000"));
	close(user);
	close(fd);
}

static void answers_of_many_commands_come_in_pieces_and_whole(void **state)
{
	int fd = client(*state, "user.sock");
	char line[64 * 5 + 8] = "json ";
	unsigned n = 0;
	json_t *all;

	for (unsigned i = 0; i < 64; i++)
		strcat(line, i ? ";help" : "help");
	strcat(line, "\n");
	all = json_loads(ask(fd, line), 0, NULL);
	assert_int_equal(json_array_size(all), 64);
	json_decref(all);
	for (const char *at = ask(fd, line + 5); (at = strstr(at, "# help\n")); at++)
		n++;
	assert_int_equal(n, 64);
	close(fd);
}

static void second_control_is_refused(void **state)
{
	struct world *w = *state;
	struct instance other;
	char why[200];

	assert_int_equal(instance_open(&other, w->dir, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "another churchgate-control runs"));
}

static void region_is_kept_for_the_same_number_of_workers(void **state)
{
	char dir[] = "/tmp/cg-test-XXXXXX", why[200];
	struct instance i;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(instance_open(&i, dir, why, sizeof(why)), 0);
	assert_int_equal(instance_attach_region(&i, 2, why, sizeof(why)), -1);
	assert_int_equal(instance_create_region(&i, 2, why, sizeof(why)), 0);
	uint32_t slot = region_endpoint_slot(i.region, "u/198.19.0.1:80");

	region_endpoints(i.region)[slot].admin = ADMIN_DRAIN;
	instance_close(&i, false);

	assert_int_equal(instance_open(&i, dir, why, sizeof(why)), 0);
	assert_int_equal(instance_attach_region(&i, 2, why, sizeof(why)), 0);
	assert_int_equal(region_endpoint_slot(i.region, "u/198.19.0.1:80"), slot);
	assert_int_equal(region_endpoints(i.region)[slot].admin, ADMIN_DRAIN);
	instance_close(&i, false);

	assert_int_equal(instance_open(&i, dir, why, sizeof(why)), 0);
	assert_int_equal(instance_attach_region(&i, 3, why, sizeof(why)), -1);
	char path[64];

	// What is cut short is no region.
	instance_path(&i, "region", path, sizeof(path));
	assert_int_equal(truncate(path, 5000), 0);
	assert_int_equal(instance_attach_region(&i, 2, why, sizeof(why)), -1);
	instance_close(&i, true);
	assert_int_equal(access(dir, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answer_ends_with_an_empty_line_and_the_next_line_is_answered),
		cmocka_unit_test(json_answers_are_one_document_on_a_line),
		cmocka_unit_test(batch_goes_on_after_an_error_and_names_each_command),
		cmocka_unit_test(level_is_that_of_the_socket),
		cmocka_unit_test(line_without_end_is_refused_beyond_its_limit),
		cmocka_unit_test(clients_that_leave_early_do_no_harm),
		cmocka_unit_test(idle_sessions_of_mere_users_keep_no_operator_out),
		cmocka_unit_test(a_batch_of_a_mere_user_lets_an_operator_in_between),
		cmocka_unit_test(a_mere_user_lists_so_many_connections_and_no_more),
		cmocka_unit_test(answers_of_many_commands_come_in_pieces_and_whole),
		cmocka_unit_test(second_control_is_refused),
		cmocka_unit_test(region_is_kept_for_the_same_number_of_workers),
	};

	return cmocka_run_group_tests(tests, world_open, world_close);
}
