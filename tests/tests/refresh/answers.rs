//! An answer means the same for every variant of a refresh: a token endpoint, a REST function and two kinds of scripts. The
//! expected outcomes are the table in the connectors' README.

use http::{Method, StatusCode};
use larder_tests::document::{quoted, read, rows};
use larder_tests::{Browser, MockProvider, World};
use serde_json::{Value, json};

/// The variants of a refresh, as keys of the connector's auth options.
const VARIANTS: [&str; 4] = ["token", "rest", "script", "axios"];
/// Long enough after the last attempt, but before an hour-long token is due.
const LATER: u64 = 600;

const SPEC: &str = "
name: App
parametersSchema: {type: object, properties: {apiUri: {type: string}}}
auth:
  getCredentialsFromConnectionParameters:
    implementationType: mapping
    mapping: {access_token: access-1, refresh_token: refresh-1, expires_in: 3600}
  makeApiClient: {mapping: {baseUri: {$var: connectorParameters.apiUri}}}
  options:
    token:
      type: oauth2
      getCredentialsFromConnectionParameters: {implementationType: not-supported}
      getOAuthConfig:
        mapping:
          clientId: c
          authorizeUri: {$concat: [{$var: connectorParameters.apiUri}, /authorize]}
          tokenUri: {$concat: [{$var: connectorParameters.apiUri}, /token]}
          permanentErrors: [190, the account is gone]
          transientErrors: [already being processed]
    rest:
      type: client-credentials
      refreshCredentials:
        permanentErrors: [190, the account is gone]
        transientErrors: [already being processed]
        implementationType: rest-api-mapping
        mapping: {path: /token, method: post, requestMapping: {data: {token: {$var: credentials.refresh_token}}}}
    script:
      type: client-credentials
      refreshCredentials:
        permanentErrors: [190, the account is gone]
        transientErrors: [already being processed]
        code: |
          export default ({ apiClient, credentials }) => apiClient.post('/token', { token: credentials.refresh_token })
    axios:
      type: client-credentials
      refreshCredentials:
        permanentErrors: [190, the account is gone]
        transientErrors: [already being processed]
        code: |
          import axios from 'axios'
          export default async ({ connectorParameters, credentials }) => {
            const uri = connectorParameters.apiUri + '/token'
            const { data } = await axios.post(uri, { token: credentials.refresh_token }, { maxRedirects: 0 })
            return data
          }
";

struct Fixture {
    world: World,
    provider: MockProvider,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// Adds these parameters to the integration.
    async fn with(mut parameters: Value) -> Self {
        let (world, provider) = (World::with_connector(&[("spec.yml", SPEC)]).await, MockProvider::start().await);
        parameters["apiUri"] = json!(provider.uri(""));
        world.integrate_app(json!({ "parameters": parameters })).await.expect(StatusCode::CREATED);
        Self { world, provider }
    }

    /// Creates a connection that is refreshed in this variant.
    async fn connect(&self, variant: &str) -> String {
        let payload = json!({
            "token": self.world.alice, "integrationKey": "app", "authOptionKey": variant, "allowMultipleConnections": true,
        });
        let mut browser = Browser::default();
        let mut page = browser.post(&self.world, "/connect", &[("payload", &payload.to_string())]).await;
        if variant == "token" {
            self.provider
                .script(200, &json!({"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 3600}));
            page = browser.get(&self.world, &self.provider.approve(&page.location())).await;
        }
        page.expect(StatusCode::OK);
        let connections = self.connections().await;
        let made = connections.iter().find(|view| view["authOptionKey"] == variant && view["tenantId"] == "alice");
        made.expect("a connection")["id"].as_str().expect("an id").to_owned()
    }

    async fn connections(&self) -> Vec<Value> {
        self.world.get("/connections?limit=100").await.json()["items"].as_array().expect("a list").clone()
    }

    /// Resets a connection to its first credentials.
    async fn reset(&self, id: &str) {
        let credentials =
            json!({"credentials": {"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 3600}});
        let uri = format!("/credentials?connectionId={id}");
        self.world.send(Method::PUT, &uri, &self.world.admin, Some(&credentials)).await.expect(StatusCode::CREATED);
    }

    /// Resets a connection and refreshes it ten minutes later with this answer. Returns the view of the connection.
    async fn refresh(&self, id: &str, status: u16, body: &str, headers: &[(&str, &str)]) -> Value {
        self.reset(id).await;
        self.world.advance(LATER);
        self.provider.script_raw(status, body, headers);
        drop(self.world.post(&format!("/connections/{id}/refresh-credentials")).await);
        assert_eq!(self.provider.pending_answers(), 0, "no request was made");
        self.world.connection(id).await
    }
}

/// The outcome of a refresh, in the words of the table.
fn outcome(view: &Value) -> &'static str {
    match (view["state"].as_str(), view["error"].is_null(), view["error"]["key"].as_str()) {
        (Some("CLIENT_ACTION_REQUIRED"), ..) => "reconnect",
        (_, true, _) => "refreshed",
        (_, _, Some("configuration")) => "set-up",
        _ => "later",
    }
}

#[tokio::test]
async fn every_row_of_the_table_holds_in_every_variant() {
    let document = read("shared/connectors/FORMAT.md");
    let fixture = Fixture::new().await;
    let table = rows(&document, "\n## What an answer means\n");
    assert!(table.len() > 30, "{} rows", table.len());
    for variant in VARIANTS {
        let id = fixture.connect(variant).await;
        for row in &table {
            let [status, answer, means] = row[..] else { panic!("{row:?}") };
            let body = quoted(answer).pop().expect("an answer");
            // A script has to parse forms itself.
            if variant == "axios" && body.starts_with(|char: char| char.is_ascii_alphabetic()) {
                continue;
            }
            let location = fixture.provider.uri("/elsewhere?secret=1");
            let kind = if body.starts_with('{') { "application/json" } else { "text/html; charset=utf-8" };
            let headers = [("content-type", kind), ("location", location.as_str())];
            let headers = if answer.contains("Location") { &headers[..] } else { &headers[..1] };
            let view = fixture.refresh(&id, status.parse().expect("a status"), body, headers).await;
            let expected = means.split(':').next().expect("a word");
            assert_eq!(outcome(&view), expected, "{variant}: {status} {body}\n{view}");
            let credentials = match expected {
                "refreshed" => fixture.world.credentials(&id).await,
                _ => continue,
            };
            let sent: Option<Value> = serde_json::from_str(body).ok();
            let token = sent.as_ref().map_or("new", |sent| sent["access_token"].as_str().unwrap_or_default());
            assert_eq!(credentials["access_token"], token, "{variant}: {body}");
            let rotated = sent.as_ref().and_then(|sent| sent["refresh_token"].as_str()).filter(|it| !it.is_empty());
            assert_eq!(credentials["refresh_token"], rotated.unwrap_or("refresh-1"), "{variant}: {body}");
            let now = fixture.world.clock_time();
            let lifetime = if token == "access-1" { 3600 - LATER.cast_signed() } else { 3600 };
            let rest = if token == "access-1" { 300 } else { lifetime };
            assert_eq!(seconds_until(&view["expiresAt"], now), rest, "{variant}: {body}");
        }
    }
}

fn seconds_until(time: &Value, now: i64) -> i64 {
    let format = &time::format_description::well_known::Rfc3339;
    let time = time::OffsetDateTime::parse(time.as_str().expect("a time"), format).expect("RFC 3339");
    time.unix_timestamp() - now
}

#[tokio::test]
async fn error_messages_show_code_and_description_in_every_variant() {
    let fixture = Fixture::new().await;
    for variant in VARIANTS {
        let id = fixture.connect(variant).await;
        let body = r#"{"error": "invalid_grant", "error_description": "The token ya29.a0AfH6SMBx7GqSECRET is over."}"#;
        let view = fixture.refresh(&id, 400, body, &[("content-type", "application/json")]).await;
        let message = view["error"]["message"].as_str().expect("a message");
        assert_eq!(view["error"]["key"], "access_token_expired", "{variant}");
        // Errors thrown by axios have their own message.
        if variant != "axios" {
            assert!(message.contains("invalid_grant (The token … is over.)"), "{variant}: {message}");
        }
        assert!(!message.contains("SECRET"), "{variant}: {message}");
        let location = fixture.provider.uri("/elsewhere?secret=1");
        let view = fixture.refresh(&id, 308, "", &[("location", &location)]).await;
        let message = view["error"]["message"].as_str().expect("a message");
        if variant != "axios" {
            assert!(message.contains("/elsewhere") && !message.contains("secret"), "{variant}: {message}");
        }
    }
}

#[tokio::test]
async fn retry_after_never_breaks_a_connection_or_delays_others() {
    let fixture = Fixture::new().await;
    let mut others = Vec::new();
    for number in 0..6 {
        let tenant = fixture.world.token(&format!("tenant-{number}")).await;
        let payload = json!({"token": tenant, "integrationKey": "app", "authOptionKey": "rest"}).to_string();
        Browser::default().post(&fixture.world, "/connect", &[("payload", &payload)]).await.expect(StatusCode::OK);
        others.push(connect::own_connection_id("local", "app", Some(&format!("tenant-{number}"))));
    }
    let now = || fixture.world.clock_time();
    for variant in VARIANTS {
        let id = fixture.connect(variant).await;
        let in_an_hour = http_date(now() + LATER.cast_signed() + 3600);
        let (seconds, milliseconds) = (now() + 86_400 * 30, (now() + LATER.cast_signed() + 1800) * 1000);
        let (seconds, milliseconds) = (seconds.to_string(), milliseconds.to_string());
        for (wait, expected) in [
            ("0", 60..=75),
            ("-1", 60..=75),
            ("1800", 1800..=1800),
            (in_an_hour.as_str(), 3590..=3600),
            ("18446744073709551615", 86_400..=86_400),
            ("99999999999999999999999999", 86_400..=86_400),
            (seconds.as_str(), 86_400..=86_400),
            (milliseconds.as_str(), 1790..=1800),
            ("soon; or never", 60..=75),
        ] {
            for status in [400, 401, 403, 429, 503] {
                fixture.reset(&id).await;
                let (wait, expected) = match wait {
                    wait if wait == in_an_hour => (http_date(now() + LATER.cast_signed() + 3600), expected.clone()),
                    wait if wait == milliseconds => {
                        (((now() + LATER.cast_signed() + 1800) * 1000).to_string(), expected.clone())
                    }
                    wait => (wait.to_owned(), expected.clone()),
                };
                let headers = [("content-type", "application/json"), ("Retry-After", wait.as_str())];
                let view = fixture.refresh(&id, status, r#"{"error": "busy"}"#, &headers).await;
                let next = seconds_until(&view["nextCredentialsRefreshAt"], now());
                assert!(expected.contains(&next), "{variant}: {status}, {wait}: {next} s");
            }
        }
    }
    // If the first of several refreshes gets such an answer, all the others still succeed on time.
    let connections = fixture.connections().await;
    let ids: Vec<&str> = connections.iter().map(|view| view["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), others.len() + VARIANTS.len());
    for wait in ["18446744073709551615", "1767225600000", "1767225600", "soon"] {
        for id in &ids {
            fixture.reset(id).await;
        }
        fixture.world.advance(3300);
        fixture.provider.script_raw(503, "", &[("Retry-After", wait)]);
        for _ in 1..ids.len() {
            let body = r#"{"access_token": "new", "expires_in": 3600}"#;
            fixture.provider.script_raw(200, body, &[("content-type", "application/json")]);
        }
        fixture.world.sweep().await;
        let mut refreshed = 0;
        for id in &ids {
            refreshed += usize::from(fixture.world.credentials(id).await["access_token"] == "new");
        }
        assert_eq!(refreshed, ids.len() - 1, "{wait}");
    }
}

#[tokio::test]
async fn parameters_equal_to_answer_keywords_do_not_mask_them() {
    let fixture =
        Fixture::with(json!({"place": "headers", "grantType": "refresh_token", "more": ["status", "retry-after"]}))
            .await;
    for variant in VARIANTS {
        let id = fixture.connect(variant).await;
        // A duplicate header.
        let headers = [("content-type", "application/json"), ("retry-after", "1800"), ("retry-after", "1800")];
        let view = fixture.refresh(&id, 503, "{}", &headers).await;
        assert_eq!(seconds_until(&view["nextCredentialsRefreshAt"], fixture.world.clock_time()), 1800, "{variant}");
        let view = fixture.refresh(&id, 400, r#"{"error": "invalid_refresh_token"}"#, &headers[..1]).await;
        assert_eq!(outcome(&view), "reconnect", "{variant}");
    }
}

fn http_date(seconds: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).expect("a time");
    let text = time.format(&time::format_description::well_known::Rfc2822).expect("a date");
    text.replace("+0000", "GMT")
}
