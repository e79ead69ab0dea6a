"""Requests in flight of a route and of a listener: never more than the limit over all workers, and each way in which a
request may end gives its place to the next."""
import contextlib
import socket
import struct
import threading
import time

from http1 import Conn, head
from lab.space import wait_for
from test_30_routing import ask, own_error
from test_70_tunnels import HANDSHAKE, Raw, read_head, switching

LISTENER_PORT = 108
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Holding(Raw):
    """A backend that answers when it is told to, and knows how many requests it had at a time."""

    def __init__(self, gw, pause=None):
        self.go, self.lock, self.now, self.most, self.served = threading.Event(), threading.Lock(), 0, 0, 0
        self.pause = pause
        super().__init__(gw, self.serve)

    def serve(self, conn):
        conn.settimeout(60)
        while True:
            request, _, _ = read_head(conn)
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            if self.pause:
                time.sleep(self.pause)
            elif b"Upgrade" not in request:
                self.go.wait(30)
            with self.lock:
                self.now -= 1
                self.served += 1
            conn.sendall(switching(request) if b"Upgrade" in request else OK)


def row(gw, name, of="routes"):
    return next(row for row in gw.cgctl(f"show {of}", as_json=True)[of] if row["name"] == name)


def in_flight(gw, n, name="in-flight", of="routes"):
    wait_for(lambda: row(gw, name, of)["in_flight"] == n, 10, f"{n} requests in flight at {name}")


def begin(gw, host="inflight.test", port=80):
    conn = Conn(gw.address, port)
    conn.send(head("GET", "/", host))
    return conn


def through(gw, host, path="/"):
    """An answer through the listener that has a limit."""
    with Conn(gw.address, LISTENER_PORT) as conn:
        return conn.request("GET", path, host)


@contextlib.contextmanager
def begun(gw, n, **how):
    conns = [begin(gw, **how) for _ in range(n)]
    try:
        yield conns
    finally:
        for conn in conns:  # with a reset: who only ends its side may wait for the answer
            conn.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            conn.close()


def statuses(conns):
    return [conn.response().status for conn in conns]


def test_beyond_a_routes_limit_is_503_in_json_with_retry_after_and_others_are_served(gw):
    refused = row(gw, "in-flight")["in_flight_refused"]
    with Holding(gw) as backend, begun(gw, 3) as conns:
        in_flight(gw, 3)
        answer = ask(gw, "inflight.test", "/")
        assert own_error(answer, 503)["message"] == "too many requests are in flight" and answer.get("Retry-After") == "1", answer
        with Conn(gw.address) as conn:  # whose connection stays
            assert [conn.request("GET", "/", host).status for host in ("inflight.test", "inflight.test")] == [503, 503]
            assert conn.request("GET", "/hello", "lab.test").status == 200
        shown = row(gw, "in-flight")
        assert (shown["max_in_flight"], shown["in_flight"], shown["in_flight_refused"]) == (3, 3, refused + 3), shown
        backend.go.set()
        assert statuses(conns) == [200] * 3
        in_flight(gw, 0)
        assert ask(gw, "inflight.test", "/").status == 200
    assert gw.counters("http")["http_route_full"] >= 3


def test_every_way_a_request_may_end_gives_its_place_back(gw):
    with Holding(gw) as backend:
        with begun(gw, 3):
            in_flight(gw, 3)
            wait_for(lambda: backend.now == 3, 10, "the backend to hold three")
        in_flight(gw, 0)  # the clients have gone
        with begun(gw, 3) as conns:
            in_flight(gw, 3)
            wait_for(lambda: backend.now == 6, 10, "the backend to hold three more")
            for conn in backend.connections:
                conn.close()
            assert all(status in (502, 503) for status in statuses(conns))  # the backend has gone
            in_flight(gw, 0)
        with begun(gw, 1, host="inflight-brief.test") as conns:
            assert statuses(conns) == [504]  # its time was up
        in_flight(gw, 0, "in-flight-brief")
        with begun(gw, 1, host="inflight-brief.test"):
            in_flight(gw, 1, "in-flight-brief")


def test_a_tunnel_is_in_flight_until_it_ends(gw):
    with Holding(gw), Conn(gw.address) as conn:
        conn.send(head("GET", "/", "inflight.test", HANDSHAKE))
        assert conn.head().status == 101
        in_flight(gw, 1)
    in_flight(gw, 0)


def test_a_listeners_limit_holds_for_all_routes_together(gw):
    with Holding(gw) as backend, begun(gw, 2, port=LISTENER_PORT) as conns:
        in_flight(gw, 2, "in-flight", "listeners")
        own_error(through(gw, "lab.test", "/hello"), 503)
        own_error(through(gw, "nobody.test"), 503)
        assert ask(gw, "lab.test", "/hello").status == 200
        assert row(gw, "in-flight", "listeners")["in_flight_refused"] >= 2
        backend.go.set()
        assert statuses(conns) == [200] * 2
        in_flight(gw, 0, "in-flight", "listeners")
        assert through(gw, "lab.test", "/hello").status == 200


def test_a_limit_is_set_by_hand_at_once_for_a_route_without_one_too(gw):
    with Holding(gw):
        gw.cgctl("set route raw max_in_flight 2")
        gw.cgctl("set route in-flight max_in_flight 4")
        gw.cgctl("set listener http max_in_flight 5")
        try:
            with begun(gw, 2, host="raw.test"), begun(gw, 3):
                in_flight(gw, 2, "raw")
                in_flight(gw, 3)
                assert row(gw, "raw")["max_in_flight_set_by"] == "hand"
                own_error(ask(gw, "raw.test", "/"), 503)
                own_error(ask(gw, "lab.test", "/hello"), 503)
                gw.cgctl("set listener http max_in_flight none")
                assert ask(gw, "lab.test", "/hello").status == 200
                gw.cgctl("set route in-flight max_in_flight 1")
                own_error(ask(gw, "inflight.test", "/"), 503)
                assert row(gw, "in-flight")["in_flight"] == 3  # they go on
        finally:
            gw.cgctl("set route raw max_in_flight auto")
            gw.cgctl("set route in-flight max_in_flight auto")
            gw.cgctl("set listener http max_in_flight auto")
        in_flight(gw, 0)
        assert row(gw, "raw")["max_in_flight"] == 0 and row(gw, "in-flight")["max_in_flight"] == 3


def test_wrong_commands_on_requests_in_flight_say_what_is_wrong(gw):
    for command, word in (("set route in-fligth max_in_flight 3", "in-flight"), ("set route in-flight max_in_flight 0", "1..1000000"),
                          ("set listener htp max_in_flight 3", "http"), ("set listener http", "max_in_flight"),
                          ("set route in-flight max_in_flight -1", "number")):
        status, text = gw.space.call(None, gw.program("cgctl"), "--socket", gw.socket, *command.split())
        assert status != 0 and word in text, (command, status, text)


def test_a_reload_and_a_restart_of_either_process_lose_no_place_and_keep_what_was_set(gw):
    gw.cgctl("set route in-flight max_in_flight 2")
    try:
        with Holding(gw), begun(gw, 2):
            in_flight(gw, 2)
            gw.reload(gw.config.replace("max_in_flight: 3", "max_in_flight: 7"))
            assert row(gw, "in-flight")["in_flight"] == 2
            own_error(ask(gw, "inflight.test", "/"), 503)
            gw.cgctl("set route in-flight max_in_flight auto")
            with begun(gw, 5):
                in_flight(gw, 7)
                own_error(ask(gw, "inflight.test", "/"), 503)
                gw.reload(gw.config)  # three, of which seven are in flight
                own_error(ask(gw, "inflight.test", "/"), 503)
            in_flight(gw, 2)
            gw.cgctl("set route in-flight max_in_flight 2")
            gw.kill_control()
            gw.start_control()
            wait_for(gw.serving, 10, "control to attach")
            own_error(ask(gw, "inflight.test", "/"), 503)
            pid = gw.kill_dataplane()
            wait_for(lambda: gw.dataplane_pid() != pid and gw.serving(), 10, "the data plane to run again")
            assert row(gw, "in-flight")["in_flight"] == 0  # they died with it
        with Holding(gw), begun(gw, 2):
            in_flight(gw, 2)
            own_error(ask(gw, "inflight.test", "/"), 503)
    finally:
        gw.cgctl("set route in-flight max_in_flight auto")
    in_flight(gw, 0)


def test_under_load_over_all_workers_the_limit_is_reached_and_never_exceeded(gw):
    seen, stop = [], threading.Event()

    def load():
        with Conn(gw.address) as conn:
            while not stop.is_set():
                seen.append(conn.request("GET", "/", "inflight.test").status)
                if seen[-1] == 503:
                    time.sleep(0.01)  # as a client should: the backend is a thread of this process, too

    with Holding(gw, pause=0.005) as backend:
        threads = [threading.Thread(target=load) for _ in range(12)]
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: backend.served > 50 and backend.most >= 3, 20, "the limit to be reached")
            gw.cgctl("set route in-flight max_in_flight 6")
            wait_for(lambda: backend.most >= 6, 20, "the raised limit to be reached")
            gw.cgctl("set route in-flight max_in_flight 2")
            wait_for(lambda: row(gw, "in-flight")["in_flight"] <= 2, 20, "what was begun before to end")
            most, backend.most = backend.most, 0
            served = backend.served
            wait_for(lambda: backend.served > served + 50, 20, "requests under the lowered limit")
            lowered = backend.most
        finally:
            gw.cgctl("set route in-flight max_in_flight auto")
            stop.set()
            for thread in threads:
                thread.join()
    assert most == 6 and lowered == 2, (most, lowered)
    assert set(seen) == {200, 503}, set(seen)
    in_flight(gw, 0)
