//! Larder in Chromium: other origins, cookies, forms, content security policies and reloads.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use larder_tests::loopback::{listen, serve};
use larder_tests::{Chromium, Program, Target};
use serde_json::{Value, json};
use url::Url;

pub(crate) async fn start(data: &Path) -> Program {
    Program::start(&["--data", data.to_str().expect("a path in UTF-8"), "--listen", "127.0.0.1:0"]).await
}

/// Starts a web server on another origin and another site: it is at `localhost`, Larder at `127.0.0.1`. Returns its base URL
/// and the requests it receives.
pub(crate) async fn site(
    answer: impl Fn(&str) -> (&'static str, String) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    site_with(&[], answer).await
}

/// As [`site`], with more headers.
pub(crate) async fn site_with(
    headers: &'static [(&str, &str)],
    answer: impl Fn(&str) -> (&'static str, String) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let (listener, address) = listen().await;
    let (answer, requests) = (Arc::new(answer), Arc::<Mutex<Vec<String>>>::default());
    let seen = Arc::clone(&requests);
    serve(listener, move |request| {
        let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        seen.lock().expect("the lock is not poisoned").push(target.clone());
        let (content_type, body) = answer(&target);
        let response = http::Response::builder().header("content-type", content_type);
        let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
        async move { Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).expect("a response")) }
    });
    (format!("http://localhost:{}", address.port()), requests)
}

pub(crate) fn page(body: &str) -> (&'static str, String) {
    ("text/html", format!("<!doctype html><title>A page</title>{body}"))
}

/// Asserts that no page violated its content security policy.
pub(crate) async fn assert_no_violation(chromium: &mut Chromium) {
    let log = chromium.log().await;
    assert!(!log.iter().any(|line| line.contains("Content Security Policy")), "{log:#?}");
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn no_web_page_can_read_or_write_the_embedded_database() {
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path()).await;
    let environment = fs::read_to_string(data.path().join("lambda.env")).expect("the environment file");
    let value = |name: &str| {
        let (_, rest) = environment.split_once(&format!("{name}=\"")).expect("a variable");
        rest.split_once('"').expect("an end").0.to_owned()
    };
    let endpoint = value("AWS_ENDPOINT_URL_DYNAMODB");
    let port = Url::parse(&endpoint).ok().and_then(|url| url.port()).expect("a port");
    let table = json!({ "TableName": "larder-workspaces" }).to_string();
    let form = format!(
        "<form method=post enctype=text/plain action='{endpoint}'><input name='{table}' value=''><button>Go</button></form>"
    );
    let (evil, _) = site(move |_| page(&form)).await;
    let mut chromium = Chromium::start_with(&["--host-resolver-rules=MAP rebound.example 127.0.0.1"]).await;

    let fetch = |url: &str, mode: &str, operation: &str| {
        format!(
            "fetch('{url}', {{method: 'POST', mode: '{mode}', body: JSON.stringify({table}), headers: {{\
             'content-type': '{}', 'x-amz-target': 'DynamoDB_20120810.{operation}', 'x-amz-date': '20260101T000000Z', \
             authorization: 'AWS4-HMAC-SHA256 Credential=larder/20260101/local/dynamodb/aws4_request, \
             SignedHeaders=host, Signature=00'}}}}).then((it) => it.text(), (error) => `failed: ${{error}}`)",
            if mode == "cors" { "application/x-amz-json-1.0" } else { "text/plain" }
        )
    };
    chromium.goto(&evil).await;
    for operation in ["Scan", "DeleteTable"] {
        let answer = chromium.evaluate(&fetch(&endpoint, "cors", operation)).await;
        assert!(answer.as_str().is_some_and(|it| it.starts_with("failed: ")), "{answer}");
        // The request is sent without the headers that DynamoDB needs, and the page cannot read the response.
        assert_eq!(chromium.evaluate(&fetch(&endpoint, "no-cors", operation)).await, "");
    }
    chromium.click("button").await;
    chromium.shows("AccessDeniedException").await;

    // A page whose own host name resolves to this address (DNS rebinding).
    assert_eq!(chromium.goto(&format!("http://rebound.example:{port}/")).await, 400);
    let answer = chromium.evaluate(&fetch("/", "cors", "Scan")).await;
    assert!(answer.as_str().is_some_and(|it| it.contains("AccessDeniedException")), "{answer}");
    larder.get("/integrations/demo", &larder.admin).await.expect(StatusCode::OK);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_demo_redirects_to_an_application_on_another_origin() {
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path()).await;
    let (app, _) = site(|_| page("<h1>The application</h1>")).await;
    let done = format!("{app}/done");
    let integration = larder.get("/integrations/demo", &larder.admin).await.expect(StatusCode::OK).json();
    let mut redirect_uris = integration["redirectUris"].as_array().expect("a list").clone();
    assert!(redirect_uris.contains(&json!("http://localhost:3000/")), "{redirect_uris:?}");
    redirect_uris.push(json!(done));
    let body = json!({"connectorKey": "demo", "redirectUris": redirect_uris}).to_string();
    larder.send(Method::PUT, "/integrations/demo", &larder.admin, &body).await.expect(StatusCode::OK);
    let link = format!("{}&redirectUri={done}", larder.connect_link.as_ref().expect("a connect link"));

    let mut chromium = Chromium::start().await;
    for (decision, outcome) in [("approve", "connectionId="), ("deny", "error=")] {
        chromium.goto(&link).await;
        chromium.click(&format!("button[value={decision}]")).await;
        let end = chromium.arrives(&done).await;
        assert!(end.starts_with(&format!("{done}?{outcome}")), "{end}");
        chromium.shows("The application").await;
    }
    assert_no_violation(&mut chromium).await;

    // The list survives a restart.
    larder.kill().await;
    let larder = start(data.path()).await;
    let again = larder.get("/integrations/demo", &larder.admin).await.expect(StatusCode::OK).json();
    assert_eq!(again["redirectUris"], json!(redirect_uris));
}

/// Starts a provider that makes the browser POST the callback, and an integration `crm` that uses it. Returns the requests to
/// the provider.
async fn posting_provider(target: &Target) -> Arc<Mutex<Vec<String>>> {
    let (provider, requests) = site(|target| {
        let Some(query) = target.strip_prefix("/authorize?") else {
            let tokens = json!({"access_token": "a", "refresh_token": "r", "expires_in": 3600});
            return ("application/json", tokens.to_string());
        };
        let parameters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let get = |name: &str| &parameters.iter().find(|(key, _)| key == name).expect("a parameter").1;
        let (action, state) = (get("redirect_uri"), get("state"));
        page(&format!(
            "<form method=post action='{action}'><input name=code value=the-code><input name=state value='{state}'>\
             <input name=user value='{{\"name\":\"Ada\"}}'></form><script>document.forms[0].submit()</script>"
        ))
    })
    .await;
    let uri = |path: &str| format!("{provider}{path}");
    let body = json!({"connectorKey": "oauth2", "parameters": {
        "clientId": "the-client", "clientSecret": "the-client-secret", "authorizeUri": uri("/authorize"),
        "tokenUri": uri("/token"), "testUri": uri("/me"),
    }});
    target.put("/integrations/crm", &target.admin(), &body).await.expect(StatusCode::CREATED);
    requests
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_posted_callback_connects_and_survives_a_reload() {
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path()).await;
    let target = Target::local(&larder, data.path()).await;
    let requests = posting_provider(&target).await;
    let link = format!("/connect?integrationKey=crm&token={}", target.tenant("alice"));
    let mut chromium = Chromium::start().await;
    chromium.goto(&target.uri(&link)).await;
    let shown = chromium.shows("Connected").await;
    chromium.arrives(&target.uri("/oauth-callback?code=the-code&state=")).await;
    assert_eq!(chromium.reload().await, 200);
    assert_eq!(chromium.shows("Connected").await, shown);
    let exchanges = requests.lock().expect("the lock is not poisoned").iter().filter(|it| *it == "/token").count();
    assert_eq!(exchanges, 1);
    let log = chromium.log().await;
    assert!(log.iter().any(|line| line.starts_with("200 POST ") && line.ends_with("/oauth-callback")), "{log:#?}");
    assert_no_violation(&mut chromium).await;
    let id = connect::own_connection_id("local", "crm", Some("alice"));
    let connection: Value = target.get(&format!("/connections/{id}"), &target.admin()).await.json();
    assert_eq!(connection["state"], "READY");

    // A flow that began at another name of this machine, which keeps the cookie.
    let elsewhere = target.base_uri.replace("127.0.0.1", "localhost");
    chromium.goto(&format!("{elsewhere}{link}")).await;
    let shown = chromium.shows("Not connected").await;
    assert!(shown.contains(&format!("started at {elsewhere},")) && shown.contains(&target.base_uri), "{shown}");
}
