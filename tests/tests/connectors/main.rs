//! Connectors: the bundled ones compared with their providers' documentation, the commands for authors, and the limits of
//! requests and scripts.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod bundled;
mod check;
mod egress;
mod generic;
mod presets;
mod script_memory;
mod try_connector;
