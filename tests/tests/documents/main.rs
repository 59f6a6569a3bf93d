//! Documents checked against the code: SECURITY.md's citations, the connector format's examples, the README's token store,
//! the lists of routes, and the sample events.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod examples;
mod floors;
mod routes;
mod sample_events;
mod security_md;
mod token_store;
