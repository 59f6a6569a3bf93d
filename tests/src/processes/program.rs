//! The program that `cargo run` starts.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::{env, fs};

use http::Method;
use larder_local::{TENANT, WORKSPACE};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::target::{Target, local_secret};
use super::visitor::{answer, http_client};
use crate::{Answer, in_time, root};

/// A running Larder. It stops when dropped.
#[derive(Debug)]
pub struct Program {
    /// Its base URI.
    pub base_uri: String,
    /// Everything that it printed when it had started.
    pub welcome: String,
    /// The link that it printed, which signs a browser in.
    pub page_link: String,
    /// An admin's token.
    pub admin: String,
    /// A connect link for the demo account, if there is one.
    pub connect_link: Option<String>,
    client: reqwest::Client,
    stdout: Lines<BufReader<ChildStdout>>,
    log: Log,
    process: Child,
}

type Log = Arc<Mutex<Vec<String>>>;

impl Program {
    /// Starts the program with these arguments and waits until it has printed its welcome.
    pub async fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[]).await
    }

    /// Starts the program with these arguments and extra environment variables.
    pub async fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut process = command(arguments).envs(variables.iter().copied()).spawn().expect("larder starts");
        let log = collect(process.stderr.take().expect("it is piped"));
        let mut stdout = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut printed = Vec::new();
        let welcome = async {
            while !printed.last().is_some_and(|line: &String| line.ends_with(" to stop.")) {
                match stdout.next_line().await.expect("UTF-8") {
                    Some(line) => printed.push(line),
                    None => return false,
                }
            }
            true
        };
        let has_started = in_time(welcome).await == Ok(true);
        assert!(has_started, "larder did not start: {printed:#?} {:#?}", log.lock().expect("the lock is not poisoned"));
        let (_, base_uri) = printed[0].split_once(" is running at ").expect("the base URI");
        let page_link = printed.iter().find(|line| line.starts_with(&format!("{base_uri}/sign-in?"))).expect("a link");
        let data = arguments.iter().skip_while(|argument| **argument != "--data").nth(1).expect("a data folder");
        let target = Target::new("local", base_uri, WORKSPACE, local_secret(Path::new(data)).await);
        let has_demo = !arguments.contains(&"--no-demo");
        let connect_link = || target.uri(&format!("/connect?integrationKey=demo&token={}", target.tenant(TENANT)));
        Self {
            admin: target.admin(),
            connect_link: has_demo.then(connect_link),
            page_link: page_link.clone(),
            welcome: printed.join("\n"),
            client: http_client(),
            base_uri: base_uri.to_owned(),
            stdout,
            log,
            process,
        }
    }

    /// Returns a URL of this Larder.
    pub fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.base_uri)
    }

    /// Sends a request with a token and a body.
    pub async fn send(&self, method: Method, path: &str, token: &str, body: &str) -> Answer {
        let request = self.client.request(method, self.uri(path)).bearer_auth(token).body(body.to_owned());
        answer(request.send().await.expect("a response")).await
    }

    /// GET with a token.
    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Method::GET, path, token, "").await
    }

    /// Kills the program with SIGKILL. Returns its output after the welcome, and its log.
    pub async fn kill(mut self) -> (String, String) {
        self.process.kill().await.expect("it is killed");
        let mut printed = String::new();
        while let Some(line) = self.stdout.next_line().await.expect("UTF-8") {
            printed += line.trim();
        }
        (printed, self.log())
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id().expect("it is running")
    }

    /// Whether it has a loopback connection from this port.
    pub fn has_connection_from(&self, port: u16) -> bool {
        let sockets = fs::read_to_string("/proc/net/tcp").expect("the sockets of this machine");
        let address = format!("0100007F:{port:04X}");
        let inode = sockets.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (fields.get(1) == Some(&address.as_str())).then(|| fields[9].to_owned())
        });
        let Some(socket) = inode.map(|inode| format!("socket:[{inode}]")) else { return false };
        let files = fs::read_dir(format!("/proc/{}/fd", self.id())).into_iter().flatten();
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket.as_str()))
    }

    /// Sends SIGKILL without waiting for the program to exit; [`Self::kill`] waits.
    pub fn start_kill(&mut self) {
        self.process.start_kill().expect("it is killed");
    }

    /// Its resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("the lock is not poisoned").join("\n")
    }
}

/// Runs the program until it exits.
pub async fn run(arguments: &[&str]) -> Output {
    let ended = in_time(command(arguments).output()).await;
    ended.unwrap_or_else(|_| panic!("larder {arguments:?} does not end")).expect("larder starts")
}

/// The program with these arguments and pipes, without variables that would change what it does.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).kill_on_drop(true);
    for variable in ["RUST_LOG", "LARDER_URL", "LARDER_TOKEN"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The program in LARDER_TEST_PROGRAM, or else this workspace's, built once per test process.
fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| env::var_os("LARDER_TEST_PROGRAM").map_or_else(|| built("larder"), PathBuf::from))
}

/// Returns a binary of this workspace. Unless `tests/run` has built it, builds it like `cargo run` or `cargo lambda watch`.
pub fn built(name: &str) -> PathBuf {
    if let Some(binaries) = env::var_os("LARDER_TEST_BINARIES") {
        return PathBuf::from(binaries).join(name);
    }
    // …/target/debug/deps/local-0123456789abcdef
    let test = env::current_exe().expect("a path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("a folder");
    let target = profile.parent().expect("a folder");
    let features = if name == "larder" { "" } else { "aws" };
    let built = std::process::Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--bin", name, "--features", features, "--target-dir"])
        .arg(target)
        .current_dir(root())
        .status();
    assert!(built.expect("cargo starts").success(), "{name} does not build");
    profile.join(name)
}

/// Keeps reading lines from a pipe, so that it never fills up.
fn collect(pipe: impl AsyncRead + Unpin + Send + 'static) -> Log {
    let lines = Log::default();
    let collected = Arc::clone(&lines);
    tokio::spawn(async move {
        let mut pipe = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = pipe.next_line().await {
            collected.lock().expect("the lock is not poisoned").push(line);
        }
    });
    lines
}
