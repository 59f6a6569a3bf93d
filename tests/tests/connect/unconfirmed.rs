//! Connections whose application must confirm them: their credentials wait, and count only from then on.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use connect::own_connection_id;
use http::{Method, StatusCode};
use larder::clock::Clock as _;
use larder::connection::{Confirmation, Connection, ConnectionKey, State};
use larder::environment::{CredentialsIn, Settings};
use larder::error::{Error, ErrorClass};
use larder_engine::connect::{ConnectionWriter, NewConnection};
use larder_engine::connector::Catalog;
use larder_engine::connector_setup::{ConnectInputs, ConnectorSetup};
use larder_engine::manage::Management;
use larder_engine::provider::Authorization;
use larder_tests::{Aws, Browser, CredentialApi, Fault, MockProvider, TempConnector, World};
use serde_json::{Map, Value, json};

const SPEC: &str = "name: App\nauth:\n  type: oauth2\n  getOAuthConfig: {implementationType: mapping}\n  \
                    makeApiClient: {mapping: {baseUri: 'https://a.example'}}\n";
const CONFIG: &str = "clientId: c
clientSecret: s
authorizeUri: {$concat: [{$var: connectorParameters.apiUri}, /authorize]}
tokenUri: {$concat: [{$var: connectorParameters.apiUri}, /token]}
revocationUri: {$concat: [{$var: connectorParameters.apiUri}, /revoke]}
";
/// How long credentials wait, in seconds.
const WAIT: u64 = 1800;

/// A Larder with a provider that revokes tokens, and the parts that routes of connection requests call.
struct Scene {
    world: World,
    aws: Aws,
    provider: MockProvider,
    connector_setup: Arc<ConnectorSetup>,
    writer: ConnectionWriter,
    management: Management,
    _connector: TempConnector,
}

impl Scene {
    async fn new() -> Self {
        Self::keeping(CredentialsIn::Database).await
    }

    async fn keeping(credentials: CredentialsIn) -> Self {
        let connector = TempConnector::new(&[("spec.yml", SPEC), ("auth/get-oauth-config.map.yml", CONFIG)]);
        let connectors = vec![connector.path().to_owned()];
        let change = |settings| Settings { credentials, connectors, event_bus: Some("larder".into()), ..settings };
        let (world, aws) = World::deployed(change).await;
        let provider = MockProvider::start().await;
        world.integrate_app(json!({"parameters": {"apiUri": provider.uri("")}})).await.expect(StatusCode::CREATED);
        let environment = world.bundle.environment();
        let connector_setup = environment.connector_setup(Catalog::default());
        let writer = environment.connection_writer().unwrap();
        let management = environment.management(Arc::clone(&connector_setup)).unwrap();
        Self { aws, provider, connector_setup, writer, management, world, _connector: connector }
    }

    /// Connects alice through a link without a confirmation.
    async fn connect(&self) -> String {
        let (mut browser, world) = (Browser::default(), &self.world);
        let uri = format!("/connect?integrationKey=app&token={}", world.alice);
        let authorize = browser.get(world, &uri).await.location();
        browser.get(world, &self.provider.approve(&authorize)).await.expect(StatusCode::OK);
        own_id()
    }

    /// Finishes a flow of a connection request, whose credentials then wait.
    async fn hold(&self, id: &str, request: &str) -> Result<Connection, Error> {
        let integration = self.connector_setup.integration("local", "app").await?;
        let inputs = ConnectInputs {
            option_key: "",
            tenant: Some("alice"),
            connector_parameters: &Map::new(),
            input: &Map::new(),
            given: None,
        };
        let auth = self.connector_setup.auth_for(&integration, &inputs).await?;
        let config = self.writer.provider.oauth2_config(&auth, None).await?;
        let authorization = Authorization {
            code: "code",
            code_verifier: Some("verifier"),
            redirect_uri: "https://larder.example/oauth-callback",
            query_parameters: Map::new(),
        };
        let obtained = self.writer.provider.exchange_code(&auth, &config, authorization).await?;
        let new = NewConnection {
            workspace: "local".into(),
            tenant: Some("alice".into()),
            integration_key: "app".into(),
            option_key: String::new(),
            connection_id: id.to_owned(),
            name: Some("Bound".into()),
            own_key: None,
            tags: None,
            meta: None,
            input: Map::new(),
            connector_parameters: Map::new(),
        };
        let expires_at = self.world.clock.now() + Duration::from_secs(WAIT);
        let confirmation = Confirmation { request_id: request.to_owned(), expires_at };
        let connecting = self.writer.create_or_renew(&new, &integration, &auth, obtained, Some(&confirmation));
        self.writer.recorded(&new, connecting).await
    }

    async fn confirm(&self, request: &str) -> Result<Connection, Error> {
        self.management.confirm(&key(), request, async { Ok(()) }).await
    }

    /// The status of a rejected confirmation.
    async fn rejection(&self, request: &str) -> ErrorClass {
        self.confirm(request).await.expect_err("it is rejected").class
    }

    async fn access_token(&self) -> Value {
        self.world.credentials(&own_id()).await["access_token"].clone()
    }

    /// The item of the table with the credentials that wait for alice's connection.
    async fn item(&self) -> Option<std::collections::HashMap<String, AttributeValue>> {
        let scan = self.world.dynamodb().scan().table_name("larder-connections").send().await.unwrap();
        let target = AttributeValue::S(key().to_string());
        scan.items.unwrap_or_default().into_iter().find(|item| item.get("target") == Some(&target))
    }

    async fn is_anything_held(&self) -> bool {
        self.item().await.is_some_and(|item| item.contains_key("sealed"))
    }

    /// The bodies of the requests that revoke tokens.
    fn revocations(&self) -> Vec<String> {
        let calls = self.provider.api_calls().into_iter();
        calls.filter(|call| call.what == "POST /revoke").map(|call| call.body).collect()
    }

    fn events(&self) -> Vec<String> {
        self.aws.take_events().into_iter().map(|(name, _)| name).collect()
    }
}

fn own_id() -> String {
    own_connection_id("local", "app", Some("alice"))
}

fn key() -> ConnectionKey {
    ConnectionKey::new("local", own_id())
}

#[tokio::test]
async fn a_new_connection_exists_only_once_it_is_confirmed() {
    let scene = Scene::new().await;
    let (world, path) = (&scene.world, format!("/connections/{}", own_id()));
    assert_eq!(scene.hold(&own_id(), "r1").await.unwrap().state, State::Building);

    let credentials = format!("/credentials?connectionId={}", own_id());
    for uri in [&path, &credentials, &format!("{path}/attempts"), "/credentials?integrationKey=app"] {
        world.get(uri).await.expect(StatusCode::NOT_FOUND);
    }
    for action in ["test", "refresh-credentials", "disconnect", "restore"] {
        world.post(&format!("{path}/{action}")).await.expect(StatusCode::NOT_FOUND);
    }
    world.send(Method::DELETE, &path, &world.admin, None).await.expect(StatusCode::NOT_FOUND);
    for list in ["/connections", "/connections?tenantId=alice&includeArchived=1", "/connections?integrationKey=app"] {
        assert_eq!(world.get(list).await.expect(StatusCode::OK).json()["items"], json!([]), "{list}");
    }
    world.advance(WAIT - 1);
    world.sweep().await;
    assert_eq!((scene.provider.refreshes().len(), scene.events().len()), (0, 0));

    let confirmed = scene.confirm("r1").await.unwrap();
    assert_eq!((confirmed.state, confirmed.details.name.as_deref()), (State::Ready, Some("Bound")));
    assert_eq!(scene.access_token().await, "access-1");
    assert_eq!(world.connection(&own_id()).await["nextCredentialsRefreshAt"], "2026-01-01T00:55:00Z");
    assert_eq!(world.get("/connections").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get(&format!("{path}/attempts")).await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(scene.events(), ["connection.created"]);
    assert!(!scene.is_anything_held().await);
    assert_eq!(scene.rejection("r1").await, ErrorClass::NotFound);
}

#[tokio::test]
async fn an_unconfirmed_connection_is_revoked_and_erased_in_time() {
    let scene = Scene::new().await;
    scene.hold(&own_id(), "r1").await.unwrap();
    scene.world.advance(WAIT);
    // The clock ends it, even before the sweeper comes.
    assert_eq!(scene.rejection("r1").await, ErrorClass::NotFound);
    assert!(scene.is_anything_held().await);
    for _ in 0..2 {
        scene.world.sweep().await;
        assert_eq!(scene.revocations(), ["token=refresh-1&token_type_hint=refresh_token&client_id=c&client_secret=s"]);
        assert!(!scene.is_anything_held().await);
        scene.world.advance(600);
    }
    assert!(scene.events().is_empty());
    // Nothing is left in the way of the next attempt.
    scene.hold(&own_id(), "r2").await.unwrap();
    scene.confirm("r2").await.unwrap();
    assert_eq!(scene.access_token().await, "access-2");
}

#[tokio::test]
async fn old_credentials_are_served_and_refreshed_until_confirmed() {
    let scene = Scene::new().await;
    scene.connect().await;
    scene.world.advance(3000);
    assert_eq!(scene.hold(&own_id(), "r1").await.unwrap().state, State::Building);
    assert_eq!(scene.access_token().await, "access-1");
    scene.world.advance(300);
    scene.world.sweep().await;
    assert_eq!(scene.access_token().await, "access-3");
    let (uri, body) = (format!("/connections/{}", own_id()), json!({"meta": {"a": 1}}));
    scene.world.send(Method::PATCH, &uri, &scene.world.alice, Some(&body)).await.expect(StatusCode::OK);
    assert_eq!(scene.world.connection(&own_id()).await["state"], "READY");

    scene.confirm("r1").await.unwrap();
    assert_eq!(scene.access_token().await, "access-2");
    let view = scene.world.connection(&own_id()).await;
    assert_eq!((&view["meta"], &view["name"]), (&json!({"a": 1}), &json!("Bound")));
    assert_eq!(view["nextCredentialsRefreshAt"], "2026-01-01T01:45:00Z");
    scene.world.advance(3000);
    scene.world.sweep().await;
    assert_eq!(scene.provider.refreshes().last().unwrap().get("refresh_token"), Some("refresh-2"));
    assert_eq!(scene.access_token().await, "access-4");
}

#[tokio::test]
async fn an_unconfirmed_reconnect_is_erased_but_not_revoked() {
    let scene = Scene::new().await;
    scene.connect().await;
    scene.hold(&own_id(), "r1").await.unwrap();
    scene.world.advance(WAIT);
    scene.world.sweep().await;
    assert!(!scene.is_anything_held().await && scene.revocations().is_empty());
    assert_eq!(scene.access_token().await, "access-1");
    assert_eq!(scene.rejection("r1").await, ErrorClass::NotFound);
}

#[tokio::test]
async fn a_confirmed_reconnect_ends_the_need_for_action() {
    let scene = Scene::new().await;
    scene.connect().await;
    scene.provider.script(400, &json!({"error": "invalid_grant"}));
    scene.world.advance(3300);
    scene.world.sweep().await;
    scene.hold(&own_id(), "r1").await.unwrap();
    assert_eq!(scene.world.connection(&own_id()).await["state"], "CLIENT_ACTION_REQUIRED");
    scene.confirm("r1").await.unwrap();
    assert_eq!(scene.world.connection(&own_id()).await["state"], "READY");
    assert_eq!(scene.events(), ["connection.created", "connection.disconnected", "connection.reconnected"]);
}

#[tokio::test]
async fn a_later_request_replaces_an_earlier_one() {
    let scene = Scene::new().await;
    for existing in [false, true] {
        scene.hold(&own_id(), "r1").await.unwrap();
        scene.hold(&own_id(), "r2").await.unwrap();
        assert_eq!(scene.rejection("r1").await, ErrorClass::Conflict, "{existing}");
        // Discarding the earlier one changes nothing.
        scene.management.discard(&key(), "r1").await.unwrap();
        scene.confirm("r2").await.unwrap();
    }
    assert_eq!(scene.access_token().await, "access-4");
}

#[tokio::test]
async fn waiting_credentials_never_replace_newer_ones() {
    let scene = Scene::new().await;
    // The end user connects in another way, so the forwarded link has not been in the way.
    scene.hold(&own_id(), "r1").await.unwrap();
    scene.connect().await;
    assert_eq!(scene.rejection("r1").await, ErrorClass::Conflict);
    // So it is for a reconnect.
    scene.hold(&own_id(), "r2").await.unwrap();
    scene.connect().await;
    assert_eq!(scene.rejection("r2").await, ErrorClass::Conflict);
    scene.hold(&own_id(), "r3").await.unwrap();
    let uri = format!("/connections/{}", own_id());
    scene.world.post(&format!("{uri}/disconnect")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!((scene.rejection("r3").await, scene.is_anything_held().await), (ErrorClass::NotFound, false));
}

#[tokio::test]
async fn a_grant_that_may_serve_a_connection_is_not_revoked() {
    let scene = Scene::new().await;
    scene.hold(&own_id(), "r1").await.unwrap();
    scene.connect().await;
    scene.world.advance(WAIT);
    scene.world.sweep().await;
    assert!(!scene.is_anything_held().await && scene.revocations().is_empty());
    assert_eq!(scene.access_token().await, "access-2");
}

#[tokio::test]
async fn discarded_credentials_cannot_be_confirmed() {
    let scene = Scene::new().await;
    scene.hold(&own_id(), "r1").await.unwrap();
    scene.management.discard(&key(), "other").await.unwrap();
    assert!(scene.is_anything_held().await);
    for _ in 0..2 {
        scene.management.discard(&key(), "r1").await.unwrap();
        assert_eq!((scene.is_anything_held().await, scene.revocations().len()), (false, 1));
        assert_eq!(scene.rejection("r1").await, ErrorClass::NotFound);
    }
    scene.connect().await;
    scene.hold(&own_id(), "r2").await.unwrap();
    scene.management.discard(&key(), "r2").await.unwrap();
    assert_eq!((scene.is_anything_held().await, scene.revocations().len()), (false, 1));
    assert_eq!(scene.access_token().await, "access-2");
}

#[tokio::test]
async fn credentials_being_confirmed_are_neither_ended_nor_replaced() {
    let scene = Arc::new(Scene::new().await);
    scene.hold(&own_id(), "r1").await.unwrap();
    scene.world.advance(WAIT - 60);
    let meanwhile = Arc::clone(&scene);
    scene.world.requests.before("Save", async move {
        let discarded = meanwhile.management.discard(&key(), "r1").await;
        assert_eq!(discarded.expect_err("it is rejected").class, ErrorClass::Conflict);
        assert_eq!(meanwhile.hold(&own_id(), "r2").await.expect_err("it is rejected").class, ErrorClass::Conflict);
        // Its time is up, but not for a confirmation that has begun.
        meanwhile.world.advance(120);
        meanwhile.world.sweep().await;
    });
    scene.confirm("r1").await.unwrap();
    assert!(!scene.world.requests.is_waiting() && scene.revocations().is_empty());
    assert_eq!(scene.access_token().await, "access-1");
}

#[tokio::test]
async fn a_rejected_confirmation_can_be_repeated() {
    let scene = Scene::new().await;
    scene.hold(&own_id(), "r1").await.unwrap();
    let world = &scene.world;
    world.send(Method::DELETE, "/integrations/app", &world.admin, None).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(scene.rejection("r1").await, ErrorClass::NotFound);
    let body = json!({"parameters": {"apiUri": scene.provider.uri("")}});
    world.integrate_app(body).await.expect(StatusCode::CREATED);
    scene.confirm("r1").await.unwrap();
    assert_eq!(scene.access_token().await, "access-1");
}

#[tokio::test]
async fn a_confirmation_that_a_store_cut_off_can_be_repeated() {
    let api = CredentialApi::start().await;
    let scene = Scene::keeping(CredentialsIn::ExternalApi(api.url())).await;
    scene.hold(&own_id(), "r1").await.unwrap();
    api.fail_on(&Method::PUT, [Fault::Cut]);
    assert_eq!(scene.rejection("r1").await, ErrorClass::Unavailable);
    assert_eq!(scene.world.connection(&own_id()).await["state"], "CLIENT_ACTION_REQUIRED");
    // Until its lease is over, the request may still reach the store.
    scene.world.advance(60);
    scene.confirm("r1").await.unwrap();
    assert_eq!((scene.access_token().await, scene.is_anything_held().await), (json!("access-1"), false));
}

#[tokio::test]
async fn confirming_again_never_brings_a_used_refresh_token_back() {
    let scene = Scene::new().await;
    scene.hold(&own_id(), "r1").await.unwrap();
    let held = scene.item().await.unwrap();
    scene.confirm("r1").await.unwrap();
    scene.world.advance(WAIT - 60);
    let refresh = format!("/connections/{}/refresh-credentials", own_id());
    scene.world.post(&refresh).await.expect(StatusCode::OK);
    assert_eq!(scene.access_token().await, "access-2");
    // The process died before it erased them.
    let put = scene.world.dynamodb().put_item().table_name("larder-connections").set_item(Some(held));
    put.send().await.unwrap();
    scene.confirm("r1").await.unwrap();
    assert_eq!(scene.access_token().await, "access-2");
    assert!(!scene.is_anything_held().await);
}

#[tokio::test]
async fn two_confirmations_at_once_store_credentials_once() {
    let scene = Scene::new().await;
    scene.hold(&own_id(), "r1").await.unwrap();
    let (one, other) = tokio::join!(scene.confirm("r1"), scene.confirm("r1"));
    let confirmed: Vec<_> = [one, other].into_iter().flatten().map(|connection| connection.version).collect();
    let stored = scene.world.version(&own_id()).await;
    assert!(!confirmed.is_empty() && confirmed.iter().all(|version| *version == stored), "{confirmed:?} {stored}");
    assert_eq!(scene.events(), ["connection.created"]);
}

#[tokio::test]
async fn a_tenant_cannot_hold_credentials_for_another_tenant() {
    let scene = Scene::new().await;
    let bob = scene.world.token("bob").await;
    let body = json!({"credentials": {"access_token": "bob's"}});
    scene.world.send(Method::PUT, "/credentials?connectionId=c1", &bob, Some(&body)).await.expect(StatusCode::CREATED);
    let error = scene.hold("c1", "r1").await.expect_err("it is rejected");
    assert_eq!(error.class, ErrorClass::Conflict);
}

#[tokio::test]
async fn an_archived_connection_is_revived_only_when_confirmed() {
    let scene = Scene::new().await;
    let uri = format!("/connections/{}", scene.connect().await);
    scene.world.send(Method::DELETE, &uri, &scene.world.alice, None).await.expect(StatusCode::NO_CONTENT);
    scene.hold(&own_id(), "r1").await.unwrap();
    scene.world.get(&uri).await.expect(StatusCode::NOT_FOUND);
    scene.world.post(&format!("{uri}/restore")).await.expect(StatusCode::OK);
    // Once restored, it is not the connection that was to be created.
    assert_eq!(scene.rejection("r1").await, ErrorClass::Conflict);
    scene.world.send(Method::DELETE, &uri, &scene.world.alice, None).await.expect(StatusCode::NO_CONTENT);
    scene.hold(&own_id(), "r2").await.unwrap();
    scene.confirm("r2").await.unwrap();
    assert_eq!(scene.access_token().await, "access-3");
}

#[tokio::test]
async fn waiting_credentials_are_sealed_and_not_in_a_store() {
    let api = CredentialApi::start().await;
    for credentials in [CredentialsIn::Database, CredentialsIn::ExternalApi(api.url())] {
        let scene = Scene::keeping(credentials).await;
        for (number, request) in [(1, "r1"), (2, "r2")] {
            let calls = api.calls().len();
            scene.hold(&own_id(), request).await.unwrap();
            let scan = scene.world.dynamodb().scan().table_name("larder-connections").send().await.unwrap();
            let rows = format!("{:?}", scan.items());
            assert!(!rows.contains(&format!("access-{number}")) && !rows.contains("refresh-"), "{rows}");
            let hidden = scene.item().await.unwrap()["sealed"].as_b().unwrap().clone().into_inner();
            assert!(!String::from_utf8_lossy(&hidden).contains("access-"));
            assert_eq!(api.calls().len(), calls, "a store was called");
            scene.confirm(request).await.unwrap();
            assert_eq!(scene.access_token().await, format!("access-{number}"));
        }
        let before = api.calls().len();
        scene.hold(&own_id(), "r3").await.unwrap();
        scene.world.advance(WAIT);
        scene.world.sweep().await;
        assert!(!scene.is_anything_held().await);
        assert_eq!(api.calls().len(), before, "a store was called");
        assert_eq!(scene.access_token().await, "access-2");
    }
}
