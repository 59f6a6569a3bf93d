// setTimeout and related functions, on top of the native timers.
export function make(host) {
  const { setTimer, clearTimer } = host;
  const { apply } = Reflect;

  function start(callback, delay, repeats, args) {
    if (typeof callback !== "function") throw new TypeError("a timer needs a function");
    return setTimer(() => apply(callback, undefined, args), +delay || 0, repeats);
  }
  const clear = (id) => clearTimer(+id || 0);

  return {
    setTimeout: (callback, delay, ...args) => start(callback, delay, false, args),
    setInterval: (callback, delay, ...args) => start(callback, delay, true, args),
    setImmediate: (callback, ...args) => start(callback, 0, false, args),
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
  };
}
