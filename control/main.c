// churchgate-control: reads the configuration, starts and supervises the data plane, answers on its sockets.
#include "compile.h"
#include "control.h"
#include "version.h"
#include <getopt.h>
#include <jansson.h>
#include <jemalloc/jemalloc.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_DIR "/run/churchgate"

static const char usage[] =
	"usage: churchgate-control [--dir DIRECTORY] [--dataplane PROGRAM] CONFIG\n"
	"       churchgate-control --check CONFIG\n"
	"       churchgate-control --compile FILE CONFIG\n"
	"       churchgate-control --schema | --version | --help\n"
	"\n"
	"  --dir DIRECTORY      of the instance (" RUN_DIR "): sockets, region, lock\n"
	"  --dataplane PROGRAM  beside this program if not given\n"
	"  --check CONFIG       names everything that is wrong with the file as file:line:column, and ends\n"
	"  --compile FILE       writes the snapshot of a good configuration to FILE, and ends\n"
	"  --schema             prints the JSON Schema of the configuration\n"
	"\n"
	"SIGTERM and SIGINT finish what is in flight and stop; SIGHUP reads the configuration again.\n";

// out: where the snapshot goes; NULL: nowhere.
static int check(const char *path, const char *out)
{
	struct config c;
	char why[400];
	bool good = config_load(&c, path);

	diag_print(&c.diag, stderr);
	if (good && compile_dry(&c, out, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s: %s\n", path, why);
		good = false;
	}
	if (good)
		printf("%s: ok (%u listeners, %u routes, %u upstreams, %u endpoints)\n", path,
		       c.root.listeners.n, c.root.routes.n, c.root.upstreams.n, c.n_endpoints);
	config_free(&c);
	return good ? 0 : 1;
}

static int schema(void)
{
	json_t *j = schema_json(&conf_schema, "Churchgate configuration");

	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
	return 0;
}

// churchgate-dataplane beside our own executable.
static const char *program_beside(void)
{
	static char path[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	if (n <= 0)
		return "churchgate-dataplane";
	path[n] = '\0';
	slash = strrchr(path, '/');
	snprintf(slash ? slash + 1 : path, 32, "churchgate-dataplane");
	return path;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"dir", required_argument, NULL, 'd'},   {"dataplane", required_argument, NULL, 'p'},
		{"check", required_argument, NULL, 'c'}, {"compile", required_argument, NULL, 'o'},
		{"schema", no_argument, NULL, 's'},      {"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
	};
	static struct control c;
	const char *dir = RUN_DIR, *program = NULL, *out = NULL;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (o) {
		case 'd':
			dir = optarg;
			break;
		case 'p':
			program = optarg;
			break;
		case 'c':
			return check(optarg, NULL);
		case 'o':
			out = optarg;
			break;
		case 's':
			return schema();
		case 'v':
			printf("churchgate-control %s (jemalloc %s)\n", CHURCHGATE_VERSION, JEMALLOC_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (argc - optind != 1) {
		fputs(usage, stderr);
		return 2;
	}
	if (out)
		return check(argv[optind], out);
	c.log.fd = STDERR_FILENO;
	c.program = program ? program : program_beside();
	c.started = loop_now();
	return control_run(&c, dir, argv[optind]);
}
