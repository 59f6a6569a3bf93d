//! Isolation: what scripts cannot reach.

use super::*;

#[tokio::test]
async fn scripts_have_no_access_to_the_system() {
    let text = "export default () => ['process', 'std', 'os', 'Deno', 'Bun', 'require', 'module', 'host', 'Worker', 'scriptArgs', 'print', 'load', 'install']
        .filter((name) => typeof globalThis[name] !== 'undefined' || new Function(`return typeof ${name}`)() !== 'undefined')";
    assert_eq!(value(text).await, Some(json!([])));
}

#[tokio::test]
async fn scripts_cannot_reach_the_machines_credentials() {
    // The credentials of an instance, a container, and a Lambda function (where events are available, too).
    let text = "export default async () => {
        const reached = []
        for (const url of ['http://169.254.169.254/latest/meta-data/iam/security-credentials/', 'https://169.254.169.254/',
          'https://[fd00:ec2::254]/', 'http://169.254.170.2/v2/credentials', 'https://169.254.170.23/v1/credentials',
          'http://127.0.0.1:9001/2018-06-01/runtime/invocation/next', 'https://127.0.0.1:9001/', 'https://localhost:9001/']) {
            try { await fetch(url); reached.push(url) } catch (error) { if (!(error instanceof TypeError)) reached.push(String(error)) }
        }
        const global = Object.getOwnPropertyNames(globalThis).filter((name) => /^(process|env|AWS|LARDER)/i.test(name))
        return [...reached, ...global]
    }";
    let engine = JavaScript::new(Egress::new(AddressPolicy::Public).unwrap(), Arc::new(SystemRng), Limits::default());
    let script = script(text);
    let returned = engine
        .call(ScriptCall { script: &script, arguments: Map::new(), client: None, exchange: Exchange::API })
        .await
        .unwrap();
    assert_eq!(returned.value, Some(json!([])));
}

#[tokio::test]
async fn call_sites_do_not_expose_the_host_object() {
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
async fn patched_prototypes_do_not_expose_the_host_object() {
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
