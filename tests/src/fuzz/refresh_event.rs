//! Events of the `refresh` function: schedules, the sweeper's rule, and queues.

use connect::own_connection_id;
use http::StatusCode;
use larder::connection::ConnectionKey;
use larder_local::WORKSPACE;
use refresh::{Event, EventResult, Refresh};
use serde_json::Value;

use super::assert_untold;
use super::stand::on_stand;

/// An event as JSON, in which `CONNECTION` stands for the id of a connection.
pub fn refresh_event(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    on_stand(async |stand| {
        let id = own_connection_id(WORKSPACE, "app", Some("alice"));
        let text = text.replace("CONNECTION", &id);
        let Ok(event) = serde_json::from_str::<Event>(&text) else { return };
        let key = ConnectionKey::new(WORKSPACE, &id);
        if stand.world.bundle.environment().connections().get(&key).await.is_ok_and(|it| it.is_none()) {
            stand.connect().await;
        }
        stand.world.advance(60);
        let given: Vec<String> = match &event {
            Event::Queue { .. } => message_ids(&text),
            Event::Refresh(_) | Event::Replace(_) | Event::Sweep { .. } => Vec::new(),
        };
        let is_sealed = matches!(event, Event::Replace(_));
        let refresh = Refresh::new(stand.world.bundle.environment()).expect("the function");
        let answer = match refresh.handle(event).await {
            Ok(answer) => answer,
            // It does not open, for nobody has sealed it.
            Err(error) if is_sealed => return assert_untold(&error.to_string()),
            Err(error) => panic!("{text}: {error}"),
        };
        let told = serde_json::to_value(&answer).expect("JSON");
        assert_untold(&told.to_string());
        if let EventResult::Queue { .. } = answer {
            // Each message that must come again is one that came, in its order.
            let failures = told["batchItemFailures"].as_array().expect("a list");
            let mut rest = given.iter();
            for failure in failures {
                assert!(rest.any(|id| failure["itemIdentifier"] == **id), "{failures:?} of {given:?}");
            }
        }
        let read = stand.world.get(&format!("/connections/{id}")).await;
        read.expect(StatusCode::OK);
    });
}

fn message_ids(text: &str) -> Vec<String> {
    let event: Value = serde_json::from_str(text).expect("JSON");
    let records = event["Records"].as_array().expect("a list");
    records.iter().map(|record| record["messageId"].as_str().unwrap_or_default().to_owned()).collect()
}
