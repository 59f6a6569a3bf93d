//! Events of the `refresh` function from schedules, the sweeper's rule and queues.

use connect::own_connection_id;
use http::StatusCode;
use larder::connection::ConnectionKey;
use larder_local::WORKSPACE;
use refresh::{Event, EventResult, Refresh};
use serde_json::Value;

use super::assert_no_secret;
use super::test_bed::on_test_bed;

/// Takes an event as JSON, in which `CONNECTION` is a placeholder for a connection's id.
pub fn refresh_event(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    on_test_bed(async |bed| {
        let id = own_connection_id(WORKSPACE, "app", Some("alice"));
        let text = text.replace("CONNECTION", &id);
        let Ok(event) = serde_json::from_str::<Event>(&text) else { return };
        let key = ConnectionKey::new(WORKSPACE, &id);
        if bed.world.bundle.environment().connections().get(&key).await.is_ok_and(|it| it.is_none()) {
            bed.connect().await;
        }
        bed.world.advance(60);
        let given: Vec<String> = match &event {
            Event::Queue { .. } => message_ids(&text),
            Event::Refresh(_) | Event::Replace(_) | Event::Sweep { .. } => Vec::new(),
        };
        let is_sealed = matches!(event, Event::Replace(_));
        let refresh = Refresh::new(bed.world.bundle.environment()).expect("the function");
        let answer = match refresh.handle(event).await {
            Ok(answer) => answer,
            // The fuzzer cannot seal credentials, so these do not open.
            Err(error) if is_sealed => return assert_no_secret(&error.to_string()),
            Err(error) => panic!("{text}: {error}"),
        };
        let answer_json = serde_json::to_value(&answer).expect("JSON");
        assert_no_secret(&answer_json.to_string());
        if let EventResult::Queue { .. } = answer {
            // Only received messages are returned for redelivery, in the same order.
            let failures = answer_json["batchItemFailures"].as_array().expect("a list");
            let mut rest = given.iter();
            for failure in failures {
                assert!(rest.any(|id| failure["itemIdentifier"] == **id), "{failures:?} of {given:?}");
            }
        }
        let read = bed.world.get(&format!("/connections/{id}")).await;
        read.expect(StatusCode::OK);
    });
}

fn message_ids(text: &str) -> Vec<String> {
    let event: Value = serde_json::from_str(text).expect("JSON");
    let records = event["Records"].as_array().expect("a list");
    records.iter().map(|record| record["messageId"].as_str().unwrap_or_default().to_owned()).collect()
}
