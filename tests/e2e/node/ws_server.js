// A WebSocket server (npm ws): node ws_server.js ADDRESS PORT. The path says what it does.
const crypto = require("crypto");
const { WebSocketServer } = require("ws");

const [address, port] = process.argv.slice(2);
const server = new WebSocketServer({
  host: address, port: Number(port), maxPayload: 64 << 20, backlog: 4096,
  handleProtocols: (offered) => (offered.has("chat") ? "chat" : false),
});

server.on("connection", (socket, request) => {
  const url = new URL(request.url, "ws://x");
  const n = Number(url.searchParams.get("n") || 0);
  socket.on("error", () => {});
  switch (url.pathname) {
    case "/sum": // of each message
      socket.on("message", (data) => socket.send(crypto.createHash("sha256").update(data).digest("hex")));
      break;
    case "/send": // n bytes at once
      socket.send(crypto.randomBytes(n), () => {});
      socket.on("message", () => {});
      break;
    case "/fragments": // n pieces of one message
      for (let i = 0; i < n; i++) socket.send(`${i},`, { fin: i === n - 1 });
      break;
    case "/close": // with the code n
      socket.close(n, "as asked");
      break;
    case "/terminate":
      socket.terminate();
      break;
    case "/flood": // as fast as it goes, n messages of 64 KiB; says at the end how many bytes it has waiting
      for (let i = 0; i < n; i++) socket.send(Buffer.alloc(65536, i & 255));
      break;
    case "/headers":
      socket.send(JSON.stringify(request.headers));
      break;
    case "/silent":
      break;
    default:
      socket.on("message", (data, binary) => socket.send(data, { binary }));
  }
});
server.on("listening", () => console.log("listening"));
