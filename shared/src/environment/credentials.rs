//! The setting that says where credentials are kept, and the store that it selects.

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::{Environment, SettingError, optional};
use crate::aws;
use crate::credential_store::{CredentialFiles, CredentialStore, ExternalApi, Memory, is_endpoint};

const TYPE: &str = "CONNECTION_CREDENTIALS_STORAGE_TYPE";
const FILE_DIR: &str = "CONNECTION_CREDENTIALS_FILE_DIR";
const ENDPOINT: &str = "CONNECTION_CREDENTIALS_EXTERNAL_API_ENDPOINT_URL";

/// The location of credentials (`CONNECTION_CREDENTIALS_STORAGE_TYPE`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsIn {
    /// The connections' rows (`database`).
    Database,
    /// The memory of this process (`memory`).
    Memory,
    /// Files in this folder (`file`, `CONNECTION_CREDENTIALS_FILE_DIR`).
    Files(PathBuf),
    /// AWS Secrets Manager, with names that have this prefix (`secrets_manager`, `SECRETS_PREFIX`).
    SecretsManager(aws::ResourceName),
    /// An API at this URL (`external_api`, `CONNECTION_CREDENTIALS_EXTERNAL_API_ENDPOINT_URL`).
    ExternalApi(Url),
}

impl CredentialsIn {
    /// Reads the setting from the environment. `base_uri` is this Larder's own; `is_local` is as in
    /// [`Settings`](super::Settings); `secrets` is the prefix of names in Secrets Manager, if that is available.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn from_env(base_uri: &str, is_local: bool, secrets: Option<aws::ResourceName>) -> Result<Self, SettingError> {
        Self::read(base_uri, is_local, secrets, optional)
    }

    fn read(
        base_uri: &str,
        is_local: bool,
        secrets: Option<aws::ResourceName>,
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingError> {
        let required = |name| get(name).ok_or(SettingError::Missing(name));
        match (get(TYPE).as_deref(), secrets) {
            (None | Some("database"), _) => Ok(Self::Database),
            (Some("memory"), _) => Ok(Self::Memory),
            (Some("file"), _) => Ok(Self::Files(required(FILE_DIR)?.into())),
            (Some("secrets_manager"), Some(prefix)) => Ok(Self::SecretsManager(prefix)),
            (Some("external_api"), _) => {
                let url = Url::parse(&required(ENDPOINT)?).ok().filter(|url| is_endpoint(url, base_uri, is_local));
                url.map(Self::ExternalApi).ok_or(SettingError::Wrong {
                    name: ENDPOINT,
                    expected: "an https URL of another server (or http on this machine) without user, fragment, or \
                               `connectionId`",
                })
            }
            (Some(_), Some(_)) => Err(SettingError::Wrong {
                name: TYPE,
                expected: "database, external_api, secrets_manager, file, or memory",
            }),
            (Some(_), None) => Err(SettingError::Wrong {
                name: TYPE,
                expected: "database, external_api, file, or memory (Secrets Manager is not available on this machine)",
            }),
        }
    }
}

impl Environment {
    /// Returns the credential store, if credentials are not kept in the rows. All callers get the same one, so that
    /// they share its memory.
    ///
    /// # Errors
    /// When the key file cannot be used.
    pub fn credential_store(&self) -> Result<Option<Arc<dyn CredentialStore>>, SettingError> {
        if let Some(store) = self.credential_store.get() {
            return Ok(Some(Arc::clone(store)));
        }
        let store: Arc<dyn CredentialStore> = match &self.settings.credentials {
            CredentialsIn::Database => return Ok(None),
            CredentialsIn::Memory => Arc::new(Memory::default()),
            CredentialsIn::Files(folder) => Arc::new(CredentialFiles::new(folder, self.sealer()?)),
            CredentialsIn::SecretsManager(prefix) => aws::credential_store(&self.sdk, prefix, self.settings.keys.kms()),
            CredentialsIn::ExternalApi(url) => {
                let (clock, trust) = (Arc::clone(&self.clock), self.settings.trust.clone());
                Arc::new(ExternalApi::new(url.clone(), self.workspaces(), clock, trust))
            }
        };
        Ok(Some(Arc::clone(self.credential_store.get_or_init(|| store))))
    }
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<CredentialsIn, String> {
        let get = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        CredentialsIn::read("https://larder.example", false, Some("larder/".into()), get)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn credentials_are_in_the_database_by_default() {
        assert_eq!(read(&[]), Ok(CredentialsIn::Database));
        assert_eq!(read(&[(TYPE, "database")]), Ok(CredentialsIn::Database));
        assert_eq!(read(&[(TYPE, "memory")]), Ok(CredentialsIn::Memory));
        assert_eq!(read(&[(TYPE, "file"), (FILE_DIR, "/a")]), Ok(CredentialsIn::Files("/a".into())));
        assert_eq!(read(&[(TYPE, "secrets_manager")]), Ok(CredentialsIn::SecretsManager("larder/".into())));
        let url = "https://store.example/a?b=c";
        let expected = CredentialsIn::ExternalApi(Url::parse(url).expect("a URL"));
        assert_eq!(read(&[(TYPE, "external_api"), (ENDPOINT, url)]), Ok(expected));
    }

    #[test]
    fn errors_name_the_missing_or_invalid_setting() {
        for (settings, named) in [
            (&[(TYPE, "Database")][..], TYPE),
            (&[(TYPE, "file")], FILE_DIR),
            (&[(TYPE, "external_api")], ENDPOINT),
            (&[(TYPE, "external_api"), (ENDPOINT, "http://store.example/")], ENDPOINT),
            (&[(TYPE, "external_api"), (ENDPOINT, "https://larder.example/credentials")], ENDPOINT),
        ] {
            let message = read(settings).expect_err("is invalid");
            assert!(message.contains(named), "{message}");
            assert!(!message.contains("store.example"), "a URL may contain a key: {message}");
        }
    }

    #[test]
    fn secrets_manager_is_an_error_if_it_is_not_available() {
        let get = |name: &str| (name == TYPE).then(|| "secrets_manager".to_owned());
        let error = CredentialsIn::read("http://127.0.0.1:9000", true, None, get).expect_err("is invalid");
        assert!(error.to_string().contains("Secrets Manager is not available"), "{error}");
    }
}
