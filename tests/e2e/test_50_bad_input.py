"""Malformed requests and packets: refused, counted by reason, and nothing else happens."""
import socket
import struct
import time

from http1 import Closed, Conn
from lab.space import wait_for
from packets import Wire, checksum, ipv4, tcp
from test_30_routing import ask, own_error

OK = b"Host: lab.test\r\n"
LONG = b"a" * 40000
# (what is wrong, bytes, status)
BAD = [
    ("no version", b"GET /\r\n\r\n", (400, 505)),
    ("two blanks", b"GET  / HTTP/1.1\r\n" + OK + b"\r\n", (400,)),
    ("control byte in the method", b"G\x01T / HTTP/1.1\r\n" + OK + b"\r\n", (400, 501)),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    ("version 3", b"GET / HTTP/3.0\r\n" + OK + b"\r\n", (400, 505)),
    ("blank before the colon", b"GET / HTTP/1.1\r\n" + OK + b"A : b\r\n\r\n", (400,)),
    ("field without a colon", b"GET / HTTP/1.1\r\n" + OK + b"nonsense\r\n\r\n", (400,)),
    ("folded field", b"GET / HTTP/1.1\r\n" + OK + b"A: b\r\n c\r\n\r\n", (400,)),
    ("NUL in a value", b"GET / HTTP/1.1\r\n" + OK + b"A: b\x00c\r\n\r\n", (400,)),
    ("bare CR in a value", b"GET / HTTP/1.1\r\n" + OK + b"A: b\rc\r\n\r\n", (400,)),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", (400,)),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", (400,)),
    ("malformed Host", b"GET / HTTP/1.1\r\nHost: a test\r\n\r\n", (400,)),
    ("negative length", b"POST / HTTP/1.1\r\n" + OK + b"Content-Length: -1\r\n\r\n", (400,)),
    ("length with a plus", b"POST / HTTP/1.1\r\n" + OK + b"Content-Length: +1\r\n\r\n", (400,)),
    ("length beyond 64 bits", b"POST / HTTP/1.1\r\n" + OK + b"Content-Length: 99999999999999999999\r\n\r\n", (400, 413)),
    ("two lengths", b"POST / HTTP/1.1\r\n" + OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", (400,)),
    ("length and chunked", b"POST / HTTP/1.1\r\n" + OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     (400,)),
    ("unknown coding", b"POST / HTTP/1.1\r\n" + OK + b"Transfer-Encoding: gzip\r\n\r\n", (400, 501)),
    ("chunked, not last", b"POST / HTTP/1.1\r\n" + OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n", (400, 501)),
    ("chunked in 1.0", b"POST / HTTP/1.0\r\n" + OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
    ("huge head", b"GET / HTTP/1.1\r\n" + OK + b"A: " + LONG + b"\r\n\r\n", (431,)),
    ("huge target", b"GET /" + LONG + b" HTTP/1.1\r\n" + OK + b"\r\n", (414, 431)),
    ("too many fields", b"GET / HTTP/1.1\r\n" + OK + b"A: b\r\n" * 200 + b"\r\n", (431,)),
    ("blank in the target", b"GET /a b HTTP/1.1\r\n" + OK + b"\r\n", (400,)),
    ("unknown expectation", b"GET /hello HTTP/1.1\r\n" + OK + b"Expect: miracles\r\n\r\n", (417,)),
    ("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60 + b"\r\n\r\n", (400,)),
]


def test_malformed_requests_are_refused_and_the_connection_ends(gw):
    wrong = []
    for what, data, statuses in BAD:
        with Conn(gw.address) as conn:
            try:
                conn.send(data)
                answer = conn.response()
                if answer.status not in statuses:
                    wrong.append(f"{what}: {answer.status}, not {statuses}")
                    continue
                own_error(answer, answer.status)
                if answer.status != 417 and not conn.ended():
                    wrong.append(f"{what}: the connection stays")
            except (Closed, OSError, ValueError, KeyError) as error:
                wrong.append(f"{what}: {error!r}")
    assert not wrong, "; ".join(wrong)
    assert ask(gw, "lab.test", "/hello").status == 200


def test_malformed_chunks_are_refused(gw):
    start = b"POST /upload HTTP/1.1\r\nHost: python.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    wrong = []
    for body in (b"zz\r\nab\r\n0\r\n\r\n", b"-1\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"fffffffffffffffff\r\n", b"0x3\r\nabc\r\n0\r\n\r\n",
                 b" 3\r\nabc\r\n0\r\n\r\n"):
        with Conn(gw.address) as conn:
            try:
                conn.send(start + body)
                answer = conn.response()
                if answer.status not in (400, 502):
                    wrong.append((body, answer))
                elif answer.status == 400:
                    own_error(answer, 400)
            except (Closed, ConnectionResetError):
                pass
    assert not wrong, wrong
    assert ask(gw, "python.test", "/whoami").status == 200


def test_smuggled_request_is_never_answered(gw):
    with Conn(gw.address) as conn:
        conn.send(b"POST /hello HTTP/1.1\r\nHost: lab.test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"0\r\n\r\nGET /gone HTTP/1.1\r\nHost: lab.test\r\n\r\n")
        answer = conn.response()
        assert answer.status == 400, answer
        assert b"gone" not in conn.rest()


def test_bad_requests_are_counted(gw):
    for data, reason in ((b"nonsense\r\n\r\n", "fault_bad_method"), (b"GET / HTTP/1.1\r\n\r\n", "fault_no_host")):
        before = gw.drops()
        with Conn(gw.address) as conn:
            conn.send(data)
            conn.response()
        wait_for(lambda: gw.drops()["http_bad_request"] == before["http_bad_request"] + 1, 5, "the count")
        assert gw.drops()[reason] == before.get(reason, 0) + 1, reason


def test_limits_and_line_ends_are_the_listeners(gw):
    with Conn(gw.address, 81) as conn:
        conn.send(b"GET /hello HTTP/1.1\nHost: lab.test\n\n")  # lenient_lf
        assert conn.response().status == 200
    for data, status in ((b"GET /hello?" + b"a" * 300 + b" HTTP/1.1\r\n" + OK + b"\r\n", 414),
                         (b"GET /hello HTTP/1.1\r\n" + OK + b"A: b\r\n" * 20 + b"\r\n", 431),
                         (b"POST /hello HTTP/1.1\r\n" + OK + b"Content-Length: 1048577\r\n\r\n", 413)):
        with Conn(gw.address, 81) as conn:
            conn.send(data)
            answer = conn.response()
            own_error(answer, status)
            assert conn.ended()
    shown = next(row for row in gw.cgctl("show listeners", as_json=True)["listeners"] if row["name"] == "short")
    assert (shown["max_uri"], shown["max_fields"], shown["max_body"], shown["lenient_lf"]) == (256, 20, 1 << 20, True)


def test_slow_head_is_cut_off(gw):
    with Conn(gw.address, 81, timeout=8) as conn:
        conn.send(b"GET /hello HTTP/1.1\r\nHost: lab")
        answer = None
        try:
            answer = conn.response()
        except (Closed, ConnectionResetError):
            pass
        assert answer is None or answer.status == 408, answer


def test_idle_connection_is_closed_in_time(gw):
    with Conn(gw.address, 81, timeout=8) as conn:
        assert conn.request("GET", "/hello", "lab.test").status == 200
        assert conn.ended()


# Packets

def test_malformed_packets_are_dropped_and_counted_by_reason(gw):
    wire = Wire(gw)
    ours, theirs = wire.ours, wire.theirs
    ether = theirs + ours
    frames = [
        ("rx_bad_ethernet", theirs + b"\x01" + ours[1:] + b"\x08\x00" + ipv4(tcp())),
        ("rx_wrong_vlan", ether + b"\x81\x00\x00\x63\x08\x00" + ipv4(tcp())),
        ("rx_not_for_us_mac", b"\x02\x11\x22\x33\x44\x55" + ours + b"\x08\x00" + ipv4(tcp())),
        ("rx_unknown_ethertype", ether + b"\x88\xb5" + b"x" * 46),
        ("arp_bad", ether + b"\x08\x06" + b"\x00\x09" * 20),
        ("ip_bad_header", ether + b"\x08\x00" + b"\x45\x00\x00"),
        ("ip_bad_header", ether + b"\x08\x00" + ipv4(tcp(), ihl=4)),
        ("ip_bad_header", ether + b"\x08\x00" + ipv4(tcp(), total=2000)),
        ("ip_bad_header", ether + b"\x08\x00" + ipv4(tcp(), version=7)),
        ("ip_bad_checksum", ether + b"\x08\x00" + ipv4(tcp(), bad_sum=True)),
        ("ip_not_for_us", ether + b"\x08\x00" + ipv4(tcp(dst="198.18.0.77"), dst="198.18.0.77")),
        ("ip_martian", ether + b"\x08\x00" + ipv4(tcp(src="127.0.0.1"), src="127.0.0.1")),
        ("ip_martian", ether + b"\x08\x00" + ipv4(tcp(src="240.0.0.1"), src="240.0.0.1")),
        ("ip_land", ether + b"\x08\x00" + ipv4(tcp(src="198.18.0.1"), src="198.18.0.1")),
        ("ip_unknown_protocol", ether + b"\x08\x00" + ipv4(b"x" * 30, proto=47)),
        ("icmp_bad", ether + b"\x08\x00" + ipv4(b"\x08\x00\x12\x34\x00\x01\x00\x01", proto=1)),
        ("tcp_bad_header", ether + b"\x08\x00" + ipv4(tcp()[:12])),
        ("tcp_bad_header", ether + b"\x08\x00" + ipv4(tcp(offset=4))),
        ("tcp_bad_checksum", ether + b"\x08\x00" + ipv4(tcp(bad_sum=True))),
        ("tcp_no_listener", ether + b"\x08\x00" + ipv4(tcp(dport=4444))),
        ("tcp_no_connection", ether + b"\x08\x00" + ipv4(tcp(flags=0x10, ack=5))),
    ]
    if gw.device == "tap":
        del frames[0]  # a bridge passes no frame whose source is a group
    wrong = []
    for reason, frame in frames:
        before = gw.drops()
        wire.frame(frame)
        end = time.monotonic() + 2
        while gw.drops()[reason] == before[reason] and time.monotonic() < end:
            pass
        after = gw.drops()
        risen = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        if risen.get(reason) != 1:
            wrong.append(f"{reason}: {risen or 'nothing'} was counted")
    wire.raw.close()
    assert not wrong, "; ".join(wrong)
    assert ask(gw, "lab.test", "/hello").status == 200


def test_random_frames_do_no_harm(gw):
    state = 0x2545F491
    with Wire(gw) as wire:
        for n in range(3000):
            data = bytearray(ipv4(tcp(sport=5000 + n % 50, data=b"GET / HTTP/1.1\r\n\r\n", flags=n & 0x3f)))
            for _ in range(n % 4):
                state = (state * 1103515245 + 12345) & 0x7fffffff
                data[(state >> 8) % len(data)] = state & 0xff
            wire.send(bytes(data[:20 + n % 80]))
    assert ask(gw, "lab.test", "/hello").status == 200


def test_echo_request_is_answered(gw):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(5)
        body = struct.pack("!HH", 4711, 1) + b"churchgate" * 5
        raw.sendto(struct.pack("!BBH", 8, 0, checksum(b"\x08\x00\x00\x00" + body)) + body, (gw.address, 0))
        while True:
            answer = raw.recv(2000)[20:]
            if answer[0] == 0 and answer[4:] == body:
                break


def test_closed_port_refuses_at_once(gw):
    try:
        Conn(gw.address, 4444, timeout=5).close()
        raise AssertionError("a connection to a closed port")
    except ConnectionRefusedError:
        pass
