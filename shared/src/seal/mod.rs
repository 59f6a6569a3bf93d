//! Encryption at rest: AES-256-GCM with a data key of the workspace, bound to one record and version.
//!
//! A sealed envelope is `format (1 byte) ‖ length of the key id (1) ‖ key id ‖ nonce (12) ‖ ciphertext ‖ tag (16)`.
//! Every record has its own key, derived from the data key with HKDF-SHA-256 (RFC 5869), so no AES-GCM key comes near
//! its message limit (NIST SP 800-38D §8.3). The additional data names the record and its version: a ciphertext that is
//! moved to another row, or to another version of its own row, does not open.
//!
//! # Decisions
//!
//! An envelope names its data key by id, and the wrapped key is one row in a key ring. Envelopes stay small, a wrapped
//! key is stored once, and a reader with a warm cache needs neither DynamoDB nor KMS. Rows of the ring are never
//! removed. After 90 days a new data key is made, which takes over as records are next written.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
pub use keys::{DataKey, DataKeys, KeyFile};

use crate::connection::ConnectionKey;
use crate::error::Error;
use crate::random::Rng;

/// The first byte of an envelope with the layout above.
const FORMAT: u8 = 1;

/// The one place where a ciphertext may be opened.
#[derive(Debug, Clone, Copy)]
pub struct SealContext<'a> {
    /// The workspace's key.
    pub workspace: &'a str,
    /// The kind of record, such as `connection`.
    pub kind: &'static str,
    /// The record's id in its workspace.
    pub id: &'a str,
    /// The record's version.
    pub version: u64,
}

impl<'a> SealContext<'a> {
    /// The context of a connection's record at a version.
    pub fn of(kind: &'static str, key: &'a ConnectionKey, version: u64) -> Self {
        Self { workspace: &key.workspace, kind, id: &key.id, version }
    }

    /// Returns an unambiguous encoding of all parts: each is preceded by its length.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        for part in [self.workspace.as_bytes(), self.kind.as_bytes(), self.id.as_bytes(), &self.version.to_be_bytes()] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part);
        }
        bytes
    }
}

/// Why a record could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key service did not answer. Nothing is stored or served unsealed instead.
    #[error("the key service failed")]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The envelope was changed, moved, truncated, or sealed with a key that is gone.
    #[error("a sealed record does not open: it was changed or moved, or its key is gone")]
    DoesNotOpen,
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Keys(_) => Error::unavailable("the key service", &error),
            SealError::DoesNotOpen => Error::internal(error),
        }
    }
}

/// Seals and opens records.
#[derive(Clone)]
pub struct Sealer {
    keys: Arc<dyn DataKeys>,
    rng: Arc<dyn Rng>,
}

impl Sealer {
    /// Creates a sealer with the data keys in `keys`.
    pub fn new(keys: Arc<dyn DataKeys>, rng: Arc<dyn Rng>) -> Self {
        Self { keys, rng }
    }

    /// Loads a workspace's current key, so that sealing within `time` does not need the key service.
    ///
    /// # Errors
    /// When the key service fails.
    pub async fn prepare(&self, workspace: &str, time: Duration) -> Result<(), SealError> {
        self.keys.current(workspace, time).await.map(drop)
    }

    /// Loads the key that opens most of a workspace's records; see [`DataKeys::look_ahead`].
    pub async fn look_ahead(&self, workspace: &str) {
        self.keys.look_ahead(workspace).await;
    }

    /// Seals `plaintext` for one place with the workspace's current data key.
    ///
    /// # Errors
    /// When the key service fails.
    pub async fn seal(&self, place: SealContext<'_>, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        // Always the current key: older ones only open records, so that keys can be rotated.
        let key = self.keys.current(place.workspace, Duration::ZERO).await?;
        let aad = place.bytes();
        // A random nonce is safe: each record version has its own key, which seals only a few messages.
        let mut nonce = [0; NONCE_LEN];
        self.rng.fill(&mut nonce);

        // The key's id goes in front in the clear: the key must be found before anything can be opened.
        let mut envelope = Vec::with_capacity(plaintext.len() + key.id().len() + 30);
        envelope.push(FORMAT);
        envelope.push(u8::try_from(key.id().len()).map_err(|_| SealError::DoesNotOpen)?);
        envelope.extend(key.id().as_bytes());
        envelope.extend(nonce);
        let header = envelope.len();
        envelope.extend(plaintext);
        // Only the part behind the header is encrypted. A changed header leads to another key or nonce, so the tag fails.
        let tag = record_key(&key, &aad)?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&aad),
                envelope.get_mut(header..).unwrap_or_default(),
            )
            .map_err(|_| SealError::DoesNotOpen)?;
        envelope.extend(tag.as_ref());
        Ok(envelope)
    }

    /// Opens an envelope that was sealed for this place.
    ///
    /// # Errors
    /// When the key service fails, or the envelope was not sealed for this place.
    pub async fn open(&self, place: SealContext<'_>, envelope: &[u8]) -> Result<Vec<u8>, SealError> {
        let (key_id, nonce, sealed) = split(envelope).ok_or(SealError::DoesNotOpen)?;
        // The envelope names the key, but the workspace is the caller's: no workspace opens another's records.
        let key = self.keys.by_id(place.workspace, key_id).await?.ok_or(SealError::DoesNotOpen)?;
        // The place is the one expected, not one that the envelope claims: a moved record fails authentication.
        let aad = place.bytes();
        let mut buffer = sealed.to_vec();
        let length = record_key(&key, &aad)?
            .open_in_place(nonce, Aad::from(&aad), &mut buffer)
            .map_err(|_| SealError::DoesNotOpen)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

fn split(envelope: &[u8]) -> Option<(&str, Nonce, &[u8])> {
    let (&format, rest) = envelope.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (key_id, rest) = rest.split_at_checked(length.into())?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
    (format == FORMAT).then_some((std::str::from_utf8(key_id).ok()?, Nonce::assume_unique_for_key(*nonce), sealed))
}

/// Derives the key of one record: HKDF over the data key, with the record's place as `info`.
fn record_key(key: &DataKey, place: &[u8]) -> Result<LessSafeKey, SealError> {
    let mut bytes = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"larder record key")
        .extract(key.bytes())
        .expand(&[place], &AES_256_GCM)
        .and_then(|material| material.fill(&mut bytes))
        .map_err(|_| SealError::DoesNotOpen)?;
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SealError::DoesNotOpen)?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRng;

    const PLACE: SealContext<'_> = SealContext { workspace: "acme", kind: "connection", id: "c1", version: 7 };

    fn sealer() -> (Sealer, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("seal.key");
        KeyFile::create(&path, &SystemRng).expect("a key");
        let keys = KeyFile::open(&path).expect("a key");
        (Sealer::new(Arc::new(keys), Arc::new(SystemRng)), folder)
    }

    #[tokio::test]
    async fn sealed_records_open_only_in_their_own_place() {
        let (sealer, _folder) = sealer();
        let envelope = sealer.seal(PLACE, b"a token").await.expect("seals");
        assert_eq!(sealer.open(PLACE, &envelope).await.expect("opens"), b"a token");
        for elsewhere in [
            SealContext { workspace: "other", ..PLACE },
            SealContext { kind: "session", ..PLACE },
            SealContext { id: "c2", ..PLACE },
            SealContext { version: 8, ..PLACE },
        ] {
            assert!(matches!(sealer.open(elsewhere, &envelope).await, Err(SealError::DoesNotOpen)), "{elsewhere:?}");
        }
    }

    /// One key for all workspaces, so that only the place distinguishes them.
    struct OneKey(Arc<DataKey>);

    #[async_trait::async_trait]
    impl DataKeys for OneKey {
        async fn current(&self, _: &str, _: Duration) -> Result<Arc<DataKey>, SealError> {
            Ok(Arc::clone(&self.0))
        }

        async fn by_id(&self, _: &str, _: &str) -> Result<Option<Arc<DataKey>>, SealError> {
            Ok(Some(Arc::clone(&self.0)))
        }
    }

    #[tokio::test]
    async fn the_seal_is_bound_to_the_workspace() {
        let keys = OneKey(Arc::new(DataKey::new("one", [7; 32])));
        let sealer = Sealer::new(Arc::new(keys), Arc::new(SystemRng));
        let envelope = sealer.seal(PLACE, b"a token").await.expect("seals");
        let elsewhere = sealer.open(SealContext { workspace: "other", ..PLACE }, &envelope).await;
        assert!(matches!(elsewhere, Err(SealError::DoesNotOpen)));
        assert_eq!(sealer.open(PLACE, &envelope).await.expect("opens"), b"a token");
    }

    #[tokio::test]
    async fn an_altered_or_truncated_envelope_does_not_open() {
        let (sealer, _folder) = sealer();
        let envelope = sealer.seal(PLACE, b"a token").await.expect("seals");
        for at in 0..envelope.len() {
            let mut changed = envelope.clone();
            changed[at] ^= 1;
            assert!(sealer.open(PLACE, &changed).await.is_err(), "byte {at}");
            assert!(sealer.open(PLACE, &envelope[..at]).await.is_err(), "cut at {at}");
        }
    }

    #[tokio::test]
    async fn envelopes_hide_the_plaintext_and_are_never_equal() {
        let (sealer, _folder) = sealer();
        let one = sealer.seal(PLACE, b"a token").await.expect("seals");
        let two = sealer.seal(PLACE, b"a token").await.expect("seals");
        assert_ne!(one, two);
        assert!(!one.windows(7).any(|window| window == b"a token"));
    }

    #[tokio::test]
    async fn a_record_does_not_open_with_another_key() {
        let (sealer, _folder) = sealer();
        let (other, _other_folder) = self::sealer();
        let envelope = sealer.seal(PLACE, b"a token").await.expect("seals");
        assert!(matches!(other.open(PLACE, &envelope).await, Err(SealError::DoesNotOpen)));
    }
}
