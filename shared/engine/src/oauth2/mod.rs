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
//!                        └── at the end ──▶ build_revocation ──▶ revocationUri
//! ```
//!
//! The authorization code grant is RFC 6749 §4.1, its refresh §6; PKCE is RFC 7636, `resource` RFC 8707, `iss`
//! RFC 9207. Client authentication is told in [`build_code_exchange`] and [`build_refresh`], what a failure means
//! in [`TokenError`]. What providers do otherwise than the RFCs is data: see [`OAuthConfig`].

mod authorize;
mod callback;
mod config;
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
pub use callback::{Callback, CallbackError, CallbackOutcome, Refusal, callback_fields, parse_callback, refusal};
pub use config::{ClientAuthLocation, ConfigError, OAuthConfig, ParameterNames, TokenRequestFormat};
// What OAuth 1.0 is made of, too.
pub(crate) use config::{Reader, code, documented, entry, nowhere};
pub(crate) use parameters::Parameters;
pub use pkce::Pkce;
pub use revocation::{build_revocation, parse_revocation};
pub use state::State;
pub use token_error::{Malformed, TokenError};
pub(crate) use token_request::longest_first;
pub use token_request::{TokenRequest, build_code_exchange, build_refresh};
pub use token_response::{TokenResponse, parse_token_response};
