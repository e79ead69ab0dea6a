#include "port/pkt.h"
#include <pthread.h>
#include <rte_eal.h>
#include <stdio.h>
#include <unistd.h>

// EAL binds its main thread to one CPU, the first; two such programs would then share it while others are idle.
bool pkt_start(unsigned mebibytes)
{
	char memory[16], prefix[32];
	const char *argv[] = {"churchgate",  "--no-huge",     "-m",       memory, "--no-pci", "--no-telemetry",
			      "--no-shconf", "--log-level=3", "--lcores", "0",    prefix};
	cpu_set_t allowed;
	bool known = !pthread_getaffinity_np(pthread_self(), sizeof(allowed), &allowed);

	snprintf(memory, sizeof(memory), "%u", mebibytes);
	snprintf(prefix, sizeof(prefix), "--file-prefix=cg%d", (int)getpid());
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])), (char **)(uintptr_t)argv) < 0)
		return false;
	if (known)
		pthread_setaffinity_np(pthread_self(), sizeof(allowed), &allowed);
	return true;
}
