"""Namespaces, cables and processes of one run, and their complete removal."""
import contextlib
import ctypes
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """Something that the lab needs did not work; the text is for the person at the terminal."""


def run(*argv, timeout=60, **options):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
                          check=False, **options)
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: {done.stdout.strip()}")
    return done.stdout


def _setns(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(fd)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def process_gone(pid):
    """Whether nothing runs under this pid any more (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_for(condition, seconds, what):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Space:
    """What one run makes: three namespaces, a folder, processes. close() removes all of it."""

    NAMES = ("client", "gw", "back")

    def __init__(self):
        if os.geteuid() != 0:
            raise LabError("run this as root: it makes network namespaces")
        # Two runs at once differ in pid, runs one after the other in time.
        self.id = f"{os.getpid():x}{time.monotonic_ns() // 1_000_000 & 0xfff:03x}"
        self.names = {}
        self.children = []
        self.at_close = []
        self.dir = tempfile.mkdtemp(prefix=f"cg{self.id}-")
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for limit, value in ((resource.RLIMIT_NOFILE, (hard, hard)),
                             (resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(limit, value)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Namespaces

    def make(self):
        for name in self.NAMES:
            self.names[name] = f"cg{self.id}-{name}"
            run("ip", "netns", "add", self.names[name])
            self.ip(name, "link", "set", "lo", "up")
        with self.inside("gw"), contextlib.suppress(OSError):  # the kernel keeps silent there
            with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as knob:
                knob.write("1")
        self._cable("wan", "client", "198.18.0.2/24", "fd00:c6:12::2/64")
        self._cable("lan", "back", "198.19.0.11/24", "fd00:c6:12:1::11/64")

    def _cable(self, dev, far, *addresses):
        gw = self.names["gw"]
        run("ip", "link", "add", dev, "netns", gw, "type", "veth", "peer", "name", dev, "netns", self.names[far])
        for name in ("gw", far):
            # Whoever reads raw frames must get them as on a wire: whole checksums, no giants.
            for feature in ("tx", "rx", "gso", "tso", "gro", "lro"):
                with contextlib.suppress(LabError):
                    run("nsenter", f"--net={self.path(name)}", "ethtool", "-K", dev, feature, "off")
        self.ip("gw", "link", "set", dev, "arp", "off", "addrgenmode", "none", "up")
        self.ip(far, "link", "set", dev, "addrgenmode", "none", "up")
        for address in addresses:
            self.address(far, dev, address)

    def address(self, name, dev, address):
        # Nobody else is on the cable: an IPv6 address need not wait for that to be found out.
        self.ip(name, "address", "add", address, "dev", dev, *(["nodad"] if ":" in address else []))

    def path(self, name):
        return f"/run/netns/{self.names[name]}"

    def ip(self, name, *argv):
        return run("ip", "-n", self.names[name], *argv)

    @contextlib.contextmanager
    def inside(self, name):
        """This thread, in a namespace: sockets made within stay there."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _setns(self.path(name))
        try:
            yield
        finally:
            _libc.setns(before, CLONE_NEWNET)
            os.close(before)

    # Processes

    def argv(self, name, *argv):
        # Not `ip netns exec`: that hides the host's bpf file system behind a /sys of its own.
        return ["nsenter", f"--net={self.path(name)}", "--", *argv] if name else list(argv)

    def start(self, name, *argv, log=None, **options):
        """A process in a namespace, in a session of its own (Ctrl-C is ours to hand on)."""
        with open(os.path.join(self.dir, log) if log else os.devnull, "ab") as out:
            child = subprocess.Popen(self.argv(name, *argv), stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=subprocess.STDOUT, start_new_session=True,
                                     preexec_fn=_die_with_parent, **options)
        self.children.append(child)
        return child

    def call(self, name, *argv, timeout=60, **options):
        """Runs to the end; returns (exit status, what it printed)."""
        done = subprocess.run(self.argv(name, *argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, check=False, **options)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def stop(self, child, seconds=5, sig=signal.SIGTERM):
        """Ends a child, kindly at first. Returns its exit status."""
        if child.poll() is None:
            child.send_signal(sig)
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def members(self, name):
        """Pids of the processes in a namespace of ours, ourselves excepted: all were started by this run."""
        pids = [int(pid) for pid in run("ip", "netns", "pids", self.names[name]).split()]
        return [pid for pid in pids if pid != os.getpid()]

    def close(self):
        """Removes everything, whatever state it is in. May be called again."""
        old = {sig: signal.signal(sig, signal.SIG_IGN) for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            _libc.setns(self._home, CLONE_NEWNET)
            for hook in reversed(self.at_close):
                try:
                    hook()
                except Exception as error:  # the rest must be removed all the same
                    print(f"lab: while cleaning up: {error}")
            self.at_close.clear()
            for child in self.children:
                if child.poll() is None:
                    child.terminate()
            for child in self.children:
                self.stop(child, 3)
            self.children.clear()
            for name in self.names:
                # The data plane outlives a killed control; it is no child of ours, but lives in our namespace.
                with contextlib.suppress(LabError):
                    left = self.members(name)
                    for pid in left:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    wait_for(lambda: all(map(process_gone, left)), 5, "processes of the lab to end")
                with contextlib.suppress(LabError):
                    run("ip", "netns", "del", self.names[name])
            self.names.clear()
            shutil.rmtree(self.dir, ignore_errors=True)
        finally:
            for sig, handler in old.items():
                signal.signal(sig, handler)


def interruptible():
    """SIGTERM and SIGHUP end a run as Ctrl-C does: through its clean-up."""
    def stop(number, _frame):
        raise KeyboardInterrupt(signal.Signals(number).name)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
