"""A limit under ten times its rate for three minutes: make e2e-large."""
from test_35_limits import exact, keyed

LARGE = True


def test_100_a_minute_at_10_times_that_from_64_connections_for_3_minutes_is_exact(gw):
    passed, asked = exact(gw, "long.test", 1000 / 60, 0.6, 100, 180.3, keyed("long"))
    print(f"     {passed} of {asked} passed")
