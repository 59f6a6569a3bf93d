// Blob, File and FormData. https://w3c.github.io/FileAPI/, https://xhr.spec.whatwg.org/#interface-formdata

import { concat, copy, isBytes, text } from "./bytes.js";
import { decode, encode } from "./encoding.js";

/** Returns the bytes of a Blob without copying them. */
export let bytesOf;

export class Blob {
  #bytes;
  #type;

  static {
    bytesOf = (blob) => blob.#bytes;
  }

  constructor(parts = [], { type = "", endings = "transparent" } = {}) {
    if (typeof parts !== "object" || typeof parts?.[Symbol.iterator] !== "function") {
      throw new TypeError("The Blob's parts must be a sequence");
    }
    this.#bytes = concat(
      Array.from(parts, (one) => {
        if (one instanceof Blob) return one.#bytes;
        if (isBytes(one)) return one;
        const written = text(one);
        return encode(endings === "native" ? written.replace(/\r\n?/g, "\n") : written);
      }),
    );
    this.#type = plainType(type);
  }

  get size() {
    return this.#bytes.length;
  }
  get type() {
    return this.#type;
  }
  async text() {
    return decode(this.#bytes);
  }
  async bytes() {
    return copy(this.#bytes);
  }
  async arrayBuffer() {
    return copy(this.#bytes).buffer;
  }
  slice(start = 0, end = this.size, type = "") {
    return new Blob([this.#bytes.slice(start, end)], { type });
  }
  get [Symbol.toStringTag]() {
    return "Blob";
  }
}

const plainType = (type) => (/[^\x20-\x7e]/.test(type) ? "" : `${type}`.toLowerCase());

export class File extends Blob {
  #name;
  #lastModified;

  constructor(parts, name, { type, lastModified = Date.now() } = {}) {
    if (arguments.length < 2) throw new TypeError("A File requires parts and a name");
    super(parts, { type });
    this.#name = text(name);
    this.#lastModified = Math.trunc(lastModified) || 0;
  }
  get name() {
    return this.#name;
  }
  get lastModified() {
    return this.#lastModified;
  }
  get [Symbol.toStringTag]() {
    return "File";
  }
}

export class FormData {
  #list = [];

  constructor(form) {
    if (form !== undefined) throw new TypeError("FormData cannot be constructed from a form");
  }
  append(...entry) {
    this.#list.push(pair(entry));
  }
  delete(name) {
    this.#list = this.#list.filter(([one]) => one !== text(name));
  }
  get(name) {
    return this.#list.find(([one]) => one === text(name))?.[1] ?? null;
  }
  getAll(name) {
    return this.#list.filter(([one]) => one === text(name)).map(([, value]) => value);
  }
  has(name) {
    return this.#list.some(([one]) => one === text(name));
  }
  set(...entry) {
    const made = pair(entry);
    const at = this.#list.findIndex(([one]) => one === made[0]);
    if (at < 0) return void this.#list.push(made);
    this.#list = this.#list.filter(([one], i) => i <= at || one !== made[0]);
    this.#list[at] = made;
  }
  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }
  *entries() {
    for (let i = 0; i < this.#list.length; i++) yield [...this.#list[i]];
  }
  *keys() {
    for (const [name] of this.entries()) yield name;
  }
  *values() {
    for (const [, value] of this.entries()) yield value;
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  get [Symbol.toStringTag]() {
    return "FormData";
  }
}

/** https://xhr.spec.whatwg.org/#create-an-entry */
function pair(entry) {
  if (entry.length < 2) throw new TypeError("A FormData entry requires a name and a value");
  const [name, value, filename] = entry;
  if (!(value instanceof Blob)) {
    if (entry.length > 2) throw new TypeError("Only a Blob can have a file name");
    return [text(name), text(value)];
  }
  if (value instanceof File && filename === undefined) return [text(name), value];
  const { lastModified } = value;
  return [text(name), new File([value], filename ?? "blob", { type: value.type, lastModified })];
}

/** Encodes a FormData as the body of a request. https://html.spec.whatwg.org/#multipart-form-data */
export function multipart(form, boundary) {
  const parts = [];
  for (const [name, value] of form) {
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(lines(name))}"`;
    if (typeof value === "string") {
      parts.push(encode(`${head}\r\n\r\n${lines(value)}\r\n`));
    } else {
      const type = value.type || "application/octet-stream";
      const file = `${head}; filename="${quoted(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`;
      parts.push(encode(file), bytesOf(value), encode("\r\n"));
    }
  }
  parts.push(encode(`--${boundary}--\r\n`));
  return concat(parts);
}

const lines = (value) => value.replace(/\r\n?|\n/g, "\r\n");
const quoted = (value) => value.replace(/\n/g, "%0A").replace(/\r/g, "%0D").replace(/"/g, "%22");

export function make() {
  return { Blob, File, FormData };
}
