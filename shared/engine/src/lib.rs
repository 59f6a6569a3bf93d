//! Larder's engine: connectors, their protocols, and everything that handles a provider's responses. Only functions that
//! talk to providers link it; all functions share [`larder`].
//!
//! Modules are listed in reading order: each uses only modules above it, and a test enforces this.

// Pure: strings and values.
pub mod pasted;
pub mod router;
pub mod rsa_sha1;
pub mod response;
pub mod oauth2;
pub mod oauth1;
pub mod connector;
pub mod pages;

// I/O.
pub mod egress;
pub mod database_login;
pub mod javascript;

// One connection at its provider.
pub mod provider;
pub mod connector_setup;

// The work of the functions, and lints for connector authors.
pub mod connect;
pub mod refresh;
pub mod manage;
pub mod lint;

// Wiring.
pub mod environment;
