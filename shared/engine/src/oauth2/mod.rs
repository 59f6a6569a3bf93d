//! OAuth 2 without I/O: builds requests and parses responses.
//!
//! Every function here takes data and returns an `http::Request`, a URL or a typed result. The caller provides time,
//! randomness and the network. A connection passes through the functions in this order:
//!
//! ```text
//! getOAuthConfig ── OAuthConfig::from_value ──▶ OAuthConfig
//!                                                  │
//!   OAuthState::generate, Pkce::generate ──▶ build_authorize_url ──▶ the browser goes to the provider
//!                                                                                  │
//!                     Callback ◀── parse_callback ◀── the browser comes back ◀─────┘
//!                        │
//!            check_issuer, state, outcome ──▶ build_code_exchange ──▶ tokenUri
//!                                                                       │
//!                   TokenResponse ◀── parse_token_response ◀────────────┤
//!                        │                                              │
//!                        └── before it expires ──▶ build_refresh ───────┘
//!                        └── at the end ──▶ build_revocation ──▶ revocationUri
//! ```
//!
//! The authorization code grant is RFC 6749 §4.1, and its refresh §6. PKCE is RFC 7636, `resource` RFC 8707, and `iss`
//! RFC 9207. [`build_code_exchange`] and [`build_refresh`] describe client authentication, and [`TokenError`] the meaning
//! of failures. Providers' deviations from the RFCs are data in [`OAuthConfig`].

mod authorize;
mod callback;
mod config;
mod id_token;
mod parameters;
mod pkce;
mod revocation;
mod state;
#[cfg(test)]
pub(crate) mod testing;
mod token_error;
mod token_request;
mod token_response;

pub use authorize::{PROTECTED_PARAMETERS, build_authorize_url, ignored_extra};
pub use callback::{
    AuthorizationRefusal, Callback, CallbackError, CallbackOutcome, callback_fields, parse_callback, refusal,
};
pub use config::{ClientAuthLocation, ConfigError, OAuthConfig, ParameterNames, TokenRequestFormat};
// Shared with OAuth 1.0.
pub(crate) use config::{ConfigReader, code, documented, entry, nowhere};
pub use id_token::account_of_id_token;
pub(crate) use parameters::Parameters;
pub use pkce::Pkce;
pub use revocation::{build_revocation, parse_revocation};
pub use state::OAuthState;
pub use token_error::{MalformedTokenResponse, TokenError};
pub(crate) use token_request::longest_first;
pub use token_request::{TokenRequest, build_code_exchange, build_refresh};
pub use token_response::{TokenResponse, parse_token_response};
