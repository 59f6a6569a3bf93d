//! The history of a connection, and whose account it is.

use http::{Method, StatusCode};
use larder_tests::{MockProvider, World};
use serde_json::{Value, json};

async fn world() -> (World, MockProvider) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    (world, provider)
}

async fn attempts(world: &World, id: &str) -> Vec<Value> {
    let uri = format!("/connections/{id}/attempts");
    let answer = world.send(Method::GET, &uri, &world.alice, None).await.expect(StatusCode::OK);
    answer.json()["items"].as_array().unwrap().clone()
}

fn summary(attempts: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    attempts.iter().map(|it| format!("{} {}", text(&it["type"]), text(&it["outcome"]))).collect()
}

async fn post(world: &World, id: &str, action: &str) {
    world.send(Method::POST, &format!("/connections/{id}/{action}"), &world.alice, None).await;
}

#[tokio::test]
async fn the_history_has_what_people_did_and_what_failed() {
    let (world, provider) = world().await;
    let id = world.connect(&provider).await;
    world.advance(1);
    post(&world, &id, "test").await;
    world.advance(1);
    provider.set_test_status(500);
    post(&world, &id, "test").await;
    provider.set_test_status(200);
    world.advance(60);
    post(&world, &id, "refresh-credentials").await;
    // Scheduled refreshes that succeed again and again are no news.
    for _ in 0..3 {
        world.advance(3300);
        world.sweep().await;
    }
    assert_eq!(provider.refreshes().len(), 4);
    world.advance(3300);
    provider.script(503, &json!({"error": "temporarily_unavailable", "error_description": "closed for lunch"}));
    world.sweep().await;
    world.advance(3600);
    world.sweep().await;
    world.advance(3300);
    world.sweep().await;
    let listed = attempts(&world, &id).await;
    let expected =
        ["refresh success", "refresh failure", "refresh success", "test failure", "test success", "connect success"];
    assert_eq!(summary(&listed), expected);
    let failed = &listed[1];
    assert!(failed["error"]["message"].as_str().unwrap().contains("closed for lunch"), "{failed}");
    assert_eq!(listed[5]["at"], "2026-01-01T00:00:00.000Z");
    assert!(listed[5]["durationMs"].is_u64() && listed[5].get("error").is_none(), "{}", listed[5]);
    let all = json!(listed).to_string();
    assert!(!all.contains("access-") && !all.contains("refresh-1"), "{all}");
}

#[tokio::test]
async fn a_failed_reconnect_is_in_the_history() {
    let (world, provider) = world().await;
    let id = world.connect(&provider).await;
    world.advance(1);
    provider.script(400, &json!({"error": "invalid_grant", "error_description": "the code is too old"}));
    let mut browser = larder_tests::Browser::default();
    let start = format!("/connect?integrationKey=crm&token={}", world.alice);
    let authorize = browser.get(&world, &start).await.location();
    browser.get(&world, &provider.approve(&authorize)).await.expect(StatusCode::BAD_REQUEST);
    let listed = attempts(&world, &id).await;
    assert_eq!(summary(&listed), ["connect failure", "connect success"]);
    assert!(listed[0]["error"]["message"].as_str().unwrap().contains("the code is too old"), "{}", listed[0]);
}

#[tokio::test]
async fn replaced_secrets_are_in_the_history() {
    let (world, provider) = world().await;
    let id = world.connect(&provider).await;
    let uri = format!("/credentials?connectionId={id}");
    for (status, expected) in [(200, StatusCode::CREATED), (401, StatusCode::BAD_REQUEST)] {
        world.advance(1);
        provider.set_test_status(status);
        let body = json!({"credentials": {"access_token": "put"}});
        world.send(Method::PUT, &uri, &world.alice, Some(&body)).await.expect(expected);
        world.advance(1);
        let uri = format!("/connections/{id}");
        world.send(Method::PATCH, &uri, &world.alice, Some(&body)).await;
    }
    let expected = ["replace failure", "replace failure", "replace success", "replace success", "connect success"];
    assert_eq!(summary(&attempts(&world, &id).await), expected);
}

#[tokio::test]
async fn fifty_attempts_are_listed_newest_first() {
    let (world, provider) = world().await;
    let id = world.connect(&provider).await;
    for _ in 0..55 {
        world.advance(1);
        post(&world, &id, "test").await;
    }
    let listed = attempts(&world, &id).await;
    assert_eq!(listed.len(), 50);
    assert_eq!(
        (listed[0]["at"].as_str(), listed[49]["at"].as_str()),
        (Some("2026-01-01T00:00:55.000Z"), Some("2026-01-01T00:00:06.000Z"))
    );
}

#[tokio::test]
async fn a_new_connection_with_an_old_id_has_no_old_history() {
    let (world, provider) = world().await;
    let id = world.connect(&provider).await;
    post(&world, &id, "test").await;
    world.advance(1);
    let uri = format!("/connections/{id}?permanent=true");
    world.send(Method::DELETE, &uri, &world.alice, None).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(world.connect(&provider).await, id);
    assert_eq!(summary(&attempts(&world, &id).await), ["connect success"]);
}

#[tokio::test]
async fn work_goes_on_without_the_table_of_attempts() {
    let (world, provider) = world().await;
    let table = world.bundle.environment().settings.tables.attempts.clone();
    world.dynamodb().delete_table().table_name(table).send().await.unwrap();
    let id = world.connect(&provider).await;
    world.advance(60);
    for action in ["test", "refresh-credentials"] {
        let uri = format!("/connections/{id}/{action}");
        world.send(Method::POST, &uri, &world.alice, None).await.expect(StatusCode::OK);
    }
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test]
async fn reading_credentials_records_nothing() {
    let (world, provider) = world().await;
    let id = world.connect(&provider).await;
    world.requests.take();
    world.credentials(&id).await;
    let written: Vec<_> = world.requests.take().into_iter().filter(|it| it == "PutItem").collect();
    assert!(written.is_empty(), "{written:?}");
    world.advance(3600);
    world.credentials(&id).await;
    assert_eq!(summary(&attempts(&world, &id).await), ["connect success"]);
}

/// A token response whose `id_token` has these claims.
fn tokens_of(claims: &Value) -> Value {
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims.to_string());
    json!({"access_token": "a", "refresh_token": "r", "expires_in": 3600, "id_token": format!("e30.{payload}.x")})
}

#[tokio::test]
async fn an_id_token_from_the_provider_names_the_account() {
    let (world, provider) = world().await;
    provider.script(200, &tokens_of(&json!({"sub": "7", "email": "alice@example.com"})));
    let id = world.connect(&provider).await;
    let expected = json!({"id": "7", "label": "alice@example.com"});
    assert_eq!(world.connection(&id).await["account"], expected);
    world.advance(3300);
    world.sweep().await;
    assert_eq!(world.connection(&id).await["account"], expected, "a refresh keeps it");
    // One from a caller may name anyone.
    let body = json!({ "credentials": tokens_of(&json!({"sub": "8"})) });
    let uri = format!("/connections/{id}");
    world.send(Method::PATCH, &uri, &world.alice, Some(&body)).await.expect(StatusCode::OK);
    assert!(world.connection(&id).await.get("account").is_none());
}

#[tokio::test]
async fn scopes_are_the_granted_ones_or_else_the_requested() {
    let (world, provider) = world().await;
    let id = world.connect(&provider).await;
    assert_eq!(world.connection(&id).await["scopes"], json!(["read", "write"]));
    let refresh = async |scope: Option<&str>| {
        let mut tokens = json!({"access_token": "a", "refresh_token": "r", "expires_in": 3600});
        if let Some(scope) = scope {
            tokens["scope"] = scope.into();
        }
        provider.script(200, &tokens);
        world.advance(3300);
        world.sweep().await;
        world.connection(&id).await["scopes"].clone()
    };
    assert_eq!(refresh(None).await, json!(["read", "write"]));
    assert_eq!(refresh(Some("read")).await, json!(["read"]));
    assert_eq!(refresh(None).await, json!(["read"]));
}

/// A connector whose `getAccount` calls `/account`.
const APP: &[(&str, &str)] = &[
    (
        "spec.yml",
        "name: App
parametersSchema: {type: object, properties: {apiUri: {type: string}}}
auth:
  type: client-credentials
  makeApiClient: {implementationType: mapping}
  test: {implementationType: rest-api-mapping}
  getAccount: {implementationType: rest-api-mapping}
",
    ),
    ("auth/make-api-client.map.yml", "baseUri: {$var: connectorParameters.apiUri}\n"),
    ("auth/test.rest.yml", "path: /me\nmethod: GET\n"),
    (
        "auth/get-account.rest.yml",
        "path: /account\nmethod: GET\nresponseMapping: {id: {$var: response.data.id}, label: {$var: response.data.mail}}\n",
    ),
];

#[tokio::test]
async fn an_account_that_cannot_be_read_prevents_nothing() {
    let (world, provider) = (World::with_connector(APP).await, MockProvider::start().await);
    world.integrate_app(json!({"parameters": {"apiUri": provider.uri("")}})).await.expect(StatusCode::CREATED);
    let body = json!({"integrationKey": "app"});
    for (answer, expected) in [
        (Some((200, json!({"id": 7, "mail": "a@example.com"}))), json!({"id": "7", "label": "a@example.com"})),
        (Some((500, json!({}))), Value::Null),
        (Some((200, json!({"mail": "a@example.com"}))), Value::Null),
        (None, Value::Null),
    ] {
        if let Some((status, body)) = answer {
            provider.script_api("GET /account", status, &body);
        }
        let created = world.send(Method::POST, "/connections", &world.alice, Some(&body)).await;
        assert_eq!(created.expect(StatusCode::OK).json()["account"], expected);
    }
}
