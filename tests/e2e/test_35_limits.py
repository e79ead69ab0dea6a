"""Rate limits: who is refused, when, for how long, and what an operator may do about it."""
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


def test_limits_are_changed_cleared_and_reloaded_under_load_without_another_failure(gw):
    stop, seen = threading.Event(), []

    def load():
        with Conn(gw.address) as conn:
            while not stop.is_set():
                seen.append(conn.request("GET", "/", "shared.test").status)
    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(10):
            gw.cgctl(f"set ratelimit shared rate {1000 + i}/s")
            clear(gw, "shared")
            gw.reload(gw.config)
    finally:
        gw.cgctl("set ratelimit shared auto")
        stop.set()
        thread.join()
    assert len(seen) > 20 and set(seen) <= {200, 429}, set(seen)


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
