// churchgate-exporter: reads an instance's statistics and serves them as Prometheus text. It writes nothing
// that the data plane or control read; nothing else notices when it is killed.
#include "ebpf/exporter.h"
#include "ebpf/privilege.h"
#include "ebpf/server.h"
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define LISTEN_DEFAULT "127.0.0.1:9145"

// Where the configuration wants us: the second line of the instance's `stats`, which control writes.
static const char *listen_configured(const char *dir)
{
	static char address[64];
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/stats", dir);
	f = fopen(path, "re");
	if (!f)
		return NULL;
	if (fscanf(f, "%*[^\n] listen %63s", address) != 1)
		address[0] = '\0';
	fclose(f);
	return address[0] ? address : NULL;
}

struct options {
	const char *dir, *listen, *host_bpf;
};

static const char usage[] =
	"churchgate-exporter --dir RUNDIR [--listen ADDRESS:PORT] [--host-bpf PATH]\n"
	"  --dir RUNDIR           directory of the instance (region, stats)\n"
	"  --listen ADDRESS:PORT  where /metrics and /health are served; if not given, as the\n"
	"                         configuration says, or " LISTEN_DEFAULT "\n"
	"  --host-bpf PATH        where the host's /sys/fs/bpf is seen, if not there\n";

// 0; 1 for help; -1 with a sentence said.
static int options_parse(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {{"dir", required_argument, NULL, 'd'},
					      {"listen", required_argument, NULL, 'l'},
					      {"host-bpf", required_argument, NULL, 'b'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	int c;

	*o = (struct options){0};
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'd')
			o->dir = optarg;
		else if (c == 'l')
			o->listen = optarg;
		else if (c == 'b')
			o->host_bpf = optarg;
		else
			return c == 'h' ? 1 : -1;
	}
	if (optind < argc) {
		fprintf(stderr, "churchgate-exporter: what is \"%s\"?\n", argv[optind]);
		return -1;
	}
	if (!o->dir) {
		fprintf(stderr, "churchgate-exporter: --dir is missing\n");
		return -1;
	}
	if (!o->listen)
		o->listen = listen_configured(o->dir);
	if (!o->listen)
		o->listen = LISTEN_DEFAULT;
	return 0;
}

static uint64_t clock_monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int signals_open(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int seconds_open(void)
{
	const struct itimerspec each = {{1, 0}, {1, 0}};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0 && timerfd_settime(fd, 0, &each, NULL) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int run(struct exporter *x, struct server *s, int signals, int seconds)
{
	struct pollfd p[] = {{signals, POLLIN, 0}, {seconds, POLLIN, 0}, {server_fd(s), POLLIN, 0}};

	exporter_second(x);
	for (;;) {
		uint64_t ticks;

		if (poll(p, 3, -1) < 0 && errno != EINTR) {
			perror("churchgate-exporter: poll");
			return 1;
		}
		if (p[0].revents)
			return 0;
		if (p[1].revents && read(seconds, &ticks, sizeof(ticks)) == sizeof(ticks)) {
			exporter_second(x);
			server_expire(s, clock_monotonic());
		}
		if (p[2].revents)
			server_work(s, clock_monotonic());
	}
}

int main(int argc, char **argv)
{
	struct exporter x;
	struct server_pages pages = {exporter_metrics, exporter_health, &x};
	struct options o;
	struct server *server;
	struct sched *sched;
	char why[256];
	int err = options_parse(&o, argc, argv), signals, seconds;

	if (err) {
		fputs(usage, err > 0 ? stdout : stderr);
		return err > 0 ? 0 : 2;
	}
	signals = signals_open();
	seconds = seconds_open();
	if (signals < 0 || seconds < 0) {
		perror("churchgate-exporter");
		return 1;
	}
	server = server_open(o.listen, &pages, why, sizeof(why));
	if (!server) {
		fprintf(stderr, "churchgate-exporter: %s\n", why);
		return 1;
	}
	sched = sched_open(why, sizeof(why));
	if (!sched)
		fprintf(stderr,
			"churchgate-exporter: BPF is not available (%s): involuntary switches are not "
			"counted\n",
			why);
	if (!privilege_drop())
		fprintf(stderr,
			"churchgate-exporter: keeps its capabilities: the kernel refused to drop them\n");
	exporter_init(&x, o.dir, o.host_bpf, sched);
	fprintf(stderr, "churchgate-exporter: listens on %s\n", server_address(server));
	err = run(&x, server, signals, seconds);
	server_close(server);
	exporter_fini(&x);
	return err;
}
