//! What `connect` and `oauth-callback` share: the pending flow, and how its result reaches the caller.

mod delivery;
mod establish;
mod flow;
pub mod page;

pub use delivery::{ConnectFailure, Delivery};
pub use establish::{Establish, NewConnection};
pub use flow::{FLOW_LIFE, Flow, browser_cookie, browser_cookie_name, browser_digest};
