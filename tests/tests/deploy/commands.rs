//! The commands that call a running Larder, each as its own process.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use larder_tests::program::{Program, command};
use larder_tests::{eventually, in_time, loopback};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::local;

/// A Larder with three connections. The first is in use, and only the last has tokens that work.
struct Setup {
    data: TempDir,
    larder: Program,
    /// The ids of the connections.
    ids: [String; 3],
}

impl Setup {
    async fn start() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let larder = Program::start(&["--listen", "127.0.0.1:0", "--data", data.path().to_str().expect("UTF-8")]).await;
        let mut ids = Vec::new();
        let bodies = [
            json!({"name": "The shop of our friends", "key": "shop", "tenantKey": "alice"}),
            json!({"name": "\u{1b}[31mred", "tenantKey": "bob", "tags": {"team": "red"}}),
        ];
        for mut body in bodies {
            body["integrationKey"] = "demo".into();
            body["test"] = false.into();
            body["credentials"] =
                json!({"access_token": "a", "refresh_token": "r", "expires_at": "2099-01-01T00:00:00Z"});
            let answer = larder.send(Method::POST, "/connections", &larder.admin, &body.to_string()).await;
            ids.push(answer.expect(StatusCode::OK).json()["id"].as_str().expect("an id").to_owned());
        }
        local::connect(&larder).await;
        ids.push(local::id());
        let ids: [String; 3] = ids.try_into().expect("three ids");
        let flow = format!("/connections/{}/flows/7", ids[0]);
        let body = json!({"name": "Nightly sync", "uri": "https://app.example/flows/7"}).to_string();
        larder.send(Method::PUT, &flow, &larder.admin, &body).await.expect(StatusCode::NO_CONTENT);
        Self { data, larder, ids }
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let data = self.data.path().to_str().expect("UTF-8");
        let larder = ["--url", &self.larder.base_uri, "--data", data];
        command(&[arguments, &larder].concat()).output().await.expect("larder starts")
    }

    /// Runs a command and returns what a person sees.
    async fn session(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        let code = output.status.code().expect("an exit code");
        let session = format!("$ larder {}\n{stdout}{stderr}exit code {code}\n", arguments.join(" "));
        let names = ["[alice's id]", "[bob's id]", "[the demo's id]"];
        let session = self.ids.iter().zip(names).fold(session, |text, (id, name)| {
            // The columns of a table keep their width.
            let text = text.replace(&format!("{id} "), &format!("{name:<width$} ", width = id.len()));
            text.replace(id, name)
        });
        let session = session.replace(&self.larder.base_uri, "[url]");
        times_redacted(&session)
    }
}

/// Replaces times of this century by a string of the same width.
fn times_redacted(text: &str) -> String {
    let is_time = |text: &str| {
        text.len() == 20
            && text.starts_with("20")
            && !text.starts_with("2099")
            && text
                .bytes()
                .zip("dddd-dd-dd dd:dd:ddZ".bytes())
                .all(|(byte, pattern)| if pattern == b'd' { byte.is_ascii_digit() } else { byte == pattern })
    };
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_here = rest.get(..20).is_some_and(is_time);
        redacted.push_str(if is_here { "[time              ]" } else { &rest[..first.len_utf8()] });
        rest = &rest[if is_here { 20 } else { first.len_utf8() }..];
    }
    redacted
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn people_see_tables_and_sentences() {
    let setup = Setup::start().await;
    let mut sessions = Vec::new();
    for arguments in [
        &["connections", "ls"][..],
        &["connections", "ls", "--tenant", "alice", "--integration", "demo", "--state", "ready", "--search", "SHOP"],
        &["connections", "ls", "--limit", "1"],
        &["connections", "ls", "--state", "CLIENT_ACTION_REQUIRED"],
        &["connections", "show", "shop", "--tenant", "alice"],
        &["connections", "show", "nothing"],
        &["connections", "test", "shop", "--tenant", "alice"],
        &["connections", "refresh", "shop", "--tenant", "alice"],
        &["connections", "test", "demo", "--tenant", "demo"],
        &["connections", "refresh", "demo", "--tenant", "demo"],
        &["connections", "rm", "shop", "--tenant", "alice"],
        &["connections", "rm", "shop", "--tenant", "alice", "--force"],
        &["connections", "ls", "--all"],
    ] {
        sessions.push(setup.session(arguments).await);
    }
    insta::assert_snapshot!("sessions", sessions.join("\n"));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn programs_get_the_answers_of_the_api() {
    let setup = Setup::start().await;
    let get = async |path: &str| setup.larder.get(path, &setup.larder.admin).await.expect(StatusCode::OK).json();
    let listed = setup.run(&["connections", "ls", "--json"]).await;
    assert_eq!(json_of(&listed), get("/connections").await);
    let first = json_of(&setup.run(&["connections", "ls", "--json", "--limit", "1"]).await);
    assert_eq!((first["items"].as_array().map(Vec::len), first["cursor"].is_string()), (Some(1), true));
    let all = json_of(&setup.run(&["connections", "ls", "--json", "--all"]).await);
    assert_eq!(all["items"], json_of(&listed)["items"]);
    let path = format!("/connections/{}", setup.ids[1]);
    assert_eq!(json_of(&setup.run(&["connections", "show", &setup.ids[1], "--json"]).await), get(&path).await);

    // The demo provider did not issue this token.
    let tested = setup.run(&["connections", "test", &setup.ids[1], "--json"]).await;
    assert_eq!((tested.status.code(), &json_of(&tested)["success"]), (Some(1), &json!(false)));
    let in_use = setup.run(&["connections", "rm", &setup.ids[0], "--json"]).await;
    assert_eq!((in_use.status.code(), &json_of(&in_use)["key"]), (Some(1), &json!("in_use")));
    assert!(stderr(&in_use).contains("Nightly sync"), "{}", stderr(&in_use));
    let removed = setup.run(&["connections", "rm", &setup.ids[1], "--json", "--permanent", "--yes"]).await;
    assert_eq!((removed.status.code(), json_of(&removed)), (Some(0), json!({"id": setup.ids[1]})));
    setup.larder.get(&format!("{path}?includeArchived=true"), &setup.larder.admin).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn mistakes_are_explained_and_have_an_exit_code() {
    let setup = Setup::start().await;
    let data = setup.data.path().to_str().expect("UTF-8");
    let here = setup.larder.base_uri.as_str();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let elsewhere = elsewhere.path().to_str().expect("UTF-8");
    let (unused, address) = loopback::listen().await;
    drop(unused);
    let nobody = format!("http://{address}");
    let no_token = ("LARDER_TOKEN", "");
    for (arguments, variable, code, expected) in [
        (&["ls", "--limit", "0"][..], no_token, 2, "--limit"),
        (&["ls", "--all", "--limit", "3"], no_token, 2, "cannot be used with"),
        (&["ls", "--url", "localhost:9000"], no_token, 2, "starts with http:// or https://"),
        (&["ls", "--url", "https://larder.example"], no_token, 2, "set LARDER_TOKEN"),
        (&["ls", "--url", here, "--data", elsewhere], no_token, 1, "run Larder with it once"),
        (&["ls", "--url", here], ("LARDER_TOKEN", "not-a-token"), 1, "does not accept the token in LARDER_TOKEN"),
        (&["ls", "--url", &nobody, "--data", data], no_token, 1, "start it with `cargo run`"),
        (&["ls", "--data", data], ("LARDER_URL", "larder"), 2, "LARDER_URL"),
        (&["show", "nothing", "--url", here, "--data", data], no_token, 1, "error: there is no connection `nothing`"),
    ] {
        let mut larder = command(&[&["connections"], arguments].concat());
        let output = larder.env(variable.0, variable.1).output().await.expect("larder starts");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        let said = stderr(&output);
        assert!(said.contains(expected) && output.stdout.is_empty(), "{arguments:?}: {output:?}");
        assert!(!said.contains("not-a-token"), "{said}");
    }
    let mut larder = command(&["connections", "show", "shop", "--json"]);
    let token = setup.larder.admin.as_str();
    let output = larder.envs([("LARDER_URL", here), ("LARDER_TOKEN", token)]).output().await.expect("larder starts");
    // Without a tenant, an admin's key means a connection of no tenant.
    assert_eq!((output.status.code(), &json_of(&output)["key"]), (Some(1), &json!("not_found")));
}

/// The part of Larder that `larder connect` calls, which answers as the test says.
#[derive(Clone)]
struct Requests {
    base: String,
    state: Arc<Mutex<RequestsState>>,
}

struct RequestsState {
    caller: Value,
    /// The states of the connection request, the last of which stays.
    states: Vec<Value>,
    /// Method, path, authorization and body.
    calls: Vec<(String, String, String)>,
}

impl Requests {
    async fn start(caller: Value, states: &[Value]) -> Self {
        let (listener, address) = loopback::listen().await;
        let state = RequestsState { caller, states: states.iter().rev().cloned().collect(), calls: Vec::new() };
        let requests = Self { base: format!("http://{address}"), state: Arc::new(Mutex::new(state)) };
        let serving = requests.clone();
        loopback::serve(listener, move |request: hyper::Request<Incoming>| {
            let requests = serving.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let what = format!("{} {}", parts.method, parts.uri);
                let token =
                    parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
                let (status, answer) = requests.answer(&what, token, &String::from_utf8_lossy(&body));
                let body = Full::<Bytes>::from(answer.to_string());
                Ok::<_, Infallible>(hyper::Response::builder().status(status).body(body).expect("a response"))
            }
        });
        requests
    }

    fn answer(&self, what: &str, token: &str, body: &str) -> (u16, Value) {
        let mut state = self.state.lock().unwrap();
        state.calls.push((what.to_owned(), token.to_owned(), body.to_owned()));
        match what {
            "GET /self" => (200, state.caller.clone()),
            "POST /connection-requests" => {
                let url = format!("{}/connect?connectionRequestId=secret-of-the-link", self.base);
                (201, json!({"requestId": "q1", "url": url, "statusToken": "the-status-token", "status": "pending"}))
            }
            "GET /connection-requests/q1" => {
                let next = if state.states.len() > 1 { state.states.pop() } else { state.states.last().cloned() };
                (200, next.unwrap_or_default())
            }
            "DELETE /connection-requests/q1" => (200, json!({"requestId": "q1", "status": "cancelled"})),
            "GET /connections/c1" => (200, json!({"id": "c1", "name": "CRM", "tenantId": "alice", "state": "READY"})),
            _ => (404, json!({"type": "bad_request", "message": "there is no such route"})),
        }
    }

    fn calls(&self) -> Vec<(String, String, String)> {
        self.state.lock().unwrap().calls.clone()
    }

    /// `larder connect crm --tenant alice` as the owner of a token, with a browser that writes down what it opens.
    fn connect(&self, browser: &TempDir, more: &[&str]) -> tokio::process::Command {
        let script = format!("#!/bin/sh\necho \"$1\" > {}/opened\n", browser.path().display());
        for name in ["xdg-open", "open"] {
            let path = browser.path().join(name);
            fs::write(&path, &script).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        let mut larder = command(&[&["connect", "crm", "--tenant", "alice", "--url", &self.base], more].concat());
        let path = format!("{}:{}", browser.path().display(), std::env::var("PATH").expect("a path"));
        larder.envs([("LARDER_TOKEN", "callers-token"), ("PATH", &path)]);
        larder
    }
}

fn pending() -> Value {
    json!({"requestId": "q1", "status": "pending"})
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn connecting_opens_the_browser_and_waits_for_the_result() {
    let browser = tempfile::tempdir().expect("a folder");
    let success = json!({"requestId": "q1", "status": "success", "resultConnectionId": "c1"});
    let alice = json!({"isAdmin": false, "id": "alice"});
    let requests = Requests::start(alice.clone(), &[pending(), success.clone()]).await;
    let output = requests.connect(&browser, &[]).output().await.expect("larder starts");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let link = format!("{}/connect?connectionRequestId=secret-of-the-link", requests.base);
    assert!(said.contains(&link) && said.contains("Connected:"), "{said}");
    assert_eq!(fs::read_to_string(browser.path().join("opened")).expect("it was opened").trim(), link);
    assert!(String::from_utf8_lossy(&output.stdout).contains("tenantId  alice"), "{output:?}");
    let calls = requests.calls();
    let (_, token, body) = calls.iter().find(|(what, ..)| what == "POST /connection-requests").expect("a request");
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((token.as_str(), body), ("Bearer callers-token", json!({"integrationKey": "crm"})));
    let polls: Vec<_> = calls.iter().filter(|(what, ..)| what == "GET /connection-requests/q1").collect();
    assert_eq!((polls.len(), polls[0].1.as_str()), (2, "Bearer the-status-token"));

    fs::remove_file(browser.path().join("opened")).expect("it was opened");
    let requests = Requests::start(alice, std::slice::from_ref(&success)).await;
    let output = requests.connect(&browser, &["--json", "--no-browser"]).output().await.expect("larder starts");
    assert_eq!((output.status.code(), json_of(&output)), (Some(0), success));
    assert!(!browser.path().join("opened").exists(), "the browser was opened");
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn connecting_reports_why_nothing_was_connected() {
    let browser = tempfile::tempdir().expect("a folder");
    let failed = json!({"requestId": "q1", "status": "error", "resultError": {"message": "access_denied: no"}});
    for (last, expected) in [
        (failed, "nothing was connected: access_denied: no"),
        (json!({"requestId": "q1", "status": "expired"}), "the link has expired"),
        (json!({"requestId": "q1", "status": "cancelled"}), "was canceled"),
    ] {
        let requests = Requests::start(json!({"isAdmin": true, "id": "alice"}), &[last]).await;
        let output = requests.connect(&browser, &["--no-browser"]).output().await.expect("larder starts");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains(expected), "{output:?}");
    }
    for caller in [json!({"isAdmin": false, "id": "bob"}), json!({"isAdmin": true})] {
        let requests = Requests::start(caller, &[pending()]).await;
        let output = requests.connect(&browser, &[]).output().await.expect("larder starts");
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("a token of the tenant alice"), "{output:?}");
        assert_eq!(requests.calls().len(), 1, "nothing was requested");
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn interrupting_a_connect_cancels_the_request() {
    let browser = tempfile::tempdir().expect("a folder");
    let requests = Requests::start(json!({"id": "alice"}), &[pending()]).await;
    let child = requests.connect(&browser, &["--no-browser"]).spawn().expect("larder starts");
    let has_polled = async || requests.calls().iter().any(|(what, ..)| what == "GET /connection-requests/q1");
    assert!(eventually(has_polled).await, "it does not poll");
    let id = child.id().expect("it is running").to_string();
    let killed = std::process::Command::new("kill").args(["-INT", &id]).status();
    assert!(killed.expect("kill starts").success());
    let output = child.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("was canceled"), "{output:?}");
    let canceled = ("DELETE /connection-requests/q1", "Bearer callers-token");
    assert!(requests.calls().iter().any(|(what, token, _)| (what.as_str(), token.as_str()) == canceled));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn connecting_the_demo_ends_when_the_browser_does() {
    let data = tempfile::tempdir().expect("a folder");
    let folder = data.path().to_str().expect("UTF-8");
    let larder = Program::start(&["--listen", "127.0.0.1:0", "--data", folder]).await;
    for (decision, code) in [("approve", 0), ("deny", 1)] {
        let arguments = ["connect", "demo", "--tenant", "carol", "--no-browser", "--json", "--data", folder];
        let mut command = command(&[&arguments[..], &["--url", &larder.base_uri]].concat());
        let mut connecting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("larder starts");
        let mut lines = BufReader::new(connecting.stderr.take().expect("a pipe")).lines();
        let link = async {
            loop {
                let line = lines.next_line().await.expect("UTF-8").expect("a link");
                if let Some(at) = line.find("http") {
                    return line[at..].trim().to_owned();
                }
            }
        };
        let link = in_time(link).await.expect("a link");
        local::follow(&larder, &link, decision).await;
        let output = connecting.wait_with_output().await.expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        if code == 0 {
            let connection = json_of(&output)["resultConnectionId"].as_str().expect("an id").to_owned();
            let shown = larder.get(&format!("/connections/{connection}"), &larder.admin).await.expect(StatusCode::OK);
            assert_eq!(shown.json()["tenantId"], "carol");
        }
    }
}
