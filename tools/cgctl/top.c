// cgctl top: rates of workers, routes and upstreams, from the difference of two answers.
#include "tools/cgctl/top.h"
#include "tools/cgctl/client.h"
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ROWS_MAX 200

struct sample {
	json_t *info, *workers, *routes, *upstreams;
	double at; // seconds
};

static volatile sig_atomic_t ended;

static void on_signal(int n)
{
	(void)n;
	ended = 1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool sample_take(int fd, struct sample *s)
{
	char *text = client_ask(fd, "json show info; show workers; show routes; show upstreams");
	json_t *all = text ? json_loads(text, 0, NULL) : NULL;

	free(text);
	*s = (struct sample){.at = now()};
	if (json_array_size(all) == 4) {
		s->info = json_incref(json_array_get(all, 0));
		s->workers = json_incref(json_object_get(json_array_get(all, 1), "workers"));
		s->routes = json_incref(json_object_get(json_array_get(all, 2), "routes"));
		s->upstreams = json_incref(json_object_get(json_array_get(all, 3), "upstreams"));
	}
	json_decref(all);
	return s->upstreams != NULL;
}

static void sample_drop(struct sample *s)
{
	json_decref(s->info);
	json_decref(s->workers);
	json_decref(s->routes);
	json_decref(s->upstreams);
	*s = (struct sample){0};
}

static const char *text_of(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	return s ? s : "-";
}

static double number_of(const json_t *row, const char *key)
{
	return json_number_value(json_object_get(row, key));
}

// The row of the other sample with the same name.
static const json_t *same_row(const json_t *rows, size_t i, const json_t *row)
{
	const json_t *other = json_array_get(rows, i);

	return other && strcmp(text_of(other, "name"), text_of(row, "name")) == 0 ? other : NULL;
}

static double rate(const json_t *row, const json_t *before, const char *key, double seconds)
{
	double d = before ? number_of(row, key) - number_of(before, key) : 0;

	return d > 0 && seconds > 0 ? d / seconds : 0;
}

struct line {
	double order;
	char text[240];
};

static int by_order(const void *a, const void *b)
{
	double x = ((const struct line *)a)->order, y = ((const struct line *)b)->order;

	return x < y ? 1 : x > y ? -1 : 0;
}

// The busiest first, at most room lines.
static unsigned table(const char *head, const json_t *rows, const json_t *before, double seconds, unsigned room,
		      const char *count, const char *failed)
{
	struct line lines[ROWS_MAX];
	size_t n = json_array_size(rows), i;

	if (room < 2)
		return 0;
	for (i = 0; i < n && i < ROWS_MAX; i++) {
		const json_t *row = json_array_get(rows, i), *old = same_row(before, i, row);

		lines[i].order = rate(row, old, count, seconds);
		snprintf(lines[i].text, sizeof(lines[i].text),
			 "%-24.24s %10.0f %8.0f %8.0f %8.0f %8.0f %9.3f %9.3f", text_of(row, "name"),
			 lines[i].order, number_of(row, "active"),
			 rate(row, old, "2xx", seconds) + rate(row, old, "3xx", seconds),
			 rate(row, old, "4xx", seconds),
			 rate(row, old, "5xx", seconds) + rate(row, old, failed, seconds),
			 number_of(row, "p50_ms"), number_of(row, "p99_ms"));
	}
	n = i;
	qsort(lines, n, sizeof(lines[0]), by_order);
	printf("\033[7m%-24s %10s %8s %8s %8s %8s %9s %9s\033[0m\033[K\n", head, "req/s", "active", "2xx-3xx",
	       "4xx", "5xx", "p50 ms", "p99 ms");
	for (i = 0; i < n && i + 1 < room; i++)
		printf("%s\033[K\n", lines[i].text);
	return (unsigned)i + 1;
}

static void draw(const struct sample *s, const struct sample *before)
{
	struct winsize w = {.ws_row = 24};
	const json_t *dataplane = json_object_get(s->info, "dataplane");
	double seconds = before->at > 0 ? s->at - before->at : 0;
	unsigned left;
	size_t n = json_array_size(s->workers);

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
	left = w.ws_row > 8 ? w.ws_row - 1u : 8;
	printf("\033[H%s  data plane %s, pid %.0f  generation %.0f\033[K\n", text_of(s->info, "version"),
	       text_of(dataplane, "state"), number_of(dataplane, "pid"), number_of(s->info, "generation"));
	left--;
	for (size_t i = 0; i < n && left > 6; i++, left--) {
		const json_t *row = json_array_get(s->workers, i), *old = json_array_get(before->workers, i);

		printf("worker %-3.0f busy %5.1f%%  %10.0f req/s  %8.0f connections\033[K\n",
		       number_of(row, "worker"), number_of(row, "busy_percent"),
		       rate(row, old, "requests", seconds), number_of(row, "connections"));
	}
	left -= table("route", s->routes, before->routes, seconds, left / 2, "requests", "no_answer");
	table("upstream", s->upstreams, before->upstreams, seconds, left, "attempts", "failed");
	printf("\033[J");
	fflush(stdout);
}

int top(const char *socket)
{
	struct sample s, before = {0};
	struct termios old, raw;
	bool terminal = tcgetattr(STDIN_FILENO, &old) == 0;
	int fd = client_connect(socket), status = 0;

	if (fd < 0) {
		fprintf(stderr, "cgctl: %s: %s\n", socket, strerror(-fd));
		return 1;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	if (terminal) {
		raw = old;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	printf("\033[2J");
	while (!ended) {
		struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
		char key;

		if (!sample_take(fd, &s)) {
			sample_drop(&s);
			status = 1;
			break;
		}
		draw(&s, &before);
		sample_drop(&before);
		before = s;
		if (poll(&p, 1, 1000) > 0 && (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q'))
			break;
	}
	sample_drop(&before);
	if (terminal)
		tcsetattr(STDIN_FILENO, TCSANOW, &old);
	if (status)
		fputs("cgctl: control does not answer any more\n", stderr);
	close(fd);
	return status;
}
