#include "addresses.h"
#include "contract/record.h"
#include "control.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX   (256u << 20)  // bytes
#define FAULTS_MAX 20            // of a file that are said
#define SWEEP      5000000000ull // ns from one taking away of what has ended to the next

bool address_network(const char *s, struct addr *a, uint32_t *len, const char **why)
{
	if (strchr(s, '/')) {
		if (!address_prefix(s, a, len, why))
			return false;
	} else if (addr_parse(s, strlen(s), a) != 0) {
		*why = "is no address";
		return false;
	} else {
		*len = 128;
	}
	*why = "has bits behind its prefix";
	if (*len == 0)
		*why = "is written as two halves: ::/1 and 8000::/1";
	return *len && addr_eq(address_prefix_of(*a, *len), *a);
}

// Entries of one list while they are collected.
struct entries {
	struct config *c;
	struct address *v;
	uint32_t n, room;
};

static void entry_add(struct entries *e, struct addr a, uint32_t len)
{
	if (e->n == e->room) {
		uint32_t room = e->room ? e->room * 2 : 64;
		struct address *v = memory_take(&e->c->memory, room * sizeof(*v));

		if (e->n)
			memcpy(v, e->v, e->n * sizeof(*v));
		e->v = v;
		e->room = room;
	}
	e->v[e->n++] = (struct address){.given = true, .addr = a, .prefix = len};
}

static void read_line(struct entries *e, char *line, struct mark at, unsigned *faults)
{
	char *begin = line + strspn(line, " \t\r"), *end;
	const char *why;
	struct addr a;
	uint32_t len;

	begin[strcspn(begin, "#")] = '\0';
	end = begin + strlen(begin);
	while (end > begin && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		*--end = '\0';
	if (end == begin)
		return;
	at.column = (uint32_t)(begin - line) + 1;
	if (address_network(begin, &a, &len, &why))
		entry_add(e, a, len);
	else if (++*faults <= FAULTS_MAX)
		diag_error(&e->c->diag, at, "\"%.60s\" %s%s", begin, why,
			   *faults == FAULTS_MAX ? "; what else is wrong in this file is not said" : "");
}

// A whole file in memory of its own; NULL, with a message.
static char *file_read(struct config *c, const char *path, struct mark from, size_t *n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hold control up
	char *text = NULL;
	struct stat st;
	size_t got = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		diag_error(&c->diag, from, "%s: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		diag_error(&c->diag, from, "%s: %s", path,
			   S_ISREG(st.st_mode) ? "larger than 256 MiB" : "not a file");
	} else if (!(text = malloc((size_t)st.st_size + 1))) {
		diag_error(&c->diag, from, "%s: no memory left", path);
	} else {
		for (ssize_t k = 1; got < (size_t)st.st_size && (k > 0 || errno == EINTR);
		     got += k > 0 ? (size_t)k : 0)
			if ((k = read(fd, text + got, (size_t)st.st_size - got)) == 0)
				break;
		text[got] = '\0';
		*n = got;
	}
	if (fd >= 0)
		close(fd);
	return text;
}

static void read_file(struct entries *e, const struct text *name)
{
	const char *slash = strrchr(e->c->path, '/');
	const char *path = name->s[0] == '/' || !slash
				   ? name->s
				   : memory_print(&e->c->memory, "%.*s/%s", (int)(slash - e->c->path),
						  e->c->path, name->s);
	size_t n = 0;
	char *text = file_read(e->c, path, name->mark, &n);
	struct mark at = {0};
	unsigned faults = 0;

	if (!text)
		return;
	at.file = diag_file(&e->c->diag, path);
	for (char *line = text, *end; line < text + n; line = end + 1) {
		end = memchr(line, '\n', (size_t)(text + n - line));
		if (!end)
			end = text + n;
		*end = '\0';
		at.line++;
		read_line(e, line, at, &faults);
	}
	free(text);
}

static void collect(struct config *c, struct conf_addresses *list)
{
	const struct text *file = list->files.v, *word = list->addresses.v;
	struct entries e = {.c = c};
	const char *why;
	struct addr a;
	uint32_t len;

	for (uint32_t i = 0; i < list->addresses.n; i++)
		if (!word[i].s)
			continue;
		else if (address_network(word[i].s, &a, &len, &why))
			entry_add(&e, a, len);
		else
			diag_error(&c->diag, word[i].mark, "addresses: \"%s\" %s", word[i].s, why);
	for (uint32_t i = 0; i < list->files.n; i++)
		if (file[i].s)
			read_file(&e, &file[i]);
	list->all = e.v;
	list->n_all = e.n;
}

void check_addresses(struct config *c)
{
	struct conf_root *r = &c->root;
	uint64_t room = address_list_room(r->system.memory.addresses.v & ~4095ull);

	collect(c, &r->deny);
	collect(c, &r->allow);
	if ((uint64_t)r->deny.n_all + r->allow.n_all > room)
		diag_error(&c->diag, r->deny.head.given ? r->deny.head.mark : r->allow.head.mark,
			   "%u addresses, but system.memory.addresses has room for %llu: 48 bytes are needed "
			   "for each",
			   r->deny.n_all + r->allow.n_all, (unsigned long long)room);
}

// What did not find a place; what is set by hand and by limits may have taken it.
static uint32_t put_all(struct address_list *l, enum address_kind kind, const struct conf_addresses *list)
{
	uint32_t lost = 0;

	for (uint32_t i = 0; i < list->n_all; i++)
		lost += address_list_add(l, kind, list->all[i].addr, list->all[i].prefix, 0, ADDRESS_FILE) < 0;
	return lost;
}

void addresses_apply(struct control *c, const struct config *config)
{
	struct address_list *l = &c->instance.addresses;
	uint32_t lost;

	if (!l->head)
		return;
	l->now = loop_now();
	address_list_files_begin(l);
	// Who is allowed first: nobody is denied in between.
	lost = put_all(l, ADDRESS_ALLOW, &config->root.allow) + put_all(l, ADDRESS_DENY, &config->root.deny);
	address_list_files_end(l);
	address_list_sweep(l, loop_now());
	if (lost)
		log_error(&c->log, "the list of addresses is full: %u of the configuration found no place",
			  lost);
}

static void on_sweep(void *ctx, struct loop_op *op, int result)
{
	struct control *c = ctx;

	if (result == -ECANCELED || c->loop.stop)
		return;
	if (c->instance.addresses.head)
		address_list_sweep(&c->instance.addresses, loop_now());
	loop_timer(&c->loop, op, SWEEP);
}

void addresses_start(struct control *c)
{
	c->sweeping = (struct loop_op){.fn = on_sweep, .ctx = c};
	loop_timer(&c->loop, &c->sweeping, SWEEP);
}

void addresses_block(struct control *c, const struct rec_block *b)
{
	struct address_list *l = &c->instance.addresses;
	char text[ADDR_TEXT_MAX];
	unsigned len = b->len >= 1 && b->len <= 128 ? b->len : 128;

	if (!l->head)
		return;
	l->now = loop_now();
	addr_text(b->addr, text);
	if (address_list_add(l, ADDRESS_DENY, b->addr, len, b->until, ADDRESS_LIMIT) < 0)
		log_error(&c->log,
			  "the list of addresses is full: %s, blocked by rate limit %.63s, found no place",
			  text, b->limit);
	else
		log_note(
			&c->log, "%s/%u is denied for %llu s by rate limit %.63s", text,
			addr_is_v4(b->addr) ? len - 96 : len,
			(unsigned long long)((b->until > loop_now() ? b->until - loop_now() : 0) / 1000000000u),
			b->limit);
}
