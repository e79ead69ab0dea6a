"""Tunnels, what takes long: 10 000 WebSockets at once, and the end of a drain."""
import os
import signal
import subprocess

from http1 import Conn, head
from lab.space import wait_for
from test_70_tunnels import ENV, HANDSHAKE, NODE, tunnels, ws_server

LARGE = True
MANY = 10000


def resident(gw):
    with open(f"/proc/{gw.dataplane_pid()}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_10_000_websockets_at_once_all_answer(gw):
    ws_server(gw)
    before = resident(gw)
    argv = gw.space.argv("client", "node", os.path.join(NODE, "ws_client.js"), f"ws://{gw.address}?host=ws.test", "many", str(MANY))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENV) as child:
        line = child.stdout.readline()
        assert line == "all answered\n", line + child.stdout.read()
        rows = gw.cgctl("show conns 100000", as_json=True, timeout=60)["conns"]
        assert sum(row["use"] == "tunnel" for row in rows) == 2 * MANY
        print(f"     {(resident(gw) - before) * 1024 // MANY} bytes of memory for each tunnel")
        more, _ = child.communicate("end\n", timeout=60)
        assert child.returncode == 0, more
    wait_for(lambda: not tunnels(gw), 10, "tunnels to end")


def test_end_of_a_drain_closes_tunnels_in_order(gw):
    """Last of all: data plane and control end."""
    ws_server(gw)
    with Conn(gw.address, timeout=30) as conn:
        conn.send(head("GET", "/echo", "ws.test", HANDSHAKE))
        assert conn.head().status == 101
        os.kill(gw.dataplane_pid(), signal.SIGTERM)  # a drain of 10 s
        conn.send(b"\x81\x82\0\0\0\0hi")  # a tunnel goes on meanwhile
        assert conn.take(4) == b"\x81\x02hi"
        assert conn.rest() == b""  # FIN, no reset
