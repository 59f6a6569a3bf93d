//! The credentials page: a list of credentials, and a page for each. A tenant sees its own, an admin the workspace's.
//!
//! # Decisions
//!
//! The pages are complete without a script. The script counts down, and every few seconds replaces the parts that have changed by
//! those of the same page, fetched again, so everything is rendered in one way.
//!
//! All buttons of a list belong to one form and differ in their `formaction`. A form for each row, with its own form token, would
//! double the size of the page.

mod add;
mod card;
mod detail;
mod list;
mod pick;
mod query;
mod times;

pub use add::{AddPage, add};
pub use card::{Component, Viewer, path_segment};
pub use detail::{Detail, DetailPage, Question, credential};
pub use list::{ListPage, credentials};
pub use pick::{PickPage, pick};
pub use query::ListQuery;

/// The script of the pages that change by themselves.
pub(super) const LIVE: &str =
    concat!(include_str!("../../../templates/live.js"), include_str!("../../../templates/done.js"));
