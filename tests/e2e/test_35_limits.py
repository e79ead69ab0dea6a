"""Rate limits: who is refused, when, for how long, and what an operator may do about it."""
import itertools
import threading
import time

from http1 import Conn
from lab.space import wait_for
from test_30_routing import ask, own_error

LIMITED_PORT = 82


def statuses(gw, n, host, path="/", method="GET", fields=(), conn=None):
    if conn:
        return [conn.request(method, path, host, fields).status for _ in range(n)]
    with Conn(gw.address) as conn:
        return [conn.request(method, path, host, fields).status for _ in range(n)]


def clear(gw, limit, *key):
    gw.cgctl(" ".join(["clear", "ratelimit", limit, *key]))


def limit_row(gw, name):
    return next(row for row in gw.cgctl("show ratelimits", as_json=True)["ratelimits"] if row["name"] == name)


def keyed(name):
    return (("X-Key", name),)


def paced(gw, host, conns, rate, seconds, fields=()):
    """Requests in turn on each connection, `rate` in a second; [(sent, answered, status)]."""
    seen, begun = [], time.monotonic()
    for i in range(int(rate * seconds)):
        due = begun + i / rate
        time.sleep(max(0, due - time.monotonic()))
        sent = time.monotonic()
        answer = conns[i % len(conns)].request("GET", "/", host, fields)
        seen.append((sent, time.monotonic(), answer.status))
    return seen


def allowed_by_gcra(seen, interval, burst):
    """How many of these a limit that was idle allows, at least and at most: the moment of each decision lies
    between its request and its answer."""
    def run(moments):
        tat, passed = 0, 0
        for now in moments:
            if max(tat, now) + interval <= now + burst * interval + 1e-9:
                tat, passed = max(tat, now) + interval, passed + 1
        return passed
    first, last = seen[0], seen[-1]
    span = (last[0] - first[1], last[1] - first[0])
    bounds = [burst + int(s / interval) for s in span]
    assert bounds[0] - 1 <= run([sent for sent, _, _ in seen]) <= bounds[1] + 1
    return bounds


def exact(gw, host, rate, interval, burst, seconds, fields=(), connections=64):
    conns = [Conn(gw.address) for _ in range(connections)]
    try:
        seen = paced(gw, host, conns, rate, seconds, fields)
    finally:
        for conn in conns:
            conn.close()
    passed = sum(status == 200 for _, _, status in seen)
    assert passed + sum(status == 429 for _, _, status in seen) == len(seen), {status for _, _, status in seen}
    least, most = allowed_by_gcra(seen, interval, burst)
    assert least <= passed <= most, (least, passed, most)
    return passed, len(seen)


def test_s3_100_a_minute_for_a_client_10_for_orders_60_for_each_user_and_operation(gw):
    for name in ("catalogue", "order-creation"):
        clear(gw, name, "198.18.0.2")
    with Conn(gw.address) as conn:
        assert statuses(gw, 101, "shop.test", "/catalogue/shoes", conn=conn) == [200] * 100 + [429]
        # The catalogue's limit is used up, the orders' is another.
        assert statuses(gw, 11, "shop.test", "/orders", "POST", conn=conn) == [201] * 10 + [429]
        for user in ("asha", "ravi"):
            for operation in ("/payments", "/refunds"):
                got = statuses(gw, 61, "shop.test", operation, "POST", (("X-User", user),), conn)
                assert got == [200] * 60 + [429], (user, operation, got)


def test_a_refusal_is_429_in_json_with_retry_after_and_the_rate_limit_fields(gw):
    with Conn(gw.address) as conn:
        assert statuses(gw, 2, "trickle.test", fields=keyed("fields"), conn=conn) == [200, 200]
        answer = conn.request("GET", "/", "trickle.test", keyed("fields"))
    assert own_error(answer, 429)["error"] == "too_many_requests"
    assert answer.get("Retry-After") == "1", answer
    assert answer.get("RateLimit-Policy") == '"trickle";q=1;w=1', answer
    assert answer.get("RateLimit") == '"trickle";r=0;t=1', answer


def test_a_client_that_obeys_retry_after_is_not_refused_again(gw):
    with Conn(gw.address) as conn:
        for _ in range(3):
            while (answer := conn.request("GET", "/", "trickle.test", keyed("obedient"))).status == 200:
                pass
            assert answer.status == 429, answer
            time.sleep(int(answer.get("Retry-After")))
            assert conn.request("GET", "/", "trickle.test", keyed("obedient")).status == 200


def test_retry_after_is_no_second_too_long(gw):
    # 60/h, burst 10, cost 4: two pass, and the third of 12 waits until 2 of 10 are earned again: two minutes.
    with Conn(gw.address) as conn:
        assert statuses(gw, 2, "costly.test", fields=keyed("precise"), conn=conn) == [200, 200]
        answer = conn.request("GET", "/", "costly.test", keyed("precise"))
        assert answer.status == 429 and answer.get("Retry-After") in ("120", "119"), answer
        assert answer.get("RateLimit").startswith('"costly";r=2;t='), answer


def test_64_connections_get_exactly_what_the_limit_allows(gw):
    clear(gw, "shared")
    exact(gw, "shared.test", 200, 0.05, 20, 4.02)


def test_what_one_limit_refuses_is_not_charged_to_another(gw):
    with Conn(gw.address) as conn:
        got = statuses(gw, 12, "two.test", "/whoami", fields=keyed("both"), conn=conn)
        passed = got.count(200)
        assert 2 <= passed <= 4 and got.count(429) == 12 - passed, got
        top = gw.cgctl("show ratelimit wide top 100", as_json=True)["top"]
        used = next((row["used"] for row in top if row["key"] == "both"), None)
        # 100/min and a burst of 100: nothing but what passed was charged (one may be earned again by now). It is
        # far from its limit, so its name may not have been kept.
        if used is None:
            used = max(row["used"] for row in top)
        assert used <= passed, (used, passed)


def test_keys_are_captures_query_parameters_and_cookies_however_they_are_written(gw):
    with Conn(gw.address) as conn:
        def get(path, fields=()):
            return conn.request("GET", path, "keys.test", fields).status
        assert [get("/items/shoe/7"), get("/items/hat/7"), get("/items/shoe/%37"), get("/items/shoe/8")] == \
            [200, 200, 429, 200]
        assert [get("/asked?user=a+b"), get("/asked?x=1&user=a%20b"), get("/asked?us%65r=a%20b"),
                get("/asked?user=c")] == [200, 200, 429, 200]
        assert [get("/session", (("Cookie", f"a=b; sid={sid}; c=d"),)) for sid in ("1", "1", "1", "2")] == \
            [200, 200, 429, 200]


def test_a_delayed_request_waits_its_turn_and_one_that_would_wait_too_long_is_refused(gw):
    answers = []

    def one():
        begun = time.monotonic()
        answer = ask(gw, "paced.test", "/upload", "POST", fields=keyed("slow"), body=b"kept")
        answers.append((time.monotonic() - begun, answer))
    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = sorted(took for took, answer in answers if answer.status == 200)
    # 5/s, burst 1, up to 1 s of waiting: one at once and five in turn.
    assert len(good) in (6, 7) and {answer.status for _, answer in answers} == {200, 429}, answers
    assert good[5] > 0.9, good
    for _, answer in answers:
        assert answer.status == 429 or answer.json()["size"] == 4, answer  # its body waited, too
    row = limit_row(gw, "paced")
    assert row["delayed"] >= 5, row


def test_a_client_that_goes_while_its_request_waits_leaves_nothing_behind(gw):
    for _ in range(3):
        with Conn(gw.address) as conn:
            conn.send("GET /whoami HTTP/1.1\r\nHost: paced.test\r\nX-Key: gone\r\n\r\n")
    assert ask(gw, "lab.test", "/hello").status == 200


def test_a_tag_names_the_limit_to_the_upstream_and_a_shadow_only_counts(gw):
    before = limit_row(gw, "watched")["shadowed"]
    with Conn(gw.address) as conn:
        echoes = [conn.request("GET", "/echo", "marked.test", keyed("tagged")) for _ in range(3)]
    tagged = [b"X-RateLimit-Exceeded" in echo.body or b"x-ratelimit-exceeded" in echo.body.lower() for echo in echoes]
    assert [echo.status for echo in echoes] == [200] * 3 and tagged == [False, True, True], echoes
    assert limit_row(gw, "watched")["shadowed"] == before + 2


def test_a_listeners_limit_holds_for_what_no_route_takes_too(gw):
    with Conn(gw.address, LIMITED_PORT) as conn:
        got = [conn.request("GET", "/hello", "lab.test").status, conn.request("GET", "/", "nobody.test").status,
               conn.request("GET", "/hello", "lab.test").status, conn.request("GET", "/hello", "lab.test").status,
               conn.request("GET", "/", "nobody.test").status]
    assert got == [200, 404, 200, 429, 429], got
    assert ask(gw, "lab.test", "/hello").status == 200  # another listener


def test_an_operator_sees_the_keys_near_their_limit_clears_one_and_changes_the_rate(gw):
    with Conn(gw.address) as conn:
        assert statuses(gw, 4, "tuned.test", fields=keyed("busy"), conn=conn) == [200] * 3 + [429]
        shown = gw.cgctl("show ratelimit tuned top 20", as_json=True)
        busy = next(row for row in shown["top"] if row["key"] == "busy")
        assert busy["used"] == 3 and busy["left"] == 0, shown
        clear(gw, "tuned", "busy")
        assert conn.request("GET", "/", "tuned.test", keyed("busy")).status == 200
        gw.cgctl("set ratelimit tuned rate 6000/min burst 50")
        try:
            assert statuses(gw, 40, "tuned.test", fields=keyed("new"), conn=conn) == [200] * 40
            # What was used of the slow limit counts as all of the fast one: one more is earned in 10 ms.
            assert any(conn.request("GET", "/", "tuned.test", keyed("busy")).status == 200 for _ in range(20000))
            row = limit_row(gw, "tuned")
            assert row["rate"] == "6000/min" and row["set_by"] == "hand", row
        finally:
            gw.cgctl("set ratelimit tuned auto")
        clear(gw, "tuned", "busy")
        assert statuses(gw, 4, "tuned.test", fields=keyed("busy"), conn=conn) == [200] * 3 + [429]


def test_x2_ten_payments_a_minute_then_blocked_for_five_minutes(gw):
    account = (("X-Account", "4711"),)
    with Conn(gw.address) as conn:
        got = statuses(gw, 14, "account.test", fields=account, conn=conn)
        assert got == [200] * 10 + [429] * 3 + [403], got
        answer = conn.request("GET", "/", "account.test", account)
        own_error(answer, 403)
        assert 295 <= int(answer.get("Retry-After")) <= 300, answer
        assert statuses(gw, 1, "account.test", fields=(("X-Account", "4712"),), conn=conn) == [200]
        assert limit_row(gw, "payments")["blocked"] >= 2
        shown = gw.cgctl("show ratelimit payments top 20", as_json=True)
        assert shown["live_keys"] == 2 and shown["top"][0]["key"] == "4711", shown  # nothing but the two accounts
        assert shown["top"][0]["used"] in (9, 10), shown
        clear(gw, "payments", "4711")
        assert statuses(gw, 1, "account.test", fields=account, conn=conn) == [200]


def test_wrong_commands_on_limits_say_what_is_wrong(gw):
    for command, word in (("show ratelimit tunde", "tuned"), ("set ratelimit tuned rate 5/fortnight", "rate"),
                          ("set ratelimit tuned", "set ratelimit"), ("clear ratelimit tuned", "missing"),
                          ("clear ratelimit catalogue nowhere", "address"), ("clear ratelimit tuned a b", "fewer")):
        status, text = gw.space.call(None, gw.program("cgctl"), "--socket", gw.socket, *command.split())
        assert status != 0 and word in text, (command, status, text)


def test_a_reload_and_a_restart_of_either_process_keep_what_was_used(gw):
    with Conn(gw.address) as conn:
        assert statuses(gw, 4, "tuned.test", fields=keyed("kept"), conn=conn) == [200] * 3 + [429]
        gw.reload(gw.config.replace('"hello\\n"', '"hello again\\n"'))
        assert conn.request("GET", "/", "tuned.test", keyed("kept")).status == 429
        gw.reload(gw.config)
    gw.kill_dataplane()
    wait_for(gw.serving, 10, "the data plane to run again")
    assert statuses(gw, 1, "tuned.test", fields=keyed("kept")) == [429]
    gw.kill_control()
    gw.start_control()
    wait_for(gw.serving, 10, "control to attach")
    assert statuses(gw, 1, "tuned.test", fields=keyed("kept")) == [429]
    clear(gw, "tuned", "kept")
    assert statuses(gw, 4, "tuned.test", fields=keyed("kept")) == [200] * 3 + [429]


class Watch:
    """Clients that ask twice for a key nobody used before: the second answer tells the rule it was decided by, 429 under
    a burst of 1, 200 under a larger one."""

    def __init__(self, gw, clients=8):
        self.gw, self.stop, self.seen = gw, threading.Event(), []
        self.threads = [threading.Thread(target=self.ask, args=(i,)) for i in range(clients)]

    def ask(self, client):
        with Conn(self.gw.address) as conn:
            for i in itertools.count():
                if self.stop.is_set():
                    return
                first = conn.request("GET", "/", "switched.test", keyed(f"{client}-{i}")).status
                sent = time.monotonic()
                second = conn.request("GET", "/", "switched.test", keyed(f"{client}-{i}")).status
                self.seen.append((sent, time.monotonic(), first, second))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for(lambda: len(self.seen) > 50, 20, "clients to ask")
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def change(self, act, new):
        """Does it; returns ms from its begin to the last decision that may have been by the old rule. What was sent after
        its answer is decided by the new one."""
        asked = len(self.seen)
        begun = time.monotonic()
        act()
        done = time.monotonic()
        wait_for(lambda: len(self.seen) > asked + 200, 20, "clients to ask again")
        since = self.seen[asked:]
        late = [row for row in since if row[0] > done and row[3] != new]
        assert not late, (done, late[:3])
        return 1000 * max([answered - begun for _, answered, _, second in since if second != new], default=0)


def test_a_limit_that_is_set_or_reloaded_under_load_decides_all_that_is_sent_after_the_answer(gw):
    wide = gw.config.replace("switched: {key: \"header:X-Key\", rate: 60/h, burst: 1}",
                             "switched: {key: \"header:X-Key\", rate: 60/h, burst: 2}")
    assert wide != gw.config
    took = []
    with Watch(gw) as watch:
        try:
            for _ in range(3):
                took.append(watch.change(lambda: gw.cgctl("set ratelimit switched rate 60/h burst 3"), 200))
                took.append(watch.change(lambda: gw.cgctl("set ratelimit switched auto"), 429))
                took.append(watch.change(lambda: gw.reload(wide), 200))
                took.append(watch.change(lambda: gw.reload(gw.config), 429))
        finally:
            gw.cgctl("set ratelimit switched auto")
            gw.reload(gw.config)
    # Nothing else happened to anybody.
    assert {row[2] for row in watch.seen} == {200} and {row[3] for row in watch.seen} == {200, 429}
    print(f"     {len(watch.seen)} keys; from the begin of a command to the last answer by the old rule at most {max(took):.0f} ms")


def test_a_key_that_is_cleared_under_load_has_its_whole_burst_again_and_not_one_more(gw):
    stop, seen, cleared = threading.Event(), [], 10

    def load():
        with Conn(gw.address) as conn:
            while not stop.is_set():
                seen.append(conn.request("GET", "/", "tuned.test", keyed("cleared")).status)
    clear(gw, "tuned", "cleared")
    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(cleared):
            asked = len(seen)
            wait_for(lambda: len(seen) > asked + 40, 20, "clients to ask")
            clear(gw, "tuned", "cleared")
            with Conn(gw.address) as conn:
                seen.append(conn.request("GET", "/", "tuned.test", keyed("cleared")).status)
        asked = len(seen)
        wait_for(lambda: len(seen) > asked + 40, 20, "clients to ask")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(seen) == {200, 429} and seen.count(200) == 3 * (cleared + 1), seen.count(200)


def test_decisions_are_metrics_by_limit(gw):
    statuses(gw, 3, "trickle.test", fields=keyed("metrics"))
    gw.start_exporter()
    try:
        text = gw.metrics()
    finally:
        gw.space.stop(gw.exporter)
    for decision in ("passed", "refused"):
        line = next(line for line in text.splitlines()
                    if line.startswith("churchgate_ratelimit_decisions_total{") and 'limit="trickle"' in line and
                    f'decision="{decision}"' in line)
        assert float(line.split()[-1]) > 0, line
