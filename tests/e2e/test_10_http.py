"""Requests and answers of ordinary clients."""
import hashlib
import http.client
import json
import re
import socket
import threading

from http1 import Closed, Conn, chunked, head


def get(gw, host, path, **options):
    with Conn(gw.address) as conn:
        return conn.request("GET", path, host, **options)


def curl(gw, *argv):
    status, text = gw.space.call("client", "curl", "-sS", "-m", "20", *argv)
    assert status == 0, f"curl ended with {status}: {text}"
    return text


def test_curl_gets_a_page_from_nginx(gw):
    text = curl(gw, "-i", "-H", "Host: a.test", f"http://{gw.address}/whoami")
    assert text.startswith("HTTP/1.1 200") and text.endswith("\r\n\r\na\n"), text


def test_http_client_keeps_one_connection_for_many_requests(gw):
    client = http.client.HTTPConnection(gw.address, timeout=10)
    client.connect()
    before = client.sock
    for n in range(50):
        client.request("POST", f"/echo?n={n}", body=b"x" * n, headers={"Host": "python.test"})
        answer = client.getresponse()
        echoed = json.loads(answer.read())
        assert answer.status == 200 and echoed["target"] == f"/echo?n={n}" and echoed["body"]["size"] == n
        assert client.sock is before, "the gateway closed a persistent connection"
    client.close()


def test_upstream_connections_are_used_again(gw):
    peers = set()
    with Conn(gw.address) as conn:
        for _ in range(20):
            peers.add(tuple(conn.request("GET", "/echo", "python.test").json()["peer"]))
    assert len(peers) == 1, peers


def test_ab_gets_every_answer(gw):
    status, text = gw.space.call("client", "ab", "-k", "-n", "2000", "-c", "16", "-H", "Host: lab.test",
                                 f"http://{gw.address}/whoami")
    assert status == 0 and re.search(r"Complete requests:\s+2000", text), text
    assert re.search(r"Failed requests:\s+(\d+)", text), text
    # ab calls answers of another length failed; ours are all two bytes.
    assert re.search(r"Failed requests:\s+0\b", text) and "Non-2xx" not in text, text


def test_wrk_sees_no_error_with_256_connections(gw):
    status, text = gw.space.call("client", "wrk", "-t", "1", "-c", "256", "-d", "3", "-H", "Host: lab.test",
                                 f"http://{gw.address}/whoami", timeout=60)
    assert status == 0 and re.search(r"[1-9]\d* requests in", text), text
    assert "Socket errors" not in text and "Non-2xx" not in text, text


def test_plain_python_http_server_behind_answers_in_http_1_0(gw):
    gw.backends.file("small", 10000)
    answer = get(gw, "files.test", "/small")
    assert answer.status == 200 and hashlib.sha256(answer.body).hexdigest() == gw.backends.sums["small"]


def test_head_has_length_and_no_body(gw):
    with Conn(gw.address) as conn:
        answer = conn.request("HEAD", "/bytes?n=5000", "python.test")
        assert answer.status == 200 and answer.get("Content-Length") == "5000"
        again = conn.request("GET", "/whoami", "python.test")
        assert again.body == b"python\n", again


def test_head_of_a_local_answer_has_no_body(gw):
    with Conn(gw.address) as conn:
        conn.request("HEAD", "/hello", "lab.test")
        assert conn.request("GET", "/hello", "lab.test").body == b"hello\n"


def test_204_and_304_carry_no_body_and_keep_the_connection(gw):
    with Conn(gw.address) as conn:
        for status in (204, 304, 204):
            answer = conn.request("GET", f"/status?s={status}", "python.test")
            assert answer.status == status and answer.get("Transfer-Encoding") is None, answer
        assert conn.request("GET", "/whoami", "python.test").body == b"python\n"


def test_statuses_of_the_upstream_pass(gw):
    with Conn(gw.address) as conn:
        for status in (200, 201, 400, 404, 418, 500, 503):
            answer = conn.request("GET", f"/status?s={status}", "python.test")
            assert (answer.status, answer.body) == (status, b"status %d\n" % status), answer


def test_interim_103_reaches_the_client_before_the_answer(gw):
    with Conn(gw.address) as conn:
        conn.send(head("GET", "/early", "python.test"))
        answer = conn.response(interim=True)
        seen = []
        while answer.status < 200:
            seen.append(answer.status)
            answer = conn.response(interim=True)
        assert answer.status == 200 and answer.body == b"late!\n", answer
        assert 103 in seen, seen


def test_interim_answers_do_not_reach_an_http_1_0_client(gw):
    with Conn(gw.address) as conn:
        conn.send(head("GET", "/early", "python.test", version="HTTP/1.0"))
        answer = conn.response(interim=True)
        assert answer.status == 200 and answer.body == b"late!\n", answer


def test_expect_100_continue_is_answered_before_the_body(gw):
    with Conn(gw.address) as conn:
        body = b"p" * 5000
        conn.send(head("POST", "/upload", "python.test", [("Expect", "100-continue"),
                                                           ("Content-Length", str(len(body)))]))
        assert conn.head().status == 100
        conn.send(body)
        answer = conn.response()
        assert answer.status == 200 and answer.json()["size"] == len(body), answer


def test_expect_100_continue_refused_by_the_upstream_needs_no_body(gw):
    with Conn(gw.address) as conn:
        conn.send(head("POST", "/refuse", "python.test", [("Expect", "100-continue"),
                                                           ("Content-Length", "100000000")]))
        answer = conn.response()
        assert answer.status == 413, answer


def test_curl_uploads_with_expect(gw):
    path = f"{gw.space.dir}/files/up"
    gw.backends.file("up", 2_000_000)
    text = curl(gw, "-T", path, "-H", "Expect: 100-continue", "-H", "Host: python.test",
                f"http://{gw.address}/upload")
    assert json.loads(text)["sha256"] == gw.backends.sums["up"], text


def test_pipelined_requests_are_answered_in_order(gw):
    with Conn(gw.address) as conn:
        paths = []
        for n in range(30):
            # Answers of different origin and speed: local, nginx, python with a delay.
            paths.append([("lab.test", "/hello"), ("a.test", "/whoami"), ("python.test", f"/echo?n={n}"),
                          ("python.test", "/slow?ms=20")][n % 4])
        conn.send(b"".join(head("GET", path, host) for host, path in paths))
        for host, path in paths:
            answer = conn.response()
            assert answer.status == 200, answer
            expected = {"/hello": b"hello\n", "/whoami": b"a\n", "/slow?ms=20": b"slow\n"}.get(path)
            if expected:
                assert answer.body == expected, (host, path, answer)
            else:
                assert answer.json()["target"] == path, answer


def test_pipelined_request_with_body_does_not_eat_the_next(gw):
    with Conn(gw.address) as conn:
        conn.send(head("POST", "/upload", "python.test", body=b"a" * 3000) + b"a" * 3000 +
                  head("POST", "/upload", "python.test", [("Transfer-Encoding", "chunked")]) +
                  chunked([b"b" * 100] * 20) + head("GET", "/hello", "lab.test"))
        assert conn.response().json()["size"] == 3000
        assert conn.response().json()["size"] == 2000
        assert conn.response().body == b"hello\n"


def test_request_that_comes_byte_by_byte(gw):
    with Conn(gw.address) as conn:
        for byte in head("GET", "/whoami", "a.test"):
            conn.send(bytes([byte]))
        assert conn.response().body == b"a\n"


def test_http_1_0_client_gets_an_answer_and_the_end_of_the_connection(gw):
    with Conn(gw.address) as conn:
        conn.send(b"GET /whoami HTTP/1.0\r\nHost: a.test\r\n\r\n")
        answer = conn.response()
        assert answer.status == 200 and answer.body == b"a\n" and answer.framing != "chunked", answer
        assert conn.ended()


def test_http_1_0_client_gets_a_chunked_answer_unchunked(gw):
    with Conn(gw.address) as conn:
        conn.send(b"GET /chunked?n=30000 HTTP/1.0\r\nHost: python.test\r\n\r\n")
        answer = conn.response()
        assert answer.framing != "chunked" and len(answer.body) == 30000, answer


def test_http_1_0_keep_alive_is_honoured(gw):
    with Conn(gw.address) as conn:
        for _ in range(3):
            answer = conn.request("GET", "/whoami", "a.test", [("Connection", "keep-alive")], version="HTTP/1.0")
            assert answer.body == b"a\n" and answer.get("Connection", "").lower() == "keep-alive", answer


def test_connection_close_is_honoured(gw):
    with Conn(gw.address) as conn:
        answer = conn.request("GET", "/whoami", "a.test", [("Connection", "close")])
        assert answer.get("Connection") == "close" and answer.body == b"a\n", answer
        assert conn.ended()


def test_hop_by_hop_fields_of_a_request_are_removed(gw):
    fields = [("Connection", "X-Private, keep-alive"), ("X-Private", "1"), ("Keep-Alive", "timeout=3"), ("TE", "deflate"),
              ("Proxy-Connection", "keep-alive"), ("Upgrade", "h2c"), ("X-Kept", "yes")]
    echoed = get(gw, "python.test", "/echo", fields=fields).json()
    names = {name.lower() for name, _ in echoed["fields"]}
    assert not names & {"x-private", "keep-alive", "te", "proxy-connection", "upgrade"}, names
    assert "x-kept" in names


def test_hop_by_hop_fields_of_a_response_are_removed(gw):
    answer = get(gw, "python.test", "/hop")
    assert answer.status == 200 and answer.get("X-End") == "kept", answer
    assert not [name for name in ("X-Hop", "Keep-Alive") if answer.get(name)], answer


def test_forwarded_fields_via_and_request_id_are_added(gw):
    echoed = get(gw, "python.test", "/echo", fields=[("X-Forwarded-For", "203.0.113.9")]).json()
    fields = {name.lower(): value for name, value in echoed["fields"]}
    assert fields["host"] == "python.test"
    assert fields["x-forwarded-for"] == "198.18.0.2", fields
    assert fields["x-forwarded-proto"] == "http", fields
    assert re.match(r"1\.1 \S+", fields["via"]), fields
    assert len(fields["x-request-id"]) >= 16, fields


def test_request_ids_differ_and_come_back(gw):
    with Conn(gw.address) as conn:
        ids = []
        for _ in range(10):
            answer = conn.request("GET", "/echo", "python.test")
            sent = dict(answer.json()["fields"])
            ids.append({name.lower(): value for name, value in sent.items()}["x-request-id"])
    assert len(set(ids)) == 10, ids


def test_answers_carry_one_date_and_via(gw):
    for host, path in (("lab.test", "/hello"), ("a.test", "/whoami")):
        answer = get(gw, host, path)
        assert len(answer.all("Date")) == 1, answer
    assert get(gw, "a.test", "/whoami").get("Via"), "no Via in a proxied answer"


def test_stage_sets_adds_and_removes_fields(gw):
    answer = get(gw, "headers.test", "/echo", fields=[("X-Secret", "s"), ("X-Set", "client"), ("X-Add", "first")])
    fields = answer.json()["fields"]
    assert [value for name, value in fields if name.lower() == "x-set"] == ["by-gateway"], fields
    assert sorted(value for name, value in fields if name.lower() == "x-add") == ["first", "more"], fields
    assert not [name for name, _ in fields if name.lower() == "x-secret"], fields
    assert answer.get("X-Answer") == "by-gateway" and answer.get("Server") is None, answer


def test_client_that_goes_away_in_the_middle_harms_nobody(gw):
    for _ in range(20):
        conn = Conn(gw.address)
        conn.send(head("GET", "/bytes?n=1000000", "python.test"))
        conn.socket.recv(1000)
        conn.close()
    assert get(gw, "python.test", "/whoami").body == b"python\n"


def test_half_closed_client_still_gets_its_answer(gw):
    with Conn(gw.address) as conn:
        conn.send(head("GET", "/slow?ms=200", "python.test"))
        conn.socket.shutdown(socket.SHUT_WR)
        assert conn.response().body == b"slow\n"


def test_slow_client_does_not_delay_others(gw):
    gw.backends.file("medium", 16 << 20)
    slow = Conn(gw.address, timeout=30)
    slow.send(head("GET", "/medium", "a.test"))
    for _ in range(50):
        assert get(gw, "a.test", "/whoami").body == b"a\n"
    answer = slow.response()
    assert hashlib.sha256(answer.body).hexdigest() == gw.backends.sums["medium"]
    slow.close()


def test_many_clients_at_once_each_get_their_own_answer(gw):
    wrong = []

    def client(number):
        try:
            with gw.space.inside("client"), Conn(gw.address) as conn:
                for n in range(40):
                    target = f"/echo?who={number}&n={n}"
                    answer = conn.request("GET", target, "python.test").json()
                    if answer["target"] != target:
                        wrong.append((target, answer))
        except (OSError, Closed, ValueError) as error:
            wrong.append(repr(error))
    threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
