//! What happens to connections, told to whoever listens on an EventBridge bus.
//!
//! An event is published once the change is stored, and at most once: what counts is the state of the connection, which
//! `GET /connections/{id}` tells.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde_json::{Value, json};

use crate::connection::{Connection, State};
use crate::error::log_cause;

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
    fn detail(self, connection: &Connection) -> Value {
        let mut data = connection.summary();
        data["connection"] = data.clone();
        data["workspaceKey"] = connection.workspace.clone().into();
        json!({ "event": self.name(), "eventType": self.name(), "data": data })
    }
}

/// An EventBridge bus (`EVENT_BUS_NAME`), if there is one.
///
/// See [PutEvents](https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html).
#[derive(Debug, Clone)]
pub struct Events(Option<(Client, String)>);

impl Events {
    /// The `source` of all events.
    pub const SOURCE: &str = "larder";

    /// Events on the bus of this name.
    pub fn on(client: Client, bus: impl Into<String>) -> Self {
        Self(Some((client, bus.into())))
    }

    /// No events.
    pub fn none() -> Self {
        Self(None)
    }

    /// Tells what happened. Where that fails, the failure is logged.
    pub async fn publish(&self, change: Change, connection: &Connection) {
        let Some((client, bus)) = &self.0 else { return };
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(bus)
            .source(Self::SOURCE)
            .detail_type(change.name())
            .detail(change.detail(connection).to_string())
            .build();
        match client.put_events().entries(entry).send().await {
            Ok(output) if output.failed_entry_count == 0 => {}
            Ok(output) => {
                let code = output.entries.unwrap_or_default().into_iter().find_map(|entry| entry.error_code);
                let code = code.unwrap_or_else(|| "no error code".into());
                log_cause("EventBridge; an event is lost", &std::io::Error::other(code));
            }
            Err(error) => log_cause("EventBridge; an event is lost", &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
    use aws_smithy_mocks::{mock, mock_client};
    use time::OffsetDateTime;

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

    #[tokio::test]
    async fn an_event_reads_like_either_of_the_documented_webhooks() {
        let put = mock!(Client::put_events)
            .match_requests(|request| {
                let entry = &request.entries()[0];
                let detail: Value = serde_json::from_str(entry.detail().unwrap_or_default()).unwrap_or_default();
                let expected = json!({
                    "event": "connection.created", "eventType": "connection.created",
                    "data": {
                        "id": "c1", "name": null, "integrationKey": null, "customerId": "alice", "disconnected": false,
                        "connection": {
                            "id": "c1", "name": null, "integrationKey": null, "customerId": "alice",
                            "disconnected": false,
                        },
                        "workspaceKey": "acme",
                    },
                });
                detail == expected
                    && (entry.source(), entry.detail_type(), entry.event_bus_name())
                        == (Some("larder"), Some("connection.created"), Some("bus"))
            })
            .then_output(|| PutEventsOutput::builder().failed_entry_count(0).build());
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).expect("a time");
        let mut connection = Connection::new("acme", "c1", now);
        connection.tenant = Some("alice".into());
        Events::on(mock_client!(aws_sdk_eventbridge, [&put]), "bus").publish(Change::Created, &connection).await;
        assert_eq!(put.num_calls(), 1);
    }
}
