// A server for tests of axios: it echoes requests and answers as they specify. It also runs the calls of axios-calls.mjs with
// the real axios, and those of jwt-calls.mjs with the real jsonwebtoken, to compare ours with them.
//
// See serve.mjs for how to start and stop it. It has no options. Every path accepts every method:
//
//   /echo             the request as JSON: method, url, content type
//   /answer?…         status, reason, type (content type), body, base64, header (`name: value`, repeatable), gzip (if the
//                     client accepts it), delay (ms)
//   /redirect?…       status (302), to, times: redirects to itself this many times, then to `to`
//   /hangup           closes the connection without an answer; /hangup?after=N after N bytes of the body
//
//   GET /_control/requests   the requests since the last call
//   GET /_control/axios      the real axios's outcomes of all calls: {name: outcome}
//   GET /_control/jwt        {fixtures, outcomes}: the calls' fixtures, and the real jsonwebtoken's outcomes
//   POST /_control/verify    {token}: its payload, if the real jsonwebtoken verifies it with the fixtures' key for its algorithm

import crypto from "node:crypto";
import { gzipSync } from "node:zlib";
import realAxios from "axios";
import realJwt from "jsonwebtoken";
import { runAll } from "./axios-calls.mjs";
import { fixtures, runAll as runAllJwt } from "./jwt-calls.mjs";
import { readJson, sendJson, serve } from "./serve.mjs";

const requests = [];
const forJwt = fixtures(realJwt, crypto);

const control = {
  requests: () => requests.splice(0),
  axios: (base) => runAll(realAxios, base),
  jwt: async () => ({ fixtures: forJwt, outcomes: await runAllJwt(realJwt, forJwt) }),
  verify: async (_, { token }) => {
    const { alg } = realJwt.decode(token, { complete: true }).header;
    const { publicKey } = { PS256: forJwt.rsa, ES256: forJwt.p256, ES384: forJwt.p384 }[alg];
    return realJwt.verify(token, publicKey, { algorithms: [alg] });
  },
};

const paths = {
  "/echo": (req, res, _, { method, url }) => sendJson(res, { method, url, type: req.headers["content-type"] }),
  "/answer": (req, res, query) => {
    const body = Buffer.from(query.get("base64") ?? query.get("body") ?? "", query.has("base64") ? "base64" : "utf8");
    const isZipped = query.has("gzip") && /\bgzip\b/.test(req.headers["accept-encoding"]);
    const sent = isZipped ? gzipSync(body) : body;
    if (query.has("type")) res.setHeader("content-type", query.get("type"));
    if (isZipped) res.setHeader("content-encoding", "gzip");
    for (const header of query.getAll("header")) res.appendHeader(...header.split(/: (.*)/).slice(0, 2));
    const status = Number(query.get("status") ?? 200);
    if (status !== 204 && status !== 304 && !query.has("gzip")) res.setHeader("content-length", sent.length);
    res.statusMessage = query.get("reason") ?? "";
    setTimeout(
      () => res.writeHead(status).end(req.method === "HEAD" ? undefined : sent),
      Number(query.get("delay") ?? 0),
    );
  },
  "/redirect": (_, res, query) => {
    const times = Number(query.get("times") ?? 1) - 1;
    if (times > 0) query.set("times", times);
    const location = times > 0 ? `/redirect?${query}` : query.get("to");
    res.writeHead(Number(query.get("status") ?? 302), location === null ? {} : { location }).end("moved");
  },
  "/hangup": (req, res, query) => {
    if (!query.has("after")) return req.socket.destroy();
    res.writeHead(200, { "content-length": 1000, "content-type": "text/plain" });
    res.write("x".repeat(Number(query.get("after"))), () => req.socket.destroy());
  },
};

await serve((issuer) => async (req, res) => {
  const url = new URL(req.url, issuer);
  if (url.pathname.startsWith("/_control/")) {
    const name = url.pathname.slice("/_control/".length);
    try {
      const body = req.method === "POST" ? await readJson(req) : undefined;
      return sendJson(res, await control[name](issuer, body));
    } catch (error) {
      return sendJson(res, { error: String(error) }, 500);
    }
  }
  const chunks = [];
  try {
    for await (const chunk of req) chunks.push(chunk);
  } catch {
    return; // The client went away.
  }
  const headers = req.rawHeaders.flatMap((name, at) => (at % 2 ? [] : [[name.toLowerCase(), req.rawHeaders[at + 1]]]));
  // Only some clients encode this character in queries.
  const seen = {
    method: req.method,
    url: req.url.replaceAll("%27", "'"),
    headers,
    body: Buffer.concat(chunks).toString("base64"),
  };
  requests.push(seen);
  const answer = paths[url.pathname] ?? ((_, response) => sendJson(response, { error: "not found" }, 404));
  answer(req, res, url.searchParams, seen);
});
