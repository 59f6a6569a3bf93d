//! Larder keeps connection credentials fresh. This is what all its functions share; what only those need that speak to
//! providers is in `larder-engine`.
//!
//! The modules stand in reading order: each uses those above it and none below, which a test holds them to. The feature `aws`
//! has the parts that only a deployed Larder needs: the Lambda runtime, and the clients of [`aws`].

// What everything stands on.
pub mod clock;
pub mod random;
pub mod secret;
pub mod values;
pub mod digest;
mod cache;
pub mod trust;
pub mod error;
pub mod routes;

// What Larder is about.
pub mod credentials;
pub mod connection;

// One call: its record, its isolation, its form.
pub mod record;
pub mod isolation;
pub mod http;

// Ports, and the adapters that need nothing of AWS but DynamoDB.
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

// Adapters of AWS.
#[cfg(feature = "aws")]
pub mod aws;
#[cfg(not(feature = "aws"))]
#[path = "without_aws.rs"]
pub mod aws;

// What functions do with the ports.
pub mod follow_up;
pub mod vault;

// What runs a function, and puts all of this together.
pub mod invocation;
pub mod metrics;
pub mod logging;
pub mod environment;
#[cfg(feature = "aws")]
pub mod lambda;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
