"""Bodies in every framing, whole to the last byte."""
import hashlib
import socket

from http1 import Closed, Conn, chunked, head
from lab.backend import pattern

MEDIUM = 64 << 20


def ask(gw, host, path, **options):
    with Conn(gw.address, timeout=30) as conn:
        return conn.request("GET", path, host, **options)


def test_64_mib_down_by_content_length(gw):
    gw.backends.file("m64", MEDIUM)
    sha, size = hashlib.sha256(), 0
    with Conn(gw.address, timeout=30) as conn:
        conn.send(head("GET", "/m64", "a.test"))
        answer = conn.head()
        assert answer.status == 200 and int(answer.get("Content-Length")) == MEDIUM, answer
        data = conn.buffer
        while True:
            sha.update(data)
            size += len(data)
            if size >= MEDIUM:
                break
            data = conn.socket.recv(1 << 18)
            assert data, f"ended after {size}"
    assert size == MEDIUM and sha.hexdigest() == gw.backends.sums["m64"]


def upload(gw, size, chunk=None, read_pause=""):
    """Sends `size` bytes; returns what the backend says and the checksum of what was sent."""
    block = pattern(1 << 18)
    sha, left = hashlib.sha256(), size
    with Conn(gw.address, timeout=60) as conn:
        framing = ("Transfer-Encoding", "chunked") if chunk else ("Content-Length", str(size))
        conn.send(head("POST", "/upload" + read_pause, "python.test", [framing]))
        while left:
            part = memoryview(block)[:min(left, chunk or len(block))]
            sha.update(part)
            left -= len(part)
            if chunk:
                conn.send(b"%x\r\n" % len(part))
            conn.socket.sendall(part)
            if chunk:
                conn.send(b"\r\n")
        if chunk:
            conn.send(b"0\r\n\r\n")
        return conn.response(), sha.hexdigest()


def test_bodies_of_every_size_that_come_with_their_head_in_one_segment(gw):
    # Head and body are forwarded in one buffer, wherever the body begins and however long both are.
    with Conn(gw.address, timeout=30) as conn:
        for i, size in enumerate([1, 2, 511, 512, 513, *range(600, 1300, 37), 1305, 1340, 1399, 1400]):
            body = pattern(size + i)[i:]
            conn.send(head("POST", "/upload", "python.test", [("X-Padding", "p" * (i % 5)),
                                                              ("Content-Length", str(size))]) + body)
            answer = conn.response()
            assert answer.status == 200 and answer.json()["size"] == size, (size, answer)
            assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest(), size


def test_answers_of_every_size_that_come_with_their_head_in_one_segment(gw):
    with Conn(gw.address, timeout=30) as conn:
        for size in (1, 511, 512, 513, *range(600, 1300, 37), 1305, 1399, 1400):
            answer = conn.request("GET", f"/bytes?n={size}", "python.test")
            assert answer.status == 200 and answer.body == pattern(size), (size, answer)


def test_64_mib_up_by_content_length(gw):
    answer, sha = upload(gw, MEDIUM)
    assert answer.status == 200 and answer.json()["size"] == MEDIUM and answer.json()["sha256"] == sha, answer


def test_64_mib_up_chunked(gw):
    answer, sha = upload(gw, MEDIUM, chunk=1 << 18)
    assert answer.json()["size"] == MEDIUM and answer.json()["sha256"] == sha, answer
    assert answer.json()["framing"] == "chunked", answer


def test_many_tiny_chunks_up(gw):
    answer, sha = upload(gw, 20000, chunk=3)
    assert answer.json()["size"] == 20000 and answer.json()["sha256"] == sha, answer


def test_chunked_answers_of_every_chunk_size(gw):
    with Conn(gw.address, timeout=30) as conn:
        for n, c in ((0, 1), (1, 1), (5000, 7), (100000, 1447), (100000, 1448), (1000000, 65536)):
            answer = conn.request("GET", f"/chunked?n={n}&c={c}", "python.test")
            assert answer.framing == "chunked" and answer.body == pattern(n), (n, c, answer)


def test_4_mib_chunked_down(gw):
    answer = ask(gw, "python.test", "/chunked?n=4194304&c=30000")
    assert answer.body == pattern(4194304)


def test_answer_that_ends_with_the_connection_is_whole(gw):
    with Conn(gw.address, timeout=30) as conn:
        answer = conn.request("GET", "/until-close?n=300000", "python.test")
        assert answer.body == pattern(300000)
        if answer.framing == "chunked":
            assert conn.request("GET", "/whoami", "python.test").body == b"python\n"


def test_answer_of_an_http_1_0_upstream_is_whole(gw):
    with Conn(gw.address) as conn:
        answer = conn.request("GET", "/http10?n=30000", "python.test")
        assert answer.version == "HTTP/1.1" and answer.body == pattern(30000)
        assert conn.request("GET", "/whoami", "python.test").body == b"python\n"


def test_every_small_size_passes(gw):
    with Conn(gw.address) as conn:
        for n in list(range(0, 40)) + [1447, 1448, 1449, 2895, 2896, 2897, 65535, 65536]:
            assert conn.request("GET", f"/bytes?n={n}", "python.test").body == pattern(n), n


def test_slow_backend_holds_the_sender_back_and_gets_all(gw):
    answer, sha = upload(gw, 4 << 20, read_pause="?slow=5")
    assert answer.json()["size"] == 4 << 20 and answer.json()["sha256"] == sha, answer


def test_chunk_extensions_and_trailers_of_a_request_do_no_harm(gw):
    with Conn(gw.address) as conn:
        conn.send(head("POST", "/upload", "python.test", [("Transfer-Encoding", "chunked")]) +
                  b"3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n")
        answer = conn.response()
        assert answer.json()["size"] == 5, answer
        assert answer.json()["sha256"] == hashlib.sha256(b"abcde").hexdigest()


def test_truncated_answer_does_not_look_whole(gw):
    with Conn(gw.address) as conn:
        conn.send(head("GET", "/truncate", "python.test"))
        try:
            answer = conn.response()
            raise AssertionError(f"half an answer was passed on as a whole one: {answer}")
        except (Closed, ConnectionResetError):
            pass


def test_truncated_chunked_answer_does_not_look_whole(gw):
    with Conn(gw.address) as conn:
        conn.send(head("GET", "/cut-chunked", "python.test"))
        try:
            answer = conn.response()
            assert answer.status == 502, f"half an answer was passed on as a whole one: {answer}"
        except (Closed, ConnectionResetError):
            pass


def test_upload_that_the_client_breaks_off_reaches_no_end(gw):
    conn = Conn(gw.address)
    conn.send(head("POST", "/upload", "python.test", [("Content-Length", "1000000")]) + b"x" * 1000)
    conn.close()
    assert ask(gw, "python.test", "/whoami").body == b"python\n"


def test_early_answer_of_the_upstream_reaches_a_client_that_still_sends(gw):
    with Conn(gw.address, timeout=20) as conn:
        conn.send(head("POST", "/refuse", "python.test", [("Content-Length", "300000")]))
        try:
            for _ in range(30):
                conn.send(b"x" * 10000)
        except (ConnectionResetError, BrokenPipeError):
            pass
        try:
            assert conn.response().status == 413
        except ConnectionResetError:
            pass  # RFC 9112 9.6: the answer may be lost with a client that goes on sending


def test_pattern_of_chunks_and_pieces_on_one_connection(gw):
    with Conn(gw.address, timeout=30) as conn:
        for n in range(12):
            data = pattern(n * 997, b"up")
            conn.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, n & 1)
            pieces = [data[at:at + 100 + n] for at in range(0, len(data), 100 + n)]
            conn.send(head("PUT", "/upload", "python.test", [("Transfer-Encoding", "chunked")]) + chunked(pieces))
            answer = conn.response().json()
            assert answer["sha256"] == hashlib.sha256(data).hexdigest(), (n, answer)
