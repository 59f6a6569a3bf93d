//! One process serves many tenants: if one refresh panics or hangs, no other connection is affected.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use larder_local::bundle::DataDir;
use larder_local::embedded_dynamodb::Door;
use larder_local::sweeper;
use larder_tests::function::{Function, deployed};
use larder_tests::loopback::{listen, serve};
use larder_tests::{Browser, MockProvider, Program, TempConnector, World, eventually};
use serde_json::{Value, json};

/// A connector that evaluates the end user's expression in every refresh.
const SPEC: &str = r"
name: App
auth:
  type: client-credentials
  makeApiClient: {mapping: {baseUri: {$var: connectorParameters.apiUri}}}
  getCredentialsFromConnectionParameters: {mapping: {access_token: first, expires_in: 3600}}
  refreshCredentials:
    implementationType: rest-api-mapping
    mapping:
      path: /refresh
      method: post
      requestMapping:
        data: {tenant: {$var: connectionParameters.tenant}, value: {$jsonata: {$var: connectionParameters.expression}}}
";
/// A non-ASCII digit, on which the expression engine panics.
const PANIC: &str = "$parseInteger('z', '\u{660}')";
/// Compares each of a hundred thousand objects with all others in a single step, which no time limit can interrupt.
const HANG: &str = "$count($distinct([1..99999].{'a': $, 'b': [$]}))";

/// A Larder whose connections are all overdue by this machine's clock, and its provider.
struct Fixture {
    world: World,
    connectors: TempConnector,
    calls: Arc<Mutex<HashMap<String, usize>>>,
}

impl Fixture {
    async fn new() -> Self {
        let calls = Arc::<Mutex<HashMap<String, usize>>>::default();
        let counts = Arc::clone(&calls);
        let (listener, address) = listen().await;
        serve(listener, move |request| {
            let counts = Arc::clone(&counts);
            async move {
                let body: Value =
                    serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
                *counts.lock().unwrap().entry(body["tenant"].as_str().unwrap().to_owned()).or_default() += 1;
                let answer = json!({"access_token": "fresh", "expires_in": 3600}).to_string();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer))))
            }
        });
        let connectors = TempConnector::new(&[("spec.yml", SPEC)]);
        let world = World::with_connectors(vec![connectors.path().to_owned()]).await;
        let settings = json!({"parameters": {"apiUri": format!("http://{address}")}});
        world.integrate_app(settings).await.expect(StatusCode::CREATED);
        Self { world, connectors, calls }
    }

    /// Connects an end user. The connection has been overdue for months.
    async fn connect(&self, tenant: &str, expression: &str) {
        let input = json!({"tenant": tenant, "expression": expression});
        let payload = json!({"token": self.world.token(tenant).await, "integrationKey": "app", "input": input});
        let (mut browser, payload) = (Browser::default(), payload.to_string());
        browser.post(&self.world, "/connect", &[("payload", &payload)]).await.expect(StatusCode::OK);
    }

    /// The environment variables of a function over the same data.
    async fn variables(&self) -> Vec<(&'static str, String)> {
        let data = DataDir::open(self.world.folder()).unwrap();
        let door = self.world.door().await;
        vec![
            ("AWS_ENDPOINT_URL_DYNAMODB", door.endpoint()),
            ("AWS_ACCESS_KEY_ID", Door::ACCESS_KEY_ID.into()),
            ("AWS_SECRET_ACCESS_KEY", door.secret().expose().into()),
            ("BASE_URI", World::BASE_URI.into()),
            ("CONNECTORS_DIR", self.connectors.path().display().to_string()),
            ("LARDER_LOCAL", "1".into()),
            ("SEAL_KEY_FILE", data.seal_key().display().to_string()),
            ("SECRETS_FILE", data.secrets().display().to_string()),
        ]
    }

    async fn view(&self, tenant: &str) -> Value {
        self.world.connection(&connect::own_connection_id("local", "app", Some(tenant))).await
    }

    /// Waits until these tenants' connections have been refreshed, and asserts that each was refreshed once.
    async fn refreshed(&self, tenants: &[&str]) {
        for tenant in tenants {
            let is_refreshed = async || !self.view(tenant).await["lastRefreshedAt"].is_null();
            assert!(eventually(is_refreshed).await, "{tenant}'s connection is not refreshed");
        }
        let calls = self.calls.lock().unwrap().clone();
        assert!(tenants.iter().all(|tenant| calls.get(*tenant) == Some(&1)), "{calls:?}");
    }

    /// Waits until the panic is flagged, and asserts that the provider was not called.
    async fn flagged(&self) {
        let is_flagged = async || self.view("panic").await["error"]["message"].is_string();
        assert!(eventually(is_flagged).await, "the panic is not flagged");
        let view = self.view("panic").await;
        assert_eq!(view["state"], "READY");
        let message = view["error"]["message"].as_str().expect("a message");
        assert!(message.contains("the process's log has the details"), "{message}");
        let calls = self.calls.lock().unwrap().clone();
        assert!(!calls.contains_key("panic") && !calls.contains_key("hang"), "{calls:?}");
    }
}

const OTHERS: [&str; 6] = ["ann", "bob", "cyd", "dan", "eve", "fay"];

/// A Larder with two bad connections, which are swept first because they have been overdue longest, and several good ones.
async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.connect("hang", HANG).await;
    fixture.connect("panic", PANIC).await;
    fixture.world.advance(1);
    for tenant in OTHERS {
        fixture.connect(tenant, "1").await;
    }
    fixture
}

#[tokio::test]
async fn the_next_sweep_does_not_wait_for_a_slow_refresh() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    world.connect(&provider).await;
    world.advance(20);
    world.connect_one_more(&provider).await;
    // Five minutes before its token expires, only the first connection is due.
    world.advance(3600 - 300 - 20);
    provider.hold();
    tokio::spawn(sweeper::run(Arc::clone(world.bundle.refresher())));
    provider.until_refresh_requested().await;
    world.advance(20);
    let both = async {
        while provider.refreshes().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // After twenty seconds, Larder would give up on the first answer.
    tokio::time::timeout(Duration::from_secs(15), both).await.expect("the second is refreshed meanwhile");
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_panic_or_hang_in_cargo_run_affects_no_other_connection() {
    let fixture = fixture().await;
    let [data, connectors] = [fixture.world.folder(), fixture.connectors.path()].map(|path| path.to_str().unwrap());
    let larder = Program::start(&["--data", data, "--connectors", connectors, "--listen", "127.0.0.1:0"]).await;
    fixture.refreshed(&OTHERS).await;
    fixture.flagged().await;
    // Neither later sweeps nor requests wait for the one that hangs.
    fixture.connect("gil", "1").await;
    fixture.refreshed(&["gil"]).await;
    larder.get("/connections", &larder.admin).await.expect(StatusCode::OK);
    assert_eq!(fixture.calls.lock().unwrap().get("hang"), None);
    larder.kill().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_panic_or_hang_in_the_function_affects_no_other_connection() {
    let binary = deployed("refresh");
    let batch = |tenants: &[&str]| {
        let record = |tenant: &&str| {
            let id = connect::own_connection_id("local", "app", Some(tenant));
            let body = json!({"workspace": "local", "connectionId": id}).to_string();
            json!({"messageId": tenant, "receiptHandle": tenant, "body": body})
        };
        json!({"Records": tenants.iter().map(record).collect::<Vec<_>>()}).to_string()
    };
    let sweep = json!({"detail-type": "Scheduled Event"}).to_string();
    for event in [sweep, batch(&[&["hang", "panic"], &OTHERS[..]].concat())] {
        let fixture = fixture().await;
        let function = Function::start(&binary, fixture.variables().await).await;
        let api = function.api().clone();
        let invocation = tokio::spawn(async move { api.invoke(&event).await });
        fixture.refreshed(&OTHERS).await;
        fixture.flagged().await;
        assert!(!invocation.is_finished(), "the invocation waits for the refresh that hangs");
        function.stop().await;
    }
}
