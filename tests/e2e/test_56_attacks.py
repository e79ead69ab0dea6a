"""Floods, greedy clients and forged packets: each is counted by its own name, and others are served."""
import socket
import time

from http1 import Closed, Conn
from lab.space import wait_for
from packets import ACK, MSS, NOP, RST, SACK_OK, SYN, WSCALE, Wire, ipv4, ipv6, stamps, tcp
from test_30_routing import ask

SPOOFED, SPOOFED6 = "198.18.0.211", "fd00:c6:12::d3"
REQUEST = b"GET /hello HTTP/1.1\r\nHost: lab.test\r\n\r\n"


def risen(gw, before):
    after = gw.counters()
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def get(gw, port, address=None, timeout=10):
    with Conn(address or gw.address, port, timeout) as conn:
        return conn.request("GET", "/hello", "lab.test").status


def packet(src, dst, **options):
    return (ipv6 if ":" in src else ipv4)(tcp(src=src, dst=dst, **options), src=src, dst=dst)


def test_connections_through_cookies_carry_large_bodies_both_ways(gw):
    before = gw.counters()
    body = bytes(range(256)) * 8192
    for address in (gw.address, gw.address6):
        with Conn(address, 87, timeout=30) as conn:
            info = conn.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
            assert info[5] & 7 == 7, info  # timestamps, SACK and window scale (struct tcp_info)
            assert conn.request("POST", "/upload", "python.test", body=body).status == 200
            assert conn.request("GET", "/hello", "lab.test").status == 200
    found = risen(gw, before)
    assert found["tcp_cookie_sent"] == found["tcp_cookie_accepted"] == 2, found


def test_flood_of_syns_with_forged_sources_takes_no_connection(gw):
    for version, src, dst in ((4, SPOOFED, gw.address), (6, SPOOFED6, gw.address6)):
        with Wire(gw, version) as wire:
            wire.pretend(src)
            pools = gw.cgctl("show pools", as_json=True)["pools"]
            used = {row["name"]: row["used"] for row in pools}
            before = gw.counters()
            for n in range(2000):
                wire.send(packet(src, dst, sport=20000 + n, dport=87, seq=n * 7919, flags=SYN,
                                 options=MSS + SACK_OK + NOP + NOP))
                if n % 50 == 0:
                    assert get(gw, 87) == 200
            wait_for(lambda: risen(gw, before).get("tcp_cookie_sent", 0) > 1900, 10, "cookies")
            now = {row["name"]: row["used"] for row in gw.cgctl("show pools", as_json=True)["pools"]}
            assert now["connections/0"] <= used["connections/0"] + 2, (used, now)


def handshake(wire, src, dst, sport, options, dport=87):
    wire.send(packet(src, dst, sport=sport, dport=dport, seq=1000, flags=SYN, options=options))
    answer = wire.segment(sport)
    assert answer.flags == SYN | ACK and answer.ack == 1001, vars(answer)
    return answer


def test_a_forged_handshake_is_reset_and_counted_and_a_right_one_may_bring_the_request(gw):
    for version, src, dst in ((4, SPOOFED, gw.address), (6, SPOOFED6, gw.address6)):
        with Wire(gw, version) as wire:
            wire.pretend(src)
            answer = handshake(wire, src, dst, 21000, MSS)
            before = gw.counters()
            wire.send(packet(src, dst, sport=21000, dport=87, seq=1001, ack=answer.seq + 77, flags=ACK))
            refused = wire.segment(21000)
            assert refused.flags == RST and refused.seq == (answer.seq + 77) & 0xffffffff, vars(refused)
            wait_for(lambda: risen(gw, before).get("tcp_cookie_wrong") == 1, 5, "the count")
            wire.send(packet(src, dst, sport=21000, dport=87, seq=1001, ack=answer.seq + 1, flags=ACK, data=REQUEST))
            got = b""
            while b"hello\n" not in got:
                got += wire.segment(21000).data
            assert got.startswith(b"HTTP/1.1 200"), got
            wire.send(packet(src, dst, sport=21000, dport=87, seq=1001 + len(REQUEST), flags=RST))


def test_options_come_back_through_the_timestamp(gw):
    with Wire(gw) as wire:
        wire.pretend(SPOOFED)
        answer = handshake(wire, SPOOFED, gw.address, 22000, MSS + NOP + WSCALE + stamps(7, 0) + NOP + NOP + SACK_OK)
        assert answer.option(3) and answer.option(4) == b"" and answer.option(8)[4:] == b"\0\0\0\7", answer.options
        echo = int.from_bytes(answer.option(8)[:4], "big")
        # A window of 1 << 7 bytes: the answer comes in such pieces, which tells that the scale was kept.
        wire.send(packet(SPOOFED, gw.address, sport=22000, dport=87, seq=1001, ack=answer.seq + 1, flags=ACK, window=1,
                         options=stamps(8, echo), data=REQUEST))
        first = wire.segment(22000)
        while not first.data:
            first = wire.segment(22000)
        assert 1 < len(first.data) <= 128, len(first.data)
        wire.send(packet(SPOOFED, gw.address, sport=22000, dport=87, seq=1001 + len(REQUEST), flags=RST))
        # Without timestamps neither is agreed on.
        answer = handshake(wire, SPOOFED, gw.address, 22001, MSS + NOP + WSCALE + NOP + NOP + SACK_OK)
        assert answer.option(2) and answer.option(3) is None and answer.option(4) is None, answer.options


def test_a_client_gets_so_many_connections_and_no_more(gw):
    limit = max(8 // gw.workers, 1)
    before = gw.counters()
    for address in (gw.address, gw.address6):
        open_now, refused = [], 0
        for _ in range(8 + 12 * gw.workers):
            try:
                conn = Conn(address, 88)
                open_now.append(conn)
                assert conn.request("GET", "/hello", "lab.test").status == 200
            except (ConnectionError, Closed):
                refused += 1
        served = len(open_now)
        assert refused and limit <= served <= 8 + refused, (served, refused)
        if gw.workers == 1:
            assert served == 8, served
        for conn in open_now:
            conn.close()

        def again():
            try:
                return get(gw, 88, address) == 200
            except (ConnectionError, Closed):
                return False
        wait_for(again, 5, "a place")
    assert risen(gw, before)["tcp_address_limit"] >= 12
    assert get(gw, 80) == 200


def test_a_listener_takes_so_many_connections_a_second(gw):
    before, begun = gw.counters(), time.monotonic()
    for _ in range(3 * gw.workers):
        assert get(gw, 89, timeout=30) == 200
    assert "tcp_accept_limit" not in risen(gw, before) or gw.workers > 1
    # A burst beyond it: some wait for their turn, nobody is lost.
    conns = [socket.socket() for _ in range(9)]
    for conn in conns:
        conn.setblocking(False)
        conn.connect_ex((gw.address, 89))
    for conn in conns:
        conn.settimeout(30)
        while True:
            try:
                conn.send(REQUEST)
                break
            except (BlockingIOError, OSError) as error:
                if error.errno not in (11, 32, 107, 115):
                    raise
                time.sleep(0.01)
        assert b"200" in conn.recv(100)
        conn.close()
    assert risen(gw, before)["tcp_accept_limit"] > 0
    assert time.monotonic() - begun < 30


def test_each_kind_of_abuse_in_a_connection_is_counted_by_its_own_name_and_the_connection_goes_on(gw):
    with Wire(gw) as wire:
        wire.pretend(SPOOFED)
        before = gw.counters()
        tiny = b"\x02\x04\x00\x01" + SACK_OK + NOP + NOP
        answer = handshake(wire, SPOOFED, gw.address, 23000, tiny, dport=80)
        seq, ack = 1001, answer.seq + 1

        def send(**options):
            wire.send(packet(SPOOFED, gw.address, sport=23000, dport=80, **options))
        send(seq=seq, ack=ack, flags=ACK)
        for n in range(100):
            send(seq=seq + 5 + n, flags=RST)
            send(seq=seq + n, flags=SYN)
            send(seq=seq + 101 + 2 * n, ack=ack, flags=ACK, data=b"x")
        send(seq=seq, ack=ack, flags=ACK, options=NOP + NOP + b"\x05\x0a" + (ack + 9999).to_bytes(4, "big")
             + (ack + 10999).to_bytes(4, "big"))
        wanted = {"tcp_tiny_mss": 1, "tcp_bad_reset": 100, "tcp_bad_syn": 100, "tcp_ooo_crumbs": 92, "tcp_sack_bad": 1}

        def counted():
            found = risen(gw, before)
            return {name: found.get(name) for name in wanted} == wanted
        wait_for(counted, 5, f"{wanted}, not {risen(gw, before)}")
        send(seq=seq, ack=ack, flags=ACK, data=REQUEST)
        got = b""
        while b"200 OK" not in got:
            got += wire.segment(23000).data
        send(seq=seq + len(REQUEST), flags=RST)


def test_those_who_read_nothing_cannot_hold_all_buffers(gw):
    gw.backends.file("held", 4 << 20)
    before, greedy = gw.counters(), []
    try:
        with Conn(gw.address) as good:
            for _ in range(300):
                conn = socket.socket()
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                conn.setblocking(False)
                conn.connect_ex((gw.address, 80))
                greedy.append(conn)
            end = time.monotonic() + 20
            waiting = list(greedy)
            while time.monotonic() < end and "tcp_holder_ended" not in risen(gw, before):
                for conn in list(waiting):
                    try:
                        conn.send(b"GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n")
                        waiting.remove(conn)
                    except BlockingIOError:
                        pass
                    except OSError:
                        waiting.remove(conn)
                # Whoever has a connection is served meanwhile, and the operator is heard.
                assert good.request("GET", "/hello", "lab.test").status == 200
            found = risen(gw, before)
            assert found.get("tcp_holder_ended", 0) + found.get("tcp_memory_full", 0) > 0, found
            # And new ones are, too: at the latest when they try again.
            assert get(gw, 80, timeout=20) == 200
    finally:
        for conn in greedy:
            conn.close()
    wait_for(lambda: ask(gw, "a.test", "/whoami").status == 200, 20, "upstreams to be reached again")
    wait_for(lambda: all(row["used"] == 0 for row in gw.cgctl("show pools", as_json=True)["pools"]
                         if row["name"].startswith("exchanges")), 20, "every exchange to end")


def test_limits_are_listed(gw):
    rows = {row["name"]: row for row in gw.cgctl("show listeners", as_json=True)["listeners"]}
    assert rows["cookies"]["syn_cookies"] == "always" and rows["http"]["syn_cookies"] == "pressure", rows
    assert rows["few"]["per_address"] == 8 and rows["few"]["refuse"] == "reset", rows
    assert rows["slow-accept"]["accepts_per_second"] == 4 and rows["slow-accept"]["refuse"] == "drop", rows


def test_everyone_is_served_after_all_of_it(gw):
    assert ask(gw, "lab.test", "/hello").status == 200
    assert ask(gw, "a.test", "/whoami").body == b"a\n"
