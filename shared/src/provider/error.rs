//! Why a provider did not do what was asked.

use std::time::Duration;

use serde_json::Value;

use crate::connection::{Failure, Problem};
use crate::connector::{ErrorKey, ResponseError, RestError};
use crate::database::LoginError;
use crate::egress::EgressError;
use crate::error::Error;
use crate::javascript::Thrown;
use crate::oauth2::{Malformed, TokenError, parse_revocation};

/// Why a provider did not do what was asked. The text holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The connector or the integration is set up wrongly; mending it heals the connection.
    #[error("{0}")]
    Configuration(String),
    /// The provider refused.
    #[error("{message}")]
    Refused {
        /// Of the documented keys.
        key: Option<&'static str>,
        /// What it said.
        message: String,
        /// Whether asking again is pointless.
        permanent: bool,
    },
    /// The provider is down, slow, or out of its mind.
    #[error("{message}")]
    Unavailable {
        /// What was seen.
        message: String,
        /// When it asked to be asked again.
        retry_after: Option<Duration>,
    },
}

impl ProviderError {
    /// What a script's error means. What an API answered decides where the error tells it: an OAuth error code in a
    /// response is as permanent as if we had asked ourselves.
    pub(super) fn of_thrown(message: String, thrown: &Thrown) -> Self {
        let key = thrown.key.as_deref().and_then(ErrorKey::of);
        let response = thrown.data.as_ref().and_then(|data| data.get("response"));
        let status = response.and_then(|response| response.get("status")?.as_u64()).unwrap_or_default();
        let status = u16::try_from(status).unwrap_or_default();
        let body = response.and_then(|response| response.get("data")).map(Value::to_string).unwrap_or_default();
        let is_permanent = key == Some(ErrorKey::ConnectionIsDefunct)
            || (400..500).contains(&status)
                && parse_revocation(status, None, body.as_bytes()).is_err_and(|error| error.is_permanent());
        match (key, status) {
            (_, _) if is_permanent => Self::Refused { key: key.map(ErrorKey::name), message, permanent: true },
            (Some(ErrorKey::RateLimitExceeded), _) | (None, 429 | 500..) => {
                Self::Unavailable { message, retry_after: None }
            }
            (key, _) => Self::Refused { key: key.map(ErrorKey::name), message, permanent: false },
        }
    }

    /// The same error, with these texts taken out of its message.
    pub(super) fn without(mut self, secrets: &[String]) -> Self {
        let (Self::Configuration(message) | Self::Refused { message, .. } | Self::Unavailable { message, .. }) =
            &mut self;
        for secret in secrets {
            *message = message.replace(secret, "…");
        }
        self
    }

    /// What this means for a connection that was being refreshed.
    pub fn into_failure(self) -> Failure {
        let message = self.to_string();
        match self {
            Self::Refused { key, permanent: true, .. } => Failure::Permanent(Problem::new(key, message)),
            Self::Refused { key, .. } => Failure::Transient { problem: Problem::new(key, message), retry_after: None },
            Self::Configuration(_) => {
                Failure::Transient { problem: Problem::new(Some("configuration"), message), retry_after: None }
            }
            Self::Unavailable { retry_after, .. } => {
                Failure::Transient { problem: Problem::new(None, message), retry_after }
            }
        }
    }
}

impl From<ProviderError> for Error {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Configuration(message) => Error::configuration(message),
            ProviderError::Refused { key, message, .. } => Error::connection(key, message),
            ProviderError::Unavailable { message, retry_after } => {
                Error::connection_unavailable(message, retry_after.unwrap_or(Duration::from_secs(60)))
            }
        }
    }
}

impl From<TokenError> for ProviderError {
    fn from(error: TokenError) -> Self {
        let message = error.to_string();
        match error {
            TokenError::Permanent { .. } => {
                Self::Refused { key: Some("access_token_expired"), message, permanent: true }
            }
            TokenError::Configuration { .. }
            | TokenError::TooLong
            | TokenError::Malformed(Malformed::NoRefreshToken | Malformed::Unconfirmed) => Self::Configuration(message),
            TokenError::Malformed(_) => Self::Unavailable { message, retry_after: None },
            TokenError::Transient { retry_after, .. } => Self::Unavailable { message, retry_after },
        }
    }
}

impl From<EgressError> for ProviderError {
    fn from(error: EgressError) -> Self {
        let message = error.to_string();
        match error {
            EgressError::Refused { .. } => Self::Configuration(message),
            _ => Self::Unavailable { message, retry_after: None },
        }
    }
}

impl From<RestError> for ProviderError {
    fn from(error: RestError) -> Self {
        Self::Configuration(format!("a request of the connector cannot be made: {error}"))
    }
}

impl From<ResponseError> for ProviderError {
    fn from(error: ResponseError) -> Self {
        let ResponseError { key, message, status, retry_after } = error;
        match (key, status) {
            (Some(ErrorKey::RateLimitExceeded), _) => Self::Unavailable { message, retry_after },
            (None, 500..) => Self::Unavailable { message, retry_after },
            (key, _) => Self::Refused {
                key: key.map(ErrorKey::name),
                message,
                permanent: key == Some(ErrorKey::ConnectionIsDefunct),
            },
        }
    }
}

impl From<LoginError> for ProviderError {
    fn from(error: LoginError) -> Self {
        let message = error.to_string();
        match error {
            LoginError::Refused { .. } | LoginError::Tls { .. } => {
                Self::Refused { key: None, message, permanent: false }
            }
            LoginError::NotAllowed { .. } => Self::Configuration(message),
            LoginError::Unavailable { .. } => Self::Unavailable { message, retry_after: None },
        }
    }
}
