// The exporter's view of one instance: its region and its statistics, mapped read-only.
//
// The instance's directory holds `region` and `stats`. The latter is one line, written by control: "bpf DIR"
// (the arrays are maps pinned in DIR) or "files" (they are the files stats-<array> beside it). Both may be
// replaced at any time by another instance; instance_refresh() finds that out by identity (inodes, map ids).
#pragma once
#include "contract/region.h"
#include "contract/stats.h"
#include <stdbool.h>
#include <stddef.h>

#define INSTANCE_BPF_ROOT "/sys/fs/bpf"

struct instance_identity {
	uint64_t region_dev, region_ino;
	uint64_t array[STATS_ARRAYS][2]; // device and inode, or 0 and the map's id
};

struct instance {
	const char *dir;
	const char *host_bpf; // where the host's bpf file system is seen from here; NULL: at INSTANCE_BPF_ROOT
	bool attached;
	uint64_t attachments; // how often it was attached to
	struct instance_identity identity;
	struct region *region; // never written through
	size_t region_bytes;
	struct stats stats;
	char why[256]; // not attached: the reason
};

void instance_init(struct instance *i, const char *dir, const char *host_bpf);
// Attaches where it is not attached, or to what has taken the place of the former; detaches from what is gone.
bool instance_refresh(struct instance *i);
void instance_detach(struct instance *i);
