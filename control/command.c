#include "command.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define user LEVEL_USER
#define operator LEVEL_OPERATOR
#define admin LEVEL_ADMIN
const struct command commands[] = {
#define COMMAND(words, level, function, arguments, help) {words, level, command_##function, arguments, help},
#include "contract/commands.def"
#undef COMMAND
};
#undef user
#undef operator
#undef admin
const unsigned n_commands = sizeof(commands) / sizeof(commands[0]);

void request_answer(struct request *rq, json_t *answer)
{
	rq->answer = answer ? answer : json_object();
	rq->done(rq);
}

void request_text(struct request *rq, const char *name, const char *text)
{
	rq->text_only = true;
	request_answer(rq, json_pack("{s:s}", name, text));
}

void request_error(struct request *rq, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	rq->failed = true;
	// Bytes from the client may be no UTF-8; jansson takes nothing else.
	json_t *message = json_string(text ? text : "no memory left");

	free(text);
	request_answer(rq, json_pack("{s:o}", "error", message ? message : json_string("not valid UTF-8")));
}

void request_log(struct request *rq, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_note(&rq->control->log, "%s: by uid %u, pid %d, level %s", text, (unsigned)rq->uid, (int)rq->pid,
		 conf_levels[rq->level]);
}

char *command_end(char *line)
{
	bool quoted = false;

	for (; *line; line++) {
		if (*line == '\\' && line[1])
			line++;
		else if (*line == '"')
			quoted = !quoted;
		else if (*line == ';' && !quoted)
			break;
	}
	return line;
}

int command_split(char *line, char **words, int max, const char **why)
{
	char *in = line, *out = line;
	int n = 0;

	for (;;) {
		bool quoted = false;

		while (*in == ' ' || *in == '\t')
			in++;
		if (!*in)
			return n;
		if (n == max) {
			*why = "too many words";
			return -1;
		}
		words[n++] = out;
		for (; *in && (quoted || (*in != ' ' && *in != '\t')); in++) {
			if (*in == '"') {
				quoted = !quoted;
				continue;
			}
			if (*in == '\\' && in[1])
				in++;
			*out++ = *in;
		}
		if (quoted) {
			*why = "a quote is not closed";
			return -1;
		}
		if (*in)
			in++;
		*out++ = '\0';
	}
}

// How many of the words the command's name takes; 0 when they are not its name.
static int matches(const struct command *c, char **words, int n)
{
	const char *p = c->words;
	int k = 0;

	for (; *p; k++) {
		size_t len = strcspn(p, " ");

		if (k == n || strlen(words[k]) != len || memcmp(words[k], p, len) != 0)
			return 0;
		p += len;
		p += *p == ' ';
	}
	return k;
}

const struct command *command_find(char **words, int n, int *used, char *why, size_t why_size)
{
	const char *names[64];
	const struct command *best = NULL;
	char written[128];
	unsigned first = 0;

	*used = 0;
	for (unsigned i = 0; i < n_commands; i++) {
		int k = matches(&commands[i], words, n);

		if (k > *used) {
			*used = k;
			best = &commands[i];
		}
		first += strncmp(commands[i].words, words[0], strlen(words[0])) == 0 &&
			 commands[i].words[strlen(words[0])] == ' ';
		names[i < 64 ? i : 63] = commands[i].words;
	}
	if (best)
		return best;
	snprintf(written, sizeof(written), "%.60s%s%.60s", words[0], n > 1 ? " " : "", n > 1 ? words[1] : "");
	const char *near = diag_suggest(written, names, n_commands < 64 ? n_commands : 64);

	if (!near)
		near = diag_suggest(words[0], names, n_commands < 64 ? n_commands : 64);
	if (near) {
		snprintf(why, why_size, "unknown command \"%s\"; did you mean \"%s\"?", written, near);
		return NULL;
	}
	int len = snprintf(why, why_size, "unknown command \"%s\"", written);

	if (first) { // "show" alone: what may follow
		len += snprintf(why + len, why_size - (size_t)len, "; there is");
		for (unsigned i = 0, k = 0; i < n_commands && (size_t)len < why_size; i++)
			if (strncmp(commands[i].words, words[0], strlen(words[0])) == 0 &&
			    commands[i].words[strlen(words[0])] == ' ')
				len += snprintf(why + len, why_size - (size_t)len, "%s %s", k++ ? "," : "",
						commands[i].words);
	} else {
		snprintf(why + len, why_size - (size_t)len, "; help lists them");
	}
	return NULL;
}

void command_run(struct request *rq, char **words, int n)
{
	char why[1024];
	int used;

	rq->command = command_find(words, n, &used, why, sizeof(why));
	if (!rq->command) {
		request_error(rq, "%s", why);
		return;
	}
	if (rq->level < rq->command->level) {
		request_error(rq, "\"%s\" needs level %s; this socket gives %s", rq->command->words,
			      conf_levels[rq->command->level], conf_levels[rq->level]);
		return;
	}
	rq->argc = n - used;
	for (int i = 0; i < rq->argc; i++)
		rq->argv[i] = words[used + i];
	rq->command->run(rq);
}

void command_help(struct request *rq)
{
	json_t *list = json_array();
	char want[256] = "";

	for (int i = 0; i < rq->argc; i++)
		snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s%s", i ? " " : "", rq->argv[i]);
	for (unsigned i = 0; i < n_commands; i++) {
		const struct command *c = &commands[i];
		char usage[160];

		if (strncmp(c->words, want, strlen(want)) != 0)
			continue;
		snprintf(usage, sizeof(usage), "%s%s%s", c->words, *c->arguments ? " " : "", c->arguments);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "command", usage, "level",
						      conf_levels[c->level], "help", c->help));
	}
	if (json_array_size(list) == 0) {
		json_decref(list);
		request_error(rq, "no command \"%s\"; help lists them", want);
		return;
	}
	request_answer(rq, json_pack("{s:o}", "commands", list));
}
