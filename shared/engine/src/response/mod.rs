//! Interpreting a provider's responses, no matter how the request was made.
//!
//! Token endpoints, REST functions and scripts make requests in different ways. All their responses are interpreted
//! here:
//!
//! | module | subject |
//! |---|---|
//! | `body` | text, JSON and forms, with byte order marks and stray bytes |
//! | `report` | where providers put error codes and descriptions |
//! | `rules` | which codes end a grant, which blame the integration, and which only mean "later" |
//! | `retry_after` | how long a provider wants us to wait |
//! | `error_code` | cleaning codes and descriptions for logs and pages |
//!
//! [`expiry_of`](larder::connection::expiry_of) reads the lifetime of credentials; `PUT /credentials` uses it, too. The
//! table "What an answer means" in `shared/connectors/FORMAT.md` documents all this for connector authors, and
//! `tests/tests/refresh/answers.rs` tests every row with all three kinds of requests.

mod body;
mod error_code;
mod report;
mod retry_after;
mod rules;

use std::time::Duration;

pub use body::{json, object, text, token_form};
pub use error_code::ErrorCode;
use error_code::looks_secret;
pub(crate) use error_code::{clean_description, clean_text};
use http::{HeaderMap, HeaderName, header};
use larder::connection::{access_token, states_lifetime};
pub use report::ErrorReport;
pub use retry_after::{parse_http_date, parse_retry_after};
pub use rules::{ErrorRules, Meaning};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use url::Url;

/// Checks whether a response contains usable credentials, that is, reports no error. A body without an access token
/// also counts as an error if its code is a known error code.
///
/// # Errors
/// The error that the response reports.
pub fn check_credentials(status: u16, body: &Map<String, Value>, rules: ErrorRules<'_>) -> Result<(), ErrorReport> {
    let report = ErrorReport::read(status, body);
    let has_known_error =
        access_token(body).is_none() && (rules.recognize(&report) || body.get("success") == Some(&Value::Bool(false)));
    if !is_success(status) || report.is_declared || has_known_error { Err(report) } else { Ok(()) }
}

/// Adds the connector's default lifetime to credentials that state none.
pub(crate) fn add_default_lifetime(credentials: &mut Map<String, Value>, lifetime: Option<Duration>) {
    if let Some(lifetime) = lifetime.filter(|_| !states_lifetime(credentials)) {
        credentials.insert("expires_in".into(), lifetime.as_secs().into());
    }
}

/// Returns whether a value can be a token: a string that is neither empty nor garbled.
pub(crate) fn is_usable_token(token: &Value) -> bool {
    token.as_str().is_some_and(|token| !token.is_empty() && !token.contains(char::REPLACEMENT_CHARACTER))
}

/// Returns whether a status means success (RFC 9110 §15.3).
pub fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Returns a header's value as a string.
pub fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns how long the headers want us to wait.
pub fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    parse_retry_after(header_text(headers, header::RETRY_AFTER)?, now)
}

/// Returns a redirect's target for an error message, without its query and fragment, which may contain secrets, and
/// without path segments that look like one. We never follow a redirect with credentials.
pub fn redirect_target(status: u16, headers: &HeaderMap, requested: &http::Uri) -> Option<String> {
    let location = header_text(headers, header::LOCATION).filter(|_| (300..400).contains(&status))?;
    let target = Url::parse(&requested.to_string()).ok()?.join(location).ok()?;
    let port = target.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path: Vec<&str> = target.path().split('/').map(|part| if looks_secret(part) { "…" } else { part }).collect();
    clean_text(&format!("{}://{}{port}{}", target.scheme(), target.host_str()?, path.join("/")), 200)
}
