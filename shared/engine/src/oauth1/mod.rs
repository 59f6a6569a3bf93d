//! OAuth 1.0a without I/O: what to send, how it is signed, and what an answer means.
//!
//! Every function here takes data and gives an `http::Request`, a URL or a typed result; time, randomness and the
//! network are the caller's. A connection walks through the files in this order:
//!
//! ```text
//! getOAuthConfig ── OAuth1Config::from_value ──▶ build_request_token ──▶ requestTokenUri
//!                                                                              │
//!   the browser goes to the provider ◀── build_authorize_url ◀── Token ◀── parse_request_token
//!                   │
//!                   └──▶ check_callback ──▶ build_access_token ──▶ tokenUri ──▶ parse_access_token
//!                                                                              │
//!                                         every API call: sign ◀── Token::of the credentials
//! ```
//!
//! The flow is RFC 5849 §2, signatures are its §3. HMAC-SHA256 is signed as HMAC-SHA1 is, with the other hash.
//!
//! # Decisions
//!
//! OAuth 1.0 signs bytes. Queries and forms are decoded as bytes rather than UTF-8, because a lossy decoding would be
//! another request. Only form bodies are signed. The nonce is hexadecimal, because some providers reject other
//! characters than letters and digits. Errors are `TokenError`s, with the codes of the `oauth_problem` extension. A
//! bare 401 for a request token is the integration's fault, because no token is involved yet.

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
pub use token::Token;
