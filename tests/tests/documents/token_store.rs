//! The token store of `functions/README.md`, as it stands there, in the real SDK that it is for.
//!
//! # Decisions
//!
//! The token store is published as a listing rather than a package: it is short enough to be read before it is trusted
//! with tokens. A token that Larder cannot store at the moment stays in the process and is stored by its next call; a
//! refresh token that works once would be lost otherwise.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http::StatusCode;
use larder_tests::{Program, Server, Target, root};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The tenant in the README.
const TENANT: &str = "my-marketplace";
const TOKEN: &str = "/credentials?connectionId=sharetribe";

/// Calls the SDK as it is told on stdin, and prints what came of it.
const DRIVER: &str = r#"
import { createInterface } from "node:readline";
import { sdk } from "./sharetribe.mjs";

const calls = { show: () => sdk.marketplace.show(), revoke: () => sdk.revoke(), authInfo: () => sdk.authInfo() };
for await (const call of createInterface({ input: process.stdin })) {
  const outcome = await calls[call]().then(
    (result) => ({ status: result?.status, grantType: result?.grantType }),
    (error) => ({ error: error.message, cause: error.cause?.cause?.code }),
  );
  console.log(JSON.stringify(outcome));
}
process.exit();
"#;

/// A Larder, Sharetribe, and a folder with the programs of the README.
struct Setting {
    larder: Option<Program>,
    target: Target,
    sharetribe: Server,
    data: TempDir,
    folder: TempDir,
}

/// A process that uses the SDK. It ends with this value.
struct App {
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

/// The first code block after a text of the README.
fn block_after(readme: &str, text: &str) -> String {
    let block = readme.split_once(text).and_then(|(_, rest)| rest.split_once("```js\n")?.1.split_once("```"));
    block.unwrap_or_else(|| panic!("no code after {text:?}")).0.to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

impl Setting {
    async fn new() -> Self {
        let (data, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let larder = start_larder(data.path(), "127.0.0.1:0").await;
        let target = Target::local(&larder, data.path()).await;
        let sharetribe = Server::sharetribe().await;
        let readme = fs::read_to_string(root().join("functions/README.md")).expect("a file");
        let sdk = block_after(&readme, "`sharetribe.mjs` uses it.");
        let begin = "sharetribe.createInstance({";
        assert!(sdk.contains(begin), "{sdk}");
        let here = format!("{begin} baseUrl: {:?},", sharetribe.uri(""));
        for (name, text) in [
            ("larder-token-store.mjs", block_after(&readme, "`larder-token-store.mjs`:")),
            ("sharetribe.mjs", sdk.replace(begin, &here)),
            ("driver.mjs", DRIVER.to_owned()),
        ] {
            fs::write(folder.path().join(name), text).expect("is written");
        }
        symlink(Server::folder().join("node_modules"), folder.path().join("node_modules")).expect("a link");
        Self { larder: Some(larder), target, sharetribe, data, folder }
    }

    /// Changes the program that uses the SDK.
    fn rewrite(&self, from: &str, to: &str) {
        let path = self.folder.path().join("sharetribe.mjs");
        let before = fs::read_to_string(&path).expect("a file");
        assert!(before.contains(from), "{before}");
        fs::write(path, before.replace(from, to)).expect("is written");
    }

    fn start(&self) -> App {
        let mut process = Command::new("node")
            .arg("driver.mjs")
            .current_dir(self.folder.path())
            .env("SHARETRIBE_CLIENT_ID", Server::CLIENT_ID)
            .env("SHARETRIBE_CLIENT_SECRET", Server::CLIENT_SECRET)
            .env("LARDER_URL", &self.target.base_uri)
            .env("LARDER_SECRET", self.target.secret.expose())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let stdout = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        App { stdin: process.stdin.take().expect("it is piped"), stdout, _process: process }
    }

    /// What Larder holds.
    async fn stored(&self) -> Option<Value> {
        let answer = self.target.get(TOKEN, &self.target.tenant(TENANT)).await;
        (answer.0.status() != StatusCode::NOT_FOUND).then(|| answer.expect(StatusCode::OK).json()["credentials"].take())
    }

    /// How tokens were asked for so far.
    async fn grants(&self) -> Vec<String> {
        let requests = self.sharetribe.requests().await.into_iter();
        requests.filter_map(|request| request.get("grant_type").map(ToOwned::to_owned)).collect()
    }

    async fn wait_for_grants(&self, count: usize) {
        let wait = async {
            while self.grants().await.len() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("a token is asked for");
    }

    /// Ends Larder with SIGKILL.
    async fn kill_larder(&mut self) {
        self.larder.take().expect("it runs").kill().await;
    }

    /// Starts it again, over the same data at the same address.
    async fn restart_larder(&mut self) {
        let address = self.target.base_uri.strip_prefix("http://").expect("an http URL");
        self.larder = Some(start_larder(self.data.path(), address).await);
    }
}

impl App {
    /// Calls a function of the SDK. Gives the outcome that the driver prints.
    async fn call(&mut self, function: &str) -> Value {
        self.begin(function).await;
        self.end().await
    }

    async fn begin(&mut self, function: &str) {
        self.stdin.write_all(format!("{function}\n").as_bytes()).await.expect("it listens");
    }

    async fn end(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(60), self.stdout.next_line()).await;
        let line = line.expect("an outcome in time").expect("text").expect("an outcome");
        serde_json::from_str(&line).expect("JSON")
    }
}

async fn start_larder(data: &Path, address: &str) -> Program {
    Program::start(&["--data", text(data), "--listen", address, "--no-demo"]).await
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_token_is_used_by_other_processes_and_renewed_for_all() {
    let setting = Setting::new().await;
    assert_eq!(setting.stored().await, None);
    let mut first = setting.start();
    assert_eq!(first.call("authInfo").await, json!({}));
    assert_eq!(first.call("show").await, json!({"status": 200}));
    assert_eq!(setting.grants().await, ["client_credentials"]);
    let stored = setting.stored().await.expect("a token");
    assert_eq!((&stored["token_type"], &stored["scope"]), (&json!("bearer"), &json!("integ")));

    let mut second = setting.start();
    assert_eq!(second.call("authInfo").await, json!({"grantType": "refresh_token"}));
    assert_eq!(second.call("show").await, json!({"status": 200}));
    assert_eq!(setting.grants().await, ["client_credentials"]);

    setting.sharetribe.tell("expire", &json!({})).await;
    assert_eq!(second.call("show").await, json!({"status": 200}));
    assert_eq!(setting.grants().await, ["client_credentials", "refresh_token"]);
    let renewed = setting.stored().await.expect("a token");
    assert_ne!(
        (&renewed["access_token"], &renewed["refresh_token"]),
        (&stored["access_token"], &stored["refresh_token"])
    );
    // It replaces, and is not merged: this one has no scope.
    assert_eq!(renewed["scope"], Value::Null);
    assert_eq!(first.call("show").await, json!({"status": 200}));
    assert_eq!(setting.grants().await.len(), 2);

    // Where the refresh token is dead too, the client's own credentials bring another.
    setting.sharetribe.tell("expire", &json!({"refreshTokens": true})).await;
    assert_eq!(first.call("show").await, json!({"status": 200}));
    assert_eq!(setting.grants().await[2..], ["refresh_token", "client_credentials"]);
    assert_eq!(second.call("show").await, json!({"status": 200}));
    assert_eq!(setting.grants().await.len(), 4);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_revoked_token_is_removed_and_so_is_one_that_was_dead_already() {
    let setting = Setting::new().await;
    let mut app = setting.start();
    app.call("show").await;
    assert_eq!(app.call("revoke").await, json!({"status": 200}));
    assert_eq!(setting.stored().await, None);
    assert_eq!(app.call("authInfo").await, json!({}));
    // There is none: nothing is revoked, and removing nothing succeeds.
    assert_eq!(app.call("revoke").await, json!({}));

    assert_eq!(app.call("show").await, json!({"status": 200}));
    setting.sharetribe.tell("expire", &json!({"refreshTokens": true})).await;
    let outcome = setting.start().call("revoke").await;
    assert_eq!(outcome["error"], Value::Null, "{outcome}");
    assert_eq!(setting.stored().await, None);
    let revocations = setting.sharetribe.requests().await.iter().filter(|it| it.path == "/v1/auth/revoke").count();
    assert_eq!(revocations, 2);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn while_larder_is_down_calls_are_refused_before_sharetribe_is_asked() {
    let mut setting = Setting::new().await;
    let mut app = setting.start();
    app.call("show").await;
    let (stored, asked) = (setting.stored().await, setting.sharetribe.requests().await.len());
    setting.kill_larder().await;
    for function in ["show", "authInfo", "revoke"] {
        let outcome = app.call(function).await;
        let message = format!("Larder does not answer at {}", setting.target.base_uri);
        assert_eq!(outcome, json!({"error": message, "cause": "ECONNREFUSED"}), "{function}");
    }
    assert_eq!(setting.sharetribe.requests().await.len(), asked);
    setting.restart_larder().await;
    assert_eq!(setting.stored().await, stored);
    assert_eq!(app.call("show").await, json!({"status": 200}));
    assert_eq!(setting.grants().await, ["client_credentials"]);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_token_that_comes_while_larder_goes_down_is_stored_by_the_next_call() {
    let mut setting = Setting::new().await;
    let mut app = setting.start();
    // The first token, then one that replaces it.
    for (grants, error) in [(1, "Larder does not answer at"), (2, "Request failed with status code 401")] {
        setting.sharetribe.tell("hold", &json!({"isHeld": true})).await;
        app.begin("show").await;
        setting.wait_for_grants(grants).await;
        setting.kill_larder().await;
        setting.sharetribe.tell("hold", &json!({"isHeld": false})).await;
        let outcome = app.end().await;
        assert!(outcome["error"].as_str().is_some_and(|message| message.starts_with(error)), "{outcome}");
        // It says so until Larder is there again.
        let outcome = app.call("show").await;
        assert!(outcome["error"].as_str().is_some_and(|message| message.starts_with("Larder does not")), "{outcome}");

        setting.restart_larder().await;
        let asked = setting.grants().await.len();
        assert_eq!(app.call("show").await, json!({"status": 200}));
        assert_eq!(setting.start().call("show").await, json!({"status": 200}));
        assert_eq!(setting.grants().await.len(), asked);
        setting.sharetribe.tell("expire", &json!({})).await;
    }
    // The refresh token that was stored is alive.
    assert_eq!(app.call("show").await, json!({"status": 200}));
    assert_eq!(setting.grants().await.last().map(String::as_str), Some("refresh_token"));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn tokens_of_larder_are_renewed_and_what_it_refuses_is_told() {
    let setting = Setting::new().await;
    // In whole seconds, two are between one and two.
    setting.rewrite("expiresIn: 60", "expiresIn: 2");
    let mut app = setting.start();
    app.call("show").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(app.call("show").await, json!({"status": 200}));

    setting.rewrite("process.env.LARDER_SECRET", "\"another secret\"");
    let outcome = setting.start().call("show").await;
    let message = outcome["error"].as_str().unwrap_or_default();
    assert!(message.starts_with("Larder answers 401: ") && message.contains("not_authenticated"), "{outcome}");
    assert_eq!(setting.grants().await, ["client_credentials"]);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn larder_leaves_the_token_to_the_sdk_and_shows_its_expiry() {
    let setting = Setting::new().await;
    setting.start().call("show").await;
    let tenant = setting.target.tenant(TENANT);
    let view = setting.target.get("/connections/sharetribe", &tenant).await.expect(StatusCode::OK).json();
    assert_eq!((&view["state"], &view["canRefreshCredentials"]), (&json!("READY"), &json!(false)), "{view}");
    assert_eq!((&view["nextCredentialsRefreshAt"], &view["error"]), (&Value::Null, &Value::Null), "{view}");
    assert!(view["expiresAt"].is_string(), "{view}");
    // What has expired is served all the same.
    let mut token = setting.stored().await.expect("a token");
    token["expires_in"] = json!(0);
    setting.target.put(TOKEN, &tenant, &json!({"credentials": token})).await.expect(StatusCode::CREATED);
    assert_eq!(setting.start().call("show").await, json!({"status": 200}));
    assert_eq!(setting.grants().await, ["client_credentials"]);
    // Another end user does not see it.
    let other = setting.target.tenant("another");
    setting.target.get(TOKEN, &other).await.expect(StatusCode::NOT_FOUND);
}
