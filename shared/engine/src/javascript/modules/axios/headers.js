// Headers as an object's own properties. They keep the case in which they were first set; lookups ignore case.

export class AxiosHeaders {
  constructor(headers) {
    this.set(headers);
  }

  static from(headers) {
    return headers instanceof AxiosHeaders ? headers : new AxiosHeaders(headers);
  }

  static concat(...all) {
    return all.reduce((merged, headers) => merged.set(headers), new AxiosHeaders());
  }

  // `rewrite`: true always sets; false only sets missing headers; the default sets all but headers that are false.
  set(header, value, rewrite) {
    if (header === undefined || header === null) return this;
    if (typeof header === "string" && (value !== undefined || !/[:\n]/.test(header))) {
      this.#put(header, value, rewrite);
    } else {
      for (const [name, it] of entries(header)) this.#put(name, it, value);
    }
    return this;
  }

  #put(header, value, rewrite) {
    if (!header.trim()) return;
    const name = this.#find(header) ?? header;
    const is = this[name];
    const mayWrite =
      typeof rewrite === "function"
        ? rewrite.call(this, is, name, this)
        : rewrite === true || (rewrite === undefined && is !== false);
    if (is === undefined || mayWrite) define(this, name, normal(value));
  }

  #find(header) {
    const name = String(header).trim().toLowerCase();
    return Object.keys(this).find((it) => it.toLowerCase() === name);
  }

  get(header, parser) {
    const name = this.#find(header);
    const value = name && this[name];
    if (!name || !parser) return value;
    if (parser === true) return tokens(value);
    if (parser instanceof RegExp) return parser.exec(value);
    return parser.call(this, value, name);
  }

  has(header, matcher) {
    const name = this.#find(header);
    return Boolean(name && this[name] !== undefined && (!matcher || matches(this, this[name], name, matcher)));
  }

  delete(header, matcher) {
    const names = [header]
      .flat()
      .map((it) => this.#find(it))
      .filter((it) => it && (!matcher || matches(this, this[it], it, matcher)));
    for (const name of names) delete this[name];
    return names.length > 0;
  }

  clear(matcher) {
    const names = Object.keys(this).filter((it) => !matcher || matches(this, it, it, matcher));
    for (const name of names) delete this[name];
    return names.length > 0;
  }

  // Keeps the last header of each name. `format` capitalizes the names.
  normalize(format) {
    const kept = new Map();
    for (const [name, value] of Object.entries(this)) {
      const known = kept.get(name.toLowerCase());
      kept.set(name.toLowerCase(), [known?.[0] ?? name.trim(), value]);
      delete this[name];
    }
    for (const [name, value] of kept.values()) define(this, format ? capital(name) : name, normal(value));
    return this;
  }

  concat(...others) {
    return AxiosHeaders.concat(this, ...others);
  }

  toJSON(asStrings) {
    const plain = Object.create(null);
    for (const [name, value] of Object.entries(this)) {
      if (value === undefined || value === null || value === false) continue;
      plain[name] = asStrings && Array.isArray(value) ? value.join(", ") : value;
    }
    return plain;
  }

  toString() {
    return [...this].map(([name, value]) => `${name}: ${value}`).join("\n");
  }

  getSetCookie() {
    return this.get("set-cookie") ?? [];
  }

  [Symbol.iterator]() {
    return Object.entries(this.toJSON())[Symbol.iterator]();
  }

  get [Symbol.toStringTag]() {
    return "AxiosHeaders";
  }
}

for (const header of ["Content-Type", "Content-Length", "Accept", "Accept-Encoding", "User-Agent", "Authorization"]) {
  const name = header.replace("-", "");
  for (const verb of ["get", "set", "has"]) {
    const value = function (...parameters) {
      return this[verb](header, ...parameters);
    };
    Object.defineProperty(AxiosHeaders.prototype, `${verb}${name}`, { value, configurable: true });
  }
}

function entries(headers) {
  if (typeof headers === "string") {
    return headers
      .split("\n")
      .map((line) => [line.split(":")[0].trim().toLowerCase(), line.slice(line.indexOf(":") + 1).trim()])
      .filter(([name]) => name);
  }
  return typeof headers[Symbol.iterator] === "function" && !(headers instanceof AxiosHeaders)
    ? [...headers]
    : Object.entries(headers);
}

// Do not use `headers[name] = …`: a header's name may be `__proto__`.
function define(headers, name, value) {
  Object.defineProperty(headers, name, { value, enumerable: true, writable: true, configurable: true });
}

// Removes line breaks, so a value cannot add headers to a request.
function normal(value) {
  if (value === false || value === undefined || value === null) return value;
  return Array.isArray(value)
    ? value.map(normal)
    : String(value)
        .replace(/[\r\n\0]+/g, "")
        .trim();
}

function matches(headers, value, name, matcher) {
  if (typeof matcher === "function") return matcher.call(headers, value, name);
  if (matcher instanceof RegExp) return matcher.test(value);
  return typeof matcher === "string" && String(value).includes(matcher);
}

function tokens(text) {
  const pairs = Object.create(null);
  for (const [, key, value] of String(text).matchAll(/([^\s,;=]+)\s*(?:=\s*([^,;]+))?/g)) pairs[key] = value;
  return pairs;
}

const capital = (name) => name.toLowerCase().replace(/[a-z\d]\w*/g, (word) => word[0].toUpperCase() + word.slice(1));
