//! A real browser: Chromium, driven by `tests/servers/chromium.mjs`.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::Server;

/// A running Chromium with one page, and those that pages open. It ends with this value.
#[derive(Debug)]
pub struct Chromium {
    steps: ChildStdin,
    results: Lines<BufReader<ChildStdout>>,
    _process: Child,
    _profile: TempDir,
}

impl Chromium {
    /// Starts Chromium with a fresh profile.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts Chromium with extra command-line switches.
    pub async fn start_with(switches: &[&str]) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let options = json!({ "profile": profile.path(), "args": switches });
        let mut process = Command::new("node")
            .args(["chromium.mjs", &options.to_string()])
            .current_dir(Server::folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let results = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let steps = process.stdin.take().expect("it is piped");
        Self { steps, results, _process: process, _profile: profile }
    }

    /// Opens a URL. Gives the status of the answer.
    pub async fn goto(&mut self, url: &str) -> u64 {
        self.step(json!({ "do": "goto", "url": url })).await.as_u64().expect("a status")
    }

    /// Opens the page that is there once more. Gives the status of the answer.
    pub async fn reload(&mut self) -> u64 {
        self.step(json!({ "do": "reload" })).await.as_u64().expect("a status")
    }

    /// Clicks on the first element of a CSS selector, once there is one.
    pub async fn click(&mut self, selector: &str) {
        self.step(json!({ "do": "click", "selector": selector })).await;
    }

    /// Types into the first element of a CSS selector, once there is one.
    pub async fn fill(&mut self, selector: &str, text: &str) {
        self.step(json!({ "do": "fill", "selector": selector, "text": text })).await;
    }

    /// Runs a script in the page. Gives its value; of a promise, what comes of it.
    pub async fn evaluate(&mut self, script: &str) -> Value {
        self.step(json!({ "do": "evaluate", "script": script })).await
    }

    /// Waits until the page shows a text. Gives all that it shows then.
    pub async fn shows(&mut self, text: &str) -> String {
        self.step(json!({ "do": "shows", "text": text })).await.as_str().expect("a text").to_owned()
    }

    /// Waits until the page is at a URL that begins so. Gives the whole URL.
    pub async fn arrives(&mut self, prefix: &str) -> String {
        self.step(json!({ "do": "arrives", "prefix": prefix })).await.as_str().expect("a URL").to_owned()
    }

    /// The URL of the page.
    pub async fn url(&mut self) -> String {
        self.step(json!({ "do": "url" })).await.as_str().expect("a URL").to_owned()
    }

    /// Goes on with the page that was opened as this one of all, from 0, once it is there.
    pub async fn page(&mut self, number: usize) {
        self.step(json!({ "do": "page", "number": number })).await;
    }

    /// Takes a picture of the page as PNG, so many pixels wide, in the scheme `light` or `dark`.
    pub async fn screenshot(&mut self, path: &Path, width: u32, scheme: &str) {
        self.step(json!({ "do": "screenshot", "path": path, "width": width, "scheme": scheme })).await;
    }

    /// The console of all pages, violations of policies included, and their requests, such as `200 GET http://…`.
    pub async fn log(&mut self) -> Vec<String> {
        serde_json::from_value(self.step(json!({ "do": "log" })).await).expect("texts")
    }

    #[track_caller]
    fn step(&mut self, step: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            self.steps.write_all(format!("{step}\n").as_bytes()).await.expect("chromium.mjs runs");
            let line = self.results.next_line().await.expect("text");
            let line =
                line.unwrap_or_else(|| panic!("{caller}: chromium.mjs has ended; is chromium there? See tests/run"));
            let mut result: Value = serde_json::from_str(&line).expect("JSON");
            assert!(result["error"].is_null(), "{caller}: {step}: {}", result["error"]);
            result["ok"].take()
        }
    }
}
