//! A whole Larder in this process, with an embedded database and a clock that the test sets, and its end users' browser.

mod browser;
mod html_form;
mod requests;
mod world;

pub use browser::Browser;
pub use html_form::{HtmlControl, HtmlForm};
pub use requests::{Requests, is_save, is_unconditional};
pub use world::{Answer, TempConnector, World};
