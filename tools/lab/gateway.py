"""The gateway's processes in their namespace: control (which starts the data plane) and the exporter."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request

from .space import LabError, process_gone, run, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
XDP_PINS = "/sys/fs/bpf/xdp"  # libxdp makes this folder when it first loads a program, and leaves it
DEVICES = ("af_xdp", "af_packet", "tap")
WAN, LAN = "198.18.0.1", "198.19.0.1"
WAN6 = "fd00:c6:12::1"
VDEV = re.compile(r"net_(?:af_xdp|af_packet|tap)(\d+),iface=(?:tap-)?(\w+)")


def use_device(config, device):
    """The same configuration on another kind of virtual device."""
    def vdev(match):
        number, iface = match.groups()
        return f"net_{device}{number},iface={'tap-' if device == 'tap' else ''}{iface}"
    return VDEV.sub(vdev, config)


class Gateway:
    address, address6 = WAN, WAN6

    def __init__(self, space, config, build=None, device=None):
        self.space = space
        self.build = os.path.abspath(build or os.environ.get("LAB_BUILD") or os.path.join(ROOT, "build/release"))
        self.devices = (device,) if device else DEVICES
        self.device = None
        self.dir = os.path.join(space.dir, "run")
        self.config_path = os.path.join(space.dir, "churchgate.yaml")
        self.socket = os.path.join(self.dir, "admin.sock")
        self.config = config
        self.control = self.exporter = None
        self.taps = None
        self.killed = set()  # data planes that we ended by force
        self.prefix = ()  # a command that runs our programs with fewer rights
        self.metrics_port = 9145
        self.xdp_pins = os.path.isdir(XDP_PINS)
        for program in ("churchgate-control", "churchgate-dataplane", "cgctl"):
            if not os.access(os.path.join(self.build, program), os.X_OK):
                raise LabError(f"{os.path.join(self.build, program)} is missing: run make")

    def program(self, name):
        return os.path.join(self.build, name)

    def write_config(self, text):
        with open(self.config_path, "w", encoding="utf-8") as out:
            out.write(use_device(text, self.device))

    # Start and stop

    def start(self):
        """Tries the devices in their order; prints the choice."""
        for device in self.devices:
            self.device = device
            self.write_config(self.config)
            self.space.at_close.append(self.close)
            if device == "tap":
                self._start_taps()
            why = self._try()
            if why is None:
                print(f"lab: device {device}", flush=True)
                return
            self.close()
            print(f"lab: device {device} does not work here: {why}", flush=True)
            os.replace(os.path.join(self.space.dir, "control.log"),
                       os.path.join(self.space.dir, f"control-{device}.log"))
        raise LabError("the gateway did not start on any device")

    def _try(self):
        self.start_control()
        try:
            wait_for(self._started, 20, "data plane to run")
        except LabError as error:
            return str(error)
        return None

    def _started(self):
        if self.control.poll() is not None:
            log = self.log_tail(lines=100)
            found = re.findall(r"giving up: (.*)", log)
            raise LabError(found[-1] if found else "control ended: " + log)
        return self.serving()

    def serving(self):
        with contextlib.suppress(OSError, LabError, ValueError, KeyError):
            return self.info()["dataplane"]["state"] == "running"
        return False

    def start_control(self):
        self.control = self.space.start(
            "gw", *self.prefix, self.program("churchgate-control"), "--dir", self.dir, self.config_path, log="control.log",
            env={**os.environ, **self.sanitizers()})

    def sanitizers(self):
        # Reports go to files of their own, one for each process: the suite looks whether there is any.
        path = os.path.join(self.space.dir, "sanitizer")
        return {"ASAN_OPTIONS": f"log_path={path}:exitcode=99",
                "UBSAN_OPTIONS": f"log_path={path}:print_stacktrace=1"}

    def sanitizer_reports(self):
        texts = []
        for name in sorted(os.listdir(self.space.dir)):
            if name.startswith("sanitizer.") or name in ("control.log", "exporter.log"):
                with open(os.path.join(self.space.dir, name), encoding="utf-8", errors="replace") as file:
                    text = file.read()
                if name.startswith("sanitizer.") or re.search(r"ERROR: \w+Sanitizer|runtime error: ", text):
                    texts.append(text)
        return texts

    def unexpected_ends(self):
        """What the log says of a data plane that ended without being asked to, but for those that we killed."""
        with open(os.path.join(self.space.dir, "control.log"), encoding="utf-8", errors="replace") as log:
            ends = re.findall(r"data plane (\d+) (?:has ended with status [1-9]|was ended by)", log.read())
        return [pid for pid in ends if int(pid) not in self.killed]

    def start_exporter(self):
        self.exporter = self.space.start(
            "gw", *self.prefix, self.program("churchgate-exporter"), "--dir", self.dir, "--listen",
            f"127.0.0.1:{self.metrics_port}", log="exporter.log", env={**os.environ, **self.sanitizers()})
        wait_for(lambda: self.exporter.poll() is not None or self._metrics_up(), 10, "exporter to listen")
        if self.exporter.poll() is not None:
            raise LabError("exporter ended: " + self.log_tail("exporter.log"))

    def _metrics_up(self):
        with contextlib.suppress(OSError):
            return bool(self.metrics())
        return False

    def metrics(self):
        with self.space.inside("gw"), urllib.request.urlopen(
                f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            return answer.read().decode()

    def _start_taps(self):
        # A tap comes and goes with the data plane: each time it appears it is bridged to its cable. The bridge must
        # not look into the packets: with netfilter's hooks it drops those whose IP header is wrong.
        with self.space.inside("gw"):
            for family in ("ip", "ip6", "arp"):
                with contextlib.suppress(OSError):
                    with open(f"/proc/sys/net/bridge/bridge-nf-call-{family}tables", "w", encoding="ascii") as knob:
                        knob.write("0")
        for iface in ("wan", "lan"):
            with contextlib.suppress(LabError):
                self.space.ip("gw", "link", "add", f"br-{iface}", "type", "bridge")
                self.space.ip("gw", "link", "set", iface, "master", f"br-{iface}")
                self.space.ip("gw", "link", "set", f"br-{iface}", "arp", "off", "addrgenmode", "none", "up")
        monitor = subprocess.Popen(self.space.argv("gw", "ip", "monitor", "link"), stdout=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, text=True, start_new_session=True)
        self.space.children.append(monitor)

        def attach():
            renamed = set()
            for line in monitor.stdout:
                found = re.match(r"(\d+): tap-(\w+): <([^>]*)>", line)
                if not found:
                    continue
                index, iface, flags = found.groups()
                with contextlib.suppress(LabError):
                    if "master" not in line:
                        self.space.ip("gw", "link", "set", f"tap-{iface}", "master", f"br-{iface}")
                    elif "UP" in flags.split(",") and index not in renamed:
                        # A bridge keeps frames for its ports' own addresses to itself. By now the data plane has
                        # read the address and keeps it; the kernel's side takes another.
                        renamed.add(index)
                        self.space.ip("gw", "link", "set", f"tap-{iface}", "address", "02:cb:00:00:00:01")
        self.taps = threading.Thread(target=attach, daemon=True)
        self.taps.start()

    def shutdown(self, seconds=15, command="shutdown"):
        """An orderly end. Returns control's exit status; the data plane has checked its pools by then."""
        pid = self.dataplane_pid()
        self.cgctl(command)
        status = self.control.wait(seconds)
        wait_for(lambda: process_gone(pid), seconds, "data plane to end")
        return status

    def close(self):
        if self.exporter:
            self.space.stop(self.exporter)
            self.exporter = None
        if self.control and self.control.poll() is None:
            with contextlib.suppress(Exception):
                self.cgctl("shutdown now", timeout=5)
            try:
                self.control.wait(5)
            except subprocess.TimeoutExpired:
                self.space.stop(self.control)
        self.control = None
        self._remove_maps()

    def _remove_maps(self):
        """Statistics that are left pinned: control takes them away when it ends in order, not when it is killed."""
        with contextlib.suppress(OSError):
            with open(os.path.join(self.dir, "stats"), encoding="utf-8") as file:
                kind, _, folder = file.read().strip().partition(" ")
            if kind == "bpf" and folder.startswith("/sys/fs/bpf/") and os.path.isdir(folder):
                for name in os.listdir(folder):
                    os.unlink(os.path.join(folder, name))
                os.rmdir(folder)
        if not self.xdp_pins:
            with contextlib.suppress(OSError):
                os.rmdir(XDP_PINS)

    def log_tail(self, name="control.log", lines=12):
        with contextlib.suppress(OSError):
            with open(os.path.join(self.space.dir, name), encoding="utf-8", errors="replace") as log:
                return "\n".join(log.read().strip().splitlines()[-lines:]) or "(no log)"
        return "(no log)"

    # The operator's hand

    def cgctl(self, command, as_json=False, timeout=10, check=True):
        argv = [self.program("cgctl"), "--socket", self.socket] + (["--json"] if as_json else [])
        done = subprocess.run(argv + command.split(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False,
                              env={**os.environ, **self.sanitizers()})
        if check and done.returncode:
            raise LabError(f"cgctl {command}: {done.stdout.strip()}")
        return json.loads(done.stdout) if as_json else done.stdout

    def info(self):
        return self.cgctl("show info", as_json=True)

    def dataplane_pid(self):
        return int(self.info()["dataplane"]["pid"])

    def reload(self, config):
        self.write_config(config)
        return self.cgctl("config reload")

    def drops(self):
        """Every reason with its count, as {name: count}."""
        return {row["name"]: row["count"] for row in self.cgctl("show drops all", as_json=True)["drops"]}

    # Violence

    def counters(self, of="tcp"):
        """What TCP, or http, counts, drops or not, as {name: count}."""
        return {row["name"]: row["count"] for row in self.cgctl(f"show {of}", as_json=True)[of]}

    def kill_control(self):
        self.control.send_signal(signal.SIGKILL)
        self.control.wait()

    def kill_dataplane(self):
        pid = self.dataplane_pid()
        self.killed.add(pid)
        os.kill(pid, signal.SIGKILL)
        return pid
