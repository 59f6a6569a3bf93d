// A certified authorization server that is as strict as real ones: it requires PKCE, rotates refresh tokens, and revokes the
// whole grant if a rotated one is reused. Following redirects with a cookie jar logs in and consents.
// See serve.mjs for how to start and stop it. Options, all optional:
//
//   clients             client metadata of OpenID dynamic registration; default: one client, `larder` / `larder-secret`
//   redirectUris        the default client's redirect_uris
//   tokenEndpointAuthMethod  the default client's: client_secret_basic | client_secret_post
//   accessTokenTtlSecs  the lifetime of access tokens
//   rotate              whether to rotate refresh tokens
//   omitExpiresIn       whether to leave expires_in out of token responses
//
// Control endpoints for tests, not part of OAuth:
//
//   GET  /_control/requests  all requests to /auth and /token: at (Unix ms), method, path, query and body as ordered
//                            pairs, authorization (whether it had the header), contentType, status
//   POST /_control/reset     forgets requests and pending failures; tokens stay
//   POST /_control/fail      {"status", "times", "body", "contentType", "headers"}: the answer to the next token calls
//   GET  /_control/grants    {"grants", "refreshTokens", "accessTokens"}: the numbers of valid ones

import { Journal, options, readJson, sendJson, serve } from "./serve.mjs";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import Provider from "oidc-provider";
import MemoryAdapter, { setStorage } from "oidc-provider/lib/adapters/memory_adapter.js";

const opts = options({
  clients: undefined,
  redirectUris: ["http://127.0.0.1:9000/oauth-callback"],
  tokenEndpointAuthMethod: "client_secret_basic",
  accessTokenTtlSecs: 3600,
  rotate: true,
  omitExpiresIn: false,
});
const DAY_SECS = 24 * 60 * 60;

// The library's own store drops entries beyond 1,000 and cannot count them.
class Storage {
  #entries = new Map();

  get(key) {
    const entry = this.#entries.get(key);
    return entry && entry.endsAt > Date.now() ? entry.value : undefined;
  }

  set(key, value, { maxAge = Infinity } = {}) {
    this.#entries.set(key, { value, endsAt: Date.now() + maxAge });
  }

  delete(key) {
    this.#entries.delete(key);
  }

  countLive(model) {
    return [...this.#entries.keys()].filter((key) => key.startsWith(`${model}:`) && this.#isLive(key)).length;
  }

  #isLive(key) {
    const value = this.get(key);
    return value !== undefined && !value.consumed;
  }
}

const storage = new Storage();
setStorage(storage);

function configuration() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    // A subclass, because the library replaces the class itself with one that has its own store.
    adapter: class extends MemoryAdapter {},
    clients: opts.clients ?? [
      {
        client_id: "larder",
        client_secret: "larder-secret",
        redirect_uris: opts.redirectUris,
        token_endpoint_auth_method: opts.tokenEndpointAuthMethod,
      },
    ],
    clientDefaults: { grant_types: ["authorization_code", "refresh_token"], response_types: ["code"] },
    scopes: ["openid", "offline_access", "profile", "email", "read", "write"],
    claims: { profile: ["name"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false,
    findAccount: (_ctx, sub) => ({
      accountId: sub,
      claims: () => ({ sub, name: "Alice", email: "alice@example.com", email_verified: true }),
    }),
    cookies: { keys: [randomBytes(32).toString("hex")] },
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256" }] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: () => true },
    // Without prompt=consent, the library drops offline_access and would tie refresh tokens to the login session.
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
    expiresWithSession: () => false,
    rotateRefreshToken: opts.rotate,
    // Each authorization has its own grant, so that revoking one connection does not affect others.
    loadExistingGrant: (ctx) =>
      ctx.oidc.result?.consent?.grantId && ctx.oidc.provider.Grant.find(ctx.oidc.result.consent.grantId),
    ttl: {
      AccessToken: opts.accessTokenTtlSecs,
      AuthorizationCode: 60,
      Grant: 365 * DAY_SECS,
      IdToken: 3600,
      Interaction: 3600,
      RefreshToken: 30 * DAY_SECS,
      Session: DAY_SECS,
    },
  };
}

// Logs in as alice and consents to everything.
async function interact(provider, req, res) {
  const { prompt, params } = await provider.interactionDetails(req, res);
  if (prompt.name === "login") {
    return provider.interactionFinished(req, res, { login: { accountId: "alice" } });
  }
  const grant = new provider.Grant({ accountId: "alice", clientId: params.client_id });
  grant.addOIDCScope(params.scope ?? "");
  if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(" "));
  if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
  return provider.interactionFinished(
    req,
    res,
    { consent: { grantId: await grant.save() } },
    { mergeWithLastSubmission: true },
  );
}

await serve((issuer) => {
  const provider = new Provider(issuer, configuration());
  provider.on("server_error", (_ctx, error) => console.error(error));
  if (opts.omitExpiresIn) {
    provider.use(async (ctx, next) => {
      await next();
      if (ctx.path === "/token" && ctx.body) delete ctx.body.expires_in;
    });
  }
  const handle = provider.callback();

  const journal = new Journal();
  let failure;

  const control = async (req, res, name) => {
    switch (name) {
      case "requests":
        return sendJson(res, journal.entries);
      case "reset":
        journal.entries = [];
        failure = undefined;
        return sendJson(res, {});
      case "fail":
        failure = { status: 503, times: 1, body: "", contentType: "text/plain", headers: {}, ...(await readJson(req)) };
        return sendJson(res, {});
      case "grants":
        return sendJson(res, {
          grants: storage.countLive("Grant"),
          refreshTokens: storage.countLive("RefreshToken"),
          accessTokens: storage.countLive("AccessToken"),
        });
      default:
        return sendJson(res, { error: `no control endpoint ${name}` }, 404);
    }
  };

  return async (req, res) => {
    const { pathname } = new URL(req.url, issuer);
    try {
      if (pathname.startsWith("/_control/")) return await control(req, res, pathname.slice("/_control/".length));
      if (pathname === "/auth" || pathname === "/token") journal.record(req, res);
      if (pathname === "/token" && failure?.times > 0) {
        failure.times -= 1;
        for await (const _ of req); // so that the journal has its body
        res.writeHead(failure.status, { "content-type": failure.contentType, ...failure.headers });
        return res.end(failure.body);
      }
      if (pathname.startsWith("/interaction/")) return await interact(provider, req, res);
      return handle(req, res);
    } catch (error) {
      console.error(error);
      if (!res.headersSent) sendJson(res, { error: String(error) }, 500);
    }
  };
});
