//! The `cargo run` program as its user sees it: over the network, in real time, and killed without warning.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode};
use larder_tests::program::{Program, run};
use larder_tests::{Answer, Target, Visitor, contract};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

const FREE_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

async fn start(data: &Path, more: &[&str]) -> Program {
    let arguments = [&["--data", utf8(data)], &FREE_PORT[..], more].concat();
    Program::start(&arguments).await
}

/// The id of the demo connection.
pub(crate) fn id() -> String {
    connect::own_connection_id("local", "demo", Some("demo"))
}

/// Follows the connect link and approves. Returns the secrets seen on the way.
pub(crate) async fn connect(larder: &Program) -> Vec<String> {
    let (page, secrets) = decide(larder, "approve").await;
    assert!(page.expect(StatusCode::OK).text().contains("Connected"));
    secrets
}

/// Follows the connect link and presses one of the form's buttons. Returns the last page and the secrets seen on the way.
async fn decide(larder: &Program, decision: &str) -> (Answer, Vec<String>) {
    follow(larder, larder.connect_link.as_ref().expect("a connect link"), decision).await
}

/// Follows a link to the demo and presses one of its buttons. Returns the last page and the secrets seen on the way.
pub(crate) async fn follow(larder: &Program, link: &str, decision: &str) -> (Answer, Vec<String>) {
    let mut visitor = Visitor::default();
    let authorize = visitor.get(link).await.expect(StatusCode::FOUND).location();
    let page = visitor.get(&authorize).await.expect(StatusCode::OK);
    let action = page.text().split_once("action=\"").and_then(|(_, rest)| rest.split_once('"')).expect("a form").0;
    let action = larder.uri(&action.replace("&#38;", "&").replace("&amp;", "&"));
    let onward = visitor.post(&action, &[("decision", decision)]).await.expect(StatusCode::OK);
    let (_, rest) = onward.text().split_once("; url=").expect("a page that redirects");
    let callback = rest.split_once('"').expect("an end").0.replace("&#38;", "&");
    let page = visitor.get(&callback).await;
    let queries = [link, &authorize, &callback].map(|url| url::Url::parse(url).expect("a URL"));
    let secrets = queries.iter().flat_map(url::Url::query_pairs);
    let secrets = secrets.filter(|(name, _)| matches!(&**name, "token" | "state" | "code"));
    (page, secrets.map(|(_, secret)| secret.into_owned()).collect())
}

async fn read(larder: &Program, token: &str) -> Answer {
    larder.get(&format!("/credentials?connectionId={}", id()), token).await
}

fn tokens_in(credentials: &Value) -> impl Iterator<Item = String> {
    ["access_token", "refresh_token"].map(|name| credentials[name].as_str().expect("a token").to_owned()).into_iter()
}

fn assert_no_secret_in<'a>(log: &str, secrets: impl IntoIterator<Item = &'a String>) {
    for secret in secrets {
        assert!(secret.len() >= 16, "too short to search for: {secret}");
        let line = log.lines().find(|line| line.contains(secret.as_str()));
        assert!(line.is_none(), "the log contains a secret: {line:?}");
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_local_server_passes_the_contract() {
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path(), &[]).await;
    contract::check(&Target::local(&larder, data.path()).await, 8).await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn every_served_token_works_for_two_minutes_and_across_a_kill() {
    const WATCH: Duration = Duration::from_secs(130);
    const KILL_AFTER: Duration = Duration::from_secs(20);

    let data = tempfile::tempdir().expect("a folder");
    let mut larder = start(data.path(), &[]).await;
    let mut secrets: BTreeSet<String> = connect(&larder).await.into_iter().collect();
    secrets.insert("demo-secret-for-this-machine-only".into());
    // This token outlives the program.
    let admin = larder.admin.clone();
    let (mut tokens, mut log) = (Vec::new(), None);
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let begin = Instant::now();
    while begin.elapsed() < WATCH {
        seconds.tick().await;
        let at = begin.elapsed().as_secs();
        if begin.elapsed() > KILL_AFTER && log.is_none() {
            let address = larder.base_uri.strip_prefix("http://").expect("an http URL").to_owned();
            secrets.insert(larder.admin.clone());
            let (printed, logged) = larder.kill().await;
            assert_eq!(printed, "");
            log = Some(logged);
            larder = Program::start(&["--data", utf8(data.path()), "--listen", &address]).await;
            assert_eq!(larder.base_uri, format!("http://{address}"));
        }
        let credentials = read(&larder, &admin).await.expect(StatusCode::OK).json()["credentials"].clone();
        secrets.extend(tokens_in(&credentials));
        let token = credentials["access_token"].as_str().expect("a token").to_owned();
        let accepted = larder.get("/demo/me", &token).await.0.status();
        assert_eq!(accepted, StatusCode::OK, "after {at} s, token {}", tokens.len());
        if tokens.last() != Some(&token) {
            assert!(!tokens.contains(&token), "an old token came back after {at} s");
            tokens.push(token);
        }
    }
    assert!((2..=4).contains(&tokens.len()), "{} tokens in {WATCH:?}", tokens.len());

    let connection = larder.get(&format!("/connections/{}", id()), &admin).await.expect(StatusCode::OK).json();
    assert_eq!((&connection["state"], &connection["error"]), (&json!("READY"), &Value::Null));
    assert!(connection["lastRefreshedAt"].is_string(), "{connection}");
    secrets.insert(larder.admin.clone());
    let (printed, logged) = larder.kill().await;
    assert_eq!(printed, "");
    assert_no_secret_in(&(log.expect("a log of the killed program") + &logged), &secrets);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn credentials_are_stored_where_the_setting_says() {
    let (data, files) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let arguments = ["--data", utf8(data.path()), FREE_PORT[0], FREE_PORT[1]];
    let settings =
        [("CONNECTION_CREDENTIALS_STORAGE_TYPE", "file"), ("CONNECTION_CREDENTIALS_FILE_DIR", utf8(files.path()))];
    let larder = Program::start_with(&arguments, &settings).await;
    let admin = larder.admin.clone();
    let uri = "/credentials?connectionId=mine";
    larder.send(Method::PUT, uri, &admin, r#"{"credentials":"kept"}"#).await.expect(StatusCode::CREATED);
    let kept = || fs::read_dir(files.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
    assert_eq!(kept().filter(|path| path.extension().is_some_and(|it| it == "sealed")).count(), 1);
    let lambda_env = fs::read_to_string(data.path().join("lambda.env")).expect("the environment file");
    assert!(lambda_env.contains("CONNECTION_CREDENTIALS_STORAGE_TYPE=\"file\""), "{lambda_env}");
    larder.kill().await;
    let larder = Program::start_with(&arguments, &settings).await;
    assert_eq!(larder.get(uri, &admin).await.expect(StatusCode::OK).text(), r#"{"credentials":"kept"}"#);
    larder.kill().await;
    let larder = Program::start_with(&arguments, &[]).await;
    larder.get(uri, &admin).await.expect(StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn even_a_trace_log_contains_no_secret() {
    let data = tempfile::tempdir().expect("a folder");
    let arguments = ["--data", utf8(data.path()), FREE_PORT[0], FREE_PORT[1]];
    let larder = Program::start_with(&arguments, &[("RUST_LOG", "trace")]).await;
    let mut secrets = connect(&larder).await;
    let connection = format!("/connections/{}", id());
    for _ in 0..2 {
        let credentials = read(&larder, &larder.admin).await.expect(StatusCode::OK).json()["credentials"].clone();
        secrets.extend(tokens_in(&credentials));
        let refresh = format!("{connection}/refresh-credentials");
        larder.send(Method::POST, &refresh, &larder.admin, "").await.expect(StatusCode::OK);
    }
    let own = "a-secret-of-my-own-0123456789";
    let body = json!({"credentials": {"apiKey": own}}).to_string();
    larder.send(Method::PUT, "/credentials?connectionId=mine", &larder.admin, &body).await.expect(StatusCode::CREATED);
    larder
        .send(Method::PUT, "/credentials?connectionId=mine", &larder.admin, &body[1..])
        .await
        .expect(StatusCode::BAD_REQUEST);
    larder.get("/credentials?connectionId=mine", &larder.admin).await.expect(StatusCode::OK);
    larder.get("/credentials?connectionId=mine", own).await.expect(StatusCode::UNAUTHORIZED);
    let stored: Value =
        serde_json::from_slice(&fs::read(data.path().join("secrets.json")).expect("a file")).expect("JSON");
    secrets.extend(strings_in(&stored));
    let (_, link_secret) = larder.page_link.rsplit_once('.').expect("a link with a secret");
    secrets.extend([own.to_owned(), larder.admin.clone(), link_secret.to_owned()]);
    secrets.push("demo-secret-for-this-machine-only".to_owned());
    let (_, log) = larder.kill().await;
    // At `trace`, dependencies would log their payloads, such as table rows.
    assert!(log.contains("DEBUG") && !log.contains("TRACE") && !log.contains("sealed_version"), "{log}");
    assert_no_secret_in(&log, secrets.iter().filter(|secret| secret.len() >= 16));
}

/// All strings in a JSON value, including those inside strings that are JSON themselves. Versions aren't secret.
fn strings_in(value: &Value) -> Vec<String> {
    match value {
        Value::String(string) => match serde_json::from_str::<Value>(string) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => strings_in(&inner),
            _ => vec![string.clone()],
        },
        Value::Object(members) => {
            members.iter().filter(|(name, _)| *name != "version").flat_map(|(_, value)| strings_in(value)).collect()
        }
        Value::Array(items) => items.iter().flat_map(strings_in).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_printed_token_is_one_line_and_grants_what_was_asked_for() {
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path(), &[]).await;
    connect(&larder).await;
    let token = async |more: &[&str]| {
        let output = run(&[&["token", "--data", utf8(data.path())], more].concat()).await;
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{more:?}: {printed}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{more:?}");
        let token = printed.strip_suffix('\n').expect("a line").to_owned();
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{printed}");
        token
    };
    let status = async |path: &str, token: &str| larder.get(path, token).await.0.status();
    let count = async |token: &str| {
        let answer = larder.get("/connections", token).await.expect(StatusCode::OK);
        answer.json()["items"].as_array().map(Vec::len)
    };

    let demo = token(&[]).await;
    read(&larder, &demo).await.expect(StatusCode::OK);
    assert_eq!(status("/integrations/demo", &token(&["--admin"]).await).await, StatusCode::OK);
    assert_eq!(count(&token(&["--admin"]).await).await, Some(1));
    let bob = token(&["--tenant", "bob"]).await;
    read(&larder, &bob).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(count(&bob).await, Some(0));
    let put = larder.send(Method::PUT, "/integrations/crm", &bob, r#"{"connectorKey":"oauth2"}"#).await;
    put.expect(StatusCode::FORBIDDEN);
    for expired in [token(&["--expires-in", "-1"]).await, token(&["--admin", "--expires-in", "0"]).await] {
        read(&larder, &expired).await.expect(StatusCode::UNAUTHORIZED);
    }
    read(&larder, &token(&["--expires-in", "60"]).await).await.expect(StatusCode::OK);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn no_token_is_printed_for_a_folder_that_larder_never_used() {
    let data = tempfile::tempdir().expect("a folder");
    let output = run(&["token", "--data", utf8(data.path())]).await;
    assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("run Larder with it once"));
    assert_eq!(fs::read_dir(data.path()).expect("a folder").count(), 0);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn denying_shows_an_error_and_approving_later_works() {
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path(), &[]).await;
    let (page, _) = decide(&larder, "deny").await;
    assert!(page.expect(StatusCode::BAD_REQUEST).text().contains("access_denied"));
    read(&larder, &larder.admin).await.expect(StatusCode::NOT_FOUND);
    connect(&larder).await;
    read(&larder, &larder.admin).await.expect(StatusCode::OK);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn no_demo_means_no_demo_provider_and_no_integration() {
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path(), &["--no-demo"]).await;
    assert_eq!(larder.connect_link, None);
    let paths = ["/demo/authorize?client_id=demo-client", "/demo/me", "/demo/token", "/demo/app", "/welcome"];
    for path in paths.into_iter().chain(["/integrations/demo"]) {
        larder.get(path, &larder.admin).await.expect(StatusCode::NOT_FOUND);
    }
    let body = r#"{"credentials": {"apiKey": "k"}}"#;
    larder.send(Method::PUT, "/credentials?connectionId=mine", &larder.admin, body).await.expect(StatusCode::CREATED);
    let stored = larder.get("/credentials?connectionId=mine", &larder.admin).await.expect(StatusCode::OK);
    assert_eq!(stored.text(), r#"{"credentials":{"apiKey": "k"}}"#);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_port_in_use_is_reported_and_ends_the_program() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let data = tempfile::tempdir().expect("a folder");
    let output = run(&["--data", utf8(data.path()), "--listen", &address]).await;
    assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains(&format!("cannot listen on {address}")) && log.contains("in use"), "{log}");
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_broken_connector_is_reported_by_line_and_the_rest_load() {
    let connectors = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = connectors.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    let spec = "name: Mine\nkey: mine\nauth:\n  type: oauth2\n  getOAuthConfig:\n    implementationType: mapping\n  \
                makeApiClient:\n    implementationType: mapping\n";
    let config = "clientId: a\nauthorizeUri: https://a.example/authorize\ntokenUri: https://a.example/token\n";
    for folder in ["mine", "unclosed", "malformed"] {
        write(&format!("{folder}/spec.yml"), spec);
        write(&format!("{folder}/auth/get-oauth-config.map.yml"), config);
        write(&format!("{folder}/auth/make-api-client.map.yml"), "args:\n  baseUri: https://a.example\n");
    }
    write("unclosed/spec.yml", "name: Broken\nauth:\n  type: [oauth2\n");
    write("malformed/auth/get-oauth-config.map.yml", "clientId: a\nclientSecret:\n  $concat: nothing to join\n");
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path(), &["--connectors", utf8(connectors.path())]).await;

    let view = larder.get("/connectors?limit=1000", &larder.admin).await.expect(StatusCode::OK).json();
    let keys: Vec<_> = view["items"].as_array().expect("a list").iter().map(|it| it["key"].clone()).collect();
    for (key, is_there) in [("mine", true), ("oauth2", true), ("unclosed", false), ("malformed", false)] {
        assert_eq!(keys.contains(&json!(key)), is_there, "{key}: {keys:?}");
    }
    let broken = view["broken"].as_array().expect("a list");
    assert_eq!(broken.len(), 2, "{view}");
    let log = larder.log();
    for (folder, place) in [("unclosed", "spec.yml:3"), ("malformed", "auth/get-oauth-config.map.yml:3")] {
        let broken = broken.iter().find(|it| it["folder"] == folder).unwrap_or_else(|| panic!("{folder}: {view}"));
        let problem = broken["problems"][0].as_str().unwrap_or_default();
        assert!(problem.starts_with(place), "{folder}: {problem}");
        let is_logged = log.lines().any(|line| line.contains("WARN") && line.contains(folder) && line.contains(place));
        assert!(is_logged, "{folder}: {log}");
    }
    let body = json!({"connectorKey": "unclosed"}).to_string();
    let answer = larder.send(Method::PUT, "/integrations/broken", &larder.admin, &body).await;
    assert!(answer.expect(StatusCode::BAD_REQUEST).text().contains("spec.yml:3"));
    connect(&larder).await;
}

/// Uses a page link. Returns the browser and where it is led.
async fn signed_in(link: &str) -> (Visitor, String) {
    let mut visitor = Visitor::default();
    let location = visitor.get(link).await.expect(StatusCode::FOUND).location();
    (visitor, location)
}

/// Runs `larder sign-in`. Returns the link.
async fn sign_in(data: &Path, url: &str, more: &[&str]) -> String {
    let output = run(&[&["sign-in", "--data", utf8(data), "--url", url], more].concat()).await;
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let link = String::from_utf8(output.stdout).expect("UTF-8");
    link.strip_suffix('\n').expect("a line").to_owned()
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_program_prints_one_link_and_little_else() {
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path(), &[]).await;
    let (version, folder) = (env!("CARGO_PKG_VERSION"), data.path().canonicalize().expect("a folder"));
    let expected = format!(
        "Larder {version} is running at {}\n\nOpen this link, which works once:\n{}\n\nData is in {}. Press Ctrl-C to stop.",
        larder.base_uri,
        larder.page_link,
        folder.display(),
    );
    assert_eq!(larder.welcome, expected);
    assert_eq!(larder.log(), "");
    let (_, location) = signed_in(&larder.page_link).await;
    assert_eq!(location, "welcome");
    let (printed, _) = larder.kill().await;
    assert_eq!(printed, "");
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn sign_in_prints_links_while_larder_runs_and_while_it_does_not() {
    let data = tempfile::tempdir().expect("a folder");
    let unused = run(&["sign-in", "--data", utf8(data.path())]).await;
    assert_eq!(unused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unused.stderr).contains("run Larder with it once"), "{unused:?}");
    assert_eq!(fs::read_dir(data.path()).expect("a folder").count(), 0);

    let larder = start(data.path(), &[]).await;
    let link = sign_in(data.path(), &larder.base_uri, &[]).await;
    assert!(link.starts_with(&larder.uri("/sign-in?link=")), "{link}");
    let (mut admin, location) = signed_in(&link).await;
    assert_eq!(location, "welcome");
    assert!(admin.get(&larder.uri("/welcome")).await.expect(StatusCode::OK).text().contains("Larder is running"));
    // Somebody else gets no further, but learns how to.
    let used = Visitor::default().get(&link).await.expect(StatusCode::CONFLICT);
    assert!(used.text().contains("larder sign-in</code> prints a new link."), "{}", used.text());

    let address = larder.base_uri.strip_prefix("http://").expect("an http URL").to_owned();
    larder.kill().await;
    let base_uri = format!("http://{address}");
    let of_admin = sign_in(data.path(), &format!("{base_uri}/?a=1#b"), &[]).await;
    let of_tenant = sign_in(data.path(), &base_uri, &["--tenant", "alice"]).await;
    let larder = Program::start(&["--data", utf8(data.path()), "--listen", &address]).await;
    let (_, location) = signed_in(&of_admin).await;
    assert_eq!(location, "welcome");
    // The first minute is an admin's.
    let (mut alice, _) = signed_in(&of_tenant).await;
    assert_eq!(alice.get(&larder.uri("/welcome")).await.expect(StatusCode::FOUND).location(), "./");
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_first_minute_is_shown_to_signed_in_admins_only() {
    let data = tempfile::tempdir().expect("a folder");
    let larder = start(data.path(), &[]).await;
    let stranger = Visitor::default().get(&larder.uri("/welcome")).await.expect(StatusCode::UNAUTHORIZED);
    assert!(stranger.text().contains("larder sign-in</code> prints a new link."), "{}", stranger.text());
    let (mut admin, _) = signed_in(&larder.page_link).await;
    let welcome = admin.get(&larder.uri("/welcome")).await.expect(StatusCode::OK);
    assert!(welcome.text().contains("Connect the demo account"));
    // Another website's form, without the session's token.
    for form in [&[][..], &[("formToken", "wrong")]] {
        let answer = admin.post(&larder.uri("/welcome/connect"), form).await.expect(StatusCode::FORBIDDEN);
        assert!(answer.text().contains("Another website sent this form"), "{}", answer.text());
    }
    // Nobody can make the page say something.
    let forged = admin.get(&larder.uri("/welcome?error=Call+0190&requestId=none")).await.expect(StatusCode::OK);
    assert!(!forged.text().contains("0190") && !forged.text().contains("role=\"alert\""));

    let body = json!({"connectorKey": "oauth2"}).to_string();
    larder.send(Method::PUT, "/integrations/crm", &larder.admin, &body).await.expect(StatusCode::CREATED);
    let link = sign_in(data.path(), &larder.base_uri, &[]).await;
    let (mut admin, location) = signed_in(&link).await;
    assert_eq!(location, "./");
    admin.get(&larder.uri("/welcome")).await.expect(StatusCode::OK);
}
