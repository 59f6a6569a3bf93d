//! Credentials in AWS Secrets Manager, one secret for each connection.
//!
//! # Decisions
//!
//! Secrets hold plain JSON: Secrets Manager encrypts them, and operators who choose it want to read them there.
//! `ClientRequestToken` is a random id per write, the same for all its retries; one derived from the value would keep
//! the old value current when a value comes back. Deletions are forced, so a name is free at once.

use async_trait::async_trait;
use aws_lc_rs::digest;

use super::SecretsManager;
use crate::credential_store::{CredentialStore, CredentialStoreError, Key};
use crate::credentials::Credentials;
use crate::secret::Secret;
use crate::secret_store::{SecretStore as _, SecretStoreError};

/// Secrets named `credentials/{workspace}/{connection id}`, with the JSON of the credentials as their value. Secrets
/// Manager encrypts them and keeps the previous value as `AWSPREVIOUS`.
///
/// See [Quotas](https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html).
#[derive(Debug, Clone)]
pub struct CredentialSecrets {
    secrets: SecretsManager,
}

impl CredentialSecrets {
    /// The largest value of a secret.
    const MAX_BYTES: usize = 64 * 1024;
    /// The longest name of a secret.
    const MAX_NAME: usize = 512;

    /// Creates a credential store in these secrets.
    pub fn new(secrets: SecretsManager) -> Self {
        Self { secrets }
    }

    /// Returns the name, without the prefix. Ids are escaped because they may contain any characters; if that makes
    /// them too long, their digest is used. No two ids have the same name: `=` and two hex digits are an escape,
    /// `=sha256=` a digest.
    fn name(&self, key: Key<'_>) -> String {
        let Key { workspace, connection_id, .. } = key;
        let mut name = format!("credentials/{workspace}/");
        let room = Self::MAX_NAME.saturating_sub(self.secrets.id(&name).len());
        let escaped = escape(connection_id);
        if escaped.len() <= room {
            name + &escaped
        } else {
            name += "=sha256=";
            let digest = digest::digest(&digest::SHA256, connection_id.as_bytes());
            digest.as_ref().iter().fold(name, |name, byte| name + &format!("{byte:02x}"))
        }
    }
}

/// Escapes an id: letters, digits, `_`, and `.` stay; other bytes become `=` and two hex digits. The hyphen is escaped too:
/// at the seventh place from the end, Secrets Manager could take it for the start of an ARN's suffix.
fn escape(id: &str) -> String {
    let mut escaped = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') {
            escaped.push(byte.into());
        } else {
            escaped += &format!("={byte:02X}");
        }
    }
    escaped
}

impl From<SecretStoreError> for CredentialStoreError {
    fn from(error: SecretStoreError) -> Self {
        if error.is_answer { Self::Refused(error.source) } else { Self::NoAnswer(error.source) }
    }
}

#[async_trait]
impl CredentialStore for CredentialSecrets {
    fn kind(&self) -> &'static str {
        "secrets_manager"
    }

    fn max_bytes(&self) -> usize {
        Self::MAX_BYTES
    }

    async fn get(&self, key: Key<'_>) -> Result<Option<Credentials>, CredentialStoreError> {
        let Some(json) = self.secrets.get(&self.name(key)).await? else { return Ok(None) };
        let wrong = |_| CredentialStoreError::Refused("the secret of a connection does not hold JSON".into());
        serde_json::from_str(json.expose()).map(Some).map_err(wrong)
    }

    async fn set(&self, key: Key<'_>, credentials: &Credentials, write_id: &str) -> Result<(), CredentialStoreError> {
        Ok(self.secrets.write(&self.name(key), &Secret::new(credentials.as_json()), Some(write_id)).await?)
    }

    async fn remove(&self, key: Key<'_>) -> Result<(), CredentialStoreError> {
        Ok(self.secrets.remove(&self.name(key)).await?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(id: &str) -> String {
        let client = aws_smithy_mocks::mock_client!(aws_sdk_secretsmanager, []);
        let store = CredentialSecrets::new(SecretsManager::new(client, "larder/", None));
        let name = store.name(Key { workspace: "acme", connection_id: id, tenant: None });
        store.secrets.id(&name)
    }

    #[test]
    fn a_secrets_name_contains_its_workspace_and_connection() {
        assert_eq!(name("crm_1.a"), "larder/credentials/acme/crm_1.a");
        assert_eq!(name("a b/é-=%"), "larder/credentials/acme/a=20b=2F=C3=A9=2D=3D=25");
    }

    proptest! {
        #[test]
        fn every_id_has_a_unique_and_valid_secret_name(one in ".{1,170}", other in ".{1,170}") {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-".contains(&byte);
            for name in [name(&one), name(&other)] {
                prop_assert!(name.len() <= 512 && name.bytes().all(is_allowed), "{name}");
            }
            prop_assert_eq!(name(&one) == name(&other), one == other);
        }
    }
}
