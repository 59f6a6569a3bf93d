//! The memory that a script uses outside its engine's heap. The test measures its own process.

use std::sync::Arc;

use larder::random::SystemRng;
use larder_engine::connector::{Files, Script};
use larder_engine::egress::{AddressPolicy, Egress, Limits as Exchange};
use larder_engine::javascript::{JavaScript, JavaScriptError, Limits, ScriptCall};
use larder_tests::memory::{forget_peak, status};
use larder_tests::{is_alone, say};
use serde_json::{Map, json};
use tokio::net::TcpListener;

/// The limit, in bytes: the heap, and the same again for native code.
const LIMIT: u64 = 2 * 64 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn unawaited_requests_take_bounded_memory() {
    if !is_alone("script_memory::unawaited_requests_take_bounded_memory").await {
        return;
    }
    // A server that accepts connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("its address"));
    let egress = Egress::new(AddressPolicy::PublicAndLoopback).expect("a client");
    let engine = JavaScript::new(egress, Arc::new(SystemRng), Limits::default());
    for (what, text) in [
        (
            "80 fetches of 10 MB",
            "export default ({ base }) => {
                const body = new Uint8Array(10_000_000)
                for (let i = 0; i < 80; i++) fetch(base, { method: 'POST', body })
                return new Promise(() => {})
            }",
        ),
        (
            "60,000 fetches without body",
            "export default ({ base }) => { for (let i = 0; i < 60_000; i++) fetch(base); return new Promise(() => {}) }",
        ),
        (
            "a form that repeats the same string",
            "export default () => new URLSearchParams(Array(1000).fill(['name', 'x'.repeat(1_000_000)])).toString()",
        ),
        (
            "a form with millions of pairs",
            "export default () => { const params = new URLSearchParams('&a'.repeat(8_000_000)); return params.size }",
        ),
        (
            "an error with millions of values",
            "export default () => {
                throw Object.assign(new Error('m'), { data: { response: { status: 400, data: Array(3e6).fill(0) } } })
            }",
        ),
    ] {
        let files = Files::from([("auth/test.js".to_owned(), text.to_owned())]);
        let script = Script::new(Arc::new(files), "auth/test.js", "test");
        let arguments = Map::from_iter([("base".to_owned(), json!(base))]);
        forget_peak();
        let before = status("VmRSS");
        let call = ScriptCall { script: &script, arguments, client: None, exchange: Exchange::API };
        let error = engine.call(call).await.expect_err(what).error;
        // The previous call's memory may be released during this one.
        let peak = status("VmHWM").saturating_sub(before);
        say(&format!("memory: {what} take {:.1} MB at most, and end as: {error}", peak as f64 / 1e6));
        if what.contains("fetches") {
            assert!(matches!(error, JavaScriptError::Limit { .. }), "{what}: {error}");
        }
        assert!(peak < LIMIT, "{what}: {peak}");
    }
}
