//! Events about connections, on an EventBridge bus.

use async_trait::async_trait;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use crate::connection::Connection;
use crate::error::log_cause;
use crate::events::{ConnectionEvent, Events};

/// An EventBridge bus (`EVENT_BUS_NAME`).
///
/// See [PutEvents](https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html).
#[derive(Debug, Clone)]
pub struct EventBus {
    client: Client,
    name: String,
}

impl EventBus {
    /// The `source` of all events.
    pub const SOURCE: &str = "larder";

    /// The bus with this name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }
}

#[async_trait]
impl Events for EventBus {
    async fn publish(&self, event: ConnectionEvent, connection: &Connection) {
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(Self::SOURCE)
            .detail_type(event.name())
            .detail(event.detail(connection).to_string())
            .build();
        match self.client.put_events().entries(entry).send().await {
            Ok(output) if output.failed_entry_count == 0 => {}
            Ok(output) => {
                let code = output.entries.unwrap_or_default().into_iter().find_map(|entry| entry.error_code);
                let code = code.unwrap_or_else(|| "no error code".into());
                log_cause("EventBridge; an event was lost", &std::io::Error::other(code));
            }
            Err(error) => log_cause("EventBridge; an event was lost", &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
    use aws_smithy_mocks::{mock, mock_client};
    use serde_json::{Value, json};
    use time::OffsetDateTime;

    use super::*;
    use crate::connection::ConnectionKey;

    #[tokio::test]
    async fn an_event_has_the_members_of_both_documented_webhooks() {
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
        let mut connection = Connection::new(ConnectionKey::new("acme", "c1"), now);
        connection.tenant = Some("alice".into());
        EventBus::new(mock_client!(aws_sdk_eventbridge, [&put]), "bus")
            .publish(ConnectionEvent::Created, &connection)
            .await;
        assert_eq!(put.num_calls(), 1);
    }
}
