//! A certified authorization server that requires PKCE, rotates refresh tokens and revokes a grant if one is used twice.
//!
//! The server runs in real time; the tests move Larder's clock.

use std::collections::HashSet;

use futures::future::join_all;
use http::{Method, StatusCode};
use larder_tests::{Browser, MockProvider, Server, World};
use serde_json::{Value, json};

/// The parameters that every integration here has for the provider's endpoints.
fn endpoints(server: &Server) -> Value {
    json!({
        "authorizeUri": server.uri("/auth"),
        "testUri": server.uri("/me"),
        "scopes": ["openid", "offline_access"],
        "clientAuthLocation": "headers",
        "issuer": server.uri(""),
    })
}

async fn integrated(options: Value, parameters: Value) -> (World, Server) {
    let (world, server) = (World::new().await, Server::oidc(options).await);
    server.integrate(&world, &[&endpoints(&server), &parameters]).await;
    (world, server)
}

async fn connected(options: Value) -> (World, Server, String) {
    let (world, server) = integrated(options, json!({})).await;
    server.connect(&world).await.expect(StatusCode::OK);
    let id = connect::own_connection_id("local", "crm", Some("alice"));
    (world, server, id)
}

async fn advance_and_sweep(world: &World, seconds: u64) {
    world.advance(seconds);
    world.sweep().await;
}

async fn refresh_token(world: &World, id: &str) -> String {
    world.credentials(id).await["refresh_token"].as_str().expect("a refresh token").to_owned()
}

/// The result of the connector's test with the stored credentials.
async fn test(world: &World, id: &str) -> Value {
    world.post(&format!("/connections/{id}/test")).await.expect(StatusCode::OK).json()
}

async fn connections(world: &World) -> Value {
    world.get("/connections").await.expect(StatusCode::OK).json()["items"].clone()
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn an_authorization_request_has_only_documented_parameters() {
    let (world, server) = integrated(json!({}), json!({})).await;
    let mut browser = Browser::default();
    let back = server.go(&world, &mut browser).await;
    let requests = server.requests().await;
    let [request] = &requests[..] else { panic!("{requests:?}") };
    let back = url::Url::parse(&back).expect("a URL");
    let state = back.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    let challenge = request.query.iter().find(|(name, _)| name == "code_challenge").expect("PKCE").1.clone();
    let query: Vec<_> = request.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        query,
        [
            ("client_id", "larder"),
            ("redirect_uri", "https://larder.example/oauth-callback"),
            ("response_type", "code"),
            ("access_type", "offline"),
            ("scope", "openid offline_access"),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]
    );
    assert_eq!(challenge.len(), 43);
    assert!(state.len() >= 22, "{state}");
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_code_exchange_has_only_documented_fields() {
    let (_, server, _) = connected(json!({})).await;
    let exchanges = server.exchanges().await;
    let [exchange] = &exchanges[..] else { panic!("{exchanges:?}") };
    assert_eq!(exchange.fields(), ["grant_type", "code", "redirect_uri", "code_verifier", "code_challenge_method"]);
    assert_eq!(exchange.get("redirect_uri"), Some("https://larder.example/oauth-callback"));
    assert_eq!(exchange.get("code_challenge_method"), Some("S256"));
    assert_eq!(exchange.content_type.as_deref(), Some("application/x-www-form-urlencoded"));
    assert!(exchange.has_authorization);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs tests/run"]
async fn reopening_the_callback_never_exchanges_the_code_again() {
    let (world, server) = integrated(json!({}), json!({})).await;
    let mut browser = Browser::default();
    let back = server.go(&world, &mut browser).await;
    let pages = join_all((0..10).map(|_| {
        let (mut browser, world, back) = (browser.clone(), &world, &back);
        async move { browser.get(world, back).await }
    }));
    for page in pages.await {
        assert!(page.expect(StatusCode::OK).text().contains("Connected"));
    }
    world.advance(60);
    let late = browser.clone().get(&world, &back).await.expect(StatusCode::BAD_REQUEST);
    assert!(late.text().contains("start over"), "{}", late.text());
    assert_eq!(server.exchanges().await.len(), 1);
    // A second exchange of the code would have revoked the grant.
    let id = connect::own_connection_id("local", "crm", Some("alice"));
    assert_eq!(test(&world, &id).await, json!({"success": true}));
    assert_eq!(server.ask("grants").await["refreshTokens"], 1);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn another_issuer_is_rejected_before_the_code_is_sent() {
    let (world, server) = integrated(json!({}), json!({"issuer": "https://other.example"})).await;
    server.connect(&world).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(server.exchanges().await.len(), 0);
    assert_eq!(connections(&world).await, json!([]));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_new_connection_is_tested_once_with_its_token() {
    let api = MockProvider::start().await;
    let (world, server) = integrated(json!({}), json!({"testUri": api.uri("/me")})).await;
    server.connect(&world).await.expect(StatusCode::OK);
    let credentials = world.credentials(&connect::own_connection_id("local", "crm", Some("alice"))).await;
    let bearer = format!("Bearer {}", credentials["access_token"].as_str().expect("a token"));
    assert_eq!(api.tests(), [Some(bearer)]);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn credentials_that_fail_the_connectors_test_are_not_stored() {
    let (world, server, id) = connected(json!({})).await;
    assert_eq!(test(&world, &id).await, json!({"success": true}));
    let forged = json!({"credentials": {"access_token": "forged", "refresh_token": "forged", "expires_in": 3600}});
    let uri = format!("/credentials?connectionId={id}");
    let rejection = world.send(Method::PUT, &uri, &world.admin, Some(&forged)).await.expect(StatusCode::BAD_REQUEST);
    assert!(
        rejection.text().contains("nothing was stored") && rejection.text().contains("401"),
        "{}",
        rejection.text()
    );
    assert_eq!(test(&world, &id).await, json!({"success": true}));
    let untested = format!("{uri}&test=false");
    world.send(Method::PUT, &untested, &world.admin, Some(&forged)).await.expect(StatusCode::CREATED);
    let result = test(&world, &id).await;
    assert_eq!(result["success"], false);
    assert!(result["error"]["message"].as_str().is_some_and(|message| message.contains("401")), "{result}");

    let (world, server) = (World::new().await, server);
    server.integrate(&world, &[&endpoints(&server), &json!({"testUri": server.uri("/nowhere")})]).await;
    let page = server.connect(&world).await;
    assert!(page.0.status().is_client_error() && page.text().contains("404"), "{} {}", page.0.status(), page.text());
    assert_eq!(connections(&world).await, json!([]));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_refresh_comes_five_minutes_before_expiry_and_is_served() {
    let (world, server, id) = connected(json!({"accessTokenTtlSecs": 3600})).await;
    let before = world.credentials(&id).await;
    for _ in 0..54 {
        advance_and_sweep(&world, 60).await;
    }
    for _ in 0..59 {
        advance_and_sweep(&world, 1).await;
    }
    assert_eq!(server.refreshes().await.len(), 0, "after {} s", world.seconds());
    advance_and_sweep(&world, 1).await;
    assert_eq!(server.refreshes().await.len(), 1);
    for _ in 0..120 {
        advance_and_sweep(&world, 1).await;
    }
    assert_eq!(server.refreshes().await.len(), 1);
    let after = world.credentials(&id).await;
    assert_ne!(before["access_token"], after["access_token"]);
    assert_eq!(world.connection(&id).await["lastRefreshedAt"], "2026-01-01T00:55:00Z");
    assert_eq!(test(&world, &id).await, json!({"success": true}));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn thirty_second_tokens_are_refreshed_at_most_once_a_minute() {
    let (world, server, _) = connected(json!({"accessTokenTtlSecs": 30})).await;
    for _ in 0..600 {
        advance_and_sweep(&world, 1).await;
    }
    assert_eq!(server.refreshes().await.len(), 10);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn manual_refreshes_run_at_most_once_a_minute() {
    let (world, server, id) = connected(json!({})).await;
    for _ in 0..180 {
        world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::OK);
        world.advance(1);
    }
    assert_eq!(server.refreshes().await.len(), 3);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn twenty_refreshes_never_reuse_a_token_or_lose_the_grant() {
    let (world, server, id) = connected(json!({})).await;
    let mut stored = vec![refresh_token(&world, &id).await];
    for _ in 0..20 {
        advance_and_sweep(&world, 3300).await;
        stored.push(refresh_token(&world, &id).await);
    }
    let sent: Vec<_> =
        server.refreshes().await.iter().map(|it| it.get("refresh_token").expect("a token").to_owned()).collect();
    assert_eq!(sent.len(), 20);
    assert_eq!(sent[..], stored[..20], "each refresh sends the last stored token");
    assert_eq!(stored.iter().collect::<HashSet<_>>().len(), 21, "every refresh token is new");
    let grants = server.ask("grants").await;
    assert_eq!((&grants["grants"], &grants["refreshTokens"]), (&json!(1), &json!(1)), "{grants}");
    assert_eq!(test(&world, &id).await, json!({"success": true}));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_token_without_an_expiry_is_refreshed_after_24_hours() {
    let (world, server, id) = connected(json!({"omitExpiresIn": true})).await;
    for day in 1..=3 {
        advance_and_sweep(&world, 86_399).await;
        assert_eq!(server.refreshes().await.len(), day - 1);
        advance_and_sweep(&world, 1).await;
        assert_eq!(server.refreshes().await.len(), day);
    }
    assert_eq!(world.connection(&id).await["expiresAt"], Value::Null);
    assert_eq!(test(&world, &id).await, json!({"success": true}));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs tests/run"]
async fn fifty_refreshes_at_once_make_one_token_call() {
    let (world, server, id) = connected(json!({})).await;
    let uri = format!("/connections/{id}/refresh-credentials");
    for answer in join_all((0..50).map(|_| world.post(&uri))).await {
        assert_eq!(answer.expect(StatusCode::OK).json()["lastRefreshedAt"], "2026-01-01T00:00:00Z");
    }
    assert_eq!(server.refreshes().await.len(), 1);
    assert_eq!(server.ask("grants").await["refreshTokens"], 1);
    assert_eq!(test(&world, &id).await, json!({"success": true}));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs tests/run"]
async fn fifty_readers_of_an_expired_token_make_one_token_call() {
    let (world, server, id) = connected(json!({})).await;
    let old = world.credentials(&id).await;
    world.advance(3600);
    let answers = join_all((0..50).map(|_| world.credentials(&id))).await;
    assert!(answers.iter().all(|it| it == &answers[0] && it["access_token"] != old["access_token"]));
    assert_eq!(server.refreshes().await.len(), 1);
    assert_eq!(server.ask("grants").await["refreshTokens"], 1);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_wrong_client_secret_is_reported_and_nothing_is_stored() {
    let (world, server) = integrated(json!({}), json!({"clientSecret": "not-the-secret"})).await;
    let page = server.connect(&world).await.expect(StatusCode::BAD_REQUEST);
    for part in ["invalid_client", "integration&#39;s parameters"] {
        assert!(page.text().contains(part), "{}", page.text());
    }
    assert!(!page.text().contains("not-the-secret"));
    assert_eq!(connections(&world).await, json!([]));
    let id = connect::own_connection_id("local", "crm", Some("alice"));
    world.get(&format!("/credentials?connectionId={id}")).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_wrong_client_secret_costs_no_connection_once_it_is_fixed() {
    let (world, server, id) = connected(json!({})).await;
    let before = world.credentials(&id).await;
    server.integrate(&world, &[&endpoints(&server), &json!({"clientSecret": "rolled"})]).await;
    advance_and_sweep(&world, 3300).await;
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["error"]["key"]), (&json!("READY"), &json!("configuration")));
    assert!(view["error"]["message"].as_str().is_some_and(|it| it.contains("invalid_client")), "{view}");
    assert_eq!(world.credentials(&id).await, before);

    server.integrate(&world, &[&endpoints(&server)]).await;
    advance_and_sweep(&world, 75).await;
    assert_eq!(world.connection(&id).await["error"], Value::Null);
    assert_ne!(world.credentials(&id).await, before);
    assert_eq!(test(&world, &id).await, json!({"success": true}));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn refreshes_back_off_and_recover_when_the_provider_is_down() {
    let (world, server, id) = connected(json!({})).await;
    let before = world.credentials(&id).await;
    server.tell("fail", &json!({"status": 503, "times": 2})).await;
    let mut calls = Vec::new();
    advance_and_sweep(&world, 3299).await;
    for _ in 0..295 {
        advance_and_sweep(&world, 1).await;
        let count = server.refreshes().await.len();
        if count > calls.len() {
            calls.push(world.seconds());
        }
        // The old token is served until there is a new one.
        assert_eq!(world.credentials(&id).await == before, count < 3, "at {}", world.seconds());
        if count == 1 {
            let view = world.connection(&id).await;
            assert_eq!((&view["state"], &view["retryAttempts"]), (&json!("READY"), &json!(1)));
            assert!(view["error"]["message"].as_str().is_some_and(|it| it.contains("503")), "{view}");
        }
    }
    let [first, second, third] = calls[..] else { panic!("{calls:?}") };
    assert_eq!(first, 3300);
    assert!((60..=76).contains(&(second - first)) && (120..=151).contains(&(third - second)), "{calls:?}");
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["error"], &view["retryAttempts"]), (&json!("READY"), &Value::Null, &json!(0)));
    assert_eq!(test(&world, &id).await, json!({"success": true}));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_provider_down_at_the_exchange_leaves_nothing_behind() {
    let (world, server) = integrated(json!({}), json!({})).await;
    server.tell("fail", &json!({"status": 503})).await;
    let page = server.connect(&world).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text().contains("503"), "{}", page.text());
    assert_eq!(connections(&world).await, json!([]));
    server.connect(&world).await.expect(StatusCode::OK);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_revoked_grant_needs_a_reconnect_which_fixes_it() {
    let (world, server, id) = connected(json!({})).await;
    let first = refresh_token(&world, &id).await;
    advance_and_sweep(&world, 3300).await;
    let before = world.credentials(&id).await;
    // A thief uses the first refresh token.
    let stolen = [("grant_type", "refresh_token"), ("refresh_token", &first)];
    assert_eq!(server.call_token(&stolen).await.json()["error"], "invalid_grant");
    assert_eq!(server.ask("grants").await["refreshTokens"], 0);
    server.tell("reset", &json!({})).await;

    advance_and_sweep(&world, 3300).await;
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["disconnected"]), (&json!("CLIENT_ACTION_REQUIRED"), &json!(true)));
    assert!(view["error"]["message"].as_str().is_some_and(|it| it.contains("invalid_grant")), "{view}");
    assert_eq!(world.credentials(&id).await, before, "a token that has not expired is served");
    for _ in 0..48 {
        advance_and_sweep(&world, 3600).await;
    }
    assert_eq!(server.refreshes().await.len(), 1, "the provider is not called again");
    let uri = format!("/credentials?connectionId={id}");
    let expired = world.get(&uri).await.expect(StatusCode::BAD_REQUEST).json();
    assert_eq!((&expired["type"], &expired["key"]), (&json!("connection"), &json!("access_token_expired")));

    server.connect(&world).await.expect(StatusCode::OK);
    assert_eq!(connections(&world).await.as_array().map(Vec::len), Some(1));
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["error"]), (&json!("READY"), &Value::Null));
    assert_eq!(test(&world, &id).await, json!({"success": true}));
}
