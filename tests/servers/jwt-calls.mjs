// Calls that compare Larder's `jsonwebtoken` with the real one, loaded and described as in axios-calls.mjs.
//
// A call gets `jwt` and `it`: keys, and tokens that the real one signed with them. PS and ES signatures are random, so calls
// that return such a token return `signed(token)`, and the real one verifies it.

const NOW = 1_700_000_000;
const claims = { name: "Zoë", admin: true, iat: NOW };
const at = { clockTimestamp: NOW + 100 };
const signed = (token) => ({ token, isRandom: true });

// Keys for one run, and tokens signed with the real one.
export function fixtures(jwt, crypto) {
  const pair = (type, options) =>
    crypto.generateKeyPairSync(type, {
      ...options,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
  const keys = {
    secret: "a secret of the tests",
    rsa: pair("rsa", { modulusLength: 2048 }),
    other: pair("rsa", { modulusLength: 2048 }),
    p256: pair("ec", { namedCurve: "P-256" }),
    p384: pair("ec", { namedCurve: "P-384" }),
  };
  keys.pkcs1 = crypto.createPrivateKey(keys.rsa.privateKey).export({ type: "pkcs1", format: "pem" });
  keys.sec1 = crypto.createPrivateKey(keys.p256.privateKey).export({ type: "sec1", format: "pem" });
  const token = (algorithm, key) => jwt.sign(claims, key, { algorithm });
  const full = { ...claims, exp: NOW + 3600, nbf: NOW, aud: ["x", "y"], iss: "i", sub: "s", jti: "j", nonce: "n" };
  const tokens = {
    full: jwt.sign(full, keys.secret),
    plain: jwt.sign("not JSON", keys.secret),
    none: jwt.sign(claims, "", { algorithm: "none" }),
    ...Object.fromEntries(["HS256", "HS384", "HS512"].map((it) => [it, token(it, keys.secret)])),
    ...Object.fromEntries(["RS256", "RS384", "RS512", "PS256"].map((it) => [it, token(it, keys.rsa.privateKey)])),
    ES256: token("ES256", keys.p256.privateKey),
    ES384: token("ES384", keys.p384.privateKey),
  };
  return { ...keys, tokens };
}

export const calls = {
  // Signing.
  "sign HS256": (jwt, it) => jwt.sign(claims, it.secret),
  "sign HS384": (jwt, it) => jwt.sign(claims, it.secret, { algorithm: "HS384" }),
  "sign HS512": (jwt, it) => jwt.sign(claims, it.secret, { algorithm: "HS512" }),
  "sign with a Buffer": (jwt, it) => jwt.sign(claims, Buffer.from(it.secret)),
  "sign RS256": (jwt, it) => jwt.sign(claims, it.rsa.privateKey, { algorithm: "RS256" }),
  "sign RS384": (jwt, it) => jwt.sign(claims, it.rsa.privateKey, { algorithm: "RS384" }),
  "sign RS512": (jwt, it) => jwt.sign(claims, it.rsa.privateKey, { algorithm: "RS512" }),
  "sign with a PKCS#1 key": (jwt, it) => jwt.sign(claims, it.pkcs1, { algorithm: "RS256" }),
  "sign with {key}": (jwt, it) => jwt.sign(claims, { key: it.rsa.privateKey }, { algorithm: "RS256" }),
  "sign with PEM in a Buffer": (jwt, it) => jwt.sign(claims, Buffer.from(it.rsa.privateKey), { algorithm: "RS256" }),
  "sign PS256": (jwt, it) => signed(jwt.sign(claims, it.rsa.privateKey, { algorithm: "PS256" })),
  "sign ES256": (jwt, it) => signed(jwt.sign(claims, it.p256.privateKey, { algorithm: "ES256" })),
  "sign ES384": (jwt, it) => signed(jwt.sign(claims, it.p384.privateKey, { algorithm: "ES384" })),
  "sign with a SEC 1 key": (jwt, it) => signed(jwt.sign(claims, it.sec1, { algorithm: "ES256" })),
  "sign none": (jwt) => jwt.sign(claims, "", { algorithm: "none" }),
  "sign with all options": (jwt, it) =>
    jwt.sign(claims, it.secret, {
      expiresIn: 60,
      notBefore: "-1m",
      audience: ["a", "b"],
      issuer: "i",
      subject: "s",
      jwtid: "j",
      keyid: "k",
      header: { x: 1, typ: "at+jwt" },
    }),
  "sign like a service account": (jwt, it) =>
    jwt.sign(
      { iss: "me@project", scope: "a b", aud: "https://provider.example/token", iat: NOW, exp: NOW + 3600 },
      it.rsa.privateKey,
      { algorithm: "RS256", header: { kid: "key-1" } },
    ),
  "sign with time spans": (jwt, it) =>
    ["1h", "1.5h", "2 days", "10 s", "7d", "1w", "1y", "5m", "3 minutes", "1 hr", "500ms", "120000", "1Y", 90].map(
      (span) => jwt.sign({ iat: NOW }, it.secret, { expiresIn: span }),
    ),
  "sign without iat": (jwt, it) => [
    jwt.sign(claims, it.secret, { noTimestamp: true }),
    jwt.sign({ a: 1 }, it.secret, { noTimestamp: true }),
  ],
  "sign at the current time": (jwt, it) => {
    const { iat, exp, nbf } = jwt.decode(jwt.sign({}, it.secret, { expiresIn: "1h", notBefore: 0 }));
    return [Math.abs(iat - Date.now() / 1000) < 5, exp - iat, nbf - iat];
  },
  "sign a string": (jwt, it) => [
    jwt.sign("text", it.secret),
    jwt.sign('{"a":1}', it.secret),
    jwt.sign(Buffer.from("bytes"), it.secret),
    jwt.sign(5, it.secret),
  ],
  "sign does not change the payload": (jwt, it) => {
    const [kept, changed] = [{ iat: NOW }, { iat: NOW }];
    jwt.sign(kept, it.secret, { expiresIn: 5 });
    jwt.sign(changed, it.secret, { expiresIn: 5, mutatePayload: true });
    return [kept, changed];
  },
  "sign with a callback": (jwt, it) =>
    new Promise((resolve) => jwt.sign(claims, it.secret, (...result) => resolve(result))),
  "sign with options and a callback": (jwt, it) =>
    new Promise((resolve) => jwt.sign(claims, it.secret, { algorithm: "HS512" }, (...result) => resolve(result))),
  "sign fails into the callback": (jwt) =>
    new Promise((resolve) => jwt.sign(claims, null, {}, (error) => resolve(error.message))),
  ...refusals("sign", {
    "without a key": (jwt) => jwt.sign(claims, ""),
    "without a payload": (jwt, it) => jwt.sign(undefined, it.secret),
    "a list": (jwt, it) => jwt.sign([1], it.secret),
    "a string with expiresIn": (jwt, it) => jwt.sign("text", it.secret, { expiresIn: 1 }),
    "an invalid time span": (jwt, it) => jwt.sign(claims, it.secret, { expiresIn: "soon" }),
    "a fractional time span": (jwt, it) => jwt.sign(claims, it.secret, { expiresIn: 1.5 }),
    "exp and expiresIn": (jwt, it) => jwt.sign({ ...claims, exp: NOW }, it.secret, { expiresIn: "1h" }),
    "two issuers": (jwt, it) => jwt.sign({ ...claims, iss: "i" }, it.secret, { issuer: "j" }),
    "exp as a string": (jwt, it) => jwt.sign({ ...claims, exp: "later" }, it.secret),
    "an unknown option": (jwt, it) => jwt.sign(claims, it.secret, { expiresln: 1 }),
    "an unknown algorithm": (jwt, it) => jwt.sign(claims, it.secret, { algorithm: "HS1" }),
    "a number for an audience": (jwt, it) => jwt.sign(claims, it.secret, { audience: 5 }),
    "RS256 with a secret": (jwt, it) => jwt.sign(claims, it.secret, { algorithm: "RS256" }),
    "RS256 with a public key": (jwt, it) => jwt.sign(claims, it.rsa.publicKey, { algorithm: "RS256" }),
    "HS256 with a private key": (jwt, it) => jwt.sign(claims, it.rsa.privateKey),
    "ES256 with an RSA key": (jwt, it) => jwt.sign(claims, it.rsa.privateKey, { algorithm: "ES256" }),
    "ES384 with P-256": (jwt, it) => jwt.sign(claims, it.p256.privateKey, { algorithm: "ES384" }),
  }),

  // Verifying.
  "verify HS": (jwt, it) => ["HS256", "HS384", "HS512"].map((name) => jwt.verify(it.tokens[name], it.secret)),
  "verify RS": (jwt, it) => ["RS256", "RS384", "RS512"].map((name) => jwt.verify(it.tokens[name], it.rsa.publicKey)),
  "verify PS256": (jwt, it) => jwt.verify(it.tokens.PS256, it.rsa.publicKey),
  "verify ES256": (jwt, it) => jwt.verify(it.tokens.ES256, it.p256.publicKey),
  "verify ES384": (jwt, it) => jwt.verify(it.tokens.ES384, it.p384.publicKey, { algorithms: ["ES384"] }),
  "verify with a private key": (jwt, it) => jwt.verify(it.tokens.RS256, it.rsa.privateKey),
  "verify all claims": (jwt, it) =>
    jwt.verify(it.tokens.full, it.secret, {
      ...at,
      audience: "y",
      issuer: ["h", "i"],
      subject: "s",
      jwtid: "j",
      nonce: "n",
      maxAge: "1h",
    }),
  "verify an audience by pattern": (jwt, it) =>
    jwt.verify(it.tokens.full, it.secret, { ...at, audience: [/^X$/i, "z"] }),
  "verify complete": (jwt, it) => jwt.verify(it.tokens.full, it.secret, { ...at, complete: true }),
  "verify with a tolerance": (jwt, it) =>
    jwt.verify(it.tokens.full, it.secret, { clockTimestamp: NOW + 3630, clockTolerance: 60 }).sub,
  "verify with expiry ignored": (jwt, it) => jwt.verify(it.tokens.full, it.secret, { ignoreExpiration: true }).sub,
  "verify none": (jwt, it) => jwt.verify(it.tokens.none, "", { algorithms: ["none"] }),
  "verify a string payload": (jwt, it) => jwt.verify(it.tokens.plain, it.secret),
  "verify with a callback": (jwt, it) =>
    new Promise((resolve) => jwt.verify(it.tokens.HS256, it.secret, (...result) => resolve(result))),
  "verify with a function for a key": (jwt, it) =>
    new Promise((resolve) =>
      jwt.verify(
        it.tokens.RS256,
        (header, found) => found(null, header.alg === "RS256" && it.rsa.publicKey),
        { algorithms: ["RS256"] },
        (...result) => resolve(result),
      ),
    ),
  "verify, no key found": (jwt, it) =>
    new Promise((resolve) =>
      jwt.verify(
        it.tokens.RS256,
        (_, found) => found(new Error("unknown")),
        {},
        (error) => resolve([error.name, error.message]),
      ),
    ),
  ...refusals("verify", {
    "another secret": (jwt, it) => jwt.verify(it.tokens.HS256, "wrong"),
    "another RSA key": (jwt, it) => jwt.verify(it.tokens.RS256, it.other.publicKey),
    "a changed payload": (jwt, it) =>
      jwt.verify(it.tokens.HS256.replace(/\.[^.]*\./, ".eyJhZG1pbiI6dHJ1ZX0."), it.secret),
    "an expired token": (jwt, it) => jwt.verify(it.tokens.full, it.secret),
    "a token from the future": (jwt, it) => jwt.verify(it.tokens.full, it.secret, { clockTimestamp: NOW - 10 }),
    "another audience": (jwt, it) => jwt.verify(it.tokens.full, it.secret, { ...at, audience: [/q/, "z"] }),
    "another issuer": (jwt, it) => jwt.verify(it.tokens.full, it.secret, { ...at, issuer: ["q", "r"] }),
    "another subject": (jwt, it) => jwt.verify(it.tokens.full, it.secret, { ...at, subject: "q" }),
    "another id": (jwt, it) => jwt.verify(it.tokens.full, it.secret, { ...at, jwtid: "q" }),
    "another nonce": (jwt, it) => jwt.verify(it.tokens.full, it.secret, { ...at, nonce: "q" }),
    "too old": (jwt, it) => jwt.verify(it.tokens.full, it.secret, { ...at, maxAge: 50 }),
    "an algorithm that is not allowed": (jwt, it) => jwt.verify(it.tokens.HS256, it.secret, { algorithms: ["HS512"] }),
    "a public key for a secret": (jwt, it) =>
      jwt.verify(it.tokens.HS256, it.rsa.publicKey, { algorithms: ["HS256", "RS256"] }),
    "HS256 made with a public key": (jwt, it) => jwt.verify(it.tokens.HS256, it.rsa.publicKey),
    "a secret for a public key": (jwt, it) => jwt.verify(it.tokens.RS256, it.secret),
    "two parts": (jwt, it) => jwt.verify("a.b", it.secret),
    "not JSON": (jwt, it) => jwt.verify("a.b.c", it.secret),
    nothing: (jwt, it) => jwt.verify("", it.secret),
    "a number": (jwt, it) => jwt.verify(5, it.secret),
    "without a key": (jwt, it) => jwt.verify(it.tokens.HS256),
    "without a signature": (jwt, it) => jwt.verify(it.tokens.HS256.replace(/[^.]*$/, ""), it.secret),
    "unsigned by default": (jwt, it) => jwt.verify(it.tokens.none, ""),
    "unsigned with a key": (jwt, it) => jwt.verify(it.tokens.none, it.secret),
    "a function without a callback": (jwt, it) => jwt.verify(it.tokens.HS256, () => it.secret),
  }),

  // Everything else.
  decode: (jwt, it) => [
    jwt.decode(it.tokens.full),
    jwt.decode(it.tokens.ES256),
    jwt.decode(it.tokens.plain),
    jwt.decode("a.b.c"),
    jwt.decode("x"),
    jwt.decode(null),
  ],
  "decode complete": (jwt, it) => jwt.decode(it.tokens.full, { complete: true }),
  exports: (jwt) => [
    Object.keys(jwt).sort(),
    new jwt.TokenExpiredError("m", new Date(0)) instanceof jwt.JsonWebTokenError,
    new jwt.NotBeforeError("m", new Date(0)) instanceof Error,
    JSON.stringify(new jwt.TokenExpiredError("m", new Date(0))),
  ],
};

function refusals(verb, them) {
  return Object.fromEntries(Object.entries(them).map(([name, call]) => [`${verb} refuses: ${name}`, call]));
}

// Returns the outcome of the call `name`: {result} or {error}.
export async function run(jwt, it, name) {
  try {
    return JSON.parse(JSON.stringify({ result: await calls[name](jwt, it) }));
  } catch (error) {
    const { message, expiredAt, date } = error;
    return JSON.parse(
      JSON.stringify({
        error: { name: error.name, message, expiredAt, date, isOwn: error instanceof jwt.JsonWebTokenError },
      }),
    );
  }
}

export async function runAll(jwt, it) {
  const outcomes = {};
  for (const name of Object.keys(calls)) outcomes[name] = await run(jwt, it, name);
  return outcomes;
}

// Returns an outcome without its random parts.
export function comparable(outcome) {
  if (!outcome.result?.isRandom) return outcome;
  const [head, body, signature] = outcome.result.token.split(".");
  return { signed: `${head}.${body}`, signatureLength: signature.length };
}
