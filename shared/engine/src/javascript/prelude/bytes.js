// Bytes on their way to the native side and between the classes here.
//
// Native functions take bytes as base64 text, which the engine makes natively, and give them as an ArrayBuffer.
// What this file needs of the engine is taken when it loads, so that a script that changes prototypes changes nothing here.

let host;

const { apply } = Reflect;
const { toBase64, set, subarray } = Uint8Array.prototype;
const { fromBase64 } = Uint8Array;
const { isView } = ArrayBuffer;
const { toWellFormed } = String.prototype;
const Bytes = Uint8Array;
const Buffered = ArrayBuffer;

/** Whether `value` is an ArrayBuffer or a view of one. */
export const isBytes = (value) => isView(value) || value instanceof Buffered;

/** A Uint8Array over the same memory. */
export function view(source) {
  if (isView(source)) return new Bytes(source.buffer, source.byteOffset, source.byteLength);
  if (source instanceof Buffered) return new Bytes(source);
  throw new TypeError("The argument must be an ArrayBuffer or a view of one");
}

/** A copy of the bytes. */
export const copy = (source) => new Bytes(view(source));

/** The bytes as native functions take them. */
export function pack(source) {
  host.proceed();
  return apply(toBase64, view(source), []);
}

/** The bytes that base64 stands for; of `alphabet` "base64" or "base64url". */
export const unpack = (written, alphabet = "base64") => apply(fromBase64, Bytes, [written, { alphabet }]);

/** The parts one after the other, each an ArrayBuffer or a view. */
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

/** The part of `bytes` from `start` up to `end`, over the same memory. */
export const part = (bytes, start, end) => apply(subarray, bytes, [start, end]);

/** `value` as text without lone surrogates: a USVString. */
export function text(value) {
  host.proceed();
  return apply(toWellFormed, `${value}`, []);
}

export function make(given) {
  host = given;
  return {};
}
