#include "tests/contract/lab.h"
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
// cmocka needs the headers above first
#include <cmocka.h>

static const char *in_dir(const struct lab *l, const char *name)
{
	static char path[4][256];
	static unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", l->dir, name);
	return p;
}

void lab_open(struct lab *l)
{
	*l = (struct lab){.dir = "/tmp/churchgate-contract-XXXXXX", .exporter_errors = -1};
	assert_non_null(mkdtemp(l->dir));
}

static size_t array_bytes(enum stats_array a)
{
	size_t n = (size_t)stats_entry_size(a) * stats_entries(a, LAB_WORKERS);

	return (n + 4095) & ~(size_t)4095;
}

static int file_make(const char *path, size_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

// The bpf file system of the host is left alone: one of our own, which goes with our mount namespace.
static bool bpf_mount(struct lab *l)
{
	if (l->bpf_mounted)
		return true;
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	assert_int_equal(mkdir(in_dir(l, "bpf"), 0700), 0);
	if (mount("bpf", in_dir(l, "bpf"), "bpf", 0, NULL) < 0) {
		rmdir(in_dir(l, "bpf"));
		return false;
	}
	l->bpf_mounted = true;
	return true;
}

static bool array_make(struct lab *l, enum lab_kind kind, enum stats_array a, int *fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, mmapable, .map_flags = BPF_F_MMAPABLE);
	char name[64];

	snprintf(name, sizeof(name), "%s%s", kind == LAB_BPF ? "bpf/" : "stats-", stats_array_name[a]);
	if (kind == LAB_FILES) {
		*fd = file_make(in_dir(l, name), array_bytes(a));
		return true;
	}
	*fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, stats_array_name[a], sizeof(uint32_t), stats_entry_size(a),
			     stats_entries(a, LAB_WORKERS), &mmapable);
	if (*fd < 0)
		return false;
	assert_int_equal(bpf_obj_pin(*fd, in_dir(l, name)), 0);
	return true;
}

static void line_write(struct lab *l, enum lab_kind kind)
{
	FILE *f = fopen(in_dir(l, "stats.new"), "w");

	assert_non_null(f);
	if (kind == LAB_BPF)
		fprintf(f, "bpf %s\n", in_dir(l, "bpf"));
	else
		fprintf(f, "files\n");
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(in_dir(l, "stats.new"), in_dir(l, "stats")), 0);
}

bool lab_create(struct lab *l, enum lab_kind kind)
{
	size_t size = region_size(LAB_WORKERS);
	int fd[STATS_ARRAYS], region;

	if (kind == LAB_BPF && !bpf_mount(l))
		return false;
	for (unsigned a = 0; a < STATS_ARRAYS; a++)
		if (!array_make(l, kind, a, &fd[a]))
			return false;
	assert_int_equal(stats_map(&l->stats, fd, LAB_WORKERS, 1), 0);
	for (unsigned a = 0; a < STATS_ARRAYS; a++)
		close(fd[a]);
	region = file_make(in_dir(l, "region"), size);
	l->region = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, region, 0);
	assert_true(l->region != MAP_FAILED);
	close(region);
	region_create(l->region, LAB_WORKERS);
	line_write(l, kind);
	return true;
}

void lab_destroy(struct lab *l, enum lab_kind kind)
{
	char name[64];

	if (l->region)
		munmap(l->region, region_size(LAB_WORKERS));
	l->region = NULL;
	stats_unmap(&l->stats);
	unlink(in_dir(l, "region"));
	unlink(in_dir(l, "stats"));
	for (unsigned a = 0; a < STATS_ARRAYS; a++) {
		snprintf(name, sizeof(name), "%s%s", kind == LAB_BPF ? "bpf/" : "stats-", stats_array_name[a]);
		unlink(in_dir(l, name));
	}
}

void lab_close(struct lab *l)
{
	int status = 0;

	if (l->exporter) {
		kill(l->exporter, SIGTERM);
		assert_int_equal(waitpid(l->exporter, &status, 0), l->exporter);
		close(l->exporter_errors);
	}
	lab_destroy(l, LAB_FILES);
	if (l->bpf_mounted) {
		lab_destroy(l, LAB_BPF);
		umount2(in_dir(l, "bpf"), MNT_DETACH);
		rmdir(in_dir(l, "bpf"));
	}
	assert_int_equal(rmdir(l->dir), 0);
	assert_int_equal(status, 0);
}

void lab_export(struct lab *l, const char *self, const char *host_bpf)
{
	const char *slash = strrchr(self, '/');
	char program[512], line[512], *at = NULL;
	int p[2];
	FILE *f;

	snprintf(program, sizeof(program), "%.*s/../../churchgate-exporter", slash ? (int)(slash - self) : 1,
		 slash ? self : ".");
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	l->exporter = fork();
	assert_true(l->exporter >= 0);
	if (l->exporter == 0) {
		dup2(p[1], 2);
		execl(program, program, "--dir", l->dir, "--listen", "127.0.0.1:0",
		      host_bpf ? "--host-bpf" : NULL, host_bpf, NULL);
		_exit(127);
	}
	close(p[1]);
	l->exporter_errors = dup(p[0]);
	f = fdopen(p[0], "r");
	while (!at && fgets(line, sizeof(line), f))
		at = strstr(line, "listens on 127.0.0.1:");
	assert_non_null(at);
	l->port = (uint16_t)atoi(strrchr(at, ':') + 1);
	fclose(f);
}

char *lab_get(const struct lab *l, const char *path, int *status)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(l->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	size_t n = 0, room = 32u << 20;
	char *text = malloc(room), *body;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t got;

	assert_non_null(text);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	dprintf(fd, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
	while ((got = recv(fd, text + n, room - 1 - n, 0)) > 0)
		n += (size_t)got;
	assert_int_equal(got, 0);
	close(fd);
	text[n] = '\0';
	assert_int_equal(strncmp(text, "HTTP/1.1 ", 9), 0);
	if (status)
		*status = atoi(text + 9);
	body = strstr(text, "\r\n\r\n");
	assert_non_null(body);
	memmove(text, body + 4, strlen(body + 4) + 1);
	return text;
}

double lab_value(const char *page, const char *sample)
{
	size_t n = strlen(sample);

	for (const char *at = page; (at = strstr(at, sample)); at++)
		if ((at == page || at[-1] == '\n') && at[n] == ' ')
			return atof(at + n + 1);
	return -1;
}
