#include "ebpf/text.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_free(struct text *t)
{
	free(t->p);
	*t = (struct text){0};
}

static bool text_reserve(struct text *t, size_t n)
{
	size_t want = t->n + n, room = t->room ? t->room : 4096;
	char *p;

	if (t->failed || want > TEXT_MAX) {
		t->failed = true;
		return false;
	}
	if (want <= t->room)
		return true;
	while (room < want)
		room *= 2;
	p = realloc(t->p, room);
	if (!p) {
		t->failed = true;
		return false;
	}
	t->p = p;
	t->room = room;
	return true;
}

void text_add(struct text *t, const char *s, size_t n)
{
	if (!text_reserve(t, n))
		return;
	memcpy(t->p + t->n, s, n);
	t->n += n;
}

static void text_puts(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_addf(struct text *t, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line))
		t->failed = true; // half a line would be a wrong one
	else
		text_add(t, line, (size_t)n);
}

void text_family(struct text *t, const char *name, const char *type, const char *help)
{
	text_puts(t, "# HELP ");
	text_puts(t, name);
	text_add(t, " ", 1);
	for (; *help; help++) {
		if (*help == '\\')
			text_puts(t, "\\\\");
		else if (*help == '\n')
			text_puts(t, "\\n");
		else
			text_add(t, help, 1);
	}
	text_puts(t, "\n# TYPE ");
	text_puts(t, name);
	text_add(t, " ", 1);
	text_puts(t, type);
	text_add(t, "\n", 1);
}

// Length of the well-formed UTF-8 sequence at s (RFC 3629 4), 0 where there is none.
static unsigned utf8_length(const unsigned char *s)
{
	unsigned n, min_second = 0x80, max_second = 0xbf;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		min_second = 0xa0;
	else if (s[0] == 0xed)
		max_second = 0x9f;
	else if (s[0] == 0xf0)
		min_second = 0x90;
	else if (s[0] == 0xf4)
		max_second = 0x8f;
	if (s[1] < min_second || s[1] > max_second)
		return 0;
	for (unsigned i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static void label_value_add(struct text *t, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;

	while (*s) {
		unsigned n = utf8_length(s);

		if (n == 0) { // one wrong byte would make the server refuse the whole page
			text_puts(t, "\xef\xbf\xbd");
			s++;
			continue;
		}
		if (*s == '\\')
			text_puts(t, "\\\\");
		else if (*s == '"')
			text_puts(t, "\\\"");
		else if (*s == '\n')
			text_puts(t, "\\n");
		else
			text_add(t, (const char *)s, n);
		s += n;
	}
}

static void text_head(struct text *t, const char *name, const struct label *l, unsigned n)
{
	text_puts(t, name);
	for (unsigned i = 0; i < n; i++) {
		text_add(t, i ? "," : "{", 1);
		text_puts(t, l[i].name);
		text_puts(t, "=\"");
		label_value_add(t, l[i].value);
		text_add(t, "\"", 1);
	}
	if (n)
		text_add(t, "}", 1);
	text_add(t, " ", 1);
}

void text_sample(struct text *t, const char *name, const struct label *l, unsigned n, uint64_t value)
{
	text_head(t, name, l, n);
	text_addf(t, "%" PRIu64 "\n", value);
}

void text_sample_signed(struct text *t, const char *name, const struct label *l, unsigned n, int64_t value)
{
	text_head(t, name, l, n);
	text_addf(t, "%" PRId64 "\n", value);
}

// Decimal seconds of ns, without zeros at the end.
static void seconds_text(char *dst, size_t room, uint64_t ns)
{
	int n = snprintf(dst, room, "%" PRIu64 ".%09" PRIu64, ns / 1000000000u, ns % 1000000000u);

	while (n > 0 && dst[n - 1] == '0')
		n--;
	if (n > 0 && dst[n - 1] == '.')
		n--;
	dst[n] = '\0';
}

void text_sample_seconds(struct text *t, const char *name, const struct label *l, unsigned n, uint64_t ns)
{
	char s[40];

	seconds_text(s, sizeof(s), ns);
	text_head(t, name, l, n);
	text_addf(t, "%s\n", s);
}

void text_sample_ratio(struct text *t, const char *name, const struct label *l, unsigned n, double value)
{
	text_head(t, name, l, n);
	text_addf(t, "%.6f\n", value);
}

void text_histogram(struct text *t, const char *name, const struct label *l, unsigned n,
		    const uint64_t bucket[HIST_BUCKETS], uint64_t sum_ns)
{
	struct label with[7];
	char full[128], le[40];
	uint64_t total = 0;

	if (n > 6 || snprintf(full, sizeof(full), "%s_bucket", name) >= (int)sizeof(full)) {
		t->failed = true;
		return;
	}
	for (unsigned i = 0; i < n; i++)
		with[i] = l[i];
	with[n] = (struct label){"le", le};
	// The contract's bounds are exclusive and ours inclusive: a difference of one nanosecond.
	for (unsigned i = 0; i < HIST_BUCKETS - 1; i++) {
		total += bucket[i];
		if (i % HIST_SUB == 0) {
			seconds_text(le, sizeof(le), hist_bound(i));
			text_sample(t, full, with, n + 1, total);
		}
	}
	total += bucket[HIST_BUCKETS - 1];
	snprintf(le, sizeof(le), "+Inf");
	text_sample(t, full, with, n + 1, total);
	snprintf(full, sizeof(full), "%s_sum", name);
	text_sample_seconds(t, full, l, n, sum_ns);
	snprintf(full, sizeof(full), "%s_count", name);
	text_sample(t, full, l, n, total);
}
