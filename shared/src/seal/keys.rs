//! Data keys, and the key file for a single machine.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::{digest, hkdf};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::SealError;
use crate::random::Rng;
use crate::secret_store::replace_file;

/// A 256-bit key that seals the records of one workspace. `Debug` prints only its id.
pub struct DataKey {
    id: String,
    bytes: [u8; 32],
}

impl DataKey {
    /// Creates a key from its bytes and the id that envelopes carry (at most 255 bytes).
    pub fn new(id: impl Into<String>, bytes: [u8; 32]) -> Self {
        Self { id: id.into(), bytes }
    }

    /// Returns the id that envelopes carry to find the key again.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

/// A source of data keys.
#[async_trait]
pub trait DataKeys: Send + Sync {
    /// Returns the key that seals the workspace's next record. For the `time` that follows, another call will not need to
    /// reach the keys.
    ///
    /// # Errors
    /// When the keys cannot be reached.
    async fn current(&self, workspace: &str, time: Duration) -> Result<Arc<DataKey>, SealError>;

    /// Returns the key with this id; `None` if there is none.
    ///
    /// # Errors
    /// When the keys cannot be reached, or the stored key does not open.
    async fn by_id(&self, workspace: &str, id: &str) -> Result<Option<Arc<DataKey>>, SealError>;

    /// Loads the key that opens most of the workspace's records, if there is one. Creates no key and reports no error: the
    /// error recurs when the key is needed.
    async fn look_ahead(&self, _workspace: &str) {}
}

/// Keys derived from one 256-bit key in a file of mode 0600. Without the file, the data is lost.
pub struct KeyFile {
    id: String,
    master: hkdf::Prk,
}

impl KeyFile {
    /// Creates a key file with a new key, unless the file exists.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, rng: &dyn Rng) -> io::Result<()> {
        // A second key would make everything that is sealed unreadable.
        if path.exists() {
            return Ok(());
        }
        // Write it completely under another name first: unlike a rename, a link never replaces a file that another
        // process has created meanwhile.
        let fresh = path.with_extension(crate::random::token::<9>(rng));
        replace_file(&fresh, crate::random::token::<32>(rng).as_bytes())?;
        let linked = fs::hard_link(&fresh, path);
        fs::remove_file(&fresh)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// When the file cannot be read or isn't a key file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok().filter(|bytes| bytes.len() == 32);
        let bytes = bytes.ok_or_else(|| {
            let message = format!("{} is not a key file: it should hold 32 bytes in URL-safe base64", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        // The id is derived from the key, so that records sealed with another key file are recognized.
        let fingerprint = digest::digest(&digest::SHA256, &bytes);
        let fingerprint = fingerprint.as_ref().get(..6).unwrap_or_default();
        Ok(Self {
            id: format!("file:{}", URL_SAFE_NO_PAD.encode(fingerprint)),
            master: hkdf::Salt::new(hkdf::HKDF_SHA256, b"larder key file").extract(&bytes),
        })
    }
}

#[async_trait]
impl DataKeys for KeyFile {
    async fn current(&self, workspace: &str, _: Duration) -> Result<Arc<DataKey>, SealError> {
        // One key per workspace, so that a leaked data key opens only that workspace's records.
        let mut bytes = [0; 32];
        self.master
            .expand(&[workspace.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut bytes))
            .map_err(|_| SealError::DoesNotOpen)?;
        Ok(Arc::new(DataKey::new(self.id.clone(), bytes)))
    }

    async fn by_id(&self, workspace: &str, id: &str) -> Result<Option<Arc<DataKey>>, SealError> {
        if id == self.id { self.current(workspace, Duration::ZERO).await.map(Some) } else { Ok(None) }
    }
}
