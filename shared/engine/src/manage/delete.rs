//! Deletes connections. One of an integration is archived for 30 days, without its credentials; others are removed.
//!
//! The provider is called first, which takes up to ten seconds. If the connection is refreshed meanwhile, it is read again and
//! deleted. If it is reconnected, or its credentials are replaced, it is kept and the answer is 409: the provider revoked
//! another grant than the one stored now. While this takes place, no flow can mark the connection as used.

use std::sync::Arc;

use larder::caller::Caller;
use larder::connection::{Connection, ConnectionKey};
use larder::dynamodb::Write;
use larder::error::Error;
use serde_json::json;

use super::refresh_once::RefreshOnce;
use super::{Management, unknown, without_nulls};
use crate::provider::Reauthorize;

/// How to delete a connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deletion {
    /// Even if an active flow uses it.
    pub force: bool,
    /// At once, instead of archiving it.
    pub permanent: bool,
}

impl Management {
    /// Deletes a connection, and revokes its grant. The connection is deleted even if the provider fails.
    ///
    /// # Errors
    /// 403 if a caller who is not an admin forces it; 409 with the flows that use it, or if it changes meanwhile.
    pub async fn delete(
        &self,
        caller: &Caller,
        selector: &str,
        tenant: Option<&str>,
        deletion: Deletion,
    ) -> Result<(), Error> {
        // Calling the provider takes up to ten seconds, and the gateway waits for thirty.
        const ATTEMPTS: usize = 2;
        if deletion.force {
            caller.require_admin()?;
        }
        let mut seen = match deletion.permanent {
            true => self.find_with_archived(caller, selector, tenant).await?,
            false => self.find(caller, selector, tenant).await?,
        };
        if seen.archived_at.is_some() {
            // Its credentials are gone already.
            return self.remove_archived(&seen, selector).await;
        }
        if !deletion.force {
            self.reserve_for_removal(&seen, selector).await?;
        }
        let key = seen.key.clone();
        for _ in 0..ATTEMPTS {
            let reauthorize = RefreshOnce::new(&self.refresher, &seen);
            if let Err(error) = self.revoke(&seen, &reauthorize).await {
                tracing::warn!(connection = key.id, %error, "the provider was not notified of the disconnect");
            }
            let disconnected = reauthorize.renewed().unwrap_or(seen);
            // Otherwise they could be confirmed after the connection is restored.
            self.writer.discard_all(&self.connector_setup, &key).await?;
            if self.end(&disconnected, deletion).await? == Write::Done {
                self.follow_up.removed(&disconnected).await;
                // A pointer that is left over counts as free.
                if let Err(error) = self.connections.release_key(&disconnected).await {
                    larder::error::log_cause("the table; a key is left that leads nowhere", &error);
                }
                return Ok(());
            }
            // Another request has deleted it, or the answer to our write was lost.
            let stored = match self.connections.get_with_archived(&key).await? {
                None => return Ok(()),
                Some(archived) if archived.archived_at.is_some() && deletion.permanent => {
                    return self.remove_archived(&archived, selector).await;
                }
                Some(archived) if archived.archived_at.is_some() => return Ok(()),
                Some(stored) => stored,
            };
            seen = Some(stored).filter(|it| caller.may_see(it)).ok_or_else(|| unknown(&key.id))?;
            if !seen.has_only_been_refreshed_since(disconnected.version) {
                let message = format!(
                    "the connection `{selector}` got new credentials while it was being deleted, so it was kept"
                );
                return Err(Error::conflict(message));
            }
        }
        Err(changed_by_others(selector))
    }

    /// Brings an archived connection back, without credentials: its end user must reconnect.
    ///
    /// # Errors
    /// 404 if there is no such archived connection; 409 if it changes meanwhile.
    pub async fn restore(&self, caller: &Caller, id: &str) -> Result<Connection, Error> {
        let archived = self.connections.get_with_archived(&ConnectionKey::new(&caller.workspace, id)).await?;
        let archived = archived.filter(|it| caller.may_see(it)).ok_or_else(|| unknown(id))?;
        if archived.archived_at.is_none() {
            return Ok(archived);
        }
        let now = self.clock.now();
        if archived.is_past_archive(now) {
            return Err(unknown(id));
        }
        let restored = self.vault.restore(&archived, now).await?;
        restored.ok_or_else(|| changed_by_others(id))
    }

    async fn end(&self, connection: &Connection, deletion: Deletion) -> Result<Write, Error> {
        if deletion.permanent || connection.integration.is_none() {
            return self.vault.remove(connection).await;
        }
        let archived = self.vault.archive(connection, self.clock.now()).await?;
        Ok(if archived.is_some() { Write::Done } else { Write::Conflict })
    }

    async fn remove_archived(&self, archived: &Connection, selector: &str) -> Result<(), Error> {
        match self.vault.remove(archived).await? {
            Write::Done => Ok(()),
            Write::Conflict => Err(changed_by_others(selector)),
        }
    }

    async fn reserve_for_removal(&self, seen: &Connection, selector: &str) -> Result<(), Error> {
        if self.connections.begin_removal(seen, self.clock.now()).await? == Write::Done {
            return Ok(());
        }
        let stored = self.connections.get(&seen.key).await?.ok_or_else(|| unknown(selector))?;
        if stored.created_at != seen.created_at || stored.details.active_flows().next().is_none() {
            let message = format!("other requests are changing the connection `{selector}`; try again");
            return Err(Error::conflict(message));
        }
        let flows: Vec<_> = stored
            .details
            .active_flows()
            .map(|(id, flow)| without_nulls(json!({ "id": id, "name": flow.name, "uri": flow.uri })))
            .collect();
        if flows.is_empty() {
            return Err(changed_by_others(selector));
        }
        let names: Vec<_> =
            stored.details.active_flows().map(|(id, flow)| flow.name.as_deref().unwrap_or(id)).collect();
        let message =
            format!("the connection is in use by {}; turn that off or remove it there first", names.join(", "));
        Err(Error::in_use(message).with_data(json!({ "flows": flows })))
    }

    /// Makes the provider forget the credentials.
    pub(super) async fn revoke(&self, connection: &Connection, reauthorize: &Arc<RefreshOnce>) -> Result<(), Error> {
        if connection.integration.is_none() {
            return Ok(());
        }
        let contents = self.vault.open(connection).await?;
        let Some(credentials) = &contents.credentials else { return Ok(()) };
        let auth = self.connector_setup.auth_of(connection, &contents).await?;
        let reauthorize = Arc::clone(reauthorize) as Arc<dyn Reauthorize>;
        Ok(self.provider.disconnect(&auth, &credentials.to_value(), Some(reauthorize)).await?)
    }
}

pub(super) fn changed_by_others(selector: &str) -> Error {
    Error::conflict(format!("other requests are changing the connection `{selector}`; try again"))
}
