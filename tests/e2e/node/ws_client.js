// A WebSocket client (npm ws): node ws_client.js URL BEHAVIOUR [N]. Exit status 0: it is as it should be.
const assert = require("assert");
const crypto = require("crypto");
const WebSocket = require("ws");

const [base, name, argument] = process.argv.slice(2);
const host = new URL(base).searchParams.get("host") || "ws.test";
const root = base.split("?")[0];

function open(path, protocols = [], options = {}) {
  return new Promise((done, failed) => {
    const socket = new WebSocket(root + path, protocols, { headers: { Host: host }, maxPayload: 64 << 20, ...options });
    socket.inbox = [];
    socket.waiters = [];
    socket.on("message", (data, binary) => {
      const waiter = socket.waiters.shift();
      if (waiter) waiter({ data, binary });
      else socket.inbox.push({ data, binary });
    });
    socket.on("open", () => done(socket));
    socket.on("error", failed);
    socket.on("unexpected-response", (_, response) => failed(new Error(`status ${response.statusCode}`)));
  });
}
const next = (socket) => (socket.inbox.length ? Promise.resolve(socket.inbox.shift()) : new Promise((done) => socket.waiters.push(done)));
const closed = (socket) => new Promise((done) => socket.on("close", (code, reason) => done({ code, reason: String(reason) })));
const sha = (data) => crypto.createHash("sha256").update(data).digest("hex");

const behaviours = {
  async echo() {
    const socket = await open("/echo", ["soap", "chat"]);
    assert.equal(socket.protocol, "chat");
    for (const text of ["", "a", "é".repeat(1000), "x".repeat(126), "y".repeat(65536)]) {
      socket.send(text);
      const { data, binary } = await next(socket);
      assert.equal(String(data), text);
      assert.equal(binary, false);
    }
    socket.close(1000);
    assert.equal((await closed(socket)).code, 1000);
  },
  async large() { // 10 MB both ways
    const data = crypto.randomBytes(10 << 20);
    for (const deflate of [false, true]) {
      const socket = await open("/sum", [], { perMessageDeflate: deflate });
      socket.send(data);
      assert.equal(String((await next(socket)).data), sha(data));
      const echo = await open("/echo", [], { perMessageDeflate: deflate });
      echo.send(data);
      assert.equal(sha((await next(echo)).data), sha(data));
      socket.close();
      echo.close();
    }
  },
  async fragments() {
    const socket = await open("/fragments?n=1000");
    assert.equal(String((await next(socket)).data), [...Array(1000).keys()].map((i) => `${i},`).join(""));
    const sum = await open("/sum");
    const whole = crypto.createHash("sha256");
    for (let i = 0; i < 2000; i++) {
      const piece = crypto.randomBytes(1 + (i % 700));
      whole.update(piece);
      sum.send(piece, { fin: i === 1999 });
    }
    assert.equal(String((await next(sum)).data), whole.digest("hex"));
    socket.close();
    sum.close();
  },
  async pings() {
    const socket = await open("/echo");
    for (let i = 0; i < 50; i++) {
      const pong = new Promise((done) => socket.once("pong", done));
      socket.ping(`p${i}`);
      if (i % 5 === 0) socket.send("between");
      assert.equal(String(await pong), `p${i}`);
    }
    for (let i = 0; i < 10; i++) assert.equal(String((await next(socket)).data), "between");
    socket.close();
  },
  async codes() {
    for (const code of [1000, 1001, 1008, 1011, 3000, 4999]) {
      const theirs = await open(`/close?n=${code}`);
      assert.deepEqual(await closed(theirs), { code, reason: "as asked" });
      const ours = await open("/echo");
      if (code !== 1001) {
        ours.close(code, "bye");
        assert.equal((await closed(ours)).code, code);
      } else ours.terminate();
    }
    const cut = await open("/terminate");
    assert.equal((await closed(cut)).code, 1006);
  },
  async slow() { // a client that does not read holds the server back, and gets all once it does
    const socket = await open("/flood?n=400");
    socket._socket.pause();
    await new Promise((done) => setTimeout(done, 300));
    socket._socket.resume();
    for (let i = 0; i < 400; i++) {
      const { data } = await next(socket);
      assert.equal(data.length, 65536);
      assert.equal(data[17], i & 255);
    }
    socket.close();
  },
  async headers() {
    const socket = await open("/headers", [], { headers: { Host: host, "X-Kept": "yes" } });
    const seen = JSON.parse(String((await next(socket)).data));
    assert.equal(seen.upgrade, "websocket");
    assert.equal(seen.connection, "Upgrade");
    assert.equal(seen["x-kept"], "yes");
    assert.ok(seen.via && seen["x-forwarded-for"] && seen["x-request-id"]);
    socket.close();
  },
  async idle() { // prints how long a silent socket lasts, ms
    const socket = await open("/silent");
    const begun = process.hrtime.bigint();
    const { code } = await closed(socket);
    assert.equal(code, 1006);
    console.log(Number((process.hrtime.bigint() - begun) / 1000000n));
  },
  async hold() { // until the other side ends it; prints the code
    const socket = await open("/silent");
    console.log("open");
    console.log((await closed(socket)).code);
  },
  async many() { // N at once, each of which answers twice
    const n = Number(argument), sockets = [];
    for (let at = 0; at < n; at += 250) {
      const wave = Math.min(250, n - at);
      const local = (i) => ({ localAddress: `198.18.0.${2 + ((at + i) % 1)}` });
      sockets.push(...(await Promise.all([...Array(wave).keys()].map((i) => open("/echo", [], { perMessageDeflate: false, ...local(i) })))));
    }
    for (let round = 0; round < 2; round++) {
      const answers = sockets.map(next);
      sockets.forEach((socket, i) => socket.send(`${round} ${i}`));
      (await Promise.all(answers)).forEach(({ data }, i) => assert.equal(String(data), `${round} ${i}`));
    }
    console.log("all answered");
    await new Promise((done) => process.stdin.once("data", done).once("end", done));
    const ends = sockets.map(closed);
    sockets.forEach((socket) => socket.close(1000));
    (await Promise.all(ends)).forEach(({ code }) => assert.equal(code, 1000));
  },
};

behaviours[name]().then(() => process.exit(0), (error) => {
  console.log(error.stack || String(error));
  process.exit(1);
});
