// The control process: what its parts share. Single-threaded, driven by control/loop.h.
#pragma once
#include "config.h"
#include "instance.h"
#include "log.h"
#include "loop.h"
#include "supervise.h"

struct session;
struct listening;
struct query;

#define SAMPLE_WORKERS SNAP_WORKERS_MAX

struct control {
	struct loop loop;
	struct log log;
	struct instance instance;
	struct supervise dataplane;
	const char *program;   // of the data plane
	const char *path;      // of the configuration, as a reload reads it
	struct config *config; // what control itself runs with: sockets, log; NULL before the first
	bool differs;          // the file is another than what the data plane runs
	uint64_t started;      // CLOCK_MONOTONIC, ns
	uint64_t reloaded;     // CLOCK_REALTIME, ns; 0: never
	uint64_t generation;   // the last one given out
	int signal_fd;
	struct loop_op signals, records, sampling, sweeping;
	char signal_room[128];
	bool stopping;
	int status; // of the process
	struct listening *listening;
	struct session *sessions;
	unsigned n_sessions;
	// Sessions that have a command to run: of operators and above, and of mere users. One at a time.
	struct {
		struct session *first, **last;
	} turns[2];
	struct loop_op turn;
	struct query *query; // a listing of connections under way
	uint32_t query_id;
	// Each worker's share of busy time in the last second, and what it is computed from.
	uint64_t busy_seen[SAMPLE_WORKERS], idle_seen[SAMPLE_WORKERS];
	double busy_share[SAMPLE_WORKERS];
};

// Until it is told to stop; the status of the process. log, program and started are set.
int control_run(struct control *c, const char *dir, const char *path);

// Reads the file again (path NULL: the one that runs) and publishes it. done is called, at once or later, with
// NULL or with what is wrong (several lines).
typedef void reload_fn(void *ctx, const char *error);
void control_reload(struct control *c, const char *path, reload_fn *done, void *ctx);
// Control itself goes by this configuration from now on: log, sockets. Takes it over.
void control_apply(struct control *c, struct config *config);
// Ends data plane and control; drain: how long requests may take to finish, ns.
void control_shutdown(struct control *c, uint64_t drain);
#define CONTROL_DRAIN 30000000000ull

// addresses.c: the lists of denied and allowed addresses follow what this configuration and its files say.
void addresses_apply(struct control *c, const struct config *config);
struct rec_block;
void addresses_block(struct control *c, const struct rec_block *b); // by a rate limit
void addresses_start(struct control *c);                            // from then on what has ended is taken away

// sockets.c
struct config;
void sockets_apply(struct control *c, const struct config *config); // opens what is new, closes what is gone
void sockets_close(struct control *c); // after loop_fini(): nothing is under way any more

// records.c: what workers write to their rings.
void records_start(struct control *c);
void records_drain(struct control *c);
