"""The same over IPv6: clients, upstreams, neighbours and everything that must not do harm."""
import hashlib
import os
import socket
import struct
import time

from http1 import Conn
from lab.space import wait_for
from packets import CLIENT6 as CLIENT, Wire, icmp6, ipv6, tcp6 as tcp
from test_30_routing import ask, own_error

OTHER = "fd00:c6:12::77"


def ask6(gw, host, path, method="GET", **options):
    with Conn(gw.address6) as conn:
        return conn.request(method, path, host, **options)


def curl(gw, *argv):
    status, text = gw.space.call("client", "curl", "-sS", "-g", *argv)
    assert status == 0, text
    return text


def test_local_answer_over_ipv6(gw):
    wait_for(lambda: gw.space.call("client", "curl", "-sg", f"http://[{gw.address6}]/hello", "-o", "/dev/null")[0] == 0,
             5, "the address to be ours")
    text = curl(gw, "-H", "Host: lab.test", f"http://[{gw.address6}]/hello")
    assert text == "hello\n", text


def test_listener_bound_to_an_ipv6_address_is_not_there_for_ipv4(gw):
    assert "hello" in curl(gw, "-H", "Host: lab.test", f"http://[{gw.address6}]:86/hello")
    try:
        Conn(gw.address, 86).close()
        raise AssertionError("port 86 answers over IPv4")
    except ConnectionRefusedError:
        pass


def test_upstream_over_ipv6_from_clients_of_either_version(gw):
    for where in (gw.address, gw.address6):
        names = set()
        for _ in range(6):
            with Conn(where) as conn:
                names.add(conn.request("GET", "/whoami", "six.test").body)
        assert names == {b"a\n", b"b\n"}, (where, names)
    assert ask6(gw, "a.test", "/whoami").body == b"a\n"  # and from IPv6 to IPv4


def test_large_download_over_ipv6_on_both_sides(gw):
    want = gw.backends.file("six", 24 << 20)
    got = os.path.join(gw.space.dir, "six")
    curl(gw, "-H", "Host: six.test", "-o", got, f"http://[{gw.address6}]/six")
    with open(got, "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == want
    os.unlink(got)
    os.unlink(os.path.join(gw.backends.files, "six"))


def test_upload_over_ipv6_reaches_the_backend_whole(gw):
    body = os.urandom(3 << 20)
    with Conn(gw.address6, timeout=60) as conn:
        answer = conn.request("POST", "/upload", "python.test", body=body)
    assert hashlib.sha256(body).hexdigest().encode() in answer.body, answer


def test_refusing_and_absent_ipv6_endpoints_are_errors_of_their_own(gw):
    own_error(ask6(gw, "six-refused.test", "/"), 502)
    begun = time.monotonic()
    answer = ask6(gw, "six-absent.test", "/")
    assert answer.status in (503, 504), answer
    assert time.monotonic() - begun < 5


def test_connections_and_endpoints_are_listed_with_their_ipv6_addresses(gw):
    with Conn(gw.address6) as conn:
        assert conn.request("GET", "/hello", "lab.test").status == 200
        text = gw.cgctl("show conns")
        assert f"[{CLIENT}]:" in text and f"[{gw.address6}]:80" in text, text
    assert "[fd00:c6:12:1::11]:8080" in gw.cgctl("show upstreams")
    assert f"{gw.address6}/64" in gw.cgctl("show ports")


def test_closed_port_refuses_at_once_over_ipv6(gw):
    try:
        Conn(gw.address6, 4444, timeout=5).close()
        raise AssertionError("a connection to a closed port")
    except ConnectionRefusedError:
        pass


def test_echo_request_over_ipv6_is_answered(gw):
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        raw.settimeout(5)
        body = struct.pack("!HH", 4711, 1) + b"churchgate" * 100
        raw.sendto(b"\x80\x00\x00\x00" + body, (gw.address6, 0))
        while True:
            answer = raw.recv(2000)
            if answer[0] == 129 and answer[4:] == body:
                break


def test_udp_port_is_unreachable_over_ipv6(gw):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.connect((gw.address6, 5353))
        udp.send(b"anybody there?")
        try:
            udp.recv(10)
            raise AssertionError("an answer")
        except ConnectionRefusedError:
            pass


# Packets

def test_malformed_ipv6_packets_are_counted_by_reason(gw):
    target = socket.inet_pton(socket.AF_INET6, "fd00:c6:12::1")
    hops = bytes([6, 0, 0xc0, 4, 0, 0, 0, 0])
    routing = bytes([6, 2, 0, 1, 0, 0, 0, 0]) + target
    frames = [
        ("ip_bad_header", ipv6(tcp())[:30]),
        ("ip_bad_header", ipv6(tcp(), length=2000)),
        ("ip_bad_header", ipv6(tcp(), version=4)),
        ("ip_not_for_us", ipv6(tcp(dst=OTHER), dst=OTHER)),
        ("ip_martian", ipv6(tcp(src="::1"), src="::1")),
        ("ip_martian", ipv6(tcp(src="ff02::1"), src="ff02::1")),
        ("ip_martian", ipv6(tcp(src="::"), src="::")),
        ("ip_land", ipv6(tcp(src="fd00:c6:12::1"), src="fd00:c6:12::1")),
        ("ip_martian", ipv6(tcp(src="::ffff:198.18.0.2"), src="::ffff:198.18.0.2")),
        ("ip_fragment_bad", ipv6(bytes([6, 0, 0, 1, 0, 0, 0, 9]) + tcp()[:16], proto=44)),
        ("ip_bad_extension", ipv6(routing + tcp(), proto=43)),
        ("ip_bad_extension", ipv6(hops + tcp(), proto=0)),
        ("ip_bad_extension", ipv6(bytes([60, 0, 1, 4, 0, 0, 0, 0]) * 20 + tcp(), proto=60)),
        ("ip_unknown_protocol", ipv6(b"x" * 30, proto=47)),
        ("icmp_bad", ipv6(icmp6(128, 0, b"\0\0\0\0", src=OTHER), proto=58)),
        ("ndp_bad", ipv6(icmp6(135, 0, bytes(4) + target), proto=58, hops=254)),
        ("ndp_ignored", ipv6(icmp6(137, 0, bytes(36)), proto=58, hops=255)),
        ("tcp_bad_header", ipv6(tcp()[:12])),
        ("tcp_bad_checksum", ipv6(tcp(bad_sum=True))),
        ("tcp_no_listener", ipv6(tcp(dport=4444))),
        ("tcp_no_connection", ipv6(tcp(flags=0x10, ack=5))),
    ]
    wrong = []
    with Wire(gw, 6) as wire:
        for reason, packet in frames:
            before = gw.drops()
            wire.send(packet)
            end = time.monotonic() + 2
            while gw.drops()[reason] == before[reason] and time.monotonic() < end:
                pass
            after = gw.drops()
            risen = {name: after[name] - before[name] for name in after if after[name] != before[name]}
            if risen.get(reason) != 1:
                wrong.append(f"{reason}: {risen or 'nothing'} was counted")
    assert not wrong, "; ".join(wrong)
    assert ask6(gw, "lab.test", "/hello").status == 200


def test_unknown_option_is_answered_with_a_parameter_problem(gw):
    with Wire(gw, 6) as wire:
        wire.send(ipv6(bytes([6, 0, 0x80, 4, 0, 0, 0, 0]) + tcp(), proto=0))
        answer = wire.receive(lambda packet: packet[6] == 58 and packet[40] == 4)[14:]
    assert answer[41] == 2 and answer[44:48] == b"\0\0\0\x2a", answer  # the option's offset (RFC 4443 3.4)


def test_neighbour_solicitation_is_answered_in_group_and_alone(gw):
    target = socket.inet_pton(socket.AF_INET6, gw.address6)
    with Wire(gw, 6) as wire:
        for group in (True, False):
            dst = "ff02::1:ff00:1" if group else gw.address6
            body = bytes(4) + target + b"\x01\x01" + wire.ours
            wire.send(ipv6(icmp6(135, 0, body, dst=dst), proto=58, dst=dst, hops=255),
                      to=b"\x33\x33\xff\x00\x00\x01" if group else None)
            frame = wire.receive(lambda packet: packet[6] == 58 and packet[40] == 136)
            assert frame[:6] == wire.ours and frame[21] == 255, frame
            assert frame[54 + 4] == 0x60 and frame[62:78] == target and frame[78:86] == b"\x02\x01" + wire.theirs


def test_address_is_defended_against_one_who_wants_it(gw):
    target = socket.inet_pton(socket.AF_INET6, gw.address6)
    with Wire(gw, 6) as wire:
        wire.send(ipv6(icmp6(135, 0, bytes(4) + target, src="::", dst="ff02::1:ff00:1"), proto=58, src="::",
                       dst="ff02::1:ff00:1", hops=255), to=b"\x33\x33\xff\x00\x00\x01")
        frame = wire.receive(lambda packet: packet[6] == 58 and packet[40] == 136)
        assert frame[:6] == b"\x33\x33\x00\x00\x00\x01" and frame[58] == 0x20, frame


def test_random_ipv6_frames_do_no_harm(gw):
    state = 0x2545F491
    with Wire(gw, 6) as wire:
        for n in range(3000):
            payload, proto = (tcp(sport=5000 + n % 50, flags=n & 0x3f, data=b"GET / HTTP/1.1\r\n\r\n"), 6)
            if n % 3 == 1:
                payload, proto = bytes([6, 0, 1, 4, 0, 0, 0, 0]) + payload, (0, 43, 44, 60)[n % 4]
            elif n % 3 == 2:
                payload, proto = icmp6(128 + n % 10, 0, payload), 58
            data = bytearray(ipv6(payload, proto=proto, hops=255))
            for _ in range(n % 4):
                state = (state * 1103515245 + 12345) & 0x7fffffff
                data[(state >> 8) % len(data)] = state & 0xff
            wire.send(bytes(data[:40 + n % 80]))
    assert ask6(gw, "lab.test", "/hello").status == 200
    assert ask(gw, "lab.test", "/hello").status == 200
