// peer STACK (--listen | --connect ADDRESS) (--send | --receive) BYTES [--OPTION VALUE]...
//
// One end of a transfer through the kernel's TCP (STACK is `kernel`) or ours (`library`). Both ends make the
// same stream of a key, so the sum that each prints of what it sent or received tells whether it came
// unchanged; goodput counts from the first byte asked for to the end, at the receiver.
#include "tests/linux/peer.h"
#include "base/hash.h"
#include <getopt.h>
#include <openssl/evp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define CHUNK 65536

_Noreturn void peer_die(const char *what, int error)
{
	fprintf(stderr, "peer: %s: %s\n", what, strerror(error));
	exit(1);
}

uint64_t peer_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void stream(uint64_t key, uint64_t at, uint8_t *buf, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t word = hash_mix(key, at + i);
		memcpy(buf + i, &word, n - i < 8 ? n - i : 8);
	}
}

static uint64_t send_all(const struct peer_ops *ops, uint64_t bytes, uint64_t key, EVP_MD_CTX *sum)
{
	static uint8_t buf[CHUNK];
	uint64_t at = 0;

	while (at < bytes) {
		size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;
		stream(key, at, buf, n);
		EVP_DigestUpdate(sum, buf, n);
		for (size_t done = 0; done < n;)
			done += ops->write(buf + done, n - done);
		at += n;
	}
	ops->shutdown();
	if (ops->read(buf, 1) != 0)
		peer_die("the receiver said something", 0);
	return at;
}

static uint64_t receive_all(const struct peer_ops *ops, EVP_MD_CTX *sum)
{
	static uint8_t buf[CHUNK];
	uint64_t at = 0;
	size_t n;

	while ((n = ops->read(buf, CHUNK))) {
		EVP_DigestUpdate(sum, buf, n);
		at += n;
	}
	ops->shutdown();
	return at;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{"listen", 1, NULL, 'l'},  {"connect", 1, NULL, 'c'}, {"send", 1, NULL, 's'},
		{"receive", 1, NULL, 'r'}, {"device", 1, NULL, 'd'},  {"local", 1, NULL, 'L'},
		{"port", 1, NULL, 'p'},    {"key", 1, NULL, 'k'},     {"buffer", 1, NULL, 'b'},
		{"newreno", 0, NULL, 'n'}, {NULL, 0, NULL, 0}};
	struct peer_conf conf = {.device = "eth", .port = 5001};
	const struct peer_ops *ops = NULL;
	uint64_t bytes = 0, key = 1, begun, took;
	bool sends = false;
	uint8_t digest[32];
	char hex[65], text[1500] = "";
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'l':
			snprintf(conf.local, sizeof(conf.local), "%s", optarg);
			break;
		case 'L':
			snprintf(conf.local, sizeof(conf.local), "%s", optarg);
			break;
		case 'c':
			snprintf(conf.remote, sizeof(conf.remote), "%s", optarg);
			break;
		case 's':
		case 'r':
			sends = c == 's';
			bytes = strtoull(optarg, NULL, 0);
			break;
		case 'd':
			conf.device = optarg;
			break;
		case 'p':
			conf.port = (uint16_t)atoi(optarg);
			break;
		case 'k':
			key = strtoull(optarg, NULL, 0);
			break;
		case 'b':
			conf.buffer = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'n':
			conf.newreno = true;
			break;
		default:
			return 2;
		}
	}
	if (optind + 1 == argc)
		ops = !strcmp(argv[optind], "kernel")    ? &peer_kernel
		      : !strcmp(argv[optind], "library") ? &peer_library
							 : NULL;
	if (!ops || !bytes || (!conf.local[0] && !conf.remote[0])) {
		fprintf(stderr,
			"usage: peer kernel|library (--listen|--connect) ADDRESS (--send|--receive) BYTES\n"
			"       [--port N] [--key N] [--newreno] [--buffer BYTES] [--device DEV] [--local "
			"ADDRESS]\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_TIMERSLACK, 1000);
	// The kernel's TCP answers at once, in interrupts: ours should not wait for the processor either.
	sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1});
	EVP_MD_CTX *sum = EVP_MD_CTX_new();
	EVP_DigestInit_ex(sum, EVP_sha256(), NULL);
	ops->open(&conf);
	begun = peer_now();
	uint64_t moved = sends ? send_all(ops, bytes, key, sum) : receive_all(ops, sum);
	took = peer_now() - begun;
	ops->report(text, sizeof(text));
	ops->close();
	EVP_DigestFinal_ex(sum, digest, NULL);
	EVP_MD_CTX_free(sum);
	for (unsigned i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	printf("%s %llu bytes sha256 %s in %.3f s, %.2f Mbit/s; %s\n", sends ? "sent" : "received",
	       (unsigned long long)moved, hex, (double)took / 1e9, (double)moved * 8e3 / (double)took, text);
	return moved == bytes ? 0 : 1;
}
