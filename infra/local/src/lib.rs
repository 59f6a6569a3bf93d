//! The whole of Larder on one machine: the same functions as in AWS, in one process.
//!
//! - [`bundle`]: the functions over an embedded DynamoDB, a secrets file and a key file;
//! - [`server`]: HTTP in front of them; [`route`] tells which path is whose;
//! - [`embedded_dynamodb`]: the database;
//! - [`sweeper`]: what the rule of one minute is in AWS;
//! - [`demo`]: a small OAuth2 provider, so that there is something to connect;
//! - [`check`]: what is wrong with a connector's folder;
//! - [`try_connector`]: its functions, run one by one.

pub mod bundle;
pub mod check;
pub mod demo;
pub mod embedded_dynamodb;
mod listener;
pub mod route;
pub mod server;
pub mod sweeper;
pub mod try_connector;

/// The workspace of this machine.
pub const WORKSPACE: &str = "local";
/// The end user where none is named: whom the printed connect link connects.
pub const TENANT: &str = "demo";
