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

// Each proxied request carries its client's address: no printf, no divisions.
// clang-format off
static const char octets[256][4] = {
	"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15",
	"16", "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31",
	"32", "33", "34", "35", "36", "37", "38", "39", "40", "41", "42", "43", "44", "45", "46", "47",
	"48", "49", "50", "51", "52", "53", "54", "55", "56", "57", "58", "59", "60", "61", "62", "63",
	"64", "65", "66", "67", "68", "69", "70", "71", "72", "73", "74", "75", "76", "77", "78", "79",
	"80", "81", "82", "83", "84", "85", "86", "87", "88", "89", "90", "91", "92", "93", "94", "95",
	"96", "97", "98", "99", "100", "101", "102", "103", "104", "105", "106", "107", "108", "109", "110", "111",
	"112", "113", "114", "115", "116", "117", "118", "119", "120", "121", "122", "123", "124", "125", "126", "127",
	"128", "129", "130", "131", "132", "133", "134", "135", "136", "137", "138", "139", "140", "141", "142", "143",
	"144", "145", "146", "147", "148", "149", "150", "151", "152", "153", "154", "155", "156", "157", "158", "159",
	"160", "161", "162", "163", "164", "165", "166", "167", "168", "169", "170", "171", "172", "173", "174", "175",
	"176", "177", "178", "179", "180", "181", "182", "183", "184", "185", "186", "187", "188", "189", "190", "191",
	"192", "193", "194", "195", "196", "197", "198", "199", "200", "201", "202", "203", "204", "205", "206", "207",
	"208", "209", "210", "211", "212", "213", "214", "215", "216", "217", "218", "219", "220", "221", "222", "223",
	"224", "225", "226", "227", "228", "229", "230", "231", "232", "233", "234", "235", "236", "237", "238", "239",
	"240", "241", "242", "243", "244", "245", "246", "247", "248", "249", "250", "251", "252", "253", "254", "255",
};
// clang-format on

static char *octet_text(char *at, uint8_t v)
{
	memcpy(at, octets[v], 4);
	return at + 1 + (v >= 10) + (v >= 100);
}

char *addr_v4_put(char *to, struct addr a)
{
#pragma GCC unroll 4
	for (unsigned i = 12; i < 15; i++) {
		to = octet_text(to, a.b[i]);
		*to++ = '.';
	}
	return octet_text(to, a.b[15]);
}

const char *addr_text(struct addr a, char buf[static ADDR_TEXT_MAX])
{
	uint16_t g[8];
	unsigned at = 0, run, run_n;

	if (addr_is_v4(a)) {
		*addr_v4_put(buf, a) = '\0';
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
