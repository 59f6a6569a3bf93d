//! Where credentials are kept outside the rows of connections: one port, and an adapter for each such place.
//!
//! By default they are not outside: [`crate::vault`] seals them into the row. The vault is also the only one that reads
//! and writes here, and it sees to it that no two write the credentials of one connection at once.

mod external_api;
mod file;
mod memory;

use async_trait::async_trait;
pub use external_api::{ExternalApi, is_endpoint};
pub use file::CredentialFiles;
pub use memory::Memory;

use crate::credentials::Credentials;
use crate::error::{Error, log_cause};

/// Whose credentials they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// The key of the workspace.
    pub workspace: &'a str,
    /// The id of the connection in it: up to 512 bytes, any characters.
    pub connection_id: &'a str,
    /// The end user whom the connection belongs to. It identifies nothing: workspace and id do.
    pub tenant: Option<&'a str>,
}

/// Keeps the credentials of connections.
#[async_trait]
pub trait CredentialStore: Send + Sync {
    /// What `CONNECTION_CREDENTIALS_STORAGE_TYPE` calls it. Rows remember it.
    fn kind(&self) -> &'static str;

    /// The largest credentials that it takes, in bytes of JSON.
    fn max_bytes(&self) -> usize {
        Credentials::MAX_BYTES
    }

    /// The credentials as they were set, to the byte where the store can; `None` if there are none.
    ///
    /// # Errors
    /// When the store does not answer, or answers something else than credentials.
    async fn get(&self, key: Key<'_>) -> Result<Option<Credentials>, CredentialStoreError>;

    /// Stores credentials whole, whatever was there. `write_id` is the same for all tries of one write, and no other
    /// write has it: 43 characters of URL-safe base64.
    ///
    /// # Errors
    /// When the store has not acknowledged them. The variant says whether it may hold them yet.
    async fn set(&self, key: Key<'_>, credentials: &Credentials, write_id: &str) -> Result<(), CredentialStoreError>;

    /// Removes credentials; removing nothing succeeds.
    ///
    /// # Errors
    /// When the store has not acknowledged that. The variant says whether they may be removed yet.
    async fn remove(&self, key: Key<'_>) -> Result<(), CredentialStoreError>;
}

/// The store did not do what was asked. No text in it is secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialStoreError {
    /// There was no answer, or only a part: what was asked may still be carried out.
    #[error("the credential store did not answer")]
    NoAnswer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It answered that it did not do it, or something that makes no sense: nothing of ours is on its way any more.
    #[error("the credential store refused")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<CredentialStoreError> for Error {
    fn from(error: CredentialStoreError) -> Self {
        const WHAT: &str = "the credential store";
        match error {
            CredentialStoreError::NoAnswer(_) => Error::unavailable(WHAT, &error),
            CredentialStoreError::Refused(_) => {
                log_cause(WHAT, &error);
                Error::unready("the credential store refused or gave a wrong answer; the log says why")
            }
        }
    }
}
