//! What the tests stand on: a whole Larder in this process with a clock that is moved by hand, a provider that says what
//! it is told to say, and a browser.

mod browser;
mod provider;
mod world;

pub use browser::Browser;
pub use provider::{MockProvider, TokenRequest};
pub use world::{Answer, World};
