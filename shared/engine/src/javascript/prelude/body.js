// The common part of Request and Response. https://fetch.spec.whatwg.org/#body-mixin

import { Blob, FormData, bytesOf, multipart } from "./blob.js";
import { copy, isBytes, text } from "./bytes.js";
import { decode, encode } from "./encoding.js";
import { URLSearchParams } from "./url.js";

/** Bytes that nothing else refers to: a body that needs no copying and has no type. */
export class Owned {
  constructor(bytes) {
    this.bytes = bytes;
  }
}

/** Returns a body's bytes and Content-Type. https://fetch.spec.whatwg.org/#concept-bodyinit-extract */
export function extract(body) {
  if (body === null || body === undefined) return [null, null];
  if (body instanceof Owned) return [body.bytes, null];
  if (isBytes(body)) return [copy(body), null];
  if (body instanceof URLSearchParams) return [encode(body), "application/x-www-form-urlencoded;charset=UTF-8"];
  if (body instanceof Blob) return [bytesOf(body), body.type || null];
  if (body instanceof FormData) {
    const boundary = `----formdata-${`${Math.random()}`.slice(2)}`;
    return [multipart(body, boundary), `multipart/form-data; boundary=${boundary}`];
  }
  return [encode(text(body)), "text/plain;charset=UTF-8"];
}

/** Consumes a body and returns its bytes, or null if it has none. */
export let take;
/** Returns a body's bytes without consuming it. */
export let peek;

export class Body {
  #bytes;
  #used = false;

  static {
    take = (body) => {
      if (body.#used) throw new TypeError("Body is unusable: Body has already been read");
      body.#used = body.#bytes !== null;
      return body.#bytes;
    };
    peek = (body) => {
      if (body.#used) throw new TypeError("Body is unusable: Body has already been read");
      return body.#bytes;
    };
  }

  constructor(bytes) {
    this.#bytes = bytes;
  }
  get bodyUsed() {
    return this.#used;
  }
  async text() {
    return decode(take(this) ?? new Uint8Array());
  }
  async json() {
    return JSON.parse(await this.text());
  }
  async bytes() {
    return copy(take(this) ?? new Uint8Array());
  }
  async arrayBuffer() {
    return (await this.bytes()).buffer;
  }
  async blob() {
    return new Blob([await this.bytes()], { type: this.headers.get("content-type") ?? "" });
  }
  async formData() {
    const type = this.headers.get("content-type") ?? "";
    if (!/^\s*application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) {
      throw new TypeError(`formData() only supports application/x-www-form-urlencoded, not "${type}"`);
    }
    const form = new FormData();
    for (const [name, value] of new URLSearchParams(await this.text())) form.append(name, value);
    return form;
  }
}
