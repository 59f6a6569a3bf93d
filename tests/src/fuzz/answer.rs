//! HTTP responses in a format that people can write, and checks that apply to every response.

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use larder_engine::egress::{Egress, EgressError, Limits, Response, Transport};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::{planted, with_secrets};

/// A response: the status on the first line, then one header per line, an empty line, and the body.
pub(super) struct CannedAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl CannedAnswer {
    /// The request's URL. Its query contains a secret.
    pub(super) const URL: &str = "https://api.example:8443/v1/token?key=MARKER-7Fjfp0ZBr1KtDRbnfVdmIw";

    /// Parses a response. Lines that are not valid headers are ignored.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (first, mut rest) = line(data);
        let status = first.split(' ').next()?.parse().ok().and_then(|code| StatusCode::from_u16(code).ok())?;
        let mut headers = HeaderMap::new();
        while !rest.is_empty() {
            let (header, after) = line(rest);
            rest = after;
            if header.is_empty() {
                break;
            }
            let header = header.split_once(':').and_then(|(name, value)| {
                let value = HeaderValue::from_bytes(with_secrets(value.trim()).as_bytes()).ok()?;
                Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
            });
            headers.extend(header);
        }
        Some(Self { status, headers, body: rest.to_vec() })
    }

    /// Returns the response with secrets in its body.
    pub(super) fn planted(self) -> Self {
        Self { body: planted(&self.body), ..self }
    }

    /// Receives the response through the guarded client, which decodes it.
    pub(super) fn receive(&self, limits: Limits) -> Result<Response, EgressError> {
        thread_local! {
            static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        }
        let transport = Canned { status: self.status, headers: self.headers.clone(), body: self.body.clone() };
        let request = http::Request::get(Self::URL).body(Vec::new()).expect("a request");
        RUNTIME.with(|runtime| runtime.block_on(Egress::over(Arc::new(transport)).send(request, limits)))
    }
}

/// Splits off the first line as a string.
pub(super) fn line(data: &[u8]) -> (String, &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (line, rest) = data.split_at(end);
    (String::from_utf8_lossy(line).trim_end_matches('\r').to_owned(), rest.get(1..).unwrap_or_default())
}

struct Canned {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

#[async_trait]
impl Transport for Canned {
    async fn exchange(&self, _: http::Request<Vec<u8>>, _: Limits) -> Result<Response, EgressError> {
        Ok(Response::new(self.status, self.headers.clone(), self.body.clone()))
    }
}

/// The error codes that make Larder ask the end user to reconnect, unless a connector says otherwise.
const PERMANENT: [&str; 8] = [
    "invalid_grant",
    "bad_refresh_token",
    "invalid_refresh_token",
    "refresh_token_expired",
    "token_revoked",
    "bad_verification_code",
    "invalid_code",
    "code_already_used",
];

/// Whether a body contains one of those codes or of the `listed` ones. Entries with a space may be part of a sentence.
pub(super) fn is_permanent_somewhere(body: &Value, listed: &[String]) -> bool {
    let is_code = |text: &str| {
        let text = text.trim().to_lowercase();
        PERMANENT.contains(&text.as_str())
            || listed.iter().any(|entry| *entry == text || entry.contains(' ') && text.contains(entry))
    };
    match body {
        Value::String(text) => is_code(text),
        Value::Number(number) => is_code(&number.to_string()),
        Value::Array(items) => items.iter().any(|item| is_permanent_somewhere(item, listed)),
        Value::Object(members) => members.values().any(|member| is_permanent_somewhere(member, listed)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// Asserts that a message is short and fits on one line.
#[track_caller]
pub(super) fn assert_brief(message: &str) {
    assert!(message.chars().count() < 1200, "the message is too long: {message}");
    assert!(!message.contains(|char: char| char.is_control()), "{message:?}");
}
