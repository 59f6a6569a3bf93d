// The adapter: sends a request with the global `fetch` and follows redirects like the real one does in Node.

import { AxiosError, CanceledError } from "./error.js";
import { AxiosHeaders } from "./headers.js";
import { isStream } from "./transform.js";
import { buildUri } from "./uri.js";

const MAX_REDIRECTS = 21;

// Lets Larder's fetch send a body even with GET, as axios does. Other implementations reject it.
const BODY_ON_GET = Symbol.for("larder.bodyOnGet");

export async function sendByFetch(config) {
  const url = parseUri(buildUri(config), config);
  const body = await encodeBody(config);
  const request = { method: config.method.toUpperCase(), url, headers: sentHeaders(config, url), body, res: {} };
  url.username = url.password = "";
  const watch = new Watch(config, request);
  try {
    const answer = await follow(config, request, watch.signal);
    const response = {
      data: undefined,
      status: answer.status,
      statusText: answer.statusText,
      headers: receivedHeaders(answer),
      config,
      request,
    };
    response.data = await readBody(answer, config, request, response);
    settle(response);
    return response;
  } catch (error) {
    throw (
      watch.reason ??
      (error instanceof AxiosError || !isFailureOfFetch(error) ? error : networkError(error, config, request))
    );
  } finally {
    watch.end();
  }
}

// Aborts the request on a timeout or cancellation, and stores the reason.
class Watch {
  #controller = new AbortController();
  #cancel;

  constructor(config, request) {
    const { timeout, signal, cancelToken } = config;
    this.config = config;
    this.signal = this.#controller.signal;
    this.#cancel = (reason) => this.#stop(isReason(reason) ? reason : new CanceledError(null, config, request));
    signal?.addEventListener("abort", this.#cancel);
    cancelToken?.subscribe(this.#cancel);
    if (!timeout) return;
    const millis = parseInt(timeout, 10);
    if (Number.isNaN(millis)) {
      throw new AxiosError(
        "error trying to parse `config.timeout` to int",
        AxiosError.ERR_BAD_OPTION_VALUE,
        config,
        request,
      );
    }
    this.timer = setTimeout(() => {
      const message = config.timeoutErrorMessage || `timeout of ${millis}ms exceeded`;
      const code = config.transitional?.clarifyTimeoutError ? AxiosError.ETIMEDOUT : AxiosError.ECONNABORTED;
      this.#stop(new AxiosError(message, code, config, request));
    }, millis);
  }

  #stop(reason) {
    this.reason ??= reason;
    this.#controller.abort();
  }

  end() {
    clearTimeout(this.timer);
    this.config.signal?.removeEventListener?.("abort", this.#cancel);
    this.config.cancelToken?.unsubscribe(this.#cancel);
  }
}

const isReason = (value) => value instanceof CanceledError;

function parseUri(text, config) {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw Object.assign(new TypeError("Invalid URL"), { code: "ERR_INVALID_URL", input: text });
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new AxiosError(`Unsupported protocol ${url.protocol}`, AxiosError.ERR_BAD_REQUEST, config);
  }
  return url;
}

// Returns the body for fetch, as bytes so that fetch does not add a content type.
async function encodeBody(config) {
  const { data, headers, maxBodyLength } = config;
  if (data === undefined || data === null || data === "" || data === false || data === 0) return undefined;
  if (isStream(data)) return data;
  let bytes;
  if (data instanceof FormData) {
    const form = new Response(data);
    headers.setContentType(form.headers.get("content-type"));
    bytes = new Uint8Array(await form.arrayBuffer());
  } else if (data instanceof Blob) {
    if (data.size) headers.setContentType(data.type || "application/octet-stream");
    bytes = new Uint8Array(await data.arrayBuffer());
  } else if (typeof data === "string") {
    bytes = new TextEncoder().encode(data);
  } else if (data instanceof ArrayBuffer) {
    bytes = new Uint8Array(data);
  } else if (ArrayBuffer.isView(data)) {
    bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  } else {
    const message = "Data after transformation must be a string, an ArrayBuffer, a Buffer, or a Stream";
    throw new AxiosError(message, AxiosError.ERR_BAD_REQUEST, config);
  }
  headers.setContentLength(bytes.length, false);
  headers["Content-Length"] = String(bytes.length);
  if (maxBodyLength > -1 && bytes.length > maxBodyLength) {
    throw new AxiosError("Request body larger than maxBodyLength limit", AxiosError.ERR_BAD_REQUEST, config);
  }
  return bytes;
}

function sentHeaders(config, url) {
  const { auth } = config;
  let login;
  if (auth) login = `${auth.username || ""}:${auth.password || ""}`;
  else if (url.username || url.password)
    login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  if (login) config.headers.delete("authorization");
  const headers = AxiosHeaders.concat(config.headers.toJSON(true));
  // fetch computes this header.
  headers.delete("content-length");
  if (login) headers.set("Authorization", `Basic ${Buffer.from(login, "utf8").toString("base64")}`);
  return headers;
}

// Sends the request and follows its redirects. Afterwards, `request` is the last request that was sent.
async function follow(config, request, signal) {
  const limit = config.maxRedirects ?? MAX_REDIRECTS;
  for (let redirects = 0; ; redirects += 1) {
    const { method, url, headers, body } = request;
    const options = { method, headers: headers.toJSON(), body, signal, redirect: "manual", [BODY_ON_GET]: true };
    if (isStream(body)) options.duplex = "half";
    const answer = await fetch(url.href, options);
    request.res.responseUrl = url.href;
    const location = answer.headers.get("location");
    if (limit === 0 || answer.status < 300 || answer.status > 399 || !location) return answer;
    if (redirects >= limit) {
      const error = new AxiosError(
        "Maximum number of redirects exceeded",
        AxiosError.ERR_FR_TOO_MANY_REDIRECTS,
        config,
        request,
      );
      throw Object.assign(error, { name: `Error [${error.code}]` });
    }
    redirect(config, request, answer, new URL(location, url));
  }
}

function redirect(config, request, answer, url) {
  const { method, headers, url: from } = request;
  const details = { url: from.href, method, headers: headers.toJSON() };
  const becomesGet =
    ((answer.status === 301 || answer.status === 302) && method === "POST") ||
    (answer.status === 303 && method !== "HEAD");
  if (becomesGet && method !== "GET") {
    request.method = "GET";
    request.body = undefined;
    headers.clear(/^content-/i);
  }
  const isDowngrade = from.protocol === "https:" && url.protocol !== "https:";
  if (isDowngrade || (url.host !== from.host && !url.host.endsWith(`.${from.host}`))) {
    headers.delete(["authorization", "proxy-authorization", "cookie", "host"]);
  }
  if (url.origin !== from.origin) headers.delete(config.sensitiveHeaders ?? []);
  request.url = url;
  if (!config.beforeRedirect) return;
  const { protocol, hostname, port, href } = url;
  const options = {
    protocol,
    hostname,
    port,
    href,
    path: url.pathname + url.search,
    method: request.method,
    headers: { ...headers.toJSON() },
  };
  config.beforeRedirect(options, { headers: Object.fromEntries(answer.headers), statusCode: answer.status }, details);
  request.headers = new AxiosHeaders(options.headers);
}

function receivedHeaders(answer) {
  const headers = new AxiosHeaders();
  for (const [name, value] of answer.headers) headers.set(name, value);
  const cookies = answer.headers.getSetCookie?.() ?? [];
  if (cookies.length) headers.set("set-cookie", cookies);
  // The body is already decoded.
  headers.delete("content-encoding");
  return headers;
}

async function readBody(answer, config, request, response) {
  const { responseType, responseEncoding, maxContentLength } = config;
  if (responseType === "stream") return answer.body;
  const tooLong = () =>
    new AxiosError(
      `maxContentLength size of ${maxContentLength} exceeded`,
      AxiosError.ERR_BAD_RESPONSE,
      config,
      request,
    );
  let bytes;
  try {
    bytes = Buffer.from(await answer.arrayBuffer());
  } catch {
    throw new AxiosError("stream has been aborted", AxiosError.ERR_BAD_RESPONSE, config, request, response);
  }
  if (maxContentLength > -1 && bytes.length > maxContentLength) throw tooLong();
  if (responseType === "arraybuffer") return bytes;
  if (responseType === "blob") return new Blob([bytes], { type: answer.headers.get("content-type") ?? "" });
  const text = bytes.toString(responseEncoding);
  return responseEncoding && !/^utf-?8$/i.test(responseEncoding) ? text : text.replace(/^\uFEFF/, "");
}

function settle(response) {
  const { status, config, request } = response;
  if (!status || !config.validateStatus || config.validateStatus(status)) return;
  const code = status >= 400 && status < 500 ? AxiosError.ERR_BAD_REQUEST : AxiosError.ERR_BAD_RESPONSE;
  throw new AxiosError(`Request failed with status code ${status}`, code, config, request, response);
}

// If the cause has a code, as in Node, the error is like that of axios in Node. Otherwise it has axios's code for browsers.
const isFailureOfFetch = (error) => error instanceof TypeError || error?.name === "AbortError";

function networkError(error, config, request) {
  const { cause } = error;
  if (cause?.code) return AxiosError.from(cause, cause.code, config, request);
  const message = cause?.message || error.message || "Network Error";
  const failed = new AxiosError(message, AxiosError.ERR_NETWORK, config, request);
  return Object.assign(failed, { cause: cause ?? error });
}
