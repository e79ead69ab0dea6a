// Plays packet scripts: run [-v] FILE...
//
// Scripts that are marked as wrong must be refused with the words they name. The last line is
// `N passed, N failed`, the exit status 0 when none failed.
#include "nic/nic.h"
#include "scripts/script.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPTS_MAX 1000
#define POOL        (8u << 20) // bytes

struct pkt_pool *out_pool, *in_pool, *nic_pool;

static unsigned passed, failed, played, refused;
static bool verbose;

// True: as it says (or, where it is wrong on purpose, refused as it says).
static bool play_variant(struct script *s, const struct variant *v)
{
	static char report[REPORT_MAX];
	bool ok = script_play(s, v, report);

	played++;
	if (!s->refused) {
		if (!ok)
			fputs(report, stdout);
		return ok;
	}
	if (!ok && strstr(report, s->refused))
		return true;
	printf("%s:%u: %s\n  must be refused with: %s\n%s%s", s->file, s->line, s->title, s->refused,
	       ok ? "  and was not\n" : "  but it was with:\n", report);
	return false;
}

static bool role_fits(const struct variant *v)
{
	if (!v->state)
		return true;
	if (strcmp(v->state, "syn-sent") == 0)
		return v->connected;
	if (strcmp(v->state, "listen") == 0 || strcmp(v->state, "syn-received") == 0 ||
	    strcmp(v->state, "closed") == 0)
		return !v->connected;
	return true;
}

static bool play(struct script *s)
{
	bool either = s->accepted || s->connected;

	for (int v6 = 0; v6 < 2; v6++) {
		if (v6 ? !s->v6 : !s->v4)
			continue;
		for (int connected = 0; connected < 2; connected++) {
			if (connected ? !s->connected : either && !s->accepted)
				continue;
			for (unsigned i = 0; i < (s->n_states ? s->n_states : 1); i++) {
				struct variant v = {v6, connected, s->n_states ? s->state[i] : NULL};
				if (role_fits(&v) && !play_variant(s, &v))
					return false;
			}
		}
	}
	return true;
}

// NULL: it cannot be read.
static char *file_text(const char *name)
{
	FILE *f = fopen(name, "r");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &size, 0, f) < 0) {
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

static bool play_file(const char *name)
{
	static struct script scripts[SCRIPTS_MAX];
	char *text = file_text(name);

	if (!text) {
		printf("%s: %s\n", name, strerror(errno));
		return false;
	}
	unsigned n = script_split(name, text, scripts, SCRIPTS_MAX);
	if (n == 0 || n == SCRIPTS_MAX)
		printf("%s: %s\n", name, n ? "too many scripts" : "no script in it");
	for (unsigned i = 0; i < n; i++) {
		bool ok = play(&scripts[i]);
		if (verbose)
			printf("%s %s:%u: %s\n", ok ? "ok  " : "FAIL", name, scripts[i].line, scripts[i].title);
		passed += ok;
		failed += !ok;
		refused += ok && scripts[i].refused;
	}
	free(text);
	return n > 0 && n < SCRIPTS_MAX;
}

static bool start(void)
{
	if (!pkt_start(64))
		return false;
	out_pool = pkt_pool_create("out", POOL, -1);
	in_pool = pkt_pool_create("in", POOL, -1);
	nic_pool = pkt_pool_create("card", NIC_MEMORY, -1);
	return out_pool && in_pool && nic_pool;
}

int main(int argc, char **argv)
{
	bool readable = true;
	int i = 1;

	if (i < argc && strcmp(argv[i], "-v") == 0) {
		verbose = true;
		i++;
	}
	if (i == argc) {
		fputs("usage: run [-v] FILE...\n", stderr);
		return 2;
	}
	if (!start()) {
		fputs("packet pools cannot be made\n", stderr);
		return 2;
	}
	for (; i < argc; i++)
		readable &= play_file(argv[i]);
	printf("scripts: %u variants played, %u wrong scripts refused\n", played, refused);
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !readable;
}
