//! Answers of a token endpoint that no specification allows, or that say no in an unusual way. The names are those of
//! `tests/servers/odd-provider.mjs`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use larder_tests::{Browser, Server, World};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const END_OF_FIRST_TOKEN: &str = "2026-01-01T01:00:00Z";
/// When a token of an hour is due.
const DUE: u64 = 3300;

async fn integrated(server: &Server, parameters: Value) -> World {
    let world = World::new().await;
    let endpoints = json!({"authorizeUri": server.uri("/authorize"), "testUri": server.uri("/userinfo")});
    server.integrate(&world, &[&endpoints, &parameters]).await;
    world
}

/// A new Larder with a connection, at a server that has forgotten everything.
async fn connected(server: &Server) -> (World, String) {
    server.tell("reset", &json!({})).await;
    let world = integrated(server, json!({})).await;
    server.connect(&world).await.expect(StatusCode::OK);
    (world, id())
}

fn id() -> String {
    connect::own_connection_id("local", "crm", Some("alice"))
}

/// Sets what the next token calls are answered.
async fn answer_next(server: &Server, answers: Value) {
    server.tell("answers", &json!({ "answers": answers })).await;
}

async fn advance_and_sweep(world: &World, seconds: u64) {
    world.advance(seconds);
    world.sweep().await;
}

fn message(view: &Value) -> &str {
    view["error"]["message"].as_str().unwrap_or_default()
}

/// What a lifetime is taken for: when the token expires, and when it is due for a refresh, if it was asked for at the
/// start.
const LIFETIMES: [(&str, Option<&str>, &str); 9] = [
    ("normal", Some(END_OF_FIRST_TOKEN), "2026-01-01T00:55:00Z"),
    ("expires_in_string", Some(END_OF_FIRST_TOKEN), "2026-01-01T00:55:00Z"),
    ("expires_in_float", Some("2026-01-01T00:59:59.5Z"), "2026-01-01T00:54:59.5Z"),
    ("expires_in_garbage", None, "2026-01-02T00:00:00Z"),
    ("expires_in_null", None, "2026-01-02T00:00:00Z"),
    ("no_expires_in", None, "2026-01-02T00:00:00Z"),
    ("expires_in_zero", None, "2026-01-02T00:00:00Z"),
    ("expires_in_negative", None, "2026-01-02T00:00:00Z"),
    ("expires_in_huge", Some("2035-12-30T00:00:00Z"), "2035-12-29T23:55:00Z"),
];

fn times(view: &Value) -> (String, String) {
    let text = |name: &str| view[name].as_str().unwrap_or_default().to_owned();
    (text("expiresAt"), text("nextCredentialsRefreshAt"))
}

/// Where the answer states no lifetime, the access token does: it is a JSON Web Token, by the machine's clock.
async fn stated_or_of_token(world: &World, expires_at: Option<&str>, due_at: &str) -> (String, String) {
    if let Some(expires_at) = expires_at {
        return (expires_at.to_owned(), due_at.to_owned());
    }
    let credentials = world.credentials(&id()).await;
    let token = credentials["access_token"].as_str().expect("a token");
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let ends = OffsetDateTime::from_unix_timestamp(claims["exp"].as_i64().expect("a time")).expect("a time");
    let text = |time: OffsetDateTime| time.format(&Rfc3339).expect("a time");
    (text(ends), text(ends - Duration::from_mins(5)))
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn any_lifetime_at_connect_makes_a_connection_that_is_renewed_in_time() {
    let server = Server::odd().await;
    for (name, expires_at, due_at) in LIFETIMES {
        server.tell("reset", &json!({})).await;
        answer_next(&server, json!([name])).await;
        let world = integrated(&server, json!({})).await;
        server.connect(&world).await.expect(StatusCode::OK);
        let view = world.connection(&id()).await;
        assert_eq!(times(&view), stated_or_of_token(&world, expires_at, due_at).await, "{name}");
        assert_eq!(view["state"], "READY", "{name}");
        assert!(world.credentials(&id()).await["access_token"].is_string(), "{name}");
        assert_eq!(server.refreshes().await.len(), 0, "{name}");
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn any_lifetime_at_a_refresh_leaves_a_connection_that_is_renewed_in_time() {
    let server = Server::odd().await;
    for (name, expires_at, due_at) in LIFETIMES {
        let (world, id) = connected(&server).await;
        answer_next(&server, json!([{"name": name, "grantType": "refresh_token"}])).await;
        world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::OK);
        let view = world.connection(&id).await;
        assert_eq!(times(&view), stated_or_of_token(&world, expires_at, due_at).await, "{name}");
        assert_eq!((&view["state"], &view["error"]), (&json!("READY"), &Value::Null), "{name}");
        assert!(world.credentials(&id).await["access_token"].is_string(), "{name}");
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_form_is_as_good_as_json() {
    let server = Server::odd().await;
    answer_next(&server, json!(["form", "form"])).await;
    let world = integrated(&server, json!({})).await;
    server.connect(&world).await.expect(StatusCode::OK);
    assert_eq!(world.connection(&id()).await["expiresAt"], END_OF_FIRST_TOKEN);
    let before = world.credentials(&id()).await;
    advance_and_sweep(&world, DUE).await;
    let after = world.credentials(&id()).await;
    assert_eq!(server.refreshes().await[0].get("refresh_token"), before["refresh_token"].as_str());
    assert_ne!(before["refresh_token"], after["refresh_token"]);
    assert_eq!(world.connection(&id()).await["nextCredentialsRefreshAt"], "2026-01-01T01:50:00Z");
}

/// How an answer without a token is taken: the status of the page when it comes at connect, and what is said of it.
const NO_TOKENS: [(&str, u16, &str); 18] = [
    ("ok_with_error", 400, "invalid_grant (token revoked)"),
    ("ok_false", 400, "invalid_code"),
    ("invalid_grant", 400, "invalid_grant"),
    ("unauthorized_client", 400, "unauthorized_client"),
    ("invalid_client", 400, "invalid_client"),
    ("html_400", 503, "HTTP 400"),
    ("html_200", 503, "neither a JSON object nor a form"),
    ("server_error", 503, "HTTP 500"),
    ("unavailable", 503, "HTTP 503"),
    ("too_many_requests", 503, "HTTP 429, rate_limited"),
    ("redirect", 400, "answered 302 with a redirect to"),
    ("invalid_json", 503, "neither a JSON object nor a form"),
    ("json_array", 503, "neither a JSON object nor a form"),
    ("empty", 503, "neither a JSON object nor a form"),
    ("no_access_token", 503, "has no access_token"),
    ("no_refresh_token", 400, "noRefreshToken: true"),
    ("huge", 503, "more than 1048576 bytes"),
    ("hang_up", 503, "answer of 127.0.0.1 was lost"),
];

#[tokio::test]
#[ignore = "needs tests/run"]
async fn an_answer_without_tokens_at_connect_is_explained_and_nothing_is_stored() {
    let server = Server::odd().await;
    for (name, status, text) in NO_TOKENS.into_iter().filter(|(name, ..)| *name != "hang_up") {
        server.tell("reset", &json!({})).await;
        answer_next(&server, json!([name])).await;
        let world = integrated(&server, json!({})).await;
        let page = server.connect(&world).await;
        assert_eq!(page.0.status().as_u16(), status, "{name}: {}", page.text());
        assert!(page.text().contains(text), "{name}: {}", page.text());
        assert_eq!(world.get("/connections").await.json()["items"], json!([]), "{name}");
        world.get(&format!("/credentials?connectionId={}", id())).await.expect(StatusCode::NOT_FOUND);
        let paths: Vec<_> = server.requests().await.into_iter().map(|request| request.path).collect();
        assert_eq!(paths, ["/authorize", "/token"], "{name}: nobody else is asked");
        // It was no more than that one answer.
        server.connect(&world).await.expect(StatusCode::OK);
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_code_that_is_refused_after_a_lost_answer_is_explained() {
    let server = Server::odd().await;
    answer_next(&server, json!(["hang_up"])).await;
    let world = integrated(&server, json!({})).await;
    // This server forgets the code's challenge when it is first asked.
    let page = server.connect(&world).await;
    let text = page.text();
    assert!(text.contains("code_challenge required") && text.contains("was lost a moment before"), "{text}");
    let paths: Vec<_> = server.requests().await.into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/authorize", "/token", "/token"]);
    server.connect(&world).await.expect(StatusCode::OK);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn an_answer_without_tokens_at_a_refresh_costs_nothing_and_only_a_dead_grant_ends_the_attempts() {
    let server = Server::odd().await;
    for (name, _, text) in NO_TOKENS.into_iter().filter(|(name, ..)| *name != "no_refresh_token") {
        let (world, id) = connected(&server).await;
        let before = world.credentials(&id).await;
        let asked = if name == "hang_up" { 2 } else { 1 };
        answer_next(&server, json!([{"name": name, "grantType": "refresh_token", "times": asked}])).await;
        advance_and_sweep(&world, DUE).await;
        let view = world.connection(&id).await;
        assert!(message(&view).contains(text), "{name}: {view}");
        assert_eq!(world.credentials(&id).await, before, "{name}: the valid token is served");

        let is_dead = matches!(name, "ok_with_error" | "ok_false" | "invalid_grant");
        assert_eq!(view["state"], if is_dead { "CLIENT_ACTION_REQUIRED" } else { "READY" }, "{name}");
        // The provider's Retry-After is longer than the first back-off.
        let waits = if matches!(name, "unavailable" | "too_many_requests") { 120 } else { 60 };
        advance_and_sweep(&world, waits - 1).await;
        let calls = server.requests().await;
        let calls: Vec<_> = calls.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(calls[..2], ["/authorize", "/token"], "{name}");
        assert_eq!(calls[2..], vec!["/token"; asked], "{name}: nobody else is asked");
        advance_and_sweep(&world, 17).await;
        let refreshes = server.refreshes().await;
        assert_eq!(refreshes.len(), if is_dead { 1 } else { asked + 1 }, "{name}");
        assert!(refreshes.iter().all(|it| it.get("refresh_token") == before["refresh_token"].as_str()), "{name}");
        if is_dead {
            server.connect(&world).await.expect(StatusCode::OK);
        }
        let view = world.connection(&id).await;
        assert_eq!((&view["state"], &view["error"]), (&json!("READY"), &Value::Null), "{name}");
        assert_ne!(world.credentials(&id).await["refresh_token"], before["refresh_token"], "{name}");
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn where_there_is_no_refresh_token_the_setting_that_expects_none_is_named_and_helps() {
    let server = Server::odd().await;
    answer_next(&server, json!([{"name": "no_refresh_token", "times": null}])).await;
    let world = integrated(&server, json!({})).await;
    let page = server.connect(&world).await.expect(StatusCode::BAD_REQUEST);
    assert!(page.text().contains("noRefreshToken: true"), "{}", page.text());

    let world = integrated(&server, json!({"noRefreshToken": true})).await;
    server.connect(&world).await.expect(StatusCode::OK);
    let view = world.connection(&id()).await;
    assert_eq!((&view["state"], &view["canRefreshCredentials"]), (&json!("READY"), &json!(false)));
    assert!(world.credentials(&id()).await["access_token"].is_string());
    advance_and_sweep(&world, 3600).await;
    assert_eq!(world.connection(&id()).await["state"], "CLIENT_ACTION_REQUIRED");
    assert_eq!(server.refreshes().await.len(), 0);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_refresh_that_brings_no_new_refresh_token_keeps_the_old_one() {
    let server = Server::odd().await;
    let (world, id) = connected(&server).await;
    let before = world.credentials(&id).await;
    answer_next(&server, json!(["refresh_without_refresh_token"])).await;
    for _ in 0..3 {
        advance_and_sweep(&world, DUE).await;
        let view = world.connection(&id).await;
        assert_eq!((&view["state"], &view["canRefreshCredentials"]), (&json!("READY"), &json!(true)));
        assert_eq!(world.credentials(&id).await["refresh_token"], before["refresh_token"]);
    }
    let refreshes = server.refreshes().await;
    assert_eq!(refreshes.len(), 3);
    assert!(refreshes.iter().all(|it| it.get("refresh_token") == before["refresh_token"].as_str()));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_redirect_is_not_followed() {
    let server = Server::odd().await;
    let (world, _) = connected(&server).await;
    for status in [301, 302, 303, 307, 308] {
        answer_next(&server, json!([{"name": "redirect", "status": status}])).await;
        advance_and_sweep(&world, 8 * 3600).await;
    }
    assert_eq!(server.refreshes().await.len(), 5);
    assert!(server.requests().await.iter().all(|request| request.path != "/elsewhere"));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn an_answer_that_drips_is_cut_off_and_readers_do_not_wait_for_it() {
    let server = Server::odd().await;
    let (world, id) = connected(&server).await;
    let before = world.credentials(&id).await;
    answer_next(&server, json!(["drip"])).await;
    world.advance(DUE);
    let reading = async {
        // The deadline is 20 seconds of real time.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let read = tokio::time::timeout(Duration::from_secs(1), world.credentials(&id)).await;
            assert_eq!(read.expect("an answer at once"), before);
        }
    };
    tokio::time::timeout(Duration::from_secs(25), async { tokio::join!(world.sweep(), reading) })
        .await
        .expect("a deadline");
    let view = world.connection(&id).await;
    assert_eq!(view["state"], "READY");
    assert!(message(&view).contains("did not answer within 20 seconds"), "{view}");
    assert_eq!(world.credentials(&id).await, before);
    advance_and_sweep(&world, 76).await;
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["error"]), (&json!("READY"), &Value::Null));
    assert_ne!(world.credentials(&id).await["refresh_token"], before["refresh_token"]);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_provider_that_is_gone_is_named_and_costs_nothing() {
    let server = Server::odd().await;
    let mut browser = Browser::default();
    let (world, id) = connected(&server).await;
    let before = world.credentials(&id).await;
    let new = integrated(&server, json!({})).await;
    let back = server.go(&new, &mut browser).await;
    server.stop().await;

    let page = browser.get(&new, &back).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text().contains("127.0.0.1 could not be reached"), "{}", page.text());
    assert_eq!(new.get("/connections").await.json()["items"], json!([]));

    advance_and_sweep(&world, DUE).await;
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["retryAttempts"]), (&json!("READY"), &json!(1)));
    assert!(message(&view).contains("127.0.0.1 could not be reached"), "{view}");
    assert_eq!(world.credentials(&id).await, before);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_client_authenticates_where_the_integration_says() {
    // In the header, then in the body: at the exchange, and at a refresh.
    for (location, exchange, refresh) in [
        (Value::Null, (true, false), (false, true)),
        (json!("headers"), (true, false), (true, false)),
        (json!("body"), (false, true), (false, true)),
        (json!("both"), (true, true), (true, true)),
    ] {
        let server = Server::odd().await;
        let world = integrated(&server, json!({"clientAuthLocation": location})).await;
        server.connect(&world).await.expect(StatusCode::OK);
        advance_and_sweep(&world, DUE).await;
        for (requests, (in_header, in_body)) in
            [(server.exchanges().await, exchange), (server.refreshes().await, refresh)]
        {
            let [request] = &requests[..] else { panic!("{location}: {requests:?}") };
            let client = in_body.then_some((Server::CLIENT_ID, Server::CLIENT_SECRET));
            assert_eq!(request.has_authorization, in_header, "{location}");
            assert_eq!(request.get("client_id").zip(request.get("client_secret")), client, "{location}");
        }
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn without_pkce_there_is_no_challenge_and_no_verifier() {
    let server = Server::odd().await;
    let world = integrated(&server, json!({"skipPkce": true})).await;
    server.connect(&world).await.expect(StatusCode::OK);
    let requests = server.requests().await;
    let names: Vec<_> = requests[0].query.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["client_id", "redirect_uri", "response_type", "access_type", "state"]);
    assert_eq!(requests[1].fields(), ["grant_type", "code", "redirect_uri"]);
}
