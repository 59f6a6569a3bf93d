//! Refreshes that are interrupted between the provider's answer and the save.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use http::{Method, StatusCode};
use larder::clock::SystemClock;
use larder::dynamodb::schema::Tables;
use larder::secret_store::{SecretFile, Workspaces};
use larder_local::WORKSPACE;
use larder_local::bundle::{DataDir, Grant, mint};
use larder_local::embedded_dynamodb::EmbeddedDynamoDb;
use larder_tests::{MockProvider, Program, Visitor, eventually};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A running program, and a connection that alice made through it.
async fn connected(data: &Path, provider: &MockProvider) -> (Program, String) {
    let larder = start(data).await;
    let body = json!({"connectorKey": "oauth2", "parameters": provider.parameters()}).to_string();
    larder.send(Method::PUT, "/integrations/crm", &larder.admin, &body).await.expect(StatusCode::CREATED);
    let secrets = SecretFile::new(DataDir::open(data).expect("a folder").secrets());
    let workspaces = Workspaces::new(Arc::new(secrets), Arc::new(SystemClock));
    let grant = Grant { tenant: Some("alice".into()), ..Grant::default() };
    let alice = mint(&workspaces, &grant, &SystemClock).await.expect("a token");
    let mut visitor = Visitor::default();
    let link = larder.uri(&format!("/connect?integrationKey=crm&token={alice}"));
    let authorize = visitor.get(&link).await.location();
    visitor.get(&provider.approve(&authorize)).await.expect(StatusCode::OK);
    (larder, connect::own_connection_id("local", "crm", Some("alice")))
}

async fn start(data: &Path) -> Program {
    let data = data.to_str().expect("a path in UTF-8");
    Program::start(&["--data", data, "--listen", "127.0.0.1:0", "--no-demo"]).await
}

fn refresh_uri(id: &str) -> String {
    format!("/connections/{id}/refresh-credentials")
}

/// Requests a refresh, and returns once the provider has received it and is delaying its answer.
#[expect(clippy::disallowed_methods, reason = "the test calls Larder from outside")]
async fn ask(larder: &Program, id: &str, provider: &MockProvider) -> JoinHandle<reqwest::Result<reqwest::Response>> {
    let request = reqwest::Client::new().post(larder.uri(&refresh_uri(id))).bearer_auth(&larder.admin);
    let request_task = tokio::spawn(request.send());
    assert!(eventually(async || provider.refreshes().len() == 1).await);
    request_task
}

async fn credentials(larder: &Program, id: &str) -> Value {
    let answer = larder.get(&format!("/credentials?connectionId={id}"), &larder.admin).await;
    answer.expect(StatusCode::OK).json()["credentials"].clone()
}

#[tokio::test]
async fn a_refresh_is_saved_even_if_its_caller_hangs_up() {
    let (data, provider) = (tempfile::tempdir().expect("a folder"), MockProvider::start().await);
    let (larder, id) = connected(data.path(), &provider).await;
    provider.set_delay(Duration::from_secs(1));
    ask(&larder, &id, &provider).await.abort();
    assert!(eventually(async || credentials(&larder, &id).await["refresh_token"] == "refresh-2").await);
}

/// Kills the program while the provider answers a refresh. Returns the program that runs after it, once the first one's
/// lease has expired.
async fn interrupted(data: &Path, provider: &MockProvider) -> (Program, String) {
    let (larder, id) = connected(data, provider).await;
    provider.set_delay(Duration::from_secs(60));
    let request_task = ask(&larder, &id, provider).await;
    larder.kill().await;
    request_task.await.expect("the request task ends").expect_err("no answer after the kill");
    provider.set_delay(Duration::ZERO);

    let larder = start(data).await;
    let connection = larder.get(&format!("/connections/{id}"), &larder.admin).await.expect(StatusCode::OK).json();
    assert_eq!((&connection["state"], &connection["error"]), (&json!("READY"), &Value::Null));
    assert_eq!(credentials(&larder, &id).await["refresh_token"], "refresh-1");
    expire_lease(data, &id).await;
    (larder, id)
}

#[tokio::test]
async fn after_a_kill_before_saving_lenient_providers_reissue_tokens() {
    let (data, provider) = (tempfile::tempdir().expect("a folder"), MockProvider::start().await);
    let (larder, id) = interrupted(data.path(), &provider).await;
    let answer = larder.send(Method::POST, &refresh_uri(&id), &larder.admin, "").await;
    let connection = answer.expect(StatusCode::OK).json();
    assert_eq!((&connection["state"], &connection["error"]), (&json!("READY"), &Value::Null));
    let sent: Vec<_> = provider.refreshes().iter().map(|it| it.get("refresh_token").map(ToOwned::to_owned)).collect();
    assert_eq!(sent, [Some("refresh-1".to_owned()), Some("refresh-1".to_owned())]);
    assert_eq!(credentials(&larder, &id).await["refresh_token"], "refresh-3");
}

#[tokio::test]
async fn after_a_kill_before_saving_a_strict_error_is_explained() {
    let (data, provider) = (tempfile::tempdir().expect("a folder"), MockProvider::start().await);
    let (larder, id) = interrupted(data.path(), &provider).await;
    provider.script(400, &json!({"error": "invalid_grant", "error_description": "the token was used before"}));
    let answer = larder.send(Method::POST, &refresh_uri(&id), &larder.admin, "").await;
    let shown = answer.expect(StatusCode::BAD_REQUEST).json();
    let connection = larder.get(&format!("/connections/{id}"), &larder.admin).await.expect(StatusCode::OK).json();
    assert_eq!(connection["state"], "CLIENT_ACTION_REQUIRED");
    let message = "an earlier refresh was interrupted and may have used up the refresh token, which the provider no \
                   longer accepts; the end user must reconnect (the provider permanently rejected the grant: \
                   invalid_grant (the token was used before))";
    assert_eq!(connection["error"], json!({"key": "access_token_expired", "message": message}));
    assert!(shown["message"].as_str().is_some_and(|shown| shown.contains(message)), "{shown}");
}

/// Ends the lease and the minimum interval between attempts.
async fn expire_lease(data: &Path, id: &str) {
    let database = DataDir::open(data).expect("a folder").database();
    let database = EmbeddedDynamoDb::open(&database).expect("a database");
    let update = Client::new(&database.sdk_config()).update_item().table_name(Tables::default().connections);
    let update = update.key("id", AttributeValue::S(format!("{WORKSPACE}#{id}")));
    let update = update.condition_expression("attribute_exists(lease_token)");
    let update = update.update_expression("SET lease_until = :past REMOVE last_attempt_at");
    let past = AttributeValue::N("1".into());
    update.expression_attribute_values(":past", past).send().await.expect("there is a lease");
}
