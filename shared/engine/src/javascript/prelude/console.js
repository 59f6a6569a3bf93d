// console: lines for the function's caller. Objects look like in Node, but with less depth.
const MAX_DEPTH = 4;
const MAX_ITEMS = 100;
// More than the maximum length of a line plus the maximum length of a secret's pattern.
const MAX_LENGTH = 4000;

const { apply, ownKeys } = Reflect;
const { isArray } = Array;
const { stringify } = JSON;
const stringSlice = String.prototype.slice;
const errorText = Error.prototype.toString;
const dateText = Date.prototype.toISOString;

function inspect(value, depth, seen) {
  if (typeof value === "string") return depth === 0 ? shorten(value) : stringify(shorten(value));
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return `[Function: ${shorten(`${value.name}`) || "(anonymous)"}]`;
  if (typeof value !== "object" || value === null) return shorten(String(value));
  if (value instanceof Error) return `${shorten(apply(errorText, value, []))}\n${shorten(`${value.stack ?? ""}`)}`;
  if (value instanceof Date) return isNaN(value) ? "Invalid Date" : apply(dateText, value, []);
  for (let each = seen; each; each = each.next) if (each.value === value) return "[Circular]";
  if (depth >= MAX_DEPTH) return isArray(value) ? "[Array]" : "[Object]";
  seen = { value, next: seen };

  const isList = isArray(value);
  const keys = isList ? value : ownKeys(value);
  let text = "";
  for (let i = 0; i < keys.length; i++) {
    if (i >= MAX_ITEMS || text.length > MAX_LENGTH) {
      text += ", …";
      break;
    }
    if (i > 0) text += ", ";
    if (!isList) text += `${shorten(String(keys[i]))}: `;
    text += inspect(isList ? value[i] : value[keys[i]], depth + 1, seen);
  }
  return isList ? `[${text}]` : `{${text}}`;
}

const shorten = (text) => (text.length > MAX_LENGTH ? apply(stringSlice, text, [0, MAX_LENGTH]) : text);

export function make(host) {
  const { log } = host;

  function write(level, args) {
    let text = "";
    for (let i = 0; i < args.length && text.length <= MAX_LENGTH; i++) {
      if (i > 0) text += " ";
      try {
        text += inspect(args[i], 0, null);
      } catch {
        text += "[unreadable]";
      }
    }
    log(level, text);
  }

  const console = {};
  for (const level of ["log", "info", "warn", "error", "debug", "trace"]) {
    console[level] = (...args) => write(level, args);
  }
  console.dir = (value) => write("log", [value]);
  console.table = console.dir;
  console.assert = (condition, ...args) => condition || write("error", ["Assertion failed:", ...args]);
  for (const name of [
    "group",
    "groupCollapsed",
    "groupEnd",
    "time",
    "timeEnd",
    "timeLog",
    "count",
    "countReset",
    "clear",
  ]) {
    console[name] = () => {};
  }
  return { console };
}
