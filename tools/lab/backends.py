"""The programs behind the gateway: two nginx and some python, each on an address of its own."""
import hashlib
import os
import socket

from .space import LabError, wait_for

NGINX = {"a": "198.19.0.11", "b": "198.19.0.12"}
NGINX6 = {"a": "fd00:c6:12:1::11", "b": "fd00:c6:12:1::12"}
PYTHON = {"python": "198.19.0.21", "python2": "198.19.0.22"}
FILES = "198.19.0.23"    # python3 -m http.server: HTTP/1.0
REFUSING = "198.19.0.30"  # an address with nothing on its ports: RST
SILENT = "198.19.0.31"   # SYNs are dropped
ABSENT = "198.19.0.99"   # nobody has this address: no ARP answer
PORT = 8080

NGINX_CONF = """
daemon off;
user root;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log error;
events {{ worker_connections 4096; }}
http {{
	access_log off;
	default_type application/octet-stream;
	sendfile on;
	keepalive_requests 1000000;
	keepalive_timeout 300s;
	client_max_body_size 0;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
	server {{
		listen {address}:{port} backlog=4096;
		listen [{address6}]:{port} backlog=4096;
		root {files};
		add_header X-Backend {name} always;
		location = / {{ default_type text/plain; return 200 "hello from {name}\\n"; }}
		location = /whoami {{ default_type text/plain; return 200 "{name}\\n"; }}
		location /orders/ {{ default_type text/plain; return 200 "$request_method $uri at {name}\n"; }}
		location /catalogue/ {{ default_type text/plain; return 200 "$request_method $uri at {name}\n"; }}
		location = /healthz {{ default_type text/plain; return 200 "ok\\n"; }}
	}}
}}
"""


def make_file(path, size):
    """A file of random bytes in which every MiB differs; returns its sha256."""
    sha, block = hashlib.sha256(), os.urandom(1 << 20)
    with open(path, "wb") as out:
        for at in range(0, size, 1 << 20):
            part = (at.to_bytes(8, "big") + block)[:min(1 << 20, size - at)]
            sha.update(part)
            out.write(part)
    return sha.hexdigest()


class Backends:
    def __init__(self, space):
        self.space = space
        self.files = os.path.join(space.dir, "files")
        os.mkdir(self.files)
        self.sums = {}
        self.running = {}

    def file(self, name, size):
        """Makes a file that both nginx and the plain http.server offer."""
        self.sums[name] = make_file(os.path.join(self.files, name), size)
        return self.sums[name]

    def start(self, python=True):
        for address in list(NGINX.values())[1:] + list(PYTHON.values()) + [FILES, REFUSING, SILENT]:
            self.space.address("back", "lan", f"{address}/24")
        for address in list(NGINX6.values())[1:]:
            self.space.address("back", "lan", f"{address}/64")
        for name in NGINX:
            self.start_one(name)
        if python:
            for name in list(PYTHON) + ["files", "silent"]:
                self.start_one(name)
        for name in self.running:
            self.wait(name)

    def start_one(self, name):
        if name in NGINX:
            folder = os.path.join(self.space.dir, f"nginx-{name}")
            os.makedirs(folder, exist_ok=True)
            conf = os.path.join(folder, "nginx.conf")
            with open(conf, "w", encoding="utf-8") as out:
                out.write(NGINX_CONF.format(dir=folder, name=name, address=NGINX[name],
                                            address6=NGINX6[name], port=PORT,
                                            files=self.files))
            argv = ("nginx", "-p", folder, "-c", conf, "-e", os.path.join(folder, "error.log"))
        elif name == "files":
            argv = ("python3", "-m", "http.server", "--bind", FILES, "--directory", self.files, str(PORT))
        elif name == "silent":
            argv = ("python3", "-B", self._program(), "--silent", SILENT, str(PORT))
        else:
            argv = ("python3", "-B", self._program(), name, PYTHON[name], str(PORT))
        self.running[name] = self.space.start("back", *argv, log=f"{name}.log")

    @staticmethod
    def _program():
        return os.path.join(os.path.dirname(os.path.abspath(__file__)), "backend.py")

    def wait(self, name):
        address = NGINX.get(name) or PYTHON.get(name) or (FILES if name == "files" else None)
        if not address:
            return

        def answers():
            if self.running[name].poll() is not None:
                with open(os.path.join(self.space.dir, f"{name}.log"), encoding="utf-8") as log:
                    raise LabError(f"backend {name} did not start: {log.read().strip()}")
            with self.space.inside("back"), socket.socket() as probe:
                return probe.connect_ex((address, PORT)) == 0
        wait_for(answers, 10, f"backend {name} to listen")

    def stop_one(self, name):
        child = self.running.pop(name)
        self.space.stop(child)
        self.space.children.remove(child)
