// cgctl: the operator's hand. One command in, its answer out; exit status 1 where the answer is an error.
#include "tools/cgctl/client.h"
#include "tools/cgctl/top.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKET      "/run/churchgate/admin.sock"
#define COMMAND_MAX 4000

static const char *const help[] = {
#define COMMAND(words, level, function, arguments, what) words " " arguments, what,
#include "contract/commands.def"
#undef COMMAND
};

static void usage(FILE *out)
{
	fputs("usage: cgctl [--socket PATH] [--json] COMMAND...\n"
	      "       cgctl [--socket PATH] top\n"
	      "\n"
	      "  --socket PATH  of control (" SOCKET ")\n"
	      "  --json         the answer as one JSON document\n"
	      "\n"
	      "Several commands in one argument are separated by ';'.\n"
	      "\n",
	      out);
	for (size_t i = 0; i < sizeof(help) / sizeof(help[0]); i += 2)
		fprintf(out, "  %-62s %s\n", help[i], help[i + 1]);
	fprintf(out, "  %-62s %s\n", "top", "live view of workers, routes and upstreams; q ends it");
}

// A word as control's socket takes it: quoted where it holds what would separate.
static bool word_add(char *line, size_t *n, const char *word)
{
	bool quote = !*word || strpbrk(word, " \t;\"\\");

	if (*n + 2 * strlen(word) + 4 > COMMAND_MAX || strchr(word, '\n'))
		return false;
	if (*n)
		line[(*n)++] = ' ';
	if (quote)
		line[(*n)++] = '"';
	for (; *word; word++) {
		if (*word == '"' || *word == '\\')
			line[(*n)++] = '\\';
		line[(*n)++] = *word;
	}
	if (quote)
		line[(*n)++] = '"';
	line[*n] = '\0';
	return true;
}

static bool line_make(char *line, int argc, char **argv)
{
	bool file = argc == 3 && strcmp(argv[0], "config") == 0;
	size_t n = 0;

	if (argc == 1) { // as it stands: it may be several commands
		if (strlen(argv[0]) >= COMMAND_MAX || strchr(argv[0], '\n'))
			return false;
		strcpy(line, argv[0]);
		return true;
	}
	for (int i = 0; i < argc; i++) {
		char path[PATH_MAX];
		// Control has a working directory of its own.
		const char *word = file && i == 2 && realpath(argv[i], path) ? path : argv[i];

		if (!word_add(line, &n, word))
			return false;
	}
	return true;
}

// Text answers say "error: " at their beginning, or behind the "# command" of a batch.
static bool text_is_error(const char *text)
{
	bool head = true;

	while (*text) {
		if (head && strncmp(text, "error: ", 7) == 0)
			return true;
		head = text[0] == '#' && text[1] == ' ';
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return false;
}

static bool json_is_error(const char *text)
{
	return strncmp(text, "{\"error\":", 9) == 0 || strstr(text, ",{\"error\":") != NULL ||
	       strncmp(text, "[{\"error\":", 10) == 0;
}

int main(int argc, char **argv)
{
	const char *socket = SOCKET;
	char line[COMMAND_MAX + 16] = "", *text;
	bool json = false, error;
	int i = 1, fd;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc) {
			socket = argv[++i];
		} else if (strncmp(argv[i], "--socket=", 9) == 0) {
			socket = argv[i] + 9;
		} else {
			bool asked = strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;

			usage(asked ? stdout : stderr);
			return asked ? 0 : 2;
		}
	}
	if (i == argc) {
		usage(stdout);
		return 0;
	}
	if (i + 1 == argc && strcmp(argv[i], "top") == 0)
		return top(socket);
	if (json)
		strcpy(line, "json ");
	if (!line_make(line + strlen(line), argc - i, argv + i)) {
		fputs("cgctl: the command is too long, or has a line break in it\n", stderr);
		return 2;
	}
	fd = client_connect(socket);
	if (fd < 0) {
		fprintf(stderr, "cgctl: %s: %s\n", socket, strerror(-fd));
		return 1;
	}
	text = client_ask(fd, line);
	if (!text) {
		fprintf(stderr, "cgctl: %s: %s\n", socket, strerror(errno));
		return 1;
	}
	error = json ? json_is_error(text) : text_is_error(text);
	fputs(text, error && !json ? stderr : stdout);
	free(text);
	close(fd);
	return error ? 1 : 0;
}
