//! The commands that call a running Larder over its HTTP API, on this machine or deployed.
//!
//! - [`client`]: the HTTP client and the errors
//! - [`connections`]: `larder connections`
//! - [`connect`]: `larder connect`
//! - [`import`]: `larder import`
//! - [`sign_in`]: `larder sign-in`, which needs no running Larder

pub mod client;
pub mod connect;
pub mod connections;
pub mod import;
pub mod sign_in;

use crate::terminal;
pub use client::{CommandError, LarderArgs};

/// Reports the error of a command that prints JSON: a program gets the API's answer on stdout, if there is one.
fn report_json(error: &CommandError) {
    if let CommandError::Rejected(rejection) = error {
        terminal::print(&rejection.body.to_string());
    }
}
