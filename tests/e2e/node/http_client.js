// Clients of Node: node http_client.js http|undici|fetch ADDRESS HOST PATH SHA256. Exit status 0: all was right.
const assert = require("assert");
const crypto = require("crypto");
const http = require("http");

const [kind, address, host, path, sum] = process.argv.slice(2);
const sha = (data) => crypto.createHash("sha256").update(data).digest("hex");

const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
const withHttp = (method, url, body) => new Promise((done, failed) => {
  const request = http.request({ host: address, path: url, method, agent, headers: { Host: host } }, (response) => {
    const parts = [];
    response.on("data", (part) => parts.push(part));
    response.on("end", () => done({ status: response.statusCode, body: Buffer.concat(parts), length: response.headers["content-length"] }));
    response.on("error", failed);
  });
  request.on("error", failed);
  request.end(body);
});

let withUndici;
if (kind === "undici") {
  const { Pool } = require("undici");
  const pool = new Pool(`http://${address}`, { connections: 2, pipelining: 4 });
  withUndici = async (method, url, body) => {
    const answer = await pool.request({ path: url, method, body, headers: { host } });
    const parts = [];
    for await (const part of answer.body) parts.push(part);
    return { status: answer.statusCode, body: Buffer.concat(parts), length: answer.headers["content-length"] };
  };
}

(async () => {
  const ask = kind === "undici" ? withUndici : withHttp;
  const answers = await Promise.all([...Array(20)].map(() => ask("GET", path)));
  for (const answer of answers) {
    assert.equal(answer.status, 200);
    assert.equal(sha(answer.body), sum);
  }
  const head = await ask("HEAD", path);
  assert.equal(head.status, 200);
  assert.equal(head.body.length, 0);
  assert.equal(Number(head.length), answers[0].body.length);
  assert.equal((await ask("GET", "/absent")).status, 404);
  const data = crypto.randomBytes(300000);
  const posted = await ask("POST", "/upload", data);
  assert.ok([200, 404, 405, 501].includes(posted.status), `POST: ${posted.status}`);
  process.exit(0);
})().catch((error) => {
  console.log(error.stack || String(error));
  process.exit(1);
});
