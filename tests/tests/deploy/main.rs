//! Larder as it is shipped: the `cargo run` program and its commands, the function binaries, the template and the deployed stack.

#![expect(clippy::unwrap_used, reason = "a test fails at the first unexpected result")]

mod commands;
mod doors;
mod import;
mod lambda;
mod local;
mod observability;
mod stack;
mod template;
