//! The meaning of a provider's response, however it was asked for.
//!
//! Token endpoints, REST functions and scripts ask in different ways. Their answers are read here and nowhere else:
//!
//! | module | what it knows |
//! |---|---|
//! | `body` | text, JSON and forms: byte order marks, stray bytes, how much is too much |
//! | `report` | where providers put error codes and descriptions |
//! | `rules` | which codes end a grant, which blame the integration, and which mean nothing but "later" |
//! | `retry_after` | how long a provider asks to wait |
//! | `error_code` | codes and descriptions made fit for a log and a page |
//!
//! How long credentials live is read by [`expiry_of`](larder::connection::expiry_of), which `PUT /credentials` uses too. The
//! table "What an answer means" in `shared/connectors/README.md` says the same for authors of connectors, and
//! `tests/tests/refresh/answers.rs` holds all three ways to it.

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

/// Whether credentials that came with this status are usable: no error is reported among them. A body without an access token
/// also counts as a report if its code is one that is known to refuse.
///
/// # Errors
/// What is reported.
pub fn check_credentials(status: u16, body: &Map<String, Value>, rules: ErrorRules<'_>) -> Result<(), ErrorReport> {
    let report = ErrorReport::read(status, body);
    let is_refusal =
        access_token(body).is_none() && (rules.know(&report) || body.get("success") == Some(&Value::Bool(false)));
    if !is_success(status) || report.is_declared || is_refusal { Err(report) } else { Ok(()) }
}

/// Puts a connector's lifetime into credentials that state none.
pub(crate) fn add_default_lifetime(credentials: &mut Map<String, Value>, lifetime: Option<Duration>) {
    if let Some(lifetime) = lifetime.filter(|_| !states_lifetime(credentials)) {
        credentials.insert("expires_in".into(), lifetime.as_secs().into());
    }
}

/// Whether a value can be a token: text that is not empty and was not garbled on its way.
pub(crate) fn is_usable_token(token: &Value) -> bool {
    token.as_str().is_some_and(|token| !token.is_empty() && !token.contains(char::REPLACEMENT_CHARACTER))
}

/// Whether a status is one of success (RFC 9110 §15.3).
pub fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// A header as text.
pub fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// How long the headers ask to wait.
pub fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    parse_retry_after(header_text(headers, header::RETRY_AFTER)?, now)
}

/// Where a redirect points, without its query and fragment, which may hold secrets, and without parts of the path that look
/// like one. It is for people: no redirect is followed with credentials.
pub fn redirect_target(status: u16, headers: &HeaderMap, asked: &http::Uri) -> Option<String> {
    let location = header_text(headers, header::LOCATION).filter(|_| (300..400).contains(&status))?;
    let target = Url::parse(&asked.to_string()).ok()?.join(location).ok()?;
    let port = target.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path: Vec<&str> = target.path().split('/').map(|part| if looks_secret(part) { "…" } else { part }).collect();
    clean_text(&format!("{}://{}{port}{}", target.scheme(), target.host_str()?, path.join("/")), 200)
}
