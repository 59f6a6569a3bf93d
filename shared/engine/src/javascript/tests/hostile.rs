//! Scripts that try to crash or block the process: each ends with an error or a result, and the next call works.

use super::*;

/// Runs a script, then another one. If the process crashes, the test fails, too.
async fn outcome(text: &str) -> Result<Option<Value>, JavaScriptError> {
    let engine = engine(Limits { wall_clock: Duration::from_secs(2), ..Limits::default() });
    let call = async |text: &str| {
        let script = script(text);
        engine.call(ScriptCall { script: &script, arguments: Map::new(), client: None, exchange: Exchange::API }).await
    };
    let outcome = call(text).await;
    assert_eq!(call("export default () => 'unharmed'").await.unwrap().value, Some(json!("unharmed")), "{text}");
    outcome.map(|returned| returned.value).map_err(|failure| failure.error)
}

#[tokio::test]
async fn stack_trace_limits_that_are_not_numbers_are_ignored() {
    for text in [
        "export default () => { Error.stackTraceLimit = {}; Error.stackTraceLimit = 1; return 1 }",
        "export default () => { Error.stackTraceLimit = {}; return Error.stackTraceLimit === 10 ? 1 : 2 }",
        "'use strict'; Error.stackTraceLimit = []; TypeError.stackTraceLimit = () => {}; export default () => 1",
        "class Own extends Error {}; Own.stackTraceLimit = Symbol(); Reflect.set(Error, 'stackTraceLimit', new Map(), Own); export default () => 1",
        "export default () => { for (let i = 0; i < 1e5; i++) Error.stackTraceLimit = 'x'.repeat(1000) + i; return 1 }",
        "export default () => { const { get, set } = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit'); set.call(Error, {}); set({}); get.call(Error); return 1 }",
        "export default () => { try { Object.defineProperty(Error, 'stackTraceLimit', { value: {} }) } catch (error) { if (error instanceof TypeError) return 1 } }",
        "export default () => { try { delete Error.stackTraceLimit } catch (error) { return 1 } }",
    ] {
        assert_eq!(outcome(text).await, Ok(Some(json!(1))), "{text}");
    }
}

#[tokio::test]
async fn stack_trace_limits_can_be_set_as_libraries_do() {
    let text = "export default () => {
        const before = Error.stackTraceLimit
        Error.stackTraceLimit = 0
        const none = new Error('x').stack
        Error.stackTraceLimit = before
        const some = new Error('x').stack
        Error.stackTraceLimit = Infinity
        return [before, none, some.includes('auth/test.js'), Error.stackTraceLimit === Infinity]
    }";
    assert_eq!(outcome(text).await, Ok(Some(json!([10, "", true, true]))));
}

#[tokio::test]
async fn native_calls_have_a_size_limit() {
    for (text, expected) in [
        ("new TextEncoder().encode('x'.repeat(SIZE)).length", json!(1_000_000)),
        ("new TextDecoder().decode(new Uint8Array(SIZE)).length", json!(1_000_000)),
        ("Buffer.from(new Uint8Array(SIZE)).toString('latin1').length", json!(1_000_000)),
        ("createHash('md5').update(new Uint8Array(SIZE)).digest().length", json!(16)),
        ("createHmac('sha256', 'key').update(new Uint8Array(SIZE)).digest().length", json!(32)),
        ("new URLSearchParams('x'.repeat(SIZE)).size", json!(1)),
        // The same string repeated, which needs no memory in the engine.
        ("new URLSearchParams(Array(SIZE / 1000).fill(['name', 'x'.repeat(990)])).toString().length", json!(995_999)),
        ("new URL('https://a.example/' + 'x'.repeat(SIZE / 10)).href.length", json!(100_018)),
    ] {
        let script = |size: usize| {
            let text = text.replace("SIZE", &size.to_string());
            format!("import {{ createHash, createHmac }} from 'crypto'; export default () => {text}")
        };
        assert_eq!(outcome(&script(1_000_000)).await, Ok(Some(expected)), "{text}");
        let error = outcome(&script(17_500_000)).await.unwrap_err().to_string();
        assert!(error.contains("bytes at once"), "{text}: {error}");
    }
}

#[tokio::test]
async fn keys_have_a_size_limit() {
    let text = "import { createPrivateKey } from 'crypto'
        export default () => createPrivateKey({ key: new Uint8Array(100_000), format: 'der', type: 'pkcs8' })";
    let error = outcome(text).await.unwrap_err().to_string();
    assert!(error.contains("more than 65536 bytes"), "{error}");
}

#[tokio::test]
async fn native_calls_in_a_loop_end_at_the_timeout() {
    for work in ["new TextEncoder().encode(text)", "crypto.subtle.digest('SHA-256', bytes).catch(() => {})"] {
        let text = format!(
            "const text = 'é'.repeat(5e6), bytes = new Uint8Array(8e6); export default () => {{ for (;;) try {{ {work} }} catch {{}} }}"
        );
        let engine = engine(Limits { wall_clock: Duration::from_millis(300), ..Limits::default() });
        let script = script(&text);
        let call =
            engine.call(ScriptCall { script: &script, arguments: Map::new(), client: None, exchange: Exchange::API });
        assert_eq!(call.await.unwrap_err().error, JavaScriptError::Timeout { seconds: 0.3 });
        // The engine checks every ten thousand steps, which would take hours here.
        for _ in 0..500 {
            if engine.stuck.load(Ordering::Relaxed) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(engine.stuck.load(Ordering::Relaxed), 0, "{work}: the thread is still running");
    }
}

#[tokio::test]
async fn errors_of_any_size_and_shape_are_handled() {
    for text in [
        "throw new Error('x'.repeat(3e7))",
        "throw Object.assign(new Error('m'), { data: { response: { status: 400, data: Array(2e6).fill(0) } } })",
        "throw Object.assign(new Error('m'), { response: { status: 400, data: 'y'.repeat(2e7), headers: new Map() } })",
        "throw { get message() { throw 1 }, get stack() { throw 2 }, get data() { throw 3 }, toJSON() { throw 4 } }",
        "throw new Proxy({}, new Proxy({}, { get() { throw 1 } }))",
        "const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); throw proxy",
        "function f() { missing } Object.defineProperty(f, 'name', { value: 'A'.repeat(2e6) }); f()",
        "let error; for (let i = 0; i < 1e5; i++) error = new Error('x', { cause: error }); throw error",
        "throw { toString() { throw 1 }, message: Symbol() }",
    ] {
        let error = outcome(&format!("export default () => {{ {text} }}")).await.unwrap_err();
        assert!(matches!(error, JavaScriptError::Thrown(_)), "{text}: {error:?}");
        assert!(format!("{error:?}").len() < 20_000, "{text}");
    }
}

#[tokio::test]
async fn running_out_of_memory_inside_the_engine_does_not_crash() {
    for work in [
        "eval('class A { #x = 1; static { this.y = [1, ...\\'ab\\'] } } (async () => { for await (const a of []) a })()')",
        "/(?<a>x+)+y/.exec('xxy'); new RegExp('[\\\\p{L}--[a-z]]' + Math.random(), 'v').test('a')",
        "JSON.parse(JSON.stringify({ a: [1, { b: 'c'.repeat(50) }] }, null, 2)); structuredClone({ a: new Map([[1, 2]]) })",
        "(async function* () { yield* [1, 2] })().next(); Promise.all([1, Promise.reject(2)]).catch(() => {})",
        "new Uint8Array([1, 2]).toBase64(); new TextEncoder().encode('x'.repeat(999)); 2n ** 999n; new URL('https://a.example/')",
        "try { missing } catch (error) { console.log(error.stack, error) } new Error('x', { cause: new AggregateError([1]) })",
    ] {
        let text = format!(
            "const all = [], small = []
            const fill = () => {{ try {{ for (;;) all.push('x'.repeat(10_000) + all.length) }} catch {{}} try {{ for (;;) small.push([small.length]) }} catch {{}} }}
            export default () => {{
                for (let i = 0; i < 60; i++) {{
                    try {{ fill(); small.length -= Math.min(small.length, i * 7); {work} }} catch {{}}
                    try {{ all.length = 0; small.length = 0 }} catch {{}}
                }}
                return 1
            }}"
        );
        let engine = engine(Limits { heap_bytes: 3 * 1024 * 1024, ..Limits::default() });
        let script = script(&text);
        let call =
            engine.call(ScriptCall { script: &script, arguments: Map::new(), client: None, exchange: Exchange::API });
        let outcome = call.await.map(|returned| returned.value).map_err(|failure| failure.error);
        assert!(matches!(outcome, Ok(Some(_)) | Err(JavaScriptError::OutOfMemory { .. })), "{work}: {outcome:?}");
    }
}
