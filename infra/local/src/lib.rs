//! All of Larder on one machine: the same functions as in AWS, in one process.
//!
//! - [`bundle`]: the functions with an embedded DynamoDB, a secrets file and a key file
//! - [`server`]: the HTTP server in front of them; [`route`] maps paths to functions
//! - [`embedded_dynamodb`]: the database
//! - [`sweeper`]: the counterpart of the one-minute rule in AWS
//! - [`demo`]: a small OAuth2 provider, so that there is something to connect, and pages that show it
//! - [`check`]: `larder check`, which finds mistakes in connectors and keeps their index
//! - [`new_connector`]: `larder connector new`, which writes a preset to start from
//! - [`try_connector`]: `larder try`, which runs a connector's functions one by one
//! - [`commands`]: the commands that call a running Larder; [`terminal`] is their output

pub mod bundle;
pub mod check;
pub mod commands;
pub mod demo;
pub mod embedded_dynamodb;
mod listener;
pub mod new_connector;
pub mod route;
pub mod server;
pub mod sweeper;
pub mod terminal;
pub mod try_connector;

/// The key of this machine's workspace.
pub const WORKSPACE: &str = "local";
/// The default end user, for whom the demo is connected.
pub const TENANT: &str = "demo";
