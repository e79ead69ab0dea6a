// A file as scripts, a script as its variants and their steps.
#include "scripts/parse.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static char nothing[] = "";

// Preludes lead to a state in the words of the language itself.
struct opening {
	char mss[16], win[16], wscale[16], rtt[16];
	bool sackok, ts, ecn;
};

static bool opening_read(struct line *l, struct opening *o)
{
	while (l->at < l->n) {
		const char *word = line_take(l);
		char *to = strcmp(word, "mss") == 0      ? o->mss
			   : strcmp(word, "win") == 0    ? o->win
			   : strcmp(word, "wscale") == 0 ? o->wscale
			   : strcmp(word, "rtt") == 0    ? o->rtt
							 : NULL;
		if (to)
			snprintf(to, sizeof(o->mss), "%s", line_take(l));
		else if (strcmp(word, "sackok") == 0)
			o->sackok = true;
		else if (strcmp(word, "ts") == 0)
			o->ts = true;
		else if (strcmp(word, "ecn") == 0)
			o->ecn = true;
		else
			return line_fail(l, "not a word of a prelude: %s", word);
	}
	return true;
}

static bool prelude(struct script *s, unsigned number, const char *options, const struct variant *v,
		    struct step *out, unsigned *n)
{
	static const struct {
		const char *state, *lines;
	} way[] = {
		{"listen", "listen"},
		{"fin-wait-1", "shutdown\n> FIN 1"},
		{"fin-wait-2", "shutdown\n> FIN 1\n< ack 2"},
		{"close-wait", "< FIN 1\n> ack 2"},
		{"closing", "shutdown\n> FIN 1\n< FIN 1 ack 1\n> ack 2"},
		{"last-ack", "< FIN 1\n> ack 2\nshutdown\n> FIN 1"},
		{"time-wait", "shutdown\n> FIN 1\n< ack 2\n< FIN 1\n> ack 2\nclose"},
		{"closed", ""},
		{"established", ""},
		{"syn-sent", ""},
		{"syn-received", ""},
	};
	const char *state = v->state ? v->state : "established";
	bool open = strcmp(state, "closed") != 0 && strcmp(state, "listen") != 0;
	bool half = strncmp(state, "syn-", 4) == 0;
	struct line l = {.s = s, .number = number};
	struct opening o = {.win = "65535"};
	static char text[1024];
	char with[256], *save;
	unsigned i;

	if (!line_cut(&l, options) || !opening_read(&l, &o))
		return false;
	// So that a full segment has 1000 bytes, with timestamps and without.
	snprintf(with, sizeof(with), "win %s mss %s%s%s%s%s", o.win,
		 *o.mss ? o.mss
		 : o.ts ? "1012"
			: "1000",
		 *o.wscale ? " wscale " : "", o.wscale, o.sackok ? " sackok" : "", o.ts ? " ts" : "");
	const char *rtt = *o.rtt ? "+" : "", *ask = o.ecn ? "ECE CWR " : "", *grant = o.ecn ? "ECE " : "";
	if (!open)
		snprintf(text, sizeof(text), "quiet\n");
	else if (v->connected)
		snprintf(text, sizeof(text), "connect\n> %sSYN 0 ...\n%s%s%s < %sSYN 0 ack 1 %s\n> ack 1\n",
			 ask, half ? "#" : "", rtt, o.rtt, grant, with);
	else
		snprintf(text, sizeof(text),
			 "listen\n< %sSYN 0 %s\n> %sSYN 0 ack 1 ...\n%s%s%s < 1 ack 1\naccept\n", ask, with,
			 grant, half ? "#" : "", rtt, o.rtt);
	if (half)
		*strchr(text, '#') = 0;
	for (i = 0; i < sizeof(way) / sizeof(*way); i++)
		if (strcmp(way[i].state, state) == 0)
			break;
	if (i == sizeof(way) / sizeof(*way))
		return line_fail(&l, "no state: %s", state);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", way[i].lines);
	for (char *t = strtok_r(text, "\n", &save); t; t = strtok_r(NULL, "\n", &save)) {
		const char *kept = line_keep(&l, t);
		if (!kept || !line_step(s, number, kept, out, n))
			return false;
	}
	return true;
}

static bool is_prelude(const char *text)
{
	static const char *const word[] = {"established", "accepted", "connected", "in"};
	char first[16];

	if (sscanf(text, " %15s", first) != 1)
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (strcmp(word[i], first) == 0)
			return true;
	return false;
}

bool script_steps(struct script *s, const struct variant *v, struct step *out, unsigned *n)
{
	*n = 0;
	line_begin();
	if (s->error_line)
		return false;
	if (!strstr(s->title, "RFC ")) {
		snprintf(s->error, sizeof(s->error), "the title names no RFC");
		s->error_line = s->line;
		return false;
	}
	for (unsigned i = 0; i < s->n_lines; i++) {
		const char *text = s->line_text[i];
		bool ok = is_prelude(text) ? prelude(s, s->line + 1 + i, s->options, v, out, n)
					   : line_step(s, s->line + 1 + i, text, out, n);
		if (!ok)
			return false;
	}
	if (*n == 0) {
		snprintf(s->error, sizeof(s->error), "it says nothing");
		s->error_line = s->line;
	}
	return *n != 0;
}

// Which variants there are stands in the title's tag and in the prelude.
static void variants(struct script *s)
{
	static char room[256 * 1024];
	static size_t used;
	const char *tag = strstr(s->title, " [IPv");
	struct line l = {.s = s};

	s->v4 = !tag || tag[5] == '4';
	s->v6 = !tag || tag[5] == '6';
	for (unsigned i = 0; i < s->n_lines; i++) {
		size_t n = strlen(s->line_text[i]) + 1;
		char *copy = room + used, *save, *w;

		l.number = s->line + 1 + i;
		if (strncmp(s->line_text[i] + strspn(s->line_text[i], " \t"), "refused ", 8) == 0) {
			s->refused = s->line_text[i] + strspn(s->line_text[i], " \t") + 8;
			s->line_text[i] = nothing;
		}
		if (!is_prelude(s->line_text[i]))
			continue;
		if (used + n > sizeof(room)) {
			line_fail(&l, "too many preludes");
			return;
		}
		memcpy(copy, s->line_text[i], n);
		copy[strcspn(copy, "#")] = 0;
		used += n;
		w = strtok_r(copy, " \t", &save);
		s->options = save ? save : "";
		s->accepted = *w != 'c';
		s->connected = *w != 'a';
		if (strcmp(w, "in") != 0)
			continue;
		s->options = "";
		while ((w = strtok_r(NULL, " \t", &save))) {
			if (strcmp(w, "with") == 0) {
				s->options = save;
				break;
			}
			if (s->n_states < STATES_MAX)
				s->state[s->n_states++] = w;
		}
	}
}

unsigned script_split(const char *file, char *text, struct script *v, unsigned max)
{
	static char *lines[32 * 1024];
	static unsigned used;
	struct script *s = NULL;
	unsigned n = 0, number = 0;
	char *save = text;

	for (char *line; (line = strsep(&save, "\n"));) {
		number++;
		if (isspace((unsigned char)*line) && s) {
			if (used < sizeof(lines) / sizeof(*lines)) {
				lines[used++] = line;
				s->n_lines++;
			}
		} else if (*line && *line != '#' && n < max) {
			s = &v[n++];
			*s = (struct script){
				.file = file, .title = line, .line = number, .line_text = &lines[used]};
		} else if (s && used < sizeof(lines) / sizeof(*lines)) {
			lines[used++] = nothing;
			s->n_lines++;
		}
	}
	for (unsigned i = 0; i < n; i++)
		variants(&v[i]);
	return n;
}
