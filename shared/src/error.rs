//! Errors as callers see them: `{type, key?, message, data?}`. [`crate::http`] makes responses of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The part of the caller, or of Larder, in an error. The numbers are the status codes of the same meaning (RFC 9110 §15),
/// which also stand for the class between functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request cannot be carried out as it was made.
    Invalid = 400,
    /// Nobody knows who asks.
    NotAuthenticated = 401,
    /// The caller is known but may not do this.
    Denied = 403,
    /// It does not exist, or belongs to somebody else.
    NotFound = 404,
    /// The path exists, but not with this method.
    MethodNotAllowed = 405,
    /// The present state stands in the way.
    Conflict = 409,
    /// More than can be stored or read.
    TooLarge = 413,
    /// A fault in Larder.
    Internal = 500,
    /// A function was invoked with an event for another one.
    NotImplemented = 501,
    /// Something that Larder stands on, or the connected application, cannot be used just now.
    Unavailable = 503,
}

impl ErrorClass {
    const ALL: [Self; 10] = [
        Self::Invalid,
        Self::NotAuthenticated,
        Self::Denied,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::TooLarge,
        Self::Internal,
        Self::NotImplemented,
        Self::Unavailable,
    ];

    /// The class with this number. A number of no class is a fault.
    pub fn of_code(code: u16) -> Self {
        Self::ALL.into_iter().find(|class| class.code() == code).unwrap_or(Self::Internal)
    }

    /// Its number.
    pub fn code(self) -> u16 {
        self as u16
    }
}

/// The broad kind of an error, as the `type` member on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorType {
    /// The request cannot be carried out as it was made.
    BadRequest,
    /// The connected application did not accept what we sent it.
    Connection,
    /// An integration or a connector is set up wrongly.
    Configuration,
    /// Larder, or something that it stands on, failed.
    Internal,
}

/// The documented kinds within the broad ones, as the `key` member on the wire.
const KEYS: [&str; 6] = [
    "access_denied",
    "access_token_expired",
    "connection_is_defunct",
    "not_authenticated",
    "not_found",
    "rate_limit_exceeded",
];

/// A documented key of that name.
pub fn documented_key(name: &str) -> Option<&'static str> {
    KEYS.into_iter().find(|key| *key == name)
}

/// The kind of an error. An extension of the response that was made of it, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorSummary {
    /// The broad kind.
    pub kind: ErrorType,
    /// The exact kind, where there is a documented one.
    pub key: Option<&'static str>,
}

/// An error on its way to a caller. Its message says what to do and holds no secret.
#[derive(Debug, Clone, Serialize)]
pub struct Error {
    /// Whose part it is.
    #[serde(skip)]
    pub class: ErrorClass,
    /// The broad kind.
    #[serde(rename = "type")]
    pub kind: ErrorType,
    /// The exact kind, where there is a documented one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'static str>,
    /// What went wrong and what to do about it.
    pub message: String,
    /// Details for a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<Value>>,
    /// The methods that the path takes (`Allow`, RFC 9110 §10.2.1).
    #[serde(skip)]
    pub allow: Option<&'static str>,
    /// When to try again (`Retry-After`, RFC 9110 §10.2.3).
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl Error {
    fn new(class: ErrorClass, kind: ErrorType, key: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { class, kind, key, message: message.into(), data: None, allow: None, retry_after: None }
    }

    /// 400: the request is malformed.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Invalid, ErrorType::BadRequest, None, message)
    }

    /// 401: the same words for a token that is missing, wrong, expired or of an unknown workspace.
    pub fn not_authenticated() -> Self {
        let message = "the access token is missing, wrong or expired; send one that the workspace secret has signed, as \
                       `Authorization: Bearer`, as `X-Membrane-Token`, or as `token` of /connect";
        Self::new(ErrorClass::NotAuthenticated, ErrorType::BadRequest, Some("not_authenticated"), message)
    }

    /// 403: the caller is known but may not do this.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Denied, ErrorType::BadRequest, Some("access_denied"), message)
    }

    /// 404: it does not exist, or belongs to somebody else.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::NotFound, ErrorType::BadRequest, Some("not_found"), message)
    }

    /// 405: the path exists, but not with this method.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        let message = format!("this route takes {allowed}");
        let error = Self::new(ErrorClass::MethodNotAllowed, ErrorType::BadRequest, None, message);
        Self { allow: Some(allowed), ..error }
    }

    /// 409: what is there stands in the way.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Conflict, ErrorType::BadRequest, None, message)
    }

    /// 413: more than can be stored or read.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::TooLarge, ErrorType::BadRequest, None, message)
    }

    /// 400: the connected application refused, and asking again will not help.
    pub fn connection(key: Option<&'static str>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Invalid, ErrorType::Connection, key, message)
    }

    /// 400: an integration or a connector must be mended first.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Invalid, ErrorType::Configuration, None, message)
    }

    /// 503: the connected application cannot be used just now.
    pub fn connection_unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        let error = Self::new(ErrorClass::Unavailable, ErrorType::Connection, None, message);
        Self { retry_after: Some(retry_after), ..error }
    }

    /// 503: something that Larder stands on (a table, a key, a secret) did not answer. The cause is logged, not told.
    pub fn unavailable(what: &'static str, cause: &dyn std::error::Error) -> Self {
        log_cause(what, cause);
        Self::unready(format!("{what} did not answer; try again shortly"))
    }

    /// 503: Larder cannot do it just now.
    pub fn unready(message: impl Into<String>) -> Self {
        let error = Self::new(ErrorClass::Unavailable, ErrorType::Internal, None, message);
        Self { retry_after: Some(Duration::from_secs(1)), ..error }
    }

    /// 500: a fault in Larder. The cause is logged, not told.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(ErrorClass::Internal, ErrorType::Internal, None, "something went wrong inside Larder")
    }

    /// 500: the secret of a workspace is too short to verify tokens.
    pub fn short_secret() -> Self {
        let message = "the secret of this workspace has fewer than 32 bytes, so that no access token can be verified with \
                       it; replace the secret, for example by the output of `openssl rand -base64 48`";
        Self::new(ErrorClass::Internal, ErrorType::Configuration, None, message)
    }

    /// 501: a function was invoked with an event that is not for it.
    pub fn foreign_event(takes: &'static str) -> Self {
        Self::new(ErrorClass::NotImplemented, ErrorType::Configuration, None, takes)
    }

    /// The same error with details for a program.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self { data: Some(Box::new(data)), ..self }
    }

    /// Whether trying again could help: the fault is in Larder, or in something that it stands on.
    pub fn is_transient(&self) -> bool {
        matches!(self.class, ErrorClass::Internal | ErrorClass::NotImplemented | ErrorClass::Unavailable)
    }

    /// The summary that the log keeps.
    pub fn summary(&self) -> ErrorSummary {
        ErrorSummary { kind: self.kind, key: self.key }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Logs an error with its causes on one line. The AWS SDK says little in the outermost one.
pub fn log_cause(what: &str, error: &dyn std::error::Error) {
    tracing::error!(what, cause = %chain(error), "a dependency failed");
}

/// An error and its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
