//! Measures a call of a connector's JavaScript, including the start of the engine.
#![expect(clippy::print_stdout, reason = "measurements are printed")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder::random::SystemRng;
use larder_engine::connector::{Files, Script};
use larder_engine::egress::{AddressPolicy, Egress};
use larder_engine::javascript::{JavaScript, Limits, ScriptCall};
use serde_json::{Map, json};

const CALLS: usize = 500;

const SCRIPTS: [(&str, &str); 3] = [
    ("a small function", "export default async ({ a }) => ({ b: a + 1 })"),
    (
        "one that imports axios",
        "import axios from 'axios'\nexport default async ({ a }) => ({ b: a + 1, c: typeof axios })",
    ),
    (
        "one that signs a JWT",
        "import jwt from 'jsonwebtoken'\nexport default async ({ a }) => ({ token: jwt.sign({ a }, 'secret', { expiresIn: 60 }) })",
    ),
];

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let egress = Egress::new(AddressPolicy::Public).expect("a client");
    let engine = JavaScript::new(egress, Arc::new(SystemRng), Limits::default());
    println!("{:<24}{:>12}{:>12}{:>12}{:>12}", "", "first", "median", "90 %", "99 %");
    for (name, code) in SCRIPTS {
        let files = Arc::new(Files::from([("auth/test.js".to_owned(), code.to_owned())]));
        let script = Script::new(files, "auth/test.js", "test");
        let mut times: Vec<Duration> = (0..CALLS).map(|_| runtime.block_on(call(&engine, &script))).collect();
        let first = times[0];
        times.sort_unstable();
        let at = |percent: usize| times[CALLS * percent / 100];
        let columns = [first, at(50), at(90), at(99)].map(|time| format!("{:.2} ms", time.as_secs_f64() * 1e3));
        println!("{name:<24}{:>12}{:>12}{:>12}{:>12}", columns[0], columns[1], columns[2], columns[3]);
    }
}

async fn call(engine: &JavaScript, script: &Script) -> Duration {
    let arguments = Map::from_iter([("a".to_owned(), json!(1))]);
    let started = Instant::now();
    let returned =
        engine.call(ScriptCall { script, arguments, client: None, exchange: larder_engine::egress::Limits::API }).await;
    let took = started.elapsed();
    assert!(returned.is_ok_and(|returned| returned.value.is_some()), "the function returns something");
    took
}
