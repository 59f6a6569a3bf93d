// Headers. https://fetch.spec.whatwg.org/#headers-class

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Returns the headers as [name, value] pairs, with their original names and in their original order. */
export let listOf;

export class Headers {
  #list = [];

  static {
    listOf = (headers) => headers.#list;
  }

  constructor(init) {
    if (init === undefined) return;
    if (init === null || typeof init !== "object") {
      throw new TypeError("Headers must be an object, [name, value] pairs, or Headers");
    }
    const pairs = typeof init[Symbol.iterator] === "function" ? init : Object.entries(init);
    for (const pair of pairs) {
      const parts = [...pair];
      if (parts.length !== 2) throw new TypeError("A header must be a [name, value] pair");
      this.append(parts[0], parts[1]);
    }
  }

  append(name, value) {
    this.#list.push([checkedName(name), checkedValue(value, name)]);
  }
  delete(name) {
    const is = named(name);
    this.#list = this.#list.filter((pair) => !is(pair));
  }
  get(name) {
    const found = this.#list.filter(named(name));
    return found.length ? found.map(([, value]) => value).join(separator(name)) : null;
  }
  getSetCookie() {
    return this.#list.filter(named("set-cookie")).map(([, value]) => value);
  }
  has(name) {
    return this.#list.some(named(name));
  }
  set(name, value) {
    const pair = [checkedName(name), checkedValue(value, name)];
    const is = named(name);
    const at = this.#list.findIndex(is);
    if (at < 0) return void this.#list.push(pair);
    this.#list = this.#list.filter((one, i) => i <= at || !is(one));
    this.#list[at] = pair;
  }
  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }
  *entries() {
    const names = [...new Set(this.#list.map(([name]) => name.toLowerCase()))].sort();
    for (const name of names) {
      if (name === "set-cookie") for (const value of this.getSetCookie()) yield [name, value];
      else yield [name, this.get(name)];
    }
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
    return "Headers";
  }
}

const separator = (name) => (`${name}`.toLowerCase() === "cookie" ? "; " : ", ");

function named(name) {
  const wanted = checkedName(name).toLowerCase();
  return (pair) => pair[0].toLowerCase() === wanted;
}

function checkedName(name) {
  if (!NAME.test(name)) throw new TypeError(`${name} is an invalid header name.`);
  return `${name}`;
}

// The error does not contain the value, which may be a key.
function checkedValue(value, name) {
  const trimmed = `${value}`.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
  const found = /[\0\r\n]|[^\0-\xff]/.exec(trimmed)?.[0];
  if (found !== undefined) {
    const what = found === "\r" || found === "\n" ? "a line break" : "a character that is not allowed in headers";
    throw new TypeError(`The value of the header ${name} is invalid: it contains ${what}.`);
  }
  return trimmed;
}
