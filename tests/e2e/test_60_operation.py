"""The operator's side: control socket, configuration, metrics, restarts and their cost to clients: none."""
import json
import os
import re
import signal
import socket
import time

from http1 import Closed, Conn, head
from lab.space import process_gone, wait_for
from test_30_routing import ask

SHOWS = ("help", "show info", "show workers", "show ports", "show drops", "show pools", "show tcp", "show conns",
         "show listeners", "show routes", "show upstreams", "show config", "show log")


class Load:
    """wrk beside what a test does; its verdict at the end."""

    def __init__(self, gw, seconds, host="lab.test", path="/whoami", connections=32):
        self.gw = gw
        self.log = f"wrk{time.monotonic_ns()}.log"
        self.seconds = seconds
        self.child = gw.space.start("client", "wrk", "-t", "1", "-c", str(connections), "-d", str(seconds), "-H",
                                    f"Host: {host}", f"http://{gw.address}{path}", log=self.log)

    def stop(self):
        """Before its time."""
        self.child.send_signal(signal.SIGINT)
        return self.finish()

    def finish(self):
        self.child.wait(self.seconds + 30)
        with open(os.path.join(self.gw.space.dir, self.log), encoding="utf-8") as file:
            text = file.read()
        assert re.search(r"[1-9]\d* requests in", text), text
        assert "Socket errors" not in text and "Non-2xx" not in text, text
        return text


def test_every_show_command_answers_in_text_and_json(gw):
    for command in SHOWS:
        assert gw.cgctl(command).strip(), command
        assert isinstance(gw.cgctl(command, as_json=True), (dict, list)), command


def attempts(gw):
    rows = gw.cgctl("show upstreams", as_json=True)["upstreams"]
    return {row["name"]: row["attempts"] for row in rows if row["name"] in ("a", "b")}


def share_of_b(gw, n):
    """b's share of the next n requests to the route."""
    before, now = attempts(gw), {}

    def enough():
        now.update(attempts(gw))
        return sum(now.values()) - sum(before.values()) >= n
    wait_for(enough, 60, f"{n} requests")
    b = now["b"] - before["b"]
    return b / (now["a"] - before["a"] + b)


def test_weights_moved_from_90_10_to_0_100_under_load_hold_at_once_and_no_request_fails(gw):
    load = Load(gw, 120, host="canary.test")
    try:
        before = share_of_b(gw, 50000)
        gw.cgctl("set weight canary a 0")
        gw.cgctl("set weight canary b 100")
        after = share_of_b(gw, 50000)
    finally:
        gw.cgctl("set weight canary a auto")
        gw.cgctl("set weight canary b auto")
    load.stop()
    assert 0.09 < before < 0.11 and after > 0.99, (before, after)


def test_unknown_commands_and_arguments_are_refused_with_a_reason(gw):
    for command in ("shew info", "show nothing", "set endpoint nobody/1.2.3.4:5 maint", "set weight canary nobody 5",
                    "set weight canary a many", "set endpoint a/198.19.0.11:8080 asleep", "set log shouting",
                    "set weight watched watched 0"):
        argv = [gw.program("cgctl"), "--socket", gw.socket, *command.split()]
        status, text = gw.space.call(None, *argv)
        assert status != 0 and len(text.strip()) > 5, (command, status, text)


def test_workers_ports_and_pools_are_shown_with_figures(gw):
    ask(gw, "lab.test", "/hello")
    ports = gw.cgctl("show ports")
    assert "wan" in ports and "lan" in ports and "198.18.0.1" in ports, ports
    rows = gw.cgctl("show ports", as_json=True)["ports"]
    # None of the virtual devices computes checksums for less than we do, or at all.
    assert all("tx_tcp_checksum" not in row["offloads"] for row in rows), rows
    memory = {row["held_by"]: row for row in gw.cgctl("show pools", as_json=True)["packet_memory"]}
    everything = memory["all"]
    assert 0 < everything["used"] and everything["used"] + everything["free"] == everything["limit"], memory
    assert {"receiving/wan", "receiving/lan", "receive-queues/0", "send-queues/0", "cache/0"} < set(memory), memory
    assert memory["send-queues/0"]["limit"] < everything["limit"], memory
    with Conn(gw.address) as conn:
        conn.request("GET", "/hello", "lab.test")
        assert "198.18.0.2" in gw.cgctl("show conns")


def test_listings_of_connections_in_one_line_follow_one_another(gw):
    pid = gw.info()["control"]["pid"]
    with socket.socket(socket.AF_UNIX) as session:
        session.settimeout(10)
        session.connect(gw.socket)
        session.sendall(b"json show conns 1; show conns 1; show conns 1; show log\n")
        said = b""
        while not said.endswith(b"\n\n"):
            said += session.recv(65536) or b"(closed)\n\n"
    answers = json.loads(said)
    assert ["conns" in answer for answer in answers] == [True] * 3 + [False], said
    assert not any("no_answer_from_worker" in answer for answer in answers), said
    assert gw.info()["control"]["pid"] == pid


def test_log_level_info_logs_each_request(gw):
    before = gw.cgctl("show log")
    gw.cgctl("set log info")
    try:
        with Conn(gw.address) as conn:
            conn.request("GET", "/hello?logged", "lab.test")
        wait_for(lambda: "/hello" in gw.log_tail(lines=200), 5, "a line for the request")
    finally:
        level = next(word for word in ("error", "warning", "info", "debug") if word in before)
        gw.cgctl(f"set log {level}")


WRONG = [
    # (what, text to replace, replacement, what the message must contain)
    ("unknown key", "    respond: {status: 410,", "    respond: {statsu: 410,", "status"),
    ("missing unit", "timeout: 500ms", "timeout: 500", "unit"),
    ("undefined upstream", "to: [{upstream: b}]", "to: [{upstream: bb}]", "bb"),
    ("bad address", "198.18.0.1/24", "198.18.0.1.7/24", "198.18.0.1.7"),
    ("duplicate key", "version: 1\n", "version: 1\nversion: 1\n", "version"),
    ("bad YAML", "routes:\n", "routes: [\n", ""),
    ("duplicate route", "name: moved", "name: hello", "hello"),
    ("unknown word", "balance: least_request", "balance: least_requests", "least_request"),
    ("no such port", "port: wan, bind: \":81\"", "port: wann, bind: \":81\"", "wan"),
    ("out of range", "status: 308", "status: 909", "909"),
]


def place(text, piece):
    """Line of the first occurrence, 1-based."""
    return text[:text.index(piece)].count("\n") + 1


def test_wrong_configuration_is_named_at_its_place_and_changes_nothing(gw):
    generation = gw.info()["generation"]
    running = gw.cgctl("show config")
    path = os.path.join(gw.space.dir, "wrong.yaml")
    wrong = []
    try:
        for what, old, new, contains in WRONG:
            text = gw.config.replace(old, new, 1)
            assert text != gw.config, what
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            line = place(gw.config, old)
            status, said = gw.space.call(None, gw.program("churchgate-control"), "--check", path)
            found = re.search(re.escape(path) + r":(\d+):(\d+): ", said)
            if status != 1 or not found or contains not in said:
                wrong.append(f"{what}: --check gave {status}: {said.strip()}")
            elif what not in ("bad YAML", "duplicate key", "duplicate route") and int(found[1]) != line:
                wrong.append(f"{what}: named at line {found[1]}, stands at {line}")
            status, said = gw.space.call(None, gw.program("cgctl"), "--socket", gw.socket, "config", "reload", path)
            if status == 0 or not re.search(r":\d+:\d+: ", said):
                wrong.append(f"{what}: reload gave {status}: {said.strip()}")
    finally:
        os.unlink(path)
    assert not wrong, "; ".join(wrong)
    assert gw.info()["generation"] == generation and gw.cgctl("show config") == running
    assert ask(gw, "lab.test", "/hello").status == 200


def test_all_errors_are_named_at_once(gw):
    text = gw.config
    for _, old, new, _ in WRONG[:4]:
        text = text.replace(old, new, 1)
    path = os.path.join(gw.space.dir, "wrong.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    _, said = gw.space.call(None, gw.program("churchgate-control"), "--check", path)
    os.unlink(path)
    assert said.count("wrong.yaml:") >= 3, said


def test_good_configuration_passes_the_check(gw):
    status, said = gw.space.call(None, gw.program("churchgate-control"), "--check", gw.config_path)
    assert status == 0, said


def test_reload_changes_what_is_served(gw):
    gw.reload(gw.config.replace('body: "hello\\n"', 'body: "changed\\n"'))
    try:
        assert ask(gw, "lab.test", "/hello").body == b"changed\n"
    finally:
        gw.reload(gw.config)
    assert ask(gw, "lab.test", "/hello").body == b"hello\n"


def snapshots(gw):
    """Of the data plane's: bytes mapped of snapshots that control has made, and large runs of anonymous memory that
    cannot be written."""
    files, copies = 0, []
    with open(f"/proc/{gw.dataplane_pid()}/maps", encoding="ascii") as maps:
        for line in maps:
            span, rights, _, _, inode, *name = line.split()
            begin, end = (int(x, 16) for x in span.split("-"))
            if "churchgate-snapshot" in " ".join(name):
                files += end - begin
            elif rights == "r--p" and inode == "0" and end - begin >= 1 << 20:
                copies.append(end - begin)
    return files, copies


def test_a_large_snapshot_is_served_from_large_pages_of_the_data_planes_own(gw):
    many = "".join(f'  - {{name: many-{i}, match: {{host: many.test, path: /many/{i}}}, respond: {{body: "{i}"}}}}\n'
                   for i in range(2000))
    files, copies = snapshots(gw)
    assert files and not copies, (files, copies)
    gw.reload(gw.config.replace("\nroutes:\n", "\nroutes:\n" + many, 1))
    try:
        with Conn(gw.address) as conn:
            for i in (0, 1, 1000, 1999):
                assert conn.request("GET", f"/many/{i}", "many.test").body == str(i).encode()
            assert conn.request("GET", "/hello", "lab.test").body == b"hello\n"
        files, copies = snapshots(gw)
        assert files < 1 << 20 and sum(copies) > 1 << 20, (files, copies)  # padding and copy, for the kernel two
    finally:
        gw.reload(gw.config)
    wait_for(lambda: not snapshots(gw)[1], 10, "the copy to be given back")
    assert ask(gw, "many.test", "/many/1").status == 404
    assert ask(gw, "lab.test", "/hello").body == b"hello\n"


def test_reload_adds_and_removes_endpoints(gw):
    gw.reload(gw.config.replace('{name: a, port: lan, endpoints: ["198.19.0.11:8080"]}',
                                '{name: a, port: lan, endpoints: ["198.19.0.12:8080"]}'))
    try:
        assert ask(gw, "a.test", "/whoami").body == b"b\n"
    finally:
        gw.reload(gw.config)
    assert ask(gw, "a.test", "/whoami").body == b"a\n"


def test_ten_reloads_under_load_cost_no_request(gw):
    load = Load(gw, 4)
    for n in range(10):
        gw.reload(gw.config.replace('body: "hello\\n"', f'body: "hello {n}\\n"'))
        assert ask(gw, "lab.test", "/hello").body == b"hello %d\n" % n
    gw.reload(gw.config)
    load.finish()


def test_request_in_flight_over_a_reload_ends_well(gw):
    with Conn(gw.address) as conn:
        conn.send(head("GET", "/slow?ms=400", "python.test"))
        gw.reload(gw.config)
        assert conn.response().body == b"slow\n"
        assert conn.request("GET", "/whoami", "a.test").body == b"a\n"


def unfinished(gw):
    """A request whose body has begun and does not end."""
    before = row_of(gw)["active"]
    conn = Conn(gw.address, timeout=15)
    conn.send(head("POST", "/echo", "python.test", [("Content-Length", "100000")]) + b"begun")
    wait_for(lambda: row_of(gw)["active"] > before, 5, "the request to be in flight")
    return conn


def row_of(gw, name="python"):
    return next(row for row in gw.cgctl("show routes", as_json=True)["routes"] if row["name"] == name)


def test_a_request_without_end_outlives_any_number_of_reloads(gw):
    """It holds the generation that it began under, and none of those that come and go meanwhile."""
    with unfinished(gw) as conn:
        for _ in range(12):
            gw.reload(gw.config)
        conn.send(b"." * (100000 - len("begun")))
        assert conn.response().status == 200


def test_requests_without_end_in_each_generation_do_not_keep_out_the_next(gw):
    """The oldest are ended for it, once their generation has been replaced for five seconds."""
    ended = gw.counters("http")["http_given_up"]
    conns = []
    try:
        for _ in range(9):
            conns.append(unfinished(gw))
            gw.reload(gw.config)
        answer = conns[0].response()
        assert answer.status == 503 and answer.get("Retry-After") and answer.get("Connection") == "close", answer
        assert gw.counters("http")["http_given_up"] == ended + 2, "those of the two oldest of nine"
        conns[-1].send(b"." * (100000 - len("begun")))
        assert conns[-1].response().status == 200
    finally:
        for conn in conns:
            conn.close()


def test_hand_set_weight_survives_a_reload(gw):
    gw.cgctl("set weight canary a 0")
    try:
        gw.reload(gw.config)
        with Conn(gw.address) as conn:
            assert {conn.request("GET", "/whoami", "canary.test").body for _ in range(20)} == {b"b\n"}
    finally:
        gw.cgctl("set weight canary a auto")


def test_a_weight_of_0_set_by_hand_ends_where_a_reload_leaves_nothing_else(gw):
    both = 'to: [{upstream: a, weight: 90}, {upstream: b, weight: 10}]'
    assert both in gw.config
    for left in ("to: [{upstream: a, weight: 90}]", "to: [{upstream: a, weight: 90}, {upstream: b, weight: 0}]"):
        gw.cgctl("set weight canary a 0")
        try:
            gw.reload(gw.config.replace(both, left))
            assert ask(gw, "canary.test", "/whoami").body == b"a\n"
            assert row_of(gw, "canary")["targets"][0] == {"upstream": "a", "weight": 90, "configured": 90,
                                                          "set_by": "configuration"}, left
        finally:
            gw.cgctl("set weight canary a auto")
            gw.reload(gw.config)


def test_a_route_that_was_given_no_weight_at_all_by_hand_keeps_none_over_a_reload(gw):
    gw.cgctl("set weight canary a 0")
    gw.cgctl("set weight canary b 0")
    try:
        assert ask(gw, "canary.test", "/whoami").status == 503
        gw.reload(gw.config)
        assert ask(gw, "canary.test", "/whoami").status == 503
    finally:
        gw.cgctl("set weight canary a auto")
        gw.cgctl("set weight canary b auto")


def buffers_used(gw):
    pools = gw.cgctl("show pools", as_json=True)["pools"]
    return {row["name"]: row["used"] for row in pools}


def test_ten_thousand_idle_connections_each_get_an_answer(gw):
    count = 10000
    conns = []
    try:
        for _ in range(count):
            conns.append(Conn(gw.address, timeout=20))
        request = head("GET", "/hello", "lab.test")
        for at in range(0, count, 500):
            for conn in conns[at:at + 500]:
                conn.socket.sendall(request)
            for conn in conns[at:at + 500]:
                answer = conn.response()
                assert answer.status == 200 and answer.body == b"hello\n", answer
        request = head("GET", "/whoami", "lab.test")
        for at in range(0, count, 100):
            for conn in conns[at:at + 100]:
                conn.socket.sendall(request)
            for conn in conns[at:at + 100]:
                assert conn.response().status == 200
    finally:
        for conn in conns:
            conn.close()


def test_metrics_count_what_was_served(gw):
    gw.start_exporter()

    def value(pattern):
        found = [line for line in gw.metrics().splitlines() if re.match(pattern, line)]
        return sum(float(line.rpartition(" ")[2]) for line in found), found
    of_route = r'http_server_request_duration_seconds_count\{[^}]*route="hello"'
    before, _ = value(of_route)
    with Conn(gw.address) as conn:
        for _ in range(5):
            conn.request("GET", "/hello", "lab.test")
    wait_for(lambda: value(of_route)[0] >= before + 5, 5, "five requests of the route to be seen")
    text = gw.metrics()
    for line in text.splitlines():
        assert line.startswith("#") or re.match(r'^[a-zA-Z_:][\w:]*(\{([a-zA-Z_]\w*="[^"\n]*",?)*\})? \S+$', line), line
    for needed in ("http_server_active_requests", "http_server_request_duration_seconds_bucket",
                   "http_client_request_duration_seconds_bucket", "churchgate_worker_", "reason=", "upstream="):
        assert needed in text, f"{needed} is not in /metrics"
    sums = {}
    for line in text.splitlines():
        found = re.match(r'http_server_request_duration_seconds_bucket\{(.*)le="([^"]+)"', line)
        if found:
            key, count = found[1], float(line.rpartition(" ")[2])
            assert count >= sums.get(key, 0), f"buckets of {key} are not cumulative"
            sums[key] = count


def test_exporter_may_end_and_come_back(gw):
    gw.space.stop(gw.exporter, sig=9)
    assert ask(gw, "lab.test", "/hello").status == 200
    gw.start_exporter()
    assert "http_server" in gw.metrics()


def test_every_drop_has_a_reason(gw):
    text = gw.cgctl("show drops")
    rows = gw.cgctl("show drops", as_json=True)["drops"]
    for row in rows:
        assert row["count"] > 0 and len(row["help"]) > 5, row
        assert row["name"] in text, row


def test_no_buffer_or_connection_is_lost_when_all_is_quiet(gw):
    def quiet():
        rows = gw.cgctl("show conns", as_json=True)["conns"]
        # The far host of the cable tests vanished without a word; its connections last until the user timeout.
        return not [row for row in rows if row["side"] == "client" and "::77]" not in row["remote"]
                    and "198.18.0.77:" not in row["remote"]]
    wait_for(quiet, 20, "client connections to end")
    used = buffers_used(gw)
    exchanges = [count for name, count in used.items() if "exchange" in name]
    assert exchanges and not any(exchanges), used


def test_killed_control_costs_no_request_and_attaches_again(gw):
    pid = gw.dataplane_pid()
    load = Load(gw, 4)
    gw.kill_control()
    assert not process_gone(pid)
    assert ask(gw, "lab.test", "/whoami").status == 200
    gw.start_control()
    wait_for(gw.serving, 10, "control to attach")
    assert gw.dataplane_pid() == pid, "control started another data plane"
    load.finish()
    gw.reload(gw.config.replace('body: "hello\\n"', 'body: "after\\n"'))
    assert ask(gw, "lab.test", "/hello").body == b"after\n"
    gw.reload(gw.config)


def test_killed_dataplane_serves_again_under_the_same_snapshot(gw):
    generation = gw.info()["generation"]
    assert ask(gw, "lab.test", "/hello").status == 200
    huge = set(os.listdir("/dev/hugepages")) if os.path.isdir("/dev/hugepages") else set()
    old = gw.kill_dataplane()
    begun = time.monotonic()
    while True:
        try:
            with Conn(gw.address, timeout=0.1) as conn:
                if conn.request("GET", "/hello", "lab.test").status == 200:
                    break
        except (OSError, Closed):
            pass
        assert time.monotonic() - begun < 20, "the data plane did not come back: " + gw.log_tail()
    print(f"     serving again after {time.monotonic() - begun:.2f} s")  # the bar is 1 s on a calm machine
    wait_for(gw.serving, 5, "control to know the new data plane")
    assert gw.dataplane_pid() != old and process_gone(old)
    assert gw.info()["generation"] == generation
    assert ask(gw, "a.test", "/whoami").body == b"a\n"
    assert (set(os.listdir("/dev/hugepages")) if huge else set()) <= huge, "a hugepage file was left behind"


def test_hand_set_state_survives_the_dataplane(gw):
    gw.cgctl("set endpoint both/198.19.0.11:8080 maint")
    try:
        gw.kill_dataplane()
        wait_for(lambda: gw.serving() and answers(gw), 20, "the data plane to come back")
        with Conn(gw.address) as conn:
            assert {conn.request("GET", "/whoami", "lab.test").body for _ in range(10)} == {b"b\n"}
    finally:
        gw.cgctl("set endpoint both/198.19.0.11:8080 ready")


def test_both_killed_at_once_and_started_again_at_once_serve(gw):
    for _ in range(8):  # control meets the data plane that ends, in various moments of its end
        gw.kill_dataplane()
        gw.kill_control()
        gw.start_control()
        wait_for(lambda: gw.control.poll() is not None or (gw.serving() and answers(gw)), 20, "the gateway to serve")
        assert gw.control.poll() is None, "control gave up: " + gw.log_tail()


def test_damage_to_the_region_in_use_ends_no_process(gw):
    pids = gw.control.pid, gw.dataplane_pid()
    path = os.path.join(gw.dir, "region")
    with open(path, "rb+", buffering=0) as file:
        before = file.read(4096)
        try:
            for byte in (0xff, 0x7f, 0x01):
                file.seek(0)
                file.write(bytes([byte]) * 128)
                answers(gw)
                for command in ("show conns", "show upstreams", "show routes", "config reload"):
                    gw.cgctl(command, check=False)
        finally:
            file.seek(0)
            file.write(before)
    assert (gw.control.pid, gw.dataplane_pid()) == pids, gw.log_tail()
    wait_for(lambda: answers(gw), 5, "an answer")


def test_refused_configurations_keep_nothing_of_the_region(gw):
    try:
        for n in range(20):
            names = ", ".join(f'"198.19.{n}.{i // 250}:{1000 + i % 250}"' for i in range(1000))
            text = gw.config.replace("packets: 64MiB", "packets: 65MiB").replace(
                "upstreams:\n", f"upstreams:\n  - {{name: many, port: lan, endpoints: [{names}]}}\n")
            gw.write_config(text)
            said = gw.cgctl("config reload", check=False)
            assert "system.memory" in said, said
        gw.reload(text.replace("65MiB", "64MiB"))
    finally:
        gw.reload(gw.config)


def answers(gw):
    try:
        return ask(gw, "lab.test", "/hello").status == 200
    except (OSError, Closed):
        return False


def test_shutdown_finishes_what_is_in_flight(gw):
    with Conn(gw.address) as conn:
        conn.send(head("GET", "/slow?ms=500", "python.test"))
        wait_for(lambda: sum(row["active"] for row in gw.cgctl("show upstreams", as_json=True)["upstreams"]), 5,
                 "the request to be under way")
        status = gw.shutdown()
        assert conn.response().body == b"slow\n"
    assert status == 0, gw.log_tail()
    gw.start_control()
    wait_for(gw.serving, 20, "the gateway to start again")
    wait_for(lambda: answers(gw), 5, "an answer")


def test_shutdown_finishes_what_came_a_moment_before(gw):
    """The first request of a data plane, before its worker has told anybody of the connection."""
    pid = gw.dataplane_pid()
    with socket.socket(socket.AF_UNIX) as control, Conn(gw.address) as conn:
        def said(line):
            control.sendall(line + b"\n")
            text = b""
            while not text.endswith(b"\n\n"):
                text += control.recv(1 << 20)
            return text
        control.connect(gw.socket)
        control.settimeout(10)
        conn.send(head("GET", "/slow?ms=500", "python.test"))
        while not any(row["active"] for row in json.loads(said(b"json show upstreams"))["upstreams"]):
            pass
        said(b"shutdown")
        assert conn.response().body == b"slow\n"
    assert gw.control.wait(15) == 0, gw.log_tail()
    wait_for(lambda: process_gone(pid), 15, "data plane to end")
    gw.start_control()
    wait_for(gw.serving, 20, "the gateway to start again")
    wait_for(lambda: answers(gw), 5, "an answer")


def test_shutdown_now_leaks_nothing_of_what_is_in_flight(gw):
    with Conn(gw.address) as waiting, Conn(gw.address) as sending:
        waiting.send(head("GET", "/slow?ms=20000", "python.test"))
        sending.send(head("POST", "/upload", "python.test", [("Content-Length", "1000")]) + b"the beginning")
        wait_for(lambda: sum(row["active"] for row in gw.cgctl("show upstreams", as_json=True)["upstreams"]) == 2, 5,
                 "the requests to be under way")
        status = gw.shutdown(command="shutdown now")
    assert status == 0, gw.log_tail()
    assert "leak: " not in gw.log_tail(), gw.log_tail()
    gw.start_control()
    wait_for(gw.serving, 20, "the gateway to start again")
    wait_for(lambda: answers(gw), 5, "an answer")


def test_json_is_json(gw):
    text = gw.space.call(None, gw.program("cgctl"), "--socket", gw.socket, "--json", "show", "info")[1]
    assert json.loads(text)["version"]
