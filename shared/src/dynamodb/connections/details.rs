//! The attributes of connections that people own: their writes, and the keys that callers choose.
//!
//! A key is unique per tenant. That is enforced by a pointer item in the same table, `#key#{hash}`, which is written together
//! with the row in one transaction. A pointer whose row no longer has the key counts as free, so nothing has to clean up.

use std::time::Duration;

use time::OffsetDateTime;

use super::table::{Assignment, Claim, Claimed, Condition};
use super::{Connections, row};
use crate::clock::later;
use crate::connection::{Connection, ConnectionKey, DetailsPatch, Flow, Problem};
use crate::digest::sha256_base64url;
use crate::dynamodb::item::Item;
use crate::dynamodb::{StoreError, Write};
use crate::error::log_cause;

impl Connections {
    /// Changes attributes that people own. It conflicts if the connection is gone.
    ///
    /// # Errors
    /// When DynamoDB fails, the row would be too large, or another connection has the new key.
    pub async fn patch(
        &self,
        seen: &Connection,
        patch: &DetailsPatch,
        now: OffsetDateTime,
    ) -> Result<Write, StoreError> {
        let mut details = seen.details.clone();
        patch.apply(&mut details, now);
        let (set, removed) = changes(&row::of_people(&details), patch);
        let (key, condition) = (&seen.key, Condition::Present(seen.created_at));
        let new_key = details.key.as_ref().filter(|_| patch.key.is_some());
        let written = match new_key {
            Some(new_key) => {
                let write = async |claim: Claim| {
                    let assignment = Assignment::new(set.clone(), &removed);
                    self.table.assign_with_claim(key, condition, assignment, &claim).await
                };
                self.claim(seen, new_key, write).await?
            }
            None => self.table.assign(key, condition, Assignment::new(set, &removed)).await?,
        };
        let old_key = seen.details.key.as_ref().filter(|old| patch.key.is_some() && Some(*old) != new_key);
        if let (Write::Done, Some(old_key)) = (written, old_key) {
            // A pointer that is left over counts as free.
            if let Err(error) = self.table.release_claim(&pointer(seen, old_key), key, old_key).await {
                log_cause("the table; a key is left that leads nowhere", &error);
            }
        }
        Ok(written)
    }

    /// Marks a connection as used by a flow, or changes that mark. It conflicts if the connection is gone or being removed, or
    /// people have changed it since it was seen: the limits apply to all of its flows together.
    ///
    /// # Errors
    /// When DynamoDB fails or the row would be too large.
    pub async fn mark_flow(
        &self,
        seen: &Connection,
        id: &str,
        flow: &Flow,
        now: OffsetDateTime,
    ) -> Result<Write, StoreError> {
        let set = Item::default().string(&row::flow_attribute(id), row::flow_text(flow)).time("changed_at", now);
        let action = if flow.active { "ADD" } else { "DELETE" };
        let assignment = Assignment::new(set, &[]).member(action, "active_flows", id);
        self.table
            .assign(&seen.key, Condition::PresentAndKept(seen.created_at, now, seen.details.changed_at), assignment)
            .await
    }

    /// Removes the mark of a flow. It conflicts if the connection is gone.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn unmark_flow(&self, seen: &Connection, id: &str, now: OffsetDateTime) -> Result<Write, StoreError> {
        let attribute = row::flow_attribute(id);
        let assignment = Assignment::new(Item::default().time("changed_at", now), &[&attribute]);
        let assignment = assignment.member("DELETE", "active_flows", id);
        self.table.assign(&seen.key, Condition::Present(seen.created_at), assignment).await
    }

    /// Keeps flows from marking a connection as used while it is being deleted. It conflicts if an active flow uses it, or if
    /// it is gone.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn begin_removal(&self, seen: &Connection, now: OffsetDateTime) -> Result<Write, StoreError> {
        /// Longer than a request takes.
        const REMOVAL: Duration = Duration::from_mins(1);
        let assignment = Assignment::new(Item::default().time("removing_until", later(now, REMOVAL)), &[]);
        self.table.assign(&seen.key, Condition::PresentAndUnused(seen.created_at), assignment).await
    }

    /// Records that the credentials were read.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn mark_used(&self, seen: &Connection, now: OffsetDateTime) -> Result<Write, StoreError> {
        let assignment = Assignment::new(Item::default().time("last_used_at", now), &[]);
        // The role of get-credentials allows no other attribute in this request, not even in its condition.
        self.table.assign(&seen.key, Condition::Exists, assignment).await
    }

    /// Records how the test of a connection's credentials ended. It conflicts if they are being refreshed, or are others by now.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn record_test(
        &self,
        tested: &Connection,
        problem: Option<&Problem>,
        now: OffsetDateTime,
    ) -> Result<Write, StoreError> {
        let outcome = Connection { test_problem: problem.cloned(), ..tested.clone() };
        let assignment = Assignment::new(row::of_attention(&outcome), &row::OF_TESTS);
        self.table.assign(&tested.key, Condition::Unleased(tested.version, now), assignment).await
    }

    /// Reads the connection of a tenant that has this key.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is damaged.
    pub async fn by_key(
        &self,
        workspace: &str,
        tenant: Option<&str>,
        key: &str,
    ) -> Result<Option<Connection>, StoreError> {
        let target = self.table.target(&pointer_of(workspace, tenant, key)).await?;
        let Some(target) = target.and_then(|target| target.parse::<ConnectionKey>().ok()) else { return Ok(None) };
        let connection = self.get(&target).await?;
        Ok(connection.filter(|it| it.tenant.as_deref() == tenant && it.details.key.as_deref() == Some(key)))
    }

    /// Removes the pointer of an archived or removed connection's key. Nothing depends on it.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn release_key(&self, connection: &Connection) -> Result<(), StoreError> {
        match &connection.details.key {
            Some(key) => self.table.release_claim(&pointer(connection, key), &connection.key, key).await,
            None => Ok(()),
        }
    }

    /// Writes the row of a new connection, together with the pointer of its key if it has one.
    pub(super) async fn create(
        &self,
        connection: &Connection,
        row: Item,
        condition: Condition<'_>,
    ) -> Result<Write, StoreError> {
        match &connection.details.key {
            None => self.table.put(row, condition).await,
            Some(key) => {
                let write = async |claim: Claim| self.table.put_with_claim(row.clone(), condition, &claim).await;
                self.claim(connection, key, write).await
            }
        }
    }

    /// Claims a key for a connection with `write`. A pointer to a row that no longer has the key is taken over.
    async fn claim<F>(
        &self,
        connection: &Connection,
        key: &str,
        write: impl Fn(Claim) -> F,
    ) -> Result<Write, StoreError>
    where
        F: Future<Output = Result<Claimed, StoreError>>,
    {
        let (pointer, target) = (pointer(connection, key), connection.key.to_string());
        let claim = |stale| Claim { pointer: pointer.clone(), target: target.clone(), key: key.to_owned(), stale };
        match write(claim(None)).await? {
            Claimed::Done => return Ok(Write::Done),
            Claimed::Conflict => return Ok(Write::Conflict),
            Claimed::Taken => {}
        }
        if self.by_key(&connection.key.workspace, connection.tenant.as_deref(), key).await?.is_some() {
            return Err(StoreError::KeyTaken);
        }
        let stale = self.table.target(&pointer).await?;
        match write(claim(stale)).await? {
            Claimed::Done => Ok(Write::Done),
            Claimed::Conflict => Ok(Write::Conflict),
            Claimed::Taken => Err(StoreError::KeyTaken),
        }
    }
}

/// The attributes to set and to remove for a patch.
fn changes(of_people: &Item, patch: &DetailsPatch) -> (Item, Vec<&'static str>) {
    let changed = [
        ("name", patch.name.is_some()),
        ("own_key", patch.key.is_some()),
        ("tags", patch.tags.is_some()),
        ("meta", patch.meta.is_some()),
        ("deactivated", patch.is_deactivated.is_some()),
        ("changed_at", true),
    ];
    let changed: Vec<_> = changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect();
    let mut set = of_people.clone();
    set.0.retain(|name, _| changed.contains(&&**name));
    (set, changed)
}

fn pointer(connection: &Connection, key: &str) -> String {
    pointer_of(&connection.key.workspace, connection.tenant.as_deref(), key)
}

/// The id of the item that leads from a key to its connection. No workspace's key is empty, so no row has such an id.
fn pointer_of(workspace: &str, tenant: Option<&str>, key: &str) -> String {
    // JSON keeps the parts apart, whatever is in them.
    let parts = serde_json::json!([workspace, tenant, key]).to_string();
    format!("#key#{}", sha256_base64url(parts))
}
