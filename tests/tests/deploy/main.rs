//! Larder as it runs: the program of `cargo run`, the binaries of the functions, the template, and the deployed stack.

#![expect(clippy::unwrap_used, reason = "a test ends with the first thing that is not as it should be")]

mod doors;
mod lambda;
mod local;
mod observability;
mod stack;
mod template;
