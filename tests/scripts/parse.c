// A line of a script as a step; see README.md for the words.
#include "scripts/parse.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char words_room[64 * 1024];
static size_t words_used;

bool line_fail(struct line *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(l->s->error, sizeof(l->s->error), format, args);
	va_end(args);
	l->s->error_line = l->number;
	return false;
}

static const char *peek(const struct line *l)
{
	return l->at < l->n ? l->word[l->at] : "";
}
const char *line_take(struct line *l)
{
	return l->at < l->n ? l->word[l->at++] : "";
}
static bool accept_word(struct line *l, const char *word)
{
	if (strcmp(peek(l), word) != 0)
		return false;
	l->at++;
	return true;
}

void line_begin(void)
{
	words_used = 0;
}

char *line_keep(struct line *l, const char *text)
{
	size_t n = strlen(text) + 1;

	if (words_used + n > sizeof(words_room)) {
		line_fail(l, "the script is too long");
		return NULL;
	}
	words_used += n;
	return memcpy(words_room + words_used - n, text, n);
}

bool line_cut(struct line *l, const char *text)
{
	char *copy = line_keep(l, text), *save;

	if (!copy)
		return false;
	copy[strcspn(copy, "#")] = 0;
	for (char *w = strtok_r(copy, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		if (l->n == WORDS_MAX)
			return line_fail(l, "too many words");
		l->word[l->n++] = w;
	}
	return true;
}

// A time like 200ms. False: it is none.
static bool parse_time(const char *s, uint64_t *ns)
{
	static const struct {
		const char *name;
		double ns;
	} unit[] = {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"min", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
	char *end;
	double n;

	if (!isdigit((unsigned char)*s))
		return false;
	n = strtod(s, &end);
	for (unsigned i = 0; i < sizeof(unit) / sizeof(*unit); i++)
		if (strcmp(end, unit[i].name) == 0) {
			*ns = (uint64_t)(n * unit[i].ns + 0.5);
			return true;
		}
	return false;
}

static bool time_or_range(struct line *l, const char *word, struct step *p)
{
	const char *dots = strstr(word, "..");
	char first[32];

	p->timed = true;
	if (!dots) {
		// An outgoing packet may differ by what two ticks of the timer wheel and their rounding come
		// to.
		if (!parse_time(word, &p->from))
			return line_fail(l, "no time: +%s", word);
		p->to = p->from;
		return true;
	}
	snprintf(first, sizeof(first), "%.*s", (int)(dots - word), word);
	if (!parse_time(first, &p->from) || !parse_time(dots + 2, &p->to) || p->to < p->from)
		return line_fail(l, "no range of time: +%s", word);
	return true;
}

static bool whole(struct line *l, uint64_t *n)
{
	const char *word = line_take(l);
	char *end;

	*n = strtoull(word, &end, 0);
	if (!isdigit((unsigned char)*word) || *end)
		return line_fail(l, "a number is missing%s%s", *word ? " at " : "", word);
	return true;
}

static bool number(struct line *l, const char *word, struct number *out)
{
	static const char *const name[] = {"", "RCV.NXT", "SND.UNA", "SND.NXT"};
	char *end;

	*out = (struct number){PLAIN, 0};
	for (unsigned i = 1; i < 4; i++)
		if (strncmp(word, name[i], 7) == 0) {
			out->base = (enum base)i;
			word += 7;
			if (!*word)
				return true;
			if (*word != '+' && *word != '-')
				return line_fail(l, "no number: %s%s", name[i], word);
		}
	out->n = strtoll(word, &end, 0);
	if (end == word || *end)
		return line_fail(l, "no number: %s", *word ? word : "nothing");
	return true;
}

// A:B, or A:+N for N bytes from A on.
static bool range(struct line *l, const char *word, struct number *lo, struct number *hi)
{
	const char *colon = strchr(word, ':');
	char first[32];

	snprintf(first, sizeof(first), "%.*s", (int)(colon ? (size_t)(colon - word) : strlen(word)), word);
	if (!number(l, first, lo))
		return false;
	*hi = *lo;
	if (!colon)
		return true;
	if (colon[1] != '+')
		return number(l, colon + 1, hi);
	struct number n;
	if (!number(l, colon + 2, &n))
		return false;
	hi->n += n.n;
	return true;
}

static bool field(struct line *l, struct spec *s, enum field f)
{
	s->has |= HAS(f);
	return number(l, line_take(l), &s->v[f]);
}

static bool ecn(struct spec *s, int64_t bits)
{
	s->has |= HAS(F_ECN);
	s->v[F_ECN] = (struct number){PLAIN, bits};
	return true;
}

static bool raw_option(struct line *l, struct spec *s)
{
	const char *hex = line_take(l);
	size_t n = strlen(hex);

	if (n == 0 || n % 2 || n / 2 > OPTION_BYTES || strspn(hex, "0123456789abcdef") != n)
		return line_fail(l, "opt needs bytes in hexadecimal");
	for (size_t i = 0; i < n; i += 2)
		s->raw[s->n_raw++] = (uint8_t)strtoul((char[]){hex[i], hex[i + 1], 0}, NULL, 16);
	return true;
}

static bool segment_field(struct line *l, struct spec *s)
{
	static const struct {
		const char *name;
		enum field field;
	} numeric[] = {{"ack", F_ACK},       {"win", F_WIN},     {"urg", F_URG},    {"mss", F_MSS},
		       {"wscale", F_WSCALE}, {"tsval", F_TSVAL}, {"tsecr", F_TSECR}};
	const char *word = line_take(l);
	uint64_t n;

	for (unsigned i = 0; i < sizeof(numeric) / sizeof(*numeric); i++)
		if (strcmp(word, numeric[i].name) == 0) {
			if (numeric[i].field == F_TSVAL || numeric[i].field == F_TSECR)
				s->has |= HAS(F_TS);
			return field(l, s, numeric[i].field);
		}
	if (strcmp(word, "sackok") == 0)
		return s->has |= HAS(F_SACKOK), true;
	if (strcmp(word, "ts") == 0)
		return s->has |= HAS(F_TS), true;
	if (strcmp(word, "sack") == 0) {
		while (strchr(peek(l), ':')) {
			if (s->n_sack == SACK_BLOCKS)
				return line_fail(l, "more SACK blocks than fit");
			if (!range(l, line_take(l), &s->sack[s->n_sack][0], &s->sack[s->n_sack][1]))
				return false;
			s->n_sack++;
		}
		return s->n_sack || line_fail(l, "sack needs a block like 2001:3001");
	}
	if (strcmp(word, "opt") == 0)
		return raw_option(l, s);
	if (strcmp(word, "ce") == 0)
		return ecn(s, 3);
	if (strcmp(word, "ect0") == 0)
		return ecn(s, 2);
	if (strcmp(word, "ect1") == 0)
		return ecn(s, 1);
	if (strcmp(word, "not-ect") == 0)
		return ecn(s, 0);
	if (strcmp(word, "by") == 0 && whole(l, &n))
		return s->by = (uint32_t)n, n > 0 || line_fail(l, "by 0");
	if (strcmp(word, "times") == 0 && whole(l, &n))
		return s->times = (uint32_t)n, n > 0 || line_fail(l, "times 0");
	if (strcmp(word, "header") == 0 && whole(l, &n))
		return s->header = (uint32_t)n, true;
	if (strcmp(word, "noack") == 0)
		return s->no_ack = true;
	if (strcmp(word, "nots") == 0)
		return s->no_ts = true;
	if (strcmp(word, "badsum") == 0)
		return s->bad_sum = true;
	if (strcmp(word, "burst") == 0)
		return s->burst = true;
	if (strcmp(word, "...") == 0)
		return s->anything = true;
	return line_fail(l, "not a word of a segment: %s", word);
}

static bool flag(struct line *l, struct spec *s)
{
	static const char *const name[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};

	for (unsigned i = 0; i < 8; i++)
		if (accept_word(l, name[i])) {
			s->flags |= (uint8_t)(1u << i);
			return true;
		}
	return false;
}

static bool icmp(struct line *l, struct spec *s)
{
	const char *name = line_take(l);

	for (s->icmp = 0; (unsigned)s->icmp < n_icmp_kinds; s->icmp++)
		if (strcmp(icmp_kinds[s->icmp].name, name) == 0)
			break;
	if ((unsigned)s->icmp == n_icmp_kinds)
		return line_fail(l, "no ICMP error: %s", name);
	if (!number(l, line_take(l), &s->about))
		return false;
	uint64_t mtu;
	if (accept_word(l, "mtu")) {
		if (!whole(l, &mtu))
			return false;
		s->mtu = (uint32_t)mtu;
	}
	return true;
}

static bool segment(struct line *l, struct step *p)
{
	struct spec *s = &p->spec;

	s->icmp = -1;
	s->times = 1;
	if (p->kind == STEP_IN && accept_word(l, "icmp"))
		return icmp(l, s);
	while (flag(l, s))
		;
	s->psh = s->flags & PSH;
	if (isdigit((unsigned char)*peek(l)) || strncmp(peek(l), "RCV", 3) == 0 ||
	    strncmp(peek(l), "SND", 3) == 0) {
		s->has |= HAS(F_SEQ);
		if (!range(l, line_take(l), &s->v[F_SEQ], &s->v[F_END]))
			return false;
		s->has |= HAS(F_END);
	}
	while (l->at < l->n)
		if (!segment_field(l, s))
			return false;
	// A SYN or RST carries no acknowledgement unless it is said; all else does.
	if ((s->has & HAS(F_ACK)) || (!(s->flags & (SYN | RST)) && !s->no_ack))
		s->flags |= ACK;
	return true;
}

static bool set_number_or_time(struct line *l, struct step *p)
{
	uint64_t ns;

	if (parse_time(peek(l), &ns)) {
		p->n = ns;
		line_take(l);
		return true;
	}
	return whole(l, &p->n);
}

// What a call gives: nothing said: success.
static bool outcome(struct line *l, struct step *p)
{
	const char *word = line_take(l);

	p->error = errno_value(word);
	return p->error || line_fail(l, "no error: %s", word);
}

static bool call(struct line *l, struct step *p)
{
	static const struct {
		const char *name;
		enum step_kind kind;
	} plain[] = {{"listen", STEP_LISTEN}, {"unlisten", STEP_UNLISTEN}, {"connect", STEP_CONNECT},
		     {"again", STEP_AGAIN},   {"quiet", STEP_QUIET},       {"shutdown", STEP_SHUTDOWN},
		     {"close", STEP_CLOSE},   {"abort", STEP_ABORT}},
	  counted[] = {{"connections", STEP_CONNECTIONS},
		       {"time-wait", STEP_TIME_WAIT},
		       {"buffers", STEP_BUFFERS},
		       {"held", STEP_HELD}};
	const char *word = line_take(l);

	for (unsigned i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		if (strcmp(word, plain[i].name) == 0) {
			p->kind = plain[i].kind;
			return l->at == l->n || p->kind != STEP_CONNECT || outcome(l, p);
		}
	for (unsigned i = 0; i < sizeof(counted) / sizeof(*counted); i++)
		if (strcmp(word, counted[i].name) == 0) {
			p->kind = counted[i].kind;
			p->n = UINT64_MAX;
			return accept_word(l, "all") || whole(l, &p->n);
		}
	p->word = word;
	if (strcmp(word, "accept") == 0) {
		p->kind = STEP_ACCEPT;
		p->n = !accept_word(l, "nothing");
		return true;
	}
	if (strcmp(word, "read") == 0) {
		p->kind = STEP_READ;
		if (isdigit((unsigned char)*peek(l)))
			return whole(l, &p->n);
		if (accept_word(l, "eof"))
			return true;
		if (accept_word(l, "nothing"))
			return p->error = EAGAIN, true;
		return outcome(l, p);
	}
	if (strcmp(word, "write") == 0) {
		p->kind = STEP_WRITE;
		return whole(l, &p->n) && (l->at == l->n || outcome(l, p));
	}
	if (strcmp(word, "state") == 0) {
		p->kind = STEP_STATE;
		p->word = line_take(l);
		return true;
	}
	if (strcmp(word, "error") == 0) {
		p->kind = STEP_ERROR;
		return accept_word(l, "none") || outcome(l, p);
	}
	p->n = 1;
	if (strcmp(word, "not") == 0) {
		p->n = 0;
		p->word = word = line_take(l);
	}
	if (strcmp(word, "open") == 0 || strcmp(word, "readable") == 0 || strcmp(word, "writable") == 0 ||
	    strcmp(word, "eof") == 0) {
		p->kind = STEP_POLL;
		return true;
	}
	if (strcmp(word, "set") == 0 || strcmp(word, "counter") == 0 || strcmp(word, "info") == 0) {
		p->kind = *word == 's' ? STEP_SET : *word == 'c' ? STEP_COUNTER : STEP_INFO;
		p->word = line_take(l);
		if (p->kind == STEP_SET && l->at < l->n && isalpha((unsigned char)*peek(l)))
			return p->value = line_take(l), true;
		return set_number_or_time(l, p);
	}
	return line_fail(l, "not a word of a script: %s", word);
}

static bool step(struct line *l, struct step *p)
{
	if (*peek(l) == '+' && !time_or_range(l, line_take(l) + 1, p))
		return false;
	if (strlen(peek(l)) == 1 && islower((unsigned char)*peek(l)))
		p->conn = *line_take(l);
	if (accept_word(l, "<"))
		p->kind = STEP_IN;
	else if (accept_word(l, ">"))
		p->kind = STEP_OUT;
	else if (!call(l, p))
		return false;
	if ((p->kind == STEP_IN || p->kind == STEP_OUT) && !segment(l, p))
		return false;
	return l->at == l->n || line_fail(l, "too much at the end of the line: %s", peek(l));
}

bool line_step(struct script *s, unsigned number, const char *text, struct step *out, unsigned *n)
{
	struct line l = {.s = s, .number = number};

	if (!line_cut(&l, text))
		return false;
	if (l.n == 0)
		return true;
	if (*n == STEPS_MAX)
		return line_fail(&l, "more than %u steps", STEPS_MAX);
	struct step *p = &out[(*n)++];
	*p = (struct step){.line = number, .text = text, .conn = 'a'};
	return step(&l, p);
}
