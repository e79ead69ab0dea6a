"""Denied and allowed addresses: whom they stop, when, and who may change them."""
import contextlib
import os
import socket
import threading

from http1 import Closed, Conn
from lab.space import wait_for
from test_30_routing import ask

OTHERS = ("198.18.0.70", "198.18.0.71", "fd00:c6:12::70")


@contextlib.contextmanager
def others(gw):
    """Further addresses of the client's host; afterwards nobody is denied."""
    for address in OTHERS:
        gw.space.address("client", "wan", address + ("/64" if ":" in address else "/24"))
    try:
        yield
    finally:
        gw.cgctl("clear deny")
        gw.cgctl("clear allow")
        for address in OTHERS:
            gw.space.ip("client", "address", "del", address + ("/64" if ":" in address else "/24"), "dev", "wan")


def get(gw, source=None, timeout=5):
    """The status that a request from this address gets; None: nobody answers."""
    six = source and ":" in source
    try:
        with Conn(gw.address6 if six else gw.address, timeout=timeout, source=(source, 0) if source else None) as conn:
            return conn.request("GET", "/hello", "lab.test").status
    except (socket.timeout, TimeoutError):
        return None


def assert_all(gw, wanted):
    got = [get(gw, address, 5 if status else 0.5) for address, status in zip(OTHERS, wanted)]
    assert got == wanted, (got, gw.cgctl("show deny"), gw.cgctl("show allow"))


def refused(gw, command, word):
    status, text = gw.space.call(None, gw.program("cgctl"), "--socket", gw.socket, *command.split())
    assert status != 0 and word in text, (command, status, text)


def entries(gw, kind="deny"):
    return gw.cgctl(f"show {kind}", as_json=True)[kind]


def test_a_denied_address_gets_no_answer_and_others_do(gw):
    with others(gw):
        before = gw.drops()["rx_denied"]
        gw.cgctl(f"add deny {OTHERS[0]}")
        gw.cgctl(f"add deny {OTHERS[2]}")
        assert get(gw, OTHERS[0], 0.5) is None
        assert get(gw, OTHERS[2], 0.5) is None
        assert get(gw, OTHERS[1]) == 200 and get(gw) == 200
        wait_for(lambda: gw.drops()["rx_denied"] >= before + 2, 5, "the drops to be counted")
        gw.cgctl(f"del deny {OTHERS[0]}")
        gw.cgctl(f"del deny {OTHERS[2]}")
        assert get(gw, OTHERS[0]) == 200 and get(gw, OTHERS[2]) == 200


def test_a_denied_network_holds_its_addresses_and_the_allowed_go_free(gw):
    with others(gw):
        gw.cgctl("add deny 198.18.0.64/26")
        gw.cgctl("add deny fd00:c6:12::40/122")
        assert_all(gw, [None] * 3)
        gw.cgctl("add allow 198.18.0.71")
        gw.cgctl("add allow fd00:c6:12::/64")
        assert_all(gw, [None, 200, 200])
        assert get(gw) == 200


def test_a_connection_of_an_address_that_is_denied_now_is_ended(gw):
    with others(gw), Conn(gw.address, source=(OTHERS[0], 0)) as idle, Conn(gw.address, source=(OTHERS[0], 0)) as busy, \
            Conn(gw.address, source=(OTHERS[1], 0)) as other:
        for conn in (idle, busy, other):
            assert conn.request("GET", "/hello", "lab.test").status == 200
        busy.send("GET /slow?seconds=5 HTTP/1.1\r\nHost: python.test\r\n\r\n")
        before = gw.counters()["tcp_denied_ended"]
        gw.cgctl(f"add deny {OTHERS[0]}")
        for conn in (idle, busy):
            try:
                assert conn.ended()
            except Closed:
                pass
        assert gw.counters()["tcp_denied_ended"] == before + 2
        assert other.request("GET", "/hello", "lab.test").status == 200


def test_an_entry_for_a_time_ends_with_it(gw):
    with others(gw):
        gw.cgctl(f"add deny {OTHERS[0]} for 2s")
        assert get(gw, OTHERS[0], 0.3) is None
        assert entries(gw)[0]["left"] in ("1s", "0ns", "2s"), entries(gw)
        # The client's SYN comes again until it is answered.
        assert get(gw, OTHERS[0], 20) == 200


def test_entries_are_listed_with_what_they_dropped(gw):
    with others(gw):
        gw.cgctl("add deny 203.0.113.0/24")
        gw.cgctl("add deny 2001:db8::/32 for 1h")
        shown = gw.cgctl("show deny", as_json=True)
        assert shown["entries"] == 2 and shown["by_hand"] == 2, shown
        rows = {row["address"]: row for row in shown["deny"]}
        assert rows["203.0.113.0/24"]["left"] == "-" and rows["203.0.113.0/24"]["by"] == "hand", rows
        assert rows["2001:db8::/32"]["left"].startswith(("59m", "3599s", "1h", "3600s")), rows
        assert len(gw.cgctl("show deny top 1", as_json=True)["deny"]) == 1
        assert gw.cgctl("clear deny", as_json=True)["removed"] == 2
        assert not entries(gw)


def test_wrong_commands_on_addresses_say_what_is_wrong(gw):
    for command, word in (("add deny 198.18.0.300", "address"), ("add deny 198.18.0.1/24", "bits behind"),
                          ("add deny 198.18.0.0/33", "beyond 32"), ("add deny ::/0", "halves"),
                          ("add deny 198.18.0.9 for ever", "no time"), ("add deny 198.18.0.9 until 5s", "for TIME"),
                          ("del deny 198.18.0.9", "not on the deny list"), ("show deny bottom 5", "top N")):
        refused(gw, command, word)


def test_lists_come_from_files_and_follow_them_with_a_reload(gw):
    path = os.path.join(gw.space.dir, "deny.txt")

    def write(text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    with others(gw):
        try:
            gw.cgctl("add deny 203.0.113.9")
            write(f"# a comment\n{OTHERS[0]} # and one behind it\n\n  198.51.100.0/24\r\n{OTHERS[2]}\n")
            with_files = gw.config.replace("rate_limits:\n", f"deny: {{files: {path}}}\nallow: {{addresses: "
                                           f"[{OTHERS[1]}]}}\nrate_limits:\n", 1)
            gw.reload(with_files)
            assert_all(gw, [None, 200, None])
            write(f"{OTHERS[2]}\n{OTHERS[1]}\n")
            gw.cgctl("config reload")
            assert_all(gw, [200, 200, None])
            shown = gw.cgctl("show deny", as_json=True)
            assert shown["by_configuration"] == 2 and shown["by_hand"] == 1, shown
            write("198.51.100.1\n  nonsense\n198.51.100.1/8\n")
            refused(gw, "config reload", f"{path}:2:3: \"nonsense\"")
            refused(gw, "config reload", f"{path}:3:1: \"198.51.100.1/8\" has bits behind its prefix")
            assert get(gw, OTHERS[2], 0.5) is None
        finally:
            gw.reload(gw.config)
        assert_all(gw, [200, 200, 200])
        assert [row["address"] for row in entries(gw)] == ["203.0.113.9"]


def test_a_restart_of_either_process_keeps_who_is_denied(gw):
    with others(gw):
        gw.cgctl(f"add deny {OTHERS[0]}")
        gw.kill_dataplane()
        wait_for(gw.serving, 10, "the data plane to run again")
        assert get(gw, OTHERS[0], 0.5) is None and get(gw) == 200
        gw.kill_control()
        assert get(gw, OTHERS[0], 0.5) is None
        gw.start_control()
        wait_for(gw.serving, 10, "control to attach")
        wait_for(lambda: entries(gw), 5, "the list")
        assert [row["address"] for row in entries(gw)] == [OTHERS[0]]
        gw.cgctl(f"del deny {OTHERS[0]}")
        assert get(gw, OTHERS[0]) == 200


def test_a_client_that_is_refused_too_often_is_dropped_for_a_time(gw):
    with others(gw):
        with Conn(gw.address, source=(OTHERS[0], 0)) as conn:
            seen = [conn.request("GET", "/", "greedy.test").status for _ in range(4)]
            assert seen == [200, 200, 429, 429], seen
            # The third refusal puts it onto the list; until it is there, 403.
            try:
                while (status := conn.request("GET", "/", "greedy.test").status) in (429, 403):
                    pass
                raise AssertionError(status)
            except (Closed, ConnectionResetError, BrokenPipeError):
                pass
        assert get(gw, OTHERS[0], 0.5) is None
        assert get(gw, OTHERS[1]) == 200
        row = entries(gw)[0]
        assert row["address"] == OTHERS[0] and row["by"] == "rate limit", row
        gw.cgctl(f"del deny {OTHERS[0]}")
        assert get(gw, OTHERS[0]) == 200
        gw.cgctl(f"clear ratelimit greedy {OTHERS[0]}")


def test_entries_come_and_go_under_load_without_a_failed_request(gw):
    stop, seen = threading.Event(), []

    def load():
        with Conn(gw.address) as conn:
            while not stop.is_set():
                seen.append(conn.request("GET", "/hello", "lab.test").status)
    with others(gw):
        thread = threading.Thread(target=load)
        thread.start()
        try:
            for i in range(20):
                gw.cgctl(f"add deny 203.0.{i}.0/24")
                gw.cgctl(f"add deny {OTHERS[0]}")
                assert get(gw, OTHERS[1]) == 200
                gw.cgctl(f"del deny {OTHERS[0]}")
                assert get(gw, OTHERS[0]) == 200
        finally:
            stop.set()
            thread.join()
    assert len(seen) > 20 and set(seen) == {200}, set(seen)
    ask(gw, "lab.test", "/hello")
