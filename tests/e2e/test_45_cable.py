"""Cables: a host behind the gateway that vanishes without a word and comes back, and clients at the end of a bad path.

    namespace rough            namespace client                     gateway
    a client ── veth ──── wire (delay, loss, ...) ──── wan ════════ wan port
"""
import contextlib
import hashlib
import os
import re

from http1 import Closed, Conn, head
from lab.backend import pattern
from lab.space import run, wait_for
from test_70_tunnels import counted

A, B = "198.19.0.11", "198.19.0.12"


def upstream_conns(gw, address, but=()):
    """Connections to this host, by their local ends; `but` are those of other upstreams to it, kept from before."""
    return {row["local"] for row in gw.cgctl("show conns", as_json=True)["conns"]
            if row["side"] == "upstream" and row["remote"].startswith(address + ":")} - set(but)


def who(gw, timeout=5):
    """Which of the two answers, by a new connection; none within `timeout` seconds is an error."""
    with Conn(gw.address, timeout=timeout) as conn:
        answer = conn.request("GET", "/whoami", "cable.test")
        assert answer.status == 200, answer
        return answer.body


@contextlib.contextmanager
def cable_pulled(gw, address):
    """The host with this address is gone: it answers nothing, not even with RST."""
    gw.space.ip("back", "address", "del", address + "/24", "dev", "lan")
    try:
        yield
    finally:
        gw.space.ip("back", "address", "add", address + "/24", "dev", "lan")


def test_host_that_vanishes_costs_no_request_and_leaves_no_connection(gw):
    old = upstream_conns(gw, B)
    wait_for(lambda: {who(gw) for _ in range(4)} == {b"a\n", b"b\n"}, 10, "both to answer")
    assert upstream_conns(gw, B, old), "nothing in the pool"
    with cable_pulled(gw, B):
        # per_try is 500 ms and three may be made: each answer comes within 1.5 s, some of them over connections
        # that were in the pool.
        for _ in range(8):
            assert who(gw, timeout=3) == b"a\n"
        wait_for(lambda: not upstream_conns(gw, B, old), 10, "connections to the host that is gone to end")
        assert who(gw) == b"a\n"
    wait_for(lambda: who(gw) == b"b\n", 20, "the host that came back to be used")


def test_request_under_way_when_its_host_vanishes_goes_to_another(gw):
    with Conn(gw.address) as conn:
        wait_for(lambda: conn.request("GET", "/whoami", "cable.test").body == b"b\n", 10, "b to answer")
        with cable_pulled(gw, B):
            for _ in range(4):
                answer = conn.request("GET", "/whoami", "cable.test")
                assert answer.status == 200 and answer.body == b"a\n", answer
    wait_for(lambda: who(gw) == b"b\n", 20, "the host that came back to be used")


def test_pooled_connections_that_nobody_uses_end_when_their_host_vanishes_and_others_stay(gw):
    """They would be kept for 60 s, but are asked each 400 ms for a sign of life."""
    old_a, old_b = upstream_conns(gw, A), upstream_conns(gw, B)
    with Conn(gw.address) as conn:
        for _ in range(4):
            assert conn.request("GET", "/whoami", "watched.test").status == 200
    a, b = upstream_conns(gw, A, old_a), upstream_conns(gw, B, old_b)
    assert a and b, "nothing in the pool"
    dead, asked = counted(gw, "up_pool_dead"), gw.counters()["tcp_keepalive"]
    with cable_pulled(gw, B):
        wait_for(lambda: not b & upstream_conns(gw, B), 10, "connections to the host that is gone to end")
        assert counted(gw, "up_pool_dead") >= dead + len(b)
        assert gw.counters()["tcp_keepalive"] >= asked + 3 * len(b)
        assert a <= upstream_conns(gw, A), "a connection to the host that is there ended"


def test_cable_of_all_hosts_is_a_504_or_503_until_it_is_back(gw):
    old = upstream_conns(gw, A) | upstream_conns(gw, B)
    wait_for(lambda: {who(gw) for _ in range(4)} == {b"a\n", b"b\n"}, 10, "both to answer")
    gw.space.ip("back", "link", "set", "lan", "down")
    try:
        for _ in range(3):
            with Conn(gw.address, timeout=5) as conn:
                answer = conn.request("GET", "/whoami", "cable.test")
                assert answer.status in (502, 503, 504), answer
        wait_for(lambda: not upstream_conns(gw, A, old) | upstream_conns(gw, B, old), 10, "connections to end")
    finally:
        gw.space.ip("back", "link", "set", "lan", "up")
        for address in ("fd00:c6:12:1::11/64", "fd00:c6:12:1::12/64"):  # a link that goes down takes them along
            if address not in gw.space.ip("back", "-6", "address", "show", "dev", "lan"):
                gw.space.address("back", "lan", address)

    def answers():
        with contextlib.suppress(AssertionError, Closed, OSError):
            return who(gw)
        return None
    wait_for(answers, 20, "the hosts to be used again")


@contextlib.contextmanager
def bad_path(gw, loss):
    """A client's namespace behind 20 ms, loss, reordering and duplication; its name in the space."""
    space, name = gw.space, "rough"
    space.names[name] = f"cg{space.id}-{name}"
    run("ip", "netns", "add", space.names[name])
    wire = None
    try:
        run("ip", "link", "add", "eth", "netns", space.names[name], "type", "veth", "peer", "name", "rough", "netns",
            space.names["client"])
        run("nsenter", f"--net={space.path(name)}", "ethtool", "-K", "eth",
            *(word for feature in ("tx", "rx", "gso", "tso", "gro") for word in (feature, "off")))
        space.ip("client", "link", "set", "rough", "arp", "off", "addrgenmode", "none", "up")
        space.ip(name, "link", "set", "eth", "addrgenmode", "none", "up")
        space.address(name, "eth", "198.18.0.77/24")
        space.address(name, "eth", "fd00:c6:12::77/64")
        wire = space.start("client", os.path.join(gw.build, "tests/linux/wire"), "rough", "wan", "--delay-us", "10000",
                           "--mbits", "300", "--loss", str(loss), "--reorder", "0.02", "--twice", "0.01", "--seed", "7",
                           log="wire.log")
        log = os.path.join(space.dir, "wire.log")
        wait_for(lambda: wire.poll() is not None or os.path.getsize(log), 10, "the wire")
        with space.inside(name):
            yield
        space.stop(wire)
        with open(log, encoding="ascii") as file:
            lost = sum(map(int, re.findall(r"(\d+) lost", file.read())))
        assert lost, "the path was good"
    finally:
        if wire:
            space.stop(wire)
        space.ip("client", "link", "del", "rough")
        run("ip", "netns", "del", space.names.pop(name))


def through_the_gateway(gw, address, size, port):
    gw.backends.file("rough", size)
    with Conn(address, port, timeout=60) as conn:
        conn.send(head("GET", "/rough", "a.test"))
        answer = conn.head()
        assert int(answer.get("Content-Length")) == size, answer
        assert hashlib.sha256(conn.take(size)).hexdigest() == gw.backends.sums["rough"]
        body = pattern(size)
        conn.send(head("POST", "/upload", "python.test", [("Content-Length", str(size))]))
        conn.socket.sendall(body)
        answer = conn.response()
        assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest(), answer


def test_bodies_over_a_path_with_2_percent_loss_come_whole_both_ways_over_ipv4(gw):
    with bad_path(gw, 0.02):
        through_the_gateway(gw, gw.address, 2 << 20, 80)


def test_bodies_over_a_path_with_2_percent_loss_come_whole_both_ways_over_ipv6(gw):
    with bad_path(gw, 0.02):
        through_the_gateway(gw, "fd00:c6:12::1", 2 << 20, 86)
