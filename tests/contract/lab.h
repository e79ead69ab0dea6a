// An instance without its processes, for the contract tests: a region and statistics in a directory of their
// own, written here, and the exporter as a child process that reads them.
#pragma once
#include "contract/region.h"
#include "contract/stats.h"
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#define LAB_WORKERS 2

enum lab_kind { LAB_FILES, LAB_BPF };

struct lab {
	char dir[64];
	struct region *region;
	struct stats stats; // writable
	bool bpf_mounted;   // dir/bpf, in a mount namespace of our own
	pid_t exporter;
	int exporter_errors; // its standard error
	uint16_t port;
};

void lab_open(struct lab *l);
// Ends the exporter if it runs, expecting it to end well, and removes everything.
void lab_close(struct lab *l);
// Makes (again) region and statistics. false: BPF is not permitted here.
bool lab_create(struct lab *l, enum lab_kind kind);
void lab_destroy(struct lab *l, enum lab_kind kind);
// Starts the exporter that was built beside this test; further arguments may follow. Waits until it listens.
void lab_export(struct lab *l, const char *self, const char *host_bpf);
// Body of the answer to "GET path", to be freed; *status may be NULL.
char *lab_get(const struct lab *l, const char *path, int *status);
// The value of a sample, -1 where it is not on the page.
double lab_value(const char *page, const char *sample);
