//! The form of `/connect` in Chromium, at two widths and in two color schemes. The screenshots are kept beside the tests'
//! other output.

use std::convert::Infallible;
use std::path::PathBuf;

use http::StatusCode;
use http_body_util::Full;
use hyper::body::Bytes;
use larder_engine::connector::Catalog;
use larder_engine::pages::{self, FormHead, Language, Mark, SchemaForm, WayToConnect};
use larder_tests::loopback::{listen, serve};
use larder_tests::{Chromium, MockProvider, Program, Target, TempConnector, root};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

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
        Self { larder, target, provider, chromium: Chromium::start().await, _folders: (data, connector) }
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
    chromium.shows("Mailer did not accept these details").await;
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
    chromium.goto(&link).await;
    chromium.shows("Acme Mail verbinden").await;
    chromium.screenshots(&folder, "subdomain-de").await;
    chromium.fill("[name='input/subdomain']", "acme").await;
    it.provider.script_api("GET /authorize", 200, &json!({}));
    chromium.press("Enter").await;
    let authorize = chromium.arrives(&it.provider.uri("/authorize?of=acme&")).await;
    chromium.goto(&it.provider.approve(&authorize)).await;
    chromium.shows("Verbunden").await;
    chromium.screenshots(&folder, "connected-de").await;
    assert_eq!(it.connection("mary").await["state"], "READY");
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_forms_of_all_bundled_connectors_are_in_order() {
    let catalog = Catalog::default().with_dirs(&[root().join("shared/connectors")]);
    let mut forms = Vec::new();
    for (number, entry) in catalog.entries().iter().enumerate() {
        let connector = catalog.get(&entry.key).unwrap();
        for option in connector.options.iter().filter(|option| option.input_schema.is_some()) {
            let mark = Mark::new(&connector.key, &connector.name, connector.logo_uri.as_deref());
            let head = FormHead {
                language: Language::ALL[number % Language::ALL.len()],
                name: &connector.name,
                provider: &connector.name,
                mark: &mark,
                is_reconnect: false,
                ticket: "",
                can_cancel: true,
            };
            let form = SchemaForm::new(option.input_schema.as_ref());
            let way = WayToConnect { option, has_others: connector.options.len() > 1 };
            forms.push((connector.key.clone(), pages::form(head, way, &form, &Map::new(), None).into_body()));
        }
    }
    let frames = forms.iter().enumerate().map(|(at, (key, _))| {
        format!("<figure><iframe src=/{at} width=360 height=700></iframe><figcaption>{key}</figcaption></figure>")
    });
    let sheet = format!(
        "<!doctype html><style>body {{ display: grid; grid-template-columns: repeat(3, 1fr) }}</style>{}",
        frames.collect::<String>()
    );
    let names: Vec<_> = forms.iter().map(|(key, _)| key.clone()).collect();
    let (listener, address) = listen().await;
    serve(listener, move |request| {
        let number = request.uri().path().trim_start_matches('/').parse::<usize>().ok();
        let body = number.and_then(|number| Some(forms.get(number)?.1.clone())).unwrap_or_else(|| sheet.clone());
        let response = http::Response::builder().header("content-type", "text/html; charset=utf-8");
        async move { Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).expect("a response")) }
    });
    let (mut chromium, folder) = (Chromium::start().await, screenshots());
    for (number, name) in names.iter().enumerate() {
        chromium.goto(&format!("http://{address}/{number}")).await;
        chromium.screenshots(&folder, &format!("bundled-{name}")).await;
    }
    chromium.goto(&format!("http://{address}/sheet")).await;
    chromium.screenshot(&folder.join("contact-sheet.png"), 1280, "light").await;
}
