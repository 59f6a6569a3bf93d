// The part of https://nodejs.org/docs/latest-v20.x/api/crypto.html for hashes, HMAC, signatures and random values.

import { Buffer } from "larder:prelude/buffer.js";
import { concat, copy, isBytes, pack, unpack } from "larder:prelude/bytes.js";
import { crypto as webcrypto, native } from "larder:prelude/crypto.js";

const SIZES = { md5: 16, sha1: 20, sha256: 32, sha384: 48, sha512: 64 };
const CURVES = { "P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1" };

export const constants = {
  RSA_PKCS1_PADDING: 1,
  RSA_PKCS1_PSS_PADDING: 6,
  RSA_PSS_SALTLEN_DIGEST: -1,
  RSA_PSS_SALTLEN_MAX_SIGN: -2,
  RSA_PSS_SALTLEN_AUTO: -2,
};
export const { subtle } = webcrypto;
export const getHashes = () => Object.keys(SIZES).flatMap((name) => [`RSA-${name.toUpperCase()}`, name]);
export const getRandomValues = (array) => webcrypto.getRandomValues(array);
export const randomUUID = () => webcrypto.randomUUID();

const coded = (Kind, code, message) => Object.assign(new Kind(message), { code });
const bytesOf = (data, encoding) => {
  if (typeof data === "string") return Buffer.from(data, encoding === "buffer" ? "utf8" : encoding);
  if (isBytes(data)) return data;
  throw coded(
    TypeError,
    "ERR_INVALID_ARG_TYPE",
    'The "data" argument must be of type string or an instance of Buffer, TypedArray, or DataView.',
  );
};
const written = (buffer, encoding) => {
  const bytes = Buffer.from(buffer);
  return encoding && encoding !== "buffer" ? bytes.toString(encoding) : bytes;
};

function hashNamed(name, message, Kind = Error) {
  const plain = `${name}`
    .toLowerCase()
    .replace(/^rsa-|withrsaencryption$/, "")
    .replace("sha-", "sha");
  if (plain in SIZES) return plain;
  throw coded(Kind, "ERR_CRYPTO_INVALID_DIGEST", `${message}: ${name}; use one of ${Object.keys(SIZES).join(", ")}`);
}

/** Data that is passed in parts and used once. */
class Parts {
  #parts = [];
  #isOver = false;

  update(data, encoding) {
    if (this.#isOver) throw coded(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
    this.#parts.push(copy(bytesOf(data, encoding)));
    return this;
  }
  whole() {
    if (this.#isOver) throw coded(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
    return concat(this.#parts);
  }
  finish() {
    const whole = this.whole();
    this.#isOver = true;
    return pack(whole);
  }
}

export class Hash {
  #name;
  #parts = new Parts();

  constructor(name) {
    this.#name = hashNamed(name, "Digest method not supported");
  }
  update(data, encoding) {
    this.#parts.update(data, encoding);
    return this;
  }
  digest(encoding) {
    return written(native.digest(this.#name, this.#parts.finish()), encoding);
  }
  copy() {
    return new Hash(this.#name).update(this.#parts.whole());
  }
}

export class Hmac {
  #name;
  #key;
  #parts = new Parts();

  constructor(name, key) {
    this.#name = hashNamed(name, "Invalid digest", TypeError);
    this.#key = key instanceof KeyObject ? derOf(key) : pack(bytesOf(key));
  }
  update(data, encoding) {
    this.#parts.update(data, encoding);
    return this;
  }
  digest(encoding) {
    return written(native.hmac(this.#name, this.#key, this.#parts.finish()), encoding);
  }
}

class Signing {
  #hash;
  #parts = new Parts();

  constructor(algorithm) {
    this.#hash = hashNamed(algorithm, "Invalid digest");
  }
  update(data, encoding) {
    this.#parts.update(data, encoding);
    return this;
  }
  write(data, encoding) {
    return Boolean(this.update(data, encoding));
  }
  end(data, encoding) {
    return data === undefined ? this : this.update(data, encoding);
  }
  finish() {
    return [this.#hash, this.#parts.finish()];
  }
}

export class Sign extends Signing {
  sign(key, encoding) {
    const [hash, data] = this.finish();
    const [scheme, der] = prepared(key, "private", hash);
    return written(native.sign(scheme, hash, der, data), encoding);
  }
}

export class Verify extends Signing {
  verify(key, signature, encoding) {
    const [hash, data] = this.finish();
    const [scheme, der] = prepared(key, "public", hash);
    return native.verify(scheme, hash, der, pack(bytesOf(signature, encoding)), data);
  }
}

export const createHash = (name) => new Hash(name);
export const createHmac = (name, key) => new Hmac(name, key);
export const createSign = (algorithm) => new Sign(algorithm);
export const createVerify = (algorithm) => new Verify(algorithm);

export const sign = (algorithm, data, key) => createSign(algorithm).update(data).sign(key);
export const verify = (algorithm, data, key, signature) => createVerify(algorithm).update(data).verify(key, signature);

let derOf;
const internal = {};

export class KeyObject {
  #key;

  static {
    derOf = (object) => object.#key.der;
  }

  constructor(token, key) {
    if (token !== internal)
      throw new TypeError("Use createPrivateKey, createPublicKey or createSecretKey to create a key");
    this.#key = key;
  }
  get type() {
    return this.#key.type;
  }
  get symmetricKeySize() {
    return this.type === "secret" ? unpack(this.#key.der).length : undefined;
  }
  get asymmetricKeyType() {
    return this.type === "secret" ? undefined : this.#key.kind === "RSA" ? "rsa" : "ec";
  }
  get asymmetricKeyDetails() {
    if (this.type === "secret") return undefined;
    return this.#key.kind === "RSA" ? { modulusLength: this.#key.bits } : { namedCurve: CURVES[this.#key.kind] };
  }
}

export const createSecretKey = (key, encoding) =>
  new KeyObject(internal, { type: "secret", der: pack(bytesOf(key, encoding)) });
export const createPrivateKey = (key) => keyOf(key, "private");
export const createPublicKey = (key) => keyOf(key, "public");

/** Parses a key in PEM, DER or JWK, or an object with options. For a public key, a private key works, too. */
function keyOf(given, type) {
  const { key = given, format = "pem" } = typeof given === "object" && !isBytes(given) ? given : {};
  if (key instanceof KeyObject) return key;
  if (format === "jwk") return new KeyObject(internal, native.readJwk(JSON.stringify(key)));
  if (format === "der") return new KeyObject(internal, native.readKey(type, pack(key)));
  const [, label, body] = PEM.exec(isBytes(key) ? Buffer.from(key).toString() : `${key}`) ?? [];
  if (!label)
    throw coded(Error, "ERR_OSSL_UNSUPPORTED", "The key is not in PEM format: it has no line -----BEGIN … KEY-----");
  if (/ENCRYPTED/.test(label + body)) throw coded(Error, "ERR_OSSL_UNSUPPORTED", "Encrypted keys are not supported");
  const found = /PRIVATE/.test(label) ? "private" : "public";
  if (type === "private" && found === "public")
    throw coded(Error, "ERR_OSSL_UNSUPPORTED", "The key is public, not private");
  return new KeyObject(internal, native.readKey(type, body.replace(/\s/g, "")));
}

const PEM = /-----BEGIN ([A-Z ]*(?:PRIVATE|PUBLIC) KEY)-----([^-]*)-----END \1-----/;

/** Returns the native name of the scheme, and the key. */
function prepared(given, type, hash) {
  const key = keyOf(given, type);
  const { padding = constants.RSA_PKCS1_PADDING, saltLength, dsaEncoding } = given;
  if (key.asymmetricKeyType === "ec") return [dsaEncoding === "ieee-p1363" ? "ecdsa-fixed" : "ecdsa-der", derOf(key)];
  if (padding === constants.RSA_PKCS1_PADDING) return ["rsa-pkcs1", derOf(key)];
  const isOfHash = saltLength === constants.RSA_PSS_SALTLEN_DIGEST || saltLength === SIZES[hash];
  if (padding === constants.RSA_PKCS1_PSS_PADDING && isOfHash) return ["rsa-pss", derOf(key)];
  throw new Error(
    "The padding is not supported; use RSA_PKCS1_PADDING, or RSA_PKCS1_PSS_PADDING with the saltLength RSA_PSS_SALTLEN_DIGEST",
  );
}

export function randomBytes(size, callback) {
  const bytes = Buffer.from(native.random(size));
  if (!callback) return bytes;
  queueMicrotask(() => callback(null, bytes));
}

/** Returns a random number from `min` up to but not including `max`. */
export function randomInt(min, max, callback) {
  if (max === undefined || typeof max === "function") [min, max, callback] = [0, min, max];
  const range = max - min;
  if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max) || !(range > 0) || range >= 2 ** 48) {
    throw coded(
      RangeError,
      "ERR_OUT_OF_RANGE",
      "min and max must be safe integers, max > min, and less than 2 ** 48 apart",
    );
  }
  // Numbers above the last multiple of the range would bias the result toward small numbers.
  const limit = 2 ** 48 - (2 ** 48 % range);
  let number;
  do number = randomBytes(6).readUIntBE(0, 6);
  while (number >= limit);
  const result = min + (number % range);
  if (!callback) return result;
  queueMicrotask(() => callback(null, result));
}

export function timingSafeEqual(a, b) {
  if (a.byteLength === b.byteLength) return native.equal(pack(a), pack(b));
  throw coded(RangeError, "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH", "Input buffers must have the same byte length");
}

export { webcrypto };
export default {
  Hash,
  Hmac,
  KeyObject,
  Sign,
  Verify,
  constants,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  createSign,
  createVerify,
  getHashes,
  getRandomValues,
  randomBytes,
  randomInt,
  randomUUID,
  sign,
  subtle,
  timingSafeEqual,
  verify,
  webcrypto,
};
