"""Datagrams in fragments: those of Linux and those of nobody honest, over either version of IP."""
import os
import select
import socket
import struct
import time

from lab.space import wait_for
from test_30_routing import ask
from test_50_bad_input import checksum, ipv4
from test_50_bad_input import tcp as tcp4
from test_55_ipv6 import ask6, icmp6, ipv6
from test_55_ipv6 import tcp as tcp6

# DPDK's driver of AF_PACKET asks the kernel to put IPv4 fragments together before it gives them to us (a flag of its
# fan-out group that cannot be turned off), and loses what is then larger than its frames of 2 KiB. With this device
# nothing can be seen of IPv4 fragments; IPv6 is left alone.
def kernel_reassembles(gw):
    return gw.device == "af_packet"


IN_ORDER, BACKWARDS = (0, 1), (1, 0)


def echo(family, proto, kind, address, size, seconds=5):
    """What `ping -s SIZE -c 1` does: Linux cuts the request and puts the answer together. Its payload."""
    body = struct.pack("!HH", 4712, size & 0xffff) + os.urandom(size - 4)
    request = bytes([kind, 0, 0, 0]) + body
    if family == socket.AF_INET:
        request = struct.pack("!BBH", kind, 0, checksum(request)) + body
    with socket.socket(family, socket.SOCK_RAW, proto) as raw:
        raw.settimeout(seconds)
        raw.sendto(request, (address, 0))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = raw.recv(70000)[20 if family == socket.AF_INET else 0:]
            if answer[0] == (0 if family == socket.AF_INET else 129) and answer[4:8] == body[:4]:
                return answer[4:] == body
    return None


def test_large_echo_of_linux_is_answered_whole(gw):
    if kernel_reassembles(gw):
        return
    before = gw.drops()
    for size in (1473, 4000, 9000, 16000):
        assert echo(socket.AF_INET, socket.IPPROTO_ICMP, 8, gw.address, size), size
    after = gw.drops()
    risen = {name: after[name] - before[name] for name in after if "fragment" in name and after[name] != before[name]}
    assert not risen, risen


def test_large_echo_of_linux_is_answered_whole_over_ipv6(gw):
    ask6(gw, "lab.test", "/hello")
    for size in (1453, 4000, 9000, 16000):
        assert echo(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, gw.address6, size), size


def test_echo_beyond_the_limit_is_refused_and_counted(gw):
    # Linux keeps few packets for a neighbour that it has yet to ask for, and the first of these would be lost.
    ask(gw, "lab.test", "/hello")
    ask6(gw, "lab.test", "/hello")
    before = gw.drops()
    for family, proto, kind, address in ((socket.AF_INET, socket.IPPROTO_ICMP, 8, gw.address),
                                         (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, gw.address6)):
        try:
            assert echo(family, proto, kind, address, 30000, seconds=0.3) is None
        except TimeoutError:
            pass
    want = before["ip_fragment_too_long"] + (1 if kernel_reassembles(gw) else 2)
    wait_for(lambda: gw.drops()["ip_fragment_too_long"] == want, 5, "the count")


class Stranger:
    """A host beside the client's, whose TCP is written here: it may cut its segments as it likes."""

    def __init__(self, gw, version):
        self.version, self.gw = version, gw
        self.src = "198.18.0.77" if version == 4 else "fd00:c6:12::77"
        self.dst = gw.address if version == 4 else gw.address6
        (ask if version == 4 else ask6)(gw, "lab.test", "/hello")
        peer = gw.space.ip("client", "neigh", "show", self.dst).split()
        self.theirs = bytes.fromhex(peer[peer.index("lladdr") + 1].replace(":", ""))
        kind = 0x0800 if version == 4 else 0x86dd
        self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
        self.raw.bind(("wan", kind))
        self.ours = self.raw.getsockname()[4]
        self.ether = self.theirs + self.ours + struct.pack("!H", kind)
        self.ident = os.getpid() & 0xffff
        self.introduce()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    def introduce(self):
        """Asks for the gateway, so that it knows where we are."""
        if self.version == 4:
            self.raw.send(self.theirs + self.ours + b"\x08\x06" + struct.pack(
                "!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, self.ours, socket.inet_aton(self.src), bytes(6),
                socket.inet_aton(self.dst)))
        else:
            body = bytes(4) + socket.inet_pton(socket.AF_INET6, self.dst) + b"\x01\x01" + self.ours
            self.raw.send(self.ether + ipv6(icmp6(135, 0, body, src=self.src), proto=58, src=self.src, hops=255))

    def segment(self, **options):
        return (tcp4 if self.version == 4 else tcp6)(src=self.src, dst=self.dst, **options)

    def send(self, payload):
        self.raw.send(self.ether + (ipv4(payload, src=self.src, dst=self.dst) if self.version == 4
                                    else ipv6(payload, src=self.src)))

    def send_fragment(self, payload, at, end):
        more = end < len(payload)
        if self.version == 4:
            packet = bytearray(ipv4(payload[at:end], src=self.src, dst=self.dst, flags=at // 8 | more << 13))
            packet[4:6] = struct.pack("!H", self.ident)
            packet[10:12] = b"\0\0"
            packet[10:12] = struct.pack("!H", checksum(bytes(packet[:20])))
        else:
            header = struct.pack("!BBHI", 6, 0, at | more, self.ident)
            packet = ipv6(header + payload[at:end], proto=44, src=self.src)
        self.raw.send(self.ether + bytes(packet))

    def receive(self, wanted, seconds=5):
        """The first segment for us that is wanted, from its TCP header on."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.raw], [], [], left)[0]:
                raise AssertionError("no answer")
            packet = self.raw.recv(4096)[14:]
            if self.version == 4:
                mine = packet[16:20] == socket.inet_aton(self.src) and packet[9] == 6
                segment = packet[20:struct.unpack("!H", packet[2:4])[0]]
                ends = packet[12:20] + struct.pack("!HH", 6, len(segment))
            else:
                mine = packet[24:40] == socket.inet_pton(socket.AF_INET6, self.src) and packet[6] == 6
                segment = packet[40:40 + struct.unpack("!H", packet[4:6])[0]]
                ends = packet[8:40] + struct.pack("!II", len(segment), 6)
            # Where we left checksums to a device that does not fill them in, they would be wrong on the wire.
            assert not mine or checksum(ends + segment) == 0, "a wrong checksum was sent"
            if mine and wanted(segment):
                return segment


def exchange(gw, version, port, order):
    """A whole request whose every segment, the SYN too, comes in fragments; the answer's payload."""
    request = b"GET /hello HTTP/1.1\r\nHost: lab.test\r\nX-Filler: " + b"f" * 700 + b"\r\nConnection: close\r\n\r\n"
    with Stranger(gw, version) as host:
        def mine(segment):
            return segment[2:4] == struct.pack("!H", port)

        def give(payload):
            size = 24 if len(payload) < 200 else 256
            pieces = [(at, min(at + size, len(payload))) for at in range(0, len(payload), size)]
            host.ident = (host.ident + 1) & 0xffff
            for at, end in pieces if order is IN_ORDER else reversed(pieces):
                host.send_fragment(payload, at, end)

        # Options (two no-operations and the MSS), so that even a SYN is larger than a fragment.
        syn = bytearray(host.segment(sport=port, seq=1000, flags=2, offset=8,
                                     data=b"\x02\x04\x05\xb4" + b"\x01" * 8))
        give(bytes(syn))
        answer = host.receive(lambda s: mine(s) and s[13] & 0x12 == 0x12)
        ack = (struct.unpack("!I", answer[4:8])[0] + 1) & 0xffffffff
        host.send(host.segment(sport=port, seq=1001, ack=ack, flags=0x10))
        give(host.segment(sport=port, seq=1001, ack=ack, flags=0x18, data=request))
        answer = host.receive(lambda s: mine(s) and b"hello\n" in s)
        host.send(host.segment(sport=port, seq=1001 + len(request), ack=0, flags=4))
    return answer[(answer[12] >> 4) * 4:]


def test_segments_in_fragments_make_a_request(gw):
    for number in range(8):  # ports of every worker
        payload = exchange(gw, 4, 21000 + number, BACKWARDS if number % 2 else IN_ORDER)
        assert payload.startswith(b"HTTP/1.1 200"), payload


def test_segments_in_fragments_make_a_request_over_ipv6(gw):
    for number in range(8):
        payload = exchange(gw, 6, 22000 + number, BACKWARDS if number % 2 else IN_ORDER)
        assert payload.startswith(b"HTTP/1.1 200"), payload


def test_fragments_of_attackers_are_refused_and_counted(gw):
    wrong = []
    for version in (6,) if kernel_reassembles(gw) else (4, 6):
        with Stranger(gw, version) as host:
            segment = host.segment(dport=80, data=b"x" * 400)
            for reason, pieces in (
                    ("ip_fragment_overlap", [(0, 64), (56, 128)]),        # teardrop
                    ("ip_fragment_refused", [(0, 64), (56, 128), (128, 192)]),
                    ("ip_fragment_duplicate", [(0, 64), (0, 64)]),
                    ("ip_fragment_bad", [(0, 16)]),                       # tiny
                    ("ip_fragment_bad", [(0, 61)])):
                before = gw.drops()
                host.ident = (host.ident + 1) & 0xffff
                for at, end in pieces:
                    host.send_fragment(segment, at, end)
                end = time.monotonic() + 2
                while gw.drops()[reason] == before[reason] and time.monotonic() < end:
                    pass
                after = gw.drops()
                if after[reason] != before[reason] + 1:
                    wrong.append(f"IPv{version} {reason}: {after[reason] - before[reason]} were counted")
    assert not wrong, "; ".join(wrong)


def test_flood_of_fragments_costs_no_more_than_its_share(gw):
    """More incomplete datagrams than may be held, and every request is answered all the same."""
    with Stranger(gw, 6) as host:
        segment = host.segment(dport=80, data=b"x" * 1400)
        before = gw.drops()
        for ident in range(3000):
            host.ident = ident
            host.send_fragment(segment, 0, 1200)
            if ident % 500 == 0:
                assert ask(gw, "lab.test", "/hello").status == 200
        wait_for(lambda: gw.drops()["ip_fragment_full"] > before["ip_fragment_full"] + 500, 5, "the count")
    assert echo(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, gw.address6, 4000)
    assert ask(gw, "lab.test", "/hello").status == 200
