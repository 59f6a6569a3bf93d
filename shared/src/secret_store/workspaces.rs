//! The keys of workspaces: those that verify callers' tokens, and the one that signs Larder's own.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{PublicKey, PublicKeys, SecretStore, is_key};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::error::Error;
use crate::secret::Secret;

/// The keys of a workspace. Each has a previous one, which still verifies tokens during a rotation.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceSecret {
    /// The secret that verifies callers' tokens. It also signs Larder's own, if there is no `application_secret`.
    pub secret: Secret,
    /// The old secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_secret: Option<Secret>,
    /// The secret that signs the tokens that Larder sends to others. It verifies nothing but another Larder that stores
    /// its credentials here, so those who need it to verify Larder's tokens cannot sign a caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_secret: Option<Secret>,
    /// The old application secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_application_secret: Option<Secret>,
    /// The public keys that verify callers' tokens, too.
    #[serde(default, skip_serializing_if = "PublicKeys::is_empty")]
    pub public_keys: PublicKeys,
    /// The old public keys.
    #[serde(default, skip_serializing_if = "PublicKeys::is_empty")]
    pub previous_public_keys: PublicKeys,
    /// Whether tokens without `exp` are valid.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_tokens_without_expiry: bool,
}

impl WorkspaceSecret {
    /// The length of the shortest key that HS256 permits
    /// ([RFC 7518 §3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)).
    pub const MIN_BYTES: usize = 32;

    /// A workspace with only this secret.
    pub fn new(secret: Secret) -> Self {
        Self {
            secret,
            previous_secret: None,
            application_secret: None,
            previous_application_secret: None,
            public_keys: PublicKeys::default(),
            previous_public_keys: PublicKeys::default(),
            allow_tokens_without_expiry: false,
        }
    }

    /// Whether a secret may verify tokens. A shorter one, or even an empty one, could be guessed.
    pub fn is_long_enough(secret: &Secret) -> bool {
        secret.expose().len() >= Self::MIN_BYTES
    }

    /// Iterates over the secrets that verify callers' tokens.
    pub fn verifying(&self) -> impl Iterator<Item = &Secret> {
        let secrets = [Some(&self.secret), self.previous_secret.as_ref()].into_iter().flatten();
        secrets.filter(|secret| Self::is_long_enough(secret))
    }

    /// Iterates over the secrets that verify only the tokens of another Larder that stores its credentials here.
    pub fn verifying_applications(&self) -> impl Iterator<Item = &Secret> {
        let secrets = [&self.application_secret, &self.previous_application_secret].into_iter().flatten();
        secrets.filter(|secret| Self::is_long_enough(secret))
    }

    /// Iterates over the public keys that verify callers' tokens.
    pub fn verifying_keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.public_keys.iter().chain(self.previous_public_keys.iter())
    }

    /// Returns the secret that signs the tokens that Larder sends to providers and to an external API of credentials.
    pub fn signing(&self) -> &Secret {
        self.application_secret.as_ref().unwrap_or(&self.secret)
    }

    /// Returns why the workspace must not be used as it is.
    fn problem(&self) -> Option<String> {
        let secrets = [
            ("secret", Some(&self.secret)),
            ("previousSecret", self.previous_secret.as_ref()),
            ("applicationSecret", self.application_secret.as_ref()),
            ("previousApplicationSecret", self.previous_application_secret.as_ref()),
        ];
        let given = || secrets.into_iter().filter_map(|(name, secret)| Some((name, secret?)));
        // Everyone who knows the public key could sign with it.
        if let Some((name, _)) = given().find(|(_, secret)| is_public(secret)) {
            return Some(format!("`{name}` is a public key; move it to `publicKeys`"));
        }
        if let Some(application) = &self.application_secret {
            let least = Self::MIN_BYTES;
            if !Self::is_long_enough(application) {
                return Some(format!("`applicationSecret` has fewer than {least} bytes; replace it with a longer one"));
            }
            if *application == self.secret || self.previous_secret.as_ref() == Some(application) {
                return Some("`applicationSecret` also verifies callers' tokens; use another one".to_owned());
            }
        }
        let keys = [("publicKeys", &self.public_keys), ("previousPublicKeys", &self.previous_public_keys)];
        keys.into_iter().find_map(|(name, keys)| Some(format!("`{name}`: {}", keys.problem()?)))
    }

    /// Logs what is wrong with the keys.
    fn log_problems(&self, workspace: &str) {
        let least = Self::MIN_BYTES;
        if let Some(problem) = self.problem() {
            tracing::error!(workspace, problem, "a workspace secret is unusable; all its tokens are rejected");
        }
        if !Self::is_long_enough(&self.secret) {
            tracing::error!(workspace, least, "a workspace secret is too short; tokens signed with it are rejected");
        }
        let previous = [&self.previous_secret, &self.previous_application_secret].into_iter().flatten();
        if previous.into_iter().any(|secret| !Self::is_long_enough(secret)) {
            tracing::warn!(workspace, least, "a previous workspace secret is too short and is ignored");
        }
    }
}

/// Whether a secret is really the PEM of a public key or of a certificate.
fn is_public(secret: &Secret) -> bool {
    ["PUBLIC KEY-----", "BEGIN CERTIFICATE-----"].iter().any(|mark| secret.expose().contains(mark))
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
    /// 503 when the secret store fails; 500 when the stored value is not a workspace secret, or one of its keys is unusable.
    pub async fn secret(&self, workspace: &str) -> Result<Option<WorkspaceSecret>, Error> {
        if !is_key(workspace) {
            return Ok(None);
        }
        let secret = match self.cache.get(workspace) {
            Some(secret) => secret,
            None => self.load(workspace).await?,
        };
        match secret.as_ref().and_then(WorkspaceSecret::problem) {
            Some(problem) => Err(Error::unusable_secret(&problem)),
            None => Ok(secret),
        }
    }

    async fn load(&self, workspace: &str) -> Result<Option<WorkspaceSecret>, Error> {
        let asked_at = self.clock.now();
        let secret = match self.store.get(&secret_name(workspace)).await? {
            Some(text) => Some(serde_json::from_str::<WorkspaceSecret>(text.expose()).map_err(|_| {
                Error::internal(format!("the secret of workspace {workspace} is not {{\"secret\": \"…\"}}"))
            })?),
            None => None,
        };
        if let Some(secret) = &secret {
            secret.log_problems(workspace);
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
