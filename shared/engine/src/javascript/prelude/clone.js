// structuredClone. https://html.spec.whatwg.org/#structured-cloning

import { isBytes } from "./bytes.js";

const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

/** Returns a deep copy of objects, arrays, Map, Set, Date, RegExp, errors, buffers and their views. */
export function structuredClone(value, { transfer = [] } = {}) {
  const seen = new Map();
  const made = copyOf(value, seen);
  for (const buffer of transfer) {
    if (!(buffer instanceof ArrayBuffer)) throw uncloneable("A value that is not an ArrayBuffer");
    buffer.transfer();
  }
  return made;
}

function copyOf(value, seen) {
  if (typeof value === "symbol" || typeof value === "function") throw uncloneable(String(value));
  if (typeof value !== "object" || value === null) return value;
  if (seen.has(value)) return seen.get(value);
  const keep = (made) => {
    seen.set(value, made);
    return made;
  };

  if (isBytes(value)) return keep(bytesCopy(value, seen));
  if (value instanceof Date) return keep(new Date(value.getTime()));
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
  if ([Boolean, Number, String, BigInt].some((Kind) => value instanceof Kind)) return keep(Object(value.valueOf()));
  if (value instanceof Map) {
    const made = keep(new Map());
    for (const [key, one] of [...value]) made.set(copyOf(key, seen), copyOf(one, seen));
    return made;
  }
  if (value instanceof Set) {
    const made = keep(new Set());
    for (const one of [...value]) made.add(copyOf(one, seen));
    return made;
  }
  if (value instanceof Error) return keep(errorCopy(value, seen));
  if ([Promise, WeakMap, WeakSet, WeakRef].some((Kind) => value instanceof Kind))
    throw uncloneable(`#<${value.constructor.name}>`);

  const made = keep(Array.isArray(value) ? new Array(value.length) : {});
  for (const key of Object.keys(value)) made[key] = copyOf(value[key], seen);
  return made;
}

function bytesCopy(value, seen) {
  if (value instanceof ArrayBuffer) return value.slice();
  const buffer = copyOf(value.buffer, seen);
  const Kind = value instanceof DataView ? DataView : globalThis[value[Symbol.toStringTag]];
  return new Kind(buffer, value.byteOffset, value.length ?? value.byteLength);
}

function errorCopy(error, seen) {
  const options = Object.hasOwn(error, "cause") ? { cause: copyOf(error.cause, seen) } : undefined;
  const made = new (ERRORS[error.name] ?? Error)(error.message, options);
  Object.defineProperty(made, "stack", { value: String(error.stack), writable: true, configurable: true });
  return made;
}

const uncloneable = (what) => new DOMException(`${what} could not be cloned.`, "DataCloneError");

export function make() {
  return { structuredClone };
}
