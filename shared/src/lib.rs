//! Larder keeps connection credentials fresh. This crate has the code that all its functions share. Code that only
//! functions that call providers need is in `larder-engine`.
//!
//! The modules are listed in reading order: each uses only those above it, which a test enforces. The feature `aws`
//! adds the parts that only a deployed Larder needs: the Lambda runtime, and the clients in [`aws`].

// The foundation.
pub mod clock;
pub mod random;
pub mod secret;
pub mod values;
pub mod digest;
pub mod cache;
pub mod trust;
pub mod error;
pub mod scope;
pub mod routes;

// The domain.
pub mod credentials;
pub mod connection;

// One call: its record, its isolation, its request and response.
pub mod record;
pub mod isolation;
pub mod http;
pub mod cors;

// Ports, and the adapters that need no AWS service but DynamoDB.
pub mod secret_store;
pub mod dynamodb;
pub mod seal;
pub mod caller;
pub mod aws_http;
pub mod credential_store;
pub mod events;
pub mod queue;
pub mod scheduler;
pub mod refresh;

// AWS adapters.
#[cfg(feature = "aws")]
pub mod aws;
#[cfg(not(feature = "aws"))]
#[path = "without_aws.rs"]
pub mod aws;

// Services on top of the ports.
pub mod follow_up;
pub mod vault;

// The runtime of a function, and its wiring.
pub mod invocation;
pub mod metrics;
pub mod logging;
pub mod environment;
#[cfg(feature = "aws")]
pub mod lambda;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
