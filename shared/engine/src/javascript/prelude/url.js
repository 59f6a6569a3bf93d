// URL and URLSearchParams. https://url.spec.whatwg.org/. The parsing is native.

import { text } from "./bytes.js";

let host;
let watch;

export class URLSearchParams {
  #list = [];
  #changed = () => {};

  static {
    /** Returns parameters that call `changed` when they change, and a function that sets them to another query. */
    watch = (query, changed) => {
      const params = new URLSearchParams(query);
      params.#changed = changed;
      return [
        params,
        (next) => {
          params.#list = host.parseForm(next);
        },
      ];
    };
  }

  constructor(init = "") {
    init ??= "";
    if (typeof init !== "object" && typeof init !== "function") {
      const query = text(init);
      this.#list = host.parseForm(query[0] === "?" ? query.slice(1) : query);
    } else if (typeof init[Symbol.iterator] === "function") {
      this.#list = Array.from(init, (pair) => {
        const parts = [...pair];
        if (parts.length !== 2) {
          throw coded(TypeError, "ERR_INVALID_TUPLE", "Each query pair must be an iterable [name, value] tuple");
        }
        return parts.map(text);
      });
    } else {
      this.#list = Object.keys(init).map((name) => [text(name), text(init[name])]);
    }
  }

  get size() {
    return this.#list.length;
  }
  append(name, value) {
    this.#list.push([text(name), text(value)]);
    this.#changed(this);
  }
  delete(name, value) {
    const is = matching(name, value);
    this.#list = this.#list.filter((pair) => !is(pair));
    this.#changed(this);
  }
  get(name) {
    return this.#list.find(matching(name))?.[1] ?? null;
  }
  getAll(name) {
    return this.#list.filter(matching(name)).map((pair) => pair[1]);
  }
  has(name, value) {
    return this.#list.some(matching(name, value));
  }
  set(name, value) {
    const is = matching(name);
    const at = this.#list.findIndex(is);
    if (at < 0) return this.append(name, value);
    this.#list = this.#list.filter((pair, i) => i <= at || !is(pair));
    this.#list[at] = [text(name), text(value)];
    this.#changed(this);
  }
  sort() {
    this.#list.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    this.#changed(this);
  }
  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }
  *entries() {
    for (let i = 0; i < this.#list.length; i++) yield [...this.#list[i]];
  }
  *keys() {
    for (const pair of this.entries()) yield pair[0];
  }
  *values() {
    for (const pair of this.entries()) yield pair[1];
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  toString() {
    return host.printForm(this.#list);
  }
  get [Symbol.toStringTag]() {
    return "URLSearchParams";
  }
}

const matching = (name, value) => {
  const wanted = text(name);
  return (pair) => pair[0] === wanted && (value === undefined || pair[1] === text(value));
};

const PARTS = [
  "href",
  "origin",
  "protocol",
  "username",
  "password",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
  "hash",
];

export class URL {
  #parts;
  #params;
  #follow;

  constructor(input, base) {
    this.#parts = host.parseUrl(text(input), base === undefined ? undefined : text(base));
    if (!this.#parts) {
      const error = coded(TypeError, "ERR_INVALID_URL", "Invalid URL");
      throw Object.assign(error, { input: `${input}` }, base === undefined ? {} : { base: `${base}` });
    }
  }
  static canParse(input, base) {
    return Boolean(host.parseUrl(text(input), base === undefined ? undefined : text(base)));
  }

  get searchParams() {
    if (!this.#params) {
      const changed = (params) => {
        this.#parts = host.setUrl(this.#parts[0], "search", `${params}`);
      };
      [this.#params, this.#follow] = watch(this.search, changed);
    }
    return this.#params;
  }
  toString() {
    return this.href;
  }
  toJSON() {
    return this.href;
  }
  get [Symbol.toStringTag]() {
    return "URL";
  }

  static {
    PARTS.forEach((name, i) => {
      const get = {
        [name]() {
          return this.#parts[i];
        },
      }[name];
      const set = function (value) {
        const parts = host.setUrl(this.#parts[0], name, text(value));
        if (!parts) throw coded(TypeError, "ERR_INVALID_URL", "Invalid URL");
        this.#parts = parts;
        this.#follow?.(this.search.slice(1));
      };
      const property = { get, set: name === "origin" ? undefined : set, enumerable: true, configurable: true };
      Object.defineProperty(URL.prototype, name, property);
    });
  }
}

const coded = (Kind, code, message) => Object.assign(new Kind(message), { code });

export function make(given) {
  host = given;
  return { URL, URLSearchParams };
}
