//! No secret is logged or shown: the test runs every flow with marker secrets, and searches Larder's log, answers and
//! metrics for them. It captures the log of its process, and so needs a process of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use larder::connection::ConnectionKey;
use larder::digest::sha256_base64url;
use larder::environment::{CredentialsIn, Settings};
use larder::invocation::Invocation;
use larder_tests::{Answer, Browser, CredentialApi, Fault, MockProvider, World, is_alone};
use refresh::{Event, Refresh};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use url::Url;

/// Our own crates log everything. Dependencies may log their data at levels that no one enables in production.
const FILTER: &str = "info,larder=trace,larder_local=trace,connect=trace,oauth_callback=trace,get_credentials=trace,\
                      put_credentials=trace,connections=trace,refresh=trace";

/// The function `refresh` brings no connectors, so the test passes them.
const CONNECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/connectors");

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A secret like those of providers: long, with digits.
fn marker(name: &str) -> String {
    format!("marker-{name}-8f14e45fceea167a5a36dedd4bea2543")
}

/// The collected answers, and the secrets that must not be in them.
#[derive(Default)]
struct Evidence {
    answers: Vec<String>,
    secrets: Vec<String>,
}

impl Evidence {
    /// Keeps an answer with its headers, except the flow cookie, which is meant for this browser.
    fn keep(&mut self, answer: Answer) -> Answer {
        let text = answer.snapshot();
        let lines = text.lines().filter(|line| !line.starts_with("set-cookie: __Host-larder-"));
        self.answers.push(lines.collect::<Vec<_>>().join("\n"));
        answer
    }

    /// Keeps the state and the cookie of a new flow. Returns the URL to which the browser is redirected.
    fn keep_flow(&mut self, answer: &Answer) -> String {
        let location = answer.location();
        let url = Url::parse(&location).unwrap();
        let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        self.secrets.push(state.split(':').next().unwrap().to_owned());
        for cookie in answer.0.headers().get_all("set-cookie") {
            let (pair, _) = cookie.to_str().unwrap().split_once(';').unwrap();
            self.secrets.push(pair.split_once('=').unwrap().1.to_owned());
        }
        location
    }
}

fn tokens(name: &str) -> Value {
    json!({"access_token": marker(&format!("access-{name}")), "refresh_token": marker(&format!("refresh-{name}")),
           "id_token": marker("id-token"), "token_type": "Bearer", "expires_in": 3600})
}

#[tokio::test]
async fn no_secret_appears_in_logs_or_answers() {
    if !is_alone("logs::no_secret_appears_in_logs_or_answers").await {
        return;
    }
    let (log, json_log) = (Log::default(), Log::default());
    let (writer, json_writer) = (log.clone(), json_log.clone());
    let text_layer = tracing_subscriber::fmt::layer().with_span_events(FmtSpan::FULL).with_ansi(false);
    // The format that the functions use in AWS.
    let json_layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
    tracing_subscriber::registry()
        .with(EnvFilter::new(FILTER))
        .with(text_layer.with_writer(move || writer.clone()))
        .with(json_layer.with_writer(move || json_writer.clone()))
        .init();

    let mut evidence = Evidence::default();
    let (world, provider) = (World::with_connectors(vec![CONNECTORS.into()]).await, MockProvider::start().await);
    let parameters = json!({"clientSecret": marker("client-secret"), "extra": {"prompt": "consent"}});
    world.integrate(&provider, parameters.clone()).await;

    let id = connect(&world, &provider, &mut evidence).await;
    Box::pin(follow_links(&world, &provider, &mut evidence)).await;
    fail_to_connect(&world, &provider, &mut evidence).await;
    refresh(&world, &provider, &id, &mut evidence).await;
    store(&world, &mut evidence).await;
    reject_tokens(&world, &mut evidence).await;
    store_externally(&mut evidence).await;
    run_scripts(&mut evidence).await;
    notify_services(&mut evidence).await;

    // Larder's own secret file is damaged.
    let damage = json!({"workspaces/local": marker("damaged")});
    std::fs::write(world.folder().join("secrets.json"), damage.to_string()).unwrap();
    world.advance(600);
    for uri in ["/connections", "/connect?integrationKey=crm"] {
        let answer = evidence.keep(world.send(Method::GET, uri, &world.alice, None).await);
        assert!(answer.0.status().is_server_error());
    }
    std::fs::write(world.folder().join("secrets.json"), format!("\"{}", marker("damaged"))).unwrap();
    world.advance(600);
    let answer = evidence.keep(world.get("/connections").await);
    assert!(answer.0.status().is_server_error());

    let text = log.text();
    let kinds = ["a refresh failed", "internal error", "a dependency failed", "the exchange finished", "entered"];
    let members = ["function=\"connect\"", "status=401", "refusal=", "errorKey=", "outcome=\"refreshed\"", "due="];
    for part in kinds.into_iter().chain(members) {
        assert!(text.contains(part), "the log never contains {part:?}, so this test proves nothing: {text}");
    }
    let json_text = json_log.text();
    assert!(json_text.contains("consoleLevel"), "no script logged a line");
    for line in json_text.lines() {
        let Members(names) = serde_json::from_str(line).unwrap();
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "a member occurs twice: {line}");
    }
    let metrics = world.metrics();
    for name in ["Refreshes", "SecondsToExpiry", "ProviderLatency", "SweeperLag"] {
        assert!(metrics.iter().any(|line| line.get(name).is_some()), "no {name} was measured");
    }
    let metrics = metrics.iter().map(Value::to_string).collect::<Vec<_>>();
    assert!(evidence.answers.len() > 50);
    assert!(evidence.secrets.len() > 20);

    evidence.secrets.extend([world.admin.clone(), world.alice.clone()]);
    let requests = provider.token_requests();
    evidence.secrets.extend(requests.iter().filter_map(|it| it.get("code_verifier")).map(ToOwned::to_owned));
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    evidence.secrets.extend([signature(&world.admin), signature(&world.alice)]);
    evidence.secrets.push("marker-".to_owned());
    let log_lines = text.lines().chain(json_text.lines()).map(|line| ("log", line));
    let answer_lines = evidence.answers.iter().flat_map(|answer| answer.lines().map(|line| ("answer", line)));
    let metric_lines = metrics.iter().map(|line| ("metric", line.as_str()));
    for (place, line) in log_lines.chain(answer_lines).chain(metric_lines) {
        for secret in &evidence.secrets {
            assert!(!line.contains(secret.as_str()), "{secret} is in an {place}: {line}");
        }
    }
}

/// The names of an object's members, including duplicates.
struct Members(Vec<String>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Members(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// Connects by query and by form, and repeats the callbacks.
async fn connect(world: &World, provider: &MockProvider, evidence: &mut Evidence) -> String {
    let mut browser = Browser::default();
    let input = json!({"apiKey": marker("input")}).to_string();
    let payload = json!({"integrationKey": "crm", "token": world.alice, "input": {"apiKey": marker("input")},
                         "customState": marker("custom-state")});
    for name in ["query", "form"] {
        let answer = if name == "query" {
            let input: String = form_urlencoded::byte_serialize(input.as_bytes()).collect();
            let uri = format!("/connect?integrationKey=crm&token={}&input={input}&requestId=r1", world.alice);
            browser.get(world, &uri).await
        } else {
            browser.post(world, "/connect", &[("payload", &payload.to_string())]).await
        };
        let location = evidence.keep_flow(&answer.expect(StatusCode::FOUND));
        provider.script(200, &tokens(name));
        let callback = provider.come_back(&location, &[("code", &marker("code"))]);
        let page = browser.get(world, &callback).await.expect(StatusCode::OK);
        evidence.keep(page);
        // A repeated callback.
        let page = browser.get(world, &callback).await.expect(StatusCode::OK);
        evidence.keep(page);
        let other = callback.replace(&marker("code"), "another");
        evidence.keep(browser.get(world, &other).await.expect(StatusCode::BAD_REQUEST));
    }
    let list = world.get("/connections").await.json();
    list["items"][0]["id"].as_str().unwrap().to_owned()
}

/// Connects by links: one is denied and then confirmed, and one ends on a page.
async fn follow_links(world: &World, provider: &MockProvider, evidence: &mut Evidence) {
    let verifier = marker("code-verifier");
    let parameter = |url: &str, name: &str| {
        let url = Url::parse(url).unwrap();
        url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned()
    };
    for body in [
        json!({"redirectUri": "https://app.example/done?from=larder", "codeChallenge": sha256_base64url(&verifier)}),
        json!({"expiresIn": 60}),
    ] {
        let mut body = body;
        body["integrationKey"] = "crm".into();
        body["lockedInput"] = json!({"apiKey": marker("locked-input")});
        let created = world.send(Method::POST, "/connection-requests", &world.alice, Some(&body)).await.json();
        let [id, url, status_token] = ["requestId", "url", "statusToken"].map(|name| created[name].as_str().unwrap());
        let secrets = [parameter(url, "connectionRequestId"), status_token.to_owned()];
        evidence.secrets.extend(secrets);
        let (uri, mut browser) = (format!("/connection-requests/{id}"), Browser::default());
        let location = evidence.keep_flow(&browser.get(world, url).await.expect(StatusCode::FOUND));
        evidence.keep(browser.get(world, &provider.come_back(&location, &[("error", "access_denied")])).await);
        evidence.keep(world.send(Method::GET, &uri, status_token, None).await.expect(StatusCode::OK));
        provider.script(200, &tokens("link"));
        let location = evidence.keep_flow(&browser.get(world, url).await.expect(StatusCode::FOUND));
        let callback = provider.come_back(&location, &[("code", &marker("code"))]);
        let end = browser.get(world, &callback).await;
        if end.0.status() == StatusCode::FOUND {
            let code = parameter(&end.location(), "confirmation");
            let confirm = |code: &str| json!({"codeVerifier": verifier, "confirmation": code});
            evidence.secrets.push(code.clone());
            for body in [confirm(&marker("wrong-code")), confirm(&code)] {
                let answer = world.send(Method::POST, &format!("{uri}/confirm"), &world.alice, Some(&body)).await;
                evidence.keep(answer);
            }
        } else {
            evidence.keep(end.expect(StatusCode::OK));
        }
        let shown = evidence.keep(world.send(Method::GET, &uri, status_token, None).await);
        assert_eq!(shown.json()["status"], "success", "{}", shown.text());
        evidence.keep(Browser::default().get(world, url).await.expect(StatusCode::CONFLICT));
    }
}

/// Connects that fail in every way, reported on a page, by redirect and by message.
async fn fail_to_connect(world: &World, provider: &MockProvider, evidence: &mut Evidence) {
    let channels = ["", "&requestId=r1", "&redirectUri=https%3A%2F%2Fapp.example%2Fdone%3Ffrom%3Dlarder"];
    for (number, failure) in failures().into_iter().enumerate() {
        for channel in channels {
            let mut browser = Browser::default();
            let uri = format!("/connect?integrationKey=crm&allowMultipleConnections=1&token={}{channel}", world.alice);
            let location = evidence.keep_flow(&browser.get(world, &uri).await.expect(StatusCode::FOUND));
            provider.script_raw(failure.0, &failure.1, &[]);
            let callback = provider.come_back(&location, &[("code", &marker("code"))]);
            let answer = evidence.keep(browser.get(world, &callback).await);
            assert_ne!(answer.0.status(), StatusCode::OK, "{number}");
        }
    }
    for status in [400, 401, 500] {
        provider.set_test_status(status);
        provider.script(200, &tokens("untested"));
        let mut browser = Browser::default();
        let uri = format!("/connect?integrationKey=crm&token={}", world.alice);
        let location = evidence.keep_flow(&browser.get(world, &uri).await);
        evidence.keep(browser.get(world, &provider.come_back(&location, &[("code", &marker("code"))])).await);
    }
    provider.set_test_status(200);
    // Callbacks without a flow, and of another browser's flow.
    let mut browser = Browser::default();
    let uri = format!("/connect?integrationKey=crm&token={}", world.alice);
    let location = evidence.keep_flow(&browser.get(world, &uri).await);
    let code = ("code", &*marker("code"));
    evidence.keep(Browser::default().get(world, &provider.come_back(&location, &[code])).await);
    evidence.keep(browser.get(world, &provider.come_back(&location, &[code, code])).await);
    evidence.keep(browser.get(world, &provider.come_back(&location, &[code, ("error", "access_denied")])).await);
    evidence.keep(browser.get(world, &format!("/oauth-callback?code={}", marker("code"))).await);
    let uri = format!("/oauth-callback?code={}&state={}", marker("code"), marker("state"));
    evidence.keep(browser.get(world, &uri).await);
    evidence.keep(browser.get(world, &provider.come_back(&location, &[("error", &marker("code"))])).await);
    // Malformed connect requests.
    for payload in [format!("\"{}\"", marker("payload")), format!("{{\"name\":[\"{}\"]}}", marker("payload"))] {
        evidence.keep(browser.post(world, "/connect", &[("payload", &payload)]).await);
    }
    let uri = format!("/connect?integrationKey=crm&input=%22{}%22&token={}", marker("input"), world.alice);
    evidence.keep(browser.get(world, &uri).await);
    world.advance(60);
}

/// Answers of a token endpoint without a usable token. Some echo a secret.
fn failures() -> Vec<(u16, String)> {
    let secret = marker("echo");
    let echoed = json!({"error": "invalid_grant", "error_description": format!("the token {secret} is revoked")});
    vec![
        (400, echoed.to_string()),
        (400, json!({"error": secret, "error_description": secret}).to_string()),
        (401, json!({"error": "invalid_client", "error_description": format!("secret={secret}")}).to_string()),
        (400, json!({"error": {"code": secret, "message": secret}}).to_string()),
        (200, json!({"ok": false, "error": secret}).to_string()),
        (200, json!({"refresh_token": secret}).to_string()),
        (200, json!({"access_token": {"a": secret}}).to_string()),
        (200, json!([secret]).to_string()),
        (200, format!("<html>{secret}</html>")),
        (200, format!("{{\"access_token\":\"{secret}\"")),
        (200, format!("access_token=&error={secret}")),
        (429, secret.clone()),
        (503, format!("<html>{secret}</html>")),
        (302, secret),
    ]
}

/// Refreshes that succeed and fail: manual, due, for a reader, and by the function's own events.
async fn refresh(world: &World, provider: &MockProvider, id: &str, evidence: &mut Evidence) {
    let uri = format!("/connections/{id}/refresh-credentials");
    provider.script(200, &tokens("refreshed"));
    evidence.keep(world.post(&uri).await.expect(StatusCode::OK));
    for failure in failures() {
        // New credentials make the connection ready again after a permanent failure.
        let body = json!({"credentials": tokens("put")});
        let put = format!("/credentials?connectionId={id}");
        world.send(Method::PUT, &put, &world.alice, Some(&body)).await.expect(StatusCode::CREATED);
        world.advance(3300);
        provider.script_raw(failure.0, &failure.1, &[]);
        world.sweep().await;
        for uri in [format!("/connections/{id}"), "/connections".to_owned(), put] {
            world.advance(if uri.starts_with("/credentials") { 400 } else { 0 });
            provider.script_raw(failure.0, &failure.1, &[]);
            let answer = world.get(&uri).await;
            // Credentials are meant for this caller, so a successful read is not evidence.
            if answer.0.status() != StatusCode::OK || !uri.starts_with("/credentials") {
                evidence.keep(answer);
            }
        }
        provider.script_raw(failure.0, &failure.1, &[]);
        world.advance(7 * 3600);
        evidence.keep(world.post(&uri).await);
        while provider.pending_answers() > 0 {
            world.advance(7 * 3600);
            world.sweep().await;
            let body = json!({"credentials": tokens("put")});
            let put = format!("/credentials?connectionId={id}");
            world.send(Method::PUT, &put, &world.alice, Some(&body)).await.expect(StatusCode::CREATED);
        }
    }
    // An unreachable provider with a secret in its URL.
    let parameters = json!({"clientSecret": marker("client-secret"), "extra": {"prompt": "consent"}});
    let mut gone = parameters.clone();
    gone["tokenUri"] = format!("http://127.0.0.1:1/token?key={}", marker("token-uri")).into();
    gone["testUri"] = format!("http://127.0.0.1:1/me?key={}", marker("test-uri")).into();
    world.integrate(provider, gone).await;
    world.advance(7 * 3600);
    evidence.keep(world.post(&uri).await.expect(StatusCode::SERVICE_UNAVAILABLE));
    let answer = evidence.keep(world.post(&format!("/connections/{id}/test")).await.expect(StatusCode::OK));
    assert_eq!(answer.json()["success"], false);
    // Invalid parameters.
    let unusable = json!({"tokenUri": marker("token-uri"), "clientSecret": [marker("client-secret")]});
    let unusable = json!({"connectorKey": "oauth2", "parameters": unusable});
    let answer = world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&unusable)).await;
    evidence.keep(answer.expect(StatusCode::BAD_REQUEST));
    world.advance(7 * 3600);
    evidence.keep(world.post(&uri).await);
    evidence.keep(world.get(&format!("/connect?integrationKey=crm&token={}", world.alice)).await);
    evidence.keep(world.get("/integrations").await.expect(StatusCode::OK));

    world.integrate(provider, parameters).await;
    for status in [200, 401, 500] {
        provider.set_test_status(status);
        evidence.keep(world.post(&format!("/connections/{id}/test")).await.expect(StatusCode::OK));
    }
    provider.set_test_status(200);
    world.advance(7 * 3600);
    provider.script(200, &tokens("swept"));
    let function = Refresh::new(world.bundle.environment()).unwrap();
    for event in [
        json!({"workspace": "local", "connectionId": id}),
        json!({"workspace": "local", "connectionId": "unknown", "version": 1}),
        json!({"detail-type": "Scheduled Event"}),
    ] {
        let event: Event = serde_json::from_value(event).unwrap();
        let invocation = Invocation { function: "refresh".into(), ..Invocation::default() };
        let answer = invocation.handle(function.handle(event)).await.unwrap();
        evidence.answers.push(serde_json::to_string(&answer).unwrap());
    }
    assert_eq!(provider.pending_answers(), 0, "the function refreshed nothing");
}

/// Credentials stored in an external API, which fails in every way.
async fn store_externally(evidence: &mut Evidence) {
    let api = CredentialApi::start().await;
    let world = World::keeping(CredentialsIn::ExternalApi(api.url())).await;
    let uri = "/credentials?connectionId=outside";
    let body = json!({"credentials": {"password": marker("outside")}});
    evidence.keep(world.send(Method::PUT, uri, &world.alice, Some(&body)).await.expect(StatusCode::CREATED));
    let wrong = [format!("\"{}\"", marker("answer")), format!("{{\"credentials\":{}}}", marker("answer"))];
    let faults = wrong.map(Fault::Body).into_iter().chain([Fault::Cut, Fault::Redirect]);
    let refusal = Fault::Status(StatusCode::FORBIDDEN);
    let faults = faults.map(|fault| (Method::GET, fault));
    let refusals = [Method::GET, Method::PUT, Method::DELETE].map(|method| (method, refusal.clone()));
    for (method, fault) in faults.chain(refusals) {
        api.fail([fault]);
        let answer = world.send(method, uri, &world.alice, Some(&body)).await.expect(StatusCode::SERVICE_UNAVAILABLE);
        evidence.keep(answer);
    }
    // Nothing listens on this port anymore.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = Url::parse(&format!("http://127.0.0.1:{port}/?key={}", marker("key"))).unwrap();
    let unreachable = World::keeping(CredentialsIn::ExternalApi(url)).await;
    let answer = unreachable.send(Method::PUT, uri, &unreachable.alice, Some(&body)).await;
    evidence.keep(answer.expect(StatusCode::SERVICE_UNAVAILABLE));

    let calls = api.calls();
    let tokens = calls.iter().map(|call| call.header("x-membrane-token").unwrap());
    evidence.secrets.extend(tokens.map(|token| token.rsplit('.').next().unwrap().to_owned()));
}

/// A connector whose scripts log their arguments and put them into errors.
const LOGGING_CONNECTOR: &[(&str, &str)] = &[
    (
        "spec.yml",
        "name: App
auth:
  type: client-credentials
  inputSchema: {type: object, properties: {apiKey: {type: string}, refuse: {type: boolean}}, required: [apiKey]}
  getCredentialsFromConnectionParameters: {implementationType: javascript}
  refreshCredentials: {implementationType: javascript}
  makeApiClient: {mapping: {baseUri: 'https://app.example'}}
  test: {implementationType: javascript}
  disconnect: {implementationType: javascript}
",
    ),
    (
        "auth/get-credentials-from-connection-parameters.js",
        "export default function ({ connectionInput, connectorParameters }) {
  console.log('entered', connectionInput, connectorParameters)
  if (connectionInput.refuse) throw new Error(`no ${connectionInput.apiKey} of ${JSON.stringify(connectorParameters)}`)
  return { apiKey: connectionInput.apiKey, expires_in: 3600 }
}",
    ),
    (
        "auth/refresh-credentials.js",
        "export default ({ credentials }) => { console.error(credentials); throw { message: credentials.apiKey, data: credentials } }",
    ),
    ("auth/test.js", "export default ({ credentials }) => { console.info({ credentials }); return true }"),
    ("auth/disconnect.js", "export default ({ credentials }) => { throw new TypeError(credentials.apiKey) }"),
];

/// Scripts that use their secrets in every way, short of splitting them up.
async fn run_scripts(evidence: &mut Evidence) {
    let world = World::with_connector(LOGGING_CONNECTOR).await;
    let parameters = json!({"parameters": {"clientSecret": marker("app-secret")}});
    world.integrate_app(parameters).await.expect(StatusCode::CREATED);
    for (refuse, status) in [(true, StatusCode::BAD_REQUEST), (false, StatusCode::OK)] {
        let input = json!({"apiKey": marker("api-key"), "refuse": refuse});
        for channel in [json!({"input": input}), json!({"input": input, "requestId": "r1"})] {
            evidence.keep(world.connect_app(channel).await.expect(status));
        }
    }
    let id = world.get("/connections").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    evidence.keep(world.post(&format!("/connections/{id}/test")).await.expect(StatusCode::OK));
    let refresh = format!("/connections/{id}/refresh-credentials");
    evidence.keep(world.post(&refresh).await.expect(StatusCode::SERVICE_UNAVAILABLE));
    world.advance(3600);
    world.sweep().await;
    evidence.keep(world.get(&format!("/connections/{id}")).await.expect(StatusCode::OK));
    evidence.keep(world.get(&format!("/credentials?connectionId={id}")).await.expect(StatusCode::SERVICE_UNAVAILABLE));
    let uri = format!("/connections/{id}");
    evidence.keep(world.send(Method::DELETE, &uri, &world.admin, None).await.expect(StatusCode::NO_CONTENT));
}

/// Data sent to other services: events on the bus, and messages on the recovery queue.
async fn notify_services(evidence: &mut Evidence) {
    let (world, aws) = World::deployed(|settings| Settings {
        recovery_queue: Some("http://queues/recovery".into()),
        event_bus: Some("larder".into()),
        ..settings
    })
    .await;
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({"clientSecret": marker("client-secret")})).await;
    provider.script(200, &tokens("first"));
    let id = world.connect(&provider).await;
    provider.script(200, &tokens("unsaved"));
    world.advance(3300);
    aws.fail("Save");
    world.sweep().await;
    aws.restore("Save");
    provider.script_raw(400, &json!({"error": "invalid_grant", "error_description": marker("echo")}).to_string(), &[]);
    world.advance(161);
    world.sweep().await;
    world.advance(161);
    world.sweep().await;
    assert_eq!(world.connection(&id).await["state"], "CLIENT_ACTION_REQUIRED");
    let (messages, events) = (aws.take_messages(), aws.take_events());
    assert_eq!((messages.len(), events.len()), (1, 2));
    evidence.answers.extend(messages);
    evidence.answers.extend(events.iter().map(|(name, detail)| format!("{name} {detail}")));
}

/// The storage protocol, with valid and invalid requests.
async fn store(world: &World, evidence: &mut Evidence) {
    let uri = "/credentials?connectionId=stored";
    let secret = marker("body");
    for body in [
        format!(r#"{{"credentials":{{"password":"{secret}"}}}}"#),
        format!(r#"{{"credentials":"{secret}"}}"#),
        format!(r#"{{"credentials":"{secret}""#),
        format!(r#"{{"credentials":"{secret}"}} {secret}"#),
        format!(r#"{{"credential":"{secret}"}}"#),
        format!(r#""{secret}""#),
        format!(r#"["{secret}"]"#),
        secret.clone(),
        format!(r#"{{"credentials":"{}"}}"#, secret.repeat(10_000)),
    ] {
        evidence.keep(world.send_raw(Method::PUT, uri, &world.alice, body).await);
    }
    assert_eq!(world.credentials("stored").await, secret);
    evidence.keep(world.get("/connections/stored").await.expect(StatusCode::OK));
    // The sealed credentials are damaged.
    let connections = world.bundle.environment().connections();
    let mut connection = connections.get(&ConnectionKey::new("local", "stored")).await.unwrap().unwrap();
    if let Some(byte) = connection.sealed.last_mut() {
        *byte ^= 1;
    }
    let expect = larder::dynamodb::Expect::Version(connection.version);
    assert_eq!(connections.put(&connection, expect).await.unwrap(), larder::dynamodb::Write::Done);
    evidence.keep(world.get(uri).await.expect(StatusCode::INTERNAL_SERVER_ERROR));
    evidence.keep(world.send(Method::DELETE, uri, &world.alice, None).await.expect(StatusCode::NO_CONTENT));
    evidence.keep(world.get(uri).await.expect(StatusCode::NOT_FOUND));

    for body in [
        json!({"connectorKey": "oauth2", "parameters": secret}),
        json!({"connectorKey": "oauth2", "parameters": [secret]}),
        json!({"connectorKey": "oauth2", "name": {"secret": secret}}),
        json!({"connectorKey": "oauth2", "redirectUris": {"secret": secret}}),
    ] {
        evidence.keep(world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&body)).await);
    }
}

/// Rejected tokens.
async fn reject_tokens(world: &World, evidence: &mut Evidence) {
    let [header, claims, signature] = world.alice.split('.').collect::<Vec<_>>()[..] else { panic!("a token") };
    for token in [
        marker("token"),
        format!("{header}.{claims}.{}", marker("signature")),
        format!("{header}.{}.{signature}", marker("claims")),
        format!("{}.{claims}.{signature}", marker("header")),
    ] {
        evidence.keep(world.send(Method::GET, "/connections", &token, None).await.expect(StatusCode::UNAUTHORIZED));
        let request = http::Request::get("/credentials?connectionId=c1").header("x-membrane-token", &token);
        evidence.keep(Answer(world.bundle.handle(request.body(Default::default()).unwrap()).await));
        let uri = format!("/connect?integrationKey=crm&token={token}");
        evidence.keep(Browser::default().get(world, &uri).await.expect(StatusCode::UNAUTHORIZED));
    }
    let uri = format!("/nowhere?token={}", world.alice);
    evidence.keep(world.get(&uri).await.expect(StatusCode::NOT_FOUND));
}
