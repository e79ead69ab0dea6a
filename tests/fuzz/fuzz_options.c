// TCP options. Holds: what options_parse() says is what a slow walk over the list says, which reads byte after
// byte and knows nothing of the other; options that we write read back.
#include "fuzz_head.h"
#include "tcp/header.h"

static uint64_t number(const uint8_t *p, unsigned n)
{
	return n ? number(p, n - 1) << 8 | p[n - 1] : 0;
}

// RFC 9293 3.1: kind, length, value. The list ends with its first malformed option; an option of the wrong
// length is skipped; of several of one kind the last counts, but of SACK the first.
static struct tcp_options walk(const uint8_t *p, size_t n)
{
	struct tcp_options o = {0};

	for (size_t at = 0; at < n && p[at] != 0;) {
		if (p[at] == 1) {
			at++;
			continue;
		}
		if (at + 1 == n || p[at + 1] < 2 || at + p[at + 1] > n)
			break;
		const uint8_t *v = p + at + 2;
		unsigned len = p[at + 1];
		if (p[at] == 2 && len == 4)
			o.mss = (uint16_t)number(v, 2);
		if (p[at] == 3 && len == 3) {
			o.has_wscale = true;
			o.wscale = v[0] < 14 ? v[0] : 14;
		}
		if (p[at] == 4)
			o.sack_ok = len == 2;
		if (p[at] == 5 && o.n_sack == 0 && len >= 10 && len % 8 == 2)
			for (unsigned i = 0; i < (len - 2) / 8 && i < SACK_MAX; i++)
				o.sack[o.n_sack++] = (struct sack_block){(uint32_t)number(v + 8 * i, 4),
									 (uint32_t)number(v + 8 * i + 4, 4)};
		if (p[at] == 8 && len == 10) {
			o.has_ts = true;
			o.tsval = (uint32_t)number(v, 4);
			o.tsecr = (uint32_t)number(v + 4, 4);
		}
		at += len;
	}
	return o;
}

static void same(const struct tcp_options *a, const struct tcp_options *b)
{
	CHECK(a->mss == b->mss && a->has_wscale == b->has_wscale && a->wscale == b->wscale);
	CHECK(a->has_ts == b->has_ts && a->tsval == b->tsval && a->tsecr == b->tsecr);
	CHECK(a->sack_ok == b->sack_ok && a->n_sack == b->n_sack);
	for (unsigned i = 0; i < a->n_sack; i++)
		CHECK(a->sack[i].lo == b->sack[i].lo && a->sack[i].hi == b->sack[i].hi);
}

static void reads_back(const struct tcp_options *o)
{
	uint8_t out[OPT_MAX];
	struct tcp_options again, want = *o;
	uint32_t n = 0;

	n += o->mss ? options_put_mss(out + n, o->mss) : 0;
	n += o->has_wscale ? options_put_wscale(out + n, o->wscale) : 0;
	n += o->sack_ok ? options_put_sack_ok(out + n) : 0;
	n += o->has_ts ? options_put_ts(out + n, o->tsval, o->tsecr) : 0;
	CHECK(n <= OPT_SYN_MAX);
	want.n_sack = n + 12 <= OPT_MAX ? o->n_sack : 0;
	while (want.n_sack && n + 4 + 8u * want.n_sack > OPT_MAX)
		want.n_sack--;
	n += want.n_sack ? options_put_sack(out + n, o->sack, want.n_sack) : 0;
	CHECK(n <= OPT_MAX && n % 4 == 0);
	options_parse(&again, out, n);
	same(&again, &want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct tcp_options got, want;
	uint8_t *exact; // so that one byte beyond is seen

	if (n > OPT_MAX)
		n = OPT_MAX;
	exact = malloc(n ? n : 1);
	CHECK(exact);
	memcpy(exact, data, n);
	options_parse(&got, exact, (uint32_t)n);
	want = walk(exact, n);
	same(&got, &want);
	reads_back(&want);
	free(exact);
	return 0;
}
