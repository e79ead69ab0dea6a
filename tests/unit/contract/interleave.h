// Every interleaving of the steps of up to CALLERS callers. The real functions run, each caller on a stack of
// its own, and are stopped in front of each access to what they share (step()); explore() walks through all
// orders in which the accesses can be made. Sleep sets leave out those that differ only in the order of
// accesses that do not touch each other. What a caller does between two steps, nobody sees it do in part.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define CALLERS 3
#ifndef STEPS_MAX
#define STEPS_MAX 56
#endif
#define STACK (64u << 10)

// Saves what a call must keep, changes stacks and goes on there: a tenth of swapcontext(), which asks the
// kernel about signals.
void switch_stacks(void **save, void *go_on);
__asm__(".text\n.globl switch_stacks\n.type switch_stacks,@function\nswitch_stacks:\n"
	"push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
	"mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
	"pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");

struct caller {
	void *sp;
	char *stack;
	void (*run)(unsigned self);
	const volatile void *where; // of the access it stands in front of
	bool writes, done;
};

static struct caller caller[CALLERS];
static unsigned n_callers, self_now;
static void *explorer;
static bool exploring;

static void step(const volatile void *where, bool writes)
{
	if (!exploring)
		return;
	caller[self_now].where = where;
	caller[self_now].writes = writes;
	switch_stacks(&caller[self_now].sp, explorer);
}

static void begin(void)
{
	unsigned self = self_now;

	caller[self].run(self);
	caller[self].done = true;
	switch_stacks(&caller[self].sp, explorer);
	abort(); // nobody comes back here
}

static void go(unsigned i)
{
	self_now = i;
	switch_stacks(&explorer, caller[i].sp);
}

// Whether it matters which of two accesses is the first. A test whose callers keep account of what was written
// says that it does for all that write.
#ifndef INTERLEAVE_WRITES
#define INTERLEAVE_WRITES false
#endif
static bool touch(unsigned a, unsigned b)
{
	if (INTERLEAVE_WRITES && caller[a].writes && caller[b].writes)
		return true;
	return caller[a].where == caller[b].where && (caller[a].writes || caller[b].writes);
}

// One frame of the walk: who was chosen, who is still to be tried, who sleeps.
struct frame {
	unsigned chosen, todo, sleep;
};
static struct frame frame[STEPS_MAX];
static uint64_t runs, longest, cut;

struct scene {
	void (*reset)(void);
	void (*check)(void);
	void (*run[CALLERS])(unsigned self);
};

static void start(const struct scene *s)
{
	exploring = false;
	s->reset();
	exploring = true;
	for (n_callers = 0; n_callers < CALLERS && s->run[n_callers]; n_callers++) {
		struct caller *c = &caller[n_callers];

		if (!c->stack)
			c->stack = malloc(STACK);
		c->run = s->run[n_callers];
		c->done = false;
		// As if begin() had been about to be called: six registers, then where to go on.
		void **top = (void **)(void *)(c->stack + STACK - 64);

		memset(top - 8, 0, 8 * sizeof(*top));
		top[-2] = (void *)(uintptr_t)begin;
		c->sp = top - 8;
	}
	for (unsigned i = 0; i < n_callers; i++)
		go(i); // up to its first access
}

static unsigned able(void)
{
	unsigned m = 0;

	for (unsigned i = 0; i < n_callers; i++)
		m |= caller[i].done ? 0 : 1u << i;
	return m;
}

// Those of `sleep` that what is chosen now does not wake.
static unsigned asleep(unsigned sleep, unsigned chosen)
{
	unsigned m = 0;

	for (unsigned i = 0; i < n_callers; i++)
		if ((sleep & 1u << i) && !touch(i, chosen))
			m |= 1u << i;
	return m;
}

// Runs from the start, by the frames so far and then by first choices; false where all who could go sleep, for
// then another run shows the same.
static bool run_once(const struct scene *s, unsigned *depth)
{
	unsigned sleep = 0;

	start(s);
	for (unsigned d = 0;; d++) {
		if (!able()) {
			*depth = d;
			return true;
		}
		if (d == STEPS_MAX) { // two that take each other's claims away, in turn, on and on
			cut++;
			return false;
		}
		if (d >= *depth) {
			frame[d].sleep = sleep;
			frame[d].todo = able() & ~sleep;
			if (!frame[d].todo) {
				*depth = d;
				return false;
			}
			frame[d].chosen = (unsigned)__builtin_ctz(frame[d].todo);
			*depth = d + 1;
		}
		sleep = asleep(frame[d].sleep, frame[d].chosen);
		go(frame[d].chosen);
	}
}

static void explore(const struct scene *s)
{
	unsigned depth = 0;

	runs = longest = cut = 0;
	for (;;) {
		bool whole = run_once(s, &depth);

		exploring = false;
		if (whole) {
			runs++;
			longest = depth > longest ? depth : longest;
			s->check();
		}
		// The last frame that has another choice left.
		for (; depth; depth--) {
			struct frame *f = &frame[depth - 1];

			f->todo &= ~(1u << f->chosen);
			f->sleep |= 1u << f->chosen;
			if (f->todo) {
				f->chosen = (unsigned)__builtin_ctz(f->todo);
				break;
			}
		}
		if (!depth)
			break;
	}
	print_message("%llu interleavings, up to %llu accesses (%llu more were cut off at %d)\n",
		      (unsigned long long)runs, (unsigned long long)longest, (unsigned long long)cut,
		      STEPS_MAX);
}
