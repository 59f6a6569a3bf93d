//! The deployed stack on an AWS emulator, used through its HTTP API, with its schedules, queues and roles in force.

use std::time::Duration;

use http::{Method, StatusCode};
use larder_tests::{MockProvider, Server, Stack, Target, Visitor, contract};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

const LIFETIME_SECS: i64 = 130;

/// How long a refresh may take to come. The emulator checks its schedules every ten seconds.
const REFRESH_LIMIT: Duration = Duration::from_secs(LIFETIME_SECS as u64 / 2 + 60);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs tests/run"]
async fn a_deployed_stack_connects_refreshes_and_survives_updates() {
    let stack = Stack::deploy_former().await;
    let target = stack.target();
    let server = Server::oidc_for(&target.base_uri, json!({"accessTokenTtlSecs": LIFETIME_SECS})).await;

    let id = connect_alice(&target, &server).await;
    let first = credentials(&target, &id).await;
    let (armed, version) = armed_schedule(&stack, &target, &id).await;

    a_failed_event_ends_in_the_queue(&stack).await;
    an_update_keeps_the_data(&stack, &target, &id, &first).await;

    wait_for_a_refresh(&server).await;
    let second = credentials(&target, &id).await;
    assert_ne!(first["access_token"], second["access_token"]);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(server.refreshes().await.len(), 1, "only the schedule refreshes");
    assert_eq!(target.post(&format!("/connections/{id}/test"), &target.admin()).await.json(), json!({"success": true}));
    let (rearmed, next) = armed_schedule(&stack, &target, &id).await;
    assert_ne!(armed, rearmed);
    assert_eq!(next, version + 1);

    target.delete(&format!("/connections/{id}"), &target.admin()).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(stack.schedules().await, []);
    target.get(&format!("/credentials?connectionId={id}"), &target.admin()).await.expect(StatusCode::NOT_FOUND);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs tests/run"]
async fn a_deployed_stack_passes_the_contract_and_can_sweep_instead() {
    let stack = Stack::deploy().await;
    contract::check(&stack.target(), 4).await;
    a_sweep_refreshes_through_the_queue(&stack, &stack.target()).await;
    stack.stop().await;
}

/// With `RefreshScheduler=sweep` there are no schedules: the rule's sweep fills the queue, and the queue invokes `refresh`.
async fn a_sweep_refreshes_through_the_queue(stack: &Stack, target: &Target) {
    stack.update(&[("RefreshScheduler", "sweep")]).await;
    let (provider, armed) = (MockProvider::start().await, stack.schedules().await);
    provider.set_expires_in(json!(LIFETIME_SECS));
    let body = json!({"connectorKey": "oauth2", "parameters": provider.parameters()});
    target.put("/integrations/swept", &target.admin(), &body).await.expect(StatusCode::CREATED);
    let mut browser = Visitor::default();
    let link = target.uri(&format!("/connect?integrationKey=swept&token={}", target.tenant("swept")));
    let authorize = browser.get(&link).await.expect(StatusCode::FOUND).location();
    browser.get(&provider.approve(&authorize)).await.expect(StatusCode::OK);
    assert!(stack.schedules().await.iter().all(|schedule| armed.contains(schedule)), "a new schedule was armed");

    let refreshed = async {
        while provider.refreshes().is_empty() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    // Until it is due, plus a sweep every minute and some time for the queue.
    tokio::time::timeout(REFRESH_LIMIT + Duration::from_mins(1), refreshed).await.expect("a sweep refreshes it");
    assert_eq!(provider.refreshes().len(), 1);
}

/// Sends alice to the provider and back. Returns the id of her connection.
async fn connect_alice(target: &Target, server: &Server) -> String {
    let parameters = json!({
        "clientId": Server::CLIENT_ID, "clientSecret": Server::CLIENT_SECRET,
        "authorizeUri": server.uri("/auth"), "tokenUri": server.uri("/token"), "testUri": server.uri("/me"),
        "scopes": ["openid", "offline_access"], "clientAuthLocation": "headers", "issuer": server.uri(""),
    });
    let body = json!({"connectorKey": "oauth2", "parameters": parameters});
    target.put("/integrations/crm", &target.admin(), &body).await.expect(StatusCode::CREATED);

    let mut browser = Visitor::default();
    let link = target.uri(&format!("/connect?integrationKey=crm&token={}", target.tenant("alice")));
    let authorize = browser.get(&link).await.expect(StatusCode::FOUND).location();
    let back = server.approve(&authorize).await;
    assert!(back.starts_with(&target.uri("/oauth-callback?")), "{back}");
    browser.get(&back).await.expect(StatusCode::OK);
    connect::own_connection_id(&target.workspace, "crm", Some("alice"))
}

async fn credentials(target: &Target, id: &str) -> Value {
    let answer = target.get(&format!("/credentials?connectionId={id}"), &target.tenant("alice")).await;
    answer.expect(StatusCode::OK).json()["credentials"].take()
}

/// Checks that there is exactly one schedule, which fires for a version when the connection is due. Returns its name and the
/// version.
async fn armed_schedule(stack: &Stack, target: &Target, id: &str) -> (String, u64) {
    let schedules = stack.schedules().await;
    let [schedule] = &schedules[..] else { panic!("{schedules:?}") };
    let version = schedule.event["version"].as_u64().expect("a version");
    assert_eq!(schedule.event, json!({"workspace": target.workspace, "connectionId": id, "version": version}));
    assert!(schedule.name.ends_with(&format!(".{version}")), "{}", schedule.name);
    let connection = target.get(&format!("/connections/{id}"), &target.admin()).await.expect(StatusCode::OK).json();
    let due = OffsetDateTime::parse(connection["nextCredentialsRefreshAt"].as_str().expect("a time"), &Rfc3339);
    let due = due.expect("a time") + Duration::from_millis(999);
    let at =
        due.format(format_description!("at([year]-[month]-[day]T[hour]:[minute]:[second])")).expect("a formatted time");
    assert_eq!(schedule.expression, at);
    (schedule.name.clone(), version)
}

/// An event that `refresh` doesn't understand is retried, and then ends in the queue with its error.
async fn a_failed_event_ends_in_the_queue(stack: &Stack) {
    stack.invoke_async("refresh", r#"{"unknown": true}"#).await;
    let failure = stack.receive("failed-invocations").await;
    assert_eq!(failure["requestPayload"], json!({"unknown": true}), "{failure}");
    assert_eq!(failure["requestContext"]["condition"], "RetriesExhausted", "{failure}");
    assert!(failure["responsePayload"]["errorMessage"].is_string(), "{failure}");
}

/// The update is one from a stack that lacks the newest index.
async fn an_update_keeps_the_data(stack: &Stack, target: &Target, id: &str, credentials: &Value) {
    let body = json!({"credentials": {"apiKey": "k"}}).to_string();
    let path = "/credentials?connectionId=stored";
    target.send(Method::PUT, path, &target.tenant("alice"), body.clone()).await.expect(StatusCode::CREATED);
    assert_eq!(stack.indexes().await, ["by_due", "by_integration", "by_tenant", "by_workspace"]);
    let listed = async || {
        let listed =
            target.get("/connections?state=READY&search=crm", &target.admin()).await.expect(StatusCode::OK).json();
        listed["items"].as_array().expect("a list").iter().map(|it| it["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, [id], "without the index");
    stack.update(&[("LogLevel", "debug"), ("RefreshGiveUp", "3d"), ("StateIndex", "now")]).await;
    assert_eq!(stack.indexes().await, ["by_due", "by_integration", "by_state", "by_tenant", "by_workspace"]);
    assert_eq!(listed().await, [id], "with the index");
    let kept = target.get(path, &target.tenant("alice")).await.expect(StatusCode::OK);
    assert_eq!(kept.json().to_string(), serde_json::from_str::<Value>(&body).expect("JSON").to_string());
    assert_eq!(&self::credentials(target, id).await, credentials);
}

/// Watches only the provider: reading credentials could trigger the refresh itself.
async fn wait_for_a_refresh(server: &Server) {
    let refreshed = async {
        while server.refreshes().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        // The provider has answered. Leave time to store the tokens and arm the next schedule.
        tokio::time::sleep(Duration::from_secs(2)).await;
    };
    tokio::time::timeout(REFRESH_LIMIT, refreshed).await.expect("the schedule fires in time");
}
