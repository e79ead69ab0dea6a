// Prometheus text exposition format 0.0.4, written into a buffer that grows up to a bound.
//
// A family is opened once with text_family(); its samples follow it directly. Errors stick: when memory or the
// bound is reached, `failed` is set and what comes later is dropped, so callers check once at the end.
#pragma once
#include "contract/stats.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A full instance (1023 named routes and as many upstreams) with 64 workers writes about 11 MB.
#define TEXT_MAX (32u << 20)

struct text {
	char *p;
	size_t n, room;
	bool failed;
};

struct label {
	const char *name;
	const char *value; // any bytes; ends at NUL
};

void text_free(struct text *t);
void text_add(struct text *t, const char *s, size_t n);
void text_addf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// type: "counter", "gauge" or "histogram".
void text_family(struct text *t, const char *name, const char *type, const char *help);
void text_sample(struct text *t, const char *name, const struct label *l, unsigned n, uint64_t value);
void text_sample_signed(struct text *t, const char *name, const struct label *l, unsigned n, int64_t value);
// A duration in ns, written in seconds without loss.
void text_sample_seconds(struct text *t, const char *name, const struct label *l, unsigned n, uint64_t ns);
void text_sample_ratio(struct text *t, const char *name, const struct label *l, unsigned n, double value);
// Cumulative buckets at the powers of two of microseconds (each fourth of the contract's bounds, which are
// exact there), then +Inf, _sum and _count. At most 6 labels, besides le.
void text_histogram(struct text *t, const char *name, const struct label *l, unsigned n,
		    const uint64_t bucket[HIST_BUCKETS], uint64_t sum_ns);
