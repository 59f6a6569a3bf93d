// `CancelToken`, which is deprecated in favor of `signal` but still in use.

import { CanceledError } from "./error.js";

export class CancelToken {
  #listeners = new Set();

  constructor(executor) {
    if (typeof executor !== "function") throw new TypeError("executor must be a function.");
    this.promise = new Promise((resolve) => this.#listeners.add(resolve));
    executor((message, config, request) => {
      if (this.reason) return;
      this.reason = new CanceledError(message, config, request);
      for (const listener of this.#listeners) listener(this.reason);
      this.#listeners.clear();
    });
  }

  static source() {
    let cancel;
    const token = new CancelToken((it) => {
      cancel = it;
    });
    return { token, cancel };
  }

  throwIfRequested() {
    if (this.reason) throw this.reason;
  }

  subscribe(listener) {
    if (this.reason) listener(this.reason);
    else this.#listeners.add(listener);
  }

  unsubscribe(listener) {
    this.#listeners.delete(listener);
  }

  toAbortSignal() {
    const controller = new AbortController();
    this.subscribe((reason) => controller.abort(reason));
    return controller.signal;
  }
}
