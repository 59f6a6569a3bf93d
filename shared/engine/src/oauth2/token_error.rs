//! Errors of token requests, and what they mean for the connection.

use std::time::Duration;

use crate::response::{ErrorCode, ErrorReport, ErrorRules, Meaning};

/// Why a token request returned no token. Neither `Debug` nor `Display` shows a token, a code, a secret or the body.
///
/// The variant says what to do:
///
/// | variant | meaning | what the caller does |
/// |---|---|---|
/// | `Permanent` | the grant is dead | asks the end user to reconnect |
/// | `Configuration` | the integration is wrong (its secret or scopes, say) | retries with back-off until the integration is fixed |
/// | `Transient` | nothing is known about the grant | retries with back-off |
/// | `Malformed` | a success that cannot be used | retries with back-off |
/// | `Redirected`, `TooLong` | the integration or the connector is wrong | retries with back-off until it is fixed |
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// An OAuth error code says that this grant will never work again (RFC 6749 §5.2): `invalid_grant`, a provider's own
    /// spelling of it, or a code that the connector lists.
    #[error("the provider permanently rejected the grant: {code}{}", Described(description))]
    Permanent {
        /// The provider's code.
        code: ErrorCode,
        /// The provider's description, cleaned and capped.
        description: Option<String>,
    },
    /// An OAuth error code says that the request or the client is wrong (RFC 6749 §5.2): `invalid_client`,
    /// `unauthorized_client`, `invalid_request`, `unsupported_grant_type`, `invalid_scope`, or a provider's own spelling.
    #[error("the provider rejected the request: {code}{}; check the integration's parameters", Described(description))]
    Configuration {
        /// The provider's code.
        code: ErrorCode,
        /// The provider's description, cleaned and capped.
        description: Option<String>,
        /// How long the provider asks to wait; see [`TokenError::with_retry_after`].
        retry_after: Option<Duration>,
    },
    /// A redirect, which is never followed because the request contains secrets (RFC 9700 §4.11).
    #[error(
        "the provider answered {status} with a redirect to {target}; if that address is right, set it in the integration"
    )]
    Redirected {
        /// The HTTP status.
        status: u16,
        /// The target, without its query.
        target: String,
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
    },
    /// Any other failure: a 5xx, a 429, a code like `temporarily_unavailable` or an unknown one, an HTML page.
    #[error("the provider returned no token (HTTP {status}{}{})", Coded(code), Described(description))]
    Transient {
        /// The HTTP status.
        status: u16,
        /// The provider's code, if it gave one.
        code: Option<ErrorCode>,
        /// The provider's description, cleaned and capped.
        description: Option<String>,
        /// How long the provider asks to wait; see [`TokenError::with_retry_after`].
        retry_after: Option<Duration>,
    },
    /// A successful response that violates RFC 6749 §5.1.
    #[error("the provider's token response {0}")]
    Malformed(MalformedTokenResponse),
    /// The request was never sent because its query, which `tokenRequestFormat` requires, is too long for a URL.
    #[error("the token request is too long for a URL; remove tokenRequestFormat: query from the connector")]
    TooLong,
}

/// The flaw of a malformed token response. The messages follow "the provider's token response".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedTokenResponse {
    /// The body is neither a JSON object nor a form.
    #[error("is neither a JSON object nor a form")]
    Unreadable,
    /// `access_token` is missing, empty or not a string.
    #[error("has no access_token")]
    NoAccessToken,
    /// `refresh_token` is missing, empty or not a string, although the connector expects one.
    #[error(
        "has no refresh_token: request offline access, and set prompt: consent (or the provider's equivalent) in extra, \
         because many providers return a second refresh token only after the end user consents again; if this API never \
         returns one, set noRefreshToken: true in auth/get-oauth-config.map.yml"
    )]
    NoRefreshToken,
    /// A token is not valid UTF-8.
    #[error("has a token that is not valid UTF-8")]
    Garbled,
    /// OAuth 1.0: `oauth_token` or `oauth_token_secret` is missing (RFC 5849 §2.1 and §2.3).
    #[error("has no oauth_token or no oauth_token_secret")]
    NoToken,
    /// OAuth 1.0: `oauth_callback_confirmed` is not true (RFC 5849 §2.1), although the connector expects it.
    #[error(
        "does not confirm the callback; if this API uses OAuth 1.0, set allowUnconfirmedCallback: true in \
         auth/get-oauth-config.map.yml"
    )]
    Unconfirmed,
}

impl TokenError {
    /// Whether the connection is dead until the end user reconnects, which only an OAuth error code can cause.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent { .. })
    }

    /// Returns the provider's error code, if it gave one.
    pub fn code(&self) -> Option<&ErrorCode> {
        match self {
            Self::Permanent { code, .. } | Self::Configuration { code, .. } => Some(code),
            Self::Transient { code, .. } => code.as_ref(),
            Self::Redirected { .. } | Self::Malformed(_) | Self::TooLong => None,
        }
    }

    /// Returns how long the provider asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Configuration { retry_after, .. }
            | Self::Redirected { retry_after, .. }
            | Self::Transient { retry_after, .. } => *retry_after,
            Self::Permanent { .. } | Self::Malformed(_) | Self::TooLong => None,
        }
    }

    /// Adds the response's wait, from [`parse_retry_after`](crate::response::parse_retry_after), unless the failure is
    /// permanent.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        if let Self::Configuration { retry_after, .. } | Self::Transient { retry_after, .. } = &mut self {
            *retry_after = wait;
        }
        self
    }

    /// Returns the error for a response with this status and this report.
    pub(crate) fn of(status: u16, report: &ErrorReport, rules: ErrorRules<'_>) -> Self {
        let description = report.description();
        match (rules.meaning(status, report), report.code()) {
            (Meaning::Permanent, code) => {
                Self::Permanent { code: code.unwrap_or_else(ErrorCode::unknown), description }
            }
            (Meaning::Configuration, Some(code)) => Self::Configuration { code, description, retry_after: None },
            (_, code) => Self::Transient { status, code, description, retry_after: None },
        }
    }

    /// Returns the error according to other lists of codes, which OAuth 1.0 has.
    pub(crate) fn classify_by(
        status: u16,
        code: Option<ErrorCode>,
        description: Option<String>,
        permanent: &[&str],
        connector_setup: &[&str],
    ) -> Self {
        match code {
            Some(code) if status < 500 && status != 429 && code.is_one_of(permanent) => {
                Self::Permanent { code, description }
            }
            Some(code) if status < 500 && status != 429 && code.is_one_of(connector_setup) => {
                Self::Configuration { code, description, retry_after: None }
            }
            code => Self::Transient { status, code, description, retry_after: None },
        }
    }
}

struct Described<'a>(&'a Option<String>);

impl std::fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |description| write!(f, " ({description})"))
    }
}

struct Coded<'a>(&'a Option<ErrorCode>);

impl std::fmt::Display for Coded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |code| write!(f, ", {code}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: &str) -> TokenError {
        let body = serde_json::json!({"error": code, "error_description": "Try later."});
        let report = ErrorReport::read(status, body.as_object().expect("an object"));
        TokenError::of(status, &report, ErrorRules::default())
    }

    #[test]
    fn failure_messages_read_as_sentences() {
        let failure = |status, code| of(status, code).to_string();
        assert_eq!(
            failure(400, "invalid_grant"),
            "the provider permanently rejected the grant: invalid_grant (Try later.)"
        );
        assert_eq!(
            failure(401, "invalid_client"),
            "the provider rejected the request: invalid_client (Try later.); check the integration's parameters"
        );
        assert_eq!(failure(503, "busy"), "the provider returned no token (HTTP 503, busy (Try later.))");
        let target = "https://auth.example.com/token".to_owned();
        let moved = TokenError::Redirected { status: 301, target, retry_after: None };
        assert_eq!(
            moved.to_string(),
            "the provider answered 301 with a redirect to https://auth.example.com/token; if that address is right, set it \
             in the integration"
        );
        assert_eq!(
            TokenError::Malformed(MalformedTokenResponse::NoAccessToken).to_string(),
            "the provider's token response has no access_token"
        );
    }

    #[test]
    fn a_failure_has_the_providers_code() {
        for (status, code) in [(400, "invalid_grant"), (401, "invalid_client"), (503, "busy")] {
            assert_eq!(of(status, code).code(), Some(&ErrorCode::new(code)));
        }
        assert_eq!(TokenError::TooLong.code(), None);
    }

    #[test]
    fn retry_after_is_kept_unless_the_grant_is_dead() {
        let wait = Some(Duration::from_secs(7));
        assert_eq!(of(503, "busy").with_retry_after(wait).retry_after(), wait);
        assert_eq!(of(401, "invalid_client").with_retry_after(wait).retry_after(), wait);
        assert_eq!(of(400, "invalid_grant").with_retry_after(wait).retry_after(), None);
    }
}
