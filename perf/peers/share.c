// How much of its core a CPU has for some seconds, and where it is (perf/loadgen/placement.h), for what is
// measured by others' programs.
//
//	share CPU OTHER SECONDS
//
// OTHER: whose core it is about. Prints where it is when it begins, "near", and when it ends, "0.93 near".
#include "perf/loadgen/placement.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static struct placement p;
	const struct sched_param first = {.sched_priority = 2};
	enum placement_kind found;
	cpu_set_t set;
	double share;

	if (argc != 4 || !(atof(argv[3]) > 0)) {
		fprintf(stderr, "usage: share CPU OTHER SECONDS\n");
		return 2;
	}
	CPU_ZERO(&set);
	CPU_SET((unsigned)atoi(argv[1]), &set);
	if (sched_setaffinity(0, sizeof(set), &set) || placement_open(&p, (unsigned)atoi(argv[2]))) {
		perror("share");
		return 1;
	}
	(void)sched_setscheduler(0, SCHED_FIFO, &first);
	puts(placement_name[placement_find(&p)]);
	(void)placement_share(&p);
	fflush(stdout);
	usleep((unsigned)(atof(argv[3]) * 1e6));
	share = placement_share(&p);
	found = placement_find(&p);
	placement_close(&p);
	printf("%.2f %s\n", share, placement_name[found]);
	return 0;
}
