"""Trailers (RFC 9110 6.5): to clients that ask for them, to upstreams where the route says so, else nowhere."""
from http1 import Closed, Conn, head
from test_18_semantics import scripted, seen
from test_30_routing import ask, own_error
from test_70_tunnels import counted
from test_71_slow import SHORT, STRICT, counts

TE = [("TE", "trailers"), ("Connection", "TE")]
ANSWER = (b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\nTrailer: grpc-status, X-Inner, Set-Cookie\r\n"
          b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ngrpc-status: 0\r\nX-Inner: secret\r\nx-kind: forged\r\n"
          b"Set-Cookie: a=b\r\ngrpc-message: fine\r\n\r\n")


def chunked_post(host, trailers, more=()):
    return (head("POST", "/", host, [("Transfer-Encoding", "chunked"), *more]) + b"5\r\nhello\r\n0\r\n" +
            b"".join(b"%b\r\n" % line for line in trailers) + b"\r\n")


def test_a_client_that_takes_trailers_gets_those_that_may_pass(gw):
    before = counted(gw, "http_trailers"), counted(gw, "http_trailers_dropped")
    with scripted(gw, ANSWER) as got:
        answer = ask(gw, "trailers.test", "/", fields=TE)
    assert answer.body == b"hello" and answer.trailers == [("grpc-status", "0"), ("grpc-message", "fine")], answer.trailers
    assert answer.get("Trailer") == "grpc-status" and answer.get("X-Kind") == "checked", answer
    assert b"\r\nTE: trailers\r\n" in got[0] and b"\r\nConnection: TE\r\n" in got[0], got
    assert (counted(gw, "http_trailers"), counted(gw, "http_trailers_dropped")) == (before[0] + 2, before[1] + 3)


def test_a_client_that_does_not_say_so_gets_none_but_where_the_route_says_so(gw):
    with scripted(gw, ANSWER, ANSWER) as got:
        none, all_of_them = ask(gw, "trailers.test", "/"), ask(gw, "trailers-to-all.test", "/")
    assert none.body == b"hello" and not none.trailers and none.get("Trailer") is None, (none, none.trailers)
    assert [name for name, _ in all_of_them.trailers] == ["grpc-status", "X-Inner", "x-kind", "grpc-message"], all_of_them.trailers
    assert b"\r\nTE:" not in got[0] and b"\r\nTE: trailers\r\n" in got[1], got


def test_trailers_leave_the_connections_fit_for_the_next_request(gw):
    with Conn(gw.address) as conn:
        for _ in range(3):
            answer = conn.request("GET", "/chunked?n=3000", "python.test", TE)
            assert len(answer.body) == 3000 and answer.trailers == [("X-Trailer", "end")], answer.trailers
            assert conn.request("GET", "/whoami", "python.test").body == b"python\n"


def test_trailers_of_a_request_go_where_the_route_says_so(gw):
    lines = [b"X-Sum: 7", b"X-Secret: 1", b"Content-Length: 3", b"Host: evil.test", b"X_Forwarded_For: 192.0.2.1",
             b"X-Last: 1"]
    with scripted(gw, b"HTTP/1.1 204 No Content\r\n\r\n", until=b"X-Last: 1\r\n\r\n") as got, Conn(gw.address) as conn:
        conn.send(chunked_post("trailers.test", lines, [("Trailer", "X-Sum, X-Secret, Host")]))
        assert conn.response().status == 204
    first, body = got[0].split(b"\r\n\r\n", 1)
    assert b"\r\nTrailer: X-Sum\r\n" in first, got
    assert body == b"5\r\nhello\r\n0\r\nX-Sum: 7\r\nX-Last: 1\r\n\r\n", body


def test_trailers_of_a_request_go_nowhere_else(gw):
    before = counted(gw, "http_trailers_dropped")
    with scripted(gw, b"HTTP/1.1 204 No Content\r\n\r\n", until=b"0\r\n\r\n") as got, Conn(gw.address) as conn:
        conn.send(chunked_post("scripted.test", [b"X-Sum: 7"], [("Trailer", "X-Sum")]))
        assert conn.response().status == 204
    assert got[0].endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n") and b"Trailer" not in got[0], got
    assert counted(gw, "http_trailers_dropped") == before + 1


def test_what_is_no_trailer_ends_the_request_and_nothing_behind_it_is_read(gw):
    with scripted(gw, b"", until=b"nothing such") as got, Conn(gw.address) as conn:
        conn.send(chunked_post("trailers.test", [b"X-Sum: 7", b"GET /smuggled HTTP/1.1"]) + head("GET", "/next", "python.test"))
        own_error(conn.response(), 400)
        assert conn.ended()
    assert not got or b"X-Sum" not in got[0], got


def test_trailers_that_do_not_come_in_time_are_the_clients_fault(gw):
    for port, counter in ((SHORT, "http_body_timeout"), (STRICT, "http_body_slow")):
        with counts(gw, counter), Conn(gw.address, port) as conn:
            conn.send(chunked_post("python.test", [b"X-Sum: 7"])[:-2].replace(b"POST / ", b"POST /upload "))
            own_error(conn.response(), 408)


def test_an_answer_cut_within_its_trailers_is_seen_as_cut_short(gw):
    with scripted(gw, ANSWER[:-2]), Conn(gw.address) as conn:
        conn.send(head("GET", "/", "trailers.test", TE))
        try:
            answer = conn.response()
        except (Closed, ConnectionResetError):
            answer = None
    assert answer is None, answer


def test_te_of_another_hop_asks_for_nothing(gw):
    told = seen(ask(gw, "python.test", "/echo", fields=[("TE", "trailersx, gzip;q=1"), ("Connection", "TE")]))
    assert "te" not in told, told
