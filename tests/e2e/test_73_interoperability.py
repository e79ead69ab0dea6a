"""Real clients and real servers: each client through the gateway to each server. The table that comes of it is
interoperability.md, whose rows and columns the last test holds against what was run."""
import hashlib
import http.client
import os
import re
import socket
import sys

from lab.space import wait_for
from test_70_tunnels import ENV, NODE

BACK = "198.19.0.11"
HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "interoperability.md")
SIZE = 300000
SERVERS = {"nginx": ("a.test", None), "Apache httpd": ("apache.test", 9101), "lighttpd": ("lighttpd.test", 9102),
           "Node http": ("node.test", 9103), "python3 http.server": ("files.test", None)}
APACHE = """
ServerName apache.test
ServerRoot {dir}
PidFile {dir}/httpd.pid
Listen {address}:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
ErrorLog {dir}/error.log
DocumentRoot {files}
KeepAliveTimeout 60
MaxKeepAliveRequests 0
<Directory {files}>
	Require all granted
</Directory>
"""
LIGHTTPD = """
server.document-root = "{files}"
server.bind = "{address}"
server.port = {port}
server.max-keep-alive-requests = 1000
server.max-keep-alive-idle = 60
"""
passed = set()


def start(gw):
    if "apache" in gw.backends.running:
        return
    files = gw.backends.files
    for name, text, argv in (("apache", APACHE, ("/usr/sbin/apache2", "-DFOREGROUND", "-f")),
                             ("lighttpd", LIGHTTPD, ("/usr/sbin/lighttpd", "-D", "-f"))):
        folder = os.path.join(gw.space.dir, name)
        os.mkdir(folder)
        conf = os.path.join(folder, "conf")
        with open(conf, "w", encoding="utf-8") as out:
            out.write(text.format(dir=folder, files=files, address=BACK, port=SERVERS["Apache httpd" if name == "apache" else name][1]))
        gw.backends.running[name] = gw.space.start("back", *argv, conf, log=f"{name}.log")
    gw.backends.running["node"] = gw.space.start("back", "node", os.path.join(NODE, "http_server.js"), BACK, "9103", files,
                                                 log="node.log", env=ENV)
    for _, port in SERVERS.values():
        def answers(port=port):
            with gw.space.inside("back"), socket.socket() as probe:
                return probe.connect_ex((BACK, port)) == 0
        if port:
            wait_for(answers, 10, f"port {port} to listen")
    gw.backends.file("page", SIZE)
    gw.backends.file("page small", 2000)
    os.rename(os.path.join(files, "page small"), os.path.join(files, "small"))


def call(gw, *argv):
    status, text = gw.space.call("client", *argv, env=ENV)
    assert status == 0, text
    return text


def curl(gw, host):
    url = f"http://{gw.address}/page"
    out = os.path.join(gw.space.dir, "curl.out")
    text = call(gw, "curl", "-sS", "-H", f"Host: {host}", "-w", "%{http_code} %{size_download} ", "-o", out, url, "-o", "/dev/null", url)
    assert text.split() == ["200", str(SIZE)] * 2, text
    with open(out, "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == gw.backends.sums["page"]
    assert " 200 " in call(gw, "curl", "-sSI", "-H", f"Host: {host}", url).split("\n")[0]
    if host != "node.test" and host != "files.test":  # they know no ranges
        text = call(gw, "curl", "-sS", "-H", f"Host: {host}", "-r", "100-199", "-w", "%{http_code} %{size_download}", "-o", "/dev/null", url)
        assert text == "206 100", text


def wrk(gw, host):
    text = call(gw, "wrk", "-t1", "-c16", "-d1", "-H", f"Host: {host}", f"http://{gw.address}/small")
    assert "Socket errors" not in text and "Non-2xx" not in text and "Requests/sec" in text, text


def ab(gw, host):
    text = call(gw, "ab", "-q", "-k", "-n", "300", "-c", "8", "-H", f"Host: {host}", f"http://{gw.address}/small")
    assert re.search(r"Complete requests: +300\n", text) and re.search(r"Failed requests: +0\n", text), text
    assert "Non-2xx" not in text, text


def h2load(gw, host):
    text = call(gw, "h2load", "--h1", "-n", "300", "-c", "8", "-m", "4", f"--connect-to={gw.address}:80", f"http://{host}/small")
    assert "300 succeeded, 0 failed, 0 errored" in text and "status codes: 300 2xx" in text, text


def http_client(gw, host):
    conn = http.client.HTTPConnection(gw.address, timeout=10)
    for method, path, status in (("GET", "/page", 200), ("HEAD", "/page", 200), ("GET", "/absent", 404), ("GET", "/page", 200)):
        conn.request(method, path, headers={"Host": host})
        answer = conn.getresponse()
        data = answer.read()
        assert answer.status == status, (method, path, answer.status)
        if status == 200:
            assert (hashlib.sha256(data).hexdigest() == gw.backends.sums["page"]) == (method == "GET")
    conn.request("POST", "/upload", body=iter([b"a" * 1000, b"b" * 2000]), headers={"Host": host}, encode_chunked=True)
    answer = conn.getresponse()
    assert answer.status in (200, 404, 405, 411, 501), answer.status
    answer.read()
    conn.close()


def requests(gw, host):
    program = ("import hashlib,requests,sys\n"
               "address,host,sha=sys.argv[1:]\n"
               "s=requests.Session()\n"
               "for _ in range(10):\n"
               " r=s.get(f'http://{address}/page',headers={'Host':host},timeout=10)\n"
               " assert r.status_code==200 and hashlib.sha256(r.content).hexdigest()==sha\n"
               "r=s.head(f'http://{address}/page',headers={'Host':host},timeout=10)\n"
               "assert r.status_code==200 and not r.content\n"
               "r=s.post(f'http://{address}/upload',data=b'x'*100000,headers={'Host':host},timeout=10)\n"
               "assert r.status_code in (200,404,405,501),r.status_code\n")
    call(gw, sys.executable, "-c", program, gw.address, host, gw.backends.sums["page"])


def node(kind):
    def run(gw, host):
        call(gw, "node", os.path.join(NODE, "http_client.js"), kind, gw.address, host, "/page", gw.backends.sums["page"])
    return run


CLIENTS = {"curl": curl, "wrk": wrk, "ab": ab, "h2load --h1": h2load, "python3 http.client": http_client,
           "python3 requests": requests, "Node http": node("http"), "undici": node("undici")}


def through(gw, client):
    start(gw)
    for server, (host, _) in SERVERS.items():
        try:
            CLIENTS[client](gw, host)
        except Exception as error:
            raise AssertionError(f"{client} to {server}: {error}") from error
        passed.add((client, server))


def test_curl_to_every_server(gw):
    through(gw, "curl")


def test_wrk_to_every_server(gw):
    through(gw, "wrk")


def test_ab_to_every_server(gw):
    through(gw, "ab")


def test_h2load_to_every_server(gw):
    through(gw, "h2load --h1")


def test_python_http_client_to_every_server(gw):
    through(gw, "python3 http.client")


def test_python_requests_to_every_server(gw):
    through(gw, "python3 requests")


def test_node_http_to_every_server(gw):
    through(gw, "Node http")


def test_undici_to_every_server(gw):
    through(gw, "undici")


def test_table_says_what_was_seen(gw):
    """INTEROPERABILITY_WRITE=1 writes it."""
    rows = ["| client | " + " | ".join(SERVERS) + " |", "|---" * (1 + len(SERVERS)) + "|"]
    rows += ["| " + client + " | " + " | ".join("green" if (client, server) in passed else "not run" for server in SERVERS) + " |"
             for client in CLIENTS]
    table = "\n".join(rows)
    if os.environ.get("INTEROPERABILITY_WRITE"):
        with open(TABLE, "r+", encoding="utf-8") as file:
            text = re.sub(r"\| client .*\|\n", lambda _: table + "\n", file.read(), flags=re.S)
            file.seek(0)
            file.truncate()
            file.write(text)
    with open(TABLE, encoding="utf-8") as file:
        assert table in file.read(), table
