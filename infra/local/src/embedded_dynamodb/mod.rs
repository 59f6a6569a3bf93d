//! DynamoDB inside this program: a SQLite file behind the real API.
//!
//! This process calls it through [`EmbeddedDynamoDb::sdk_config`], without a network. Other processes need a [`Door`].

mod door;
mod in_process;
mod operations;
mod signature;

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_types::SdkConfig;
pub use door::Door;
use dynoxide::Database;
pub use in_process::response;
use serde_json::json;

const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// An open database. Clones share it.
#[derive(Clone)]
pub struct EmbeddedDynamoDb(Database);

impl EmbeddedDynamoDb {
    /// Opens the database file, or creates one that only its owner can read.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(file: &Path) -> io::Result<Self> {
        // SQLite gives its other files the mode of this one.
        let private = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file)?;
        private.set_permissions(Permissions::from_mode(0o600))?;
        // Close it before SQLite opens the file: closing any descriptor of a file releases the process's locks on it.
        drop(private);
        Database::new(&file.to_string_lossy()).map(Self).map_err(io::Error::other)
    }

    /// An empty in-memory database that is gone when its last clone is dropped.
    ///
    /// # Errors
    /// When the database cannot be created.
    pub fn in_memory() -> io::Result<Self> {
        Database::memory().map(Self).map_err(io::Error::other)
    }

    /// An SDK configuration that calls this database without a network.
    pub fn sdk_config(&self) -> SdkConfig {
        in_process::sdk_config(self)
    }

    /// Runs an operation, for example `GetItem`, and returns its response body.
    ///
    /// # Errors
    /// The status and body of DynamoDB's error; also for operations that are not implemented here.
    pub fn execute(&self, operation: &str, body: &str) -> Result<String, (u16, String)> {
        operations::execute(&self.0, operation, body)
    }

    /// Answers a request with a status and a body. `target` is the request's `X-Amz-Target` header.
    pub fn answer(&self, target: &str, body: &[u8]) -> (u16, String) {
        match (target.strip_prefix("DynamoDB_20120810."), std::str::from_utf8(body)) {
            (Some(operation), Ok(body)) => match self.execute(operation, body) {
                Ok(body) => (200, body),
                Err(failure) => failure,
            },
            _ => {
                let error = json!({ "__type": "UnknownOperationException", "message": "only DynamoDB operations are supported" });
                (400, error.to_string())
            }
        }
    }
}

impl std::fmt::Debug for EmbeddedDynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmbeddedDynamoDb")
    }
}
