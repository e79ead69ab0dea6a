#include "ebpf/instance.h"
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct opened {
	int region, array[STATS_ARRAYS];
	size_t region_bytes, array_bytes[STATS_ARRAYS];
	struct instance_identity identity;
};

void instance_init(struct instance *i, const char *dir, const char *host_bpf)
{
	*i = (struct instance){.dir = dir, .host_bpf = host_bpf};
}

// Says what is wrong with the file or pin `name`.
static int fail(struct instance *i, const char *name, const char *what)
{
	snprintf(i->why, sizeof(i->why), "%.150s: %.90s", name, what);
	return -1;
}

static int path_join(struct instance *i, char dst[PATH_MAX], const char *dir, const char *name)
{
	if (snprintf(dst, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		return fail(i, dir, "too long a path");
	return 0;
}

static int file_open(struct instance *i, const char *path, size_t *bytes, uint64_t *dev, uint64_t *ino)
{
	struct stat sb;
	// What stands in its place may be a pipe: opening must not wait.
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return fail(i, path, strerror(errno));
	if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode)) {
		close(fd);
		return fail(i, path, "not a regular file");
	}
	*bytes = (size_t)sb.st_size;
	*dev = sb.st_dev;
	*ino = sb.st_ino;
	return fd;
}

static int map_open(struct instance *i, const char *path, enum stats_array a, uint64_t *id, size_t *bytes)
{
	struct bpf_map_info info = {0};
	uint32_t n = sizeof(info);
	// A descriptor for reading alone (BPF_F_RDONLY) can't be mapped: the kernel wants a shared mapping, and
	// such a descriptor gives none. A mapping for reading can't be made writable later, and the descriptor
	// is closed as soon as it stands.
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return fail(i, path, strerror(errno));
	if (bpf_obj_get_info_by_fd(fd, &info, &n) < 0) {
		close(fd);
		return fail(i, path, "not a BPF map");
	}
	if (info.type != BPF_MAP_TYPE_ARRAY || !(info.map_flags & BPF_F_MMAPABLE) ||
	    info.value_size != stats_entry_size(a)) {
		close(fd);
		return fail(i, path, "not the array of this version's statistics");
	}
	*id = info.id;
	*bytes = (size_t)info.value_size * info.max_entries;
	return fd;
}

// Reads the line of `stats`: 1 with the directory of pins as seen from here, 0 for files, -1 with a reason.
static int stats_line(struct instance *i, char pins[PATH_MAX])
{
	static const char root[] = INSTANCE_BPF_ROOT;
	char path[PATH_MAX], line[PATH_MAX];
	uint64_t dev, ino;
	size_t size;
	ssize_t n;
	int fd;

	if (path_join(i, path, i->dir, "stats") < 0)
		return -1;
	fd = file_open(i, path, &size, &dev, &ino);
	if (fd < 0)
		return -1;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (n < 0)
		return fail(i, path, strerror(errno));
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line, "files") == 0)
		return 0;
	if (strncmp(line, "bpf /", 5) != 0)
		return fail(i, path, "says neither \"bpf DIRECTORY\" nor \"files\"");
	if (i->host_bpf && strncmp(line + 4, root, sizeof(root) - 1) == 0 &&
	    (line[4 + sizeof(root) - 1] == '/' || line[4 + sizeof(root) - 1] == '\0')) {
		if (snprintf(pins, PATH_MAX, "%s%s", i->host_bpf, line + 4 + sizeof(root) - 1) >= PATH_MAX)
			return fail(i, path, "too long a path");
	} else {
		snprintf(pins, PATH_MAX, "%s", line + 4);
	}
	return 1;
}

static void opened_close(struct opened *o)
{
	if (o->region >= 0)
		close(o->region);
	for (unsigned a = 0; a < STATS_ARRAYS; a++)
		if (o->array[a] >= 0)
			close(o->array[a]);
}

static int opened_open(struct instance *i, struct opened *o)
{
	char path[PATH_MAX], pins[PATH_MAX], name[64];
	int bpf;

	*o = (struct opened){.region = -1, .array = {-1, -1, -1, -1}};
	if (path_join(i, path, i->dir, "region") < 0)
		return -1;
	o->region = file_open(i, path, &o->region_bytes, &o->identity.region_dev, &o->identity.region_ino);
	if (o->region < 0)
		return -1;
	bpf = stats_line(i, pins);
	if (bpf < 0)
		return -1;
	for (unsigned a = 0; a < STATS_ARRAYS; a++) {
		uint64_t *id = o->identity.array[a];

		snprintf(name, sizeof(name), "%s%s", bpf ? "" : "stats-", stats_array_name[a]);
		if (path_join(i, path, bpf ? pins : i->dir, name) < 0)
			return -1;
		o->array[a] = bpf ? map_open(i, path, a, &id[1], &o->array_bytes[a])
				  : file_open(i, path, &o->array_bytes[a], &id[0], &id[1]);
		if (o->array[a] < 0)
			return -1;
	}
	return 0;
}

// Both are checked against what the region's header says: arrays made for another number of workers mean that
// an instance is just being replaced.
static bool sizes_fit(const struct opened *o, uint32_t workers)
{
	for (unsigned a = 0; a < STATS_ARRAYS; a++)
		if (o->array_bytes[a] < (size_t)stats_entry_size(a) * stats_entries(a, workers))
			return false;
	return true;
}

static int instance_map(struct instance *i, const struct opened *o)
{
	struct region *r;
	int err;

	if (o->region_bytes < sizeof(*r))
		return fail(i, "region", "shorter than its header");
	r = mmap(NULL, o->region_bytes, PROT_READ, MAP_SHARED, o->region, 0);
	if (r == MAP_FAILED)
		return fail(i, "region", strerror(errno));
	if (!region_verify(r, o->region_bytes, i->why, sizeof(i->why)))
		goto unmap;
	if (!sizes_fit(o, r->workers)) {
		fail(i, "statistics", "made for another number of workers than the region");
		goto unmap;
	}
	err = stats_map(&i->stats, o->array, r->workers, 0);
	if (err) {
		fail(i, "statistics", strerror(-err));
		goto unmap;
	}
	i->region = r;
	i->region_bytes = o->region_bytes;
	i->identity = o->identity;
	i->attached = true;
	i->attachments++;
	i->why[0] = '\0';
	return 0;
unmap:
	munmap(r, o->region_bytes);
	return -1;
}

void instance_detach(struct instance *i)
{
	if (!i->attached)
		return;
	stats_unmap(&i->stats);
	munmap(i->region, i->region_bytes);
	i->region = NULL;
	i->attached = false;
}

bool instance_refresh(struct instance *i)
{
	struct opened o;

	if (opened_open(i, &o) < 0) {
		instance_detach(i);
	} else if (!i->attached || memcmp(&i->identity, &o.identity, sizeof(o.identity)) != 0 ||
		   o.region_bytes < i->region_bytes || !sizes_fit(&o, i->stats.workers)) {
		instance_detach(i);
		(void)instance_map(i, &o);
	}
	opened_close(&o);
	return i->attached;
}
