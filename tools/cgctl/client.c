#include "tools/cgctl/client.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int client_connect(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(a.sun_path)) {
		close(fd);
		return -ENAMETOOLONG;
	}
	memcpy(a.sun_path, path, strlen(path));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static bool send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

char *client_ask(int fd, const char *line)
{
	char *text = NULL;
	size_t n = 0, cap = 0;

	if (!send_all(fd, line, strlen(line)) || !send_all(fd, "\n", 1))
		return NULL;
	for (;;) {
		if (cap - n < 4096) {
			char *p = realloc(text, cap = cap * 2 + 16384);

			if (!p)
				goto failed;
			text = p;
		}
		ssize_t k = recv(fd, text + n, cap - n - 1, 0);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			errno = k ? errno : ECONNRESET;
			goto failed;
		}
		n += (size_t)k;
		text[n] = '\0';
		if (n >= 2 && text[n - 1] == '\n' && text[n - 2] == '\n') {
			text[n - 1] = '\0';
			return text;
		}
		if (n == 1 && text[0] == '\n') {
			text[0] = '\0';
			return text;
		}
	}
failed:
	free(text);
	return NULL;
}
