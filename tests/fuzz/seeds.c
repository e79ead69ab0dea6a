// Writes what the conformance table has as seeds of the fuzzers: seeds FOLDER requests.txt responses.txt
#include "conformance/cases.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void seed(const char *folder, const char *kind, unsigned line, const char *prefix, struct slice s)
{
	char path[512];
	FILE *f;

	if (s.n > 2000)
		return;
	snprintf(path, sizeof(path), "%s/%s", folder, kind);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/table-%u", folder, kind, line);
	f = fopen(path, "w");
	if (!f || fputs(prefix, f) < 0 || fwrite(s.p, 1, s.n, f) != s.n || fclose(f) != 0)
		exit(1);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s FOLDER requests.txt responses.txt\n", argv[0]);
		return 2;
	}
	mkdir(argv[1], 0777);
	for (int i = 0; i < 2; i++) {
		struct table t = table_read(argv[i + 2]);

		for (unsigned k = 0; k < t.n; k++) {
			const char *end = memmem(t.v[k].bytes.p, t.v[k].bytes.n, "\r\n\r\n", 4);

			seed(argv[1], i ? "response" : "request", t.v[k].line, "", t.v[k].bytes);
			seed(argv[1], "scan", t.v[k].line + (i ? 100000 : 0), i ? "\001" : "\002",
			     t.v[k].bytes);
			if (end && t.v[k].bytes.p + t.v[k].bytes.n > end + 4)
				seed(argv[1], "chunked", t.v[k].line + (i ? 100000 : 0), "\007",
				     slice_of(end + 4, (size_t)(t.v[k].bytes.p + t.v[k].bytes.n - end) - 4));
		}
	}
	return 0;
}
