//! DynamoDB as an embedded engine: a SQLite file behind the real API, on a loopback port.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use dynoxide::Database;
use tokio::net::TcpListener;

/// A running engine. It ends with the process.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    address: SocketAddr,
}

impl Engine {
    /// Opens the database file, or makes one, and serves it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the file or the port cannot be opened.
    pub async fn start(file: &Path) -> io::Result<Self> {
        let database = Database::new(&file.to_string_lossy()).map_err(io::Error::other)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        Ok(Self { address })
    }

    /// What `AWS_ENDPOINT_URL_DYNAMODB` is set to for other processes on this machine.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An SDK configuration that leads to the engine. Its credentials open nothing else.
    pub fn sdk_config(&self) -> SdkConfig {
        let credentials = Credentials::for_tests();
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("local"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(self.endpoint())
            .build()
    }
}
