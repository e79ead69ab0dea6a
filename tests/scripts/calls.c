// Socket calls, settings, and what is asked of the stack.
#include "scripts/play.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define OUR_PORT  80
#define READ_MAX  (1u << 20)
#define WRITE_MAX (4u << 20)

bool play_set(struct play *p, const struct step *step)
{
	struct tcp_config *t = &p->conf.tcp;
	const char *name = step->word;
	const struct {
		const char *name;
		uint32_t *value;
	} word[] = {
		{"rcv_buf", &t->rcv_buf},
		{"rcv_buf_fixed", &p->options.rcv_buf},
		{"snd_buf", &t->snd_buf},
		{"ooo_max", &t->ooo_max},
		{"syn_retries", &t->syn_retries},
		{"data_retries", &t->data_retries},
		{"keep_probes", &t->keep_probes},
		{"max_conns", &t->max_conns},
		{"max_half_open", &t->max_half_open},
		{"max_time_wait", &t->max_time_wait},
		{"isn", &p->isn},
		{"iss", &p->iss_want},
	};
	const struct {
		const char *name;
		uint64_t *value;
	} wide[] = {
		{"msl", &t->msl},
		{"buffer_memory", &t->buffer_memory},
		{"user_timeout", &t->user_timeout},
		{"keep_idle", &t->keep_idle},
		{"keep_interval", &t->keep_interval},
	};

	for (unsigned i = 0; i < sizeof(word) / sizeof(*word); i++)
		if (strcmp(word[i].name, name) == 0) {
			*word[i].value = (uint32_t)step->n;
			p->iss_wanted |= word[i].value == &p->iss_want;
			return true;
		}
	for (unsigned i = 0; i < sizeof(wide) / sizeof(*wide); i++)
		if (strcmp(wide[i].name, name) == 0) {
			*wide[i].value = step->n;
			return true;
		}
	if (strcmp(name, "tso") == 0) {
		p->conf.tx_checksum = true;
		p->conf.tso = (struct tso){.max = (uint32_t)step->n,
					   .segments = NIC_FRAMES,
					   .buffers = UINT16_MAX,
					   .segment_buffers = 8,
					   .ipv6 = true};
	} else if (strcmp(name, "mtu") == 0)
		p->conf.mtu = (uint16_t)(step->n + (p->variant.v6 ? 20 : 0));
	else if (strcmp(name, "no_sack") == 0)
		t->no_sack = step->n;
	else if (strcmp(name, "cc") == 0)
		t->cc = step->value && strcmp(step->value, "newreno") == 0 ? TCP_CC_NEWRENO : TCP_CC_CUBIC;
	else if (strcmp(name, "ecn") == 0)
		t->ecn = step->value && strcmp(step->value, "active") == 0  ? TCP_ECN_ACTIVE
			 : step->value && strcmp(step->value, "never") == 0 ? TCP_ECN_NEVER
									    : TCP_ECN_PASSIVE;
	else
		return play_fail(p, step, "  no setting: %s", name);
	return true;
}

static bool gave(struct play *p, const struct step *step, int error)
{
	if (error == step->error)
		return true;
	return play_fail(p, step, "  - %s\n  + %s", errno_name(step->error), errno_name(error));
}

static bool do_read(struct play *p, const struct step *step, struct conn *c)
{
	static uint8_t bytes[READ_MAX];
	uint64_t want = step->n ? step->n : 1, got = 0;
	ssize_t n = 1;

	while (got < want && (n = cg_read(c->sock, bytes + got, want - got)) > 0)
		got += (uint64_t)n;
	for (uint64_t i = 0; i < got; i++, c->read_at++)
		if (bytes[i] != stream_byte(c->read_at))
			return play_fail(p, step, "  byte %u of what was read is wrong", c->read_at);
	if (got != step->n)
		return play_fail(p, step, "  - %llu bytes\n  + %llu bytes%s%s", (unsigned long long)step->n,
				 (unsigned long long)got,
				 n < 0    ? ", then "
				 : n == 0 ? ", then the end"
					  : "",
				 n < 0 ? errno_name((int)-n) : "");
	return step->n || gave(p, step, n < 0 ? (int)-n : 0);
}

static bool do_write(struct play *p, const struct step *step, struct conn *c)
{
	static uint8_t bytes[WRITE_MAX];
	uint64_t done = 0;
	ssize_t n = 0;

	if (step->n > sizeof(bytes))
		return play_fail(p, step, "  more than the runner can write");
	for (uint32_t i = 0; i < step->n; i++)
		bytes[i] = stream_byte(c->write_at + i);
	while (done < step->n && (n = cg_write(c->sock, bytes + done, step->n - done)) > 0)
		done += (uint64_t)n;
	c->write_at += (uint32_t)done;
	if (!step->error && done < step->n)
		return play_fail(p, step, "  - %llu bytes taken\n  + %llu bytes, then %s",
				 (unsigned long long)step->n, (unsigned long long)done, errno_name((int)-n));
	return gave(p, step, n < 0 ? (int)-n : 0);
}

static bool do_connect(struct play *p, const struct step *step, struct conn *c)
{
	struct tcp_info info;
	int err = 0;

	c->peer_port = (uint16_t)(8000 + c->name - 'a');
	c->sock = cg_connect(p->stack, p->wire.theirs, c->peer_port, &p->options, &err);
	if (c->sock) {
		cg_info(c->sock, &info);
		c->reopened &= c->our_port == info.local_port;
		c->our_port = info.local_port;
		c->closed = false;
	}
	return gave(p, step, c->sock ? 0 : -err);
}

static bool do_accept(struct play *p, const struct step *step, struct conn *c)
{
	struct cg_sock *k = p->listener ? cg_accept(p->listener) : NULL;
	struct tcp_info info;

	if (!step->n)
		return !k || play_fail(p, step, "  a connection was established");
	if (!k)
		return play_fail(p, step, "  no connection is established");
	cg_info(k, &info);
	c->sock = k;
	c->closed = false;
	if (info.remote_port != c->peer_port)
		return play_fail(p, step, "  another connection was accepted");
	return true;
}

static bool do_state(struct play *p, const struct step *step, struct conn *c)
{
	enum tcp_state state = TCP_CLOSED;
	const char *word = *step->word ? step->word : p->variant.state ? p->variant.state : "";
	struct tcp_pools pools;
	char name[32];

	cg_pools(p->stack, &pools);
	if (c->sock)
		state = cg_state(c->sock);
	else if (pools.time_wait_used)
		state = TCP_TIME_WAIT;
	else if (pools.conns_used)
		return play_fail(p, step, "  of a socket that was closed nothing is known");
	snprintf(name, sizeof(name), "%s", tcp_state_name[state]);
	for (char *at = name; *at; at++)
		*at = *at == '_' ? '-' : *at;
	return strcasecmp(name, word) == 0 || play_fail(p, step, "  - %s\n  + %s", word, name);
}

static bool equal(struct play *p, const struct step *step, uint64_t got)
{
	return got == step->n ||
	       play_fail(p, step, "  - %llu\n  + %llu", (unsigned long long)step->n, (unsigned long long)got);
}

static bool do_counter(struct play *p, const struct step *step)
{
	for (unsigned i = 0; i < CTR_COUNT; i++)
		if (strcmp(counter_info[i].name, step->word) == 0)
			return equal(p, step, cg_counter(p->stack, (enum counter)i));
	return play_fail(p, step, "  no counter: %s", step->word);
}

static bool do_info(struct play *p, const struct step *step, struct conn *c)
{
	struct tcp_info info;

	cg_info(c->sock, &info);
	if (strcmp(step->word, "cwnd") == 0)
		return equal(p, step, info.cwnd);
	if (strcmp(step->word, "mss") == 0)
		return equal(p, step, info.mss);
	if (strcmp(step->word, "retransmits") == 0)
		return equal(p, step, info.retransmits);
	// Times to a thousandth.
	uint64_t us = strcmp(step->word, "rto") == 0    ? info.rto_us
		      : strcmp(step->word, "srtt") == 0 ? info.srtt_us
							: UINT64_MAX;
	if (us == UINT64_MAX)
		return play_fail(p, step, "  nothing is known of %s", step->word);
	uint64_t got = us * 1000, off = got > step->n ? got - step->n : step->n - got;
	return off <= step->n / 1000 ||
	       play_fail(p, step, "  - %.3fms\n  + %.3fms", (double)step->n / 1e6, (double)got / 1e6);
}

static bool do_poll(struct play *p, const struct step *step, struct conn *c)
{
	unsigned bit = *step->word == 'o'   ? CG_OPEN
		       : *step->word == 'r' ? CG_READABLE
		       : *step->word == 'w' ? CG_WRITABLE
					    : CG_EOF;
	bool is = cg_poll(c->sock) & bit;

	return is == (step->n != 0) || play_fail(p, step, "  it is %s%s", is ? "" : "not ", step->word);
}

// Keeps all buffers of the stack's pool but n.
static bool do_buffers(struct play *p, const struct step *step)
{
	struct pkt *k;

	while ((k = p->taken)) {
		memcpy(&p->taken, pkt_priv(k), sizeof(k));
		pkt_free(k);
	}
	p->n_taken = 0;
	while (pkt_pool_size(out_pool) - pkt_pool_used(out_pool) > step->n) {
		k = pkt_alloc(out_pool);
		if (!k)
			return play_fail(p, step, "  the pool cannot be emptied");
		memcpy(pkt_priv(k), &p->taken, sizeof(k));
		p->taken = k;
		p->n_taken++;
	}
	return true;
}

static void again(struct conn *c)
{
	c->reopened = c->iss_known;
	c->old_end = c->iss + c->out_next;
	c->iss_known = c->ts_known = c->ts_in = c->ts_out = false;
	c->out_next = c->out_ack = c->in_ack = c->una = 0;
	c->read_at = c->write_at = 1;
	c->sock = NULL;
}

// Calls that need no socket.
static bool stack_call(struct play *p, const struct step *step, struct conn *c, bool *done)
{
	struct tcp_pools pools;
	int err = 0;

	*done = true;
	cg_pools(p->stack, &pools);
	switch (step->kind) {
	case STEP_LISTEN:
		p->listener = cg_listen(p->stack, (struct addr){.w = {0, 0}}, OUR_PORT, &p->options, &err);
		return p->listener || play_fail(p, step, "  %s", errno_name(-err));
	case STEP_UNLISTEN:
		cg_unlisten(p->listener);
		p->listener = NULL;
		return true;
	case STEP_CONNECT:
		return do_connect(p, step, c);
	case STEP_ACCEPT:
		return do_accept(p, step, c);
	case STEP_QUIET:
		return true;
	case STEP_AGAIN:
		again(c);
		return true;
	case STEP_STATE:
		return do_state(p, step, c);
	case STEP_COUNTER:
		return do_counter(p, step);
	case STEP_CONNECTIONS:
		return equal(p, step, pools.conns_used);
	case STEP_TIME_WAIT:
		return equal(p, step, pools.time_wait_used);
	case STEP_BUFFERS:
		return do_buffers(p, step);
	case STEP_HELD:
		return equal(p, step, pkt_pool_used(in_pool) + pkt_pool_used(out_pool) - p->n_taken);
	default:
		*done = false;
		return true;
	}
}

static bool socket_call(struct play *p, const struct step *step, struct conn *c)
{
	if (!c->sock)
		return play_fail(p, step, "  there is no socket");
	switch (step->kind) {
	case STEP_READ:
		return do_read(p, step, c);
	case STEP_WRITE:
		return do_write(p, step, c);
	case STEP_SHUTDOWN:
		return gave(p, step, -cg_shutdown(c->sock));
	case STEP_CLOSE:
		cg_close(c->sock);
		c->sock = NULL;
		return true;
	case STEP_ABORT:
		cg_abort(c->sock);
		c->sock = NULL;
		return true;
	case STEP_ERROR:
		return gave(p, step, cg_error(c->sock));
	case STEP_POLL:
		return do_poll(p, step, c);
	case STEP_INFO:
		return do_info(p, step, c);
	default:
		return play_fail(p, step, "  not a call");
	}
}

bool play_call(struct play *p, const struct step *step)
{
	struct conn *c = play_conn(p, step->conn);
	bool done;

	if (step->kind <= STEP_ABORT && step->kind >= STEP_LISTEN)
		play_tell(p, p->now, " ", step->text + strspn(step->text, " \t"));
	if (!stack_call(p, step, c, &done) || (!done && !socket_call(p, step, c)))
		return false;
	return play_flush(p, step);
}
