#include "options.h"
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: loadgen --wan SOCKET [--lan SOCKET] [option...]\n"
	"  --cpu N  --hugepages  --memory MIB\n"
	"  --client IP (the first of the clients)  --gateway IP  --port N\n"
	"  --backend IP (the first)  --backends N  --lan-gateway IP  --backend-port N\n"
	"  --pipeline N (requests sent at once on a connection, the next ones when all are answered; without\n"
	"  bodies, and not with --close)\n"
	"  --connections N  --open-rate N (of them a second, at first)  --random (which one is next, open "
	"loop)\n"
	"  --close server|client (a connection for each request, and who ends it)\n"
	"  --method M  --host H  --path P  --send BYTES (body of a request)\n"
	"  --status N, --expect BYTES (what every answer must have)  --respond BYTES (of backends)\n"
	"  --mix \"SHARE METHOD PATH SEND STATUS EXPECT\" (instead of the six above; again for each kind of "
	"request)\n"
	"  --field \"NAME: VALUE\" (of requests, too); each # in path, host and field is a digit of a number, "
	"which is\n  drawn anew for each request (phase.h)\n"
	"  --patience MS (for an answer)  --large P, --sink P (what hostile clients ask for, and send to)\n"
	"  --null BYTES  --null-runs N (only frames of that size that somebody sends back, in N rounds: "
	"null.h)\n"
	"  --null-rate R (so many a second, in open loop: what they take)\n"
	"  --snapshot FILE (of the gateway, where that is in the same thread: perf/virtual)\n"
	"Each line of standard input is a phase (phase.h), for which one line of JSON goes to standard output. "
	"After\n"
	"the line \"quiet\" it sends nothing more, and ends when its standard input does.\n";

static void wrong(const char *name, const char *value)
{
	fprintf(stderr, "loadgen: --%s: \"%s\" is not possible\n%s", name, value, usage);
	exit(2);
}

static unsigned number(const char *name, const char *text, unsigned min, unsigned max)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (end == text || *end || v < min || v > max)
		wrong(name, text);
	return (unsigned)v;
}

static double real(const char *name, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v >= 0 && v < 1e9))
		wrong(name, text);
	return v;
}

static uint32_t address(const char *name, const char *text)
{
	struct in_addr a;

	if (inet_pton(AF_INET, text, &a) != 1)
		wrong(name, text);
	return a.s_addr;
}

// "SHARE METHOD PATH SEND STATUS EXPECT"
static void mix_add(struct options *o, const char *name, const char *text)
{
	struct option_work *w = &o->mix[o->n_mix];
	char *method, *path;
	int end = 0;

	if (o->n_mix == CLIENT_WORKS ||
	    sscanf(text, "%u %m[A-Z] %ms %u %u %u%n", &w->share, &method, &path, &w->send, &w->status,
		   &w->expect, &end) != 6 ||
	    text[end] || !w->share || w->share > 1000000 || w->send > 1u << 24)
		wrong(name, text);
	w->method = method; // kept until the end
	w->path = path;
	o->n_mix++;
}

enum {
	WAN,
	LAN,
	CPU,
	HUGE,
	MEMORY,
	CLIENT,
	GATEWAY,
	PORT,
	BACKEND,
	BACKENDS,
	LAN_GATEWAY,
	BACKEND_PORT,
	CONNECTIONS,
	OPEN_RATE,
	RANDOM,
	CLOSE,
	METHOD,
	HOST,
	FIELD,
	PATH,
	SEND,
	STATUS,
	EXPECT,
	RESPOND,
	PATIENCE,
	PIPELINE,
	LARGE,
	SINK,
	MIX,
	NULL_LIMIT,
	NULL_RATE,
	NULL_RUNS,
	SNAPSHOT
};
static const struct option options[] = {
	[WAN] = {"wan", 1, 0, WAN},
	[LAN] = {"lan", 1, 0, LAN},
	[CPU] = {"cpu", 1, 0, CPU},
	[HUGE] = {"hugepages", 0, 0, HUGE},
	[MEMORY] = {"memory", 1, 0, MEMORY},
	[CLIENT] = {"client", 1, 0, CLIENT},
	[GATEWAY] = {"gateway", 1, 0, GATEWAY},
	[PORT] = {"port", 1, 0, PORT},
	[BACKEND] = {"backend", 1, 0, BACKEND},
	[BACKENDS] = {"backends", 1, 0, BACKENDS},
	[LAN_GATEWAY] = {"lan-gateway", 1, 0, LAN_GATEWAY},
	[BACKEND_PORT] = {"backend-port", 1, 0, BACKEND_PORT},
	[CONNECTIONS] = {"connections", 1, 0, CONNECTIONS},
	[OPEN_RATE] = {"open-rate", 1, 0, OPEN_RATE},
	[RANDOM] = {"random", 0, 0, RANDOM},
	[CLOSE] = {"close", 1, 0, CLOSE},
	[METHOD] = {"method", 1, 0, METHOD},
	[HOST] = {"host", 1, 0, HOST},
	[FIELD] = {"field", 1, 0, FIELD},
	[PATH] = {"path", 1, 0, PATH},
	[SEND] = {"send", 1, 0, SEND},
	[STATUS] = {"status", 1, 0, STATUS},
	[EXPECT] = {"expect", 1, 0, EXPECT},
	[RESPOND] = {"respond", 1, 0, RESPOND},
	[PATIENCE] = {"patience", 1, 0, PATIENCE},
	[PIPELINE] = {"pipeline", 1, 0, PIPELINE},
	[LARGE] = {"large", 1, 0, LARGE},
	[SINK] = {"sink", 1, 0, SINK},
	[MIX] = {"mix", 1, 0, MIX},
	[NULL_LIMIT] = {"null", 1, 0, NULL_LIMIT},
	[NULL_RATE] = {"null-rate", 1, 0, NULL_RATE},
	[NULL_RUNS] = {"null-runs", 1, 0, NULL_RUNS},
	[SNAPSHOT] = {"snapshot", 1, 0, SNAPSHOT},
	{0},
};

static void take(struct options *o, int which, const char *v)
{
	const char *name = options[which].name;

	switch (which) {
	case WAN:
		o->wan = v;
		break;
	case LAN:
		o->lan = v;
		break;
	case CPU:
		o->cpu = number(name, v, 0, 1023);
		break;
	case HUGE:
		o->hugepages = true;
		break;
	case MEMORY:
		o->memory = number(name, v, 16, 65536);
		break;
	case CLIENT:
		o->client = address(name, v);
		break;
	case GATEWAY:
		o->gateway = address(name, v);
		break;
	case PORT:
		o->port = number(name, v, 1, 65535);
		break;
	case BACKEND:
		o->backend = address(name, v);
		break;
	case BACKENDS:
		o->backends = number(name, v, 1, 64);
		break;
	case LAN_GATEWAY:
		o->lan_gateway = address(name, v);
		break;
	case BACKEND_PORT:
		o->backend_port = number(name, v, 1, 65535);
		break;
	case CONNECTIONS:
		o->connections = number(name, v, 1, 1u << 20);
		break;
	case OPEN_RATE:
		o->open_rate = real(name, v);
		break;
	case RANDOM:
		o->random = true;
		break;
	case CLOSE:
		if (strcmp(v, "server") != 0 && strcmp(v, "client") != 0)
			wrong(name, v);
		o->close = v[0] == 's' ? CLOSE_SERVER : CLOSE_CLIENT;
		break;
	case METHOD:
		o->work.method = v;
		break;
	case HOST:
		o->host = v;
		break;
	case FIELD:
		o->field = v;
		break;
	case PATH:
		o->work.path = v;
		break;
	case SEND:
		o->work.send = number(name, v, 0, 1u << 24);
		break;
	case STATUS:
		o->work.status = number(name, v, 100, 599);
		break;
	case EXPECT:
		o->work.expect = number(name, v, 0, 1u << 24);
		break;
	case RESPOND:
		o->respond = number(name, v, 0, 1u << 24);
		break;
	case PATIENCE:
		o->patience = number(name, v, 1, 1000000);
		break;
	case PIPELINE:
		o->pipeline = number(name, v, 1, CLIENT_PIPELINE);
		break;
	case LARGE:
		o->large = v;
		break;
	case SINK:
		o->sink = v;
		break;
	case MIX:
		mix_add(o, name, v);
		break;
	case NULL_LIMIT:
		o->null = number(name, v, 60, 1514);
		break;
	case NULL_RATE:
		o->null_rate = number(name, v, 1, 100000000);
		break;
	case NULL_RUNS:
		o->null_runs = number(name, v, 1, 100);
		break;
	case SNAPSHOT:
		o->snapshot = v;
		break;
	default:
		break;
	}
}

// A pipeline's requests are bytes that stay the same.
static bool can_be_pipelined(const struct options *o)
{
	bool body = o->n_mix == 0 && o->work.send,
	     number = strchr(o->host, '#') || (o->field && strchr(o->field, '#'));

	for (unsigned i = 0; i < o->n_mix; i++) {
		body |= o->mix[i].send > 0;
		number |= strchr(o->mix[i].path, '#') != NULL;
	}
	return !body && !number && !strchr(o->work.path, '#') && o->close == CLOSE_NEVER;
}

void options_read(struct options *o, int argc, char **argv)
{
	int c;

	*o = (struct options){.cpu = 1,
			      .memory = 128,
			      .port = 80,
			      .backends = 1,
			      .backend_port = 8080,
			      .connections = 256,
			      .work = {.method = "GET", .path = "/", .status = 200, .share = 1},
			      .host = "perf.test",
			      .large = "/",
			      .sink = "/",
			      .open_rate = 200000,
			      .patience = 10000,
			      .pipeline = 1,
			      .null_runs = 5};
	o->gateway = address("gateway", "198.18.0.1");
	o->client = address("client", "198.18.1.0");
	o->lan_gateway = address("lan-gateway", "198.19.0.1");
	o->backend = address("backend", "198.19.0.11");
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?') {
			fputs(usage, stderr);
			exit(2);
		}
		take(o, c, optarg);
	}
	if (o->pipeline > 1 && !can_be_pipelined(o)) {
		fputs("loadgen: --pipeline: only requests without a body and without a number, on connections "
		      "that stay\n",
		      stderr);
		exit(2);
	}
	if (!o->wan || optind != argc) {
		fputs(usage, stderr);
		exit(2);
	}
}
