"""The PROXY protocol: in on a listener, from real senders, and out to real receivers."""
import contextlib
import os
import socket
import struct

from http1 import Conn, head
from lab.space import wait_for
from test_30_routing import ask, own_error

CLIENT = "198.18.0.2"
REQUIRED, ACCEPTED, STRANGERS = 92, 93, 94  # the last one trusts nobody that we are
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HAPROXY = """
global
	maxconn 100
defaults
	mode {mode}
	timeout connect 5s
	timeout client 10s
	timeout server 10s
"""


@contextlib.contextmanager
def server(gw, where, name, text, address, port, *argv):
    """A program with this configuration, until it is not needed any more."""
    folder = os.path.join(gw.space.dir, name)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "conf")
    with open(path, "w", encoding="utf-8") as out:
        out.write(text.format(dir=folder))
    child = gw.space.start(where, *[part.format(dir=folder, conf=path) for part in argv], log=f"{name}.log")

    def listens():
        assert child.poll() is None, gw.log_tail(f"{name}.log")
        with gw.space.inside(where), socket.socket() as probe:
            return probe.connect_ex((address, port)) == 0
    try:
        wait_for(listens, 10, f"{name} to listen")
        yield
    finally:
        gw.space.stop(child)
        gw.space.children.remove(child)


def haproxy(gw, where, name, mode, text, address, port):
    return server(gw, where, name, HAPROXY.format(mode=mode) + text, address, port, "haproxy", "-db", "-f", "{conf}")


def told(answer):
    """X-Forwarded-* as the upstream got them."""
    return {name.lower()[12:]: value for name, value in answer.json()["fields"]
            if name.lower().startswith("x-forwarded-")}


def begin(gw, header, port=REQUIRED):
    conn = Conn(gw.address, port)
    conn.send(header)
    return conn


def v2(src, dst, ports, command=0x21, tlvs=b""):
    ends = socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!HH", *ports)
    return SIGNATURE + bytes([command, 0x11]) + struct.pack("!H", len(ends) + len(tlvs)) + ends + tlvs


def test_haproxy_names_its_client_by_version_1_and_2(gw):
    for number, word in enumerate(("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id")):
        port = 8101 + number
        conf = (f"listen in\n\tbind 127.0.0.1:{port}\n"
                f"\tsource 198.18.0.2\n\tserver gw {gw.address}:{REQUIRED} {word}\n")
        with haproxy(gw, "client", f"haproxy-out-{number}", "tcp", conf, "127.0.0.1", port), \
                gw.space.inside("client"), Conn("127.0.0.1", port) as conn:
            for _ in range(3):  # the header stands in front of the first request alone
                assert told(conn.request("GET", "/echo", "python.test"))["for"] == "127.0.0.1", word


def test_curl_says_a_header_of_version_1(gw):
    status, text = gw.space.call("client", "curl", "-sS", "-m", "10", "--haproxy-protocol", "-H", "Host: python.test",
                                 f"http://{gw.address}:{REQUIRED}/echo")
    assert status == 0 and CLIENT in text, text


def test_the_named_client_is_the_one_that_everything_knows(gw):
    header = b"PROXY TCP4 198.18.77.5 203.0.113.1 4711 8443\r\n"
    with begin(gw, header) as conn:
        for _ in range(2):
            assert told(conn.request("GET", "/echo", "python.test", [("X-Forwarded-For", "192.0.2.101")])) == {
                "for": "198.18.77.5", "proto": "http", "port": "8443"}
            assert conn.request("GET", "/", "asked.test").body == b"client"
        conn.send(head("GET", "/echo", "python.test") * 2)  # pipelined
        assert {told(conn.response())["for"] for _ in range(2)} == {"198.18.77.5"}
    with begin(gw, b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n") as conn:
        assert told(conn.request("GET", "/echo", "python.test"))["for"] == "2001:db8::7"
        own_error(conn.request("GET", "/", "asked.test"), 404)


def test_show_conns_names_the_client_behind_the_connection(gw):
    def clients():
        rows = gw.cgctl("show conns 100000", as_json=True)["conns"]
        assert all(row["client"] == "-" for row in rows if row["side"] == "upstream"), rows
        return {row["client"] for row in rows if row["side"] == "client"}
    with begin(gw, b"PROXY TCP4 198.18.77.5 203.0.113.1 4711 8443\r\n") as conn:
        assert conn.request("GET", "/whoami", "python.test").status == 200
        assert "198.18.77.5" in clients()
        conn.send(head("POST", "/upload", "python.test", [("Content-Length", "5")]) + b"1")
        wait_for(lambda: "198.18.77.5" in clients(), 5, "the client to be named while its request is in work")
        conn.send(b"2345")
        assert conn.response().status == 200
    with Conn(gw.address, 90) as conn:  # trusts the proxies of its network
        conn.send(head("POST", "/upload", "python.test", [("X-Forwarded-For", "192.0.2.81"), ("Content-Length", "5")]))
        wait_for(lambda: "192.0.2.81" in clients(), 5, "the client that a trusted proxy names")
        conn.send(b"12345")
        assert conn.response().status == 200
        wait_for(lambda: "192.0.2.81" not in clients(), 5, "the request to be over")


def test_the_log_says_the_port_that_the_client_has_and_not_its_proxys(gw):
    level = gw.cgctl("show log", as_json=True)["level"]
    gw.cgctl("set log info")
    try:
        with begin(gw, b"PROXY TCP4 198.18.77.5 203.0.113.1 4711 8443\r\n") as conn:
            assert conn.request("GET", "/?of-which-port", "asked.test").status == 200
        wait_for(lambda: "/?of-which-port" in gw.log_tail(lines=200), 5, "a line for the request")
        line = next(line for line in gw.log_tail(lines=200).splitlines() if "/?of-which-port" in line)
        assert " 198.18.77.5:4711 " in line, line
    finally:
        gw.cgctl(f"set log {level}")


def test_a_client_named_by_the_protocol_is_trusted_only_if_it_is_a_trusted_proxy_itself(gw):
    said = [("X-Forwarded-For", "198.18.77.5")]
    with begin(gw, b"PROXY TCP4 192.0.2.9 203.0.113.1 1 80\r\n", ACCEPTED) as conn:
        own_error(conn.request("GET", "/", "asked.test", said), 404)
    with begin(gw, b"PROXY TCP4 203.0.113.9 203.0.113.1 1 80\r\n", ACCEPTED) as conn:
        assert conn.request("GET", "/", "asked.test", said).body == b"client"


def test_headers_and_requests_may_come_in_any_pieces(gw):
    header = v2("198.18.77.5", "203.0.113.1", (4711, 443), tlvs=b"\x04\x01\x00" + b"x" * 256)
    whole = header + head("GET", "/", "asked.test")
    with begin(gw, whole) as conn:
        assert conn.response().body == b"client"
    for size in (1, 7):
        with Conn(gw.address, REQUIRED) as conn:
            for at in range(0, len(whole), size):
                conn.send(whole[at:at + size])
            assert conn.response().body == b"client", size


def test_local_and_unknown_leave_the_address_of_the_connection(gw):
    for header in (b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\x00\x00",
                   v2("198.18.77.5", "203.0.113.1", (1, 2), command=0x20)):
        with begin(gw, header) as conn:
            assert told(conn.request("GET", "/echo", "python.test"))["for"] == CLIENT, header


def test_what_begins_otherwise_or_malformed_is_closed_without_an_answer_and_counted(gw):
    good = v2("198.18.77.5", "203.0.113.1", (1, 2), tlvs=b"\x03\x00\x04\x00\x00\x00\x00")
    for counter, begun in (("http_proxy_missing", head("GET", "/hello", "lab.test")),
                           ("http_proxy_bad", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"),
                           ("http_proxy_bad", SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12)),
                           ("http_proxy_bad", b"PROXY UNKNOWN " + b"x" * 200),
                           ("http_proxy_checksum", good)):
        before = gw.drops().get(counter, 0)
        with begin(gw, begun + head("GET", "/hello", "lab.test")) as conn:
            assert conn.ended(), begun
        assert gw.drops()[counter] == before + 1, (counter, begun)


def test_a_second_header_is_no_request(gw):
    header = b"PROXY TCP4 198.18.77.5 203.0.113.1 1 80\r\n"
    with begin(gw, header + header) as conn:
        own_error(conn.response(), 400)


def test_where_it_is_accepted_trusted_proxies_may_send_one_or_none(gw):
    with begin(gw, b"PROXY TCP4 198.18.77.5 203.0.113.1 1 80\r\n", ACCEPTED) as conn:
        assert conn.request("GET", "/", "asked.test").body == b"client"
    with Conn(gw.address, ACCEPTED) as conn:
        assert told(conn.request("GET", "/echo", "python.test"))["for"] == CLIENT


def test_who_is_not_trusted_cannot_name_a_client(gw):
    before = gw.drops().get("http_proxy_refused", 0)
    with begin(gw, b"PROXY TCP4 198.18.77.5 203.0.113.1 1 80\r\n", STRANGERS) as conn:
        assert conn.ended()
    assert gw.drops()["http_proxy_refused"] == before + 1
    with begin(gw, b"PROXY TCP4 198.18.77.5 203.0.113.1 1 80\r\n", 80) as conn:
        own_error(conn.response(), 400)


NGINX = """
daemon off;
user root;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log error;
events {{ worker_connections 100; }}
http {{
	access_log off;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
	server {{
		listen 198.19.0.11:8091 proxy_protocol;
		default_type text/plain;
		return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port $request_uri";
	}}
}}
"""


def test_nginx_learns_the_client_by_version_1_and_2(gw):
    with server(gw, "back", "nginx-proxy-protocol", NGINX, "198.19.0.11", 8091, "nginx", "-p", "{dir}", "-c", "{conf}",
                "-e", "{dir}/error.log"):
        for host in ("proxy-v1.test", "proxy-v2.test"):
            with Conn(gw.address) as conn:
                own = f"{CLIENT} {conn.socket.getsockname()[1]} {gw.address} 80"
                for n in range(3):
                    assert conn.request("GET", f"/{n}", host).body.decode() == f"{own} /{n}"
            # The one that the protocol named to us is named again; of one that a proxy named no port is known.
            with begin(gw, b"PROXY TCP4 198.18.77.5 203.0.113.1 4711 8443\r\n") as conn:
                assert conn.request("GET", "/", host).body == b"198.18.77.5 4711 203.0.113.1 8443 /"
            with begin(gw, b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n") as conn:
                assert conn.request("GET", "/", host).body == b"2001:db8::7 1 2001:db8::1 2 /"
            with Conn(gw.address, 90) as conn:
                body = conn.request("GET", "/", host, [("X-Forwarded-For", "192.0.2.1")]).body
                assert body == b"192.0.2.1  198.18.0.1 90 /", body  # nginx says nothing for port 0


def test_haproxy_learns_the_client_and_no_connection_serves_two(gw):
    conf = ("frontend in\n\tbind 198.19.0.11:8091 accept-proxy\n"
            "\thttp-request return status 200 content-type text/plain lf-string \"%[src] %[src_port] %[dst]\"\n")
    with haproxy(gw, "back", "haproxy-in", "http", conf, "198.19.0.11", 8091):
        for host in ("proxy-v1.test", "proxy-v2.test"):
            conns = [Conn(gw.address) for _ in range(4)]
            for _ in range(3):
                for conn in conns:
                    body = conn.request("GET", "/", host).body.decode()
                    assert body == f"{CLIENT} {conn.socket.getsockname()[1]} {gw.address}", body
            for conn in conns:
                conn.close()
    own_error(ask(gw, "proxy-v1.test", "/"), 502)
