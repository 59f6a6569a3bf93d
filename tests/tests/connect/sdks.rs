//! Connecting as the official SDKs do: by form, by connection alone, and from a web page that waits for a message.

use http::{Method, StatusCode};
use larder_local::demo::DemoProvider;
use larder_tests::{Answer, Browser, MockProvider, World};
use serde_json::{Value, json};
use url::Url;

/// The redirect URI that the integration allows; see `World::integrate`.
const DONE: &str = "https://app.example/done?from=larder";

async fn prepared() -> (World, MockProvider) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    (world, provider)
}

/// Submits the SDKs' form, as a page of this origin would.
async fn submit(world: &World, uri: &str, payload: &Value, origin: Option<&str>) -> Answer {
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish();
    let request = http::Request::post(uri).header("content-type", "application/x-www-form-urlencoded");
    let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
    Answer(world.bundle.handle(request.body(form.into()).unwrap()).await)
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The message on a page.
fn posted(page: &Answer) -> Value {
    let (_, rest) = page.text().split_once(r#"<script type="application/json" id="result">"#).expect("a message");
    let (data, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str::<Value>(data).unwrap()["message"].take()
}

#[tokio::test]
async fn a_redirect_uri_wins_over_a_request_id() {
    let (world, provider) = prepared().await;
    let payload = json!({"token": world.alice, "integrationId": "crm", "requestId": "r1", "redirectUri": DONE});
    let mut browser = Browser::default();
    let start = browser.post(&world, "/connect", &[("payload", &payload.to_string())]).await;
    let location = start.expect(StatusCode::FOUND).location();
    let end = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::FOUND).location();
    let id = connect::own_connection_id("local", "crm", Some("alice"));
    assert_eq!(end, format!("{DONE}&connectionId={id}"));
    // So it is for failures, before the provider and after it.
    let mut bad = payload.clone();
    bad["connectionId"] = "unknown".into();
    let end = browser.post(&world, "/connect", &[("payload", &bad.to_string())]).await.location();
    assert!(end.starts_with(DONE) && parameter(&end, "error").is_some(), "{end}");
    let location = browser.post(&world, "/connect", &[("payload", &payload.to_string())]).await.location();
    let denied = provider.come_back(&location, &[("error", "access_denied")]);
    let end = browser.get(&world, &denied).await.expect(StatusCode::FOUND).location();
    assert!(end.starts_with(DONE) && parameter(&end, "errorData").is_some(), "{end}");
}

#[tokio::test]
async fn a_connection_id_alone_reconnects_through_its_integration() {
    let (world, provider) = prepared().await;
    let id = world.connect_one_more(&provider).await;
    let (bob, mut browser) = (world.token("bob").await, Browser::default());
    for (number, token) in [&world.alice, &world.admin].into_iter().enumerate() {
        let payload = json!({"token": token, "connectionId": id, "requestId": "r1"}).to_string();
        let location = browser.post(&world, "/connect", &[("payload", &payload)]).await.location();
        let page = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
        let message = posted(&page);
        assert_eq!((&message["connection"]["id"], &message["connection"]["tenantId"]), (&json!(id), &json!("alice")));
        let token = format!("access-{}", number + 2);
        assert_eq!(world.credentials(&id).await["access_token"], token);
    }
    let plain = "/credentials?connectionId=plain";
    world.send(Method::PUT, plain, &world.alice, Some(&json!({"credentials": 1}))).await.expect(StatusCode::CREATED);
    for (token, id, status, hint) in [
        (&bob, &*id, StatusCode::NOT_FOUND, "here is no connection `"),
        (&world.alice, "unknown", StatusCode::NOT_FOUND, "here is no connection `"),
        (&world.alice, "plain", StatusCode::BAD_REQUEST, "has no integration"),
        (&bob, "plain", StatusCode::NOT_FOUND, "here is no connection `"),
    ] {
        let page = browser.get(&world, &format!("/connect?connectionId={id}&token={token}")).await.expect(status);
        assert!(page.text().contains(hint), "{}", page.text());
    }
    // An archived one counts as absent.
    world.send(Method::DELETE, &format!("/connections/{id}"), &world.alice, None).await.expect(StatusCode::NO_CONTENT);
    let uri = format!("/connect?connectionId={id}&token={}", world.alice);
    browser.get(&world, &uri).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(provider.token_requests().len(), 3);
}

#[tokio::test]
async fn the_popup_of_older_sdks_connects_and_reconnects() {
    let (world, provider) = prepared().await;
    let id = connect::own_connection_id("local", "crm", Some("alice"));
    let payload = json!({"token": world.alice, "connectionParameters": {"a": 1}, "requestId": "r1", "name": "Mine"});
    for query in ["integrationId=crm".to_owned(), format!("connectionId={id}")] {
        let (mut browser, uri) = (Browser::default(), format!("/connection-popup?{query}"));
        let location = browser.post(&world, &uri, &[("payload", &payload.to_string())]).await.location();
        let page = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
        assert_eq!(posted(&page)["connection"]["id"], id);
    }
    let uri = format!("/connection-popup?integrationId=crm&token={}", world.alice);
    Browser::default().get(&world, &uri).await.expect(StatusCode::FOUND);
    let prefetch = Browser::default().get_with(&world, &uri, ("sec-purpose", "prefetch")).await;
    prefetch.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_json_body_works_like_a_form() {
    let (world, _provider) = prepared().await;
    let send = async |body: Value, token: Option<&str>| {
        let request = http::Request::post("/connect").header("content-type", "application/json; charset=utf-8");
        let request =
            token.into_iter().fold(request, |it, token| it.header("authorization", format!("Bearer {token}")));
        Answer(world.bundle.handle(request.body(body.to_string().into()).unwrap()).await)
    };
    let body = json!({"integrationKey": "crm", "customState": "mine", "input": {"a": {"b": 1}}});
    let location = send(body.clone(), Some(&world.alice)).await.expect(StatusCode::FOUND).location();
    assert!(parameter(&location, "state").unwrap().ends_with(":mine"), "{location}");
    let mut with_token = body.clone();
    with_token["token"] = world.alice.as_str().into();
    send(with_token, None).await.expect(StatusCode::FOUND);
    send(body, None).await.expect(StatusCode::UNAUTHORIZED);
    for wrong in [json!([]), json!("text"), json!({"integrationKey": 7})] {
        send(wrong, Some(&world.alice)).await.expect(StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_page_that_cannot_receive_the_result_is_rejected_at_once() {
    let (world, provider) = prepared().await;
    let payload = json!({"token": world.alice, "integrationId": "crm", "requestId": "r1"});
    for (origin, named) in [
        ("https://unlisted.example", "https://unlisted.example"),
        ("http://app.example", "http://app.example"),
        ("https://app.example:8443", "https://app.example:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("chrome-extension://abc", "that page&#39;s origin"),
    ] {
        for uri in ["/connect", "/connection-popup?integrationId=crm"] {
            let page = submit(&world, uri, &payload, Some(origin)).await.expect(StatusCode::BAD_REQUEST);
            assert!(page.text().contains(named) && page.text().contains("redirectUris"), "{}", page.text());
            assert!(page.header("set-cookie").is_none() && page.header("location").is_none());
            // Nothing is posted to the page, and it cannot show the error in a frame.
            assert!(!page.text().contains("application/json"), "{}", page.text());
            assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
        }
    }
    for origin in [None, Some("null"), Some("https://app.example"), Some("https://larder.example")] {
        submit(&world, "/connect", &payload, origin).await.expect(StatusCode::FOUND);
    }
    // Neither is it if the result does not go to the page.
    let mut redirected = payload.clone();
    redirected["redirectUri"] = DONE.into();
    submit(&world, "/connect", &redirected, Some("https://unlisted.example")).await.expect(StatusCode::FOUND);
    let without = json!({"token": world.alice, "integrationId": "crm"});
    submit(&world, "/connect", &without, Some("https://unlisted.example")).await.expect(StatusCode::FOUND);
    assert_eq!(provider.token_requests().len(), 0);
}

#[tokio::test]
async fn the_demo_connects_from_pages_in_development() {
    let world = World::new().await;
    world.bundle.put_integration("demo", &DemoProvider::integration(World::BASE_URI, Vec::new())).await.unwrap();
    let payload = json!({"token": world.alice, "integrationId": "demo", "requestId": "r1"});
    for origin in ["http://localhost:3000", "http://127.0.0.1:5173", "http://localhost:8080"] {
        submit(&world, "/connect", &payload, Some(origin)).await.expect(StatusCode::FOUND);
    }
}

#[tokio::test]
async fn a_new_connection_has_the_name_of_its_integration() {
    let (world, provider) = prepared().await;
    let rename = |name: &'static str| {
        let world = &world;
        async move {
            let body = json!({ "name": name });
            world.send(Method::PATCH, "/integrations/crm", &world.admin, Some(&body)).await.expect(StatusCode::OK);
        }
    };
    rename("Our CRM").await;
    let id = world.connect(&provider).await;
    assert_eq!(world.connection(&id).await["name"], "Our CRM");
    // A reconnect keeps the name.
    rename("Their CRM").await;
    world.connect(&provider).await;
    assert_eq!(world.connection(&id).await["name"], "Our CRM");
    // A longer name than a connection may have is not taken.
    let body = json!({ "name": "x".repeat(1025) });
    world.send(Method::PATCH, "/integrations/crm", &world.admin, Some(&body)).await.expect(StatusCode::OK);
    let other = world.connect_one_more(&provider).await;
    assert_eq!(world.connection(&other).await["name"], "crm");
}
