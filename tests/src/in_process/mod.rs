//! A whole Larder in this process, over an embedded database and with a clock that the test sets, and the browser of its
//! end users.

mod browser;
mod requests;
mod world;

pub use browser::Browser;
pub use requests::{Requests, is_unconditional};
pub use world::{Answer, TempConnector, World};
