//! Data keys that AWS KMS generates and unwraps.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;

use crate::cache::Cache;
use crate::clock::{Clock, later};
use crate::dynamodb::{DataKeyRing, WrappedKey};
use crate::random::{self, Rng};
use crate::seal::{DataKey, DataKeys, SealError};

/// Data keys under a customer managed KMS key. Their wrapped copies are stored in each workspace's key ring.
///
/// See [GenerateDataKey](https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKey.html). The encryption
/// context is the workspace, so that one workspace's wrapped key cannot be unwrapped as another's, and CloudTrail shows
/// whose key was used. Keys are kept in memory for five minutes.
pub struct KmsKeys {
    kms: Client,
    key_id: String,
    ring: DataKeyRing,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// The id of each workspace's current key.
    current: Cache<String, String>,
    /// Unwrapped keys by workspace and id.
    keys: Cache<(String, String), Arc<DataKey>>,
}

impl KmsKeys {
    const FRESH: Duration = Duration::from_mins(5);
    /// The age at which a workspace's data key is replaced. Old keys still open the records they sealed.
    const ROTATE_AFTER: Duration = Duration::from_hours(24 * 90);

    /// Creates data keys under the KMS key `key_id` (an ARN, an id, or an alias).
    pub fn new(
        kms: Client,
        key_id: impl Into<String>,
        ring: DataKeyRing,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        let (current, keys) = (Cache::new(Arc::clone(&clock)), Cache::new(Arc::clone(&clock)));
        Self { kms, key_id: key_id.into(), ring, clock, rng, current, keys }
    }

    fn cached(&self, workspace: &str, id: &str) -> Option<Arc<DataKey>> {
        self.keys.get(&(workspace.to_owned(), id.to_owned()))
    }

    fn cached_current(&self, workspace: &str, time: Duration) -> Option<Arc<DataKey>> {
        self.cached(workspace, &self.current.get_lasting(workspace, time)?)
    }

    fn remember(&self, workspace: &str, key: DataKey, is_current: bool) -> Arc<DataKey> {
        let (key, until) = (Arc::new(key), self.clock.now() + Self::FRESH);
        self.keys.insert((workspace.to_owned(), key.id().to_owned()), Arc::clone(&key), until);
        if is_current {
            self.current.insert(workspace.to_owned(), key.id().to_owned(), until);
        }
        key
    }

    /// Whether a key is young enough to seal new records.
    fn seals(&self, wrapped: &WrappedKey) -> bool {
        later(wrapped.created_at, Self::ROTATE_AFTER) > self.clock.now()
    }

    async fn unwrap_key(&self, workspace: &str, wrapped: &WrappedKey) -> Result<DataKey, SealError> {
        let output = self
            .kms
            .decrypt()
            .key_id(&self.key_id)
            .ciphertext_blob(Blob::new(wrapped.wrapped.clone()))
            .encryption_context("workspace", workspace)
            .send()
            .await
            .map_err(|error| SealError::Keys(Box::new(error)))?;
        data_key(&wrapped.id, output.plaintext)
    }

    async fn generate(&self, workspace: &str) -> Result<(DataKey, WrappedKey), SealError> {
        let output = self
            .kms
            .generate_data_key()
            .key_id(&self.key_id)
            .key_spec(DataKeySpec::Aes256)
            .encryption_context("workspace", workspace)
            .send()
            .await
            .map_err(|error| SealError::Keys(Box::new(error)))?;
        let id = format!("kms:{}", random::token::<12>(&*self.rng));
        let wrapped = output.ciphertext_blob.map(Blob::into_inner).unwrap_or_default();
        Ok((data_key(&id, output.plaintext)?, WrappedKey { id, wrapped, created_at: self.clock.now() }))
    }
}

#[async_trait]
impl DataKeys for KmsKeys {
    async fn current(&self, workspace: &str, time: Duration) -> Result<Arc<DataKey>, SealError> {
        if let Some(key) = self.cached_current(workspace, time) {
            return Ok(key);
        }
        let newest = self.ring.newest(workspace).await.map_err(|error| SealError::Keys(Box::new(error)))?;
        if let Some(wrapped) = &newest
            && self.seals(wrapped)
        {
            let key = self.unwrap_key(workspace, wrapped).await?;
            return Ok(self.remember(workspace, key, true));
        }
        let (key, wrapped) = self.generate(workspace).await?;
        self.ring.add(workspace, &wrapped).await.map_err(|error| SealError::Keys(Box::new(error)))?;
        Ok(self.remember(workspace, key, true))
    }

    async fn by_id(&self, workspace: &str, id: &str) -> Result<Option<Arc<DataKey>>, SealError> {
        if let Some(key) = self.cached(workspace, id) {
            return Ok(Some(key));
        }
        let wrapped = self.ring.get(workspace, id).await.map_err(|error| SealError::Keys(Box::new(error)))?;
        let Some(wrapped) = wrapped else { return Ok(None) };
        let key = self.unwrap_key(workspace, &wrapped).await?;
        Ok(Some(self.remember(workspace, key, false)))
    }

    async fn look_ahead(&self, workspace: &str) {
        if self.cached_current(workspace, Duration::ZERO).is_some() {
            return;
        }
        if let Ok(Some(wrapped)) = self.ring.newest(workspace).await
            && let Ok(key) = self.unwrap_key(workspace, &wrapped).await
        {
            self.remember(workspace, key, self.seals(&wrapped));
        }
    }
}

fn data_key(id: &str, plaintext: Option<Blob>) -> Result<DataKey, SealError> {
    let bytes = plaintext.and_then(|blob| <[u8; 32]>::try_from(blob.as_ref()).ok());
    bytes.map(|bytes| DataKey::new(id, bytes)).ok_or(SealError::DoesNotOpen)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
    use aws_sdk_dynamodb::operation::put_item::PutItemOutput;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_sdk_dynamodb::types::AttributeValue;
    use aws_sdk_kms::operation::decrypt::{DecryptError, DecryptOutput};
    use aws_sdk_kms::operation::generate_data_key::GenerateDataKeyOutput;
    use aws_sdk_kms::types::error::KmsInternalException;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;
    use crate::clock::ManualClock;
    use crate::random::SystemRng;
    use crate::seal::{SealContext, Sealer};

    const PLACE: SealContext<'_> = SealContext { workspace: "acme", kind: "connection", id: "c1", version: 1 };

    fn generates() -> Rule {
        mock!(Client::generate_data_key)
            .match_requests(|request| {
                request.key_id() == Some("alias/larder")
                    && request.encryption_context().and_then(|context| context.get("workspace"))
                        == Some(&"acme".to_owned())
            })
            .then_output(|| {
                GenerateDataKeyOutput::builder()
                    .plaintext(Blob::new([7; 32]))
                    .ciphertext_blob(Blob::new("wrapped"))
                    .build()
            })
    }

    fn unwraps() -> Rule {
        mock!(Client::decrypt)
            .match_requests(|request| {
                request.ciphertext_blob().map(AsRef::as_ref) == Some(b"wrapped".as_slice())
                    && request.encryption_context().and_then(|context| context.get("workspace"))
                        == Some(&"acme".to_owned())
            })
            .then_output(|| DecryptOutput::builder().plaintext(Blob::new([7; 32])).build())
    }

    fn ring_row() -> HashMap<String, AttributeValue> {
        HashMap::from([
            ("item".to_owned(), AttributeValue::S("data-key/kms:k1".to_owned())),
            ("wrapped".to_owned(), AttributeValue::B(Blob::new("wrapped"))),
            ("created_at".to_owned(), AttributeValue::N("1700000000000".to_owned())),
        ])
    }

    fn keys(kms: &[&Rule], dynamodb: &[&Rule], clock: &Arc<ManualClock>) -> Arc<KmsKeys> {
        let kms = mock_client!(aws_sdk_kms, RuleMode::MatchAny, kms);
        let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, dynamodb);
        let ring = DataKeyRing::new(dynamodb, "workspaces");
        Arc::new(KmsKeys::new(kms, "alias/larder", ring, Arc::clone(clock) as _, Arc::new(SystemRng)))
    }

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::at(1_700_000_000))
    }

    #[tokio::test]
    async fn a_workspaces_data_key_is_created_once_and_then_cached() {
        let (generate, put) =
            (generates(), mock!(aws_sdk_dynamodb::Client::put_item).then_output(|| PutItemOutput::builder().build()));
        let query = mock!(aws_sdk_dynamodb::Client::query).then_output(|| QueryOutput::builder().build());
        let sealer = Sealer::new(keys(&[&generate], &[&query, &put], &clock()), Arc::new(SystemRng));
        let envelope = sealer.seal(PLACE, b"a token").await.expect("seals");
        sealer.seal(PLACE, b"another").await.expect("seals");
        assert_eq!(sealer.open(PLACE, &envelope).await.expect("opens"), b"a token");
        assert_eq!((query.num_calls(), generate.num_calls(), put.num_calls()), (1, 1, 1));
    }

    #[tokio::test]
    async fn an_unwrapped_key_is_cached_for_five_minutes() {
        let (unwrap, clock) = (unwraps(), clock());
        let get = mock!(aws_sdk_dynamodb::Client::get_item)
            .then_output(|| GetItemOutput::builder().set_item(Some(ring_row())).build());
        let keys = keys(&[&unwrap], &[&get], &clock);
        for (later, calls) in [(0, 1), (299, 1), (2, 2)] {
            clock.advance(Duration::from_secs(later));
            assert!(keys.by_id("acme", "kms:k1").await.expect("answers").is_some());
            assert_eq!(unwrap.num_calls(), calls);
        }
    }

    #[tokio::test]
    async fn a_data_key_is_replaced_after_ninety_days() {
        let (unwrap, generate, clock) = (unwraps(), generates(), clock());
        let query =
            mock!(aws_sdk_dynamodb::Client::query).then_output(|| QueryOutput::builder().items(ring_row()).build());
        let put = mock!(aws_sdk_dynamodb::Client::put_item).then_output(|| PutItemOutput::builder().build());
        let keys = keys(&[&unwrap, &generate], &[&query, &put], &clock);
        assert_eq!(keys.current("acme", Duration::ZERO).await.expect("answers").id(), "kms:k1");
        clock.advance(KmsKeys::ROTATE_AFTER);
        assert_ne!(keys.current("acme", Duration::ZERO).await.expect("answers").id(), "kms:k1");
        assert_eq!((generate.num_calls(), put.num_calls()), (1, 1));
    }

    #[tokio::test]
    async fn a_key_that_must_last_is_loaded_again_before_it_expires() {
        let (unwrap, clock) = (unwraps(), clock());
        let query =
            mock!(aws_sdk_dynamodb::Client::query).then_output(|| QueryOutput::builder().items(ring_row()).build());
        let keys = keys(&[&unwrap], &[&query], &clock);
        for (later, lasts, calls) in [(0, 0, 1), (179, 120, 1), (2, 0, 1), (0, 120, 2), (299, 0, 2)] {
            clock.advance(Duration::from_secs(later));
            assert!(keys.current("acme", Duration::from_secs(lasts)).await.is_ok());
            assert_eq!(unwrap.num_calls(), calls);
        }
    }

    #[tokio::test]
    async fn looking_ahead_loads_the_key_but_never_creates_one() {
        let (unwrap, generate, clock) = (unwraps(), generates(), clock());
        let query =
            mock!(aws_sdk_dynamodb::Client::query).then_output(|| QueryOutput::builder().items(ring_row()).build());
        let with_a_key = keys(&[&unwrap, &generate], &[&query], &clock);
        with_a_key.look_ahead("acme").await;
        with_a_key.look_ahead("acme").await;
        assert!(with_a_key.by_id("acme", "kms:k1").await.expect("answers").is_some());
        assert_eq!(with_a_key.current("acme", Duration::ZERO).await.expect("answers").id(), "kms:k1");
        assert_eq!((query.num_calls(), unwrap.num_calls()), (1, 1));

        let nothing = mock!(aws_sdk_dynamodb::Client::query).then_output(|| QueryOutput::builder().build());
        keys(&[&unwrap, &generate], &[&nothing], &clock).look_ahead("other").await;
        assert_eq!((nothing.num_calls(), unwrap.num_calls(), generate.num_calls()), (1, 1, 0));
    }

    #[tokio::test]
    async fn a_key_service_outage_is_an_error_never_plaintext() {
        let down = mock!(Client::decrypt)
            .then_error(|| DecryptError::KmsInternalException(KmsInternalException::builder().build()));
        let query =
            mock!(aws_sdk_dynamodb::Client::query).then_output(|| QueryOutput::builder().items(ring_row()).build());
        let sealer = Sealer::new(keys(&[&down], &[&query], &clock()), Arc::new(SystemRng));
        assert!(matches!(sealer.seal(PLACE, b"a token").await, Err(SealError::Keys(_))));
    }
}
