//! A function's binary, run as in Lambda: in its own process, with events from a [`RuntimeApi`].

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::runtime_api::{Invocation, RuntimeApi};

/// A running function. It stops when dropped.
#[derive(Debug)]
pub struct Function {
    /// The time at which its process was started.
    pub started_at: Instant,
    api: RuntimeApi,
    output: Arc<Mutex<Vec<String>>>,
    process: Child,
}

impl Function {
    /// Starts a binary. Its environment has only Lambda's variables and these.
    pub async fn start<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        binary: &Path,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let api = RuntimeApi::start().await;
        let name = binary.file_stem().unwrap_or_default().to_string_lossy();
        let mut command = Command::new(binary);
        command.env_clear().envs(api.variables(&name)).envs(variables).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started_at = Instant::now();
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let output = Arc::default();
        collect(process.stdout.take().expect("it is piped"), Arc::clone(&output));
        collect(process.stderr.take().expect("it is piped"), Arc::clone(&output));
        Self { started_at, api, output, process }
    }

    /// Waits until the function requests its first event.
    pub async fn ready(&mut self) -> Instant {
        let ready = tokio::select! {
            ready = self.api.ready() => ready,
            ended = self.process.wait() => Err(format!("{ended:?}")),
        };
        ready.unwrap_or_else(|error| panic!("the function did not start: {error} {:#?}", self.output()))
    }

    /// Sends an event to the function and waits for the result.
    pub async fn invoke(&mut self, event: &str) -> Invocation {
        let invocation = tokio::select! {
            invocation = tokio::time::timeout(RuntimeApi::TIMEOUT, self.api.invoke(event)) => {
                invocation.unwrap_or_else(|_| Err("no response in time".to_owned()))
            }
            ended = self.process.wait() => Err(format!("{ended:?}")),
        };
        invocation.unwrap_or_else(|error| panic!("the function ended: {error} {:#?}", self.output()))
    }

    /// The API that serves its events.
    pub fn api(&self) -> &RuntimeApi {
        &self.api
    }

    /// The lines that it has written to stdout and stderr.
    pub fn output(&self) -> Vec<String> {
        self.output.lock().expect("the lock is not poisoned").clone()
    }

    /// The processor time that it has used.
    pub fn processor_time(&self) -> Duration {
        let tasks = fs::read_dir(self.proc("task")).expect("a process");
        let nanoseconds = tasks.map(|task| {
            // A thread may end in the meantime.
            let schedstat = task.and_then(|task| fs::read_to_string(task.path().join("schedstat"))).unwrap_or_default();
            schedstat.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Its peak resident memory, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
        line.trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
    }

    /// Kills it.
    pub async fn stop(mut self) {
        self.process.kill().await.expect("it is killed");
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.process.id().expect("it runs"))
    }
}

/// Unpacks the deployed binary of a function from its archive, and returns its path.
pub fn deployed(name: &str) -> PathBuf {
    let folder = env::var_os("LARDER_TEST_FUNCTIONS").expect("LARDER_TEST_FUNCTIONS is not set; run tests/run");
    let folder = PathBuf::from(folder).join(name);
    let unpacked = std::process::Command::new("python3")
        .args(["-m", "zipfile", "-e", "bootstrap.zip", "."])
        .current_dir(&folder)
        .status();
    assert!(unpacked.expect("python3 starts").success(), "{} has no bootstrap.zip", folder.display());
    let binary = folder.join("bootstrap");
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("it can be run");
    binary
}

/// An event of an HTTP API (payload format 2.0). `target` is a path with its query.
pub fn http_event(method: &Method, target: &str, token: &str, body: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let route = format!("{method} {path}");
    let event: Value = json!({
        "version": "2.0", "routeKey": route, "rawPath": path, "rawQueryString": query, "isBase64Encoded": false,
        "headers": {"host": "larder.example", "authorization": format!("Bearer {token}")},
        "body": body,
        "requestContext": {
            "accountId": "123456789012", "apiId": "larder", "domainName": "larder.example", "domainPrefix": "larder",
            "http": {"method": method.as_str(), "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                     "userAgent": "larder-tests"},
            "requestId": "11111111-2222-3333-4444-555555555555", "routeKey": route, "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 1_767_225_600_000_u64,
        },
    });
    event.to_string()
}

/// Keeps reading lines from a pipe, so that it never fills up.
fn collect(pipe: impl AsyncRead + Unpin + Send + 'static, lines: Arc<Mutex<Vec<String>>>) {
    tokio::spawn(async move {
        let mut pipe = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = pipe.next_line().await {
            lines.lock().expect("the lock is not poisoned").push(line);
        }
    });
}
