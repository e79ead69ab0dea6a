"""Error pages in the place of JSON."""
import re

from http1 import Conn
from test_30_routing import ask, own_error

PAGES = 98


def at_listener(gw, method, path, host="pages.test"):
    with Conn(gw.address, PAGES) as conn:
        return [conn.request(method, path, host) for _ in range(2)][1]


def test_a_routes_page_stands_in_the_place_of_json_with_its_variables(gw):
    answer = ask(gw, "pages.test", "/slow?ms=1000")
    assert answer.status == 504 and answer.get("Content-Type") == "text/html; charset=utf-8", answer
    assert re.fullmatch(rb"<h1>504 Gateway Timeout</h1>the upstream did not answer in time<br>[0-9a-f]{32}", answer.body)
    assert answer.get("X-Request-Id").encode() in answer.body, answer
    answer = ask(gw, "pages.test", "/refused")
    assert answer.status in (502, 503) and answer.get("Content-Type") == "text/plain", answer
    assert answer.body in (b"sorry: bad_gateway\n", b"sorry: service_unavailable\n"), answer


def test_a_listeners_page_serves_where_the_route_has_none(gw):
    answer = at_listener(gw, "GET", "/nowhere")
    assert answer.status == 404 and answer.body == b"404: no route matches $ {x} $", answer
    answer = at_listener(gw, "POST", "/get")
    assert answer.status == 405 and answer.body.startswith(b"405: ") and answer.get("Allow") == "GET, HEAD", answer
    answer = at_listener(gw, "HEAD", "/nowhere")
    assert answer.status == 404 and answer.get("Content-Length") == str(len(b"404: no route matches $ {x} $")), answer


def test_what_a_route_or_an_upstream_answers_by_itself_has_no_page(gw):
    assert at_listener(gw, "GET", "/get").body == b"mine"
    assert at_listener(gw, "GET", "/status?s=404", "python.test").body == b"status 404\n"


def test_without_a_page_it_is_json(gw):
    own_error(ask(gw, "pages.test", "/nowhere"), 404)
