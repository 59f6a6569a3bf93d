//! One forced refresh, for connector functions that find their credentials expired.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use larder::connection::{Connection, RefreshOutcome};
use larder::record::TaskContext;
use serde_json::Value;

use crate::provider::Reauthorize;
use crate::refresh::{Refresher, Trigger};

/// One forced refresh.
pub(super) struct RefreshOnce {
    refresher: Arc<Refresher>,
    connection: Connection,
    renewed: Mutex<Option<Connection>>,
}

impl RefreshOnce {
    pub(super) fn new(refresher: &Arc<Refresher>, connection: &Connection) -> Arc<Self> {
        Arc::new(Self { refresher: Arc::clone(refresher), connection: connection.clone(), renewed: Mutex::default() })
    }

    /// The connection after the refresh, if there was one.
    pub(super) fn renewed(&self) -> Option<Connection> {
        self.renewed.lock().ok()?.take()
    }
}

#[async_trait]
impl Reauthorize for RefreshOnce {
    async fn reauthorize(&self) -> Option<Value> {
        let Connection { key, version, .. } = self.connection.clone();
        // The caller may run out of time. The refresh continues, so that the provider's new credentials are saved.
        let (refresher, of) = (Arc::clone(&self.refresher), key.clone());
        let refreshing = async move { refresher.refresh(&of, Some(version), Trigger::Forced).await };
        let outcome = tokio::spawn(TaskContext::current().run(refreshing)).await.ok()?.ok()?;
        if outcome != RefreshOutcome::Refreshed {
            return None;
        }
        let renewed = self.refresher.connections.get(&key).await.ok()??;
        if !renewed.has_only_been_refreshed_since(version) {
            return None;
        }
        let contents = self.refresher.vault.open(&renewed).await.ok()?;
        *self.renewed.lock().ok()? = Some(renewed);
        contents.credentials.map(|credentials| credentials.to_value())
    }
}
