"""Scripts of other origins (the CORS protocol of the Fetch standard)."""
from http1 import Conn
from test_30_routing import ask, own_error

APP = "https://app.test"


def preflight(gw, path, origin=APP, method="PUT", *more):
    return ask(gw, "cors.test", path, "OPTIONS",
               fields=[("Origin", origin), ("Access-Control-Request-Method", method), ("X-Key", origin + method), *more])


def allowed(answer):
    return {name[len("Access-Control-"):]: value for name, value in answer.fields if name.startswith("Access-Control-")}


def test_a_preflight_is_answered_here_for_the_route_of_the_request_it_asks_for(gw):
    with Conn(gw.address) as conn:
        for _ in range(2):
            answer = conn.request("OPTIONS", "/echo", "cors.test", [("Origin", APP),
                                                                     ("Access-Control-Request-Method", "PUT")])
            assert answer.status == 204 and answer.get("Content-Type") is None, answer
            assert allowed(answer) == {"Allow-Origin": APP, "Allow-Credentials": "true", "Allow-Methods": "GET, PUT",
                                       "Allow-Headers": "X-Token, Content-Type", "Max-Age": "3600"}, answer
            assert "Origin" in answer.get("Vary"), answer


def test_a_preflight_of_another_origin_is_a_403_that_allows_nothing(gw):
    for origin in ("https://evil.test", "https://app.test.evil.test", "http://app.test", "https://app.test:8443", "null",
                   "HTTPS://APP.TEST"):
        answer = preflight(gw, "/echo", origin)
        assert answer.status == 403 and not allowed(answer), answer


def test_any_origin_may_ask_where_the_route_says_so_and_names_its_headers(gw):
    answer = preflight(gw, "/hello", "https://who.test", "GET", ("Access-Control-Request-Headers", "x-one,X-Two"))
    assert answer.status == 204 and allowed(answer)["Allow-Origin"] == "*", answer
    assert allowed(answer)["Allow-Headers"] == "x-one,X-Two" and "Allow-Credentials" not in allowed(answer), answer


def test_options_that_is_no_preflight_goes_on(gw):
    assert ask(gw, "cors.test", "/echo", "OPTIONS").json()["method"] == "OPTIONS"  # the next route's
    assert preflight(gw, "/echo", method="DELETE").json()["method"] == "OPTIONS"  # whose request no route with CORS takes


def test_an_answer_says_who_may_read_it(gw):
    for origin in (APP, "http://localhost:3000"):
        answer = ask(gw, "cors.test", "/echo", fields=[("Origin", origin), ("X-Key", origin)])
        assert answer.status == 200 and allowed(answer) == {
            "Allow-Origin": origin, "Allow-Credentials": "true", "Expose-Headers": "X-Request-Id"}, answer
        assert answer.get("Vary") == "Origin", answer
    for fields in ([("Origin", "https://evil.test"), ("X-Key", "e")], [("X-Key", "n")]):
        answer = ask(gw, "cors.test", "/echo", fields=fields)
        assert answer.status == 200 and not allowed(answer) and answer.get("Vary") == "Origin", answer
    answer = ask(gw, "cors.test", "/hello", fields=[("Origin", "https://who.test")])
    assert answer.body == b"hello" and allowed(answer) == {"Allow-Origin": "*"} and not answer.get("Vary"), answer


def test_our_own_errors_can_be_read_by_those_origins(gw):
    for _ in range(3):
        answer = ask(gw, "cors.test", "/echo", fields=[("Origin", APP), ("X-Key", "errors")])
    own_error(answer, 429)
    assert allowed(answer)["Allow-Origin"] == APP and answer.get("Vary") == "Origin", answer
