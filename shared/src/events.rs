//! Events about connections.
//!
//! An event is published after the change is stored, and at most once. The authoritative state is that of `GET
//! /connections/{id}`.
//!
//! # Decisions
//!
//! A stream of the table would lose no event, but would invoke a function for every refresh, and almost none of these
//! changes anything that a listener waits for.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::connection::{Connection, State};

/// An event about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// It was created.
    Created,
    /// It no longer works; its end user must reconnect.
    Disconnected,
    /// It works again.
    Reconnected,
    /// It was deleted.
    Deleted,
}

impl ConnectionEvent {
    /// Returns the event for a write that found the connection in the state `before`, or did not find it. Most writes
    /// have none.
    pub fn between(before: Option<State>, after: State) -> Option<Self> {
        match (before, after) {
            (None, State::Ready) => Some(Self::Created),
            (Some(State::Ready), State::ClientActionRequired) => Some(Self::Disconnected),
            (Some(State::ClientActionRequired), State::Ready) => Some(Self::Reconnected),
            _ => None,
        }
    }

    /// Returns the event's name, which is also its `detail-type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "connection.created",
            Self::Disconnected => "connection.disconnected",
            Self::Reconnected => "connection.reconnected",
            Self::Deleted => "connection.deleted",
        }
    }

    /// Returns the event's body, with the members of both documented webhooks: `{event, data: {id, …}}` and
    /// `{eventType, data: {connection: {id, …}}}`.
    pub fn detail(self, connection: &Connection) -> Value {
        let mut data = connection.summary();
        data["connection"] = data.clone();
        data["workspaceKey"] = connection.key.workspace.clone().into();
        json!({ "event": self.name(), "eventType": self.name(), "data": data })
    }
}

/// Publishes events about connections.
#[async_trait]
pub trait Events: Send + Sync {
    /// Publishes an event. A failure is only logged.
    async fn publish(&self, event: ConnectionEvent, connection: &Connection);
}

/// Discards all events.
#[derive(Debug, Clone, Copy)]
pub struct NoEvents;

#[async_trait]
impl Events for NoEvents {
    async fn publish(&self, _: ConnectionEvent, _: &Connection) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_that_an_end_user_notices_are_events() {
        use State::{ClientActionRequired, Ready};
        assert_eq!(ConnectionEvent::between(None, Ready), Some(ConnectionEvent::Created));
        assert_eq!(ConnectionEvent::between(Some(Ready), Ready), None);
        assert_eq!(ConnectionEvent::between(Some(Ready), ClientActionRequired), Some(ConnectionEvent::Disconnected));
        assert_eq!(ConnectionEvent::between(Some(ClientActionRequired), ClientActionRequired), None);
        assert_eq!(ConnectionEvent::between(Some(ClientActionRequired), Ready), Some(ConnectionEvent::Reconnected));
    }
}
