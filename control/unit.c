// Values with units, and addresses.
#include "schema.h"
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit time_units[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", 60ull * 1000000000},
	{"h", 3600ull * 1000000000},
};
static const struct unit size_units[] = {
	{"B", 1},
	{"KiB", 1ull << 10},
	{"MiB", 1ull << 20},
	{"GiB", 1ull << 30},
};

// digits[.digits]unit, exact: what does not come out whole (1.5ns) is refused.
static bool parse(const char *s, const struct unit *u, size_t n, uint64_t *out, const char **why,
		  const char *units)
{
	uint64_t whole = 0, part = 0, scale = 1;
	const char *p = s;

	if (*p < '0' || *p > '9') {
		*why = "is not a number with a unit";
		return false;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
			goto large;
	if (*p == '.') {
		if (p[1] < '0' || p[1] > '9') {
			*why = "is not a number with a unit";
			return false;
		}
		for (p++; *p >= '0' && *p <= '9'; p++) {
			if (scale > 100000000ull)
				goto large;
			part = part * 10 + (uint64_t)(*p - '0');
			scale *= 10;
		}
	}
	if (*p == '\0') {
		*why = units;
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t v;
		__uint128_t fraction;

		if (strcmp(p, u[i].name) != 0)
			continue;
		fraction = (__uint128_t)part * u[i].factor;
		if (fraction % scale) {
			*why = "is finer than its unit allows";
			return false;
		}
		if (__builtin_mul_overflow(whole, u[i].factor, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(fraction / scale), &v))
			goto large;
		*out = v;
		return true;
	}
	*why = units;
	return false;
large:
	*why = "is too large or has too many digits";
	return false;
}

bool unit_time(const char *s, uint64_t *ns, const char **why)
{
	return parse(s, time_units, sizeof(time_units) / sizeof(time_units[0]), ns, why,
		     "needs a unit: ns, us, ms, s, m or h");
}

bool unit_rate(const char *s, uint32_t *count, uint64_t *period, const char **why)
{
	static const struct unit periods[] = {{"s", 1000000000ull},
					      {"min", 60ull * 1000000000},
					      {"h", 3600ull * 1000000000},
					      {"day", 86400ull * 1000000000}};
	uint64_t n = 0;

	*why = "is no rate such as \"100/min\": a whole number, then /s, /min, /h or /day";
	if (*s < '1' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		n = n * 10 + (uint64_t)(*s - '0');
		if (n > 1000000000) {
			*why = "is more than 1000000000 in its unit";
			return false;
		}
	}
	if (*s++ != '/')
		return false;
	for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++)
		if (strcmp(s, periods[i].name) == 0) {
			*count = (uint32_t)n;
			*period = periods[i].factor;
			return true;
		}
	return false;
}

bool unit_size(const char *s, uint64_t *bytes, const char **why)
{
	return parse(s, size_units, sizeof(size_units) / sizeof(size_units[0]), bytes, why,
		     "needs a unit: B, KiB, MiB or GiB");
}

bool unit_speed(const char *s, uint64_t *bytes, const char **why)
{
	size_t n = strlen(s);
	char size[32];

	if (n >= 2 && n - 2 < sizeof(size) && strcmp(s + n - 2, "/s") == 0) {
		memcpy(size, s, n - 2);
		size[n - 2] = '\0';
		if (unit_size(size, bytes, why))
			return true;
	}
	*why = "is not bytes in a second, such as \"1KiB/s\"";
	return false;
}

static void text_of(uint64_t v, const struct unit *u, size_t n, char out[static 32])
{
	size_t best = 0;

	for (size_t i = 0; i < n && v; i++)
		if (v % u[i].factor == 0)
			best = i;
	snprintf(out, 32, "%llu%s", (unsigned long long)(v / u[best].factor), u[best].name);
}

void unit_time_text(uint64_t ns, char out[static 32])
{
	if (ns == 0)
		snprintf(out, 32, "0s");
	else
		text_of(ns, time_units, sizeof(time_units) / sizeof(time_units[0]), out);
}

void unit_size_text(uint64_t bytes, char out[static 32])
{
	text_of(bytes, size_units, sizeof(size_units) / sizeof(size_units[0]), out);
}

bool address_tcp(const char *s, bool any, struct addr *addr, uint16_t *port, const char **why)
{
	const char *colon = strrchr(s, ':'), *host = s;
	size_t n = colon ? (size_t)(colon - s) : 0;
	uint32_t v = 0;

	if (!colon || colon[1] == '\0' || strlen(colon + 1) > 5) {
		*why = any ? "is not \":port\" or \"address:port\"" : "is not \"address:port\"";
		return false;
	}
	for (const char *p = colon + 1; *p; p++) {
		if (*p < '0' || *p > '9') {
			*why = "has a port that is not a number";
			return false;
		}
		v = v * 10 + (uint32_t)(*p - '0');
	}
	if (v == 0 || v > 65535) {
		*why = "has a port that is not in 1..65535";
		return false;
	}
	*port = (uint16_t)v;
	*addr = (struct addr){.w = {0, 0}};
	if (n == 0) {
		*why = "has no address";
		return any;
	}
	if (host[0] == '[' && host[n - 1] == ']' && n > 2) {
		host++;
		n -= 2;
		if (!memchr(host, ':', n)) {
			*why = "has an IPv4 address in brackets";
			return false;
		}
	} else if (memchr(host, ':', n)) {
		*why = "needs brackets around its IPv6 address";
		return false;
	}
	if (addr_parse(host, n, addr) != 0) {
		*why = "has a malformed address";
		return false;
	}
	return true;
}

bool address_prefix(const char *s, struct addr *addr, uint32_t *prefix, const char **why)
{
	const char *slash = strchr(s, '/');
	uint32_t v = 0, max;

	if (!slash) {
		*why = "needs a prefix length: address/bits";
		return false;
	}
	if (addr_parse(s, (size_t)(slash - s), addr) != 0) {
		*why = "is a malformed address";
		return false;
	}
	max = addr_is_v4(*addr) ? 32 : 128;
	if (slash[1] == '\0' || strlen(slash + 1) > 3) {
		*why = "has a malformed prefix length";
		return false;
	}
	for (const char *p = slash + 1; *p; p++) {
		if (*p < '0' || *p > '9') {
			*why = "has a malformed prefix length";
			return false;
		}
		v = v * 10 + (uint32_t)(*p - '0');
	}
	if (v > max) {
		*why = max == 32 ? "has a prefix length beyond 32" : "has a prefix length beyond 128";
		return false;
	}
	*prefix = v + (128 - max);
	return true;
}
