//! Documents checked against the code: SECURITY.md's citations, the examples of the format, the token store, the routes
//! wherever they are named, the OpenAPI document, the sample events, and the documents' own prose, links and names.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod examples;
mod floors;
mod links;
mod markdown;
mod names;
mod openapi;
mod prose;
mod routes;
mod sample_events;
mod security_md;
mod token_store;
