// EAL for a unit test: no hugepages, no devices, one thread, files of its own.
#pragma once
#include <rte_eal.h>
#include <stdio.h>
#include <unistd.h>

static inline int eal_start(void)
{
	static char prefix[64];
	static char *argv[] = {(char *)"test",
			       (char *)"--no-huge",
			       (char *)"-m",
			       (char *)"64",
			       (char *)"--no-pci",
			       (char *)"--no-telemetry",
			       (char *)"--no-shconf",
			       (char *)"--log-level=3",
			       (char *)"--lcores",
			       (char *)"0",
			       prefix};

	snprintf(prefix, sizeof(prefix), "--file-prefix=cgtest%d", (int)getpid());
	return rte_eal_init(sizeof(argv) / sizeof(argv[0]), argv);
}
