// From a file to a running generation: all or nothing.
#include "compile.h"
#include "control.h"
#include "weights.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct reload {
	struct control *control;
	struct config *config;
	reload_fn *done;
	void *ctx;
	struct weight_taken *weights; // [n_weights] taken back for what is published
	size_t n_weights;
};

static bool ref_same(const struct snapshot *a, struct snap_ref ra, const struct snapshot *b, struct snap_ref rb)
{
	return slice_eq(snap_text(a, ra), snap_text(b, rb));
}

// What cannot change while a data plane lives; NULL: nothing of it does.
static const char *needs_restart(const struct snapshot *now, const struct snapshot *next)
{
	const struct snap_system *a = &now->system, *b = &next->system;
	const struct snap_port *p = snap_at(now, now->ports), *q = snap_at(next, next->ports);

	if (a->workers != b->workers || a->idle != b->idle || memcmp(a->cpu, b->cpu, sizeof(a->cpu)) != 0)
		return "system.workers";
	if (a->packet_memory != b->packet_memory || a->hugepages != b->hugepages)
		return "system.memory";
	if (a->limit_memory != b->limit_memory || a->address_memory != b->address_memory)
		return "system.memory";
	if (a->max_connections != b->max_connections || a->upstream_reserve != b->upstream_reserve ||
	    a->min_mss != b->min_mss || a->compressions != b->compressions)
		return "system.limits";
	if (memcmp(&a->tcp, &b->tcp, sizeof(a->tcp)) != 0)
		return "system.tcp";
	if (now->ports.n != next->ports.n)
		return "the number of system.ports";
	for (uint32_t i = 0; i < now->ports.n; i++)
		if (!ref_same(now, p[i].device, next, q[i].device) || p[i].queues != q[i].queues ||
		    p[i].mtu != q[i].mtu || p[i].tso != q[i].tso)
			return "a device, its mtu, tso or queues in system.ports";
	return NULL;
}

void control_apply(struct control *c, struct config *config)
{
	const struct conf_log *log = &config->root.log, *old = c->config ? &c->config->root.log : NULL;
	const char *file = log->file.n ? log->file.s : NULL, *old_file = c->log.path;

	// A level that was set by hand stays until the file says another than before.
	if (!old || old->level.v != log->level.v)
		atomic_store(&c->instance.region->log_level, (uint32_t)log->level.v);
	if ((file != NULL) != (old_file != NULL) || (file && strcmp(file, old_file) != 0)) {
		int err = log_open(&c->log, file);

		if (err < 0)
			log_error(&c->log, "log file %s: %s", file ? file : "", strerror(-err));
	}
	if (c->config) {
		config_free(c->config);
		free(c->config);
	}
	c->config = config;
	c->path = config->path;
	addresses_apply(c, config);
	sockets_apply(c, config);
}

static void weights_log(struct control *c, const struct reload *r)
{
	const struct snapshot *s = c->dataplane.running.snapshot;
	const struct snap_route *route = snap_at(s, s->routes);
	const struct snap_upstream *u = snap_at(s, s->upstreams);

	for (size_t i = 0; i < r->n_weights; i++) {
		const struct snap_route *of = &route[r->weights[i].route];
		const struct snap_target *t = snap_at(s, of->targets);
		struct slice name = snap_text(s, of->name),
			     to = snap_text(s, u[t[r->weights[i].target].upstream].name);

		log_note(&c->log,
			 "weight of %.*s in route %.*s is as configured again: 0, set by hand, would leave it "
			 "nothing",
			 (int)to.n, to.p, (int)name.n, name.p);
	}
}

static void published(void *ctx, const char *error)
{
	struct reload *r = ctx;
	struct control *c = r->control;
	struct timespec now;

	if (error) {
		weights_give_back(c->instance.region, r->weights, r->n_weights);
		config_free(r->config);
		free(r->config);
	} else {
		weights_log(c, r);
		clock_gettime(CLOCK_REALTIME, &now);
		c->reloaded = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
		c->differs = false;
		control_apply(c, r->config);
	}
	r->done(r->ctx, error);
	free(r->weights);
	free(r);
}

// What was found in the file, as lines.
static char *findings(struct diag *d)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	diag_print(d, f);
	fclose(f);
	while (n && text[n - 1] == '\n')
		text[--n] = '\0';
	return text;
}

static void refuse(struct reload *r, const char *error)
{
	published(r, error);
}

// What a configuration that is not taken was given in the region.
static void slots_release(struct control *c)
{
	compile_release(c->instance.region, c->dataplane.running.snapshot, c->dataplane.before.snapshot);
}

void control_reload(struct control *c, const char *path, reload_fn *done, void *ctx)
{
	struct reload *r = calloc(1, sizeof(*r));
	struct generation next = GENERATION_NONE;
	struct blob b = {0};
	const char *what;
	char why[600], text[480];
	int err;

	if (!r || !(r->config = calloc(1, sizeof(*r->config)))) {
		free(r);
		done(ctx, "no memory left");
		return;
	}
	r->control = c;
	r->done = done;
	r->ctx = ctx;
	if (!config_load(r->config, path ? path : c->path)) {
		char *lines = findings(&r->config->diag);

		refuse(r, lines ? lines : "no memory left");
		free(lines);
		return;
	}
	if (c->dataplane.state != DATAPLANE_RUNNING || c->dataplane.publish_done) {
		refuse(r, c->dataplane.publish_done
				  ? "another configuration is being published"
				  : "the data plane does not run now; try again when it does");
		return;
	}
	err = compile_snapshot(&b, r->config, c->instance.region, c->generation + 1, text, sizeof(text));
	if (err < 0 && c->dataplane.before.snapshot) {
		// The generation that ran before holds slots too. Only long requests still look at them, and an
		// epoch tells them when an endpoint's has another owner.
		blob_free(&b);
		generation_drop(&c->dataplane.before);
		slots_release(c);
		err = compile_snapshot(&b, r->config, c->instance.region, c->generation + 1, text,
				       sizeof(text));
	}
	if (err < 0) {
		snprintf(why, sizeof(why), "%.100s: %s", r->config->path, text);
		blob_free(&b);
		slots_release(c);
		refuse(r, why);
		return;
	}
	what = needs_restart(c->dataplane.running.snapshot, (const struct snapshot *)(const void *)b.p);
	if (what) {
		snprintf(why, sizeof(why),
			 "%.200s: %s cannot change while the data plane runs: shut down, then start again",
			 r->config->path, what);
		blob_free(&b);
		slots_release(c);
		refuse(r, why);
		return;
	}
	c->generation++;
	if (generation_seal(&next, &b, why, sizeof(why)) < 0) {
		blob_free(&b);
		slots_release(c);
		refuse(r, why);
		return;
	}
	blob_free(&b);
	r->weights =
		weights_take(c->instance.region, c->dataplane.running.snapshot, next.snapshot, &r->n_weights);
	if (supervise_publish(&c->dataplane, &next, published, r) < 0) {
		generation_drop(&next);
		slots_release(c);
		refuse(r, "the data plane cannot be reached");
	}
}
