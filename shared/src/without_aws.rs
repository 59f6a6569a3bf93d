//! Replaces `aws` if its feature is off. Its types have no values, so that no setting can select an AWS adapter.

use std::sync::Arc;

use aws_types::SdkConfig;

use crate::clock::Clock;
use crate::credential_store::CredentialStore;
use crate::dynamodb::DataKeyRing;
use crate::events::Events;
use crate::queue::Queue;
use crate::random::Rng;
use crate::scheduler::Scheduler;
use crate::seal::DataKeys;
use crate::secret_store::SecretStore;

/// The name of an AWS resource, of which there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceName {}

/// The target of schedules, of which there are none.
#[derive(Debug, Clone)]
pub enum ScheduleTarget {}

pub(crate) fn secret_store(_: &SdkConfig, prefix: &ResourceName, _: Option<&ResourceName>) -> Arc<dyn SecretStore> {
    match *prefix {}
}

pub(crate) fn credential_store(
    _: &SdkConfig,
    prefix: &ResourceName,
    _: Option<&ResourceName>,
) -> Arc<dyn CredentialStore> {
    match *prefix {}
}

pub(crate) fn data_keys(
    _: &SdkConfig,
    key_id: &ResourceName,
    _: DataKeyRing,
    _: &Arc<dyn Clock>,
    _: &Arc<dyn Rng>,
) -> Arc<dyn DataKeys> {
    match *key_id {}
}

pub(crate) fn scheduler(_: &SdkConfig, target: &ScheduleTarget) -> Arc<dyn Scheduler> {
    match *target {}
}

pub(crate) fn events(_: &SdkConfig, bus: &ResourceName) -> Arc<dyn Events> {
    match *bus {}
}

pub(crate) fn queue(_: &SdkConfig, url: &ResourceName) -> Arc<dyn Queue> {
    match *url {}
}
