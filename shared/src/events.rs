//! Events about connections, published to all that listen.
//!
//! An event is published once the change is stored, and at most once: what counts is the state of the connection, which
//! `GET /connections/{id}` tells.
//!
//! # Decisions
//!
//! A stream of the table would lose no event, but would invoke a function for every refresh, and almost none of these
//! changes anything that a listener waits for.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::connection::{Connection, State};

/// What happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There is a new one.
    Created,
    /// It works no longer; its end user must connect again.
    Disconnected,
    /// It works again.
    Reconnected,
    /// It is gone.
    Deleted,
}

impl Change {
    /// What a write means that found the connection in the state `before`, or did not find it. Most mean nothing.
    pub fn between(before: Option<State>, after: State) -> Option<Self> {
        match (before, after) {
            (None, State::Ready) => Some(Self::Created),
            (Some(State::Ready), State::ClientActionRequired) => Some(Self::Disconnected),
            (Some(State::ClientActionRequired), State::Ready) => Some(Self::Reconnected),
            _ => None,
        }
    }

    /// The name of the event, and its `detail-type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "connection.created",
            Self::Disconnected => "connection.disconnected",
            Self::Reconnected => "connection.reconnected",
            Self::Deleted => "connection.deleted",
        }
    }

    /// The body of the event, with the members of both of the documented webhooks: `{event, data: {id, …}}` and
    /// `{eventType, data: {connection: {id, …}}}`.
    pub fn detail(self, connection: &Connection) -> Value {
        let mut data = connection.summary();
        data["connection"] = data.clone();
        data["workspaceKey"] = connection.key.workspace.clone().into();
        json!({ "event": self.name(), "eventType": self.name(), "data": data })
    }
}

/// Publishes what happens to connections.
#[async_trait]
pub trait Events: Send + Sync {
    /// Publishes a change. Where that fails, the failure is logged.
    async fn publish(&self, change: Change, connection: &Connection);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy)]
pub struct NoEvents;

#[async_trait]
impl Events for NoEvents {
    async fn publish(&self, _: Change, _: &Connection) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_end_user_would_notice_is_an_event() {
        use State::{ClientActionRequired, Ready};
        assert_eq!(Change::between(None, Ready), Some(Change::Created));
        assert_eq!(Change::between(Some(Ready), Ready), None);
        assert_eq!(Change::between(Some(Ready), ClientActionRequired), Some(Change::Disconnected));
        assert_eq!(Change::between(Some(ClientActionRequired), ClientActionRequired), None);
        assert_eq!(Change::between(Some(ClientActionRequired), Ready), Some(Change::Reconnected));
    }
}
