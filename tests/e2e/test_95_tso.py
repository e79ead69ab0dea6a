"""Segmentation by the device (TSO), with the one driver of this machine that offers it: net_tap, in software.

It does so for IPv4 alone. A gateway of its own, as the others run on a device without.
"""
import hashlib

from http1 import Conn, head
from lab.backends import Backends
from lab.gateway import Gateway
from lab.space import Space, wait_for

CONFIG = """version: 1
system:
  workers: {count: 1, idle: adaptive}
  memory: {hugepages: never, packets: 64MiB}
  ports:
    - {name: wan, device: "net_tap0,iface=wan", addresses: [198.18.0.1/24, "fd00:c6:12::1/64"], tso: TSO}
    - {name: lan, device: "net_tap1,iface=lan", addresses: [198.19.0.1/24]}
listeners:
  - {name: http, port: wan, bind: ":114"}
  - {name: six, port: wan, bind: "[fd00:c6:12::1]:115"}
routes:
  - {name: files, match: {prefix: /}, to: files}
upstreams:
  - {name: files, port: lan, endpoints: ["198.19.0.11:8080"]}
"""
SIZES = {"m64": 64 << 20, "m1": 1 << 20}


def download(address, port, name):
    sha, size = hashlib.sha256(), 0
    with Conn(address, port, timeout=60) as conn:
        conn.send(head("GET", "/" + name, "files"))
        answer = conn.head()
        assert answer.status == 200 and int(answer.get("Content-Length")) == SIZES[name], answer
        data = conn.buffer
        while True:
            sha.update(data)
            size += len(data)
            if size >= SIZES[name]:
                return sha.hexdigest()
            data = conn.socket.recv(1 << 18)
            assert data, f"ended after {size}"


def port_row(gw, name):
    return next(row for row in gw.cgctl("show ports", as_json=True)["ports"] if row["name"] == name)


def offloads(gw, name):
    """They are told some time after the start."""
    return wait_for(lambda: port_row(gw, name)["offloads"], 5, "offloads to be told")


def on_taps(space, tso):
    gw = Gateway(space, CONFIG.replace("TSO", tso), device="tap")
    gw.start()
    return gw


def ended(gw):
    assert gw.shutdown() == 0 and not gw.unexpected_ends() and not gw.sanitizer_reports(), gw.log_tail()


def test_bodies_sent_in_packets_that_the_device_cuts_arrive_whole(_):
    with Space() as space:
        space.make()
        backends = Backends(space)
        backends.start(python=False)
        for name, size in SIZES.items():
            backends.file(name, size)
        gw = on_taps(space, "on")
        assert "tso" in offloads(gw, "wan") and "tso" not in offloads(gw, "lan")
        with space.inside("client"):
            before = port_row(gw, "wan")["tx_packets"]
            for name, _size in SIZES.items():
                assert download(gw.address, 114, name) == backends.sums[name], name
            packets, large = port_row(gw, "wan")["tx_packets"] - before, gw.counters()["tcp_tso"]
            # More than two segments in each packet, and hardly one sent again: a card that cuts wrongly would be seen
            # here as a lossy path.
            assert large > 100 and packets < sum(SIZES.values()) / 1448 / 2, (large, packets)
            assert gw.counters().get("tcp_retransmit", 0) < 100, gw.counters()
            for name, _size in SIZES.items():  # IPv6: in segments as ever
                assert download(gw.address6, 115, name) == backends.sums[name], name
            assert gw.counters()["tcp_tso"] == large
        ended(gw)


def test_driver_that_cuts_in_software_is_asked_to_only_where_the_configuration_says_so(_):
    for tso in ("auto", "off"):
        with Space() as space:
            space.make()
            gw = on_taps(space, tso)
            assert "tso" not in offloads(gw, "wan")
            ended(gw)
