#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "port/steer.h"

static const uint8_t ndis_key[STEER_KEY] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

// "Verifying the RSS Hash Calculation" of the NDIS documentation.
static const struct {
	const char *dst, *src;
	uint16_t dst_port, src_port;
	uint32_t hash;
} vectors[] = {
	{"161.142.100.80", "66.9.149.187", 1766, 2794, 0x51ccc178},
	{"65.69.140.83", "199.92.111.2", 4739, 14230, 0xc626b0ea},
	{"12.22.207.184", "24.19.198.95", 38024, 12898, 0x5c2b394a},
	{"209.142.163.6", "38.27.205.30", 2217, 48228, 0xafc7327f},
	{"202.188.127.2", "153.39.163.191", 1303, 44251, 0x10e828a2},
	{"3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x40207d3d},
	{"ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0xdde51bbf},
	{"fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251, 0x02d1feef},
};

static struct addr parsed(const char *s)
{
	struct addr a;

	assert_int_equal(addr_parse(s, strlen(s), &a), 0);
	return a;
}

static void toeplitz_gives_the_published_hashes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct addr src = parsed(vectors[i].src), dst = parsed(vectors[i].dst);
		unsigned from = addr_is_v4(src) ? 12 : 0, n = 16 - from;
		uint8_t in[36];

		memcpy(in, src.b + from, n);
		memcpy(in + n, dst.b + from, n);
		in[2 * n] = (uint8_t)(vectors[i].src_port >> 8);
		in[2 * n + 1] = (uint8_t)vectors[i].src_port;
		in[2 * n + 2] = (uint8_t)(vectors[i].dst_port >> 8);
		in[2 * n + 3] = (uint8_t)vectors[i].dst_port;
		assert_int_equal(steer_toeplitz(ndis_key, in, 2 * n + 4), vectors[i].hash);
	}
}

static struct steer rss(void)
{
	struct steer s = {.kind = STEER_RSS, .workers = 4, .reta_size = 128};

	memcpy(s.key, ndis_key, STEER_KEY);
	for (unsigned i = 0; i < STEER_RETA; i++)
		s.reta[i] = (uint16_t)(i % 3);
	s.reta[0x78] = 3;
	return s;
}

static void rss_looks_the_hash_up_in_the_indirection_table(void **state)
{
	(void)state;
	struct steer s = rss();

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(steer_flow(&s, parsed(vectors[i].src), parsed(vectors[i].dst),
					    vectors[i].src_port, vectors[i].dst_port),
				 s.reta[vectors[i].hash & 127]);
	assert_int_equal(steer_flow(&s, parsed("66.9.149.187"), parsed("161.142.100.80"), 2794, 1766), 3);
}

static void portbits_take_the_ephemeral_port_modulo_workers(void **state)
{
	(void)state;
	struct steer s = {.kind = STEER_PORTBITS, .workers = 3};
	struct addr a = parsed("198.18.0.1"), b = parsed("198.18.0.2");

	for (unsigned p = STEER_EPHEMERAL; p <= 65535; p += 7)
		assert_int_equal(steer_flow(&s, a, b, 80, (uint16_t)p), p % 3);
}

static void portbits_spread_clients_of_a_listener_by_their_end_alone(void **state)
{
	(void)state;
	struct steer s = {.kind = STEER_PORTBITS, .workers = 4};
	struct addr a = parsed("198.18.0.1"), b = parsed("198.18.0.2"), c = parsed("198.19.0.2");
	unsigned seen[4] = {0};

	for (unsigned p = 1024; p < 65536; p++) {
		unsigned w = steer_flow(&s, a, b, (uint16_t)p, 80);

		assert_int_equal(steer_flow(&s, a, c, (uint16_t)p, 443), w);
		assert_in_range(w, 0, 3);
		seen[w]++;
	}
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(seen[i], 64512 / 4 * 9 / 10, 64512 / 4 * 11 / 10);
}

static uint8_t *put(uint8_t *p, const char *hex)
{
	for (; *hex; hex++) {
		unsigned v;

		if (*hex == ' ')
			continue;
		v = (unsigned)strtoul((char[]){hex[0], hex[1], 0}, NULL, 16);
		*p++ = (uint8_t)v;
		hex++;
	}
	return p;
}

#define MACS "020000000001 020000000002"
#define IPV4 "4500 0028 0001 4000 4006 0000 c6120001 c6120002"

// A frame in memory of exactly its size, so that the sanitizer sees any byte read beyond it.
static unsigned owner(const struct steer *s, const char *hex, unsigned self)
{
	uint8_t buf[256];
	uint32_t n = (uint32_t)(put(buf, hex) - buf);
	char *exact = malloc(n ? n : 1);
	unsigned w;

	assert_non_null(exact);
	memcpy(exact, buf, n);
	w = steer_frame(s, exact, n, self);
	for (uint32_t cut = 0; cut < n; cut++) { // no prefix may be read beyond its end either
		char *shorter = malloc(cut ? cut : 1);

		assert_non_null(shorter);
		memcpy(shorter, exact, cut);
		(void)steer_frame(s, shorter, cut, self);
		free(shorter);
	}
	free(exact);
	return w;
}

static void frames_are_steered_as_their_flow_is(void **state)
{
	(void)state;
	struct steer s = {.kind = STEER_PORTBITS, .workers = 4};
	struct addr c = parsed("198.18.0.1"), g = parsed("198.18.0.2");
	unsigned want = steer_flow(&s, c, g, 0x1234, 80);
	unsigned self = (want + 1) % 4;

	assert_int_equal(owner(&s, MACS "0800" IPV4 "1234 0050 00000000", self), want);
	assert_int_equal(owner(&s, MACS "8100 0064 0800" IPV4 "1234 0050 00000000", self), want);
	// With options the ports stand further back.
	assert_int_equal(owner(&s,
			       MACS "0800 4600 002c 0001 4000 4006 0000 c6120001 c6120002 01010101"
				    "1234 0050 00000000",
			       self),
			 want);
	assert_int_equal(owner(&s, MACS "0800" IPV4 "0050 8003 00000000", 0), 0x8003 % 4);
	assert_int_equal(owner(&s,
			       MACS "86dd 60000000 0014 0640 fd0000c6001200000000000000000001 "
				    "fd0000c6001200000000000000000002"
				    "0050 8002 00000000",
			       0),
			 0x8002 % 4);
}

// RFC 792, RFC 4443 2.4: it is of use to the worker alone whose segment it quotes.
static void an_icmp_error_is_steered_as_the_flow_that_it_quotes(void **state)
{
	(void)state;
	struct steer s = {.kind = STEER_PORTBITS, .workers = 4};
	unsigned want = steer_flow(&s, parsed("198.18.0.1"), parsed("198.18.0.2"), 0x1234, 80);
	unsigned self = (want + 1) % 4;

#define ERROR4  MACS "0800 4500 0038 0001 0000 4001 0000 c6120009 c6120002 0304 0000 00000400"
#define QUOTED4 "4500 05dc 0001 4000 4006 0000 c6120002 c6120001 0050 1234 00000000"
	assert_int_equal(owner(&s, ERROR4 QUOTED4, self), want);
	assert_int_equal(
		owner(&s, ERROR4 "4500 05dc 0001 4000 4011 0000 c6120002 c6120001 0050 1234 00000000", self),
		self); // UDP
	assert_int_equal(
		owner(&s,
		      MACS "0800 4500 0038 0001 0000 4001 0000 c6120009 c6120002 0800 0000 00000400" QUOTED4,
		      self),
		self); // an echo request, whatever it carries
	assert_int_equal(owner(&s,
			       MACS "86dd 60000000 0038 3a40 fd0000c6001200000000000000000009 "
				    "fd0000c6001200000000000000000002 0200 0000 00000500"
				    "60000000 0500 0640 fd0000c6001200000000000000000002 "
				    "fd0000c6001200000000000000000001 8002 0050 00000000",
			       0),
			 0x8002 % 4);
}

static void what_has_no_ports_stays_where_it_came_in(void **state)
{
	(void)state;
	struct steer s = {.kind = STEER_PORTBITS, .workers = 4};

	for (unsigned self = 0; self < 4; self++) {
		assert_int_equal(owner(&s, "", self), self);
		assert_int_equal(owner(&s, MACS "0806 0001", self), self); // ARP
		assert_int_equal(
			owner(&s, MACS "0800 4500 0028 0001 4000 4011 0000 c6120001 c6120002 12340050", self),
			self); // UDP
		assert_int_equal(
			owner(&s, MACS "0800 4400 0028 0001 0000 4006 0000 c6120001 c6120002 12340050", self),
			self); // header length below 20
		assert_int_equal(
			owner(&s, MACS "0800 4f00 0028 0001 0000 4006 0000 c6120001 c6120002 12340050", self),
			self); // and beyond the frame
		assert_int_equal(owner(&s, MACS "8100 0064", self), self);
	}
}

// There are no ports in the later ones, and one worker must have them all.
static void fragments_of_one_sender_have_one_owner(void **state)
{
	(void)state;
	struct steer s = {.kind = STEER_PORTBITS, .workers = 4};
	unsigned seen = 0, first, later, six;

	for (unsigned from = 1; from < 100; from++) {
		char a[200], b[200], c[300];

		snprintf(a, sizeof(a), MACS "0800 4500 0028 0001 2000 4006 0000 c61200%02x c6120001 12340050",
			 from);
		snprintf(b, sizeof(b), MACS "0800 4500 0028 0001 0010 4001 0000 c61200%02x c6120001 00000000",
			 from);
		first = owner(&s, a, from % 4);
		later = owner(&s, b, 3 - from % 4);
		assert_int_equal(first, later);
		seen |= 1u << first;
		six = 0;
		for (unsigned kind = 0; kind < 4; kind++) { // behind any extension header
			snprintf(c, sizeof(c),
				 MACS "86dd 60000000 0014 %s40 fd0000c60012000000000000000000%02x "
				      "fd0000c6001200000000000000000001 06000000 00000000",
				 (const char *[]){"00", "2b", "2c", "3c"}[kind], from);
			if (kind == 0)
				six = owner(&s, c, from % 4);
			assert_int_equal(owner(&s, c, kind), six);
		}
	}
	assert_int_equal(seen, 15);
}

// Else another worker is told of what it does not know, and path-MTU discovery ends (RFC 1191, RFC 8201).
static void an_icmp_error_goes_to_the_owner_of_what_it_quotes(void **state)
{
	(void)state;
	struct steer s = {.kind = STEER_PORTBITS, .workers = 4};
	char four[400], options[400], six[400], whole[400];

	for (unsigned port = 40000; port < 40008; port++) { // ours, towards 198.18.0.9:80
		snprintf(four, sizeof(four),
			 MACS "0800 4500 0038 0001 0000 4001 0000 c6120063 c6120001 03040000 00000500"
			      "4500 05dc 0001 4000 4006 0000 c6120001 c6120009 %04x0050 00000001",
			 port);
		snprintf(options, sizeof(options),
			 MACS "0800 4600 0040 0001 0000 4001 0000 c6120063 c6120001 01010101 0b000000 00000000"
			      "4600 05dc 0001 4000 4006 0000 c6120001 c6120009 01010101 %04x0050 00000001",
			 port);
		snprintf(six, sizeof(six),
			 MACS
			 "86dd 60000000 0038 3a40 fd0000c6001200000000000000000099 "
			 "fd0000c6001200000000000000000001 02000000 00000500"
			 "60000000 0500 0640 fd0000c6001200000000000000000001 fd0000c6001200000000000000000009"
			 "%04x0050 00000001",
			 port);
		for (unsigned self = 0; self < 4; self++) {
			assert_int_equal(owner(&s, four, self), port % 4);
			assert_int_equal(owner(&s, options, self), port % 4);
			assert_int_equal(owner(&s, six, self), port % 4);
			for (unsigned cut = 1; cut < 70; cut++) { // cut short anywhere
				strcpy(whole, four);
				whole[strlen(whole) - cut] = '\0';
				assert_true(owner(&s, whole, self) < 4);
				strcpy(whole, six);
				whole[strlen(whole) - cut] = '\0';
				assert_true(owner(&s, whole, self) < 4);
			}
		}
	}
	strcpy(whole, four); // an echo, a UDP datagram and a later fragment quoted
	memcpy(strstr(whole, "03040000"), "08", 2);
	assert_int_equal(owner(&s, whole, 3), 3);
	strcpy(whole, four);
	memcpy(strstr(whole, "4006"), "4011", 4);
	assert_int_equal(owner(&s, whole, 2), 2);
	strcpy(whole, four);
	memcpy(strstr(whole, "4000 4006"), "0001", 4);
	assert_int_equal(owner(&s, whole, 1), 1);
}

static void one_worker_owns_everything(void **state)
{
	(void)state;
	struct steer s = {.kind = STEER_ONE, .workers = 1};
	struct addr a = parsed("fd00:c6:12::1");

	assert_int_equal(steer_flow(&s, a, a, 1, 60000), 0);
	assert_int_equal(owner(&s, MACS "0800" IPV4 "0050 8003 00000000", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(toeplitz_gives_the_published_hashes),
		cmocka_unit_test(rss_looks_the_hash_up_in_the_indirection_table),
		cmocka_unit_test(portbits_take_the_ephemeral_port_modulo_workers),
		cmocka_unit_test(portbits_spread_clients_of_a_listener_by_their_end_alone),
		cmocka_unit_test(frames_are_steered_as_their_flow_is),
		cmocka_unit_test(an_icmp_error_is_steered_as_the_flow_that_it_quotes),
		cmocka_unit_test(what_has_no_ports_stays_where_it_came_in),
		cmocka_unit_test(fragments_of_one_sender_have_one_owner),
		cmocka_unit_test(an_icmp_error_goes_to_the_owner_of_what_it_quotes),
		cmocka_unit_test(one_worker_owns_everything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
