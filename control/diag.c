#include "diag.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 1000 // a file that is no configuration at all need not fill the terminal
#define WORD_MAX    64

uint32_t diag_file(struct diag *d, const char *name)
{
	d->files = memory_grow(&d->memory, d->files, d->n_files, sizeof(*d->files));
	d->files[d->n_files] = memory_text(&d->memory, name, strlen(name));
	return d->n_files++;
}

static void add(struct diag *d, struct mark at, bool warning, const char *fmt, va_list ap)
{
	char text[512];

	if (warning)
		d->warnings++;
	else
		d->errors++;
	if (d->n >= ENTRIES_MAX)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	d->v = memory_grow(&d->memory, d->v, d->n, sizeof(*d->v));
	d->v[d->n++] = (struct diag_entry){at, warning, memory_text(&d->memory, text, strlen(text))};
}

void diag_error(struct diag *d, struct mark at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(d, at, false, fmt, ap);
	va_end(ap);
}

void diag_warning(struct diag *d, struct mark at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(d, at, true, fmt, ap);
	va_end(ap);
}

static int by_place(const void *pa, const void *pb)
{
	const struct diag_entry *a = pa, *b = pb;

	if (a->mark.file != b->mark.file)
		return a->mark.file < b->mark.file ? -1 : 1;
	if (a->mark.line != b->mark.line)
		return a->mark.line < b->mark.line ? -1 : 1;
	if (a->mark.column != b->mark.column)
		return a->mark.column < b->mark.column ? -1 : 1;
	return strcmp(a->text, b->text);
}

void diag_sort(struct diag *d)
{
	if (d->n)
		qsort(d->v, d->n, sizeof(*d->v), by_place);
}

int diag_line(const struct diag *d, const struct diag_entry *e, char *dst, size_t room)
{
	const char *kind = e->warning ? "warning: " : "";

	if (e->mark.file >= d->n_files) // the file itself could not be read; the text names it
		return snprintf(dst, room, "%s%s", kind, e->text);
	const char *file = d->files[e->mark.file];

	if (!e->mark.line)
		return snprintf(dst, room, "%s: %s%s", file, kind, e->text);
	return snprintf(dst, room, "%s:%u:%u: %s%s", file, e->mark.line, e->mark.column, kind, e->text);
}

void diag_print(struct diag *d, FILE *out)
{
	char line[1024];

	diag_sort(d);
	for (uint32_t i = 0; i < d->n; i++) {
		diag_line(d, &d->v[i], line, sizeof(line));
		fprintf(out, "%s\n", line);
	}
	if (d->errors + d->warnings > d->n)
		fprintf(out, "and %u more\n", d->errors + d->warnings - d->n);
}

void diag_free(struct diag *d)
{
	memory_free(&d->memory);
	*d = (struct diag){0};
}

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours count one each.
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned row[3][WORD_MAX + 1];

	for (size_t j = 0; j <= nb; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *upup = row[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned best = up[j - 1] + (a[i - 1] != b[j - 1]);

			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    upup[j - 2] + 1 < best)
				best = upup[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[na % 3][nb];
}

const char *diag_suggest(const char *written, const char *const *words, size_t n)
{
	size_t len = strlen(written);
	const char *best = NULL;
	unsigned least = len <= 3 ? 2 : len <= 6 ? 3 : 4; // one less than this many edits at most

	if (len == 0 || len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t m = words[i] ? strlen(words[i]) : 0;

		if (m == 0 || m > WORD_MAX)
			continue;
		unsigned d = distance(written, len, words[i], m);

		if (d < least && d < (len > m ? len : m)) {
			least = d;
			best = words[i];
		}
	}
	return best;
}
