//! What a script can do, and what it cannot.

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
use crate::egress::Reach;

/// A folder with one file, `auth/test.js`.
fn script(text: &str) -> Script {
    folder(&[("auth/test.js", text)])
}

/// A folder whose entry is the first file.
fn folder(files: &[(&str, &str)]) -> Script {
    let entry = files[0].0;
    let files: Files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Script::new(Arc::new(files), entry, "test")
}

fn engine(limits: Limits) -> JavaScript {
    JavaScript::new(Egress::new(Reach::PublicAndLoopback).unwrap(), Arc::new(SystemRng), limits)
}

async fn call(script: &Script, arguments: Value) -> Result<Returned, Failure> {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    engine(Limits::default()).call(Call { script, arguments, client: None, exchange: Exchange::API }).await
}

/// The result of a file's function.
async fn value(text: &str) -> Option<Value> {
    call(&script(text), json!({})).await.unwrap().value
}

/// Why a file's function failed.
async fn error(text: &str) -> JavaScriptError {
    call(&script(text), json!({})).await.unwrap_err().error
}

/// `type` and `key` of a thrown error.
fn named(thrown: &Thrown) -> (Option<&str>, Option<&str>) {
    let text = |value: &'_ Option<Unshown<String>>| value.as_ref().map(|value| value.inner().clone().leak() as &str);
    (text(&thrown.kind), text(&thrown.key))
}
