// Control's event loop on io_uring. Single-threaded: everything in control happens in callbacks of loop_run().
//
// An operation belongs to its owner and must stay where it is until its callback has been called; an operation
// is under way from its start until then (loop_op.busy). loop_cancel() ends it early: the callback still comes,
// with -ECANCELED (or with what happened before).
#pragma once
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

struct loop_op;
typedef void loop_fn(void *ctx, struct loop_op *op, int result);

struct loop_op {
	loop_fn *fn;
	void *ctx;
	bool busy;
	struct __kernel_timespec wait;
};

struct loop {
	struct io_uring ring;
	bool stop;
};

// 0 or -errno.
int loop_init(struct loop *l);
void loop_fini(struct loop *l);
// Until loop->stop is set by a callback. 0 or -errno.
int loop_run(struct loop *l);
uint64_t loop_now(void); // CLOCK_MONOTONIC, ns

void loop_poll(struct loop *l, struct loop_op *op, int fd, unsigned events); // result: the events
void loop_accept(struct loop *l, struct loop_op *op, int fd);                // result: a descriptor
void loop_recv(struct loop *l, struct loop_op *op, int fd, void *p, size_t n);
void loop_send(struct loop *l, struct loop_op *op, int fd, const void *p, size_t n);
void loop_read(struct loop *l, struct loop_op *op, int fd, void *p, size_t n);
void loop_timer(struct loop *l, struct loop_op *op, uint64_t ns); // from now; result 0
void loop_cancel(struct loop *l, struct loop_op *op);
