"""Bodies of answers that are compressed on their way, and those that are not."""
import contextlib
import hashlib
import os
import random
import socket
import threading
import zlib

from http1 import Closed, Conn, head
from lab.backend import pattern
from lab.space import wait_for
from test_18_semantics import scripted
from test_30_routing import ask
from unbrotli import Decoder

TEXT = "".join(random.Random(7).choice(["to be ", "or ", "not ", "that is ", "the question\n", "whether "])
               for _ in range(3000)).encode()
ANY = [("Accept-Encoding", "gzip, br")]


def said(body=TEXT, kind="text/html; charset=utf-8", *fields, status="200 OK", length=True):
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *([f"Content-Length: {len(body)}"] if length else []), *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def one(gw, answer, accept="gzip, br", method="GET", host="packed.test", fields=(), **options):
    with scripted(gw, answer):
        return ask(gw, host, "/x", method, fields=([("Accept-Encoding", accept)] if accept is not None else []) + list(fields),
                   **options)


def decoder_of(coding):
    return Decoder() if coding == "br" else zlib.decompressobj(31)


def plain(answer):
    if not answer.get("Content-Encoding"):
        return answer.body
    decoder = decoder_of(answer.get("Content-Encoding"))
    body = decoder.decompress(answer.body)
    assert decoder.eof and not decoder.unused_data, "what is encoded must be whole"
    return body


def packed(answer, coding, body=TEXT):
    assert answer.get("Content-Encoding") == coding and answer.all("Content-Length") == [], answer
    assert answer.framing == "chunked" and len(answer.body) < len(body) / 2, (answer.framing, len(answer.body))
    assert answer.get("Vary") == "Accept-Encoding" and plain(answer) == body
    return answer


def as_it_came(answer, body=TEXT, vary=None):
    assert answer.get("Content-Encoding") is None and answer.body == body and answer.get("Vary") == vary, answer
    return answer


def test_a_body_comes_in_the_coding_that_the_client_likes_best(gw):
    before = gw.counters("http")
    packed(one(gw, said()), "gzip")
    packed(one(gw, said(), "br"), "br")
    packed(one(gw, said(), "gzip;q=0.5, br"), "br")
    packed(one(gw, said(), "GZIP"), "gzip")
    packed(one(gw, said(), "*"), "gzip")
    packed(one(gw, said(), host="packed-br.test"), "br")
    packed(one(gw, said(), "gzip", host="packed-br.test"), "gzip")
    after = gw.counters("http")
    took = {name: after[name] - before[name] for name in after if name.startswith("compress_")}
    assert took["compress_gzip"] == 4 and took["compress_br"] == 3, took
    assert took["compress_bytes_in"] == 7 * len(TEXT) and took["compress_bytes_out"] < 7 * len(TEXT) / 3, took


def test_who_does_not_want_it_gets_it_as_it_came_and_caches_are_told(gw):
    for accept in (None, "", "identity", "gzip;q=0, br;q=0", "deflate", "gzip;q=0.2, identity", "*;q=0"):
        as_it_came(one(gw, said(), accept), vary="Accept-Encoding")
    as_it_came(one(gw, said(), fields=[("Cache-Control", "no-transform")]), vary="Accept-Encoding")
    answer = one(gw, said(), version="HTTP/1.0")
    as_it_came(answer, vary="Accept-Encoding")


def test_what_must_not_or_need_not_be_compressed_is_not(gw):
    for answer in (said(TEXT, "image/png"), said(TEXT[:199]), said(TEXT, "text/html", "Cache-Control: public, no-transform"),
                   said(TEXT, "text/html", "Content-Digest: sha-256=:x:"), said(TEXT, "text/html", "Content-MD5: x"),
                   said(TEXT[:300], "text/html", f"Content-Range: bytes 0-299/{len(TEXT)}", status="206 Partial Content")):
        got = one(gw, answer)
        as_it_came(got, answer.split(b"\r\n\r\n", 1)[1])
        assert got.framing == "length", got
    done = zlib.compress(TEXT, wbits=31)
    got = one(gw, said(done, "text/html", "Content-Encoding: gzip", 'ETag: "theirs"'))
    assert got.body == done and got.all("Content-Encoding") == ["gzip"] and got.get("ETag") == '"theirs"', got


def test_the_head_tells_of_another_representation(gw):
    fields = ('ETag: "v1"', "Accept-Ranges: bytes", "Vary: Cookie", "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT")
    got = one(gw, said(TEXT, "text/html", *fields))
    assert got.get("ETag") == 'W/"v1"' and got.get("Accept-Ranges") is None and got.get("Last-Modified"), got
    assert got.all("Vary") == ["Cookie", "Accept-Encoding"] and plain(got) == TEXT, got
    got = one(gw, said(TEXT, "text/html", *fields), None)
    assert got.get("ETag") == '"v1"' and got.get("Accept-Ranges") == "bytes", got
    for given in ("accept-encoding", "*", "Origin, Accept-Encoding"):
        got = one(gw, said(TEXT, "text/html", f"Vary: {given}", 'ETag: W/"v1"'))
        assert got.all("Vary") == [given] and got.all("ETag") == ['W/"v1"'], got


def test_head_and_304_say_what_get_would(gw):
    for method in ("GET", "HEAD"):
        answer = said(TEXT, "text/html", 'ETag: "v1"')
        got = one(gw, answer if method == "GET" else answer.split(b"\r\n\r\n")[0] + b"\r\n\r\n", method=method)
        told = {name: got.all(name) for name in ("Content-Encoding", "Vary", "ETag", "Content-Length", "Content-Type")}
        assert told == {"Content-Encoding": ["gzip"], "Vary": ["Accept-Encoding"], "ETag": ['W/"v1"'], "Content-Length": [],
                        "Content-Type": ["text/html"]}, got
    bare = b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n'
    got = one(gw, bare)
    assert got.status == 304 and got.get("ETag") == 'W/"v1"' and got.get("Vary") == "Accept-Encoding", got
    got = one(gw, bare, None)
    assert got.status == 304 and got.get("ETag") == '"v1"' and got.get("Vary") == "Accept-Encoding", got


def test_bodies_in_any_framing_and_of_errors_are_compressed(gw):
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (TEXT[at:at + 777] for at in range(0, len(TEXT), 777)))
    for coding in ("gzip", "br"):
        answer = said(b"", "text/plain", "Transfer-Encoding: chunked", length=False) + chunks + b"0\r\n\r\n"
        packed(one(gw, answer, coding), coding)
        packed(one(gw, said(length=False), coding), coding)  # until the connection ends
        packed(one(gw, said(status="500 Oops"), coding), coding)
        short = b"HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
        assert plain(one(gw, short, coding)) == b"a"
        assert plain(one(gw, short.replace(b"1\r\na\r\n", b""), coding)) == b""


def test_a_body_cut_short_is_seen_to_be_cut_short(gw):
    chunked = said(b"", "text/plain", "Transfer-Encoding: chunked", length=False)
    for answer in (said()[:-1], chunked + b"4000\r\n" + TEXT[:0x3000], chunked + b"10\r\n" + TEXT[:16] + b"\r\nzz\r\n"):
        for coding in ("gzip", "br"):
            try:
                got = one(gw, answer, coding)
                raise AssertionError(f"whole: {got}")
            except (Closed, ConnectionResetError):
                pass


def test_trailers_come_behind_a_compressed_body_to_who_takes_them(gw):
    size = f"{len(TEXT):x}".encode()
    answer = (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n" +
              size + b"\r\n" + TEXT + b"\r\n0\r\nX-Sum: 7\r\n\r\n")
    for fields, trailers in (([("TE", "trailers"), ("Connection", "TE")], [("X-Sum", "7")]), ([], [])):
        assert packed(one(gw, answer, fields=fields), "gzip").trailers == trailers


def test_one_connection_carries_compressed_and_other_answers_in_turn(gw):
    with Conn(gw.address) as conn:
        for n in (0, 1000, 60, 100_000, 3):
            for accept in ("gzip", "br", "identity"):
                answer = conn.request("GET", f"/chunked?n={n}&c=900", "packed-slow.test", [("Accept-Encoding", accept)])
                assert plain(answer) == pattern(n), (n, accept, answer)
                assert (answer.get("Content-Encoding") or "identity") == accept, answer


PYTHON = """
import hashlib, requests, sys
answer = requests.get(sys.argv[1], headers={"Host": "packed.test"}, timeout=60)
print(answer.headers["Content-Encoding"], hashlib.sha256(answer.content).hexdigest())
"""


def test_real_clients_read_it(gw):
    body = "".join(f"<li>entry {i}</li>\n" for i in range(2000)).encode()
    with scripted(gw, *[said(body)] * 3):
        for coding in ("gzip", "br"):
            status, text = gw.space.call("client", "curl", "-sS", "--compressed", "-H", f"Accept-Encoding: {coding}", "-H",
                                         "Host: packed.test", "-w", "%{size_download}", f"http://{gw.address}/")
            assert status == 0 and text.startswith(body.decode()), text[-300:]
            assert int(text[len(body):]) < len(body) / 5, text[-20:]
        status, text = gw.space.call("client", "/usr/bin/python3", "-c", PYTHON, f"http://{gw.address}/")
        assert status == 0 and text.split() == ["gzip", hashlib.sha256(body).hexdigest()], text


def test_large_bodies_are_the_same_behind_the_decoder(gw):
    size = 10 << 20
    gw.backends.file("pack", size)
    for coding in ("gzip", "br"):
        with Conn(gw.address, timeout=60) as conn:
            answer = conn.request("GET", "/pack", "packed-files.test", [("Accept-Encoding", coding)])
            body = plain(answer)
            assert answer.get("Content-Encoding") == coding and len(body) == size, answer
            assert hashlib.sha256(body).hexdigest() == gw.backends.sums["pack"]


def test_who_reads_slowly_holds_up_nobody_and_gets_all_of_it(gw):
    data = os.urandom(3 << 20)
    with scripted(gw, said(data, "text/plain"), said(data, "text/plain")):
        slow = [Conn(gw.address, timeout=30) for _ in range(2)]
        for conn, coding in zip(slow, ("gzip", "br")):
            conn.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)
            conn.send(head("GET", "/x", "packed.test", [("Accept-Encoding", coding)]))
        for _ in range(20):
            assert ask(gw, "packed-slow.test", "/chunked?n=3000", fields=ANY).status == 200
        for conn in slow:
            answer = conn.response()
            assert plain(answer) == data, answer.fields
            conn.close()


@contextlib.contextmanager
def dripping(gw):
    """A backend for packed.test whose body the test says piece by piece."""
    with gw.space.inside("back"):
        listener = socket.create_server(("198.19.0.22", 8092))
    found = []

    def accept():
        found.append(listener.accept()[0])
        found[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        def backend():
            thread.join(10)
            return found[0]
        yield backend
    finally:
        listener.close()
        for conn in found:
            conn.close()


def test_events_are_seen_as_they_come(gw):
    for coding in ("gzip", "br"):
        with dripping(gw) as backend, Conn(gw.address) as conn:
            conn.send(head("GET", "/x", "packed.test", [("Accept-Encoding", coding)]))
            events = backend()
            events.recv(65536)
            events.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert conn.head().get("Content-Encoding") == coding  # before there is anything of the body
            decode = decoder_of(coding).decompress
            for i in range(20):
                event = b"data: %d %d\n\n" % (i, i * i)
                events.sendall(b"%x\r\n%b\r\n" % (len(event), event))
                got = b""
                while len(got) < len(event):  # the next is not said before this one is here
                    size = int(conn.until(b"\r\n"), 16)
                    got += decode(conn.take(size))
                    assert conn.take(2) == b"\r\n"
                assert got == event, (i, got)
            events.sendall(b"0\r\n\r\n")
            last = b""
            while size := int(conn.until(b"\r\n"), 16):
                last += decode(conn.take(size))
                assert conn.take(2) == b"\r\n"
            assert last == b"" and conn.take(2) == b"\r\n"


def test_when_no_encoder_is_free_the_body_goes_as_it_came(gw):
    before = gw.counters("http")["compress_none_left"]
    # Held by answers whose end does not come.
    chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    with gw.space.inside("back"):
        listener = socket.create_server(("198.19.0.22", 8092), backlog=16)
    held, clients = [], []
    try:
        for i in range(8):
            conn = Conn(gw.address)
            clients.append(conn)
            conn.send(head("GET", "/x", "packed.test", [("Accept-Encoding", "gzip" if i % 2 else "br")]))
            held.append(listener.accept()[0])
            held[-1].recv(65536)
            held[-1].sendall(chunked)
            assert conn.head().get("Content-Encoding"), i
        with Conn(gw.address) as conn:
            conn.send(head("GET", "/x", "packed.test", ANY))
            other = listener.accept()[0]
            other.recv(65536)
            other.sendall(said())
            as_it_came(conn.response(), vary="Accept-Encoding")
            other.close()
        assert gw.counters("http")["compress_none_left"] == before + 1
        clients[0].close()  # gives its encoder back

        def free():
            with Conn(gw.address) as conn:
                conn.send(head("GET", "/x", "packed.test", ANY))
                other = listener.accept()[0]
                other.recv(65536)
                other.sendall(said())
                answer = conn.response()
                other.close()
                return answer.get("Content-Encoding") == "gzip" and plain(answer) == TEXT
        wait_for(free, 20, "an encoder to come free")
        for conn in held[1:]:
            conn.sendall(b"0\r\n\r\n")
        for conn in clients[1:]:
            while int(conn.until(b"\r\n"), 16):
                conn.until(b"\r\n")
    finally:
        listener.close()
        for conn in held + clients:
            conn.close()


def test_compression_begins_and_ends_with_a_reload(gw):
    part = ", compress: {min_size: 200B}}"
    assert part in gw.config
    gw.reload(gw.config.replace(part, "}"))
    try:
        wait_for(lambda: one(gw, said()).get("Content-Encoding") is None, 20, "the route to compress no more")
        as_it_came(one(gw, said()))
    finally:
        gw.reload(gw.config)
    wait_for(lambda: one(gw, said()).get("Content-Encoding") == "gzip", 20, "the route to compress again")
