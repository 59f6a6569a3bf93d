//! Lifetimes of credentials over several refreshes.

use std::time::Duration;

use http::{Method, StatusCode};
use larder_tests::{MockProvider, World};
use serde_json::{Value, json};

async fn connected() -> (World, MockProvider, String) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    (world, provider, id)
}

async fn refresh_at(world: &World, seconds: i64) {
    world.advance((seconds - world.seconds()).unsigned_abs());
    world.sweep().await;
}

async fn due_at(world: &World, id: &str) -> String {
    world.connection(id).await["nextCredentialsRefreshAt"].as_str().expect("a time").to_owned()
}

#[tokio::test]
async fn a_lifetime_stated_once_applies_after_every_refresh() {
    let (world, provider, id) = connected().await;
    for refresh in 1..=3 {
        // No lifetime, a copied old time, or a zero, which means "does not expire" only in a first answer.
        for more in [json!({}), json!({"expires_at": World::START + 3600}), json!({"expires_in": 0})] {
            let mut tokens = json!({"access_token": format!("access-{refresh}-{more}"), "refresh_token": "next"});
            tokens.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            provider.script(200, &tokens);
            let before = provider.refreshes().len();
            world.advance(3299);
            world.sweep().await;
            assert_eq!(provider.refreshes().len(), before, "too early");
            world.advance(1);
            world.sweep().await;
            assert_eq!(provider.refreshes().len(), before + 1, "too late, after {more}");
        }
    }
    world.advance(3600);
    provider.script(503, &json!({}));
    world.get(&format!("/credentials?connectionId={id}")).await.expect(StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_unchanged_token_is_served_until_it_expires_then_replaced() {
    let (world, provider, id) = connected().await;
    let rest = |seconds: i64| json!({"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": seconds});
    provider.script(200, &rest(300));
    refresh_at(&world, 3300).await;
    assert_eq!(due_at(&world, &id).await, "2026-01-01T01:00:00Z");
    let uri = format!("/credentials?connectionId={id}");
    for second in [3400, 3590, 3596, 3599] {
        refresh_at(&world, second).await;
        assert_eq!(world.credentials(&id).await["access_token"], "access-1", "{second}");
    }
    assert_eq!(provider.refreshes().len(), 1, "the provider has no other token before this one expires");
    // By the provider's clock, the token has another second. The provider is called again two seconds later.
    provider.script(200, &rest(0));
    world.advance(1);
    world.get(&uri).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(provider.refreshes().len(), 2);
    world.advance(2);
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
    assert_eq!(due_at(&world, &id).await, "2026-01-01T01:55:02Z");
}

#[tokio::test]
async fn a_provider_returning_expired_tokens_is_called_once_a_minute() {
    let (world, provider, id) = connected().await;
    for _ in 0..100 {
        provider.script(200, &json!({"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 0}));
    }
    world.advance(3600);
    let mut calls = Vec::new();
    for _ in 0..400 {
        world.sweep().await;
        world.get(&format!("/credentials?connectionId={id}")).await.expect(StatusCode::SERVICE_UNAVAILABLE);
        calls.resize(provider.refreshes().len(), world.seconds() - 3600);
        world.advance(1);
    }
    let soon = calls.iter().filter(|call| **call <= 10).count();
    assert!(soon <= 4, "{calls:?}");
    assert!(calls.windows(2).skip(soon).all(|pair| pair[1] - pair[0] >= 60), "{calls:?}");
    let view = world.connection(&id).await;
    assert_eq!(view["state"], "READY");
    assert!(view["error"]["message"].as_str().is_some_and(|message| message.contains("which has expired")), "{view}");
}

/// The connector sets `refreshMargin` in `getOAuthConfig` or next to `refreshCredentials`.
#[tokio::test]
async fn the_refresh_margin_applies_to_every_kind_of_refresh() {
    let spec = |api: &str| {
        format!(
            "
name: App
auth:
  makeApiClient: {{mapping: {{baseUri: '{api}'}}}}
  options:
    token:
      type: oauth2
      getOAuthConfig: {{mapping: {{clientId: c, authorizeUri: '{api}/authorize', tokenUri: '{api}/token', refreshMargin: 25}}}}
    rest:
      type: client-credentials
      getCredentialsFromConnectionParameters: {{mapping: {{access_token: a, refresh_token: r}}}}
      refreshCredentials: {{mapping: {{path: /token, method: post}}, implementationType: rest-api-mapping, refreshMargin: 25, defaultExpiresIn: 600}}
"
        )
    };
    for variant in ["token", "rest"] {
        let provider = MockProvider::start().await;
        let spec = spec(&provider.uri(""));
        let world = World::with_connector(&[("spec.yml", spec.as_str())]).await;
        world.integrate_app(json!({})).await.expect(StatusCode::CREATED);
        provider.set_expires_in(json!(600));
        let page = world.connect_app(json!({"authOptionKey": variant})).await;
        if variant == "token" {
            let mut browser = larder_tests::Browser::default();
            let uri = format!("/connect?integrationKey=app&authOptionKey=token&token={}", world.alice);
            let authorize = browser.get(&world, &uri).await.location();
            browser.get(&world, &provider.approve(&authorize)).await.expect(StatusCode::OK);
        } else {
            page.expect(StatusCode::OK);
        }
        let id = connect::own_connection_id("local", "app", Some("alice"));
        assert_eq!(due_at(&world, &id).await, "2026-01-01T00:09:35Z", "{variant}");
        refresh_at(&world, 574).await;
        let before = provider.token_requests().len();
        refresh_at(&world, 575).await;
        assert_eq!(provider.token_requests().len(), before + 1, "{variant}");
        assert_eq!(due_at(&world, &id).await, "2026-01-01T00:19:10Z", "{variant}");
        let body = json!({"credentials": {"access_token": "mine", "refresh_token": "mine", "expires_in": 100}});
        let uri = format!("/credentials?connectionId={id}");
        world.send(Method::PUT, &uri, &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
        assert_eq!(due_at(&world, &id).await, "2026-01-01T00:10:50Z", "{variant}");
    }
}

/// The connector refreshes with a function, whose result states only a time.
#[tokio::test]
async fn a_function_refreshes_by_the_providers_clock() {
    for (skew, date) in [(300, "Thu, 01 Jan 2026 00:06:00 GMT"), (-300, "Wed, 31 Dec 2025 23:56:00 GMT")] {
        let provider = MockProvider::start().await;
        let spec = format!(
            "
name: App
auth:
  type: client-credentials
  getCredentialsFromConnectionParameters: {{mapping: {{access_token: a}}}}
  makeApiClient: {{mapping: {{baseUri: '{}'}}}}
  refreshCredentials:
    implementationType: rest-api-mapping
    mapping: {{path: /token, method: post, responseMapping: {{$var: response.data}}}}
",
            provider.uri("")
        );
        let world = World::with_connector(&[("spec.yml", spec.as_str())]).await;
        world.integrate_app(json!({})).await.expect(StatusCode::CREATED);
        world.connect_app(json!({})).await.expect(StatusCode::OK);
        let tokens = json!({"access_token": "b", "expires_at": World::START + 60 + 3600 + skew});
        provider.script_raw(200, &tokens.to_string(), &[("content-type", "application/json"), ("date", date)]);
        world.advance(60);
        let id = connect::own_connection_id("local", "app", Some("alice"));
        world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::OK);
        assert_eq!(due_at(&world, &id).await, "2026-01-01T00:56:00Z", "{skew}");
    }
}

const SLOW: &str = "
name: App
auth:
  type: oauth2
  getOAuthConfig:
    code: |
      export default async ({ connectorParameters }) => {
        await new Promise((done) => setTimeout(done, 400))
        const uri = connectorParameters.apiUri
        return { clientId: 'c', authorizeUri: uri + '/authorize', tokenUri: uri + '/token' }
      }
  makeApiClient: {mapping: {baseUri: 'https://api.example'}}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_too_slow_to_prepare_returns_its_lease() {
    let (world, provider) = (World::with_connector(&[("spec.yml", SLOW)]).await, MockProvider::start().await);
    world.integrate_app(json!({"parameters": {"apiUri": provider.uri("")}})).await.expect(StatusCode::CREATED);
    let mut browser = larder_tests::Browser::default();
    let authorize = browser.get(&world, &format!("/connect?integrationKey=app&token={}", world.alice)).await.location();
    browser.get(&world, &provider.approve(&authorize)).await.expect(StatusCode::OK);
    let id = connect::own_connection_id("local", "app", Some("alice"));
    world.advance(3300);
    // Eleven seconds pass while the refresh prepares its request.
    let late = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.advance(11);
    };
    tokio::join!(world.sweep(), late);
    assert_eq!(provider.refreshes().len(), 0, "the request was sent anyway");
    // A minute later the next refresh starts, and its error is unambiguous.
    provider.script(400, &json!({"error": "invalid_grant"}));
    world.advance(60);
    world.sweep().await;
    let view = world.connection(&id).await;
    assert_eq!(view["state"], "CLIENT_ACTION_REQUIRED", "{view}");
    let message = view["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("the provider permanently rejected the grant: invalid_grant"), "{message}");
}

const SIGNED: &str = "
name: App
auth:
  type: oauth1
  getOAuthConfig:
    code: |
      export default async ({ connectorParameters }) => {
        const uri = connectorParameters.apiUri
        await fetch(uri + '/config')
        const requestTokenUri = uri + '/request'
        return { consumerKey: 'k', consumerSecret: 's', requestTokenUri, authorizeUri: uri + '/authorize', tokenUri: uri + '/access' }
      }
  makeApiClient: {mapping: {baseUri: {$var: connectorParameters.apiUri}}}
  test:
    code: |
      export default async ({ apiClient }) => {
        for (let call = 0; call < 5; call++) await apiClient.get('/me')
        return true
      }
";

#[tokio::test]
async fn oauth_1_requests_are_signed_with_a_configuration_built_once() {
    let (world, provider) = (World::with_connector(&[("spec.yml", SIGNED)]).await, MockProvider::start().await);
    world.integrate_app(json!({"parameters": {"apiUri": provider.uri("")}})).await.expect(StatusCode::CREATED);
    let token = json!({"oauth_token": "t", "oauth_token_secret": "s", "oauth_callback_confirmed": true});
    provider.script_api("POST /request", 200, &token);
    provider.script_api("POST /access", 200, &token);
    let mut browser = larder_tests::Browser::default();
    let location = browser.get(&world, &format!("/connect?integrationKey=app&token={}", world.alice)).await.location();
    assert!(location.contains("/authorize"), "{location}");
    let calls = |what: &str| provider.api_calls().iter().filter(|call| call.what == what).count();
    let callback = provider.api_calls().iter().find(|call| call.what == "POST /request").and_then(|call| {
        let header = call.header("authorization")?.to_owned();
        let callback = header.split("oauth_callback=\"").nth(1)?.split('"').next()?.to_owned();
        form_urlencoded::parse(callback.as_bytes()).next().map(|(callback, _)| callback.into_owned())
    });
    let callback = format!("{}&oauth_token=t&oauth_verifier=v", callback.expect("a callback"));
    let before = calls("GET /config");
    browser.get(&world, &callback).await.expect(StatusCode::OK);
    assert_eq!(calls("GET /me"), 5);
    for request in provider.tests() {
        let signature = request.expect("an `Authorization` header");
        assert!(signature.starts_with("OAuth ") && signature.contains(r#"oauth_token="t""#), "{signature}");
    }
    assert_eq!(calls("GET /config") - before, 2, "once for the verifier, once for the five requests of the test");
}

#[tokio::test]
async fn rejected_credentials_and_missing_tokens_are_explained() {
    let (world, provider, _) = connected().await;
    provider.script(200, &json!({"access_token": "a", "expires_in": 3600}));
    let mut browser = larder_tests::Browser::default();
    let uri = format!("/connect?integrationKey=crm&token={}", world.alice);
    let authorize = browser.get(&world, &uri).await.location();
    let page = browser.get(&world, &provider.approve(&authorize)).await;
    assert!(page.text().contains("consents again"), "{}", page.text());
    provider.set_test_status(401);
    let authorize = browser.get(&world, &uri).await.location();
    let page = browser.get(&world, &provider.approve(&authorize)).await;
    assert!(page.text().contains("did not accept these credentials"), "{}", page.text());
    assert!(!page.text().contains("has expired"), "{}", page.text());
    let _: Value = world.get("/connections").await.json();
}

const TWO_TOKENS: &str = "
name: App
auth:
  type: client-credentials
  getCredentialsFromConnectionParameters:
    mapping: {access_token: bot-1, refresh_token: bot-r1, expires_in: 3600, user: {access_token: user-1, refresh_token: user-r1}}
  makeApiClient: {mapping: {baseUri: {$var: connectorParameters.apiUri}}}
  refreshCredentials:
    code: |
      export default async ({ apiClient, credentials }) => {
        const user = await apiClient.post('/token', { refresh_token: credentials.user.refresh_token })
        try {
          return { ...await apiClient.post('/token', { refresh_token: credentials.refresh_token }), user }
        } catch {
          return { user }
        }
      }
";

#[tokio::test]
async fn a_script_refreshing_two_tokens_loses_neither_if_one_fails() {
    let (world, provider) = (World::with_connector(&[("spec.yml", TWO_TOKENS)]).await, MockProvider::start().await);
    world.integrate_app(json!({"parameters": {"apiUri": provider.uri("")}})).await.expect(StatusCode::CREATED);
    world.connect_app(json!({})).await.expect(StatusCode::OK);
    let id = connect::own_connection_id("local", "app", Some("alice"));
    provider.script(200, &json!({"access_token": "user-2", "refresh_token": "user-r2"}));
    provider.script(503, &json!({}));
    refresh_at(&world, 3300).await;
    let credentials = world.credentials(&id).await;
    assert_eq!(credentials["user"], json!({"access_token": "user-2", "refresh_token": "user-r2"}));
    assert_eq!((&credentials["access_token"], &credentials["refresh_token"]), (&json!("bot-1"), &json!("bot-r1")));
    assert_eq!(
        due_at(&world, &id).await,
        "2026-01-01T01:00:00Z",
        "the expiry is unchanged, and both are refreshed then"
    );
    provider.script(200, &json!({"access_token": "user-3", "refresh_token": "user-r3"}));
    provider.script(200, &json!({"access_token": "bot-2", "refresh_token": "bot-r2", "expires_in": 3600}));
    refresh_at(&world, 3600).await;
    let credentials = world.credentials(&id).await;
    assert_eq!(
        (&credentials["access_token"], &credentials["user"]["access_token"]),
        (&json!("bot-2"), &json!("user-3"))
    );
}

fn forgetful(result: &str) -> String {
    format!(
        "
name: App
auth:
  type: oauth2
  getOAuthConfig:
    mapping:
      clientId: c
      authorizeUri: {{$concat: [{{$var: connectorParameters.apiUri}}, /authorize]}}
      tokenUri: {{$concat: [{{$var: connectorParameters.apiUri}}, /token]}}
  getCredentialsFromRefreshTokenResponse:
    code: |
      export default ({{ credentials, tokenResponse }}) => ({result})
  makeApiClient: {{mapping: {{baseUri: 'https://api.example'}}}}
"
    )
}

#[tokio::test]
async fn new_tokens_and_lifetimes_survive_any_function_result() {
    for result in [
        "{ account: 'a' }",
        "{ refresh_token: null }",
        "{ refresh_token: 7 }",
        "{ access_token: '' }",
        "{ accessToken: null }",
        "{ ...credentials, access_token: tokenResponse.access_token }",
        "{ ...credentials, account: 'a' }",
        "null",
    ] {
        let spec = forgetful(result);
        let (world, provider) =
            (World::with_connector(&[("spec.yml", spec.as_str())]).await, MockProvider::start().await);
        world.integrate_app(json!({"parameters": {"apiUri": provider.uri("")}})).await.expect(StatusCode::CREATED);
        let mut browser = larder_tests::Browser::default();
        let uri = format!("/connect?integrationKey=app&token={}", world.alice);
        let authorize = browser.get(&world, &uri).await.location();
        browser.get(&world, &provider.approve(&authorize)).await.expect(StatusCode::OK);
        let id = connect::own_connection_id("local", "app", Some("alice"));
        provider.script(200, &json!({"access_token": "next", "refresh_token": "rotated", "expires_in": 7200}));
        refresh_at(&world, 3300).await;
        let credentials = world.credentials(&id).await;
        let of = |name: &str| credentials[name].as_str().map(ToOwned::to_owned);
        let expected = (Some("next".to_owned()), Some("rotated".to_owned()));
        assert_eq!((of("access_token"), of("refresh_token")), expected, "{result}");
        assert_eq!(of("account").is_some(), result.contains("account"), "{result}");
        assert_eq!(due_at(&world, &id).await, "2026-01-01T02:50:00Z", "{result}");
    }
}

#[tokio::test]
async fn refresh_tokens_returned_with_an_expired_token_are_saved() {
    let (world, provider, id) = connected().await;
    world.advance(3700);
    for number in 2..6 {
        let refresh_token = format!("refresh-{number}");
        provider.script(200, &json!({"access_token": "access-1", "refresh_token": refresh_token, "expires_in": 0}));
        world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::SERVICE_UNAVAILABLE);
        let view = world.connection(&id).await;
        assert_eq!((&view["state"], &view["retryAttempts"]), (&json!("READY"), &json!(1)), "{view}");
        assert!(view["error"]["message"].as_str().is_some_and(|it| it.contains("which has expired")), "{view}");
        world.advance(600);
    }
    let sent: Vec<_> =
        provider.refreshes().iter().map(|it| it.get("refresh_token").unwrap_or_default().to_owned()).collect();
    assert_eq!(sent, ["refresh-1", "refresh-2", "refresh-3", "refresh-4"]);
}

#[tokio::test]
async fn configuration_errors_are_retried_forever_and_heal_when_fixed() {
    let (world, provider, id) = connected().await;
    for _ in 0..100 {
        provider.script(401, &json!({"error": "invalid_client"}));
    }
    for _ in 0..30 {
        world.advance(86_400);
        world.sweep().await;
    }
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["error"]["key"]), (&json!("READY"), &json!("configuration")), "{view}");
    // A connector that cannot refresh is a configuration error, too.
    let wrong = json!({"connectorKey": "anthropic", "parameters": {}});
    world.send(Method::PUT, "/integrations/crm", &world.admin, Some(&wrong)).await.expect(StatusCode::OK);
    world.advance(86_400);
    world.sweep().await;
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["error"]["key"]), (&json!("READY"), &json!("configuration")), "{view}");
    let fixed = MockProvider::start().await;
    world.integrate(&fixed, json!({})).await;
    world.advance(86_400);
    world.sweep().await;
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["error"]), (&json!("READY"), &Value::Null), "{view}");
}
