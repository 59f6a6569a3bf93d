//! OAuth 1.0a without I/O: building requests, signing them, and parsing responses.
//!
//! Every function here takes data and returns an `http::Request`, a URL or a typed result. The caller provides time,
//! randomness and the network. A connection goes through the files in this order:
//!
//! ```text
//! getOAuthConfig ── OAuth1Config::from_value ──▶ build_request_token ────────▶ requestTokenUri
//!                                                                                    │
//!   the browser goes to the provider ◀── build_authorize_url ◀── OAuth1Token ◀── parse_request_token
//!                   │
//!                   └──▶ check_callback ──▶ build_access_token ──▶ tokenUri ──▶ parse_access_token
//!                                                                              │
//!                                   every API call: sign ◀── OAuth1Token::of(credentials)
//! ```
//!
//! The flow follows RFC 5849 §2, the signatures §3. HMAC-SHA256 works like HMAC-SHA1, with the other hash.

mod authorization;
mod base_string;
mod callback;
mod config;
mod encoding;
mod request;
mod response;
mod sign;
mod signature;
mod token;

pub use callback::{OAuth1CallbackError, check_callback};
pub use config::OAuth1Config;
pub use request::{build_access_token, build_authorize_url, build_request_token};
pub use response::{parse_access_token, parse_request_token};
pub use sign::{SignError, Stamp, sign};
pub use signature::SignatureMethod;
pub use token::OAuth1Token;
