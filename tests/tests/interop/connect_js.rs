//! `/connect.js` in Chromium, on a page of an application on another site.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use larder::caller::Claims;
use larder_tests::{Chromium, MockProvider, Program, Target};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chromium::{assert_no_violation, page, site, site_with, start};

/// The page of the application: its button calls `connect`, and its text says how that ended.
const APP: &str = r#"<button>Connect</button><p>Ready</p><script type=module>
import { connect, ConnectError } from "LARDER/connect.js";
const show = (text) => { document.querySelector("p").textContent = text; };
const controller = new AbortController();
window.abort = () => controller.abort(new Error("changed my mind"));
window.run = () => {
  show("Waiting");
  const options = fetch("/options").then((answer) => answer.json()).then((it) => ({ ...it, signal: controller.signal }));
  connect(options).then(
    (result) => show(`Connected: ${JSON.stringify(result)}`),
    (error) => show(`Rejected: ${error instanceof ConnectError} ${error.key}: ${error.message}`),
  );
};
document.querySelector("button").onclick = window.run;
</script>"#;

/// A Larder, an application on another site, and a browser that shows the application.
struct Setting {
    larder: Program,
    target: Target,
    app: String,
    /// The options that the application's server passes on.
    options: Arc<Mutex<Value>>,
    chromium: Chromium,
    _data: TempDir,
}

impl Setting {
    async fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let larder = start(data.path()).await;
        let target = Target::local(&larder, data.path()).await;
        let options = Arc::<Mutex<Value>>::default();
        let (given, body) = (Arc::clone(&options), APP.replace("LARDER", &larder.base_uri));
        let (app, _) = site(move |path| match path {
            "/options" => ("application/json", given.lock().expect("the lock is not poisoned").to_string()),
            _ => page(&body),
        })
        .await;
        let mut chromium = Chromium::start().await;
        chromium.goto(&app).await;
        Self { larder, target, app, options, chromium, _data: data }
    }

    /// A token as pages should have it.
    fn token(&self) -> String {
        let scope = Some("connections:connect".to_owned());
        self.target.sign(Claims { tenant_key: Some("ada".into()), scope, ..Claims::default() })
    }

    /// Creates a connection request, as the application's server.
    async fn request(&self, body: Value) -> Value {
        let created = self.target.send(Method::POST, "/connection-requests", &self.token(), body.to_string()).await;
        created.expect(StatusCode::CREATED).json()
    }

    /// Presses the button of the application with these options.
    async fn press(&mut self, options: Value) {
        *self.options.lock().expect("the lock is not poisoned") = options;
        self.chromium.page(0).await;
        self.chromium.click("button").await;
    }

    /// Waits until the application shows a string.
    async fn shows(&mut self, text: &str) -> String {
        self.chromium.page(0).await;
        self.chromium.shows(text).await
    }

    async fn connections(&self) -> Vec<Value> {
        let listed = self.target.get("/connections?tenantId=ada", &self.target.admin()).await.expect(StatusCode::OK);
        listed.json()["items"].as_array().expect("a list").clone()
    }

    /// Asserts that no page violated its content security policy.
    async fn finish(mut self) {
        assert_no_violation(&mut self.chromium).await;
        self.larder.kill().await;
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_popup_connects_by_oauth_and_closes() {
    let mut it = Setting::new().await;
    let options = json!({"token": it.token(), "integrationKey": "demo", "name": "My demo", "redirectUri": "http://localhost:3000/"});
    it.press(options).await;
    it.chromium.page(1).await;
    it.chromium.click("button[value=approve]").await;
    let shown = it.shows("Connected: ").await;
    let connections = it.connections().await;
    assert!(shown.contains(connections[0]["id"].as_str().expect("an id")), "{shown}");
    assert_eq!((&connections[0]["name"], &connections[0]["state"]), (&json!("My demo"), &json!("READY")));
    it.chromium.closes(1).await;
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_popup_connects_by_a_key_with_a_request_of_the_server() {
    let mut it = Setting::new().await;
    let provider = MockProvider::start().await;
    let parameters = json!({"name": "x-api-key", "baseUri": provider.uri(""), "testUri": provider.uri("/me")});
    let body = json!({"connectorKey": "api-key", "parameters": parameters});
    it.target.put("/integrations/keyed", &it.target.admin(), &body).await.expect(StatusCode::CREATED);
    let request = it.request(json!({"integrationKey": "keyed"})).await;
    // The request's id follows from its link.
    it.press(json!({"url": request["url"], "statusToken": request["statusToken"]})).await;
    it.chromium.page(1).await;
    provider.set_test_status(401);
    it.chromium.fill("[name='input/apiKey']", "wrong-key").await;
    it.chromium.click(".primary").await;
    it.chromium.shows("did not accept these details").await;
    // The request has failed, but the end user tries again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(it.shows("Waiting").await.contains("Waiting"));
    provider.set_test_status(200);
    it.chromium.page(1).await;
    it.chromium.fill("[name='input/apiKey']", "right-key").await;
    it.chromium.click(".primary").await;
    let shown = it.shows("Connected: ").await;
    assert!(shown.contains(request["requestId"].as_str().expect("an id")), "{shown}");
    assert_eq!(it.connections().await[0]["integrationKey"], "keyed");
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn closing_the_popup_and_declining_reject_at_once() {
    let mut it = Setting::new().await;
    let options = json!({"token": it.token(), "integrationKey": "demo"});
    it.press(options.clone()).await;
    it.chromium.page(1).await;
    it.chromium.shows("Demo provider").await;
    it.chromium.close().await;
    it.shows("Rejected: true closed: the window was closed").await;

    it.press(options.clone()).await;
    it.chromium.page(2).await;
    it.chromium.click("button[value=deny]").await;
    let shown = it.shows("Rejected: true ").await;
    assert!(shown.contains("access_denied"), "{shown}");
    it.chromium.closes(2).await;

    it.press(options).await;
    it.chromium.page(3).await;
    it.chromium.shows("Demo provider").await;
    it.chromium.page(0).await;
    it.chromium.evaluate("window.abort()").await;
    it.shows("Rejected: false undefined: changed my mind").await;
    it.chromium.closes(3).await;
    assert_eq!(it.connections().await.len(), 0);
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_blocked_popup_leads_through_the_same_window() {
    let mut it = Setting { chromium: Chromium::start_blocking_popups().await, ..Setting::new().await };
    it.chromium.goto(&it.app).await;
    let body = json!({"redirectUris": [format!("{}/done", it.app)]}).to_string();
    it.target.send(Method::PATCH, "/integrations/demo", &it.target.admin(), body).await.expect(StatusCode::OK);
    let options = json!({"token": it.token(), "integrationKey": "demo", "redirectUri": format!("{}/done", it.app)});
    *it.options.lock().expect("the lock is not poisoned") = options;
    // Too long after the last input.
    it.chromium.evaluate("void setTimeout(window.run, 5500)").await;
    it.chromium.click("button[value=approve]").await;
    let url = it.chromium.arrives(&format!("{}/done?connectionId=", it.app)).await;
    assert!(url.contains(it.connections().await[0]["id"].as_str().expect("an id")), "{url}");
    assert!(url.contains("&requestId="), "{url}");
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_result_arrives_even_if_the_provider_cuts_the_opener_off() {
    let mut it = Setting::new().await;
    let cuts_off = &[("cross-origin-opener-policy", "same-origin")];
    let (provider, _) = site_with(cuts_off, |target| {
        let Some(query) = target.strip_prefix("/authorize?") else {
            return (
                "application/json",
                json!({"access_token": "a", "refresh_token": "r", "expires_in": 3600}).to_string(),
            );
        };
        let parameters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let get = |name: &str| &parameters.iter().find(|(key, _)| key == name).expect("a parameter").1;
        page(&format!("<a href='{}?code=c&state={}'>Approve</a>", get("redirect_uri"), get("state")))
    })
    .await;
    let uri = |path: &str| format!("{provider}{path}");
    let body = json!({"connectorKey": "oauth2", "parameters": {
        "clientId": "the-client", "clientSecret": "the-client-secret", "authorizeUri": uri("/authorize"),
        "tokenUri": uri("/token"), "testUri": uri("/me"),
    }});
    it.target.put("/integrations/crm", &it.target.admin(), &body).await.expect(StatusCode::CREATED);
    // Without a screen, Chromium says of every window that it has the focus.
    it.chromium.evaluate("void (document.hasFocus = () => false)").await;
    let options = json!({"token": it.token(), "integrationKey": "crm"});
    it.press(options).await;
    it.chromium.page(1).await;
    it.chromium.shows("Approve").await;
    assert_eq!(it.chromium.evaluate("window.opener").await, Value::Null);
    // The popup looks closed, for longer than two looks at the status.
    tokio::time::sleep(Duration::from_secs(7)).await;
    it.chromium.click("a").await;
    it.chromium.shows("Connected").await;
    it.shows("Connected: ").await;
    assert_eq!(it.connections().await[0]["integrationKey"], "crm");
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn requests_that_end_without_a_connection_are_rejected() {
    let mut it = Setting::new().await;
    let canceled = it.request(json!({"integrationKey": "demo"})).await;
    it.press(canceled.clone()).await;
    it.chromium.page(1).await;
    it.chromium.shows("Demo provider").await;
    let path = format!("/connection-requests/{}", canceled["requestId"].as_str().expect("an id"));
    it.target.delete(&path, &it.token()).await.expect(StatusCode::NO_CONTENT);
    it.shows("Rejected: true cancelled: the connection request was canceled").await;
    it.chromium.closes(1).await;

    let expiring = it.request(json!({"integrationKey": "demo", "expiresIn": 3})).await;
    it.press(expiring.clone()).await;
    it.shows("Rejected: true expired: the connection request has expired").await;

    let wrong = json!({"url": expiring["url"], "statusToken": "wrong", "requestId": expiring["requestId"]});
    let unknown = json!({"token": it.token(), "integrationKey": "unknown"});
    for (options, expected) in [
        (json!({"token": "wrong", "integrationKey": "demo"}), "Rejected: true not_authenticated: "),
        (wrong, "Rejected: true not_authenticated: "),
        (unknown, "Rejected: true not_found: "),
        (json!({"integrationKey": "demo"}), "Rejected: false undefined: connect() needs `token`"),
    ] {
        it.press(options).await;
        it.shows(expected).await;
    }
    it.finish().await;
}
