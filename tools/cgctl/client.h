// One line to the control socket, and its answer.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// Connected descriptor, or -errno.
int client_connect(const char *path);
// Sends the line (without its end) and reads the answer up to its empty line. Allocated text, without that
// line; NULL with errno where the connection failed. One question after another on a connection is fine.
char *client_ask(int fd, const char *line);
