"""Pooled connections to backends that misbehave: what is sent again, what never is, and what must not be left over.

A request goes out again, once, on a fresh connection, if its method is idempotent and no byte of an answer came
(RFC 9110 9.2.2, RFC 9112 9.3.1); a POST never does.
"""
import contextlib
import socket
import struct
import threading

from http1 import Conn, head
from lab.space import wait_for
from test_30_routing import own_error
from test_70_tunnels import Raw, counted, read_head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HARD = struct.pack("ii", 1, 0)


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD)
    conn.close()


def end(conn):
    conn.shutdown(socket.SHUT_RDWR)


class Backend(Raw):
    """Answers the first request of each connection, and does `second(conn, seen)` with the one after it. The first
    `fresh` connections do so; later ones answer all."""

    def __init__(self, gw, second, faulty=1):
        self.seen, self.left, self.lock = [], faulty, threading.Lock()

        def serve(conn):
            with self.lock:
                bad, self.left = self.left > 0, self.left - 1
            for n in range(100):
                request, _, body = read_head(conn)
                line = request.split(b"\r\n")[0].decode()
                length = next((int(f.split(b":")[1]) for f in request.split(b"\r\n") if f.lower().startswith(b"content-length")), 0)
                while len(body) < length:
                    body += conn.recv(65536)
                self.seen.append(line)
                if bad and n == 1:
                    second(conn)
                    return
                conn.sendall(OK)
        super().__init__(gw, serve)

    def times(self, path):
        return sum(f" {path} " in line for line in self.seen)


def warmed(conn):
    """A connection to the backend is in the pool, and has served."""
    assert conn.request("GET", "/warm", "raw.test").body == b"ok"


def repeated(gw, method, act, body=b"", fields=()):
    before = counted(gw, "up_replayed")
    with Backend(gw, act) as backend, Conn(gw.address) as conn:
        warmed(conn)
        answer = conn.request(method, "/again", "raw.test", fields, body=body)
        assert answer.status == 200, answer
        assert backend.times("/again") == 2, backend.seen
    assert counted(gw, "up_replayed") == before + 1


def not_repeated(gw, method, act, body=b"", fields=()):
    before = counted(gw, "up_replayed")
    with Backend(gw, act) as backend, Conn(gw.address) as conn:
        warmed(conn)
        own_error(conn.request(method, "/once", "raw.test", fields, body=body), 502)
        assert backend.times("/once") == 1, backend.seen
    assert counted(gw, "up_replayed") == before


def test_get_is_sent_again_where_the_backend_ends_the_connection(gw):
    repeated(gw, "GET", end)


def test_get_is_sent_again_where_the_backend_resets_the_connection(gw):
    repeated(gw, "GET", reset)


def test_other_idempotent_methods_are_sent_again(gw):
    for method in ("PUT", "DELETE", "OPTIONS"):
        repeated(gw, method, end)
        repeated(gw, method, reset)


def test_request_whose_head_fills_several_buffers_is_sent_again(gw):
    for act in (end, reset):
        repeated(gw, "GET", act, fields=[(f"X-Long-{i}", "v" * 2500) for i in range(3)])


def test_post_is_never_sent_again(gw):
    for act in (end, reset):
        not_repeated(gw, "POST", act)
        not_repeated(gw, "POST", act, body=b"order=1")
        not_repeated(gw, "PATCH", act)


def test_body_that_has_left_is_not_sent_again(gw):
    for act in (end, reset):
        not_repeated(gw, "PUT", act, body=b"x" * 100)


def test_request_that_was_answered_in_part_is_not_sent_again(gw):
    def byte(conn):
        conn.sendall(b"H")
        end(conn)

    def interim(conn):
        conn.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        end(conn)
    not_repeated(gw, "GET", byte)
    with Backend(gw, interim) as backend, Conn(gw.address) as conn:
        warmed(conn)
        assert conn.request("GET", "/once", "raw.test").status == 502
        assert backend.times("/once") == 1, backend.seen


def test_request_is_sent_again_once_and_not_twice(gw):
    def serve(conn):
        request, _, _ = read_head(conn)
        seen.append(request.split(b" ")[1])
        if seen[-1] == b"/warm":
            conn.sendall(OK)
            request, _, _ = read_head(conn)
            seen.append(request.split(b" ")[1])
        end(conn)
    seen = []
    with Raw(gw, serve), Conn(gw.address) as conn:
        warmed(conn)
        own_error(conn.request("GET", "/twice", "raw.test"), 502)
        assert seen == [b"/warm", b"/twice", b"/twice"], seen


RAW = '{name: raw, port: lan, endpoints: ["198.19.0.11:9002"]}'


def test_request_that_waits_for_a_place_is_sent_again_once_and_not_twice(gw):
    """It began where one connection was allowed, and more than that are there by the time that its own is lost."""
    held, busy, seen = threading.Event(), threading.Event(), []

    def serve(conn):
        while True:
            path = read_head(conn)[0].split(b" ")[1]
            seen.append(path)
            if path == b"/held":
                held.wait(10)
                end(conn)
                return
            if path == b"/busy":
                busy.wait(10)
            conn.sendall(OK)
    wait_for(lambda: idle(gw) == 0, 5, "the pool to be empty")
    gw.reload(gw.config.replace(RAW, RAW[:-1] + ", pool: {max_connections: 1}}"))
    try:
        with Raw(gw, serve), contextlib.ExitStack() as stack:
            conn, *others = [stack.enter_context(Conn(gw.address)) for _ in range(17)]  # some on its worker, too
            warmed(conn)
            conn.send(head("GET", "/held", "raw.test"))
            wait_for(lambda: b"/held" in seen, 5, "the request")
            gw.reload(gw.config)
            for other in others:
                other.send(head("GET", "/busy", "raw.test"))
            wait_for(lambda: seen.count(b"/busy") == len(others), 5, "more connections")
            held.set()
            wait_for(lambda: of_raw(gw)["pending"] == 1, 5, "the request to wait for a place")
            busy.set()
            assert {other.response().status for other in others} == {200}
            own_error(conn.response(), 502)
            assert seen.count(b"/held") == 2, seen
    finally:
        gw.reload(gw.config)


def test_fresh_connection_that_fails_is_not_tried_again(gw):
    def serve(conn):
        seen.append(read_head(conn)[0].split(b" ")[1])
        end(conn)
    seen = []
    with Raw(gw, serve), Conn(gw.address) as conn:
        own_error(conn.request("GET", "/fresh", "raw.test"), 502)
        assert seen == [b"/fresh"], seen


def test_connection_that_ended_while_it_was_idle_costs_nothing_not_even_a_post(gw):
    for act in (end, reset):
        served = threading.Event()

        def serve(conn, act=act, served=served):
            read_head(conn)
            conn.sendall(OK)
            if served.is_set():
                read_head(conn)
                return
            served.set()
            act(conn)
        before = counted(gw, "up_replayed")
        with Raw(gw, serve), Conn(gw.address) as conn:
            warmed(conn)
            wait_for(lambda: idle(gw) == 0, 5, "the pool to hear of it")
            assert conn.request("POST", "/order", "raw.test", body=b"x").status == 200
        assert counted(gw, "up_replayed") == before


def of_raw(gw):
    return next(row for row in gw.cgctl("show upstreams", as_json=True)["upstreams"] if row["name"] == "raw")


def idle(gw):
    return of_raw(gw)["idle"]


def later_requests_are_clean(gw, answer, method="GET", status=200):
    """`answer` is what the backend says to the first request; the next one must get its own."""
    def serve(conn):
        nonlocal first
        read_head(conn)
        if first:
            first = False
            conn.sendall(answer)
        else:
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine")
        while True:
            read_head(conn)
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine")
    first = True
    with Raw(gw, serve) as backend, Conn(gw.address) as conn:
        assert conn.request(method, "/first", "raw.test").status == status
        for _ in range(3):
            assert conn.request("GET", "/next", "raw.test").body == b"mine"
        assert len(backend.connections) == 2  # the first was not used again


def test_second_answer_behind_the_first_reaches_nobody(gw):
    later_requests_are_clean(gw, OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")


def test_bytes_behind_an_answer_reach_nobody(gw):
    later_requests_are_clean(gw, OK + b"\r\n")
    later_requests_are_clean(gw, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\npoison")


def test_body_of_an_answer_that_has_none_reaches_nobody(gw):
    later_requests_are_clean(gw, OK, "HEAD")
    for status in (204, 304):
        later_requests_are_clean(gw, b"HTTP/1.1 %d No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison" % status,
                                 status=status)


def test_early_answer_leaves_nothing_of_the_body_on_the_connection(gw):
    requests = []

    def serve(conn):
        request, _, rest = read_head(conn)
        requests.append(request.split(b"\r\n")[0])
        conn.sendall(OK)  # keep-alive, and the body is not read
        rest = b"" if b"/early" in request else rest
        while rest or (rest := conn.recv(65536)):
            line = rest.split(b"\r\n")[0]
            if not line.startswith(b"bbbb"):
                requests.append(line)
                conn.sendall(OK)
            rest = b""
    with Raw(gw, serve):
        with Conn(gw.address) as conn:
            conn.send(head("POST", "/early", "raw.test", [("Content-Length", "2000")]))
            assert conn.response().status == 200
            conn.send(b"b" * 1000)
            assert conn.ended() or True
        with Conn(gw.address) as conn:
            for _ in range(3):
                assert conn.request("GET", "/next", "raw.test").body == b"ok"
    assert all(line.startswith((b"POST /early", b"GET /next")) for line in requests), requests


def test_pipelined_requests_of_a_client_that_is_refused_reach_nobody(gw):
    seen = []

    def serve(conn):
        while True:
            seen.append(read_head(conn)[0].split(b" ")[1])
            conn.sendall(OK)
    with Raw(gw, serve), Conn(gw.address) as conn:
        conn.send(head("GET", "/one", "raw.test") + b"GET /bad HTTP/1.1\r\nHost: raw.test\r\nContent-Length: x\r\n\r\n" +
                  head("GET", "/smuggled", "raw.test"))
        assert [conn.response().status, conn.response().status] == [200, 400]
        assert conn.ended()
        assert seen == [b"/one"], seen
