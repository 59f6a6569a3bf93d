//! One process serves many tenants: the panic and the standstill of one refresh cost no other connection anything.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use larder_local::bundle::DataDir;
use larder_local::embedded_dynamodb::Door;
use larder_tests::function::{Function, deployed};
use larder_tests::loopback::{listen, serve};
use larder_tests::{Browser, Program, TempConnector, World};
use serde_json::{Value, json};

/// The end user enters an expression, which is evaluated in each refresh.
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
/// A digit that is not one of ASCII: the engine of the expressions panics.
const PANIC: &str = "$parseInteger('z', '\u{660}')";
/// Compares each of a hundred thousand objects with all others in a single step, which no time limit looks into.
const STANDSTILL: &str = "$count($distinct([1..99999].{'a': $, 'b': [$]}))";

/// A Larder whose connections are all overdue by the clock of this machine, and the application behind it.
struct Stand {
    world: World,
    connectors: TempConnector,
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Stand {
    async fn new() -> Self {
        let asked = Arc::<Mutex<HashMap<String, usize>>>::default();
        let counts = Arc::clone(&asked);
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
        Self { world, connectors, asked }
    }

    /// Connects an end user, whose connection has been overdue for months.
    async fn connect(&self, tenant: &str, expression: &str) {
        let input = json!({"tenant": tenant, "expression": expression});
        let payload = json!({"token": self.world.token(tenant).await, "integrationKey": "app", "input": input});
        let (mut browser, payload) = (Browser::default(), payload.to_string());
        browser.post(&self.world, "/connect", &[("payload", &payload)]).await.expect(StatusCode::OK);
    }

    /// The environment of a function over the same data.
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

    /// Waits until the connections of these have been refreshed, once each.
    async fn refreshed(&self, tenants: &[&str]) {
        let all = async {
            for tenant in tenants {
                while self.view(tenant).await["lastRefreshedAt"].is_null() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("the others are refreshed");
        let asked = self.asked.lock().unwrap().clone();
        assert!(tenants.iter().all(|tenant| asked.get(*tenant) == Some(&1)), "{asked:?}");
    }

    /// Waits until the panic is flagged; the provider was not asked.
    async fn flagged(&self) {
        let flag = async {
            loop {
                let view = self.view("panic").await;
                if let Some(message) = view["error"]["message"].as_str() {
                    return (view["state"].clone(), message.to_owned());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let (state, message) = tokio::time::timeout(Duration::from_secs(60), flag).await.expect("it is flagged");
        assert_eq!(state, "READY");
        assert!(message.contains("the process's log has the details"), "{message}");
        let asked = self.asked.lock().unwrap().clone();
        assert!(!asked.contains_key("panic") && !asked.contains_key("standstill"), "{asked:?}");
    }
}

const OTHERS: [&str; 6] = ["ann", "bob", "cyd", "dan", "eve", "fay"];

/// The troubled ones come first, since they have been overdue for longest.
async fn stand() -> Stand {
    let stand = Stand::new().await;
    stand.connect("standstill", STANDSTILL).await;
    stand.connect("panic", PANIC).await;
    stand.world.advance(1);
    for tenant in OTHERS {
        stand.connect(tenant, "1").await;
    }
    stand
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_panic_and_a_standstill_cost_nobody_else_anything_in_cargo_run() {
    let stand = stand().await;
    let [data, connectors] = [stand.world.folder(), stand.connectors.path()].map(|path| path.to_str().unwrap());
    let larder = Program::start(&["--data", data, "--connectors", connectors, "--listen", "127.0.0.1:0"]).await;
    stand.refreshed(&OTHERS).await;
    stand.flagged().await;
    // Later sweeps do not wait for it either, and neither do requests.
    stand.connect("gil", "1").await;
    stand.refreshed(&["gil"]).await;
    larder.get("/connections", &larder.admin).await.expect(StatusCode::OK);
    assert_eq!(stand.asked.lock().unwrap().get("standstill"), None);
    larder.kill().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_panic_and_a_standstill_cost_nobody_else_anything_in_the_function() {
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
    for event in [sweep, batch(&[&["standstill", "panic"], &OTHERS[..]].concat())] {
        let stand = stand().await;
        let function = Function::start(&binary, stand.variables().await).await;
        let api = function.api().clone();
        let invocation = tokio::spawn(async move { api.invoke(&event).await });
        stand.refreshed(&OTHERS).await;
        stand.flagged().await;
        assert!(!invocation.is_finished(), "it waits for the one that stands still");
        function.stop().await;
    }
}
