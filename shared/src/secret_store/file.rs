//! Secrets in one file on this machine, readable only by its owner.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{SecretStore, SecretStoreError};
use crate::secret::Secret;

/// A JSON object of names and values in a file of mode 0600.
///
/// The file is replaced by an atomic rename under a lock, so several processes may share it.
#[derive(Debug, Clone)]
pub struct SecretFile {
    path: PathBuf,
}

type Entries = BTreeMap<String, Secret>;

impl SecretFile {
    /// The secrets in the file at `path`. The file need not exist, but its folder must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn read(&self) -> io::Result<Entries> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the secrets file is not a JSON object")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entries::new()),
            Err(error) => Err(error),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Entries)) -> io::Result<()> {
        let lock = private_file(&self.path.with_extension("lock"))?;
        lock.lock()?;
        let mut entries = self.read()?;
        change(&mut entries);
        replace_file(&self.path, &serde_json::to_vec_pretty(&entries)?)
    }
}

/// Writes a file of mode 0600 so that readers see either the old bytes or the new ones, even after a crash.
///
/// # Errors
/// When the file system fails.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = private_file(&fresh)?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_folder(path)
}

/// Syncs the folder of `path`, so that renames and removals in it survive a crash of the machine.
///
/// # Errors
/// When the file system fails.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Opens a file for writing and keeps its contents, or creates one of mode 0600.
///
/// # Errors
/// When the file system fails.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[async_trait]
impl SecretStore for SecretFile {
    async fn get(&self, name: &str) -> Result<Option<Secret>, SecretStoreError> {
        Ok(self.read().map_err(boxed)?.remove(name))
    }

    async fn put(&self, name: &str, value: &Secret) -> Result<(), SecretStoreError> {
        self.change(|entries| drop(entries.insert(name.to_owned(), value.clone()))).map_err(boxed)
    }

    async fn remove(&self, name: &str) -> Result<(), SecretStoreError> {
        self.change(|entries| drop(entries.remove(name))).map_err(boxed)
    }
}

fn boxed(error: io::Error) -> SecretStoreError {
    SecretStoreError { source: Box::new(error), is_answer: true }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn secrets_round_trip_and_the_file_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secrets.json");
        let store = SecretFile::new(&path);
        assert_eq!(store.get("a").await.expect("reads"), None);
        store.put("a", &Secret::new("1")).await.expect("writes");
        store.put("b", &Secret::new("2")).await.expect("writes");
        assert_eq!(store.get("a").await.expect("reads"), Some(Secret::new("1")));
        assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
        store.remove("a").await.expect("removes");
        store.remove("a").await.expect("removing nothing succeeds");
        assert_eq!(SecretFile::new(&path).get("a").await.expect("reads"), None);
        assert_eq!(store.get("b").await.expect("reads"), Some(Secret::new("2")));
    }
}
