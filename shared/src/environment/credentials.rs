//! Where credentials are kept: the setting, and the store that it means.

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::{Environment, SettingError, optional};
use crate::aws;
use crate::credential_store::{CredentialFiles, CredentialStore, ExternalApi, Memory, is_endpoint};

const TYPE: &str = "CONNECTION_CREDENTIALS_STORAGE_TYPE";
const FILE_DIR: &str = "CONNECTION_CREDENTIALS_FILE_DIR";
const ENDPOINT: &str = "CONNECTION_CREDENTIALS_EXTERNAL_API_ENDPOINT_URL";

/// Where credentials are kept (`CONNECTION_CREDENTIALS_STORAGE_TYPE`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsIn {
    /// In the connections' rows (`database`).
    Database,
    /// In the memory of this process (`memory`).
    Memory,
    /// In files of this folder (`file`, `CONNECTION_CREDENTIALS_FILE_DIR`).
    Files(PathBuf),
    /// In AWS Secrets Manager, with names that begin so (`secrets_manager`, `SECRETS_PREFIX`).
    SecretsManager(aws::Name),
    /// Behind this URL (`external_api`, `CONNECTION_CREDENTIALS_EXTERNAL_API_ENDPOINT_URL`).
    ExternalApi(Url),
}

impl CredentialsIn {
    /// Reads the environment. `base_uri` is where this Larder answers; `is_local` as in [`Settings`](super::Settings);
    /// `secrets` is what the names in Secrets Manager begin with, if there is one.
    ///
    /// # Errors
    /// When something is missing or wrong.
    pub fn from_env(base_uri: &str, is_local: bool, secrets: Option<aws::Name>) -> Result<Self, SettingError> {
        Self::read(base_uri, is_local, secrets, optional)
    }

    fn read(
        base_uri: &str,
        is_local: bool,
        secrets: Option<aws::Name>,
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
                    expected: "an https URL of another server (or http on this machine), without a user, a fragment and \
                               a `connectionId`",
                })
            }
            (Some(_), Some(_)) => Err(SettingError::Wrong {
                name: TYPE,
                expected: "database, external_api, secrets_manager, file or memory",
            }),
            (Some(_), None) => Err(SettingError::Wrong {
                name: TYPE,
                expected: "database, external_api, file or memory; on this machine there is no Secrets Manager",
            }),
        }
    }
}

impl Environment {
    /// The store of credentials, if they are not in the rows. All that ask get the same one, so that they share what is in
    /// memory.
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
    fn credentials_are_in_the_database_unless_a_setting_says_otherwise() {
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
    fn what_is_missing_or_wrong_is_named() {
        for (settings, named) in [
            (&[(TYPE, "Database")][..], TYPE),
            (&[(TYPE, "file")], FILE_DIR),
            (&[(TYPE, "external_api")], ENDPOINT),
            (&[(TYPE, "external_api"), (ENDPOINT, "http://store.example/")], ENDPOINT),
            (&[(TYPE, "external_api"), (ENDPOINT, "https://larder.example/credentials")], ENDPOINT),
        ] {
            let message = read(settings).expect_err("is wrong");
            assert!(message.contains(named), "{message}");
            assert!(!message.contains("store.example"), "a query may hold a key: {message}");
        }
    }

    #[test]
    fn secrets_manager_is_an_error_where_there_is_none() {
        let get = |name: &str| (name == TYPE).then(|| "secrets_manager".to_owned());
        let error = CredentialsIn::read("http://127.0.0.1:9000", true, None, get).expect_err("is wrong");
        assert!(error.to_string().contains("there is no Secrets Manager"), "{error}");
    }
}
