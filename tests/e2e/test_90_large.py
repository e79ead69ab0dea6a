"""What takes long: make e2e-large."""
import hashlib

from http1 import Conn, head
from test_20_bodies import upload
from test_60_operation import Load

LARGE = True
SIZE = 1 << 30


def resident(gw):
    with open(f"/proc/{gw.dataplane_pid()}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_1_gib_down_by_content_length_in_unchanged_memory(gw):
    gw.backends.file("g1", SIZE)
    before = resident(gw)
    sha, left = hashlib.sha256(), SIZE
    with Conn(gw.address, timeout=60) as conn:
        conn.send(head("GET", "/g1", "a.test"))
        assert int(conn.head().get("Content-Length")) == SIZE
        data = conn.buffer
        while True:
            sha.update(data)
            left -= len(data)
            if not left:
                break
            data = conn.socket.recv(1 << 20)
            assert data, f"ended, {left} missing"
    assert sha.hexdigest() == gw.backends.sums["g1"]
    assert resident(gw) - before < 8192, f"{before} kB became {resident(gw)} kB"


def test_1_gib_up_by_content_length_in_unchanged_memory(gw):
    before = resident(gw)
    answer, sha = upload(gw, SIZE)
    assert answer.json()["size"] == SIZE and answer.json()["sha256"] == sha, answer
    assert resident(gw) - before < 8192


def test_1_gib_up_chunked_in_unchanged_memory(gw):
    before = resident(gw)
    answer, sha = upload(gw, SIZE, chunk=1 << 18)
    assert answer.json()["size"] == SIZE and answer.json()["sha256"] == sha, answer
    assert resident(gw) - before < 8192


def test_wrk_for_30_s_with_256_connections_sees_no_error(gw):
    print("     " + Load(gw, 30, connections=256).finish().strip().splitlines()[-2].strip())
