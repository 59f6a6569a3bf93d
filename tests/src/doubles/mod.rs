//! Test doubles for the services that Larder calls, in this process. They answer as the test says and record the requests.

mod aws;
mod credential_api;
pub mod distant_aws;
pub mod loopback;
mod nango;
mod provider;
mod script;

pub use aws::Aws;
pub use credential_api::{CredentialApi, Delete, Fault};
pub use nango::Nango;
pub use provider::{ApiCall, MockProvider, TokenRequest};
pub use script::Script;
