#include "ebpf/server.h"
#include "ebpf/request.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// A connection reads a head, sends an answer, and then either reads again or lingers: it has said that it will
// send no more, and throws away what still comes, because closing a socket with unread bytes resets it and may
// cost the peer our answer.
enum conn_state { CONN_FREE, CONN_READ, CONN_SEND, CONN_LINGER };

struct page {
	unsigned refs;
	struct text text;
};

struct conn {
	enum conn_state state;
	int fd;
	uint32_t events;   // what epoll watches
	uint64_t deadline; // of the present step
	size_t in_n;
	bool keep;
	struct page *page; // NULL: no body to send
	size_t head_n, sent;
	char head[384];
	char in[REQUEST_HEAD_MAX];
};

struct server {
	int epoll, listener;
	bool paused; // out of descriptors: not accepting until the next second
	struct server_pages pages;
	struct page *newest; // rendered metrics; one reference is ours
	bool fresh;          // newest was rendered in this turn
	unsigned pages_alive;
	char address[80];
	struct conn conn[SERVER_CONNECTIONS];
};

static void page_drop(struct server *s, struct page *p)
{
	if (!p || --p->refs)
		return;
	text_free(&p->text);
	free(p);
	s->pages_alive--;
}

static struct page *page_render(struct server *s, void (*render)(void *, struct text *))
{
	struct page *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->refs = 1;
	s->pages_alive++;
	render(s->pages.arg, &p->text);
	if (p->text.failed) {
		page_drop(s, p);
		return NULL;
	}
	return p;
}

// Requests of one turn share a page, and many slow readers share a few.
static struct page *page_metrics(struct server *s)
{
	if (!s->newest || (!s->fresh && s->pages_alive < SERVER_PAGES)) {
		page_drop(s, s->newest);
		s->newest = page_render(s, s->pages.metrics);
		s->fresh = true;
	}
	if (s->newest)
		s->newest->refs++;
	return s->newest;
}

static void conn_close(struct server *s, struct conn *c)
{
	close(c->fd); // leaves epoll with it
	page_drop(s, c->page);
	c->page = NULL;
	c->state = CONN_FREE;
}

static void conn_watch(struct server *s, struct conn *c, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = c};

	if (c->events == events)
		return;
	c->events = events;
	if (epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &e) < 0)
		conn_close(s, c);
}

static const char *status_text(unsigned status)
{
	switch (status) {
	case 200:
		return "200 OK";
	case 400:
		return "400 Bad Request";
	case 404:
		return "404 Not Found";
	case 405:
		return "405 Method Not Allowed";
	case 431:
		return "431 Request Header Fields Too Large";
	case 503:
		return "503 Service Unavailable";
	case 505:
		return "505 HTTP Version Not Supported";
	default:
		return "500 Internal Server Error";
	}
}

#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_JSON    "application/json"

// Takes over the page. body false: HEAD, whose answer carries the length alone (RFC 9110 9.3.2).
static void conn_answer(struct server *s, struct conn *c, uint64_t now, unsigned status, const char *type,
			struct page *page, bool body)
{
	int n = snprintf(c->head, sizeof(c->head),
			 "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s"
			 "X-Content-Type-Options: nosniff\r\n\r\n",
			 status_text(status), type, page ? page->text.n : 0,
			 status == 405 ? "Allow: GET, HEAD\r\n" : "", c->keep ? "" : "Connection: close\r\n");

	c->head_n = (size_t)n;
	c->sent = 0;
	if (!body) {
		page_drop(s, page);
		page = NULL;
	}
	c->page = page;
	c->state = CONN_SEND;
	c->deadline = now + SERVER_SEND_TIMEOUT;
}

static void conn_refuse(struct server *s, struct conn *c, uint64_t now, unsigned status, const char *error,
			const char *message, bool body)
{
	struct page *p = calloc(1, sizeof(*p));

	if (p) {
		p->refs = 1;
		s->pages_alive++;
		text_addf(&p->text, "{\"error\":\"%s\",\"message\":\"%s\"}\n", error, message);
	}
	conn_answer(s, c, now, status, TYPE_JSON, p, body);
}

static void conn_request(struct server *s, struct conn *c, uint64_t now, const struct request *r)
{
	bool get = slice_eq(r->method, SLICE("GET")), head = slice_eq(r->method, SLICE("HEAD"));
	bool metrics = slice_eq(r->path, SLICE("/metrics")), health = slice_eq(r->path, SLICE("/health"));
	struct page *p;

	c->keep = r->keep;
	if (!metrics && !health) {
		conn_refuse(s, c, now, 404, "not_found", "there are /metrics and /health", !head);
	} else if (!get && !head) {
		conn_refuse(s, c, now, 405, "method_not_allowed", "GET and HEAD alone", true);
	} else {
		p = metrics ? page_metrics(s) : page_render(s, s->pages.health);
		if (p)
			conn_answer(s, c, now, 200, metrics ? TYPE_METRICS : TYPE_JSON, p, get);
		else
			conn_refuse(s, c, now, 500, "internal", "no memory for the page", get);
	}
}

// Answers what stands complete in the buffer; false when there is no complete request.
static bool conn_parse(struct server *s, struct conn *c, uint64_t now)
{
	enum request_fault fault;
	struct request r;
	int n = request_parse(slice_of(c->in, c->in_n), &r, &fault);

	if (n == 0)
		return false;
	if (n < 0) {
		c->keep = false;
		c->in_n = 0;
		if (fault == REQUEST_TOO_LARGE)
			conn_refuse(s, c, now, 431, "head_too_large", "the request head is beyond 8 KiB", true);
		else if (fault == REQUEST_VERSION)
			conn_refuse(s, c, now, 505, "http_version", "HTTP/1.0 and HTTP/1.1 alone", true);
		else
			conn_refuse(s, c, now, 400, "bad_request", "malformed request", true);
		return true;
	}
	conn_request(s, c, now, &r);
	c->in_n -= (size_t)n;
	memmove(c->in, c->in + n, c->in_n);
	return true;
}

// 1: all is sent; 0: the socket is full; -1: the peer is gone.
static int conn_send(struct conn *c, uint64_t now)
{
	size_t body_n = c->page ? c->page->text.n : 0;

	while (c->sent < c->head_n + body_n) {
		size_t past = c->sent > c->head_n ? c->sent - c->head_n : 0;
		struct iovec v[2] = {{c->head + c->sent, c->sent < c->head_n ? c->head_n - c->sent : 0},
				     {c->page ? c->page->text.p + past : NULL, body_n - past}};
		struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
		ssize_t n;

		if (c->sent >= c->head_n)
			v[0] = (struct iovec){0};
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		c->sent += (size_t)n;
		c->deadline = now + SERVER_SEND_TIMEOUT;
	}
	return 1;
}

// 1: something came; 0: nothing for now; -1: the peer has ended or is gone.
static int conn_receive(struct conn *c, uint64_t now)
{
	ssize_t n = recv(c->fd, c->in + c->in_n, sizeof(c->in) - c->in_n, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0)
		return -1;
	if (c->in_n == 0) // the time for a head runs from its first byte and is not extended
		c->deadline = now + SERVER_HEAD_TIMEOUT;
	c->in_n += (size_t)n;
	return 1;
}

static void conn_linger(struct server *s, struct conn *c, uint64_t now)
{
	char rest[4096];
	ssize_t n;

	if (c->state != CONN_LINGER) {
		if (shutdown(c->fd, SHUT_WR) < 0) {
			conn_close(s, c);
			return;
		}
		page_drop(s, c->page);
		c->page = NULL;
		c->state = CONN_LINGER;
		c->deadline = now + SERVER_LINGER;
	}
	for (unsigned i = 0; i < 8; i++) {
		n = recv(c->fd, rest, sizeof(rest), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			conn_close(s, c);
			return;
		}
		if (n < 0)
			break;
	}
	conn_watch(s, c, EPOLLIN);
}

static void conn_work(struct server *s, struct conn *c, uint64_t now)
{
	if (c->state == CONN_LINGER) {
		conn_linger(s, c, now);
		return;
	}
	for (unsigned turn = 0; turn < 16; turn++) { // pipelined requests of one peer do not starve the others
		if (c->state == CONN_READ && !conn_parse(s, c, now)) {
			int got = conn_receive(c, now);

			if (got < 0) {
				conn_close(s, c);
				return;
			}
			if (got == 0) {
				conn_watch(s, c, EPOLLIN);
				return;
			}
			continue;
		}
		if (c->state == CONN_SEND) {
			int done = conn_send(c, now);

			if (done < 0) {
				conn_close(s, c);
				return;
			}
			if (done == 0) {
				conn_watch(s, c, EPOLLOUT);
				return;
			}
			if (!c->keep) {
				conn_linger(s, c, now);
				return;
			}
			page_drop(s, c->page);
			c->page = NULL;
			c->state = CONN_READ;
			c->deadline = now + (c->in_n ? SERVER_HEAD_TIMEOUT : SERVER_IDLE_TIMEOUT);
		}
	}
	// Bytes already in our buffer raise no event: a socket with room for sending does.
	conn_watch(s, c, EPOLLIN | EPOLLOUT);
}

// A free connection, if need be the one that has idled longest between two requests.
static struct conn *conn_take(struct server *s)
{
	struct conn *idle = NULL;

	for (struct conn *c = s->conn; c < s->conn + SERVER_CONNECTIONS; c++) {
		if (c->state == CONN_FREE)
			return c;
		if (c->state == CONN_READ && c->in_n == 0 && (!idle || c->deadline < idle->deadline))
			idle = c;
	}
	if (idle)
		conn_close(s, idle);
	return idle;
}

static void server_accept(struct server *s, uint64_t now)
{
	static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
				   "Retry-After: 1\r\nConnection: close\r\n\r\n";

	for (unsigned i = 0; i < 16; i++) {
		int on = 1, fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct epoll_event e = {.events = EPOLLIN};
		struct conn *c;

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				s->paused = !epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->listener, NULL);
			return;
		}
		c = conn_take(s);
		if (!c) {
			(void)!send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL);
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		*c = (struct conn){
			.state = CONN_READ, .fd = fd, .events = EPOLLIN, .deadline = now + SERVER_HEAD_TIMEOUT};
		e.data.ptr = c;
		if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
			conn_close(s, c);
	}
}

void server_work(struct server *s, uint64_t now)
{
	struct epoll_event e[64];
	int n = epoll_wait(s->epoll, e, 64, 0);
	bool accept_ready = false;

	s->fresh = false;
	for (int i = 0; i < n; i++) {
		struct conn *c = e[i].data.ptr;

		if (!c)
			accept_ready = true; // last, so that no connection of this turn is replaced under it
		else if (c->state != CONN_FREE)
			conn_work(s, c, now);
	}
	if (accept_ready)
		server_accept(s, now);
}

static int listener_watch(struct server *s)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &e);
}

void server_expire(struct server *s, uint64_t now)
{
	for (struct conn *c = s->conn; c < s->conn + SERVER_CONNECTIONS; c++)
		if (c->state != CONN_FREE && now >= c->deadline)
			conn_close(s, c);
	if (s->newest && s->newest->refs == 1) { // nobody reads it: give its memory back
		page_drop(s, s->newest);
		s->newest = NULL;
	}
	if (s->paused && listener_watch(s) == 0)
		s->paused = false;
}

int server_fd(const struct server *s)
{
	return s->epoll;
}

const char *server_address(const struct server *s)
{
	return s->address;
}

static void address_read(struct server *s)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getsockname(s->listener, (struct sockaddr *)&sa, &n) < 0 ||
	    getnameinfo((struct sockaddr *)&sa, n, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	if (sa.ss_family == AF_INET6)
		snprintf(s->address, sizeof(s->address), "[%.60s]:%.8s", host, port);
	else
		snprintf(s->address, sizeof(s->address), "%.60s:%.8s", host, port);
}

// Splits "ADDRESS:PORT" or "[ADDRESS]:PORT" and resolves it; only numbers are taken, no names.
static struct addrinfo *listen_resolve(const char *listen)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				 .ai_socktype = SOCK_STREAM},
			*ai = NULL;
	const char *colon = strrchr(listen, ':');
	char host[64];
	size_t n;

	if (!colon || !colon[1])
		return NULL;
	n = (size_t)(colon - listen);
	if (n >= 2 && listen[0] == '[' && colon[-1] == ']') {
		listen++;
		n -= 2;
	} else if (memchr(listen, ':', n)) {
		return NULL;
	}
	if (n == 0 || n >= sizeof(host))
		return NULL;
	memcpy(host, listen, n);
	host[n] = '\0';
	for (const char *p = colon + 1; *p; p++)
		if (*p < '0' || *p > '9')
			return NULL;
	if (strtoul(colon + 1, NULL, 10) > 65535 || getaddrinfo(host, colon + 1, &hints, &ai) != 0)
		return NULL;
	return ai;
}

struct server *server_open(const char *listen_text, const struct server_pages *pages, char *why,
			   size_t why_size)
{
	struct addrinfo *ai = listen_resolve(listen_text);
	struct server *s;
	int on = 1;

	if (!ai) {
		snprintf(why, why_size, "%.80s: not an ADDRESS:PORT or [ADDRESS]:PORT", listen_text);
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		snprintf(why, why_size, "no memory");
		freeaddrinfo(ai);
		return NULL;
	}
	s->pages = *pages;
	s->listener = -1;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		goto fail;
	s->listener = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->listener < 0)
		goto fail;
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s->listener, ai->ai_addr, ai->ai_addrlen) < 0 || listen(s->listener, 128) < 0 ||
	    listener_watch(s) < 0)
		goto fail;
	address_read(s);
	freeaddrinfo(ai);
	return s;
fail:
	snprintf(why, why_size, "%.80s: %s", listen_text, strerror(errno));
	freeaddrinfo(ai);
	server_close(s);
	return NULL;
}

void server_close(struct server *s)
{
	for (struct conn *c = s->conn; c < s->conn + SERVER_CONNECTIONS; c++)
		if (c->state != CONN_FREE)
			conn_close(s, c);
	page_drop(s, s->newest);
	if (s->listener >= 0)
		close(s->listener);
	if (s->epoll >= 0)
		close(s->epoll);
	free(s);
}
