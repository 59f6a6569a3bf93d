//! `larder import`, as its own process, which is killed on the way.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use larder_tests::program::{Program, command};
use larder_tests::{Nango, loopback};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How many connections run at the same time in an import, and so may be called shortly after another.
const CONCURRENCY: usize = 16;
/// The name of the variable with Nango's secret key.
const KEY_VARIABLE: &str = "NANGO_SECRET_KEY_FOR_TESTS";

/// The number of connections: LARDER_IMPORT_CONNECTIONS, or few enough for every run.
fn count() -> usize {
    std::env::var("LARDER_IMPORT_CONNECTIONS").map_or(1000, |text| text.parse().expect("a number"))
}

/// A provider that accepts every token and records when it was called.
#[derive(Clone, Default)]
struct TimedProvider(Arc<Mutex<TimedProviderState>>);

#[derive(Default)]
struct TimedProviderState {
    calls: Vec<Instant>,
    /// How many calls are answered before the next 429.
    until_busy: Option<usize>,
    busy_at: Option<Instant>,
}

impl TimedProvider {
    async fn start() -> (Self, String) {
        let (listener, address) = loopback::listen().await;
        let provider = Self::default();
        let serving = provider.clone();
        loopback::serve(listener, move |_| {
            let (mut state, now) = (serving.state(), Instant::now());
            state.calls.push(now);
            let is_busy = state.until_busy == Some(0);
            state.until_busy = state.until_busy.filter(|_| !is_busy).map(|calls| calls - 1);
            state.busy_at = if is_busy { Some(now) } else { state.busy_at };
            let status = if is_busy { 429 } else { 200 };
            let response = hyper::Response::builder().status(status).header("retry-after", 1);
            let response = response.body(Full::<Bytes>::from("{}")).expect("a response");
            async move { Ok::<_, Infallible>(response) }
        });
        (provider, format!("http://{address}"))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, TimedProviderState> {
        self.0.lock().expect("the lock is not poisoned")
    }

    fn calls(&self) -> Vec<Instant> {
        self.state().calls.clone()
    }

    /// Fails if the provider was called more often than `rate` times in any second.
    fn assert_rate(&self, rate: usize) {
        let calls = self.calls();
        for (first, at) in calls.iter().enumerate() {
            let within = calls[first..].partition_point(|call| *call < *at + Duration::from_secs(1));
            assert!(within <= rate + CONCURRENCY, "{within} calls in a second, but {rate} are allowed");
        }
    }
}

/// A Larder with the integration `crm`, and its provider.
struct Setup {
    data: TempDir,
    larder: Program,
    provider: TimedProvider,
}

impl Setup {
    async fn start() -> Self {
        let (provider, uri) = TimedProvider::start().await;
        let data = tempfile::tempdir().expect("a folder");
        let arguments = ["--listen", "127.0.0.1:0", "--no-demo", "--data", data.path().to_str().expect("UTF-8")];
        let larder = Program::start(&arguments).await;
        let crm = json!({
            "connectorKey": "oauth2",
            "parameters": {
                "clientId": "client", "clientSecret": "client-secret", "authorizeUri": format!("{uri}/authorize"),
                "tokenUri": format!("{uri}/token"), "testUri": format!("{uri}/me"),
            },
        });
        let answer = larder.send(Method::PUT, "/integrations/crm", &larder.admin, &crm.to_string()).await;
        answer.expect(StatusCode::CREATED);
        Self { data, larder, provider }
    }

    fn command(&self, source: &[&str], more: &[&str]) -> tokio::process::Command {
        let data = self.data.path().to_str().expect("UTF-8");
        let larder = ["--larder-url", &self.larder.base_uri, "--data", data];
        let mut command = command(&[&["import"], source, &larder, more].concat());
        command.env(KEY_VARIABLE, Nango::SECRET_KEY);
        command
    }

    async fn import(&self, source: &[&str], more: &[&str]) -> Output {
        self.command(source, more).output().await.expect("larder starts")
    }

    /// The tenants and keys of all connections of `crm`.
    async fn connections(&self) -> Vec<(String, String)> {
        let (mut all, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let path = format!("/connections?integrationKey=crm&limit=1000&cursor={cursor}");
            let page = self.larder.get(&path, &self.larder.admin).await.expect(StatusCode::OK).json();
            let member = |item: &Value, name: &str| item[name].as_str().expect("a string").to_owned();
            let items = page["items"].as_array().expect("a list").iter();
            all.extend(items.map(|item| (member(item, "tenantId"), member(item, "key"))));
            match page["cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return all,
            }
        }
    }

    /// Imports until `has_half`, kills the import, and imports again to the end. Then imports once more.
    async fn import_interrupted(&self, source: &[&str], expected: usize, has_half: impl Fn() -> bool) {
        let rate = expected / 10;
        let flags = ["--yes", "--json", "--rate", &rate.to_string()];
        let mut first = self.command(source, &flags);
        // Nobody reads from a pipe.
        let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("larder starts");
        let half = async {
            while !has_half() {
                assert_eq!(first.try_wait().expect("a child"), None, "it ended early");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(300), half).await.expect("half of the connections");
        first.kill().await.expect("it is killed");
        let interrupted = self.connections().await.len();
        assert!((1..expected).contains(&interrupted), "{interrupted}");

        let second = self.import(source, &flags).await;
        assert!(second.status.success(), "{second:?}");
        let items = items(&second);
        let count = |outcome: &str| items.iter().filter(|item| item["outcome"] == outcome).count();
        assert_eq!(items.len(), expected);
        assert_eq!(count("present") + count("imported"), expected);
        assert!(items.iter().all(|item| item["connectionId"].is_string()), "{items:?}");
        // Requests of the first import may have ended after the list was read.
        assert!((interrupted..interrupted + CONCURRENCY).contains(&count("present")), "{}", count("present"));
        let connections = self.connections().await;
        assert_eq!(connections.len(), expected);
        assert_eq!(connections.iter().collect::<HashSet<_>>().len(), expected, "a connection was imported twice");

        let calls = self.provider.calls().len();
        assert!((expected..=expected + CONCURRENCY + 1).contains(&calls), "{calls} calls for {expected} connections");
        self.provider.assert_rate(rate);
        let third = self.import(source, &flags).await;
        assert!(String::from_utf8_lossy(&third.stderr).trim_end().ends_with(&format!("{expected} present")));
        assert_eq!(self.provider.calls().len(), calls, "connections that are there were tested again");
        for output in [second, third] {
            assert_no_secrets(&output);
        }
    }
}

fn items(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn assert_no_secrets(output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(text);
        for secret in [Nango::SECRET_KEY, "access-", "refresh-", "the-api-key"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

/// Fails if a server was called in the second after it asked to wait for that long.
fn assert_waited(calls: &[Instant], busy_at: Option<Instant>) {
    let busy_at = busy_at.expect("it was busy");
    // Requests that were sent before the answer arrived may follow it closely.
    let wait = Duration::from_millis(500)..Duration::from_secs(1);
    let during = calls.iter().filter(|call| wait.contains(&call.saturating_duration_since(busy_at))).count();
    assert_eq!(during, 0, "it was called although it asked to wait");
}

fn tokens(number: usize) -> Value {
    json!({
        "access_token": format!("access-{number}"),
        "refresh_token": format!("refresh-{number}"),
        "expires_at": "2099-01-01T00:00:00Z",
    })
}

/// A connection as Nango has it.
fn nango_connection(number: usize) -> Value {
    let mut credentials = tokens(number);
    credentials["type"] = "OAUTH2".into();
    credentials["raw"] = json!({"access_token": "access-of-before", "expires_in": 3600, "token_type": "bearer"});
    json!({
        "id": number,
        "connection_id": format!("c-{number}"),
        "provider_config_key": "crm",
        "provider": "some-crm",
        "created": "2025-01-01T00:00:00Z",
        "end_user": {"id": format!("user-{}", number % 100), "email": null, "display_name": null, "organization": null},
        "tags": {},
        "metadata": {"number": number},
        "connection_config": {},
        "credentials": credentials,
    })
}

fn from_nango(nango: &Nango) -> [&str; 6] {
    ["--from", "nango", "--url", nango.url(), "--secret-key-env", KEY_VARIABLE]
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn an_interrupted_import_from_nango_continues() {
    let (setup, count) = (Setup::start().await, count());
    let nango = Nango::start((0..count).map(nango_connection).collect()).await;
    nango.be_busy_after(count / 4);
    setup.provider.state().until_busy = Some(count / 3);
    setup.import_interrupted(&from_nango(&nango), count, || nango.reads().len() > count / 2).await;

    assert!(nango.reads().len() <= count + CONCURRENCY, "connections that are there were read again");
    assert_waited(&nango.reads(), nango.busy_at());
    assert_waited(&setup.provider.calls(), setup.provider.state().busy_at);

    let path = "/connections/nango%3Acrm%3Ac-7?tenantId=user-7";
    let seventh = setup.larder.get(path, &setup.larder.admin).await.expect(StatusCode::OK).json();
    assert_eq!((seventh["expiresAt"].is_string(), &seventh["meta"]), (true, &json!({"number": 7})));
    let id = seventh["id"].as_str().expect("an id");
    let path = format!("/credentials?connectionId={id}");
    let mut expected = tokens(7);
    expected["token_type"] = "bearer".into();
    assert_eq!(setup.larder.get(&path, &setup.larder.admin).await.json()["credentials"], expected);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn an_interrupted_import_from_a_file_continues() {
    let (setup, count) = (Setup::start().await, count());
    let line = |number: usize| {
        let tenant = format!("user-{}", number % 100);
        let key = format!("key-{number}");
        json!({"integrationKey": "crm", "tenantKey": tenant, "key": key, "credentials": tokens(number)}).to_string()
    };
    let file = setup.data.path().join("connections.ndjson");
    fs::write(&file, (0..count).map(|number| line(number) + "\n").collect::<String>()).expect("a file");
    let source = ["--from", "file", utf8(&file)];
    setup.import_interrupted(&source, count, || setup.provider.calls().len() > count / 2).await;
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Connections of all kinds, some of which cannot be imported.
fn mixed() -> Vec<Value> {
    let of = |key: &str, id: &str, credentials: Value| {
        json!({
            "connection_id": id, "provider_config_key": key, "end_user": {"id": "alice"}, "connection_config": {},
            "credentials": credentials,
        })
    };
    let oauth2 = |refresh_token: Value, expires_at: &str| json!({"type": "OAUTH2", "access_token": "access-1", "refresh_token": refresh_token, "expires_at": expires_at});
    let mut without_user = of("crm", "c-4", oauth2(json!("refresh-1"), "2099-01-01T00:00:00Z"));
    without_user["end_user"] = Value::Null;
    vec![
        of("crm", "c-1", oauth2(json!("refresh-1"), "2099-01-01T00:00:00Z")),
        of("crm", "c-2", oauth2(json!("refresh-2"), "2020-01-01T00:00:00Z")),
        of("crm", "c-3", oauth2(Value::Null, "2020-01-01T00:00:00Z")),
        without_user,
        of("crm", "c-5", oauth2(Value::Null, "2099-01-01T00:00:00Z")),
        of("ai", "c-6", json!({"type": "API_KEY", "apiKey": "the-api-key"})),
        of("ai", "c-7", json!({"type": "APP", "access_token": "access-7"})),
        of("old", "c-8", json!({"type": "API_KEY", "apiKey": "the-api-key"})),
        of("unknown", "c-9", json!({"type": "API_KEY", "apiKey": "the-api-key"})),
        of("ai", "c-10", json!({"type": "BASIC", "username": "u", "password": "the-api-key"})),
    ]
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_dry_run_lists_what_cannot_come_along_and_why() {
    let setup = Setup::start().await;
    let openai = r#"{"connectorKey":"openai","key":"openai-prod"}"#;
    setup.larder.send(Method::POST, "/integrations", &setup.larder.admin, openai).await.expect(StatusCode::CREATED);
    let mapping = setup.data.path().join("mapping.yml");
    fs::write(&mapping, "ai: openai-prod\nold: null\n").expect("a file");
    let nango = Nango::start(mixed()).await;
    let source = [&from_nango(&nango)[..], &["--mapping", utf8(&mapping), "--rate", "1000"]].concat();

    let dry = setup.import(&source, &["--dry-run"]).await;
    assert_eq!(dry.status.code(), Some(0), "{dry:?}");
    assert_no_secrets(&dry);
    let table = String::from_utf8(dry.stdout).expect("UTF-8");
    // Results arrive in any order.
    let mut rows: Vec<_> = table.lines().collect();
    rows[1..].sort_unstable();
    insta::assert_snapshot!("dry_run", rows.join("\n") + "\n---\n" + &String::from_utf8_lossy(&dry.stderr));
    assert_eq!((setup.connections().await.len(), setup.provider.calls().len()), (0, 0));

    // There is no terminal to ask at.
    let unasked = setup.import(&source, &[]).await;
    assert_eq!(unasked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&unasked.stderr);
    assert!(said.contains("crm (") && said.contains("add --yes once Nango has stopped"), "{said}");
    assert_eq!(setup.connections().await.len(), 0);

    let imported = setup.import(&source, &["--yes", "--json", "--no-test"]).await;
    assert_eq!(imported.status.code(), Some(0), "{imported:?}");
    assert_no_secrets(&imported);
    let items = items(&imported);
    let of = |source: &str| items.iter().find(|item| item["source"] == source).expect("a result");
    assert_eq!(of("crm/c-1")["outcome"], "imported");
    assert_eq!(of("crm/c-3")["outcome"], "skipped");
    let id = of("ai/c-6")["connectionId"].as_str().expect("an id").to_owned();
    let key = setup.larder.get(&format!("/credentials?connectionId={id}"), &setup.larder.admin).await;
    assert_eq!(key.expect(StatusCode::OK).json()["credentials"]["apiKey"], "the-api-key");
    assert_eq!(setup.provider.calls().len(), 0, "nothing is tested");
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn an_import_says_which_line_failed_and_why() {
    let setup = Setup::start().await;
    let other = json!({"connectorKey": "openai", "key": "other"}).to_string();
    setup.larder.send(Method::POST, "/integrations", &setup.larder.admin, &other).await.expect(StatusCode::CREATED);
    let taken = json!({"integrationKey": "other", "tenantKey": "alice", "key": "taken", "input": {"apiKey": "k"},
        "test": false});
    let create = setup.larder.send(Method::POST, "/connections", &setup.larder.admin, &taken.to_string()).await;
    create.expect(StatusCode::OK);
    let lines = [
        json!({"integrationKey": "crm", "tenantKey": "alice", "key": "one", "credentials": tokens(1)}).to_string(),
        "{\"integrationKey\": access-9".to_owned(),
        json!({"integrationKey": "crm", "key": "two", "credentials": tokens(2)}).to_string(),
        json!({"integrationKey": "crm", "tenantKey": "alice", "key": "three"}).to_string(),
        json!({"integrationKey": "crm", "tenantKey": "alice", "key": "taken", "credentials": tokens(4)}).to_string(),
        json!({"integrationKey": "none", "tenantKey": "alice", "key": "five", "credentials": tokens(5)}).to_string(),
    ];
    let file = setup.data.path().join("lines.ndjson");
    fs::write(&file, lines.join("\n")).expect("a file");
    let output = setup.import(&["--from", "file", utf8(&file)], &["--yes", "--rate", "1000"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_no_secrets(&output);
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let mut rows: Vec<_> = printed.lines().collect();
    rows.sort_unstable();
    insta::assert_snapshot!("lines", rows.join("\n") + "\n---\n" + &String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_wrong_secret_key_ends_an_import_before_it_begins() {
    let setup = Setup::start().await;
    let nango = Nango::start(mixed()).await;
    let mut command = setup.command(&from_nango(&nango), &["--yes"]);
    let output = command.env(KEY_VARIABLE, "a-wrong-key").output().await.expect("larder starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("rejects the secret key") && !said.contains("a-wrong-key"), "{said}");
    let mut command = setup.command(&from_nango(&nango), &["--yes"]);
    let output = command.env_remove(KEY_VARIABLE).output().await.expect("larder starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("{KEY_VARIABLE} is not set")));
}
