//! Hostile scripts: each of them needs its limit.

use super::*;

/// Runs a script that must fail. Returns its error and how long it took.
async fn failure_of(text: &str, limits: Limits) -> (JavaScriptError, Duration) {
    let started = Instant::now();
    let engine = engine(limits);
    let failure = engine
        .call(ScriptCall { script: &script(text), arguments: Map::new(), client: None, exchange: Exchange::API })
        .await
        .unwrap_err();
    let took = started.elapsed();
    // The next call works regardless.
    let next = script("export default () => 'unharmed'");
    let returned = engine
        .call(ScriptCall { script: &next, arguments: Map::new(), client: None, exchange: Exchange::API })
        .await
        .unwrap();
    assert_eq!(returned.value, Some(json!("unharmed")), "{text}");
    (failure.error, took)
}

fn short() -> Limits {
    Limits { wall_clock: Duration::from_millis(300), ..Limits::default() }
}

async fn times_out(text: &str) {
    let (error, took) = failure_of(text, short()).await;
    assert_eq!(error, JavaScriptError::Timeout { seconds: 0.3 }, "{text}");
    assert!(took < Duration::from_secs(3), "{text}: {took:?}");
}

async fn exceeds_limit(text: &str, limits: Limits, part: &str) {
    let (error, _) = failure_of(text, limits).await;
    assert!(matches!(&error, JavaScriptError::Limit { what } if what.contains(part)), "{text}: {error:?}");
}

#[tokio::test]
async fn endless_loops_time_out() {
    times_out("export default () => { while (true) {} }").await;
    times_out("while (true) {}").await;
    times_out("export default { get test() { while (true) {} } }").await;
    times_out("export default () => ({ toJSON() { while (true) {} } })").await;
    times_out("export default () => { throw { get message() { while (true) {} } } }").await;
}

#[tokio::test]
async fn endless_loops_that_catch_everything_time_out() {
    times_out("export default () => { for (;;) { try { for (;;) {} } catch {} finally { for (;;) {} } } }").await;
    times_out(
        "export default async () => {
           const forever = async () => { for (;;) {} }
           for (;;) { try { await forever() } catch {} forever().catch(forever).finally(forever) }
         }",
    )
    .await;
}

#[tokio::test]
async fn endless_microtasks_and_timers_time_out() {
    times_out("export default async () => { for (;;) await null }").await;
    times_out("export default () => new Promise(() => setInterval(() => {}, 0))").await;
    times_out("export default () => new Promise(() => setTimeout(() => {}, 1e9))").await;
}

#[tokio::test]
async fn catastrophic_regular_expressions_time_out() {
    times_out("export default () => /^(a+)+$/.test('a'.repeat(50) + 'b')").await;
}

#[tokio::test]
async fn uninterruptible_native_calls_are_abandoned() {
    times_out(
        "const a = new Float64Array(7e6)
         for (let i = 0; i < 1000; i++) a[i] = Math.sin(i)
         for (let n = 1000; n < a.length; n *= 2) a.copyWithin(n, 0, n)
         export default () => { for (;;) a.sort() }",
    )
    .await;
}

#[tokio::test]
async fn too_many_abandoned_threads_block_new_calls_until_they_end() {
    let engine = engine(Limits::default());
    engine.stuck.store(STUCK_CALLS + 1, Ordering::Relaxed);
    let script = script("export default () => 1");
    let call = || async {
        engine.call(ScriptCall { script: &script, arguments: Map::new(), client: None, exchange: Exchange::API }).await
    };
    assert_eq!(call().await.unwrap_err().error, JavaScriptError::Busy);
    engine.stuck.store(STUCK_CALLS, Ordering::Relaxed);
    assert_eq!(call().await.unwrap().value, Some(json!(1)));
}

#[tokio::test]
async fn dropping_a_call_ends_its_thread_soon() {
    let engine = engine(Limits::default());
    let script = script("export default () => { for (;;) {} }");
    let call =
        engine.call(ScriptCall { script: &script, arguments: Map::new(), client: None, exchange: Exchange::API });
    assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err());
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if engine.stuck.load(Ordering::Relaxed) == 0 {
            return;
        }
    }
    panic!("the thread is still running");
}

#[tokio::test]
async fn endless_recursion_is_an_error() {
    for text in [
        "export default () => { const f = () => f() + 1; return f() }",
        "export default () => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a }",
        "export default () => JSON.parse('['.repeat(1e6))",
        "export default () => { const f = () => { try { f() } catch { f() } }; f() }",
    ] {
        let (error, _) = failure_of(text, short()).await;
        let is_expected = match &error {
            JavaScriptError::StackOverflow { .. } | JavaScriptError::Timeout { .. } => true,
            JavaScriptError::Result { message } => message.contains("call stack"),
            JavaScriptError::Thrown(thrown) => thrown.message.contains("stack"),
            _ => false,
        };
        assert!(is_expected, "{text}: {error:?}");
    }
    let (error, _) =
        failure_of("export default () => { const f = () => f() + 1; return f() }", Limits::default()).await;
    assert_eq!(error, JavaScriptError::StackOverflow { at: Some("auth/test.js:1:39".to_owned()) });
}

#[tokio::test]
async fn memory_is_limited() {
    for text in [
        "export default () => { const all = []; for (;;) all.push(new Array(1000).fill(all.length)) }",
        "export default () => { const all = []; for (;;) all.push(new ArrayBuffer(1e6)) }",
        "export default () => { const all = []; for (;;) { try { for (;;) all.push({ a: all.length }) } catch (e) { throw e } } }",
        "export default () => { let text = 'ab'; for (;;) { text += text; text.charCodeAt(text.length - 1) } }",
        "export default () => { const all = []; for (let i = 0; ; i++) all.push(('x' + i).repeat(1e6)) }",
        "export default () => new Uint8Array(1e9)",
    ] {
        let (error, _) = failure_of(text, Limits::default()).await;
        assert_eq!(error, JavaScriptError::OutOfMemory { mebibytes: 64 }, "{text}");
    }
    let (error, _) =
        failure_of("export default () => { let text = 'ab'; for (;;) text += text }", Limits::default()).await;
    assert!(!matches!(error, JavaScriptError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn repeatedly_running_out_of_memory_does_not_crash() {
    let text = "export default async () => {
        const all = []
        for (;;) { try { for (;;) all.push(new Array(100).fill(0), 'x'.repeat(1000), () => all, new Map([[1, {}]])) } catch {} await null }
    }";
    let (error, _) = failure_of(text, Limits { heap_bytes: 8 * 1024 * 1024, ..short() }).await;
    // Without memory, the engine cannot always queue the rest of the function.
    let is_over = matches!(
        error,
        JavaScriptError::Timeout { .. } | JavaScriptError::OutOfMemory { .. } | JavaScriptError::NeverSettled
    );
    assert!(is_over, "{error:?}");
}

#[tokio::test]
async fn promises_that_never_settle_fail_at_once() {
    for text in [
        "export default () => new Promise(() => {})",
        "await new Promise(() => {}); export default () => 1",
        "export default () => ({ then() {} })",
    ] {
        let (error, took) = failure_of(text, Limits::default()).await;
        assert_eq!(error, JavaScriptError::NeverSettled, "{text}");
        assert!(took < Duration::from_secs(2), "{text}");
    }
}

#[tokio::test]
async fn timers_are_limited() {
    exceeds_limit("export default () => { for (;;) setTimeout(() => {}, 1e6) }", Limits::default(), "1000 timers")
        .await;
    let caught = "export default () => { for (;;) try { setInterval(() => {}, 1e6) } catch {} }";
    exceeds_limit(caught, Limits::default(), "1000 timers").await;
}

#[tokio::test]
async fn logs_are_cut() {
    let text = "export default () => {
        console.log('x'.repeat(1e6)); console.log(new Array(1e5).fill('y')); console.log(Array.from({ length: 50 }).reduce((a) => [a, a], 1))
        for (let i = 0; i < 1e4; i++) console.warn(i)
    }";
    let logs = call(&script(text), json!({})).await.unwrap().logs;
    assert_eq!(logs.len(), 201);
    assert!(logs.iter().all(|line| line.text.chars().count() <= 1001));
    assert_eq!(logs[200].text, "9803 more lines were omitted");
}

#[tokio::test]
async fn calls_that_hang_still_return_their_logs() {
    let text = "export default () => { console.log('here'); for (;;) {} }";
    let call = engine(short())
        .call(ScriptCall { script: &script(text), arguments: Map::new(), client: None, exchange: Exchange::API })
        .await;
    assert_eq!(call.unwrap_err().logs[0].text, "here");
}

#[tokio::test]
async fn huge_results_are_rejected() {
    exceeds_limit("export default () => 'x'.repeat(500_000)", Limits::default(), "a result of more than").await;
    let shared =
        "export default () => { let a = ['x'.repeat(1000)]; for (let i = 0; i < 12; i++) a = [a, a]; return a }";
    exceeds_limit(shared, Limits::default(), "a result of more than").await;
}
