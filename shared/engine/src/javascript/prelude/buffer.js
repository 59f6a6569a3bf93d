// Node's Buffer: a Uint8Array with encodings. https://nodejs.org/docs/latest-v20.x/api/buffer.html

import { concat, isBytes, pack, text, view } from "./bytes.js";

let host;

const ENCODINGS = {
  utf8: "utf8",
  "utf-8": "utf8",
  hex: "hex",
  base64: "base64",
  base64url: "base64url",
  latin1: "latin1",
  binary: "latin1",
  ascii: "ascii",
  utf16le: "utf16le",
  "utf-16le": "utf16le",
  ucs2: "utf16le",
  "ucs-2": "utf16le",
};

function known(encoding = "utf8") {
  const name = ENCODINGS[`${encoding}`.toLowerCase()];
  if (name) return name;
  throw Object.assign(new TypeError(`Unknown encoding: ${encoding}`), { code: "ERR_UNKNOWN_ENCODING" });
}

function bytesOf(value, encoding) {
  const name = known(encoding);
  if (name !== "utf16le") return new Uint8Array(host.encode(text(value), name));
  return new Uint8Array(Uint16Array.from({ length: value.length }, (_, i) => value.charCodeAt(i)).buffer);
}

function textOf(bytes, encoding) {
  const name = known(encoding);
  if (name !== "utf16le") return host.text(pack(bytes), name);
  let written = "";
  for (let i = 0; i + 1 < bytes.length; i += 2) written += String.fromCharCode(bytes[i] | (bytes[i + 1] << 8));
  return written;
}

export class Buffer extends Uint8Array {
  static poolSize = 8192;

  /** Old libraries use `new Buffer(…)` instead of `Buffer.from` and `Buffer.alloc`. */
  constructor(value, ...rest) {
    if (!isComplete) complete();
    if (typeof value === "string") super(bytesOf(value, rest[0]).buffer);
    else super(value, ...rest);
  }

  static from(value, encodingOrOffset, length) {
    if (typeof value === "string") return new Buffer(value, encodingOrOffset);
    if (value instanceof ArrayBuffer) return new Buffer(value, encodingOrOffset, length);
    if (isBytes(value) || Array.isArray(value)) return new Buffer(value);
    if (value?.type === "Buffer" && Array.isArray(value.data)) return new Buffer(value.data);
    const primitive = value?.valueOf?.();
    if (primitive !== undefined && primitive !== null && primitive !== value)
      return Buffer.from(primitive, encodingOrOffset, length);
    if (typeof value?.length === "number") return new Buffer(Array.from(value));
    throw typed(
      "The first argument must be of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object",
    );
  }
  static of(...bytes) {
    return new Buffer(bytes);
  }
  static alloc(size, fill, encoding) {
    const made = Buffer.allocUnsafe(size);
    return fill === undefined || size === 0 ? made : made.fill(fill, encoding);
  }
  static allocUnsafe(size) {
    if (typeof size !== "number") throw typed('The "size" argument must be of type number');
    return new Buffer(size);
  }
  static allocUnsafeSlow(size) {
    return Buffer.allocUnsafe(size);
  }
  static isBuffer(value) {
    return value instanceof Buffer;
  }
  static isEncoding(encoding) {
    return typeof encoding === "string" && encoding.toLowerCase() in ENCODINGS;
  }
  static byteLength(value, encoding) {
    return typeof value === "string" ? bytesOf(value, encoding).length : value.byteLength;
  }
  static compare(a, b) {
    const shorter = Math.min(a.length, b.length);
    for (let i = 0; i < shorter; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
    return Math.sign(a.length - b.length);
  }
  static concat(list, length) {
    const whole = concat(list);
    if (length === undefined || length === whole.length) return new Buffer(whole.buffer);
    const made = new Buffer(length);
    made.set(whole.subarray(0, length));
    return made;
  }

  get parent() {
    return this.buffer;
  }
  get offset() {
    return this.byteOffset;
  }
  toString(encoding, start = 0, end = this.length) {
    return textOf(this.subarray(Math.max(start, 0), Math.max(end, 0)), encoding);
  }
  toLocaleString(encoding, start, end) {
    return this.toString(encoding, start, end);
  }
  toJSON() {
    return { type: "Buffer", data: Array.from(this) };
  }
  equals(other) {
    return Buffer.compare(this, other) === 0;
  }
  compare(other, start = 0, end = other.length, from = 0, to = this.length) {
    return Buffer.compare(this.subarray(from, to), other.subarray(start, end));
  }
  slice(start, end) {
    return this.subarray(start, end);
  }

  write(value, offset, length, encoding) {
    if (typeof offset === "string") [offset, encoding] = [0, offset];
    else if (typeof length === "string") [length, encoding] = [undefined, length];
    offset ??= 0;
    const room = Math.min(length ?? Infinity, this.length - offset);
    let bytes = bytesOf(value, encoding);
    if (bytes.length > room) {
      bytes = bytes.subarray(0, room);
      // Do not write a partial character.
      if (known(encoding) === "utf8")
        bytes = bytes.subarray(0, bytes.length - host.decode("utf-8", pack(bytes), false, true, true).rest);
    }
    this.set(bytes, offset);
    return bytes.length;
  }
  copy(target, at = 0, start = 0, end = this.length) {
    const bytes = this.subarray(start, Math.min(end, start + target.length - at));
    target.set(bytes, at);
    return bytes.length;
  }
  fill(value, offset, end, encoding) {
    if (typeof offset === "string") [offset, encoding] = [undefined, offset];
    else if (typeof end === "string") [end, encoding] = [undefined, end];
    if (typeof value === "number" || typeof value === "boolean") return super.fill(value, offset, end);
    const pattern = typeof value === "string" ? bytesOf(value, encoding) : view(value);
    const place = this.subarray(offset, end);
    for (let i = 0; i < place.length; i++) place[i] = pattern.length ? pattern[i % pattern.length] : 0;
    return this;
  }

  indexOf(value, from = 0, encoding) {
    if (typeof from === "string") [from, encoding] = [0, from];
    return find(this, value, Math.max(from < 0 ? this.length + from : from, 0), 1, encoding);
  }
  lastIndexOf(value, from = this.length, encoding) {
    if (typeof from === "string") [from, encoding] = [this.length, from];
    return find(this, value, from < 0 ? this.length + from : from, -1, encoding);
  }
  includes(value, from, encoding) {
    return this.indexOf(value, from, encoding) >= 0;
  }

  readUIntBE(offset, size) {
    return Number(digits(this, offset, size));
  }
  readUIntLE(offset, size) {
    return Number(digits(this, offset, size, true));
  }
  readIntBE(offset, size) {
    return Number(BigInt.asIntN(8 * size, digits(this, offset, size)));
  }
  readIntLE(offset, size) {
    return Number(BigInt.asIntN(8 * size, digits(this, offset, size, true)));
  }
  writeUIntBE(value, offset, size) {
    return writeDigits(this, value, offset, size);
  }
  writeUIntLE(value, offset, size) {
    return writeDigits(this, value, offset, size, true);
  }
  writeIntBE(value, offset, size) {
    return writeDigits(this, value, offset, size);
  }
  writeIntLE(value, offset, size) {
    return writeDigits(this, value, offset, size, true);
  }
}

function find(bytes, value, from, step, encoding) {
  const wanted =
    typeof value === "number"
      ? Uint8Array.of(value)
      : typeof value === "string"
        ? bytesOf(value, encoding)
        : view(value);
  const last = bytes.length - wanted.length;
  for (let i = step > 0 ? from : Math.min(from, last); i >= 0 && i <= last; i += step) {
    if (wanted.every((byte, k) => bytes[i + k] === byte)) return i;
  }
  return -1;
}

function digits(bytes, offset, size, little = false) {
  checkRange(bytes, offset, size);
  let value = 0n;
  for (let i = 0; i < size; i++) value = (value << 8n) | BigInt(bytes[offset + (little ? size - 1 - i : i)]);
  return value;
}

function writeDigits(bytes, value, offset, size, little = false) {
  checkRange(bytes, offset, size);
  let rest = BigInt(value);
  for (let i = 0; i < size; i++, rest >>= 8n) bytes[offset + (little ? i : size - 1 - i)] = Number(rest & 255n);
  return offset + size;
}

function checkRange(bytes, offset, size) {
  if (Number.isInteger(offset) && offset >= 0 && offset + size <= bytes.length) return;
  const message = `The value of "offset" is out of range. It must be >= 0 and <= ${bytes.length - size}. Received ${offset}`;
  throw Object.assign(new RangeError(message), { code: "ERR_OUT_OF_RANGE" });
}

function define(name, value) {
  Object.defineProperty(Buffer.prototype, name, { value, writable: true, configurable: true });
}

const typed = (message) => Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });

let isComplete = false;

/** Adds DataView's methods under Node's names, like readInt32BE. Done on first use: they are too many for every script. */
function complete() {
  isComplete = true;
  for (const verb of ["read", "write"]) {
    for (const order of ["BE", "LE"]) define(`${verb}Uint${order}`, Buffer.prototype[`${verb}UInt${order}`]);
  }
  for (const [name, kind, size] of [
    ["UInt8", "Uint8", 1],
    ["Int8", "Int8", 1],
    ["UInt16", "Uint16", 2],
    ["Int16", "Int16", 2],
    ["UInt32", "Uint32", 4],
    ["Int32", "Int32", 4],
    ["BigUInt64", "BigUint64", 8],
    ["BigInt64", "BigInt64", 8],
    ["Float", "Float32", 4],
    ["Double", "Float64", 8],
  ]) {
    for (const order of size === 1 ? [""] : ["BE", "LE"]) defineNumber(name, kind, size, order);
  }
}

function defineNumber(name, kind, size, order) {
  const data = (bytes, offset) => {
    checkRange(bytes, offset, size);
    return new DataView(bytes.buffer, bytes.byteOffset + offset, size);
  };
  const read = function (offset = 0) {
    return data(this, offset)[`get${kind}`](0, order === "LE");
  };
  const write = function (value, offset = 0) {
    data(this, offset)[`set${kind}`](0, value, order === "LE");
    return offset + size;
  };
  for (const spelled of new Set([name, name.replace("UInt", "Uint")])) {
    define(`read${spelled}${order}`, read);
    define(`write${spelled}${order}`, write);
  }
}

export function make(given) {
  host = given;
  return { Buffer };
}
