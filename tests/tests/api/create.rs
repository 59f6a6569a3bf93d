//! Connections that are created, imported, changed and disconnected without a browser.

use http::{Method, StatusCode};
use larder::connection::ConnectionKey;
use larder_tests::{Answer, MockProvider, World};
use serde_json::{Value, json};

/// A connector of API keys: `POST /revoke` ends a connection.
const APP: &[(&str, &str)] = &[
    (
        "spec.yml",
        "name: App
parametersSchema:
  type: object
  properties: {apiUri: {type: string}}
  required: [apiUri]
auth:
  type: client-credentials
  inputSchema:
    type: object
    properties:
      apiKey: {type: string, format: password, isSensitive: true, pattern: '^key-'}
      region: {type: string, default: eu}
    required: [apiKey]
  makeApiClient: {implementationType: mapping}
  test: {implementationType: rest-api-mapping}
  disconnect: {implementationType: rest-api-mapping}
",
    ),
    (
        "auth/make-api-client.map.yml",
        "baseUri: {$var: connectorParameters.apiUri}\nheaders: {Authorization: {$concat: ['Key ', {$var: credentials.apiKey}]}}\n",
    ),
    ("auth/test.rest.yml", "path: /me\nmethod: GET\n"),
    ("auth/disconnect.rest.yml", "path: /revoke\nmethod: POST\n"),
];

/// A world with an integration `app` of API keys.
async fn key_world() -> (World, MockProvider) {
    let (world, provider) = (World::with_connector(APP).await, MockProvider::start().await);
    let parameters = json!({"parameters": {"apiUri": provider.uri("")}});
    world.integrate_app(parameters).await.expect(StatusCode::CREATED);
    (world, provider)
}

/// A world with an OAuth integration `crm`.
async fn oauth_world() -> (World, MockProvider) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    (world, provider)
}

async fn create(world: &World, token: &str, body: Value) -> Answer {
    world.send(Method::POST, "/connections", token, Some(&body)).await
}

async fn patch(world: &World, token: &str, id: &str, body: Value) -> Answer {
    world.send(Method::PATCH, &format!("/connections/{id}"), token, Some(&body)).await
}

async fn disconnect(world: &World, token: &str, id: &str) -> Answer {
    world.send(Method::POST, &format!("/connections/{id}/disconnect"), token, None).await
}

fn id_of(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn message(answer: &Answer) -> String {
    answer.json()["message"].as_str().unwrap().to_owned()
}

async fn count(world: &World) -> usize {
    world.get("/connections").await.expect(StatusCode::OK).json()["items"].as_array().unwrap().len()
}

/// The credentials and the view of a connection. Reading credentials changes when they were last used.
async fn shown(world: &World, id: &str) -> (Value, Value) {
    let credentials = world.credentials(id).await;
    (credentials, world.connection(id).await)
}

/// The contents of a connection, opened.
async fn contents(world: &World, id: &str) -> larder::connection::Contents {
    let environment = world.bundle.environment();
    let connection = environment.connections().get(&ConnectionKey::new("local", id)).await.unwrap().unwrap();
    environment.vault().unwrap().open(&connection).await.unwrap()
}

#[tokio::test]
async fn an_api_key_becomes_a_connection_at_once() {
    let (world, provider) = key_world().await;
    let body = json!({"integrationId": "app", "input": {"apiKey": " key-1\n"}, "name": "Ours", "key": "main",
                      "tags": {"team": "red"}, "meta": {"plan": 7}});
    let answer = create(&world, &world.alice, body).await.expect(StatusCode::OK).json();
    let expected = json!({"state": "READY", "name": "Ours", "key": "main", "tags": {"team": "red"},
                          "meta": {"plan": 7}, "tenantId": "alice", "integrationKey": "app", "connectorKey": "app"});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&answer[name], value, "{name}");
    }
    assert_eq!(provider.tests(), [Some("Key key-1".to_owned())]);
    assert_eq!(world.credentials(answer["id"].as_str().unwrap()).await, json!({"apiKey": "key-1", "region": "eu"}));
    // A connect link would reconnect this one.
    assert_eq!(answer["id"], connect::own_connection_id("local", "app", Some("alice")));
    let second = create(&world, &world.alice, json!({"integrationKey": "app", "input": {"apiKey": "key-2"}})).await;
    assert_ne!(id_of(&second.expect(StatusCode::OK)), answer["id"]);
    assert_eq!(count(&world).await, 2);
}

#[tokio::test]
async fn a_failed_test_creates_nothing() {
    let (world, provider) = key_world().await;
    provider.set_test_status(401);
    let body = json!({"integrationKey": "app", "input": {"apiKey": "key-1"}, "key": "main"});
    let answer = create(&world, &world.alice, body.clone()).await.expect(StatusCode::BAD_REQUEST);
    assert!(message(&answer).contains("401") && !answer.text().contains("key-1"), "{}", answer.text());
    assert_eq!(count(&world).await, 0);
    provider.set_test_status(200);
    create(&world, &world.alice, body).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn imported_tokens_are_tested_and_refreshed_in_time() {
    let (world, provider) = oauth_world().await;
    let tokens =
        json!({"access_token": "mine", "refresh_token": "my-refresh", "expires_in": 3600, "scope": "read other"});
    let body = json!({"integrationKey": "crm", "credentials": tokens});
    let answer = create(&world, &world.alice, body).await.expect(StatusCode::OK).json();
    assert_eq!(provider.tests(), [Some("Bearer mine".to_owned())]);
    assert_eq!(answer["scopes"], json!(["read", "other"]));
    assert_eq!(answer["nextCredentialsRefreshAt"], "2026-01-01T00:55:00Z");
    let id = answer["id"].as_str().unwrap();
    assert_eq!(world.credentials(id).await["access_token"], "mine");
    world.advance(3299);
    world.sweep().await;
    assert!(provider.refreshes().is_empty());
    world.advance(1);
    world.sweep().await;
    assert_eq!(provider.refreshes()[0].get("refresh_token"), Some("my-refresh"));
    assert_eq!(world.credentials(id).await["access_token"], "access-1");
}

#[tokio::test]
async fn a_provider_that_limits_requests_is_named() {
    let (world, provider) = oauth_world().await;
    provider.set_test_status(429);
    let body = json!({"integrationKey": "crm", "credentials": {"access_token": "theirs"}});
    let error = create(&world, &world.alice, body).await.expect(StatusCode::SERVICE_UNAVAILABLE).json();
    assert_eq!(error["key"], "rate_limit_exceeded", "{error}");
}

#[tokio::test]
async fn tokens_that_fail_the_test_are_not_imported() {
    let (world, provider) = oauth_world().await;
    provider.set_test_status(403);
    let body = json!({"integrationKey": "crm", "credentials": {"access_token": "theirs"}});
    create(&world, &world.alice, body).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(count(&world).await, 0);
}

#[tokio::test]
async fn an_admin_imports_expired_tokens_untested() {
    let (world, provider) = oauth_world().await;
    provider.set_test_status(401);
    let tokens = json!({"access_token": "old", "refresh_token": "r", "expires_at": World::START - 60});
    let body = json!({"integrationKey": "crm", "credentials": tokens, "test": false, "tenantKey": "bob"});
    let id = id_of(&create(&world, &world.admin, body).await.expect(StatusCode::OK));
    assert!(provider.tests().is_empty());
    world.advance(60);
    world.sweep().await;
    let credentials = world.credentials(&id).await;
    assert_eq!((&credentials["access_token"], &credentials["expires_in"]), (&json!("access-1"), &json!(3600)));
    assert!(credentials.get("expires_at").is_none(), "the old token's expiry: {credentials}");
    let bob = world.token("bob").await;
    world.send(Method::GET, &format!("/connections/{id}"), &bob, None).await.expect(StatusCode::OK);
    world.send(Method::GET, &format!("/connections/{id}"), &world.alice, None).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn of_two_creations_of_one_key_one_wins() {
    for _ in 0..5 {
        let (world, _provider) = key_world().await;
        let body = json!({"integrationKey": "app", "input": {"apiKey": "key-1"}, "key": "main"});
        let (one, other) = tokio::join!(create(&world, &world.alice, body.clone()), create(&world, &world.alice, body));
        let (winner, loser) = if one.0.status() == StatusCode::OK { (one, other) } else { (other, one) };
        let loser = loser.expect(StatusCode::CONFLICT);
        assert_eq!(loser.json()["key"], "already_exists");
        let items = world.get("/connections").await.json()["items"].clone();
        assert_eq!(items.as_array().unwrap().len(), 1);
        assert_eq!(items[0]["id"], winner.expect(StatusCode::OK).json()["id"]);
    }
}

#[tokio::test]
async fn a_taken_key_is_rejected_before_the_provider_is_called() {
    let (world, provider) = key_world().await;
    let body = json!({"integrationKey": "app", "input": {"apiKey": "key-1"}, "key": "main"});
    create(&world, &world.alice, body.clone()).await.expect(StatusCode::OK);
    create(&world, &world.alice, body.clone()).await.expect(StatusCode::CONFLICT);
    assert_eq!(provider.tests().len(), 1);
    // Keys are unique per tenant.
    create(&world, &world.token("bob").await, body).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn only_admins_create_for_others_or_skip_the_test() {
    let (world, provider) = key_world().await;
    for (name, value) in
        [("tenantKey", json!("bob")), ("test", json!(false)), ("connectorParameters", json!({"apiUri": "http://x"}))]
    {
        let mut body = json!({"integrationKey": "app", "input": {"apiKey": "key-1"}});
        body[name] = value;
        create(&world, &world.alice, body).await.expect(StatusCode::FORBIDDEN);
    }
    assert_eq!((count(&world).await, provider.tests().len()), (0, 0));
    let own = json!({"integrationKey": "app", "input": {"apiKey": "key-1"}, "tenantKey": "alice"});
    create(&world, &world.alice, own).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_body_is_rejected_by_name() {
    let (world, _provider) = key_world().await;
    let too_many: Vec<u8> = vec![0; 10_001];
    for (changes, status, name) in [
        (json!({"integrationKey": null}), 400, "`integrationKey`"),
        (json!({"integrationId": "other"}), 400, "`integrationId`"),
        (json!({"integrationKey": "none"}), 404, "none"),
        (json!({"input": {"apiKey": "wrong"}}), 400, "apiKey"),
        (json!({"input": {}}), 400, "apiKey"),
        (json!({"authOptionKey": "none"}), 400, "`authOptionKey`"),
        (json!({"credentials": "a token"}), 400, "`credentials`"),
        (json!({"credentials": null}), 400, "`credentials`"),
        (json!({"credentials": {"a": too_many}}), 413, "`credentials`"),
        (json!({"key": ""}), 400, "`key`"),
        (json!({"tags": {"": "x"}}), 400, "`tags`"),
        (json!({"unknown": 1}), 400, "unknown"),
    ] {
        let mut body = json!({"integrationKey": "app", "input": {"apiKey": "key-1"}});
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        let answer = create(&world, &world.alice, body).await;
        assert_eq!(answer.0.status().as_u16(), status, "{changes}: {}", answer.text());
        assert!(message(&answer).contains(name), "{changes}: {}", answer.text());
    }
    assert_eq!(count(&world).await, 0);
}

#[tokio::test]
async fn a_connector_that_needs_approval_wants_tokens() {
    let (world, _provider) = oauth_world().await;
    let answer = create(&world, &world.alice, json!({"integrationKey": "crm"})).await.expect(StatusCode::BAD_REQUEST);
    assert!(message(&answer).contains("/connect") && message(&answer).contains("`credentials`"), "{}", answer.text());
}

/// A world whose requests all go to a provider, with an integration of the bundled Stripe connector.
async fn stripe_world() -> (World, MockProvider) {
    let provider = MockProvider::start().await;
    let port = url::Url::parse(&provider.uri("")).unwrap().port().unwrap();
    let world = World::rerouted(port, Vec::new()).await;
    let body = json!({"connectorKey": "stripe", "parameters": {"clientId": "ca_1", "clientSecret": "sk_platform"}});
    world.send(Method::PUT, "/integrations/it", &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    (world, provider)
}

#[tokio::test]
async fn imported_identifiers_never_aim_the_platforms_secret() {
    for (is_admin, expected) in [(false, "client_id=ca_1"), (true, "client_id=ca_1&stripe_user_id=acct_other")] {
        let (world, provider) = stripe_world().await;
        provider.script_api("GET /v1/account", 200, &json!({"id": "acct_mine"}));
        let tokens = json!({"access_token": "sk_mine", "stripe_user_id": "acct_other"});
        let token = if is_admin { &world.admin } else { &world.alice };
        let body = json!({"integrationKey": "it", "credentials": tokens});
        let id = id_of(&create(&world, token, body).await.expect(StatusCode::OK));
        assert_eq!(world.credentials(&id).await["stripe_user_id"], "acct_other", "the imported ones are served");
        disconnect(&world, token, &id).await.expect(StatusCode::NO_CONTENT);
        let calls = provider.api_calls();
        let revocations: Vec<_> = calls.iter().filter(|it| it.what.starts_with("POST /oauth/deauthorize")).collect();
        assert_eq!(revocations.iter().map(|it| it.body.as_str()).collect::<Vec<_>>(), [expected]);
    }
}

#[tokio::test]
async fn new_input_is_tested_before_it_replaces_anything() {
    let (world, provider) = key_world().await;
    let body = json!({"integrationKey": "app", "input": {"apiKey": "key-1", "region": "us"}, "name": "Old"});
    let id = id_of(&create(&world, &world.alice, body).await.expect(StatusCode::OK));
    let change = json!({"input": {"apiKey": "key-2"}, "name": "New", "key": "main"});
    let before = shown(&world, &id).await;
    provider.set_test_status(401);
    patch(&world, &world.alice, &id, change.clone()).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(shown(&world, &id).await, before);
    provider.set_test_status(200);
    world.advance(1);
    for method in [Method::PATCH, Method::PUT] {
        let answer = world.send(method, &format!("/connections/{id}"), &world.alice, Some(&change)).await;
        let view = answer.expect(StatusCode::OK).json();
        assert_eq!((&view["id"], &view["name"], &view["key"]), (&json!(id), &json!("New"), &json!("main")));
        assert!(!view.to_string().contains("key-2"), "{view}");
    }
    assert_eq!(world.credentials(&id).await, json!({"apiKey": "key-2", "region": "eu"}));
    assert_eq!(provider.tests().last().unwrap().as_deref(), Some("Key key-2"));
    assert_eq!(count(&world).await, 1);
}

#[tokio::test]
async fn a_taken_key_leaves_the_secrets_alone() {
    let (world, provider) = key_world().await;
    let body = json!({"integrationKey": "app", "input": {"apiKey": "key-1"}, "key": "main"});
    create(&world, &world.alice, body).await.expect(StatusCode::OK);
    let id = id_of(&create(&world, &world.alice, json!({"integrationKey": "app", "input": {"apiKey": "key-2"}})).await);
    let change = json!({"input": {"apiKey": "key-3"}, "key": "main"});
    let answer = patch(&world, &world.alice, &id, change).await.expect(StatusCode::CONFLICT);
    assert_eq!(answer.json()["key"], "already_exists");
    assert_eq!(world.credentials(&id).await["apiKey"], "key-2");
    assert_eq!(provider.tests().len(), 2);
}

#[tokio::test]
async fn patched_credentials_win_over_a_refresh_in_progress() {
    let (world, provider) = oauth_world().await;
    let id = world.connect(&provider).await;
    world.advance(3300);
    let gate = provider.hold();
    let change = json!({"credentials": {"access_token": "mine", "refresh_token": "my-refresh", "expires_in": 60}});
    let changing = async {
        provider.until_refresh_requested().await;
        let answer = patch(&world, &world.alice, &id, change).await;
        gate.add_permits(1);
        answer
    };
    let ((), answer) = tokio::join!(world.sweep(), changing);
    answer.expect(StatusCode::OK);
    assert_eq!(world.credentials(&id).await["access_token"], "mine");
    assert_eq!(provider.tests().last().unwrap().as_deref(), Some("Bearer mine"));
}

#[tokio::test]
async fn credentials_that_fail_the_test_replace_nothing() {
    let (world, provider) = oauth_world().await;
    let id = world.connect(&provider).await;
    let before = shown(&world, &id).await;
    provider.set_test_status(401);
    let change = json!({"credentials": {"access_token": "theirs"}, "name": "New"});
    patch(&world, &world.alice, &id, change).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(shown(&world, &id).await, before);
}

#[tokio::test]
async fn new_parameters_keep_the_tokens_of_an_approved_connection() {
    let (world, provider) = oauth_world().await;
    let id = world.connect(&provider).await;
    let before = world.connection(&id).await;
    let change = json!({"connectorParameters": {"testUri": provider.uri("/other")}});
    patch(&world, &world.alice, &id, change.clone()).await.expect(StatusCode::FORBIDDEN);
    patch(&world, &world.admin, &id, change.clone()).await.expect(StatusCode::BAD_REQUEST);
    assert!(contents(&world, &id).await.connector_parameters.is_empty());
    provider.script_api("GET /other", 200, &json!({}));
    let view = patch(&world, &world.admin, &id, change).await.expect(StatusCode::OK).json();
    assert_eq!((&view["expiresAt"], &view["scopes"]), (&before["expiresAt"], &before["scopes"]));
    // A tenant cannot remove them either.
    provider.script_api("GET /other", 200, &json!({}));
    patch(&world, &world.alice, &id, json!({ "connectorParameters": {} })).await.expect(StatusCode::OK);
    assert_eq!(contents(&world, &id).await.connector_parameters["testUri"], provider.uri("/other"));
    assert_eq!(world.credentials(&id).await["access_token"], "access-1");
    world.advance(3300);
    world.sweep().await;
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test]
async fn new_parameters_never_lose_the_tokens_of_a_refresh() {
    let (world, provider) = oauth_world().await;
    let id = world.connect(&provider).await;
    world.advance(3300);
    let gate = provider.hold();
    provider.script_api("GET /other", 200, &json!({}));
    let change = json!({"connectorParameters": {"testUri": provider.uri("/other")}});
    let changing = async {
        provider.until_refresh_requested().await;
        let releasing = async {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            gate.add_permits(1);
        };
        tokio::join!(patch(&world, &world.admin, &id, change.clone()), releasing).0
    };
    let ((), answer) = tokio::join!(world.sweep(), changing);
    answer.expect(StatusCode::OK);
    let contents = contents(&world, &id).await;
    assert_eq!(contents.credentials.unwrap().to_value()["refresh_token"], "refresh-2");
    assert_eq!(contents.connector_parameters["testUri"], provider.uri("/other"));
}

#[tokio::test]
async fn credentials_that_cannot_be_read_are_rejected() {
    let (world, provider) = oauth_world().await;
    let id = world.connect(&provider).await;
    let deep = format!("{}{}", r#"{"a":"#.repeat(200), "}".repeat(200)).replace(":}", ":1}");
    for credentials in [r#"{"access_token":"NEW","k":"\ud800"}"#, r#"{"access_token":1e999}"#, deep.as_str()] {
        for (method, uri) in [(Method::PATCH, format!("/connections/{id}")), (Method::POST, "/connections".to_owned())]
        {
            let integration = if method == Method::POST { r#""integrationKey":"crm","# } else { "" };
            let body = format!(r#"{{{integration}"credentials":{credentials}}}"#);
            let request = http::Request::builder().method(&method).uri(&uri);
            let request = request.header("authorization", format!("Bearer {}", world.alice)).body(body.into()).unwrap();
            let answer = world.handle(request).await.expect(StatusCode::BAD_REQUEST);
            assert!(answer.text().contains("credentials"), "{method} {credentials}: {}", answer.text());
        }
    }
    assert_eq!(world.credentials(&id).await["access_token"], "access-1");
}

#[tokio::test]
async fn secrets_too_large_to_store_change_nothing_else() {
    let (world, provider) = oauth_world().await;
    let id = world.connect(&provider).await;
    let before = shown(&world, &id).await;
    let credentials = json!({"access_token": "a".repeat(400_000)});
    let change = json!({"credentials": credentials, "name": "New", "key": "new", "isDeactivated": true});
    patch(&world, &world.alice, &id, change).await.expect(StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(shown(&world, &id).await, before);
}

#[tokio::test]
async fn an_option_that_needs_approval_takes_no_other_secrets() {
    let spec = "name: App
auth:
  makeApiClient: {mapping: {baseUri: https://a.example}}
  options:
    key: {type: client-credentials, title: With a key}
    login:
      type: oauth2
      getOAuthConfig:
        mapping: {clientId: c, clientSecret: s, authorizeUri: 'https://a.example', tokenUri: 'https://a.example'}
";
    let world = World::with_connector(&[("spec.yml", spec)]).await;
    world.integrate_app(json!({})).await.expect(StatusCode::CREATED);
    let body = json!({"integrationKey": "app", "authOptionKey": "key", "input": {"apiKey": "k"}});
    let id = id_of(&create(&world, &world.alice, body).await.expect(StatusCode::OK));
    let answer = patch(&world, &world.alice, &id, json!({ "authOptionKey": "login" })).await;
    let answer = answer.expect(StatusCode::BAD_REQUEST);
    assert!(message(&answer).contains("needs its user's approval"), "{}", answer.text());
    assert_eq!(world.connection(&id).await["authOptionKey"], "key");
}

#[tokio::test]
async fn secrets_need_an_integration() {
    let world = World::new().await;
    let body = json!({"credentials": {"a": 1}});
    let uri = "/credentials?connectionId=own";
    world.send(Method::PUT, uri, &world.alice, Some(&body)).await.expect(StatusCode::CREATED);
    let answer = patch(&world, &world.alice, "own", json!({"credentials": {"a": 2}})).await;
    assert!(message(&answer.expect(StatusCode::BAD_REQUEST)).contains("PUT /credentials"));
    let answer = disconnect(&world, &world.alice, "own").await.expect(StatusCode::BAD_REQUEST);
    assert!(message(&answer).contains("DELETE /credentials"));
    assert_eq!(world.credentials("own").await, json!({"a": 1}));
}

#[tokio::test]
async fn disconnecting_erases_secrets_and_keeps_the_connection() {
    let (world, provider) = key_world().await;
    let body = json!({"integrationKey": "app", "input": {"apiKey": "key-1", "region": "us"}, "key": "main"});
    let id = id_of(&create(&world, &world.alice, body).await.expect(StatusCode::OK));
    let flow = format!("/connections/{id}/flows/7");
    world.send(Method::PUT, &flow, &world.alice, Some(&json!({}))).await.expect(StatusCode::NO_CONTENT);
    provider.script_api("POST /revoke", 200, &json!({}));
    disconnect(&world, &world.alice, "main").await.expect(StatusCode::NO_CONTENT);
    let revocation = provider.api_calls().pop().unwrap();
    assert_eq!((revocation.what.as_str(), revocation.header("authorization")), ("POST /revoke", Some("Key key-1")));
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["key"]), (&json!("CLIENT_ACTION_REQUIRED"), &json!("main")));
    assert_eq!(view["clientAction"]["type"], "connect");
    let contents = contents(&world, &id).await;
    assert!(contents.credentials.is_none());
    assert_eq!(json!(contents.input), json!({"region": "us"}));
    world.get(&format!("/credentials?connectionId={id}")).await.expect(StatusCode::NOT_FOUND);
    // A second time, there is nothing to revoke.
    disconnect(&world, &world.alice, &id).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(provider.api_calls().iter().filter(|call| call.what == "POST /revoke").count(), 1);
    // New secrets bring it back.
    let view = patch(&world, &world.alice, &id, json!({"input": {"apiKey": "key-2"}})).await.expect(StatusCode::OK);
    assert_eq!(view.json()["state"], "READY");
}

#[tokio::test]
async fn disconnecting_succeeds_even_if_the_provider_fails() {
    let (world, _provider) = key_world().await;
    let body = json!({"integrationKey": "app", "input": {"apiKey": "key-1"}});
    let id = id_of(&create(&world, &world.alice, body).await.expect(StatusCode::OK));
    world.advance(1);
    disconnect(&world, &world.alice, &id).await.expect(StatusCode::NO_CONTENT);
    assert!(contents(&world, &id).await.credentials.is_none());
    let uri = format!("/connections/{id}/attempts");
    let attempts = world.get(&uri).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&attempts["items"][0]["type"], &attempts["items"][0]["outcome"]),
        (&json!("disconnect"), &json!("failure"))
    );
}

#[tokio::test]
async fn a_connection_can_be_sent_back_with_changes() {
    let (world, provider) = oauth_world().await;
    let id = world.connect(&provider).await;
    world.credentials(&id).await;
    let (tests, mut sent) = (provider.tests().len(), world.connection(&id).await);
    sent["name"] = "New".into();
    sent["authOptionKey"] = "".into();
    let answer = world.send(Method::PUT, &format!("/connections/{id}"), &world.alice, Some(&sent)).await;
    assert_eq!(answer.expect(StatusCode::OK).json()["name"], "New");
    assert_eq!(provider.tests().len(), tests, "unchanged credentials are not tested");
    sent["stat"] = "READY".into();
    let refusal = patch(&world, &world.alice, &id, sent).await.expect(StatusCode::BAD_REQUEST);
    assert!(message(&refusal).contains("unknown field `stat`"), "{}", refusal.text());
}
