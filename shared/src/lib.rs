//! Larder keeps connection credentials fresh. This is what its functions share.
//!
//! From the bottom up:
//!
//! - pure, without I/O: [`oauth2`], [`connector`], [`connection`], [`credentials`];
//! - ports and their adapters: [`clock`], [`random`], [`secrets`], [`seal`], [`store`], [`scheduler`], [`invoke`],
//!   [`egress`];
//! - what a function does with them: [`caller`], [`vault`], [`provider`], [`refresh`], [`connect`];
//! - wiring: [`environment`], [`lambda`], [`http`], [`error`].
//!
//! The feature `engine` holds whatever speaks to providers; the functions that only read and write credentials do
//! without it.

pub mod caller;
pub mod clock;
#[cfg(feature = "engine")]
pub mod configuration;
#[cfg(feature = "engine")]
pub mod connect;
pub mod connection;
#[cfg(feature = "engine")]
pub mod connector;
pub mod credentials;
#[cfg(feature = "engine")]
pub mod egress;
pub mod environment;
pub mod error;
pub mod http;
pub mod invoke;
pub mod lambda;
#[cfg(feature = "engine")]
pub mod oauth2;
#[cfg(feature = "engine")]
pub mod provider;
pub mod random;
#[cfg(feature = "engine")]
pub mod refresh;
pub mod scheduler;
pub mod seal;
pub mod secret;
pub mod secrets;
pub mod store;
pub mod vault;
