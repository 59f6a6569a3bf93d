// What both servers share: how they start, end, and remember the requests they got.
//
// Start: `node NAME.mjs '<json options>'` prints one JSON line, `{"issuer": "http://127.0.0.1:PORT"}`, once it listens.
// End: stdin closes, or SIGTERM. A test that is killed closes the pipe, so it leaves no server behind.

import { createServer } from "node:http";

// Stdout belongs to the start line; whatever a library has to say goes to stderr.
console.log = console.info = console.warn = console.error;

export function options(defaults) {
  return { ...defaults, ...JSON.parse(process.argv[2] || "{}") };
}

// Listens on a free port of the loopback interface; `build(issuer)` gives the request handler for it.
export async function serve(build) {
  const server = createServer();
  // Longer than Larder keeps a connection: Node.js's five seconds would end some just as a request is sent on them.
  server.keepAliveTimeout = 75_000;
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${server.address().port}`;
  server.on("request", await build(issuer));
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);

  const end = () => process.exit(0);
  process.stdin.on("end", end).on("close", end).on("error", end).resume();
  process.on("SIGTERM", end);
}

// Remembers requests, in the order in which they arrived.
export class Journal {
  entries = [];

  // Starts an entry; its body and status are filled in when they are known. Nothing is taken away from the handler.
  record(req, res) {
    const url = new URL(req.url, "http://localhost");
    const entry = {
      at: Date.now(),
      method: req.method,
      path: url.pathname,
      query: [...url.searchParams],
      body: [],
      authorization: req.headers.authorization !== undefined,
      contentType: req.headers["content-type"] ?? null,
      status: null,
    };
    this.entries.push(entry);
    const chunks = [];
    const push = req.push;
    req.push = (chunk, encoding) => {
      if (chunk) chunks.push(Buffer.from(chunk, encoding));
      else entry.body = [...new URLSearchParams(Buffer.concat(chunks).toString())];
      return push.call(req, chunk, encoding);
    };
    res.on("finish", () => {
      entry.status = res.statusCode;
    });
  }
}

export async function readJson(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString() || "{}");
}

export function sendJson(res, value, status = 200) {
  res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}
