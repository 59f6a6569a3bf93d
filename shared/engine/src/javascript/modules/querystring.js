// https://nodejs.org/docs/latest-v20.x/api/querystring.html

export const escape = (text) => encodeURIComponent(typeof text === "object" ? String(text) : text);

export function unescape(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    // Invalid UTF-8 becomes U+FFFD.
    return new URLSearchParams(`x=${text.replace(/[+&=]/g, encodeURIComponent)}`).get("x");
  }
}

export function parse(
  text,
  separator = "&",
  equals = "=",
  { maxKeys = 1000, decodeURIComponent: decoded = unescape } = {},
) {
  const found = Object.create(null);
  if (typeof text !== "string" || text === "") return found;
  const pairs = text.split(separator || "&").filter((pair) => pair !== "");
  for (const pair of maxKeys > 0 ? pairs.slice(0, maxKeys) : pairs) {
    const at = pair.indexOf(equals || "=");
    const [name, value] = at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + (equals || "=").length)];
    const [key, one] = [name, value].map((part) => decoded(part.replace(/\+/g, " ")));
    if (!(key in found)) found[key] = one;
    else if (Array.isArray(found[key])) found[key].push(one);
    else found[key] = [found[key], one];
  }
  return found;
}

export function stringify(object, separator = "&", equals = "=", { encodeURIComponent: encoded = escape } = {}) {
  if (typeof object !== "object" || object === null) return "";
  const pair = (name, value) => `${encoded(name)}${equals || "="}${encoded(primitive(value))}`;
  return Object.keys(object)
    .flatMap((name) => [object[name]].flat(1).map((value) => pair(name, value)))
    .join(separator || "&");
}

function primitive(value) {
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "bigint") return `${value}`;
  return Number.isFinite(value) ? `${value}` : "";
}

export const encode = stringify;
export const decode = parse;
export default { decode, encode, escape, parse, stringify, unescape };
