#include "message.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int message_make(struct message *m, const char *head, uint32_t body_n)
{
	uint32_t head_n = (uint32_t)strlen(head), pieces;

	*m = (struct message){.n = head_n + body_n};
	pieces = (m->n + LINK_MSS - 1) / LINK_MSS;
	m->bytes = malloc(m->n);
	m->sum = calloc(pieces, sizeof(m->sum[0]));
	if (!m->bytes || !m->sum) {
		message_free(m);
		return -ENOMEM;
	}
	memcpy(m->bytes, head, head_n);
	for (uint32_t at = head_n; at-- > 0;) {
		if (head[at] != '#')
			continue;
		if (m->n_digits == MESSAGE_DIGITS || at >= LINK_MSS) {
			message_free(m);
			return -E2BIG;
		}
		m->bytes[at] = '0';
		m->last |= (uint32_t)(head[at + 1] != '#') << m->n_digits;
		m->digit[m->n_digits++] = (uint16_t)at;
	}
	for (uint32_t i = 0; i < body_n; i++)
		m->bytes[head_n + i] = message_byte(i);
	for (uint32_t i = 0; i < pieces; i++) {
		uint32_t at = i * LINK_MSS;

		m->sum[i] = checksum_add(0, m->bytes + at, m->n - at < LINK_MSS ? m->n - at : LINK_MSS);
	}
	m->sum_zero = m->sum[0];
	return 0;
}

void message_number(struct message *m, uint32_t number)
{
	uint64_t sum = m->sum_zero;
	uint32_t left = number;

	for (unsigned i = 0; i < m->n_digits; i++, left /= 10) {
		uint32_t at = m->digit[i], digit;

		if (m->last >> i & 1)
			left = number;
		digit = left % 10;
		m->bytes[at] = (char)('0' + digit);
		sum += (uint64_t)digit << (at % 2 * 8);
	}
	m->sum[0] = sum;
}

void message_free(struct message *m)
{
	free(m->bytes);
	free(m->sum);
	*m = (struct message){0};
}

uint32_t message_send(const struct message *m, struct link *l, const struct flow *f, uint32_t start,
		      uint32_t seq, uint32_t limit)
{
	uint32_t end = start + m->n;

	if ((int32_t)(limit - end) < 0)
		end = limit;
	while ((int32_t)(end - seq) > 0 && link_room(l)) {
		uint32_t at = seq - start, piece = at / LINK_MSS, n = LINK_MSS - at % LINK_MSS;
		uint32_t whole = m->n - at < LINK_MSS ? m->n - at : LINK_MSS;
		bool last;

		if (n > end - seq)
			n = end - seq;
		last = at + n == m->n;
		link_send(l, f, last ? TCP_ACK | TCP_PSH : TCP_ACK, seq, m->bytes + at, n,
			  at % LINK_MSS == 0 && n == whole ? m->sum[piece] : checksum_add(0, m->bytes + at, n));
		seq += n;
	}
	return seq;
}

static bool field_is(const char *line, const char *end, const char *name)
{
	size_t n = strlen(name);

	return (size_t)(end - line) >= n && strncasecmp(line, name, n) == 0;
}

bool head_read(const char *data, uint32_t n, struct head *h, struct likeness *like)
{
	const char *end = memmem(data, n, "\r\n\r\n", 4), *line, *next;
	bool response = n > 12 && memcmp(data, "HTTP/1.1 ", 9) == 0, length = false;

	if (!end)
		return false;
	*h = (struct head){.n = (uint32_t)(end + 4 - data)};
	if (response)
		h->status = (unsigned)(data[9] - '0') * 100 + (unsigned)(data[10] - '0') * 10 +
			    (unsigned)(data[11] - '0');
	for (line = data; line < end; line = next) {
		const char *stop = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);

		next = stop + 2;
		if (field_is(line, stop, "content-length:")) {
			char text[40];
			uint32_t size = (uint32_t)(next - line);

			if (size >= sizeof(text))
				return false;
			memcpy(text, line, size);
			text[size] = 0;
			h->body = strtoull(text + 15, NULL, 10);
			length = true;
			if (like) {
				like->length_at = (uint32_t)(line - data);
				like->length_n = size;
				memcpy(like->length, line, size);
			}
		} else if (field_is(line, stop, "connection: close")) {
			h->close = true;
		}
	}
	if (field_is(data, end, "HTTP/1.1 204") || field_is(data, end, "HTTP/1.1 304"))
		length = true;
	if (like && length) {
		like->head = h->n;
		like->body = h->body;
	}
	return !response || length;
}
