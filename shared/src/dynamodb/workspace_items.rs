//! The table of workspaces: items by workspace and name.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;

use super::StoreError;
use super::item::Item;

/// Reads items of the table of workspaces with strong consistency.
#[derive(Debug, Clone)]
pub(super) struct WorkspaceItems {
    pub(super) client: Client,
    pub(super) table: String,
}

impl WorkspaceItems {
    pub(super) fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Returns the key of an item.
    pub(super) fn key(workspace: &str, name: &str) -> Item {
        Item::default().string("workspace", workspace).string("item", name)
    }

    pub(super) async fn get(&self, workspace: &str, name: &str) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(Self::key(workspace, name).0));
        let output = get.consistent_read(true).send().await.map_err(StoreError::dynamodb)?;
        Ok(output.item.map(Item))
    }

    /// Returns all items whose names start with `prefix`, ordered by name.
    pub(super) async fn list(&self, workspace: &str, prefix: &str) -> Result<Vec<Item>, StoreError> {
        let mut found = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("workspace = :workspace AND begins_with(#item, :prefix)")
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":workspace", AttributeValue::S(workspace.to_owned()))
            .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut items = Vec::new();
        while let Some(item) = found.next().await {
            items.push(Item(item.map_err(StoreError::dynamodb)?));
        }
        Ok(items)
    }
}
