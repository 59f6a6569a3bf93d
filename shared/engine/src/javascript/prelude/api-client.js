// apiClient: Larder adds the base URI and the authentication to its requests.
const { stringify, parse } = JSON;
const { apply } = Reflect;
const { toUpperCase } = String.prototype;

const isObject = (value) => typeof value === "object" && value !== null;
const METHODS = ["get", "post", "put", "patch", "delete", "head", "options"];

export function makeApiClient(host, globalThis) {
  const { openApi, apiRequest } = host;

  // `config` is the result of makeApiClient. If it is a client itself, it is used as it is.
  return function apiClient(config) {
    if (!isObject(config)) throw new TypeError("makeApiClient must return an object");
    if (typeof config.get === "function" || typeof config.request === "function") return config;
    const settings = isObject(config.args) ? config.args : config;
    const id = openApi(stringify(settings));

    async function send(request) {
      // Create it now: the stack shows the caller only until the first await.
      const error = new Error("");
      let { options, ...sent } = request;
      if (typeof settings.dynamicOptions === "function") {
        options = { ...(await settings.dynamicOptions(sent)), ...options };
      }
      options ??= {};
      const full = { ...sent, headers: merge(options.headers, sent.headers), query: merge(options.query, sent.query) };
      for (const key of ["baseUri", "auth"]) full[key] = sent[key] ?? options[key];
      full.responseType = sent.responseType ?? options.responseType ?? settings.responseType;
      const body = await encode(full);
      const [text, bytes] = await apiRequest(id, stringify(full), body);
      const { ok, error: failure } = parse(text);
      if (failure) {
        fill(error, failure);
        if (typeof settings.onError !== "function") throw error;
        const replaced = await settings.onError(error);
        throw replaced instanceof Error ? replaced : error;
      }
      const data = bytes === undefined ? ok.data : decode(bytes, full.responseType);
      const wantsAll = options.returnFullResponse ?? sent.returnFullResponse ?? settings.returnFullResponse;
      return wantsAll ? { status: ok.status, headers: ok.headers, data } : data;
    }

    function request(input, options) {
      if (typeof input === "string") input = { path: input, ...options };
      const { url, path, uri, params, query, body, data, method, options: inner, ...rest } = input ?? {};
      return send({
        ...rest,
        path: path ?? url ?? uri ?? "",
        method: `${method ?? "GET"}`,
        query: query ?? params,
        data: data ?? body,
        options: inner,
      });
    }

    const client = (input, options) => request(input, options);
    client.request = request;
    client.makeApiRequest = request;
    for (const method of METHODS) {
      const hasBody = method === "post" || method === "put" || method === "patch" || method === "delete";
      client[method] = (path, second, options) =>
        send({ path, method: upper(method), [hasBody ? "data" : "query"]: second, options });
    }
    return client;
  };

  // Members of `second` take precedence.
  function merge(first, second) {
    if (!first) return second;
    return { ...first, ...second };
  }

  // Removes a body that is not JSON from the request and returns it as bytes.
  async function encode(request) {
    const { data } = request;
    if (!isObject(data)) return undefined;
    const { Response, FormData, Blob, URLSearchParams } = globalThis;
    const isOf = (type) => typeof type === "function" && data instanceof type;
    if (isOf(URLSearchParams)) {
      request.data = `${data}`;
      request.headers = { "Content-Type": "application/x-www-form-urlencoded", ...request.headers };
      return undefined;
    }
    if (data instanceof ArrayBuffer) {
      delete request.data;
      return new Uint8Array(data);
    }
    if (ArrayBuffer.isView(data)) {
      delete request.data;
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    }
    if (isOf(FormData) || isOf(Blob)) {
      const encoded = new Response(data);
      const type = encoded.headers.get("content-type");
      if (type) request.headers = { "Content-Type": type, ...request.headers };
      delete request.data;
      return new Uint8Array(await encoded.arrayBuffer());
    }
    return undefined;
  }

  function decode(bytes, responseType) {
    if (responseType !== "stream")
      return typeof globalThis.Buffer === "function" ? globalThis.Buffer.from(bytes) : bytes;
    return {
      async *[Symbol.asyncIterator]() {
        if (bytes.byteLength > 0) yield new Uint8Array(bytes);
      },
    };
  }
}

function upper(method) {
  return apply(toUpperCase, method, []);
}

// Copies the failure of a request to an error.
function fill(error, { message, type, key, data }) {
  error.message = `${message ?? "the request failed"}`;
  error.type = type;
  if (key !== undefined && key !== null) error.key = key;
  error.data = data;
  const response = isObject(data) ? data.response : undefined;
  if (isObject(response)) {
    error.response = response;
    if (typeof response.status === "number") error.status = response.status;
  }
}
