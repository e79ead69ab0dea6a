// A small HTTP/1.1 server of two pages, /metrics and /health, on one thread.
//
// Everything is bounded: connections, bytes of a request head, pages held for slow readers, and the time of
// each step. server_fd() is readable when there is work; the owner then calls server_work(), and each second
// server_expire(). Times are CLOCK_MONOTONIC nanoseconds.
#pragma once
#include "ebpf/text.h"
#include <stddef.h>
#include <stdint.h>

#define SERVER_CONNECTIONS  128
#define SERVER_PAGES        8 // when as many are held by slow readers, the newest is served again
#define SERVER_HEAD_TIMEOUT 5000000000ull
#define SERVER_IDLE_TIMEOUT 75000000000ull // longer than a scrape interval of a minute
#define SERVER_SEND_TIMEOUT 10000000000ull // without progress
#define SERVER_LINGER       2000000000ull  // for the peer to take what was sent before the end

struct server;

struct server_pages {
	void (*metrics)(void *arg, struct text *t);
	void (*health)(void *arg, struct text *t); // JSON
	void *arg;
};

// listen: "ADDRESS:PORT" or "[ADDRESS]:PORT"; port 0 takes a free one. NULL with a sentence in why.
struct server *server_open(const char *listen, const struct server_pages *pages, char *why, size_t why_size);
void server_close(struct server *s);
int server_fd(const struct server *s);
// The address it listens on, as text.
const char *server_address(const struct server *s);
void server_work(struct server *s, uint64_t now);
void server_expire(struct server *s, uint64_t now);
