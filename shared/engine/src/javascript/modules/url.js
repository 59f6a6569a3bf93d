// https://nodejs.org/docs/latest-v20.x/api/url.html, including common uses of the legacy `parse`, `format` and `resolve`.

import * as querystring from "querystring";
import { URL, URLSearchParams } from "larder:prelude/url.js";

const FORM = /^\s*(?:([a-z][a-z0-9+.-]*:))?(?:(\/\/)(?:([^/?#]*)@)?([^/?#@]*))?([^?#]*)(\?[^#]*)?(#.*)?$/is;
const PART_OF_HOST = /^(.*?)(?::(\d*))?$/s;

/** Returns the parts of an absolute or relative URL. Missing parts are null. */
export function parse(text, parseQuery = false, slashesDenoteHost = false) {
  if (typeof text !== "string") {
    throw Object.assign(new TypeError('The "url" argument must be of type string'), { code: "ERR_INVALID_ARG_TYPE" });
  }
  let [, protocol = null, slashes, auth, host, pathname, search = null, hash = null] = FORM.exec(text.trim());
  if (slashes && !protocol && !slashesDenoteHost) {
    pathname = `//${auth === undefined ? "" : `${auth}@`}${host}${pathname}`;
    slashes = host = auth = undefined;
  }
  const [, hostname = null, port = null] = host === undefined ? [] : PART_OF_HOST.exec(host.toLowerCase());
  if (hostname && !pathname) pathname = "/";
  const query = search?.slice(1) ?? (parseQuery ? "" : null);
  const parts = {
    protocol: protocol?.toLowerCase() ?? null,
    slashes: slashes ? true : null,
    auth: auth === undefined ? null : decodeURIComponent(auth),
    host: host === undefined ? null : host.toLowerCase(),
    port: port || null,
    hostname: hostname?.replace(/^\[(.*)\]$/, "$1") ?? null,
    hash,
    search: search ?? (parseQuery ? "" : null),
    query: parseQuery ? querystring.parse(query) : query,
    pathname: pathname || null,
  };
  parts.path = parts.pathname || parts.search ? `${parts.pathname ?? ""}${parts.search ?? ""}` : null;
  parts.href = format(parts);
  return parts;
}

/** Formats a URL or its parts as a string, optionally without some of them. */
export function format(url, { auth = true, fragment = true, search = true } = {}) {
  if (typeof url === "string") return parse(url).href;
  if (url instanceof URL) {
    const copy = new URL(url.href);
    if (!auth) copy.username = copy.password = "";
    if (!fragment) copy.hash = "";
    if (!search) copy.search = "";
    return copy.href;
  }
  const after = (sign, text) => (text && text[0] !== sign ? sign + text : text) || "";
  const protocol = url.protocol && !url.protocol.endsWith(":") ? `${url.protocol}:` : (url.protocol ?? "");
  const user = url.auth ? `${encodeURIComponent(url.auth).replace(/%3A/i, ":")}@` : "";
  const name = url.hostname?.includes(":") ? `[${url.hostname}]` : url.hostname;
  const host = url.host ? user + url.host : name ? `${user}${name}${url.port ? `:${url.port}` : ""}` : "";
  const hasSlashes = url.slashes || (host && /^(https?|ftp|file|wss?):$/.test(protocol || "http:"));
  const query =
    url.search ?? (typeof url.query === "object" && url.query ? querystring.stringify(url.query) : url.query);
  const pathname = (url.pathname ?? "").replace(/[?#]/g, encodeURIComponent);
  const path = hasSlashes && host && pathname && pathname[0] !== "/" ? `/${pathname}` : pathname;
  return `${protocol}${hasSlashes ? "//" : ""}${host}${path}${after("?", query).replace(/#/g, "%23")}${after("#", url.hash)}`;
}

/** Resolves a link on the page `from`. */
export function resolve(from, to) {
  const nowhere = "resolve://nowhere";
  const url = new URL(to, new URL(from, `${nowhere}/`));
  return url.href.startsWith(nowhere) ? url.href.slice(nowhere.length) : url.href;
}

export { URL, URLSearchParams };
export default { URL, URLSearchParams, format, parse, resolve };
