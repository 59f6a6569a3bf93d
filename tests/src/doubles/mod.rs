//! Stand-ins for what Larder talks to, in this process: they answer as the test says, and remember what they were asked.

mod aws;
mod credential_api;
pub mod distant_aws;
pub mod loopback;
mod provider;
mod script;

pub use aws::Aws;
pub use credential_api::{CredentialApi, Delete, Fault};
pub use provider::{ApiCall, MockProvider, TokenRequest};
pub use script::Script;
