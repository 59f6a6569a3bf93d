// The part of https://nodejs.org/docs/latest-v20.x/api/util.html that small libraries use.

import { TextDecoder, TextEncoder } from "larder:prelude/encoding.js";

/** Converts a function with a callback to one that returns a promise. */
export function promisify(original) {
  if (typeof original !== "function") {
    throw Object.assign(new TypeError('The "original" argument must be of type function'), {
      code: "ERR_INVALID_ARG_TYPE",
    });
  }
  const own = original[promisify.custom];
  if (own) return own;
  const promised = function (...args) {
    return new Promise((resolve, reject) => {
      original.call(this, ...args, (error, value) => (error ? reject(error) : resolve(value)));
    });
  };
  return Object.defineProperties(promised, Object.getOwnPropertyDescriptors(original));
}
promisify.custom = Symbol.for("nodejs.util.promisify.custom");

/** Converts a function that returns a promise to one with a callback. */
export function callbackify(original) {
  return function (...args) {
    const callback = args.pop();
    const later = (...given) => queueMicrotask(() => callback(...given));
    original.apply(this, args).then(
      (value) => later(null, value),
      (error) => later(error),
    );
  };
}

/** Formats a value on one line, for messages and logs. */
export function inspect(value, { depth = 2 } = {}) {
  return shown(value, depth, []);
}
inspect.custom = Symbol.for("nodejs.util.inspect.custom");

function shown(value, depth, above) {
  if (typeof value === "string") return quoted(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function")
    return `[${/^class\b/.test(value) ? "class" : "Function:"} ${value.name || "(anonymous)"}]`;
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : String(value);
  if (above.includes(value)) return "[Circular *1]";
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof Error) return value.stack ? `${value}\n${value.stack}` : `[${value}]`;
  const name =
    Object.getPrototypeOf(value) === null ? "[Object: null prototype]" : (value.constructor?.name ?? "Object");
  if (above.length > depth) return Array.isArray(value) ? "[Array]" : `[${name}]`;

  const inner = (one) => shown(one, depth, [...above, value]);
  const member = (key) =>
    `${typeof key === "symbol" ? `[${String(key)}]` : /^[\p{ID_Start}_$][\p{ID_Continue}$]*$/u.test(key) ? key : quoted(key)}: ${inner(value[key])}`;
  if (Array.isArray(value)) return enclosed("", value.map(inner), "[]");
  if (value instanceof Map)
    return enclosed(
      `Map(${value.size}) `,
      [...value].map(([key, one]) => `${inner(key)} => ${inner(one)}`),
    );
  if (value instanceof Set) return enclosed(`Set(${value.size}) `, [...value].map(inner));
  if (value instanceof Uint8Array) return enclosed(`${name}(${value.length}) `, [...value], "[]");
  return enclosed(name === "Object" ? "" : `${name} `, Object.keys(value).map(member));
}

const enclosed = (before, items, [open, close] = "{}") =>
  before + (items.length ? `${open} ${items.join(", ")} ${close}` : open + close);
const quoted = (text) => {
  const quote = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes("`") ? "`" : "'";
  const inside = JSON.stringify(text).slice(1, -1).replace(/\\"/g, '"');
  return quote + (quote === "'" ? inside.replace(/'/g, "\\'") : inside) + quote;
};

/** Formats a string like printf, with %s, %d, %i, %f, %j, %o, %O and %%. */
export function format(first, ...rest) {
  const plain = (value) => (typeof value === "string" ? value : inspect(value));
  if (typeof first !== "string") return [first, ...rest].map(plain).join(" ");
  const filled = first.replace(/%([sdifjoO%])/g, (whole, kind) => {
    if (kind === "%") return "%";
    if (!rest.length) return whole;
    const value = rest.shift();
    if (kind === "s") return typeof value === "object" && value !== null ? inspect(value, { depth: 0 }) : String(value);
    if (kind === "d")
      return typeof value === "bigint" ? `${value}n` : String(typeof value === "object" ? NaN : Number(value));
    if (kind === "i") return typeof value === "object" ? "NaN" : String(Number.parseInt(value));
    if (kind === "f") return String(Number.parseFloat(value));
    return kind === "j" ? JSON.stringify(value) : inspect(value, { depth: 4 });
  });
  return [filled, ...rest.map(plain)].join(" ");
}

export function inherits(constructor, parent) {
  Object.defineProperty(constructor, "super_", { value: parent, writable: true, configurable: true });
  Object.setPrototypeOf(constructor.prototype, parent.prototype);
}

/** Returns the function itself: no one would read the warning. */
export const deprecate = (fn) => fn;

export { TextDecoder, TextEncoder };
export default { TextDecoder, TextEncoder, callbackify, deprecate, format, inherits, inspect, promisify };
