//! The examples in the connector format's documentation run unchanged. `tests/examples` has copies of them.

use http::StatusCode;
use larder_tests::scenario::Exchange;
use larder_tests::{Browser, Script, TempConnector, World, root};
use serde_json::{Value, json};

fn exchanges(exchanges: Value) -> Vec<Exchange> {
    serde_json::from_value(exchanges).expect("exchanges")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join("tests/examples").join(path)).expect("an example")
}

/// The documented OAuth2 connector, with another `spec.yml`.
fn documented(spec: &str) -> TempConnector {
    let names = [
        "get-credentials-from-access-token-response.js",
        "get-credentials-from-refresh-token-response.js",
        "get-oauth-config.map.yml",
        "get-token-data.js",
        "make-api-client.map.yml",
        "refresh-credentials.js",
        "test.js",
    ];
    let files = names.map(|name| (format!("auth/{name}"), read(&format!("documented/auth/{name}"))));
    let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    TempConnector::new(&files.chain([("spec.yml", spec)]).collect::<Vec<_>>())
}

fn id() -> String {
    connect::own_connection_id("local", "app", Some("alice"))
}

/// Connects alice through the documented connector. The code exchange, the lookup and the test match the documentation.
async fn connected(connector: &TempConnector, script: &Script) -> World {
    let world = World::rerouted(script.port, vec![connector.path().to_owned()]).await;
    let parameters =
        json!({"clientId": "id", "clientSecret": "secret", "tokenUri": "https://auth.example.com/oauth2/token"});
    world.integrate_app(json!({ "parameters": parameters })).await.expect(StatusCode::CREATED);
    let mut browser = Browser::default();
    let start = format!("/connect?integrationKey=app&token={}", world.alice);
    let authorize = url::Url::parse(&browser.get(&world, &start).await.location()).expect("a URL");
    let query = |name: &str| authorize.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!(authorize.as_str().split('?').next(), Some("https://auth.example.com/oauth2/authorize"));
    assert_eq!((query("scope").as_deref(), query("access_type").as_deref()), (Some("read write"), Some("offline")));
    script.expect(
        "connect",
        &exchanges(json!([
            {"request": {"method": "POST", "uri": "https://auth.example.com/oauth2/token", "form": {
                "grant_type": "authorization_code", "code": "c", "redirect_uri": "https://larder.example/oauth-callback",
                "client_id": "id", "client_secret": "secret", "code_verifier": "<any>", "resource": "https://api.example.com"}},
             "response": {"json": {"access_token": "a1", "refresh_token": "r1", "expires_in": 3600}}},
            {"request": {"method": "GET", "uri": "https://api.example.com/userinfo", "headers": {"authorization": "Bearer a1"}},
             "response": {"json": {"id": 7, "name": "Alice"}}},
            {"request": {"method": "GET", "uri": "https://api.example.com/user",
                         "headers": {"authorization": "Bearer a1", "accept": "application/json"}},
             "response": {"json": {}}},
        ])),
    );
    let back = format!("/oauth-callback?code=c&state={}", query("state").expect("a state"));
    browser.get(&world, &back).await.expect(StatusCode::OK);
    script.end();
    script.check("credentials", &json!({"userId": 7, "userName": "Alice"}), &world.credentials(&id()).await);
    world
}

/// Requests a refresh explicitly, because the examples use the machine's own time.
async fn refreshed(world: &World, script: &Script, requests: Value, expected: Value) {
    script.expect("refresh", &exchanges(requests));
    world.post(&format!("/connections/{}/refresh-credentials", id())).await.expect(StatusCode::OK);
    script.end();
    script.check("credentials", &expected, &world.credentials(&id()).await);
    assert_eq!(script.mismatches(), Vec::<String>::new());
}

#[tokio::test]
async fn the_documented_oauth2_connector_runs_unchanged() {
    let (script, connector) = (Script::start().await, documented(&read("documented/spec.yml")));
    let world = connected(&connector, &script).await;
    let request = json!([
        {"request": {"method": "POST", "uri": "https://auth.example.com/oauth2/token",
                     "headers": {"authorization": "Basic aWQ6c2VjcmV0"},
                     "form": {"grant_type": "refresh_token", "refresh_token": "r1", "scope": "read write"}},
         "response": {"json": {"access_token": "a2", "expires_in": 3600}}},
    ]);
    refreshed(&world, &script, request, json!({"access_token": "a2", "refresh_token": "r1", "userId": 7})).await;
}

#[tokio::test]
async fn the_default_refresh_uses_the_documented_function() {
    let spec = read("documented/spec.yml").replace("  refreshCredentials:\n    implementationType: javascript\n", "");
    let (script, connector) = (Script::start().await, documented(&spec));
    let world = connected(&connector, &script).await;
    let request = json!([
        {"request": {"method": "POST", "uri": "https://auth.example.com/oauth2/token",
                     "form": {"grant_type": "refresh_token", "refresh_token": "r1", "client_id": "id", "client_secret": "secret"}},
         "response": {"json": {"access_token": "a2", "expires_in": 3600}}},
    ]);
    refreshed(&world, &script, request, json!({"access_token": "a2", "refresh_token": "r1", "userId": 7})).await;
}

#[tokio::test]
async fn the_documented_axios_refresh_runs_unchanged() {
    let spec = "auth:\n  type: client-credentials\n  makeApiClient: {mapping: {baseUri: 'https://api.example.com'}}\n  \
                refreshCredentials:\n    implementationType: javascript\n";
    let refresh = read("documented-axios/auth/refresh-credentials.js");
    let connector = TempConnector::new(&[("spec.yml", spec), ("auth/refresh-credentials.js", refresh.as_str())]);
    let script = Script::start().await;
    let world = World::rerouted(script.port, vec![connector.path().to_owned()]).await;
    let parameters = json!({"clientId": "id", "clientSecret": "secret"});
    world.integrate_app(json!({ "parameters": parameters })).await.expect(StatusCode::CREATED);
    world.connect_app(json!({"input": {"accessToken": "old", "account": 7}})).await.expect(StatusCode::OK);
    let request = json!([
        {"request": {"method": "POST", "uri": "https://api.example.com/v1/generate-token",
                     "headers": {"authorization": "Basic aWQ6c2VjcmV0"}, "json": {}},
         "response": {"json": {"access_token": "new"}}},
    ]);
    refreshed(&world, &script, request, json!({"accessToken": "new", "account": 7})).await;
}
