// A provider that answers the way real ones sometimes do: against the specification, or nothing like an OAuth server.
// It is based on oauth2-mock-server, which accepts any client and any code (it verifies PKCE if the authorization request had
// a challenge). Endpoints: GET /authorize (redirects immediately), POST /token, GET /userinfo.
// See serve.mjs for how to start and stop it. It has no options.
//
// Control endpoints for tests, not part of OAuth:
//
//   POST /_control/answers   {"answers": [ANSWER, …]}: sets the answers to the next token calls, replacing earlier ones
//   GET  /_control/requests  all requests to /authorize, /token and /elsewhere; fields as in oidc-provider.mjs
//   POST /_control/reset     forgets both
//
// An ANSWER is a name from ANSWERS, an object with the fields below, or {"name": …} with fields to override:
//
//   grantType    only applies to this grant_type
//   times        the number of calls that it answers (default 1; null: all)
//   status       default 200
//   headers      extra headers
//   set, remove  members to set in, or remove from, the mock's JSON
//   form         the mock's answer, form-encoded
//   body         this body instead, with contentType
//   hugeBytes    an unterminated JSON string of this many bytes instead
//   hangUp       closes the connection without an answer
//   dripSecs     the mock's answer, with this many seconds between bytes

import { Journal, readJson, sendJson, serve } from "./serve.mjs";
import { Readable, pipeline } from "node:stream";
import { OAuth2Issuer, OAuth2Service } from "oauth2-mock-server";

const ANSWERS = {
  normal: {},
  expires_in_string: { set: { expires_in: "3600" } },
  expires_in_float: { set: { expires_in: 3599.5 } },
  expires_in_garbage: { set: { expires_in: "soon" } },
  expires_in_null: { set: { expires_in: null } },
  expires_in_zero: { set: { expires_in: 0 } },
  expires_in_negative: { set: { expires_in: -1 } },
  expires_in_huge: { set: { expires_in: 1e18 } },
  no_expires_in: { remove: ["expires_in"] },
  no_access_token: { remove: ["access_token"] },
  no_refresh_token: { remove: ["refresh_token"] },
  refresh_without_refresh_token: { grantType: "refresh_token", times: null, remove: ["refresh_token"] },
  form: { form: true },
  ok_with_error: { body: '{"error":"invalid_grant","error_description":"token revoked"}' },
  ok_false: { body: '{"ok":false,"error":"invalid_code"}' },
  invalid_grant: { status: 400, body: '{"error":"invalid_grant"}' },
  invalid_client: { status: 401, body: '{"error":"invalid_client"}' },
  unauthorized_client: { status: 400, body: '{"error":"unauthorized_client"}' },
  html_400: { status: 400, body: "<!doctype html><title>Bad request</title><h1>Oops</h1>", contentType: "text/html" },
  html_200: { body: "<!doctype html><title>Sign in</title><h1>Sign in</h1>", contentType: "text/html" },
  server_error: { status: 500, body: "Internal Server Error", contentType: "text/plain" },
  unavailable: { status: 503, headers: { "retry-after": "120" }, body: "Come back later", contentType: "text/plain" },
  too_many_requests: { status: 429, headers: { "retry-after": "120" }, body: '{"error":"rate_limited"}' },
  redirect: { status: 302, headers: { location: "/elsewhere" }, body: "" },
  invalid_json: { body: '{"access_token":"abc",' },
  json_array: { body: "[]" },
  empty: { body: "" },
  huge: { hugeBytes: 50 * 1024 * 1024 },
  drip: { dripSecs: 1 },
  hang_up: { hangUp: true },
};

function resolve(answer) {
  const given = typeof answer === "string" ? { name: answer } : answer;
  if (given.name !== undefined && !(given.name in ANSWERS)) throw new Error(`unknown answer ${given.name}`);
  const resolved = { times: 1, status: 200, headers: {}, ...ANSWERS[given.name], ...given };
  return { ...resolved, times: resolved.times ?? Infinity };
}

// Returns the first answer for this grant_type that has calls left.
function take(answers, grantType) {
  const answer = answers.find((a) => a.times > 0 && (a.grantType === undefined || a.grantType === grantType));
  if (!answer) return resolve("normal");
  answer.times -= 1;
  return answer;
}

// Sends the answer in place of the library's own, `content`, which it may include.
function send(answer, res, content) {
  res.removeHeader("content-length");
  res.statusCode = answer.status;
  if (answer.contentType) res.setHeader("content-type", answer.contentType);
  for (const [name, value] of Object.entries(answer.headers)) res.setHeader(name, value);

  if (answer.hangUp) return res.destroy();
  if (answer.hugeBytes !== undefined) return sendHuge(res, answer.hugeBytes);
  if (answer.dripSecs !== undefined) return drip(res, Buffer.from(content), answer.dripSecs);
  if (answer.form) {
    res.setHeader("content-type", "application/x-www-form-urlencoded");
    return res.end(String(new URLSearchParams(JSON.parse(content))));
  }
  return res.end(answer.body ?? content);
}

function sendHuge(res, bytes) {
  const chunk = "a".repeat(64 * 1024);
  const parts = function* () {
    yield '{"access_token":"';
    for (let sent = 0; sent < bytes; sent += chunk.length) yield chunk;
  };
  pipeline(Readable.from(parts()), res, () => {}); // clients may hang up
}

function drip(res, bytes, secs) {
  let sent = 0;
  const timer = setInterval(() => {
    res.write(bytes.subarray(sent, ++sent));
    if (sent === bytes.length) res.end();
  }, secs * 1000);
  res.once("close", () => clearInterval(timer));
  res.flushHeaders();
}

await serve(async (url) => {
  const issuer = new OAuth2Issuer();
  issuer.url = url;
  await issuer.keys.generate("RS256");
  const service = new OAuth2Service(issuer);

  const journal = new Journal();
  const responses = new WeakMap();
  let answers = [];

  service.on("beforeResponse", ({ body }, req) => {
    const answer = take(answers, req.body.grant_type);
    for (const name of answer.remove ?? []) delete body[name];
    Object.assign(body, answer.set);

    const res = responses.get(req);
    const { end } = res;
    res.end = (content) => {
      res.end = end;
      send(answer, res, content);
    };
  });

  const control = async (req, res, name) => {
    switch (name) {
      case "answers":
        answers = (await readJson(req)).answers.map(resolve);
        return sendJson(res, {});
      case "requests":
        return sendJson(res, journal.entries);
      case "reset":
        journal.entries = [];
        answers = [];
        return sendJson(res, {});
      default:
        return sendJson(res, { error: `no control endpoint ${name}` }, 404);
    }
  };

  return async (req, res) => {
    const { pathname } = new URL(req.url, url);
    try {
      if (pathname.startsWith("/_control/")) return await control(req, res, pathname.slice("/_control/".length));
      if (["/authorize", "/token", "/elsewhere"].includes(pathname)) journal.record(req, res);
      if (pathname === "/elsewhere") return sendJson(res, { access_token: "from elsewhere", token_type: "Bearer" });
      responses.set(req, res);
      return service.requestHandler(req, res);
    } catch (error) {
      sendJson(res, { error: String(error) }, 400);
    }
  };
});
