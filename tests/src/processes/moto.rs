//! AWS on this machine: `moto_server` in its own process.

use std::process::Stdio;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::port::free_port;

use crate::eventually;

/// A running server, empty at first. It stops when dropped.
#[derive(Debug)]
pub struct Moto {
    endpoint: String,
    _process: Child,
}

impl Moto {
    /// Starts the server on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let port = free_port();
        let process = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("moto_server starts; run tests/run");
        let is_up = eventually(async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        assert!(is_up, "moto_server does not answer");
        Self { endpoint: format!("http://127.0.0.1:{port}"), _process: process }
    }

    /// An SDK configuration with this server as its endpoint.
    pub fn sdk_config(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .endpoint_url(&self.endpoint)
            .build()
    }
}
