#!/usr/bin/env python3
"""A backend that tells what it got and can misbehave on request (python3 http.server underneath).

    backend.py NAME ADDRESS PORT
    backend.py --silent ADDRESS PORT     a listener whose accept queue is full: SYNs are not answered

What it answers stands in the docstring of each do-function; the path's first segment chooses.
"""
import hashlib
import json
import os
import socket
import socketserver
import struct
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler

NAME = ""


def pattern(n, salt=b""):
    """n bytes in which every 32-byte line differs, so that lost or swapped pieces change the checksum."""
    out = bytearray()
    line = 0
    while len(out) < n:
        out += hashlib.sha256(salt + line.to_bytes(8, "big")).digest() * 2
        line += 1
    return bytes(out[:n])


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "backend"
    disable_nagle_algorithm = True
    wbufsize = 65536

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            pass

    def handle_expect_100(self):
        if self.path.startswith("/refuse"):
            self.do_refuse({})
            return False
        done = super().handle_expect_100()
        self.wfile.flush()
        return done

    # Reading

    def chunks(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                left = size
                while left:
                    part = self.rfile.read(min(left, 1 << 16))
                    if not part:
                        raise ConnectionError("body cut")
                    left -= len(part)
                    yield part
                if not size:
                    while self.rfile.readline() not in (b"\r\n", b"\n", b""):
                        pass
                    return
                self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left:
                part = self.rfile.read(min(left, 1 << 16))
                if not part:
                    raise ConnectionError("body cut")
                left -= len(part)
                yield part

    def digest(self, pause=0.0):
        total, sha = 0, hashlib.sha256()
        for part in self.chunks():
            total += len(part)
            sha.update(part)
            if pause:
                time.sleep(pause)
        return {"size": total, "sha256": sha.hexdigest(),
                "framing": "chunked" if self.headers.get("Transfer-Encoding") else
                           "length" if self.headers.get("Content-Length") else "none"}

    # Writing

    def text(self, status, body, content_type="text/plain", close=False, fields=()):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields:
            self.send_header(name, value)
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def raw(self, data, close=True):
        self.wfile.write(data)
        self.wfile.flush()
        self.close_connection = close

    def json(self, value, **options):
        self.text(200, json.dumps(value) + "\n", "application/json", **options)

    # What it does

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        query = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
        verb = url.path.strip("/").split("/")[0] or "whoami"
        act = getattr(self, "do_" + verb.replace("-", "_"), None)
        if act is None or verb.isupper():
            self.digest()
            self.text(404, f"{NAME} knows no {url.path}\n")
        else:
            act(query)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = serve

    def do_whoami(self, _query):
        """the backend's name"""
        self.digest()
        self.text(200, NAME + "\n")

    def do_echo(self, _query):
        """the request as it arrived"""
        body = self.digest()
        self.json({"backend": NAME, "method": self.command, "target": self.path, "version": self.request_version,
                   "fields": [[name, value] for name, value in self.headers.items()], "body": body,
                   "peer": list(self.client_address)})

    def do_upload(self, query):
        """size and checksum of the body; slow=MS reads a piece at a time"""
        self.json(self.digest(float(query.get("slow", 0)) / 1000))

    def do_refuse(self, _query):
        """413 without a look at the body; closes in the way that loses nothing (RFC 9112 9.6)"""
        self.text(413, "no body wanted\n", close=True)
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        while self.connection.recv(1 << 16):
            pass

    def do_bytes(self, query):
        """n bytes with Content-Length"""
        self.text(200, pattern(int(query["n"])), "application/octet-stream")

    def do_chunked(self, query):
        """n bytes in chunks of c, with a trailer"""
        data, size = pattern(int(query["n"])), int(query.get("c", 1000))
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "HEAD":
            return
        for at in range(0, len(data), size):
            part = data[at:at + size]
            self.wfile.write(b"%x;ext=1\r\n%b\r\n" % (len(part), part))
            if query.get("flush"):
                self.wfile.flush()
        self.wfile.write(b"0\r\nX-Trailer: end\r\n\r\n")

    def do_until_close(self, query):
        """n bytes, ended by the connection's end"""
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n"
                 + pattern(int(query["n"])))

    def do_http10(self, query):
        """an answer in HTTP/1.0"""
        data = pattern(int(query["n"]))
        self.raw(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data))

    def do_status(self, query):
        """status s; 204 and 304 carry no body"""
        self.digest()
        status = int(query["s"])
        if status in (204, 304):
            self.send_response(status)
            self.send_header("ETag", '"e1"')
            self.end_headers()
        else:
            self.text(status, f"status {status}\n")

    def do_early(self, _query):
        """103, 100 and then 200"""
        self.digest()
        self.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
                 b"HTTP/1.1 100 Continue\r\n\r\n"
                 b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlate!\n", close=False)

    def do_hop(self, _query):
        """fields that are for this hop alone"""
        self.digest()
        self.raw(b"HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: secret\r\nKeep-Alive: timeout=5\r\n"
                 b"Proxy-Authenticate: Basic\r\nX-End: kept\r\nContent-Length: 3\r\n\r\nok\n", close=False)

    def do_slow(self, query):
        """waits ms before the head"""
        self.digest()
        time.sleep(float(query.get("ms", 1000)) / 1000)
        self.text(200, "slow\n")

    def do_stall(self, query):
        """half of the body, then silence of ms"""
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789", close=False)
        time.sleep(float(query.get("ms", 10000)) / 1000)
        self.close_connection = True

    def do_truncate(self, _query):
        """less than the stated Content-Length, then the end"""
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)

    def do_cut_chunked(self, _query):
        """a chunked body that ends in its middle"""
        self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nshort")

    def do_garbage(self, _query):
        """no HTTP at all"""
        self.raw(b"\x16\x03\x01 this is not HTTP\r\n\r\n")

    def do_big_head(self, query):
        """a head of n bytes"""
        self.raw(b"HTTP/1.1 200 OK\r\nX-Big: " + b"y" * int(query.get("n", 100000)) +
                 b"\r\nContent-Length: 0\r\n\r\n")

    def do_two_lengths(self, _query):
        """two Content-Length that differ"""
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")

    def do_hangup(self, _query):
        """closes without an answer"""
        self.close_connection = True

    def do_reset(self, _query):
        """RST without an answer"""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        # Both files hold the socket: only after all are closed the kernel sends the RST.
        self.connection.close()
        raise ConnectionResetError


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass


def silent(address, port):
    """Linux does not answer a SYN while the accept queue is full."""
    listener = socket.create_server((address, port), backlog=0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex((address, port))
        fillers.append(filler)
    while True:
        time.sleep(3600)
        assert listener and fillers


def main():
    global NAME
    NAME, address, port = sys.argv[1:4]
    if NAME == "--silent":
        silent(address, int(port))
    with Server((address, int(port)), Backend) as server:
        server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        os._exit(0)
