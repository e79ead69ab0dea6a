"""IPv6 default routes from routers' advertisements (RFC 4861)."""
import struct

from lab.space import wait_for
from test_30_routing import ask
from packets import Wire, icmp6, ipv6, tcp6 as tcp

FAR = "2001:db8::77"
ROUTER = "fe80::aa"
WAN = 'addresses: [198.18.0.1/24, "fd00:c6:12::1/64"]'


def advertisement(wire, lifetime, hops=255):
    body = struct.pack("!BBHII", 64, 0, lifetime, 0, 0) + b"\x01\x01" + wire.ours
    return ipv6(icmp6(134, 0, body, src=ROUTER, dst="ff02::1"), proto=58, src=ROUTER, dst="ff02::1", hops=hops)


def answered(wire, port):
    """Whether a SYN from beyond the link is answered, over us."""
    wire.send(ipv6(tcp(src=FAR, sport=port), src=FAR))
    try:
        wire.receive(lambda p: p[6] == 6 and p[42:44] == struct.pack("!H", port) and p[53] & 0x12 == 0x12,
                     seconds=0.5)
        wire.send(ipv6(tcp(src=FAR, sport=port, seq=2, flags=4), src=FAR))
        return True
    except TimeoutError:
        return False


def test_router_that_advertises_itself_is_the_default_route(gw):
    with Wire(gw, 6) as wire:
        assert not answered(wire, 7001)
        gw.reload(gw.config.replace(WAN, WAN + ", routers: advertised", 1))
        try:
            group = b"\x33\x33\x00\x00\x00\x01"
            wire.send(advertisement(wire, 1800, hops=64), to=group)  # from beyond the link
            assert not answered(wire, 7002)
            wire.send(advertisement(wire, 1800), to=group)
            wait_for(lambda: answered(wire, 7003), 5, "the route")
            wire.send(advertisement(wire, 0), to=group)
            assert not answered(wire, 7004)
        finally:
            gw.reload(gw.config)
        wire.send(advertisement(wire, 1800), to=b"\x33\x33\x00\x00\x00\x01")
        assert not answered(wire, 7005)
    assert ask(gw, "lab.test", "/hello").status == 200
