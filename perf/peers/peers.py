"""nginx and HAProxy do a scenario's work over the kernel: the gateway's part on the same CPU, wrk and a backend on the
generator's; and the null limit, what dpdk-testpmd sends back over memif. In network namespaces of their own."""
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ("nginx", "haproxy")
NEEDED = {"nginx": "nginx", "haproxy": "haproxy", "null": "dpdk-testpmd"}
LINK_SECONDS = 1.5
ROUNDS_MOST = 4  # played for each one asked for
SHARE = 0.85  # of its core, as in perf/loadgen/watch.h
# On one machine: over loopback; where frames matter, over a veth whose frames are those of a wire.
GATEWAY, CLIENT = "198.18.0.1", "198.18.0.2"


class PeerError(Exception):
    """The text is for the person at the terminal."""


def run(*argv):
    done = subprocess.run([str(x) for x in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True, check=False)
    if done.returncode:
        raise PeerError(f"{' '.join(map(str, argv))}: {done.stdout.strip()}")
    return done.stdout


def first(args, polls=False):
    """In front of what takes part in the measurement: where the gateway runs before others, so do its peers."""
    nice = f'echo {args.nice} >/proc/self/autogroup; exec nice -n {args.nice} "$@"'
    return (["sh", "-c", nice, "sh"] if args.nice else []) + ([] if args.no_realtime or polls else ["chrt", "-f", "1"])


def program(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def busy_ticks(cpu):
    """In which the CPU ran something, and all of them: what the machine below us has taken is of the latter alone."""
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            if line.startswith(f"cpu{cpu} "):
                v = [int(x) for x in line.split()[1:9]]
                return sum(v) - v[3] - v[4] - v[7], sum(v)
    return 0, 1


class Place(contextlib.ExitStack):
    """The namespaces, and what runs in them; all of it goes at the end."""

    def __init__(self, folder, frames, args):
        super().__init__()
        try:
            self.make(folder, frames, args)
        except BaseException:
            self.close()
            raise

    def make(self, folder, frames, args):
        self.folder, self.args = folder, args
        self.gateway_ns = f"cgp{os.getpid()}g"
        self.client_ns = f"cgp{os.getpid()}c" if frames else self.gateway_ns
        self.gateway, self.backend = ("127.0.0.1:8080", "127.0.0.1:8081")
        for ns in {self.gateway_ns, self.client_ns}:
            self.callback(subprocess.run, ["ip", "netns", "del", ns], stderr=subprocess.DEVNULL, check=False)
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
            run("ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535",
                "net.core.somaxconn=65535", "net.ipv4.tcp_max_syn_backlog=65535")
        if frames:
            self.gateway, self.backend = f"{GATEWAY}:8080", f"{CLIENT}:8081"
            run("ip", "-n", self.gateway_ns, "link", "add", "wire", "mtu", 1500, "type", "veth", "peer", "name", "wire",
                "mtu", 1500, "netns", self.client_ns)
            for ns, address in ((self.gateway_ns, GATEWAY), (self.client_ns, CLIENT)):
                run("ip", "netns", "exec", ns, "ethtool", "-K", "wire", "gso", "off", "tso", "off", "gro", "off")
                run("ip", "-n", ns, "address", "add", address + "/24", "dev", "wire")
                run("ip", "-n", ns, "link", "set", "wire", "up")

    def config(self, name, answer="", waits=""):
        with open(os.path.join(HERE, name), encoding="utf-8") as file:
            text = file.read()
        for key, value in (("@LISTEN@", self.gateway), ("@BACKEND@", self.backend), ("@ANSWER@", answer), ("@WAITS@", waits)):
            text = text.replace(key, value)
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def start(self, ns, cpu, address, argv, polls=False):
        """A server, which is there when it accepts connections."""
        log = self.enter_context(open(os.path.join(self.folder, os.path.basename(argv[0]) + ".log"), "w", encoding="utf-8"))
        child = subprocess.Popen([*first(self.args, polls), "ip", "netns", "exec", ns, "taskset", "-c", str(cpu), *argv], cwd=self.folder,
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.callback(self.stop, child)
        host, port = address.split(":")
        end = time.monotonic() + 10
        probe = f"import socket; socket.create_connection(('{host}', {port}), 1).close()"
        while subprocess.run(["ip", "netns", "exec", ns, "python3", "-c", probe], stderr=subprocess.DEVNULL, check=False).returncode:
            if child.poll() is not None or time.monotonic() > end:
                with open(log.name, encoding="utf-8", errors="replace") as file:
                    raise PeerError(f"{argv[0]} does not start: {file.read().strip()}")
            time.sleep(0.05)
        return child

    @staticmethod
    def stop(child):
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def backend_answer(scenario, folder):
    size = scenario.get("respond", 0)
    if size > 4096:  # from the page cache
        with open(os.path.join(folder, "answer"), "wb") as file:
            file.write(b"x" * size)
        return "try_files /answer =404;"
    return f'return 200 "{"x" * size}";'


def wrk(place, scenario, args, seconds):
    argv = [*first(args), "ip", "netns", "exec", place.client_ns, "taskset", "-c", str(args.generator_cpu), program("wrk"), "-t", "1",
            "-c", str(scenario["connections"]), "-d", f"{max(1, round(seconds))}s", "--timeout", "10s", "-s", os.path.join(HERE, "wrk.lua"),
            f"http://{place.gateway}{scenario['path']}", "--", scenario.get("method", "GET"),
            str(scenario.get("send", 0)), "close" if scenario.get("close") else "keep"]
    begin = [busy_ticks(x) for x in (args.gateway_cpu, args.generator_cpu)]
    r = json.loads(run(*argv).strip().splitlines()[-1])
    end = [busy_ticks(x) for x in (args.gateway_cpu, args.generator_cpu)]
    r["busy"] = [(b[0] - a[0]) / max(1, b[1] - a[1]) for a, b in zip(begin, end)]
    r["rps"] = r["requests"] * 1e6 / r["us"]
    if r["errors"]:
        raise PeerError(f"wrk: {r['errors']} errors")
    return r


def measure(name, scenario, args, folder, tool):
    """Medians of what the peer does, or None where it is not installed. most: what it would do if its CPU had nothing but
    this to do all the time, by the share in which it was busy."""
    if not program(NEEDED[name]) or not program("wrk"):
        return None
    folder = os.path.join(folder, name)
    os.makedirs(folder)
    with Place(folder, scenario.get("frames", False), args) as place:
        if "upstreams" in scenario:
            place.start(place.client_ns, args.generator_cpu, place.backend,
                        [program("nginx"), "-p", folder, "-c", place.config("backend.conf", backend_answer(scenario, folder))])
        argv = {"nginx": lambda: [program("nginx"), "-p", folder, "-c", place.config("nginx.conf")],
                "haproxy": lambda: [program("haproxy"), "-db", "-f", place.config("haproxy.cfg")]}[name]()
        place.start(place.gateway_ns, args.gateway_cpu, place.gateway, argv)
        wrk(place, scenario, args, 1)
        # By the same rule as the gateway's rounds; what others have of the time itself is not looked at.
        asked, clear, hampered = args.runs or 5, [], []
        while len(clear) < asked and len(clear) + len(hampered) < ROUNDS_MOST * asked:
            seconds = max(1, round(args.seconds))
            look = subprocess.Popen([tool, str(args.generator_cpu), str(args.gateway_cpu), str(seconds)],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True)
            first = look.stdout.readline().strip()
            r = wrk(place, scenario, args, seconds)
            share, last = look.communicate()[0].split()
            (clear if first == last == "near" and float(share) >= SHARE else hampered).append(r)
        runs = clear if len(clear) >= min(3, asked) else hampered
    # With a client that takes more of its CPU than the server of its own, it is the client's limit that is measured.
    most = statistics.median(r["rps"] / max(r["busy"][0], 0.01) for r in runs)
    return {"counted": len(runs), "played": len(clear) + len(hampered), "clear": runs is clear, "most": most,
            "rps": statistics.median(r["rps"] for r in runs), "rps_min": min(r["rps"] for r in runs),
            "rps_max": max(r["rps"] for r in runs), "p50_us": statistics.median(r["p50_us"] for r in runs),
            "p99_us": statistics.median(r["p99_us"] for r in runs),
            "gateway_busy": statistics.median(r["busy"][0] for r in runs),
            "generator_busy": statistics.median(r["busy"][1] for r in runs)}


def serving(child):
    """The process that serves: nginx has it made by another one."""
    with open(f"/proc/{child.pid}/task/{child.pid}/children", encoding="ascii") as file:
        found = file.read().split()
    return int(found[0]) if found else child.pid


def latency(name, scenario, args, folder, tool):
    """What the peer's clients wait in open loop at half of what it can take, counted from when a request was due; None
    where it is not installed. Not SCHED_FIFO, though the gateway and its generator are: as the client does not sleep, the
    kernel's own threads, which carry packets, would wait for milliseconds; rounds in which others came first do not count."""
    if not program(NEEDED[name]) or not os.path.exists(tool):
        return None
    folder = os.path.join(folder, name)
    os.makedirs(folder)
    with Place(folder, False, args) as place:
        argv = {"nginx": lambda: [program("nginx"), "-p", folder, "-c", place.config("nginx.conf")],
                "haproxy": lambda: [program("haproxy"), "-db", "-f", place.config("haproxy.cfg", waits="busy-polling")]}[name]()
        server = serving(place.start(place.gateway_ns, args.gateway_cpu, place.gateway, argv, True))

        def play(rate, seconds, rounds):
            return json.loads(run(*first(args, True), "ip", "netns", "exec", place.client_ns, "taskset", "-c", args.generator_cpu,
                                  tool, *place.gateway.split(":"), scenario["path"], scenario["connections"], rate, seconds,
                                  rounds, server, args.gateway_cpu))

        most = play(0, 0.1, 10)
        return {**play(round(most["rps"] / 2), 0.05, 20), "limit": most["rps"]}


def worker(pmd):
    """The thread of testpmd that forwards; 0: there is none yet."""
    for tid in os.listdir(f"/proc/{pmd.pid}/task"):
        with open(f"/proc/{pmd.pid}/task/{tid}/comm", encoding="ascii") as file:
            if "worker" in file.read():
                return int(tid)
    return 0


def pollers_first(generator, pmd):
    """Both that poll come before others. Not before they have found each other, for which they have threads that share
    their CPUs."""
    time.sleep(LINK_SECONDS)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(generator.pid, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(worker(pmd), os.SCHED_FIFO, os.sched_param(1))


def end(child):
    """Whatever state it is in. What it has said on standard error, the first time."""
    child.kill()
    return child.communicate()[1] if not child.stderr.closed else ""


def null(size, args, folder, loadgen, huge, rate=0):
    """What testpmd sends back over memif, itself on the gateway's CPU: frames a second, and, at a rate in open loop, what
    they take. None: not installed."""
    if not program(NEEDED["null"]):
        return None
    path = os.path.join(folder, "null.sock")
    size = max(60, min(1514, size))
    memory = ["--in-memory", "--single-file-segments"] if huge else ["--no-huge", "--no-shconf", "-m", "512"]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with contextlib.ExitStack() as running:
        generator = subprocess.Popen([*first(args, True), loadgen, "--cpu", str(args.generator_cpu), "--wan", path, "--null", str(size),
                                      "--null-runs", str(args.runs or 20)] + (["--hugepages"] if huge else []) +
                                     (["--null-rate", str(rate)] if rate else []), stdout=subprocess.PIPE, **pipes)
        running.callback(end, generator)
        late = time.monotonic() + 10
        while not os.path.exists(path) and generator.poll() is None and time.monotonic() < late:
            time.sleep(0.05)
        pmd = subprocess.Popen([*first(args, True), program("dpdk-testpmd"), f"--lcores=0@{args.gateway_cpu},1@{args.gateway_cpu}", "--no-pci",
                                "--no-telemetry", "--log-level=error", *memory,
                                f"--vdev=net_memif0,role=client,id=0,socket-abstract=no,zero-copy={args.zero_copy},socket={path}", "--",
                                "--forward-mode=macswap", "--port-topology=loop", "--nb-cores=1", "--burst=32", "--auto-start",
                                "--total-num-mbufs=16384", "--no-mlockall"], stdout=subprocess.DEVNULL, **pipes)
        running.callback(end, pmd)
        if not args.no_realtime:
            pollers_first(generator, pmd)
        try:
            # Written only: it is read when frames have come back.
            out, err = generator.communicate(f"watch {worker(pmd)} {pmd.pid} {args.gateway_cpu}\n", timeout=60)
        except (subprocess.TimeoutExpired, OSError):
            out, err = "", end(generator)
        pmd_err = end(pmd)
    if generator.returncode or not out:
        raise PeerError(f"null limit: {err.strip()} {pmd_err.strip()[-300:]}")
    return json.loads(out)

