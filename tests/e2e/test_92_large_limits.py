"""A limit under ten times its rate for three minutes: make e2e-large."""
import time

from http1 import Conn
from test_35_limits import exact, keyed

LARGE = True


def test_100_a_minute_at_10_times_that_from_64_connections_for_3_minutes_is_exact(gw):
    before = served(gw)
    passed, asked = exact(gw, "long.test", 1000 / 60, 0.6, 100, 180.3, keyed("long"))
    by_worker = [now - then for now, then in zip(served(gw), before)]
    assert all(by_worker), by_worker
    # Who obeys Retry-After is not refused again.
    with Conn(gw.address) as conn:
        for _ in range(20):
            while (answer := conn.request("GET", "/", "long.test", keyed("long"))).status == 200:
                pass
            assert answer.status == 429 and answer.get("Retry-After") == "1", answer  # 600 ms at most
            time.sleep(1)
            assert conn.request("GET", "/", "long.test", keyed("long")).status == 200
    print(f"     {passed} of {asked} passed; requests by worker: {by_worker}")


def served(gw):
    return [row["requests"] for row in gw.cgctl("show workers", as_json=True)["workers"]]
