// Segments and errors in the words of scripts.
#include "scripts/script.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct icmp_kind icmp_kinds[] = {
	{"net-unreachable", 3, 0, 1, 0},
	{"host-unreachable", 3, 1, 1, 3},
	{"protocol-unreachable", 3, 2, 4, 1},
	{"port-unreachable", 3, 3, 1, 4},
	{"too-big", 3, 4, 2, 0},
	{"prohibited", 3, 13, 1, 1},
	{"time-exceeded", 11, 0, 3, 0},
	{"parameter-problem", 12, 0, 4, 0},
};
const unsigned n_icmp_kinds = sizeof(icmp_kinds) / sizeof(*icmp_kinds);

const char *const field_names[FIELDS] = {
	[F_SEQ] = "sequence number",
	[F_END] = "length",
	[F_ACK] = "ack",
	[F_WIN] = "win",
	[F_URG] = "urg",
	[F_ECN] = "ECN of the IP header",
	[F_MSS] = "mss",
	[F_WSCALE] = "wscale",
	[F_SACKOK] = "sackok",
	[F_TS] = "ts",
	[F_TSVAL] = "tsval",
	[F_TSECR] = "tsecr",
};

static const struct {
	const char *name;
	int value;
} errors[] = {
	{"EPIPE", EPIPE},
	{"EAGAIN", EAGAIN},
	{"ENOBUFS", ENOBUFS},
	{"ENOMEM", ENOMEM},
	{"ETIMEDOUT", ETIMEDOUT},
	{"ECONNRESET", ECONNRESET},
	{"ECONNREFUSED", ECONNREFUSED},
	{"EHOSTUNREACH", EHOSTUNREACH},
	{"ENETUNREACH", ENETUNREACH},
	{"EADDRNOTAVAIL", EADDRNOTAVAIL},
};

const char *errno_name(int error)
{
	for (unsigned i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (errors[i].value == error)
			return errors[i].name;
	return error ? strerror(error) : "no error";
}

int errno_value(const char *name)
{
	for (unsigned i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].value;
	return 0;
}

static void put(char *out, unsigned size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void put(char *out, unsigned size, const char *format, ...)
{
	size_t used = strlen(out);
	va_list args;

	va_start(args, format);
	vsnprintf(out + used, size - used, format, args);
	va_end(args);
}

const char *segment_text(const struct segment *s, char *out, unsigned size)
{
	static const char *const flag[] = {"FIN", "SYN", "RST", "PSH", NULL, "URG", "ECE", "CWR"};
	static const char *const ecn[] = {"", " ect1", " ect0", " ce"};

	*out = 0;
	if (s->icmp) {
		put(out, size, "a packet that is not TCP");
		return out;
	}
	for (unsigned i = 0; i < 8; i++)
		if (flag[i] && (s->flags >> i & 1))
			put(out, size, "%s ", flag[i]);
	if (s->conn == 0)
		put(out, size, "(of no connection of this script) ");
	put(out, size, "%u", s->v[F_SEQ]);
	if (s->v[F_END] != s->v[F_SEQ])
		put(out, size, ":%u", s->v[F_END]);
	if (s->flags & ACK)
		put(out, size, " ack %u", s->v[F_ACK]);
	else if (!(s->flags & (SYN | RST)))
		put(out, size, " noack");
	if (s->has & HAS(F_WIN))
		put(out, size, " win %u", s->v[F_WIN]);
	if (s->flags & URG)
		put(out, size, " urg %u", s->v[F_URG]);
	if (s->has & HAS(F_MSS))
		put(out, size, " mss %u", s->v[F_MSS]);
	if (s->has & HAS(F_WSCALE))
		put(out, size, " wscale %u", s->v[F_WSCALE]);
	if (s->has & HAS(F_SACKOK))
		put(out, size, " sackok");
	if ((s->has & HAS(F_TS)) && !(s->has & (HAS(F_TSVAL) | HAS(F_TSECR))))
		put(out, size, " ts");
	if (s->has & HAS(F_TSVAL))
		put(out, size, " tsval %u", s->v[F_TSVAL]);
	if (s->has & HAS(F_TSECR))
		put(out, size, " tsecr %u", s->v[F_TSECR]);
	for (unsigned i = 0; i < s->n_sack; i++)
		put(out, size, "%s %u:%u", i ? "" : " sack", s->sack[i][0], s->sack[i][1]);
	if (s->has & HAS(F_ECN))
		put(out, size, "%s", ecn[s->v[F_ECN] & 3]);
	return out;
}
