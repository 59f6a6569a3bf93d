//! Each workspace's wrapped data keys, in the table of workspaces.

use aws_sdk_dynamodb::Client;
use time::OffsetDateTime;

use super::StoreError;
use super::item::{Item, present};
use super::workspace_items::WorkspaceItems;

const PREFIX: &str = "data-key/";

/// A data key wrapped by KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The id that envelopes carry.
    pub id: String,
    /// The ciphertext that KMS unwraps.
    pub wrapped: Vec<u8>,
    /// When it was created.
    pub created_at: OffsetDateTime,
}

/// Reads and adds wrapped data keys. Keys are never changed or removed, since records sealed with them may still exist.
#[derive(Debug, Clone)]
pub struct DataKeyRing(WorkspaceItems);

impl DataKeyRing {
    /// The key ring in the table of workspaces.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self(WorkspaceItems::new(client, table))
    }

    /// Returns the key with this id.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is damaged.
    pub async fn get(&self, workspace: &str, id: &str) -> Result<Option<WrappedKey>, StoreError> {
        self.0.get(workspace, &format!("{PREFIX}{id}")).await?.as_ref().map(read).transpose()
    }

    /// Returns the newest key. If two processes add one at the same time, either works.
    ///
    /// # Errors
    /// When DynamoDB fails or an item is damaged.
    pub async fn newest(&self, workspace: &str) -> Result<Option<WrappedKey>, StoreError> {
        let keys = self.0.list(workspace, PREFIX).await?;
        let keys: Vec<_> = keys.iter().map(read).collect::<Result<_, _>>()?;
        Ok(keys.into_iter().max_by_key(|key| key.created_at))
    }

    /// Adds a key.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn add(&self, workspace: &str, key: &WrappedKey) -> Result<(), StoreError> {
        let item = WorkspaceItems::key(workspace, &format!("{PREFIX}{}", key.id))
            .bytes("wrapped", key.wrapped.clone())
            .time("created_at", key.created_at);
        let put = self.0.client.put_item().table_name(&self.0.table).set_item(Some(item.0));
        put.send().await.map(drop).map_err(StoreError::dynamodb)
    }
}

fn read(item: &Item) -> Result<WrappedKey, StoreError> {
    let id = item.get_string("item").and_then(|item| item.strip_prefix(PREFIX).map(str::to_owned));
    Ok(WrappedKey {
        id: present(id, "workspaces", "item")?,
        wrapped: present(item.get_bytes("wrapped"), "workspaces", "wrapped")?,
        created_at: present(item.get_time("created_at"), "workspaces", "created_at")?,
    })
}
