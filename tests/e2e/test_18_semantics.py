"""What RFC 9110 asks of a proxy, a test for each section."""
import contextlib
import queue
import socket
import struct
import threading

from http1 import Closed, Conn, head
from lab.space import wait_for
from test_30_routing import ask, own_error
from test_70_tunnels import Raw, counted, read_head


def seen(answer):
    fields = {}
    for name, value in answer.json()["fields"]:
        fields.setdefault(name.lower(), []).append(value)
    return fields


@contextlib.contextmanager
def scripted(gw, *answers, until=b"\r\n\r\n"):
    """A backend for scripted.test that says these bytes, one for each connection, once it was sent `until`, and
    keeps what it was sent."""
    got, lock = [], threading.Lock()
    with gw.space.inside("back"):
        listener = socket.create_server(("198.19.0.22", 8092), backlog=16)

    def serve(conn, answer):
        data = b""
        with contextlib.suppress(OSError), conn:
            while until not in data:
                part = conn.recv(1 << 16)
                if not part:
                    break
                data += part
            with lock:
                got.append(data)
            conn.sendall(answer)
            conn.shutdown(socket.SHUT_WR)
            while conn.recv(1 << 16):
                pass

    def accept():
        with contextlib.suppress(OSError):
            for answer in answers:
                threading.Thread(target=serve, args=(listener.accept()[0], answer), daemon=True).start()
    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield got
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def test_7_6_1_fields_that_connection_names_are_removed_both_ways(gw):
    fields = [("Connection", "close, X-One , x-two"), ("X-One", "1"), ("X-Two", "2"), ("X-Three", "3"),
              ("Connection", "X-Four"), ("X-Four", "4")]
    told = seen(ask(gw, "python.test", "/echo", fields=fields))
    assert "x-three" in told and not {"x-one", "x-two", "x-four", "connection"} & set(told), told
    answer = ask(gw, "python.test", "/hop")
    assert answer.get("X-Hop") is None and answer.get("Keep-Alive") is None and answer.get("X-End") == "kept", answer


def test_7_6_1_what_the_gateway_adds_cannot_be_removed_by_connection(gw):
    told = seen(ask(gw, "python.test", "/echo", fields=[("Connection", "X-Forwarded-For, Via, X-Request-Id")]))
    assert {"x-forwarded-for", "via", "x-request-id"} <= set(told), told


def test_7_6_2_max_forwards_counts_down_on_options_and_trace_alone(gw):
    for method, sent, left in (("OPTIONS", "5", "4"), ("OPTIONS", "1", "0"), ("OPTIONS", "99999999999999", "999999999"),
                               ("GET", "0", "0"), ("POST", "7", "7")):
        told = seen(ask(gw, "python.test", "/echo", method, fields=[("Max-Forwards", sent)]))
        assert told["max-forwards"] == [left], (method, sent, told)


def test_7_6_2_options_with_max_forwards_0_is_answered_here(gw):
    with Conn(gw.address) as conn:
        answer = conn.request("OPTIONS", "/echo", "python.test", [("Max-Forwards", "0")])
        assert answer.status == 200 and answer.body == b"" and "Via" not in dict(answer.fields), answer
        assert {"GET", "OPTIONS", "POST"} <= set(answer.get("Allow").split(", ")), answer
        answer = conn.request("OPTIONS", "*", "python.test", [("Max-Forwards", "0")])
        assert answer.status == 200 and answer.get("Server") == "churchgate", answer
        assert conn.request("GET", "/whoami", "python.test").status == 200


def test_9_3_8_trace_with_max_forwards_0_reflects_the_request_without_its_secrets(gw):
    with Conn(gw.address) as conn:
        answer = conn.request("TRACE", "/echo?x", "python.test", [
            ("Max-Forwards", "0"), ("X-Mark", "m"), ("Cookie", "sid=secret"), ("Authorization", "Basic c2VjcmV0")])
        assert answer.status == 200 and answer.get("Content-Type") == "message/http", answer
        assert answer.body.startswith(b"TRACE /echo?x HTTP/1.1\r\nHost: python.test\r\n"), answer
        assert b"X-Mark: m\r\n" in answer.body and answer.body.endswith(b"\r\n\r\n"), answer
        assert b"ecret" not in answer.body and b"c2Vj" not in answer.body, answer
        assert conn.request("GET", "/whoami", "python.test").status == 200


def test_7_6_2_malformed_max_forwards_is_a_400(gw):
    for values in (["-1"], ["1 0"], [""], ["0x1"], ["1", "0"]):
        own_error(ask(gw, "python.test", "/echo", "OPTIONS", fields=[("Max-Forwards", v) for v in values]), 400)


def test_10_1_4_te_is_for_one_hop(gw):
    told = seen(ask(gw, "python.test", "/echo", fields=[("TE", "trailers, gzip"), ("Connection", "TE")]))
    assert told["te"] == ["trailers"] and told["connection"] == ["TE"], told
    told = seen(ask(gw, "python.test", "/echo", fields=[("TE", "gzip"), ("Connection", "TE")]))
    assert "te" not in told and "connection" not in told, told


def test_6_5_1_trailers_end_here_for_who_does_not_ask_for_them(gw):
    answer = ask(gw, "python.test", "/chunked?n=3000")
    assert answer.status == 200 and answer.get("X-Trailer") is None and answer.get("Trailer") is None, answer


def test_10_1_1_an_expectation_that_nobody_knows_is_a_417(gw):
    own_error(ask(gw, "python.test", "/echo", "POST", fields=[("Expect", "a-miracle")], body=b"x"), 417)


def test_6_6_1_a_date_is_added_where_the_upstream_has_none_and_kept_where_it_has(gw):
    with scripted(gw, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                  b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n"):
        dates = [ask(gw, "scripted.test", "/").all("Date") for _ in range(2)]
    assert len(dates[0]) == 1 and dates[0][0].endswith(" GMT") and "1994" not in dates[0][0], dates
    assert dates[1] == ["Sun, 06 Nov 1994 08:49:37 GMT"], dates


def test_14_ranges_pass_untouched(gw):
    gw.backends.file("ranged", 5000)
    whole = ask(gw, "a.test", "/ranged")
    assert whole.get("Accept-Ranges") == "bytes" and len(whole.body) == 5000
    part = ask(gw, "a.test", "/ranged", fields=[("Range", "bytes=1000-1999"), ("If-Range", whole.get("ETag"))])
    assert part.status == 206 and part.get("Content-Range") == "bytes 1000-1999/5000", part
    assert part.body == whole.body[1000:2000]
    several = ask(gw, "a.test", "/ranged", fields=[("Range", "bytes=0-1,10-11")])
    assert several.status == 206 and several.get("Content-Type").startswith("multipart/byteranges"), several
    assert ask(gw, "a.test", "/ranged", fields=[("Range", "bytes=9000-")]).status == 416
    same = ask(gw, "a.test", "/ranged", fields=[("If-None-Match", whole.get("ETag"))])
    assert same.status == 304 and same.body == b"" and same.get("ETag") == whole.get("ETag"), same


def test_9_3_2_head_keeps_the_length_and_the_next_answer_is_the_next(gw):
    with Conn(gw.address) as conn:
        conn.send(head("HEAD", "/bytes?n=77", "python.test") + head("GET", "/whoami", "python.test"))
        first, second = conn.response("HEAD"), conn.response()
    assert first.get("Content-Length") == "77" and first.body == b"" and second.body == b"python\n", (first, second)


def test_15_2_interim_answers_reach_the_client_each_in_its_turn(gw):
    with scripted(gw, b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
                      b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"):
        with Conn(gw.address) as conn:
            conn.send(head("GET", "/", "scripted.test"))
            answers = [conn.response(interim=True) for _ in range(4)]
    assert [answer.status for answer in answers] == [102, 103, 103, 200], answers
    assert [answer.get("Link") for answer in answers[1:3]] == ["</a.css>", "</b.css>"], answers


def test_the_backend_answers_and_closes_at_once(gw):
    many = 20
    with scripted(gw, *[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"] * many), Conn(gw.address) as conn:
        for _ in range(many):
            assert conn.request("GET", "/", "scripted.test").body == b"ok"


def test_the_client_that_closes_first_ends_the_request_upstream(gw):
    begun, ends = queue.Queue(), queue.Queue()

    def serve(conn):
        request, _, _ = read_head(conn)
        begun.put(request)
        try:
            while conn.recv(65536):
                pass
        except ConnectionResetError:
            pass
        ends.put(request.split()[0])  # a timeout is no end

    before = counted(gw, "http_client_gone")
    with Raw(gw, serve):
        conn = Conn(gw.address)
        conn.send(head("POST", "/", "raw.test", [("Content-Length", "100")]) + b"x" * 10)
        begun.get(timeout=8)
        conn.close()  # within its body
        assert ends.get(timeout=8) == b"POST"
        conn = Conn(gw.address)
        conn.send(head("GET", "/", "raw.test"))
        begun.get(timeout=8)
        conn.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        conn.close()  # with a reset, which takes no answer any more
        assert ends.get(timeout=8) == b"GET"
    wait_for(lambda: counted(gw, "http_client_gone") >= before + 2, 5, "both to be counted")
    assert ask(gw, "python.test", "/whoami").body == b"python\n"


def test_9_3_6_connect_is_refused_where_no_route_allows_it(gw):
    with Conn(gw.address) as conn:
        conn.send("CONNECT python.test:443 HTTP/1.1\r\nHost: python.test:443\r\n\r\n")
        assert conn.response().status in (404, 405, 501)
        assert conn.ended()


def test_9_3_7_options_of_the_whole_server_is_passed_on_as_an_asterisk(gw):
    with scripted(gw, b"HTTP/1.1 204 No Content\r\n\r\n") as got:
        assert ask(gw, "scripted.test", "*", "OPTIONS").status == 204
    assert got[0].startswith(b"OPTIONS * HTTP/1.1\r\n"), got


def test_an_answer_cut_short_is_seen_as_cut_short(gw):
    with scripted(gw, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"):
        try:
            answer = ask(gw, "scripted.test", "/")
        except (Closed, ConnectionResetError):
            answer = None
    assert answer is None, answer
