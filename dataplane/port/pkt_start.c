#include "port/pkt.h"
#include <rte_eal.h>
#include <stdio.h>
#include <unistd.h>

bool pkt_start(unsigned mebibytes)
{
	char memory[16], prefix[32];
	const char *argv[] = {"churchgate",  "--no-huge",     "-m",       memory, "--no-pci", "--no-telemetry",
			      "--no-shconf", "--log-level=3", "--lcores", "0",    prefix};

	snprintf(memory, sizeof(memory), "%u", mebibytes);
	snprintf(prefix, sizeof(prefix), "--file-prefix=cg%d", (int)getpid());
	return rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])), (char **)(uintptr_t)argv) >= 0;
}
