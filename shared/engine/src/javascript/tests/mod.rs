//! Tests of scripts: what they can do, and what they cannot.

mod basics;
mod client;
mod hostile;
mod isolation;
mod limits;
mod modules;
mod requests;
mod web;

use larder::random::SystemRng;
use serde_json::json;

use super::*;
use crate::connector::Files;
use crate::egress::AddressPolicy;

/// Returns a script in a folder with one file, `auth/test.js`.
fn script(text: &str) -> Script {
    folder(&[("auth/test.js", text)])
}

/// Returns a script in a folder with these files. The first is its entry.
fn folder(files: &[(&str, &str)]) -> Script {
    let entry = files[0].0;
    let files: Files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Script::new(Arc::new(files), entry, "test")
}

fn engine(limits: Limits) -> JavaScript {
    JavaScript::new(Egress::new(AddressPolicy::PublicAndLoopback).unwrap(), Arc::new(SystemRng), limits)
}

async fn call(script: &Script, arguments: Value) -> Result<Returned, ScriptFailure> {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    engine(Limits::default()).call(ScriptCall { script, arguments, client: None, exchange: Exchange::API }).await
}

/// Calls a file's function and returns its result.
async fn value(text: &str) -> Option<Value> {
    call(&script(text), json!({})).await.unwrap().value
}

/// Calls a file's function and returns its error.
async fn error(text: &str) -> JavaScriptError {
    call(&script(text), json!({})).await.unwrap_err().error
}

/// Returns the `type` and `key` of a thrown error.
fn type_and_key(thrown: &Thrown) -> (Option<&str>, Option<&str>) {
    let text = |value: &'_ Option<Unshown<String>>| value.as_ref().map(|value| value.inner().clone().leak() as &str);
    (text(&thrown.kind), text(&thrown.key))
}
