// Where the machine below us has put the CPU of what is measured: whether it shares a cache with this thread's,
// and whether it has its core for itself. Such a machine moves our CPUs about while we run. What memif carries
// crosses the distance between them with each frame; and where somebody else's CPU is the other thread of a
// core, ours does about half of what it does alone. The kernel knows neither.
//
// Found out by a thread on that CPU, which comes before whatever runs there for some microseconds and sleeps
// otherwise: it tosses a cache line to and fro with ours, and counts how many additions the core does in a
// tick, every 10 ms. Nothing of what is measured is looked at. One thread uses it.
#pragma once
#include <pthread.h>
#include <stdint.h>

enum placement_kind {
	PLACEMENT_UNKNOWN, // one of the two did not run meanwhile
	PLACEMENT_NEAR,    // they share a cache
	PLACEMENT_FAR,
	PLACEMENT_KINDS
};
extern const char *const placement_name[PLACEMENT_KINDS]; // "near"

struct placement {
	pthread_t thread;
	clockid_t clock; // what that thread has run
	_Atomic uint32_t asked;
	_Atomic int ended;
	// Of the core: the sum of the speeds found since it was asked for, with their number in one word, as
	// both are taken together; the most ever.
	_Atomic uint64_t looks;
	_Atomic double best;
	_Alignas(128) _Atomic uint32_t there;
	_Alignas(128) _Atomic uint32_t back;
};

// Takes some tenths of a second to find out what the core can do. 0 or -errno.
int placement_open(struct placement *p, unsigned cpu);
void placement_close(struct placement *p);
// Now.
enum placement_kind placement_find(struct placement *p);
// How much of what the core can do its CPU had, on average since it was asked for: 0.5 to 1; 0: not known.
double placement_share(struct placement *p);
// What its thread has run, in ns.
uint64_t placement_ran(const struct placement *p);
