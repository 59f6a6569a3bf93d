//! The token store of `functions/README.md`, exactly as printed there, in the real SDK that it is for.
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
use larder_tests::{Program, Server, Target, eventually, in_time, root};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The tenant in the README.
const TENANT: &str = "my-marketplace";
const TOKEN: &str = "/credentials?connectionId=sharetribe";

/// Calls the SDK function named on each line of stdin, and prints the outcome.
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

/// A Larder, a Sharetribe server, and a folder with the README's programs.
struct Setup {
    larder: Option<Program>,
    target: Target,
    sharetribe: Server,
    data: TempDir,
    folder: TempDir,
}

/// A process that uses the SDK. It is killed when this value is dropped.
struct App {
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

/// The first code block after this text in the README.
fn block_after(readme: &str, text: &str) -> String {
    let block = readme.split_once(text).and_then(|(_, rest)| rest.split_once("```js\n")?.1.split_once("```"));
    block.unwrap_or_else(|| panic!("no code after {text:?}")).0.to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

impl Setup {
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
            fs::write(folder.path().join(name), text).expect("the file is written");
        }
        symlink(Server::folder().join("node_modules"), folder.path().join("node_modules")).expect("a link");
        Self { larder: Some(larder), target, sharetribe, data, folder }
    }

    /// Changes the program that uses the SDK.
    fn rewrite(&self, from: &str, to: &str) {
        let path = self.folder.path().join("sharetribe.mjs");
        let before = fs::read_to_string(&path).expect("a file");
        assert!(before.contains(from), "{before}");
        fs::write(path, before.replace(from, to)).expect("the file is written");
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
        let stdout = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        App { stdin: process.stdin.take().expect("a pipe"), stdout, _process: process }
    }

    /// The token that Larder stores.
    async fn stored(&self) -> Option<Value> {
        let answer = self.target.get(TOKEN, &self.target.tenant(TENANT)).await;
        (answer.0.status() != StatusCode::NOT_FOUND).then(|| answer.expect(StatusCode::OK).json()["credentials"].take())
    }

    /// The grant types of all token requests so far.
    async fn grants(&self) -> Vec<String> {
        let requests = self.sharetribe.requests().await.into_iter();
        requests.filter_map(|request| request.get("grant_type").map(ToOwned::to_owned)).collect()
    }

    async fn wait_for_grants(&self, count: usize) {
        assert!(eventually(async || self.grants().await.len() >= count).await, "no token is requested");
    }

    /// Kills Larder with SIGKILL.
    async fn kill_larder(&mut self) {
        self.larder.take().expect("Larder is running").kill().await;
    }

    /// Starts Larder again, with the same data and address.
    async fn restart_larder(&mut self) {
        let address = self.target.base_uri.strip_prefix("http://").expect("an http URL");
        self.larder = Some(start_larder(self.data.path(), address).await);
    }
}

impl App {
    /// Calls a function of the SDK. Returns the outcome that the driver prints.
    async fn call(&mut self, function: &str) -> Value {
        self.begin(function).await;
        self.end().await
    }

    async fn begin(&mut self, function: &str) {
        self.stdin.write_all(format!("{function}\n").as_bytes()).await.expect("the driver reads its input");
    }

    async fn end(&mut self) -> Value {
        let line = in_time(self.stdout.next_line()).await;
        let line = line.expect("an outcome in time").expect("UTF-8").expect("an outcome");
        serde_json::from_str(&line).expect("JSON")
    }
}

async fn start_larder(data: &Path, address: &str) -> Program {
    Program::start(&["--data", text(data), "--listen", address, "--no-demo"]).await
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn processes_share_one_token_and_its_refreshes() {
    let setup = Setup::new().await;
    assert_eq!(setup.stored().await, None);
    let mut first = setup.start();
    assert_eq!(first.call("authInfo").await, json!({}));
    assert_eq!(first.call("show").await, json!({"status": 200}));
    assert_eq!(setup.grants().await, ["client_credentials"]);
    let stored = setup.stored().await.expect("a token");
    assert_eq!((&stored["token_type"], &stored["scope"]), (&json!("bearer"), &json!("integ")));

    let mut second = setup.start();
    assert_eq!(second.call("authInfo").await, json!({"grantType": "refresh_token"}));
    assert_eq!(second.call("show").await, json!({"status": 200}));
    assert_eq!(setup.grants().await, ["client_credentials"]);

    setup.sharetribe.post_control("expire", &json!({})).await;
    assert_eq!(second.call("show").await, json!({"status": 200}));
    assert_eq!(setup.grants().await, ["client_credentials", "refresh_token"]);
    let renewed = setup.stored().await.expect("a token");
    assert_ne!(
        (&renewed["access_token"], &renewed["refresh_token"]),
        (&stored["access_token"], &stored["refresh_token"])
    );
    // The new token replaces the old one without merging, so it has no scope.
    assert_eq!(renewed["scope"], Value::Null);
    assert_eq!(first.call("show").await, json!({"status": 200}));
    assert_eq!(setup.grants().await.len(), 2);

    // If the refresh token has expired too, the client credentials obtain a new token.
    setup.sharetribe.post_control("expire", &json!({"refreshTokens": true})).await;
    assert_eq!(first.call("show").await, json!({"status": 200}));
    assert_eq!(setup.grants().await[2..], ["refresh_token", "client_credentials"]);
    assert_eq!(second.call("show").await, json!({"status": 200}));
    assert_eq!(setup.grants().await.len(), 4);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn revoking_removes_the_token_even_if_it_had_expired() {
    let setup = Setup::new().await;
    let mut app = setup.start();
    app.call("show").await;
    assert_eq!(app.call("revoke").await, json!({"status": 200}));
    assert_eq!(setup.stored().await, None);
    assert_eq!(app.call("authInfo").await, json!({}));
    // Without a token, nothing is revoked, and the removal succeeds.
    assert_eq!(app.call("revoke").await, json!({}));

    assert_eq!(app.call("show").await, json!({"status": 200}));
    setup.sharetribe.post_control("expire", &json!({"refreshTokens": true})).await;
    let outcome = setup.start().call("revoke").await;
    assert_eq!(outcome["error"], Value::Null, "{outcome}");
    assert_eq!(setup.stored().await, None);
    let revocations = setup.sharetribe.requests().await.iter().filter(|it| it.path == "/v1/auth/revoke").count();
    assert_eq!(revocations, 2);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn while_larder_is_down_calls_fail_before_reaching_sharetribe() {
    let mut setup = Setup::new().await;
    let mut app = setup.start();
    app.call("show").await;
    let (stored, before) = (setup.stored().await, setup.sharetribe.requests().await.len());
    setup.kill_larder().await;
    for function in ["show", "authInfo", "revoke"] {
        let outcome = app.call(function).await;
        let message = format!("Larder does not answer at {}", setup.target.base_uri);
        assert_eq!(outcome, json!({"error": message, "cause": "ECONNREFUSED"}), "{function}");
    }
    assert_eq!(setup.sharetribe.requests().await.len(), before);
    setup.restart_larder().await;
    assert_eq!(setup.stored().await, stored);
    assert_eq!(app.call("show").await, json!({"status": 200}));
    assert_eq!(setup.grants().await, ["client_credentials"]);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_token_obtained_while_larder_is_down_is_stored_later() {
    let mut setup = Setup::new().await;
    let mut app = setup.start();
    // First the initial token, then one that replaces it.
    for (grants, error) in [(1, "Larder does not answer at"), (2, "Request failed with status code 401")] {
        setup.sharetribe.post_control("hold", &json!({"isHeld": true})).await;
        app.begin("show").await;
        setup.wait_for_grants(grants).await;
        setup.kill_larder().await;
        setup.sharetribe.post_control("hold", &json!({"isHeld": false})).await;
        let outcome = app.end().await;
        assert!(outcome["error"].as_str().is_some_and(|message| message.starts_with(error)), "{outcome}");
        // The error remains until Larder is back.
        let outcome = app.call("show").await;
        assert!(outcome["error"].as_str().is_some_and(|message| message.starts_with("Larder does not")), "{outcome}");

        setup.restart_larder().await;
        let before = setup.grants().await.len();
        assert_eq!(app.call("show").await, json!({"status": 200}));
        assert_eq!(setup.start().call("show").await, json!({"status": 200}));
        assert_eq!(setup.grants().await.len(), before);
        setup.sharetribe.post_control("expire", &json!({})).await;
    }
    // The stored refresh token works.
    assert_eq!(app.call("show").await, json!({"status": 200}));
    assert_eq!(setup.grants().await.last().map(String::as_str), Some("refresh_token"));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn larder_tokens_are_renewed_and_rejections_are_reported() {
    let setup = Setup::new().await;
    // In whole seconds, a lifetime of two is between one and two.
    setup.rewrite("expiresIn: 60", "expiresIn: 2");
    let mut app = setup.start();
    app.call("show").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(app.call("show").await, json!({"status": 200}));

    setup.rewrite("process.env.LARDER_SECRET", "\"another secret\"");
    let outcome = setup.start().call("show").await;
    let message = outcome["error"].as_str().unwrap_or_default();
    assert!(message.starts_with("Larder answers 401: ") && message.contains("not_authenticated"), "{outcome}");
    assert_eq!(setup.grants().await, ["client_credentials"]);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn larder_never_refreshes_the_sdks_token_but_shows_its_expiry() {
    let setup = Setup::new().await;
    setup.start().call("show").await;
    let tenant = setup.target.tenant(TENANT);
    let view = setup.target.get("/connections/sharetribe", &tenant).await.expect(StatusCode::OK).json();
    assert_eq!((&view["state"], &view["canRefreshCredentials"]), (&json!("READY"), &json!(false)), "{view}");
    assert_eq!((&view["nextCredentialsRefreshAt"], &view["error"]), (&Value::Null, &Value::Null), "{view}");
    assert!(view["expiresAt"].is_string(), "{view}");
    // An expired token is still served.
    let mut token = setup.stored().await.expect("a token");
    token["expires_in"] = json!(0);
    setup.target.put(TOKEN, &tenant, &json!({"credentials": token})).await.expect(StatusCode::CREATED);
    assert_eq!(setup.start().call("show").await, json!({"status": 200}));
    assert_eq!(setup.grants().await, ["client_credentials"]);
    // Another end user does not see it.
    let other = setup.target.tenant("another");
    setup.target.get(TOKEN, &other).await.expect(StatusCode::NOT_FOUND);
}
