// Passing bytes to native functions and between the prelude's classes.
//
// Native functions take bytes as base64, which the engine encodes natively, and return them as an ArrayBuffer.
// This file takes the built-in methods when it loads, so scripts that change prototypes do not affect it.

let host;

const { apply } = Reflect;
const { toBase64, set, subarray } = Uint8Array.prototype;
const { fromBase64 } = Uint8Array;
const { isView } = ArrayBuffer;
const { toWellFormed } = String.prototype;
const Bytes = Uint8Array;
const Buffered = ArrayBuffer;

/** Returns whether `value` is an ArrayBuffer or a view of one. */
export const isBytes = (value) => isView(value) || value instanceof Buffered;

/** Returns a Uint8Array over the same memory. */
export function view(source) {
  if (isView(source)) return new Bytes(source.buffer, source.byteOffset, source.byteLength);
  if (source instanceof Buffered) return new Bytes(source);
  throw new TypeError("The argument must be an ArrayBuffer or a view of one");
}

/** Returns a copy of the bytes. */
export const copy = (source) => new Bytes(view(source));

/** Encodes bytes for native functions. */
export function pack(source) {
  host.proceed();
  return apply(toBase64, view(source), []);
}

/** Decodes base64. `alphabet` is "base64" or "base64url". */
export const unpack = (written, alphabet = "base64") => apply(fromBase64, Bytes, [written, { alphabet }]);

/** Concatenates parts, each an ArrayBuffer or a view. */
export function concat(parts) {
  let length = 0;
  for (let i = 0; i < parts.length; i++) length += parts[i].byteLength;
  const whole = new Bytes(length);
  let offset = 0;
  for (let i = 0; i < parts.length; i++) {
    apply(set, whole, [view(parts[i]), offset]);
    offset += parts[i].byteLength;
  }
  return whole;
}

/** Returns the part of `bytes` from `start` to `end`, over the same memory. */
export const part = (bytes, start, end) => apply(subarray, bytes, [start, end]);

/** Converts `value` to a USVString: a string without lone surrogates. */
export function text(value) {
  host.proceed();
  return apply(toWellFormed, `${value}`, []);
}

export function make(given) {
  host = given;
  return {};
}
