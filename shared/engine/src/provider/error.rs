//! Errors of requests to a provider, and what they mean for a connection.

use std::time::Duration;

use larder::connection::{Failure, Problem};
use larder::error::Error;
use serde_json::Value;
use time::OffsetDateTime;

use crate::connector::{ErrorKey, ResponseError, RestError};
use crate::database_login::LoginError;
use crate::egress::EgressError;
use crate::javascript::{Thrown, Unshown};
use crate::oauth2::{MalformedTokenResponse, TokenError};
use crate::response::{ErrorReport, ErrorRules, Meaning, parse_retry_after};

/// Why a request to a provider failed. The message contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The connector or the integration is misconfigured; fixing it fixes the connection.
    #[error("{message}")]
    Configuration {
        /// The description of the problem.
        message: String,
        /// How long the provider asks to wait, if the provider reported the problem.
        retry_after: Option<Duration>,
    },
    /// The provider rejected the request.
    #[error("{message}")]
    Refused {
        /// One of the documented keys.
        key: Option<&'static str>,
        /// The provider's message.
        message: String,
        /// Whether retrying is pointless.
        permanent: bool,
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
    },
    /// The provider is down, slow, or answered nonsense.
    #[error("{message}")]
    Unavailable {
        /// One of the documented keys.
        key: Option<&'static str>,
        /// The description of the problem.
        message: String,
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
    },
}

/// Appended to the message when a request was repeated because its first answer was lost.
pub(super) const AFTER_LOST_ANSWER: &str =
    "; the answer to the same request was lost a moment before, and may have used up the token or the code";

impl ProviderError {
    /// Creates an error for a misconfigured connector or integration.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::Configuration { message: message.into(), retry_after: None }
    }

    /// Creates an error for a rejection that may succeed on a retry.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::Refused { key: None, message: message.into(), permanent: false, retry_after: None }
    }

    /// Creates an error for a missing or meaningless answer.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { key: None, message: message.into(), retry_after: None }
    }

    /// Interprets an error that a script threw. If it carries an API's response, that decides, as if we had sent the request
    /// ourselves.
    pub(super) fn of_thrown(
        message: String,
        thrown: &Thrown,
        rules: Option<ErrorRules<'_>>,
        now: OffsetDateTime,
    ) -> Self {
        let key = thrown.key.as_ref().and_then(|key| ErrorKey::of(key.inner()));
        let Some(response) = thrown.answer.as_ref().map(Unshown::inner) else {
            // For example, the error of a request that is not allowed.
            return match thrown.kind.as_ref().map(|kind| kind.inner().as_str()) {
                Some("configuration") => Self::configuration(message),
                _ => Self::of_response(key, message, 0, None, None),
            };
        };
        // Treat an invalid status like an outage, because it might be one.
        const UNKNOWN: u16 = 599;
        let status = match response.get("status") {
            None | Some(Value::Null) => 0,
            Some(Value::String(status)) => status.trim().parse().unwrap_or(UNKNOWN),
            Some(status) => status.as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(UNKNOWN),
        };
        let header = |wanted: &str| {
            let mut headers = response.get("headers").and_then(Value::as_object).into_iter().flatten();
            headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
        };
        let wait = header("retry-after").and_then(|wait| match wait {
            Value::String(wait) => parse_retry_after(wait, now),
            wait => parse_retry_after(&wait.to_string(), now),
        });
        let is_redirect = (300..400).contains(&status) && header("location").is_some();
        let meaning = rules.map(|rules| {
            if is_redirect {
                return Meaning::Configuration;
            }
            let body = response.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
            rules.meaning(status, &ErrorReport::read(status, &body))
        });
        Self::of_response(key, message, status, meaning, wait)
    }

    /// Interprets an error response: by the connector's key, else by its error codes, else by its status.
    pub(super) fn of_response(
        key: Option<ErrorKey>,
        message: String,
        status: u16,
        meaning: Option<Meaning>,
        retry_after: Option<Duration>,
    ) -> Self {
        let named = key.map(ErrorKey::name);
        match (key, meaning) {
            (Some(ErrorKey::RateLimitExceeded), _) => Self::Unavailable { key: named, message, retry_after },
            (Some(ErrorKey::ConnectionIsDefunct), _) => {
                Self::Refused { key: named, message, permanent: true, retry_after: None }
            }
            (_, Some(Meaning::Permanent)) => {
                let key = named.or(Some("access_token_expired"));
                Self::Refused { key, message, permanent: true, retry_after: None }
            }
            (None | Some(ErrorKey::AccessTokenExpired), Some(Meaning::Configuration)) => {
                Self::Configuration { message, retry_after }
            }
            (None, _) if status == 429 => {
                Self::Unavailable { key: Some(ErrorKey::RateLimitExceeded.name()), message, retry_after }
            }
            (None, _) if status >= 500 => Self::Unavailable { key: None, message, retry_after },
            _ => Self::Refused { key: named, message, permanent: false, retry_after },
        }
    }

    /// Names the rejection of credentials that were only just entered or obtained: nothing can have expired.
    pub(super) fn of_new_credentials(self) -> Self {
        match self {
            Self::Refused { key: Some("access_token_expired"), message, permanent, retry_after } => {
                Self::Refused { key: Some("invalid_credentials"), message, permanent, retry_after }
            }
            other => other,
        }
    }

    /// Adds that the answer to the same request was lost before: a provider may accept a token or a code only once.
    pub(super) fn after_lost_answer(self) -> Self {
        self.followed_by(AFTER_LOST_ANSWER)
    }

    /// Adds something to the end of the message.
    pub(super) fn followed_by(mut self, more: &str) -> Self {
        self.message_mut().push_str(more);
        self
    }

    /// Removes these strings from the message.
    pub(super) fn without(mut self, secrets: &[String]) -> Self {
        let message = self.message_mut();
        for secret in secrets {
            *message = message.replace(secret, "…");
        }
        self
    }

    fn message_mut(&mut self) -> &mut String {
        let (Self::Configuration { message, .. } | Self::Refused { message, .. } | Self::Unavailable { message, .. }) =
            self;
        message
    }

    /// Converts the error into the failure of a refresh.
    pub fn into_failure(self) -> Failure {
        let message = self.to_string();
        match self {
            Self::Refused { key, permanent: true, .. } => Failure::Permanent(Problem::new(key, message)),
            Self::Refused { key, retry_after, .. } | Self::Unavailable { key, retry_after, .. } => {
                Failure::Transient { problem: Problem::new(key, message), retry_after }
            }
            Self::Configuration { retry_after, .. } => Failure::of_set_up(message, retry_after),
        }
    }
}

impl From<ProviderError> for Error {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Configuration { message, .. } => Error::configuration(message),
            ProviderError::Refused { key, message, .. } => Error::connection(key, message),
            ProviderError::Unavailable { key, message, retry_after } => {
                let wait = retry_after.unwrap_or(Duration::from_secs(60));
                Error { key, ..Error::connection_unavailable(message, wait) }
            }
        }
    }
}

impl From<TokenError> for ProviderError {
    fn from(error: TokenError) -> Self {
        let (message, retry_after) = (error.to_string(), error.retry_after());
        match error {
            TokenError::Permanent { .. } => {
                Self::Refused { key: Some("access_token_expired"), message, permanent: true, retry_after: None }
            }
            TokenError::Configuration { .. }
            | TokenError::Redirected { .. }
            | TokenError::TooLong
            | TokenError::Malformed(MalformedTokenResponse::NoRefreshToken | MalformedTokenResponse::Unconfirmed) => {
                Self::Configuration { message, retry_after }
            }
            TokenError::Malformed(_) | TokenError::Transient { .. } => {
                Self::Unavailable { key: None, message, retry_after }
            }
        }
    }
}

impl From<EgressError> for ProviderError {
    fn from(error: EgressError) -> Self {
        let message = error.to_string();
        match error {
            EgressError::Refused { .. } => Self::configuration(message),
            _ => Self::unavailable(message),
        }
    }
}

impl From<RestError> for ProviderError {
    fn from(error: RestError) -> Self {
        Self::configuration(format!("the connector's request is invalid: {error}"))
    }
}

impl From<ResponseError> for ProviderError {
    fn from(error: ResponseError) -> Self {
        let ResponseError { key, message, status, meaning, retry_after } = error;
        Self::of_response(key, message, status, meaning, retry_after)
    }
}

impl From<LoginError> for ProviderError {
    fn from(error: LoginError) -> Self {
        let message = error.to_string();
        match error {
            LoginError::WrongPassword { .. } => {
                let key = Some(ErrorKey::AccessTokenExpired.name());
                Self::Refused { key, message, permanent: false, retry_after: None }
            }
            LoginError::Refused { .. } | LoginError::Tls { .. } => Self::refused(message),
            LoginError::NotAllowed { .. } => Self::configuration(message),
            LoginError::Unavailable { .. } => Self::unavailable(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

    fn configuration(retry_after: Option<Duration>) -> ProviderError {
        ProviderError::Configuration { message: "m".into(), retry_after }
    }

    fn refused(key: Option<&'static str>, retry_after: Option<Duration>) -> ProviderError {
        ProviderError::Refused { key, message: "m".into(), permanent: false, retry_after }
    }

    fn permanent(key: &'static str) -> ProviderError {
        ProviderError::Refused { key: Some(key), message: "m".into(), permanent: true, retry_after: None }
    }

    fn unavailable(retry_after: Option<Duration>) -> ProviderError {
        ProviderError::Unavailable { key: None, message: "m".into(), retry_after }
    }

    fn limited(retry_after: Option<Duration>) -> ProviderError {
        ProviderError::Unavailable { key: Some("rate_limit_exceeded"), message: "m".into(), retry_after }
    }

    /// Interprets a thrown error with these members.
    fn of_thrown(error: &Value) -> ProviderError {
        let text = |name: &str| error[name].as_str().map(|text| Unshown::new(text.to_owned()));
        let answer = error.get("response").cloned().map(Unshown::new);
        let thrown = Thrown { message: "m".into(), name: None, at: None, kind: text("type"), key: text("key"), answer };
        ProviderError::of_thrown("m".into(), &thrown, Some(ErrorRules::default()), OffsetDateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_connectors_error_key_wins_over_the_code_and_the_status() {
        use ErrorKey::{AccessTokenExpired, ConnectionIsDefunct, RateLimitExceeded};
        use Meaning::{Configuration, Permanent, Transient};
        for (key, meaning, status, expected) in [
            (Some(RateLimitExceeded), Some(Permanent), 400, limited(MINUTE)),
            (Some(ConnectionIsDefunct), Some(Transient), 503, permanent("connection_is_defunct")),
            (Some(AccessTokenExpired), Some(Permanent), 400, permanent("access_token_expired")),
            (None, Some(Permanent), 400, permanent("access_token_expired")),
            (Some(AccessTokenExpired), Some(Configuration), 401, configuration(MINUTE)),
            (None, Some(Configuration), 401, configuration(MINUTE)),
            (Some(AccessTokenExpired), Some(Transient), 503, refused(Some("access_token_expired"), MINUTE)),
            (None, Some(Transient), 429, limited(MINUTE)),
            (None, None, 500, unavailable(MINUTE)),
            (None, Some(Transient), 499, refused(None, MINUTE)),
            (None, None, 0, refused(None, MINUTE)),
        ] {
            let error = ProviderError::of_response(key, "m".into(), status, meaning, MINUTE);
            assert_eq!(error, expected, "{key:?} {meaning:?} {status}");
        }
    }

    #[test]
    fn a_thrown_error_is_read_by_its_response_or_else_its_type() {
        let location = json!({"Location": "/login"});
        for (error, expected) in [
            (json!({"type": "configuration"}), configuration(None)),
            (json!({"type": "connection"}), refused(None, None)),
            (json!({"type": "configuration", "response": {"status": 503}}), unavailable(None)),
            (json!({"response": {"status": 302, "headers": location}}), configuration(None)),
            (json!({"response": {"status": 302}}), refused(None, None)),
            (json!({"response": {"status": 404, "headers": location}}), refused(None, None)),
            (json!({"response": {"status": 503, "headers": {"Retry-After": 60}}}), unavailable(MINUTE)),
            (json!({"response": {"status": " 429 "}}), limited(None)),
            (json!({"response": {"data": {"error": "invalid_grant"}}}), permanent("access_token_expired")),
        ] {
            assert_eq!(of_thrown(&error), expected, "{error}");
        }
        // An invalid status may be an outage.
        for status in [json!("down"), json!(-1), json!(70_000), json!([200])] {
            assert_eq!(of_thrown(&json!({"response": {"status": status}})), unavailable(None), "{status}");
        }
    }

    #[test]
    fn messages_lose_secrets_and_mention_a_lost_answer() {
        let error = ProviderError::refused("hunter2 is wrong, hunter2 is expired");
        let message = error.without(&["hunter2".to_owned()]).after_lost_answer().to_string();
        assert_eq!(
            message,
            "… is wrong, … is expired; the answer to the same request was lost a moment before, and may have used up \
             the token or the code"
        );
    }

    #[test]
    fn a_forbidden_address_is_a_configuration_error() {
        let (host, reason) = ("h".to_owned(), "it is private");
        let error = ProviderError::from(EgressError::Refused { host: host.clone(), reason });
        assert!(matches!(error, ProviderError::Configuration { .. }));
        let error = ProviderError::from(EgressError::Undecodable { host, reason });
        assert!(matches!(error, ProviderError::Unavailable { .. }));
    }
}
