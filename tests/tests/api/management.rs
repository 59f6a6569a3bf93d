//! The routes that manage connections and integrations. `callers.rs` tests who may call them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use larder::caller::Claims;
use larder::connection::ConnectionKey;
use larder::credentials::Credentials;
use larder::error::Error;
use larder::http::Handler as _;
use larder::refresh::{ReplaceCredentials, ReplaceEvent, Replaced};
use larder_tests::{Answer, MockProvider, World, root};
use put_credentials::PutCredentials;
use refresh::{Event, Refresh};
use serde_json::{Value, json};

/// The connection that alice created with `PUT /credentials`.
const ALICES_CONNECTION: &str = "c-alice";

async fn put(world: &World, token: &str, id: &str) {
    let (uri, body) = (format!("/credentials?connectionId={id}"), json!({"credentials": {"of": token, "id": id}}));
    world.send(Method::PUT, &uri, token, Some(&body)).await.expect(StatusCode::CREATED);
}

fn admin() -> Claims {
    Claims { is_admin: true, ..Claims::default() }
}

fn ids(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["id"].as_str().or(item["key"].as_str()).unwrap().to_owned()).collect()
}

/// A world with an integration, a connection that alice made through it, and one that she created with `PUT /credentials`.
async fn fixture() -> (World, MockProvider, String) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let connected = world.connect(&provider).await;
    put(&world, &world.alice, ALICES_CONNECTION).await;
    (world, provider, connected)
}

#[tokio::test]
async fn paging_lists_every_connection_once_oldest_first() {
    let world = World::new().await;
    let bob = world.token("bob").await;
    for number in 0..12 {
        put(&world, &world.alice, &format!("a{number:02}")).await;
        put(&world, &bob, &format!("b{number:02}")).await;
        world.advance(1);
    }
    for (token, limit, expected) in
        [(&world.admin, 5, 24), (&world.admin, 24, 24), (&world.alice, 5, 12), (&bob, 12, 12)]
    {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = world.send(Method::GET, &format!("/connections?limit={limit}{cursor}"), token, None).await;
            let page = ids(&answer.expect(StatusCode::OK));
            let answer = world.send(Method::GET, &format!("/connections?limit={limit}{cursor}"), token, None).await;
            assert!(page.len() <= limit);
            seen.extend(page);
            match answer.json()["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
            assert!(seen.len() <= expected, "the pages never end");
        }
        assert_eq!(seen.len(), expected);
        let mut once = seen.clone();
        once.dedup();
        assert_eq!(once, seen);
        // Oldest first: b00 comes after a00 and before a01.
        assert!(seen.is_sorted_by_key(|id| id[1..].to_owned()), "{seen:?}");
    }
    assert_eq!(ids(&world.get("/connections").await).len(), 24);
}

#[tokio::test]
async fn a_cursor_reveals_no_other_list_and_works_only_for_its_own() {
    let world = World::new().await;
    for number in 0..4 {
        put(&world, &world.admin, &format!("ours{number}")).await;
    }
    let cursor = world.get("/connections?limit=2").await.json()["cursor"].as_str().unwrap().to_owned();
    world.advance(1);
    let other = world.sign("other", admin()).await;
    put(&world, &other, "theirs").await;
    put(&world, &world.alice, "alices").await;
    let list = async |cursor: &str, token| {
        world.send(Method::GET, &format!("/connections?cursor={cursor}"), token, None).await
    };
    for cursor in ["", "0"] {
        assert_eq!(ids(&list(cursor, &other).await.expect(StatusCode::OK)), ["theirs"]);
        assert_eq!(ids(&list(cursor, &world.alice).await.expect(StatusCode::OK)), ["alices"]);
    }
    // A cursor of an admin's list is valid in another workspace's list, but not in a tenant's.
    assert_eq!(ids(&list(&cursor, &other).await.expect(StatusCode::OK)), ["theirs"]);
    let refusal = list(&cursor, &world.alice).await.expect(StatusCode::BAD_REQUEST).json();
    assert!(refusal["message"].as_str().unwrap().contains("omit it to start at the first page"), "{refusal}");
    let encode = |cursor: &str| URL_SAFE_NO_PAD.encode(cursor);
    put(&world, &world.alice, "alices-2").await;
    let page = world.send(Method::GET, "/connections?limit=1", &world.alice, None).await.json();
    let tenant_cursor = page["cursor"].as_str().unwrap();
    assert_eq!(ids(&list(tenant_cursor, &world.alice).await.expect(StatusCode::OK)), ["alices-2"]);
    list(tenant_cursor, &other).await.expect(StatusCode::BAD_REQUEST);
    let huge = [encode(&format!("/a#{}", "x".repeat(513))), encode(&format!("7#{}", "x".repeat(3000)))];
    for cursor in ["x", "%00", "e30", "bnVsbA"].map(ToOwned::to_owned).into_iter().chain(huge) {
        for token in [&other, &world.alice] {
            list(&cursor, token).await.expect(StatusCode::BAD_REQUEST);
        }
    }
}

#[tokio::test]
async fn a_limit_must_be_a_single_number_from_1_to_1000() {
    let world = World::new().await;
    for query in
        ["limit=", "limit=x", "limit=-1", "limit=1.5", "limit=0", "limit=1001", "limit=1&limit=2", "cursor=a&cursor=b"]
    {
        let answer = world.get(&format!("/connections?{query}")).await;
        answer.expect(StatusCode::BAD_REQUEST);
    }
    for limit in ["1", "1000"] {
        world.get(&format!("/connections?limit={limit}")).await.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn integrations_can_be_created_read_updated_and_deleted() {
    let world = World::new().await;
    let uri = "/integrations/crm";
    let put = async |body: Value| world.send(Method::PUT, uri, &world.admin, Some(&body)).await;
    world.get(uri).await.expect(StatusCode::NOT_FOUND);
    let parameters = json!({"clientId": "id", "clientSecret": "marker-5ecret", "authorizeUri": "https://p.example/a",
                            "tokenUri": "https://p.example/t", "testUri": "https://p.example/me"});
    let body = json!({
        "connectorKey": "oauth2",
        "name": "The CRM",
        "parameters": parameters,
        "oAuthCallbackUri": "https://app.example/oauth",
        "redirectUris": ["https://app.example/done"],
    });
    let made = put(body).await.expect(StatusCode::CREATED);
    let read = world.get(uri).await.expect(StatusCode::OK);
    assert_eq!(made.json(), read.json());
    // PUT replaces the integration, but keeps parameters that are not given.
    let replaced = put(json!({"connectorKey": "oauth2"})).await.expect(StatusCode::OK);
    let cleared = put(json!({"connectorKey": "oauth2", "oAuthCallbackUri": "", "parameters": parameters})).await;
    let listed = world.get("/integrations").await;
    let removed = world.send(Method::DELETE, uri, &world.admin, None).await.expect(StatusCode::NO_CONTENT);
    world.send(Method::DELETE, uri, &world.admin, None).await.expect(StatusCode::NO_CONTENT);
    let gone = world.get(uri).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(world.get("/integrations").await.json(), json!({"items": []}));
    let all = [&made, &read, &replaced, &cleared, &listed, &removed, &gone].map(Answer::snapshot).join("\n----\n");
    assert!(!all.contains("5ecret") && !all.contains("clientId"));
    insta::assert_snapshot!("integrations", all);
}

#[tokio::test]
async fn an_invalid_integration_is_rejected_with_the_reason() {
    let world = World::new().await;
    let good = json!({"connectorKey": "oauth2"});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, hint) in [
        (json!({}), "`connectorKey` is missing"),
        (json!({"connectorKey": "unknown"}), "no connector `unknown`"),
        (with("colour", json!("red")), "unknown field `colour`"),
        (with("redirectUri", json!("https://app.example")), "unknown field `redirectUri`"),
        (with("redirectUris", json!("https://app.example")), "expected a sequence"),
        (with("redirectUris", json!(["https://app.example", "javascript:alert(1)"])), "`redirectUris`"),
        (with("redirectUris", json!(["//app.example/done"])), "`redirectUris`"),
        (with("redirectUris", json!(["https://user@app.example/done"])), "`redirectUris`"),
        (with("oAuthCallbackUri", json!("app.example")), "`oAuthCallbackUri`"),
        (with("oAuthCallbackUri", json!("https://app.example/#fragment")), "`oAuthCallbackUri`"),
        (with("parameters", json!([1])), "expected a map"),
        (json!([good]), "not a JSON object"),
    ] {
        let answer = world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&body)).await;
        let message = answer.expect(StatusCode::BAD_REQUEST).json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(hint), "{body}: {message}");
    }
    let long = "x".repeat(2000);
    for key in ["a%2Fb", "a%23b", "%20", "..%2F..%2Fworkspaces%2Flocal", "%C3%A9", &long] {
        let uri = format!("/integrations/{key}");
        world.send(Method::PUT, &uri, &world.admin, Some(&good)).await.expect(StatusCode::BAD_REQUEST);
        world.get(&uri).await.expect(StatusCode::NOT_FOUND);
        world.send(Method::DELETE, &uri, &world.admin, None).await.expect(StatusCode::NO_CONTENT);
    }
    assert_eq!(world.get("/integrations").await.json(), json!({"items": []}));
}

#[tokio::test]
async fn updating_an_integration_without_parameters_keeps_them() {
    let (world, provider, connected) = fixture().await;
    let body = json!({"connectorKey": "oauth2", "name": "renamed"});
    world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&body)).await.expect(StatusCode::OK);
    world.post(&format!("/connections/{connected}/refresh-credentials")).await.expect(StatusCode::OK);
    assert_eq!(provider.refreshes()[0].get("client_secret"), Some("the-client-secret"));
    // New parameters replace all the old ones immediately.
    world.integrate(&provider, json!({"clientSecret": "another"})).await;
    world.advance(60);
    world.post(&format!("/connections/{connected}/refresh-credentials")).await.expect(StatusCode::OK);
    assert_eq!(provider.refreshes()[1].get("client_secret"), Some("another"));
}

#[tokio::test]
async fn an_integration_in_use_cannot_be_deleted() {
    let (world, _provider, connected) = fixture().await;
    let answer = world.send(Method::DELETE, "/integrations/crm", &world.admin, None).await.expect(StatusCode::CONFLICT);
    let error = answer.json();
    assert_eq!(error["data"]["connections"], 1, "{error}");
    assert!(error["message"].as_str().unwrap().contains("1 connection uses the integration `crm`"), "{error}");
    world.get("/integrations/crm").await.expect(StatusCode::OK);
    let uri = format!("/connections/{connected}");
    world.send(Method::DELETE, &uri, &world.admin, None).await.expect(StatusCode::NO_CONTENT);
    world.send(Method::DELETE, "/integrations/crm", &world.admin, None).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn connectors_are_listed_with_connection_counts_and_load_errors() {
    let broken = tempfile::tempdir().unwrap();
    let folder = broken.path().join("torn");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("spec.yml"), "name: Torn\nauth:\n  type: oauth2\n  getOAuthConfig: [\n").unwrap();
    let world = World::with_connectors(vec![broken.path().to_owned()]).await;
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({})).await;
    world.connect(&provider).await;
    let answer = world.get("/connectors?limit=1000").await.expect(StatusCode::OK).json();
    let items = answer["items"].as_array().unwrap();
    let of = |key: &str| items.iter().find(|item| item["key"] == key).unwrap();
    assert_eq!(of("oauth2")["connectionCount"], 1);
    assert_eq!(of("demo")["connectionCount"], 0);
    assert_eq!(of("oauth2")["authType"], "oauth2");
    let oauth2 = world.get("/connectors/oauth2").await.expect(StatusCode::OK).json();
    assert_eq!(oauth2["parametersSchema"]["properties"]["clientSecret"]["isSensitive"], true);
    let broken = &answer["broken"][0];
    assert_eq!(broken["folder"], "torn", "{answer}");
    assert!(broken["problems"][0].as_str().unwrap().contains("spec.yml"), "{answer}");

    let body = json!({"connectorKey": "torn"});
    let answer = world.send(Method::PUT, "/integrations/torn", &world.admin, Some(&body)).await;
    let error = answer.expect(StatusCode::BAD_REQUEST).json();
    assert!(error["message"].as_str().unwrap().contains("`torn` is broken"), "{error}");
}

#[tokio::test]
async fn a_connection_shows_its_state_and_no_secret() {
    let (world, _provider, connected) = fixture().await;
    let answer = world.send(Method::GET, &format!("/connections/{connected}"), &world.alice, None).await;
    let put = world.send(Method::GET, &format!("/connections/{ALICES_CONNECTION}"), &world.alice, None).await;
    let both = format!("{}\n----\n{}", answer.snapshot(), put.snapshot());
    insta::assert_snapshot!("connection", both.replace(&connected, "[id]"));
    let list = world.send(Method::GET, "/connections", &world.alice, None).await;
    assert_eq!(list.json(), json!({"items": [put.json(), answer.json()]}));
}

#[tokio::test]
async fn testing_a_connection_reports_the_result_and_changes_nothing() {
    let (world, provider, connected) = fixture().await;
    let before = world.connection(&connected).await;
    let uri = format!("/connections/{connected}/test");
    assert_eq!(world.post(&uri).await.expect(StatusCode::OK).json(), json!({"success": true}));
    assert_eq!(provider.tests().last().unwrap().as_deref(), Some("Bearer access-1"));
    for status in [429, 403, 500] {
        provider.set_test_status(status);
        let answer = world.send(Method::POST, &uri, &world.alice, None).await.expect(StatusCode::OK).json();
        assert_eq!((&answer["success"], &answer["error"]["type"]), (&json!(false), &json!("connection")), "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(&status.to_string()), "{message}");
    }
    assert_eq!(world.connection(&connected).await, before);
    assert_eq!(provider.refreshes().len(), 0);
}

#[tokio::test]
async fn untestable_and_unrefreshable_connections_get_the_reason() {
    let (world, _provider, connected) = fixture().await;
    let manual =
        world.post(&format!("/connections/{ALICES_CONNECTION}/test")).await.expect(StatusCode::BAD_REQUEST).json();
    assert!(manual["message"].as_str().unwrap().contains("manually"), "{manual}");
    let refresh = world.post(&format!("/connections/{ALICES_CONNECTION}/refresh-credentials")).await;
    assert_eq!(refresh.expect(StatusCode::BAD_REQUEST).json()["type"], "connection");

    // Deleting the credentials leaves the connection waiting for its end user.
    let uri = format!("/credentials?connectionId={connected}");
    for _ in 0..2 {
        world.send(Method::DELETE, &uri, &world.alice, None).await.expect(StatusCode::NO_CONTENT);
        world.get(&uri).await.expect(StatusCode::NOT_FOUND);
    }
    assert_eq!(world.connection(&connected).await["state"], "CLIENT_ACTION_REQUIRED");
    for action in ["test", "refresh-credentials"] {
        let answer = world.post(&format!("/connections/{connected}/{action}")).await.expect(StatusCode::BAD_REQUEST);
        assert!(answer.json()["message"].as_str().unwrap().contains("reconnect"), "{}", answer.text());
    }
}

#[tokio::test]
async fn unknown_paths_get_404_and_wrong_methods_405() {
    let world = World::new().await;
    for path in [
        "/nowhere",
        "/flows",
        "/customers",
        "/connections/a/b",
        "/connections/a/test/b",
        "/integrations/a/setup",
        "/connectors/unknown",
        "/connectors/oauth2/b",
        "/self/a",
    ] {
        let error = world.get(path).await.expect(StatusCode::NOT_FOUND);
        assert_eq!(
            (error.json()["key"].as_str(), error.header("access-control-allow-origin")),
            (Some("not_found"), Some("*"))
        );
    }
    for (method, path) in [
        (Method::DELETE, "/connections"),
        (Method::PUT, "/connections/a/test"),
        (Method::GET, "/connections/a/test"),
        (Method::GET, "/connections/a/refresh-credentials"),
        (Method::POST, "/integrations/a"),
        (Method::POST, "/integrations/a/connector-spec"),
        (Method::GET, "/connection-options"),
        (Method::PUT, "/self"),
        (Method::DELETE, "/connectors"),
    ] {
        world.send(method, path, &world.admin, None).await.expect(StatusCode::METHOD_NOT_ALLOWED);
    }
    // Without a token, callers don't learn which paths exist.
    for path in ["/connections", "/connections/a/b", "/connectors/unknown", "/integrations/crm"] {
        world.send(Method::GET, path, "", None).await.expect(StatusCode::UNAUTHORIZED);
    }
}

/// Credentials sealed for a connection, as `put-credentials` sends them to `refresh`.
async fn candidate(world: &World, id: &str) -> ReplaceEvent {
    let environment = world.bundle.environment();
    let connection = environment.connections().get(&ConnectionKey::new("local", id)).await.unwrap().unwrap();
    let credentials = Credentials::from(&json!({"access_token": "candidate"}));
    environment.vault().unwrap().seal_candidate(&connection, &credentials).await.unwrap()
}

#[tokio::test]
async fn sealed_credentials_are_bound_to_one_connection_and_version() {
    // The function does not bring its own connectors.
    let world = World::with_connectors(vec![root().join("shared/connectors")]).await;
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({})).await;
    let connected = world.connect(&provider).await;
    put(&world, &world.alice, ALICES_CONNECTION).await;
    let function = Refresh::new(world.bundle.environment()).unwrap();
    let send = async |event: &ReplaceEvent| {
        let event = serde_json::from_value::<Event>(json!(event)).unwrap();
        function.handle(event).await.map(|answer| json!(answer))
    };
    let (mine, other) = (candidate(&world, &connected).await, candidate(&world, ALICES_CONNECTION).await);
    assert!(send(&ReplaceEvent { sealed: other.sealed.clone(), ..mine.clone() }).await.is_err());
    assert!(send(&ReplaceEvent { sealed: "AAAA".into(), ..mine.clone() }).await.is_err());
    assert_eq!(send(&ReplaceEvent { version: mine.version + 1, ..mine.clone() }).await.unwrap(), "stale");
    let unknown = ConnectionKey::new("local", "unknown");
    assert_eq!(send(&ReplaceEvent { key: unknown, ..mine.clone() }).await.unwrap(), "stale");
    assert_eq!(world.credentials(&connected).await["access_token"], "access-1");
    assert_eq!(send(&mine).await.unwrap(), "stored");
    assert_eq!(world.credentials(&connected).await, json!({"access_token": "candidate"}));
    // Neither the same event again nor one sealed before a deletion is accepted.
    assert_eq!(send(&mine).await.unwrap(), "stale");
    let next = candidate(&world, &connected).await;
    assert!(
        send(&ReplaceEvent { sealed: mine.sealed, ..next.clone() }).await.is_err(),
        "sealed for the previous version"
    );
    world.send(Method::DELETE, &format!("/connections/{connected}"), &world.alice, None).await;
    assert_eq!(send(&next).await.unwrap(), "stale");
    // A connection recreated under the same id is another one, with its own versions.
    world.connect(&provider).await;
    let first = candidate(&world, &connected).await;
    world.send(Method::DELETE, &format!("/connections/{connected}"), &world.alice, None).await;
    world.advance(1);
    world.connect(&provider).await;
    assert_ne!(candidate(&world, &connected).await.version, first.version);
    assert_eq!(send(&first).await.unwrap(), "stale");
}

#[tokio::test]
async fn new_credentials_that_fail_their_test_replace_nothing() {
    let (world, provider, id) = fixture().await;
    world.credentials(&id).await;
    let before = world.connection(&id).await;
    let put = async |query: &str| {
        let body = json!({"credentials": {"access_token": "mine"}});
        world.send(Method::PUT, &format!("/credentials?connectionId={id}{query}"), &world.admin, Some(&body)).await
    };
    for (status, expected) in [(401, StatusCode::BAD_REQUEST), (502, StatusCode::SERVICE_UNAVAILABLE)] {
        provider.set_test_status(status);
        let error = put("").await.expect(expected);
        assert!(error.json()["message"].as_str().unwrap().starts_with("nothing was stored: "), "{}", error.text());
        assert_eq!(world.credentials(&id).await["access_token"], "access-1");
        assert_eq!(world.connection(&id).await, before);
    }
    put("&test=false").await.expect(StatusCode::CREATED);
    assert_eq!(world.credentials(&id).await["access_token"], "mine");
}

/// A rival that changes the connection before each of the first `times` tests.
struct RivalWriter {
    world: Arc<World>,
    id: String,
    times: usize,
    calls: AtomicUsize,
}

#[async_trait]
impl ReplaceCredentials for RivalWriter {
    async fn replace(&self, event: &ReplaceEvent) -> Result<Replaced, Error> {
        if self.calls.fetch_add(1, Ordering::Relaxed) < self.times {
            let uri = format!("/credentials?connectionId={}&test=false", self.id);
            let body = json!({"credentials": {"access_token": "of another"}});
            self.world.send(Method::PUT, &uri, &self.world.admin, Some(&body)).await.expect(StatusCode::CREATED);
        }
        self.world.bundle.refresher().replace(event).await
    }
}

#[tokio::test]
async fn credentials_overtaken_by_another_write_are_tested_again() {
    let (world, _provider, id) = fixture().await;
    let world = Arc::new(world);
    for (times, status, stored) in [(2, StatusCode::CREATED, "mine"), (99, StatusCode::CONFLICT, "of another")] {
        let rival = RivalWriter { world: Arc::clone(&world), id: id.clone(), times, calls: AtomicUsize::new(0) };
        let function = PutCredentials::new(world.bundle.environment(), Arc::new(rival)).unwrap();
        let request = http::Request::put(format!("/credentials?connectionId={id}"))
            .header("authorization", format!("Bearer {}", world.alice))
            .body(json!({"credentials": {"access_token": "mine"}}).to_string().into())
            .unwrap();
        Answer(function.handle(request).await).expect(status);
        assert_eq!(world.credentials(&id).await["access_token"], stored);
    }
}

#[tokio::test]
async fn credentials_without_integration_or_test_are_stored_unchanged() {
    const SPEC: &str = "name: App
auth:
  type: client-credentials
  inputSchema: {type: object, properties: {apiKey: {type: string}}}
  makeApiClient: {mapping: {baseUri: 'https://a.example'}}
";
    let world = World::with_connector(&[("spec.yml", SPEC)]).await;
    world.integrate_app(json!({})).await.expect(StatusCode::CREATED);
    world.connect_app(json!({"input": {"apiKey": "entered"}})).await.expect(StatusCode::OK);
    let made = connect::own_connection_id("local", "app", Some("alice"));
    for id in [ALICES_CONNECTION, &made] {
        let body = json!({"credentials": ["any", {"thing": null}]});
        let uri = format!("/credentials?connectionId={id}");
        world.send(Method::PUT, &uri, &world.alice, Some(&body)).await.expect(StatusCode::CREATED);
        assert_eq!(world.credentials(id).await, body["credentials"]);
    }
    world
        .send(
            Method::PUT,
            &format!("/credentials?connectionId={ALICES_CONNECTION}&test=false"),
            &world.alice,
            Some(&json!({"credentials": 1})),
        )
        .await
        .expect(StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_integrations_parameters_must_fit_a_new_connector() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let patch = async |body: Value| world.send(Method::PATCH, "/integrations/crm", &world.admin, Some(&body)).await;
    let answer = patch(json!({"connectorKey": "client-credentials", "name": "Other"})).await;
    assert_eq!(answer.0.status(), StatusCode::OK, "{}", answer.text());
    let answer = patch(json!({"connectorKey": "api-key"})).await.expect(StatusCode::BAD_REQUEST).json();
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.contains("does not fit the connector `api-key`") && message.contains("`name` is missing"),
        "{message}"
    );
    let parameters = json!({"name": "X-Key", "testUri": provider.uri("/me")});
    patch(json!({"connectorKey": "api-key", "parameters": parameters})).await.expect(StatusCode::OK);
}
