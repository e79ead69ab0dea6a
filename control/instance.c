#include "instance.h"
#include "base/hash.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BPF_ROOT "/sys/fs/bpf"

static int fail(char *why, size_t why_size, const char *what, const char *name, int err)
{
	snprintf(why, why_size, "%s %s: %s", what, name, strerror(err));
	return -1;
}

void instance_path(const struct instance *i, const char *name, char *dst, size_t room)
{
	snprintf(dst, room, "%s/%s", i->dir, name);
}

// The directory and its parents.
static int dir_make(const char *dir)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s", dir);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static void pins_name(struct instance *i)
{
	const char *base = strrchr(i->dir, '/');

	// Two instances may have directories of the same name.
	snprintf(i->pins, sizeof(i->pins), BPF_ROOT "/churchgate-%.64s-%08x", base ? base + 1 : i->dir,
		 (unsigned)hash64(i->dir, strlen(i->dir)));
	for (char *p = i->pins + sizeof(BPF_ROOT); *p; p++)
		if (*p == '.') // the bpf file system takes no names with dots
			*p = '_';
}

int instance_open(struct instance *i, const char *dir, char *why, size_t why_size)
{
	char path[320], *real;
	int err;

	*i = (struct instance){.lock_fd = -1,
			       .region_fd = -1,
			       .limits_fd = -1,
			       .addresses_fd = -1,
			       .stats_fd = {-1, -1, -1, -1}};
	if (strlen(dir) > 90) { // a Unix socket's path has 107 bytes at most
		snprintf(why, why_size, "%s: more than 90 bytes", dir);
		return -1;
	}
	err = dir_make(dir);
	if (err < 0)
		return fail(why, why_size, "directory", dir, -err);
	real = realpath(dir, NULL);
	if (!real || strlen(real) > 90) {
		free(real);
		return fail(why, why_size, "directory", dir, real ? ENAMETOOLONG : errno);
	}
	snprintf(i->dir, sizeof(i->dir), "%s", real);
	free(real);
	pins_name(i);
	instance_path(i, "control.lock", path, sizeof(path));
	for (;;) {
		struct stat held, named;

		i->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (i->lock_fd < 0)
			return fail(why, why_size, "lock", path, errno);
		if (flock(i->lock_fd, LOCK_EX | LOCK_NB) < 0) {
			snprintf(why, why_size, "another churchgate-control runs in %s", i->dir);
			close(i->lock_fd);
			i->lock_fd = -1;
			return -1;
		}
		// Its last holder may have removed the file between our open and our lock.
		if (fstat(i->lock_fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino)
			return 0;
		close(i->lock_fd);
	}
}

static int region_map(struct instance *i, int fd, size_t bytes, char *why, size_t why_size)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return fail(why, why_size, "map", "region", errno);
	i->region = p;
	i->region_bytes = bytes;
	i->region_fd = fd;
	return 0;
}

static void region_unmap(struct instance *i)
{
	if (i->region)
		munmap(i->region, i->region_bytes);
	if (i->region_fd >= 0)
		close(i->region_fd);
	i->region = NULL;
	i->region_fd = -1;
}

int instance_attach_region(struct instance *i, uint32_t workers, char *why, size_t why_size)
{
	char path[320];
	struct stat st;
	int fd;

	instance_path(i, "region", path, sizeof(path));
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail(why, why_size, "open", path, errno);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return fail(why, why_size, "open", path, EINVAL);
	}
	if ((size_t)st.st_size < sizeof(struct region)) {
		snprintf(why, why_size, "%s is not a region", path);
		close(fd);
		return -1;
	}
	if (region_map(i, fd, (size_t)st.st_size, why, why_size) < 0) {
		close(fd);
		return -1;
	}
	if (!region_verify(i->region, i->region_bytes, why, why_size)) {
		region_unmap(i);
		return -1;
	}
	if (workers && i->region->workers != workers) {
		snprintf(why, why_size, "%s was made for %u workers", path, i->region->workers);
		region_unmap(i);
		return -1;
	}
	return 0;
}

static void pins_remove(const struct instance *i)
{
	char pin[PATH_MAX];

	if (!i->pins[0])
		return;
	for (unsigned a = 0; a < STATS_ARRAYS; a++) {
		snprintf(pin, sizeof(pin), "%s/%s", i->pins, stats_array_name[a]);
		unlink(pin);
	}
	rmdir(i->pins);
}

// The slots of the statistics have their names in the region: without it they mean nothing.
static void stats_remove(const struct instance *i)
{
	char path[PATH_MAX];

	pins_remove(i);
	for (unsigned a = 0; a < STATS_ARRAYS; a++) {
		snprintf(path, sizeof(path), "%s/stats-%s", i->dir, stats_array_name[a]);
		unlink(path);
	}
	instance_path(i, "stats", path, sizeof(path));
	unlink(path);
}

int instance_create_region(struct instance *i, uint32_t workers, char *why, size_t why_size)
{
	char path[320], fresh[320];
	uint64_t bytes = region_size(workers);
	int fd;

	// Made beside and moved into place: whoever opens it finds it complete.
	instance_path(i, "region", path, sizeof(path));
	instance_path(i, "region.new", fresh, sizeof(fresh));
	unlink(fresh);
	fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(why, why_size, "make", fresh, errno);
	// Taken now, so that a full file system shows here and not as SIGBUS in a worker.
	int err = posix_fallocate(fd, 0, (off_t)bytes);

	if (err || region_map(i, fd, bytes, why, why_size) < 0) {
		close(fd);
		unlink(fresh);
		return err ? fail(why, why_size, "make", fresh, err) : -1;
	}
	region_create(i->region, workers);
	stats_remove(i);
	if (rename(fresh, path) < 0) {
		err = errno;
		region_unmap(i);
		return fail(why, why_size, "make", path, err);
	}
	return 0;
}

static bool map_fits(int fd, enum stats_array a, uint32_t workers)
{
	struct bpf_map_info info = {0};
	uint32_t n = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &n) == 0 && info.type == BPF_MAP_TYPE_ARRAY &&
	       (info.map_flags & BPF_F_MMAPABLE) && info.value_size == stats_entry_size(a) &&
	       info.max_entries == stats_entries(a, workers);
}

// A pinned map of the right shape, or a new one pinned in its place. -errno on failure.
static int stats_map_open(const char *pin, enum stats_array a, uint32_t workers)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	char name[BPF_OBJ_NAME_LEN];
	int fd = bpf_obj_get(pin), err;

	if (fd >= 0) {
		if (map_fits(fd, a, workers))
			return fd;
		close(fd);
		unlink(pin);
	}
	snprintf(name, sizeof(name), "cg_%s", stats_array_name[a]);
	for (char *p = name; *p; p++)
		if (*p == '-')
			*p = '_';
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, 4, stats_entry_size(a), stats_entries(a, workers), &opts);
	if (fd < 0)
		return -errno;
	if (bpf_obj_pin(fd, pin) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static void stats_close(struct instance *i)
{
	for (unsigned a = 0; a < STATS_ARRAYS; a++) {
		if (i->stats_fd[a] >= 0)
			close(i->stats_fd[a]);
		i->stats_fd[a] = -1;
	}
}

static int stats_open_bpf(struct instance *i, uint32_t workers, const char **step)
{
	char pin[PATH_MAX];
	struct statfs fs;

	*step = "no bpf file system at " BPF_ROOT;
	if (statfs(BPF_ROOT, &fs) < 0)
		return -errno;
	if (fs.f_type != BPF_FS_MAGIC)
		return -ENODEV;
	libbpf_set_print(NULL);
	*step = "bpf file system";
	if (mkdir(i->pins, 0700) < 0 && errno != EEXIST)
		return -errno;
	*step = "BPF maps";
	for (unsigned a = 0; a < STATS_ARRAYS; a++) {
		snprintf(pin, sizeof(pin), "%s/%s", i->pins, stats_array_name[a]);
		i->stats_fd[a] = stats_map_open(pin, a, workers);
		if (i->stats_fd[a] < 0)
			return i->stats_fd[a];
	}
	return 0;
}

static int stats_open_files(struct instance *i, uint32_t workers, char *why, size_t why_size)
{
	char path[PATH_MAX];

	for (unsigned a = 0; a < STATS_ARRAYS; a++) {
		off_t bytes = (off_t)stats_entry_size(a) * stats_entries(a, workers);
		struct stat st;

		snprintf(path, sizeof(path), "%s/stats-%s", i->dir, stats_array_name[a]);
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size && st.st_size != bytes) {
			// Of another shape: whoever has it mapped keeps the old file.
			close(fd);
			unlink(path);
			fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		}
		if (fd < 0)
			return fail(why, why_size, "make", path, errno);
		i->stats_fd[a] = fd;
		int err = posix_fallocate(fd, 0, bytes);

		if (err)
			return fail(why, why_size, "make", path, err);
	}
	return 0;
}

static int stats_say(const struct instance *i, char *why, size_t why_size)
{
	char path[320], fresh[320], line[480];
	int fd, n;
	bool good;

	instance_path(i, "stats", path, sizeof(path));
	instance_path(i, "stats.new", fresh, sizeof(fresh));
	n = snprintf(line, sizeof(line), "%s%s\nlisten %s\n", i->pins[0] ? "bpf " : "files", i->pins,
		     i->listen);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	good = fd >= 0 && write(fd, line, (size_t)n) == n;
	if (fd >= 0)
		close(fd);
	if (!good || rename(fresh, path) < 0)
		return fail(why, why_size, "write", path, errno);
	return 0;
}

// How the last control of this directory kept them: a running data plane has those mapped.
static bool stats_were_files(const struct instance *i)
{
	char path[320], line[8] = "";
	int fd;

	instance_path(i, "stats", path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, line, sizeof(line) - 1);

	close(fd);
	return n >= 5 && strncmp(line, "files", 5) == 0;
}

int instance_open_stats(struct instance *i, struct log *log, char *why, size_t why_size)
{
	const char *step = "";
	uint32_t workers = region_workers(i->region);
	int err = 0;

	if (stats_were_files(i)) {
		i->pins[0] = '\0';
		err = stats_open_files(i, workers, why, why_size);
		if (err < 0)
			return -1;
	} else if ((err = stats_open_bpf(i, workers, &step)) < 0) {
		stats_close(i);
		pins_remove(i);
		i->pins[0] = '\0';
		log_note(log, "statistics are kept in files of %s: %s: %s", i->dir, step, strerror(-err));
		if (stats_open_files(i, workers, why, why_size) < 0)
			return -1;
	}
	err = stats_map(&i->stats, i->stats_fd, workers, 1);
	if (err < 0)
		return fail(why, why_size, "map", "statistics", -err);
	return stats_say(i, why, why_size);
}

void instance_write_pid(const struct instance *i, pid_t pid)
{
	char path[320], text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)pid), fd;

	instance_path(i, "dataplane.pid", path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return;
	if (write(fd, text, (size_t)n) != n)
		unlink(path); // no file is better than half of one
	close(fd);
}

pid_t instance_read_pid(const struct instance *i)
{
	char path[320], text[32] = "", exe[PATH_MAX];
	ssize_t n;
	long pid;
	int fd;

	instance_path(i, "dataplane.pid", path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	pid = n > 0 ? strtol(text, NULL, 10) : 0;
	if (pid <= 1 || pid > INT_MAX || kill((pid_t)pid, 0) < 0)
		return 0;
	// The number may belong to another process by now.
	snprintf(path, sizeof(path), "/proc/%ld/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n <= 0)
		return 0;
	exe[n] = '\0';
	return strstr(exe, "churchgate-dataplane") ? (pid_t)pid : 0;
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	remove(path);
	return 0;
}

static void limits_unmap(struct instance *i)
{
	if (i->limits.head)
		munmap(i->limits.head, i->limits_bytes);
	if (i->limits_fd >= 0)
		close(i->limits_fd);
	i->limits = (struct limit_table){.head = NULL};
	i->limits_fd = -1;
}

int instance_adopt_limits(struct instance *i, int fd, uint64_t bytes, char *why, size_t why_size)
{
	struct stat st;
	void *p;

	limits_unmap(i);
	i->limits_fd = fd;
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < bytes || bytes == 0) {
		snprintf(why, why_size, "the table of rate limits has another size");
		limits_unmap(i);
		return -1;
	}
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		int err = errno;

		limits_unmap(i);
		return fail(why, why_size, "map", "the table of rate limits", err);
	}
	i->limits_bytes = bytes;
	// Control makes no claims (it only changes cells that are there), so that it needs no epoch of its own.
	if (limit_table_attach(&i->limits, p, bytes, 0, why, why_size))
		return 0;
	munmap(p, bytes);
	i->limits = (struct limit_table){.head = NULL};
	limits_unmap(i);
	return -1;
}

static int shared_memfd(const char *name, uint64_t bytes, bool huge)
{
	const uint64_t page = huge ? 2u << 20 : 4096;
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0));
	int err = 0;

	if (fd < 0)
		return -errno;
	bytes = (bytes + page - 1) / page * page;
	// Taken now, so that a lack of memory shows here and not as SIGBUS in a worker.
	if (ftruncate(fd, (off_t)bytes) < 0 || fallocate(fd, 0, 0, (off_t)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		err = -errno;
	if (err)
		close(fd);
	return err ? err : fd;
}

// New memory for what all processes share, mapped, with a secret for its hashes. NULL with a sentence in why.
static void *shared_make(const char *what, const char *name, uint64_t bytes, bool huge, int *fd,
			 struct hash_key *secret, char *why, size_t why_size)
{
	void *p;

	*fd = huge && bytes >= 2u << 20 ? shared_memfd(name, bytes, true) : -ENOMEM;
	if (*fd < 0)
		*fd = shared_memfd(name, bytes, false);
	if (*fd < 0) {
		fail(why, why_size, "make", what, -*fd);
		return NULL;
	}
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (p != MAP_FAILED && getrandom(secret, sizeof(*secret), 0) == sizeof(*secret))
		return p;
	fail(why, why_size, "make", what, errno);
	if (p != MAP_FAILED)
		munmap(p, bytes);
	close(*fd);
	return NULL;
}

int instance_make_limits(struct instance *i, uint64_t bytes, bool huge, char *why, size_t why_size)
{
	struct hash_key secret;
	void *p;
	int fd;

	if (i->limits.head && i->limits_bytes == bytes)
		return 0;
	limits_unmap(i);
	p = shared_make("the table of rate limits", "churchgate-limits", bytes, huge, &fd, &secret, why,
			why_size);
	if (!p)
		return -1;
	limit_table_create(p, bytes, secret);
	munmap(p, bytes);
	return instance_adopt_limits(i, fd, bytes, why, why_size);
}

static void addresses_unmap(struct instance *i)
{
	if (i->addresses.head)
		munmap(i->addresses.head, i->addresses_bytes);
	if (i->addresses_fd >= 0)
		close(i->addresses_fd);
	i->addresses = (struct address_list){.head = NULL};
	i->addresses_fd = -1;
}

int instance_adopt_addresses(struct instance *i, int fd, uint64_t bytes, char *why, size_t why_size)
{
	struct stat st;
	void *p;

	addresses_unmap(i);
	i->addresses_fd = fd;
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < bytes || bytes == 0) {
		snprintf(why, why_size, "the list of addresses has another size");
		addresses_unmap(i);
		return -1;
	}
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		int err = errno;

		addresses_unmap(i);
		return fail(why, why_size, "map", "the list of addresses", err);
	}
	i->addresses_bytes = bytes;
	if (address_list_attach(&i->addresses, p, bytes, why, why_size))
		return 0;
	munmap(p, bytes);
	i->addresses = (struct address_list){.head = NULL};
	addresses_unmap(i);
	return -1;
}

int instance_make_addresses(struct instance *i, uint64_t bytes, bool huge, char *why, size_t why_size)
{
	struct hash_key secret;
	void *p;
	int fd;

	if (i->addresses.head && i->addresses_bytes == bytes)
		return 0;
	p = shared_make("the list of addresses", "churchgate-addresses", bytes, huge, &fd, &secret, why,
			why_size);
	if (!p)
		return -1;
	address_list_create(p, bytes, secret);
	munmap(p, bytes);
	return instance_adopt_addresses(i, fd, bytes, why, why_size);
}

void instance_close(struct instance *i, bool all)
{
	static const char *const made[] = {"region",        "region.new",     "stats.new",
					   "dataplane.pid", "dataplane.sock", "control.lock"};
	char path[PATH_MAX];

	if (i->stats.worker)
		stats_unmap(&i->stats);
	i->stats = (struct stats){0};
	stats_close(i);
	region_unmap(i);
	limits_unmap(i);
	addresses_unmap(i);
	if (all && i->lock_fd >= 0) {
		stats_remove(i);
		for (size_t k = 0; k < sizeof(made) / sizeof(made[0]); k++) {
			snprintf(path, sizeof(path), "%s/%s", i->dir, made[k]);
			unlink(path);
		}
		instance_path(i, "dpdk", path, sizeof(path)); // the runtime directory of the data plane's EAL
		nftw(path, entry_remove, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
		rmdir(i->dir); // stays where others keep something in it
	}
	if (i->lock_fd >= 0)
		close(i->lock_fd);
	i->lock_fd = -1;
}
