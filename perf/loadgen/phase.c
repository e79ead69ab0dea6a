#include "phase.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUIET 0.02

static bool wrong(char *why, size_t size, const char *what, const char *text)
{
	snprintf(why, size, "%s: \"%s\"", what, text);
	return false;
}

static bool number(const char *text, double max, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return end != text && *end == 0 && *out >= 0 && *out <= max;
}

static bool rate(const char *text, double *out)
{
	if (strcmp(text, "closed") == 0)
		*out = 0;
	else if (strcmp(text, "none") == 0)
		*out = -1;
	else
		return number(text, 1e9, out) && *out > 0;
	return true;
}

static bool take(struct phase *p, const char *key, const char *value)
{
	double n = 0;
	bool is_number = number(value, 1e9, &n);

	for (unsigned i = 0; i < FLOODS; i++)
		if (strcmp(key, flood_name[i]) == 0) {
			p->flood[i] = n;
			return is_number;
		}
	if (strcmp(key, "name") == 0) {
		snprintf(p->name, sizeof(p->name), "%s", value);
		return value[0] && strlen(value) < sizeof(p->name) && !strpbrk(value, "\"\\");
	}
	if (strcmp(key, "rate") == 0)
		return rate(value, &p->rate);
	if (strcmp(key, "hostile") == 0) {
		p->hostile = hostile_kind(value);
		return p->hostile != HOSTILE_NONE;
	}
	if (!is_number)
		return false;
	if (strcmp(key, "think") == 0)
		p->think = n;
	else if (strcmp(key, "open") == 0)
		p->open = (uint32_t)n;
	else if (strcmp(key, "active") == 0)
		p->active = (uint32_t)n;
	else if (strcmp(key, "syn_patience") == 0)
		p->syn_patience = (uint32_t)n;
	else if (strcmp(key, "send_patience") == 0)
		p->send_patience = (uint32_t)n;
	else if (strcmp(key, "settle") == 0)
		p->settle = n;
	else if (strcmp(key, "seconds") == 0)
		p->seconds = n;
	else if (strcmp(key, "runs") == 0)
		p->runs = (unsigned)n;
	else if (strcmp(key, "quiet") == 0)
		p->quiet = n;
	else if (strcmp(key, "any") == 0)
		p->any = n > 0;
	else if (strcmp(key, "hold") == 0)
		p->hold = n > 0;
	else if (strcmp(key, "numbers") == 0)
		p->numbers = (uint32_t)n;
	else if (strcmp(key, "each") == 0)
		p->each = n > 0;
	else if (strcmp(key, "lossy") == 0)
		p->lossy = n > 0;
	else if (strcmp(key, "aim") == 0)
		p->aim = n > 0;
	else if (strcmp(key, "hostiles") == 0)
		p->hostiles = (unsigned)n;
	else if (strcmp(key, "acts") == 0)
		p->acts = n;
	else
		return false;
	return p->seconds > 0 && p->numbers >= 1 && p->runs >= 1 && p->runs <= PHASE_RUNS_MAX &&
	       p->hostiles >= 1 && p->hostiles <= HOSTILES_MAX;
}

bool phase_read(struct phase *p, const char *line, char *why, size_t size)
{
	char copy[1024], *at = copy, *word, *value;

	*p = (struct phase){
		.name = "main", .settle = 1, .seconds = 2, .runs = 1, .numbers = 1, .hostiles = 10000};
	if (strlen(line) >= sizeof(copy))
		return wrong(why, size, "too long", line);
	strcpy(copy, line);
	while ((word = strsep(&at, " \n"))) {
		if (*word == 0)
			continue;
		value = strchr(word, '=');
		if (!value)
			return wrong(why, size, "neither key nor value", word);
		*value++ = 0;
		if (!take(p, word, value)) {
			value[-1] = '=';
			return wrong(why, size, "not possible", word);
		}
	}
	if (p->acts == 0)
		p->acts = p->hostiles;
	if (p->quiet == 0)
		p->quiet = p->rate > 0 ? PHASE_QUIET_OPEN : QUIET;
	return true;
}
