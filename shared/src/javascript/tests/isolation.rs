//! What a script cannot reach.

use super::*;

#[tokio::test]
async fn there_is_no_system_to_reach() {
    let text = "export default () => ['process', 'std', 'os', 'Deno', 'Bun', 'require', 'module', 'host', 'Worker', 'scriptArgs', 'print', 'load', 'install']
        .filter((name) => typeof globalThis[name] !== 'undefined' || new Function(`return typeof ${name}`)() !== 'undefined')";
    assert_eq!(value(text).await, Some(json!([])));
}

#[tokio::test]
async fn the_host_object_is_not_reachable_through_call_sites() {
    let text = "export default () => {
        const seen = []
        const look = (error, sites) => { for (const site of sites) seen.push(site.getFunction?.()); return 'x' }
        Error.prepareStackTrace = look
        try { Object.defineProperty(Error, 'prepareStackTrace', { value: look }) } catch {}
        try { setTimeout('no function') } catch (error) { String(error.stack) }
        console.log({ get a() { String(new Error().stack) } })
        return seen.length
    }";
    assert_eq!(value(text).await, Some(json!(0)));
}

#[tokio::test]
async fn the_host_object_is_not_reachable_through_patched_prototypes() {
    let text = "
        let found = 0
        const look = (value) => {
          if ((typeof value === 'object' || typeof value === 'function') && value !== null && value !== globalThis) {
            for (const name of ['setTimer', 'openApi', 'apiRequest', 'abortFetch']) if (Object.getOwnPropertyDescriptor(value, name)) found++
            if (typeof value === 'function' && ['setTimer', 'clearTimer', 'openApi', 'apiRequest'].includes(Object.getOwnPropertyDescriptor(value, 'name')?.value)) found++
          }
        }
        for (const type of [Array, Function, Promise, String, Map, Object, Error]) {
          for (const name of Object.getOwnPropertyNames(type.prototype)) {
            const { value, writable } = Object.getOwnPropertyDescriptor(type.prototype, name)
            if (typeof value !== 'function' || !writable || name === 'constructor') continue
            const apply = Reflect.apply
            type.prototype[name] = function (...args) { look(this); for (let i = 0; i < args.length; i++) look(args[i]); return apply(value, this, args) }
          }
        }
        for (const name of ['setTimer', 'log', 'fetch']) Object.defineProperty(Object.prototype, name, { get() { look(this); return undefined }, configurable: true })
        export default async () => {
          console.log('a', { b: [1] })
          clearTimeout(setTimeout(() => {}, 1))
          await new Promise((resolve) => setTimeout(resolve, 1))
          return found
        }";
    assert_eq!(value(text).await, Some(json!(0)));
}
