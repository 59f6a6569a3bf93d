// Defines the globals. Each file exports `make(host, globalThis)`, which returns the globals to add.
import { make as makeConsole } from "./console.js";
import { make as makeTimers } from "./timers.js";
import { make as makeBytes } from "./bytes.js";
import { make as makeEvents } from "./events.js";
import { make as makeEncoding } from "./encoding.js";
import { make as makeUrl } from "./url.js";
import { make as makeBlob } from "./blob.js";
import { make as makeFetch } from "./fetch.js";
import { make as makeBuffer } from "./buffer.js";
import { make as makeCrypto } from "./crypto.js";
import { make as makeClone } from "./clone.js";
import { makeApiClient } from "./api-client.js";

const { TypeError } = globalThis;
const { apply } = Reflect;
const parts = [
  makeConsole,
  makeTimers,
  makeBytes,
  makeEvents,
  makeEncoding,
  makeUrl,
  makeBlob,
  makeFetch,
  makeBuffer,
  makeCrypto,
  makeClone,
];

// `host` contains the native functions. Nothing that a script can reach may refer to it.
// The result is only for the engine.
export default function install(host, globalThis) {
  Object.freeze(host);
  for (const make of parts) {
    const globals = make(host, globalThis);
    for (const name of Object.keys(globals)) {
      Object.defineProperty(globalThis, name, { value: globals[name], writable: true, configurable: true });
    }
  }
  // Call sites would expose the prelude's functions.
  Object.defineProperty(Error, "prepareStackTrace", { get() {}, set() {}, configurable: false });
  // The engine leaks values of other types.
  const { get, set } = Object.getOwnPropertyDescriptor(Error, "stackTraceLimit");
  const setLimit = (limit) => {
    if (typeof limit === "number") apply(set, Error, [limit]);
  };
  Object.defineProperty(Error, "stackTraceLimit", { get, set: setLimit, configurable: false });
  return {
    apiClient: makeApiClient(host, globalThis),
    call: async (fn, argument) => await fn(argument),
    // The error of an operation that may fail later. Its stack shows where the script started the operation.
    failure: () => new TypeError(""),
  };
}
