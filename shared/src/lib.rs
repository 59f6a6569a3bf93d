//! Larder keeps connection credentials fresh. This is what its functions share.
//!
//! From the bottom up:
//!
//! - pure, without I/O: [`response`], [`oauth1`], [`oauth2`], [`connector`], [`connection`], [`credentials`];
//! - ports and their adapters: [`clock`], [`random`], [`secrets`], [`seal`], [`store`], [`credential_store`],
//!   [`scheduler`], [`queue`], [`events`], [`invoke`], [`egress`], [`aws_http`];
//! - what runs the JavaScript of connectors: [`javascript`];
//! - what a function does with them: [`caller`], [`vault`], [`signals`], [`provider`], [`database`], [`refresh`], [`connect`];
//! - wiring: [`environment`], `lambda`, [`http`], [`routes`], [`error`];
//! - what is told of it: [`invocation`], [`logging`], [`metrics`]; how its parts are kept apart: [`isolation`].
//!
//! The feature `engine` holds whatever speaks to providers; the functions that only read and write credentials do
//! without it. The feature `aws` holds what only a deployed Larder needs: the Lambda runtime, and the clients of [`aws`].

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(not(feature = "aws"))]
#[path = "without_aws.rs"]
pub mod aws;
pub mod aws_http;
mod cache;
pub mod caller;
pub mod clock;
#[cfg(feature = "engine")]
pub mod configuration;
#[cfg(feature = "engine")]
pub mod connect;
pub mod connection;
#[cfg(feature = "engine")]
pub mod connector;
pub mod credential_store;
pub mod credentials;
#[cfg(feature = "engine")]
pub mod database;
pub mod digest;
#[cfg(feature = "engine")]
pub mod egress;
pub mod environment;
pub mod error;
pub mod events;
pub mod http;
pub mod invocation;
pub mod invoke;
pub mod isolation;
#[cfg(feature = "engine")]
pub mod javascript;
#[cfg(feature = "aws")]
pub mod lambda;
#[cfg(feature = "engine")]
pub mod lint;
pub mod logging;
pub mod metrics;
#[cfg(feature = "engine")]
pub mod oauth1;
#[cfg(feature = "engine")]
pub mod oauth2;
#[cfg(feature = "engine")]
pub mod pasted;
#[cfg(feature = "engine")]
pub mod provider;
pub mod queue;
pub mod random;
pub mod record;
#[cfg(feature = "engine")]
pub mod refresh;
#[cfg(feature = "engine")]
pub mod response;
pub mod routes;
#[cfg(feature = "engine")]
pub mod rsa_sha1;
pub mod scheduler;
pub mod seal;
pub mod secret;
pub mod secrets;
pub mod signals;
pub mod store;
#[cfg(test)]
mod testing;
pub mod values;
pub mod vault;
