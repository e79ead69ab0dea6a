"""HTTP/1.1 over a plain socket: sees and sends every byte, unlike a library that means well."""
import json
import socket


class Response:
    def __init__(self, head):
        line, *fields = head.decode("latin-1").split("\r\n")
        self.version, status, *reason = line.split(" ", 2)
        self.status, self.reason = int(status), reason[0] if reason else ""
        self.fields = [(name, value.strip()) for name, _, value in (field.partition(":") for field in fields)]
        self.body = b""
        self.trailers = []
        self.framing = None

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.reason} {self.fields} {self.body[:200]!r}"


class Closed(Exception):
    """The other side ended the connection where more was due."""


class Conn:
    def __init__(self, address, port=80, timeout=10, source=None):
        self.socket = socket.create_connection((address, port), timeout, source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise Closed(f"connection ended; unread: {self.buffer[:200]!r}")
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.more()
        piece, _, self.buffer = self.buffer.partition(mark)
        return piece

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        piece, self.buffer = self.buffer[:n], self.buffer[n:]
        return piece

    def rest(self):
        """Everything until the other side ends the connection."""
        pieces = [self.buffer]
        while True:
            data = self.socket.recv(1 << 16)
            if not data:
                self.buffer = b""
                return b"".join(pieces)
            pieces.append(data)

    def ended(self):
        """Whether the other side has ended the connection with nothing more to say."""
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def head(self):
        return Response(self.until(b"\r\n\r\n"))

    def response(self, method="GET", interim=False):
        """The next response with its body; 1xx are skipped unless wanted."""
        answer = self.head()
        while answer.status < 200 and not interim:
            answer = self.head()
        coding, length = answer.get("Transfer-Encoding"), answer.get("Content-Length")
        if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
            answer.framing = "none"
        elif coding:
            assert coding.lower() == "chunked" and length is None, answer
            answer.framing, pieces = "chunked", []
            while True:
                size = int(self.until(b"\r\n").split(b";")[0], 16)
                if not size:
                    break
                pieces.append(self.take(size))
                assert self.take(2) == b"\r\n", "a chunk must end in CRLF"
            while line := self.until(b"\r\n"):
                name, _, value = line.decode("latin-1").partition(":")
                answer.trailers.append((name, value.strip()))
            answer.body = b"".join(pieces)
        elif length is not None:
            answer.framing, answer.body = "length", self.take(int(length))
        else:
            answer.framing, answer.body = "close", self.rest()
        return answer

    def request(self, method, path, host, fields=(), body=b"", version="HTTP/1.1"):
        self.send(head(method, path, host, fields, body, version) + body)
        return self.response(method)


def head(method, path, host, fields=(), body=b"", version="HTTP/1.1"):
    lines = [f"{method} {path} {version}"] + ([f"Host: {host}"] if host else [])
    lines += [f"{name}: {value}" for name, value in fields]
    named = {name.lower() for name, _ in fields}
    if body and not named & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunked(pieces):
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
