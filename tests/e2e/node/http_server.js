// A backend of Node's http: node http_server.js ADDRESS PORT FOLDER. GET gives files, POST says how much came.
const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
const path = require("path");

const [address, port, folder] = process.argv.slice(2);
const server = http.createServer((request, response) => {
  if (request.method === "POST") {
    const sum = crypto.createHash("sha256");
    request.on("data", (data) => sum.update(data)).on("end", () => response.end(sum.digest("hex")));
    return;
  }
  const file = path.join(folder, path.basename(request.url));
  fs.stat(file, (error, stat) => {
    if (error) {
      response.writeHead(404).end("no such file\n");
      return;
    }
    response.writeHead(200, { "Content-Length": stat.size });
    if (request.method === "HEAD") response.end();
    else fs.createReadStream(file).pipe(response);
  });
});
server.keepAliveTimeout = 60000;
server.listen(Number(port), address);
