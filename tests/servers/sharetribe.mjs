// A fake of Sharetribe's Authentication API and one call of its Integration API, for sharetribe-flex-integration-sdk:
// https://www.sharetribe.com/api-reference/authentication.html
//
//   POST /v1/auth/token                            client_credentials with the secret, or refresh_token without it
//   POST /v1/auth/revoke                           revokes a refresh token and its access tokens
//   GET  /v1/integration_api/marketplace/show      requires a valid access token
//
// A refresh token works once: each refresh returns a new one. Only the first response of a grant has a `scope`.
// See serve.mjs for how to start and stop it. It has no options: the client is `larder`, its secret `larder-secret`.
//
// Control endpoints for tests, not part of Sharetribe:
//
//   GET  /_control/requests  all requests, in order; fields as in oidc-provider.mjs
//   POST /_control/expire    expires all access tokens; with {"refreshTokens": true}, also all refresh tokens
//   POST /_control/hold      {"isHeld": true} holds the token endpoint's answers back until {"isHeld": false}

import { randomUUID } from "node:crypto";
import { Journal, readJson, sendJson, serve } from "./serve.mjs";

const CLIENT = { id: "larder", secret: "larder-secret" };

await serve(async () => {
  const journal = new Journal();
  // Valid tokens. Access tokens map to their refresh tokens.
  let accessTokens = new Map();
  let refreshTokens = new Set();
  let held = Promise.resolve();
  let release = () => {};

  const issue = () => {
    const [access_token, refresh_token] = [`access-${randomUUID()}`, `refresh-${randomUUID()}`];
    accessTokens.set(access_token, refresh_token);
    refreshTokens.add(refresh_token);
    return { access_token, refresh_token, token_type: "bearer", expires_in: 600 };
  };

  const grant = (form) => {
    if (form.client_id !== CLIENT.id) return null;
    if (form.grant_type === "client_credentials") {
      return form.client_secret === CLIENT.secret && form.scope === "integ" ? { ...issue(), scope: "integ" } : null;
    }
    return form.grant_type === "refresh_token" && refreshTokens.delete(form.refresh_token) ? issue() : null;
  };

  const revoke = (form) => {
    refreshTokens.delete(form.token);
    for (const [access, refresh] of accessTokens) if (refresh === form.token) accessTokens.delete(access);
  };

  const isAuthorized = (req) => accessTokens.has(/^bearer (.+)$/i.exec(req.headers.authorization ?? "")?.[1]);
  const unauthorized = (res) =>
    sendJson(res, { errors: [{ status: 401, code: "unauthorized", title: "Unauthorized" }] }, 401);

  const control = async (req, res, name) => {
    switch (name) {
      case "requests":
        return sendJson(res, journal.entries);
      case "expire":
        accessTokens = new Map();
        if ((await readJson(req)).refreshTokens) refreshTokens = new Set();
        return sendJson(res, {});
      case "hold":
        if ((await readJson(req)).isHeld) held = new Promise((resolve) => (release = resolve));
        else release();
        return sendJson(res, {});
      default:
        return sendJson(res, { error: `no control endpoint ${name}` }, 404);
    }
  };

  return async (req, res) => {
    const { pathname } = new URL(req.url, "http://localhost");
    if (pathname.startsWith("/_control/")) return control(req, res, pathname.slice("/_control/".length));
    journal.record(req, res);
    const form = await readForm(req);
    switch (`${req.method} ${pathname}`) {
      case "POST /v1/auth/token": {
        const token = grant(form);
        await held;
        return token ? sendJson(res, token) : unauthorized(res);
      }
      case "POST /v1/auth/revoke":
        if (!isAuthorized(req)) return unauthorized(res);
        revoke(form);
        return sendJson(res, { action: "revoked" });
      case "GET /v1/integration_api/marketplace/show":
        return isAuthorized(req) ? sendJson(res, { data: { type: "marketplace" } }) : unauthorized(res);
      default:
        return sendJson(res, { errors: [{ status: 404, code: "not-found", title: "Not found" }] }, 404);
    }
  };
});

async function readForm(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
}
