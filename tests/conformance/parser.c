// The table through each form of the parser alone: each message whole, cut in two at every byte, and byte by
// byte. What is looked at stands in memory of its exact size, so that sanitizers see a read beyond it.
#include "conformance/cases.h"
#include "http/body.h"
#include "http/forms.h"
#include "http/trailer.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct seen {
	int head; // as the parser's result
	enum http_fault fault;
	bool done;
	size_t used;
	char *body;
	size_t n;
};

static struct http_head head;
static const struct http_form *form;
static char message[512];

static const char *say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return message;
}

static int head_parse(const struct testcase *c, bool request, const char *p, size_t n)
{
	struct http_limits limits = listener_limits(c->listener);

	return request ? form->request(p, n, &limits, &head) : form->response(p, n, &limits, &head);
}

// The bytes come up to cut[0], then up to cut[1], and so on: step bytes at a time, beginning with `first`.
static struct seen message_read(const struct testcase *c, bool request, size_t first, size_t step)
{
	struct seen s = {.body = malloc(c->bytes.n + 1)};
	struct http_body b = {0};
	bool in_body = false;
	size_t skipped = 0;

	if (!s.body)
		exit(2);
	for (size_t have = first; s.fault == FAULT_NONE && !s.done; have += step) {
		if (have > c->bytes.n)
			have = c->bytes.n;
		char *copy = malloc(have - s.used ? have - s.used : 1);
		size_t n = have - s.used, at = 0, skip, run;

		if (!copy)
			exit(2);
		memcpy(copy, c->bytes.p + s.used, n);
		while (!in_body && s.fault == FAULT_NONE) {
			s.head = head_parse(c, request, copy + at, n - at);
			if (s.head < 0)
				s.fault = (enum http_fault) - s.head;
			if (s.head <= 0)
				break;
			at += (size_t)s.head;
			skipped = at;
			if (!request && head.status < 200 && head.status != 101)
				continue;
			http_body_init(&b,
				       request ? (enum http_framing)head.framing
					       : http_response_framing(&head, c->method),
				       head.length);
			if (request)
				http_body_limit(&b, listener_limits(c->listener).body);
			in_body = true;
		}
		while (in_body && s.fault == FAULT_NONE && at < n && !http_body_done(&b)) {
			if (http_body_trailers(&b)) {
				static struct http_head fields;
				const struct http_limits limits = listener_limits(c->listener);
				int used = http_parse_trailers(copy + at, n - at, &limits, &fields);

				if (used < 0)
					s.fault = (enum http_fault) - used;
				if (used <= 0)
					break;
				at += (size_t)used;
				http_body_end(&b);
				break;
			}
			s.fault = http_body_next(&b, copy + at, n - at, &skip, &run);
			memcpy(s.body + s.n, copy + at + skip, run);
			s.n += run;
			at += skip + run;
		}
		s.used += at;
		s.done = in_body && http_body_done(&b);
		free(copy);
		if (have == c->bytes.n)
			break;
	}
	(void)skipped;
	if (in_body && b.framing == FRAMING_CLOSE && s.fault == FAULT_NONE && c->ending == END_CLOSE)
		s.done = true;
	return s;
}

static const char *judge(const struct testcase *c, bool request, const struct seen *s)
{
	enum http_fault want = c->reason ? fault_named(c->reason) : FAULT_NONE;

	switch (c->outcome) {
	case REFUSED:
		if (!request && !c->reason)
			return NULL; // the gateway refuses it for what it asked
		if (s->fault != want)
			return say("fault \"%s\", not %s", http_fault_info[s->fault].text, c->reason);
		if (request && http_fault_info[want].status != c->status)
			return say("status %u, not %u", http_fault_info[want].status, c->status);
		return NULL;
	case CUT:
		if (!request && c->reason)
			return s->fault == want ? NULL : say("fault \"%s\"", http_fault_info[s->fault].text);
		return s->fault || s->done ? say("fault \"%s\", or complete", http_fault_info[s->fault].text)
					   : NULL;
	case ANSWERED:
		return s->fault ? say("fault \"%s\"", http_fault_info[s->fault].text) : NULL;
	case FORWARDED:
		break;
	}
	if (s->fault)
		return say("fault \"%s\"", http_fault_info[s->fault].text);
	if (!s->done)
		return say("not complete");
	if (s->n != c->body.n || (s->n && memcmp(s->body, c->body.p, s->n) != 0))
		return say("a body of %zu bytes: %.*s", s->n, (int)s->n, s->body);
	return NULL;
}

static const char *cuts_run(const struct testcase *c, bool request)
{
	const char *what = NULL;

	for (size_t first = 0; first <= c->bytes.n + 1 && !what; first++) {
		size_t step = first > c->bytes.n ? 1 : c->bytes.n;
		struct seen s;

		if (c->bytes.n > 2000 && first % 61 && first < c->bytes.n)
			continue;
		if (c->bytes.n > 2000 && step == 1)
			step = 7;
		s = message_read(c, request, first > c->bytes.n ? 1 : first, step);
		what = judge(c, request, &s);
		if (what && first)
			snprintf(message + strlen(message), sizeof(message) - strlen(message), ", cut at %zu",
				 first);
		free(s.body);
	}
	return what;
}

static const char *run(const struct testcase *c, bool request)
{
	const char *what = NULL;

	for (unsigned i = 0; i < FORM_COUNT && !what; i++) {
		if (!http_form_runs(i))
			continue;
		form = &http_forms[i];
		what = cuts_run(c, request);
		if (what)
			snprintf(message + strlen(message), sizeof(message) - strlen(message), " (%s)",
				 form->name);
	}
	return what;
}

int main(int argc, char **argv)
{
	struct tally tally = {0};

	if (argc != 3) {
		fprintf(stderr, "usage: %s requests.txt responses.txt\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		static struct table tables[2];
		struct table t;

		t = tables[i - 1] = table_read(argv[i]);
		for (unsigned k = 0; k < t.n; k++)
			verdict(&tally, &t.v[k], argv[i], run(&t.v[k], i == 1));
		printf("parser: %u %s\n", t.n, i == 1 ? "requests" : "responses");
	}
	printf("%u passed, %u failed\n", tally.passed, tally.failed);
	return tally.failed != 0;
}
