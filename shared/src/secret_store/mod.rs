//! Stores for workspace secrets and integration parameters: AWS Secrets Manager, or a file on one machine.
//!
//! # Names
//!
//! `workspaces/{workspace}` holds a [`WorkspaceSecret`], `integrations/{workspace}/{key}` holds `{"version", "parameters",
//! "options"}`, and `proxies/{key}` holds `{"connectorKey", "optionKey"?, "parameters"}`.

mod file;
mod public_keys;
mod workspaces;

use std::sync::Arc;

use async_trait::async_trait;
pub use file::SecretFile;
pub(crate) use file::{private_file, replace_file, sync_folder};
pub use public_keys::{PublicKey, PublicKeys};
use serde::Deserialize;
use serde_json::{Map, Value};
pub use workspaces::{WorkspaceSecret, Workspaces};

use crate::error::Error;
use crate::secret::Secret;

/// A store of named secrets. Names use the characters that Secrets Manager allows: letters, digits, and `/_+=.@-`.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Returns the newest value; `None` if there is no such secret.
    ///
    /// # Errors
    /// When the store fails.
    async fn get(&self, name: &str) -> Result<Option<Secret>, SecretStoreError>;

    /// Creates or replaces a secret.
    ///
    /// # Errors
    /// When the store fails, or others create or delete the same secret through all attempts. The secret may be
    /// replaced anyway, unless [`SecretStoreError::is_answer`].
    async fn put(&self, name: &str, value: &Secret) -> Result<(), SecretStoreError>;

    /// Removes a secret. Removing one that does not exist succeeds.
    ///
    /// # Errors
    /// When the store fails.
    async fn remove(&self, name: &str) -> Result<(), SecretStoreError>;
}

/// A failed request to the secret store.
#[derive(Debug, thiserror::Error)]
#[error("the secret store failed")]
pub struct SecretStoreError {
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
    /// Whether the store itself returned the error. Otherwise the request may still be carried out.
    pub is_answer: bool,
}

impl From<SecretStoreError> for Error {
    fn from(error: SecretStoreError) -> Self {
        Error::unavailable("the secret store", &error)
    }
}

/// An OAuth client of Larder's operator that connectors of the type `proxy` connect through. It is stored in the secret
/// `proxies/{key}`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// The key of a connector of type oauth2 or oauth1.
    pub connector_key: String,
    /// The key of one of its options; empty for the connector itself.
    #[serde(default)]
    pub option_key: String,
    /// The connector's parameters, such as client id and secret.
    pub parameters: Map<String, Value>,
}

/// Reads the auth proxies.
pub struct Proxies {
    store: Arc<dyn SecretStore>,
}

impl Proxies {
    /// The proxies whose secrets are in `store`.
    pub fn new(store: Arc<dyn SecretStore>) -> Self {
        Self { store }
    }

    /// Returns the proxy with this key; `None` if there is none.
    ///
    /// # Errors
    /// When the secret store fails, or the stored value is not a proxy.
    pub async fn get(&self, key: &str) -> Result<Option<Proxy>, Error> {
        if !is_key(key) {
            return Ok(None);
        }
        let Some(text) = self.store.get(&format!("proxies/{key}")).await? else { return Ok(None) };
        serde_json::from_str(text.expose()).map(Some).map_err(|_| {
            Error::configuration(format!("the secret `proxies/{key}` must be {{\"connectorKey\", \"parameters\"}}"))
        })
    }
}

/// Whether a string can be the key of a workspace, an integration, or a connector: 1 to 100 characters of `[A-Za-z0-9_.-]`, not
/// only dots, since clients resolve the path segments `.` and `..`.
pub fn is_key(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        && text.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_not_only_dots() {
        for (key, is_valid) in [
            ("crm", true),
            ("a.b_C-9", true),
            (".well", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a b", false),
        ] {
            assert_eq!(is_key(key), is_valid, "{key:?}");
        }
        assert!(is_key(&"k".repeat(100)) && !is_key(&"k".repeat(101)));
    }
}
