//! Secrets in one file on this machine, readable by its owner alone.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{SecretStore, SecretStoreError};
use crate::secret::Secret;

/// One JSON object, name to value, in a file of mode 0600.
///
/// It is replaced by an atomic rename under a lock, so several processes may share it.
#[derive(Debug, Clone)]
pub struct SecretFile {
    path: PathBuf,
}

type Entries = BTreeMap<String, Secret>;

impl SecretFile {
    /// Secrets in the file at `path`, which need not exist; its folder must.
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

/// Writes a file of mode 0600 so that a reader sees the old bytes or the new ones, also after a crash.
///
/// # Errors
/// Whatever the file system answers.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = private_file(&fresh)?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_folder(path)
}

/// Makes what was renamed or removed in the folder of `path` last through a crash of the machine.
///
/// # Errors
/// Whatever the file system answers.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Opens a file for writing, or makes one of mode 0600; what is in it stays.
///
/// # Errors
/// Whatever the file system answers.
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
    async fn what_was_put_is_got_until_it_is_removed_and_only_the_owner_can_read_it() {
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
