// Request, Response and fetch. https://fetch.spec.whatwg.org/. The network access is native.

import { Body, Owned, extract, peek, take } from "./body.js";
import { encode } from "./encoding.js";
import { AbortController, AbortSignal, onAbort } from "./events.js";
import { Headers, listOf } from "./headers.js";
import { URL } from "./url.js";

let host;

const { then } = Promise.prototype;
const { apply } = Reflect;
const USUAL_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];
const REDIRECTS = ["follow", "error", "manual"];

/** An option of `fetch` for the included modules: GET requests may have a body, as HTTP allows. */
export const bodyOnGet = Symbol.for("larder.bodyOnGet");

export class Request extends Body {
  #url;
  #method;
  #headers;
  #redirect;
  #signal;

  constructor(input, init = {}) {
    init ??= {};
    const from = input instanceof Request ? input : undefined;
    const url = from ? from.#url : absolute(input);
    const method = init.method === undefined ? (from?.#method ?? "GET") : checkedMethod(init.method);
    const headers = new Headers(init.headers ?? from?.#headers);
    const given = init.body !== undefined && init.body !== null;
    if ((given || (from && peek(from))) && (method === "HEAD" || (method === "GET" && !init[bodyOnGet]))) {
      throw new TypeError("Request with GET/HEAD method cannot have body.");
    }
    const [bytes, type] = given ? extract(init.body) : [from ? take(from) : null, null];
    if (type && !headers.has("content-type")) headers.append("Content-Type", type);
    super(bytes);
    this.#url = url;
    this.#method = method;
    this.#headers = headers;
    this.#redirect = init.redirect ?? from?.#redirect ?? "follow";
    if (!REDIRECTS.includes(this.#redirect))
      throw new TypeError(`Request: redirect must be one of ${REDIRECTS.join(", ")}`);
    const signal = init.signal === undefined ? from?.#signal : init.signal;
    if (signal && !(signal instanceof AbortSignal)) throw new TypeError("Request: signal must be an AbortSignal");
    this.#signal = signal ? AbortSignal.any([signal]) : new AbortController().signal;
  }

  get url() {
    return this.#url;
  }
  get method() {
    return this.#method;
  }
  get headers() {
    return this.#headers;
  }
  get redirect() {
    return this.#redirect;
  }
  get signal() {
    return this.#signal;
  }
  clone() {
    const { url, method, headers, redirect, signal } = this;
    const bytes = peek(this);
    return new Request(url, { method, headers, redirect, signal, body: bytes && new Owned(bytes) });
  }
  get [Symbol.toStringTag]() {
    return "Request";
  }
}

function absolute(input) {
  let url;
  try {
    url = new URL(input);
  } catch (cause) {
    throw new TypeError(`Failed to parse URL from ${input}`, { cause });
  }
  if (url.username || url.password)
    throw new TypeError(`Request cannot be constructed from a URL that includes credentials: ${url}`);
  return url.href;
}

function checkedMethod(method) {
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(method)) throw new TypeError(`'${method}' is not a valid HTTP method.`);
  const upper = `${method}`.toUpperCase();
  if (["CONNECT", "TRACE", "TRACK"].includes(upper)) throw new TypeError(`'${method}' HTTP method is unsupported.`);
  return USUAL_METHODS.includes(upper) ? upper : `${method}`;
}

const BODYLESS = [101, 204, 205, 304];
let received;

export class Response extends Body {
  #status;
  #statusText;
  #headers;
  #url = "";
  #redirected = false;
  #type = "default";

  static {
    received = ({ status, statusText, headers, url, redirected, type, bytes }) => {
      const response = new Response(bytes && new Owned(bytes), { headers });
      // Set it directly: an API may return a status that the constructor rejects, like 999.
      response.#status = status;
      response.#statusText = statusText;
      response.#url = url;
      response.#redirected = redirected;
      response.#type = type;
      return response;
    };
  }

  constructor(body, init = {}) {
    init ??= {};
    const { status = 200, statusText = "" } = init;
    const code = Math.trunc(status);
    if (!(code >= 200 && code <= 599))
      throw new RangeError('init["status"] must be in the range of 200 to 599, inclusive.');
    if (/[^\t\x20-\x7e\x80-\xff]/.test(statusText)) throw new TypeError("Invalid statusText");
    const headers = new Headers(init.headers);
    const [bytes, type] = extract(body);
    if (bytes && BODYLESS.includes(code))
      throw new TypeError(`Response constructor: Invalid response status code ${code}`);
    if (type && !headers.has("content-type")) headers.append("Content-Type", type);
    super(bytes);
    this.#status = code;
    this.#statusText = `${statusText}`;
    this.#headers = headers;
  }

  static json(data, init = {}) {
    const written = JSON.stringify(data);
    if (written === undefined) throw new TypeError("Value is not JSON serializable");
    const headers = new Headers(init.headers);
    if (!headers.has("content-type")) headers.set("Content-Type", "application/json");
    return new Response(new Owned(encode(written)), { ...init, headers });
  }
  static redirect(url, status = 302) {
    if (![301, 302, 303, 307, 308].includes(status)) throw new RangeError(`Invalid status code ${status}`);
    return new Response(null, { status, headers: { Location: absolute(url) } });
  }

  get status() {
    return this.#status;
  }
  get statusText() {
    return this.#statusText;
  }
  get ok() {
    return this.#status >= 200 && this.#status <= 299;
  }
  get headers() {
    return this.#headers;
  }
  get url() {
    return this.#url;
  }
  get redirected() {
    return this.#redirected;
  }
  get type() {
    return this.#type;
  }
  clone() {
    const bytes = peek(this);
    return received({
      status: this.#status,
      statusText: this.#statusText,
      headers: this.#headers,
      url: this.#url,
      redirected: this.#redirected,
      type: this.#type,
      bytes,
    });
  }
  get [Symbol.toStringTag]() {
    return "Response";
  }
}

/** https://fetch.spec.whatwg.org/#fetch-method. Rejects with a TypeError whose message has the reason. */
export function fetch(input, init) {
  return new Promise((resolve, reject) => {
    const request = new Request(input, init);
    const { method, redirect, signal, url } = request;
    signal.throwIfAborted();
    const headers = [...listOf(request.headers)];
    if (!request.headers.has("accept")) headers.push(["Accept", "*/*"]);
    const body = take(request);
    const { id, promise } = host.fetch({ url, method, headers, body, redirect });
    const forget = onAbort(signal, () => {
      host.abortFetch(id);
      reject(signal.reason);
    });
    const succeeded = ({ body, ...answer }) => {
      forget();
      const bytes = BODYLESS.includes(answer.status) ? null : new Uint8Array(body);
      resolve(received({ ...answer, type: "basic", bytes }));
    };
    const failed = (error) => {
      forget();
      reject(error);
    };
    apply(then, promise, [succeeded, failed]);
  });
}

export function make(given) {
  host = given;
  return { Headers, Request, Response, fetch };
}
