#include "base/addr.h"
#include <arpa/inet.h>
#include <stdio.h>

// The longest run of two or more zero groups, the first of equals (RFC 5952 4.2); *n is 0 where there is none.
static unsigned zero_run(const uint16_t g[static 8], unsigned *n)
{
	unsigned best = 0, best_n = 0;

	for (unsigned i = 0; i < 8;) {
		unsigned from = i;

		while (i < 8 && g[i] == 0)
			i++;
		if (i - from > best_n) {
			best = from;
			best_n = i - from;
		}
		if (i == from)
			i++;
	}
	*n = best_n >= 2 ? best_n : 0;
	return best;
}

// Without printf: each proxied request carries its client's address.
static char *octet_text(char *at, uint8_t v)
{
	if (v >= 100)
		*at++ = (char)('0' + v / 100);
	if (v >= 10)
		*at++ = (char)('0' + v / 10 % 10);
	*at++ = (char)('0' + v % 10);
	return at;
}

const char *addr_text(struct addr a, char buf[static ADDR_TEXT_MAX])
{
	uint16_t g[8];
	unsigned at = 0, run, run_n;

	if (addr_is_v4(a)) {
		char *end = octet_text(buf, a.b[12]);

		for (unsigned i = 13; i < 16; i++) {
			*end++ = '.';
			end = octet_text(end, a.b[i]);
		}
		*end = '\0';
		return buf;
	}
	for (unsigned i = 0; i < 8; i++)
		g[i] = (uint16_t)(a.b[2 * i] << 8 | a.b[2 * i + 1]);
	run = zero_run(g, &run_n);
	buf[0] = '\0';
	for (unsigned i = 0; i < 8; i++) {
		if (run_n > 0 && i == run) {
			at += (unsigned)snprintf(buf + at, ADDR_TEXT_MAX - at, "::");
			i += run_n - 1;
			continue;
		}
		const char *colon = i == 0 || (run_n > 0 && i == run + run_n) ? "" : ":";
		at += (unsigned)snprintf(buf + at, ADDR_TEXT_MAX - at, "%s%x", colon, g[i]);
	}
	return buf;
}

int addr_parse(const char *s, unsigned long n, struct addr *out)
{
	char text[ADDR_TEXT_MAX];
	struct in_addr v4;

	if (n == 0 || n >= sizeof(text) || memchr(s, '\0', n))
		return -1;
	memcpy(text, s, n);
	text[n] = '\0';
	if (inet_pton(AF_INET, text, &v4) == 1) {
		*out = addr_from_v4(v4.s_addr);
		return 0;
	}
	return inet_pton(AF_INET6, text, out->b) == 1 ? 0 : -1;
}
