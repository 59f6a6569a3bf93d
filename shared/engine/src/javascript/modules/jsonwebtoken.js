// The module behind `import jwt from 'jsonwebtoken'`: the documented behavior of jsonwebtoken 9, on top of Node's crypto.
//
// tests/servers/jwt-calls.mjs compares it with the real one.

import crypto from "crypto";

const HASHES = { 256: "sha256", 384: "sha384", 512: "sha512" };
const CURVES = { ES256: "prime256v1", ES384: "secp384r1", ES512: "secp521r1" };
const HMAC = ["HS256", "HS384", "HS512"];
const EC = Object.keys(CURVES);
const RSA = ["RS256", "PS256", "RS384", "PS384", "RS512", "PS512"];
const ALGORITHMS = [...HMAC, ...EC, ...RSA, "none"];
const OF_KEY_TYPE = { ec: EC, rsa: RSA, "rsa-pss": ["PS256", "PS384", "PS512"] };

export class JsonWebTokenError extends Error {
  constructor(message, inner) {
    super();
    enumerable(this, { name: "JsonWebTokenError", message });
    if (inner) this.inner = inner;
  }
}

export class TokenExpiredError extends JsonWebTokenError {
  constructor(message, expiredAt) {
    super(message);
    enumerable(this, { name: "TokenExpiredError", expiredAt });
  }
}

export class NotBeforeError extends JsonWebTokenError {
  constructor(message, date) {
    super(message);
    enumerable(this, { name: "NotBeforeError", date });
  }
}

// `sign(payload, key, options)` returns the token. A callback gets (error, token).
export function sign(payload, key, options, callback) {
  if (typeof options === "function") return sign(payload, key, {}, options);
  return settle(callback, () => makeToken(payload, key, options ?? {}));
}

// `verify(token, key, options)` returns the payload. A callback gets (error, payload); then the key may be a function.
export function verify(token, key, options, callback) {
  if (typeof options === "function") return verify(token, key, {}, options);
  const given = { ...options };
  if (typeof key !== "function") return settle(callback, () => check(token, key, given));
  return settle(callback, () => {
    if (!callback) fail("verify must be called asynchronous if secret or public key is provided as a callback");
    const { header } = parsed(token, given);
    key(header, (error, found) => {
      settle(callback, () => {
        if (error) fail(`error in secret or public key callback: ${error.message}`);
        return check(token, found, given);
      });
    });
    return PENDING;
  });
}

// Returns the payload without verifying it, or {header, payload, signature} with `complete`. Null for invalid tokens.
export function decode(token, options) {
  const read = split(token, options);
  if (!read) return null;
  return options?.complete ? { header: read.header, payload: read.payload, signature: read.signature } : read.payload;
}

export default { decode, verify, sign, JsonWebTokenError, NotBeforeError, TokenExpiredError };

const PENDING = Symbol("pending");

function settle(callback, action) {
  if (!callback) return action();
  let result;
  try {
    result = action();
  } catch (error) {
    callback(error);
    return undefined;
  }
  if (result !== PENDING) callback(null, result);
  return undefined;
}

// Signing.

const isString = (value) => typeof value === "string";
const isObject = (value) => Object.prototype.toString.call(value) === "[object Object]";
const isSpan = (value) => Number.isInteger(value) || (isString(value) && value !== "");

const OPTIONS = {
  expiresIn: [isSpan, '"expiresIn" should be a number of seconds or string representing a timespan'],
  notBefore: [isSpan, '"notBefore" should be a number of seconds or string representing a timespan'],
  audience: [(value) => isString(value) || Array.isArray(value), '"audience" must be a string or array'],
  algorithm: [(value) => ALGORITHMS.includes(value), '"algorithm" must be a valid string enum value'],
  header: [isObject, '"header" must be an object'],
  encoding: [isString, '"encoding" must be a string'],
  issuer: [isString, '"issuer" must be a string'],
  subject: [isString, '"subject" must be a string'],
  jwtid: [isString, '"jwtid" must be a string'],
  noTimestamp: [(value) => typeof value === "boolean", '"noTimestamp" must be a boolean'],
  keyid: [isString, '"keyid" must be a string'],
  mutatePayload: [(value) => typeof value === "boolean", '"mutatePayload" must be a boolean'],
  allowInsecureKeySizes: [(value) => typeof value === "boolean", '"allowInsecureKeySizes" must be a boolean'],
  allowInvalidAsymmetricKeyTypes: [
    (value) => typeof value === "boolean",
    '"allowInvalidAsymmetricKeyTypes" must be a boolean',
  ],
};

const CLAIMS = {
  iat: [Number.isFinite, '"iat" should be a number of seconds'],
  exp: [Number.isFinite, '"exp" should be a number of seconds'],
  nbf: [Number.isFinite, '"nbf" should be a number of seconds'],
};

const CLAIM_OF_OPTION = { audience: "aud", issuer: "iss", subject: "sub", jwtid: "jti" };

function makeToken(payload, key, options) {
  const isClaims = typeof payload === "object" && !Buffer.isBuffer(payload);
  const algorithm = options.algorithm || "HS256";
  const header = { alg: algorithm, typ: isClaims ? "JWT" : undefined, kid: options.keyid, ...options.header };
  if (!key && algorithm !== "none") throw new Error("secretOrPrivateKey must have a value");
  const signing = algorithm === "none" ? undefined : signingKey(key, algorithm, options);

  if (payload === undefined) throw new Error("payload is required");
  let claims = payload;
  if (isClaims) {
    if (!isObject(payload)) throw new Error('Expected "payload" to be a plain object.');
    validate(CLAIMS, payload, true);
    if (!options.mutatePayload) claims = { ...payload };
  } else {
    const odd = Object.keys(options).find(
      (it) =>
        ["expiresIn", "notBefore", "noTimestamp", ...Object.keys(CLAIM_OF_OPTION)].includes(it) &&
        options[it] !== undefined,
    );
    if (odd) throw new Error(`invalid ${odd} option for ${typeof payload} payload`);
  }
  for (const [option, claim] of [
    ["expiresIn", "exp"],
    ["notBefore", "nbf"],
  ]) {
    if (isClaims && claims[claim] !== undefined && options[option] !== undefined) {
      throw new Error(`Bad "options.${option}" option the payload already has an "${claim}" property.`);
    }
  }
  validate(OPTIONS, options, false);
  if (isClaims) setClaims(claims, options);

  const text = isClaims || (typeof payload !== "string" && !Buffer.isBuffer(payload)) ? JSON.stringify(claims) : claims;
  const unsigned = `${base64url(JSON.stringify(header))}.${base64url(text)}`;
  // Use the header's algorithm, as the verifier will.
  return `${unsigned}.${signature(unsigned, signing, header.alg)}`;
}

function validate(rules, object, isUnknownAllowed) {
  for (const [name, value] of Object.entries(object)) {
    if (!Object.hasOwn(rules, name)) {
      if (!isUnknownAllowed) throw new Error(`"${name}" is not allowed in "options"`);
    } else if (!rules[name][0](value)) {
      throw new Error(rules[name][1]);
    }
  }
}

function setClaims(claims, options) {
  const now = claims.iat || Math.floor(Date.now() / 1000);
  if (options.noTimestamp) delete claims.iat;
  else claims.iat = now;
  for (const [option, claim] of [
    ["notBefore", "nbf"],
    ["expiresIn", "exp"],
  ]) {
    if (options[option] === undefined) continue;
    claims[claim] = after(options[option], now);
    if (claims[claim] === undefined) throw new Error(spanMessage(option));
  }
  for (const [option, claim] of Object.entries(CLAIM_OF_OPTION)) {
    if (options[option] === undefined) continue;
    if (claims[claim] !== undefined) {
      throw new Error(`Bad "options.${option}" option. The payload already has an "${claim}" property.`);
    }
    claims[claim] = options[option];
  }
}

const spanMessage = (name) =>
  `"${name}" should be a number of seconds or string representing a timespan eg: "1d", "20h", 60`;

// The units of the `ms` package, in milliseconds.
const UNITS = [
  [/^(milliseconds?|msecs?|ms)?$/i, 1],
  [/^(seconds?|secs?|s)$/i, 1000],
  [/^(minutes?|mins?|m)$/i, 60_000],
  [/^(hours?|hrs?|h)$/i, 3_600_000],
  [/^(days?|d)$/i, 86_400_000],
  [/^(weeks?|w)$/i, 604_800_000],
  [/^(years?|yrs?|y)$/i, 31_557_600_000],
];

// Returns the time in seconds `span` (seconds, or a string like `2 days`) after `time`.
function after(span, time) {
  if (typeof span === "number") return time + span;
  const [, amount, unit] = /^(-?(?:\d+)?\.?\d+) *([a-z]*)$/i.exec(span) ?? [];
  const millis = amount && span.length <= 100 && UNITS.find(([pattern]) => pattern.test(unit));
  return millis ? Math.floor(time + (Number(amount) * millis[1]) / 1000) : undefined;
}

// Verifying.

function parsed(token, options) {
  if (options.clockTimestamp && typeof options.clockTimestamp !== "number") fail("clockTimestamp must be a number");
  if (options.nonce !== undefined && (!isString(options.nonce) || options.nonce.trim() === ""))
    fail("nonce must be a non-empty string");
  if (
    options.allowInvalidAsymmetricKeyTypes !== undefined &&
    typeof options.allowInvalidAsymmetricKeyTypes !== "boolean"
  ) {
    fail("allowInvalidAsymmetricKeyTypes must be a boolean");
  }
  if (!token) fail("jwt must be provided");
  if (!isString(token)) fail("jwt must be a string");
  if (token.split(".").length !== 3) fail("jwt malformed");
  return split(token, { complete: true }) ?? fail("invalid token");
}

function check(token, key, options) {
  const { header, payload, signature: given } = parsed(token, options);
  if (!given && key) fail("jwt signature is required");
  if (given && !key) fail("secret or public key must be provided");
  if (!given && !options.algorithms) fail('please specify "none" in "algorithms" to verify unsigned tokens');

  const verifying = key ? keyOf(key, "public") : undefined;
  const allowed = options.algorithms ?? defaultAlgorithms(verifying);
  if (!allowed.includes(header.alg)) fail("invalid algorithm");
  if (header.alg.startsWith("HS") && verifying?.type !== "secret") {
    fail(`secretOrPublicKey must be a symmetric key when using ${header.alg}`);
  }
  if (/^(RS|PS|ES)/.test(header.alg) && !verifying?.asymmetricKeyType) {
    fail(`secretOrPublicKey must be an asymmetric key when using ${header.alg}`);
  }
  if (verifying && !options.allowInvalidAsymmetricKeyTypes) checkKeyType(verifying, header.alg);
  if (!isValid(token, verifying, header.alg, given)) fail("invalid signature");
  checkClaims(payload, options);
  return options.complete ? { header, payload, signature: given } : payload;
}

function defaultAlgorithms(key) {
  if (!key) return ["none"];
  if (key.type === "secret") return HMAC;
  return { ec: EC, rsa: RSA, "rsa-pss": RSA }[key.asymmetricKeyType] ?? RSA;
}

function checkClaims(payload, options) {
  const now = options.clockTimestamp || Math.floor(Date.now() / 1000);
  const tolerance = options.clockTolerance || 0;
  if (payload.nbf !== undefined && !options.ignoreNotBefore) {
    if (typeof payload.nbf !== "number") fail("invalid nbf value");
    if (payload.nbf > now + tolerance) throw new NotBeforeError("jwt not active", new Date(payload.nbf * 1000));
  }
  if (payload.exp !== undefined && !options.ignoreExpiration) {
    if (typeof payload.exp !== "number") fail("invalid exp value");
    if (now >= payload.exp + tolerance) throw new TokenExpiredError("jwt expired", new Date(payload.exp * 1000));
  }
  if (options.audience) {
    const wanted = [options.audience].flat();
    const has = [payload.aud]
      .flat()
      .some((it) => wanted.some((want) => (want instanceof RegExp ? want.test(it) : want === it)));
    if (!has) fail(`jwt audience invalid. expected: ${wanted.join(" or ")}`);
  }
  if (options.issuer && ![options.issuer].flat().includes(payload.iss))
    fail(`jwt issuer invalid. expected: ${options.issuer}`);
  if (options.subject && payload.sub !== options.subject) fail(`jwt subject invalid. expected: ${options.subject}`);
  if (options.jwtid && payload.jti !== options.jwtid) fail(`jwt jwtid invalid. expected: ${options.jwtid}`);
  if (options.nonce && payload.nonce !== options.nonce) fail(`jwt nonce invalid. expected: ${options.nonce}`);
  if (options.maxAge === undefined) return;
  if (typeof payload.iat !== "number") fail("iat required when maxAge is specified");
  const until = after(options.maxAge, payload.iat);
  if (until === undefined) fail(spanMessage("maxAge"));
  if (now >= until + tolerance) throw new TokenExpiredError("maxAge exceeded", new Date(until * 1000));
}

function fail(message) {
  throw new JsonWebTokenError(message);
}

// Keys and signatures.

function signingKey(key, algorithm, options) {
  const signing = keyOf(key, "private");
  if (algorithm.startsWith("HS") && signing.type !== "secret") {
    throw new Error(`secretOrPrivateKey must be a symmetric key when using ${algorithm}`);
  }
  if (/^(RS|PS|ES)/.test(algorithm)) {
    if (signing.type !== "private")
      throw new Error(`secretOrPrivateKey must be an asymmetric key when using ${algorithm}`);
    const bits = signing.asymmetricKeyDetails?.modulusLength;
    if (!options.allowInsecureKeySizes && !algorithm.startsWith("ES") && bits !== undefined && bits < 2048) {
      throw new Error(`secretOrPrivateKey has a minimum key size of 2048 bits for ${algorithm}`);
    }
  }
  if (!options.allowInvalidAsymmetricKeyTypes) checkKeyType(signing, algorithm);
  return signing;
}

// Converts a key to a KeyObject: PEM to a private or public key, everything else to a secret key.
function keyOf(key, type) {
  if (key.asymmetricKeyType || key.type === "secret") return key;
  try {
    return type === "private" ? crypto.createPrivateKey(key) : crypto.createPublicKey(key);
  } catch (error) {
    const isText = isString(key) || ArrayBuffer.isView(key);
    // Never use unreadable PEM as a secret: public keys are public.
    if (isText && !Buffer.from(key).includes("-----BEGIN ")) return crypto.createSecretKey(Buffer.from(key));
    if (type === "public") throw new JsonWebTokenError(`secretOrPublicKey is not valid key material: ${error.message}`);
    if (!isText) throw new Error(`secretOrPrivateKey is not valid key material: ${error.message}`);
    return {};
  }
}

function checkKeyType(key, algorithm) {
  const { asymmetricKeyType, asymmetricKeyDetails } = key;
  if (!asymmetricKeyType) return;
  const allowed = OF_KEY_TYPE[asymmetricKeyType];
  if (!allowed) throw new Error(`Unknown key type "${asymmetricKeyType}".`);
  if (!allowed.includes(algorithm)) {
    throw new Error(`"alg" parameter for "${asymmetricKeyType}" key type must be one of: ${allowed.join(", ")}.`);
  }
  const curve = asymmetricKeyDetails?.namedCurve;
  if (asymmetricKeyType === "ec" && curve && curve !== CURVES[algorithm]) {
    throw new Error(`"alg" parameter "${algorithm}" requires curve "${CURVES[algorithm]}".`);
  }
}

const isHmac = (algorithm) => algorithm.startsWith("HS");
const hmac = (text, key, algorithm) => crypto.createHmac(HASHES[algorithm.slice(2)], key).update(text).digest();

function signature(text, key, algorithm) {
  if (algorithm === "none") return "";
  if (isHmac(algorithm)) return hmac(text, key, algorithm).toString("base64url");
  return crypto.createSign(HASHES[algorithm.slice(2)]).update(text).sign(scheme(key, algorithm)).toString("base64url");
}

function isValid(token, key, algorithm, given) {
  if (algorithm === "none") return given === "";
  const text = token.slice(0, token.lastIndexOf("."));
  const bytes = Buffer.from(given, "base64url");
  if (!isHmac(algorithm))
    return crypto.createVerify(HASHES[algorithm.slice(2)]).update(text).verify(scheme(key, algorithm), bytes);
  const own = hmac(text, key, algorithm);
  return own.length === bytes.length && crypto.timingSafeEqual(own, bytes);
}

function scheme(key, algorithm) {
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = crypto.constants;
  if (algorithm.startsWith("PS")) return { key, padding, saltLength };
  return algorithm.startsWith("ES") ? { key, dsaEncoding: "ieee-p1363" } : { key };
}

// Text.

const base64url = (text) => Buffer.from(text, "utf8").toString("base64url");

// Splits a token into its parts. Parses the payload if it is JSON.
function split(token, options) {
  const [, head, body, given] = /^([\w-]+)\.([\w-]*)\.([\w-]*)$/.exec(token) ?? [];
  const header = head && json(Buffer.from(head, "base64url").toString());
  if (!isObject(header)) return undefined;
  const text = Buffer.from(body, "base64url").toString();
  const payload = json(text);
  const isJson = payload !== undefined && (header.typ === "JWT" || options?.json || isObject(payload));
  return { header, payload: isJson ? payload : text, signature: given };
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function enumerable(object, members) {
  for (const [name, value] of Object.entries(members)) {
    Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
  }
}
