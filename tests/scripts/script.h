// Packet scripts (README.md): their text as steps, and what plays them.
//
// A script is read whole (script.c, parse.c), then played once for each of its variants (play.c): IPv4 and
// IPv6, accepted and connected, and each state it names. The peer (peer.c) is the runner itself: it makes the
// frames that come in and reads those that go out, and shares no code with the stack but the names of its
// counters.
#pragma once
#include "stack/stack.h"
#include <stdbool.h>
#include <stdint.h>

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10
#define URG 0x20
#define ECE 0x40
#define CWR 0x80

// What a segment may say; numbers are relative to the ISN of the side that counts them.
enum field {
	F_SEQ,
	F_END, // behind the payload
	F_ACK,
	F_WIN, // as it stands in the header
	F_URG,
	F_ECN, // the two bits of the IP header
	F_MSS,
	F_WSCALE,
	F_SACKOK,
	F_TS, // the option is there
	F_TSVAL,
	F_TSECR,
	FIELDS
};
#define HAS(f)       (1u << (f))
#define SACK_BLOCKS  4
#define OPTION_BYTES 40

// A segment on the wire, or, with `has` for what is said of it, what is expected there.
struct segment {
	uint64_t at; // ns
	char conn;   // 'a' unless a script names it; 0: none we know
	bool icmp;   // not TCP at all
	uint8_t flags;
	uint32_t has; // HAS(field)
	uint32_t v[FIELDS];
	uint32_t sack[SACK_BLOCKS][2];
	unsigned n_sack;
	const char *wrong; // what no segment may be: its checksum, its payload
};

// A number as a script writes it: plain, or counted from a variable of RFC 9293 3.3.1.
enum base { PLAIN, RCV_NXT, SND_UNA, SND_NXT };
struct number {
	enum base base;
	int64_t n;
};

struct spec {
	uint8_t flags, psh;                           // psh: it is said
	bool no_ack, no_ts, bad_sum, burst, anything; // anything: more than is said may be there
	uint32_t has;
	struct number v[FIELDS], sack[SACK_BLOCKS][2];
	unsigned n_sack, n_raw;
	uint8_t raw[OPTION_BYTES]; // option bytes as they are
	uint32_t times;            // so often, one after the other
	uint32_t by;               // cut into segments of this size
	uint32_t header;           // the header's length as it claims, 0: the truth
	int icmp;                  // index into icmp_kinds, -1: TCP
	struct number about;       // the number that an ICMP error quotes
	uint32_t mtu;
};

enum step_kind {
	STEP_IN,
	STEP_OUT,
	STEP_SET,
	STEP_LISTEN,
	STEP_UNLISTEN,
	STEP_CONNECT,
	STEP_ACCEPT,
	STEP_READ,
	STEP_WRITE,
	STEP_SHUTDOWN,
	STEP_CLOSE,
	STEP_ABORT,
	STEP_AGAIN,
	STEP_QUIET,
	STEP_STATE,
	STEP_ERROR,
	STEP_POLL,
	STEP_COUNTER,
	STEP_CONNECTIONS,
	STEP_TIME_WAIT,
	STEP_INFO,
	STEP_BUFFERS,
	STEP_HELD,
};

struct step {
	enum step_kind kind;
	unsigned line;
	const char *text;
	bool timed;        // [from, to] after the step before
	uint64_t from, to; // ns
	char conn;
	uint64_t n;        // bytes, count, value
	const char *word;  // a name, from the text
	const char *value; // of a setting that is no number
	int error;         // errno that is expected
	struct spec spec;
};

#define STEPS_MAX  160
#define STATES_MAX 12

struct script {
	const char *file, *title;
	unsigned line;
	bool v4, v6;              // plays in
	bool accepted, connected; // as; both false: the script opens its connections itself
	const char *state[STATES_MAX];
	unsigned n_states;   // 0: one variant
	const char *options; // of the prelude
	const char *refused; // the script is wrong on purpose; what must be said of it
	char **line_text;    // of its body
	unsigned n_lines;
	char error[256]; // why it could not be read; error_line says where
	unsigned error_line;
};

// Which of its variants.
struct variant {
	bool v6, connected;
	const char *state; // NULL: none
};

// script.c
// Cuts a file into scripts, which live as long as text. Returns how many.
unsigned script_split(const char *file, char *text, struct script *v, unsigned max);
// Steps of one variant. False: s->error says what is wrong, s->error_line where.
bool script_steps(struct script *s, const struct variant *v, struct step *out, unsigned *n);

// play.c
#define REPORT_MAX 8192
// True: all was as it says. False: report says what was not.
bool script_play(struct script *s, const struct variant *v, char *report);

// text.c
struct icmp_kind {
	const char *name;
	uint8_t type4, code4, type6, code6;
};
extern const struct icmp_kind icmp_kinds[];
extern const unsigned n_icmp_kinds;
extern const char *const field_names[FIELDS];
// As a script would write it. Returns out.
const char *segment_text(const struct segment *s, char *out, unsigned size);
const char *errno_name(int error); // "ECONNRESET"
int errno_value(const char *name); // 0: none of those that sockets give
