// The life of control: start (or attach to what runs), the loop, and the end.
#include "compile.h"
#include "control.h"
#include "version.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void on_stopped(void *ctx)
{
	struct control *c = ctx;

	if (c->dataplane.exit_status) {
		log_error(&c->log, "the data plane did not end well (status %d)", c->dataplane.exit_status);
		c->status = 1;
	}
	c->loop.stop = true;
}

static void on_failed(void *ctx, const char *why)
{
	struct control *c = ctx;

	log_error(&c->log, "giving up: %s", why);
	c->status = 1;
	c->loop.stop = true;
}

static void on_attached(void *ctx)
{
	struct control *c = ctx;

	atomic_store(&c->instance.region->draining, 0);
}

// The list of addresses is there, and the data plane does not yet run.
static void on_listed(void *ctx)
{
	struct control *c = ctx;

	if (c->config)
		addresses_apply(c, c->config);
}

static void exporter_address(const struct config *config, char *dst, size_t room)
{
	const struct address *a = &config->root.telemetry.prometheus.listen;
	char text[ADDR_TEXT_MAX];

	snprintf(dst, room, addr_is_v4(a->addr) ? "%s:%u" : "[%s]:%u", addr_text(a->addr, text), a->tcp_port);
}

void control_shutdown(struct control *c, uint64_t drain)
{
	if (!c->stopping)
		log_note(&c->log,
			 drain ? "shutting down when requests in flight are finished" : "shutting down now");
	else if (drain)
		return;
	c->stopping = true;
	atomic_store(&c->instance.region->draining, 1);
	supervise_shutdown(&c->dataplane, drain);
}

static void hangup_done(void *ctx, const char *error)
{
	struct control *c = ctx;

	if (error)
		log_error(&c->log, "SIGHUP: the configuration stays as it is: %s", error);
	else
		log_note(&c->log, "SIGHUP: configuration reloaded, generation %llu",
			 (unsigned long long)c->dataplane.running.snapshot->generation);
}

static void on_signal(void *ctx, struct loop_op *op, int result)
{
	struct control *c = ctx;
	const struct signalfd_siginfo *info = (const void *)c->signal_room;

	if (result == (int)sizeof(*info)) {
		if (info->ssi_signo == SIGHUP && c->log.path)
			log_open(&c->log, c->log.path); // it may have been rotated
		if (info->ssi_signo == SIGHUP)
			control_reload(c, NULL, hangup_done, c);
		else // the second one means it
			control_shutdown(c, c->stopping ? 0 : CONTROL_DRAIN);
	}
	if (result == -ECANCELED)
		return;
	loop_read(&c->loop, op, c->signal_fd, c->signal_room, sizeof(*info));
}

static int signals_open(struct control *c)
{
	sigset_t set;

	_Static_assert(sizeof(struct signalfd_siginfo) <= sizeof(c->signal_room), "room for one signal");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (c->signal_fd < 0)
		return -errno;
	c->signals = (struct loop_op){.fn = on_signal, .ctx = c};
	loop_read(&c->loop, &c->signals, c->signal_fd, c->signal_room, sizeof(struct signalfd_siginfo));
	return 0;
}

// The region, the statistics and the first snapshot for a data plane that is still to be started.
static int prepare(struct control *c, const struct config *config, char *why, size_t why_size)
{
	struct blob b = {0};
	int err;

	if (instance_attach_region(&c->instance, config->n_workers, why, why_size) < 0 &&
	    instance_create_region(&c->instance, config->n_workers, why, why_size) < 0)
		return -1;
	atomic_store(&c->instance.region->draining, 0);
	c->generation = 1;
	err = compile_snapshot(&b, config, c->instance.region, c->generation, why, why_size);
	if (err == 0)
		err = generation_seal(&c->dataplane.running, &b, why, why_size);
	blob_free(&b);
	if (err == 0)
		compile_release(c->instance.region, c->dataplane.running.snapshot, NULL);
	return err;
}

// A data plane runs: its region, statistics and snapshot are taken as they are.
static int attach(struct control *c, const struct config *config, bool good, char *why, size_t why_size)
{
	const struct snapshot *s = c->dataplane.running.snapshot;

	if (instance_attach_region(&c->instance, s->system.workers, why, why_size) < 0)
		return -1;
	c->generation = s->generation;
	c->differs = !good || !slice_eq(snap_text(s, s->text), slice_of(config->text, config->text_size));
	if (c->differs)
		log_note(&c->log, "%s is not what the data plane runs%s; config reload switches to it",
			 config->path, good ? "" : ", and has errors");
	return 0;
}

int control_run(struct control *c, const char *dir, const char *path)
{
	struct config *config = calloc(1, sizeof(*config));
	char why[600];
	bool good;
	int found, err;

	if (!config)
		return 1;
	good = config_load(config, path);
	diag_print(&config->diag, stderr);
	if (instance_open(&c->instance, dir, why, sizeof(why)) < 0) {
		log_error(&c->log, "%s", why);
		return 1;
	}
	if (config->root.log.file.n && (err = log_open(&c->log, config->root.log.file.s)) < 0) {
		log_error(&c->log, "log file %s: %s", config->root.log.file.s, strerror(-err));
		return 1;
	}
	err = loop_init(&c->loop);
	if (err < 0) {
		log_error(&c->log, "io_uring: %s%s", strerror(-err),
			  err == -EPERM || err == -ENOSYS
				  ? " (is it forbidden here? kernel.io_uring_disabled, seccomp)"
				  : "");
		return 1;
	}
	log_note(&c->log, "churchgate-control %s, pid %d, directory %s, configuration %s", CHURCHGATE_VERSION,
		 (int)getpid(), c->instance.dir, config->path);
	c->path = config->path;
	c->dataplane = (struct supervise){.loop = &c->loop,
					  .log = &c->log,
					  .instance = &c->instance,
					  .program = c->program,
					  .stopped = on_stopped,
					  .failed = on_failed,
					  .attached = on_attached,
					  .listed = on_listed,
					  .ctx = c};
	supervise_init(&c->dataplane);
	err = signals_open(c);
	if (err < 0) {
		log_error(&c->log, "signals: %s", strerror(-err));
		return 1;
	}
	found = supervise_adopt(&c->dataplane, why, sizeof(why));
	if (found < 0)
		goto failed;
	if (found == 0 && !good) {
		snprintf(why, sizeof(why), "%.300s has errors: nothing is started", path);
		goto failed;
	}
	if ((found ? attach(c, config, good, why, sizeof(why)) : prepare(c, config, why, sizeof(why))) < 0)
		goto failed;
	exporter_address(config, c->instance.listen, sizeof(c->instance.listen));
	if (instance_open_stats(&c->instance, &c->log, why, sizeof(why)) < 0)
		goto failed;
	atomic_fetch_add(&c->instance.region->control_epoch, 1);
	if (!found)
		atomic_store(&c->instance.region->log_level, (uint32_t)config->root.log.level.v);
	if (good)
		c->config = config;
	sockets_apply(c, c->config);
	records_start(c);
	addresses_start(c);
	supervise_start(&c->dataplane);
	err = loop_run(&c->loop);
	records_drain(c);
	loop_fini(&c->loop);
	sockets_close(c);
	if (err < 0) { // the data plane goes on without us
		log_error(&c->log, "event loop: %s", strerror(-err));
		c->status = 1;
	} else {
		supervise_end(&c->dataplane);
	}
	supervise_fini(&c->dataplane);
	log_note(&c->log, "control ends");
	instance_close(&c->instance, err == 0);
	log_close(&c->log);
	return c->status;
failed:
	log_error(&c->log, "%s", why);
	// What runs is left alone, and so is what was set by hand: it may be started again with a better file.
	if (found == 0)
		supervise_end(&c->dataplane);
	instance_close(&c->instance, false);
	log_close(&c->log);
	return 1;
}
