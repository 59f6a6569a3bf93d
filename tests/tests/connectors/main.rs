//! Connectors: the bundled ones beside their providers' documentation, the commands for authors, and how far requests and
//! scripts reach.

#![expect(clippy::unwrap_used, reason = "a test ends with the first thing that is not as it should be")]

mod bundled;
mod check;
mod egress;
mod script_memory;
mod try_connector;
