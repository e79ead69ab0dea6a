// Command lines: words, quotes, batches, levels, suggestions; and answers as text.
#include "control/command.h"
#include "control/render.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
// after what it needs
#include <cmocka.h>

static int split(const char *line, char *room, char **words)
{
	const char *why;

	strcpy(room, line);
	return command_split(room, words, COMMAND_WORDS, &why);
}

static void words_are_separated_by_blanks_and_kept_together_by_quotes(void **state)
{
	char room[256], *w[COMMAND_WORDS];

	(void)state;
	assert_int_equal(split("  show \t info ", room, w), 2);
	assert_string_equal(w[0], "show");
	assert_string_equal(w[1], "info");
	assert_int_equal(split("route test GET \"/a b;c\" x\\ y \"\" \"q\\\"r\"", room, w), 7);
	assert_string_equal(w[3], "/a b;c");
	assert_string_equal(w[4], "x y");
	assert_string_equal(w[5], "");
	assert_string_equal(w[6], "q\"r");
	assert_int_equal(split("", room, w), 0);
	assert_int_equal(split("show \"info", room, w), -1);
	assert_int_equal(split("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", room, w), -1);
}

static void command_ends_at_a_semicolon_outside_of_quotes(void **state)
{
	char line[] = "route test GET \"/a;b\"\\;c ; show log";

	(void)state;
	assert_string_equal(command_end(line), "; show log");
}

static const struct command *find(const char *line, int *used, char *why)
{
	static char room[256];
	char *w[COMMAND_WORDS];
	int n = split(line, room, w);

	return command_find(w, n, used, why, 1024);
}

static void command_is_found_by_its_words(void **state)
{
	char why[1024];
	int used;

	(void)state;
	const struct command *c = find("set weight api b 5", &used, why);

	assert_string_equal(c->words, "set weight");
	assert_int_equal(used, 2);
	assert_int_equal(c->level, LEVEL_OPERATOR);
	assert_string_equal(find("help show", &used, why)->words, "help");
	assert_int_equal(used, 1);
}

static void unknown_command_is_answered_with_the_closest(void **state)
{
	char why[1024];
	int used;

	(void)state;
	assert_null(find("shwo info", &used, why));
	assert_non_null(strstr(why, "did you mean \"show info\"?"));
	assert_null(find("show worker", &used, why));
	assert_non_null(strstr(why, "did you mean \"show workers\"?"));
	assert_null(find("show", &used, why));
	assert_non_null(strstr(why, "show upstreams"));
	assert_null(find("xyzzyxyzzy", &used, why));
	assert_non_null(strstr(why, "help"));
}

static json_t *answer;
static bool failed;

static void done(struct request *rq)
{
	answer = rq->answer;
	failed = rq->failed;
}

static void run(enum conf_level level, const char *line)
{
	char room[256], *w[COMMAND_WORDS];
	struct request rq = {.level = level, .done = done};

	json_decref(answer);
	answer = NULL;
	command_run(&rq, w, split(line, room, w));
}

static void command_above_the_level_of_its_socket_is_refused(void **state)
{
	(void)state;
	run(LEVEL_USER, "set log info");
	assert_true(failed);
	assert_non_null(strstr(json_string_value(json_object_get(answer, "error")), "needs level operator"));
	run(LEVEL_OPERATOR, "shutdown");
	assert_true(failed);
	run(LEVEL_USER, "help");
	assert_false(failed);
	json_decref(answer);
	answer = NULL;
}

// Control reads as root, and says what in a file it does not understand.
static void files_of_others_are_not_read_for_who_is_no_administrator(void **state)
{
	(void)state;
	run(LEVEL_OPERATOR, "config check /etc/passwd");
	assert_true(failed);
	assert_non_null(strstr(json_string_value(json_object_get(answer, "error")), "needs level admin"));
	assert_null(strstr(json_string_value(json_object_get(answer, "error")), "root:"));
	run(LEVEL_ADMIN, "config check /etc/passwd");
	assert_true(failed);
	assert_null(strstr(json_string_value(json_object_get(answer, "error")), "needs level"));
	json_decref(answer);
	answer = NULL;
}

static void help_knows_every_command(void **state)
{
	(void)state;
	run(LEVEL_USER, "help");
	assert_int_equal(json_array_size(json_object_get(answer, "commands")), n_commands);
	run(LEVEL_USER, "help set");
	assert_int_equal(json_array_size(json_object_get(answer, "commands")), 6);
	run(LEVEL_USER, "help nothing");
	assert_true(failed);
	json_decref(answer);
	answer = NULL;
}

static void rendered(const char *json, const char *text)
{
	json_t *j = json_loads(json, 0, NULL);
	char *out;

	assert_non_null(j);
	out = render_text(j);
	assert_string_equal(out, text);
	free(out);
	json_decref(j);
}

static void answers_are_aligned_text(void **state)
{
	(void)state;
	rendered("{\"level\":\"info\",\"dataplane\":{\"pid\":5,\"state\":\"running\"},\"none\":null}",
		 "level            info\n"
		 "dataplane pid    5\n"
		 "dataplane state  running\n"
		 "none             -\n");
	rendered("{\"rows\":[{\"name\":\"a\",\"n\":1},{\"name\":\"long\",\"n\":200,\"list\":[\"x\",\"y\"]}]}",
		 "name    n  list\n"
		 "a       1  -\n"
		 "long  200  x,y\n");
	rendered("{\"upstreams\":[{\"name\":\"u\",\"endpoints\":[{\"endpoint\":\"e1\",\"up\":true},"
		 "{\"endpoint\":\"e2\",\"up\":false}]}]}",
		 "name\n"
		 "u\n"
		 "endpoints:\n"
		 "upstream  endpoint  up\n"
		 "u         e1        yes\n"
		 "u         e2        no\n");
	rendered("{\"conns\":[]}", "no conns\n");
}

static void text_of_others_cannot_forge_lines(void **state)
{
	(void)state;
	rendered("{\"a\":\"x\\n\\nerror: y\\u001b[2J\"}", "a  x\\n\\nerror: y?[2J\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_separated_by_blanks_and_kept_together_by_quotes),
		cmocka_unit_test(command_ends_at_a_semicolon_outside_of_quotes),
		cmocka_unit_test(command_is_found_by_its_words),
		cmocka_unit_test(unknown_command_is_answered_with_the_closest),
		cmocka_unit_test(command_above_the_level_of_its_socket_is_refused),
		cmocka_unit_test(files_of_others_are_not_read_for_who_is_no_administrator),
		cmocka_unit_test(help_knows_every_command),
		cmocka_unit_test(answers_are_aligned_text),
		cmocka_unit_test(text_of_others_cannot_forge_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
