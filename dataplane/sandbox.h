// What the data plane gives up once its ports are open: every capability, the right to gain any, and all system
// calls but those that poll drivers, housekeeping and DPDK's telemetry make.
#pragma once
#include <stddef.h>

// For all threads of the process, those of DPDK included; on the main thread, after the ports are started and
// before the workers' loops run, while no other thread makes threads. 0 or -errno with a sentence in why.
int sandbox_enter(char *why, size_t why_size);
