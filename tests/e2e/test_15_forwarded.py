"""Who asks: forwarded fields, whom they are believed from, and what follows from them."""
import re

from http1 import Conn
from lab.space import wait_for
from test_30_routing import ask, own_error

CLIENT = "198.18.0.2"  # as the gateway sees the tests
TRUSTING, TRUSTING_RFC7239 = 90, 91  # listeners that believe 198.18.0.0/24 and 203.0.113.0/24


def seen(gw, fields, port=80, host="python.test"):
    """What the upstream is told: {name: [values]}."""
    with Conn(gw.address, port) as conn:
        answer = conn.request("GET", "/echo", host, fields)
    told = {}
    for name, value in answer.json()["fields"]:
        told.setdefault(name.lower(), []).append(value)
    return {name: values for name, values in told.items() if "forwarded" in name}


FORGED = [("X-Forwarded-For", "192.0.2.101"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.test"),
          ("X-Forwarded-Port", "443"), ("Forwarded", "for=192.0.2.101;proto=https"), ("X-Forwarded-For", "192.0.2.102")]


def test_what_an_untrusted_client_says_of_itself_is_replaced(gw):
    assert seen(gw, FORGED) == {"x-forwarded-for": [CLIENT], "x-forwarded-proto": ["http"]}


def test_a_trusted_proxy_is_believed_and_added_behind(gw):
    told = seen(gw, [("X-Forwarded-For", "192.0.2.1, 192.0.2.2"), ("X-Forwarded-For", "203.0.113.7"),
                     ("X-Forwarded-Proto", "https"), ("Forwarded", "for=192.0.2.101")], TRUSTING)
    assert told == {"x-forwarded-for": [f"192.0.2.1, 192.0.2.2, 203.0.113.7, {CLIENT}"],
                    "x-forwarded-proto": ["https"], "x-forwarded-host": ["python.test"],
                    "x-forwarded-port": ["90"]}, told


def test_forwarded_of_a_trusted_proxy_is_believed_where_it_is_the_one_chosen_rfc_7239(gw):
    said = 'for="[2001:db8::7]:1234";proto=https;host="shop.test", for=203.0.113.7'
    told = seen(gw, [("Forwarded", said), ("X-Forwarded-For", "192.0.2.101"), ("X-Forwarded-Proto", "gopher")],
                TRUSTING_RFC7239)
    assert told == {"forwarded": [f'{said}, for={CLIENT};host="python.test";proto=http'],
                    "x-forwarded-for": ["2001:db8::7"], "x-forwarded-proto": ["https"],
                    "x-forwarded-host": ["shop.test"]}, told


def test_a_malformed_forwarded_of_a_trusted_proxy_is_replaced_and_counted(gw):
    before = gw.drops().get("http_forwarded_bad", 0)
    told = seen(gw, [("Forwarded", 'for="192.0.2.1')], TRUSTING_RFC7239)
    assert told["forwarded"] == [f'for={CLIENT};host="python.test";proto=http'], told
    assert told["x-forwarded-for"] == [CLIENT], told
    assert gw.drops()["http_forwarded_bad"] == before + 1


def test_routes_match_the_nearest_address_that_is_no_trusted_proxy(gw):
    def asked(said, port=TRUSTING, name="X-Forwarded-For"):
        with Conn(gw.address, port) as conn:
            return conn.request("GET", "/", "asked.test", [(name, said)] if said else ())
    assert asked("198.18.77.5").body == b"client\n" or asked("198.18.77.5").body == b"client"
    # What the client itself wrote in front of it decides nothing.
    assert asked("192.0.2.1, 198.18.77.5").body == b"client"
    assert asked("198.18.77.5, 203.0.113.9").body == b"client"
    own_error(asked("198.18.77.5, 192.0.2.1"), 404)
    own_error(asked("unknown"), 404)
    own_error(asked("198.18.77.5, unknown"), 404)
    own_error(asked("198.18.77.5", port=80), 404)
    assert asked("for=198.18.77.5", TRUSTING_RFC7239, "Forwarded").body == b"client"
    own_error(asked("198.18.77.5", TRUSTING_RFC7239), 404)


def test_limits_count_the_client_behind_the_trusted_proxy(gw):
    def statuses(said, n=4):
        with Conn(gw.address, TRUSTING) as conn:
            return [conn.request("GET", "/", "by-client.test", [("X-Forwarded-For", said)]).status for _ in range(n)]
    assert statuses("192.0.2.31") == [200, 200, 200, 429]
    assert statuses("192.0.2.32") == [200, 200, 200, 429]
    assert statuses("192.0.2.99, 192.0.2.32", 1) == [429]


def test_the_log_names_the_client_behind_the_trusted_proxy(gw):
    before = gw.cgctl("show log")
    gw.cgctl("set log info")
    try:
        with Conn(gw.address, TRUSTING) as conn:
            conn.request("GET", "/hello?forwarded-log", "lab.test", [("X-Forwarded-For", "192.0.2.77")])
        wait_for(lambda: re.search(r"192\.0\.2\.77.*forwarded-log", gw.log_tail(lines=100)), 5, "a line of the log")
    finally:
        level = next(word for word in ("error", "warning", "info", "debug") if word in before)
        gw.cgctl(f"set log {level}")


def test_via_names_each_hop_in_both_directions_rfc_9110_7_6_3(gw):
    answer = ask(gw, "python.test", "/echo", fields=[("Via", "1.0 fred, 1.1 p.example.net"), ("Via", "1.1 third")])
    via = [value for name, value in answer.json()["fields"] if name.lower() == "via"]
    assert via == ["1.0 fred, 1.1 p.example.net, 1.1 third, 1.1 churchgate"], via
    assert answer.all("Via") == ["1.1 churchgate"], answer
    with Conn(gw.address) as conn:
        old = conn.request("GET", "/echo", "python.test", version="HTTP/1.0")
    assert [value for name, value in old.json()["fields"] if name.lower() == "via"] == ["1.0 churchgate"]
    assert ask(gw, "python.test", "/http10?n=3").all("Via") == ["1.0 churchgate"]
