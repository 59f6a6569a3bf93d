// TextEncoder and TextDecoder. https://encoding.spec.whatwg.org/

import { concat, pack, part, text, view } from "./bytes.js";

let host;

/** Encodes a string as UTF-8. */
export const encode = (value) => new Uint8Array(host.encode(text(value), "utf8"));

/** Decodes UTF-8, with U+FFFD for invalid bytes and without a byte order mark. */
export const decode = (bytes) => host.decode("utf-8", pack(bytes), false, false, false).text;

export class TextEncoder {
  get encoding() {
    return "utf-8";
  }
  encode(value = "") {
    return encode(value);
  }
  encodeInto(value, destination) {
    let read = 0;
    let written = 0;
    for (const character of text(value)) {
      const bytes = encode(character);
      if (written + bytes.length > destination.length) break;
      destination.set(bytes, written);
      written += bytes.length;
      read += character.length;
    }
    return { read, written };
  }
}

const LABELS = {
  "utf-8": ["utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"],
  "utf-16le": ["utf-16le", "utf-16", "ucs-2", "unicode", "csunicode", "iso-10646-ucs-2", "unicodefeff"],
  "windows-1252": [
    "windows-1252",
    "latin1",
    "iso-8859-1",
    "iso8859-1",
    "iso88591",
    "iso_8859-1",
    "l1",
    "ascii",
    "us-ascii",
    "cp1252",
    "x-cp1252",
    "cp819",
    "ibm819",
  ],
};

export class TextDecoder {
  #encoding;
  #fatal;
  #ignoreBOM;
  #rest = new Uint8Array();
  #begun = false;

  constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
    const wanted = `${label}`.trim().toLowerCase();
    this.#encoding = Object.keys(LABELS).find((name) => LABELS[name].includes(wanted));
    if (!this.#encoding) {
      const error = new RangeError(
        `The "${label}" encoding is not supported; use one of ${Object.keys(LABELS).join(", ")}`,
      );
      throw Object.assign(error, { code: "ERR_ENCODING_NOT_SUPPORTED" });
    }
    this.#fatal = Boolean(fatal);
    this.#ignoreBOM = Boolean(ignoreBOM);
  }
  get encoding() {
    return this.#encoding;
  }
  get fatal() {
    return this.#fatal;
  }
  get ignoreBOM() {
    return this.#ignoreBOM;
  }

  decode(input = new Uint8Array(), { stream = false } = {}) {
    const bytes = this.#rest.length ? concat([this.#rest, view(input)]) : view(input);
    const keepMark = this.#ignoreBOM || this.#begun;
    let result;
    try {
      result = host.decode(this.#encoding, pack(bytes), this.#fatal, keepMark, Boolean(stream));
    } catch (error) {
      this.#rest = new Uint8Array();
      this.#begun = false;
      throw Object.assign(new TypeError(error.message), { code: "ERR_ENCODING_INVALID_ENCODED_DATA" });
    }
    this.#rest = new Uint8Array(part(bytes, bytes.length - result.rest));
    this.#begun = stream && (this.#begun || bytes.length > result.rest);
    return result.text;
  }
}

export function make(given) {
  host = given;
  return { TextEncoder, TextDecoder };
}
