// The main thread once the process is up: it sleeps until control, a signal or a second's end has something for
// it, and never touches a packet. Control may come and go; a newer connection replaces the older.
#pragma once
#include "process.h"

struct housekeeping {
	struct dataplane *dataplane;
	char path[108]; // of the socket
	int dir_fd;     // locked: one data plane for each directory
	int listen_fd, control_fd, signal_fd, timer_fd, epoll_fd;
	bool running; // START has been obeyed
	bool stop;
	int exit_code;
	bool telling;       // control waits for the answer to a PUBLISH
	uint64_t tell;      // of this generation
	int waiting_fd;     // a generation that found no place yet; -1: none
	uint64_t giving_up; // the generation whose requests end for it; 0: none yet
	uint64_t given_up;  // requests that had been ended so, before
	uint64_t deadline;  // of a drain; 0: none
	enum drain draining;
	uint64_t busy_seen; // when a request was last seen in flight, while draining
};

// Makes the socket (mode 0600) and takes over signals, which must be blocked. One data plane for each
// directory: refuses when another one runs there. 0 or -errno with a sentence in why.
int housekeeping_open(struct housekeeping *h, struct dataplane *d, char *why, size_t why_size);
// Until the process is to end; its exit code. The data plane is then still up.
int housekeeping_run(struct housekeeping *h);
void housekeeping_close(struct housekeeping *h);
