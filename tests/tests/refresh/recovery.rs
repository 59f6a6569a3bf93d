//! Results that could not be saved wait on the recovery queue, and the provider is not called with the old token meanwhile.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use http::StatusCode;
use larder::clock::Clock as _;
use larder::connection::{ConnectionKey, Lease, LeaseHolder};
use larder::dynamodb::Write;
use larder::environment::{RefreshesBy, Settings};
use larder_local::bundle::bundled_connectors_dir;
use larder_tests::{Aws, MockProvider, World};
use refresh::{Event, Refresh};
use serde_json::{Value, json};

struct Deployment {
    world: World,
    aws: Aws,
    provider: MockProvider,
    id: String,
}

impl Deployment {
    /// A connection that is due for a refresh.
    async fn due(change: impl FnOnce(Settings) -> Settings) -> Self {
        let connectors = vec![bundled_connectors_dir()];
        let (world, aws) = World::deployed(|settings| change(Settings { connectors, ..settings })).await;
        let provider = MockProvider::start().await;
        world.integrate(&provider, json!({})).await;
        let id = world.connect(&provider).await;
        world.advance(3300);
        Self { world, aws, provider, id }
    }

    /// A connection with a refresh that the provider answered and the table did not save.
    async fn with_an_unsaved_result() -> Self {
        let it = Self::due(|settings| Settings {
            recovery_queue: Some("http://queues/recovery".into()),
            event_bus: Some("larder".into()),
            ..settings
        });
        let Self { world, aws, provider, id } = it.await;
        aws.take_events();
        aws.fail("Save");
        world.sweep().await;
        aws.restore("Save");
        assert_eq!(provider.refreshes().len(), 1);
        assert_eq!(world.credentials(&id).await["access_token"], "access-1");
        Self { world, aws, provider, id }
    }

    /// Delivers messages as SQS would. Returns how many must be delivered again.
    async fn deliver(&self, messages: &[String]) -> usize {
        let records = messages.iter().enumerate().map(|(index, body)| {
            json!({"messageId": index.to_string(), "receiptHandle": "handle", "eventSource": "aws:sqs", "body": body})
        });
        let event: Event = serde_json::from_value(json!({ "Records": records.collect::<Vec<_>>() })).unwrap();
        let function = Refresh::new(self.world.bundle.environment()).unwrap();
        let answer = serde_json::to_value(function.handle(event).await.unwrap()).unwrap();
        answer["batchItemFailures"].as_array().unwrap().len()
    }

    /// Lets the lease expire, and then the grace period for the recovery queue.
    async fn lease_and_grace_end(&self) {
        self.world.advance(71);
        self.world.sweep().await;
        self.world.advance(91);
    }

    async fn access_token(&self) -> Value {
        self.world.credentials(&self.id).await["access_token"].clone()
    }
}

#[tokio::test]
async fn an_unsaved_result_is_saved_from_the_queue_once() {
    let it = Deployment::with_an_unsaved_result().await;
    let messages = it.aws.take_messages();
    assert_eq!(messages.len(), 1);
    for secret in ["access-2", "refresh-2"] {
        assert!(!messages[0].contains(secret));
    }
    assert_eq!(it.deliver(&messages).await, 0);
    assert_eq!(it.access_token().await, "access-2");
    let connection = it.world.connection(&it.id).await;
    assert_eq!(connection["lastRefreshedAt"], "2026-01-01T00:55:00Z");
    assert_eq!(connection["nextCredentialsRefreshAt"], "2026-01-01T01:50:00Z");

    assert_eq!(it.deliver(&messages).await, 0);
    assert_eq!(it.world.connection(&it.id).await, connection);
    it.world.advance(3300);
    it.world.sweep().await;
    assert_eq!(it.provider.refreshes()[1].get("refresh_token"), Some("refresh-2"));
}

#[tokio::test]
async fn no_provider_call_uses_the_old_token_while_a_result_is_queued() {
    let it = Deployment::with_an_unsaved_result().await;
    // The lease expires after 70 seconds, and the next sweep grants a grace period of 90 more.
    it.world.advance(71);
    it.world.sweep().await;
    it.world.advance(89);
    it.world.sweep().await;
    assert_eq!(it.provider.refreshes().len(), 1);
    assert_eq!(it.deliver(&it.aws.take_messages()).await, 0);
    assert_eq!(it.access_token().await, "access-2");
}

#[tokio::test]
async fn each_recovery_attempt_extends_the_lease() {
    let it = Deployment::with_an_unsaved_result().await;
    let messages = it.aws.take_messages();
    it.world.advance(71);
    it.world.sweep().await;
    it.world.advance(80);
    it.aws.fail("Save");
    assert_eq!(it.deliver(&messages).await, 1);
    it.aws.restore("Save");
    it.world.advance(60);
    it.world.sweep().await;
    assert_eq!(it.provider.refreshes().len(), 1);
    assert_eq!(it.deliver(&messages).await, 0);
    assert_eq!(it.access_token().await, "access-2");
}

#[tokio::test]
async fn a_result_waits_while_another_refresh_holds_the_lease() {
    let it = Deployment::with_an_unsaved_result().await;
    let messages = it.aws.take_messages();
    it.world.advance(71);
    let connections = it.world.bundle.environment().connections();
    let connection = connections.get(&ConnectionKey::new("local", &it.id)).await.unwrap().unwrap();
    let now = it.world.clock.now();
    let (holder, until) = (LeaseHolder::Refresher, now + Duration::from_secs(70));
    let lease = Lease { token: "another's".into(), holder, until };
    assert_eq!(connections.lease(&connection, &lease, now).await.unwrap(), Write::Done);
    assert_eq!(it.deliver(&messages).await, 1);
    assert_eq!(it.access_token().await, "access-1");
    it.world.advance(71);
    assert_eq!(it.deliver(&messages).await, 0);
    assert_eq!(it.access_token().await, "access-2");
}

#[tokio::test]
async fn a_result_that_never_arrives_does_not_stop_refreshes() {
    let it = Deployment::with_an_unsaved_result().await;
    it.lease_and_grace_end().await;
    it.world.sweep().await;
    assert_eq!(it.provider.refreshes().len(), 2);
    assert_eq!(it.access_token().await, "access-3");
    // The result arrives after all, but is older.
    assert_eq!(it.deliver(&it.aws.take_messages()).await, 0);
    assert_eq!(it.access_token().await, "access-3");
}

#[tokio::test]
async fn a_grace_period_from_an_earlier_version_is_not_repeated() {
    let it = Deployment::with_an_unsaved_result().await;
    it.world.advance(71);
    it.world.sweep().await;
    // As an earlier version wrote it, without `lease_holder`.
    let update = it.world.dynamodb().update_item().table_name("larder-connections");
    let update = update.key("id", AttributeValue::S(format!("local#{}", it.id)));
    let update = update.condition_expression("lease_holder = :recovery");
    let update = update.update_expression("SET lease_token = :token REMOVE lease_holder");
    let update = update.expression_attribute_values(":recovery", AttributeValue::S("recovery".into()));
    let update = update.expression_attribute_values(":token", AttributeValue::S("grace.AAAA".into()));
    update.send().await.unwrap();
    // A result that arrives within the grace period still keeps others away.
    let messages = it.aws.take_messages();
    it.world.advance(80);
    it.aws.fail("Save");
    assert_eq!(it.deliver(&messages).await, 1);
    it.aws.restore("Save");
    it.world.advance(60);
    it.world.sweep().await;
    assert_eq!(it.provider.refreshes().len(), 1);
    it.world.advance(31);
    it.world.sweep().await;
    assert_eq!(it.provider.refreshes().len(), 2);
}

#[tokio::test]
async fn a_late_result_heals_a_connection_given_up_in_the_meantime() {
    let it = Deployment::with_an_unsaved_result().await;
    it.lease_and_grace_end().await;
    it.provider.script(400, &json!({"error": "invalid_grant"}));
    it.world.sweep().await;
    assert_eq!(it.world.connection(&it.id).await["state"], "CLIENT_ACTION_REQUIRED");

    assert_eq!(it.deliver(&it.aws.take_messages()).await, 0);
    assert_eq!(it.world.connection(&it.id).await["state"], "READY");
    assert_eq!(it.access_token().await, "access-2");
    let events: Vec<_> = it.aws.take_events().into_iter().map(|(name, _)| name).collect();
    assert_eq!(events, ["connection.disconnected", "connection.reconnected"]);
}

#[tokio::test]
async fn a_result_is_dropped_if_the_end_user_has_reconnected() {
    let it = Deployment::with_an_unsaved_result().await;
    assert_eq!(it.world.connect(&it.provider).await, it.id);
    let token = it.access_token().await;
    assert_eq!(it.deliver(&it.aws.take_messages()).await, 0);
    assert_eq!(it.access_token().await, token);
}

#[tokio::test]
async fn a_result_is_dropped_if_the_same_credentials_were_put_again() {
    let it = Deployment::with_an_unsaved_result().await;
    let uri = format!("/credentials?connectionId={}", it.id);
    let stored = it.world.get(&uri).await.text().to_owned();
    it.world.send_raw(http::Method::PUT, &uri, &it.world.admin, stored).await.expect(StatusCode::CREATED);
    assert_eq!(it.deliver(&it.aws.take_messages()).await, 0);
    assert_eq!(it.access_token().await, "access-1");
}

#[tokio::test]
async fn a_result_is_dropped_if_the_connection_was_recreated() {
    let it = Deployment::with_an_unsaved_result().await;
    let uri = format!("/connections/{}", it.id);
    it.world.send(http::Method::DELETE, &uri, &it.world.admin, None).await.expect(StatusCode::NO_CONTENT);
    it.world.connect(&it.provider).await;
    let token = it.access_token().await;
    assert_eq!(it.deliver(&it.aws.take_messages()).await, 0);
    assert_eq!(it.access_token().await, token);
}

#[tokio::test]
async fn a_result_stays_queued_while_the_table_is_unavailable() {
    let it = Deployment::with_an_unsaved_result().await;
    it.aws.fail("Save");
    let messages = it.aws.take_messages();
    assert_eq!(it.deliver(&messages).await, 1);
    assert_eq!(it.aws.retried(), 1);
    it.aws.restore("Save");
    assert_eq!(it.deliver(&messages).await, 0);
    assert_eq!(it.access_token().await, "access-2");
}

#[tokio::test]
async fn a_result_too_large_for_its_row_waits_on_the_queue_for_room() {
    let recovery_queue = Some("http://queues/recovery".into());
    let it = Deployment::due(|settings| Settings { recovery_queue, ..settings }).await;
    // DynamoDB's limit of 400 KB applies to the whole row.
    let change = async |expression: &str, value: Option<usize>| {
        let update = it.world.dynamodb().update_item().table_name("larder-connections");
        let update = update.key("id", AttributeValue::S(format!("local#{}", it.id))).update_expression(expression);
        let value = value.map(|bytes| (":value".to_owned(), AttributeValue::S("x".repeat(bytes))));
        update.set_expression_attribute_values(value.map(|value| [value].into())).send().await.unwrap();
    };
    change("SET padding = :value", Some(405_000)).await;
    let note = "x".repeat(8_000);
    let tokens = json!({"access_token": "next", "refresh_token": "rotated", "expires_in": 3600, "note": note});
    it.provider.script(200, &tokens);
    it.world.sweep().await;
    assert_eq!((it.provider.refreshes().len(), it.access_token().await), (1, json!("access-1")));
    let messages = it.aws.take_messages();
    assert_eq!((messages.len(), it.deliver(&messages).await), (1, 1));
    change("REMOVE padding", None).await;
    assert_eq!(it.deliver(&messages).await, 0);
    assert_eq!(it.access_token().await, "next");
}

#[tokio::test]
async fn tampered_and_foreign_messages_change_nothing() {
    let it = Deployment::with_an_unsaved_result().await;
    let message: Value = serde_json::from_str(&it.aws.take_messages()[0]).unwrap();
    let mut changed = Vec::new();
    for (member, value) in [("version", json!(0)), ("sealed", json!("AAAA")), ("workspace", json!("other"))] {
        let mut message = message.clone();
        message[member] = value;
        changed.push(message.to_string());
    }
    it.deliver(&changed).await;
    assert_eq!(it.deliver(&["{}".into(), "not JSON".into()]).await, 2);
    assert_eq!(it.access_token().await, "access-1");
}

#[tokio::test]
async fn table_and_queue_are_both_retried_until_one_is_back() {
    let recovery_queue = Some("http://queues/recovery".into());
    let it = Deployment::due(|settings| Settings { recovery_queue, ..settings }).await;
    let Deployment { world, aws, id, .. } = &it;
    aws.fail("Save");
    aws.fail("SendMessage");
    let back = async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        aws.restore("Save");
    };
    tokio::join!(world.sweep(), back);
    assert_eq!(world.credentials(id).await["access_token"], "access-2");
    assert_eq!(aws.take_messages().len(), 0);
}

#[tokio::test]
async fn a_queued_connection_being_refreshed_is_retried_soon() {
    let refreshes = RefreshesBy::Queue("http://queues/refreshes.fifo".into());
    let it = Deployment::due(|settings| Settings { refreshes, ..settings }).await;
    it.world.sweep().await;
    let messages = it.aws.take_messages();
    // The first refresh never finishes.
    it.provider.set_delay(Duration::from_secs(3600));
    tokio::select! {
        _ = it.deliver(&messages) => panic!("the provider has answered"),
        () = it.provider.until_refresh_requested() => {}
    }
    it.provider.set_delay(Duration::ZERO);
    assert_eq!((it.deliver(&messages).await, it.aws.retried()), (1, 1));
    it.world.advance(70);
    assert_eq!((it.deliver(&messages).await, it.aws.retried()), (0, 1));
    assert_eq!(it.provider.refreshes().len(), 2);
    assert_eq!(it.access_token().await, "access-3");
}
