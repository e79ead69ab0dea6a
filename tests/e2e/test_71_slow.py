"""Slow clients and slow upstreams: each kind ends in its time, with the right status, under its own counter."""
import contextlib
import socket
import time

from http1 import Closed, Conn, head
from lab.backend import pattern
from lab.space import wait_for
from test_30_routing import own_error
from test_70_tunnels import Raw, counted, read_head

STRICT, SHORT = 95, 81


@contextlib.contextmanager
def counts(gw, *names):
    """Each of these rises by one, and none else of the slow."""
    every = ("http_head_timeout", "http_idle_timeout", "http_body_timeout", "http_body_slow", "http_read_timeout",
             "http_read_slow", "up_body_stalled", "up_response_idle")
    before = {name: counted(gw, name) for name in every}
    yield
    wait_for(lambda: all(counted(gw, name) > before[name] for name in names), 5, f"{names} to rise")
    assert {name: counted(gw, name) - before[name] for name in every} == {name: int(name in names) for name in every}


def narrow(gw, port, path, host="python.test"):
    """Asks for much, with a small receive buffer."""
    conn = Conn.__new__(Conn)
    conn.socket, conn.buffer = socket.socket(), b""
    conn.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    conn.socket.settimeout(10)
    conn.socket.connect((gw.address, port))
    conn.send(head("GET", path, host))
    return conn


def was_reset(conn):
    try:
        while conn.socket.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    return False


def test_head_that_does_not_end_is_a_408(gw):
    with counts(gw, "http_head_timeout"), Conn(gw.address, STRICT) as conn:
        for piece in (b"GET /hello HTTP/1.1\r\n", b"Host: lab.test\r\n", b"X: y\r\n", b"X: y\r\n", b"X: y\r\n"):
            conn.send(piece)  # never silent, never whole
            time.sleep(0.3)
        assert conn.response().status == 408
        assert conn.ended()


def test_connection_that_says_nothing_is_closed_silently(gw):
    with counts(gw, "http_idle_timeout"), Conn(gw.address, STRICT) as conn:
        assert conn.rest() == b""


def test_connection_kept_alive_is_closed_silently_in_its_time(gw):
    with counts(gw, "http_idle_timeout"), Conn(gw.address, STRICT) as conn:
        assert conn.request("GET", "/hello", "lab.test").status == 200
        assert conn.rest() == b""


def test_body_that_does_not_come_is_a_408(gw):
    with counts(gw, "http_body_timeout"), Conn(gw.address, SHORT) as conn:
        conn.send(head("POST", "/upload", "python.test", [("Content-Length", "100")]) + b"x" * 10)
        own_error(conn.response(), 408)
        assert conn.ended()


def test_body_below_the_least_rate_is_a_408_though_it_never_stops(gw):
    with counts(gw, "http_body_slow"), Conn(gw.address, STRICT) as conn:
        conn.send(head("POST", "/upload", "python.test", [("Content-Length", "100000")]))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(20):
                conn.send(b"x" * 10)
                time.sleep(0.1)
        own_error(conn.response(), 408)


def test_tiny_chunks_count_for_their_payload(gw):
    with counts(gw, "http_body_slow"), Conn(gw.address, STRICT) as conn:
        conn.send(head("POST", "/upload", "python.test", [("Transfer-Encoding", "chunked")]))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(20):
                conn.send(b"1;" + b"e" * 200 + b"\r\nx\r\n")
                time.sleep(0.1)
        own_error(conn.response(), 408)


def test_body_above_the_least_rate_may_take_its_time(gw):
    with counts(gw), Conn(gw.address, STRICT) as conn:
        conn.send(head("POST", "/upload", "python.test", [("Content-Length", "6000")]))
        for _ in range(20):
            conn.send(b"x" * 300)
            time.sleep(0.1)
        assert conn.response().json()["size"] == 6000


def test_upstream_that_takes_the_body_slowly_is_no_fault_of_the_client(gw):
    def serve(conn):
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        _, _, rest = read_head(conn)
        left = (2 << 20) - len(rest)
        while left:
            time.sleep(0.02 if left < 1 << 20 else 0.1)
            left -= len(conn.recv(min(left, 65536)))
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with counts(gw), Raw(gw, serve), Conn(gw.address, STRICT) as conn:
        conn.send(head("POST", "/", "raw.test", [("Content-Length", str(2 << 20))]) + b"x" * (2 << 20))
        assert conn.response().body == b"ok"


def test_upstream_that_takes_no_body_is_a_504(gw):
    def serve(conn):
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        read_head(conn)
        time.sleep(3)
    with counts(gw, "up_body_stalled"), Raw(gw, serve), Conn(gw.address, STRICT) as conn:
        conn.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError, ConnectionResetError, BrokenPipeError):
            conn.send(head("POST", "/", "raw.test", [("Content-Length", str(64 << 20))]))
            for _ in range(64):
                conn.send(b"x" * (1 << 20))
        conn.socket.settimeout(10)
        with contextlib.suppress(ConnectionResetError):  # it may still be sending then
            own_error(conn.response(), 504)


def test_client_that_reads_nothing_is_cut_off(gw):
    with counts(gw, "http_read_timeout"), narrow(gw, SHORT, "/bytes?n=9000000") as conn:
        wait_for(lambda: gw.counters("http")["http_read_timeout"], 8, "the time to read")
        assert was_reset(conn)


def test_client_that_reads_below_the_least_rate_is_cut_off(gw):
    with counts(gw, "http_read_slow"), narrow(gw, STRICT, "/bytes?n=9000000") as conn:
        with contextlib.suppress(ConnectionResetError):
            for _ in range(100):
                assert conn.socket.recv(200)
                time.sleep(0.1)
            raise AssertionError("was not cut off")


def test_client_that_reads_above_it_gets_all(gw):
    with counts(gw), narrow(gw, STRICT, "/bytes?n=200000") as conn:
        answer = conn.head()
        data = conn.buffer
        while len(data) < 200000:
            data += conn.socket.recv(4000)
            time.sleep(0.02)
        assert answer.status == 200 and data == pattern(200000)


def test_client_that_waits_for_more_is_not_slow(gw):
    def serve(conn):
        read_head(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(10):
            time.sleep(0.2)
            conn.sendall(b"x" * 10)
    with counts(gw), Raw(gw, serve), Conn(gw.address, STRICT) as conn:
        conn.send(head("GET", "/", "raw.test"))
        assert conn.response().body == b"x" * 100


def test_answer_that_does_not_go_on_is_cut_short(gw):
    with counts(gw, "up_response_idle"), Conn(gw.address, STRICT) as conn:
        conn.send(head("GET", "/stall?ms=4000", "python.test"))
        assert conn.head().status == 200
        with contextlib.suppress(Closed, ConnectionResetError):
            conn.take(20)
            raise AssertionError("20 bytes of an answer that had 10")


def test_listeners_show_their_patience(gw):
    row = next(row for row in gw.cgctl("show listeners", as_json=True)["listeners"] if row["name"] == "strict-time")
    assert (row["body_timeout"], row["min_body_rate"], row["min_read_rate"]) == ("1s", 1024, 16384), row
    row = next(row for row in gw.cgctl("show listeners", as_json=True)["listeners"] if row["name"] == "short")
    assert row["body_timeout"] == row["response_idle"] == "1s", row
