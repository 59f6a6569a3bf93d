//! What a provider's documentation says, as data: `tests/providers/<connector>.yml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One life of a connection. A text in it may hold `<any>`, which stands for anything; a whole text may be `<state>`,
/// `<challenge>` or `<verifier>`, which stand for this flow's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The parameters of the integration.
    pub parameters: Map<String, Value>,
    /// What the end user enters.
    #[serde(default)]
    pub input: Map<String, Value>,
    /// Where the browser is sent; nowhere without OAuth.
    pub authorize: Option<Authorize>,
    /// What the browser brings back, besides the state.
    #[serde(default)]
    pub callback: BTreeMap<String, String>,
    /// What is requested to connect; without it, there is only the refusal.
    pub connect: Option<Vec<Exchange>>,
    /// What the credentials then hold; null for what they must not hold.
    #[serde(default = "any")]
    pub credentials: Value,
    /// A refresh; without one nothing is refreshed, ever.
    pub refresh: Option<Refresh>,
    /// A refresh after it, which fails, or the end of credentials that cannot be refreshed.
    pub failure: Option<Failure>,
    /// Connecting in vain.
    pub refused: Option<Refused>,
    /// What is requested when the connection is deleted.
    #[serde(default)]
    pub disconnect: Vec<Exchange>,
}

/// An authorize URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
    /// Without its query.
    pub uri: String,
    /// All parameters.
    pub query: Value,
}

/// A refresh that succeeds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// When it is due, in seconds after the last step, and not a second earlier.
    pub after: u64,
    /// What is requested.
    pub requests: Vec<Exchange>,
    /// What the credentials then hold.
    pub credentials: Value,
}

/// A refresh that fails, or the end of credentials that cannot be refreshed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// When it is due, in seconds after the last step; as with the refresh before it, if it is left out.
    pub after: Option<u64>,
    /// What is requested.
    pub requests: Vec<Exchange>,
    /// The state of the connection then.
    pub state: String,
    /// What its error says, among other things.
    pub message: String,
}

/// A connect that fails.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Another input.
    pub input: Option<Map<String, Value>>,
    /// Another callback.
    pub callback: Option<BTreeMap<String, String>>,
    /// What is requested.
    #[serde(default)]
    pub requests: Vec<Exchange>,
    /// What the end user hears, among other things.
    pub message: String,
}

/// A request as it must be, and its answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The request.
    pub request: Request,
    /// The answer.
    pub response: Response,
}

/// A request. Without a form, JSON or text it has no body.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The URL; the order of its parameters does not count.
    pub uri: String,
    /// Some of the headers, names in lower case; null for one that must not be there.
    #[serde(default)]
    pub headers: Map<String, Value>,
    /// The whole form.
    pub form: Option<Value>,
    /// The whole JSON.
    pub json: Option<Value>,
    /// The whole text.
    pub text: Option<String>,
}

/// An answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// The status.
    #[serde(default = "ok")]
    pub status: u16,
    /// The headers; the content type follows from the body if it is not among them.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A body of JSON.
    pub json: Option<Value>,
    /// Any other body.
    pub text: Option<String>,
}

fn any() -> Value {
    Value::from("<any>")
}

fn ok() -> u16 {
    200
}

/// Reads all files of a folder: by connector, then by title.
///
/// # Panics
/// If a file is not as it should be.
pub fn read_all(folder: &Path) -> BTreeMap<String, BTreeMap<String, Scenario>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a file");
            let scenarios = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_stem().expect("a name").to_string_lossy().into_owned(), scenarios)
        })
        .collect()
}
