#include "loop.h"
#include <errno.h>
#include <time.h>

#define ENTRIES 128

int loop_init(struct loop *l)
{
	*l = (struct loop){0};
	return io_uring_queue_init(ENTRIES, &l->ring, IORING_SETUP_CLAMP);
}

void loop_fini(struct loop *l)
{
	io_uring_queue_exit(&l->ring);
}

uint64_t loop_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct io_uring_sqe *begin(struct loop *l, struct loop_op *op)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&l->ring)))
		io_uring_submit(&l->ring); // makes room: the kernel takes what stands in the queue
	if (op)
		op->busy = true;
	return sqe;
}

void loop_poll(struct loop *l, struct loop_op *op, int fd, unsigned events)
{
	struct io_uring_sqe *sqe = begin(l, op);

	io_uring_prep_poll_add(sqe, fd, events);
	io_uring_sqe_set_data(sqe, op);
}

void loop_accept(struct loop *l, struct loop_op *op, int fd)
{
	struct io_uring_sqe *sqe = begin(l, op);

	io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data(sqe, op);
}

void loop_recv(struct loop *l, struct loop_op *op, int fd, void *p, size_t n)
{
	struct io_uring_sqe *sqe = begin(l, op);

	io_uring_prep_recv(sqe, fd, p, n, 0);
	io_uring_sqe_set_data(sqe, op);
}

void loop_send(struct loop *l, struct loop_op *op, int fd, const void *p, size_t n)
{
	struct io_uring_sqe *sqe = begin(l, op);

	io_uring_prep_send(sqe, fd, p, n, MSG_NOSIGNAL);
	io_uring_sqe_set_data(sqe, op);
}

void loop_read(struct loop *l, struct loop_op *op, int fd, void *p, size_t n)
{
	struct io_uring_sqe *sqe = begin(l, op);

	io_uring_prep_read(sqe, fd, p, (unsigned)n, 0);
	io_uring_sqe_set_data(sqe, op);
}

void loop_timer(struct loop *l, struct loop_op *op, uint64_t ns)
{
	struct io_uring_sqe *sqe = begin(l, op);

	op->wait.tv_sec = (long long)(ns / 1000000000u);
	op->wait.tv_nsec = (long long)(ns % 1000000000u);
	io_uring_prep_timeout(sqe, &op->wait, 0, 0);
	io_uring_sqe_set_data(sqe, op);
}

void loop_cancel(struct loop *l, struct loop_op *op)
{
	struct io_uring_sqe *sqe;

	if (!op->busy)
		return;
	sqe = begin(l, NULL);
	io_uring_prep_cancel(sqe, op, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

int loop_run(struct loop *l)
{
	while (!l->stop) {
		struct io_uring_cqe *cqe;
		int err = io_uring_submit_and_wait(&l->ring, 1);

		if (err < 0 && err != -EINTR && err != -EAGAIN && err != -EBUSY)
			return err;
		while (!l->stop && io_uring_peek_cqe(&l->ring, &cqe) == 0) {
			struct loop_op *op = io_uring_cqe_get_data(cqe);
			int result = cqe->res;

			io_uring_cqe_seen(&l->ring, cqe);
			if (!op)
				continue;
			op->busy = false;
			// A timer that ran out is no error; nothing else ends with ETIME.
			op->fn(op->ctx, op, result == -ETIME ? 0 : result);
		}
	}
	io_uring_submit(&l->ring); // last answers
	return 0;
}
