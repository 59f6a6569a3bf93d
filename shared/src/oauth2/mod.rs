//! OAuth 2 without I/O: what to send, and what an answer means.
//!
//! Every function here takes data and gives an `http::Request`, a URL or a typed result; time, randomness and the
//! network are the caller's. A connection walks through the files in this order:
//!
//! ```text
//! getOAuthConfig ── OAuthConfig::from_value ──▶ OAuthConfig
//!                                                  │
//!        State::generate, Pkce::generate ──▶ build_authorize_url ──▶ the browser goes to the provider
//!                                                                                  │
//!                     Callback ◀── parse_callback ◀── the browser comes back ◀─────┘
//!                        │
//!            check_issuer, state, outcome ──▶ build_code_exchange ──▶ tokenUri
//!                                                                       │
//!                   TokenResponse ◀── parse_token_response ◀────────────┤
//!                        │                                              │
//!                        └── before it expires ──▶ build_refresh ───────┘
//! ```
//!
//! The authorization code grant is RFC 6749 §4.1, its refresh §6; PKCE is RFC 7636, `resource` RFC 8707, `iss`
//! RFC 9207. Client authentication is told in [`build_code_exchange`] and [`build_refresh`], what a failure means
//! in [`TokenError`].

mod authorize;
mod callback;
mod config;
mod error_code;
mod pkce;
mod state;
mod token_error;
mod token_request;
mod token_response;

pub use authorize::{PROTECTED_PARAMETERS, build_authorize_url, ignored_extra};
pub use callback::{Callback, CallbackError, CallbackOutcome, parse_callback};
pub use config::{ClientAuthLocation, ConfigError, OAuthConfig};
pub use error_code::OAuthErrorCode;
pub use pkce::Pkce;
pub use state::State;
pub use token_error::{Malformed, TokenError, parse_retry_after};
pub use token_request::{build_code_exchange, build_refresh};
pub use token_response::{TokenResponse, parse_token_response};
