//! Membrane's SDKs, unmodified: the calls in Node.js, connecting from a web page of another origin, and React's hooks.
//!
//! The page is at `localhost`, Larder at `127.0.0.1`. The page's script is `tests/servers/sdk-page.mjs`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use http::{Method, StatusCode};
use larder_tests::{Answer, Chromium, Program, Server, Target, in_time};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::form::screenshots;

/// The SDK's name on npm.
const MEMBRANE: &str = "@membranehq/sdk";
/// The older SDK.
const INTEGRATION_APP: &str = "@integration-app/sdk";

/// The connectors: `keyed` takes an API key, and `choice` an API key or an OAuth2 grant. Both call the server `sdk-app.mjs`.
const CONNECTORS: [(&str, &str); 7] = [
    (
        "keyed/spec.yml",
        r"
name: Keyed
key: keyed
parametersSchema: { type: object, properties: { baseUri: { type: string } }, required: [baseUri] }
auth:
  type: client-credentials
  inputSchema: { type: object, properties: { apiKey: { type: string, isSensitive: true } }, required: [apiKey] }
  makeApiClient: { implementationType: mapping }
  test: { implementationType: rest-api-mapping }
",
    ),
    ("keyed/auth/make-api-client.map.yml", API_CLIENT),
    ("keyed/auth/test.rest.yml", TEST),
    (
        "choice/spec.yml",
        r"
name: Choice
key: choice
parametersSchema: { type: object, properties: { baseUri: { type: string } }, required: [baseUri] }
auth:
  makeApiClient: { implementationType: mapping }
  test: { implementationType: rest-api-mapping }
  options:
    key:
      type: client-credentials
      inputSchema: { type: object, properties: { apiKey: { type: string, isSensitive: true } }, required: [apiKey] }
    oauth:
      type: oauth2
      getOAuthConfig: { implementationType: mapping }
",
    ),
    ("choice/auth/make-api-client.map.yml", API_CLIENT),
    ("choice/auth/test.rest.yml", TEST),
    (
        "choice/auth/get-oauth-config.map.yml",
        r#"
clientId: the-client
clientSecret: the-client-secret
authorizeUri: { $concat: [{ $var: connectorParameters.baseUri }, "/authorize"] }
tokenUri: { $concat: [{ $var: connectorParameters.baseUri }, "/token"] }
"#,
    ),
];

const API_CLIENT: &str = r#"
baseUri: { $var: connectorParameters.baseUri }
headers:
  Authorization:
    $concat: ["Bearer ", { $firstNotEmpty: [{ $var: credentials.apiKey }, { $var: credentials.access_token }] }]
"#;

const TEST: &str = "path: /me\nmethod: get\n";

/// Larder and the application. The application's origin is in the `redirectUris` of all integrations: `demo`, `keyed` and
/// `choice`.
struct Setup {
    larder: Program,
    target: Target,
    server: Server,
    _folders: [TempDir; 2],
}

impl Setup {
    async fn new() -> Self {
        let [data, connectors] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        for (path, text) in CONNECTORS {
            let path = connectors.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let [data_path, connectors_path] = [&data, &connectors].map(|it| it.path().to_str().expect("a path in UTF-8"));
        let arguments = ["--data", data_path, "--connectors", connectors_path, "--listen", "127.0.0.1:0"];
        let (larder, server) = tokio::join!(Program::start(&arguments), Server::sdk_app());
        let target = Target::local(&larder, data.path()).await;
        let setup = Self { larder, target, server, _folders: [data, connectors] };
        for key in ["demo", "keyed", "choice"] {
            let mut body = json!({"connectorKey": key, "redirectUris": [setup.app("/done")]});
            if key != "demo" {
                body["name"] = json!(key);
                body["parameters"] = json!({ "baseUri": setup.server.uri("/api") });
            }
            let path = format!("/integrations/{key}");
            let answer = setup.target.put(&path, &setup.target.admin(), &body).await;
            assert!(answer.0.status().is_success(), "{key}: {}", answer.text());
        }
        setup
    }

    /// Returns a URL of the application, at the origin that may receive results.
    fn app(&self, path: &str) -> String {
        self.server.uri(path).replace("127.0.0.1", "localhost")
    }

    /// Returns the ids of a tenant's connections.
    async fn ids(&self, tenant: &str) -> Vec<String> {
        let list = self.target.get("/connections", &self.target.tenant(tenant)).await.expect(StatusCode::OK).json();
        let items = list["items"].as_array().expect("a list");
        items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Sends a request of a tenant.
    async fn send(&self, tenant: &str, method: Method, path: &str, body: &Value) -> Answer {
        self.target.send(method, path, &self.target.tenant(tenant), body.to_string()).await
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn answers_in_node_pass_the_sdks_own_schemas() {
    let setup = Setup::new().await;
    let target = &setup.target;
    let options = json!({
        "apiUri": target.base_uri,
        "workspaceKey": target.workspace,
        "workspaceSecret": target.secret.expose(),
        "baseUri": setup.server.uri("/api"),
        "tenants": {MEMBRANE: target.tenant(MEMBRANE), INTEGRATION_APP: target.tenant(INTEGRATION_APP)},
        "admin": target.admin(),
    });
    let mut node = Command::new("node");
    node.args(["sdk-calls.mjs", &options.to_string()]).current_dir(Server::folder()).kill_on_drop(true);
    let output = in_time(node.output()).await.expect("sdk-calls.mjs ends").expect("node starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let outcomes: BTreeMap<String, Option<String>> = serde_json::from_slice(&output.stdout).expect("outcomes by name");
    assert!(outcomes.len() >= 160, "{} calls", outcomes.len());
    let failures = outcomes.into_iter().filter_map(|(call, problem)| Some(format!("{call}: {}\n", problem?)));
    let failures: Vec<_> = failures.collect();
    assert!(failures.is_empty(), "{} calls failed:\n{}{}", failures.len(), failures.concat(), setup.larder.log());
}

/// An end user in front of the application's page.
struct Visit<'a> {
    setup: &'a Setup,
    chromium: Chromium,
    sdk: &'static str,
    tenant: String,
    /// The number of popups so far. Chromium numbers its pages from 0, which is the application's.
    popups: usize,
    /// The number of popups when the page was opened.
    popups_before: usize,
}

impl<'a> Visit<'a> {
    async fn new(setup: &'a Setup) -> Self {
        let chromium = Chromium::start().await;
        Self { setup, chromium, sdk: MEMBRANE, tenant: String::new(), popups: 0, popups_before: 0 }
    }

    /// Opens the page at an origin, as a tenant of an application with this SDK.
    async fn open(&mut self, origin: &str, sdk: &'static str, tenant: &str) {
        (self.sdk, self.tenant, self.popups_before) = (sdk, tenant.to_owned(), self.popups);
        assert_eq!(self.chromium.goto(&format!("{origin}/")).await, 200);
        let larder = &self.setup.target.base_uri;
        let options = json!({"apiUri": larder, "uiUri": larder, "token": self.setup.target.tenant(tenant)});
        self.chromium.evaluate(&format!("app.use('{sdk}', {options})")).await;
    }

    /// Starts a call, an expression with `client`.
    async fn begin(&mut self, call: &str) {
        self.chromium.evaluate(&format!("app.begin((client) => client.{call})")).await;
    }

    /// Switches to the popup that the call opens.
    async fn switch_to_popup(&mut self) {
        self.popups += 1;
        self.chromium.page(self.popups).await;
    }

    /// Waits for the outcome of the call, and for its popup to close.
    async fn end(&mut self) -> Value {
        self.chromium.page(0).await;
        let outcome = self.chromium.evaluate("app.end()").await;
        let popups = self.chromium.evaluate("app.popups()").await;
        assert_eq!(popups, self.popups - self.popups_before, "{}: the number of popups: {outcome}", self.sdk);
        outcome
    }

    /// Makes a call that opens the demo provider in a popup, and decides there.
    async fn decide(&mut self, call: &str, decision: &str) -> Value {
        self.begin(call).await;
        self.switch_to_popup().await;
        self.chromium.click(&format!("button[value={decision}]")).await;
        self.end().await
    }

    /// Makes a call that needs nobody, in a popup or not.
    async fn call(&mut self, call: &str, opens_popup: bool) -> Value {
        self.begin(call).await;
        self.popups += usize::from(opens_popup);
        self.end().await
    }

    /// Starts a call that opens a hosted screen, and switches to its frame.
    async fn open_screen(&mut self, call: &str) {
        self.begin(call).await;
        self.chromium.evaluate("app.shown()").await;
        self.chromium.frame(&self.setup.target.base_uri).await;
    }

    /// Opens the provider in a window, from the screen, and decides there if it waits for a decision. Returns to the screen.
    async fn leave_screen(&mut self, decision: Option<&str>) {
        self.chromium.click("#leave").await;
        self.switch_to_popup().await;
        if let Some(decision) = decision {
            self.chromium.click(&format!("button[value={decision}]")).await;
        }
        self.chromium.page(0).await;
        self.chromium.frame(&self.setup.target.base_uri).await;
    }

    /// Waits for the outcome of a call whose screen closes.
    async fn end_screen(&mut self) -> Value {
        self.chromium.page(0).await;
        let outcome = self.chromium.evaluate("app.end()").await;
        let frames = self.chromium.evaluate("document.querySelectorAll('iframe').length").await;
        assert_eq!(frames, 0, "{}: the screen is still there: {outcome}", self.sdk);
        outcome
    }

    /// Returns the connection of an outcome, which the SDK's schema must accept.
    #[track_caller]
    fn connection<'o>(&self, case: &str, outcome: &'o Value) -> &'o Value {
        let connection = &outcome["ok"];
        assert!(connection["id"].is_string(), "{}: {case}: {outcome}", self.sdk);
        assert_eq!(outcome["problems"], json!([]), "{}: {case}: the SDK's schema rejects {connection}", self.sdk);
        connection
    }

    /// Asserts that the outcome is an error of that type.
    #[track_caller]
    fn assert_error(&self, case: &str, outcome: &Value, error_type: &str) {
        assert_eq!(outcome.pointer("/error/data/type"), Some(&json!(error_type)), "{}: {case}: {outcome}", self.sdk);
    }

    /// Waits until a request like `400 POST http://…` is logged.
    async fn logged(&mut self, matches: impl Fn(&str) -> bool) {
        let logging = async {
            while !self.chromium.log().await.iter().any(|line| matches(line)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let is_logged = in_time(logging).await.is_ok();
        assert!(is_logged, "{}: not logged: {:#?}", self.sdk, self.chromium.log().await);
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_sdks_connect_from_a_page_of_another_origin() {
    let setup = Setup::new().await;
    let mut visit = Visit::new(&setup).await;
    for (sdk, tenant) in [(MEMBRANE, "ada"), (INTEGRATION_APP, "bob")] {
        let [app, elsewhere] = [setup.app(""), setup.server.uri("")];
        visit.open(&app, sdk, tenant).await;
        connects_in_a_popup(&mut visit).await;
        connects_with_keys(&mut visit).await;
        chooses_an_option(&mut visit).await;
        connects_in_the_same_window(&mut visit, "approve", "?connectionId=").await;
        visit.open(&app, sdk, tenant).await;
        connects_in_the_same_window(&mut visit, "deny", "?error=").await;
        visit.open(&elsewhere, sdk, tenant).await;
        is_rejected_at_an_unlisted_origin(&mut visit).await;
    }
    // Only the rejections may not be shown in a frame.
    let violates =
        |line: &&String| line.contains("Content Security Policy") && !line.contains("frame-ancestors 'none'");
    let log = visit.chromium.log().await;
    let violations: Vec<_> = log.iter().filter(violates).collect();
    assert!(violations.is_empty(), "{violations:#?}");
}

async fn connects_in_a_popup(visit: &mut Visit<'_>) {
    let outcome = visit.decide("integration('demo').connect({name: 'First'})", "approve").await;
    let connection = visit.connection("a popup", &outcome);
    assert_eq!([&connection["name"], &connection["integrationId"], &connection["state"]], ["First", "demo", "READY"]);
    assert_eq!(connection["userId"], visit.tenant);
    let id = connection["id"].as_str().expect("an id").to_owned();

    let outcome = visit.decide("integration('demo').connect()", "deny").await;
    visit.assert_error("denied", &outcome, "connection");

    visit.begin("integration('demo').connect()").await;
    visit.switch_to_popup().await;
    visit.chromium.shows("Approve").await;
    visit.chromium.close().await;
    assert_eq!(visit.end().await["ok"], Value::Null, "{}: a closed popup", visit.sdk);

    let outcome = visit.decide(&format!("connection('{id}').reconnect()"), "approve").await;
    assert_eq!(visit.connection("reconnecting", &outcome)["id"], *id);
    if visit.sdk == MEMBRANE {
        let outcome = visit.decide(&format!("connect({{connectionId: '{id}'}})"), "approve").await;
        assert_eq!(visit.connection("connecting a connection", &outcome)["id"], *id);
        let outcome = visit.decide("connect({integrationKey: 'demo', name: 'Second'})", "approve").await;
        assert_eq!(visit.connection("connecting an integration", &outcome)["name"], "Second");
    }
    assert_eq!(visit.setup.ids(&visit.tenant).await, [id], "{}", visit.sdk);
}

/// Keys are sent in a hidden frame.
async fn connects_with_keys(visit: &mut Visit<'_>) {
    let outcome = visit.call("integration('keyed').connect({parameters: {apiKey: 'bad'}})", false).await;
    visit.assert_error("a wrong key", &outcome, "connection");
    let outcome = visit.call("integration('keyed').connect()", false).await;
    visit.assert_error("no key", &outcome, "bad_request");
    let fields = outcome.pointer("/error/data/data/fields").unwrap_or_default().to_string();
    assert!(fields.contains("apiKey"), "{}: no key: {outcome}", visit.sdk);

    let good = "integration('keyed').connect({parameters: {apiKey: 'good'}})";
    let outcome = visit.call(good, false).await;
    let id = visit.connection("a key", &outcome)["id"].clone();
    let outcome = visit.call(good, false).await;
    assert_eq!(visit.connection("a key again", &outcome)["id"], id, "{}", visit.sdk);
    let reconnect = format!("connection({id}).reconnect({{parameters: {{apiKey: 'good'}}}})");
    let outcome = visit.call(&reconnect, false).await;
    assert_eq!(visit.connection("reconnecting with a key", &outcome)["id"], id, "{}", visit.sdk);

    let another = "integration('keyed').connect({parameters: {apiKey: 'good'}, allowMultipleConnections: true})";
    let mut ids = vec![id];
    for _ in 0..2 {
        let outcome = visit.call(another, false).await;
        let id = visit.connection("allowMultipleConnections", &outcome)["id"].clone();
        assert!(!ids.contains(&id), "{}: {id} is not a new connection", visit.sdk);
        ids.push(id);
    }
}

async fn chooses_an_option(visit: &mut Visit<'_>) {
    for (option, opens_popup) in [("key", false), ("oauth", true)] {
        let call =
            format!("integration('choice').connect({{authOptionKey: '{option}', parameters: {{apiKey: 'good'}}}})");
        let outcome = visit.call(&call, opens_popup).await;
        assert_eq!(visit.connection(option, &outcome)["authOptionKey"], option, "{}", visit.sdk);
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_sdks_hosted_screens_connect_in_a_frame() {
    let setup = Setup::new().await;
    let mut visit = Visit::new(&setup).await;
    for (sdk, tenant) in [(MEMBRANE, "fay"), (INTEGRATION_APP, "gus")] {
        visit.open(&setup.app(""), sdk, tenant).await;
        let id = connects_a_key_in_a_frame(&mut visit).await;
        connects_at_a_provider_from_a_frame(&mut visit).await;
        if sdk == MEMBRANE {
            shows_a_connection_in_a_frame(&mut visit, &id).await;
        }
    }
    let log = visit.chromium.log().await;
    let violations: Vec<_> = log.iter().filter(|line| line.contains("Content Security Policy")).collect();
    assert!(violations.is_empty(), "{violations:#?}");
    visit.open(&setup.server.uri(""), MEMBRANE, "fay").await;
    is_not_shown_at_an_unlisted_origin(&mut visit).await;
}

/// Returns the id of a connection through `keyed`.
async fn connects_a_key_in_a_frame(visit: &mut Visit<'_>) -> String {
    let (folder, is_new) = (screenshots(), visit.sdk == MEMBRANE);
    visit
        .open_screen(match is_new {
            true => "ui.connect({integrationKey: 'keyed', name: 'Framed'})",
            false => "integration('keyed').openNewConnection({name: 'Framed'})",
        })
        .await;
    visit.chromium.shows("Connect keyed").await;
    if is_new {
        visit.chromium.screenshots(&folder, "screen-key").await;
    }
    visit.chromium.fill("[name='input/apiKey']", "bad").await;
    visit.chromium.click(".primary").await;
    visit.chromium.shows("keyed did not accept these details").await;
    assert_eq!(visit.chromium.evaluate("document.activeElement.name").await, "input/apiKey");
    if is_new {
        visit.chromium.screenshots(&folder, "screen-key-rejected").await;
    }
    visit.chromium.fill("[name='input/apiKey']", "good").await;
    visit.chromium.press("Enter").await;
    let outcome = visit.end_screen().await;
    let connection = visit.connection("a key in a frame", &outcome);
    assert_eq!([&connection["name"], &connection["state"]], ["Framed", "READY"]);
    let id = connection["id"].as_str().expect("an id").to_owned();

    visit.open_screen(&format!("connection('{id}').openReconnectUI()")).await;
    visit.chromium.shows("Reconnect keyed").await;
    visit.chromium.fill("[name='input/apiKey']", "good").await;
    visit.chromium.click(".primary").await;
    let outcome = visit.end_screen().await;
    assert_eq!(visit.connection("reconnecting in a frame", &outcome)["id"], *id);

    let opens = if is_new { "openNewConnectionV2" } else { "openNewConnection" };
    let another = format!("integration('keyed').{opens}({{allowMultipleConnections: true, name: 'Another'}})");
    visit.open_screen(&another).await;
    visit.chromium.click("button[name=cancel]").await;
    assert_eq!(visit.end_screen().await["ok"], Value::Null, "{}: canceled in a frame", visit.sdk);
    visit.open_screen(&another).await;
    visit.chromium.fill("[name='input/apiKey']", "good").await;
    visit.chromium.click(".primary").await;
    let outcome = visit.end_screen().await;
    let connection = visit.connection("another in a frame", &outcome);
    assert!(connection["id"] != *id && connection["name"] == "Another", "{connection}");
    id
}

async fn connects_at_a_provider_from_a_frame(visit: &mut Visit<'_>) {
    let (folder, is_new) = (screenshots(), visit.sdk == MEMBRANE);
    visit.open_screen("integration('demo').openNewConnection()").await;
    visit.chromium.shows("Continue").await;
    if is_new {
        visit.chromium.screenshots(&folder, "screen-departure").await;
    }
    if is_new {
        visit.leave_screen(None).await;
        visit.chromium.shows("Continue in the other window.").await;
        visit.chromium.screenshots(&folder, "screen-waiting").await;
        visit.chromium.page(visit.popups).await;
        visit.chromium.close().await;
        visit.chromium.frame(&visit.setup.target.base_uri).await;
    }
    visit.leave_screen(Some("deny")).await;
    visit.chromium.shows("Not connected").await;
    if is_new {
        visit.chromium.screenshots(&folder, "screen-denied").await;
    }
    visit.leave_screen(Some("approve")).await;
    let outcome = visit.end_screen().await;
    let id = visit.connection("a provider from a frame", &outcome)["id"].as_str().expect("an id").to_owned();
    assert_eq!(visit.chromium.open_pages().await, 1, "{}: the provider's windows", visit.sdk);

    visit.open_screen(&format!("connection('{id}').openReconnectUI()")).await;
    visit.leave_screen(Some("approve")).await;
    let outcome = visit.end_screen().await;
    assert_eq!(visit.connection("reconnecting at a provider", &outcome)["id"], *id);

    visit.open_screen("integration('choice').openNewConnection()").await;
    visit.chromium.shows("Choose how you want to connect.").await;
    if is_new {
        visit.chromium.screenshots(&folder, "screen-choice").await;
    }
    visit.chromium.click("button[value=oauth]").await;
    visit.leave_screen(None).await;
    let outcome = visit.end_screen().await;
    assert_eq!(visit.connection("an option in a frame", &outcome)["authOptionKey"], "oauth");
}

async fn shows_a_connection_in_a_frame(visit: &mut Visit<'_>, id: &str) {
    let folder = screenshots();
    visit.open_screen(&format!("ui.connection({{connectionId: '{id}'}})")).await;
    let shown = visit.chromium.shows("Connected").await;
    assert!(shown.contains("Framed"), "the name: {shown}");
    visit.chromium.screenshots(&folder, "screen-connection").await;
    visit.chromium.click("[data-close]").await;
    assert_eq!(visit.end_screen().await["ok"], Value::Null, "a connection that is only shown");

    visit.open_screen("ui.connect({integrationKey: 'choice', authOptionKey: 'none'})").await;
    visit.chromium.shows("Not connected").await;
    visit.chromium.screenshots(&folder, "screen-failed").await;
    visit.chromium.click("[data-close]").await;
    assert_eq!(visit.end_screen().await["ok"], Value::Null, "a screen that failed");

    let disconnect = format!("/connections/{id}/disconnect");
    visit.setup.send(&visit.tenant, Method::POST, &disconnect, &Value::Null).await.expect(StatusCode::NO_CONTENT);
    visit.open_screen(&format!("ui.connection({{connectionId: '{id}'}})")).await;
    visit.chromium.shows("Reconnect needed").await;
    visit.chromium.screenshots(&folder, "screen-disconnected").await;
    visit.chromium.click("[data-close]").await;
    visit.end_screen().await;

    visit.open_screen(&format!("ui.connection({{connectionId: '{id}', theme: 'dark'}})")).await;
    let color = "getComputedStyle(document.documentElement).backgroundColor";
    visit.chromium.shows("Reconnect needed").await;
    assert_eq!(visit.chromium.evaluate(color).await, "rgb(28, 25, 23)", "the theme");
    visit.chromium.click("form .button").await;
    visit.chromium.shows("Reconnect keyed").await;
    assert_eq!(visit.chromium.evaluate(color).await, "rgb(28, 25, 23)", "the theme");
    visit.chromium.fill("[name='input/apiKey']", "good").await;
    visit.chromium.click(".primary").await;
    let outcome = visit.end_screen().await;
    assert_eq!(visit.connection("reconnecting a connection that is shown", &outcome)["id"], *id);
}

async fn is_not_shown_at_an_unlisted_origin(visit: &mut Visit<'_>) {
    for call in ["ui.connect({integrationKey: 'keyed'})", "integration('keyed').openNewConnection()"] {
        visit.begin(call).await;
        visit.chromium.shows("Unable to connect").await;
        visit.chromium.click("button").await;
        assert_eq!(visit.end_screen().await["ok"], Value::Null, "{call}");
    }
    let log = visit.chromium.log().await;
    assert!(log.iter().any(|line| line.contains("frame-ancestors")), "{log:#?}");
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_screen_speaks_only_to_the_page_around_it() {
    let setup = Setup::new().await;
    let mut visit = Visit::new(&setup).await;
    visit.open(&setup.app(""), MEMBRANE, "hal").await;
    // A page of an unlisted origin, in a frame beside the screen, answers before the application can.
    let other = setup.server.uri("/done");
    let embed = format!("document.body.append(Object.assign(document.createElement('iframe'), {{src: '{other}'}}))");
    visit.chromium.evaluate(&embed).await;
    visit.chromium.frame(&other).await;
    visit
        .chromium
        .evaluate(
            "globalThis.heard = []; addEventListener('message', ({data}) => heard.push(data)); setInterval(() => {
                for (let at = 0; at < parent.length; at += 1) {
                    if (parent[at] !== window) parent[at].postMessage({penpal: 'synAck', methodNames: ['onSuccess']}, '*');
                }
            }, 1); 0",
        )
        .await;
    visit.chromium.page(0).await;
    visit.open_screen("ui.connect({integrationKey: 'keyed'})").await;
    visit.chromium.fill("[name='input/apiKey']", "good").await;
    visit.chromium.click(".primary").await;
    visit.chromium.page(0).await;
    let outcome = visit.chromium.evaluate("app.end()").await;
    visit.connection("beside another frame", &outcome);
    visit.chromium.frame(&other).await;
    assert_eq!(visit.chromium.evaluate("heard").await, json!([]));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_screen_leads_to_a_provider_without_javascript() {
    let setup = Setup::new().await;
    let mut chromium = Chromium::start().await;
    chromium.javascript(false).await;
    let token = setup.target.tenant("ida");
    chromium.goto(&setup.target.uri(&format!("/embed/integrations/demo/connect?token={token}"))).await;
    chromium.click("#leave").await;
    chromium.page(1).await;
    chromium.click("button[value=approve]").await;
    chromium.shows("Connected").await;
    chromium.page(0).await;
    chromium.click("noscript button").await;
    chromium.shows("Connected").await;
    assert_eq!(setup.ids("ida").await.len(), 1);
}

async fn connects_in_the_same_window(visit: &mut Visit<'_>, decision: &str, result: &str) {
    let done = visit.setup.app("/done");
    let call = format!("integration('demo').connect({{sameWindow: true, redirectUri: '{done}'}})");
    visit.begin(&call).await;
    visit.chromium.click(&format!("button[value={decision}]")).await;
    visit.chromium.arrives(&format!("{done}{result}")).await;
}

async fn is_rejected_at_an_unlisted_origin(visit: &mut Visit<'_>) {
    let before = visit.setup.ids(&visit.tenant).await;
    visit.begin("integration('demo').connect({allowMultipleConnections: true})").await;
    visit.switch_to_popup().await;
    visit.chromium.shows("This link is not valid").await;
    let shown = visit.chromium.evaluate("document.querySelector('meta[name=larder-error]').content").await.to_string();
    let is_named = shown.contains("redirectUris") && shown.contains(&visit.setup.server.uri(""));
    assert!(is_named, "{}: the origin is not named: {shown}", visit.sdk);
    visit.chromium.close().await;
    assert_eq!(visit.end().await["ok"], Value::Null, "{}: an unlisted origin", visit.sdk);

    // The hidden frame can't tell the page.
    let key = "integration('keyed').connect({parameters: {apiKey: 'good'}, allowMultipleConnections: true})";
    visit.begin(key).await;
    let connect = format!("POST {}", visit.setup.target.uri("/connect"));
    visit.logged(|line| line.starts_with('4') && line.contains(&connect)).await;
    assert_eq!(visit.setup.ids(&visit.tenant).await, before, "{}: an unlisted origin", visit.sdk);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_react_hooks_show_and_change_connections() {
    let setup = Setup::new().await;
    let tenant = "eve";
    let create = async |body: Value| {
        let answer = setup.send(tenant, Method::POST, "/connections", &body).await;
        answer.expect(StatusCode::OK).json()["id"].as_str().expect("an id").to_owned()
    };
    let keyed = create(json!({"integrationKey": "keyed", "name": "With a key", "input": {"apiKey": "good"}})).await;
    let credentials = json!({"access_token": "issued", "refresh_token": "renewable", "expires_in": 3600});
    let choice =
        create(json!({"integrationKey": "choice", "authOptionKey": "oauth", "credentials": credentials})).await;
    // A page has 25.
    for number in 0..28 {
        let path = format!("/credentials?connectionId=plain-{number}");
        setup.send(tenant, Method::PUT, &path, &json!({"credentials": {}})).await.expect(StatusCode::CREATED);
    }
    let mut visit = Visit::new(&setup).await;
    visit.open(&setup.app(""), MEMBRANE, tenant).await;
    lists_connections(&mut visit.chromium, &keyed).await;
    changes_a_connection(&mut visit, &choice).await;
    shows_integrations(&mut visit.chromium, &keyed).await;
}

async fn lists_connections(page: &mut Chromium, keyed: &str) {
    let ids = "(it) => it.connections.map(({id}) => id)";
    page.evaluate("app.mount((react) => react.useConnections())").await;
    page.evaluate("app.until((it) => it.connections.length === 25)").await;
    page.evaluate("app.until(() => true, (it) => it.loadMore())").await;
    let all = page.evaluate(&format!("app.until((it) => it.connections.length === 30, {ids})")).await;
    let mut all: Vec<String> = serde_json::from_value(all).expect("ids");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 30, "a connection is listed twice: {all:?}");

    page.evaluate("app.mount((react) => react.useConnections({integrationKey: 'keyed'}))").await;
    let found = page.evaluate(&format!("app.until((it) => !it.loading && !it.refreshing, {ids})")).await;
    assert_eq!(found, json!([keyed]), "the filter `integrationKey`");
}

async fn changes_a_connection(visit: &mut Visit<'_>, id: &str) {
    let path = format!("/connections/{id}");
    let name = "(it) => it.connection?.name";
    visit.chromium.evaluate(&format!("app.mount((react) => react.useConnection('{id}'))")).await;
    let shown = visit.chromium.evaluate(&format!("app.until((it) => it.connection, {name})")).await;
    assert_eq!(shown, "choice");
    // The hook's `patch` sends everything that it knows about the connection.
    for (method, wanted) in [("patch", "Patched"), ("put", "Put")] {
        visit.chromium.evaluate(&format!("app.until(() => true, (it) => it.{method}({{name: '{wanted}'}}))")).await;
        let shown = visit.chromium.evaluate(&format!("app.until((it) => !it.saving, {name})")).await;
        assert_eq!(shown, wanted, "{method}");
        let stored = visit.setup.send(&visit.tenant, Method::GET, &path, &Value::Null).await.expect(StatusCode::OK);
        let stored = stored.json();
        assert_eq!([&stored["name"], &stored["authOptionKey"], &stored["state"]], [wanted, "oauth", "READY"]);
    }
    visit.chromium.evaluate("app.until(() => true, (it) => it.archive())").await;
    visit.setup.send(&visit.tenant, Method::GET, &path, &Value::Null).await.expect(StatusCode::NOT_FOUND);
    let error = visit.chromium.evaluate("app.until((it) => it.error, (it) => it.error.data)").await;
    assert_eq!(error["key"], "not_found", "{error}");
}

async fn shows_integrations(page: &mut Chromium, keyed: &str) {
    page.evaluate(
        "app.mount((react) => react.useIntegrations(), ({integrations}, createElement, react) =>
            integrations.map((it) => createElement(react.IntegrationItem, {key: it.key, integration: it})))",
    )
    .await;
    let keys =
        page.evaluate("app.until((it) => !it.loading, (it) => it.integrations.map(({key}) => key).sort())").await;
    assert_eq!(keys, json!(["choice", "demo", "keyed"]));
    let shown = page.shows("- connected").await;
    assert!(shown.contains("choice") && shown.contains("keyed"), "{shown}");
    assert_eq!(shown.matches("- connected").count(), 1, "{shown}");

    page.evaluate("app.mount((react) => react.useIntegration('keyed'))").await;
    let connection = page.evaluate("app.until((it) => it.integration, (it) => it.integration.connection.id)").await;
    assert_eq!(connection, keyed);
    page.evaluate("app.mount((react) => react.useConnectorSpec('keyed'))").await;
    let auth_type = page.evaluate("app.until((it) => it.data, (it) => it.data.auth.type)").await;
    assert_eq!(auth_type, "client-credentials");
}
