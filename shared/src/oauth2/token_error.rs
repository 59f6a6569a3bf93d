//! What a failed token request means for the connection.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::OAuthErrorCode;

/// Why a token request gave no token. Neither `Debug` nor `Display` carries a token, a code, a secret or the body.
///
/// What to do about it is in the kind:
///
/// | kind | means | the caller |
/// |---|---|---|
/// | `Permanent` | the grant is dead | asks the user to reconnect |
/// | `Configuration` | the integration is wrong: its secret, its scopes | tries again with back-off: mending the integration heals it |
/// | `Transient` | nothing is known about the grant | tries again with back-off |
/// | `Malformed` | a success that cannot be used | tries again with back-off |
/// | `TooLong` | the connector is wrong | tries again with back-off: mending the connector heals it |
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// An OAuth error code says that this grant will never work again (RFC 6749 §5.2): `invalid_grant`,
    /// `unauthorized_client`, or how a provider spells them.
    #[error("the provider refused the grant for good: {code}{}", Described(description))]
    Permanent {
        /// The provider's code.
        code: OAuthErrorCode,
        /// The provider's text, capped and cleaned.
        description: Option<String>,
    },
    /// An OAuth error code says that the request or the client is wrong (RFC 6749 §5.2): `invalid_client`,
    /// `invalid_request`, `unsupported_grant_type`, `invalid_scope`, or how a provider spells them.
    #[error("the provider refused the request: {code}{}; check the integration's parameters", Described(description))]
    Configuration {
        /// The provider's code.
        code: OAuthErrorCode,
        /// The provider's text, capped and cleaned.
        description: Option<String>,
    },
    /// Anything else that is no success: 5xx, 429, a code like `temporarily_unavailable` or one nobody knows, a page
    /// of HTML.
    #[error("the provider gave no token (HTTP {status}{}{})", Coded(code), Described(description))]
    Transient {
        /// The HTTP status.
        status: u16,
        /// The provider's code, if it gave one.
        code: Option<OAuthErrorCode>,
        /// The provider's text, capped and cleaned.
        description: Option<String>,
        /// How long the provider asks to wait; see [`TokenError::with_retry_after`].
        retry_after: Option<Duration>,
    },
    /// A successful answer that RFC 6749 §5.1 does not allow.
    #[error("the provider's token response {0}")]
    Malformed(Malformed),
    /// The request was never sent: as a query, which `tokenRequestFormat` asks for, it is too long for a URL.
    #[error("the token request is too long for a URL; the connector should not set tokenRequestFormat: query")]
    TooLong,
}

/// What is wrong with a token response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The body is neither a JSON object nor a form.
    #[error("is neither a JSON object nor a form")]
    Unreadable,
    /// `access_token` is missing, empty or no text.
    #[error("has no access_token")]
    NoAccessToken,
    /// `refresh_token` is missing, empty or no text, though the connector expects one.
    #[error("has no refresh_token; if this API gives none, set noRefreshToken: true in auth/get-oauth-config.map.yml")]
    NoRefreshToken,
    /// OAuth 1.0: `oauth_token` or `oauth_token_secret` is missing (RFC 5849 §2.1 and §2.3).
    #[error("has no oauth_token and oauth_token_secret")]
    NoToken,
    /// OAuth 1.0: `oauth_callback_confirmed` is not true (RFC 5849 §2.1), though the connector expects it.
    #[error(
        "does not confirm the callback; if this API speaks OAuth 1.0, set allowUnconfirmedCallback: true in \
         auth/get-oauth-config.map.yml"
    )]
    Unconfirmed,
}

/// RFC 6749 §5.2, then GitHub's and Slack's own spellings.
const PERMANENT: [&str; 9] = [
    "invalid_grant",
    "unauthorized_client",
    "bad_refresh_token",
    "invalid_refresh_token",
    "refresh_token_expired",
    "token_revoked",
    "bad_verification_code",
    "invalid_code",
    "code_already_used",
];

/// RFC 6749 §5.2, RFC 7009 §2.2.1 and RFC 8707 §2, then GitHub's and Slack's own spellings.
const CONFIGURATION: [&str; 12] = [
    "invalid_client",
    "invalid_request",
    "unsupported_grant_type",
    "invalid_scope",
    "unsupported_token_type",
    "invalid_target",
    "incorrect_client_credentials",
    "redirect_uri_mismatch",
    "invalid_client_id",
    "bad_client_secret",
    "bad_redirect_uri",
    "invalid_grant_type",
];

impl TokenError {
    /// Whether the connection is dead until its user reconnects; true for nothing but an OAuth error code.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent { .. })
    }

    /// The provider's error code, if it gave one.
    pub fn code(&self) -> Option<&OAuthErrorCode> {
        match self {
            Self::Permanent { code, .. } | Self::Configuration { code, .. } => Some(code),
            Self::Transient { code, .. } => code.as_ref(),
            Self::Malformed(_) | Self::TooLong => None,
        }
    }

    /// How long the provider asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Transient { retry_after, .. } => *retry_after,
            Self::Permanent { .. } | Self::Configuration { .. } | Self::Malformed(_) | Self::TooLong => None,
        }
    }

    /// Adds what [`parse_retry_after`] made of the answer's header (RFC 9110 §10.2.3), if the failure is transient.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        if let Self::Transient { retry_after, .. } = &mut self {
            *retry_after = wait;
        }
        self
    }

    /// The same error, permanent if its code is one of these.
    #[must_use]
    pub(super) fn with_permanent(self, codes: &[String]) -> Self {
        let is_listed = |code: &OAuthErrorCode| codes.iter().any(|listed| listed == code.as_str());
        match self {
            Self::Configuration { code, description } if is_listed(&code) => Self::Permanent { code, description },
            Self::Transient { status, code: Some(code), description, .. }
                if status < 500 && status != 429 && is_listed(&code) =>
            {
                Self::Permanent { code, description }
            }
            error => error,
        }
    }

    /// What an answer with this status and error code means. Whatever a 5xx or a 429 says, it is transient.
    pub(super) fn classify(status: u16, code: Option<OAuthErrorCode>, description: Option<String>) -> Self {
        Self::classify_by(status, code, description, &PERMANENT, &CONFIGURATION)
    }

    /// The same, with other lists of codes.
    pub(crate) fn classify_by(
        status: u16,
        code: Option<OAuthErrorCode>,
        description: Option<String>,
        permanent: &[&str],
        configuration: &[&str],
    ) -> Self {
        match code {
            Some(code) if status < 500 && status != 429 && code.is_one_of(permanent) => {
                Self::Permanent { code, description }
            }
            Some(code) if status < 500 && status != 429 && code.is_one_of(configuration) => {
                Self::Configuration { code, description }
            }
            code => Self::Transient { status, code, description, retry_after: None },
        }
    }
}

/// Reads a `Retry-After` header, seconds or an HTTP date (RFC 9110 §10.2.3); at most a day, and nothing of rubbish.
pub fn parse_retry_after(header: &str, now: OffsetDateTime) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        return Some(header.parse().map_or(DAY, Duration::from_secs).min(DAY));
    }
    let date = parse_http_date(header)?;
    Some(Duration::try_from(date - now).unwrap_or(Duration::ZERO).min(DAY))
}

/// Reads an HTTP date as servers write it today (IMF-fixdate, RFC 9110 §5.6.7).
pub fn parse_http_date(header: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(header.trim(), &Rfc2822).ok()
}

struct Described<'a>(&'a Option<String>);

impl std::fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |description| write!(f, " ({description})"))
    }
}

struct Coded<'a>(&'a Option<OAuthErrorCode>);

impl std::fmt::Display for Coded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |code| write!(f, ", {code}"))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn classify(status: u16, code: &str) -> TokenError {
        TokenError::classify(status, Some(OAuthErrorCode::new(code)), None)
    }

    #[test]
    fn only_oauth_error_codes_are_permanent() {
        for code in PERMANENT {
            assert!(classify(400, code).is_permanent(), "{code}");
            assert!(classify(200, &code.to_uppercase()).is_permanent(), "{code}");
            assert!(!classify(500, code).is_permanent() && !classify(429, code).is_permanent(), "{code}");
        }
        for code in ["invalid_client", "invalid_request", "unsupported_grant_type", "invalid_scope"] {
            assert!(matches!(classify(401, code), TokenError::Configuration { .. }), "{code}");
        }
        for code in ["temporarily_unavailable", "server_error", "slow_down", "ratelimited", "no_such_code"] {
            assert!(matches!(classify(400, code), TokenError::Transient { .. }), "{code}");
        }
        assert!(!TokenError::classify(400, None, None).is_permanent());
        assert!(!TokenError::Malformed(Malformed::NoAccessToken).is_permanent());
    }

    #[test]
    fn a_connector_may_name_more_codes_as_permanent_but_no_outage_is() {
        let listed = ["invalid_request".to_owned(), "token_dead".to_owned()];
        let is_permanent = |status, code| classify(status, code).with_permanent(&listed).is_permanent();
        assert!(is_permanent(400, "invalid_request") && is_permanent(401, "token_dead"));
        assert!(!is_permanent(400, "invalid_client") && !is_permanent(503, "token_dead"));
        assert!(!is_permanent(429, "invalid_request"));
    }

    #[test]
    fn a_failure_reads_as_a_sentence() {
        let failure = |status, code| TokenError::classify(status, code, Some("Try later.".into())).to_string();
        let code = |text| Some(OAuthErrorCode::new(text));
        assert_eq!(
            failure(400, code("invalid_grant")),
            "the provider refused the grant for good: invalid_grant (Try later.)"
        );
        assert_eq!(
            failure(401, code("invalid_client")),
            "the provider refused the request: invalid_client (Try later.); check the integration's parameters"
        );
        assert_eq!(failure(503, code("busy")), "the provider gave no token (HTTP 503, busy (Try later.))");
        assert_eq!(
            TokenError::Malformed(Malformed::NoAccessToken).to_string(),
            "the provider's token response has no access_token"
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = datetime!(2015-10-21 07:27:00 UTC);
        let seconds = |header: &str| parse_retry_after(header, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0));
        assert_eq!(seconds("99999999999999999999999"), Some(86_400));
        assert_eq!(seconds("Fri, 21 Oct 2095 07:28:00 GMT"), Some(86_400));
        for rubbish in ["", "-1", "soon", "1.5"] {
            assert_eq!(seconds(rubbish), None);
        }
        let wait = Some(Duration::from_secs(7));
        assert_eq!(classify(503, "busy").with_retry_after(wait).retry_after(), wait);
        assert_eq!(classify(400, "invalid_grant").with_retry_after(wait).retry_after(), None);
    }
}
