//! The parts that `connect` and `oauth-callback` share: the pending flow, the connection request that it may belong to, and
//! the delivery of its result.

mod delivery;
mod connection_writer;
mod flow;
mod outcome;
mod request;
mod unconfirmed;

pub use connection_writer::{Candidate, ConnectionWriter, NewConnection};
pub use delivery::{ConnectFailure, Delivery, connection_page, first_page, integration_page, picker_page};
pub use flow::{FLOW_LIFETIME, Flow, browser_cookie, browser_cookie_name, browser_digest};
pub use outcome::{FlowOutcome, OUTCOME_LIFETIME, callback_digest};
pub use request::{FlowRequest, RequestedConnection, new_connection_id, request_id};
