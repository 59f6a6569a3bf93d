//! Errors as callers see them: `{type, key?, message, data?}`. [`crate::http`] turns them into responses.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The class of an error. Its numbers are the status codes with the same meaning (RFC 9110 §15); functions also use them to
/// pass the class to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request is invalid.
    Invalid = 400,
    /// The caller is unknown.
    NotAuthenticated = 401,
    /// The caller is known but may not do this.
    Denied = 403,
    /// The resource does not exist, or belongs to someone else.
    NotFound = 404,
    /// The path exists, but not with this method.
    MethodNotAllowed = 405,
    /// The request conflicts with the current state.
    Conflict = 409,
    /// The request or its result is too large.
    TooLarge = 413,
    /// A fault in Larder.
    Internal = 500,
    /// A function was invoked with an event for another one.
    NotImplemented = 501,
    /// The provider, or a service that Larder depends on, is temporarily unavailable.
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

    /// Returns the class with this number, or [`Self::Internal`] for an unknown one.
    pub fn of_code(code: u16) -> Self {
        Self::ALL.into_iter().find(|class| class.code() == code).unwrap_or(Self::Internal)
    }

    /// Returns its number.
    pub fn code(self) -> u16 {
        self as u16
    }
}

/// The type of an error, as in its `type` member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorType {
    /// The request is invalid.
    BadRequest,
    /// The provider rejected our request or did not answer.
    Connection,
    /// An integration or a connector is configured incorrectly.
    Configuration,
    /// Larder, or a service that it depends on, failed.
    Internal,
}

/// The documented values of the `key` member, which is more specific than the type.
pub const KEYS: [&str; 11] = [
    "access_denied",
    "access_token_expired",
    "already_exists",
    "cancelled",
    "connection_is_defunct",
    "deactivated",
    "in_use",
    "invalid_credentials",
    "not_authenticated",
    "not_found",
    "rate_limit_exceeded",
];

/// Returns the documented key with this name.
pub fn documented_key(name: &str) -> Option<&'static str> {
    KEYS.into_iter().find(|key| *key == name)
}

/// The type and key of an error. Its response carries them as an extension, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorSummary {
    /// The type.
    pub kind: ErrorType,
    /// The documented key, if there is one.
    pub key: Option<&'static str>,
}

/// An error for a caller. Its message says what to do and contains no secret.
#[derive(Debug, Clone, Serialize)]
pub struct Error {
    /// The class.
    #[serde(skip)]
    pub class: ErrorClass,
    /// The type.
    #[serde(rename = "type")]
    pub kind: ErrorType,
    /// The documented key, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'static str>,
    /// An explanation of what went wrong and what to do about it.
    pub message: String,
    /// Details for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<Value>>,
    /// The methods that the path accepts (`Allow`, RFC 9110 §10.2.1).
    #[serde(skip)]
    pub allow: Option<&'static str>,
    /// The wait before a retry (`Retry-After`, RFC 9110 §10.2.3).
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Whether the message is in the words and the language of the person who sees it on a page.
    #[serde(skip)]
    pub is_for_people: bool,
}

impl Error {
    fn new(class: ErrorClass, kind: ErrorType, key: Option<&'static str>, message: impl Into<String>) -> Self {
        Self {
            class,
            kind,
            key,
            message: message.into(),
            data: None,
            allow: None,
            retry_after: None,
            is_for_people: false,
        }
    }

    /// Words it for the person who sees it on a page.
    #[must_use]
    pub fn for_people(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), is_for_people: true, ..self }
    }

    /// 400: the request is invalid.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Invalid, ErrorType::BadRequest, None, message)
    }

    /// 401: the message is the same for a missing, invalid, or expired token and for an unknown workspace.
    pub fn not_authenticated() -> Self {
        let message = "the access token is missing, invalid, or expired; send a token signed with the workspace secret in \
                       `Authorization: Bearer` or `X-Membrane-Token`, or as `token` to /connect";
        Self::new(ErrorClass::NotAuthenticated, ErrorType::BadRequest, Some("not_authenticated"), message)
    }

    /// 403: the caller is known but may not do this.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Denied, ErrorType::BadRequest, Some("access_denied"), message)
    }

    /// 404: it does not exist, or belongs to someone else.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::NotFound, ErrorType::BadRequest, Some("not_found"), message)
    }

    /// 405: the path exists, but not with this method.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        let message = format!("this route accepts only {allowed}");
        let error = Self::new(ErrorClass::MethodNotAllowed, ErrorType::BadRequest, None, message);
        Self { allow: Some(allowed), ..error }
    }

    /// 409: the request conflicts with the current state.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Conflict, ErrorType::BadRequest, None, message)
    }

    /// 409: another object has this key.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Conflict, ErrorType::BadRequest, Some("already_exists"), message)
    }

    /// 409: flows use the connection.
    pub fn in_use(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Conflict, ErrorType::BadRequest, Some("in_use"), message)
    }

    /// 400: reading the credentials is turned off.
    pub fn deactivated() -> Self {
        let message = "the connection is deactivated; set `isDeactivated` to false to read its credentials";
        Self::new(ErrorClass::Invalid, ErrorType::Connection, Some("deactivated"), message)
    }

    /// 413: the request or its result is too large.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::TooLarge, ErrorType::BadRequest, None, message)
    }

    /// 400: the provider rejected our request, and a retry would not help.
    pub fn connection(key: Option<&'static str>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Invalid, ErrorType::Connection, key, message)
    }

    /// 400: an integration or a connector must be fixed first.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Invalid, ErrorType::Configuration, None, message)
    }

    /// 503: the provider is temporarily unavailable.
    pub fn connection_unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        let error = Self::new(ErrorClass::Unavailable, ErrorType::Connection, None, message);
        Self { retry_after: Some(retry_after), ..error }
    }

    /// 503: a service that Larder depends on (a table, a key, a secret) did not answer. The cause is only logged.
    pub fn unavailable(what: &'static str, cause: &dyn std::error::Error) -> Self {
        log_cause(what, cause);
        Self::unready(format!("{what} did not answer; try again shortly"))
    }

    /// 503: Larder is temporarily unable to do this.
    pub fn unready(message: impl Into<String>) -> Self {
        let error = Self::new(ErrorClass::Unavailable, ErrorType::Internal, None, message);
        Self { retry_after: Some(Duration::from_secs(1)), ..error }
    }

    /// 500: a fault in Larder. The cause is only logged.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(
            ErrorClass::Internal,
            ErrorType::Internal,
            None,
            "an internal error occurred; see the log for its cause",
        )
    }

    /// 500: the workspace secret is too short to verify tokens.
    pub fn short_secret() -> Self {
        let message = "the workspace secret has fewer than 32 bytes and cannot verify access tokens; replace it, for example \
                       with the output of `openssl rand -base64 48`";
        Self::new(ErrorClass::Internal, ErrorType::Configuration, None, message)
    }

    /// 500: the workspace secret has a key that must not be used.
    pub fn unusable_secret(problem: &str) -> Self {
        let message = format!("the workspace secret cannot be used: {problem}");
        Self::new(ErrorClass::Internal, ErrorType::Configuration, None, message)
    }

    /// 501: a function was invoked with an event that it does not handle.
    pub fn foreign_event(takes: &'static str) -> Self {
        Self::new(ErrorClass::NotImplemented, ErrorType::Configuration, None, takes)
    }

    /// Adds details for programs.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self { data: Some(Box::new(data)), ..self }
    }

    /// Whether a retry could help: the fault is in Larder or in a service that it depends on.
    pub fn is_transient(&self) -> bool {
        matches!(self.class, ErrorClass::Internal | ErrorClass::NotImplemented | ErrorClass::Unavailable)
    }

    /// Returns the type and key, for the log.
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

/// Logs an error with its causes on one line. The AWS SDK's outermost errors say little.
pub fn log_cause(what: &str, error: &dyn std::error::Error) {
    tracing::error!(what, cause = %chain(error), "a dependency failed");
}

/// Formats an error and its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
