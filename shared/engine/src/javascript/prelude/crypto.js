// The part of the Web Crypto API for hashing and signing. https://w3c.github.io/webcrypto/

import { isBytes, pack, unpack, view } from "./bytes.js";

/** The native functions, for the `crypto` module. */
export let native;

const HASHES = { "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512" };
const BLOCKS = { "SHA-1": 64, "SHA-256": 64, "SHA-384": 128, "SHA-512": 128 };
const SIZES = { "SHA-1": 20, "SHA-256": 32, "SHA-384": 48, "SHA-512": 64 };

const failure = (name, message) => new DOMException(message, name);
const unsupported = (what) =>
  failure(
    "NotSupportedError",
    `${what} is not supported; use digest with ${Object.keys(HASHES).join(", ")}, or importKey, sign and verify with HMAC, RSASSA-PKCS1-v1_5, RSA-PSS or ECDSA`,
  );

const named = (algorithm) => (typeof algorithm === "string" ? { name: algorithm } : { ...algorithm });
const hashOf = (algorithm) => {
  const name = `${named(algorithm).name}`.toUpperCase();
  if (!HASHES[name]) throw unsupported(`The hash "${name}"`);
  return name;
};
const canonical = (name) => {
  const found = ["HMAC", "RSASSA-PKCS1-v1_5", "RSA-PSS", "ECDSA"].find(
    (one) => one.toUpperCase() === `${name}`.toUpperCase(),
  );
  if (!found) throw unsupported(`The algorithm "${name}"`);
  return found;
};

let newKey;
let material;
const internal = {};

/** https://w3c.github.io/webcrypto/#cryptokey-interface */
export class CryptoKey {
  #parts;

  static {
    newKey = (parts) => new CryptoKey(internal, parts);
    material = (key) => key.#parts.bytes;
  }

  constructor(key, parts) {
    if (key !== internal) throw new TypeError("Illegal constructor");
    this.#parts = parts;
  }
  get type() {
    return this.#parts.type;
  }
  get extractable() {
    return this.#parts.extractable;
  }
  get algorithm() {
    return this.#parts.algorithm;
  }
  get usages() {
    return this.#parts.usages;
  }
}

export class SubtleCrypto {
  constructor(key) {
    if (key !== internal) throw new TypeError("Illegal constructor");
  }

  async digest(algorithm, data) {
    return native.digest(HASHES[hashOf(algorithm)], pack(data));
  }

  async importKey(format, data, algorithm, extractable, usages) {
    const { hash, namedCurve, ...given } = named(algorithm);
    const name = canonical(given.name);
    const parts = { extractable: Boolean(extractable), usages: [...usages] };
    if (name === "HMAC") {
      if (format !== "raw" && format !== "jwk") throw unsupported(`The format "${format}" of an HMAC key`);
      const bytes = format === "raw" ? pack(data) : pack(unpack(data.k, "base64url"));
      if (!bytes) throw failure("DataError", "Zero-length key is not supported");
      return hmacKey(bytes, hashOf(hash), parts);
    }
    const { type, kind, bits, der } = read(format, data);
    if (kind !== (name === "ECDSA" ? namedCurve : "RSA"))
      throw failure("DataError", `The key is not of type ${namedCurve ?? "RSA"}`);
    const details = name === "ECDSA" ? { namedCurve } : { modulusLength: bits, hash: { name: hashOf(hash) } };
    return newKey({ ...parts, type, algorithm: { name, ...details }, bytes: der });
  }

  async generateKey(algorithm, extractable, usages) {
    const { name, hash, length } = named(algorithm);
    if (canonical(name) !== "HMAC") throw unsupported(`Generating a key for ${name}`);
    const hashed = hashOf(hash);
    const bytes = native.random(length === undefined ? BLOCKS[hashed] : Math.ceil(length / 8));
    return hmacKey(pack(bytes), hashed, { extractable: Boolean(extractable), usages: [...usages] });
  }

  async exportKey(format, key) {
    if (!key.extractable) throw failure("InvalidAccessError", "key is not extractable");
    if (key.type === "secret" && format === "raw") return unpack(material(key)).buffer;
    throw unsupported(`Exporting a ${key.type} key as "${format}"`);
  }

  async sign(algorithm, key, data) {
    const [scheme, hash] = schemeOf(algorithm, key, "sign");
    if (scheme === "hmac") return native.hmac(hash, material(key), pack(data));
    return native.sign(scheme, hash, material(key), pack(data));
  }

  async verify(algorithm, key, signature, data) {
    const [scheme, hash] = schemeOf(algorithm, key, "verify");
    if (scheme === "hmac") return native.equal(pack(native.hmac(hash, material(key), pack(data))), pack(signature));
    return native.verify(scheme, hash, material(key), pack(signature), pack(data));
  }
}

for (const name of ["encrypt", "decrypt", "deriveBits", "deriveKey", "wrapKey", "unwrapKey"]) {
  const value = {
    async [name]() {
      throw unsupported(`crypto.subtle.${name}`);
    },
  }[name];
  Object.defineProperty(SubtleCrypto.prototype, name, { value, writable: true, configurable: true });
}

function hmacKey(bytes, hash, parts) {
  const algorithm = { name: "HMAC", hash: { name: hash }, length: unpack(bytes).length * 8 };
  return newKey({ ...parts, type: "secret", algorithm, bytes });
}

const FORMATS = { pkcs8: "private", spki: "public", raw: "public" };

function read(format, data) {
  if (format !== "jwk" && !FORMATS[format]) throw unsupported(`The key format "${format}"`);
  try {
    return format === "jwk" ? native.readJwk(JSON.stringify(data)) : native.readKey(FORMATS[format], pack(data));
  } catch (error) {
    throw failure("DataError", error.message);
  }
}

/** Returns the native names of the scheme and the hash for using `key`. */
function schemeOf(algorithm, key, usage) {
  const { name: given, hash, saltLength } = named(algorithm);
  const name = canonical(given);
  const denied = (why) => failure("InvalidAccessError", why);
  if (key.algorithm.name !== name) throw denied("Key algorithm mismatch");
  if (!key.usages.includes(usage)) throw denied(`Unable to use this key to ${usage}`);
  if (name !== "HMAC" && key.type !== (usage === "sign" ? "private" : "public"))
    throw denied(`Unable to use this key to ${usage}`);
  if (name === "ECDSA") return ["ecdsa-fixed", HASHES[hashOf(hash)]];
  const hashed = key.algorithm.hash.name;
  if (name === "RSA-PSS" && saltLength !== SIZES[hashed])
    throw unsupported(`The salt length ${saltLength} with ${hashed}`);
  return [{ HMAC: "hmac", "RSASSA-PKCS1-v1_5": "rsa-pkcs1", "RSA-PSS": "rsa-pss" }[name], HASHES[hashed]];
}

/** https://w3c.github.io/webcrypto/#Crypto-interface */
export class Crypto {
  #subtle = new SubtleCrypto(internal);

  constructor(key) {
    if (key !== internal) throw new TypeError("Illegal constructor");
  }
  get subtle() {
    return this.#subtle;
  }
  getRandomValues(array) {
    if (
      !isBytes(array) ||
      array instanceof ArrayBuffer ||
      /Float|DataView/.test(array[Symbol.toStringTag] ?? "DataView")
    ) {
      throw failure("TypeMismatchError", "The data argument must be an integer-type TypedArray");
    }
    if (array.byteLength > 65536) {
      throw failure("QuotaExceededError", `The requested length exceeds 65,536 bytes`);
    }
    view(array).set(new Uint8Array(native.random(array.byteLength)));
    return array;
  }
  randomUUID() {
    const bytes = new Uint8Array(native.random(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const digits = native.text(pack(bytes), "hex");
    return [
      [0, 8],
      [8, 12],
      [12, 16],
      [16, 20],
      [20, 32],
    ]
      .map(([from, to]) => digits.slice(from, to))
      .join("-");
  }
}

export const crypto = new Crypto(internal);

export function make(given) {
  native = given;
  return { crypto, Crypto, CryptoKey, SubtleCrypto };
}
