//! The real Lambda binaries under `cargo lambda watch`, with the data of a running [`Program`](crate::Program).

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::{env, fs};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::port::free_port;
use crate::{eventually, root};

/// A running emulator. It stops when dropped.
#[derive(Debug)]
pub struct Watch {
    /// Its base URI.
    pub base_uri: String,
    port: u16,
    process: Child,
}

impl Watch {
    /// Starts the emulator as `infra/README.md` says, but on a free port, with the environment file of a data folder.
    pub async fn start(data: &Path) -> Self {
        let port = free_port();
        let environment = fs::read_to_string(data.join("lambda.env")).expect("the environment file");
        let file = data.join("watch.env");
        fs::write(&file, environment.replace(":9100", &format!(":{port}"))).expect("is written");
        let process = cargo_lambda()
            .args(["watch", "--ignore-changes", "--disable-cors", "--timeout", "300", "--invoke-address", "127.0.0.1"])
            .args(["--invoke-port", &port.to_string(), "--env-file"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("cargo-lambda starts");
        let base_uri = format!("http://127.0.0.1:{port}");
        let is_up = eventually(async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        assert!(is_up, "cargo lambda watch does not answer");
        Self { base_uri, port, process }
    }

    /// Invokes a function with an event.
    pub async fn invoke(&self, function: &str, event: &str) -> Output {
        self.run_invoke(function, &["--data-ascii", event]).await
    }

    /// Invokes a function with an event from a file.
    pub async fn invoke_file(&self, function: &str, file: &Path) -> Output {
        self.run_invoke(function, &["--data-file", file.to_str().expect("UTF-8")]).await
    }

    async fn run_invoke(&self, function: &str, arguments: &[&str]) -> Output {
        let port = self.port.to_string();
        let mut command = cargo_lambda();
        command.args(["invoke", function, "--invoke-address", "127.0.0.1", "--invoke-port", &port]).args(arguments);
        command.output().await.expect("cargo-lambda starts")
    }

    /// Kills the emulator and the functions that it started.
    pub async fn stop(mut self) {
        self.process.kill().await.expect("it is killed");
    }
}

fn cargo_lambda() -> Command {
    let mut command = Command::new("cargo-lambda");
    command.arg("lambda").current_dir(root());
    // `tests/run` has already built the binaries that the emulator would build again.
    if let Some(shims) = env::var_os("LARDER_TEST_SHIMS") {
        command.env("CARGO", PathBuf::from(shims).join("cargo"));
    }
    command
}
