//! Refreshing: when, how often, and with which result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use http::{Method, StatusCode};
use larder::clock::Clock;
use larder::connection::{ConnectionKey, RefreshOutcome};
use larder_engine::refresh::Trigger;
use larder_tests::{MockProvider, World};
use serde_json::{Value, json};
use time::OffsetDateTime;

async fn connected(parameters: Value) -> (World, MockProvider, String) {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, parameters).await;
    let id = world.connect(&provider).await;
    (world, provider, id)
}

/// A clock that goes forward after its first reading.
struct Jump {
    start: OffsetDateTime,
    by: Duration,
    was_read: AtomicBool,
}

impl Clock for Jump {
    fn now(&self) -> OffsetDateTime {
        if self.was_read.swap(true, Ordering::Relaxed) { self.start + self.by } else { self.start }
    }
}

#[tokio::test]
async fn a_sweep_starts_no_refresh_after_fifty_seconds() {
    let (world, provider, _) = connected(json!({})).await;
    world.advance(3300);
    for (seconds, refreshes) in [(50, 0), (49, 1)] {
        let connector_setup = Arc::clone(&world.bundle.refresher().connector_setup);
        let mut refresher = world.bundle.environment().refresher(connector_setup).unwrap();
        let by = Duration::from_secs(seconds);
        refresher.clock = Arc::new(Jump { start: world.clock.now(), by, was_read: AtomicBool::new(false) });
        Arc::new(refresher).sweep(Duration::ZERO, None).await.unwrap();
        assert_eq!(provider.refreshes().len(), refreshes, "{seconds}");
    }
}

#[tokio::test]
async fn a_sweep_reports_the_delay_of_the_longest_overdue_refresh() {
    let (world, provider, _) = connected(json!({})).await;
    let sweep = async || world.bundle.refresher().sweep(Duration::ZERO, None).await.unwrap();
    world.advance(3299);
    assert_eq!((sweep().await.due, sweep().await.lag_ms), (0, 0));
    world.advance(91);
    // It leaves what is overdue for less than its grace period to schedules.
    let graceful = world.bundle.refresher().sweep(Duration::from_secs(91), None).await.unwrap();
    assert_eq!((graceful.due, provider.refreshes().len()), (0, 0));
    let report = sweep().await;
    assert_eq!((report.due, report.refreshed, report.failed, report.lag_ms), (1, 1, 0, 90_000));
}

#[tokio::test]
async fn a_refresher_is_idle_once_its_sweeps_have_saved_everything() {
    let (world, provider, id) = connected(json!({})).await;
    let refresher = Arc::clone(world.bundle.refresher());
    refresher.idle().await;
    world.advance(3300);
    provider.set_delay(Duration::from_millis(300));
    let sweep = tokio::spawn({
        let refresher = Arc::clone(&refresher);
        async move { refresher.sweep(Duration::ZERO, None).await }
    });
    provider.until_refresh_requested().await;
    refresher.idle().await;
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
    assert_eq!(sweep.await.unwrap().unwrap().refreshed, 1);
}

#[tokio::test]
async fn a_token_is_refreshed_exactly_five_minutes_before_it_expires() {
    let (world, provider, id) = connected(json!({})).await;
    assert_eq!(world.connection(&id).await["nextCredentialsRefreshAt"], "2026-01-01T00:55:00Z");
    world.advance(3299);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 0);
    world.advance(1);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 1);
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test]
async fn the_refresh_request_matches_the_documentation() {
    let (world, provider, _) = connected(json!({})).await;
    world.advance(3300);
    world.sweep().await;
    let request = &provider.refreshes()[0];
    let form: Vec<_> = request.form.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        form,
        [
            ("grant_type", "refresh_token"),
            ("refresh_token", "refresh-1"),
            ("client_id", "the-client"),
            ("client_secret", "the-client-secret"),
        ]
    );
    assert_eq!(request.authorization, None);
}

#[tokio::test]
async fn a_rotated_refresh_token_is_used_for_the_next_refresh() {
    let (world, provider, id) = connected(json!({})).await;
    for _ in 0..3 {
        world.advance(3300);
        world.sweep().await;
    }
    let used: Vec<_> = provider.refreshes().iter().map(|it| it.get("refresh_token").unwrap().to_owned()).collect();
    assert_eq!(used, ["refresh-1", "refresh-2", "refresh-3"]);
    assert_eq!(world.credentials(&id).await["refresh_token"], "refresh-4");
}

#[tokio::test]
async fn without_a_new_refresh_token_the_old_one_is_kept() {
    let (world, provider, id) = connected(json!({})).await;
    provider.script(200, &json!({"access_token": "bare", "expires_in": 3600}));
    provider.script(200, &json!({"access_token": "null", "refresh_token": null, "expires_in": 3600}));
    provider.script(200, &json!({"access_token": "empty", "refresh_token": "", "expires_in": 3600}));
    for access_token in ["bare", "null", "empty"] {
        world.advance(3300);
        world.sweep().await;
        let credentials = world.credentials(&id).await;
        assert_eq!(
            (&credentials["access_token"], &credentials["refresh_token"]),
            (&json!(access_token), &json!("refresh-1"))
        );
    }
}

#[tokio::test]
async fn a_token_without_an_expiry_is_refreshed_every_24_hours() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    provider.set_expires_in(Value::Null);
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    assert_eq!(world.connection(&id).await["nextCredentialsRefreshAt"], "2026-01-02T00:00:00Z");
    world.advance(86_399);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 0);
    world.advance(1);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 1);
    assert_eq!(world.connection(&id).await["nextCredentialsRefreshAt"], "2026-01-03T00:00:00Z");
}

#[tokio::test]
async fn one_second_tokens_are_refreshed_at_most_once_a_minute() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    provider.set_expires_in(json!(1));
    world.integrate(&provider, json!({})).await;
    let id = world.connect(&provider).await;
    for _ in 0..600 {
        world.advance(1);
        world.sweep().await;
        let answer = world.get(&format!("/credentials?connectionId={id}")).await;
        // A one-second token is valid only in the second of its creation, and never served afterward.
        if answer.0.status() == StatusCode::OK {
            assert_eq!(
                answer.json()["credentials"]["access_token"],
                format!("access-{}", provider.token_requests().len())
            );
        } else {
            let wait: u64 = answer.header("retry-after").expect("a time to come back").parse().unwrap();
            assert!((1..=60).contains(&wait));
            answer.expect(StatusCode::SERVICE_UNAVAILABLE);
        }
    }
    let calls = provider.refreshes().len();
    assert!((9..=10).contains(&calls), "{calls} calls in ten minutes");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_refreshes_at_once_make_one_provider_call() {
    let (world, provider, id) = connected(json!({})).await;
    provider.set_delay(Duration::from_millis(300));
    let uri = format!("/connections/{id}/refresh-credentials");
    let answers = join_all((0..50).map(|_| world.post(&uri))).await;
    assert_eq!(provider.refreshes().len(), 1);
    for answer in answers {
        let view = answer.expect(StatusCode::OK).json();
        assert_eq!(view["lastRefreshedAt"], "2026-01-01T00:00:00Z");
    }
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_readers_of_an_expired_token_share_one_provider_call() {
    let (world, provider, id) = connected(json!({})).await;
    provider.set_delay(Duration::from_millis(300));
    world.advance(3600);
    let answers = join_all((0..50).map(|_| world.credentials(&id))).await;
    assert_eq!(provider.refreshes().len(), 1);
    assert!(answers.iter().all(|credentials| credentials["access_token"] == "access-2"));
}

#[tokio::test]
async fn duplicate_and_late_events_make_no_second_provider_call() {
    let (world, provider, id) = connected(json!({})).await;
    let fire = async |version| {
        let refresher = world.bundle.refresher();
        refresher.refresh(&ConnectionKey::new("local", &id), version, Trigger::Due).await.expect("an outcome")
    };
    let version = world.version(&id).await;
    world.advance(3300);
    assert_eq!(fire(Some(version)).await, RefreshOutcome::Refreshed);
    // The same event again, immediately and later; an earlier one; and one without a version.
    for wait in [0, 1, 61, 3000] {
        world.advance(wait);
        assert_eq!(
            (fire(Some(version)).await, fire(Some(version - 1)).await),
            (RefreshOutcome::Stale, RefreshOutcome::Stale)
        );
        if wait < 60 {
            assert_eq!(fire(None).await, RefreshOutcome::TooSoon);
        }
    }
    assert_eq!(provider.refreshes().len(), 1);
    assert_eq!(fire(Some(version + 1)).await, RefreshOutcome::Refreshed);
    assert_eq!(provider.refreshes()[1].get("refresh_token"), Some("refresh-2"));
    let unknown = ConnectionKey::new("local", "unknown");
    let gone = world.bundle.refresher().refresh(&unknown, Some(1), Trigger::Due).await;
    assert_eq!(gone.expect("an outcome"), RefreshOutcome::Gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_deliveries_of_an_event_make_one_provider_call() {
    let (world, provider, id) = connected(json!({})).await;
    provider.set_delay(Duration::from_millis(300));
    world.advance(3300);
    let (refresher, version) = (world.bundle.refresher(), world.version(&id).await);
    let key = ConnectionKey::new("local", &id);
    let outcomes = join_all((0..20).map(|_| refresher.refresh(&key, Some(version), Trigger::Due))).await;
    let refreshed = outcomes.iter().filter(|outcome| matches!(outcome, Ok(RefreshOutcome::Refreshed))).count();
    assert_eq!((refreshed, provider.refreshes().len()), (1, 1), "{outcomes:?}");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

#[tokio::test]
async fn a_token_is_served_until_it_expires_even_if_refreshing_fails() {
    let (world, provider, id) = connected(json!({})).await;
    for _ in 0..20 {
        provider.script_raw(503, "<html>down</html>", &[("content-type", "text/html")]);
    }
    world.advance(3300);
    world.sweep().await;
    assert_eq!(world.credentials(&id).await["access_token"], "access-1");
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["retryAttempts"]), (&json!("READY"), &json!(1)));
    assert!(view["error"]["message"].as_str().unwrap().contains("503"), "{view}");

    world.advance(300);
    let answer = world.get(&format!("/credentials?connectionId={id}")).await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").is_some());
    assert!(!answer.text().contains("access-1"));
}

#[tokio::test]
async fn the_providers_retry_after_is_honored() {
    let (world, provider, _) = connected(json!({})).await;
    provider.script_raw(429, "{}", &[("retry-after", "1800")]);
    world.advance(3300);
    world.sweep().await;
    for _ in 0..29 {
        world.advance(60);
        world.sweep().await;
    }
    assert_eq!(provider.refreshes().len(), 1);
    world.advance(60);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 2);
}

#[tokio::test]
async fn a_failing_provider_is_called_at_most_once_a_minute() {
    let (world, provider, id) = connected(json!({})).await;
    for _ in 0..1000 {
        provider.script_raw(500, "", &[]);
    }
    world.advance(3600);
    let (mut last, mut seen) = (None, 0);
    for _ in 0..86 {
        world.sweep().await;
        world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::SERVICE_UNAVAILABLE);
        let answer = world.get(&format!("/credentials?connectionId={id}")).await;
        assert!(answer.expect(StatusCode::SERVICE_UNAVAILABLE).header("retry-after").is_some());
        let calls = provider.refreshes().len();
        if calls > seen {
            assert!(calls == seen + 1 && last.is_none_or(|last| world.seconds() - last >= 60), "{calls} calls");
            (last, seen) = (Some(world.seconds()), calls);
        }
        world.advance(7);
    }
    assert!((2..=10).contains(&seen), "{seen} calls in ten minutes");
}

/// Replaces the credentials, because the `expires_in` of connecting would be kept and take precedence.
async fn forget_expires_in(world: &World, id: &str) {
    let body = json!({"credentials": {"refresh_token": "mine"}});
    let uri = format!("/credentials?connectionId={id}");
    world.send(Method::PUT, &uri, &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn refreshes_are_timely_if_a_providers_clock_is_5_minutes_off() {
    // A lifetime in seconds counts, whatever the provider's clock says.
    for skew in [-300, 300] {
        let (world, provider, id) = connected(json!({})).await;
        let tokens = |lifetime: i64, at: i64| json!({"access_token": "a", "refresh_token": "r", "expires_in": lifetime, "expires_at": World::START + at});
        provider.script(200, &tokens(3600, 60 + 3600 + skew));
        world.advance(60);
        world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::OK);
        assert_eq!(world.connection(&id).await["nextCredentialsRefreshAt"], "2026-01-01T00:56:00Z");
    }
    // If the provider states only a time, the `date` of its answer shows how far its clock is off.
    for (skew, date) in [(300, "Thu, 01 Jan 2026 00:06:00 GMT"), (-300, "Wed, 31 Dec 2025 23:56:00 GMT")] {
        let (world, provider, id) = connected(json!({})).await;
        forget_expires_in(&world, &id).await;
        let expires_at = World::START + 60 + 3600 + skew;
        let tokens = json!({"access_token": "a", "refresh_token": "r", "expires_at": expires_at});
        provider.script_raw(200, &tokens.to_string(), &[("content-type", "application/json"), ("date", date)]);
        world.advance(60);
        world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::OK);
        assert_eq!(world.connection(&id).await["nextCredentialsRefreshAt"], "2026-01-01T00:56:00Z");
    }
    // Without a `date`, an hour by a clock that is five minutes fast is refreshed when it ends, and by a slow clock a
    // little early.
    for (skew, due_at) in [(300, "2026-01-01T01:01:00Z"), (-300, "2026-01-01T00:51:00Z")] {
        let (world, provider, id) = connected(json!({})).await;
        let expires_at = World::START + 60 + 3600 + skew;
        provider.script(200, &json!({"access_token": "a", "refresh_token": "r", "expires_at": expires_at}));
        forget_expires_in(&world, &id).await;
        world.advance(60);
        world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::OK);
        assert_eq!(world.connection(&id).await["nextCredentialsRefreshAt"], due_at);
    }
    // A short lifetime by a slow clock is over when it starts: the token is never served, and refreshed at most once a
    // minute.
    let (world, provider, id) = connected(json!({})).await;
    for _ in 0..100 {
        provider.script(200, &json!({"access_token": "dead", "refresh_token": "r", "expires_at": World::START}));
    }
    let body = json!({"credentials": {"refresh_token": "mine"}});
    let uri = format!("/credentials?connectionId={id}");
    world.send(Method::PUT, &uri, &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::OK);
    for _ in 0..60 {
        world.advance(10);
        world.sweep().await;
        let answer = world.get(&uri).await.expect(StatusCode::SERVICE_UNAVAILABLE);
        assert!(!answer.text().contains("dead"), "{}", answer.text());
    }
    assert!((9..=11).contains(&provider.refreshes().len()), "{} calls in ten minutes", provider.refreshes().len());
}

#[tokio::test]
async fn retries_become_rarer_and_end_after_a_week() {
    let (world, provider, id) = connected(json!({})).await;
    for _ in 0..1000 {
        provider.script_raw(500, "", &[]);
    }
    let mut hours = 0;
    while world.connection(&id).await["state"] == "READY" {
        world.advance(3600);
        world.sweep().await;
        hours += 1;
        assert!(hours < 24 * 9, "never given up");
    }
    assert!(hours > 24 * 7, "given up after {hours} hours");
    assert!(provider.refreshes().len() < 50, "{} calls", provider.refreshes().len());
    world.advance(30 * 86_400);
    let before = provider.refreshes().len();
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), before);
    let answer = world.get(&format!("/credentials?connectionId={id}")).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["type"], "connection");
}

#[tokio::test]
async fn a_revoked_grant_is_flagged_at_once_and_healed_by_a_reconnect() {
    let (world, provider, id) = connected(json!({})).await;
    provider.script(400, &json!({"error": "invalid_grant", "error_description": "Token has been revoked."}));
    world.advance(3300);
    world.sweep().await;
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["disconnected"]), (&json!("CLIENT_ACTION_REQUIRED"), &json!(true)));
    assert!(view["error"]["message"].as_str().unwrap().contains("invalid_grant"));
    assert_eq!(world.credentials(&id).await["access_token"], "access-1");
    world.advance(86_400);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 1);

    assert_eq!(world.connect(&provider).await, id);
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["error"], &view["retryAttempts"]), (&json!("READY"), &Value::Null, &json!(0)));
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
}

#[tokio::test]
async fn a_rejection_after_a_failed_refresh_is_explained() {
    let (world, provider, id) = connected(json!({})).await;
    provider.script(503, &json!({}));
    provider.script(400, &json!({"error": "invalid_grant"}));
    world.advance(3300);
    world.sweep().await;
    world.advance(120);
    world.sweep().await;
    let view = world.connection(&id).await;
    assert_eq!(view["state"], "CLIENT_ACTION_REQUIRED");
    let message = view["error"]["message"].as_str().unwrap();
    let explained = "an earlier refresh was interrupted and may have used up the refresh token, which the provider no \
                     longer accepts; the end user must reconnect (the provider permanently rejected the grant: \
                     invalid_grant";
    assert!(message.starts_with(explained), "{message}");
}

#[tokio::test]
async fn a_rejected_grant_is_ignored_if_the_connection_has_changed() {
    let (world, provider, id) = connected(json!({})).await;
    provider.set_delay(Duration::from_millis(500));
    provider.script(400, &json!({"error": "invalid_grant"}));
    world.advance(3300);
    let put = async {
        provider.until_refresh_requested().await;
        let body = json!({"credentials": {"access_token": "newer", "refresh_token": "newer", "expires_in": 3600}});
        let uri = format!("/credentials?connectionId={id}");
        world.send(Method::PUT, &uri, &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    };
    tokio::join!(world.sweep(), put);
    let view = world.connection(&id).await;
    assert_eq!((&view["state"], &view["error"]), (&json!("READY"), &Value::Null), "{view}");
    assert_eq!(world.credentials(&id).await["access_token"], "newer");
    world.advance(3300);
    world.sweep().await;
    assert_eq!(provider.refreshes()[1].get("refresh_token"), Some("newer"));
}

#[tokio::test]
async fn secrets_echoed_by_a_provider_are_masked() {
    let (world, provider, id) = connected(json!({})).await;
    let description = "unknown token refresh-1 of the-client-secret";
    provider.script(400, &json!({"error": "invalid_grant", "error_description": description}));
    world.advance(3300);
    world.sweep().await;
    let view = world.connection(&id).await;
    let message = view["error"]["message"].as_str().unwrap();
    assert!(message.contains("unknown token … of …"), "{message}");
}

#[tokio::test]
async fn only_oauth_error_codes_are_permanent() {
    for (status, body) in [
        (400, "<html>Bad Request</html>".to_owned()),
        (500, json!({"error": "invalid_grant"}).to_string()),
        (401, json!({"error": "invalid_client"}).to_string()),
        (200, "not JSON".to_owned()),
        (200, json!({"ok": false, "error": "ratelimited"}).to_string()),
    ] {
        let (world, provider, id) = connected(json!({})).await;
        provider.script_raw(status, &body, &[]);
        world.advance(3300);
        world.sweep().await;
        assert_eq!(world.connection(&id).await["state"], "READY", "{status} {body}");
        world.advance(120);
        world.sweep().await;
        assert_eq!(world.credentials(&id).await["access_token"], "access-2", "{status} {body}");
    }
}

#[tokio::test]
async fn an_answer_over_one_mebibyte_is_rejected() {
    let (world, provider, id) = connected(json!({})).await;
    let answer = json!({"access_token": "long", "expires_in": 3600}).to_string() + &" ".repeat(1024 * 1024);
    provider.script_raw(200, &answer, &[]);
    world.advance(3300);
    world.sweep().await;
    let view = world.connection(&id).await;
    let message = view["error"]["message"].as_str().unwrap();
    assert!(message.contains("more than 1048576 bytes"), "{message}");
    assert_eq!(world.credentials(&id).await["access_token"], "access-1");
}

#[tokio::test]
async fn a_connection_without_a_refresh_token_is_flagged_on_expiry() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({"noRefreshToken": true})).await;
    provider.script(200, &json!({"access_token": "only", "expires_in": 3600}));
    let id = world.connect(&provider).await;
    let forced = world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(forced.json()["type"], "connection");
    world.advance(3500);
    world.sweep().await;
    assert_eq!(world.connection(&id).await["state"], "READY");
    world.advance(100);
    world.sweep().await;
    assert_eq!(world.connection(&id).await["state"], "CLIENT_ACTION_REQUIRED");
    assert_eq!(provider.refreshes().len(), 0);
}

#[tokio::test]
async fn a_token_that_neither_expires_nor_refreshes_is_left_alone() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({"noRefreshToken": true})).await;
    provider.script(200, &json!({"access_token": "forever"}));
    let id = world.connect(&provider).await;
    world.advance(365 * 86_400 / 2);
    world.sweep().await;
    assert_eq!(world.connection(&id).await["state"], "READY");
    assert_eq!(world.credentials(&id).await["access_token"], "forever");
}

#[tokio::test]
async fn credentials_put_during_a_refresh_win() {
    let (world, provider, id) = connected(json!({})).await;
    provider.set_delay(Duration::from_millis(400));
    world.advance(3300);
    let put = async {
        provider.until_refresh_requested().await;
        let body = json!({"credentials": {"access_token": "newer", "refresh_token": "mine", "expires_in": 3600}});
        let uri = format!("/credentials?connectionId={id}");
        world.send(Method::PUT, &uri, &world.admin, Some(&body)).await.expect(StatusCode::CREATED);
    };
    tokio::join!(world.sweep(), put);
    assert_eq!(provider.refreshes().len(), 1);
    assert_eq!(world.credentials(&id).await["access_token"], "newer");
    // The put credentials are refreshed later, with their own refresh token.
    world.advance(3300);
    world.sweep().await;
    assert_eq!(provider.refreshes()[1].get("refresh_token"), Some("mine"));
}

#[tokio::test]
async fn a_dead_refreshers_lease_is_taken_over_when_it_expires() {
    let (world, provider, id) = connected(json!({})).await;
    provider.set_delay(Duration::from_secs(3600));
    world.advance(3300);
    // The invocation is cut off while the provider prepares its answer.
    tokio::select! {
        () = world.sweep() => panic!("the provider has answered"),
        () = provider.until_refresh_requested() => {}
    }
    provider.set_delay(Duration::ZERO);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 1, "the lease is still held");
    // The lease outlasts the time in which its holder may still send, even if another clock is half a minute ahead.
    world.advance(69);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 1, "the lease is still held");
    world.advance(1);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 2);
    assert_eq!(world.connection(&id).await["error"], Value::Null);
}

#[tokio::test]
async fn an_interrupted_manual_refresh_is_retried_soon() {
    let (world, provider, id) = connected(json!({})).await;
    provider.set_delay(Duration::from_secs(3600));
    world.advance(120);
    let uri = format!("/connections/{id}/refresh-credentials");
    tokio::select! {
        _ = world.post(&uri) => panic!("the provider has answered"),
        () = provider.until_refresh_requested() => {}
    }
    provider.set_delay(Duration::ZERO);
    world.advance(70);
    world.sweep().await;
    assert_eq!(provider.refreshes().len(), 2);
    assert_eq!(world.credentials(&id).await["access_token"], "access-3");
}

#[tokio::test]
async fn a_new_scope_is_recorded_and_a_missing_one_keeps_the_old() {
    let (world, provider) = (World::new().await, MockProvider::start().await);
    world.integrate(&provider, json!({"scopes": ["read", "write"]})).await;
    let tokens = |number: u32, scope: Value| {
        let mut tokens = json!({"access_token": format!("a{number}"), "refresh_token": "r", "expires_in": 3600});
        if !scope.is_null() {
            tokens["scope"] = scope;
        }
        tokens
    };
    // Without a `scope`, the requested scope was granted (RFC 6749 §5.1), and none is recorded.
    provider.script(200, &tokens(1, Value::Null));
    let id = world.connect(&provider).await;
    assert_eq!(world.credentials(&id).await.get("scope"), None);
    for (number, scope, recorded) in
        [(2, json!("read"), "read"), (3, Value::Null, "read"), (4, json!("read write"), "read write")]
    {
        provider.script(200, &tokens(number, scope));
        world.advance(3300);
        world.sweep().await;
        let credentials = world.credentials(&id).await;
        assert_eq!(
            (&credentials["access_token"], &credentials["scope"]),
            (&json!(format!("a{number}")), &json!(recorded))
        );
    }
    // A refresh never requests a scope.
    assert!(provider.refreshes().iter().all(|request| request.get("scope").is_none()));
}

#[tokio::test]
async fn a_restart_loses_nothing() {
    let (mut world, provider, id) = connected(json!({})).await;
    world.restart().await;
    assert_eq!(world.credentials(&id).await["access_token"], "access-1");
    world.advance(3300);
    world.sweep().await;
    assert_eq!(world.credentials(&id).await["access_token"], "access-2");
    assert_eq!(provider.refreshes().len(), 1);
}

#[tokio::test]
async fn members_missing_from_a_refresh_keep_every_byte() {
    let (world, provider, id) = connected(json!({})).await;
    let raw = r#"{"credentials":{"refresh_token":"R","big":123456789012345678901234567890,"spaced": [1,  2]}}"#;
    let uri = format!("/credentials?connectionId={id}");
    world.send_raw(Method::PUT, &uri, &world.admin, raw).await.expect(StatusCode::CREATED);
    world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::OK);
    assert_eq!(provider.refreshes().len(), 1);
    let text = world.get(&uri).await.text().to_owned();
    assert!(text.contains(r#""big":123456789012345678901234567890,"spaced":[1,  2]"#), "{text}");
    assert!(text.contains(r#""access_token":"access-2""#), "{text}");
}

#[tokio::test]
async fn a_configuration_error_clears_after_the_next_success() {
    let (world, provider, id) = connected(json!({})).await;
    world.advance(3300);
    provider.script(401, &json!({"error": "invalid_client"}));
    world.sweep().await;
    let view = world.connection(&id).await;
    assert_eq!(view["error"]["key"], "configuration");
    world.advance(60);
    world.post(&format!("/connections/{id}/refresh-credentials")).await.expect(StatusCode::OK);
    assert_eq!(world.connection(&id).await["error"], Value::Null);
}
