// A snapshot: one generation of the configuration, compiled by control, executed by the data plane.
//
// It lives in a memfd of its own that is sealed before it is passed on, so nobody can write it any more.
// It is position-independent: a reference is an offset from the first byte of the snapshot and a count, never
// a pointer. All integers are of the machine's byte order (both sides run on one machine), but network
// addresses and TCP ports are as in struct addr and in host order respectively.
//
// Trust: the data plane's housekeeping thread runs snapshot_verify() over the whole of it, as if it came from
// an enemy; workers see only what passed, and read it without further checks.
//
// State that must outlive a generation (weights set by hand, endpoint states, statistics) is not here but in
// the region, in slots whose numbers control chooses by stable names and writes into these records.
#pragma once
#include "base/addr.h"
#include "base/slice.h"
#include "contract/routekey.h"
#include <stdint.h>

#define SNAPSHOT_MAGIC   0x70616e7347434843ull // "CHCGsnap"
#define SNAPSHOT_VERSION 9u

// n records (or bytes, for text) at offset off. off is a multiple of 8 for records; n = 0 means none.
struct snap_ref {
	uint32_t off;
	uint32_t n;
};

enum snap_idle { IDLE_SPIN, IDLE_ADAPTIVE };
enum snap_hugepages { HUGEPAGES_PREFER, HUGEPAGES_REQUIRE, HUGEPAGES_NEVER };

// Of a listener or upstream; the default is the system's.
enum snap_congestion { CONGESTION_DEFAULT, CONGESTION_CUBIC, CONGESTION_NEWRENO };
enum snap_ecn { ECN_DEFAULT, ECN_PASSIVE, ECN_ACTIVE, ECN_NEVER };

// TCP, for all connections. What is 0 has the stack's default.
struct snap_tcp {
	uint8_t congestion, ecn; // enum snap_congestion, enum snap_ecn
	uint16_t keep_probes;
	uint32_t receive_buffer, send_buffer;                 // bytes of a connection, at most
	uint32_t time_wait_max;                               // records of each worker
	uint64_t msl, user_timeout, keep_idle, keep_interval; // ns
};

// What is fixed for a data plane's life. A generation that differs here needs a restart of the data plane.
struct snap_system {
	uint32_t workers;          // 1..SNAP_WORKERS_MAX
	uint32_t idle;             // enum snap_idle
	uint32_t hugepages;        // enum snap_hugepages
	uint32_t max_connections;  // for each worker, both sides together
	uint64_t packet_memory;    // bytes of packet buffers, for the whole data plane
	uint32_t upstream_reserve; // of these, kept for connections to upstreams; less than max_connections
	uint32_t min_mss;          // bytes; a peer's smaller MSS counts as this one; 64..1220
	uint64_t limit_memory;     // bytes of the table of rate limits, shared by all workers
	uint64_t address_memory;   // bytes of the list of denied and allowed addresses; 0: none
	int32_t cpu[64];           // of each worker; -1: wherever the scheduler puts it
	struct snap_tcp tcp;
	uint32_t compressions; // bodies that each worker may compress at a time, at most SNAP_COMPRESSIONS_MAX
	uint32_t pad;
};
#define SNAP_COMPRESSIONS_MAX 4096
#define SNAP_WORKERS_MAX      64
#define SNAP_PORTS_MAX        16
#define SNAP_LISTEN_MAX       16383 // TCP ports above it are our own towards upstreams (port/steer.h)
#define SNAP_NAME_MAX         63    // bytes of a name (the region keeps it with a NUL); of a device: 127
#define SNAP_TEXT_MAX         8191  // bytes of any other text
#define SNAP_GENERATIONS      8     // of one data plane's alive at once

struct snap_address { // an address of our own
	struct addr addr;
	uint32_t prefix; // 96..128 for IPv4 (mapped), 0..128 for IPv6
	uint32_t pad;
};

struct snap_netroute { // longest prefix wins; gateway is on-link
	struct addr dst;
	struct addr gateway;
	uint32_t prefix;
	uint32_t pad;
};

// Where IPv6's default route comes from: the configuration, or routers' advertisements (RFC 4861).
enum snap_routers { ROUTERS_CONFIGURED, ROUTERS_ADVERTISED };
// Segmentation by a port's device: where it does it in hardware, in any case that it can, or not.
enum snap_tso { TSO_AUTO, TSO_ON, TSO_OFF };

struct snap_port {
	struct snap_ref name;
	struct snap_ref device;    // PCI address or DPDK vdev string
	struct snap_ref addresses; // snap_address
	struct snap_ref routes;    // snap_netroute; on-link routes follow from the addresses and are not here
	uint16_t vlan;             // 0: untagged; 1..4094: this port's tag
	uint16_t mtu;              // 576..9216, of the IP packet
	uint16_t queues;           // wanted; 0: one for each worker, as far as the driver goes
	uint8_t routers;           // enum snap_routers
	uint8_t tso;               // enum snap_tso
};

// What becomes of a path before it is matched (http/path.h).
enum snap_path_action { PATH_KEEP, PATH_NORMALISE, PATH_REJECT };
struct snap_path {
	uint8_t dot_segments;                     // PATH_NORMALISE; else they are refused
	uint8_t slashes;                          // doubled ones
	uint8_t unreserved;                       // percent-encoded though they need not be
	uint8_t encoded_slash, encoded_backslash; // PATH_NORMALISE: to a slash
	uint8_t pad[3];
};

// A page for errors of the gateway's own, in the place of JSON: text with ${status}, ${reason}, ${error},
// ${message} and ${request_id}.
struct snap_page {
	uint16_t from, to; // statuses, 400..599
	uint32_t pad;
	struct snap_ref content_type; // text
	struct snap_ref body;         // bytes, at most SNAP_PAGE_MAX
};
#define SNAP_PAGES_MAX 64
#define SNAP_PAGE_MAX  8192

struct snap_listener {
	struct snap_ref name;
	struct addr addr; // all zero: every address of the port, both families
	uint16_t port;    // snap_port index
	uint16_t tcp_port;
	uint8_t congestion, ecn; // enum snap_congestion, enum snap_ecn
	uint16_t pad;
	uint64_t head_timeout; // ns, for a whole request head, from its first byte (or from accept)
	uint64_t idle_timeout; // ns, between requests
	uint32_t max_head;     // bytes of request line and fields, at most SNAP_HEAD_MAX
	uint32_t max_requests; // on one connection; 0: no bound
	// Limits on who connects. The last two are for all workers together.
	uint8_t syn_cookies;    // enum snap_cookies
	uint8_t refuse;         // enum snap_refuse: what becomes of a client beyond them
	uint8_t client_prefix6; // bits of an IPv6 address that tell clients apart, 1..128
	uint8_t pad2;
	uint32_t max_per_address; // established connections of one client; 0: no bound
	uint32_t accept_rate;     // connections a second, at most SNAP_ACCEPT_MAX; 0: no bound
	uint32_t accept_burst;    // and at once; 0 just where accept_rate is
	struct snap_ref limits;   // snap_limit_use, at most SNAP_LIMIT_USES_MAX
	// And on what they send.
	uint32_t max_line;   // bytes of a request line with its line end; max_head bounds it too
	uint32_t max_uri;    // bytes of a request target
	uint16_t max_fields; // field lines of a request, 1..SNAP_FIELDS_MAX
	uint8_t lenient_lf;  // 1: a lone LF ends a line of a request's head
	// What is said of the client to upstreams, and whom we believe what was said of it before.
	uint8_t forwarded;       // bits 1 << enum snap_forwarded: fields that are sent
	uint8_t client_from;     // enum snap_client_from: field of a trusted proxy that names the client
	uint8_t proxy_protocol;  // enum snap_proxy_protocol
	uint16_t credits;        // as in snap_route
	uint64_t max_body;       // bytes of a request's body; 0: no bound
	struct snap_ref trusted; // snap_address, at most SNAP_TRUSTED_MAX: proxies that are believed
	// How slow they may be.
	uint64_t body_timeout;  // ns without a byte of a request's body
	uint64_t response_idle; // ns in which nothing of an answer's body moves
	uint64_t rate_grace;    // ns before the rates below count, and over which reading is looked at
	uint32_t min_body_rate; // bytes of a request's body a second; 0: no bound
	uint32_t min_read_rate; // bytes of its answer that a client must take a second; 0: no bound
	struct snap_path path;
	struct snap_ref pages;  // snap_page, the first that fits; at most SNAP_PAGES_MAX
	uint32_t max_in_flight; // as in snap_route
	uint32_t pad3;
};
#define SNAP_TRUSTED_MAX 64
enum snap_forwarded {
	FORWARDED_FOR,
	FORWARDED_PROTO,
	FORWARDED_HOST,
	FORWARDED_PORT,
	FORWARDED_RFC7239,
	FORWARDED_FIELDS
};
// Whether a connection begins with a header of the PROXY protocol; from trusted networks alone where there are
// any.
enum snap_proxy_protocol { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_ACCEPT, PROXY_PROTOCOL_REQUIRE };
enum snap_client_from { CLIENT_FROM_X_FORWARDED_FOR, CLIENT_FROM_FORWARDED };
#define SNAP_HEAD_MAX   16384
#define SNAP_FIELDS_MAX 100
#define SNAP_ACCEPT_MAX 100000000u
enum snap_cookies { SYN_COOKIES_PRESSURE, SYN_COOKIES_ALWAYS, SYN_COOKIES_NEVER };
enum snap_refuse { REFUSE_DROP, REFUSE_RESET };
#define SNAP_MSS_FLOOR_MIN 64
#define SNAP_MSS_FLOOR_MAX 1220

// What makes up the key under which requests are counted.
enum snap_limit_part_kind {
	LIMIT_PART_CLIENT_IP,
	LIMIT_PART_HEADER,
	LIMIT_PART_COOKIE,
	LIMIT_PART_QUERY,
	LIMIT_PART_PATH, // a capture of the route's path
	LIMIT_PART_ROUTE,
	LIMIT_PART_LISTENER,
	LIMIT_PART_CONSTANT,
	LIMIT_PARTS // (a claim of a JWT will stand before it)
};

struct snap_limit_part {
	uint32_t kind;            // enum snap_limit_part_kind
	uint8_t prefix4, prefix6; // CLIENT_IP: bits that count, 1..32 and 1..128
	uint16_t pad;
	struct snap_ref name; // HEADER, COOKIE, QUERY, PATH; text
};

enum snap_limit_action { LIMIT_REJECT, LIMIT_DELAY, LIMIT_TAG, LIMIT_SHADOW, LIMIT_ACTIONS };

struct snap_limit {
	struct snap_ref name;
	struct snap_ref parts;  // snap_limit_part, 1..SNAP_LIMIT_PARTS_MAX
	struct snap_ref header; // LIMIT_TAG: field of the request that names the limit; text
	uint32_t slot;          // of the region, 1..REGION_LIMITS - 1
	uint32_t action;        // enum snap_limit_action
	uint32_t full_passes;   // 1: a key for which the table has no place passes; 0: is refused
	uint32_t rate;          // requests in `period`, as written
	uint64_t period;        // ns
	uint64_t interval;      // ns from one request to the next at this rate, rounded up
	uint64_t burst;         // requests at once, at least 1
	uint64_t delay;         // LIMIT_DELAY: ns at most
	uint64_t block;         // ns for which a key is blocked that was refused too often; 0: never
	uint64_t strikes_in;    // ns in which `strikes` refusals, 1 or more, are too often
	uint32_t strikes;
	uint32_t drop; // 1: an address that is blocked goes onto the deny list, too; its one part is CLIENT_IP
};

struct snap_limit_use {     // in a route or listener
	uint32_t limit;     // index
	uint32_t cost;      // requests that one counts for, 1..the limit's burst
	uint8_t capture[8]; // of each part of kind PATH: which capture of the route
};
#define SNAP_LIMITS_MAX      1023
#define SNAP_LIMIT_PARTS_MAX 8
#define SNAP_LIMIT_USES_MAX  8
#define SNAP_LIMIT_TIME_MAX  (400ull * 86400 * 1000000000) // ns: burst times interval, and delay

// A text with variables, in pieces (http/template.h).
enum snap_piece_kind {
	PIECE_LITERAL, // text
	PIECE_CLIENT_IP,
	PIECE_REQUEST_ID,
	PIECE_LISTENER,
	PIECE_METHOD,
	PIECE_SCHEME,
	PIECE_HOST,
	PIECE_AUTHORITY,
	PIECE_PATH,
	PIECE_QUERY,
	PIECE_REST,
	PIECE_CAPTURE,   // number
	PIECE_HEADER,    // text: its name
	PIECE_COOKIE,    // likewise
	PIECE_PARAMETER, // of the query, likewise
	PIECES
};
enum snap_escape { ESCAPE_FIELD, ESCAPE_PATH, ESCAPE_QUERY, ESCAPES };

struct snap_piece {
	uint8_t kind;    // enum snap_piece_kind
	uint8_t escape;  // enum snap_escape
	uint16_t number; // less than SNAP_CAPTURES_MAX
	uint32_t pad;
	struct snap_ref text;
};
#define SNAP_PIECES_MAX   32 // of a text
#define SNAP_CAPTURES_MAX 16

// Requests of one client go to the same target and endpoint: by a cookie that we set, or by a hash.
enum snap_sticky { STICKY_NONE, STICKY_COOKIE, STICKY_HEADER, STICKY_CLIENT, STICKIES };

enum snap_upgrade { UPGRADE_WEBSOCKET, UPGRADES };
// What becomes of trailer fields; ACCEPTED: they pass to clients that say TE: trailers.
enum snap_trailers { TRAILERS_DROP, TRAILERS_PASS, TRAILERS_ACCEPTED, TRAILERS };
enum snap_action { ACTION_TO, ACTION_RESPOND, ACTION_REDIRECT };

// METHOD_* bits are 1 << enum http_method; a route with methods = 0 takes all.
struct snap_target {
	uint32_t upstream; // index
	uint32_t weight;   // as configured, 0..65535
	uint32_t slot;     // region's target slot: a weight set by hand wins over this one
	uint32_t pad;
};

struct snap_route {
	// What every request reads stands in the first 64 bytes, a cache line; what one that is forwarded reads
	// beside it in the second.
	uint32_t methods;
	uint32_t stat_slot; // in the statistics region
	uint32_t stages;    // bit 1 << enum stage: those that have a configuration here
	uint16_t action;    // enum snap_action
	// Requests in flight: the region's slot of its credits (0: there is none), and SNAP_LIMITED where the
	// configuration has a limit. One that was set by hand wins over it.
	uint16_t credits;
	uint16_t status;       // ACTION_RESPOND, ACTION_REDIRECT: 200..599
	uint8_t attempts;      // at most, 1..8; attempts after the first only where no byte was sent (connect
			       // failures)
	uint8_t sticky_secure; // 1: the cookie is for https alone
	uint8_t upgrade;       // ACTION_TO: bits of 1 << enum snap_upgrade, protocols that may be switched to
	uint8_t connect;       // ACTION_TO: 1: CONNECT opens a tunnel to an endpoint
	uint8_t rewrites;      // ACTION_TO: 1: rewrite_path or rewrite_host is there
	uint8_t sticky;        // ACTION_TO: enum snap_sticky
	// ACTION_RESPOND without a stage that edits the response: the whole answer to a GET of
	// HTTP/1.1, but for the values of Date and X-Request-Id; n = 0: it is put together
	// anew each time.
	struct snap_ref answer;
	uint16_t answer_head;      // bytes of it before the body
	uint16_t answer_date;      // where the SNAP_DATE bytes of the date belong
	uint16_t answer_id;        // where the SNAP_ID bytes of the request id belong
	uint8_t trailers_request;  // ACTION_TO: enum snap_trailers, but ACCEPTED: those of requests
	uint8_t trailers_response; // ACTION_TO: enum snap_trailers
	struct snap_path path;     // beside the listener's: of what it has left
	struct snap_ref targets;   // ACTION_TO: snap_target, at least 1
	uint32_t host;             // index of its host pattern in snapshot order, for listings
	uint32_t max_in_flight;    // at most CREDITS_MAX; 0: no limit

	uint64_t timeout;     // ns, whole request: first byte of the head to last byte of the answer; 0: none
	uint64_t per_try;     // ns, one attempt, from the end of the request to the response head; 0: none
	uint64_t tunnel_idle; // ns without a byte either way, until a tunnel ends; 0: never
	// snap_piece; n = 0: none. What is forwarded in place of path and host (a path without a query keeps
	// the request's).
	struct snap_ref rewrite_path, rewrite_host;
	struct snap_ref sticky_name; // STICKY_COOKIE, STICKY_HEADER: of the cookie, of the field; a token
	uint32_t sticky_age;         // seconds that the cookie lives; 0: as long as the browser
	uint32_t pad;
	struct snap_ref conditions; // snap_condition, by kind

	struct snap_ref stage_conf[8]; // by enum stage: bytes of the stage's conf.h record, 8-aligned

	struct snap_ref content_type;    // ACTION_RESPOND; text
	struct snap_ref body;            // ACTION_RESPOND; bytes, at most SNAP_BODY_MAX
	struct snap_ref location;        // ACTION_REDIRECT; text, unless location_pieces are there
	struct snap_ref location_pieces; // snap_piece; where a redirect leads
	struct snap_ref pages;           // snap_page, looked at before those of the listener
	struct snap_ref name;
	struct snap_ref path_text, host_text; // as written, for listings and route test
};
// What a request needs to know of its route where an answer is prepared and nothing can stand in its way but a
// limit on requests in flight that was set by hand: a few bytes in the place of the route's record.
struct snap_prompt {
	uint16_t stat_slot; // as the route's
	uint16_t answer;    // its place in answers, from 1; 0: the record says what becomes of it
};

// A prepared answer, as snap_route has it. Routes with the same one share it.
struct snap_answer {
	struct snap_ref text;
	uint16_t head, date, id, status;
};

#define SNAP_LIMITED    0x8000u // beside a slot of credits
#define SNAP_BODY_MAX   65536
#define SNAP_ANSWER_MAX 1536 // bytes of a prebuilt answer: it fits a packet buffer
#define SNAP_DATE       29   // bytes of an IMF-fixdate (RFC 9110 5.6.7)
#define SNAP_ID         32

enum snap_balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_REQUEST };

struct snap_endpoint {
	struct snap_ref name; // "address:port", as in cgctl
	struct addr addr;
	uint16_t tcp_port;
	uint16_t pad;
	uint32_t weight; // 1..65535
	uint32_t slot;   // region's endpoint slot: administrative state; and the workers' runtime state
	uint32_t epoch;  // of that slot: another epoch means another endpoint, whose runtime state starts anew
	uint64_t token;  // keyed hash of its upstream's and its own name, what sticky cookies say
};

struct snap_upstream {
	struct snap_ref name;
	struct snap_ref endpoints; // snap_endpoint, may be none
	uint32_t stat_slot;
	uint16_t port; // snap_port index
	uint8_t balance;
	uint8_t proxy_protocol;   // version of the header that its connections begin with, 1 or 2; 0: none
	uint64_t connect_timeout; // ns
	uint64_t idle_timeout;    // ns, of a pooled connection
	uint32_t max_connections; // for each endpoint; 0: no bound
	uint32_t max_pending;     // requests waiting for a connection, for the upstream
	uint32_t down_after;      // consecutive connect failures that mark an endpoint down; 0: never
	uint8_t congestion, ecn;  // enum snap_congestion, enum snap_ecn
	uint16_t pad2;
	uint64_t down_for;   // ns, until it is tried again
	uint64_t pool_probe; // ns, after which an idle pooled connection is probed; 0: never
};

// Route tables. Hosts are found by hash; each (each suffix and "any" as well) has a trie of path segments.
//
// Tries speak of a route by its rank: among those of a host, in the order of the file, and counted from the
// lowest in the subtree on. So subtrees that ask for the same are one, whichever hosts and ways they are of: a
// thousand hosts with the same paths have one trie, and where each has paths of its own, they have in common
// what follows the segments that differ. What is left of a host's own stands in few cache lines.
//
// snapshot.nodes has nodes and edges, 32 bytes each: behind a node stand its edges. Children come before their
// parents, so that there are no cycles.
//
// host kinds: exact "api.example.com"; suffix "*.example.com" is keyed by ".example.com"; any is keyed by "".
struct snap_host {
	uint64_t hash;  // routekey_host(): home slot is (hash & (hosts.n - 1))
	uint32_t root;  // node
	uint32_t first; // of its routes: see used
	uint32_t count; // of its routes
	uint16_t n;     // bytes of the key; 0 is "any"
	uint16_t used;  // enum snap_host_used
	union {
		char text[40]; // the key in lower case
		uint32_t off;  // of the key, where it is longer than text
	};
};
// An empty slot of the table; its routes stand in a row, from `first` on; in snapshot.order they do.
enum snap_host_used { HOST_EMPTY, HOST_IN_A_ROW, HOST_IN_ORDER };

struct snap_take {
	uint32_t rank;    // of the route, see above
	uint32_t methods; // the route's, and SNAP_TAKE_CONDITIONS where it has conditions
};
#define SNAP_TAKE_CONDITIONS 0x80000000u
#define SNAP_TAKE_ONE        0x40000000u // in methods: this is all there is
#define SNAP_TAKE_FLAGS      (SNAP_TAKE_CONDITIONS | SNAP_TAKE_ONE)

union snap_takes {
	struct snap_ref list; // snap_take, ranks rising
	struct snap_take one; // where SNAP_TAKE_ONE is set
};

// The routes of a node.
struct snap_ends {
	union snap_takes exact;  // whose path ends here
	union snap_takes prefix; // whose path is a prefix that ends here
	union snap_takes rest;   // whose path goes on with "{name...}"
};

// Up to SNAP_TAGS edges stand in a row. More are a table, found by what routekey_edge() says of the segment.
struct snap_node {
	uint8_t tag[16];     // of edges in a row: the upper eight bits of their hash
	uint32_t slots;      // edges that follow; of a table: a power of two, at least one is empty
	uint32_t ends;       // 1 + index; 0: no route ends here
	uint32_t param;      // 1 + node that any segment leads to that is not empty; 0: none
	uint32_t param_rank; // what ranks there count from
};
#define SNAP_TAGS 16

struct snap_edge {
	union {
		uint64_t w[2]; // the segment, zeroes behind it
		uint32_t off;  // of the segment, where it is longer than ROUTEKEY_INLINE
	};
	uint32_t n;    // bytes of the segment, between slashes
	uint32_t hash; // routekey_edge(); 0: an empty slot
	uint32_t node; // that it leads to
	uint32_t rank; // what ranks there count from
};
#define SNAP_SEGMENTS_MAX 64 // of a path: the depth of a trie

// What a route asks of a request beside host, path and method. All of a route's must hold. Those from
// CONDITION_VERSION on are negotiated: see route/negotiate.h.
enum snap_condition_kind {
	CONDITION_LISTENER, // values: uint32_t, indexes
	CONDITION_CLIENT,   // values: snap_address
	CONDITION_HEADER,   // name
	CONDITION_QUERY,    // name, percent-decoded
	CONDITION_COOKIE,   // name
	CONDITION_VERSION,  // number: of the API; values: snap_ref of text, one
	CONDITION_ACCEPT,   // values: snap_ref of text, media types without parameters
	CONDITION_LANGUAGE, // values: snap_ref of text, language tags
	CONDITION_KINDS
};
#define CONDITION_NEGOTIATED CONDITION_VERSION
enum snap_condition_test { TEST_PRESENT, TEST_ABSENT, TEST_EQUAL, TEST_PREFIX, TEST_REGEX, TESTS };

struct snap_condition {
	uint16_t kind;         // enum snap_condition_kind, rising within a route
	uint16_t test;         // enum snap_condition_test; HEADER, QUERY, COOKIE
	uint32_t number;       // VERSION: index in apis; TEST_REGEX: index in regexes
	struct snap_ref name;  // HEADER, QUERY, COOKIE; text
	struct snap_ref value; // HEADER, QUERY, COOKIE: text that is compared with; others: values
};
#define SNAP_CONDITIONS_MAX 32 // of a route
#define SNAP_VALUES_MAX     64 // of a condition
#define SNAP_APIS_MAX       64
#define SNAP_REGEXES_MAX    4096
#define SNAP_REGEX_MAX      1024 // bytes of one

// An API with versions: how a request names one that its path does not.
struct snap_api {
	struct snap_ref name;
	struct snap_ref header;       // field that names a version; n = 0: none
	struct snap_ref media_prefix; // of a media type in Accept, around the version; n = 0: none
	struct snap_ref media_suffix;
	struct snap_ref otherwise; // version where nothing is named
};

struct snapshot {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size; // sizeof(struct snapshot)
	uint64_t size;        // of the whole
	uint64_t generation;  // from 1, rising
	uint64_t checksum;    // hash64 of all bytes after the header
	uint64_t created;     // CLOCK_REALTIME, ns
	struct snap_system system;
	struct snap_ref source; // name of the configuration file
	struct snap_ref text;   // the configuration as it was read, with the files it includes behind it
	struct snap_ref ports, listeners, routes, upstreams;
	struct snap_ref
		hosts; // snap_host, open addressing, linear probing; n a power of two, at least one empty
	struct snap_ref nodes;   // snap_node and snap_edge
	struct snap_ref ends;    // snap_ends
	uint32_t host_any;       // 1 where a host with an empty key is in the table
	uint32_t host_suffixes;  // 1 where any key begins with '.'
	struct snap_ref limits;  // snap_limit
	struct snap_ref apis;    // snap_api
	struct snap_ref regexes; // snap_ref of text: regular expressions, none twice (route/regex.h)
	struct snap_ref order;   // uint32_t: routes of hosts that are HOST_IN_ORDER
	struct snap_ref prompts; // snap_prompt, for each route; or none at all
	struct snap_ref answers; // snap_answer
	uint64_t touched; // bytes of tables, records and answers that requests may touch; nothing but time
			  // depends on it
};

static inline const void *snap_at(const struct snapshot *s, struct snap_ref r)
{
	return (const char *)s + r.off;
}
static inline struct slice snap_text(const struct snapshot *s, struct snap_ref r)
{
	return (struct slice){(const char *)s + r.off, r.n};
}
static inline struct slice snap_host_text(const struct snapshot *s, const struct snap_host *h)
{
	return (struct slice){h->n > sizeof(h->text) ? (const char *)s + h->off : h->text, h->n};
}
// Whether all routes are for any host: of the table's two slots one is empty.
static inline bool snap_any_alone(const struct snapshot *s)
{
	return s->host_any && s->hosts.n == 2;
}
// The route that has a rank among those of a host.
static inline uint32_t snap_host_route(const struct snapshot *s, const struct snap_host *h, uint32_t rank)
{
	const uint32_t *order = (const uint32_t *)snap_at(s, s->order);

	return h->used == HOST_IN_A_ROW ? h->first + rank : order[h->first + rank];
}
// Of a route; without an answer where there are none at all.
static inline struct snap_prompt snap_prompt(const struct snapshot *s, uint32_t route)
{
	const struct snap_prompt *p = (const struct snap_prompt *)snap_at(s, s->prompts);

	return s->prompts.n ? p[route] : (struct snap_prompt){0, 0};
}
// Asks for those of a host's first routes: they come while its trie is walked.
static inline void snap_prompt_ask(const struct snapshot *s, const struct snap_host *h)
{
	__builtin_prefetch((const struct snap_prompt *)snap_at(s, s->prompts) + h->first);
}
static inline const struct snap_edge *snap_edges(const struct snap_node *v)
{
	_Static_assert(sizeof(struct snap_edge) == sizeof(*v), "they stand in one array");
	return (const struct snap_edge *)(v + 1);
}
static inline struct slice snap_edge_text(const struct snapshot *s, const struct snap_edge *e)
{
	return (struct slice){e->n > sizeof(e->w) ? (const char *)s + e->off : (const char *)e->w, e->n};
}
static inline const struct snap_take *snap_takes(const struct snapshot *s, const union snap_takes *t,
						 uint32_t *n)
{
	*n = t->one.methods & SNAP_TAKE_ONE ? 1 : t->list.n;
	return t->one.methods & SNAP_TAKE_ONE ? &t->one : snap_at(s, t->list);
}

// Complete check of size bytes at s: ranges, alignment, cross references, enums, tables that end. The stages'
// records are opaque here: policy_verify() checks those. true, or false with the first fault in why.
bool snapshot_verify(const void *s, size_t size, char *why, size_t why_size);
// Whether n uses of limits at `uses` (a stage's record, which lies inside) are sound; captures: how many the
// path of their route has.
bool snapshot_limit_uses_ok(const struct snapshot *s, const struct snap_limit_use *uses, uint32_t n);
// Whether the pieces of a text, which a record names, lie inside and are sound.
bool snapshot_pieces_ok(const struct snapshot *s, struct snap_ref pieces);
