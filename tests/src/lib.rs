//! The test harness. Tests use the names that are exported below, not the modules' paths:
//!
//! - `in_process`: a whole Larder in the test's process, with a clock that the test sets. Start here.
//! - `processes`: programs that run in their own processes, and clients that reach them over the network
//! - `doubles`: test doubles for providers, AWS and an external credential API
//! - `suites`: checks that several tests apply to different subjects
//! - `documents`: files of the repository that tests read
//! - [`fuzz`]: one entry point for each kind of external input
//! - `patience`: how long tests wait

mod documents;
mod doubles;
pub mod fuzz;
mod in_process;
mod patience;
mod processes;
mod suites;

pub use documents::document::root;
pub use documents::{document, openapi, template};
pub use doubles::{
    ApiCall, Aws, CredentialApi, Delete, Fault, MockProvider, Nango, Script, TokenRequest, distant_aws, loopback,
};
pub use in_process::{
    Answer, Browser, HtmlControl, HtmlForm, Requests, TempConnector, World, is_save, is_unconditional,
};
pub use patience::{PATIENCE, eventually, in_time};
pub use processes::{
    Chromium, Moto, Program, Recorded, Server, Stack, Target, Visitor, Watch, database, function, is_alone, memory,
    program, repeat, runtime_api,
};
pub use suites::{conformance, contract, scenario};

/// Prints a message that every test run shows, even if the tests pass.
pub fn say(text: &str) {
    // Written directly, since the test runner captures `println!`.
    drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{text}\n")));
}
