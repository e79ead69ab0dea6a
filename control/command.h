// The commands of the control socket: contract/commands.def gives each its words, level and help; the functions
// stand in command_*.c. A command answers with a JSON tree; the text for people is rendered from it.
#pragma once
#include "control.h"
#include <jansson.h>
#include <sys/types.h>

#define COMMAND_WORDS 16

struct request {
	struct control *control;
	const struct command *command;
	enum conf_level level;
	pid_t pid;
	uid_t uid;
	int argc; // what follows the command's words
	char *argv[COMMAND_WORDS];
	json_t *answer;
	bool failed;
	bool text_only; // the answer's "text" is the text for people as it stands
	// Who asked. NULL: has gone meanwhile.
	void *owner;
	void (*done)(struct request *rq);
};

struct command {
	const char *words;
	enum conf_level level;
	void (*run)(struct request *rq);
	const char *arguments, *help;
};
extern const struct command commands[];
extern const unsigned n_commands;

#define COMMAND(words, level, function, arguments, help) void command_##function(struct request *rq);
#include "contract/commands.def"
#undef COMMAND

// Each command ends with one of these, at once or later; the answer is taken over.
void request_answer(struct request *rq, json_t *answer);
void request_text(struct request *rq, const char *name, const char *text); // {name: text}, shown as it stands
void request_error(struct request *rq, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// A change was made: who, what, when.
void request_log(struct request *rq, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// Cuts a line into words, in place: blanks separate, "..." and \ keep them together. The number of words, or -1
// with a sentence in why.
int command_split(char *line, char **words, int max, const char **why);
// The end of the first command of a line: a ';' outside of quotes, or the end.
char *command_end(char *line);
// The command that the words begin with; *used is how many are its name. NULL with a sentence in why.
const struct command *command_find(char **words, int n, int *used, char *why, size_t why_size);
// Runs words under the request's level; rq->done is called with the answer.
void command_run(struct request *rq, char **words, int n);

// in_flight.c: of a route or listener, as the snapshot has it.
void command_in_flight_row(struct region *r, json_t *row, uint16_t credits);
// set KIND NAME max_in_flight N|none|auto: rq->argv[2] is what it shall be.
void command_set_in_flight(struct request *rq, const char *kind, uint16_t credits, uint32_t configured);
