"""Paths in many spellings: what is matched is what is forwarded, whatever the policy."""
from http1 import Conn
from test_30_routing import own_error

STRICT, RESOLVING = 97, 96


def reaches(gw, path, port=80, host="paths.test"):
    """What the upstream sees as its target, or the status of our refusal."""
    with Conn(gw.address, port) as conn:
        answer = conn.request("GET", path, host)
    if answer.get("Content-Type") == "application/json" and b'"target"' in answer.body:
        return answer.json()["target"]
    if answer.body.startswith(b"python knows no "):
        return answer.body.decode()[16:].strip()
    assert answer.json()["error"], answer
    return answer.status


def test_by_default_dot_segments_are_refused_and_unreserved_bytes_decoded(gw):
    for path in ("/a/../echo", "/./echo", "/%2e%2e/echo", "/a/..%2fecho", "/a%5c..%5Cecho", "/a/..;/echo"):
        assert reaches(gw, path) == 400, path
    assert reaches(gw, "/%65cho?q=%41#".rstrip("#")) == "/echo?q=%41"
    assert reaches(gw, "/echo%2Fb") == 404  # one segment, which no route has
    assert reaches(gw, "//echo") == 404


def test_what_a_route_forbids_cannot_be_reached_by_another_spelling_of_its_path(gw):
    for path in ("/secret", "/%73ecret", "/secre%74/x"):
        with Conn(gw.address) as conn:
            assert conn.request("GET", path, "paths.test").status == 403, path


def test_a_policy_may_resolve_merge_and_decode(gw):
    for path, seen in (("/a/../echo", "/echo"), ("/a/%2e%2e/./echo?x=/../y", "/echo?x=/../y"), ("//echo", "/echo"),
                       ("/a%2F..%2Fecho", "/echo"), ("/%5cecho", "/echo"), ("///a//..//echo?q", "/echo?q"),
                       ("/echo?", "/echo?"), ("/ec%68o/..", 404), ("/../echo", 400), ("/a/../../echo", 400),
                       ("/a/..;/echo", 400)):
        assert reaches(gw, path, RESOLVING) == seen, path
    for path in ("/x/../secret", "//secret", "/x%2f..%2fsecret", "/%5csecret"):
        with Conn(gw.address, RESOLVING) as conn:
            assert conn.request("GET", path, "paths.test").status == 403, path


def test_a_policy_may_refuse_each_spelling_and_counts_it(gw):
    before = gw.drops().get("http_path_refused", 0)
    spellings = ("//echo", "/%65cho", "/echo%2f", "/echo%5C")
    for path in spellings:
        assert reaches(gw, path, STRICT) == 400, path
    assert gw.drops()["http_path_refused"] == before + len(spellings)
    assert reaches(gw, "/echo?a//b%2f%65", STRICT) == "/echo?a//b%2f%65"  # the query is none of its business


def test_a_policy_of_a_route_holds_for_what_its_listener_left(gw):
    assert reaches(gw, "/files/echo%2Fa") == 400
    assert reaches(gw, "/files/echo//a") == "/files/echo/a"
    # Decoded by its policy it would be another route's, which the request was not matched with.
    assert reaches(gw, "/decoded/a%2fb") == "/decoded/a/b"
    assert reaches(gw, "/decoded/..%2fecho") == 400


def test_the_connection_goes_on_behind_a_refused_path(gw):
    with Conn(gw.address, STRICT) as conn:
        for _ in range(3):
            own_error(conn.request("GET", "//echo", "paths.test"), 400)
            assert conn.request("GET", "/echo", "paths.test").status == 200


def test_route_test_explains_the_path_as_it_is_matched(gw):
    said = gw.cgctl("route test GET http://paths.test/a/../%65cho listener=resolving", as_json=True)
    assert said["path"] == "/echo" and said["route"] == "paths", said
    assert "path_policy" in gw.space.call(None, gw.program("cgctl"), "--socket", gw.socket, "route", "test", "GET",
                                          "http://paths.test/a/../echo")[1]
