#include "net/extension.h"
#include "net/icmp6.h"
#include "net/ipv6.h"
#include "net/wire.h"
#include <netinet/in.h>

#define AT_NEXT 6
#define PAD1    0
// What an option's sender wants if it is not known (RFC 8200 4.2).
enum { ACTION_SKIP, ACTION_DISCARD, ACTION_TELL, ACTION_TELL_UNICAST };

static void set_fault(struct ipv6_walk *w, enum counter why)
{
	if (w->fault == CTR_COUNT)
		w->fault = why;
}

static void set_problem(struct ipv6_walk *w, uint8_t code, uint32_t at, bool groups)
{
	if (w->fault != CTR_COUNT)
		return;
	w->fault = CTR_ip_bad_extension;
	w->code = code;
	w->pointer = at;
	w->answer = true;
	w->answer_groups = groups;
}

// None of the options matters to a host that takes no jumbograms and forwards nothing.
static bool walk_options(struct ipv6_walk *w, const uint8_t *ip, uint32_t at, uint32_t end, unsigned *left)
{
	for (at += 2; at < end; at += 2u + ip[at + 1]) {
		while (at < end && ip[at] == PAD1) {
			if ((*left)-- == 0)
				return false;
			at++;
		}
		if (at == end)
			return true;
		if ((*left)-- == 0 || end - at < 2 || end - at < 2u + ip[at + 1])
			return false;
		if (ip[at] == 1) // PadN
			continue;
		switch (ip[at] >> 6) {
		case ACTION_SKIP:
			break;
		case ACTION_DISCARD:
			set_fault(w, CTR_ip_bad_extension);
			break;
		case ACTION_TELL:
			set_problem(w, PROBLEM_OPTION, at, true);
			break;
		default:
			set_problem(w, PROBLEM_OPTION, at, false);
		}
	}
	return true;
}

// One header at `at`, n bytes of the packet in all; returns its length, 0: it cannot be read.
static uint32_t walk_one(struct ipv6_walk *w, const uint8_t *ip, uint32_t at, uint32_t n, uint32_t next_at,
			 unsigned *options)
{
	uint32_t len;

	if (n - at < 8)
		return 0;
	if (w->proto == IPPROTO_FRAGMENT) {
		if (w->fragmented)
			set_fault(w, CTR_ip_fragment_bad);
		w->fragmented = true;
		if ((get16(ip + at + 2) & (FRAGMENT_OFFSET | FRAGMENT_MORE)) != 0) {
			w->fragment = at;
			w->named = next_at;
		}
		return 8;
	}
	len = 8u + 8u * ip[at + 1];
	if (len > n - at)
		return 0;
	if (w->proto == IPPROTO_ROUTING) {
		// We are no waypoint: type 0 (RFC 5095) and every other are skipped at their end, else refused.
		if (ip[at + 3] != 0)
			set_problem(w, PROBLEM_FIELD, at + 2, false);
	} else if (!walk_options(w, ip, at, at + len, options)) {
		return 0;
	}
	return len;
}

void ipv6_walk(struct ipv6_walk *w, const uint8_t *ip, uint32_t n)
{
	uint32_t next_at = AT_NEXT, len;
	unsigned options = EXTENSION_OPTIONS;

	*w = (struct ipv6_walk){.header = IPV6_HEADER, .proto = ip[AT_NEXT], .fault = CTR_COUNT};
	if (__builtin_expect(w->proto == IPPROTO_TCP, 1))
		return;
	for (unsigned i = 0;; i++) {
		switch (w->proto) {
		case IPPROTO_HOPOPTS:
			if (i > 0) // RFC 8200 4.1: elsewhere it is no header that could be known
				goto unknown;
			break;
		case IPPROTO_DSTOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_FRAGMENT:
			break;
		case IPPROTO_TCP:
		case IPPROTO_UDP:
		case IPPROTO_ICMPV6:
			return;
		case IPPROTO_NONE:
			set_fault(w, CTR_ip_unknown_protocol);
			return;
		default:
			goto unknown;
		}
		len = i < EXTENSION_HEADERS ? walk_one(w, ip, w->header, n, next_at, &options) : 0;
		if (len == 0) {
			set_fault(w, CTR_ip_bad_extension);
			w->answer = false;
			w->proto = IPPROTO_NONE;
			return;
		}
		w->proto = ip[w->header];
		next_at = w->header;
		w->header += len;
		if (w->fragment == next_at && (get16(ip + next_at + 2) & FRAGMENT_OFFSET) != 0)
			return; // what follows is no header
	}
unknown:
	if (w->fault == CTR_COUNT) {
		set_problem(w, PROBLEM_NEXT_HEADER, next_at, false);
		w->fault = CTR_ip_unknown_protocol;
	}
}
