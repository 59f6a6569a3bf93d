// Calls that compare Larder's `axios` with the real one. This file is loaded three times: with the real axios by the server
// under Node.js, with ours by axios-compare.mjs, and with ours by a connector in Larder's engine.
//
// A call gets `axios` (the default export of a fresh module, whose defaults are untouched) and the server's base URI. Its
// result or error is described as plain JSON, together with the requests that the server received.

const seen = (response) => ({
  isResponse: true,
  keys: Object.keys(response).sort(),
  status: response.status,
  statusText: response.statusText,
  headers: describeHeaders(response.headers),
  data: describe(response.data),
  config: describeConfig(response.config),
});

const json = (value) => encodeURIComponent(JSON.stringify(value));
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const bytes = (...values) => new Uint8Array(values);

export const calls = {
  // Forms of calls.
  "axios(config)": (axios, base) => axios({ url: `${base}/echo` }),
  "axios(url)": (axios, base) => axios(`${base}/echo`),
  "axios(url, config)": (axios, base) => axios(`${base}/echo`, { method: "post", data: { a: 1 } }),
  "axios.request": (axios, base) => axios.request({ url: `${base}/echo`, method: "PUT", data: "text" }),
  "axios.request(url, config)": (axios, base) => axios.request(`${base}/echo`, { method: "PATCH" }),
  get: (axios, base) => axios.get(`${base}/echo`),
  delete: (axios, base) => axios.delete(`${base}/echo`),
  "delete with data": (axios, base) => axios.delete(`${base}/echo`, { data: { id: 1 } }),
  head: (axios, base) => axios.head(`${base}/echo`),
  options: (axios, base) => axios.options(`${base}/echo`),
  post: (axios, base) => axios.post(`${base}/echo`, { name: "Zoë", list: [1, null, { deep: true }] }),
  put: (axios, base) => axios.put(`${base}/echo`, { a: undefined, b: new Date(0) }),
  patch: (axios, base) => axios.patch(`${base}/echo`, [1, 2]),
  "a method in mixed case": (axios, base) => axios({ url: `${base}/echo`, method: "pOsT", data: {} }),
  "get with a body": (axios, base) =>
    axios({ url: `${base}/echo`, method: "get", data: { a: 1 } }).then((it) => it.status),
  "a custom method": (axios, base) => axios({ url: `${base}/echo`, method: "PURGE" }),

  // URLs.
  baseURL: (axios, base) => axios.get("echo", { baseURL: base }),
  "baseURL with slashes": (axios, base) => axios.get("/echo", { baseURL: `${base}/` }),
  "baseURL with a path": (axios, base) => axios.get("/echo", { baseURL: `${base}/v1/` }),
  "baseURL and an absolute url": (axios, base) => axios.get(`${base}/echo`, { baseURL: "http://nowhere.invalid" }),
  "baseURL and an empty url": (axios, base) => axios.get("", { baseURL: `${base}/echo` }),
  "baseURL without absolute urls": (axios, base) =>
    axios.get("http://elsewhere/echo", { baseURL: base, allowAbsoluteUrls: false }),
  "no url": (axios) => axios.get(undefined),
  "an invalid url": (axios) => axios.get("/only-a-path"),
  "a url with half a protocol": (axios) => axios.get("http:example.com"),
  "an unsupported protocol": (axios) => axios.get("ftp://127.0.0.1/x"),
  "a url with a fragment": (axios, base) => axios.get(`${base}/echo?a=1#frag`, { params: { b: 2 } }),
  "a url with spaces and umlauts": (axios, base) => axios.get(`${base}/echo?q=a b&ü=ö`),

  // Query parameters.
  params: (axios, base) => axios.get(`${base}/echo`, { params: { a: 1, b: "two", c: true, d: 0, e: "" } }),
  "params null and undefined": (axios, base) =>
    axios.get(`${base}/echo`, { params: { a: null, b: undefined, c: NaN } }),
  "params arrays": (axios, base) => axios.get(`${base}/echo`, { params: { ids: [1, 2, 3], none: [] } }),
  "params nested": (axios, base) =>
    axios.get(`${base}/echo`, { params: { filter: { a: 1, b: { c: [1, { d: 2 }] } }, list: [[1], [2]] } }),
  "params dates": (axios, base) =>
    axios.get(`${base}/echo`, { params: { at: new Date(1700000000000), all: [new Date(0)] } }),
  "params encoded": (axios, base) => axios.get(`${base}/echo`, { params: { "k e&y": "a b:c$,[]@/?é+'()*!~&=#%" } }),
  "params with meta tokens": (axios, base) => axios.get(`${base}/echo`, { params: { "o{}": { a: 1 }, "l[]": [1, 2] } }),
  "params URLSearchParams": (axios, base) =>
    axios.get(`${base}/echo`, {
      params: new URLSearchParams([
        ["a", "1"],
        ["a", "b c"],
      ]),
    }),
  "params and a query": (axios, base) => axios.get(`${base}/echo?x=1`, { params: { y: 2 } }),
  "params empty": (axios, base) => axios.get(`${base}/echo`, { params: {} }),
  "params of an instance": (axios, base) =>
    axios.create({ baseURL: base, params: { key: "k", o: { a: 1 } } }).get("/echo", { params: { q: 1, o: { b: 2 } } }),
  "params bigint and toJSON": (axios, base) =>
    axios.get(`${base}/echo`, { params: { big: 10n, own: { toJSON: () => "x" } } }).then((it) => it.data.url),
  "params circular": (axios, base) => {
    const params = { a: 1 };
    params.self = params;
    return axios.get(`${base}/echo`, { params }).catch((error) => error.message);
  },
  "paramsSerializer serialize": (axios, base) =>
    axios.get(`${base}/echo`, { params: { a: 1 }, paramsSerializer: { serialize: (params) => `own=${params.a}` } }),
  "paramsSerializer function": (axios, base) =>
    axios.get(`${base}/echo`, {
      params: { a: [1, 2] },
      paramsSerializer: (params) => params.a.map((it) => `a=${it}`).join(";"),
    }),
  "paramsSerializer encode": (axios, base) =>
    axios.get(`${base}/echo`, {
      params: { a: "x y" },
      paramsSerializer: { encode: (value) => `${value.length}_${value[0]}` },
    }),
  "paramsSerializer encode with the default": (axios, base) =>
    axios.get(`${base}/echo`, {
      params: { a: "x y" },
      paramsSerializer: { encode: (value, encode) => encode(`${value}:$!,'~`).replace("+", "%20") },
    }),
  "paramsSerializer indexes null": (axios, base) =>
    axios.get(`${base}/echo`, { params: { ids: [1, 2] }, paramsSerializer: { indexes: null } }),
  "paramsSerializer indexes true": (axios, base) =>
    axios.get(`${base}/echo`, { params: { ids: [1, 2] }, paramsSerializer: { indexes: true } }),
  "paramsSerializer dots": (axios, base) =>
    axios.get(`${base}/echo`, { params: { a: { b: { c: 1 } }, l: [1, { x: 2 }] }, paramsSerializer: { dots: true } }),
  getUri: async (axios) => [
    axios.getUri({ url: "/a", params: { q: [1, { a: 2 }], s: "x y" } }),
    axios.getUri({ url: "a", baseURL: "https://host/b/", params: { x: 1 } }),
    axios.getUri({ url: "/a?x=1#h", params: { y: 2 } }),
    axios.getUri({ url: "/a" }),
    axios
      .create({ baseURL: "https://host", params: { k: 1 } })
      .getUri({ url: "b", paramsSerializer: { indexes: null }, params: { l: [1, 2] } }),
  ],

  // Headers.
  headers: (axios, base) => axios.get(`${base}/echo`, { headers: { "X-One": "one", "x-two": 2, "X-Three": true } }),
  "headers null, undefined and false": (axios, base) =>
    axios.get(`${base}/echo`, { headers: { Accept: null, "X-U": undefined, "X-F": false, "X-E": "" } }),
  "headers in another case": (axios, base) =>
    axios.post(
      `${base}/echo`,
      { a: 1 },
      { headers: { "content-type": "application/vnd.api+json", ACCEPT: "text/plain" } },
    ),
  "headers that repeat": (axios, base) =>
    axios.get(`${base}/echo`, { headers: { "X-List": ["a", "b"] } }).then((it) => it.data.url),
  "headers of an instance": (axios, base) =>
    axios
      .create({ headers: { "X-A": "a", common: { "X-B": "b" }, post: { "X-C": "c" }, get: { "X-D": "d" } } })
      .post(`${base}/echo`, "x", { headers: { "x-a": "other" } }),
  "headers of defaults": async (axios, base) => {
    const client = axios.create();
    client.defaults.headers.common.Authorization = "Bearer t";
    client.defaults.headers.post["Content-Type"] = "text/csv";
    client.defaults.baseURL = base;
    return [seen(await client.get("/echo")), seen(await client.post("/echo", "a,b"))];
  },
  "headers as AxiosHeaders": (axios, base) =>
    axios.get(`${base}/echo`, { headers: new axios.AxiosHeaders({ "X-A": "1" }) }),
  "no content-type for an empty post": (axios, base) => axios.post(`${base}/echo`),
  "a content-type without data": (axios, base) =>
    axios.get(`${base}/echo`, { headers: { "Content-Type": "application/json" } }),
  auth: (axios, base) => axios.get(`${base}/echo`, { auth: { username: "me", password: "p:w d" } }),
  "auth over a header": (axios, base) =>
    axios.get(`${base}/echo`, { auth: { username: "u" }, headers: { Authorization: "Bearer t" } }),
  "auth beyond ASCII": (axios, base) => axios.get(`${base}/echo`, { auth: { username: "me", password: "pässwörd✓" } }),
  "auth in the url": (axios, base) => axios.get(`${base.replace("//", "//us%40er:pa%20ss@")}/echo`),

  // Bodies.
  "data string": (axios, base) => axios.post(`${base}/echo`, "plain text"),
  "data string as JSON": (axios, base) =>
    axios.post(`${base}/echo`, "text", { headers: { "Content-Type": "application/json" } }),
  "data JSON text as JSON": (axios, base) =>
    axios.post(`${base}/echo`, '{"a": 1}', { headers: { "Content-Type": "application/json" } }),
  "data number and boolean": async (axios, base) => [
    seen(await axios.post(`${base}/echo`, 5, { headers: { "Content-Type": "application/json" } })),
    seen(await axios.post(`${base}/echo`, true, { headers: { "Content-Type": "application/json" } })),
  ],
  "data null": (axios, base) => axios.post(`${base}/echo`, null),
  "data null as JSON": (axios, base) =>
    axios.post(`${base}/echo`, null, { headers: { "Content-Type": "application/json" } }),
  "data a number alone": (axios, base) => axios.post(`${base}/echo`, 5).catch((error) => [error.code, error.message]),
  "data URLSearchParams": (axios, base) =>
    axios.post(`${base}/echo`, new URLSearchParams({ grant_type: "x y", b: "ü&" })),
  "data URLSearchParams with a charset": (axios, base) =>
    axios.post(`${base}/echo`, new URLSearchParams({ a: "1" }), {
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
    }),
  "data object as a form": (axios, base) =>
    axios.post(
      `${base}/echo`,
      {
        x: 1,
        arr: [1, 2],
        arr2: [1, [2], 3],
        users: [{ n: "P" }],
        s: "a b&ü",
        nil: null,
        u: undefined,
        t: true,
        at: new Date(0),
        "o{}": { z: 1 },
      },
      { headers: { "Content-Type": "application/x-www-form-urlencoded" } },
    ),
  "data object as a form, formSerializer": (axios, base) =>
    axios.post(
      `${base}/echo`,
      { arr: [1, 2], o: { p: 1 } },
      {
        headers: { "Content-Type": "application/x-www-form-urlencoded" },
        formSerializer: { indexes: null, dots: true },
      },
    ),
  "data string as a form": (axios, base) =>
    axios.post(`${base}/echo`, "a=1&b=2", { headers: { "Content-Type": "application/x-www-form-urlencoded" } }),
  "data object as multipart": (axios, base) =>
    axios.post(
      `${base}/echo`,
      { x: 1, arr: [1, 2], o: { p: "q" } },
      { headers: { "Content-Type": "multipart/form-data" } },
    ),
  postForm: (axios, base) => axios.postForm(`${base}/echo`, { a: "1", b: [true] }),
  putForm: (axios, base) => axios.putForm(`${base}/echo`, { a: 1 }),
  patchForm: (axios, base) => axios.patchForm(`${base}/echo`, { a: 1 }),
  "postForm as a form": (axios, base) =>
    axios.postForm(`${base}/echo`, { a: 1 }, { headers: { "content-type": "application/x-www-form-urlencoded" } }),
  "data FormData": (axios, base) => {
    const form = new FormData();
    form.append("field", "välue");
    form.append("file", new Blob(["content"], { type: "text/csv" }), "a.csv");
    return axios.post(`${base}/echo`, form);
  },
  "data FormData as JSON": (axios, base) => {
    const form = new FormData();
    for (const [name, value] of [
      ["a", "1"],
      ["b[c]", "2"],
      ["l[]", "3"],
      ["l[]", "4"],
      ["d.e", "5"],
      ["r", "6"],
      ["r", "7"],
    ])
      form.append(name, value);
    return axios.post(`${base}/echo`, form, { headers: { "Content-Type": "application/json" } });
  },
  "data FormData with a content-type": (axios, base) => {
    const form = new FormData();
    form.append("a", "1");
    return axios.post(`${base}/echo`, form, { headers: { "Content-Type": "multipart/form-data" } });
  },
  "data ArrayBuffer": (axios, base) => axios.post(`${base}/echo`, bytes(1, 2, 255).buffer),
  "data Uint8Array": (axios, base) =>
    axios.post(`${base}/echo`, bytes(0, 1, 2, 3).subarray(1, 3), {
      headers: { "Content-Type": "application/octet-stream" },
    }),
  "data Buffer": (axios, base) => axios.put(`${base}/echo`, Buffer.from("büffer")),
  "data Blob": (axios, base) => axios.post(`${base}/echo`, new Blob(["blob"], { type: "text/x-blob" })),
  transformRequest: (axios, base) =>
    axios.post(
      `${base}/echo`,
      { a: 1 },
      {
        transformRequest: [
          (data, headers) => {
            headers["X-T"] = "yes";
            return JSON.stringify({ wrapped: data });
          },
        ],
      },
    ),
  "transformRequest after the default": (axios, base) =>
    axios.post(
      `${base}/echo`,
      { a: 1 },
      { transformRequest: [...axios.defaults.transformRequest, (data) => `${data}\n`] },
    ),
  maxBodyLength: (axios, base) => axios.post(`${base}/echo`, "x".repeat(20), { maxBodyLength: 10 }),

  // Responses.
  "answer JSON": (axios, base) => axios.get(`${base}/answer?type=application/json&body=${json({ a: [1, "ü"] })}`),
  "answer JSON as text/plain": (axios, base) => axios.get(`${base}/answer?type=text/plain&body=${json({ a: 1 })}`),
  "answer JSON number": (axios, base) => axios.get(`${base}/answer?body=17`),
  "answer text": (axios, base) => axios.get(`${base}/answer?type=text/plain;charset=utf-8&body=hello`),
  "answer HTML": (axios, base) => axios.get(`${base}/answer?type=text/html&body=<p>hi</p>`),
  "answer malformed JSON": (axios, base) => axios.get(`${base}/answer?type=application/json&body={"a":`),
  "answer malformed JSON, responseType json": (axios, base) =>
    axios
      .get(`${base}/answer?type=application/json&body={"a":`, {
        responseType: "json",
        transitional: { silentJSONParsing: true },
      })
      .then((it) => it.data),
  "answer malformed JSON, strict": (axios, base) =>
    axios
      .get(`${base}/answer?type=application/json&body={"a":`, {
        responseType: "json",
        transitional: { silentJSONParsing: false },
      })
      .catch((error) => [error.name, error.code, error.response.status, error.response.data]),
  "answer JSON, transitional given in part": (axios, base) =>
    axios.get(`${base}/answer?body={"a":1}`, { transitional: { clarifyTimeoutError: true } }),
  parseReviver: (axios, base) =>
    axios.get(`${base}/answer?body={"a":1}`, { parseReviver: (key, value) => (key === "a" ? value + 1 : value) }),
  "answer empty": (axios, base) => axios.get(`${base}/answer`),
  "answer empty, responseType json": (axios, base) => axios.get(`${base}/answer`, { responseType: "json" }),
  "answer 204": (axios, base) => axios.delete(`${base}/answer?status=204`),
  "answer 201": (axios, base) => axios.post(`${base}/answer?status=201&reason=Made&body={}`, {}),
  "answer gzip": (axios, base) =>
    axios.get(`${base}/answer?gzip=1&type=application/json&body=${json({ zipped: true })}`),
  "answer with a byte order mark": (axios, base) =>
    axios.get(`${base}/answer?base64=${encodeURIComponent("77u/eyJhIjoxfQ==")}`),
  "answer not UTF-8": (axios, base) => axios.get(`${base}/answer?base64=${encodeURIComponent("4fU=")}`),
  "answer headers": async (axios, base) => {
    const { headers } = await axios.get(
      `${base}/answer?header=X-One: 1&header=X-Twice: a&header=X-Twice: b&header=Set-Cookie: a=1&header=Set-Cookie: b=2`,
    );
    return [
      headers["x-one"],
      headers["x-twice"],
      headers["set-cookie"],
      headers.get("X-ONE"),
      headers.has("x-none"),
      headers["X-One"],
      headers.getContentType(),
    ];
  },
  "responseType text": (axios, base) =>
    axios.get(`${base}/answer?type=application/json&body=${json({ a: 1 })}`, { responseType: "text" }),
  "responseType arraybuffer": (axios, base) =>
    axios.get(`${base}/answer?base64=${encodeURIComponent("AAH/")}`, { responseType: "arraybuffer" }),
  "responseType blob": (axios, base) => axios.get(`${base}/answer?body=x`, { responseType: "blob" }),
  "responseType json": (axios, base) => axios.get(`${base}/answer?body={}`, { responseType: "json" }),
  "responseType arraybuffer of an error": (axios, base) =>
    axios.get(`${base}/answer?status=400&body=oops`, { responseType: "arraybuffer" }),
  responseEncoding: (axios, base) =>
    axios.get(`${base}/answer?base64=${encodeURIComponent("AAH/")}`, { responseEncoding: "base64" }),
  transformResponse: (axios, base) =>
    axios.get(`${base}/answer?body=x`, {
      transformResponse: (data, headers, status) => [data, headers.get("content-length"), status],
    }),
  "transformResponse in a row": (axios, base) =>
    axios.get(`${base}/answer?body={"a":1}`, {
      transformResponse: [...[].concat(axios.defaults.transformResponse), (data) => data.a],
    }),
  "transformResponse that throws": (axios, base) =>
    axios.get(`${base}/answer?body=x`, {
      transformResponse: () => {
        throw new TypeError("bad data");
      },
    }),
  maxContentLength: (axios, base) => axios.get(`${base}/answer?body=0123456789abcdef`, { maxContentLength: 10 }),
  "maxContentLength kept": (axios, base) => axios.get(`${base}/answer?body=0123456789`, { maxContentLength: 10 }),

  // Failures.
  "error 400": (axios, base) => axios.get(`${base}/answer?status=400&body=${json({ error: "invalid_grant" })}`),
  "error 401": (axios, base) =>
    axios.get(`${base}/answer?status=401&reason=Unauthorized&header=WWW-Authenticate: Bearer`),
  "error 404": (axios, base) => axios.get(`${base}/nowhere`),
  "error 422 of a post": (axios, base) => axios.post(`${base}/answer?status=422&body=no`, { a: 1 }),
  "error 500": (axios, base) => axios.get(`${base}/answer?status=500&type=text/plain&body=down`),
  "error 503": (axios, base) => axios.get(`${base}/answer?status=503&reason=Service Unavailable`),
  "error 304": (axios, base) => axios.get(`${base}/answer?status=304`),
  "error toJSON": (axios, base) =>
    axios.post(`${base}/answer?status=403`, { a: 1 }, { auth: { username: "u", password: "p" } }).catch((error) => {
      const { stack, config, ...rest } = error.toJSON();
      return [typeof stack, describeConfig(config), rest, Object.keys(JSON.parse(JSON.stringify(error))).sort()];
    }),
  "error redacted": (axios, base) =>
    axios
      .get(`${base}/answer?status=403`, { auth: { username: "u", password: "p" }, redact: ["Password"] })
      .catch((error) => error.toJSON().config.auth),
  "error as a string": (axios, base) =>
    axios
      .get(`${base}/answer?status=404`)
      .catch((error) => [
        String(error),
        error instanceof Error,
        error instanceof axios.AxiosError,
        Object.prototype.toString.call(error),
      ]),
  "validateStatus that accepts": (axios, base) =>
    axios.get(`${base}/answer?status=404&body=gone`, { validateStatus: (status) => status < 500 }),
  "validateStatus that refuses": (axios, base) =>
    axios.get(`${base}/answer?status=200`, { validateStatus: () => false }),
  "validateStatus null": (axios, base) => axios.get(`${base}/answer?status=500`, { validateStatus: null }),
  "validateStatus undefined": (axios, base) => axios.get(`${base}/answer?status=500`, { validateStatus: undefined }),
  timeout: (axios, base) => axios.get(`${base}/answer?delay=20000`, { timeout: 1000 }),
  "timeout with a message": (axios, base) =>
    axios.get(`${base}/answer?delay=20000`, { timeout: 1000, timeoutErrorMessage: "too slow" }),
  "timeout made clear": (axios, base) =>
    axios.get(`${base}/answer?delay=20000`, { timeout: 1000, transitional: { clarifyTimeoutError: true } }),
  "timeout not reached": (axios, base) => axios.get(`${base}/answer?delay=10&body=ok`, { timeout: 5000 }),
  "timeout of an instance": (axios, base) => axios.create({ timeout: 1000, baseURL: base }).get("/answer?delay=20000"),
  "timeout that is not a number": (axios, base) => axios.get(`${base}/echo`, { timeout: "soon" }),
  "connection refused": (axios) => axios.get("http://127.0.0.1:2/"),
  "connection closed": (axios, base) => axios.get(`${base}/hangup`),
  "connection closed in the body": (axios, base) => axios.get(`${base}/hangup?after=10`),
  "host unknown": (axios) => axios.get("http://nowhere.invalid/"),

  // Redirects.
  redirect: (axios, base) =>
    axios.get(`${base}/redirect?to=/echo`, { headers: { "X-A": "a", Authorization: "Bearer t" } }),
  "redirect of a post, 302": (axios, base) => axios.post(`${base}/redirect?to=/echo`, { a: 1 }),
  "redirect of a post, 303": (axios, base) => axios.post(`${base}/redirect?to=/echo&status=303`, { a: 1 }),
  "redirect of a post, 307": (axios, base) => axios.post(`${base}/redirect?to=/echo&status=307`, { a: 1 }),
  "redirect of a put, 301": (axios, base) => axios.put(`${base}/redirect?to=/echo&status=301`, { a: 1 }),
  "redirect of a put, 303": (axios, base) => axios.put(`${base}/redirect?to=/echo&status=303`, { a: 1 }),
  "redirect often": (axios, base) => axios.get(`${base}/redirect?to=/echo&times=5`),
  "redirect too often": (axios, base) => axios.get(`${base}/redirect?to=/echo&times=5`, { maxRedirects: 3 }),
  "redirect for ever": (axios, base) => axios.get(`${base}/redirect?to=/echo&times=50`),
  "redirect not followed": (axios, base) => axios.get(`${base}/redirect?to=/echo`, { maxRedirects: 0 }),
  "redirect not followed, accepted": (axios, base) =>
    axios.get(`${base}/redirect?to=/echo`, { maxRedirects: 0, validateStatus: (status) => status < 400 }),
  "redirect to another host": (axios, base) =>
    axios.get(`${base}/redirect?to=${encodeURIComponent(`${base.replace("127.0.0.1", "localhost")}/echo`)}`, {
      headers: { Authorization: "Bearer t", Cookie: "c=1", "X-Key": "k" },
      sensitiveHeaders: ["x-key"],
    }),
  "redirect without a location": (axios, base) => axios.get(`${base}/redirect`, { validateStatus: null }),
  "redirect, where it ended": (axios, base) =>
    axios.get(`${base}/redirect?to=/echo?x=1`).then((it) => it.request.res.responseUrl === `${base}/echo?x=1`),
  beforeRedirect: (axios, base) =>
    axios.get(`${base}/redirect?to=/echo`, {
      beforeRedirect: (options, { statusCode }) => {
        options.headers["X-Added"] = String(statusCode);
      },
    }),

  // Canceling.
  "signal aborted before": (axios, base) => {
    const controller = new AbortController();
    controller.abort();
    return axios.get(`${base}/echo`, { signal: controller.signal });
  },
  "signal aborted during": (axios, base) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 1000);
    return axios.get(`${base}/answer?delay=20000`, { signal: controller.signal });
  },
  "signal AbortSignal.timeout": (axios, base) =>
    axios.get(`${base}/answer?delay=20000`, { signal: AbortSignal.timeout(1000) }),
  "signal not aborted": (axios, base) =>
    axios.get(`${base}/echo`, { signal: new AbortController().signal }).then((it) => it.status),
  "cancel token": (axios, base) => {
    const source = axios.CancelToken.source();
    setTimeout(() => source.cancel("enough"), 1000);
    return axios.get(`${base}/answer?delay=20000`, { cancelToken: source.token });
  },
  "cancel token before": (axios, base) =>
    axios.get(`${base}/echo`, { cancelToken: new axios.CancelToken((cancel) => cancel("never")) }),

  // Instances and interceptors.
  "an instance": async (axios, base) => {
    const client = axios.create({ baseURL: base, headers: { "X-Key": "k" }, timeout: 3000 });
    return [
      seen(await client("/echo")),
      seen(await client.post("/echo", { a: 1 })),
      client.defaults.baseURL === base,
      axios.defaults.baseURL,
    ];
  },
  "an instance of an instance": (axios, base) =>
    axios
      .create({ baseURL: base, headers: { A: "1" } })
      .create({ headers: { B: "2" } })
      .get("/echo"),
  "request interceptors": async (axios, base) => {
    const client = axios.create({ baseURL: base });
    const order = [];
    client.interceptors.request.use((config) => {
      order.push(1);
      config.headers["X-First"] = "1";
      return config;
    });
    client.interceptors.request.use(async (config) => {
      await later(5);
      order.push(2);
      config.headers.set("X-Second", "2");
      return config;
    });
    const id = client.interceptors.request.use(() => {
      throw new Error("ejected");
    });
    client.interceptors.request.eject(id);
    return [seen(await client.get("/echo")), order];
  },
  "request interceptors in the documented order": async (axios, base) => {
    const client = axios.create({ baseURL: base, transitional: { legacyInterceptorReqResOrdering: false } });
    const order = [];
    for (const n of [1, 2])
      client.interceptors.request.use((config) => {
        order.push(n);
        return config;
      });
    for (const n of [3, 4])
      client.interceptors.response.use((response) => {
        order.push(n);
        return response;
      });
    await client.get("/echo");
    return order;
  },
  "request interceptors, synchronous and when": async (axios, base) => {
    const client = axios.create({ baseURL: base });
    client.interceptors.request.use(
      (config) => {
        config.headers["X-Sync"] = "yes";
        return config;
      },
      null,
      { synchronous: true },
    );
    client.interceptors.request.use(
      (config) => {
        config.headers["X-When"] = "yes";
        return config;
      },
      null,
      { runWhen: (config) => config.method === "get" },
    );
    return [seen(await client.get("/echo")), seen(await client.post("/echo"))];
  },
  "a request interceptor that throws": (axios, base) => {
    const client = axios.create({ baseURL: base });
    client.interceptors.request.use(() => {
      throw new RangeError("not now");
    });
    return client.get("/echo");
  },
  "response interceptors": async (axios, base) => {
    const client = axios.create({ baseURL: base });
    client.interceptors.response.use((response) => response.data);
    client.interceptors.response.use(async (data) => ({ method: data.method }));
    return client.get("/echo");
  },
  "a response interceptor that heals": async (axios, base) => {
    const client = axios.create({ baseURL: base });
    client.interceptors.response.use(null, (error) =>
      error.response.status === 401 ? client.request({ ...error.config, url: "/echo" }) : Promise.reject(error),
    );
    return client.post("/answer?status=401", { a: 1 }, { headers: { "X-A": "a" } });
  },
  "a response interceptor that rejects": (axios, base) => {
    const client = axios.create({ baseURL: base });
    client.interceptors.response.use(undefined, (error) =>
      Promise.reject(Object.assign(new Error(`own: ${error.message}`), { was: error.code })),
    );
    return client.get("/answer?status=500").catch((error) => [error.message, error.was]);
  },
  "a config sent again": async (axios, base) => {
    const first = await axios.post(`${base}/echo`, { a: 1 }, { headers: { "X-A": "a" }, params: { q: 1 } });
    return axios(first.config);
  },
  adapter: (axios) =>
    axios
      .get("/x", {
        adapter: async (config) => ({
          data: `{"url":"${config.url}"}`,
          status: 200,
          statusText: "OK",
          headers: {},
          config,
        }),
      })
      .then((it) => [it.data, it.status]),
  "adapter that settles": (axios) =>
    axios
      .get("/x", { adapter: (config) => Promise.reject(new axios.AxiosError("own", "E_OWN", config)) })
      .catch((error) => [error.message, error.code, error.config.url]),

  // Other exports of the module.
  "all and spread": (axios, base) =>
    axios
      .all([axios.get(`${base}/echo?1`).then((it) => it.data.url), 2])
      .then(axios.spread((a, b) => [a, b]))
      .then((it) => it),
  "what it exports": async (axios) => [
    typeof axios,
    [
      "request",
      "get",
      "delete",
      "head",
      "options",
      "post",
      "put",
      "patch",
      "postForm",
      "create",
      "getUri",
      "all",
      "spread",
      "isAxiosError",
      "isCancel",
      "toFormData",
      "formToJSON",
      "mergeConfig",
      "getAdapter",
      "Axios",
      "AxiosError",
      "AxiosHeaders",
      "CanceledError",
      "CancelToken",
      "Cancel",
    ].map((name) => typeof axios[name]),
    axios.default === axios,
    axios.Cancel === axios.CanceledError,
    axios.HttpStatusCode.NotFound,
    axios.HttpStatusCode[404],
    Object.keys(axios.HttpStatusCode).length,
    axios.create().isAxiosError,
    axios.AxiosError.ERR_BAD_REQUEST,
    axios.AxiosError.ECONNABORTED,
    axios.AxiosError.ERR_NETWORK,
  ],
  defaults: async (axios) => {
    const { headers, transformRequest, transformResponse, validateStatus, adapter, env, transitional, ...rest } =
      axios.defaults;
    return [
      rest,
      headers.common,
      Object.keys(headers).sort(),
      transformRequest.length,
      transformResponse.length,
      validateStatus(299),
      validateStatus(300),
      Object.keys(transitional).sort(),
    ];
  },
  "isAxiosError and isCancel": async (axios) => [
    axios.isAxiosError(new Error("x")),
    axios.isAxiosError({ isAxiosError: true }),
    axios.isAxiosError(null),
    axios.isAxiosError(new axios.CanceledError()),
    axios.isCancel(new axios.CanceledError()),
    axios.isCancel(new axios.AxiosError()),
    axios.isCancel(undefined),
  ],
  AxiosError: async (axios) => {
    const error = new axios.AxiosError("custom", "E_CODE", { url: "/x" }, {}, { status: 418 });
    const from = axios.AxiosError.from(new TypeError("deep"), "E_FROM", { url: "/y" });
    return [
      error.name,
      error.message,
      error.code,
      error.status,
      error.isAxiosError,
      error.config,
      from.name,
      from.message,
      from.code,
      from.cause.name,
      from instanceof axios.AxiosError,
      new axios.AxiosError("x") instanceof Error,
    ];
  },
  AxiosHeaders: async (axios) => {
    const headers = new axios.AxiosHeaders({ "Content-Type": "text/plain; charset=utf-8", "X-A": 1 });
    headers.set("x-a", "2").set({ "X-B": "b", "X-C": null }).set("X-D", ["1", "2"]);
    headers.set("X-B", "kept", false);
    return [
      headers.get("CONTENT-TYPE"),
      headers.get("x-a"),
      headers.get("none") ?? "absent",
      headers.has("X-b"),
      headers.has("x-c"),
      headers.delete("x-A"),
      headers.delete("x-a"),
      { ...headers.toJSON() },
      { ...headers.toJSON(true) },
      headers.toString(),
      headers.getContentType(),
      headers.hasAuthorization(),
      headers.setAuthorization("t").get("authorization"),
      [...headers],
      { ...headers.get("content-type", true) },
      headers.get("content-type", /charset=(.*)/)[1],
      axios.AxiosHeaders.from(headers) === headers,
      { ...axios.AxiosHeaders.from("A: 1\nB: 2").toJSON() },
      { ...axios.AxiosHeaders.concat({ a: "1" }, { A: "2", b: "3" }).toJSON() },
      { ...new axios.AxiosHeaders({ foo: "1" }).normalize(true).toJSON() },
      headers.clear(/^x-/i),
      Object.keys(headers.toJSON()),
      new axios.AxiosHeaders(new Map([["k", "v"]])).get("K"),
      Object.prototype.toString.call(headers),
    ];
  },
  toFormData: async (axios) => [
    ...axios.toFormData({ a: 1, b: [1, { c: 2 }], d: { e: null }, f: new Date(0), "g{}": [1] }, new FormData()),
  ],
  formToJSON: async (axios) => {
    const form = new FormData();
    for (const [name, value] of [
      ["a", "1"],
      ["b[c]", "2"],
      ["l[]", "3"],
      ["l[]", "4"],
      ["m[0][x]", "5"],
      ["user-name", "j"],
      ["u.v", "w"],
    ])
      form.append(name, value);
    return axios.formToJSON(form);
  },
  mergeConfig: async (axios) => {
    const { headers, ...rest } = axios.mergeConfig(
      { url: "/a", timeout: 1, params: { a: 1 }, headers: { A: "1" }, validateStatus: null, data: 1 },
      { params: { b: 2 }, headers: { B: "2" }, timeout: undefined, own: { x: 1 } },
    );
    return [{ ...rest }, { ...headers }];
  },
};

// Returns the outcome of the call `name`: {requests, result} or {requests, error}.
export async function run(axios, base, name) {
  await requests(base);
  try {
    const result = await calls[name](axios, base);
    return tidy({
      requests: await requests(base),
      result: result?.config && result.headers ? seen(result) : describe(result),
    });
  } catch (error) {
    return tidy({ requests: await requests(base), error: describeError(error, axios) });
  }
}

export async function runAll(axios, base) {
  const outcomes = {};
  for (const name of Object.keys(calls)) outcomes[name] = await run(axios, base, name);
  return outcomes;
}

const requests = async (base) => (await (await fetch(`${base}/_control/requests`)).json()).map(describeRequest);

// Headers of the connection, not of axios, and headers that Node.js's fetch adds.
const OF_THE_CONNECTION = [
  "host",
  "connection",
  "user-agent",
  "accept-encoding",
  "accept-language",
  "sec-fetch-mode",
  "date",
  "keep-alive",
  "transfer-encoding",
];

function describeRequest({ method, url, headers, body }) {
  const sent = {};
  for (const [name, value] of headers)
    if (!OF_THE_CONNECTION.includes(name)) sent[name] = name in sent ? `${sent[name]}, ${value}` : value;
  // Only some clients send the length of an empty body, and `accept: */*`.
  if (sent["content-length"] === "0") delete sent["content-length"];
  if (sent.accept === "*/*") delete sent.accept;
  let text = Buffer.from(body, "base64").toString("latin1");
  const boundary = /boundary=(.+)/.exec(sent["content-type"])?.[1];
  if (boundary) {
    text = describeMultipart(text, boundary);
    sent["content-type"] = sent["content-type"].replace(boundary, "BOUNDARY");
    delete sent["content-length"];
  }
  return { method, url, headers: sent, body: text };
}

// Describes the parts without the random boundary, and with a part's headers in a fixed order.
function describeMultipart(text, boundary) {
  return text
    .split(`--${boundary}`)
    .slice(1, -1)
    .map((part) => {
      const [head, ...body] = part.split("\r\n\r\n");
      return {
        head: head
          .trim()
          .split("\r\n")
          .map((it) => it.replace(/^[^:]*/, (name) => name.toLowerCase()))
          .sort(),
        body: body.join("\r\n\r\n"),
      };
    });
}

function describeHeaders(headers) {
  const plain = { ...(headers.toJSON?.() ?? headers) };
  // The length of a multipart body depends on its random boundary.
  const isMultipart = /boundary=/.test(plain["Content-Type"]);
  for (const name of Object.keys(plain)) {
    if (OF_THE_CONNECTION.includes(name.toLowerCase()) || (isMultipart && name === "Content-Length"))
      delete plain[name];
  }
  return describe(plain);
}

function describeConfig(config) {
  const { url, method, baseURL, params, data, timeout, headers, responseType, maxRedirects } = config;
  return {
    ...describe({ url, method, baseURL, params, data, timeout, responseType, maxRedirects }),
    headers: describeHeaders(headers),
  };
}

function describeError(error, axios) {
  const { name, message, code, status, response, config, request } = error;
  return {
    ...describe({ name, message, code, status }),
    isAxiosError: axios.isAxiosError(error),
    isCancel: axios.isCancel(error),
    request: Boolean(request),
    config: config ? describeConfig(config) : "none",
    response: response ? seen(response) : "none",
  };
}

// Describes any value as JSON, including distinctions that JSON does not make.
function describe(value) {
  if (value === undefined) return { undefined: true };
  if (typeof value === "function") return { function: true };
  if (typeof value !== "object" || value === null)
    return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  if (Buffer.isBuffer(value)) return { buffer: value.toString("base64") };
  if (value instanceof ArrayBuffer) return { arrayBuffer: Buffer.from(value).toString("base64") };
  if (value instanceof Uint8Array) return { uint8Array: Buffer.from(value).toString("base64") };
  if (value instanceof Date) return { date: value.toISOString() };
  if (value instanceof URLSearchParams) return { searchParams: String(value) };
  // Under Node.js, the real axios's forms are streams.
  if (value instanceof FormData || typeof value.getBoundary === "function") return { form: true };
  if (value instanceof Blob) return { blob: value.size, type: value.type };
  if (typeof value.pipe === "function" || typeof value.getReader === "function") return { stream: true };
  if (Array.isArray(value)) return value.map(describe);
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, describe(it)]));
}

// Replaces boundaries of echoed multipart bodies and other parts that differ between runs.
function tidy(outcome) {
  const text = JSON.stringify(outcome).replace(/boundary=[\w.-]+/g, "boundary=BOUNDARY");
  return JSON.parse(text);
}
