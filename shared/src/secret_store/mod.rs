//! Stores for workspace secrets and integration parameters: AWS Secrets Manager, or a file on one machine.
//!
//! # Names
//!
//! `workspaces/{workspace}` holds `{"secret", "previousSecret"?}`, `integrations/{workspace}/{key}` holds `{"version",
//! "parameters", "options"}`, and `proxies/{key}` holds `{"connectorKey", "optionKey"?, "parameters"}`.

mod file;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
pub use file::SecretFile;
pub(crate) use file::{private_file, replace_file, sync_folder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cache::Cache;
use crate::clock::Clock;
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

/// The secret that signs and verifies a workspace's tokens.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceSecret {
    /// The secret that signs new tokens and verifies tokens.
    pub secret: Secret,
    /// The old secret, which still verifies tokens during a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_secret: Option<Secret>,
}

impl WorkspaceSecret {
    /// The length of the shortest key that HS256 permits
    /// ([RFC 7518 §3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)).
    pub const MIN_BYTES: usize = 32;

    /// Whether a secret may verify tokens. A shorter one, or even an empty one, could be guessed.
    pub fn is_long_enough(secret: &Secret) -> bool {
        secret.expose().len() >= Self::MIN_BYTES
    }

    /// Iterates over the secrets that verify callers' tokens.
    pub fn verifying(&self) -> impl Iterator<Item = &Secret> {
        [Some(&self.secret), self.previous_secret.as_ref()]
            .into_iter()
            .flatten()
            .filter(|secret| Self::is_long_enough(secret))
    }

    /// Logs which of the secrets are too short to verify tokens.
    fn log_short_ones(&self, workspace: &str) {
        let least = Self::MIN_BYTES;
        if !Self::is_long_enough(&self.secret) {
            tracing::error!(workspace, least, "a workspace secret is too short; tokens signed with it are rejected");
        }
        if self.previous_secret.as_ref().is_some_and(|secret| !Self::is_long_enough(secret)) {
            tracing::warn!(workspace, least, "a previous workspace secret is too short and is ignored");
        }
    }
}

/// The workspaces that this Larder serves, by their keys.
pub struct Workspaces {
    store: Arc<dyn SecretStore>,
    clock: Arc<dyn Clock>,
    cache: Cache<String, Option<WorkspaceSecret>>,
}

impl Workspaces {
    /// How long a secret is cached.
    const FRESH: Duration = Duration::from_mins(5);
    /// How long the absence of a workspace is cached.
    const UNKNOWN: Duration = Duration::from_secs(10);

    /// The workspaces whose secrets are in `store`.
    pub fn new(store: Arc<dyn SecretStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, cache: Cache::new(Arc::clone(&clock)), clock }
    }

    /// Returns a workspace's secret; `None` if there is no such workspace.
    ///
    /// # Errors
    /// When the secret store fails, or the stored value is not a workspace secret.
    pub async fn secret(&self, workspace: &str) -> Result<Option<WorkspaceSecret>, Error> {
        if !is_key(workspace) {
            return Ok(None);
        }
        if let Some(secret) = self.cache.get(workspace) {
            return Ok(secret);
        }
        let asked_at = self.clock.now();
        let secret = match self.store.get(&secret_name(workspace)).await? {
            Some(text) => Some(serde_json::from_str::<WorkspaceSecret>(text.expose()).map_err(|_| {
                Error::internal(format!("the secret of workspace {workspace} is not {{\"secret\": \"…\"}}"))
            })?),
            None => None,
        };
        if let Some(secret) = &secret {
            secret.log_short_ones(workspace);
        }
        let keep = if secret.is_some() { Self::FRESH } else { Self::UNKNOWN };
        self.cache.insert(workspace.to_owned(), secret.clone(), asked_at + keep);
        Ok(secret)
    }

    /// Whether [`Self::secret`] would have to call the secret store.
    pub fn must_ask(&self, workspace: &str) -> bool {
        is_key(workspace) && self.cache.get(workspace).is_none()
    }

    /// Creates a workspace or replaces its secret.
    ///
    /// # Errors
    /// When the secret store fails.
    pub async fn put(&self, workspace: &str, secret: &WorkspaceSecret) -> Result<(), Error> {
        let text = serde_json::to_string(secret).map_err(Error::internal)?;
        self.store.put(&secret_name(workspace), &Secret::new(text)).await?;
        self.cache.remove(workspace);
        Ok(())
    }
}

fn secret_name(workspace: &str) -> String {
    format!("workspaces/{workspace}")
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

/// Whether a string can be the key of a workspace, an integration, or a connector: 1 to 100 characters of `[A-Za-z0-9_.-]`.
pub fn is_key(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
