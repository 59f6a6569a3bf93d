//! Connecting: the authorization request, the callback, and how the result reaches the caller.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use connect::own_connection_id;
use http::{Method, StatusCode};
use larder::caller::Claims;
use larder::connection::former_own_ids;
use larder_engine::pages::STYLE;
use larder_tests::{Answer, Browser, MockProvider, World};
use serde_json::{Value, json};
use url::Url;

/// The redirect URI that the integration allows; see `World::integrate`.
const DONE: &str = "https://app.example/done?from=larder";

async fn prepared(parameters: Value) -> (World, MockProvider) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, parameters).await;
    (world, provider)
}

fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The `/connect` link for alice, with these additional parameters.
fn uri(world: &World, parameters: &[(&str, &str)]) -> String {
    let mut uri = format!("/connect?integrationKey=crm&token={}", world.alice);
    for (name, value) in parameters {
        uri += &format!("&{name}={}", encode(value));
    }
    uri
}

/// Starts a flow. Returns the browser and the URL to which it is redirected.
async fn begin(world: &World, parameters: &[(&str, &str)]) -> (Browser, String) {
    let mut browser = Browser::default();
    let answer = browser.get(world, &uri(world, parameters)).await.expect(StatusCode::FOUND);
    (browser, answer.location())
}

fn query(url: &str) -> Vec<(String, String)> {
    Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

fn parameter(url: &str, name: &str) -> String {
    query(url).into_iter().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
}

fn names(url: &str) -> Vec<String> {
    query(url).into_iter().map(|(name, _)| name).collect()
}

/// An answer for a snapshot, without the style sheet, its hash and the values that differ between runs.
fn hidden(text: &str, secrets: &[(&str, &str)]) -> String {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let text = text.replace(STYLE, "[style]").replace(&hash, "[hash]");
    secrets.iter().fold(text, |text, (secret, name)| text.replace(*secret, &format!("[{name}]")))
}

/// The name and the value of the cookie that an answer sets.
fn cookie(answer: &Answer) -> (String, String) {
    let pair = answer.header("set-cookie").unwrap().split(';').next().unwrap();
    pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()
}

async fn connections(world: &World) -> Vec<Value> {
    world.get("/connections").await.expect(StatusCode::OK).json()["items"].as_array().unwrap().clone()
}

/// The id that alice's connection gets in every world.
async fn id_of_alices_connection() -> String {
    let (world, provider) = prepared(json!({})).await;
    world.connect(&provider).await
}

/// Asserts that a page reports the error without leaking anything, and that no connection was stored.
async fn refused(world: &World, page: Answer, status: StatusCode, hint: &str) -> Answer {
    let page = page.expect(status);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none';"));
    assert!(page.text().contains("Not connected"), "{}", page.text());
    assert!(page.text().contains(hint), "{hint}: {}", page.text());
    leaks_nothing(page.text());
    assert_eq!(connections(world).await, Vec::<Value>::new());
    page
}

#[track_caller]
fn leaks_nothing(text: &str) {
    for secret in ["the-client-secret", "the-code", "access-1", "refresh-1", "code_verifier", "eyJ"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn the_authorization_request_matches_the_documentation_exactly() {
    let (world, provider) = prepared(json!({})).await;
    let mut browser = Browser::default();
    let answer = browser.get(&world, &uri(&world, &[])).await;
    let location = answer.location();
    let (state, challenge) = (parameter(&location, "state"), parameter(&location, "code_challenge"));
    assert_eq!((state.len(), challenge.len()), (43, 43));
    let (uri, _) = location.split_once('?').unwrap();
    assert_eq!(uri, provider.uri("/authorize"));
    let expected = [
        ("client_id", "the-client"),
        ("redirect_uri", "https://larder.example/oauth-callback"),
        ("response_type", "code"),
        ("access_type", "offline"),
        ("scope", "read write"),
        ("state", &state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    assert_eq!(query(&location), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let cookie = answer.header("set-cookie").unwrap();
    let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
    let base = provider.uri("");
    let secrets = [
        (&*state, "state"),
        (&*challenge, "challenge"),
        (name, "cookie"),
        (value, "value"),
        (&*encode(&base), "p"),
        (&*base, "provider"),
    ];
    insta::assert_snapshot!("authorize", hidden(&answer.snapshot(), &secrets));
    assert!(name.starts_with("__Host-") && value.len() >= 22, "{cookie}");
}

#[tokio::test]
async fn every_flow_has_its_own_state_challenge_and_cookie() {
    let (world, _provider) = prepared(json!({})).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let answer = Browser::default().get(&world, &uri(&world, &[])).await;
        let location = answer.location();
        seen.insert(parameter(&location, "state"));
        seen.insert(parameter(&location, "code_challenge"));
        seen.insert(answer.header("set-cookie").unwrap().to_owned());
    }
    assert_eq!(seen.len(), 24);
}

#[tokio::test]
async fn connector_options_shape_the_authorization_request() {
    for (parameters, expected) in [
        (json!({"skipPkce": true}), "client_id redirect_uri response_type access_type scope state"),
        (json!({"skipPkce": true, "scopes": []}), "client_id redirect_uri response_type access_type state"),
        (
            json!({"extra": {"access_type": null, "prompt": "consent", "custom_param": "value"}}),
            "client_id redirect_uri response_type scope state code_challenge code_challenge_method prompt custom_param",
        ),
        (
            json!({"extra": {"state": "mine", "redirect_uri": "https://evil.example", "client_id": "x", "code_challenge": "y"}}),
            "client_id redirect_uri response_type access_type scope state code_challenge code_challenge_method",
        ),
        (
            json!({"resource": "https://api.example"}),
            "client_id redirect_uri response_type access_type scope state code_challenge code_challenge_method resource",
        ),
    ] {
        let (world, _provider) = prepared(parameters.clone()).await;
        let (_, location) = begin(&world, &[]).await;
        assert_eq!(names(&location).join(" "), expected, "{parameters}");
        assert_eq!(parameter(&location, "client_id"), "the-client");
        assert_eq!(parameter(&location, "redirect_uri"), "https://larder.example/oauth-callback");
        assert_eq!(parameter(&location, "state").len(), 43);
    }
}

#[tokio::test]
async fn browser_input_never_overrides_authorization_parameters() {
    let (world, provider) = prepared(json!({})).await;
    let evil = [
        ("client_id", "evil"),
        ("state", "evil"),
        ("redirect_uri", "https://evil.example"),
        ("response_type", "token"),
        ("code_challenge", "evil"),
        ("scope", "everything"),
    ];
    let (_, location) = begin(&world, &evil).await;
    assert!(!location.contains("evil") && !location.contains("everything"), "{location}");
    assert!(location.starts_with(&provider.uri("/authorize?client_id=the-client&")));

    let mut payload = json!({"integrationKey": "crm", "token": world.alice, "customState": "&client_id=evil#",
                             "input": {"client_id": "evil", "extra": {"state": "evil"}, "skipPkce": true}});
    payload.as_object_mut().unwrap().extend(evil.map(|(name, value)| (name.to_owned(), json!(value))));
    let mut browser = Browser::default();
    let location = browser.post(&world, "/connect", &[("payload", &payload.to_string())]).await.location();
    assert_eq!(parameter(&location, "client_id"), "the-client");
    assert!(parameter(&location, "state").ends_with(":&client_id=evil#"), "{location}");
    let expected = "client_id redirect_uri response_type access_type scope state code_challenge code_challenge_method";
    assert_eq!(names(&location).join(" "), expected);
    assert!(!location.replace(&encode("&client_id=evil#"), "").contains("evil"), "{location}");
}

#[tokio::test]
async fn only_admins_can_override_an_integrations_parameters() {
    let (world, provider) = prepared(json!({})).await;
    let evil = json!({"tokenUri": "https://evil.example/token"}).to_string();
    let page = Browser::default().get(&world, &uri(&world, &[("connectorParameters", &evil)])).await;
    refused(&world, page, StatusCode::FORBIDDEN, "admin token").await;
    let payload = json!({"integrationKey": "crm", "token": world.alice, "connectorParameters": {"tokenUri": "x"}});
    let page = Browser::default().post(&world, "/connect", &[("payload", &payload.to_string())]).await;
    refused(&world, page, StatusCode::FORBIDDEN, "admin token").await;

    let payload =
        json!({"integrationKey": "crm", "token": world.admin, "connectorParameters": {"clientId": "another"}});
    let mut browser = Browser::default();
    let location = browser.post(&world, "/connect", &[("payload", &payload.to_string())]).await.location();
    assert_eq!(parameter(&location, "client_id"), "another");
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    // The overrides stay with the connection.
    world.advance(3300);
    world.sweep().await;
    assert_eq!(provider.refreshes()[0].get("client_id"), Some("another"));
    assert_eq!(provider.refreshes()[0].get("client_secret"), Some("the-client-secret"));
}

#[tokio::test]
async fn the_query_of_the_authorize_uri_is_kept() {
    let (world, provider) = prepared(json!({})).await;
    let authorize = provider.uri("/authorize?audience=api%20v2&state=old");
    world.integrate(&provider, json!({ "authorizeUri": authorize })).await;
    let (_, location) = begin(&world, &[]).await;
    assert!(location.starts_with(&provider.uri("/authorize?audience=api%20v2&client_id=")), "{location}");
    assert_eq!(names(&location).iter().filter(|name| *name == "state").count(), 1);
}

#[tokio::test]
async fn the_code_exchange_matches_the_documentation() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world, &[]).await;
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    let requests = provider.token_requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    let basic = STANDARD.encode("the-client:the-client-secret");
    assert_eq!(request.authorization.as_deref(), Some(&*format!("Basic {basic}")));
    let verifier = request.get("code_verifier").unwrap();
    assert!((43..=128).contains(&verifier.len()));
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    assert_eq!(challenge, parameter(&location, "code_challenge"));
    let form: Vec<_> = request.form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        form,
        [
            ("grant_type", "authorization_code"),
            ("code", "the-code"),
            ("redirect_uri", "https://larder.example/oauth-callback"),
            ("code_verifier", verifier),
            ("code_challenge_method", "S256"),
        ]
    );
}

#[tokio::test]
async fn the_client_authenticates_where_the_connector_says() {
    let basic = format!("Basic {}", STANDARD.encode("the-client:the-client-secret"));
    for (parameters, authorization, fields) in [
        (json!({"clientAuthLocation": "headers"}), Some(&basic), "code_verifier code_challenge_method"),
        (json!({"clientAuthLocation": "body"}), None, "client_id client_secret code_verifier code_challenge_method"),
        (
            json!({"clientAuthLocation": "both"}),
            Some(&basic),
            "client_id client_secret code_verifier code_challenge_method",
        ),
        (json!({"skipPkce": true, "clientAuthLocation": "body"}), None, "client_id client_secret"),
    ] {
        let (world, provider) = prepared(parameters.clone()).await;
        world.connect(&provider).await;
        let request = &provider.token_requests()[0];
        assert_eq!(request.authorization.as_ref(), authorization, "{parameters}");
        let names: Vec<_> = request.form.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.join(" "), format!("grant_type code redirect_uri {fields}"), "{parameters}");
    }
}

#[tokio::test]
async fn a_custom_oauth_callback_uri_is_used_in_both_requests() {
    let (world, provider) = prepared(json!({})).await;
    let own = "https://app.example/oauth?via=app";
    let body = json!({"connectorKey": "oauth2", "oAuthCallbackUri": own});
    world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&body)).await.expect(StatusCode::OK);
    let (mut browser, location) = begin(&world, &[]).await;
    assert_eq!(parameter(&location, "redirect_uri"), own);
    // Your application forwards the browser to Larder with the same parameters.
    let there = provider.approve(&location);
    assert!(there.starts_with(own));
    let here = format!("/oauth-callback?{}", Url::parse(&there).unwrap().query().unwrap());
    browser.get(&world, &here).await.expect(StatusCode::OK);
    assert_eq!(provider.token_requests()[0].get("redirect_uri"), Some(own));
    assert_eq!(connections(&world).await.len(), 1);
}

#[tokio::test]
async fn the_code_exchange_repeats_the_redirect_uri_byte_for_byte() {
    let (world, provider) = prepared(json!({})).await;
    let own = "https://app.example/oauth/%7euser?via=a+b%20c&via=%C3%A9";
    let set = async |uri: &str| {
        let body = json!({"connectorKey": "oauth2", "oAuthCallbackUri": uri});
        world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&body)).await.expect(StatusCode::OK);
    };
    set(own).await;
    let (mut browser, location) = begin(&world, &[]).await;
    assert_eq!(parameter(&location, "redirect_uri"), own);
    set("https://app.example/elsewhere").await;
    let query = format!("code=the-code&state={}", parameter(&location, "state"));
    browser.get(&world, &format!("/oauth-callback?{query}")).await.expect(StatusCode::OK);
    assert_eq!(provider.token_requests()[0].get("redirect_uri"), Some(own));
}

#[tokio::test]
async fn a_custom_state_is_appended_to_ours_and_ignored_on_return() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world, &[("customState", "page=7:a&b")]).await;
    let state = parameter(&location, "state");
    let (ours, custom) = state.split_once(':').unwrap();
    assert_eq!((ours.len(), custom), (43, "page=7:a&b"));
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    assert_eq!(connections(&world).await.len(), 1);

    let (_, location) = begin(&world, &[("customState", "")]).await;
    assert_eq!(parameter(&location, "state").len(), 43);
}

#[tokio::test]
async fn connecting_creates_a_connection_owned_by_the_caller() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world, &[("name", "Alice's CRM")]).await;
    let page = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    let [connection] = &connections(&world).await[..] else { panic!("one connection") };
    assert_eq!(
        (&connection["tenantId"], &connection["name"], &connection["integrationKey"], &connection["connectorKey"]),
        (&json!("alice"), &json!("Alice's CRM"), &json!("crm"), &json!("oauth2"))
    );
    assert_eq!(connection["state"], "READY");
    assert_eq!(
        world.credentials(connection["id"].as_str().unwrap()).await,
        json!({"access_token": "access-1", "token_type": "Bearer", "refresh_token": "refresh-1", "expires_in": 3600})
    );
    leaks_nothing(page.text());
    let (name, value) = cookie(&page);
    insta::assert_snapshot!("connected", hidden(&page.snapshot(), &[(&name, "cookie"), (&value, "value")]));
}

#[tokio::test]
async fn credentials_are_tested_before_the_connection_is_created() {
    let (world, provider) = prepared(json!({})).await;
    world.connect(&provider).await;
    assert_eq!(provider.tests(), [Some("Bearer access-1".to_owned())]);

    for status in [401, 403, 429, 500] {
        let (world, provider) = prepared(json!({})).await;
        provider.set_test_status(status);
        let (mut browser, location) = begin(&world, &[]).await;
        let page = browser.get(&world, &provider.approve(&location)).await;
        let expected = if status < 429 { StatusCode::BAD_REQUEST } else { StatusCode::SERVICE_UNAVAILABLE };
        refused(&world, page, expected, &status.to_string()).await;
        assert_eq!((provider.token_requests().len(), provider.tests().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_repeated_callback_exchanges_the_code_once() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world, &[]).await;
    let mut again = browser.clone();
    let callback = provider.approve(&location);
    let first = browser.get(&world, &callback).await.expect(StatusCode::OK);
    // The same callback gets the same answer for a minute. Another code or another browser gets an error.
    for browser in [&mut browser, &mut again] {
        let page = browser.get(&world, &callback).await.expect(StatusCode::OK);
        assert_eq!(page.text(), first.text());
        let other_code = callback.replace("the-code", "another");
        let page = browser.get(&world, &other_code).await.expect(StatusCode::BAD_REQUEST);
        assert!(page.text().contains("start over"), "{}", page.text());
        leaks_nothing(page.text());
    }
    let page = Browser::default().get(&world, &callback).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("another browser"), "{}", page.text());
    world.advance(60);
    let page = again.get(&world, &callback).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("start over"), "{}", page.text());
    assert_eq!(provider.token_requests().len(), 1);
    assert_eq!(connections(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_callbacks_exchange_the_code_once() {
    let (world, provider) = prepared(json!({})).await;
    let world = Arc::new(world);
    let (browser, location) = begin(&world, &[]).await;
    let callback = provider.approve(&location);
    // Another one is finished just before the first of these takes the flow.
    let (mut other, meanwhile, same) = (browser.clone(), Arc::clone(&world), callback.clone());
    world.requests.before("UpdateItem", async move {
        other.get(&meanwhile, &same).await.expect(StatusCode::OK);
    });
    let calls = (0..16).map(|_| {
        let mut browser = browser.clone();
        let (world, callback) = (&world, &callback);
        async move { browser.get(world, callback).await.expect(StatusCode::OK).text().to_owned() }
    });
    let pages = futures::future::join_all(calls).await;
    assert!(pages.iter().all(|page| *page == pages[0] && page.contains("Connected")), "{pages:?}");
    assert!(!world.requests.is_waiting());
    assert_eq!(provider.token_requests().len(), 1);
}

#[tokio::test]
async fn a_denial_by_the_end_user_is_shown_and_ends_the_flow() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world, &[]).await;
    let denied = [("error", "access_denied"), ("error_description", "The user <script>alert(1)</script> said no")];
    let page = browser.get(&world, &provider.come_back(&location, &denied)).await;
    let page = refused(&world, page, StatusCode::BAD_REQUEST, "access_denied").await;
    assert!(!page.text().contains("<script"), "{}", page.text());
    let (name, value) = cookie(&page);
    insta::assert_snapshot!("denied", hidden(&page.snapshot(), &[(&name, "cookie"), (&value, "value")]));
    // The state is used up.
    let page = browser.get(&world, &provider.approve(&location)).await;
    refused(&world, page, StatusCode::BAD_REQUEST, "start over").await;
    assert_eq!(provider.token_requests().len(), 0);
}

#[tokio::test]
async fn a_callback_without_a_flow_is_rejected() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world, &[]).await;
    let state = parameter(&location, "state");
    for (query, hint) in [
        ("code=the-code", "no state"),
        ("code=the-code&state=", "no state"),
        ("code=the-code&state=wrong", "start over"),
        (&format!("code=the-code&state=x{state}"), "start over"),
        (&format!("code=the-code&state={}", state.to_lowercase()), "start over"),
        ("", "no state"),
        ("state=", "no state"),
    ] {
        let page = browser.get(&world, &format!("/oauth-callback?{query}")).await;
        refused(&world, page, StatusCode::BAD_REQUEST, hint).await;
    }
    assert_eq!(provider.token_requests().len(), 0);
    // The real flow still works.
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_malformed_callback_is_rejected_without_a_provider_call() {
    let (world, provider) = prepared(json!({})).await;
    for (parameters, hint) in [
        (vec![], "no code"),
        (vec![("code", "")], "no code"),
        (vec![("code", "the-code"), ("code", "the-code")], "code twice"),
        (vec![("code", "the-code"), ("state", "x")], "state twice"),
        (vec![("code", "the-code"), ("error", "access_denied")], "both code and error"),
        (vec![("code", "the-code"), ("iss", "a"), ("iss", "a")], "iss twice"),
        (vec![("code", "the-code"), ("x", "1"), ("x", "2")], "another parameter twice"),
    ] {
        let (mut browser, location) = begin(&world, &[]).await;
        let page = browser.get(&world, &provider.come_back(&location, &parameters)).await;
        refused(&world, page, StatusCode::BAD_REQUEST, hint).await;
    }
    assert_eq!(provider.token_requests().len(), 0);
}

#[tokio::test]
async fn a_flow_expires_after_fifteen_minutes() {
    let (world, provider) = prepared(json!({})).await;
    let (mut late, location) = begin(&world, &[]).await;
    let (mut in_time, other) = begin(&world, &[("allowMultipleConnections", "1")]).await;
    world.advance(15 * 60 - 1);
    in_time.get(&world, &provider.approve(&other)).await.expect(StatusCode::OK);
    world.advance(1);
    let page = late.get(&world, &provider.approve(&location)).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("start over"), "{}", page.text());
    assert_eq!((provider.token_requests().len(), connections(&world).await.len()), (1, 1));
}

#[tokio::test]
async fn another_browser_can_neither_finish_nor_end_a_flow() {
    let (world, provider) = prepared(json!({})).await;
    let (mut alices, location) = begin(&world, &[]).await;
    let (mut mallorys, _) = begin(&world, &[]).await;
    let callback = provider.approve(&location);
    for browser in [&mut Browser::default(), &mut mallorys] {
        let page = browser.get(&world, &callback).await;
        refused(&world, page, StatusCode::BAD_REQUEST, "another browser").await;
    }
    assert_eq!(provider.token_requests().len(), 0);
    alices.get(&world, &callback).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_flow_needs_the_secret_cookie_of_its_browser() {
    let (world, provider) = prepared(json!({})).await;
    let begin = async || {
        let answer = Browser::default().get(&world, &uri(&world, &[])).await;
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let (name, value) = cookie.split_once('=').unwrap();
        (answer.location(), name.to_owned(), value.to_owned())
    };
    let (location, name, value) = begin().await;
    let (_, _, another) = begin().await;
    assert_ne!(value, another);
    assert!(value.len() >= 22, "{value} has fewer than 128 bits");
    let callback = provider.approve(&location);
    let open = async |cookie: String| {
        let request = http::Request::get(&callback).header("cookie", cookie).body(Default::default()).unwrap();
        Answer(world.bundle.handle(request).await)
    };
    let state = parameter(&location, "state");
    for wrong in ["", "1", "true", &another, &value[1..], &value.to_uppercase(), &format!("{value}x"), &state] {
        let page = open(format!("{name}={wrong}")).await;
        refused(&world, page, StatusCode::BAD_REQUEST, "another browser").await;
    }
    // The right value in a cookie with another name.
    refused(&world, open(format!("larder={value}")).await, StatusCode::BAD_REQUEST, "another browser").await;
    assert_eq!(provider.token_requests().len(), 0);
    open(format!("{name}={value}")).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn two_tabs_of_one_browser_can_finish_in_any_order() {
    let (world, provider) = prepared(json!({})).await;
    let mut browser = Browser::default();
    let multiple = uri(&world, &[("allowMultipleConnections", "true")]);
    let first = browser.get(&world, &multiple).await.location();
    let second = browser.get(&world, &multiple).await.location();
    browser.get(&world, &provider.approve(&second)).await.expect(StatusCode::OK);
    browser.get(&world, &provider.approve(&first)).await.expect(StatusCode::OK);
    assert_eq!(connections(&world).await.len(), 2);
}

#[tokio::test]
async fn an_unreachable_provider_is_reported() {
    let (world, provider) = prepared(json!({})).await;
    let closed = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap()
    };
    world.integrate(&provider, json!({"tokenUri": format!("http://{closed}/token")})).await;
    let (mut browser, location) = begin(&world, &[]).await;
    let page = browser.get(&world, &provider.approve(&location)).await;
    refused(&world, page, StatusCode::SERVICE_UNAVAILABLE, "").await;
}

#[tokio::test]
async fn odd_token_answers_are_reported_without_their_content() {
    let html = ("content-type", "text/html");
    let json = ("content-type", "application/json");
    for (status, body, content_type, expected, hint) in [
        (200, "<html>marker</html>", html, StatusCode::SERVICE_UNAVAILABLE, "neither a JSON object nor a form"),
        (500, "<html>marker</html>", html, StatusCode::SERVICE_UNAVAILABLE, "HTTP 500"),
        (400, "<html>marker</html>", html, StatusCode::SERVICE_UNAVAILABLE, "HTTP 400"),
        (302, "marker", html, StatusCode::SERVICE_UNAVAILABLE, ""),
        (200, "", json, StatusCode::SERVICE_UNAVAILABLE, "neither a JSON object nor a form"),
        (
            200,
            "{\"access_token\":\"marker\"",
            json,
            StatusCode::SERVICE_UNAVAILABLE,
            "neither a JSON object nor a form",
        ),
        (200, r#"{"refresh_token":"marker"}"#, json, StatusCode::SERVICE_UNAVAILABLE, "no access_token"),
        (200, r#"{"access_token":"marker"}"#, json, StatusCode::BAD_REQUEST, "no refresh_token"),
        (200, r#"{"ok":false,"error":"invalid_code"}"#, json, StatusCode::BAD_REQUEST, "invalid_code"),
        (400, r#"{"error":"invalid_grant","access_token":"marker"}"#, json, StatusCode::BAD_REQUEST, "invalid_grant"),
        (401, r#"{"error":"invalid_client"}"#, json, StatusCode::BAD_REQUEST, "invalid_client"),
        (429, r#"{"marker":1}"#, json, StatusCode::SERVICE_UNAVAILABLE, "HTTP 429"),
    ] {
        let (world, provider) = prepared(json!({})).await;
        provider.script_raw(status, body, &[content_type]);
        let (mut browser, location) = begin(&world, &[]).await;
        let page = browser.get(&world, &provider.approve(&location)).await;
        let page = refused(&world, page, expected, hint).await;
        assert!(!page.text().contains("marker"), "{body}: {}", page.text());
        assert_eq!((provider.token_requests().len(), provider.tests().len()), (1, 0), "{body}");
    }
}

#[tokio::test]
async fn redirects_of_the_token_endpoint_are_never_followed() {
    for status in [301, 302, 303, 307, 308] {
        let (world, provider) = prepared(json!({})).await;
        provider.script_raw(status, "", &[("location", &provider.uri("/token"))]);
        let (mut browser, location) = begin(&world, &[]).await;
        let page = browser.get(&world, &provider.approve(&location)).await;
        refused(&world, page, StatusCode::BAD_REQUEST, &provider.uri("/token")).await;
        assert_eq!(provider.token_requests().len(), 1);
    }
}

#[tokio::test]
async fn a_callback_from_another_issuer_is_rejected() {
    let (world, provider) = prepared(json!({"issuer": "https://issuer.example"})).await;
    for (parameters, hint) in [
        (vec![("code", "the-code")], "no iss"),
        (vec![("code", "the-code"), ("iss", "https://evil.example")], "unexpected issuer"),
        (vec![("error", "access_denied"), ("iss", "https://evil.example")], "unexpected issuer"),
    ] {
        let (mut browser, location) = begin(&world, &[]).await;
        let page = browser.get(&world, &provider.come_back(&location, &parameters)).await;
        refused(&world, page, StatusCode::BAD_REQUEST, hint).await;
    }
    assert_eq!(provider.token_requests().len(), 0);
    let (mut browser, location) = begin(&world, &[]).await;
    let right = [("code", "the-code"), ("iss", "https://issuer.example")];
    browser.get(&world, &provider.come_back(&location, &right)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn callbacks_are_checked_by_state_then_issuer_then_content() {
    let (world, provider) = prepared(json!({"issuer": "https://issuer.example"})).await;
    let (wrong, right) = (("iss", "https://evil.example"), ("iss", "https://issuer.example"));
    let (error, code) = (("error", "access_denied"), ("code", "the-code"));
    for (parameters, hint) in [
        (vec![wrong, error, code], "unexpected issuer"),
        (vec![wrong], "unexpected issuer"),
        (vec![error], "no iss"),
        (vec![right, error, code], "both code and error"),
        (vec![right, error], "access_denied"),
        (vec![right], "no code"),
    ] {
        let (mut browser, location) = begin(&world, &[]).await;
        let callback = provider.come_back(&location, &parameters);
        // Another browser learns only that the flow is not its own.
        let page = Browser::default().get(&world, &callback).await;
        refused(&world, page, StatusCode::BAD_REQUEST, "another browser").await;
        let unknown = callback.replace("state=", "state=x");
        refused(&world, browser.get(&world, &unknown).await, StatusCode::BAD_REQUEST, "unknown").await;
        refused(&world, browser.get(&world, &callback).await, StatusCode::BAD_REQUEST, hint).await;
        // Any such error uses up the state.
        let right = provider.come_back(&location, &[code, right]);
        refused(&world, browser.get(&world, &right).await, StatusCode::BAD_REQUEST, "start over").await;
    }
    assert_eq!(provider.token_requests().len(), 0);
}

#[tokio::test]
async fn success_reaches_the_redirect_uri_with_the_connection_id() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world, &[("redirectUri", DONE)]).await;
    let answer = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::FOUND);
    let id = connections(&world).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.location(), format!("{DONE}&connectionId={id}"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.text(), "");
}

#[tokio::test]
async fn failure_reaches_an_allowed_redirect_uri_with_error_and_data() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world, &[("redirectUri", DONE)]).await;
    let denied = [("error", "access_denied"), ("error_description", "no & never")];
    let answer = browser.get(&world, &provider.come_back(&location, &denied)).await.expect(StatusCode::FOUND);
    let end = answer.location();
    assert!(end.starts_with(DONE), "{end}");
    assert_eq!(names(&end), ["from", "error", "errorData"]);
    let message = parameter(&end, "error");
    assert_eq!(message, "the provider did not grant access (access_denied: no & never)");
    let data: Value = serde_json::from_str(&parameter(&end, "errorData")).unwrap();
    assert_eq!(data, json!({"type": "connection", "message": message}));

    // Failures before the redirect to the provider are reported the same way.
    let (mut browser, parameters) = (Browser::default(), [("redirectUri", DONE), ("connectionId", "unknown")]);
    let end = browser.get(&world, &uri(&world, &parameters)).await.expect(StatusCode::FOUND).location();
    assert_eq!(names(&end), ["from", "error", "errorData"]);
    assert!(parameter(&end, "errorData").contains(r#""key":"not_found""#), "{end}");

    provider.script(401, &json!({"error": "invalid_client"}));
    let (mut browser, location) = begin(&world, &[("redirectUri", DONE)]).await;
    let end = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::FOUND).location();
    leaks_nothing(&end);
    assert!(parameter(&end, "errorData").contains(r#""type":"configuration""#), "{end}");
    assert_eq!(connections(&world).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_redirect_uri_must_match_a_listed_one_exactly() {
    let (world, provider) = prepared(json!({})).await;
    for evil in [
        "https://evil.example/done",
        "https://app.example/done",
        "https://app.example/done?from=larder&more=1",
        "https://app.example/done?from=larder#x",
        "https://app.example.evil.example/done?from=larder",
        "HTTPS://app.example/done?from=larder",
        "https://app.example:443/done?from=larder",
        "https://user@app.example/done?from=larder",
        "https://app.example\\@evil.example/done?from=larder",
        "//evil.example",
        "/\\evil.example",
        "\\evil",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://app.example/done?from=larder\r\nSet-Cookie: a=b",
        " https://app.example/done?from=larder",
        "https://app.example/done?from=larder ",
    ] {
        for channel in [vec![("redirectUri", evil)], vec![("redirectUri", evil), ("requestId", "r1")]] {
            let page = Browser::default().get(&world, &uri(&world, &channel)).await;
            let page = refused(&world, page, StatusCode::BAD_REQUEST, "must be one of the `redirectUris`").await;
            assert!(page.header("location").is_none() && page.header("set-cookie").is_none());
        }
    }
    assert_eq!(provider.token_requests().len(), 0);
}

/// The message on a page, and the origins to which it is posted.
fn posted(page: &Answer) -> (Value, Vec<String>) {
    let (_, rest) = page.text().split_once(r#"<script type="application/json" id="result">"#).expect("a message");
    let (data, _) = rest.split_once("</script>").unwrap();
    let mut data: Value = serde_json::from_str(data).unwrap();
    (data["message"].take(), serde_json::from_value(data["origins"].take()).unwrap())
}

#[tokio::test]
async fn success_reaches_the_opener_as_a_message_to_exact_origins() {
    let (world, provider) = prepared(json!({})).await;
    let parameters = [("requestId", "request-1"), ("name", "</script><script>alert(1)")];
    let (mut browser, location) = begin(&world, &parameters).await;
    let page = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    let (message, origins) = posted(&page);
    assert_eq!(origins, ["https://app.example", "https://larder.example"]);
    assert_eq!(
        message,
        json!({"source": "integration.app", "requestId": "request-1", "type": "newConnectionCreated",
               "connection": connections(&world).await[0]})
    );
    assert!(!page.text().contains("alert(1)</") && page.text().matches("</script>").count() == 2);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors https://app.example https://larder.example;"), "{policy}");
    assert!(!policy.contains('*') && !page.text().contains("'*'") && !page.text().contains("\"*\""));
    leaks_nothing(page.text());
    let ((name, value), id) = (cookie(&page), message["connection"]["id"].as_str().unwrap());
    let secrets = [(&*name, "cookie"), (&*value, "value"), (id, "id")];
    insta::assert_snapshot!("message", hidden(&page.snapshot(), &secrets));
}

#[tokio::test]
async fn failure_reaches_the_opener_as_a_message() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world, &[("requestId", "request-1")]).await;
    let id = id_of_alices_connection().await;
    let page = browser.get(&world, &provider.come_back(&location, &[("error", "access_denied")])).await;
    let page = refused(&world, page, StatusCode::BAD_REQUEST, "access_denied").await;
    let (message, _) = posted(&page);
    let text = "the provider did not grant access (access_denied)";
    assert_eq!(
        message,
        json!({"source": "integration.app", "requestId": "request-1", "type": "newConnectionFailure", "error": text,
               "errorData": {"type": "connection", "message": text},
               "connectionId": id})
    );
    // The same holds for failures before the redirect to the provider.
    let page = Browser::default().get(&world, &uri(&world, &[("requestId", "r"), ("connectionId", "unknown")])).await;
    let page = refused(&world, page, StatusCode::NOT_FOUND, "unknown").await;
    assert_eq!(posted(&page).0["errorData"]["key"], "not_found");
}

#[tokio::test]
async fn a_form_payload_works_like_a_query() {
    let (world, provider) = prepared(json!({})).await;
    let mut browser = Browser::default();
    let payload = json!({"token": world.alice, "integrationKey": "crm", "name": "by form", "redirectUri": DONE,
                         "customState": "mine", "input": {"a": {"b": 1}}, "unknown": [1]});
    let answer = browser.post(&world, "/connect", &[("payload", &payload.to_string())]).await;
    let location = answer.expect(StatusCode::FOUND).location();
    assert!(parameter(&location, "state").ends_with(":mine"));
    let end = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::FOUND).location();
    assert!(end.starts_with(&format!("{DONE}&connectionId=")), "{end}");
    assert_eq!(connections(&world).await[0]["name"], "by form");

    // Old clients put some parameters into the query.
    let payload = json!({"token": world.alice}).to_string();
    let answer = browser.post(&world, "/connect?integrationId=crm", &[("payload", &payload)]).await;
    answer.expect(StatusCode::FOUND);
}

#[tokio::test]
async fn a_malformed_connect_request_is_rejected_with_the_reason() {
    let (world, _provider) = prepared(json!({})).await;
    let mut browser = Browser::default();
    for (query, status, hint) in [
        (format!("integrationKey=crm&token={0}&token={0}", world.alice), StatusCode::BAD_REQUEST, "`token`"),
        (
            format!("integrationKey=crm&integrationKey=x&token={}", world.alice),
            StatusCode::BAD_REQUEST,
            "`integrationKey`",
        ),
        (format!("token={}", world.alice), StatusCode::BAD_REQUEST, "`integrationKey` is missing"),
        (format!("integrationKey=&token={}", world.alice), StatusCode::BAD_REQUEST, "`integrationKey` is missing"),
        (format!("integrationKey=unknown&token={}", world.alice), StatusCode::NOT_FOUND, "`unknown`"),
        (format!("integrationKey=crm&input=%7B&token={}", world.alice), StatusCode::BAD_REQUEST, "`input`"),
        (format!("integrationKey=crm&input=%22the-code%22&token={}", world.alice), StatusCode::BAD_REQUEST, ""),
    ] {
        let page = browser.get(&world, &format!("/connect?{query}")).await;
        refused(&world, page, status, hint).await;
    }
    for form in [vec![("payload", "{")], vec![("payload", "[]")], vec![("payload", "{}"), ("payload", "{}")]] {
        let page = browser.post(&world, "/connect", &form).await;
        refused(&world, page, StatusCode::BAD_REQUEST, "`payload`").await;
    }
    let page = world.send(Method::POST, "/connect", &world.alice, Some(&json!({"integrationKey": "crm"}))).await;
    refused(&world, page, StatusCode::BAD_REQUEST, "application/x-www-form-urlencoded").await;
    let page = world.send(Method::PUT, "/connect", &world.alice, None).await;
    refused(&world, page, StatusCode::METHOD_NOT_ALLOWED, "GET, POST").await;
}

#[tokio::test]
async fn a_connection_name_that_is_too_long_is_rejected() {
    let (world, provider) = prepared(json!({})).await;
    let connect = async |length: usize| {
        let payload = json!({"integrationKey": "crm", "token": world.alice, "name": "n".repeat(length)});
        let mut browser = Browser::default();
        let answer = browser.post(&world, "/connect", &[("payload", &payload.to_string())]).await;
        (browser, answer)
    };
    let (_, page) = connect(1025).await;
    refused(&world, page, StatusCode::BAD_REQUEST, "`name`").await;
    let (mut browser, answer) = connect(1024).await;
    browser.get(&world, &provider.approve(&answer.location())).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn connecting_needs_a_valid_token() {
    let (world, _provider) = prepared(json!({})).await;
    let expired = world.sign("local", Claims { tenant_key: Some("alice".into()), ..Claims::default() }).await;
    world.advance(3600);
    let mut pages = Vec::new();
    for token in ["", "garbage", &expired, &world.alice[..world.alice.len() - 2]] {
        let page = Browser::default().get(&world, &format!("/connect?integrationKey=crm&token={token}")).await;
        let page = refused(&world, page, StatusCode::UNAUTHORIZED, "not valid or has expired").await;
        assert!(page.header("set-cookie").is_none());
        pages.push(page.snapshot());
    }
    assert!(pages.iter().all(|page| *page == pages[0]));
    insta::assert_snapshot!("unauthorized", hidden(&pages[0], &[]));
    // A header works too.
    world.send(Method::GET, "/connect?integrationKey=crm", &world.alice, None).await.expect(StatusCode::FOUND);
    // Another workspace has no such integration.
    let stranger = world.sign("other", Claims { tenant_key: Some("alice".into()), ..Claims::default() }).await;
    let page = Browser::default().get(&world, &format!("/connect?integrationKey=crm&token={stranger}")).await;
    refused(&world, page, StatusCode::NOT_FOUND, "`crm`").await;
}

#[tokio::test]
async fn reconnecting_keeps_the_same_connection() {
    let (world, provider) = prepared(json!({})).await;
    let id = world.connect(&provider).await;
    let made = world.connection(&id).await;
    world.advance(100);
    assert_eq!(world.connect(&provider).await, id);
    let [renewed] = &connections(&world).await[..] else { panic!("one connection") };
    assert_eq!((&renewed["id"], &renewed["createdAt"]), (&made["id"], &made["createdAt"]));
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");

    // Reconnecting by id works too, and a failed flow changes nothing.
    let (mut browser, location) = begin(&world, &[("connectionId", &id), ("name", "renamed")]).await;
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    let (mut browser, location) = begin(&world, &[("connectionId", &id), ("name", "not this")]).await;
    browser.get(&world, &provider.come_back(&location, &[("error", "access_denied")])).await;
    provider.set_test_status(401);
    let (mut browser, location) = begin(&world, &[("connectionId", &id), ("name", "nor this")]).await;
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(connections(&world).await.len(), 1);
    assert_eq!(world.connection(&id).await["name"], "renamed");
    assert_eq!(world.credentials(&id).await["access_token"], "access-3");
}

#[tokio::test]
async fn several_connections_are_created_only_on_request() {
    let (world, provider) = prepared(json!({})).await;
    let first = world.connect(&provider).await;
    for wanted in ["1", "true"] {
        let (mut browser, location) = begin(&world, &[("allowMultipleConnections", wanted)]).await;
        browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    }
    assert_eq!(connections(&world).await.len(), 3);
    assert_eq!(world.credentials(&first).await["access_token"], "access-1");
    let (mut browser, location) = begin(&world, &[("allowMultipleConnections", "0")]).await;
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    assert_eq!(connections(&world).await.len(), 3);
    assert_eq!(world.credentials(&first).await["access_token"], "access-4");
}

#[tokio::test]
async fn end_users_and_admins_get_separate_connections() {
    let (world, provider) = prepared(json!({})).await;
    world.connect(&provider).await;
    for token in [world.token("bob").await, world.admin.clone()] {
        let mut browser = Browser::default();
        let location = browser.get(&world, &format!("/connect?integrationKey=crm&token={token}")).await.location();
        browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    }
    let tenants: Vec<_> = connections(&world).await.iter().map(|it| it["tenantId"].clone()).collect();
    assert_eq!(tenants.len(), 3);
    assert!(tenants.contains(&json!("alice")) && tenants.contains(&json!("bob")) && tenants.contains(&Value::Null));
}

#[tokio::test]
async fn a_tenant_cannot_reconnect_another_tenants_connection() {
    let (world, provider) = prepared(json!({})).await;
    let id = world.connect(&provider).await;
    let body = json!({"connectorKey": "oauth2"});
    world.send(Method::PUT, "/integrations/erp", &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    let bob = world.token("bob").await;
    for uri in [
        format!("/connect?integrationKey=crm&connectionId={id}&token={bob}"),
        format!("/connect?integrationKey=erp&connectionId={id}&token={}", world.alice),
        format!("/connect?integrationKey=crm&connectionId=unknown&token={}", world.alice),
    ] {
        let page = Browser::default().get(&world, &uri).await.expect(StatusCode::NOT_FOUND);
        assert!(page.text().contains("here is no connection `"), "{}", page.text());
    }
    assert_eq!(world.credentials(&id).await["access_token"], "access-1");
}

#[tokio::test]
async fn the_id_of_a_future_connection_cannot_be_taken() {
    let (world, provider) = prepared(json!({})).await;
    let id = id_of_alices_connection().await;
    let uri = format!("/credentials?connectionId={id}");
    let (bob, body) = (world.token("bob").await, json!({"credentials": "bob's"}));
    for token in [&bob, &world.admin, &world.alice] {
        let refusal = world.send(Method::PUT, &uri, token, Some(&body)).await.expect(StatusCode::BAD_REQUEST).json();
        assert!(refusal["message"].as_str().unwrap().contains("another `connectionId`"), "{refusal}");
    }
    assert_eq!(connections(&world).await, Vec::<Value>::new());
    // Once the connection exists, only its owner can replace the credentials.
    assert_eq!(world.connect(&provider).await, id);
    world.send(Method::PUT, &uri, &bob, Some(&body)).await.expect(StatusCode::NOT_FOUND);
    world.send(Method::PUT, &uri, &world.alice, Some(&body)).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn earlier_version_ids_taken_by_others_are_skipped() {
    // Bob has taken the first `taken` ids. Alice has the next one, or none.
    for (taken, is_there) in [(4, false), (0, true), (2, true), (3, true)] {
        let (world, provider) = prepared(json!({})).await;
        let (bob, former) = (world.token("bob").await, former_own_ids("local", "crm", Some("alice")));
        let put = async |id: &str, token| {
            let uri = format!("/credentials?connectionId={id}");
            let answer = world.send(Method::PUT, &uri, token, Some(&json!({ "credentials": id }))).await;
            answer.expect(StatusCode::CREATED);
        };
        for id in &former[..taken] {
            put(id, &bob).await;
        }
        if is_there {
            put(&former[taken], &world.alice).await;
        }
        // Giving an id back changes nothing.
        let given_back = format!("/credentials?connectionId={}", former[0]);
        for round in 0..3 {
            let own = world.connect(&provider).await;
            let list = world.send(Method::GET, "/connections", &world.alice, None).await.json();
            let [connection] = &list["items"].as_array().unwrap()[..] else { panic!("{taken} {round}: {list}") };
            let expected = if is_there { &former[taken] } else { &own };
            assert_eq!((&connection["tenantId"], &connection["id"]), (&json!("alice"), &json!(expected)));
            if round == 1 {
                world.send(Method::DELETE, &given_back, &bob, None).await.expect(StatusCode::NO_CONTENT);
            }
        }
        for id in former[..taken].iter().skip(1) {
            assert_eq!(world.credentials(id).await, json!(id));
        }
    }
}

#[tokio::test]
async fn another_tenants_row_never_receives_the_credentials() {
    for tenant in [None, Some("alice".to_owned())] {
        let (world, provider) = prepared(json!({})).await;
        let claims = Claims { is_admin: true, tenant_key: tenant.clone(), ..Claims::default() };
        let uri = format!("/connect?integrationKey=crm&token={}", world.sign("local", claims).await);
        let mut browser = Browser::default();
        let location = browser.get(&world, &uri).await.location();
        // Put a foreign row under the id, no matter how it could get there.
        let (bob, body) = (world.token("bob").await, json!({"credentials": "bob's"}));
        world.send(Method::PUT, "/credentials?connectionId=bobs", &bob, Some(&body)).await.expect(StatusCode::CREATED);
        let id = own_connection_id("local", "crm", tenant.as_deref());
        let (client, table) = (world.dynamodb(), "larder-connections");
        let mut row = client.scan().table_name(table).send().await.unwrap().items.unwrap().remove(0);
        row.insert("id".into(), AttributeValue::S(format!("local#{id}")));
        client.put_item().table_name(table).set_item(Some(row.clone())).send().await.unwrap();
        let page = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::CONFLICT);
        leaks_nothing(page.text());
        let rows = client.scan().table_name(table).send().await.unwrap().items.unwrap();
        assert!(rows.len() == 2 && rows.contains(&row), "{rows:?}");
    }
}

#[tokio::test]
async fn an_admins_reconnect_leaves_the_connection_with_its_end_user() {
    let (world, provider) = prepared(json!({})).await;
    let id = world.connect(&provider).await;
    let mut browser = Browser::default();
    let uri = format!("/connect?integrationKey=crm&connectionId={id}&token={}", world.admin);
    let location = browser.get(&world, &uri).await.expect(StatusCode::FOUND).location();
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    assert_eq!(world.connection(&id).await["tenantId"], "alice");
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test]
async fn configuration_errors_are_reported_before_the_redirect() {
    for (parameters, hint) in [
        (json!({"clientId": null}), "clientId"),
        (json!({"authorizeUri": "not a url"}), "authorizeUri"),
        (json!({"authorizeUri": "ftp://a.example/authorize"}), "authorizeUri"),
        (json!({"tokenUri": null}), "tokenUri"),
        (json!({"clientAuthLocation": "elsewhere"}), "clientAuthLocation"),
    ] {
        let (world, provider) = prepared(json!({})).await;
        let mut all = json!({"clientId": "c", "authorizeUri": provider.uri("/a"), "tokenUri": provider.uri("/t"),
                             "testUri": provider.uri("/me")});
        all.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
        let body = json!({"connectorKey": "oauth2", "parameters": all});
        let answer = world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&body)).await;
        if answer.0.status() == StatusCode::BAD_REQUEST {
            assert_eq!(answer.json()["data"]["fields"][0]["field"], hint);
            continue;
        }
        // The schema of the parameters accepts these, but the flow does not.
        let page = Browser::default().get(&world, &uri(&world, &[])).await;
        refused(&world, page, StatusCode::BAD_REQUEST, hint).await;
    }
}

#[tokio::test]
async fn browser_routes_never_allow_cross_origin_scripts() {
    let (world, provider) = prepared(json!({})).await;
    let (_, location) = begin(&world, &[]).await;
    let callback = Url::parse(&provider.approve(&location)).unwrap();
    for uri in [uri(&world, &[]), format!("/oauth-callback?{}", callback.query().unwrap())] {
        for method in [Method::GET, Method::OPTIONS] {
            let request = http::Request::builder().method(method).uri(&uri).header("origin", "https://evil.example");
            let answer = Answer(world.bundle.handle(request.body(Default::default()).unwrap()).await);
            assert!(answer.0.headers().keys().all(|name| !name.as_str().starts_with("access-control-")), "{uri}");
        }
    }
    assert_eq!(connections(&world).await, Vec::<Value>::new());
}

#[tokio::test]
async fn pending_flows_are_unreadable_at_rest_and_states_never_stored() {
    let (world, _provider) = prepared(json!({})).await;
    let parameters = [("name", "marker-name"), ("input", r#"{"a":"marker-input"}"#), ("customState", "marker-custom")];
    let (_, location) = begin(&world, &parameters).await;
    let state = parameter(&location, "state");
    let (ours, _) = state.split_once(':').unwrap();
    for entry in std::fs::read_dir(world.folder()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for secret in [ours, "marker-"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {}", path.display());
        }
        // The client secret is in the secret file, but never in the database.
        if path.extension().is_some_and(|extension| extension != "json") {
            let secret = b"the-client-secret";
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", path.display());
        }
    }
}
