//! Connecting an end user: the flow with a provider, every other way to authenticate, and what callbacks may bring.

#![expect(clippy::unwrap_used, reason = "a test ends with the first thing that is not as it should be")]

mod auth_types;
mod callbacks;
mod deputies;
mod flow;
