// Payload that is sent on as it was received: its checksum (RFC 1071) is that of the bytes that came.
#include "base/checksum.h"
#include "tests/unit/tcp/bed.h"

#define N 1400 // bytes: one segment

static uint64_t pseudo(const struct bed *b, uint32_t len)
{
	return (uint64_t)addr_v4(b->local) + addr_v4(b->remote) + htons(IPPROTO_TCP) + htons((uint16_t)len);
}

// As it comes from a device that does not look at checksums.
static void come(struct bed *b, const void *data, uint32_t n)
{
	struct pkt *p = bed_packet((struct in){.src = b->peer_port,
					       .dst = b->our_port,
					       .seq = b->seq,
					       .ack = b->ack,
					       .flags = TCP_ACK,
					       .wnd = WND,
					       .data = data,
					       .len = n});
	struct tcp_header *h = (struct tcp_header *)pkt_data(p);
	struct net_seg seg = {.pkt = p, .src = b->remote, .dst = b->local};

	h->sum = checksum_fold(checksum_add(pseudo(b, pkt_len(p)), h, pkt_len(p)));
	tcp_input(b->tcp, &seg, 1);
	b->seq += n;
}

// Whether the last segment that was sent is whole.
static bool whole(const struct bed *b)
{
	const struct pkt *p = b->held[b->n_held - 1];
	uint32_t n = pkt_chain_len(p) - 34;

	return checksum_fold(checksum_add(pseudo(b, n), pkt_data(p) + 34, n)) == 0;
}

static struct pkt *taken(struct tcp_conn *c, struct checksum_tail *sum)
{
	*sum = tcp_recv_sum(tcp_recv_peek(c));
	return tcp_recv_take(c);
}

static struct bed *begin(struct tcp_conn **c)
{
	struct bed *b = bed_make((struct tcp_config){0});

	*c = bed_accept_with(b, (struct in){.mss = N});
	b->hold = true;
	return b;
}

static void what_is_sent_on_has_the_checksum_of_what_came(void **state)
{
	char data[N];
	struct checksum_tail sum;
	struct tcp_conn *c;
	struct bed *b = begin(&c);

	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		for (unsigned k = 0; k < N; k++)
			data[k] = (char)(i * 37 + k * k + k);
		come(b, data, N - i);
		struct pkt *p = taken(c, &sum);
		assert_int_equal(sum.len, N - i);
		tcp_forward(c, p, sum);
		bed_run(b);
		assert_int_equal(bed_out(b)->len, N - i);
		assert_true(whole(b));
		while (b->n_held)
			pkt_free_chain(b->held[--b->n_held]);
		bed_ack(b, b->out[b->n_out - 1].seq + N - i, WND);
		bed_drain(b);
	}
	bed_free(b);
}

static void a_byte_that_is_harmed_here_is_known_to_be_by_its_checksum(void **state)
{
	struct checksum_tail sum;
	struct tcp_conn *c;
	struct bed *b = begin(&c);

	(void)state;
	come(b, NULL, N);
	struct pkt *p = taken(c, &sum);
	pkt_data(p)[N / 2] ^= 1;
	tcp_forward(c, p, sum);
	bed_run(b);
	assert_false(whole(b));
	bed_free(b);
}

static void what_was_cut_or_joined_is_summed_anew(void **state)
{
	struct checksum_tail sum;
	struct tcp_conn *c;
	struct bed *b = begin(&c);

	(void)state;
	come(b, NULL, N - 100);
	tcp_recv_skip(c, 100);
	come(b, "0123456789", 10); // joins the bytes before
	struct pkt *p = taken(c, &sum);
	assert_int_equal(pkt_len(p), N - 190);
	assert_int_equal(sum.len, 0);
	tcp_forward(c, p, sum);
	bed_run(b);
	assert_true(whole(b));
	b->seq -= 50; // the peer sends some of it again, with more behind it
	come(b, NULL, N);
	p = taken(c, &sum);
	assert_int_equal(pkt_len(p), N - 50);
	assert_int_equal(sum.len, 0);
	tcp_forward(c, p, sum);
	bed_run(b);
	assert_true(whole(b));
	bed_free(b);
}

// As a message whose head is another one when it goes on.
static void what_goes_on_behind_another_head_has_the_sum_of_what_came(void **state)
{
	char data[N], head[200];
	struct checksum_tail sum;
	struct tcp_conn *c;
	struct bed *b = begin(&c);

	(void)state;
	memset(head, 'h', sizeof(head));
	for (unsigned i = 0; i < 64; i++) {
		uint32_t old = 70 + i % 9, new = old + 30 + i % 7, n = N - 100 - i;

		for (unsigned k = 0; k < N; k++)
			data[k] = (char)(i * 41 + k * k + k);
		come(b, data, n);
		tcp_recv_skip(c, old);
		struct pkt *p = taken(c, &sum);
		assert_int_equal(sum.len, n - old);
		memcpy(pkt_prepend(p, new), head, new);
		tcp_forward(c, p, checksum_behind(sum, new));
		bed_run(b);
		assert_int_equal(bed_out(b)->len, n - old + new);
		assert_true(whole(b));
		pkt_data(b->held[b->n_held - 1])[N / 2] ^= 1; // which nobody has read here
		assert_false(whole(b));
		while (b->n_held)
			pkt_free_chain(b->held[--b->n_held]);
		bed_ack(b, b->out[b->n_out - 1].seq + n - old + new, WND);
		bed_drain(b);
	}
	bed_free(b);
}

static void with_room_for_the_headers_that_it_needs_a_buffer_goes_out_in_place(void **state)
{
	struct tcp_conn *c;
	struct bed *b = begin(&c);
	uint32_t need = tcp_headers(c);

	(void)state;
	assert_in_range(need, 14 + 20 + 20, 14 + 20 + 32);
	for (uint32_t off = need - 1; off <= need; off++) {
		struct pkt *p = pkt_alloc(bed_pool);

		memset(pkt_append(p, 900), 'x', 900);
		(void)pkt_prepend(p, pkt_headroom(p) - off);
		pkt_trim(p, pkt_len(p) - 900);
		assert_int_equal(pkt_headroom(p), off);
		tcp_send(c, p);
		bed_run(b);
		assert_int_equal(bed_out(b)->len, 900);
		assert_int_equal(bed_count(b, CTR_tcp_in_place), off == need);
		while (b->n_held)
			pkt_free_chain(b->held[--b->n_held]);
		bed_ack(b, b->out[b->n_out - 1].seq + 900, WND);
		bed_drain(b);
	}
	bed_free(b);
}

static void what_a_device_calls_right_is_summed_anew(void **state)
{
	struct checksum_tail sum;
	struct tcp_conn *c;
	struct bed *b = begin(&c);

	(void)state;
	bed_data(b, NULL, N); // with no checksum at all
	struct pkt *p = taken(c, &sum);
	tcp_forward(c, p, sum);
	bed_run(b);
	assert_true(whole(b));
	bed_free(b);
}

static void small_bytes_behind_a_buffer_that_is_sent_on_are_summed_with_it(void **state)
{
	struct checksum_tail sum;
	struct tcp_conn *c;
	struct bed *b = begin(&c);

	(void)state;
	come(b, NULL, N - 100);
	struct pkt *p = taken(c, &sum);
	tcp_forward(c, p, sum);
	assert_int_equal(tcp_send_copy(c, "tail", 4), 0);
	bed_run(b);
	assert_int_equal(bed_out(b)->len, N - 96);
	assert_true(whole(b));
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(what_is_sent_on_has_the_checksum_of_what_came),
	BED_TEST(a_byte_that_is_harmed_here_is_known_to_be_by_its_checksum),
	BED_TEST(what_was_cut_or_joined_is_summed_anew),
	BED_TEST(what_goes_on_behind_another_head_has_the_sum_of_what_came),
	BED_TEST(with_room_for_the_headers_that_it_needs_a_buffer_goes_out_in_place),
	BED_TEST(what_a_device_calls_right_is_summed_anew),
	BED_TEST(small_bytes_behind_a_buffer_that_is_sent_on_are_summed_with_it),
};
BED_MAIN(tests)
