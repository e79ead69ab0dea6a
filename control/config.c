#include "config.h"
#include "contract/credits.h"
#include "contract/snapshot.h"
#include "stage.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SECOND      1000000000ull
#define INCLUDE_MAX 8 // files deep

static const char *const idle_words[] = {[IDLE_SPIN] = "spin", [IDLE_ADAPTIVE] = "adaptive", NULL};
static const char *const hugepages_words[] = {
	[HUGEPAGES_PREFER] = "prefer", [HUGEPAGES_REQUIRE] = "require", [HUGEPAGES_NEVER] = "never", NULL};
// As a listener and an upstream choose; the system's words are those behind the first.
static const char *const congestion_words[] = {
	[CONGESTION_DEFAULT] = "default", [CONGESTION_CUBIC] = "cubic", [CONGESTION_NEWRENO] = "newreno", NULL};
static const char *const ecn_words[] = {[ECN_DEFAULT] = "default",
					[ECN_PASSIVE] = "passive",
					[ECN_ACTIVE] = "active",
					[ECN_NEVER] = "never",
					NULL};
static const char *const routers_words[] = {
	[ROUTERS_CONFIGURED] = "configured", [ROUTERS_ADVERTISED] = "advertised", NULL};
static const char *const tso_words[] = {[TSO_AUTO] = "auto", [TSO_ON] = "on", [TSO_OFF] = "off", NULL};
static const char *const balance_words[] = {
	[BALANCE_ROUND_ROBIN] = "round_robin", [BALANCE_LEAST_REQUEST] = "least_request", NULL};
static const char *const cookies_words[] = {[SYN_COOKIES_PRESSURE] = "pressure",
					    [SYN_COOKIES_ALWAYS] = "always",
					    [SYN_COOKIES_NEVER] = "never",
					    NULL};
static const char *const refuse_words[] = {[REFUSE_DROP] = "drop", [REFUSE_RESET] = "reset", NULL};
const char *const conf_booleans[] = {"false", "true", NULL};
const char *const conf_levels[] = {"user", "operator", "admin", NULL};
const char *const conf_log_levels[] = {"error", "warning", "info", "debug", NULL};
// CONNECT is not offered: we forward no tunnels.
const char *const conf_methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", NULL};

#define F(type, member) .offset = offsetof(struct type, member)

static const struct field workers_fields[] = {
	{"count", KIND_NUMBER, F(conf_workers, count), .min = 1, .max = SNAP_WORKERS_MAX,
	 .help = "workers, placed by the scheduler; either this or cores (1 when neither is given)"},
	{"cores", KIND_TEXT, F(conf_workers, cores), .min = 1, .max = 256,
	 .help = "one worker on each of these CPUs: \"2-5,8\""},
	{"idle", KIND_WORD, F(conf_workers, idle), .def = "adaptive", .words = idle_words,
	 .help = "spin: poll always; adaptive: sleep when there is nothing to do"},
};
static const struct object workers_object = {"workers", sizeof(struct conf_workers), OBJECT(workers_fields)};

static const struct field memory_fields[] = {
	{"packets", KIND_SIZE, F(conf_memory, packets), .min = 8ull << 20, .max = 1ull << 40, .def = "64MiB",
	 .help = "packet buffers, for all workers together"},
	{"hugepages", KIND_WORD, F(conf_memory, hugepages), .def = "prefer", .words = hugepages_words,
	 .help = "whether packet buffers live in huge pages"},
	{"rate_limits", KIND_SIZE, F(conf_memory, rate_limits), .min = 64ull << 10, .max = 1ull << 40,
	 .def = "4MiB",
	 .help = "the table of rate limits: 16 bytes for each key; 1GiB for ten million and more"},
	{"addresses", KIND_SIZE, F(conf_memory, addresses), .min = 1ull << 20, .max = 1ull << 36, .def = "1MiB",
	 .help = "the list of denied and allowed addresses: 48 bytes for each; 48MiB for a million"},
};
static const struct object memory_object = {"memory", sizeof(struct conf_memory), OBJECT(memory_fields)};

static const struct field limits_fields[] = {
	{"connections", KIND_NUMBER, F(conf_limits, connections), .min = 64, .max = 16u << 20, .def = "32768",
	 .help = "connections of each worker, to clients and upstreams together"},
	{"upstream_reserve", KIND_NUMBER, F(conf_limits, upstream_reserve), .min = 0, .max = 16u << 20,
	 .help = "of these, kept for upstreams when clients would take all; an eighth when not given"},
	{"min_mss", KIND_NUMBER, F(conf_limits, min_mss), .min = SNAP_MSS_FLOOR_MIN, .max = SNAP_MSS_FLOOR_MAX,
	 .def = "216", .help = "bytes; a peer that asks for smaller segments gets these"},
	{"compressions", KIND_NUMBER, F(conf_limits, compressions), .min = 0, .max = SNAP_COMPRESSIONS_MAX,
	 .def = "64",
	 .help = "bodies that each worker may compress at a time, 512KiB each once a route compresses; others "
		 "go as "
		 "they are"},
};
static const struct object limits_object = {"limits", sizeof(struct conf_limits), OBJECT(limits_fields)};

static const struct field netroute_fields[] = {
	{"to", KIND_PREFIX, F(conf_netroute, to), .flags = FIELD_REQUIRED, .help = "network: address/bits"},
	{"via", KIND_ADDRESS, F(conf_netroute, via), .flags = FIELD_REQUIRED, .help = "an on-link gateway"},
};
static const struct object netroute_object = {"routes", sizeof(struct conf_netroute), OBJECT(netroute_fields)};

static const struct field port_fields[] = {
	{"name", KIND_NAME, F(conf_port, name), .flags = FIELD_REQUIRED},
	{"device", KIND_TEXT, F(conf_port, device), .flags = FIELD_REQUIRED, .min = 1, .max = 127,
	 .help = "PCI address, or a DPDK device string such as \"net_af_packet0,iface=eth1\""},
	{"addresses", KIND_LIST, KIND_PREFIX, F(conf_port, addresses), .flags = FIELD_REQUIRED | FIELD_ONE,
	 .min = 1, .max = 64, .help = "our addresses, with prefix lengths"},
	{"gateway", KIND_ADDRESS, F(conf_port, gateway), .help = "default gateway"},
	{"gateway6", KIND_ADDRESS, F(conf_port, gateway6), .help = "default gateway for IPv6"},
	{"routers", KIND_WORD, F(conf_port, routers), .def = "configured", .words = routers_words,
	 .help = "IPv6: whether advertisements of routers give a default route (advertised) or nothing"},
	{"routes", KIND_LIST, KIND_OBJECT, F(conf_port, routes), .max = 1024, .object = &netroute_object,
	 .help = "further routes; the longest prefix wins"},
	{"vlan", KIND_NUMBER, F(conf_port, vlan), .min = 1, .max = 4094, .help = "VLAN tag; none: untagged"},
	{"mtu", KIND_NUMBER, F(conf_port, mtu), .min = 576, .max = 9216, .def = "1500",
	 .help = "of the IP packet, bytes"},
	{"tso", KIND_WORD, F(conf_port, tso), .def = "auto", .words = tso_words,
	 .help = "segmentation of TCP by the device: where it gains (auto), also by a driver that does it in "
		 "software (on), or off"},
	{"queues", KIND_NUMBER, F(conf_port, queues), .min = 0, .max = 64, .def = "0",
	 .help = "receive queues; 0: one for each worker as far as the driver goes"},
};
static const struct object port_object = {"ports", sizeof(struct conf_port), OBJECT(port_fields)};

static const struct field keepalive_fields[] = {
	{"idle", KIND_TIME, F(conf_keepalive, idle), .max = 86400 * SECOND, .def = "0s",
	 .help = "after which a silent peer is asked whether it is there; 0s: never"},
	{"interval", KIND_TIME, F(conf_keepalive, interval), .min = SECOND, .max = 3600 * SECOND, .def = "75s",
	 .help = "between probes without an answer"},
	{"probes", KIND_NUMBER, F(conf_keepalive, probes), .min = 1, .max = 255, .def = "9",
	 .help = "without an answer that end the connection"},
};
static const struct object keepalive_object = {"keepalive", sizeof(struct conf_keepalive),
					       OBJECT(keepalive_fields), .shorthand = "idle"};
static const struct field time_wait_fields[] = {
	{"max", KIND_NUMBER, F(conf_time_wait, max), .min = 64, .max = 64u << 20, .def = "262144",
	 .help = "records of each worker, 64 bytes and a place in the flow table each; when all are in use the "
		 "oldest ends early, counted"},
	{"msl", KIND_TIME, F(conf_time_wait, msl), .min = SECOND / 1000, .max = 120 * SECOND, .def = "30s",
	 .help = "how long a segment may live in the network: TIME_WAIT lasts twice that"},
};
static const struct object time_wait_object = {"time_wait", sizeof(struct conf_time_wait),
					       OBJECT(time_wait_fields)};
static const struct field tcp_fields[] = {
	{"congestion", KIND_WORD, F(conf_tcp, congestion), .def = "cubic", .words = congestion_words + 1,
	 .help = "control of connections for which listener or upstream say nothing else"},
	{"ecn", KIND_WORD, F(conf_tcp, ecn), .def = "passive", .words = ecn_words + 1,
	 .help = "explicit congestion notification: passive: where clients and upstreams offer it; active: "
		 "offered to upstreams, too; never"},
	{"receive_buffer", KIND_SIZE, F(conf_tcp, receive_buffer), .min = 16u << 10, .max = 64u << 20,
	 .def = "4MiB",
	 .help = "payload that a connection may hold unread, at most: it begins with 64KiB and "
		 "grows with what its path carries in a round trip"},
	{"send_buffer", KIND_SIZE, F(conf_tcp, send_buffer), .min = 16u << 10, .max = 64u << 20, .def = "4MiB",
	 .help = "packet memory that a connection may hold unacknowledged, at most: it begins with 256KiB and "
		 "grows with the congestion window"},
	{"user_timeout", KIND_TIME, F(conf_tcp, user_timeout), .max = 3600 * SECOND, .def = "2m",
	 .help = "data unacknowledged for so long ends a connection; 0s: only retries count"},
	{"keepalive", KIND_OBJECT, F(conf_tcp, keepalive), .object = &keepalive_object},
	{"time_wait", KIND_OBJECT, F(conf_tcp, time_wait), .object = &time_wait_object},
};
static const struct object tcp_object = {"tcp", sizeof(struct conf_tcp), OBJECT(tcp_fields)};

static const struct field system_fields[] = {
	{"workers", KIND_OBJECT, F(conf_system, workers), .object = &workers_object},
	{"memory", KIND_OBJECT, F(conf_system, memory), .object = &memory_object},
	{"limits", KIND_OBJECT, F(conf_system, limits), .object = &limits_object},
	{"tcp", KIND_OBJECT, F(conf_system, tcp), .object = &tcp_object},
	{"ports", KIND_LIST, KIND_OBJECT, F(conf_system, ports), .flags = FIELD_REQUIRED, .min = 1,
	 .max = SNAP_PORTS_MAX, .object = &port_object, .help = "network ports that the data plane drives"},
};
static const struct object system_object = {"system", sizeof(struct conf_system), OBJECT(system_fields)};

static const struct field socket_fields[] = {
	{"socket", KIND_TEXT, F(conf_socket, socket), .flags = FIELD_REQUIRED, .min = 1, .max = 107,
	 .help = "path; a relative one is in the instance's directory"},
	{"mode", KIND_MODE, F(conf_socket, mode), .def = "0600", .help = "permissions, octal text: \"0600\""},
	{"level", KIND_WORD, F(conf_socket, level), .def = "admin", .words = conf_levels,
	 .help = "user may look, operator may tune, admin may change and stop"},
};
static const struct object socket_object = {"control", sizeof(struct conf_socket), OBJECT(socket_fields)};

static const struct field prometheus_fields[] = {
	{"listen", KIND_BIND, F(conf_prometheus, listen), .def = "127.0.0.1:9145",
	 .help = "where the exporter serves /metrics"},
};
static const struct object prometheus_object = {"prometheus", sizeof(struct conf_prometheus),
						OBJECT(prometheus_fields)};
static const struct field telemetry_fields[] = {
	{"prometheus", KIND_OBJECT, F(conf_telemetry, prometheus), .object = &prometheus_object},
};
static const struct object telemetry_object = {"telemetry", sizeof(struct conf_telemetry),
					       OBJECT(telemetry_fields)};

static const struct field log_fields[] = {
	{"level", KIND_WORD, F(conf_log, level), .def = "warning", .words = conf_log_levels,
	 .help = "info logs each request"},
	{"file", KIND_TEXT, F(conf_log, file), .max = 4096, .help = "none: standard error"},
};
static const struct object log_object = {"log", sizeof(struct conf_log), OBJECT(log_fields)};

static const struct field limit_use_fields[] = {
	{"limit", KIND_NAME, F(conf_limit_use, limit), .flags = FIELD_REQUIRED, .help = "of rate_limits"},
	{"cost", KIND_NUMBER, F(conf_limit_use, cost), .min = 1, .max = 1000000, .def = "1",
	 .help = "how many one request counts for"},
};
const struct object conf_limit_use_object = {"rate_limit", sizeof(struct conf_limit_use),
					     OBJECT(limit_use_fields), .shorthand = "limit"};

static const char *const limit_actions[] = {[LIMIT_REJECT] = "reject",
					    [LIMIT_DELAY] = "delay",
					    [LIMIT_TAG] = "tag",
					    [LIMIT_SHADOW] = "shadow",
					    NULL};
static const char *const limit_full_words[] = {"refuse", "pass", NULL};
static const char *const escalate_words[] = {"refuse", "drop", NULL};
static const struct field escalate_fields[] = {
	{"after", KIND_NUMBER, F(conf_escalate, after), .flags = FIELD_REQUIRED, .min = 1, .max = 1000000,
	 .help = "refusals"},
	{"within", KIND_TIME, F(conf_escalate, within), .flags = FIELD_REQUIRED, .min = SECOND / 1000,
	 .max = 86400 * SECOND, .help = "in this time"},
	{"block", KIND_TIME, F(conf_escalate, block), .flags = FIELD_REQUIRED, .min = SECOND / 1000,
	 .max = 30 * 86400 * SECOND, .help = "how long the key is answered 403 then"},
	{"how", KIND_WORD, F(conf_escalate, how), .def = "refuse", .words = escalate_words,
	 .help = "refuse: 403; drop: its address goes onto the deny list, too (key: client_ip)"},
};
static const struct object escalate_object = {"escalate", sizeof(struct conf_escalate),
					      OBJECT(escalate_fields)};
static const struct field limit_fields[] = {
	{"key", KIND_LIST, KIND_TEXT, F(conf_limit, key), .flags = FIELD_REQUIRED | FIELD_ONE, .min = 1,
	 .max = SNAP_LIMIT_PARTS_MAX,
	 .help = "client_ip, header:NAME, cookie:NAME, query:NAME, path:CAPTURE, route, listener, constant; "
		 "several make one key together"},
	{"ipv4_prefix", KIND_NUMBER, F(conf_limit, ipv4_prefix), .min = 1, .max = 32, .def = "32",
	 .help = "bits of an IPv4 client_ip that count"},
	{"ipv6_prefix", KIND_NUMBER, F(conf_limit, ipv6_prefix), .min = 1, .max = 128, .def = "64",
	 .help = "bits of an IPv6 client_ip that count"},
	{"rate", KIND_TEXT, F(conf_limit, rate), .flags = FIELD_REQUIRED, .min = 1, .max = 32,
	 .help = "\"100/min\": requests in a second, minute, hour or day (s, min, h, day)"},
	{"burst", KIND_NUMBER, F(conf_limit, burst), .min = 1, .max = 1000000000,
	 .help = "requests at once after a pause; none: as many as the rate names"},
	{"action", KIND_WORD, F(conf_limit, action), .def = "reject", .words = limit_actions,
	 .help = "beyond the limit: reject answers 429, delay waits, tag adds a header, shadow only counts"},
	{"delay", KIND_TIME, F(conf_limit, delay), .min = SECOND / 1000, .max = 300 * SECOND, .def = "1s",
	 .help = "action delay: longest wait; what would wait longer is refused"},
	{"header", KIND_TEXT, F(conf_limit, header), .min = 1, .max = 63, .def = "X-RateLimit-Exceeded",
	 .help = "action tag: field that the upstream gets, with the limit's name"},
	{"escalate", KIND_OBJECT, F(conf_limit, escalate), .object = &escalate_object,
	 .help = "a key that is refused so often is blocked for a time"},
	{"when_full", KIND_WORD, F(conf_limit, when_full), .def = "refuse", .words = limit_full_words,
	 .help = "a new key for which the table has no place"},
};
static const struct object limit_object = {"rate_limits", sizeof(struct conf_limit), OBJECT(limit_fields)};

static const struct field page_fields[] = {
	{"status", KIND_LIST, KIND_TEXT, F(conf_page, status), .flags = FIELD_REQUIRED | FIELD_ONE, .min = 1,
	 .max = 16, .help = "404, or 4xx and 5xx"},
	{"content_type", KIND_TEXT, F(conf_page, content_type), .min = 1, .max = 256,
	 .def = "text/html; charset=utf-8"},
	{"body", KIND_TEXT, F(conf_page, body), .flags = FIELD_REQUIRED, .max = SNAP_PAGE_MAX,
	 .help = "with ${status}, ${reason}, ${error}, ${message} and ${request_id}"},
};
static const struct object page_object = {"error_pages", sizeof(struct conf_page), OBJECT(page_fields)};

static const char *const dots_words[] = {[PATH_KEEP] = "reject", [PATH_NORMALISE] = "resolve", NULL};
static const char *const slashes_words[] = {
	[PATH_KEEP] = "keep", [PATH_NORMALISE] = "merge", [PATH_REJECT] = "reject", NULL};
static const char *const encoded_words[] = {
	[PATH_KEEP] = "keep", [PATH_NORMALISE] = "decode", [PATH_REJECT] = "reject", NULL};
static const struct field path_fields[] = {
	{"dot_segments", KIND_WORD, F(conf_path, dot_segments), .def = "reject", .words = dots_words,
	 .help = "segments \".\" and \"..\", plain or encoded: 400, or resolved (RFC 3986 5.2.4)"},
	{"slashes", KIND_WORD, F(conf_path, slashes), .def = "keep", .words = slashes_words,
	 .help = "that follow one another"},
	{"unreserved", KIND_WORD, F(conf_path, unreserved), .def = "decode", .words = encoded_words,
	 .help = "letters, digits, '-', '.', '_' and '~' that are percent-encoded"},
	{"encoded_slash", KIND_WORD, F(conf_path, encoded_slash), .def = "keep", .words = encoded_words,
	 .help = "%2F; decode: it is a slash"},
	{"encoded_backslash", KIND_WORD, F(conf_path, encoded_backslash), .def = "keep", .words = encoded_words,
	 .help = "%5C; decode: it is a slash, too"},
};
static const struct object path_object = {"path_policy", sizeof(struct conf_path), OBJECT(path_fields)};

static const char *const client_from_words[] = {
	[CLIENT_FROM_X_FORWARDED_FOR] = "x_forwarded_for", [CLIENT_FROM_FORWARDED] = "forwarded", NULL};
static const char *const proxy_words[] = {[PROXY_PROTOCOL_OFF] = "off",
					  [PROXY_PROTOCOL_ACCEPT] = "accept",
					  [PROXY_PROTOCOL_REQUIRE] = "require",
					  NULL};
static const char *const proxy_versions[] = {"off", "v1", "v2", NULL};
static const char *const forwarded_words[] = {
	[FORWARDED_FOR] = "for",   [FORWARDED_PROTO] = "proto",     [FORWARDED_HOST] = "host",
	[FORWARDED_PORT] = "port", [FORWARDED_RFC7239] = "rfc7239", NULL};
static const struct field listener_fields[] = {
	{"name", KIND_NAME, F(conf_listener, name), .flags = FIELD_REQUIRED},
	{"port", KIND_NAME, F(conf_listener, port),
	 .help = "network port; may be left out where there is only one"},
	{"bind", KIND_BIND, F(conf_listener, bind), .flags = FIELD_REQUIRED,
	 .help = "\":80\" for every address of the port, or \"address:80\""},
	{"head_timeout", KIND_TIME, F(conf_listener, head_timeout), .min = SECOND / 1000, .max = 3600 * SECOND,
	 .def = "10s", .help = "for a whole request head"},
	{"idle_timeout", KIND_TIME, F(conf_listener, idle_timeout), .min = SECOND / 1000, .max = 86400 * SECOND,
	 .def = "60s", .help = "between requests"},
	{"body_timeout", KIND_TIME, F(conf_listener, body_timeout), .min = SECOND / 1000, .max = 86400 * SECOND,
	 .help = "without a byte of a request's body; as idle_timeout when not given"},
	{"response_idle", KIND_TIME, F(conf_listener, response_idle), .min = SECOND / 1000,
	 .max = 86400 * SECOND,
	 .help = "in which nothing of an answer's body moves; as idle_timeout when not given"},
	{"min_body_rate", KIND_RATE, F(conf_listener, min_body_rate), .min = 0, .max = 1u << 30, .def = "0B/s",
	 .help = "of a request's body on average, once rate_grace is over; 0B/s: no bound"},
	{"min_read_rate", KIND_RATE, F(conf_listener, min_read_rate), .min = 0, .max = 1u << 30, .def = "0B/s",
	 .help = "at which a client must take what there is of its answer, in each rate_grace; 0B/s: no bound"},
	{"rate_grace", KIND_TIME, F(conf_listener, rate_grace), .min = SECOND / 1000, .max = 3600 * SECOND,
	 .def = "10s"},
	{"max_head", KIND_SIZE, F(conf_listener, max_head), .min = 256, .max = SNAP_HEAD_MAX, .def = "16KiB",
	 .help = "of request line and header fields"},
	{"max_requests", KIND_NUMBER, F(conf_listener, max_requests), .min = 0, .max = UINT32_MAX, .def = "0",
	 .help = "on one connection; 0: no bound"},
	{"congestion", KIND_WORD, F(conf_listener, congestion), .def = "default", .words = congestion_words,
	 .help = "control of its connections; default: system.tcp's"},
	{"ecn", KIND_WORD, F(conf_listener, ecn), .def = "default", .words = ecn_words,
	 .help = "default: system.tcp's"},
	{"syn_cookies", KIND_WORD, F(conf_listener, syn_cookies), .def = "pressure", .words = cookies_words,
	 .help = "answer SYNs without keeping anything: pressure: when half-open connections run short"},
	{"max_connections_per_address", KIND_NUMBER, F(conf_listener, max_per_address), .min = 0,
	 .max = 1u << 24, .def = "0",
	 .help = "at a time, of one client; shared evenly between workers; 0: no bound"},
	{"client_prefix6", KIND_NUMBER, F(conf_listener, client_prefix6), .min = 16, .max = 128, .def = "64",
	 .help = "bits of an IPv6 address that make one client"},
	{"accepts_per_second", KIND_NUMBER, F(conf_listener, accept_rate), .min = 0, .max = SNAP_ACCEPT_MAX,
	 .def = "0", .help = "new connections; shared evenly between workers; 0: no bound"},
	{"accept_burst", KIND_NUMBER, F(conf_listener, accept_burst), .min = 1, .max = SNAP_ACCEPT_MAX,
	 .help = "new connections at once; as many as in a second when not given"},
	{"refuse", KIND_WORD, F(conf_listener, refuse), .def = "drop", .words = refuse_words,
	 .help = "clients beyond these limits: drop: ignored, they try again later; reset: told at once"},
	{"rate_limit", KIND_LIST, KIND_OBJECT, F(conf_listener, rate_limit), .flags = FIELD_ONE, .min = 1,
	 .max = SNAP_LIMIT_USES_MAX, .object = &conf_limit_use_object,
	 .help = "limits of all requests through this listener, beside those of their route"},
	{"max_in_flight", KIND_NUMBER, F(conf_listener, max_in_flight), .min = 0, .max = CREDITS_MAX,
	 .def = "0",
	 .help = "requests at a time, over all workers, tunnels among them; beyond it 503; 0: no bound"},
	{"max_request_line", KIND_SIZE, F(conf_listener, max_request_line), .min = 64, .max = SNAP_HEAD_MAX,
	 .def = "8KiB", .help = "longer ones are answered with 414"},
	{"max_uri", KIND_SIZE, F(conf_listener, max_uri), .min = 32, .max = SNAP_HEAD_MAX, .def = "8000B",
	 .help = "of a request target; longer ones are answered with 414"},
	{"max_fields", KIND_NUMBER, F(conf_listener, max_fields), .min = 1, .max = SNAP_FIELDS_MAX,
	 .def = "100", .help = "header fields of a request"},
	{"max_body", KIND_SIZE, F(conf_listener, max_body), .min = 0, .max = INT64_MAX, .def = "0B",
	 .help = "of a request's body, beyond it 413; 0: no bound"},
	{"lenient_lf", KIND_WORD, F(conf_listener, lenient_lf), .def = "false", .words = conf_booleans,
	 .help = "a lone LF ends a line of a request's head"},
	{"error_pages", KIND_LIST, KIND_OBJECT, F(conf_listener, error_pages), .flags = FIELD_ONE, .max = 16,
	 .object = &page_object, .help = "in the place of JSON, where the route has none"},
	{"path_policy", KIND_OBJECT, F(conf_listener, path_policy), .object = &path_object,
	 .help = "what becomes of a path before it is matched; what is matched is what is forwarded"},
	{"proxy_protocol", KIND_WORD, F(conf_listener, proxy_protocol), .def = "off", .words = proxy_words,
	 .help = "header of the PROXY protocol (version 1 or 2) in front of the first request: require: a "
		 "connection "
		 "without one is closed; accept: from trusted_proxies, which may send one or none"},
	{"trusted_proxies", KIND_LIST, KIND_PREFIX, F(conf_listener, trusted_proxies), .flags = FIELD_ONE,
	 .min = 1, .max = SNAP_TRUSTED_MAX,
	 .help = "networks of proxies that are believed what they say of the client; what others say is "
		 "replaced"},
	{"client_address", KIND_WORD, F(conf_listener, client_from), .def = "x_forwarded_for",
	 .words = client_from_words,
	 .help = "field of a trusted proxy that names the client; what the other one says is replaced"},
	{"forwarded_headers", KIND_LIST, KIND_WORD, F(conf_listener, forwarded_headers), .flags = FIELD_ONE,
	 .max = FORWARDED_FIELDS, .words = forwarded_words,
	 .help = "what upstreams are told of the client: X-Forwarded-For, -Proto, -Host, -Port, and Forwarded "
		 "(RFC 7239); [for, proto] when not given"},
};
static const struct object listener_object = {"listeners", sizeof(struct conf_listener),
					      OBJECT(listener_fields)};

static const char *const presence_words[] = {"present", "absent", NULL};
static const struct field condition_fields[] = {
	{"name", KIND_TEXT, F(conf_condition, name), .flags = FIELD_REQUIRED, .min = 1, .max = 256},
	{"equal", KIND_TEXT, F(conf_condition, equal), .max = 4096, .help = "its whole value"},
	{"prefix", KIND_TEXT, F(conf_condition, prefix), .min = 1, .max = 4096,
	 .help = "what its value begins with"},
	{"regex", KIND_TEXT, F(conf_condition, regex), .min = 1, .max = SNAP_REGEX_MAX,
	 .help = "a regular expression (PCRE2) that its value matches somewhere; ^ and $ anchor it"},
	{"is", KIND_WORD, F(conf_condition, is), .words = presence_words,
	 .help = "whether it is there; with a name alone: present"},
};
static const struct object condition_object = {"condition", sizeof(struct conf_condition),
					       OBJECT(condition_fields), .shorthand = "name"};

static const struct field match_fields[] = {
	{"host", KIND_TEXT, F(conf_match, host), .min = 1, .max = 255,
	 .help = "\"api.example.com\", \"*.example.com\"; none: every host"},
	{"path", KIND_TEXT, F(conf_match, path), .min = 1, .max = 2048,
	 .help = "the whole path; {name} stands for one segment, {name...} at the end for all that follows"},
	{"prefix", KIND_TEXT, F(conf_match, prefix), .min = 1, .max = 2048,
	 .help = "this path and all below it; {name} stands for one segment"},
	{"methods", KIND_LIST, KIND_WORD, F(conf_match, methods), .flags = FIELD_ONE, .min = 1, .max = 16,
	 .words = conf_methods, .help = "none: all; GET takes HEAD too"},
	{"listeners", KIND_LIST, KIND_NAME, F(conf_match, listeners), .flags = FIELD_ONE, .min = 1,
	 .max = SNAP_VALUES_MAX, .help = "that the connection came to"},
	{"clients", KIND_LIST, KIND_PREFIX, F(conf_match, clients), .flags = FIELD_ONE, .min = 1,
	 .max = SNAP_VALUES_MAX, .help = "networks of which the client's address is"},
	{"headers", KIND_LIST, KIND_OBJECT, F(conf_match, headers), .flags = FIELD_ONE, .max = 24,
	 .object = &condition_object, .help = "all must hold; of several fields of a name one is enough"},
	{"query", KIND_LIST, KIND_OBJECT, F(conf_match, query), .flags = FIELD_ONE, .max = 24,
	 .object = &condition_object, .help = "parameters of the query, percent-decoded"},
	{"cookies", KIND_LIST, KIND_OBJECT, F(conf_match, cookies), .flags = FIELD_ONE, .max = 24,
	 .object = &condition_object},
	{"accept", KIND_LIST, KIND_TEXT, F(conf_match, accept), .flags = FIELD_ONE, .min = 1, .max = 16,
	 .help = "media types that are served; of routes that differ in it, Accept decides (RFC 9110)"},
	{"language", KIND_LIST, KIND_TEXT, F(conf_match, language), .flags = FIELD_ONE, .min = 1, .max = 16,
	 .help = "languages that are served; of routes that differ in it, Accept-Language decides"},
	{"version", KIND_TEXT, F(conf_match, version), .min = 3, .max = 127,
	 .help = "API/VERSION that the request asks for by header or media type, or gets by default"},
};
static const struct object match_object = {"match", sizeof(struct conf_match), OBJECT(match_fields)};

static const struct field target_fields[] = {
	{"upstream", KIND_NAME, F(conf_target, upstream), .flags = FIELD_REQUIRED},
	{"weight", KIND_NUMBER, F(conf_target, weight), .min = 0, .max = 65535, .def = "1",
	 .help = "its part of the route's requests"},
};
static const struct object target_object = {"to", sizeof(struct conf_target), OBJECT(target_fields),
					    .shorthand = "upstream"};

static const struct field respond_fields[] = {
	{"status", KIND_NUMBER, F(conf_respond, status), .min = 200, .max = 599, .def = "200"},
	{"content_type", KIND_TEXT, F(conf_respond, content_type), .min = 1, .max = 256,
	 .def = "text/plain; charset=utf-8"},
	{"body", KIND_TEXT, F(conf_respond, body), .max = SNAP_BODY_MAX},
};
static const struct object respond_object = {"respond", sizeof(struct conf_respond), OBJECT(respond_fields)};

static const struct field redirect_fields[] = {
	{"status", KIND_NUMBER, F(conf_redirect, status), .min = 301, .max = 308, .def = "302",
	 .help = "301, 302, 303, 307 or 308"},
	{"location", KIND_TEXT, F(conf_redirect, location), .flags = FIELD_REQUIRED, .min = 1, .max = 2048,
	 .help = "may have variables: \"https://new.example.com${path}\""},
};
static const struct object redirect_object = {"redirect", sizeof(struct conf_redirect),
					      OBJECT(redirect_fields)};

static const char *const upgrade_words[] = {[UPGRADE_WEBSOCKET] = "websocket", NULL};
static const char *const sticky_words[] = {"cookie", "header", "client_ip", NULL};
static const struct field sticky_fields[] = {
	{"by", KIND_WORD, F(conf_sticky, by), .flags = FIELD_REQUIRED, .words = sticky_words,
	 .help = "cookie: one that names the endpoint, set by the gateway; header, client_ip: a hash of it"},
	{"name", KIND_TEXT, F(conf_sticky, name), .min = 1, .max = SNAP_NAME_MAX,
	 .help = "of the cookie (none: cg-endpoint) or header"},
	{"age", KIND_TIME, F(conf_sticky, age), .min = 0, .max = 400 * 86400 * SECOND, .def = "0s",
	 .help = "how long browsers keep the cookie; 0s: as long as they run"},
	{"secure", KIND_WORD, F(conf_sticky, secure), .def = "false", .words = conf_booleans,
	 .help = "the cookie is for https alone"},
};
static const struct object sticky_object = {"sticky", sizeof(struct conf_sticky), OBJECT(sticky_fields),
					    .shorthand = "by"};

static const char *const trailers_words[] = {
	[TRAILERS_DROP] = "drop", [TRAILERS_PASS] = "pass", [TRAILERS_ACCEPTED] = "accepted", NULL};
static const char *const trailers_request_words[] = {[TRAILERS_DROP] = "drop", [TRAILERS_PASS] = "pass", NULL};
static const struct field trailers_fields[] = {
	{"request", KIND_WORD, F(conf_trailers, request), .def = "drop", .words = trailers_request_words,
	 .help = "pass: upstreams get those of requests"},
	{"response", KIND_WORD, F(conf_trailers, response), .def = "accepted", .words = trailers_words,
	 .help = "accepted: clients that say TE: trailers get those of answers; pass: all of HTTP/1.1 do"},
};
static const struct object trailers_object = {"trailers", sizeof(struct conf_trailers),
					      OBJECT(trailers_fields)};

static const struct field rewrite_fields[] = {
	{"path", KIND_TEXT, F(conf_rewrite, path), .min = 1, .max = 2048,
	 .help = "with variables, such as \"/new/${path.id}\"; without a '?' the request's query stays"},
	{"prefix", KIND_TEXT, F(conf_rewrite, prefix), .min = 1, .max = 2048,
	 .help = "in place of match.prefix, what follows it stays"},
	{"host", KIND_TEXT, F(conf_rewrite, host), .min = 1, .max = 255},
};
static const struct object rewrite_object = {"rewrite", sizeof(struct conf_rewrite), OBJECT(rewrite_fields)};

static const struct field route_fields[] = {
	{"name", KIND_NAME, F(conf_route, name), .flags = FIELD_REQUIRED},
	{"match", KIND_OBJECT, F(conf_route, match), .object = &match_object, .help = "none: every request"},
	{"to", KIND_LIST, KIND_OBJECT, F(conf_route, to), .flags = FIELD_ONE, .min = 1, .max = 64,
	 .object = &target_object, .help = "upstreams that serve the route"},
	{"respond", KIND_OBJECT, F(conf_route, respond), .object = &respond_object,
	 .help = "an answer of the gateway's own"},
	{"redirect", KIND_OBJECT, F(conf_route, redirect), .object = &redirect_object},
	{"sticky", KIND_OBJECT, F(conf_route, sticky), .object = &sticky_object,
	 .help = "requests of one client go to one target and endpoint, while it is usable"},
	{"trailers", KIND_OBJECT, F(conf_route, trailers), .object = &trailers_object,
	 .help = "fields behind a chunked body, but those that say how a message is framed, routed or read"},
	{"rewrite", KIND_OBJECT, F(conf_route, rewrite), .object = &rewrite_object,
	 .help = "what upstreams get in place of the request's path and host"},
	{"timeout", KIND_TIME, F(conf_route, timeout), .min = 0, .max = 86400 * SECOND, .def = "0s",
	 .help = "the whole request, from its first byte to the answer's last; 0s: none"},
	{"per_try", KIND_TIME, F(conf_route, per_try), .min = 0, .max = 86400 * SECOND, .def = "60s",
	 .help = "one attempt, from the end of the request to the response head; 0s: none, or an hour where "
		 "timeout is "
		 "0s, too: every request ends"},
	{"attempts", KIND_NUMBER, F(conf_route, attempts), .min = 1, .max = 8, .def = "3",
	 .help = "at most; again only where no byte was sent"},
	{"max_in_flight", KIND_NUMBER, F(conf_route, max_in_flight), .min = 0, .max = CREDITS_MAX, .def = "0",
	 .help = "requests at a time, over all workers, tunnels among them; beyond it 503; 0: no bound"},
	{"upgrade", KIND_LIST, KIND_WORD, F(conf_route, upgrade), .flags = FIELD_ONE, .min = 1, .max = 4,
	 .words = upgrade_words, .help = "protocols that a request may switch to"},
	{"connect", KIND_WORD, F(conf_route, connect), .def = "false", .words = conf_booleans,
	 .help = "CONNECT opens a tunnel to an endpoint: the one named, or one of the named port"},
	{"tunnel_idle", KIND_TIME, F(conf_route, tunnel_idle), .min = 0, .max = 7 * 86400 * SECOND, .def = "5m",
	 .help = "a tunnel ends after this time without a byte either way; 0s: never"},
	{"api_version", KIND_TEXT, F(conf_route, api_version), .min = 3, .max = 127,
	 .help = "API/VERSION that answers are of, where the path and not match.version names it"},
	{"error_pages", KIND_LIST, KIND_OBJECT, F(conf_route, error_pages), .flags = FIELD_ONE, .max = 16,
	 .object = &page_object, .help = "in the place of JSON, for the gateway's own errors"},
	{"path_policy", KIND_OBJECT, F(conf_route, path_policy), .object = &path_object,
	 .help = "what becomes of a path that the listener's policy has left; the route must match the result, "
		 "too"},
	{"list_versions", KIND_NAME, F(conf_route, list_versions),
	 .help = "answers with the versions of this API, as JSON"},
};
static const struct object *const route_parts[] = {
#define STAGE(name, hooks, help) &name##_keys,
#include "contract/stages.def"
#undef STAGE
};
static const struct object route_object = {
	"routes",
	sizeof(struct conf_route),
	OBJECT(route_fields),
	.parts = route_parts,
	.n_parts = sizeof(route_parts) / sizeof(route_parts[0]),
	.parts_offset = offsetof(struct conf_route, stage),
};

static const struct field endpoint_fields[] = {
	{"address", KIND_TCP, F(conf_endpoint, address), .flags = FIELD_REQUIRED, .help = "\"address:port\""},
	{"weight", KIND_NUMBER, F(conf_endpoint, weight), .min = 1, .max = 65535, .def = "1"},
};
static const struct object endpoint_object = {"endpoints", sizeof(struct conf_endpoint),
					      OBJECT(endpoint_fields), .shorthand = "address"};

static const struct field pool_fields[] = {
	{"max_connections", KIND_NUMBER, F(conf_pool, max_connections), .min = 0, .max = UINT32_MAX,
	 .def = "1024", .help = "to each endpoint; 0: no bound"},
	{"max_pending", KIND_NUMBER, F(conf_pool, max_pending), .min = 0, .max = UINT32_MAX, .def = "16384",
	 .help = "requests that wait for a connection"},
	{"idle", KIND_TIME, F(conf_pool, idle), .min = 0, .max = 86400 * SECOND, .def = "60s",
	 .help = "how long an unused connection is kept"},
	{"keepalive", KIND_TIME, F(conf_pool, keepalive), .max = 3600 * SECOND, .def = "10s",
	 .help = "unused for so long it is probed, and ended when three probes, a quarter of it apart, find no "
		 "answer; 0s: it is not"},
};
static const struct object pool_object = {"pool", sizeof(struct conf_pool), OBJECT(pool_fields)};

static const struct field down_fields[] = {
	{"after", KIND_NUMBER, F(conf_down, after), .min = 0, .max = 1000, .def = "3",
	 .help = "connect failures in a row that mark an endpoint down; 0: never"},
	{"for", KIND_TIME, F(conf_down, time), .min = SECOND / 1000, .max = 86400 * SECOND, .def = "10s",
	 .help = "until it is tried again"},
};
static const struct object down_object = {"down", sizeof(struct conf_down), OBJECT(down_fields)};

static const struct field upstream_fields[] = {
	{"name", KIND_NAME, F(conf_upstream, name), .flags = FIELD_REQUIRED},
	{"port", KIND_NAME, F(conf_upstream, port),
	 .help = "network port; may be left out where there is only one"},
	{"endpoints", KIND_LIST, KIND_OBJECT, F(conf_upstream, endpoints), .flags = FIELD_REQUIRED | FIELD_ONE,
	 .max = 4096, .object = &endpoint_object},
	{"balance", KIND_WORD, F(conf_upstream, balance), .def = "round_robin", .words = balance_words},
	{"connect_timeout", KIND_TIME, F(conf_upstream, connect_timeout), .min = SECOND / 1000,
	 .max = 300 * SECOND, .def = "3s"},
	{"congestion", KIND_WORD, F(conf_upstream, congestion), .def = "default", .words = congestion_words,
	 .help = "control of its connections; default: system.tcp's"},
	{"ecn", KIND_WORD, F(conf_upstream, ecn), .def = "default", .words = ecn_words,
	 .help = "default: system.tcp's"},
	{"proxy_protocol", KIND_WORD, F(conf_upstream, proxy_protocol), .def = "off", .words = proxy_versions,
	 .help = "its connections begin with a header that names the client, and serve one request each"},
	{"pool", KIND_OBJECT, F(conf_upstream, pool), .object = &pool_object},
	{"down", KIND_OBJECT, F(conf_upstream, down), .object = &down_object},
};
static const struct object upstream_object = {"upstreams", sizeof(struct conf_upstream),
					      OBJECT(upstream_fields)};

static const char *const status_words[] = {
	[VERSION_STABLE] = "stable", [VERSION_BETA] = "beta", [VERSION_DEPRECATED] = "deprecated", NULL};
static const struct field version_fields[] = {
	{"name", KIND_NAME, F(conf_version, name), .flags = FIELD_REQUIRED},
	{"status", KIND_WORD, F(conf_version, status), .def = "stable", .words = status_words},
	{"deprecated", KIND_TEXT, F(conf_version, deprecated), .min = 10, .max = 10,
	 .help = "since this day (UTC): 2026-01-31; Deprecation says so (RFC 9745)"},
	{"sunset", KIND_TEXT, F(conf_version, sunset), .min = 10, .max = 10,
	 .help = "until this day (UTC): 2026-12-31; Sunset says so (RFC 8594)"},
	{"link", KIND_TEXT, F(conf_version, link), .min = 1, .max = 1024,
	 .help = "of the migration guide, for Link"},
};
static const struct object version_object = {"versions", sizeof(struct conf_version), OBJECT(version_fields),
					     .shorthand = "name"};
static const struct field api_fields[] = {
	{"name", KIND_NAME, F(conf_api, name), .flags = FIELD_REQUIRED},
	{"header", KIND_TEXT, F(conf_api, header), .min = 1, .max = SNAP_NAME_MAX,
	 .help = "field of a request that names a version"},
	{"media_type", KIND_TEXT, F(conf_api, media_type), .min = 1, .max = 256,
	 .help = "media type in Accept that names a version: \"application/vnd.x.{version}+json\""},
	{"default", KIND_NAME, F(conf_api, otherwise), .flags = FIELD_REQUIRED,
	 .help = "version where a request names none"},
	{"versions", KIND_LIST, KIND_OBJECT, F(conf_api, versions), .flags = FIELD_REQUIRED, .min = 1,
	 .max = 64, .object = &version_object},
};
static const struct object api_object = {"apis", sizeof(struct conf_api), OBJECT(api_fields)};

static const struct field addresses_fields[] = {
	{"files", KIND_LIST, KIND_TEXT, F(conf_addresses, files), .flags = FIELD_ONE, .max = 64,
	 .help = "files with an address or a prefix in each line; read again with each reload"},
	{"addresses", KIND_LIST, KIND_TEXT, F(conf_addresses, addresses), .flags = FIELD_ONE, .max = 65536,
	 .help = "addresses and prefixes"},
};
static const struct object deny_object = {"deny", sizeof(struct conf_addresses), OBJECT(addresses_fields)};
static const struct object allow_object = {"allow", sizeof(struct conf_addresses), OBJECT(addresses_fields)};

static const struct field root_fields[] = {
	{"version", KIND_NUMBER, F(conf_root, version), .flags = FIELD_REQUIRED, .min = 1, .max = 1,
	 .help = "of this format: 1"},
	{"include", KIND_LIST, KIND_TEXT, F(conf_root, include), .flags = FIELD_ONE,
	 .help = "files whose lists are added behind this file's"},
	{"system", KIND_OBJECT, F(conf_root, system), .flags = FIELD_REQUIRED, .object = &system_object,
	 .help = "what is fixed for the data plane's life"},
	{"control", KIND_LIST, KIND_OBJECT, F(conf_root, control), .max = 16, .object = &socket_object,
	 .help = "control sockets; none given: admin.sock in the instance's directory"},
	{"telemetry", KIND_OBJECT, F(conf_root, telemetry), .object = &telemetry_object},
	{"log", KIND_OBJECT, F(conf_root, log), .object = &log_object},
	{"apis", KIND_LIST, KIND_OBJECT, F(conf_root, apis), .max = SNAP_APIS_MAX, .object = &api_object,
	 .help = "APIs with versions"},
	{"deny", KIND_OBJECT, F(conf_root, deny), .object = &deny_object,
	 .help = "clients whose packets are dropped without an answer"},
	{"allow", KIND_OBJECT, F(conf_root, allow), .object = &allow_object,
	 .help = "clients that are never denied, whatever else denies them"},
	{"rate_limits", KIND_NAMED, F(conf_root, rate_limits), .max = SNAP_LIMITS_MAX, .object = &limit_object,
	 .help = "limits by name, for rate_limit of listeners and routes"},
	{"listeners", KIND_LIST, KIND_OBJECT, F(conf_root, listeners), .max = 1024, .object = &listener_object},
	{"routes", KIND_LIST, KIND_OBJECT, F(conf_root, routes), .max = 1u << 20, .object = &route_object,
	 .help = "the first one that matches takes the request"},
	{"upstreams", KIND_LIST, KIND_OBJECT, F(conf_root, upstreams), .max = 65535,
	 .object = &upstream_object},
};
const struct object conf_schema = {"the configuration", sizeof(struct conf_root), OBJECT(root_fields)};

struct inclusion {
	const struct inclusion *by;
	const char *path; // real path: a file that includes itself is found
};

static void text_add(struct config *c, const char *text, size_t n)
{
	char *p = realloc(c->text, c->text_size + n + 1);

	if (!p)
		return;
	memcpy(p + c->text_size, text, n);
	c->text = p;
	c->text_size += n;
	p[c->text_size] = '\0';
}

static void include_all(struct config *c, struct node *root, const char *path, const struct inclusion *by,
			unsigned depth);

// Lists grow behind what is there; anything else may be given once, in whichever file.
static void merge(struct config *c, struct node *into, const struct node *from)
{
	if (from->kind != NODE_MAP) {
		diag_error(&c->diag, from->mark, "an included file: %s where a map is expected",
			   node_kind_name(from));
		return;
	}
	for (uint32_t i = 0; i < from->n; i++) {
		const char *key = from->key[i].text;
		struct node *have = node_find(into, key);

		if (strcmp(key, "version") == 0 || strcmp(key, "include") == 0)
			continue;
		if (have && have->kind == NODE_LIST && from->item[i]->kind == NODE_LIST) {
			// Copied first: the list may be shared with an alias.
			struct node *sum = memory_take(&c->memory, sizeof(*sum));
			uint32_t n = have->n + from->item[i]->n;

			*sum = *have;
			sum->item = memory_take(&c->memory, sizeof(*sum->item) * (n ? n : 1));
			for (uint32_t k = 0; k < n; k++)
				sum->item[k] = k < have->n ? have->item[k] : from->item[i]->item[k - have->n];
			sum->n = n;
			for (uint32_t k = 0; k < into->n; k++)
				if (into->item[k] == have)
					into->item[k] = sum;
		} else if (have) {
			diag_error(&c->diag, from->key[i].mark, "key \"%s\" stands in %s too (line %u)", key,
				   c->diag.files[have->mark.file], have->mark.line);
		} else {
			into->key = memory_grow(&c->memory, into->key, into->n, sizeof(*into->key));
			into->item = memory_grow(&c->memory, into->item, into->n, sizeof(*into->item));
			into->key[into->n] = from->key[i];
			into->item[into->n++] = from->item[i];
		}
	}
}

static void include_one(struct config *c, struct node *root, const struct node *name, const char *from,
			const struct inclusion *by, unsigned depth)
{
	const char *slash = strrchr(from, '/');
	char *path, real[PATH_MAX];
	struct inclusion self = {by, real};
	const char *text;
	size_t n;

	if (name->kind != NODE_SCALAR || name->length == 0) {
		diag_error(&c->diag, name->mark, "include: %s where a file's name is expected",
			   node_kind_name(name));
		return;
	}
	path = name->text[0] == '/' || !slash
		       ? memory_text(&c->memory, name->text, name->length)
		       : memory_print(&c->memory, "%.*s/%s", (int)(slash - from), from, name->text);
	if (realpath(path, real))
		for (const struct inclusion *i = by; i; i = i->by)
			if (strcmp(i->path, real) == 0) {
				diag_error(&c->diag, name->mark, "include: %s includes itself", path);
				return;
			}
	if (depth >= INCLUDE_MAX) {
		diag_error(&c->diag, name->mark, "include: more than %d files deep", INCLUDE_MAX);
		return;
	}
	struct node *part = tree_read(&c->memory, &c->diag, path, name->mark, &text, &n);

	if (!part)
		return;
	char *title = memory_print(&c->memory, "%s# included: %s\n",
				   c->text_size && c->text[c->text_size - 1] != '\n' ? "\n" : "", path);

	text_add(c, title, strlen(title));
	text_add(c, text, n);
	include_all(c, part, path, &self, depth + 1);
	merge(c, root, part);
}

static void include_all(struct config *c, struct node *root, const char *path, const struct inclusion *by,
			unsigned depth)
{
	struct node *list = node_find(root, "include");

	if (!list)
		return;
	if (list->kind != NODE_LIST) {
		include_one(c, root, list, path, by, depth);
		return;
	}
	for (uint32_t i = 0; i < list->n; i++)
		include_one(c, root, list->item[i], path, by, depth);
}

static bool finish(struct config *c, struct node *root, const char *path)
{
	if (root) {
		char real[PATH_MAX];
		struct inclusion self = {NULL, realpath(path, real) ? real : path};

		include_all(c, root, path, &self, 0);
		schema_parse(&c->memory, &c->diag, &conf_schema, root, &c->root);
		check_config(c);
	}
	diag_sort(&c->diag);
	return c->diag.errors == 0;
}

bool config_load(struct config *c, const char *path)
{
	const char *text = "";
	size_t n = 0;
	char *real = realpath(path, NULL);

	*c = (struct config){0};
	// The file is named as it was given in messages, but kept so that a reload finds it from anywhere.
	c->path = memory_text(&c->memory, real ? real : path, strlen(real ? real : path));
	free(real);
	struct node *root = tree_read(&c->memory, &c->diag, path, (struct mark){UINT32_MAX, 0, 0}, &text, &n);

	text_add(c, text, n);
	return finish(c, root, path);
}

bool config_parse(struct config *c, const char *name, const char *text, size_t n)
{
	*c = (struct config){0};
	c->path = memory_text(&c->memory, name, strlen(name));
	text_add(c, text, n);
	return finish(c, tree_parse(&c->memory, &c->diag, name, text, n), name);
}

void config_free(struct config *c)
{
	free(c->text);
	memory_free(&c->memory);
	diag_free(&c->diag);
	*c = (struct config){0};
}
