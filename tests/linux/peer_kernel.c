// The kernel's TCP, with CUBIC.
#include "tests/linux/peer.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fd = -1;

static socklen_t address(struct sockaddr_storage *s, const char *text, uint16_t port)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)s;
	struct sockaddr_in *four = (struct sockaddr_in *)s;

	memset(s, 0, sizeof(*s));
	if (strchr(text, ':')) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(port);
		inet_pton(AF_INET6, text, &six->sin6_addr);
		return sizeof(*six);
	}
	four->sin_family = AF_INET;
	four->sin_port = htons(port);
	inet_pton(AF_INET, text, &four->sin_addr);
	return sizeof(*four);
}

static void kernel_open(const struct peer_conf *conf)
{
	const char *cc = conf->newreno ? "reno" : "cubic";
	struct sockaddr_storage s;
	socklen_t n = address(&s, conf->remote[0] ? conf->remote : conf->local, conf->port);
	int one = 1, sock = socket(s.ss_family, SOCK_STREAM, 0);

	if (sock < 0 || setsockopt(sock, IPPROTO_TCP, TCP_CONGESTION, cc, (socklen_t)strlen(cc)))
		peer_die("socket", errno);
	if (conf->remote[0]) {
		if (connect(sock, (struct sockaddr *)&s, n))
			peer_die("connect", errno);
		fd = sock;
		return;
	}
	if (setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(sock, (struct sockaddr *)&s, n) || listen(sock, 1))
		peer_die("listen", errno);
	printf("listening\n");
	fflush(stdout);
	fd = accept(sock, NULL, NULL);
	if (fd < 0)
		peer_die("accept", errno);
	close(sock);
}

static size_t kernel_read(void *buf, size_t n)
{
	ssize_t got = recv(fd, buf, n, 0);

	if (got < 0)
		peer_die("recv", errno);
	return (size_t)got;
}

static size_t kernel_write(const void *buf, size_t n)
{
	ssize_t put = send(fd, buf, n, MSG_NOSIGNAL);

	if (put < 0)
		peer_die("send", errno);
	return (size_t)put;
}

static void kernel_shutdown(void)
{
	if (shutdown(fd, SHUT_WR))
		peer_die("shutdown", errno);
}

static void kernel_close(void)
{
	close(fd);
}

static void kernel_report(char *text, size_t size)
{
	struct tcp_info info = {0};
	socklen_t n = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n);
	snprintf(text, size, "retransmits %u, cwnd %u, srtt %u us, reordering %u, dsack %u",
		 info.tcpi_total_retrans, info.tcpi_snd_cwnd, info.tcpi_rtt, info.tcpi_reordering,
		 info.tcpi_dsack_dups);
}

const struct peer_ops peer_kernel = {kernel_open,     kernel_read,  kernel_write,
				     kernel_shutdown, kernel_close, kernel_report};
