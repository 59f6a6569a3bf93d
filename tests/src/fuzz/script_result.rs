//! Results and errors of a connector's JavaScript `refreshCredentials`.

use std::time::Duration;

use connect::own_connection_id;
use http::StatusCode;
use larder::clock::later;
use larder::connection::{Connection, ConnectionKey, State};
use larder_local::WORKSPACE;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer::is_permanent_somewhere;
use super::test_bed::{TestBed, on_test_bed};
use super::{SECRET, assert_no_secret, with_secrets};

/// Takes a JSON object with `returns` or `throws`. `stored` are the credentials before the refresh. With `rules`, the
/// connector lists its own error codes. In results, `<NaN>`, `<undefined>` and so on are placeholders for values that JSON
/// lacks.
pub fn script_result(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(Value::Object(plain)) = serde_json::from_str(text) else { return };
    let Ok(Value::Object(mut input)) = serde_json::from_str(&with_secrets(text)) else { return };
    // A connector's own messages are shown, but secrets that Larder gave it are masked.
    let is_given =
        plain.get("stored").and_then(Value::as_object).is_some_and(|stored| stored.values().any(|it| it == SECRET));
    if let Some(own) = plain.get("throws").filter(|_| !is_given) {
        match own {
            Value::Object(own) => {
                let own = own.iter().filter(|(name, _)| !matches!(name.as_str(), "data" | "response"));
                own.for_each(|(name, value)| input["throws"][name] = value.clone());
            }
            own => input["throws"] = own.clone(),
        }
    }
    let has_rules = input.remove("rules").is_some_and(|rules| !matches!(rules, Value::Null | Value::Bool(false)));
    let mut stored = match input.remove("stored") {
        Some(Value::Object(stored)) => stored,
        _ => json!({"access_token": "old", "refresh_token": "r"}).as_object().cloned().unwrap_or_default(),
    };
    let outcome = Value::Object(input);
    stored.insert("outcome".to_owned(), outcome.to_string().into());
    let (option, tenant) = if has_rules { ("listed", "dave") } else { ("script", "carol") };
    on_test_bed(async |bed| {
        let id = own_connection_id(WORKSPACE, "app", Some(tenant));
        let key = ConnectionKey::new(WORKSPACE, &id);
        if bed.world.bundle.environment().connections().get(&key).await.is_ok_and(|it| it.is_none()) {
            connect(bed, option, tenant).await;
        }
        check_refresh(bed, &id, &Value::Object(stored), &outcome, has_rules).await;
    });
}

async fn connect(bed: &TestBed, option: &str, tenant: &str) {
    let token = bed.world.token(tenant).await;
    let payload = json!({"integrationKey": "app", "authOptionKey": option, "token": token, "input": {}});
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish();
    let header = Some(("content-type", "application/x-www-form-urlencoded"));
    let response = bed.request("POST", ("/connect", ""), header, &form).await;
    assert_eq!(response.status(), StatusCode::OK, "{}", response.body());
}

async fn check_refresh(bed: &TestBed, id: &str, stored: &Value, outcome: &Value, has_rules: bool) {
    let token = format!("Bearer {}", bed.world.admin);
    let admin = Some(("authorization", token.as_str()));
    let body = json!({ "credentials": stored }).to_string();
    let put = bed.request("PUT", ("/credentials", &format!("connectionId={id}")), admin, &body).await;
    if put.status() != StatusCode::CREATED {
        return;
    }
    let (before, _) = read(bed, id).await;
    // The shortest interval between two attempts.
    bed.world.advance(60);
    let now = bed.world.seconds();
    let path = format!("/connections/{id}/refresh-credentials");
    let response = bed.request("POST", (&path, ""), admin, "").await;
    assert!(matches!(response.status().as_u16(), 200 | 400 | 503), "{} {}", response.status(), response.body());
    assert_no_secret(response.body());
    assert_eq!(bed.world.seconds(), now, "a refresh must not wait on the clock");

    let (connection, credentials) = read(bed, id).await;
    assert!(connection.version > before.version && connection.lease.is_none(), "{}", response.body());
    assert_eq!(response.status() == StatusCode::OK, connection.problem.is_none());
    let message = connection.problem.as_ref().map_or("", |problem| problem.message.as_str());
    assert!(message.chars().count() < 2200, "the message is too long: {message}");
    check_credentials(stored, &credentials);
    if connection.problem.is_none() {
        check_saved(&outcome["returns"], &credentials);
    }
    check_schedule(bed, &connection);
    check_state(&connection, outcome, has_rules);
    let view = bed.request("GET", (&format!("/connections/{id}"), ""), admin, "").await;
    assert_eq!(view.status(), StatusCode::OK);
    assert_no_secret(view.body());
    let read = bed.request("GET", ("/credentials", &format!("connectionId={id}")), admin, "").await;
    assert!(matches!(read.status().as_u16(), 200 | 400 | 503), "{} {}", read.status(), read.body());
}

/// Reads a connection and its credentials.
async fn read(bed: &TestBed, id: &str) -> (Connection, Value) {
    let environment = bed.world.bundle.environment();
    let key = ConnectionKey::new(WORKSPACE, id);
    let connection = environment.connections().get(&key).await.expect("the database").expect("a connection");
    let contents = environment.vault().expect("a vault").open(&connection).await.expect("it opens");
    let credentials = contents.credentials.expect("credentials").to_value();
    (connection, credentials)
}

/// Checks that tokens are kept or replaced by usable ones, and that all other members still exist.
fn check_credentials(stored: &Value, credentials: &Value) {
    for name in ["access_token", "accessToken", "refresh_token", "refreshToken"] {
        let (old, new) = (stored.get(name), credentials.get(name));
        let is_usable = new.and_then(Value::as_str).is_some_and(|new| !new.is_empty() && !new.contains('\u{fffd}'));
        assert!(is_usable || old == new, "{name} was {old:?} and is {new:?}");
    }
    for name in stored.as_object().expect("an object").keys() {
        assert!(credentials.get(name).is_some(), "`{name}` is gone");
    }
}

/// Checks that the returned tokens are stored after a success.
fn check_saved(returned: &Value, credentials: &Value) {
    for name in ["access_token", "refresh_token", "accessToken", "refreshToken"] {
        let token = returned.get(name).and_then(Value::as_str).unwrap_or_default();
        if !token.is_empty() && !token.starts_with('<') {
            assert_eq!(credentials.get(name).and_then(Value::as_str), Some(token), "{name}");
        }
    }
}

fn check_schedule(bed: &TestBed, connection: &Connection) {
    let now = bed.world.bundle.environment().clock.now();
    let Some(next) = connection.next_refresh_at else {
        return assert_eq!(connection.state, State::ClientActionRequired);
    };
    assert_eq!(connection.state, State::Ready);
    let least =
        if connection.expiry.is_some_and(|expiry| expiry.is_rest) && connection.problem.is_none() { 2 } else { 60 };
    let most = if connection.problem.is_some() { 24 } else { 24 * 365 * 10 };
    let range = later(now, Duration::from_secs(least))..=later(now, Duration::from_hours(most));
    assert!(range.contains(&next), "{next} at {now}");
}

/// Checks that only an error code for a dead grant makes the end user reconnect.
fn check_state(connection: &Connection, outcome: &Value, has_rules: bool) {
    if connection.state == State::Ready {
        return;
    }
    let thrown = &outcome["throws"];
    let is_defunct = thrown["key"].as_str().is_some_and(|key| key.eq_ignore_ascii_case("connection_is_defunct"));
    let listed: &[&str] = if has_rules { &["gone", "190", "is over"] } else { &[] };
    let listed: Vec<String> = listed.iter().map(|code| (*code).to_owned()).collect();
    let is_dead = match outcome.get("throws") {
        None => is_permanent_somewhere(&outcome["returns"], &listed),
        // axios puts it into `response`.
        Some(thrown) => [&thrown["data"]["response"], &thrown["response"]].into_iter().any(|response| {
            // An invalid status may stand for an outage.
            let status = match &response["status"] {
                Value::Null => 0.0,
                Value::String(status) => match status.as_str() {
                    // JSON turns these into null or zero, or leaves them out.
                    "<undefined>" | "<NaN>" | "<Infinity>" | "<-0>" | "<function>" | "<Symbol>" => 0.0,
                    // The script throws `1n`.
                    "<BigInt>" => 1.0,
                    status => status.trim().parse().unwrap_or(f64::MAX),
                },
                status => status.as_f64().unwrap_or(f64::MAX),
            };
            status < 500.0 && status != 429.0 && is_permanent_somewhere(&response["data"], &listed)
        }),
    };
    assert!(is_defunct || is_dead, "{:?} after {outcome}", connection.problem);
}
