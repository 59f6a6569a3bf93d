//! A real browser: Chromium, driven by `tests/servers/chromium.mjs`.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::{PATIENCE, Server};

/// A running Chromium with one page, and the pages that pages open. It stops when dropped.
#[derive(Debug)]
pub struct Chromium {
    steps: ChildStdin,
    results: Lines<BufReader<ChildStdout>>,
    _process: Child,
    _profile: TempDir,
}

impl Chromium {
    /// Starts Chromium with a new profile.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts Chromium with extra command-line switches.
    pub async fn start_with(switches: &[&str]) -> Self {
        Self::start_as(switches, false).await
    }

    /// Starts Chromium so that pages cannot open popups unless a person clicks, as for people.
    pub async fn start_blocking_popups() -> Self {
        Self::start_as(&[], true).await
    }

    async fn start_as(switches: &[&str], blocks_popups: bool) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let timeout = PATIENCE.as_millis();
        let options =
            json!({ "profile": profile.path(), "args": switches, "blocksPopups": blocks_popups, "timeout": timeout });
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

    /// Opens a URL. Returns the response's status.
    pub async fn goto(&mut self, url: &str) -> u64 {
        self.step(json!({ "do": "goto", "url": url })).await.as_u64().expect("a status")
    }

    /// Reloads the page. Returns the response's status.
    pub async fn reload(&mut self) -> u64 {
        self.step(json!({ "do": "reload" })).await.as_u64().expect("a status")
    }

    /// Waits for an element that matches a CSS selector, and clicks on it.
    pub async fn click(&mut self, selector: &str) {
        self.step(json!({ "do": "click", "selector": selector })).await;
    }

    /// Waits for an element that matches a CSS selector, and types into it.
    pub async fn fill(&mut self, selector: &str, text: &str) {
        self.step(json!({ "do": "fill", "selector": selector, "text": text })).await;
    }

    /// Runs a script in the page. Returns its value, or the value of its promise.
    pub async fn evaluate(&mut self, script: &str) -> Value {
        self.step(json!({ "do": "evaluate", "script": script })).await
    }

    /// Waits until the page contains a string. Returns the page's whole text.
    pub async fn shows(&mut self, text: &str) -> String {
        self.step(json!({ "do": "shows", "text": text })).await.as_str().expect("a string").to_owned()
    }

    /// Waits until the page's URL starts with `prefix`. Returns the whole URL.
    pub async fn arrives(&mut self, prefix: &str) -> String {
        self.step(json!({ "do": "arrives", "prefix": prefix })).await.as_str().expect("a URL").to_owned()
    }

    /// Returns the page's URL.
    pub async fn url(&mut self) -> String {
        self.step(json!({ "do": "url" })).await.as_str().expect("a URL").to_owned()
    }

    /// Waits for the page with this number, in the order of opening and from 0, and switches to it.
    pub async fn page(&mut self, number: usize) {
        self.step(json!({ "do": "page", "number": number })).await;
    }

    /// Makes the next steps act in the page's frame whose URL starts with `prefix`, until [`Self::page`] is called.
    pub async fn frame(&mut self, prefix: &str) {
        self.step(json!({ "do": "frame", "prefix": prefix })).await;
    }

    /// Returns the number of pages that are open.
    pub async fn open_pages(&mut self) -> u64 {
        self.step(json!({ "do": "open" })).await.as_u64().expect("a number")
    }

    /// Closes the page and switches to the first one.
    pub async fn close(&mut self) {
        self.step(json!({ "do": "close" })).await;
    }

    /// Waits until the page with this number is closed.
    pub async fn closes(&mut self, number: usize) {
        self.step(json!({ "do": "closes", "number": number })).await;
    }

    /// Presses a key, such as `Tab`.
    pub async fn press(&mut self, key: &str) {
        self.step(json!({ "do": "press", "key": key })).await;
    }

    /// Types into the element that has the focus.
    pub async fn type_text(&mut self, text: &str) {
        self.step(json!({ "do": "type", "text": text })).await;
    }

    /// Turns JavaScript on or off, for the pages that are opened next.
    pub async fn javascript(&mut self, is_on: bool) {
        self.step(json!({ "do": "javascript", "isOn": is_on })).await;
    }

    /// Sets the languages that the browser prefers.
    pub async fn language(&mut self, languages: &str) {
        self.step(json!({ "do": "language", "languages": languages })).await;
    }

    /// Takes a PNG screenshot of the whole page with this width in pixels, in the color scheme `light` or `dark`.
    pub async fn screenshot(&mut self, path: &Path, width: u32, scheme: &str) {
        self.step(json!({ "do": "screenshot", "path": path, "width": width, "scheme": scheme })).await;
    }

    /// Takes PNG screenshots of the whole page at 360 and 1,280 pixels, in light and dark. Their names start with `name`.
    ///
    /// # Panics
    /// If the page has a mistake of accessibility in one of them, or is wider than its window.
    #[track_caller]
    pub fn screenshots(&mut self, folder: &Path, name: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            for (width, scheme) in [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")] {
                self.screenshot(&folder.join(format!("{name}-{width}-{scheme}.png")), width, scheme).await;
                let findings = self.evaluate(include_str!("accessibility.js")).await;
                assert_eq!(findings, json!([]), "{caller}: {name} at {width} pixels, {scheme}");
            }
        }
    }

    /// Returns all pages' console messages, including policy violations, and their requests, for example `200 GET http://…`.
    pub async fn log(&mut self) -> Vec<String> {
        serde_json::from_value(self.step(json!({ "do": "log" })).await).expect("strings")
    }

    #[track_caller]
    fn step(&mut self, step: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            self.steps.write_all(format!("{step}\n").as_bytes()).await.expect("chromium.mjs is running");
            let line = self.results.next_line().await.expect("UTF-8");
            let line = line
                .unwrap_or_else(|| panic!("{caller}: chromium.mjs has ended; is chromium installed? See tests/run"));
            let mut result: Value = serde_json::from_str(&line).expect("JSON");
            assert!(result["error"].is_null(), "{caller}: {step}: {}", result["error"]);
            result["ok"].take()
        }
    }
}
