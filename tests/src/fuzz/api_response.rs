//! Responses of a provider's API to a connector's REST functions.

use std::time::Duration;

use larder::clock::{earlier, later};
use larder::connection::{
    Asked, Connection, ConnectionKey, Expiry, Failure, IntegrationRef, State, brings_new_token, expiry_of,
    next_refresh, refreshed_expiry,
};
use larder::error::Error;
use larder::http::Response;
use larder::values::has_too_many_values;
use larder_engine::connector::{
    ApiClient, ApiResponse, ErrorKey, Reading, Refused, ResponseError, RestMapping, test_passed,
};
use larder_engine::egress::Limits;
use larder_engine::provider::ProviderError;
use larder_engine::response::{
    self, ErrorReport, ErrorRules, Meaning, is_success, parse_http_date, parse_retry_after, redirect_target,
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use time::macros::datetime;

use super::answer::{CannedAnswer, assert_brief, is_permanent_somewhere, line};
use super::assert_no_secret;

const NOW: OffsetDateTime = datetime!(2026-06-20 02:57:58 UTC);
const DAY: Duration = Duration::from_hours(24);
const TEN_YEARS: Duration = Duration::from_hours(24 * 365 * 10);

/// Takes a response: a status, headers, an empty line and a body. The body may start with a line of JSON with
/// `responseHandlers` and `responseMapping`.
pub fn api_response(data: &[u8]) {
    let Some(mut answer) = CannedAnswer::read(data) else { return };
    let settings = take_settings(&mut answer.body);
    let answer = answer.planted();
    check_count(&answer.body);
    check_headers(&answer);
    match answer.receive(Limits::TOKEN) {
        Ok(received) => {
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let headers = received.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            let answer = Received { status: received.status.as_u16(), headers, body: received.body };
            let redirect = redirect(&received.headers, answer.status);
            check_answer(&answer, redirect.as_deref(), &settings);
        }
        Err(error) => {
            assert_no_secret(&format!("{error:?} {error}"));
            let error = ProviderError::from(error);
            assert_brief(&error.to_string());
            check_consequence(error, true);
        }
    }
}

/// Removes the line of settings from the body, if there is one, and returns it.
fn take_settings(body: &mut Vec<u8>) -> Value {
    let (first, rest) = line(body);
    let Ok(Value::Object(settings)) = serde_json::from_str(&first) else { return Value::Null };
    if settings.is_empty() || !settings.keys().all(|key| key == "responseHandlers" || key == "responseMapping") {
        return Value::Null;
    }
    *body = rest.to_vec();
    Value::Object(settings)
}

/// A decoded response.
struct Received {
    status: u16,
    headers: Vec<(String, String)>,
    body: bytes::Bytes,
}

impl Received {
    fn response(&self) -> ApiResponse {
        ApiResponse::new(self.status, self.headers.clone(), self.body.clone())
    }
}

fn check_answer(answer: &Received, redirect: Option<&str>, settings: &Value) {
    let response = answer.response();
    assert_no_secret(&format!("{response:?}"));
    let data = response.data().clone();
    check_data(&data);
    if let Value::Object(members) = &data {
        check_lifetime(members, response.header("date").and_then(parse_http_date));
    }
    check_result(answer, &data, settings);

    let usual = ApiClient::default();
    let handling = ApiClient::from_value(settings).ok().filter(|client| !client.handlers.is_empty());
    let listed = ["gone", "190", "is over"].map(ToOwned::to_owned);
    let later = ["busy", "already being processed"].map(ToOwned::to_owned);
    let rules = [
        None,
        Some(ErrorRules::default()),
        Some(ErrorRules { permanent: &listed, transient: &later, ..ErrorRules::default() }),
        Some(ErrorRules { permanent: &later, transient: &listed, has_entered_client: true }),
    ];
    for rules in rules {
        let reading = Reading { rules, doubts_success: true, redirect, now: NOW };
        match usual.judge(answer.response(), reading) {
            Ok(response) => {
                assert!(is_success(answer.status));
                assert_eq!(response.into_data(), data);
            }
            Err(refused) => {
                let Refused { error, response } = *refused;
                assert_eq!(response.into_data(), data);
                assert_ne!(error.key, Some(ErrorKey::ConnectionIsDefunct));
                assert!(rules.is_some() || !is_success(answer.status), "{error}");
                check_error(answer, &data, &error, reading, true);
            }
        }
        let Some(client) = &handling else { continue };
        assert_no_secret(&format!("{client:?}"));
        let is_plain = !settings.to_string().contains("jsonata");
        match client.judge(answer.response(), reading) {
            Ok(response) => {
                let again = client.judge(answer.response(), reading).map(ApiResponse::into_data);
                assert!(!is_plain || again.is_ok_and(|again| again == *response.data()));
            }
            Err(refused) => {
                let Refused { error, response } = *refused;
                assert_eq!(response.into_data(), data);
                check_error(answer, &data, &error, reading, !writes_messages(settings));
            }
        }
    }
}

/// Whether a handler has its own message, which may repeat the body.
fn writes_messages(settings: &Value) -> bool {
    let handlers = settings["responseHandlers"].as_array().into_iter().flatten();
    let mut errors = handlers.filter_map(|handler| handler.get("error")).map(Value::to_string);
    errors.any(|error| error.contains("message") || error.contains('$'))
}

/// Checks that data is JSON or a string, and that it survives a round trip.
fn check_data(data: &Value) {
    if data.is_string() {
        return;
    }
    let text = data.to_string();
    assert_eq!(ApiResponse::new(200, Vec::new(), text.clone()).into_data(), *data);
    // Empty lists and objects count twice.
    assert!(!has_too_many_values(text.as_bytes(), 2 * count(data)), "{text}");
}

/// Checks that every body with too many values is noticed.
fn check_count(body: &[u8]) {
    let values = response::json(body).as_ref().map_or(0, count);
    for most in [1, 2, values.saturating_sub(1).max(1)] {
        let is_noticed = has_too_many_values(body, most);
        assert!(is_noticed || values <= most, "{values} values: {:?}", String::from_utf8_lossy(body));
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn check_headers(answer: &CannedAnswer) {
    let text = |name: http::HeaderName| response::header_text(&answer.headers, name).unwrap_or_default();
    for now in [NOW, datetime!(9999-12-31 23:59:59 UTC), datetime!(-9999-01-01 0:00 UTC)] {
        let wait = parse_retry_after(text(http::header::RETRY_AFTER), now);
        assert!(wait.is_none_or(|wait| wait <= DAY), "{wait:?}");
        assert_eq!(response::retry_after(&answer.headers, now), wait);
    }
    for header in [text(http::header::DATE), text(http::header::RETRY_AFTER)] {
        let Some(date) = parse_http_date(header) else { continue };
        if let Ok(written) = date.format(&Rfc2822) {
            assert_eq!(parse_http_date(&written), Some(date), "{header}");
        }
    }
}

/// Returns the target of a redirect, which must not contain a query, a fragment or a password.
fn redirect(headers: &http::HeaderMap, status: u16) -> Option<String> {
    let target = redirect_target(status, headers, &http::Uri::from_static(CannedAnswer::URL))?;
    assert!((300..400).contains(&status));
    assert!(target.chars().count() <= 200 && !target.contains(['?', '#']), "{target}");
    assert_brief(&target);
    let authority = target.split("://").nth(1).and_then(|rest| rest.split('/').next()).expect("an authority");
    assert!(!authority.contains('@'), "{target}");
    Some(target)
}

/// Checks a function's result from the response.
fn check_result(answer: &Received, data: &Value, settings: &Value) {
    let rest = |mapping: Value| {
        RestMapping::parse(&json!({"path": "/token", "method": "post", "responseMapping": mapping})).ok()
    };
    let result = |rest: &RestMapping| rest.result(Map::new(), answer.response());
    let plain = rest(Value::Null).expect("a mapping");
    assert_eq!(result(&plain).as_ref(), Some(data));
    let all = rest(json!({"status": {"$var": "response.status"}, "code": {"$var": "response.statusCode"},
                          "headers": {"$var": "response.headers"}, "data": {"$var": "response.data"}}));
    let all = result(&all.expect("a mapping")).expect("a result");
    assert_eq!((&all["status"], &all["code"]), (&json!(answer.status), &json!(answer.status)));
    assert_eq!(all["headers"].as_object(), Some(&answer.response().header_map()));
    if !data.to_string().contains("$copy\\u0000") {
        assert_eq!(all["data"], *data);
    }
    if let Some(own) = rest(settings["responseMapping"].clone()) {
        let made = result(&own);
        test_passed(made.as_ref(), own.response_mapping.is_some());
        if !settings.to_string().contains("jsonata") {
            assert_eq!(result(&own), made);
        }
    }
}

fn check_error(answer: &Received, data: &Value, error: &ResponseError, reading: Reading<'_>, is_ours: bool) {
    assert_eq!(error.status, answer.status);
    // Errors with a handler's key have no meaning.
    assert!(error.meaning.is_none() || reading.rules.is_some());
    assert!(error.meaning.is_some() || reading.rules.is_none() || error.key.is_some());
    let wait = answer.response().header("retry-after").and_then(|header| parse_retry_after(header, NOW));
    assert_eq!(error.retry_after, wait);
    let is_defunct = error.key == Some(ErrorKey::ConnectionIsDefunct);
    let is_outage = answer.status >= 500 || answer.status == 429;
    if let Some((rules, meaning)) = reading.rules.zip(error.meaning) {
        let report = ErrorReport::read(answer.status, data.as_object().unwrap_or(&Map::new()));
        let expected = match reading.redirect {
            Some(_) => Meaning::Configuration,
            None => rules.meaning(answer.status, &report),
        };
        assert_eq!(meaning, expected);
        if meaning == Meaning::Permanent {
            assert!(!is_outage && is_permanent_somewhere(data, rules.permanent), "{error} of {data}");
        }
    }
    assert_no_secret(&format!("{error:?}"));
    if is_ours {
        assert_brief(&error.message);
        // The message shows a redirect's target, including whatever the provider put into the path.
        let target = reading.redirect.unwrap_or_default();
        let message = if target.is_empty() { error.message.clone() } else { error.message.replace(target, "") };
        assert_no_secret(&message);
    }

    let is_secret_free = is_ours && reading.redirect.is_none();
    let failure = check_consequence(ProviderError::from(error.clone()), is_secret_free);
    if let Failure::Permanent(problem) = failure {
        assert!(is_defunct || (!is_outage && error.meaning == Some(Meaning::Permanent)), "{error}");
        assert!(problem.key.is_some());
    } else {
        assert!(!is_defunct, "{error}");
    }
}

/// Checks the consequence of an error for a connection. With `is_secret_free`, no message may contain a secret.
fn check_consequence(error: ProviderError, is_secret_free: bool) -> Failure {
    let shown = Response::from(Error::from(error.clone()));
    assert!(matches!(shown.status().as_u16(), 400 | 503), "{}", shown.status());
    if is_secret_free {
        assert_no_secret(&format!("{error:?} {error} {}", shown.body()));
    }
    let failure = error.into_failure();
    for (attempts, jitter) in [(0, 0.0), (0, 1.0), (40, 0.5)] {
        let mut connection = connection();
        connection.retry_attempts = attempts;
        connection.apply_failure(&failure, NOW, jitter, DAY * 7);
        assert_eq!(connection.problem.as_ref(), Some(failure.problem()));
        match (connection.state, &failure) {
            (State::Ready, Failure::Transient { .. }) => {
                let wait = connection.next_refresh_at.expect("another attempt") - NOW;
                assert!(wait >= Duration::from_mins(1) && wait <= DAY, "{wait}");
            }
            (State::ClientActionRequired, Failure::Permanent(_)) => assert_eq!(connection.next_refresh_at, None),
            (state, failure) => panic!("{state:?} after {failure:?}"),
        }
        if is_secret_free {
            assert_no_secret(&connection.view().to_string());
        }
    }
    failure
}

fn connection() -> Connection {
    let mut connection = Connection::new(ConnectionKey::new("acme", "c1"), NOW);
    let (key, connector_key, option_key) = ("crm".to_owned(), "crm".to_owned(), String::new());
    connection.integration = Some(IntegrationRef { key, connector_key, option_key });
    connection.apply_renewal(Some(lasting(NOW, 30, 30)), true, NOW);
    connection
}

/// An expiry of a token issued `behind` minutes ago that expires in `before` minutes.
fn lasting(at: OffsetDateTime, behind: u64, before: u64) -> Expiry {
    Expiry::new(earlier(at, Duration::from_mins(behind)), later(at, Duration::from_mins(before)))
}

/// Checks that the next refresh is neither too early nor too late, whatever lifetime a body states.
fn check_lifetime(data: &Map<String, Value>, date: Option<OffsetDateTime>) {
    for at in [NOW, datetime!(9999-12-31 23:59:59 UTC), datetime!(1900-01-01 0:00 UTC), datetime!(-9999-01-01 0:00 UTC)]
    {
        for asked in [Asked::at(at), Asked { at, date }] {
            check_lifetime_of(data, asked);
        }
    }
}

fn check_lifetime_of(data: &Map<String, Value>, asked: Asked) {
    let at = asked.at;
    let most = later(at, TEN_YEARS);
    let first = expiry_of(data, asked);
    if let Some(expiry) = first {
        assert!(expiry.from == at && !expiry.is_rest && (at..=most).contains(&expiry.at), "{expiry:?}");
    }
    let over = Expiry::new(earlier(at, Duration::from_hours(2)), earlier(at, Duration::from_hours(1)));
    let rest = Expiry { is_rest: true, ..lasting(at, 59, 1) };
    let none = json!({});
    let other = json!({"access_token": "old", "refresh_token": "r", "expires_at": data.get("expires_at")});
    let same = Value::Object(data.clone());
    for before in [None, Some(lasting(at, 30, 30)), Some(over), Some(rest)] {
        for stored in [&Value::Null, &none, &other, &same] {
            let expiry = refreshed_expiry(before, stored, data, asked);
            match (expiry, before) {
                (Some(expiry), before) if expiry.is_rest => {
                    let before = before.expect("there was a token");
                    assert!(!brings_new_token(stored, data));
                    assert!(expiry.from == before.from && expiry.at <= later(before.at, Expiry::LAST_MOMENTS));
                }
                (Some(expiry), _) => assert!(expiry.from == at && (at..=most).contains(&expiry.at), "{expiry:?}"),
                (None, before) => assert_eq!(before, None),
            }
            for margin in [None, Some(Duration::from_secs(25)), Some(Duration::MAX)] {
                let next = next_refresh(expiry, margin, at);
                let least = if expiry.is_some_and(|expiry| expiry.is_rest) { 2 } else { 60 };
                assert!((later(at, Duration::from_secs(least))..=most).contains(&next), "{next} of {expiry:?}");
            }
        }
    }
}
