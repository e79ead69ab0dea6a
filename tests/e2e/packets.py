"""Packets made and read by hand, and the cable they go over: what no socket would send."""
import socket
import struct

CLIENT, CLIENT6 = "198.18.0.2", "fd00:c6:12::2"
GATEWAY, GATEWAY6 = "198.18.0.1", "fd00:c6:12::1"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(payload, proto=6, src=CLIENT, dst=GATEWAY, flags=0, bad_sum=False, ihl=5, total=None, version=4):
    def build(value):
        return struct.pack("!BBHHHBBH4s4s", version << 4 | ihl, 0, total or 20 + len(payload), 77, flags, 64, proto,
                           value, socket.inet_aton(src), socket.inet_aton(dst))
    value = checksum(build(0))
    return build(value ^ 0x5555 if bad_sum else value) + payload


def ipv6(payload, proto=6, src=CLIENT6, dst=GATEWAY6, hops=64, length=None, version=6):
    return struct.pack("!IHBB", version << 28, len(payload) if length is None else length, proto, hops) \
        + socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + payload


def pseudo(payload, proto, src, dst):
    """Of either version (RFC 9293 3.1, RFC 8200 8.1)."""
    if ":" in src:
        return socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) \
            + struct.pack("!II", len(payload), proto)
    return socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!BBH", 0, proto, len(payload))


def tcp(sport=4000, dport=80, seq=1, ack=0, flags=SYN, offset=None, src=CLIENT, dst=GATEWAY, bad_sum=False, data=b"",
        options=b"", window=1024):
    def build(value):
        return struct.pack("!HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff,
                           (5 + len(options) // 4 if offset is None else offset) << 4, flags, window, value,
                           0) + options + data
    value = checksum(pseudo(build(0), 6, src, dst) + build(0))
    return build(value ^ 0x5555 if bad_sum else value)


def tcp6(src=CLIENT6, dst=GATEWAY6, **options):
    return tcp(src=src, dst=dst, **options)


def icmp6(kind, code, body, src=CLIENT6, dst=GATEWAY6):
    message = struct.pack("!BBH", kind, code, 0) + body
    return struct.pack("!BBH", kind, code, checksum(pseudo(message, 58, src, dst) + message)) + body


MSS, NOP, WSCALE, SACK_OK = b"\x02\x04\x05\xb4", b"\x01", b"\x03\x03\x07", b"\x04\x02"


def stamps(value, echo):
    return NOP + NOP + struct.pack("!BBII", 8, 10, value, echo)


class Segment:
    """A TCP segment as it was received, from its IP header on; None of it where it is none."""

    def __init__(self, packet):
        version, self.ok = packet[0] >> 4, False
        if version == 4 and packet[9] == 6:
            at, self.src, self.dst = (packet[0] & 15) * 4, packet[12:16], packet[16:20]
            packet = packet[:struct.unpack("!H", packet[2:4])[0]]
        elif version == 6 and packet[6] == 6:
            at, self.src, self.dst = 40, packet[8:24], packet[24:40]
            packet = packet[:40 + struct.unpack("!H", packet[4:6])[0]]
        else:
            return
        self.ok = True
        self.sport, self.dport, self.seq, self.ack, off, self.flags, self.window = struct.unpack(
            "!HHIIBBH", packet[at:at + 16])
        self.options = packet[at + 20:at + (off >> 4) * 4]
        self.data = packet[at + (off >> 4) * 4:]

    def option(self, kind):
        at = 0
        while at < len(self.options) and self.options[at]:
            if self.options[at] == 1:
                at += 1
                continue
            if self.options[at] == kind:
                return self.options[at + 2:at + self.options[at + 1]]
            at += self.options[at + 1]
        return None


class Wire:
    """Raw frames between the client's cable and the gateway."""

    def __init__(self, gw, version=4):
        self.address = gw.address if version == 4 else gw.address6
        self.type = b"\x08\x00" if version == 4 else b"\x86\xdd"
        socket.create_connection((self.address, 80), 5).close()  # so that either side knows the other
        peer = gw.space.ip("client", "neigh", "show", self.address).splitlines()[0].split()
        self.theirs = bytes.fromhex(peer[peer.index("lladdr") + 1].replace(":", ""))
        kind = struct.unpack("!H", self.type)[0]
        self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
        self.raw.bind(("wan", kind))
        self.ours = self.raw.getsockname()[4]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    def send(self, packet, to=None, source=None):
        self.frame((to or self.theirs) + (source or self.ours) + self.type + packet)

    def frame(self, data):
        self.raw.send(data)

    def receive(self, wanted, seconds=5):
        """The first packet (from its IP header on) from the gateway that is wanted."""
        self.raw.settimeout(seconds)
        while True:
            frame = self.raw.recv(4096)
            if frame[6:12] == self.theirs and wanted(frame[14:]):
                return frame

    def pretend(self, address):
        """The gateway takes this cable for the way to address, which no kernel here answers for."""
        if ":" in address:
            body = bytes(4) + socket.inet_pton(socket.AF_INET6, self.address) + b"\x01\x01" + self.ours
            self.send(ipv6(icmp6(135, 0, body, src=address), proto=58, src=address, hops=255))
            return
        self.frame(self.theirs + self.ours + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + self.ours
                   + socket.inet_aton(address) + bytes(6) + socket.inet_aton(self.address))

    def segment(self, dport, seconds=5):
        """The next TCP segment from the gateway to our port."""
        found = []

        def wanted(packet):
            segment = Segment(packet)
            if segment.ok and segment.dport == dport:
                found.append(segment)
            return found
        self.receive(wanted, seconds)
        return found[0]

