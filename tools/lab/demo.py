"""The guided tour: each request with its answer and what it shows; true only if all was as expected."""
import collections
import hashlib
import os
import re
import shlex
import time

from .backends import Backends
from .gateway import WAN, WAN6, Gateway
from .space import Space

SIZE = 64 << 20
WIDTH = 100


class Tour:
    def __init__(self, gw):
        self.gw = gw
        self.wrong = []
        self.steps = 0

    def step(self, title):
        self.steps += 1
        print(f"\n── {self.steps}. {title} " + "─" * max(0, WIDTH - len(title) - 8), flush=True)

    def shell(self, *argv, show=True):
        """Runs in the client's namespace, printing the command and what it prints."""
        print("$ " + " ".join(shlex.quote(word) for word in argv))
        status, text = self.gw.space.call("client", *argv, timeout=120)
        if show:
            print(text.replace("\r", "").rstrip())
        return text if status == 0 else f"(exit status {status})\n{text}"

    def curl(self, host, path, *options, show=True):
        return self.shell("curl", "-sS", *options, "-H", f"Host: {host}", f"http://{WAN}{path}", show=show)

    def cgctl(self, command, show=True):
        print("$ cgctl " + command)
        text = self.gw.cgctl(command)
        if show:
            print(text.rstrip())
        return text

    def expect(self, good, shows):
        print(f"{'✓' if good else '✗ NOT AS EXPECTED:'} {shows}", flush=True)
        if not good:
            self.wrong.append(f"{self.steps}: {shows}")

    # The tour

    def local(self):
        self.step("A local answer")
        text = self.curl("shop.lab", "/hello", "-i")
        self.expect(" 200 " in text and "hello from the gateway" in text,
                    "the gateway answers by itself; no backend sees the request")

    def routing(self):
        self.step("Routing by path and host")
        text = self.curl("shop.lab", "/orders/42", "-i")
        self.expect("GET /orders/42 at a" in text and "X-Served-For: orders" in text,
                    "/orders/{id} of shop.lab goes to a; a stage of policy adds a header field")
        text = self.curl("shop.lab", "/catalogue/shoes")
        self.expect("GET /catalogue/shoes at b" in text, "everything below /catalogue goes to b")
        text = self.curl("my.files.lab", "/whoami")
        self.expect(text == "python\n", "*.files.lab goes to the python backend")
        text = self.curl("old.lab", "/", "-i")
        self.expect(" 308 " in text and "http://shop.lab/" in text, "old.lab is redirected")
        text = self.curl("my.files.lab", "/echo")
        self.expect("198.18.0.2" in text and "1.1 " in text and "request-id" in text.lower(),
                    "what the backend got: X-Forwarded-For, X-Forwarded-Proto, Via and a request id were added")

    def spread(self):
        self.step("Load spread over two endpoints")
        names = self.shell("sh", "-c", f"for n in 1 2 3 4 5 6 7 8 9 10; do curl -s -H 'Host: shop.lab' "
                                       f"http://{WAN}/whoami; done | sort | uniq -c")
        self.expect(re.findall(r"(\d+) (\w)", names) == [("5", "a"), ("5", "b")],
                    "ten requests: five to each endpoint of upstream `both`")

    def ipv6(self):
        self.step("IPv6 on both sides")
        names = {self.shell("curl", "-sSg", "-H", "Host: six.lab", f"http://[{WAN6}]/whoami") for _ in range(2)}
        self.expect(names == {"a\n", "b\n"}, "a client over IPv6, and endpoints with IPv6 addresses")

    def errors(self):
        self.step("Errors in JSON")
        text = self.curl("nowhere.lab", "/", "-i")
        self.expect(" 404 " in text and '"request_id"' in text, "404: no route takes this host")
        text = self.curl("elsewhere.lab", "/hello", "-i", "-X", "DELETE")
        self.expect(" 405 " in text and re.search(r"(?im)^allow: .*GET", text) and '"request_id"' in text,
                    "405: a route takes this path, but not this method; Allow says which it takes")

    def negotiation(self):
        self.step("One URL in several languages and forms, and versions of an API")
        text = self.curl("greet.lab", "/greeting", "-H", "Accept-Language: fr, hi;q=0.8, en;q=0.5")
        self.expect("स्वागत" in text, "no French, but Hindi before English")
        text = self.curl("greet.lab", "/greeting", "-H", "Accept: text/plain, application/json;q=0.1")
        self.expect("आहे" in text, "plain text is there in Marathi")
        text = self.curl("greet.lab", "/greeting", "-H", "Accept: application/xml", "-H", "Accept-Language: mr")
        self.expect("<greeting>" in text, "and XML in all three")
        text = self.curl("greet.lab", "/greeting", "-i", "-H", "Accept: image/png")
        self.expect(" 406 " in text and "on_offer" in text, "406 names what is on offer")
        text = self.curl("api.lab", "/whoami", "-i")
        self.expect("X-API-Version: v2" in text, "v2 is the default")
        text = self.curl("api.lab", "/whoami", "-i", "-H", "X-API-Version-Preference: v1")
        self.expect("Sunset: Thu, 31 Dec 2026" in text and "Deprecation: @" in text,
                    "v1 still answers, and says until when")
        text = self.curl("api.lab", "/v1/whoami", "-i")
        self.expect("X-API-Version: v1" in text and "Sunset" in text, "asked for by path, too")
        text = self.curl("api.lab", "/whoami", "-i", "-H", "Accept: application/vnd.timetable.v3+json")
        self.expect("X-API-Version: v3" in text and "three" in text, "and by media type")
        text = self.curl("api.lab", "/versions")
        self.expect('"status":"beta"' in text, "the versions, listed")

    def variables(self):
        self.step("Captures, variables, regular expressions, and clients that stay where they began")
        text = self.curl("tickets.lab", "/tickets/evening/B12", "-i", "-H", "X-Agent: agent-007")
        self.expect('"/echo?show=evening&seat=B12"' in text and "booking.internal" in text and "X-Seat: B12" in text,
                    "the backend gets another path and host, made of the request's")
        self.expect("agent-007 from 198.18.0.2" in text, "and fields made of it")
        text = self.curl("tickets.lab", "/tickets/evening/B12", "-H", "X-Agent: agent-7")
        self.expect("not_found" in text, "^agent-[0-9]{3}$ does not match agent-7")
        text = self.curl("tickets.lab", "/old/evening/B12?x=1", "-i")
        self.expect("Location: http://tickets.lab/tickets/evening/B12?x=1" in text, "a redirect keeps path and query")
        text = self.cgctl("route test GET http://tickets.lab/tickets/evening/B12 X-Agent:agent-007")
        self.expect("/echo?show=evening&seat=B12" in text and "regex" in text, "route test explains it")
        text = self.curl("basket.lab", "/whoami", "-i")
        cookie = re.search(r"(?im)^set-cookie: (basket=\w+)", text)
        self.expect(cookie, "a cookie names the endpoint")
        text = self.shell("sh", "-c", f"for n in $(seq 10); do curl -s -H 'Host: basket.lab' "
                                      f"-H 'Cookie: {cookie and cookie[1]}' http://{WAN}/whoami; done | sort | uniq -c")
        self.expect(text.split()[:1] == ["10"], "and ten requests with it go to one")

    def limits(self):
        self.step("Rate limits: 100 a minute for a client, 10 for creating orders, 60 for each user and operation")
        text = self.shell("sh", "-c", f"for n in $(seq 12); do curl -s -o /dev/null -w '%{{http_code}} ' -X POST "
                                      f"-H 'Host: limits.lab' http://{WAN}/orders; done")
        self.expect(text.split() == ["201"] * 10 + ["429"] * 2, "ten orders a minute, not one more")
        text = self.curl("limits.lab", "/orders", "-i", "-X", "POST")
        self.expect(" 429 " in text and '"request_id"' in text and re.search(r"(?im)^retry-after: [1-6]\b", text),
                    "429 in JSON; Retry-After says when the next one passes")
        text = self.shell("sh", "-c", f"for user in asha ravi; do curl -s -o /dev/null -w '%{{http_code}}\\n' "
                                      f"-X POST -H 'Host: limits.lab' -H \"X-User: $user\" "
                                      f"'http://{WAN}/payments?n=[1-61]' | sort | uniq -c; done")
        self.expect(text.split() == ["60", "200", "1", "429"] * 2, "each user has 60 of an operation")
        self.cgctl("clear ratelimit per-client 198.18.0.2")
        text = self.shell("sh", "-c", "curl -s -o /dev/null -w '%{http_code}\\n' -H 'Host: limits.lab' "
                                      f"'http://{WAN}/whoami?n=[1-120]' | sort | uniq -c")
        count = dict(zip(text.split()[1::2], map(int, text.split()[::2])))
        self.expect(100 <= count.get("200", 0) < 110 and sum(count.values()) == 120,
                    "a client has 100 a minute of all else, and what is earned meanwhile")
        self.cgctl("clear ratelimit per-client 198.18.0.2")
        self.expect("198.18.0.2" in self.cgctl("show ratelimit order-creation top 5"), "who is near a limit")
        self.cgctl("clear ratelimit order-creation 198.18.0.2")
        text = self.curl("limits.lab", "/orders", "-i", "-X", "POST")
        self.expect(" 201 " in text, "cleared by hand: at once")

    def large(self):
        backends, folder = self.gw.backends, os.path.join(self.gw.space.dir, "files")
        self.step(f"A download and an upload of {SIZE >> 20} MiB")
        want = backends.file("big", SIZE)
        got = os.path.join(self.gw.space.dir, "got")
        self.curl("canary.lab", "/big", "-o", got, "-w", "%{http_code} %{size_download} bytes, %{speed_download} B/s\n")
        with open(got, "rb") as file:
            have = hashlib.file_digest(file, "sha256").hexdigest()
        os.unlink(got)
        print(f"  sha256 at the backend {want}\n  sha256 at the client  {have}")
        self.expect(have == want, "the download came whole")
        for framing, options in (("Content-Length", ()), ("chunked", ("-H", "Transfer-Encoding: chunked"))):
            text = self.curl("my.files.lab", "/upload", "-T", os.path.join(folder, "big"), *options)
            self.expect(want in text and str(SIZE) in text, f"the upload ({framing}) came whole: same sha256")

    def weights(self):
        self.step("A weight changed while running")

        def share():
            names = collections.Counter(self.gw.space.call(
                "client", "sh", "-c", "for n in $(seq 100); do curl -s -H 'Host: canary.lab' "
                f"http://{WAN}/whoami; done")[1].split())
            print(f"  100 requests to canary.lab: {names['a']} to a, {names['b']} to b")
            return names
        names = share()
        self.expect(names["a"] >= 70 and names["a"] + names["b"] == 100, "the configuration says 90 to 10")
        self.cgctl("set weight canary a 0")
        self.cgctl("set weight canary b 100")
        self.expect(share()["b"] == 100, "all go to b now, from the next request on")
        self.cgctl("set weight canary a auto", show=False)
        self.cgctl("set weight canary b auto", show=False)

    def reload(self):
        self.step("Reload under load")
        load = self.gw.space.start("client", "wrk", "-t1", "-c32", "-d4s", "-H", "Host: shop.lab",
                                   f"http://{WAN}/whoami", log="wrk.log")
        print(f"$ wrk -t1 -c32 -d4s -H 'Host: shop.lab' http://{WAN}/whoami &")
        for n in range(1, 6):
            config = self.gw.config.replace("hello from the gateway", f"hello from generation {n}")
            self.gw.reload(config)
            text = self.gw.space.call("client", "curl", "-sS", "-H", "Host: shop.lab", f"http://{WAN}/hello")[1]
            print(f"  $ cgctl config reload; curl .../hello: {text.strip()}")
            self.expect(text == f"hello from generation {n}\n", "the new configuration is in force")
            time.sleep(0.3)  # so that the reloads spread over wrk's time
        self.gw.reload(self.gw.config)
        load.wait(60)
        with open(os.path.join(self.gw.space.dir, "wrk.log"), encoding="utf-8") as file:
            text = file.read()
        print(text.rstrip())
        self.expect(wrk_good(text), "no request failed")

    def load(self):
        self.step("Five seconds of load")
        text = self.shell("wrk", "-t1", "-c64", "-d5s", "--latency", "-H", "Host: shop.lab", f"http://{WAN}/whoami")
        self.expect(wrk_good(text), "no socket error, nothing but 2xx")

    def figures(self):
        self.step("What the operator sees")
        self.expect(self.cgctl("show workers").strip(), "workers")
        text = self.cgctl("show upstreams")
        self.expect("both" in text and "198.19.0.11:8080" in text, "upstreams and endpoints")
        self.expect(self.cgctl("show drops").strip(), "every drop has its reason")
        print(f"$ curl -s http://127.0.0.1:{self.gw.metrics_port}/metrics | grep 'route=\"shop\"'")
        end = time.monotonic() + 5
        lines = []
        while not lines and time.monotonic() < end:
            lines = [line for line in self.gw.metrics().splitlines() if 'route="shop"' in line]
        shown = [line for line in lines if "_bucket" not in line]
        print("\n".join(shown), f"\n(and {len(lines) - len(shown)} histogram buckets)")
        self.expect(any(re.search(r'class="2xx"\} [1-9]', line) for line in lines),
                    "the route's requests by status class")


def wrk_good(text):
    return bool(re.search(r"[1-9]\d* requests in", text)) and "Socket errors" not in text and "Non-2xx" not in text


def pieces(space, config):
    """Namespaces, backends and the gateway, running."""
    print(f"lab: run {space.id}: namespaces " + ", ".join(f"cg{space.id}-{name}" for name in Space.NAMES))
    space.make()
    backends = Backends(space)
    backends.start()
    gw = Gateway(space, config, device=os.environ.get("DEVICE"))
    gw.backends = backends
    gw.start()
    gw.start_exporter()
    return gw


def demo(config):
    with Space() as space:
        gw = pieces(space, config)
        tour = Tour(gw)
        print(f"lab: control {gw.control.pid}, data plane {gw.dataplane_pid()}, exporter {gw.exporter.pid}")
        for part in (tour.local, tour.routing, tour.spread, tour.ipv6, tour.errors, tour.negotiation, tour.variables,
                     tour.limits, tour.large, tour.weights, tour.reload, tour.load, tour.figures):
            part()
        tour.step("The end")
        status = gw.shutdown()
        tour.expect(status == 0, "control and data plane stopped in order, with every buffer back")
        names = list(space.names.values())
    left = [name for name in names if os.path.exists(f"/run/netns/{name}")]
    tour.expect(not left and not os.path.exists(space.dir), "namespaces, processes and files are gone")
    print()
    for wrong in tour.wrong:
        print(f"not as expected: {wrong}")
    if not tour.wrong:
        print("demo: all as expected")
    return not tour.wrong
