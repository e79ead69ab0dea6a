"""Which route takes a request, and which endpoint gets it."""
import collections
import re
import threading

from http1 import Conn


def ask(gw, host, path, method="GET", **options):
    with Conn(gw.address) as conn:
        return conn.request(method, path, host, **options)


def own_error(answer, status):
    """An answer of the gateway's own: JSON that names error, message and request id."""
    assert answer.status == status, answer
    assert answer.get("Content-Type", "").startswith("application/json"), answer
    body = answer.json()
    assert body["error"] and body["message"] and len(body["request_id"]) >= 16, body
    return body


def test_local_answer(gw):
    answer = ask(gw, "lab.test", "/hello")
    assert answer.body == b"hello\n" and answer.get("Content-Type") == "text/plain", answer
    assert ask(gw, "lab.test", "/gone").status == 410


def test_redirect(gw):
    answer = ask(gw, "lab.test", "/old")
    assert answer.status == 308 and answer.get("Location") == "http://lab.test/new", answer


def test_host_is_matched_without_case_and_port(gw):
    for host in ("a.test", "A.Test", "a.test:80", "a.test."):
        assert ask(gw, host, "/whoami").body == b"a\n", host


def test_suffix_host_matches_below_and_not_itself(gw):
    assert ask(gw, "x.wild.test", "/whoami").body == b"b\n"
    assert ask(gw, "x.y.wild.test", "/whoami").body == b"b\n"
    own_error(ask(gw, "wild.test", "/whoami"), 404)
    own_error(ask(gw, "notwild.test", "/whoami"), 404)


def test_exact_path_param_and_prefix(gw):
    assert ask(gw, "lab.test", "/exact").get("X-Backend") == "b"
    for _ in range(2):
        answer = ask(gw, "lab.test", "/orders/42/items?echo")
        assert answer.status == 404 and b"python knows no /orders/42/items" in answer.body, answer
    assert ask(gw, "lab.test", "/orders/42").get("X-Backend") in ("a", "b")


def test_unknown_host_is_a_404_in_json(gw):
    own_error(ask(gw, "nobody.test", "/"), 404)


def test_wrong_method_is_a_405_with_allow_in_json(gw):
    # Another route takes every method below the same host, so the host must be one where none does.
    answer = ask(gw, "strict.test", "/only", "DELETE")
    own_error(answer, 405)
    assert {word.strip() for word in answer.get("Allow").split(",")} >= {"GET", "PUT"}, answer


def test_absolute_target_names_the_host_and_must_agree_with_the_host_field(gw):
    with Conn(gw.address) as conn:
        conn.send(b"GET http://a.test/whoami HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert conn.response().body == b"a\n"
        conn.send(b"GET http://a.test/whoami HTTP/1.1\r\nHost: lab.test\r\n\r\n")
        own_error(conn.response(), 400)


def test_load_spreads_evenly_over_two_endpoints(gw):
    with Conn(gw.address) as conn:
        names = [conn.request("GET", "/whoami", "lab.test").body for _ in range(100)]
    assert collections.Counter(names) == {b"a\n": 50, b"b\n": 50}, collections.Counter(names)


def canary_share(gw, n=400):
    with Conn(gw.address) as conn:
        names = collections.Counter(conn.request("GET", "/whoami", "canary.test").body for _ in range(n))
    return names[b"b\n"] / n


def test_weights_of_a_route_hold(gw):
    assert 0.04 < canary_share(gw) < 0.18


def test_weight_set_by_hand_takes_effect_at_once(gw):
    gw.cgctl("set weight canary b 0")
    gw.cgctl("set weight canary a 0")
    gw.cgctl("set weight canary b 100")
    try:
        assert canary_share(gw, 50) == 1
    finally:
        gw.cgctl("set weight canary a auto")
        gw.cgctl("set weight canary b auto")
    assert canary_share(gw, 100) < 0.5


def test_a_route_is_disabled_and_enabled_by_hand(gw):
    """Its requests go on to the routes behind it; the state outlives a reload."""
    gw.cgctl("set route hello disabled")
    try:
        assert ask(gw, "lab.test", "/hello").get("X-Backend"), "the route behind it does not take the request"
        gw.cgctl("config reload")
        assert ask(gw, "lab.test", "/hello").get("X-Backend"), "the state does not outlive a reload"
        row = [r for r in gw.cgctl("show routes", as_json=True)["routes"] if r["name"] == "hello"]
        assert row[0]["state"] == "disabled", row
        assert "disabled" in gw.cgctl("route test GET http://lab.test/hello")
    finally:
        gw.cgctl("set route hello enabled")
    assert ask(gw, "lab.test", "/hello").body == b"hello\n"


def test_endpoint_in_maintenance_gets_nothing(gw):
    gw.cgctl("set endpoint both/198.19.0.11:8080 maint")
    try:
        with Conn(gw.address) as conn:
            assert {conn.request("GET", "/whoami", "lab.test").body for _ in range(20)} == {b"b\n"}
    finally:
        gw.cgctl("set endpoint both/198.19.0.11:8080 ready")
    with Conn(gw.address) as conn:
        assert {conn.request("GET", "/whoami", "lab.test").body for _ in range(20)} == {b"a\n", b"b\n"}


def test_draining_endpoint_gets_nothing_new(gw):
    gw.cgctl("set endpoint both/198.19.0.12:8080 drain")
    try:
        with Conn(gw.address) as conn:
            assert {conn.request("GET", "/whoami", "lab.test").body for _ in range(20)} == {b"a\n"}
    finally:
        gw.cgctl("set endpoint both/198.19.0.12:8080 ready")


def test_no_endpoint_in_service_is_a_503_in_json(gw):
    gw.cgctl("set endpoint a/198.19.0.11:8080 maint")
    try:
        own_error(ask(gw, "a.test", "/whoami"), 503)
    finally:
        gw.cgctl("set endpoint a/198.19.0.11:8080 ready")
    assert ask(gw, "a.test", "/whoami").body == b"a\n"


def test_least_request_avoids_the_busy_endpoint(gw):
    # Two requests occupy both endpoints, then one of them alone: others go to the free one.
    done = []

    def hold():
        with gw.space.inside("client"):
            done.append(ask(gw, "least.test", "/slow?ms=1500").status)
    holder = threading.Thread(target=hold)
    holder.start()
    while not active(gw, "least"):
        pass
    with Conn(gw.address) as conn:
        names = {conn.request("GET", "/whoami", "least.test").body for _ in range(10)}
    holder.join()
    assert done == [200] and len(names) == 1, names


def active(gw, upstream):
    rows = gw.cgctl("show upstreams", as_json=True)["upstreams"]
    return sum(row["active"] for row in rows if row["name"] == upstream)


def test_route_test_explains_the_match(gw):
    assert "only-a" in gw.cgctl("route test GET http://a.test/whoami")
    assert "hello" in gw.cgctl("route test GET http://lab.test/hello")
    assert "get-only" in gw.cgctl("route test PUT http://lab.test/only")


def greet(gw, **fields):
    return ask(gw, "greet.test", "/greet", fields=[(k.replace("_", "-"), v) for k, v in fields.items()])


def test_one_url_in_three_languages_and_three_forms(gw):
    """RFC 9110 12.5: the weights of Accept and Accept-Language choose among the routes of one URL."""
    assert greet(gw).json() == {"greeting": "hello"}
    assert greet(gw, Accept_Language="hi-IN, en;q=0.5").json() == {"greeting": "नमस्ते"}
    assert greet(gw, Accept_Language="fr, mr;q=0.4, en;q=0.3").json() == {"greeting": "नमस्कार"}
    assert greet(gw, Accept="application/xml", Accept_Language="hi").get("Content-Type") == "application/xml"
    assert greet(gw, Accept="application/json;q=0.4, text/plain;q=0.5").body == b"hello"


def test_a_406_names_what_is_on_offer(gw):
    body = own_error(greet(gw, Accept="image/png"), 406)
    assert {"type": ["application/xml"], "language": ["en", "hi", "mr"]} in body["on_offer"], body
    assert len(body["on_offer"]) == 5, body
    own_error(greet(gw, Accept_Language="fr"), 406)


def test_a_406_is_json_however_many_offers_fill_it(gw):
    """What does not fit is left out, wherever the room ends."""
    def offer(path, i, n):
        return (f"  - {{name: offer-{path}-{i}, match: {{host: offers.test, path: /{path}, "
                f"accept: [text/{i:02d}{'x' * 110}, text/{i:02d}{'y' * n}], language: en}}, respond: {{body: x}}}}\n")
    # Each path's offers are 4 bytes shorter in all than those before: so the room ends at every part of an offer.
    more = "".join(offer(path, i, 110 - min(max(4 * path - 100 * i, 0), 100)) for path in range(72) for i in range(16))
    gw.reload(gw.config.replace("\nroutes:\n", "\nroutes:\n" + more, 1))
    try:
        with Conn(gw.address) as conn:
            for path in range(72):
                answer = conn.request("GET", f"/{path}", "offers.test", [("Accept", "image/png")])
                offers = own_error(answer, 406)["on_offer"]
                assert 10 < len(offers) < 16 and all(row["language"] == ["en"] for row in offers), offers
    finally:
        gw.reload(gw.config)


def whoami(gw, *fields):
    return ask(gw, "shop.test", "/whoami", fields=fields)


def test_a_version_is_asked_for_by_header_or_media_type_or_path(gw):
    answer = whoami(gw)
    assert answer.body == b"b\n" and answer.get("X-API-Version") == "v2", answer
    assert answer.get("Deprecation") is None and answer.get("Sunset") is None, answer
    for field in (("X-API-Version-Preference", "v1"), ("Accept", "application/vnd.shop.v1+json")):
        answer = whoami(gw, field)
        assert answer.body == b"a\n" and answer.get("X-API-Version") == "v1", answer
        assert answer.get("Deprecation") == "@1767225600", answer  # RFC 9745
        assert answer.get("Sunset") == "Thu, 31 Dec 2026 00:00:00 GMT", answer  # RFC 8594
        assert answer.get("Link") == '<https://shop.test/v1-to-v2>; rel="deprecation"', answer
    assert whoami(gw, ("X-API-Version-Preference", "v3")).body == b"three"
    answer = ask(gw, "shop.test", "/v1/anything")
    assert answer.body == b"one" and answer.get("X-API-Version") == "v1" and answer.get("Sunset"), answer
    body = own_error(whoami(gw, ("X-API-Version-Preference", "v9")), 406)
    assert body["on_offer"] == [{"version": [v]} for v in ("v1", "v2", "v3")], body


def test_versions_are_listed(gw):
    body = ask(gw, "shop.test", "/versions").json()
    assert body["default"] == "v2", body
    assert [(v["version"], v["status"]) for v in body["versions"]] == [
        ("v1", "deprecated"), ("v2", "stable"), ("v3", "beta")], body
    assert body["versions"][0]["sunset"] == "2026-12-31", body


def test_fields_queries_cookies_clients_and_listeners_choose_routes(gw):
    assert ask(gw, "asked.test", "/", fields=[("x-env", "staging")]).body == b"header"
    assert ask(gw, "asked.test", "/?q=a%20b").body == b"query"
    assert ask(gw, "asked.test", "/?q=a+b&z").body == b"query"
    assert ask(gw, "asked.test", "/", fields=[("Cookie", "a=b; canary=1")]).body == b"cookie"
    assert ask(gw, "asked.test", "/files/a/b").body == b"rest"
    own_error(ask(gw, "asked.test", "/files/"), 404)
    own_error(ask(gw, "asked.test", "/"), 404)


def test_regular_expressions_choose_routes(gw):
    fields = [("X-Env", "stag17"), ("Cookie", "a=b; user=00c0ffee")]
    assert ask(gw, "asked.test", "/regex?q=a+b%20c", fields=fields).body == b"regex"
    for path, wrong in (("/regex?q=ab", fields), ("/regex", fields),
                        ("/regex?q=a+b", [("X-Env", "stag17x"), fields[1]]),
                        ("/regex?q=a+b", [fields[0], ("Cookie", "user=00c0ffeex")])):
        own_error(ask(gw, "asked.test", path, fields=wrong), 404)
    text = gw.cgctl("route test GET 'http://asked.test/regex?q=a+b' X-Env:stag17 Cookie:user=xyz")
    assert "header X-Env regex" in text and "cookie user regex" in text, text


def test_an_expression_that_would_take_for_ever_ends_and_the_request_is_refused(gw):
    """It is no match, and no mismatch either: who slips past a route by it might slip past one that refuses."""
    before = gw.drops().get("http_regex_beyond", 0)
    refused = gw.drops().get("http_regex_refused", 0)
    with Conn(gw.address) as conn:
        for _ in range(10):
            own_error(conn.request("GET", "/hard", "asked.test", fields=[("X-Hard", "a" * 3000 + "!")]), 400)
        assert conn.request("GET", "/hard", "asked.test", fields=[("X-Hard", "b")]).body == b"not matched"
        assert conn.request("GET", "/hard", "asked.test", fields=[("X-Hard", "aaaa")]).body == b"matched"
    assert gw.drops().get("http_regex_beyond", 0) == before + 10
    assert gw.drops().get("http_regex_refused", 0) == refused + 10
    assert "400: " in gw.cgctl("route test GET http://asked.test/hard X-Hard:" + "a" * 40 + "!")


def echoed(gw, path, *fields):
    answer = ask(gw, "rewrite.test", path, fields=fields)
    assert answer.status == 200, answer
    return answer.json()


def field(echo, name):
    return [value for key, value in echo["fields"] if key.lower() == name.lower()]


def test_captures_and_variables_make_the_path_and_host_that_are_forwarded(gw):
    echo = echoed(gw, "/items/books/a%2Fb+c?lost=1", ("X-User", "a&b=c d"))
    assert echo["target"] == "/echo?kind=books&id=a%2Fb%2Bc&who=a%26b%3Dc%20d", echo
    assert field(echo, "Host") == ["books.inside.test"], echo
    # Out of a capture comes no host.
    own_error(ask(gw, "rewrite.test", "/items/bo%20oks/7"), 400)
    text = gw.cgctl("route test GET http://rewrite.test/items/books/7 X-User:ada")
    assert "/echo?kind=books&id=7&who=ada" in text and "books.inside.test" in text, text


def test_a_prefix_is_replaced_and_what_follows_it_stays(gw):
    assert echoed(gw, "/api/v1?a=b")["target"] == "/echo?a=b"
    assert echoed(gw, "/api/v1/?a=b")["target"] == "/echo/?a=b"
    assert echoed(gw, "/api/v1/x%20y//z?a=b&c")["target"] == "/echo/x%20y//z?a=b&c"


def test_a_rewritten_path_is_a_path(gw):
    """RFC 3986 3.3: what a client names is one segment, and no dot segment, not even for who decodes it first."""
    assert echoed(gw, "/seg/7", ("X-User", "a/b?c#d %41"))["target"] == "/echo/a%2Fb%3Fc%23d%20%2541/7"
    for wrong in ("..", "a/../b"):
        own_error(ask(gw, "rewrite.test", "/seg/7", fields=[("X-User", wrong)]), 400)


def test_fields_are_filled_from_the_request(gw):
    answer = ask(gw, "rewrite.test", "/echo/a%0d%0aX-Bad:1?q=x+y",
                 fields=[("Cookie", "a=1; sid=42"), ("X-User", "ada"), ("X-Client", "forged")])
    echo = answer.json()
    assert field(echo, "X-Client") == ["198.18.0.2"], echo
    assert field(echo, "X-Item") == ["a%0d%0aX-Bad:1 of fields"], echo
    assert field(echo, "X-Was") == ["GET /echo/a%0d%0aX-Bad:1?q=x+y"], echo
    assert field(echo, "X-Literal") == ["${path} $5"] and field(echo, "X-Sid") == ["42/x+y"], echo
    assert answer.get("X-Asked") == "a%0d%0aX-Bad:1 ada", answer
    assert answer.get("X-Request") == answer.get("X-Request-Id"), answer
    answer = ask(gw, "rewrite.test", "/local/seven")
    assert answer.body == b"local" and answer.get("X-Asked") == "seven", answer


def test_redirects_take_captures_and_variables(gw):
    def location(host, path, *fields):
        answer = ask(gw, host, path, fields=fields)
        return answer.status, answer.get("Location")
    assert location("rewrite.test", "/old/a/b%20c?x=1") == (301, "https://new.test/base/a/b%20c?x=1")
    assert location("rewrite.test", "/old") == (301, "https://new.test/base?")
    assert location("rewrite.test", "/user/ada%2Fl", ("X-User", "x\ty&z")) == (
        307, "/people/ada%2Fl?from=x%09y%26z")
    # A path is no other host's address (RFC 3986 4.2).
    assert location("open.test", "//evil.test/x") == (302, "/evil.test/x")


def test_each_redirect_keeps_its_code_and_leaves_the_connection_to_the_next_request(gw):
    """RFC 9110 15.4: to GET, HEAD, and a POST whose body nobody wants."""
    reasons = {301: "Moved Permanently", 302: "Found", 303: "See Other", 307: "Temporary Redirect", 308: "Permanent Redirect"}
    with Conn(gw.address) as conn:
        for status, reason in reasons.items():
            for method, body in (("GET", b""), ("HEAD", b""), ("POST", b"order=1")):
                answer = conn.request(method, f"/{status}", "redirect.test", body=body)
                assert (answer.status, answer.reason) == (status, reason), answer
                assert answer.all("Location") == [f"http://other.test/{status}"], answer
                assert answer.get("Content-Length") == "0" and answer.get("Date") and not answer.body, answer
                assert answer.get("Connection") is None, answer
        # What was created is seen with a GET (RFC 9110 15.4.4).
        answer = conn.request("POST", "/orders/7?new=1", "redirect.test", body=b"x" * 10000)
        assert (answer.status, answer.get("Location")) == (303, "/done/7?new=1"), answer


def names(gw, host, n, *fields):
    with Conn(gw.address) as conn:
        return {conn.request("GET", "/whoami", host, fields=fields).body for _ in range(n)}


def cookie_of(answer):
    return answer.get("Set-Cookie").split(";")[0]


def test_a_cookie_keeps_a_client_at_its_endpoint_over_a_reload(gw):
    """RFC 6265 4.1: set once, and again only where the endpoint changes."""
    first = ask(gw, "sticky.test", "/whoami")
    text = first.get("Set-Cookie")
    assert re.fullmatch(r"cg=[0-9a-f]{16}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax", text), text
    mine = ("Cookie", "x=1; " + cookie_of(first))
    again = ask(gw, "sticky.test", "/whoami", fields=[mine])
    assert again.body == first.body and again.get("Set-Cookie") is None, again
    assert names(gw, "sticky.test", 20, mine) == {first.body}
    gw.cgctl("config reload")
    assert names(gw, "sticky.test", 20, mine) == {first.body}
    assert names(gw, "sticky.test", 40) == {b"a\n", b"b\n"}
    assert ask(gw, "sticky.test", "/whoami", fields=[("Cookie", "cg=00000000000000zz")]).get("Set-Cookie")


def test_the_cookie_of_a_sticky_route_stays_between_client_and_gateway(gw):
    def told(*cookies):
        fields = ask(gw, "sticky-told.test", "/echo", fields=[("Cookie", c) for c in cookies]).json()["fields"]
        return [value for name, value in fields if name.lower() == "cookie"]
    ours = ask(gw, "sticky-told.test", "/whoami").get("Set-Cookie").split(";")[0]
    assert ours.startswith("cg=") and len(ours) == 19, ours
    assert told(ours) == [] and told(f"a=1; {ours}; b=2") == ["a=1; b=2"], ours
    assert told(f"{ours}; a=1", "b=2", f"c=3; {ours}") == ["a=1", "b=2", "c=3"], ours
    assert told("cg=theirs; xcg=1", "CG=2") == ["cg=theirs; xcg=1", "CG=2"]  # none of ours


def test_a_sticky_client_moves_where_its_endpoint_goes_out_of_service(gw):
    first = next(a for a in (ask(gw, "sticky.test", "/whoami") for _ in range(100)) if a.body == b"a\n")
    mine = ("Cookie", cookie_of(first))
    gw.cgctl("set endpoint both/198.19.0.11:8080 maint")
    try:
        moved = ask(gw, "sticky.test", "/whoami", fields=[mine])
        assert moved.body == b"b\n" and cookie_of(moved) != cookie_of(first), moved
    finally:
        gw.cgctl("set endpoint both/198.19.0.11:8080 ready")
    assert names(gw, "sticky.test", 10, mine) == {b"a\n"}


def test_a_hash_of_a_header_or_address_keeps_a_client_at_its_endpoint(gw):
    seen = set()
    for user in range(20):
        mine = names(gw, "sticky-header.test", 5, ("X-User", f"user-{user}"))
        assert len(mine) == 1, mine
        seen |= mine
    assert seen == {b"a\n", b"b\n"}, seen
    assert names(gw, "sticky-header.test", 40) == {b"a\n", b"b\n"}  # nothing to stick to
    assert len(names(gw, "sticky-client.test", 20)) == 1


def test_route_test_explains_conditions(gw):
    text = gw.cgctl("route test GET http://asked.test/ X-Env:prod client=198.18.77.5")
    assert "asked-client" in text and "header X-Env equal" in text, text
    assert "406" in gw.cgctl("route test GET http://greet.test/greet Accept:image/png")
    found = gw.cgctl("route test GET http://two.test/ listener=limited", as_json=True)
    assert "'limits': ['door', 'wide', 'trickle']" in str(found), found
    assert "asked-listener" in gw.cgctl("route test GET http://asked.test/ listener=six")
