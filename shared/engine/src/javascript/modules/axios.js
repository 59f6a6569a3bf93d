// The module behind `import axios from 'axios'`: the documented behavior of axios 1.x, on top of the global `fetch`.
//
// tests/servers/axios-calls.mjs compares it with the real axios. tests/tests/interop/axios.rs lists the differences and why.

import { buildUri } from "./axios/uri.js";
import { CancelToken } from "./axios/cancel.js";
import { defaults, mergeConfig } from "./axios/config.js";
import { dispatch, getAdapter } from "./axios/dispatch.js";
import { AxiosError, CanceledError, isAxiosError, isCancel } from "./axios/error.js";
import { formToJSON, toFormData } from "./axios/form.js";
import { AxiosHeaders } from "./axios/headers.js";
import { HttpStatusCode } from "./axios/status.js";

// The version of axios whose behavior this module follows.
const VERSION = "1.21.1";

class Interceptors {
  #handlers = new Map();
  #next = 0;

  use(fulfilled, rejected, options = {}) {
    this.#handlers.set(this.#next, { fulfilled, rejected, runWhen: options?.runWhen });
    return this.#next++;
  }

  eject(id) {
    this.#handlers.delete(Number(id));
  }

  clear() {
    this.#handlers.clear();
  }

  forEach(visit) {
    for (const handler of this.#handlers.values()) visit(handler);
  }

  // Returns the handlers for this request, or all of them if there is no request.
  for(config) {
    return [...this.#handlers.values()].filter(
      ({ runWhen }) => typeof runWhen !== "function" || !config || runWhen(config),
    );
  }
}

class Axios {
  constructor(config = {}) {
    this.defaults = config;
    this.interceptors = { request: new Interceptors(), response: new Interceptors() };
  }

  async request(first, second) {
    // Capture the stack now: after the first await, it no longer shows the caller.
    const { stack: caller } = new Error();
    const given = typeof first === "string" ? { ...second, url: first } : (first ?? {});
    const config = mergeConfig(this.defaults, given);
    config.method = String(config.method || this.defaults.method || "get").toLowerCase();
    config.headers = requestHeaders(config);

    const before = this.interceptors.request.for(config);
    if (config.transitional?.legacyInterceptorReqResOrdering !== false) before.reverse();
    const steps = [...before, { fulfilled: dispatch }, ...this.interceptors.response.for()];
    const result = steps.reduce(
      (promise, { fulfilled, rejected }) => promise.then(fulfilled, rejected),
      Promise.resolve(config),
    );
    return result.catch((error) => {
      if (error instanceof Error) error.stack = `${error.stack ?? ""}\n${caller}`;
      throw error;
    });
  }

  getUri(given) {
    return buildUri(mergeConfig(this.defaults, given));
  }
}

// The request's own headers take precedence over the common headers and the method's headers.
function requestHeaders({ headers = {}, method }) {
  const isBucket = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const own = Object.entries(headers).filter(
    ([name, value]) => !((name === "common" || METHODS.includes(name)) && isBucket(value)),
  );
  return AxiosHeaders.concat(
    headers.common,
    isBucket(headers[method]) ? headers[method] : null,
    Object.fromEntries(own),
  );
}

const METHODS = ["delete", "get", "head", "options", "post", "put", "patch", "purge", "link", "unlink", "query"];

for (const method of ["delete", "get", "head", "options"]) {
  Axios.prototype[method] = function (url, config) {
    return this.request({ ...config, method, url, data: config?.data });
  };
}

for (const method of ["post", "put", "patch", "query"]) {
  Axios.prototype[method] = function (url, data, config) {
    return this.request({ ...config, method, url, data });
  };
}

for (const method of ["post", "put", "patch"]) {
  Axios.prototype[`${method}Form`] = function (url, data, config) {
    const headers = { ...config?.headers, "Content-Type": "multipart/form-data" };
    for (const name of Object.keys(headers))
      if (name !== "Content-Type" && /^content-type$/i.test(name)) delete headers[name];
    return this.request({ ...config, headers, method, url, data });
  };
}

// An instance is a function with all members of an `Axios`.
function createInstance(config) {
  const context = new Axios(config);
  const instance = (...parameters) => context.request(...parameters);
  for (const name of Object.getOwnPropertyNames(Axios.prototype)) {
    if (name !== "constructor") instance[name] = Axios.prototype[name].bind(context);
  }
  instance.create = (more) => createInstance(mergeConfig(config, more));
  return Object.assign(instance, context);
}

const axios = createInstance(defaults());

Object.assign(axios, {
  Axios,
  AxiosError,
  AxiosHeaders,
  Cancel: CanceledError,
  CanceledError,
  CancelToken,
  HttpStatusCode,
  VERSION,
  all: (promises) => Promise.all(promises),
  default: axios,
  formToJSON,
  getAdapter,
  isAxiosError,
  isCancel,
  mergeConfig,
  spread: (callback) => (values) => callback(...values),
  toFormData,
});

const { all, create, spread, Cancel } = axios;

export default axios;
export {
  all,
  Axios,
  AxiosError,
  AxiosHeaders,
  Cancel,
  CanceledError,
  CancelToken,
  create,
  formToJSON,
  getAdapter,
  HttpStatusCode,
  isAxiosError,
  isCancel,
  mergeConfig,
  spread,
  toFormData,
  VERSION,
};
