#include "http/weighted.h"
#include "policy/compress/compress.h"

const char *const coding_name[CODINGS] = {
	[CODING_NONE] = "identity", [CODING_GZIP] = "gzip", [CODING_BR] = "br"};

enum { ANY = CODINGS, SAID }; // "*"

// Which of ours, or "*"; SAID: another.
static unsigned said(struct slice name)
{
	if (slice_eq(name, SLICE("*")))
		return ANY;
	if (slice_ieq(name, SLICE("x-gzip"))) // RFC 9110 8.4.1.3
		return CODING_GZIP;
	for (unsigned i = 0; i < CODINGS; i++)
		if (slice_ieq(name, slice_of(coding_name[i], strlen(coding_name[i]))))
			return i;
	return SAID;
}

enum coding compress_accept(const struct http_head *h, const struct compress_conf *conf)
{
	int q[SAID], best = 0;
	enum coding found = CODING_NONE;

	for (unsigned i = 0; i < SAID; i++)
		q[i] = -1; // not mentioned
	for (unsigned i = 0; i < h->n; i++) {
		struct slice list = h->field[i].value;
		struct http_weighted e;

		if (h->field[i].dropped || !slice_ieq(h->field[i].name, SLICE("accept-encoding")))
			continue;
		while (http_weighted_next(&list, &e)) {
			unsigned k = said(e.name);

			if (k < SAID && (int)e.q > q[k])
				q[k] = (int)e.q;
		}
	}
	for (unsigned i = 0; i < conf->n_codings; i++) {
		enum coding c = (enum coding)conf->coding[i];
		int liked = q[c] >= 0 ? q[c] : q[ANY];

		if (liked > best) {
			best = liked;
			found = c;
		}
	}
	return q[CODING_NONE] > best ? CODING_NONE : found;
}
