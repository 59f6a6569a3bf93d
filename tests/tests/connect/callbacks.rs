//! Callbacks as browsers and providers actually send them: prefetched, repeated, posted, and with denials of every
//! spelling.

use http::{Method, StatusCode};
use larder_tests::{Answer, Browser, MockProvider, World, eventually};
use serde_json::json;
use url::Url;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

const SPEC: &str = "key: app\nname: App\nauth:\n  type: oauth2\n  getOAuthConfig:\n    implementationType: mapping\n  \
                    makeApiClient:\n    implementationType: mapping\n";
const CONFIG: &str = "clientId: the-client\nclientSecret: the-client-secret\nauthorizeUri: PROVIDER/authorize\n\
                      tokenUri: PROVIDER/token\ncallbackFields: [user]\n";

async fn prepared(parameters: serde_json::Value) -> (World, MockProvider) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, parameters).await;
    (world, provider)
}

/// Starts a flow. Returns the browser and the URL to which it is redirected.
async fn begin(world: &World) -> (Browser, String) {
    let mut browser = Browser::default();
    let uri = format!("/connect?integrationKey=crm&token={}", world.alice);
    let location = browser.get(world, &uri).await.expect(StatusCode::FOUND).location();
    (browser, location)
}

/// A request without cookies.
async fn send(world: &World, method: Method, uri: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let request = http::Request::builder().method(method).uri(uri);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer(world.bundle.handle(request.body(body.to_owned().into()).unwrap()).await)
}

/// The query of a URL.
fn query(url: &str) -> String {
    Url::parse(url).unwrap().query().unwrap().to_owned()
}

/// The URL to which a page leads.
fn next_url(page: &Answer) -> String {
    let (_, rest) = page.text().split_once("; url=").unwrap_or_else(|| panic!("{}", page.text()));
    rest.split_once('"').unwrap().0.replace("&#38;", "&")
}

#[tokio::test]
async fn a_prefetch_consumes_nothing() {
    let (world, provider) = prepared(json!({})).await;
    let link = format!("/connect?integrationKey=crm&token={}", world.alice);
    let (mut browser, location) = begin(&world).await;
    let callback = provider.approve(&location);
    for header in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ] {
        for uri in [&callback, &link] {
            let answer = browser.get_with(&world, uri, header).await.expect(StatusCode::NO_CONTENT);
            assert_eq!((answer.text(), answer.header("cache-control")), ("", Some("no-store")), "{header:?}");
            assert_eq!(answer.header("set-cookie"), None, "{header:?}");
        }
    }
    send(&world, Method::HEAD, &callback, &[], "").await.expect(StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(provider.token_requests().len(), 0);
    browser.get(&world, &callback).await.expect(StatusCode::OK);
    assert_eq!(provider.token_requests().len(), 1);
}

#[tokio::test]
async fn a_repeated_callback_gets_the_same_redirect_or_message() {
    let (world, provider) = prepared(json!({})).await;
    for parameters in ["&redirectUri=https%3A%2F%2Fapp.example%2Fdone%3Ffrom%3Dlarder", "&requestId=r1"] {
        let mut browser = Browser::default();
        let uri = format!("/connect?integrationKey=crm&token={}{parameters}", world.alice);
        let location = browser.get(&world, &uri).await.location();
        for end in [provider.approve(&location), provider.come_back(&location, &[("error", "access_denied")])] {
            let first = browser.get(&world, &end).await;
            let again = browser.get(&world, &end).await;
            assert_eq!((again.0.status(), again.text()), (first.0.status(), first.text()));
            for name in ["location", "content-security-policy", "cache-control", "referrer-policy"] {
                assert_eq!(again.header(name), first.header(name), "{name}");
            }
        }
    }
    assert_eq!(provider.token_requests().len(), 2);
}

#[tokio::test]
async fn a_repeated_callback_waits_for_the_first_to_finish() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world).await;
    let callback = provider.approve(&location);
    let mut reloading = browser.clone();
    let held = provider.hold();
    let (page, unfinished) = tokio::join!(browser.get(&world, &callback), async {
        assert!(eventually(async || !provider.token_requests().is_empty()).await, "no token is requested");
        let page = reloading.get(&world, &callback).await.expect(StatusCode::ACCEPTED);
        held.add_permits(1);
        page
    });
    assert!(unfinished.text().contains("http-equiv=\"refresh\" content=\"2\""), "{}", unfinished.text());
    let page = page.expect(StatusCode::OK);
    assert_eq!(reloading.get(&world, &callback).await.expect(StatusCode::OK).text(), page.text());
    assert_eq!(provider.token_requests().len(), 1);
}

#[tokio::test]
async fn a_callback_result_is_unreadable_at_rest() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world).await;
    let refusal = [("error", "access_denied"), ("error_description", "marker-7Fjfp0ZBr1KtDRbn")];
    let page = browser.get(&world, &provider.come_back(&location, &refusal)).await;
    assert!(page.text().contains("marker-7Fjfp0ZBr1KtDRbn"));
    for entry in std::fs::read_dir(world.folder()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"marker"));
    }
}

#[tokio::test]
async fn a_posted_callback_is_repeated_by_a_page_and_connects() {
    let provider = MockProvider::start().await;
    let world = World::with_connector(&[
        ("spec.yml", SPEC),
        ("auth/get-oauth-config.map.yml", &CONFIG.replace("PROVIDER", &provider.uri(""))),
        ("auth/make-api-client.map.yml", "args:\n  baseUri: https://api.example\n"),
    ])
    .await;
    world.integrate_app(json!({})).await.expect(StatusCode::CREATED);
    let mut browser = Browser::default();
    let uri = format!("/connect?integrationKey=app&token={}", world.alice);
    let location = browser.get(&world, &uri).await.location();
    let user = r#"{"name":{"firstName":"Ada","lastName":"<b>&\"Lovelace"}}"#;
    let form = provider.come_back(&location, &[("code", "the-code"), ("id_token", "eyJ.x.y"), ("user", user)]);
    // A post from another site has no cookies.
    let page = send(&world, Method::POST, "/oauth-callback", &[FORM], &query(&form)).await.expect(StatusCode::OK);
    assert!(!page.text().contains("<script") && !page.text().contains("<b>"), "{}", page.text());
    for (name, value) in [("cache-control", "no-store"), ("referrer-policy", "no-referrer")] {
        assert_eq!(page.header(name), Some(value));
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(provider.token_requests().len(), 0);
    let again = format!("/oauth-callback{}", next_url(&page));
    browser.get(&world, &again).await.expect(StatusCode::OK);
    let id = connect::own_connection_id("local", "app", Some("alice"));
    assert_eq!(world.credentials(&id).await["user"], user);
}

#[tokio::test]
async fn a_posted_callback_must_fit_into_a_url() {
    let (world, provider) = prepared(json!({})).await;
    let (_, location) = begin(&world).await;
    let post = async |parameters: &[(&str, &str)]| {
        let form = query(&provider.come_back(&location, parameters));
        send(&world, Method::POST, "/oauth-callback", &[FORM], &form).await
    };
    let long = "x".repeat(9000);
    let page = post(&[("code", "the-code"), ("id_token", &long), ("user", "ada")]).await.expect(StatusCode::OK);
    let repeated = next_url(&page);
    assert!(!repeated.contains("id_token") && repeated.contains("user=ada") && repeated.contains("code=the-code"));
    let page = post(&[("code", "the-code"), ("user", &long)]).await.expect(StatusCode::PAYLOAD_TOO_LARGE);
    assert!(page.text().contains("8000 bytes") && !page.text().contains("xxx"), "{}", page.text());
}

#[tokio::test]
async fn a_posted_callback_without_a_flow_is_rejected_immediately() {
    let (world, _provider) = prepared(json!({})).await;
    for (headers, body, hint) in [
        (&[FORM][..], "", "no state"),
        (&[FORM], "code=c", "no state"),
        (&[FORM], "code=c&code=d&state=s", "code twice"),
        (&[FORM], "error=user_cancelled_authorize", "user_cancelled_authorize"),
        (&[("content-type", "application/json")], "{}", "application/x-www-form-urlencoded"),
        (&[("content-type", "Application/X-WWW-Form-URLencoded ;charset=utf-8")], "code=c", "no state"),
    ] {
        let page = send(&world, Method::POST, "/oauth-callback", headers, body).await.expect(StatusCode::BAD_REQUEST);
        assert!(page.text().contains("Not connected") && page.text().contains(hint), "{body}: {}", page.text());
    }
    // Parameters of the query and of the form are combined.
    let page = send(&world, Method::POST, "/oauth-callback?state=s", &[FORM], "code=c").await.expect(StatusCode::OK);
    assert_eq!(next_url(&page), "?state=s&code=c");
}

#[tokio::test]
async fn a_denial_without_a_state_is_shown_but_ends_no_flow() {
    let (world, provider) = prepared(json!({})).await;
    let (mut browser, location) = begin(&world).await;
    for (query, hint) in [
        ("error=access_denied&error_description=No%20%3Cb%3Ethanks", "access_denied: No &#60;b&#62;thanks"),
        ("error_code=1349126&error_message=The+app+is+not+set+up", "1349126: The app is not set up"),
        ("denied=hh5s93j4hdidpola", "(access_denied)"),
    ] {
        let page = browser.get(&world, &format!("/oauth-callback?{query}")).await.expect(StatusCode::BAD_REQUEST);
        assert!(page.text().contains(hint) && page.text().contains("start over"), "{query}: {}", page.text());
        assert!(!page.text().contains("hh5s93j4hdidpola"));
    }
    browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_denial_in_any_spelling_is_shown_and_ends_the_flow() {
    let (world, provider) = prepared(json!({})).await;
    for (parameters, hint) in [
        (vec![("error_code", "1349126"), ("error_message", "The app is not set up")], "1349126: The app is not set up"),
        (vec![("error_reason", "user_denied")], "(user_denied)"),
        (vec![("denied", "hh5s93j4hdidpola")], "(access_denied)"),
    ] {
        let (mut browser, location) = begin(&world).await;
        let page = browser.get(&world, &provider.come_back(&location, &parameters)).await;
        assert!(page.expect(StatusCode::BAD_REQUEST).text().contains(hint), "{hint}");
        let page = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::BAD_REQUEST);
        assert!(page.text().contains("start over"), "{}", page.text());
    }
    assert_eq!(provider.token_requests().len(), 0);
}

#[tokio::test]
async fn a_flow_started_under_another_host_name_is_explained() {
    let (world, provider) = prepared(json!({})).await;
    for (began, came, hint) in [
        (
            "localhost:9000",
            "127.0.0.1:9000",
            Some(["started at http://localhost:9000,", "start over at http://127.0.0.1:9000"]),
        ),
        (
            "evil.example",
            "larder.example",
            Some(["started at another address,", "start over at https://larder.example"]),
        ),
        ("larder.example:443", "larder.example", None),
    ] {
        let link = format!("/connect?integrationKey=crm&token={}", world.alice);
        let location = send(&world, Method::GET, &link, &[("host", began)], "").await.location();
        let callback = format!("/oauth-callback?{}", query(&provider.approve(&location)));
        let page = send(&world, Method::GET, &callback, &[("host", came)], "").await.expect(StatusCode::BAD_REQUEST);
        assert!(!page.text().contains("evil"), "{}", page.text());
        match hint {
            Some(hints) => {
                assert!(hints.iter().all(|hint| page.text().contains(hint)), "{}", page.text());
            }
            None => assert!(page.text().contains("another browser"), "{}", page.text()),
        }
    }
    assert_eq!(provider.token_requests().len(), 0);
}

#[tokio::test]
async fn odd_redirect_hosts_are_rejected_and_ignored_where_stored() {
    let world = World::new().await;
    for uri in ["https://*.example/", "https://a,b/", "https://a;script-src/", "https://a'b/", "https://a\"b/"] {
        for member in [json!({"redirectUris": ["https://app.example/", uri]}), json!({"oAuthCallbackUri": uri})] {
            let mut body = json!({"connectorKey": "oauth2"});
            body.as_object_mut().unwrap().extend(member.as_object().unwrap().clone());
            let answer = world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&body)).await;
            let message = answer.expect(StatusCode::BAD_REQUEST).json()["message"].as_str().unwrap().to_owned();
            assert!(message.contains("has the host") && message.contains("no wildcards"), "{message}");
        }
    }
    // An earlier version may have stored such hosts.
    let provider = MockProvider::start().await;
    world.integrate(&provider, json!({})).await;
    let integrations = &world.bundle.refresher().connector_setup.integrations;
    let mut stored = integrations.get("local", "crm").await.unwrap().unwrap();
    stored.redirect_uris.extend(["https://*.example/".to_owned(), "https://a,b/".to_owned()]);
    integrations.put(stored, Default::default()).await.unwrap();
    let mut browser = Browser::default();
    let link = format!("/connect?integrationKey=crm&token={}&requestId=r1", world.alice);
    let location = browser.get(&world, &link).await.location();
    let page = browser.get(&world, &provider.approve(&location)).await.expect(StatusCode::OK);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors https://app.example https://larder.example;"), "{policy}");
    let link = format!("/connect?integrationKey=crm&token={}&redirectUri=https%3A%2F%2F*.example%2F", world.alice);
    let page = browser.get(&world, &link).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("has the host `*.example`"), "{}", page.text());
}
