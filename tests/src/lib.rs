//! The harness of the tests. They use it by the names below, whichever folder a name comes from:
//!
//! - `in_process`: a whole Larder in the process of the test, with a clock that the test sets. Start here.
//! - `processes`: programs that run as processes of their own, and clients that reach them over the network.
//! - `doubles`: stand-ins for providers, AWS and an API that keeps credentials.
//! - `suites`: checks that several tests apply to different subjects.
//! - `documents`: the files of the repository that tests read.
//! - [`fuzz`]: one entry for each kind of input that comes from outside.

mod documents;
mod doubles;
pub mod fuzz;
mod in_process;
mod processes;
mod suites;

pub use documents::document::root;
pub use documents::{document, template};
pub use doubles::{
    ApiCall, Aws, CredentialApi, Delete, Fault, MockProvider, Script, TokenRequest, distant_aws, loopback,
};
pub use in_process::{Answer, Browser, Requests, TempConnector, World, is_unconditional};
pub use processes::{
    Chromium, Moto, Program, Recorded, Server, Stack, Target, Visitor, Watch, database, function, is_alone, memory,
    program, repeat, runtime_api,
};
pub use suites::{conformance, contract, scenario};

/// Tells something that every run of the tests shows, whether they pass or not.
pub fn say(text: &str) {
    // Past the capture of what tests print.
    drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{text}\n")));
}
