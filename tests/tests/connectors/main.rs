//! Connectors: the bundled ones compared with their providers' documentation, the commands for authors, and the limits of
//! requests and scripts.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod answers;
mod asked;
mod bundled;
mod check;
mod claims;
mod comparison;
mod egress;
mod fact_sheets;
mod facts;
mod facts_provider;
mod generic;
mod hosts;
mod lifecycle;
mod presets;
mod samples;
mod script_memory;
mod subject;
mod try_connector;
