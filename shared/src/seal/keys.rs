//! Data keys, and the key file of a single machine.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::{digest, hkdf};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::SealError;
use crate::random::Rng;
use crate::secret_store::replace_file;

/// 256 bits that seal the records of one workspace. `Debug` prints the id alone.
pub struct DataKey {
    id: String,
    bytes: [u8; 32],
}

impl DataKey {
    /// A key and the id that envelopes carry (at most 255 bytes).
    pub fn new(id: impl Into<String>, bytes: [u8; 32]) -> Self {
        Self { id: id.into(), bytes }
    }

    /// What envelopes carry to find the key again.
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

/// Where data keys come from.
#[async_trait]
pub trait DataKeys: Send + Sync {
    /// The key that seals the workspace's next record.
    ///
    /// # Errors
    /// When the keys cannot be reached.
    async fn current(&self, workspace: &str) -> Result<Arc<DataKey>, SealError>;

    /// The key of that id; `None` if there is none.
    ///
    /// # Errors
    /// When the keys cannot be reached, or the stored key does not open.
    async fn by_id(&self, workspace: &str, id: &str) -> Result<Option<Arc<DataKey>>, SealError>;

    /// Has the key at hand that opens most records of the workspace, if there is one. Makes none; whatever fails will fail
    /// again, and be told, where the key is needed.
    async fn look_ahead(&self, _workspace: &str) {}
}

/// Keys derived from one 256-bit key in a file of mode 0600. Whoever loses the file loses the data.
pub struct KeyFile {
    id: String,
    master: hkdf::Prk,
}

impl KeyFile {
    /// Makes a key file with a new key, unless there is one already.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, rng: &dyn Rng) -> io::Result<()> {
        if path.exists() {
            return Ok(());
        }
        // Written whole under another name first; a link never replaces what somebody else made meanwhile.
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
    /// When the file cannot be read, or is no key file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok().filter(|bytes| bytes.len() == 32);
        let bytes = bytes.ok_or_else(|| {
            let message = format!("{} is not a key file: it should hold 32 bytes in URL-safe base64", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
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
    async fn current(&self, workspace: &str) -> Result<Arc<DataKey>, SealError> {
        let mut bytes = [0; 32];
        self.master
            .expand(&[workspace.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut bytes))
            .map_err(|_| SealError::DoesNotOpen)?;
        Ok(Arc::new(DataKey::new(self.id.clone(), bytes)))
    }

    async fn by_id(&self, workspace: &str, id: &str) -> Result<Option<Arc<DataKey>>, SealError> {
        if id == self.id { self.current(workspace).await.map(Some) } else { Ok(None) }
    }
}
