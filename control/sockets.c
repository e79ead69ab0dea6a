// Control sockets: Unix streams. One line in (several commands with ';'), the answer ends with an empty line;
// a line that begins with "json" (or "--json") is answered with one JSON document, then an empty line.
#include "command.h"
#include "render.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX  4096
#define BATCH_MAX 64          // commands in a line
#define PIECE     (64u << 10) // bytes of its answers that are sent before the next of them is run

// Sessions that there may be, all together, when one more of a level begins: who has lesser rights cannot take
// the last places.
static const unsigned sessions_max[] = {[LEVEL_USER] = 32, [LEVEL_OPERATOR] = 48, [LEVEL_ADMIN] = 64};

struct listening {
	struct listening *next;
	struct control *control;
	char path[108];
	mode_t mode;
	enum conf_level level;
	int fd;
	bool closing, kept;
	struct loop_op accept, pause;
};

struct session {
	struct session *next;
	struct control *control;
	int fd;
	enum conf_level level;
	struct ucred peer;
	struct loop_op recv, send;
	char in[LINE_MAX + 1];
	size_t n_in;
	// The line that is being answered.
	char line[LINE_MAX + 1];
	char *rest; // commands of it that are still to be run
	unsigned commands;
	bool json, batch, running, eof, dead;
	bool waits; // for its turn
	struct session *next_turn;
	bool answered; // a command of it, as JSON
	bool more;     // what is sent is a part of the answer
	char *out;
	size_t n_out, sent, cap_out;
};

static void session_next_command(struct session *s);
static void session_next_line(struct session *s);

static void session_free(struct session *s)
{
	struct session **at = &s->control->sessions;

	while (*at && *at != s)
		at = &(*at)->next;
	if (*at)
		*at = s->next;
	s->control->n_sessions--;
	close(s->fd);
	free(s->out);
	free(s);
}

// Ends the session as soon as nothing of it is under way.
static void session_end(struct session *s)
{
	if (!s->dead) {
		s->dead = true;
		shutdown(s->fd, SHUT_RDWR);
		loop_cancel(&s->control->loop, &s->recv);
		loop_cancel(&s->control->loop, &s->send);
	}
	if (!s->recv.busy && !s->send.busy && !s->running && !s->waits)
		session_free(s);
}

static void session_put(struct session *s, const char *text, size_t n)
{
	if (s->n_out + n > s->cap_out) {
		size_t cap = (s->n_out + n) * 2;
		char *p = realloc(s->out, cap);

		if (!p)
			return;
		s->out = p;
		s->cap_out = cap;
	}
	memcpy(s->out + s->n_out, text, n);
	s->n_out += n;
}

// Text whose empty lines must not look like the end of the answer: they get a blank, which YAML does not mind.
static void session_put_lines(struct session *s, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (n)
			session_put(s, text, n);
		else
			session_put(s, " ", 1);
		session_put(s, "\n", 1);
		text += n + (text[n] == '\n');
	}
}

static void session_send(struct session *s)
{
	loop_send(&s->control->loop, &s->send, s->fd, s->out + s->sent, s->n_out - s->sent);
}

static void session_finish_line(struct session *s)
{
	if (s->json && s->batch)
		session_put(s, s->answered ? "]\n" : "[]\n", s->answered ? 2 : 3);
	else if (s->json)
		session_put(s, s->answered ? "\n" : "{}\n",
			    s->answered ? 1 : 3); // an empty line is answered too
	session_put(s, "\n", 1);
	s->sent = 0;
	session_send(s);
}

static void session_put_json(struct session *s, const json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(9));

	if (s->batch)
		session_put(s, s->answered ? "," : "[", 1);
	session_put(s, text ? text : "{}", text ? strlen(text) : 2);
	s->answered = true;
	free(text);
}

static void request_done(struct request *rq)
{
	struct session *s = rq->owner;

	s->running = false;
	if (s->dead) {
		json_decref(rq->answer);
		free(rq);
		session_end(s);
		return;
	}
	if (s->json) {
		session_put_json(s, rq->answer);
	} else if (rq->failed) {
		session_put(s, "error: ", 7);
		session_put_lines(s, json_string_value(json_object_get(rq->answer, "error")));
	} else if (rq->text_only) {
		const char *key;
		json_t *v;

		json_object_foreach(rq->answer, key, v) session_put_lines(s, json_string_value(v));
	} else {
		char *text = render_text(rq->answer);

		if (text)
			session_put_lines(s, text);
		free(text);
	}
	json_decref(rq->answer);
	free(rq);
	session_next_command(s);
}

// Runs one command, or finds that there is none left.
static void session_command(struct session *s)
{
	struct request *rq;
	char *words[COMMAND_WORDS], *end;
	const char *why = "";
	int n;

	for (;;) {
		if (!s->rest) {
			session_finish_line(s);
			return;
		}
		char *command = s->rest;

		end = command_end(command);
		s->rest = *end ? end + 1 : NULL;
		*end = '\0';
		if (s->batch && !s->json && command[strspn(command, " \t")]) {
			session_put(s, "# ", 2);
			session_put(s, command + strspn(command, " \t"),
				    strlen(command + strspn(command, " \t")));
			session_put(s, "\n", 1);
		}
		n = command_split(command, words, COMMAND_WORDS, &why);
		if (n != 0)
			break;
	}
	rq = calloc(1, sizeof(*rq));
	if (!rq) {
		session_end(s);
		return;
	}
	*rq = (struct request){.control = s->control,
			       .level = s->level,
			       .pid = s->peer.pid,
			       .uid = s->peer.uid,
			       .owner = s,
			       .done = request_done};
	s->running = true;
	if (++s->commands > BATCH_MAX) {
		s->rest = NULL;
		request_error(rq, "more than %d commands in a line; those behind are not run", BATCH_MAX);
	} else if (n < 0)
		request_error(rq, "%s", why);
	else
		command_run(rq, words, n);
}

// One command, and then whatever else has happened meanwhile: so nobody waits for more than one of a mere user,
// be they many or in long lines.
static void on_turn(void *ctx, struct loop_op *op, int result)
{
	struct control *c = ctx;

	if (result < 0)
		return;
	for (unsigned i = 0; i < 2; i++) {
		struct session *s = c->turns[i].first;

		if (!s)
			continue;
		c->turns[i].first = s->next_turn;
		if (!s->next_turn)
			c->turns[i].last = &c->turns[i].first;
		s->waits = false;
		if (s->dead)
			session_end(s);
		else
			session_command(s);
		break;
	}
	if ((c->turns[0].first || c->turns[1].first) && !op->busy)
		loop_timer(&c->loop, op, 0);
}

static void session_next_command(struct session *s)
{
	struct control *c = s->control;
	unsigned i = s->level == LEVEL_USER;

	if (!s->rest) {
		session_finish_line(s);
		return;
	}
	if (s->n_out >= PIECE) {
		s->more = true;
		s->sent = 0;
		session_send(s);
		return;
	}
	s->waits = true;
	s->next_turn = NULL;
	if (!c->turns[i].first)
		c->turns[i].last = &c->turns[i].first;
	*c->turns[i].last = s;
	c->turns[i].last = &s->next_turn;
	if (c->turn.busy)
		return;
	c->turn = (struct loop_op){.fn = on_turn, .ctx = c};
	loop_timer(&c->loop, &c->turn, 0);
}

static void session_line(struct session *s, size_t n)
{
	char *p = s->line;

	memcpy(s->line, s->in, n);
	s->line[n] = '\0';
	if (n && s->line[n - 1] == '\r')
		s->line[n - 1] = '\0';
	memmove(s->in, s->in + n + 1, s->n_in - n - 1);
	s->n_in -= n + 1;
	p += strspn(p, " \t");
	s->json = false;
	for (;;) {
		size_t len = strcspn(p, " \t;");

		if (!((len == 4 && strncmp(p, "json", 4) == 0) || (len == 6 && strncmp(p, "--json", 6) == 0)))
			break;
		s->json = true;
		p += len + strspn(p + len, " \t");
	}
	s->batch = *command_end(p) == ';' && command_end(p)[1];
	s->rest = p;
	s->commands = 0;
	s->n_out = 0;
	s->answered = false;
	session_next_command(s);
}

static void session_next_line(struct session *s)
{
	char *end = memchr(s->in, '\n', s->n_in);

	if (s->dead) {
		session_end(s);
	} else if (end) {
		session_line(s, (size_t)(end - s->in));
	} else if (s->eof) {
		session_end(s);
	} else if (s->n_in == LINE_MAX) {
		static const char text[] = "error: a line of more than 4 KiB\n\n";

		s->n_out = 0;
		s->n_in = 0;
		s->eof = true; // after this answer the session ends: where the next line begins is anyone's
			       // guess
		session_put(s, text, sizeof(text) - 1);
		s->sent = 0;
		session_send(s);
	} else {
		loop_recv(&s->control->loop, &s->recv, s->fd, s->in + s->n_in, LINE_MAX - s->n_in);
	}
}

static void on_recv(void *ctx, struct loop_op *op, int result)
{
	struct session *s = ctx;

	(void)op;
	if (s->dead || (result < 0 && result != -EINTR)) {
		session_end(s);
		return;
	}
	if (result == 0)
		s->eof = true;
	if (result > 0)
		s->n_in += (size_t)result;
	session_next_line(s);
}

static void on_send(void *ctx, struct loop_op *op, int result)
{
	struct session *s = ctx;

	(void)op;
	if (s->dead || result <= 0) {
		session_end(s);
		return;
	}
	s->sent += (size_t)result;
	if (s->sent < s->n_out) {
		session_send(s);
	} else if (s->more) {
		s->more = false;
		s->n_out = 0;
		session_next_command(s);
	} else {
		session_next_line(s);
	}
}

static void on_pause(void *ctx, struct loop_op *op, int result)
{
	struct listening *l = ctx;

	(void)op;
	(void)result;
	if (!l->closing)
		loop_accept(&l->control->loop, &l->accept, l->fd);
	else if (!l->accept.busy)
		free(l);
}

static void on_accept(void *ctx, struct loop_op *op, int result)
{
	struct listening *l = ctx;
	struct control *c = l->control;
	socklen_t len = sizeof(struct ucred);
	struct session *s;

	(void)op;
	if (l->closing) {
		if (result >= 0)
			close(result);
		if (!l->pause.busy)
			free(l);
		return;
	}
	if (result < 0) {
		// No descriptor left, or the like: once more in a while.
		loop_timer(&c->loop, &l->pause, 100000000);
		return;
	}
	s = c->n_sessions < sessions_max[l->level] ? calloc(1, sizeof(*s)) : NULL;
	if (s) {
		*s = (struct session){.next = c->sessions, .control = c, .fd = result, .level = l->level};
		s->recv = (struct loop_op){.fn = on_recv, .ctx = s};
		s->send = (struct loop_op){.fn = on_send, .ctx = s};
		getsockopt(result, SOL_SOCKET, SO_PEERCRED, &s->peer, &len);
		c->sessions = s;
		c->n_sessions++;
		session_next_line(s);
	} else {
		static const char full[] = "error: too many sessions on the control socket\n\n";

		send(result, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(result);
	}
	loop_accept(&c->loop, &l->accept, l->fd);
}

static int socket_listen(const char *path, mode_t mode)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	mode_t old;
	int err;

	if (fd < 0)
		return -errno;
	memcpy(a.sun_path, path, strlen(path));
	if (lstat(path, &st) == 0) {
		// Ours from before, as no one else may hold the instance's lock; but never a file of others.
		if (!S_ISSOCK(st.st_mode)) {
			close(fd);
			return -EEXIST;
		}
		unlink(path);
	}
	old = umask(0777 & ~mode);
	err = bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || chmod(path, mode) < 0 || listen(fd, 128) < 0
		      ? -errno
		      : 0;
	umask(old);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static void listening_close(struct listening *l)
{
	unlink(l->path);
	l->closing = true;
	loop_cancel(&l->control->loop, &l->accept);
	loop_cancel(&l->control->loop, &l->pause);
	shutdown(l->fd, SHUT_RDWR);
	close(l->fd);
	// Freed by the callback that comes.
}

static void socket_path(const struct control *c, const char *name, char *dst, size_t room)
{
	if (name[0] == '/')
		snprintf(dst, room, "%s", name);
	else
		instance_path(&c->instance, name, dst, room);
}

static void listening_open(struct control *c, const char *name, mode_t mode, enum conf_level level)
{
	struct listening *l;
	char path[400];

	socket_path(c, name, path, sizeof(path));
	if (strlen(path) >= sizeof(l->path)) {
		log_error(&c->log, "control socket %s: longer than a socket's path may be", path);
		return;
	}
	for (l = c->listening; l; l = l->next)
		if (strcmp(l->path, path) == 0 && l->mode == mode && l->level == level) {
			l->kept = true;
			return;
		}
	l = calloc(1, sizeof(*l));
	if (!l)
		return;
	*l = (struct listening){.control = c, .mode = mode, .level = level, .kept = true};
	memcpy(l->path, path, strlen(path));
	l->fd = socket_listen(path, mode);
	if (l->fd < 0) {
		log_error(&c->log, "control socket %s: %s", path, strerror(-l->fd));
		free(l);
		return;
	}
	l->accept = (struct loop_op){.fn = on_accept, .ctx = l};
	l->pause = (struct loop_op){.fn = on_pause, .ctx = l};
	l->next = c->listening;
	c->listening = l;
	loop_accept(&c->loop, &l->accept, l->fd);
}

// A socket whose mode or level has changed is closed first, as the new one takes its path.
static void listening_sweep(struct control *c)
{
	struct listening **at = &c->listening;

	while (*at) {
		struct listening *l = *at;

		if (l->kept) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		listening_close(l);
	}
}

static bool wanted(const struct listening *l, const struct config *config)
{
	const struct conf_socket *s = config ? config->root.control.v : NULL;
	uint32_t n = config ? config->root.control.n : 0;
	char path[400];

	if (n == 0) {
		socket_path(l->control, "admin.sock", path, sizeof(path));
		return strcmp(l->path, path) == 0 && l->mode == 0600 && l->level == LEVEL_ADMIN;
	}
	for (uint32_t i = 0; i < n; i++) {
		socket_path(l->control, s[i].socket.s, path, sizeof(path));
		if (strcmp(l->path, path) == 0 && l->mode == (mode_t)s[i].mode.v &&
		    l->level == (enum conf_level)s[i].level.v)
			return true;
	}
	return false;
}

void sockets_apply(struct control *c, const struct config *config)
{
	const struct conf_socket *s = config ? config->root.control.v : NULL;

	for (struct listening *l = c->listening; l; l = l->next)
		l->kept = wanted(l, config);
	listening_sweep(c);
	if (!config || config->root.control.n == 0) {
		listening_open(c, "admin.sock", 0600, LEVEL_ADMIN);
		return;
	}
	for (uint32_t i = 0; i < config->root.control.n; i++)
		listening_open(c, s[i].socket.s, (mode_t)s[i].mode.v, (enum conf_level)s[i].level.v);
}

void sockets_close(struct control *c)
{
	while (c->listening) {
		struct listening *l = c->listening;

		c->listening = l->next;
		unlink(l->path);
		close(l->fd);
		free(l);
	}
	while (c->sessions)
		session_free(c->sessions);
}
