// A configuration as it was read: one C struct for each object of the file, filled from the tables in config.c.
// Everything lives in the config's own memory; what is wrong stands in its diag.
#pragma once
#include "contract/stages.h"
#include "http/head.h"
#include "schema.h"

enum conf_level { LEVEL_USER, LEVEL_OPERATOR, LEVEL_ADMIN };

struct conf_workers {
	struct object_head head;
	struct number count;
	struct text cores; // "2-5,8"
	struct number idle;
};
struct conf_memory {
	struct object_head head;
	struct number packets, hugepages, rate_limits, addresses;
};
struct conf_limits {
	struct object_head head;
	struct number connections, upstream_reserve, min_mss, compressions;
};
struct conf_netroute {
	struct object_head head;
	struct address to, via;
};
struct conf_port {
	struct object_head head;
	struct text name, device;
	struct list addresses; // struct address
	struct address gateway, gateway6;
	struct list routes; // struct conf_netroute
	struct number vlan, mtu, queues, routers, tso;
};
struct conf_keepalive {
	struct object_head head;
	struct number idle, interval, probes;
};
struct conf_time_wait {
	struct object_head head;
	struct number max, msl;
};
struct conf_tcp {
	struct object_head head;
	struct number congestion, ecn; // enum snap_congestion, enum snap_ecn, less 1
	struct number receive_buffer, send_buffer, user_timeout;
	struct conf_keepalive keepalive;
	struct conf_time_wait time_wait;
};
struct conf_system {
	struct object_head head;
	struct conf_workers workers;
	struct conf_memory memory;
	struct conf_limits limits;
	struct conf_tcp tcp;
	struct list ports; // struct conf_port
};
struct conf_socket {
	struct object_head head;
	struct text socket;
	struct number mode, level;
};
struct conf_prometheus {
	struct object_head head;
	struct address listen;
};
struct conf_telemetry {
	struct object_head head;
	struct conf_prometheus prometheus;
};
struct conf_log {
	struct object_head head;
	struct number level;
	struct text file;
};
struct conf_page {
	struct object_head head;
	struct list status; // struct text: "404", "5xx"
	struct text content_type, body;
};
struct conf_path {
	struct object_head head;
	struct number dot_segments, slashes, unreserved, encoded_slash,
		encoded_backslash; // enum snap_path_action
};
struct conf_listener {
	struct object_head head;
	struct text name, port;
	struct address bind;
	struct number head_timeout, idle_timeout, body_timeout, response_idle, min_body_rate, min_read_rate;
	struct number rate_grace, max_head, max_requests, congestion, ecn;
	struct number syn_cookies, refuse, max_per_address, client_prefix6, accept_rate, accept_burst;
	struct number max_request_line, max_uri, max_fields, max_body, lenient_lf, max_in_flight;
	struct number client_from;     // enum snap_client_from
	struct number proxy_protocol;  // enum snap_proxy_protocol
	struct list trusted_proxies;   // struct address
	struct list forwarded_headers; // struct number, enum snap_forwarded
	struct list error_pages;       // struct conf_page
	struct conf_path path_policy;
	struct list rate_limit; // struct conf_limit_use
	uint32_t port_index;    // set by the check
};
struct conf_match {
	struct object_head head;
	struct text host, path, prefix;
	struct list methods;                 // struct number, index in conf_methods
	struct list listeners;               // struct text
	struct list headers, query, cookies; // struct conf_condition
	struct list clients;                 // struct address
	struct list accept, language;        // struct text
	struct text version;                 // "api/version"
};
struct conf_condition { // of a header field, query parameter or cookie; with a name alone: it is there
	struct object_head head;
	struct text name, equal, prefix, regex;
	struct number is; // 0 present, 1 absent
};
enum conf_version_status { VERSION_STABLE, VERSION_BETA, VERSION_DEPRECATED };
struct conf_version {
	struct object_head head;
	struct text name;
	struct number status; // enum conf_version_status
	struct text deprecated, sunset, link;
};
struct conf_api {
	struct object_head head;
	struct text name, header, media_type, otherwise;
	struct list versions; // struct conf_version
};
struct conf_target {
	struct object_head head;
	struct text upstream;
	struct number weight;
	uint32_t upstream_index; // set by the check
};
struct conf_respond {
	struct object_head head;
	struct number status;
	struct text content_type, body;
};
struct conf_redirect {
	struct object_head head;
	struct number status;
	struct text location;
};
struct conf_sticky {
	struct object_head head;
	struct number by; // enum snap_sticky, less 1
	struct text name;
	struct number age, secure;
};
struct conf_trailers {
	struct object_head head;
	struct number request, response; // enum snap_trailers
};
struct conf_rewrite {
	struct object_head head;
	struct text path, prefix, host;
};
struct conf_route {
	struct object_head head;
	struct text name;
	struct conf_match match;
	struct list to; // struct conf_target
	struct conf_respond respond;
	struct conf_redirect redirect;
	struct conf_rewrite rewrite;
	struct conf_sticky sticky;
	struct conf_trailers trailers;
	struct number timeout, per_try, attempts, connect, tunnel_idle, max_in_flight;
	struct list upgrade; // struct number, enum snap_upgrade
	struct text api_version, list_versions;
	struct list error_pages; // struct conf_page
	struct conf_path path_policy;
	void *stage[STAGE_COUNT]; // as the stages' tables say; each begins with struct object_head
};
struct conf_endpoint {
	struct object_head head;
	struct address address;
	struct number weight;
};
struct conf_pool {
	struct object_head head;
	struct number max_connections, max_pending, idle, keepalive;
};
struct conf_down {
	struct object_head head;
	struct number after, time;
};
struct conf_upstream {
	struct object_head head;
	struct text name, port;
	struct list endpoints; // struct conf_endpoint
	struct number balance, connect_timeout, congestion, ecn, proxy_protocol;
	struct conf_pool pool;
	struct conf_down down;
	uint32_t port_index; // set by the check
};
struct conf_escalate {
	struct object_head head;
	struct number after, within, block, how;
};
struct conf_limit { // a named object: its name stands first
	struct object_head head;
	struct text name;
	struct list key; // struct text: "client_ip", "header:X-User", ...
	struct number ipv4_prefix, ipv6_prefix, burst, action, delay, when_full;
	struct text rate, header;
	struct conf_escalate escalate;
	uint32_t count; // of the rate; these are set by the check
	uint64_t period, interval, most;
};
struct conf_addresses { // denied or allowed
	struct object_head head;
	struct list files;     // struct text
	struct list addresses; // struct text: an address, or a prefix
	struct address *all;   // of both, set by the check; prefix counts IPv4's 96 bits, too
	uint32_t n_all;
};
struct conf_limit_use {
	struct object_head head;
	struct text limit;
	struct number cost;
	uint32_t limit_index; // set by the check
};
struct conf_root {
	struct object_head head;
	struct number version;
	struct list include; // struct text; followed before the tables see the tree
	struct conf_system system;
	struct list control; // struct conf_socket
	struct conf_telemetry telemetry;
	struct conf_log log;
	struct conf_addresses deny, allow;
	struct list apis;        // struct conf_api
	struct list rate_limits; // struct conf_limit
	struct list listeners, routes, upstreams;
};

struct config {
	struct conf_root root;
	struct diag diag;
	struct memory memory;
	const char *path;
	char *text; // of the file, those that it includes behind it
	size_t text_size;
	uint32_t n_workers;
	int32_t cpu[64];
	uint32_t n_endpoints;
};

extern const struct object conf_schema;
extern const char *const conf_methods[]; // that a route can name
extern const char *const conf_booleans[];
extern const char *const conf_levels[];
extern const char *const conf_log_levels[];

// Reads, parses and checks. False when there is any error; warnings alone are fine.
bool config_load(struct config *c, const char *path);
// The same from memory; what it includes is relative to the working directory.
bool config_parse(struct config *c, const char *name, const char *text, size_t n);
void config_free(struct config *c);

extern const struct object conf_limit_use_object;

// What the tables cannot say: references, names that must differ, what excludes what. Called by config_load().
void check_config(struct config *c);
