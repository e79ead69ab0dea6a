"""What a client may make the gateway keep or do: bounded, and counted by name."""
import contextlib
import hashlib
import time

from http1 import Conn, head
from lab.space import wait_for
from test_30_routing import ask, own_error
from test_70_tunnels import counted
from test_71_slow import SHORT, counts, narrow, was_reset


def rises(gw, name, before):
    wait_for(lambda: counted(gw, name) == before + 1, 8, f"{name} to rise")


def test_extensions_of_tiny_chunks_are_bounded(gw):
    before = counted(gw, "fault_chunk_overhead")
    with Conn(gw.address) as conn:
        conn.send(head("POST", "/upload", "python.test", [("Transfer-Encoding", "chunked")]))
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                conn.send(b"1;" + b"e" * 250 + b"\r\nx\r\n")
        own_error(conn.response(), 400)
    assert counted(gw, "fault_chunk_overhead") == before + 1


def test_work_for_tiny_chunks_is_bounded_in_a_turn(gw):
    """Of thousands that stand there at once the rest waits for the next turn, and nothing of it is lost."""
    before, n = counted(gw, "http_pieces"), 200000
    with Conn(gw.address, timeout=30) as conn:
        conn.send(head("POST", "/upload", "python.test", [("Transfer-Encoding", "chunked")]) +
                  b"1\r\nx\r\n" * n + b"0\r\n\r\n")
        answer = conn.response()
    assert answer.status == 200 and answer.json()["sha256"] == hashlib.sha256(b"x" * n).hexdigest(), answer
    assert counted(gw, "http_pieces") > before


def test_client_sees_its_error_though_it_goes_on_sending(gw):
    """RFC 9112 9.6: what comes behind a refused head is read and dropped, up to a bound."""
    before = counted(gw, "http_head_too_large")
    with Conn(gw.address) as conn:
        conn.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n" + b"X: " + b"y" * 100000)
        own_error(conn.response(), 431)
        assert conn.ended()
    assert counted(gw, "http_head_too_large") == before + 1


def test_bytes_behind_an_error_are_bounded(gw):
    before = counted(gw, "http_linger_bytes")
    with Conn(gw.address) as conn:
        with contextlib.suppress(ConnectionError):
            conn.send(b"BAD\r\n\r\n")
            for _ in range(64):
                conn.send(b"x" * 65536)
    rises(gw, "http_linger_bytes", before)


def test_time_behind_an_error_is_bounded(gw):
    before = counted(gw, "http_linger_timeout")
    with Conn(gw.address) as conn:
        conn.send(b"BAD\r\n\r\n")
        own_error(conn.response(), 400)
        assert conn.ended()  # its side; ours stays open
        rises(gw, "http_linger_timeout", before)


def test_answer_that_is_complete_and_not_read_is_bounded(gw):
    """All of it stands in the send queue: the exchange is over, and its connection is not idle."""
    with counts(gw, "http_read_timeout"), narrow(gw, SHORT, "/bytes?n=150000") as conn:
        wait_for(lambda: connections(gw, SHORT) == 0, 8, "the connection to go")
        assert was_reset(conn)


def connections(gw, port):
    rows = gw.cgctl("show conns 100000", as_json=True)["conns"]
    return sum(row["local"].endswith(f":{port}") and row["state"] == "established" for row in rows)


def test_pipelined_requests_wait_in_a_bounded_window(gw):
    """A client that sends requests and reads no answer is not served on: its window shuts, others go on."""
    request = head("GET", "/hello", "lab.test")
    with narrow(gw, 80, "/hello", "lab.test") as conn:
        conn.socket.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 << 20:
                sent += conn.socket.send(request * 1000)
        assert sent < 32 << 20, f"{sent} bytes of requests were taken"
        rows = gw.cgctl("show conns 100000", as_json=True)["conns"]
        most = max(row["queued_in"] + row["queued_out"] for row in rows)
        assert most < 16 << 20, f"one connection holds {most} bytes"
        begun = time.monotonic()
        assert ask(gw, "lab.test", "/hello").status == 200
        assert time.monotonic() - begun < 5
        conn.socket.settimeout(10)
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 100:
            data += conn.socket.recv(65536)


def test_requests_sent_ahead_are_answered_in_turns_and_hold_up_nobody(gw):
    before = counted(gw, "http_turn_used")
    with Conn(gw.address) as conn, Conn(gw.address) as other:
        conn.send(head("GET", "/hello", "lab.test") * 2000)
        assert other.request("GET", "/hello", "lab.test").body == b"hello\n"
        for _ in range(2000):
            assert conn.response().body == b"hello\n"
        assert conn.request("GET", "/gone", "lab.test").status == 410
    assert counted(gw, "http_turn_used") > before


def test_a_head_that_is_not_whole_holds_a_few_hundred_bytes(gw):
    def held():
        rows = gw.cgctl("show pools", as_json=True)["packet_memory"]
        return next(row["used"] for row in rows if row["held_by"] == "receive-queues/0")
    before, shrunk, many, begun = held(), gw.counters("tcp")["tcp_shrunk"], 50, b"GET /hello HTTP/1.1\r\nHost: lab.test\r\nX-Slow: "
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(Conn(gw.address)) for _ in range(many)]
        for conn in conns:
            conn.send(begun)
        wait_for(lambda: gw.counters("tcp")["tcp_shrunk"] >= shrunk + many, 8, "all heads to be moved")
        for conn in conns:
            conn.send(b"y")  # goes behind what is there
        wait_for(lambda: 0 < held() - before <= many * 704, 8, "what they hold to be told")
        for conn in conns:
            conn.send(b"z\r\n\r\n" + head("GET", "/gone", "lab.test"))
            assert conn.response().body == b"hello\n" and conn.response().status == 410
