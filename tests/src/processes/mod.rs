//! Programs that run in their own processes, and clients that reach them over the network: the program of `cargo run`, the
//! functions' binaries with Lambda's runtime API, the deployed stack, and third-party servers and browsers.

mod alone;
mod chromium;
pub mod database;
pub mod function;
pub mod memory;
mod moto;
mod port;
pub mod program;
pub mod runtime_api;
mod server;
mod stack;
pub(crate) mod target;
pub(crate) mod visitor;
mod watch;

pub use alone::{is_alone, repeat};
pub use chromium::Chromium;
pub use moto::Moto;
pub use program::Program;
pub use server::{Recorded, Server};
pub use stack::Stack;
pub use target::Target;
pub use visitor::Visitor;
pub use watch::Watch;
