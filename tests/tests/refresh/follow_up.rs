//! The follow-up of a write in AWS: schedules, queue messages and events.

use std::time::Duration;

use http::{Method, StatusCode};
use larder::aws::ScheduleTarget;
use larder::connection::ConnectionKey;
use larder::environment::{RefreshesBy, Settings};
use larder_tests::{Aws, MockProvider, World};
use serde_json::{Value, json};

async fn with_schedules() -> (World, Aws, MockProvider) {
    let target = ScheduleTarget {
        group: "larder".into(),
        function_arn: "arn:aws:lambda:local:0:function:refresh".into(),
        role_arn: "arn:aws:iam::0:role/schedules".into(),
        dead_letter_arn: Some("arn:aws:sqs:local:0:dead".into()),
    };
    let (world, aws) =
        World::deployed(|settings| Settings { refreshes: RefreshesBy::Schedules(target), ..settings }).await;
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({})).await;
    (world, aws, provider)
}

/// The only schedule: its name, its time and its input.
fn only_schedule(aws: &Aws) -> (String, Value, Value) {
    let schedules = aws.schedules();
    assert_eq!(schedules.len(), 1, "{schedules:?}");
    let (name, schedule) = schedules.into_iter().next().unwrap();
    let input = serde_json::from_str(schedule["Target"]["Input"].as_str().unwrap()).unwrap();
    (name, schedule["ScheduleExpression"].clone(), input)
}

#[tokio::test]
async fn a_connection_has_one_schedule_for_its_current_version() {
    let (world, aws, provider) = with_schedules().await;
    let id = world.connect(&provider).await;
    let ((first, at, input), version) = (only_schedule(&aws), world.version(&id).await);
    assert_eq!(at, "at(2026-01-01T00:55:00)");
    assert_eq!(input, json!({"workspace": "local", "connectionId": id, "version": version}));

    // The schedule fires and deletes itself.
    world.advance(3300);
    aws.fire(&first);
    let uri = format!("/connections/{id}/refresh-credentials");
    world.post(&uri).await.expect(StatusCode::OK);
    let (second, at, input) = only_schedule(&aws);
    assert_eq!((at, &input["version"]), (json!("at(2026-01-01T01:50:00)"), &json!(version + 1)));
    assert_ne!(first, second);

    let uri = format!("/connections/{id}");
    world.send(Method::DELETE, &uri, &world.admin, None).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(aws.schedules().len(), 0);
}

#[tokio::test]
async fn a_connection_is_saved_and_swept_even_if_scheduling_fails() {
    let (world, aws, provider) = with_schedules().await;
    aws.fail("CreateSchedule");
    let id = world.connect(&provider).await;
    assert_eq!(aws.schedules().len(), 0);
    world.advance(3300);
    let grace = Duration::from_secs(90);
    let sweep = async || world.bundle.refresher().sweep(grace, None).await.unwrap().refreshed;
    assert_eq!(sweep().await, 0);
    world.advance(90);
    assert_eq!(sweep().await, 1);
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test]
async fn the_sweeper_queues_all_due_connections_and_refreshes_none() {
    let (world, aws) = World::deployed(|settings| Settings {
        refreshes: RefreshesBy::Queue("http://queues/refreshes.fifo".into()),
        ..settings
    })
    .await;
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({})).await;
    let mut connection = {
        let id = world.connect(&provider).await;
        world.bundle.environment().connections().get(&ConnectionKey::new("local", &id)).await.unwrap().unwrap()
    };
    // Enough connections for several pages per shard.
    let connections = world.bundle.environment().connections();
    for n in 0..900 {
        connection.key.id = format!("copy-{n}");
        let written = connections.put(&connection, larder::dynamodb::Expect::Absent).await.unwrap();
        assert_eq!(written, larder::dynamodb::Write::Done);
    }
    world.advance(3300);
    let report = world.bundle.refresher().sweep(Duration::ZERO, None).await.unwrap();
    assert_eq!((report.due, report.queued, report.refreshed, report.failed), (901, 901, 0, 0));
    let mut ids: Vec<_> = aws.take_messages().iter().map(|body| serde_json::from_str::<Value>(body).unwrap()).collect();
    ids.sort_by_key(|event| event["connectionId"].to_string());
    ids.dedup();
    assert_eq!(ids.len(), 901);
    assert!(aws.batches() <= 901 / 10 + 2 * usize::from(larder::dynamodb::DUE_SHARDS));
    assert_eq!(provider.refreshes().len(), 0);
}

#[tokio::test]
async fn events_report_created_disconnected_reconnected_and_deleted() {
    let (world, aws) = World::deployed(|settings| Settings { event_bus: Some("larder".into()), ..settings }).await;
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    world.advance(3300);
    world.sweep().await;
    world.advance(3300);
    provider.script(400, &json!({"error": "invalid_grant"}));
    world.sweep().await;
    world.connect(&provider).await;
    // A connection from `PUT /credentials`, like that of an SDK's token store.
    let credentials = json!({"credentials": {"access_token": "a"}});
    world.send(Method::PUT, "/credentials?connectionId=stored", &world.alice, Some(&credentials)).await;
    for path in [format!("/connections/{id}"), "/connections/stored".into()] {
        world.send(Method::DELETE, &path, &world.admin, None).await.expect(StatusCode::NO_CONTENT);
    }

    let events = aws.take_events();
    let reported: Vec<_> = events.iter().map(|(name, detail)| (name.as_str(), detail["data"]["id"].clone())).collect();
    let (id, stored) = (json!(id), json!("stored"));
    assert_eq!(
        reported,
        [
            ("connection.created", id.clone()),
            ("connection.disconnected", id.clone()),
            ("connection.reconnected", id.clone()),
            ("connection.created", stored.clone()),
            ("connection.deleted", id),
            ("connection.deleted", stored),
        ]
    );
    assert_eq!(events[1].1["data"]["disconnected"], true);
    assert_eq!(events[1].1["data"]["connection"]["integrationKey"], "crm");
}
