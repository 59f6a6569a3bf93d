//! The form of `/connect` in Chromium, at two widths and in two color schemes. The screenshots are kept beside the tests'
//! other output.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use larder_engine::connector::Catalog;
use larder_engine::connector::database_login::Driver;
use larder_engine::pages::{self, FormHead, Language, Mark, SchemaForm, WayToConnect};
use larder_tests::database::Database;
use larder_tests::loopback::{listen, serve};
use larder_tests::program::command;
use larder_tests::{Chromium, MockProvider, Program, Target, TempConnector, root};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

const SPEC: &str = "name: Mailer
parametersSchema: {type: object, properties: {apiUri: {type: string}}}
auth:
  getOAuthConfig: {implementationType: mapping}
  makeApiClient: {implementationType: mapping}
  test: {implementationType: rest-api-mapping}
  options:
    key:
      type: client-credentials
      title: API key
      description: For servers and other machines.
      helpUri: https://help.example/keys
      inputSchema:
        type: object
        properties:
          apiKey:
            {type: string, title: API key, description: Starts with key-., isSensitive: true, pattern: '^key-'}
          region: {type: string, title: Region, default: eu, enum: [eu, us]}
          plan: {type: string, title: Plan, enum: [free, starter, team, business, enterprise]}
          port: {type: integer, title: Port, minimum: 1, description: Defaults to 25.}
          contact: {type: string, title: Contact, format: email}
          sandbox: {type: boolean, title: Send nothing, description: Messages are checked but not sent.}
          since: {type: string, title: Messages since, format: date}
          privateKey: {type: string, title: Signing key, isSensitive: true, description: In PEM format.}
          sender:
            type: object
            title: Sender
            description: The name that people see.
            properties: {name: {type: string, title: Name}, copies: {type: array, title: Copies to}}
            required: [name]
        required: [apiKey, sender]
    login:
      type: oauth2
      title: Sign in
      description: For people with an account.
      inputSchema:
        type: object
        properties: {subdomain: {type: string, title: Subdomain, pattern: '^[a-z]+$'}}
        required: [subdomain]
";
const FILES: &[(&str, &str)] = &[
    ("spec.yml", SPEC),
    (
        "auth/get-oauth-config.map.yml",
        "clientId: the-client\nclientSecret: the-client-secret\n\
         authorizeUri: {$concat: [{$var: connectorParameters.apiUri}, /authorize?of=, {$var: connectionParameters.subdomain}]}\n\
         tokenUri: {$concat: [{$var: connectorParameters.apiUri}, /token]}\n",
    ),
    ("auth/make-api-client.map.yml", "baseUri: {$var: connectorParameters.apiUri}\n"),
    ("auth/test.rest.yml", "path: /me\nmethod: GET\n"),
];

/// A Larder with an integration `app`, its provider and a browser.
struct Setting {
    larder: Program,
    target: Target,
    provider: MockProvider,
    chromium: Chromium,
    /// The folder with Larder's data.
    data: PathBuf,
    _folders: (TempDir, TempConnector),
}

impl Setting {
    async fn new() -> Self {
        let (data, connector) = (tempfile::tempdir().expect("a folder"), TempConnector::new(FILES));
        let path = |path: &std::path::Path| path.to_str().expect("a path in UTF-8").to_owned();
        let (data_path, connectors) = (path(data.path()), path(connector.path()));
        let arguments = ["--data", &data_path, "--listen", "127.0.0.1:0", "--connectors", &connectors];
        let larder = Program::start(&arguments).await;
        let target = Target::local(&larder, data.path()).await;
        let provider = MockProvider::start().await;
        let body = json!({"connectorKey": "app", "name": "Acme Mail", "parameters": {"apiUri": provider.uri("")}});
        target.put("/integrations/app", &target.admin(), &body).await.expect(StatusCode::CREATED);
        let (chromium, folder) = (Chromium::start().await, data.path().to_owned());
        Self { larder, target, provider, chromium, data: folder, _folders: (data, connector) }
    }

    fn link(&self, tenant: &str, more: &str) -> String {
        self.target.uri(&format!("/connect?integrationKey=app&token={}{more}", self.target.tenant(tenant)))
    }

    async fn connection(&self, tenant: &str) -> Value {
        let id = connect::own_connection_id("local", "app", Some(tenant));
        self.target.get(&format!("/connections/{id}"), &self.target.admin()).await.json()
    }

    /// Asserts that no page violated its content security policy.
    async fn finish(mut self) {
        let log = self.chromium.log().await;
        assert!(!log.iter().any(|line| line.contains("Content Security Policy")), "{log:#?}");
        self.larder.kill().await;
    }
}

/// The folder for screenshots, which is build output.
pub(crate) fn screenshots() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_key_is_entered_wrong_first_and_then_right() {
    let mut it = Setting::new().await;
    let folder = screenshots();
    let link = it.link("ada", "");
    let chromium = &mut it.chromium;
    chromium.goto(&it.target.uri("/connect?integrationKey=app&token=no")).await;
    chromium.screenshots(&folder, "link-expired").await;
    chromium.goto(&link).await;
    let url = chromium.arrives(&it.target.uri("/connect?formTicket=")).await;
    assert!(!url.contains("token="), "{url}");
    chromium.shows("Choose how you want to connect.").await;
    chromium.screenshots(&folder, "choice").await;
    chromium.click("button[value=key]").await;
    chromium.shows("Other ways to connect").await;
    chromium.screenshots(&folder, "form").await;

    chromium.fill("[name='input/port']", "0").await;
    chromium.fill("[name='input/contact']", "me").await;
    chromium.click(".primary").await;
    chromium.shows("Please check your details").await;
    assert_eq!(chromium.evaluate("document.activeElement.name").await, "input/apiKey");
    chromium.screenshots(&folder, "form-invalid").await;

    it.provider.set_test_status(401);
    chromium
        .evaluate("for (const name of ['port', 'contact']) document.querySelector(`[name='input/${name}']`).value = ''")
        .await;
    chromium.fill("[name='input/apiKey']", "key-wrong").await;
    chromium.fill("[name='input/sender/name']", "Ada").await;
    chromium.click(".primary").await;
    chromium.shows("Acme Mail did not accept these details").await;
    assert_eq!(chromium.evaluate("document.activeElement.name").await, "input/apiKey");
    assert_eq!(chromium.evaluate("document.activeElement.value").await, "");
    chromium.screenshots(&folder, "form-rejected").await;

    it.provider.set_test_status(200);
    chromium.fill("[name='input/apiKey']", "key-right").await;
    // The window reports to its opener, of which there is none, and would close.
    chromium.click(".primary").await;
    chromium.shows("Connected").await;
    chromium.screenshots(&folder, "connected").await;
    assert_eq!(it.connection("ada").await["state"], "READY");
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_form_needs_neither_javascript_nor_a_mouse() {
    let mut it = Setting::new().await;
    let link = it.link("grace", "");
    let chromium = &mut it.chromium;
    chromium.javascript(false).await;
    chromium.goto(&link).await;
    assert_eq!(chromium.evaluate("document.title").await, "Connect Acme Mail");
    // The first way, by keyboard.
    chromium.press("Tab").await;
    chromium.press("Enter").await;
    chromium.shows("Starts with key-.").await;
    // The help link, the key, and the chosen region.
    for text in ["", "key-right", "", "f", "25", "ada@acme.example", " "] {
        chromium.press("Tab").await;
        chromium.type_text(text).await;
    }
    // The date has three parts, and a button that opens a calendar.
    chromium.evaluate("document.querySelector('textarea').focus()").await;
    chromium.press("Tab").await;
    chromium.type_text("Grace").await;
    chromium.press("Enter").await;
    chromium.shows("Connected").await;
    let id = connect::own_connection_id("local", "app", Some("grace"));
    let credentials = it.target.get(&format!("/credentials?connectionId={id}"), &it.target.admin()).await.json();
    let expected = json!({"apiKey": "key-right", "region": "eu", "plan": "free", "port": 25, "contact": "ada@acme.example",
                          "sandbox": true, "sender": {"name": "Grace"}});
    assert_eq!(credentials["credentials"], expected);
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_subdomain_is_entered_before_the_provider_is_visited() {
    let mut it = Setting::new().await;
    let folder = screenshots();
    let link = it.link("mary", "&authOptionKey=login");
    let chromium = &mut it.chromium;
    chromium.language("de").await;
    chromium.javascript(false).await;
    chromium.goto(&link).await;
    chromium.shows("Acme Mail verbinden").await;
    chromium.screenshots(&folder, "subdomain-de").await;
    chromium.press("Tab").await;
    chromium.type_text("A cme").await;
    chromium.press("Enter").await;
    chromium.shows("nicht das erwartete Format").await;
    assert_eq!(chromium.evaluate("document.activeElement.name").await, "input/subdomain");
    chromium.screenshots(&folder, "subdomain-invalid-de").await;
    for key in ["End", "Backspace", "Backspace", "Backspace", "Backspace", "Backspace"] {
        chromium.press(key).await;
    }
    chromium.type_text("acme").await;
    it.provider.script_api("GET /authorize", 200, &json!({}));
    chromium.press("Enter").await;
    let authorize = chromium.arrives(&it.provider.uri("/authorize?of=acme&")).await;
    chromium.goto(&it.provider.approve(&authorize)).await;
    chromium.shows("Verbunden").await;
    chromium.screenshots(&folder, "connected-de").await;
    assert_eq!(it.connection("mary").await["state"], "READY");
    it.finish().await;
}

/// Starts `larder connect` for a tenant. Returns it with the link that it prints.
async fn connecting(it: &Setting, tenant: &str) -> (Child, String) {
    let data = it.data.to_str().expect("a path in UTF-8");
    let arguments = ["connect", "app", "--tenant", tenant, "--no-browser", "--json", "--data", data, "--url"];
    let mut larder = command(&[&arguments[..], &[&it.target.base_uri]].concat()).spawn().expect("larder starts");
    let mut lines = BufReader::new(larder.stderr.take().expect("it is piped")).lines();
    loop {
        let line = lines.next_line().await.expect("UTF-8").expect("a link");
        if let Some(at) = line.find("http") {
            return (larder, line[at..].trim().to_owned());
        }
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn larder_connect_waits_until_a_key_is_right() {
    let mut it = Setting::new().await;
    let (mut larder, link) = connecting(&it, "lin").await;
    it.provider.set_test_status(401);
    let chromium = &mut it.chromium;
    chromium.goto(&link).await;
    chromium.click("button[value=key]").await;
    for (key, shown) in [("key-wrong", "Acme Mail did not accept these details"), ("key-right", "Connected")] {
        chromium.shows("Starts with key-.").await;
        chromium.fill("[name='input/apiKey']", key).await;
        if key == "key-wrong" {
            chromium.fill("[name='input/sender/name']", "Lin").await;
        }
        chromium.press("Enter").await;
        chromium.shows(shown).await;
        if key == "key-wrong" {
            // It reads the status every two seconds.
            tokio::time::sleep(Duration::from_millis(2500)).await;
            assert!(larder.try_wait().expect("a process").is_none(), "it did not wait");
        }
        it.provider.set_test_status(200);
    }
    let output = larder.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let id = connect::own_connection_id("local", "app", Some("lin"));
    assert_eq!((&printed["status"], &printed["resultConnectionId"]), (&json!("success"), &json!(id)));
    assert_eq!(it.connection("lin").await["state"], "READY");

    // Canceling ends it.
    let (larder, link) = connecting(&it, "grace").await;
    it.chromium.goto(&link).await;
    it.chromium.click("button[name=cancel]").await;
    it.chromium.shows("You canceled").await;
    it.chromium.screenshots(&screenshots(), "canceled").await;
    let output = larder.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_database_is_connected_through_a_link_by_keyboard_alone() {
    let server = Database::start(Driver::Postgres, None).await;
    let mut it = Setting::new().await;
    let folder = screenshots();
    let body = json!({"connectorKey": "postgres", "name": "Warehouse"});
    it.target.put("/integrations/db", &it.target.admin(), &body).await.expect(StatusCode::CREATED);
    let login = server.login();
    let body = json!({"integrationKeys": ["db", "app"], "lockedInput": {"database": login.database}}).to_string();
    let made = it.target.send(Method::POST, "/connection-requests", &it.target.tenant("edgar"), body).await;
    let made = made.expect(StatusCode::CREATED).json();
    let text = |name: &str| made[name].as_str().expect("a string").to_owned();
    let chromium = &mut it.chromium;
    chromium.javascript(false).await;
    chromium.goto(&text("url")).await;
    chromium.shows("Choose the account that you want to connect.").await;
    chromium.screenshots(&folder, "integrations").await;
    chromium.press("Tab").await;
    chromium.press("Enter").await;
    let shown = chromium.shows("Connect Warehouse").await;
    assert!(!shown.contains("Database\n") && shown.contains("Defaults to 5432."), "{shown}");
    chromium.screenshots(&folder, "database").await;

    // The help link comes first, and the database's name is locked.
    let port = login.port.to_string();
    for text in ["", &login.host, &port, &login.user, "letmein", ""] {
        chromium.press("Tab").await;
        chromium.type_text(text).await;
    }
    // The server has no TLS, so it must not be required.
    for key in ["ArrowDown", "ArrowDown", "Enter"] {
        chromium.press(key).await;
    }
    chromium.shows("Warehouse did not accept these details").await;
    assert_eq!(chromium.evaluate("document.activeElement.name").await, "input/password");
    chromium.screenshots(&folder, "database-rejected").await;
    let status = it.target.get(&format!("/connection-requests/{}", text("requestId")), &text("statusToken")).await;
    assert_eq!(status.json()["status"], "pending");
    chromium.type_text(Database::PASSWORD).await;
    chromium.press("Enter").await;
    chromium.shows("Connected").await;
    let status = it.target.get(&format!("/connection-requests/{}", text("requestId")), &text("statusToken")).await;
    let id = status.json()["resultConnectionId"].as_str().expect("an id").to_owned();
    let credentials = it.target.get(&format!("/credentials?connectionId={id}"), &it.target.admin()).await.json();
    let expected = json!({"host": login.host, "port": login.port, "database": login.database, "username": login.user,
                          "password": Database::PASSWORD, "tls": "prefer"});
    assert_eq!(credentials["credentials"], expected);

    // The link has done its work.
    chromium.goto(&text("url")).await;
    chromium.shows("already used").await;
    chromium.screenshots(&folder, "link-used").await;
    it.finish().await;
}

/// The forms on a contact sheet.
const ON_A_SHEET: usize = 12;

/// The structure of a page: its elements and the types of its controls.
fn structure(page: &str) -> String {
    let (_, body) = page.split_once("<main").expect("a main part");
    let tags = body.split('<').skip(1).map(|tag| {
        let name = tag.split([' ', '>']).next().unwrap_or_default();
        let kind = tag.split_once("type=\"").and_then(|(_, rest)| rest.split('"').next());
        format!("{name}:{} ", kind.unwrap_or_default())
    });
    tags.collect()
}

/// The different forms of the bundled connectors, and choices between ways, with the longest texts of each kind: names and
/// pages.
fn distinct_forms() -> Vec<(String, String)> {
    let catalog = Catalog::default().with_dirs(&[root().join("shared/connectors")]);
    let mut forms = BTreeMap::<String, (String, String)>::new();
    let mut keep = |name: String, page: String| {
        let kept = forms.entry(structure(&page)).or_default();
        if page.len() > kept.1.len() {
            *kept = (name, page);
        }
    };
    for (number, entry) in catalog.entries().iter().enumerate() {
        let connector = catalog.get(&entry.key).expect("it loads");
        let name = &connector.name;
        let mark = Mark::new(&connector.key, name, connector.logo_uri.as_deref());
        let head = FormHead {
            language: Language::ALL[number % Language::ALL.len()],
            name,
            connection: None,
            mark: &mark,
            is_reconnect: false,
            hidden: &[],
            can_cancel: true,
            frame: None,
        };
        if connector.options.len() > 1 {
            let ways: Vec<_> = connector.options.iter().map(|option| &**option).collect();
            keep(connector.key.clone(), pages::choice(head, &ways).into_body());
        }
        for option in &connector.options {
            let form = SchemaForm::new(option.input_schema.as_ref());
            if form.is_empty() {
                continue;
            }
            let way = WayToConnect { option, has_others: connector.options.len() > 1 };
            let page = pages::form(head, way, &form, &Map::new(), None).into_body();
            keep(format!("{} {}", connector.key, option.key), page);
        }
    }
    forms.into_values().collect()
}

/// A page with several forms in frames.
fn sheet(forms: &[(String, String)], first: usize) -> String {
    let frames = forms.iter().enumerate().skip(first).take(ON_A_SHEET);
    let frames: String = frames
        .map(|(at, (name, _))| {
            format!("<figure><figcaption>{name}</figcaption><iframe src=/{at} width=360 height=700></iframe></figure>")
        })
        .collect();
    format!(
        "<!doctype html><style>body {{ display: grid; grid-template-columns: repeat(4, 1fr) }} figure {{ margin: 8px }} \
         iframe {{ border: 0 }}</style>{frames}"
    )
}

/// Makes frames as high as their pages, whose margins depend on the height.
const RESIZE: &str =
    "for (const frame of [...document.querySelectorAll('iframe'), ...document.querySelectorAll('iframe')])
  frame.height = frame.contentDocument.querySelector('footer').getBoundingClientRect().bottom + 24";

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_forms_of_all_bundled_connectors_are_in_order() {
    let forms = distinct_forms();
    let names: Vec<_> = forms.iter().map(|(name, _)| name.clone()).collect();
    let (listener, address) = listen().await;
    serve(listener, move |request| {
        let path = request.uri().path().trim_start_matches('/');
        let body = match path.strip_prefix("sheet-") {
            Some(first) => sheet(&forms, first.parse().expect("a number")),
            None => path.parse::<usize>().ok().and_then(|at| Some(forms.get(at)?.1.clone())).unwrap_or_default(),
        };
        let response = http::Response::builder().header("content-type", "text/html; charset=utf-8");
        async move { Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).expect("a response")) }
    });
    let (mut chromium, folder) = (Chromium::start().await, screenshots());
    let accessibility = serde_json::to_string(include_str!("../../src/processes/accessibility.js")).expect("JSON");
    for first in (0..names.len()).step_by(ON_A_SHEET) {
        chromium.goto(&format!("http://{address}/sheet-{first}")).await;
        chromium.evaluate(RESIZE).await;
        for scheme in ["light", "dark"] {
            let path = folder.join(format!("sheet-{:02}-{scheme}.png", first / ON_A_SHEET));
            chromium.screenshot(&path, 1504, scheme).await;
            let findings = chromium.evaluate(&format!("Array.from(frames, (it) => it.eval({accessibility}))")).await;
            for (name, findings) in names.iter().skip(first).zip(findings.as_array().expect("a list")) {
                assert_eq!(*findings, json!([]), "{name}, {scheme}");
            }
        }
    }
}
