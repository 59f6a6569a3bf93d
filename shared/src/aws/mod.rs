//! The AWS services around a deployed Larder: an adapter for each port.
//!
//! This module needs the feature `aws`. Without it, `without_aws.rs` takes its place, so that no other module checks the
//! feature.

mod credential_secrets;
mod event_bus;
mod kms;
mod refresh_function;
mod scheduler;
mod secrets_manager;
mod sqs;

use std::sync::Arc;

use aws_types::SdkConfig;
pub use credential_secrets::CredentialSecrets;
pub use event_bus::EventBus;
pub use kms::KmsKeys;
pub use refresh_function::RefreshFunction;
pub use scheduler::{EventBridgeScheduler, ScheduleTarget};
pub use secrets_manager::SecretsManager;
pub use sqs::SqsQueue;

use crate::clock::Clock;
use crate::credential_store::CredentialStore;
use crate::dynamodb::DataKeyRing;
use crate::events::Events;
use crate::queue::Queue;
use crate::random::Rng;
use crate::scheduler::Scheduler;
use crate::seal::DataKeys;
use crate::secret_store::SecretStore;

/// The name of an AWS resource: a name, a prefix of names, an id, or a URL.
pub type ResourceName = String;

pub(crate) fn secret_store(
    sdk: &SdkConfig,
    prefix: &ResourceName,
    key_id: Option<&ResourceName>,
) -> Arc<dyn SecretStore> {
    Arc::new(secrets(sdk, prefix, key_id))
}

pub(crate) fn credential_store(
    sdk: &SdkConfig,
    prefix: &ResourceName,
    key_id: Option<&ResourceName>,
) -> Arc<dyn CredentialStore> {
    Arc::new(CredentialSecrets::new(secrets(sdk, prefix, key_id)))
}

fn secrets(sdk: &SdkConfig, prefix: &ResourceName, key_id: Option<&ResourceName>) -> SecretsManager {
    SecretsManager::new(aws_sdk_secretsmanager::Client::new(sdk), prefix, key_id.cloned())
}

pub(crate) fn data_keys(
    sdk: &SdkConfig,
    key_id: &ResourceName,
    ring: DataKeyRing,
    clock: &Arc<dyn Clock>,
    rng: &Arc<dyn Rng>,
) -> Arc<dyn DataKeys> {
    let kms = aws_sdk_kms::Client::new(sdk);
    Arc::new(KmsKeys::new(kms, key_id, ring, Arc::clone(clock), Arc::clone(rng)))
}

pub(crate) fn scheduler(sdk: &SdkConfig, target: &ScheduleTarget) -> Arc<dyn Scheduler> {
    Arc::new(EventBridgeScheduler::new(aws_sdk_scheduler::Client::new(sdk), target.clone()))
}

pub(crate) fn events(sdk: &SdkConfig, bus: &ResourceName) -> Arc<dyn Events> {
    Arc::new(EventBus::new(aws_sdk_eventbridge::Client::new(sdk), bus))
}

pub(crate) fn queue(sdk: &SdkConfig, url: &ResourceName) -> Arc<dyn Queue> {
    Arc::new(SqsQueue::new(aws_sdk_sqs::Client::new(sdk), url))
}
