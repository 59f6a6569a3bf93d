//! What the tests stand on: a whole Larder in this process with a clock that is moved by hand, a provider that says what
//! it is told to say, and a browser. Besides, what is a process of its own: authorization servers, the
//! program, and the binaries of the functions with what Lambda and AWS are to them.

mod aws;
mod browser;
mod chromium;
pub mod conformance;
mod credential_api;
pub mod database;
pub mod distant_aws;
pub mod document;
pub mod function;
pub mod fuzz;
pub mod list;
pub mod loopback;
pub mod memory;
mod moto;
pub mod program;
mod provider;
mod requests;
pub mod runtime_api;
pub mod scenario;
mod script;
mod server;
mod stack;
mod target;
pub mod template;
mod visitor;
mod watch;
mod world;

pub use aws::Aws;
pub use browser::Browser;
pub use chromium::Chromium;
pub use credential_api::{CredentialApi, Delete, Fault};
pub use moto::Moto;
pub use program::Program;
pub use provider::{ApiCall, MockProvider, TokenRequest};
pub use requests::{Requests, is_unconditional};
pub use script::Script;
pub use server::{Recorded, Server};
pub use stack::Stack;
pub use target::Target;
pub use visitor::Visitor;
pub use watch::{Watch, root};
pub use world::{Answer, TempConnector, World};

/// Tells something that every run of the tests shows, whether they pass or not.
pub fn say(text: &str) {
    // Past the capture of what tests print.
    drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{text}\n")));
}
