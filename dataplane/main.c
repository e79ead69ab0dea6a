// churchgate-dataplane: waits on its socket for control, which brings the region, the statistics and the first
// snapshot; then starts DPDK, ports and workers (start.c) and keeps house (housekeeping.c). It lives on when
// control goes away.
//
// Exit codes: 0 stopped when told to; 1 could not start (the reason stands on the standard error output, and
// control has it); 2 wrong arguments; 3 packet buffers or connections were missing at the end.
#include "housekeeping.h"
#include "log.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { EXIT_START = 1, EXIT_USAGE = 2, EXIT_LEAK = 3 };

static const char usage[] =
	"Usage: churchgate-dataplane --dir DIRECTORY [--log-level error|warning|info|debug]\n"
	"Carries the traffic; churchgate-control starts it and tells it what to do.\n"
	"  --dir DIRECTORY     of the instance: its socket is made there\n"
	"  --log-level LEVEL   of the messages on the standard error output (info)\n";

static void parse(int argc, char **argv, struct dataplane *d)
{
	static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
						{"log-level", required_argument, NULL, 'l'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	enum log_level level;
	struct stat sb;

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case 'd':
			if (!realpath(optarg, d->dir) || stat(d->dir, &sb) < 0 || !S_ISDIR(sb.st_mode)) {
				fprintf(stderr, "churchgate-dataplane: --dir %s: not a directory\n", optarg);
				exit(EXIT_USAGE);
			}
			break;
		case 'l':
			if (!log_level_parse(optarg, &level)) {
				fprintf(stderr, "churchgate-dataplane: --log-level %s: unknown\n%s", optarg,
					usage);
				exit(EXIT_USAGE);
			}
			log_set_level(level);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind != argc || !d->dir[0]) {
		fputs(usage, stderr);
		exit(EXIT_USAGE);
	}
}

// All threads inherit this: signals reach the main thread's descriptor only.
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int main(int argc, char **argv)
{
	static struct dataplane d;
	struct housekeeping h;
	char why[240];
	int code;

	clock_init(&d.clock);
	for (unsigned i = 0; i < GENERATIONS; i++)
		d.generation[i].fd = -1;
	d.memory_fd = d.limits_fd = d.addresses_fd = d.packets.fd = -1;
	parse(argc, argv, &d);
	block_signals();
	if (housekeeping_open(&h, &d, why, sizeof why)) {
		log_print(LOG_ERROR, "%s", why);
		return EXIT_START;
	}
	code = housekeeping_run(&h);
	if (h.running && dataplane_stop(&d))
		code = EXIT_LEAK;
	housekeeping_close(&h);
	dataplane_detach(&d);
	return code;
}
