// Building the URI of a request from base, path and query parameters.

import { AxiosError } from "./error.js";
import { encode, pairs } from "./form.js";

export function buildUri(config) {
  const { url = "", baseURL, allowAbsoluteUrls, params, paramsSerializer } = config;
  return withParams(fullPath(baseURL, url, allowAbsoluteUrls, config), params, paramsSerializer);
}

function fullPath(base, url, allowAbsoluteUrls, config) {
  if (/^https?:(?!\/\/)/i.test(url)) {
    const message = `Invalid URL "${url}": missing "//" after protocol`;
    throw new AxiosError(message, AxiosError.ERR_INVALID_URL, config);
  }
  const isAbsolute = /^([a-z][a-z\d+\-.]*:)?\/\//i.test(url);
  if (!base || (isAbsolute && allowAbsoluteUrls !== false)) return url;
  return url ? `${base.replace(/\/+$/, "")}/${url.replace(/^\/+/, "")}` : base;
}

function withParams(url, params, serializer = {}) {
  if (!params) return url;
  const query = serialize(params, serializer);
  if (!query) return url;
  const [path] = url.split("#");
  return `${path}${path.includes("?") ? "&" : "?"}${query}`;
}

function serialize(params, serializer) {
  if (serializer.serialize) return serializer.serialize(params, serializer);
  if (params instanceof URLSearchParams) return params.toString();
  const own = serializer.encode;
  const encodePart = own ? (part) => own(part, encode) : readable;
  return pairs(params, serializer, "params")
    .map((pair) => pair.map(encodePart).join("="))
    .join("&");
}

// These characters need no encoding in a query.
const readable = (part) =>
  encodeURIComponent(part).replace(/%(3A|24|2C|20)/g, (code) => (code === "%20" ? "+" : decodeURIComponent(code)));
