// Event, EventTarget, AbortController and AbortSignal.

let begin;
let stopped;

/** https://dom.spec.whatwg.org/#event, without bubbling: there is no tree. */
export class Event {
  #type;
  #init;
  #target = null;
  #current = null;
  #prevented = false;
  #stopped = false;
  #timeStamp = performance.now();

  static {
    begin = (event, target, current) => {
      event.#target = target;
      event.#current = current;
    };
    stopped = (event) => event.#stopped;
  }

  constructor(type, init = {}) {
    if (arguments.length === 0) throw new TypeError('The "type" argument must be specified');
    this.#type = `${type}`;
    this.#init = { ...init };
  }
  get type() {
    return this.#type;
  }
  get target() {
    return this.#target;
  }
  get srcElement() {
    return this.#target;
  }
  get currentTarget() {
    return this.#current;
  }
  get bubbles() {
    return Boolean(this.#init.bubbles);
  }
  get cancelable() {
    return Boolean(this.#init.cancelable);
  }
  get composed() {
    return Boolean(this.#init.composed);
  }
  get defaultPrevented() {
    return this.#prevented;
  }
  get timeStamp() {
    return this.#timeStamp;
  }
  get isTrusted() {
    return false;
  }
  preventDefault() {
    if (this.cancelable) this.#prevented = true;
  }
  stopPropagation() {}
  stopImmediatePropagation() {
    this.#stopped = true;
  }
}

/** https://dom.spec.whatwg.org/#eventtarget. Errors in listeners are logged to the console. */
export class EventTarget {
  #listeners = [];

  addEventListener(type, callback, options) {
    if (callback === null || callback === undefined) return;
    const {
      once = false,
      capture = false,
      signal,
    } = typeof options === "object" ? (options ?? {}) : { capture: options };
    if (signal?.aborted) return;
    const listener = { type: `${type}`, callback, once, capture: Boolean(capture) };
    if (this.#listeners.some(same(listener))) return;
    this.#listeners.push(listener);
    if (signal) onAbort(signal, () => this.removeEventListener(type, callback, options));
  }

  removeEventListener(type, callback, options) {
    const capture = Boolean(typeof options === "object" ? options?.capture : options);
    const is = same({ type: `${type}`, callback, capture });
    this.#listeners = this.#listeners.filter((listener) => !is(listener));
  }

  dispatchEvent(event) {
    if (!(event instanceof Event)) throw new TypeError('The "event" argument must be an instance of Event');
    begin(event, this, this);
    for (const listener of [...this.#listeners]) {
      if (listener.type !== event.type || !this.#listeners.includes(listener)) continue;
      if (listener.once) this.removeEventListener(listener.type, listener.callback, listener.capture);
      try {
        if (typeof listener.callback === "function") listener.callback.call(this, event);
        else listener.callback.handleEvent(event);
      } catch (error) {
        console.error(error);
      }
      if (stopped(event)) break;
    }
    begin(event, this, null);
    return !event.defaultPrevented;
  }
}

const same = (a) => (b) => a.type === b.type && a.callback === b.callback && a.capture === b.capture;

const internal = {};
let newSignal;
let abort;
/** Calls `run` when `signal` aborts, before its listeners. Returns a function that removes `run`. */
export let onAbort;

/** https://dom.spec.whatwg.org/#interface-AbortSignal */
export class AbortSignal extends EventTarget {
  #aborted = false;
  #reason;
  #steps = new Set();
  #handler = null;

  static {
    newSignal = () => new AbortSignal(internal);
    abort = (signal, reason = new DOMException("This operation was aborted", "AbortError")) => {
      if (signal.#aborted) return;
      signal.#aborted = true;
      signal.#reason = reason;
      for (const step of signal.#steps) step();
      signal.#steps.clear();
      signal.dispatchEvent(new Event("abort"));
    };
    onAbort = (signal, run) => {
      signal.#steps.add(run);
      return () => signal.#steps.delete(run);
    };
  }

  constructor(key) {
    if (key !== internal) throw new TypeError("Illegal constructor");
    super();
  }
  get aborted() {
    return this.#aborted;
  }
  get reason() {
    return this.#reason;
  }
  get onabort() {
    return this.#handler;
  }
  set onabort(handler) {
    if (this.#handler) this.removeEventListener("abort", this.#handler);
    this.#handler = typeof handler === "function" ? handler : null;
    if (this.#handler) this.addEventListener("abort", this.#handler);
  }
  throwIfAborted() {
    if (this.#aborted) throw this.#reason;
  }

  static abort(reason) {
    const signal = newSignal();
    abort(signal, reason);
    return signal;
  }

  static timeout(milliseconds) {
    const signal = newSignal();
    const reason = () => new DOMException("The operation was aborted due to timeout", "TimeoutError");
    setTimeout(() => abort(signal, reason()), milliseconds);
    return signal;
  }

  static any(signals) {
    const all = [...signals];
    const signal = newSignal();
    const aborted = all.find((one) => one.aborted);
    if (aborted) abort(signal, aborted.reason);
    else for (const one of all) onAbort(one, () => abort(signal, one.reason));
    return signal;
  }
}

/** https://dom.spec.whatwg.org/#interface-abortcontroller */
export class AbortController {
  #signal = newSignal();
  get signal() {
    return this.#signal;
  }
  abort(reason) {
    abort(this.#signal, reason);
  }
}

export function make() {
  return { Event, EventTarget, AbortSignal, AbortController };
}
