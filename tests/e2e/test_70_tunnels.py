"""Tunnels: WebSocket (RFC 6455) with npm's ws at both ends, and CONNECT (RFC 9110 9.3.6)."""
import base64
import contextlib
import hashlib
import os
import socket
import subprocess
import threading
import time

from http1 import Closed, Conn, head
from lab.space import wait_for
from test_30_routing import own_error

NODE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node")
ENV = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}
BACK, WS_PORT, RAW_PORT = "198.19.0.11", 9001, 9002
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
HANDSHAKE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", KEY)]


def ws_server(gw):
    if "ws" not in gw.backends.running:
        gw.backends.running["ws"] = gw.space.start("back", "node", os.path.join(NODE, "ws_server.js"), BACK, str(WS_PORT),
                                                   log="ws.log", env=ENV)

        def answers():
            with gw.space.inside("back"), socket.socket() as probe:
                return probe.connect_ex((BACK, WS_PORT)) == 0
        wait_for(answers, 10, "the WebSocket server to listen")


def client(gw, behaviour, host="ws.test", *more):
    ws_server(gw)
    status, text = gw.space.call("client", "node", os.path.join(NODE, "ws_client.js"), f"ws://{gw.address}?host={host}",
                                 behaviour, *more, env=ENV)
    assert status == 0, text
    return text


class Raw:
    """A backend of bytes: gives each connection to `serve`."""

    def __init__(self, gw, serve):
        self.connections = []
        with gw.space.inside("back"):
            self.listener = socket.create_server((BACK, RAW_PORT), backlog=64)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    conn, _ = self.listener.accept()
                    conn.settimeout(10)
                    self.connections.append(conn)
                    threading.Thread(target=self._serve, args=(serve, conn), daemon=True).start()
        self.thread = threading.Thread(target=accept, daemon=True)
        self.thread.start()

    @staticmethod
    def _serve(serve, conn):
        with contextlib.suppress(OSError):
            serve(conn)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)
        for conn in self.connections:
            # A thread that waits for bytes keeps the socket open: its other side must hear of the end all the same.
            with contextlib.suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)
            conn.close()


def read_head(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        part = conn.recv(65536)
        if not part:
            raise OSError("ended")
        data += part
    return data.partition(b"\r\n\r\n")


def accept_of(request):
    key = next(line.split(b":")[1].strip() for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def switching(request, more=b""):
    return (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
            accept_of(request) + b"\r\n\r\n" + more)


def counted(gw, name):
    return gw.counters("http")[name]


def tunnels(gw):
    rows = gw.cgctl("show conns", as_json=True)["conns"]
    return sorted(row["side"] for row in rows if row["use"] == "tunnel")


def test_messages_and_a_subprotocol_pass_both_ways(gw):
    client(gw, "echo")


def test_messages_of_10_mb_arrive_whole_both_ways(gw):
    client(gw, "large")


def test_fragmented_messages_arrive_whole_both_ways(gw):
    client(gw, "fragments")


def test_pings_between_messages_are_answered(gw):
    client(gw, "pings")


def test_close_codes_of_both_ends_arrive_and_so_does_a_reset(gw):
    client(gw, "codes")


def test_client_that_does_not_read_holds_the_server_back(gw):
    client(gw, "slow")


def test_fields_of_the_handshake_reach_the_server(gw):
    client(gw, "headers")


def test_silent_tunnel_ends_after_tunnel_idle(gw):
    before = counted(gw, "tunnel_idle_timeout")
    assert 900 <= int(client(gw, "idle", "ws-idle.test")) < 3000
    assert counted(gw, "tunnel_idle_timeout") == before + 1


def test_what_was_said_may_be_read_slowly_for_longer_than_tunnel_idle(gw):
    text = bytes(range(256)) * 240

    def serve(conn):
        request, _, _ = read_head(conn)
        conn.sendall(switching(request, text))
        conn.recv(1)
    with Raw(gw, serve), Conn(gw.address) as conn:
        conn.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.send(head("GET", "/", "raw-idle.test", HANDSHAKE))
        assert conn.head().status == 101
        got = conn.buffer
        while len(got) < len(text):
            time.sleep(0.05)
            part = conn.socket.recv(1024)
            assert part, f"ended behind {len(got)} bytes"
            got += part
        assert got == text


def test_open_tunnels_are_listed_and_counted(gw):
    ws_server(gw)
    before = counted(gw, "tunnel_websocket")
    assert tunnels(gw) == []
    with Conn(gw.address) as conn:
        conn.send(head("GET", "/echo", "ws.test", HANDSHAKE))
        assert conn.head().status == 101
        assert tunnels(gw) == ["client", "upstream"]
        assert counted(gw, "tunnel_websocket") == before + 1
    wait_for(lambda: tunnels(gw) == [], 5, "the tunnel to end")
    assert counted(gw, "tunnel_closed") >= before + 1


def test_answer_of_the_handshake_is_as_rfc_6455_says(gw):
    ws_server(gw)
    with Conn(gw.address) as conn:
        conn.send(head("GET", "/echo", "ws.test", HANDSHAKE) + b"\x81\x82\0\0\0\0hi")  # a frame behind it
        answer = conn.head()
        assert answer.status == 101 and answer.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", answer
        assert (answer.get("Upgrade"), answer.all("Connection")) == ("websocket", ["Upgrade"]), answer
        assert conn.take(4) == b"\x81\x02hi"


def test_other_version_than_13_is_a_426(gw):
    for version in ([("Sec-WebSocket-Version", "8")], [], [("Sec-WebSocket-Version", "13")] * 2):
        with Conn(gw.address) as conn:
            fields = [f for f in HANDSHAKE if f[0] != "Sec-WebSocket-Version"] + version
            answer = conn.request("GET", "/echo", "ws.test", fields)
            own_error(answer, 426)
            assert (answer.get("Sec-WebSocket-Version"), answer.get("Upgrade")) == ("13", "websocket"), answer
            assert conn.ended()


def test_malformed_key_is_a_400(gw):
    before = counted(gw, "ws_bad_handshake")
    for keys in ([], [KEY, KEY], ["short=="], [KEY[:-3] + "x=="], [KEY.replace("d", "*")], [KEY + "A"]):
        with Conn(gw.address) as conn:
            fields = [f for f in HANDSHAKE if f[0] != "Sec-WebSocket-Key"] + [("Sec-WebSocket-Key", key) for key in keys]
            own_error(conn.request("GET", "/echo", "ws.test", fields), 400)
    with Conn(gw.address) as conn:
        own_error(conn.request("PUT", "/echo", "ws.test", HANDSHAKE), 400)
    assert counted(gw, "ws_bad_handshake") == before + 7


def test_nothing_behind_a_refused_handshake_is_read_as_a_request(gw):
    with Conn(gw.address) as conn:
        conn.send(head("GET", "/echo", "ws.test", HANDSHAKE[:3]) + head("GET", "/hello", "plain.test"))
        assert conn.response().status == 400
        assert conn.ended()


def test_route_without_upgrade_forwards_a_plain_request(gw):
    with Conn(gw.address) as conn:
        fields = dict(conn.request("GET", "/echo", "python.test", HANDSHAKE).json()["fields"])
        assert "Upgrade" not in fields and "Connection" not in fields, fields


def test_other_protocol_is_not_switched_to(gw):
    def serve(conn):
        request, _, _ = read_head(conn)
        assert b"pgrade" not in request
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with Raw(gw, serve), Conn(gw.address) as conn:
        assert conn.request("GET", "/", "raw.test", [("Connection", "Upgrade"), ("Upgrade", "irc/6.9")]).body == b"ok"


def test_101_with_a_wrong_accept_is_a_502(gw):
    answers = (b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
               b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"Connection: Upgrade\r\nUpgrade: irc\r\n")
    before = counted(gw, "ws_bad_accept")
    for fields in answers:
        def serve(conn, fields=fields):
            read_head(conn)
            conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n")
        with Raw(gw, serve), Conn(gw.address) as conn:
            own_error(conn.request("GET", "/", "raw.test", HANDSHAKE), 502)
    assert counted(gw, "ws_bad_accept") == before + 3


def test_upstream_that_declines_is_answered_as_it_says(gw):
    def serve(conn):
        read_head(conn)
        conn.sendall(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n"
                     b"Connection: Upgrade\r\nContent-Length: 3\r\n\r\nno\n")
        read_head(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with Raw(gw, serve), Conn(gw.address) as conn:
        answer = conn.request("GET", "/", "raw.test", HANDSHAKE)
        assert (answer.status, answer.body, answer.get("Upgrade")) == (426, b"no\n", "websocket"), answer
        assert conn.request("GET", "/", "raw.test").body == b"ok"  # the connection goes on


def test_bytes_behind_a_declined_handshake_are_no_request(gw):
    seen = []

    def serve(conn):
        seen.append(read_head(conn))
        conn.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        seen.append(conn.recv(100))
    with Raw(gw, serve), Conn(gw.address) as conn:
        conn.send(head("GET", "/", "raw.test", HANDSHAKE) + head("GET", "/smuggled", "raw.test"))
        assert conn.response().status == 403
        assert conn.ended()
        assert seen[0][2] == b"", seen


def test_half_close_passes_each_way_and_the_other_goes_on(gw):
    def serve(conn):
        request, _, rest = read_head(conn)
        conn.sendall(switching(request))
        while part := conn.recv(65536):
            rest += part
        conn.sendall(b"you said " + rest)
        conn.shutdown(socket.SHUT_WR)
    with Raw(gw, serve), Conn(gw.address) as conn:
        conn.send(head("GET", "/", "raw.test", HANDSHAKE) + b"one ")
        assert conn.head().status == 101
        conn.send(b"two")
        conn.socket.shutdown(socket.SHUT_WR)
        assert conn.rest() == b"you said one two"


def test_upstream_that_speaks_with_its_101_is_heard(gw):
    def serve(conn):
        request, _, _ = read_head(conn)
        conn.sendall(switching(request, b"first words"))
        conn.shutdown(socket.SHUT_WR)
        conn.recv(1)
    with Raw(gw, serve), Conn(gw.address) as conn:
        conn.send(head("GET", "/", "raw.test", HANDSHAKE))
        assert conn.head().status == 101
        assert conn.rest() == b"first words"


def test_reset_of_either_end_reaches_the_other(gw):
    import struct
    hard = struct.pack("ii", 1, 0)
    ended = threading.Event()

    def serve(conn):
        request, _, rest = read_head(conn)
        conn.sendall(switching(request))
        if b"theirs" in request:
            conn.recv(100)
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hard)
            conn.close()
            return
        try:
            while conn.recv(100):
                pass
        except ConnectionResetError:
            ended.set()
    with Raw(gw, serve):
        with Conn(gw.address) as conn:
            conn.send(head("GET", "/theirs", "raw.test", HANDSHAKE) + b"x")
            assert conn.head().status == 101
            with contextlib.suppress(ConnectionResetError):
                raise AssertionError(f"ended in order: {conn.rest()}")
        conn = Conn(gw.address)
        conn.send(head("GET", "/ours", "raw.test", HANDSHAKE))
        assert conn.head().status == 101
        conn.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hard)
        conn.close()
        assert ended.wait(5)


def test_timeout_of_the_route_is_for_the_handshake_alone(gw):
    def serve(conn):
        request, _, _ = read_head(conn)
        conn.sendall(switching(request))
        time.sleep(1)  # longer than timeout and per_try
        conn.sendall(b"late")
        conn.shutdown(socket.SHUT_WR)
        conn.recv(1)
    with Raw(gw, serve), Conn(gw.address) as conn:
        conn.send(head("GET", "/", "raw-brief.test", HANDSHAKE))
        assert conn.head().status == 101
        assert conn.rest() == b"late"


def test_tunnel_outlives_reloads_and_pins_no_generation(gw):
    ws_server(gw)
    with Conn(gw.address) as conn:
        conn.send(head("GET", "/echo", "ws.test", HANDSHAKE))
        assert conn.head().status == 101
        for _ in range(12):  # more than generations that may be in use
            gw.reload(gw.config)
        conn.send(b"\x81\x82\0\0\0\0hi")
        assert conn.take(4) == b"\x81\x02hi"


def test_connect_opens_a_tunnel_to_an_endpoint_of_its_route(gw):
    before = counted(gw, "tunnel_connect")
    with Conn(gw.address) as conn:
        conn.send(b"CONNECT 198.19.0.21:8080 HTTP/1.1\r\nHost: 198.19.0.21:8080\r\n\r\n" + head("GET", "/whoami", "inner.test"))
        answer = conn.head()
        assert answer.status == 200 and not answer.all("Content-Length") + answer.all("Transfer-Encoding"), answer
        assert conn.response().body == b"python\n"
        assert tunnels(gw) == ["client", "upstream"]
        echo = conn.request("GET", "/echo", "inner.test").json()
        assert dict(echo["fields"]) == {"Host": "inner.test"}, echo  # nothing is added within
    with Conn(gw.address) as conn:  # a name: the route's, to an endpoint of that port
        conn.send(b"CONNECT connect.test:8080 HTTP/1.1\r\nHost: connect.test:8080\r\n\r\n")
        assert conn.head().status == 200
        assert conn.request("GET", "/whoami", "inner.test").body == b"python\n"
    assert counted(gw, "tunnel_connect") == before + 2


def test_curl_goes_through_a_connect_tunnel(gw):
    status, text = gw.space.call("client", "curl", "-sS", "-p", "-x", f"http://{gw.address}:80",
                                 "http://198.19.0.21:8080/bytes?n=100000", "-o", "/dev/null", "-w", "%{http_code} %{size_download}")
    assert (status, text) == (0, "200 100000"), text


def test_connect_elsewhere_is_a_403_and_without_a_route_a_404(gw):
    before = counted(gw, "connect_refused")
    for target in ("198.19.0.22:8080", "198.19.0.21:22", "connect.test:22", "[fd00:c6:12:1::11]:8080"):
        with Conn(gw.address) as conn:
            conn.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode() + head("GET", "/whoami", "python.test"))
            answer = conn.response()
            assert answer.status == (403 if "connect.test" in target or target.startswith("198.19.0.2") else 404), (target, answer)
            assert conn.ended()
    assert counted(gw, "connect_refused") > before
    for host in ("python.test", "plain.test"):
        with Conn(gw.address) as conn:
            conn.send(f"CONNECT {host}:80 HTTP/1.1\r\nHost: {host}:80\r\n\r\n")
            assert conn.response().status == 404


def test_connect_to_an_endpoint_that_refuses_is_an_error_and_no_tunnel(gw):
    with Conn(gw.address) as conn:
        conn.send(b"CONNECT connect-refused.test:8080 HTTP/1.1\r\nHost: connect-refused.test:8080\r\n\r\n" +
                  head("GET", "/whoami", "python.test"))
        assert conn.response().status in (502, 503)
        assert conn.ended()
