// Converting objects to form fields and back: `{a: {b: 1}, list: [1, 2]}` becomes `a[b]=1`, `list[]=1`, `list[]=2`.

import { isPlain } from "./config.js";
import { AxiosError } from "./error.js";

const MAX_DEPTH = 100;

// Returns the fields of `object` as [name, string] pairs.
export function pairs(object, options, what) {
  const found = [];
  walk(object, { append: (name, value) => found.push([name, String(value)]) }, options, what);
  return found;
}

// Appends the fields of `object` to `form`.
export function toFormData(object, form = new FormData(), options) {
  if (object === null || typeof object !== "object") throw new TypeError("target must be an object");
  walk(object, form, options);
  return form;
}

export const encodeForm = (object, options) =>
  pairs(object, options)
    .map((pair) => pair.map(encode).join("="))
    .join("&");

// Encodes a part of a form, like URLSearchParams does.
export const encode = (part) =>
  encodeURIComponent(part).replace(/[!'()~]|%20/g, (it) =>
    it === "%20" ? "+" : `%${it.charCodeAt(0).toString(16).toUpperCase()}`,
  );

function walk(object, form, options, what) {
  const { dots = false, metaTokens = true, indexes = false, maxDepth = MAX_DEPTH, visitor } = options ?? {};
  const above = [];
  const helpers = { defaultVisitor, convertValue, isVisitable };
  build(object, undefined);

  function build(value, path) {
    if (value === undefined) return;
    if (above.length > maxDepth) {
      const message = `Object is too deeply nested (${above.length} levels). Max depth: ${maxDepth}`;
      throw new AxiosError(message, AxiosError.ERR_FORM_DATA_DEPTH_EXCEEDED);
    }
    if (above.includes(value)) {
      if (what) throw new AxiosError(`Circular reference detected in ${what}`, AxiosError.ERR_BAD_OPTION_VALUE);
      throw new Error(`Circular reference detected in ${path.join(".")}`);
    }
    above.push(value);
    for (const [key, member] of Object.entries(value)) {
      if (member === undefined || member === null) continue;
      const name = key.trim();
      if ((visitor ?? defaultVisitor).call(form, member, name, path, helpers) === true)
        build(member, path ? [...path, name] : [name]);
    }
    above.pop();
  }

  // Returns whether to visit the value's members.
  function defaultVisitor(value, key, path) {
    if (!path && typeof value === "object") {
      if (key.endsWith("{}")) {
        form.append(metaTokens ? key : key.slice(0, -2), JSON.stringify(value));
        return false;
      }
      if (Array.isArray(value) && (key.endsWith("[]") || !value.some(isVisitable))) {
        const name = key.replace(/\[\]$/, "");
        value.forEach((member, at) => {
          if (member === undefined || member === null) return;
          form.append(
            indexes === true ? fieldName([name], at) : name + (indexes === null ? "" : "[]"),
            convertValue(member),
          );
        });
        return false;
      }
    }
    if (isVisitable(value)) return true;
    form.append(fieldName(path ?? [], key), convertValue(value));
    return false;
  }

  function fieldName(path, key) {
    const [first, ...rest] = [...path, key].map((part) => String(part).replace(/\[\]$/, ""));
    if (path.length === 0) return String(key);
    return dots ? [first, ...rest].join(".") : first + rest.map((part) => `[${part}]`).join("");
  }
}

const isVisitable = (value) => isPlain(value) || Array.isArray(value);

function convertValue(value) {
  if (value === null) return "";
  if (value instanceof Date) return value.toISOString();
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return new Blob([value]);
  return typeof value === "boolean" ? String(value) : value;
}

// Converts a form to an object: `.` and brackets create levels, `[]` and repetition create lists.
export function formToJSON(form) {
  if (typeof form?.entries !== "function") return null;
  const object = {};
  for (const [name, value] of form.entries()) {
    const path = [...name.matchAll(/[^.[\]]+|\[([^.[\]]*)\]/g)].map((match) => match[1] ?? match[0]);
    if (path.length > MAX_DEPTH) {
      const message = `Object is too deeply nested (${path.length} levels). Max depth: ${MAX_DEPTH}`;
      throw new AxiosError(message, AxiosError.ERR_FORM_DATA_DEPTH_EXCEEDED);
    }
    if (path.length && !path.includes("__proto__")) put(object, path, value);
  }
  return withoutGaps(object);
}

// Returns `target`, or the object that replaces it: a list remains a list as long as its keys are indexes.
function put(target, [part, ...rest], value) {
  const holder = Array.isArray(target) && !/^\d*$/.test(part) ? { ...target } : target;
  const key = part === "" && Array.isArray(holder) ? holder.length : part;
  if (rest.length > 0) holder[key] = put(isVisitable(holder[key]) ? holder[key] : [], rest, value);
  else
    holder[key] = Object.hasOwn(holder, key) ? [...(isWhole(holder[key]) ? holder[key] : [holder[key]]), value] : value;
  return holder;
}

const isWhole = (value) => Array.isArray(value) && Object.keys(value).length === value.length;

// Turns lists with gaps into objects.
function withoutGaps(value) {
  if (!isVisitable(value)) return value;
  if (isWhole(value)) return value.map(withoutGaps);
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, withoutGaps(it)]));
}
