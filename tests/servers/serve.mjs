// Shared by all servers: starting, stopping and recording requests.
//
// To start one, run `node NAME.mjs '<json options>'`. Once it listens, it prints `{"issuer": "http://127.0.0.1:PORT"}`.
// It stops when stdin closes, or on SIGTERM. A killed test closes the pipe, so it leaves no server behind.

import { createServer } from "node:http";

// Stdout is for the start line only; messages of libraries go to stderr.
console.log = console.info = console.warn = console.error;

export function options(defaults) {
  return { ...defaults, ...JSON.parse(process.argv[2] || "{}") };
}

// Listens on a free loopback port, with the request handler that `build(issuer)` returns.
export async function serve(build) {
  const server = createServer();
  // Longer than Larder keeps connections: with Node.js's five seconds, some would close just as a request is sent on them.
  server.keepAliveTimeout = 75_000;
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${server.address().port}`;
  server.on("request", await build(issuer));
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);

  const end = () => process.exit(0);
  process.stdin.on("end", end).on("close", end).on("error", end).resume();
  process.on("SIGTERM", end);
}

// Records requests in the order of arrival.
export class Journal {
  entries = [];

  // Starts an entry. Its body and status are filled in later. The handler can still read the request.
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
