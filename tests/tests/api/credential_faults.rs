//! A failing credential store: nothing is lost, no wrong credentials are served, and the answers are truthful.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http::{Method, StatusCode};
use larder::clock::Clock as _;
use larder::connection::{ConnectionKey, Lease, LeaseHolder, RefreshOutcome};
use larder::dynamodb::{Expect, Write};
use larder::environment::{CredentialsIn, Settings};
use larder_engine::refresh::{Recovery, Trigger, Unsaved};
use larder_tests::conformance::{Keeper as _, Routes};
use larder_tests::{Answer, CredentialApi, Delete, Fault, MockProvider, World};
use serde_json::{Value, json};
use tokio::time::Instant;

const C1: &str = "/credentials?connectionId=c1";

async fn world_with_store() -> (World, CredentialApi) {
    let api = CredentialApi::start().await;
    (World::keeping(CredentialsIn::ExternalApi(api.url())).await, api)
}

async fn connected() -> (World, CredentialApi, MockProvider, String) {
    let (world, api) = world_with_store().await;
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    (world, api, provider, id)
}

async fn put(world: &World, json: &str) -> Answer {
    world.send_raw(Method::PUT, C1, &world.admin, format!(r#"{{"credentials":{json}}}"#)).await
}

/// Asserts a 503 that names the store and when to retry, and reveals no secret.
fn assert_unavailable(answer: Answer) {
    let answer = answer.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").is_some());
    let error = answer.json();
    assert_eq!(error["type"], "internal");
    assert!(error["message"].as_str().unwrap().starts_with("the credential store "), "{error}");
    assert!(!answer.text().contains("marker-"), "{error}");
}

/// Every fault that shows immediately.
fn faults() -> Vec<Fault> {
    let statuses = [301, 400, 401, 403, 409, 413, 429, 500, 502, 503, 504];
    let statuses = statuses.into_iter().map(|status| Fault::Status(StatusCode::from_u16(status).unwrap()));
    statuses.chain([Fault::Redirect]).collect()
}

fn stored(api: &CredentialApi, id: &str) -> Value {
    serde_json::from_str(&api.stored(id).expect("credentials")).unwrap()
}

#[tokio::test]
async fn unreadable_store_answers_are_never_served_as_credentials() {
    let (world, api) = world_with_store().await;
    put(&world, r#""good""#).await.expect(StatusCode::CREATED);
    let bodies = [
        "",
        "null",
        "{}",
        r#""good""#,
        r#"{"credentials":"marker-in-an-answer""#,
        r#"{"Credentials":"marker-in-an-answer"}"#,
        r#"{"credentials":"marker-in-an-answer","credentials":2}"#,
        r#"{"credentials":marker-in-an-answer}"#,
        "<html>marker-in-an-answer</html>",
    ];
    let huge = format!(r#"{{"credentials":"{}"}}"#, "x".repeat(3 * 1024 * 1024));
    let bodies = bodies.map(ToOwned::to_owned).into_iter().chain([huge]).map(Fault::Body);
    for fault in faults().into_iter().chain(bodies).chain([Fault::Cut, Fault::Status(StatusCode::NO_CONTENT)]) {
        api.fail([fault.clone()]);
        let shown = format!("{fault:?}");
        let answer = world.get(C1).await;
        assert_eq!(answer.0.status(), StatusCode::SERVICE_UNAVAILABLE, "{shown:.60}");
        assert_unavailable(answer);
    }
    assert_eq!(world.credentials("c1").await, "good");
}

#[tokio::test]
async fn a_rejected_write_keeps_old_credentials_and_can_be_retried() {
    let (world, api) = world_with_store().await;
    // A rejected first write leaves nothing behind.
    for fault in faults().into_iter().filter(|fault| !may_have_arrived(fault)) {
        api.fail([fault]);
        assert_unavailable(put(&world, r#""new""#).await);
        world.get("/connections/c1").await.expect(StatusCode::NOT_FOUND);
    }
    put(&world, r#""old""#).await.expect(StatusCode::CREATED);
    for fault in faults().into_iter().filter(|fault| !may_have_arrived(fault)) {
        api.fail([fault.clone()]);
        assert_unavailable(put(&world, r#""new""#).await);
        assert_eq!(world.credentials("c1").await, "old");
        api.fail([fault]);
        assert_unavailable(world.send(Method::DELETE, C1, &world.admin, None).await);
        assert_eq!(world.credentials("c1").await, "old");
    }
    put(&world, r#""new""#).await.expect(StatusCode::CREATED);
    assert_eq!(world.credentials("c1").await, "new");
}

fn may_have_arrived(fault: &Fault) -> bool {
    matches!(fault, Fault::Status(StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT))
}

#[tokio::test]
async fn an_unanswered_write_blocks_others_until_it_cannot_arrive() {
    let (world, api) = world_with_store().await;
    put(&world, r#""old""#).await.expect(StatusCode::CREATED);
    api.fail([Fault::Hang]);
    let start = Instant::now();
    assert_unavailable(put(&world, r#""slow""#).await);
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    assert_eq!(world.credentials("c1").await, "old");

    let answer = put(&world, r#""next""#).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.json()["message"].as_str().unwrap().contains("another request"), "{}", answer.text());
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=38).contains(&wait), "{wait}");
    assert_eq!(api.calls().len(), 3, "nothing was sent in the meantime");
    world.advance(wait);
    put(&world, r#""next""#).await.expect(StatusCode::CREATED);
    assert_eq!(world.credentials("c1").await, "next");
}

#[tokio::test]
async fn an_unconfirmed_first_write_is_flagged_until_one_succeeds() {
    let (world, api) = world_with_store().await;
    api.fail([Fault::DoneBut(StatusCode::BAD_GATEWAY)]);
    assert_unavailable(put(&world, r#""first""#).await);
    let view = world.connection("c1").await;
    assert_eq!(view["state"], "CLIENT_ACTION_REQUIRED");
    assert!(view["error"]["message"].as_str().unwrap().contains("could not be stored"), "{view}");
    // No one else can take the id.
    let bob = world.token("bob").await;
    world.send(Method::PUT, C1, &bob, Some(&json!({"credentials": 1}))).await.expect(StatusCode::NOT_FOUND);
    world.advance(40);
    put(&world, r#""second""#).await.expect(StatusCode::CREATED);
    let view = world.connection("c1").await;
    assert_eq!((&view["state"], &view["error"]), (&json!("READY"), &Value::Null));
    assert_eq!(world.credentials("c1").await, "second");
}

#[tokio::test]
async fn rotated_tokens_are_kept_until_the_store_accepts_them() {
    let (world, api, provider, id) = connected().await;
    for fault in faults().into_iter().chain([Fault::DoneBut(StatusCode::INTERNAL_SERVER_ERROR)]) {
        let before = provider.refreshes().len();
        let refresh_token = stored(&api, &id)["refresh_token"].clone();
        world.advance(3300);
        api.fail_on(&Method::PUT, [fault.clone(), fault.clone()]);
        world.sweep().await;
        assert_eq!(api.faults_left(), 0, "{fault:?}");
        assert_eq!(provider.refreshes().len(), before + 1, "{fault:?}");
        assert_eq!(provider.refreshes()[before].get("refresh_token"), refresh_token.as_str());
        let credentials = stored(&api, &id);
        assert_ne!(credentials["refresh_token"], refresh_token, "{fault:?}");
        assert_eq!(world.credentials(&id).await, credentials);
        assert_eq!(world.connection(&id).await["retryAttempts"], 0);
    }
}

#[tokio::test]
async fn rotated_tokens_the_store_rejects_go_to_the_recovery_queue() {
    let (api, provider) = (CredentialApi::start().await, MockProvider::start().await);
    let (world, aws) = World::deployed(|settings| Settings {
        recovery_queue: Some("http://queues/recovery".into()),
        credentials: CredentialsIn::ExternalApi(api.url()),
        ..settings
    })
    .await;
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    world.advance(3300);
    api.fail_on(&Method::PUT, vec![Fault::Status(StatusCode::INTERNAL_SERVER_ERROR); 50]);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 1);
    assert_eq!(world.credentials(&id).await["refresh_token"], "refresh-1");
    let messages = aws.take_messages();
    assert_eq!(messages.len(), 1);
    assert!(!messages[0].contains("refresh-2"));

    let unsaved: Unsaved = serde_json::from_str(&messages[0]).unwrap();
    let recover = async || world.bundle.refresher().recover(&unsaved).await;
    assert!(recover().await.unwrap_err().is_transient());
    api.restore();
    // Simulates another refresh that continued from here, stored its result, and died before writing the row.
    let refreshed = api.stored(&id).unwrap();
    api.store(&id, r#"{"access_token":"newer"}"#);
    assert_eq!(recover().await.unwrap(), Recovery::Superseded);
    assert_eq!(stored(&api, &id)["access_token"], "newer");
    api.store(&id, &refreshed);
    assert_eq!(recover().await.unwrap(), Recovery::Saved);
    assert_eq!(stored(&api, &id)["refresh_token"], "refresh-2");
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
    assert_eq!(recover().await.unwrap(), Recovery::Superseded);
}

#[tokio::test]
async fn an_unreadable_store_never_costs_a_refresh_token() {
    let (world, api, provider, id) = connected().await;
    world.advance(3300);
    for fault in faults().into_iter().chain([Fault::Cut]) {
        api.fail([fault]);
        let report = world.bundle.refresher().sweep(Duration::ZERO, None).await.unwrap();
        assert_eq!((report.due, report.failed, provider.refreshes().len()), (1, 1, 0));
        // Until then, the connection does not hold up others.
        assert_eq!(world.bundle.refresher().sweep(Duration::ZERO, None).await.unwrap().due, 0);
        world.advance(300);
    }
    // The same holds for a store that has lost the credentials.
    let json = api.stored(&id).unwrap();
    api.fail([Fault::Status(StatusCode::NOT_FOUND)]);
    assert_eq!(world.bundle.refresher().sweep(Duration::ZERO, None).await.unwrap().failed, 1);
    assert_eq!(world.connection(&id).await["state"], "READY");
    world.advance(300);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 1);
    assert_ne!(api.stored(&id).unwrap(), json);
}

#[tokio::test]
async fn credentials_too_large_to_store_cost_no_refresh_token() {
    let (world, api, provider, id) = connected().await;
    // The new tokens are as long as the old ones.
    let of_size = |bytes: usize| {
        let start =
            r#"{"access_token":"access-1","token_type":"Bearer","refresh_token":"refresh-1","expires_in":3600,"#;
        let note = "x".repeat(bytes - start.len() - r#""note":""}"#.len());
        format!(r#"{start}"note":"{note}"}}"#)
    };
    let uri = format!("/connections/{id}/refresh-credentials");
    for bytes in [350 * 1024 + 1, 400 * 1024] {
        api.store(&id, &of_size(bytes));
        let error = world.post(&uri).await.expect(StatusCode::PAYLOAD_TOO_LARGE).json();
        let message = format!("the credentials of the connection `{id}` are too large for the store");
        assert_eq!(error["message"], message);
    }
    assert_eq!(provider.refreshes().len(), 0);
    api.store(&id, &of_size(350 * 1024));
    world.post(&uri).await.expect(StatusCode::OK);
    let credentials = stored(&api, &id);
    assert_eq!(
        (&credentials["access_token"], &credentials["refresh_token"]),
        (&json!("access-2"), &json!("refresh-2"))
    );
    assert_eq!(api.stored(&id).unwrap().len(), 350 * 1024);
}

#[tokio::test]
async fn a_connection_is_created_only_if_its_credentials_are_stored() {
    let (world, api) = world_with_store().await;
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({})).await;
    let id = connect::own_connection_id("local", "crm", Some("alice"));
    let connect = async |status: StatusCode| {
        let mut browser = larder_tests::Browser::default();
        let uri = format!("/connect?integrationKey=crm&token={}", world.alice);
        let authorize = browser.get(&world, &uri).await.location();
        browser.get(&world, &provider.approve(&authorize)).await.expect(status)
    };
    api.fail([Fault::Status(StatusCode::INTERNAL_SERVER_ERROR)]);
    let page = connect(StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(page.text().contains("credential store"), "{}", page.text());
    world.get(&format!("/connections/{id}")).await.expect(StatusCode::NOT_FOUND);
    connect(StatusCode::OK).await;
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");

    // The same holds for a reconnect.
    api.fail([Fault::Status(StatusCode::INTERNAL_SERVER_ERROR)]);
    connect(StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
    connect(StatusCode::OK).await;
    assert_eq!(world.credentials(&id).await["access_token"], "access-4");
}

#[tokio::test]
async fn a_connection_is_deleted_only_after_its_credentials() {
    let (world, api, _, id) = connected().await;
    let uri = format!("/connections/{id}");
    let delete = async || world.send(Method::DELETE, &uri, &world.admin, None).await;
    // The first fault hits the read that precedes the call to the provider.
    api.fail([Fault::Status(StatusCode::INTERNAL_SERVER_ERROR), Fault::Status(StatusCode::INTERNAL_SERVER_ERROR)]);
    assert_unavailable(delete().await);
    world.get(&uri).await.expect(StatusCode::OK);
    assert!(api.stored(&id).is_some());
    // The same holds if the API has no `DELETE`, and the `PUT` instead of it fails.
    api.set_delete(Delete::Unknown(StatusCode::METHOD_NOT_ALLOWED));
    api.fail_on(&Method::PUT, [Fault::Status(StatusCode::INTERNAL_SERVER_ERROR)]);
    assert_unavailable(delete().await);
    assert!(api.stored(&id).is_some());
    delete().await.expect(StatusCode::NO_CONTENT);
    world.get(&uri).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(api.stored(&id).as_deref(), Some("null"));
}

#[tokio::test]
async fn a_refresh_that_lost_its_lease_writes_nothing_to_the_store() {
    let (world, api, provider, id) = connected().await;
    let connections = world.bundle.environment().connections();
    let refresher = Arc::clone(world.bundle.refresher());
    world.advance(3300);
    // While the provider answers, the lease expires and another refresh takes it.
    provider.set_delay(Duration::from_millis(500));
    let key = ConnectionKey::new("local", &id);
    let refresh = tokio::spawn(async move { refresher.refresh(&key, None, Trigger::Due).await });
    provider.until_refresh_requested().await;
    world.clock.advance(Duration::from_secs(71));
    let mut connection = connections.get(&ConnectionKey::new("local", &id)).await.unwrap().unwrap();
    let now = world.clock.now();
    let (holder, until) = (LeaseHolder::Refresher, now + Duration::from_secs(70));
    let lease = Lease { token: "another's".into(), holder, until };
    assert_eq!(connections.lease(&connection, &lease, now).await.unwrap(), Write::Done);
    let before = api.stored(&id);
    // The first refresh finds the row leased, waits, and then finds it written.
    tokio::time::sleep(Duration::from_secs(1)).await;
    connection.version += 1;
    assert_eq!(connections.put(&connection, Expect::Lease(&lease)).await.unwrap(), Write::Done);
    assert_eq!(refresh.await.unwrap().unwrap(), RefreshOutcome::Stale);
    assert_eq!(api.stored(&id), before);
    assert!(!api.calls().iter().skip(2).any(|call| call.what.starts_with("PUT")));
}

#[tokio::test]
async fn puts_during_a_refresh_win_and_are_stored_whole() {
    let (world, api, provider, id) = connected().await;
    provider.set_delay(Duration::from_millis(300));
    world.advance(3300);
    let uri = format!("/credentials?connectionId={id}");
    let body = json!({"credentials": {"access_token": "put", "refresh_token": "put", "expires_in": 3600}});
    let puts = join_all((0..2).map(|_| world.send(Method::PUT, &uri, &world.admin, Some(&body))));
    let (_, puts) = tokio::join!(world.sweep(), puts);
    for answer in puts {
        answer.expect(StatusCode::CREATED);
    }
    // No matter which had the lease first, the put was acknowledged last.
    assert_eq!(world.credentials(&id).await, body["credentials"]);
    assert_eq!(stored(&api, &id), body["credentials"]);
    provider.set_delay(Duration::ZERO);
    world.advance(3300);
    world.sweep().await;
    assert_eq!(provider.refreshes().last().unwrap().get("refresh_token"), Some("put"));
}

#[tokio::test]
async fn a_crash_between_store_and_row_keeps_the_newer_credentials() {
    let (world, api, provider, id) = connected().await;
    // Simulates a refresh that stored its result and died before writing the row.
    let newer = r#"{"access_token":"newer","refresh_token":"newer-refresh","expires_in":3600}"#;
    api.store(&id, newer);
    assert_eq!(world.credentials(&id).await["access_token"], "newer");
    world.advance(3300);
    world.sweep().await;
    assert_eq!(provider.refreshes().last().unwrap().get("refresh_token"), Some("newer-refresh"));
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test]
async fn unreadable_credentials_can_still_be_replaced_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::keeping(CredentialsIn::Files(folder.path().to_owned())).await;
    for method in [Method::PUT, Method::DELETE] {
        put(&world, "1").await.expect(StatusCode::CREATED);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            std::fs::write(entry.unwrap().path(), "damaged").unwrap();
        }
        assert_unavailable(world.get(C1).await);
        let status = world.send_raw(method, C1, &world.admin, r#"{"credentials":2}"#).await.0.status();
        assert!(status.is_success(), "{status}");
    }
    assert_eq!(Routes(&world).get("local", "c1").await, None);
}
