// The instance's directory and what outlives the processes in it: the lock, the region, the statistics arrays.
//
//   control.lock    held by the one control of the instance
//   region          shared by all processes (contract/region.h)
//   stats           for the exporter: "bpf DIRECTORY" (maps pinned there) or "files" (stats-<array> beside it),
//   and
//                   "listen ADDRESS:PORT", where the configuration wants the metrics served
//   (the table of rate limits has no name: the data plane and control keep it for each other)
//   dataplane.pid   of the data plane that control started last
//   dataplane.sock  the channel, made by the data plane
#pragma once
#include "contract/address_list.h"
#include "contract/limit_table.h"
#include "contract/region.h"
#include "contract/stats.h"
#include "log.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct instance {
	char dir[256];
	int lock_fd;
	int region_fd;
	struct region *region;
	size_t region_bytes;
	int limits_fd; // the table of rate limits, a memfd; -1: none yet
	struct limit_table limits;
	size_t limits_bytes;
	int addresses_fd; // the list of denied and allowed addresses, a memfd; -1: none yet
	struct address_list addresses;
	size_t addresses_bytes;
	int stats_fd[STATS_ARRAYS];
	struct stats stats;
	char pins[320];  // directory of the pinned maps; "": files are used
	char listen[64]; // of the exporter; set before instance_open_stats()
};

// Makes the directory where it is missing and takes the lock. 0, or -1 with a sentence in why.
int instance_open(struct instance *i, const char *dir, char *why, size_t why_size);
// Attaches the region that is there. -1 where there is none that fits; `workers` 0: whatever number it was made
// for.
int instance_attach_region(struct instance *i, uint32_t workers, char *why, size_t why_size);
// Makes a new one in its place.
int instance_create_region(struct instance *i, uint32_t workers, char *why, size_t why_size);
// The statistics arrays of the region's number of workers: those that are there, or new ones. A note in the log
// says where BPF is not to be had and files are used.
int instance_open_stats(struct instance *i, struct log *log, char *why, size_t why_size);
// The table of rate limits: a new one of this size, where there is none that fits. huge: in huge pages, if they
// are to be had.
int instance_make_limits(struct instance *i, uint64_t bytes, bool huge, char *why, size_t why_size);
// Takes over fd: the table that a running data plane has. -1 where it is none.
int instance_adopt_limits(struct instance *i, int fd, uint64_t bytes, char *why, size_t why_size);
// The list of denied and allowed addresses, likewise.
int instance_make_addresses(struct instance *i, uint64_t bytes, bool huge, char *why, size_t why_size);
int instance_adopt_addresses(struct instance *i, int fd, uint64_t bytes, char *why, size_t why_size);
// Path of a file in the directory.
void instance_path(const struct instance *i, const char *name, char *dst, size_t room);
void instance_write_pid(const struct instance *i, pid_t pid);
// The process of the pid file, if it lives and is a data plane; 0: none.
pid_t instance_read_pid(const struct instance *i);
// Closes everything; all: and takes away what was made here, pins included.
void instance_close(struct instance *i, bool all);
