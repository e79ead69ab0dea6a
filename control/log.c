#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUFFER   (64u << 10)
#define LINE_MAX 4096

int log_open(struct log *l, const char *path)
{
	char *copy = path ? strdup(path) : NULL;
	int fd = STDERR_FILENO;

	if (path && !copy)
		return -ENOMEM;
	if (path) {
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
		if (fd < 0) {
			free(copy);
			return -errno;
		}
	}
	log_close(l);
	*l = (struct log){.fd = fd, .path = copy, .buffer = malloc(BUFFER)};
	return 0;
}

void log_close(struct log *l)
{
	log_flush(l);
	if (l->path)
		close(l->fd);
	free(l->path);
	free(l->buffer);
	*l = (struct log){.fd = STDERR_FILENO};
}

void log_flush(struct log *l)
{
	unsigned at = 0;

	while (at < l->used) {
		ssize_t n = write(l->fd, l->buffer + at, l->used - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; // a full disk or a closed pipe: nothing better can be done with the lines
		at += (unsigned)n;
	}
	l->used = 0;
}

void log_line(struct log *l, uint64_t realtime, const char *kind, const char *text, unsigned n)
{
	time_t seconds = (time_t)(realtime / 1000000000u);
	struct tm tm;
	char line[LINE_MAX + 64];
	int k;

	gmtime_r(&seconds, &tm);
	if (n > LINE_MAX)
		n = LINE_MAX;
	k = snprintf(line, sizeof(line), "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ %s ", tm.tm_year + 1900,
		     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		     (unsigned)(realtime / 1000000u % 1000u), kind);
	if (k < 0 || (size_t)k > 63)
		return;
	// What others wrote must not forge lines of its own.
	for (unsigned i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		line[k + (int)i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	n += (unsigned)k;
	line[n++] = '\n';
	if (!l->buffer) {
		if (write(l->fd, line, n) < 0)
			return;
		return;
	}
	if (l->used + n > BUFFER)
		log_flush(l);
	memcpy(l->buffer + l->used, line, n);
	l->used += n;
}

static void now_line(struct log *l, const char *kind, const char *fmt, va_list ap)
{
	char text[LINE_MAX];
	struct timespec t;
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	clock_gettime(CLOCK_REALTIME, &t);
	if (n < 0)
		return;
	log_line(l, (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec, kind, text,
		 n < (int)sizeof(text) ? (unsigned)n : sizeof(text) - 1);
	log_flush(l);
}

void log_note(struct log *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	now_line(l, "notice", fmt, ap);
	va_end(ap);
}

void log_error(struct log *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	now_line(l, "error", fmt, ap);
	va_end(ap);
}
