// Paths and what a policy makes of them, each in memory of its exact size.
#include "http/path.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define KEEP      .unreserved = PATH_KEEP
#define RESOLVE   .dot_segments = PATH_NORMALISE
#define MERGE     .slashes = PATH_NORMALISE
#define DECODE    .unreserved = PATH_NORMALISE
#define SLASH     .encoded_slash = PATH_NORMALISE
#define BACKSLASH .encoded_backslash = PATH_NORMALISE

static const struct {
	struct snap_path policy;
	const char *path, *becomes; // NULL: refused
} rows[] = {
	{{KEEP}, "/", "/"},
	{{KEEP}, "/a//b%41%2F%5c%7e;x=.", "/a//b%41%2F%5c%7e;x=."},
	{{KEEP}, "/...", "/..."},
	{{KEEP}, "/.a/..b/a../%2e%2e%2e", "/.a/..b/a../%2e%2e%2e"},
	// RFC 3986 5.2.4 and 6.2.2.3
	{{RESOLVE}, "/a/b/c/./../../g", "/a/g"},
	{{RESOLVE}, "/mid/content=5/../6", "/mid/6"},
	{{RESOLVE}, "/a/./b", "/a/b"},
	{{RESOLVE}, "/a/.", "/a/"},
	{{RESOLVE}, "/a/..", "/"},
	{{RESOLVE}, "/a/b/..", "/a/"},
	{{RESOLVE}, "/a/%2e%2E/b", "/b"},
	{{RESOLVE}, "/a/.%2e", "/"},
	{{RESOLVE}, "/.", "/"},
	{{RESOLVE}, "/a//../b", "/a/b"},
	{{RESOLVE}, "/..", NULL}, // above the root
	{{RESOLVE}, "/a/../../b", NULL},
	{{RESOLVE}, "/a/..;x/b", NULL}, // some servers cut at ';' first
	{{RESOLVE}, "/a/.;/b", NULL},
	{{RESOLVE}, "/a/..%2fb", NULL}, // some decode first
	{{RESOLVE}, "/a%2f..", NULL},
	{{RESOLVE}, "/a%5C%2e%2e%5Cb", NULL},
	{{RESOLVE}, "/a%2f..b", "/a%2f..b"},
	{{KEEP}, "/a/../b", NULL},
	{{KEEP}, "/a/%2e/b", NULL},
	{{KEEP}, "/a/..%2Fb", NULL},
	{{KEEP}, "/..;a", NULL},
	{{MERGE}, "//a///b//", "/a/b/"},
	{{MERGE}, "/a%2F/b", "/a%2F/b"},
	{{MERGE, SLASH}, "/a%2F/b%2f", "/a/b/"},
	{{.slashes = PATH_REJECT}, "/a//b", NULL},
	{{.slashes = PATH_REJECT}, "//", NULL},
	{{.slashes = PATH_REJECT}, "/a/b/", "/a/b/"},
	{{.slashes = PATH_REJECT, SLASH}, "/a/%2Fb", NULL},
	// RFC 3986 6.2.2.2
	{{DECODE}, "/%61%5A%30%2d%5F%7e%2Eb", "/aZ0-_~.b"},
	{{DECODE}, "/%2561%20%ff%3b", "/%2561%20%ff%3b"}, // nothing is decoded twice
	{{DECODE}, "/%2e%2e/a", NULL},
	{{DECODE, RESOLVE}, "/b/%2e%2e/a", "/a"},
	{{.unreserved = PATH_REJECT}, "/%61", NULL},
	{{.unreserved = PATH_REJECT}, "/%20", "/%20"},
	{{SLASH}, "/a%2Fb%2f", "/a/b/"},
	{{SLASH}, "/a%2F..%2Fb", NULL},
	{{SLASH, RESOLVE}, "/a%2F..%2Fb", "/b"},
	{{SLASH}, "/a%252Fb", "/a%252Fb"},
	{{.encoded_slash = PATH_REJECT}, "/a%2fb", NULL},
	{{.encoded_slash = PATH_REJECT}, "/a%5Cb", "/a%5Cb"},
	{{BACKSLASH}, "/a%5Cb%5c", "/a/b/"},
	{{BACKSLASH, MERGE, RESOLVE}, "/a%5C%5c../b", "/b"},
	{{.encoded_backslash = PATH_REJECT}, "/a%5Cb", NULL},
	{{DECODE}, "/%", NULL}, // what the parser refuses before
	{{DECODE}, "/%4", NULL},
	{{DECODE}, "/%4g", NULL},
};

static enum http_path_result applied(const struct snap_path *policy, const char *path, size_t length, char *out,
				     size_t *n)
{
	char *copy = malloc(length), *to = malloc(length);
	enum http_path_result result;

	memcpy(copy, path, length);
	result = http_path_apply(policy, slice_of(copy, length), to, n);
	if (result == HTTP_PATH_CHANGED)
		memcpy(out, to, *n);
	free(copy);
	free(to);
	return result;
}

static void a_policy_makes_of_a_path_what_it_says(void **state)
{
	char out[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *path = rows[i].path, *becomes = rows[i].becomes;
		size_t n = 0;
		enum http_path_result result = applied(&rows[i].policy, path, strlen(path), out, &n);
		enum http_path_result expected = !becomes                     ? HTTP_PATH_REFUSED
						 : strcmp(path, becomes) == 0 ? HTTP_PATH_SAME
									      : HTTP_PATH_CHANGED;

		if (result != expected)
			fail_msg("row %zu, %s: %d", i, path, result);
		if (result == HTTP_PATH_CHANGED && (n != strlen(becomes) || memcmp(out, becomes, n) != 0))
			fail_msg("row %zu, %s: %.*s", i, path, (int)n, out);
	}
}

// Whatever the policy, its result is one that it leaves as it is: to match it and to forward it is the same.
static void what_a_policy_has_made_it_leaves_alone(void **state)
{
	static const char alphabet[][4] = {"/", "/", ".", "..", "%2e", "%2F", "%5c", "%61", "a", ";", "%25"};
	uint32_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		struct snap_path policy;
		char path[64] = "/", once[64], twice[64];
		size_t n = 0, m = 0;

		seed = seed * 1664525 + 1013904223;
		policy = (struct snap_path){(uint8_t)((seed >> 8) % 2),  (uint8_t)((seed >> 10) % 3),
					    (uint8_t)((seed >> 12) % 3), (uint8_t)((seed >> 14) % 3),
					    (uint8_t)((seed >> 16) % 3), {0}};
		for (unsigned k = 0; k < 1 + (seed >> 20) % 10; k++) {
			seed = seed * 1664525 + 1013904223;
			strcat(path, alphabet[(seed >> 16) % (sizeof(alphabet) / sizeof(alphabet[0]))]);
		}
		if (applied(&policy, path, strlen(path), once, &n) != HTTP_PATH_CHANGED)
			continue;
		assert_true(n > 0 && once[0] == '/');
		// "%25" before what was decoded may make something of it that looks encoded: then it is refused
		// or left, never changed again to something else but by decoding what the first pass had to
		// leave.
		if (memchr(once, '%', n) && strstr(path, "%25"))
			continue;
		if (applied(&policy, once, n, twice, &m) != HTTP_PATH_SAME)
			fail_msg("%s became %.*s, and that something else", path, (int)n, once);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_policy_makes_of_a_path_what_it_says),
		cmocka_unit_test(what_a_policy_has_made_it_leaves_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
