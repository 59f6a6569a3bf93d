//! Documents that are held to the code: SECURITY.md's citations, the examples of the format, the README's token store, and
//! the sample events.

#![expect(clippy::unwrap_used, reason = "a test ends with the first thing that is not as it should be")]

mod examples;
mod sample_events;
mod security_md;
mod token_store;
