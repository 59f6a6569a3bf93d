//! Credentials in files, one for each connection, in a folder that several processes on one machine may share.
//!
//! # Decisions
//!
//! Files are sealed, because a folder of plain tokens is copied too easily. The seal names workspace and id but no
//! version, since a file is written before its row has one. File names are digests: ids may differ only in case, and
//! not every file system distinguishes case.
//!
//! The folder holds `{SHA-256 of workspace and id}.sealed`, `….new` while one is written, and `lock`.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use aws_lc_rs::digest;

use super::{CredentialStore, CredentialStoreError, Key};
use crate::credentials::Credentials;
use crate::seal::{SealContext, Sealer};
use crate::secret_store::{private_file, replace_file, sync_folder};

/// A folder, created with mode 0700, of files with mode 0600. Each file is sealed for its connection.
///
/// A file's name is a digest of workspace and id, because ids may contain any characters and differ only in case.
#[derive(Clone)]
pub struct CredentialFiles {
    folder: PathBuf,
    sealer: Sealer,
}

impl CredentialFiles {
    /// Creates a store in `folder`, which need not exist.
    pub fn new(folder: impl Into<PathBuf>, sealer: Sealer) -> Self {
        Self { folder: folder.into(), sealer }
    }

    fn path(&self, key: Key<'_>) -> PathBuf {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&(key.workspace.len() as u64).to_be_bytes());
        context.update(key.workspace.as_bytes());
        context.update(key.connection_id.as_bytes());
        let name: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name).with_extension("sealed")
    }
}

/// Runs `work` as the only writer, so that the next one overwrites whatever a crash left half written.
fn locked(folder: &Path, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let lock = private_file(&folder.join("lock"))?;
    lock.lock()?;
    work()
}

/// Runs `work` on a blocking thread: files may be slow to sync, or on a network.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, CredentialStoreError> {
    tokio::task::spawn_blocking(work).await.map_err(refused)?.map_err(refused)
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> CredentialStoreError {
    CredentialStoreError::Refused(Box::new(error))
}

fn place(key: Key<'_>) -> SealContext<'_> {
    // No version of the row: the file is written before it, and must open with both the old row and the new one.
    SealContext { workspace: key.workspace, kind: "credentials", id: key.connection_id, version: 0 }
}

#[async_trait]
impl CredentialStore for CredentialFiles {
    fn kind(&self) -> &'static str {
        "file"
    }

    async fn get(&self, key: Key<'_>) -> Result<Option<Credentials>, CredentialStoreError> {
        let path = self.path(key);
        let sealed = blocking(move || match fs::read(path) {
            Ok(sealed) => Ok(Some(sealed)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        });
        let Some(sealed) = sealed.await? else { return Ok(None) };
        let json = self.sealer.open(place(key), &sealed).await.map_err(refused)?;
        serde_json::from_slice(&json).map(Some).map_err(refused)
    }

    async fn set(&self, key: Key<'_>, credentials: &Credentials, _: &str) -> Result<(), CredentialStoreError> {
        let sealed = self.sealer.seal(place(key), credentials.as_json().as_bytes()).await.map_err(refused)?;
        let (folder, path) = (self.folder.clone(), self.path(key));
        blocking(move || locked(&folder, || replace_file(&path, &sealed))).await
    }

    async fn remove(&self, key: Key<'_>) -> Result<(), CredentialStoreError> {
        let (folder, path) = (self.folder.clone(), self.path(key));
        blocking(move || {
            locked(&folder, || match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => sync_folder(&path),
            })
        })
        .await
    }
}
