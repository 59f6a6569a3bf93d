//! Scenarios from the providers' documentation: `tests/providers/<connector>.yml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

/// The life cycle of a connection. Strings may contain `<any>`, which matches anything. The strings `<state>`, `<challenge>`
/// and `<verifier>` match this flow's own values.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The integration's parameters.
    pub parameters: Map<String, Value>,
    /// The end user's input.
    #[serde(default)]
    pub input: Map<String, Value>,
    /// The way to connect, if the connector has several that are open.
    #[serde(rename = "authOptionKey")]
    pub auth_option_key: Option<String>,
    /// The redirect to the provider; `None` without OAuth.
    pub authorize: Option<Authorize>,
    /// The callback's parameters apart from the state.
    #[serde(default)]
    pub callback: BTreeMap<String, String>,
    /// The requests when connecting; `None` if the scenario only has a rejected connect.
    pub connect: Option<Vec<Exchange>>,
    /// Members of the credentials after connecting; null for members that must be absent.
    #[serde(default = "any")]
    pub credentials: Value,
    /// The account that the connection is shown with; null if it has none.
    #[serde(default = "any")]
    pub account: Value,
    /// A refresh. Without one, the connection must never be refreshed.
    pub refresh: Option<Refresh>,
    /// A failing refresh after it, or the expiry of credentials that cannot be refreshed.
    pub failure: Option<FailedRefresh>,
    /// A rejected connect.
    pub refused: Option<RejectedConnect>,
    /// The requests when the connection is deleted.
    #[serde(default)]
    pub disconnect: Vec<Exchange>,
}

/// An authorize URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
    /// The URL without its query.
    pub uri: String,
    /// All query parameters.
    pub query: Value,
}

/// A refresh that succeeds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The exact time at which it is due, in seconds after the previous step.
    pub after: u64,
    /// The requests.
    pub requests: Vec<Exchange>,
    /// Members of the credentials after the refresh.
    pub credentials: Value,
}

/// A refresh that fails, or the expiry of credentials that cannot be refreshed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedRefresh {
    /// The time at which it is due, in seconds after the previous step; by default the same as for the refresh before it.
    pub after: Option<u64>,
    /// The requests.
    pub requests: Vec<Exchange>,
    /// The resulting state of the connection.
    pub state: String,
    /// A part of the connection's error message.
    pub message: String,
}

/// A connect that fails.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectedConnect {
    /// A different input.
    pub input: Option<Map<String, Value>>,
    /// Different callback parameters.
    pub callback: Option<BTreeMap<String, String>>,
    /// The requests.
    #[serde(default)]
    pub requests: Vec<Exchange>,
    /// A part of the message that the end user sees.
    pub message: String,
}

/// An expected request and its response.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The request.
    pub request: Request,
    /// The response.
    pub response: Response,
}

/// An expected request. It has no body if `form`, `json` and `text` are missing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The URL. The order of its parameters does not matter.
    pub uri: String,
    /// Some of the headers, with lowercase names; null for headers that must be absent.
    #[serde(default)]
    pub headers: Map<String, Value>,
    /// The whole body as a form.
    pub form: Option<Value>,
    /// The whole body as JSON.
    pub json: Option<Value>,
    /// The whole body as a string.
    pub text: Option<String>,
}

/// A response.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// The status.
    #[serde(default = "ok")]
    pub status: u16,
    /// The headers. Without a content type, it is set according to the body.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body.
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

/// The files in the same folder that hold no scenarios: the differences between presets and facts, and the applications
/// without a connector.
pub const OTHERS: [&str; 2] = [DIFFERENCES, "left-out.yml"];

/// The differences between presets and facts.
pub const DIFFERENCES: &str = "differences.yml";

/// Reads the YAML files in a folder into a map by connector, then by title.
///
/// # Panics
/// If a file is invalid.
pub fn read_all(folder: &Path) -> BTreeMap<String, BTreeMap<String, Scenario>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let is_other = |path: &PathBuf| OTHERS.iter().any(|other| path.ends_with(other));
    let is_scenario = |path: &PathBuf| path.extension().is_some_and(|it| it == "yml") && !is_other(path);
    entries
        .filter(is_scenario)
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a file");
            let scenarios = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_stem().expect("a name").to_string_lossy().into_owned(), scenarios)
        })
        .collect()
}
