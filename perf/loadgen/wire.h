// What the generator runs on: two memif ports and the time-stamp counter (wire_memif.c), or rings to a gateway
// in its own thread, under virtual time (wire_virtual.c).
#pragma once
#include "options.h"
#include "port/pkt.h"
#include <stdio.h>

extern const char *const wire_device[2]; // DPDK's names: wan, lan

int wire_eal(const struct options *o); // below 0: rte_errno says why
// The pool of the frames; once, behind wire_eal(). NULL: there is no memory.
struct pkt_pool *wire_pool(const struct options *o);
int wire_connected(void); // both links are started. 0 or -errno
// The tick now; wire_hz() in a second. Called at the beginning of each turn: what is on the other end, and in
// this thread, works then.
uint64_t wire_now(void);
double wire_hz(void);
void wire_wait(unsigned us);  // does nothing for so long
void wire_begin(void);        // counters of wire_report() begin here
void wire_mark(void);         // and times here
void wire_report(FILE *file); // members of a JSON object, each with a comma in front; may be none
