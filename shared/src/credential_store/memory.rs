//! Credentials in the memory of this process, for tests and trials. They are lost when it ends.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;

use super::{CredentialStore, CredentialStoreError, Key};
use crate::credentials::Credentials;

/// A credential store in memory.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<(String, String), Credentials>>);

fn owned(key: Key<'_>) -> (String, String) {
    (key.workspace.to_owned(), key.connection_id.to_owned())
}

#[async_trait]
impl CredentialStore for Memory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, key: Key<'_>) -> Result<Option<Credentials>, CredentialStoreError> {
        Ok(self.0.lock().expect("the lock is not poisoned").get(&owned(key)).cloned())
    }

    async fn set(&self, key: Key<'_>, credentials: &Credentials, _: &str) -> Result<(), CredentialStoreError> {
        self.0.lock().expect("the lock is not poisoned").insert(owned(key), credentials.clone());
        Ok(())
    }

    async fn remove(&self, key: Key<'_>) -> Result<(), CredentialStoreError> {
        self.0.lock().expect("the lock is not poisoned").remove(&owned(key));
        Ok(())
    }
}
