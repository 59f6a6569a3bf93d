// The default configuration, and merging configurations.

import { AxiosHeaders } from "./headers.js";
import { transformRequest, transformResponse } from "./transform.js";

export const defaults = () => ({
  transitional: {
    silentJSONParsing: true,
    forcedJSONParsing: true,
    clarifyTimeoutError: false,
    legacyInterceptorReqResOrdering: true,
    advertiseZstdAcceptEncoding: false,
    validateStatusUndefinedResolves: true,
    encodeBasicAuthUsername: false,
  },
  adapter: ["xhr", "http", "fetch"],
  transformRequest: [transformRequest],
  transformResponse: [transformResponse],
  timeout: 0,
  xsrfCookieName: "XSRF-TOKEN",
  xsrfHeaderName: "X-XSRF-TOKEN",
  maxContentLength: -1,
  maxBodyLength: -1,
  env: {},
  validateStatus: (status) => status >= 200 && status < 300,
  headers: {
    common: { Accept: "application/json, text/plain, */*", "Content-Type": undefined },
    delete: {},
    get: {},
    head: {},
    options: {},
    post: {},
    put: {},
    patch: {},
    purge: {},
    link: {},
    unlink: {},
    query: {},
  },
});

// These belong to a single request and are not inherited.
const OF_THE_REQUEST = ["url", "method", "data"];

// Merges `second` over `first`: objects member by member, everything else as a whole.
export function mergeConfig(first = {}, second = {}) {
  const merged = {};
  for (const key of new Set([...Object.keys(first), ...Object.keys(second ?? {})])) {
    const [below, above] = [first[key], second?.[key]];
    let value;
    if (OF_THE_REQUEST.includes(key)) value = copy(above);
    else if (key === "validateStatus" && "validateStatus" in (second ?? {})) value = above;
    else if (key === "headers") value = merge(plainHeaders(below), plainHeaders(above), true);
    else value = merge(below, above);
    // `validateStatus: undefined` accepts every status.
    if (value !== undefined || key === "validateStatus") merged[key] = value;
  }
  const serializer = merged.paramsSerializer;
  if (typeof serializer === "function") merged.paramsSerializer = { serialize: serializer };
  return merged;
}

const plainHeaders = (headers) => (headers instanceof AxiosHeaders ? { ...headers } : headers);

function merge(below, above, caseless = false) {
  if (above === undefined) return copy(below);
  if (!isPlain(below) || !isPlain(above)) return copy(above);
  const merged = {};
  for (const [key, value] of [...Object.entries(below), ...Object.entries(above)]) {
    const name = (caseless && Object.keys(merged).find((it) => it.toLowerCase() === key.toLowerCase())) || key;
    if (key !== "__proto__") merged[name] = value === undefined ? undefined : merge(merged[name], value, caseless);
  }
  return merged;
}

function copy(value, above = []) {
  if (Array.isArray(value)) return [...value];
  if (!isPlain(value) || above.includes(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, copy(it, [...above, value])]));
}

export function isPlain(value) {
  if (value === null || typeof value !== "object") return false;
  const prototype = Object.getPrototypeOf(value);
  return (
    (prototype === null || prototype === Object.prototype) &&
    !(Symbol.toStringTag in value) &&
    !(Symbol.iterator in value)
  );
}
