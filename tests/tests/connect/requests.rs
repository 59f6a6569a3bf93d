//! Connection requests: links that one browser can use for a limited time, their status, and their confirmation.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use connect::own_connection_id;
use http::{Method, StatusCode};
use larder::caller::Claims;
use larder::clock::Clock as _;
use larder::connection::ConnectionKey;
use larder::dynamodb::{Claiming, RequestOutcome, Write};
use larder::error::Error;
use larder_engine::connector::Catalog;
use larder_tests::{Answer, Browser, HtmlForm, MockProvider, World};
use serde_json::{Value, json};
use url::Url;

/// The redirect URI that the integration allows; see `World::integrate`.
pub(crate) const DONE: &str = "https://app.example/done?from=larder";

/// A code verifier.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A connection request as its application sees it.
pub(crate) struct Requested {
    pub(crate) id: String,
    pub(crate) url: String,
    status_token: String,
}

async fn prepared() -> (World, MockProvider) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    (world, provider)
}

/// Creates a request as alice's application does, through `crm` unless the body names another integration or connection.
pub(crate) async fn request(world: &World, body: Value) -> Requested {
    let mut body = body;
    if ["integrationKeys", "connectionId"].iter().all(|name| body.get(name).is_none()) {
        body["integrationKey"] = "crm".into();
    }
    let created = world.send(Method::POST, "/connection-requests", &world.alice, Some(&body)).await;
    let created = created.expect(StatusCode::CREATED).json();
    assert_eq!(created["status"], "pending");
    let text = |name: &str| created[name].as_str().unwrap().to_owned();
    Requested { id: text("requestId"), url: text("url"), status_token: text("statusToken") }
}

impl Requested {
    fn uri(&self) -> String {
        format!("/connection-requests/{}", self.id)
    }

    /// The answer to a client that polls.
    pub(crate) async fn poll(&self, world: &World) -> Value {
        world.send(Method::GET, &self.uri(), &self.status_token, None).await.expect(StatusCode::OK).json()
    }

    pub(crate) async fn status(&self, world: &World) -> String {
        self.poll(world).await["status"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn cancel(&self, world: &World) -> Answer {
        world.send(Method::DELETE, &self.uri(), &world.alice, None).await
    }

    pub(crate) async fn confirm(&self, world: &World, body: Value) -> Answer {
        world.send(Method::POST, &format!("{}/confirm", self.uri()), &world.alice, Some(&body)).await
    }

    /// Opens the link in a new browser. Returns it with the URL to which it is redirected.
    async fn open(&self, world: &World) -> (Browser, String) {
        let mut browser = Browser::default();
        let location = browser.get(world, &self.url).await.expect(StatusCode::FOUND).location();
        (browser, location)
    }

    /// Opens the link, approves, and comes back. Returns the last answer.
    async fn connect(&self, world: &World, provider: &MockProvider) -> Answer {
        let (mut browser, location) = self.open(world).await;
        browser.get(world, &provider.approve(&location)).await
    }
}

/// Sends a request that is not a browser's navigation.
pub(crate) async fn fetch(world: &World, method: Method, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer(world.bundle.handle(request.body(Default::default()).unwrap()).await)
}

/// Asserts that a page says why the link does not lead on, in words for a person.
#[track_caller]
pub(crate) fn says(page: Answer, status: StatusCode, words: &str) {
    let page = page.expect(status);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let title = if words == USED { "Already connected" } else { "Not connected" };
    assert!(page.text().contains(title) && page.text().contains(words), "{words}: {}", page.text());
    assert!(!page.text().contains('`') && page.header("set-cookie").is_none(), "{}", page.text());
}

pub(crate) fn parameter(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The URL to which a page forwards the browser.
pub(crate) fn onward(page: &Answer) -> String {
    let (_, rest) = page.text().split_once("http-equiv=\"refresh\" content=\"0; url=").expect("a page that leads on");
    rest.split_once('"').unwrap().0.replace("&#38;", "&")
}

fn own_id() -> String {
    own_connection_id("local", "crm", Some("alice"))
}

pub(crate) async fn ids(world: &World) -> Vec<String> {
    let list = world.send(Method::GET, "/connections", &world.alice, None).await.expect(StatusCode::OK).json();
    list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()))
}

pub(crate) const CANCELED: &str = "This link was canceled";
pub(crate) const EXPIRED: &str = "This link has expired";
pub(crate) const USED: &str = "This link was already used";
pub(crate) const BUSY: &str = "This link is being used to connect an account right now";
pub(crate) const ELSEWHERE: &str = "This link was already opened in another browser";

#[tokio::test]
async fn a_link_connects_without_a_token_and_shows_its_status() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({"input": {"shop": "a-secret-input"}})).await;
    assert!(it.url.starts_with("https://larder.example/connect?connectionRequestId="), "{}", it.url);
    let pending = json!({"requestId": it.id, "status": "pending", "expiresAt": "2026-01-01T00:30:00Z"});
    assert_eq!(it.poll(&world).await, pending);
    let page = it.connect(&world, &provider).await.expect(StatusCode::OK);
    assert!(page.text().contains("Connected") && !page.text().contains("eyJ"), "{}", page.text());
    let mut success = pending.clone();
    success["status"] = "success".into();
    success["resultConnectionId"] = own_id().into();
    assert_eq!(it.poll(&world).await, success);
    let answer = world.send(Method::GET, &it.uri(), &world.alice, None).await.expect(StatusCode::OK);
    assert_eq!(answer.json(), success);
    assert_eq!(world.credentials(&own_id()).await["access_token"], "access-1");
    assert_eq!(world.connection(&own_id()).await["tenantId"], "alice");
}

#[tokio::test]
async fn only_digests_of_a_links_secrets_are_stored() {
    let (world, _provider) = prepared().await;
    let body = json!({"input": {"shop": "a-secret-input"}, "lockedInput": {"region": "a-locked-input"},
                      "redirectUri": DONE, "codeChallenge": challenge()});
    let it = request(&world, body).await;
    let table = &world.bundle.environment().settings.tables.sessions;
    let items = world.dynamodb().scan().table_name(table).send().await.unwrap().items.unwrap();
    assert_eq!(items.len(), 1);
    let stored = format!("{items:?}");
    let secret = parameter(&it.url, "connectionRequestId").unwrap();
    assert_eq!((secret.len(), it.status_token.len()), (43, 43));
    for hidden in [&*secret, &it.status_token, "a-secret-input", "a-locked-input", &challenge(), "app.example"] {
        let sealed = URL_SAFE_NO_PAD.encode(hidden);
        assert!(!stored.contains(hidden) && !stored.contains(&sealed), "{hidden}: {stored}");
    }
    assert!(stored.contains(&it.id), "{stored}");
    // Every request has its own.
    let other = request(&world, json!({})).await;
    assert!(other.id != it.id && other.url != it.url && other.status_token != it.status_token);
}

#[tokio::test]
async fn a_status_token_opens_only_the_status_of_its_request() {
    let (world, provider) = prepared().await;
    world.connect(&provider).await;
    let (it, other) = (request(&world, json!({})).await, request(&world, json!({})).await);
    for (method, uri) in [
        (Method::GET, other.uri()),
        (Method::GET, "/connection-requests/unknown".to_owned()),
        (Method::DELETE, it.uri()),
        (Method::POST, format!("{}/confirm", it.uri())),
        (Method::POST, "/connection-requests".to_owned()),
        (Method::GET, "/connections".to_owned()),
        (Method::GET, format!("/credentials?connectionId={}", own_id())),
        (Method::GET, format!("/connect?integrationKey=crm&token={}", it.status_token)),
    ] {
        world.send(method, &uri, &it.status_token, None).await.expect(StatusCode::UNAUTHORIZED);
    }
    let secret = parameter(&it.url, "connectionRequestId").unwrap();
    for wrong in ["", "garbage", &secret, &it.id, &it.status_token[1..]] {
        let answer = world.send(Method::GET, &it.uri(), wrong, None).await.expect(StatusCode::UNAUTHORIZED);
        let nobody = world.send(Method::GET, "/connections", "", None).await;
        assert_eq!(answer.snapshot(), nobody.snapshot(), "{wrong}");
    }
    assert_eq!(it.status(&world).await, "pending");
}

#[tokio::test]
async fn a_link_belongs_to_the_browser_that_opens_it_first() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({})).await;
    let (mut browser, location) = it.open(&world).await;
    let mut stranger = Browser::default();
    says(stranger.get(&world, &it.url).await, StatusCode::CONFLICT, ELSEWHERE);
    says(stranger.post(&world, &it.url, &[]).await, StatusCode::CONFLICT, ELSEWHERE);
    stranger.get(&world, &provider.approve(&location)).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!((it.status(&world).await, provider.token_requests().len()), ("pending".to_owned(), 0));
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    assert_eq!(it.status(&world).await, "success");
}

#[tokio::test]
async fn a_planted_cookie_opens_no_link() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({})).await;
    let name = format!("__Host-larder-{}", &it.id[..12]);
    let cookie = format!("{name}=chosen");
    let planted = [("sec-fetch-mode", "navigate"), ("cookie", &*cookie)];
    let first = fetch(&world, Method::GET, &it.url, &planted).await.expect(StatusCode::FOUND);
    let cookies: Vec<_> = first.0.headers().get_all("set-cookie").iter().map(|it| it.to_str().unwrap()).collect();
    let own = cookies.iter().find(|cookie| cookie.starts_with(&name)).expect("a cookie for the link");
    assert!(!own.contains("chosen") && own.contains("; HttpOnly; SameSite=Lax; Secure"), "{own}");
    assert!(own.contains("; Max-Age=1800;"), "{own}");
    says(fetch(&world, Method::GET, &it.url, &planted).await, StatusCode::CONFLICT, ELSEWHERE);
    let own = [("sec-fetch-mode", "navigate"), ("cookie", own.split(';').next().unwrap())];
    fetch(&world, Method::GET, &it.url, &own).await.expect(StatusCode::FOUND);
    assert_eq!(provider.token_requests().len(), 0);
}

#[tokio::test]
async fn a_fault_while_a_link_opens_does_not_use_it_up() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({})).await;
    let table = &world.bundle.environment().settings.tables.sessions;
    let item = world.dynamodb().scan().table_name(table).send().await.unwrap().items.unwrap().remove(0);
    let mut damaged = item.clone();
    damaged.insert("sealed".to_owned(), AttributeValue::B(b"damaged".to_vec().into()));
    let put = |item| world.dynamodb().put_item().table_name(table).set_item(Some(item)).send();
    put(damaged).await.unwrap();
    let mut browser = Browser::default();
    browser.get(&world, &it.url).await.expect(StatusCode::INTERNAL_SERVER_ERROR);
    let update = world.dynamodb().update_item().table_name(table).key("id", item["id"].clone());
    let update = update.update_expression("SET sealed = :sealed");
    update.expression_attribute_values(":sealed", item["sealed"].clone()).send().await.unwrap();
    says(Browser::default().get(&world, &it.url).await, StatusCode::CONFLICT, ELSEWHERE);
    let location = browser.get(&world, &it.url).await.expect(StatusCode::FOUND).location();
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_link_can_be_reloaded_until_it_has_connected() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({})).await;
    let (mut browser, first) = it.open(&world).await;
    let second = browser.get(&world, &it.url).await.expect(StatusCode::FOUND).location();
    assert_ne!(parameter(&first, "state"), parameter(&second, "state"));
    browser.get(&world, &provider.approve(&second)).await.expect(StatusCode::OK);
    // Neither the link nor an earlier flow connects again.
    says(browser.get(&world, &it.url).await, StatusCode::CONFLICT, USED);
    says(Browser::default().get(&world, &it.url).await, StatusCode::CONFLICT, USED);
    let late = browser.get(&world, &provider.approve(&first)).await.expect(StatusCode::CONFLICT);
    assert!(late.text().contains(USED), "{}", late.text());
    assert_eq!(provider.token_requests().len(), 1);
    assert_eq!(it.poll(&world).await["resultConnectionId"], own_id());
}

#[tokio::test]
async fn prefetches_previews_and_head_requests_take_no_link() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({})).await;
    world.requests.take();
    for purpose in [("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch"), ("x-moz", "prefetch")] {
        let answer = fetch(&world, Method::GET, &it.url, &[("sec-fetch-mode", "navigate"), purpose]).await;
        answer.expect(StatusCode::NO_CONTENT);
    }
    let head = fetch(&world, Method::HEAD, &it.url, &[("sec-fetch-mode", "navigate")]).await;
    head.expect(StatusCode::METHOD_NOT_ALLOWED);
    for headers in [
        &[][..],
        &[("user-agent", "a chat program")],
        &[("sec-fetch-mode", "cors")],
        &[("sec-fetch-mode", "no-cors")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
    ] {
        for uri in [it.url.clone(), it.url.replace("/connect?", "/connection-popup?")] {
            let page = fetch(&world, Method::GET, &uri, headers).await.expect(StatusCode::OK);
            assert!(page.text().contains("<button class=\"button primary\">Continue</button>"), "{}", page.text());
            assert!(page.header("set-cookie").is_none());
            let policy = page.header("content-security-policy").unwrap();
            assert!(policy.ends_with("frame-ancestors 'none'; form-action 'self'"), "{policy}");
        }
    }
    // They do not even reach the database.
    assert_eq!(world.requests.take(), Vec::<String>::new());
    let window = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    fetch(&world, Method::GET, &it.url, &window).await.expect(StatusCode::FOUND);
    assert_eq!(provider.token_requests().len(), 0);
}

#[tokio::test]
async fn the_continue_button_takes_a_link() {
    let (world, provider) = prepared().await;
    for path in ["/connect", "/connection-popup"] {
        let it = request(&world, json!({})).await;
        let secret = parameter(&it.url, "connectionRequestId").unwrap();
        let (mut browser, uri) = (Browser::default(), it.url.replace("/connect", path));
        let page = browser.get_with(&world, &uri, ("sec-fetch-mode", "cors")).await.expect(StatusCode::OK);
        assert!(page.text().contains(&format!("name=\"connectionRequestId\" value=\"{secret}\"")), "{}", page.text());
        // The button's form has the field, and its page has it in the URL.
        let page = browser.post(&world, &uri, &[("connectionRequestId", &secret)]).await.expect(StatusCode::OK);
        let location = onward(&page);
        assert!(location.starts_with(&provider.uri("/authorize?")), "{location}");
        says(Browser::default().get(&world, &it.url).await, StatusCode::CONFLICT, ELSEWHERE);
        browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
        assert_eq!(it.status(&world).await, "success");
    }
}

#[tokio::test]
async fn an_expired_link_connects_nothing() {
    let (world, provider) = prepared().await;
    let (it, unopened) = (request(&world, json!({})).await, request(&world, json!({"expiresIn": 60})).await);
    world.advance(60);
    assert_eq!([it.status(&world).await, unopened.status(&world).await], ["pending", "expired"]);
    says(Browser::default().get(&world, &unopened.url).await, StatusCode::BAD_REQUEST, EXPIRED);
    world.advance(1800 - 61);
    // The flow ends with the request, and not after its usual 15 minutes.
    let (mut browser, location) = it.open(&world).await;
    world.advance(1);
    assert_eq!(it.status(&world).await, "expired");
    says(browser.get(&world, &it.url).await, StatusCode::BAD_REQUEST, EXPIRED);
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!((ids(&world).await, provider.token_requests().len()), (Vec::new(), 0));
    // A client that polls can learn of it for a day.
    world.advance(24 * 3600 - 1);
    assert_eq!(it.status(&world).await, "expired");
    world.advance(1);
    world.send(Method::GET, &it.uri(), &it.status_token, None).await.expect(StatusCode::UNAUTHORIZED);
    world.send(Method::GET, &it.uri(), &world.alice, None).await.expect(StatusCode::NOT_FOUND);
    says(Browser::default().get(&world, &it.url).await, StatusCode::NOT_FOUND, "This link is not valid");
}

#[tokio::test]
async fn a_canceled_link_connects_nothing() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({"redirectUri": DONE})).await;
    let (mut browser, location) = it.open(&world).await;
    it.cancel(&world).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(it.status(&world).await, "cancelled");
    says(browser.get(&world, &it.url).await, StatusCode::CONFLICT, CANCELED);
    says(Browser::default().get(&world, &it.url).await, StatusCode::CONFLICT, CANCELED);
    // The end user was at the provider and approves.
    let end = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::FOUND).location();
    assert!(end.starts_with(DONE) && parameter(&end, "error").unwrap().contains("canceled"), "{end}");
    assert_eq!((ids(&world).await, provider.token_requests().len()), (Vec::new(), 0));
    it.cancel(&world).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(it.status(&world).await, "cancelled");
    // A connection is not canceled but deleted.
    let it = request(&world, json!({})).await;
    it.connect(&world, &provider).await.expect(StatusCode::OK);
    it.cancel(&world).await.expect(StatusCode::CONFLICT);
    assert_eq!((it.status(&world).await, ids(&world).await.len()), ("success".to_owned(), 1));
}

#[tokio::test]
async fn an_unknown_link_shows_a_page() {
    let (world, _provider) = prepared().await;
    let id = request(&world, json!({})).await.id;
    for secret in [&*id, "unknown", &"A".repeat(43), &"A".repeat(5000)] {
        let uri = format!("/connect?connectionRequestId={secret}");
        says(Browser::default().get(&world, &uri).await, StatusCode::NOT_FOUND, "This link is not valid");
    }
}

#[tokio::test]
async fn a_link_is_no_state_and_a_state_is_no_link() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({})).await;
    let (mut browser, location) = it.open(&world).await;
    let (secret, state) = (parameter(&it.url, "connectionRequestId").unwrap(), parameter(&location, "state").unwrap());
    let callback = format!("/oauth-callback?code=the-code&state={secret}");
    browser.get(&world, &callback).await.expect(StatusCode::BAD_REQUEST);
    let link = format!("/connect?connectionRequestId={state}");
    says(browser.get(&world, &link).await, StatusCode::NOT_FOUND, "This link is not valid");
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    assert_eq!(it.status(&world).await, "success");
}

#[tokio::test]
async fn an_error_is_recorded_and_the_end_user_may_try_again() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({"redirectUri": DONE})).await;
    let (mut browser, location) = it.open(&world).await;
    let denied = provider.come_back(&location, &[("error", "access_denied"), ("error_description", "not today")]);
    let end = browser.get(&world, &denied).await.expect(StatusCode::FOUND).location();
    assert_eq!(parameter(&end, "requestId").as_ref(), Some(&it.id));
    let error = json!({"type": "connection",
                       "message": "the provider did not grant access (access_denied: not today)"});
    let shown = it.poll(&world).await;
    assert_eq!((&shown["status"], &shown["resultError"]), (&json!("error"), &error));
    says(Browser::default().get(&world, &it.url).await, StatusCode::CONFLICT, ELSEWHERE);
    // A failed test is an error, too.
    provider.set_test_status(401);
    let location = browser.get(&world, &it.url).await.expect(StatusCode::FOUND).location();
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::FOUND);
    assert_eq!(it.poll(&world).await["resultError"]["key"], "invalid_credentials");
    provider.set_test_status(200);
    let location = browser.get(&world, &it.url).await.expect(StatusCode::FOUND).location();
    let end = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::FOUND).location();
    let shown = it.poll(&world).await;
    assert_eq!((&shown["status"], shown.get("resultError")), (&json!("success"), None));
    assert_eq!(end, format!("{DONE}&connectionId={}&requestId={}", own_id(), it.id));
    assert_eq!(parameter(&end, "confirmation"), None);
}

#[tokio::test]
async fn an_error_without_another_attempt_stays_after_the_expiry() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({})).await;
    let (mut browser, location) = it.open(&world).await;
    let denied = provider.come_back(&location, &[("error", "access_denied")]);
    browser.get(&world, &denied).await.expect(StatusCode::BAD_REQUEST);
    world.advance(1800);
    assert_eq!(it.status(&world).await, "error");
    says(browser.get(&world, &it.url).await, StatusCode::BAD_REQUEST, EXPIRED);
}

/// A world with an integration `app` of a connector that takes an API key, and a region.
async fn key_world() -> (World, MockProvider) {
    let spec = "name: App\nparametersSchema:\n  type: object\n  properties: {apiUri: {type: string}}\n\
        auth:\n  type: client-credentials\n  inputSchema:\n    type: object\n    properties:\n      \
        apiKey: {type: string}\n      region: {type: string, default: eu}\n    required: [apiKey]\n  \
        makeApiClient: {implementationType: mapping}\n  test: {implementationType: rest-api-mapping}\n";
    let client = "baseUri: {$var: connectorParameters.apiUri}\n\
        headers: {Authorization: {$concat: ['Key ', {$var: credentials.apiKey}]}}\n";
    let files = [
        ("spec.yml", spec),
        ("auth/make-api-client.map.yml", client),
        ("auth/test.rest.yml", "path: /me\nmethod: GET\n"),
    ];
    let (world, provider) = (World::with_connector(&files).await, MockProvider::start().await);
    let parameters = json!({"parameters": {"apiUri": provider.uri("")}});
    world.integrate_app(parameters).await.expect(StatusCode::CREATED);
    (world, provider)
}

#[tokio::test]
async fn the_status_of_a_key_is_recorded_at_once() {
    let (world, provider) = key_world().await;
    let id = own_connection_id("local", "app", Some("alice"));
    let body = |input: Value| json!({"integrationKeys": ["app"], "input": input});
    let it = request(&world, body(json!({"apiKey": "key-1"}))).await;
    provider.set_test_status(401);
    let mut browser = Browser::default();
    browser.get(&world, &it.url).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(it.status(&world).await, "error");
    provider.set_test_status(200);
    browser.get(&world, &it.url).await.expect(StatusCode::OK);
    assert_eq!(it.poll(&world).await["resultConnectionId"], id.as_str());
    says(browser.get(&world, &it.url).await, StatusCode::CONFLICT, USED);
    // Without a window of its own, missing input is an error.
    let it = request(&world, json!({"integrationKeys": ["app"], "allowMultipleConnections": true})).await;
    let page = Browser::default().get(&world, &it.url).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("apiKey"), "{}", page.text());
    let shown = it.poll(&world).await;
    assert_eq!((&shown["status"], shown["resultError"].get("data")), (&json!("error"), None));
}

#[tokio::test]
async fn locked_input_wins_over_all_other_input() {
    let (world, _provider) = key_world().await;
    let id = own_connection_id("local", "app", Some("alice"));
    let body = json!({"integrationKeys": ["app"], "input": {"apiKey": "key-1", "region": "us"},
                      "lockedInput": {"region": "ca"}});
    let it = request(&world, body).await;
    let evil = format!("{}&input={}", it.url, "%7B%22region%22%3A%22evil%22%7D");
    Browser::default().get(&world, &evil).await.expect(StatusCode::OK);
    assert_eq!(world.credentials(&id).await, json!({"apiKey": "key-1", "region": "ca"}));
    // On a reconnect, the values that were entered before are kept, except for locked ones.
    let it = request(&world, json!({"connectionId": id, "lockedInput": {"region": "au"}})).await;
    let mut browser = Browser::default();
    let page = browser.post(&world, &it.url, &[("input", "{\"region\":\"evil\"}")]).await.expect(StatusCode::OK);
    assert!(page.text().contains("Connected"), "{}", page.text());
    assert_eq!(world.credentials(&id).await, json!({"apiKey": "key-1", "region": "au"}));
}

#[tokio::test]
async fn the_end_user_chooses_among_integrations() {
    let (world, provider) = prepared().await;
    let erp = MockProvider::start().await;
    let body = json!({"connectorKey": "oauth2", "name": "The <ERP>", "parameters": erp.parameters()});
    for key in ["erp", "other"] {
        let uri = format!("/integrations/{key}");
        world.send(Method::PUT, &uri, &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    }
    let it = request(&world, json!({"integrationKeys": ["crm", "erp"]})).await;
    let (mut browser, mut buttons) = (Browser::default(), Vec::new());
    // A choice in the link is ignored, and so is one of an integration that was not offered.
    buttons.push(browser.get(&world, &format!("{}&integrationKey=erp", it.url)).await);
    buttons.push(browser.post(&world, &it.url, &[("integrationKey", "other")]).await);
    for page in buttons {
        let page = page.expect(StatusCode::OK);
        let choices = HtmlForm::of(page.text());
        assert_eq!(choices.names(), ["connectionRequestId", "integrationKey", "integrationKey", "cancel"]);
        for name in ["<strong>crm</strong>", "<strong>The &#60;ERP&#62;</strong>"] {
            assert!(page.text().contains(name), "{name}: {}", page.text());
        }
        assert!(!page.text().contains("value=\"other\""), "{}", page.text());
    }
    says(Browser::default().get(&world, &it.url).await, StatusCode::CONFLICT, ELSEWHERE);
    assert_eq!(it.status(&world).await, "pending");
    let secret = parameter(&it.url, "connectionRequestId").unwrap();
    let form = [("connectionRequestId", &*secret), ("integrationKey", "erp")];
    let location = onward(&browser.post(&world, &it.url, &form).await.expect(StatusCode::OK));
    assert!(location.starts_with(&erp.uri("/authorize?")), "{location}");
    browser.get(&world, &erp.approve(&location)).await.expect(StatusCode::OK);
    assert_eq!(it.poll(&world).await["resultConnectionId"], own_connection_id("local", "erp", Some("alice")));
    assert_eq!(provider.token_requests().len(), 0);
}

#[tokio::test]
async fn a_link_connects_only_what_was_requested() {
    let (world, provider) = prepared().await;
    let bob = world.token("bob").await;
    let it = request(&world, json!({"name": "Ours"})).await;
    let evil = format!(
        "{}&token={bob}&name=Theirs&integrationKey=unknown&connectionId=unknown&requestId=r1&authOptionKey=x\
         &allowMultipleConnections=1&customState=theirs&redirectUri={}&connectorParameters=%7B%22tokenUri%22%3A%22x%22%7D",
        it.url, "https%3A%2F%2Fevil.example"
    );
    let mut browser = Browser::default();
    let location = browser.get(&world, &evil).await.expect(StatusCode::FOUND).location();
    assert_eq!(parameter(&location, "state").unwrap().len(), 43);
    let page = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    assert!(!page.text().contains("application/json"), "{}", page.text());
    let connection = world.connection(&own_id()).await;
    assert_eq!((&connection["name"], &connection["tenantId"]), (&json!("Ours"), &json!("alice")));
    assert_eq!(ids(&world).await, [own_id()]);
}

#[tokio::test]
async fn a_requested_connection_gets_its_key_tags_and_meta() {
    let (world, provider) = prepared().await;
    let body =
        |key: &str, name: &str| json!({"key": key, "name": name, "tags": {"team": "sales"}, "meta": {"order": [7]}});
    let connect = async |body: Value| {
        let it = request(&world, body).await;
        it.connect(&world, &provider).await.expect(StatusCode::OK);
        it.poll(&world).await["resultConnectionId"].as_str().unwrap().to_owned()
    };
    let shop = connect(body("shop", "Shop")).await;
    let shown = world.connection(&shop).await;
    let expected = json!(["shop", "Shop", {"team": "sales"}, {"order": [7]}]);
    assert_eq!(json!([shown["key"], shown["name"], shown["tags"], shown["meta"]]), expected);
    // A connection with the key is reconnected, and keeps what the request leaves out.
    assert_eq!(connect(json!({"key": "shop", "name": "Shop 2"})).await, shop);
    let shown = world.connection(&shop).await;
    assert_eq!((&shown["name"], &shown["tags"]), (&json!("Shop 2"), &json!({"team": "sales"})));
    // Another key is another connection.
    let depot = connect(body("depot", "Depot")).await;
    assert_ne!(depot, shop);
    assert_eq!(world.connection(&depot).await["key"], "depot");
    assert_eq!(connect(json!({"key": "depot"})).await, depot);
    // Without a key, it is the end user's connection through the integration, as without a request.
    assert_eq!(connect(json!({})).await, own_id());
    assert_eq!(shop, own_id());
    assert_eq!(connect(json!({"key": "third", "allowMultipleConnections": true})).await.len(), 22);
    assert_eq!(ids(&world).await.len(), 3);
}

#[tokio::test]
async fn a_key_of_another_integration_is_not_taken() {
    let (world, provider) = prepared().await;
    let body = json!({"connectorKey": "oauth2", "parameters": provider.parameters()});
    world.send(Method::PUT, "/integrations/erp", &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    request(&world, json!({"key": "shop"})).await.connect(&world, &provider).await.expect(StatusCode::OK);
    let it = request(&world, json!({"integrationKeys": ["erp"], "key": "shop"})).await;
    Browser::default().get(&world, &it.url).await.expect(StatusCode::CONFLICT);
    assert_eq!(it.poll(&world).await["resultError"]["key"], "already_exists");
}

#[tokio::test]
async fn a_request_reconnects_a_connection() {
    let (world, provider) = prepared().await;
    let id = world.connect_one_more(&provider).await;
    let it = request(&world, json!({"connectionId": id, "name": "Again"})).await;
    it.connect(&world, &provider).await.expect(StatusCode::OK);
    assert_eq!(it.poll(&world).await["resultConnectionId"], id.as_str());
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
    assert_eq!((&world.connection(&id).await["name"], ids(&world).await), (&json!("Again"), vec![id.clone()]));
    // An admin's request is for the connection's own tenant, which can see it.
    let body = json!({ "connectionId": id });
    let create =
        async |token: &str, body: &Value| world.send(Method::POST, "/connection-requests", token, Some(body)).await;
    let by_admin = create(&world.admin, &body).await.expect(StatusCode::CREATED).json();
    let uri = format!("/connection-requests/{}", by_admin["requestId"].as_str().unwrap());
    world.send(Method::GET, &uri, &world.alice, None).await.expect(StatusCode::OK);
    let mut browser = Browser::default();
    let location = browser.get(&world, by_admin["url"].as_str().unwrap()).await.location();
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    assert_eq!(world.connection(&id).await["tenantId"], "alice");
    // Others cannot even ask for it, and it may be gone when the link is opened.
    create(&world.token("bob").await, &body).await.expect(StatusCode::NOT_FOUND);
    let mut both = body.clone();
    both["integrationKey"] = "unknown".into();
    create(&world.alice, &both).await.expect(StatusCode::BAD_REQUEST);
    let it = request(&world, body).await;
    world.send(Method::DELETE, &format!("/connections/{id}"), &world.alice, None).await.expect(StatusCode::NO_CONTENT);
    Browser::default().get(&world, &it.url).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(it.poll(&world).await["resultError"]["key"], "not_found");
}

#[tokio::test]
async fn a_tenant_cannot_read_cancel_or_confirm_anothers_request() {
    let (world, provider) = prepared().await;
    let it = request(&world, bound()).await;
    it.connect(&world, &provider).await.expect(StatusCode::FOUND);
    let others = [
        world.token("bob").await,
        world.sign("other", Claims { is_admin: true, ..Claims::default() }).await,
        world.sign("other", Claims { tenant_key: Some("alice".into()), ..Claims::default() }).await,
    ];
    let body = json!({ "codeVerifier": VERIFIER });
    for token in &others {
        for (method, uri) in
            [(Method::GET, it.uri()), (Method::DELETE, it.uri()), (Method::POST, format!("{}/confirm", it.uri()))]
        {
            let answer = world.send(method.clone(), &uri, token, Some(&body)).await.expect(StatusCode::NOT_FOUND);
            let unknown = world.send(method, &uri.replace(&it.id, "unknown"), token, Some(&body)).await;
            assert_eq!(answer.snapshot(), unknown.snapshot().replace("unknown", &it.id));
        }
    }
    assert_eq!(it.status(&world).await, "pending");
    world.send(Method::GET, &it.uri(), &world.admin, None).await.expect(StatusCode::OK);
    let confirm = format!("{}/confirm", it.uri());
    world.send(Method::POST, &confirm, &world.admin, Some(&body)).await.expect(StatusCode::OK);
    // A request without a tenant is the workspace's own.
    let body = json!({"integrationKey": "crm"});
    let created = world.send(Method::POST, "/connection-requests", &world.admin, Some(&body)).await.json();
    let uri = format!("/connection-requests/{}", created["requestId"].as_str().unwrap());
    world.send(Method::GET, &uri, &world.alice, None).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn malformed_requests_are_rejected_by_name() {
    let (world, _provider) = prepared().await;
    let create = async |body: &Value| world.send(Method::POST, "/connection-requests", &world.alice, Some(body)).await;
    for (changes, status, name) in [
        (json!({"integrationKey": null}), StatusCode::BAD_REQUEST, "`integrationKey` is missing"),
        (json!({"integrationKey": ""}), StatusCode::BAD_REQUEST, "`integrationKey` is missing"),
        (json!({"integrationKey": "unknown"}), StatusCode::NOT_FOUND, "`unknown`"),
        (json!({"integrationKeys": ["erp"]}), StatusCode::BAD_REQUEST, "give only one"),
        (json!({"integrationKey": null, "integrationKeys": ["crm", "crm"]}), StatusCode::BAD_REQUEST, "different"),
        (json!({"integrationKey": null, "integrationKeys": ["crm", "unknown"]}), StatusCode::NOT_FOUND, "`unknown`"),
        (json!({"connectionId": "unknown"}), StatusCode::NOT_FOUND, "`unknown`"),
        (json!({"connectionId": "c1", "key": "k"}), StatusCode::BAD_REQUEST, "`connectionId` and `key`"),
        (json!({"redirectUri": "https://evil.example"}), StatusCode::BAD_REQUEST, "`redirectUri`"),
        (json!({"expiresIn": 0}), StatusCode::BAD_REQUEST, "`expiresIn`"),
        (json!({"expiresIn": 86_401}), StatusCode::BAD_REQUEST, "`expiresIn`"),
        (json!({"expiresIn": -1}), StatusCode::BAD_REQUEST, "expected u64"),
        (json!({"name": "x".repeat(1025)}), StatusCode::BAD_REQUEST, "`name`"),
        (json!({"key": ""}), StatusCode::BAD_REQUEST, "`key`"),
        (json!({"tags": {"": "x"}}), StatusCode::BAD_REQUEST, "`tags`"),
        (json!({"meta": {"x": "x".repeat(17_000)}}), StatusCode::BAD_REQUEST, "`meta`"),
        (json!({"input": {"x": "x".repeat(360_000)}}), StatusCode::PAYLOAD_TOO_LARGE, "too large"),
        (json!({"connectorParameters": {"tokenUri": "x"}}), StatusCode::BAD_REQUEST, "connectorParameters"),
        (json!({"codeChallenge": challenge()}), StatusCode::BAD_REQUEST, "`redirectUri`"),
        (json!({"codeChallenge": VERIFIER[1..]}), StatusCode::BAD_REQUEST, "`codeChallenge`"),
        (json!({"codeChallenge": format!("{VERIFIER}A")}), StatusCode::BAD_REQUEST, "`codeChallenge`"),
        (json!({"codeChallenge": VERIFIER.replace('-', "+")}), StatusCode::BAD_REQUEST, "`codeChallenge`"),
    ] {
        let mut body = json!({"integrationKey": "crm"});
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let answer = create(&body).await.expect(status);
        assert!(answer.json()["message"].as_str().unwrap().contains(name), "{name}: {}", answer.text());
    }
    let longest = create(&json!({"integrationKey": "crm", "expiresIn": 86_400})).await.expect(StatusCode::CREATED);
    assert_eq!(longest.json()["expiresAt"], "2026-01-02T00:00:00Z");
    // The integration may have changed when the link is opened.
    let it = request(&world, json!({ "redirectUri": DONE })).await;
    let body = json!({"redirectUris": []});
    world.send(Method::PATCH, "/integrations/crm", &world.admin, Some(&body)).await.expect(StatusCode::OK);
    let page = Browser::default().get(&world, &it.url).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.header("location").is_none());
    assert_eq!(it.status(&world).await, "error");
}

#[tokio::test]
async fn a_request_costs_one_write_and_its_link_one_update() {
    let (world, _provider) = prepared().await;
    world.requests.take();
    let it = request(&world, json!({})).await;
    let mut operations = world.requests.take();
    operations.sort_unstable();
    assert_eq!(operations, ["GetItem", "PutItem"]);
    it.poll(&world).await;
    assert_eq!(world.requests.take(), ["GetItem"]);
    let body = json!({"connectorKey": "oauth2"});
    world.send(Method::PUT, "/integrations/erp", &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    let it = request(&world, json!({"integrationKeys": ["crm", "erp"]})).await;
    world.requests.take();
    Browser::default().get(&world, &it.url).await.expect(StatusCode::OK);
    assert_eq!(world.requests.take(), ["UpdateItem", "GetItem", "GetItem"]);
}

#[tokio::test]
async fn a_bound_connection_counts_only_once_it_is_confirmed() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({"redirectUri": DONE, "codeChallenge": challenge()})).await;
    let body = json!({ "codeVerifier": VERIFIER });
    // Nothing can be confirmed before the end user has connected.
    it.confirm(&world, body.clone()).await.expect(StatusCode::CONFLICT);
    let end = it.connect(&world, &provider).await.expect(StatusCode::FOUND).location();
    assert_eq!(parameter(&end, "requestId").as_ref(), Some(&it.id));
    let credentials = format!("/credentials?connectionId={}", own_id());
    world.get(&credentials).await.expect(StatusCode::NOT_FOUND);
    world.get(&format!("/connections/{}", own_id())).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(ids(&world).await, Vec::<String>::new());
    let shown = it.poll(&world).await;
    assert_eq!((&shown["status"], shown.get("resultConnectionId")), (&json!("pending"), None));
    says(Browser::default().get(&world, &it.url).await, StatusCode::CONFLICT, USED);
    // A wrong verifier uses nothing up.
    for verifier in
        ["", "short", &VERIFIER[1..], &VERIFIER.replace('-', "+"), &VERIFIER.to_lowercase(), &"a".repeat(129)]
    {
        let answer = it.confirm(&world, json!({ "codeVerifier": verifier })).await.expect(StatusCode::BAD_REQUEST);
        assert!(answer.json()["message"].as_str().unwrap().contains("`codeVerifier`"), "{}", answer.text());
    }
    world.get(&credentials).await.expect(StatusCode::NOT_FOUND);
    for _ in 0..2 {
        let shown = it.confirm(&world, body.clone()).await.expect(StatusCode::OK).json();
        assert_eq!((&shown["status"], &shown["resultConnectionId"]), (&json!("success"), &json!(own_id())));
        assert_eq!(shown, it.poll(&world).await);
    }
    assert_eq!(world.credentials(&own_id()).await["access_token"], "access-1");
    assert_eq!(ids(&world).await, [own_id()]);
    it.confirm(&world, json!({ "codeVerifier": "a".repeat(43) })).await.expect(StatusCode::BAD_REQUEST);
    it.cancel(&world).await.expect(StatusCode::CONFLICT);
    // Other requests have nothing to confirm.
    let it = request(&world, json!({})).await;
    it.connect(&world, &provider).await.expect(StatusCode::OK);
    let answer = it.confirm(&world, body).await.expect(StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("`codeChallenge`"), "{}", answer.text());
}

#[tokio::test]
async fn only_the_browser_that_approved_takes_the_confirmation_along() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({"redirectUri": DONE, "codeChallenge": challenge()})).await;
    let (mut browser, location) = it.open(&world).await;
    let denied = provider.come_back(&location, &[("error", "access_denied")]);
    let end = browser.get(&world, &denied).await.expect(StatusCode::FOUND).location();
    assert_eq!(parameter(&end, "confirmation"), None);
    let location = browser.get(&world, &it.url).await.expect(StatusCode::FOUND).location();
    let end = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::FOUND).location();
    let code = parameter(&end, "confirmation").unwrap();
    assert!(code.len() >= 22, "{end}");
    for shown in [it.poll(&world).await, world.send(Method::GET, &it.uri(), &world.admin, None).await.json()] {
        assert!(!shown.to_string().contains(&code), "{shown}");
    }
    for wrong in [json!(null), json!(""), json!(VERIFIER), json!(it.id)] {
        let body = json!({"codeVerifier": VERIFIER, "confirmation": wrong});
        let answer = it.confirm(&world, body).await.expect(StatusCode::BAD_REQUEST);
        assert!(answer.text().contains("`confirmation`"), "{}", answer.text());
    }
    assert_eq!(ids(&world).await, Vec::<String>::new());
    it.confirm(&world, json!({"codeVerifier": VERIFIER, "confirmation": code})).await.expect(StatusCode::OK);
    assert_eq!(ids(&world).await, [own_id()]);
}

#[tokio::test]
async fn a_forwarded_reconnect_never_touches_the_old_credentials() {
    let (world, provider) = prepared().await;
    let id = world.connect(&provider).await;
    let body = json!({"connectionId": id, "name": "Theirs", "redirectUri": DONE, "codeChallenge": challenge()});
    let access_token = async || world.credentials(&id).await["access_token"].as_str().unwrap().to_owned();
    // Somebody else approves. The application does not see its user come back, so it confirms nothing.
    let forwarded = request(&world, body.clone()).await;
    forwarded.connect(&world, &provider).await.expect(StatusCode::FOUND);
    assert_eq!((access_token().await, provider.token_requests().len()), ("access-1".to_owned(), 2));
    assert_ne!(world.connection(&id).await["name"], "Theirs");
    world.advance(1800);
    world.sweep().await;
    assert_eq!(forwarded.status(&world).await, "expired");
    forwarded.confirm(&world, json!({ "codeVerifier": VERIFIER })).await.expect(StatusCode::CONFLICT);
    assert_eq!(access_token().await, "access-1");
    // The end user does it themselves.
    let own = request(&world, body).await;
    own.connect(&world, &provider).await.expect(StatusCode::FOUND);
    assert_eq!(access_token().await, "access-1");
    own.confirm(&world, json!({ "codeVerifier": VERIFIER })).await.expect(StatusCode::OK);
    assert_eq!((access_token().await, &world.connection(&id).await["name"]), ("access-3".to_owned(), &json!("Theirs")));
}

#[tokio::test]
async fn a_connection_made_meanwhile_wins_over_an_unconfirmed_one() {
    let (world, provider) = prepared().await;
    let it = request(&world, bound()).await;
    it.connect(&world, &provider).await.expect(StatusCode::FOUND);
    world.connect(&provider).await;
    for _ in 0..2 {
        it.confirm(&world, json!({ "codeVerifier": VERIFIER })).await.expect(StatusCode::CONFLICT);
        assert_eq!(it.status(&world).await, "pending");
    }
    assert_eq!(world.credentials(&own_id()).await["access_token"], "access-2");
    world.advance(1800);
    assert_eq!(it.status(&world).await, "expired");
}

#[tokio::test]
async fn canceling_discards_an_unconfirmed_connection() {
    let (world, provider) = prepared().await;
    let it = request(&world, bound()).await;
    it.connect(&world, &provider).await.expect(StatusCode::FOUND);
    it.cancel(&world).await.expect(StatusCode::NO_CONTENT);
    it.confirm(&world, json!({ "codeVerifier": VERIFIER })).await.expect(StatusCode::CONFLICT);
    assert_eq!((it.status(&world).await, ids(&world).await), ("cancelled".to_owned(), Vec::new()));
    assert!(!is_anything_held(&world).await);
    it.cancel(&world).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_unconfirmed_connection_never_comes_into_being() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({"expiresIn": 60, "redirectUri": DONE, "codeChallenge": challenge()})).await;
    it.connect(&world, &provider).await.expect(StatusCode::FOUND);
    world.advance(60);
    assert_eq!(it.status(&world).await, "expired");
    it.confirm(&world, json!({ "codeVerifier": VERIFIER })).await.expect(StatusCode::CONFLICT);
    says(Browser::default().get(&world, &it.url).await, StatusCode::CONFLICT, USED);
    world.sweep().await;
    assert_eq!(ids(&world).await, Vec::<String>::new());
    world.get(&format!("/connections/{}", own_id())).await.expect(StatusCode::NOT_FOUND);
}

/// Whether any credentials wait for a confirmation.
async fn is_anything_held(world: &World) -> bool {
    let table = &world.bundle.environment().settings.tables.connections;
    let items = world.dynamodb().scan().table_name(table).send().await.unwrap().items.unwrap();
    items.iter().any(|item| item.contains_key("target") && item.contains_key("sealed"))
}

/// The body of a request that is bound to alice's session.
fn bound() -> Value {
    json!({"redirectUri": DONE, "codeChallenge": challenge()})
}

fn proof() -> Value {
    json!({ "codeVerifier": VERIFIER })
}

#[tokio::test]
async fn confirmations_at_once_all_succeed() {
    let (world, provider) = prepared().await;
    let world = Arc::new(world);
    let it = Arc::new(request(&world, bound()).await);
    it.connect(&world, &provider).await.expect(StatusCode::FOUND);
    // Another one has read the request by now.
    let (other, meanwhile) = (Arc::clone(&it), Arc::clone(&world));
    world.requests.before("UpdateItem", async move {
        other.confirm(&meanwhile, proof()).await.expect(StatusCode::OK);
    });
    it.confirm(&world, proof()).await.expect(StatusCode::OK);
    assert!(!world.requests.is_waiting());
    assert_eq!((it.status(&world).await, ids(&world).await), ("success".to_owned(), vec![own_id()]));
    it.cancel(&world).await.expect(StatusCode::CONFLICT);
    for _ in 0..5 {
        let it = request(&world, bound()).await;
        it.connect(&world, &provider).await.expect(StatusCode::FOUND);
        let answers =
            tokio::join!(it.confirm(&world, proof()), it.confirm(&world, proof()), it.confirm(&world, proof()));
        for answer in [answers.0, answers.1, answers.2] {
            assert_eq!(answer.expect(StatusCode::OK).json(), it.poll(&world).await);
        }
        assert_eq!(it.status(&world).await, "success");
    }
}

#[tokio::test]
async fn either_a_confirmation_or_a_cancellation_wins() {
    let (world, provider) = prepared().await;
    for round in 0..6 {
        let body = json!({"redirectUri": DONE, "codeChallenge": challenge(), "allowMultipleConnections": true});
        let it = request(&world, body).await;
        it.connect(&world, &provider).await.expect(StatusCode::FOUND);
        let before = ids(&world).await.len();
        let (confirmed, canceled) = if round % 2 == 0 {
            tokio::join!(it.confirm(&world, proof()), it.cancel(&world))
        } else {
            let (canceled, confirmed) = tokio::join!(it.cancel(&world), it.confirm(&world, proof()));
            (confirmed, canceled)
        };
        let (answers, status) = ((confirmed.0.status(), canceled.0.status()), it.status(&world).await);
        let made = ids(&world).await.len() - before;
        match &*status {
            "success" => assert_eq!((answers, made), ((StatusCode::OK, StatusCode::CONFLICT), 1)),
            "cancelled" => assert_eq!((answers, made), ((StatusCode::CONFLICT, StatusCode::NO_CONTENT), 0)),
            _ => panic!("{status}: {answers:?}"),
        }
    }
}

#[tokio::test]
async fn an_interrupted_confirmation_is_not_canceled() {
    let (world, provider) = prepared().await;
    let it = request(&world, bound()).await;
    it.connect(&world, &provider).await.expect(StatusCode::FOUND);
    // The process ends after it has stored the credentials.
    let environment = world.bundle.environment();
    let management = environment.management(environment.connector_setup(Catalog::default())).unwrap();
    let interrupted = async { Err(Error::internal("interrupted")) };
    management.confirm(&ConnectionKey::new("local", own_id()), &it.id, interrupted).await.unwrap_err();
    assert_eq!((it.status(&world).await, ids(&world).await), ("pending".to_owned(), vec![own_id()]));
    world.advance(600);
    it.cancel(&world).await.expect(StatusCode::CONFLICT);
    let shown = it.poll(&world).await;
    assert_eq!((&shown["status"], &shown["resultConnectionId"]), (&json!("success"), &json!(own_id())));
    assert_eq!(world.credentials(&own_id()).await["access_token"], "access-1");
}

#[tokio::test]
async fn a_flow_that_was_interrupted_makes_no_second_connection() {
    let (world, provider) = prepared().await;
    let dynamodb = world.dynamodb();
    let table = &world.bundle.environment().settings.tables.sessions;
    for is_canceled in [false, true] {
        let it = request(&world, json!({"allowMultipleConnections": true})).await;
        let before = ids(&world).await.len();
        let (mut browser, location) = it.open(&world).await;
        let items = dynamodb.scan().table_name(table).send().await.unwrap().items.unwrap();
        let pending = items.into_iter().find(|item| item["id"].as_s().unwrap().ends_with(&it.id)).unwrap();
        browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
        // The process ended before it recorded that.
        dynamodb.put_item().table_name(table).set_item(Some(pending)).send().await.unwrap();
        assert_eq!(it.status(&world).await, "pending");
        if is_canceled {
            it.cancel(&world).await.expect(StatusCode::CONFLICT);
        } else {
            let location = browser.get(&world, &it.url).await.expect(StatusCode::FOUND).location();
            browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
        }
        assert_eq!((it.status(&world).await, ids(&world).await.len() - before), ("success".to_owned(), 1));
    }
}

#[tokio::test]
async fn a_flow_that_is_finishing_is_not_canceled() {
    let (world, provider) = prepared().await;
    let world = Arc::new(world);
    for (body, end, status) in
        [(json!({"redirectUri": DONE}), "connectionId", "success"), (bound(), "confirmation", "pending")]
    {
        let it = Arc::new(request(&world, body).await);
        let (mut browser, location) = it.open(&world).await;
        let (other, meanwhile) = (Arc::clone(&it), Arc::clone(&world));
        world.requests.before("Save", async move {
            other.cancel(&meanwhile).await.expect(StatusCode::CONFLICT);
        });
        let last = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::FOUND).location();
        assert!(!world.requests.is_waiting() && parameter(&last, end).is_some(), "{last}");
        assert_eq!(it.status(&world).await, status);
    }
}

#[tokio::test]
async fn two_tabs_of_a_link_make_one_connection() {
    let (world, provider) = prepared().await;
    let world = Arc::new(world);
    for is_bound in [false, true] {
        let mut body = if is_bound { bound() } else { json!({ "redirectUri": DONE }) };
        body["allowMultipleConnections"] = true.into();
        let it = request(&world, body).await;
        let (mut browser, first) = it.open(&world).await;
        let second = browser.get(&world, &it.url).await.expect(StatusCode::FOUND).location();
        let (callback, mut tab) = (provider.approve(&second), browser.clone());
        let (meanwhile, exchanged) = (Arc::clone(&world), provider.token_requests().len());
        world.requests.before("Save", async move {
            let end = tab.get(&meanwhile, &callback).await.expect(StatusCode::FOUND).location();
            assert!(parameter(&end, "error").is_some_and(|error| error.contains("right now")), "{end}");
            assert_eq!((parameter(&end, "connectionId"), parameter(&end, "confirmation")), (None, None));
        });
        let end = browser.get(&world, &provider.approve(&first)).await.expect(StatusCode::FOUND).location();
        assert!(!world.requests.is_waiting());
        assert_eq!(provider.token_requests().len(), exchanged + 1);
        if is_bound {
            let body = json!({"codeVerifier": VERIFIER, "confirmation": parameter(&end, "confirmation")});
            it.confirm(&world, body).await.expect(StatusCode::OK);
        }
        assert_eq!(it.poll(&world).await["resultConnectionId"], parameter(&end, "connectionId").unwrap());
        assert_eq!(ids(&world).await.len(), 1 + usize::from(is_bound));
    }
}

#[tokio::test]
async fn a_callback_that_died_holds_a_request_for_a_minute() {
    let (world, provider) = prepared().await;
    let it = request(&world, json!({})).await;
    let (mut browser, location) = it.open(&world).await;
    let requests = world.bundle.environment().connection_requests();
    requests.claim(&it.id, "a-claim", Claiming::Flow, world.clock.now()).await.unwrap();
    let page = browser.clone().get(&world, &provider.approve(&location)).await.expect(StatusCode::CONFLICT);
    assert!(page.text().contains(BUSY), "{}", page.text());
    it.cancel(&world).await.expect(StatusCode::CONFLICT);
    assert_eq!((it.status(&world).await, provider.token_requests().len()), ("pending".to_owned(), 0));
    world.advance(60);
    let location = browser.get(&world, &it.url).await.expect(StatusCode::FOUND).location();
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    // The first one comes too late.
    let late = RequestOutcome::Connected { connection_id: "late".to_owned() };
    assert_eq!(requests.finish(&it.id, "a-claim", &late, None).await.unwrap(), Write::Conflict);
    assert_eq!(it.poll(&world).await["resultConnectionId"], own_id());
}

#[tokio::test]
async fn canceling_an_expired_request_leaves_it_expired() {
    let (world, provider) = prepared().await;
    let (it, unconfirmed) = (request(&world, json!({})).await, request(&world, bound()).await);
    unconfirmed.connect(&world, &provider).await.expect(StatusCode::FOUND);
    world.advance(1800);
    for it in [it, unconfirmed] {
        it.cancel(&world).await.expect(StatusCode::NO_CONTENT);
        assert_eq!(it.status(&world).await, "expired");
    }
}

#[tokio::test]
async fn parameters_added_to_a_link_are_not_even_read() {
    let (world, provider) = prepared().await;
    for added in
        ["input=notjson", "utm=1&utm=2", "payload=x", "formTicket=x", "allowMultipleConnections=1&name=x&name=y"]
    {
        let it = request(&world, json!({})).await;
        let mut browser = Browser::default();
        let location = browser.get(&world, &format!("{}&{added}", it.url)).await.expect(StatusCode::FOUND).location();
        browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
        assert_eq!(it.status(&world).await, "success", "{added}");
    }
    assert_eq!(ids(&world).await, [own_id()]);
}

#[tokio::test]
async fn only_the_button_of_our_own_page_takes_a_link() {
    let (world, _provider) = prepared().await;
    let it = request(&world, json!({})).await;
    world.requests.take();
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", World::BASE_URI), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-mode", "no-cors")],
        &[("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
    ] {
        says(fetch(&world, Method::POST, &it.url, headers).await, StatusCode::FORBIDDEN, "Another website sent");
    }
    // They do not even reach the database, so the end user's browser can still take it.
    assert_eq!(world.requests.take(), Vec::<String>::new());
    let page = Browser::in_window().post(&world, &it.url, &[]).await.expect(StatusCode::OK);
    onward(&page);
    // Very old browsers say nothing.
    let it = request(&world, json!({})).await;
    onward(&fetch(&world, Method::POST, &it.url, &[]).await.expect(StatusCode::OK));
}

#[tokio::test]
async fn ending_a_connection_ends_what_waits_for_it() {
    let (world, provider) = prepared().await;
    let id = world.connect(&provider).await;
    let uri = format!("/connections/{id}");
    for (ending, then) in [
        ((Method::DELETE, uri.clone()), Some(format!("{uri}/restore"))),
        ((Method::POST, format!("{uri}/disconnect")), None),
        ((Method::DELETE, format!("{uri}?permanent=true")), None),
    ] {
        let it = request(&world, json!({"connectionId": id, "redirectUri": DONE, "codeChallenge": challenge()})).await;
        it.connect(&world, &provider).await.expect(StatusCode::FOUND);
        world.send(ending.0, &ending.1, &world.admin, None).await.expect(StatusCode::NO_CONTENT);
        assert!(!is_anything_held(&world).await, "{}", ending.1);
        if let Some(restore) = then {
            world.post(&restore).await.expect(StatusCode::OK);
        }
        it.confirm(&world, proof()).await.expect(StatusCode::CONFLICT);
        assert_eq!(it.status(&world).await, "pending");
    }
}

#[tokio::test]
async fn a_key_taken_meanwhile_keeps_a_request_pending() {
    let (world, provider) = prepared().await;
    let mut body = bound();
    body["key"] = "shop".into();
    body["allowMultipleConnections"] = true.into();
    let it = request(&world, body).await;
    it.connect(&world, &provider).await.expect(StatusCode::FOUND);
    let other = request(&world, json!({"key": "shop"})).await;
    other.connect(&world, &provider).await.expect(StatusCode::OK);
    let refused = it.confirm(&world, proof()).await.expect(StatusCode::CONFLICT);
    assert_eq!((&refused.json()["key"], it.status(&world).await), (&json!("already_exists"), "pending".to_owned()));
    let body = json!({"key": null});
    world
        .send(Method::PATCH, &format!("/connections/{}", own_id()), &world.alice, Some(&body))
        .await
        .expect(StatusCode::OK);
    it.confirm(&world, proof()).await.expect(StatusCode::OK);
    assert_eq!((it.status(&world).await, ids(&world).await.len()), ("success".to_owned(), 2));
}

#[tokio::test]
async fn an_end_user_is_not_told_of_keys() {
    let (world, provider) = prepared().await;
    let body = json!({"key": "shop", "allowMultipleConnections": true});
    let (one, other) = (request(&world, body.clone()).await, request(&world, body).await);
    let (mut first, mut second) = (one.open(&world).await, other.open(&world).await);
    first.0.get(&world, &provider.approve(&first.1)).await.expect(StatusCode::OK);
    let page = second.0.get(&world, &provider.approve(&second.1)).await.expect(StatusCode::CONFLICT);
    assert!(page.text().contains("made meanwhile") && !page.text().contains("choose another"), "{}", page.text());
    assert_eq!(other.poll(&world).await["resultError"]["key"], "already_exists");
}
