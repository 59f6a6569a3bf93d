//! Stores for credentials outside the rows of connections: one port, and an adapter for each kind of store.
//!
//! By default, credentials are not outside: [`crate::vault`] seals them into the row. Only the vault uses these stores,
//! and it ensures that there is one writer per connection at a time.

mod external_api;
mod file;
mod memory;

use async_trait::async_trait;
pub use external_api::{ExternalApi, is_endpoint};
pub use file::CredentialFiles;
pub use memory::Memory;

use crate::credentials::Credentials;
use crate::error::{Error, log_cause};

/// The connection that credentials belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// The workspace's key.
    pub workspace: &'a str,
    /// The connection's id in the workspace: up to 512 bytes, any characters.
    pub connection_id: &'a str,
    /// The tenant that the connection belongs to. It is not part of the identity; workspace and id are.
    pub tenant: Option<&'a str>,
}

/// A store for the credentials of connections.
#[async_trait]
pub trait CredentialStore: Send + Sync {
    /// Returns its name in `CONNECTION_CREDENTIALS_STORAGE_TYPE`. Rows record it.
    fn kind(&self) -> &'static str;

    /// Returns the size of the largest credentials that it accepts, in bytes of JSON.
    fn max_bytes(&self) -> usize {
        Credentials::MAX_BYTES
    }

    /// Returns the credentials as they were set, byte for byte if the store can; `None` if there are none.
    ///
    /// # Errors
    /// When the store does not answer, or answers with something other than credentials.
    async fn get(&self, key: Key<'_>) -> Result<Option<Credentials>, CredentialStoreError>;

    /// Stores credentials and replaces any that exist. `write_id` identifies the write and is the same for all its
    /// retries: 43 characters of URL-safe base64.
    ///
    /// # Errors
    /// When the store has not acknowledged the write. The variant says whether it may still be carried out.
    async fn set(&self, key: Key<'_>, credentials: &Credentials, write_id: &str) -> Result<(), CredentialStoreError>;

    /// Removes credentials. Removing ones that do not exist succeeds.
    ///
    /// # Errors
    /// When the store has not acknowledged the removal. The variant says whether it may still be carried out.
    async fn remove(&self, key: Key<'_>) -> Result<(), CredentialStoreError>;
}

/// A failed request to a credential store. Its messages contain no secrets.
#[derive(Debug, thiserror::Error)]
pub enum CredentialStoreError {
    /// There was no answer, or only part of one. The request may still be carried out.
    #[error("the credential store did not answer")]
    NoAnswer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store rejected the request or gave an invalid answer. The request will not be carried out later.
    #[error("the credential store rejected the request")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<CredentialStoreError> for Error {
    fn from(error: CredentialStoreError) -> Self {
        const WHAT: &str = "the credential store";
        match error {
            CredentialStoreError::NoAnswer(_) => Error::unavailable(WHAT, &error),
            CredentialStoreError::Refused(_) => {
                log_cause(WHAT, &error);
                Error::unready("the credential store rejected the request or gave an invalid answer; see the log")
            }
        }
    }
}
