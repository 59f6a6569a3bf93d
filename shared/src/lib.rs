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
pub mod connection;
pub mod credential_store;
pub mod credentials;
pub mod digest;
pub mod environment;
pub mod error;
pub mod events;
pub mod http;
pub mod invocation;
pub mod isolation;
#[cfg(feature = "aws")]
pub mod lambda;
pub mod logging;
pub mod metrics;
pub mod queue;
pub mod random;
pub mod record;
pub mod refresh;
pub mod routes;
pub mod scheduler;
pub mod seal;
pub mod secret;
pub mod secrets;
pub mod signals;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod values;
pub mod vault;
