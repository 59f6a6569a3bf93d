//! The tables, as CreateTable takes them. The template in `infra/` declares the same ones for AWS.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType,
};

use super::StoreError;

/// The names of the three tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Connections, by `{workspace}#{connection id}`.
    pub connections: String,
    /// Pending connect flows, by the digest of their state.
    pub sessions: String,
    /// What a workspace has configured, by workspace and item: integrations and wrapped data keys.
    pub workspaces: String,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            connections: "larder-connections".into(),
            sessions: "larder-sessions".into(),
            workspaces: "larder-workspaces".into(),
        }
    }
}

/// Lists a workspace's connections; projects only what a refresh never changes.
pub const BY_WORKSPACE: &str = "by_workspace";
/// Finds what is due; keys only.
pub const BY_DUE: &str = "by_due";

/// Creates the tables that are not there yet.
///
/// # Errors
/// When DynamoDB fails.
pub async fn create(client: &Client, tables: &Tables) -> Result<(), StoreError> {
    use ScalarAttributeType::{N, S};
    let due =
        index(BY_DUE, "due_shard", "next_refresh_at", Projection::builder().projection_type(ProjectionType::KeysOnly));
    let listed = Projection::builder()
        .projection_type(ProjectionType::Include)
        .set_non_key_attributes(Some(["tenant", "integration_key", "connector_key"].map(str::to_owned).to_vec()));
    let listed = index(BY_WORKSPACE, "workspace", "created_at", listed);
    let attributes = [("id", S), ("workspace", S), ("created_at", N), ("due_shard", N), ("next_refresh_at", N)];
    table(client, &tables.connections, &attributes, &["id"], vec![listed?, due?]).await?;
    table(client, &tables.sessions, &[("id", S)], &["id"], vec![]).await?;
    table(client, &tables.workspaces, &[("workspace", S), ("item", S)], &["workspace", "item"], vec![]).await
}

async fn table(
    client: &Client,
    name: &str,
    attributes: &[(&str, ScalarAttributeType)],
    keys: &[&str],
    indexes: Vec<GlobalSecondaryIndex>,
) -> Result<(), StoreError> {
    let attributes = attributes
        .iter()
        .map(|(name, kind)| AttributeDefinition::builder().attribute_name(*name).attribute_type(kind.clone()).build());
    let result = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(attributes.collect::<Result<_, _>>().map_err(StoreError::dynamodb)?))
        .set_key_schema(Some(key_schema(keys)?))
        .set_global_secondary_indexes((!indexes.is_empty()).then_some(indexes))
        .send()
        .await;
    match result {
        Ok(_) => Ok(()),
        Err(SdkError::ServiceError(error)) if error.err().is_resource_in_use_exception() => Ok(()),
        Err(error) => Err(StoreError::dynamodb(error)),
    }
}

fn index(
    name: &str,
    hash: &str,
    range: &str,
    projection: aws_sdk_dynamodb::types::builders::ProjectionBuilder,
) -> Result<GlobalSecondaryIndex, StoreError> {
    GlobalSecondaryIndex::builder()
        .index_name(name)
        .set_key_schema(Some(key_schema(&[hash, range])?))
        .projection(projection.build())
        .build()
        .map_err(StoreError::dynamodb)
}

fn key_schema(keys: &[&str]) -> Result<Vec<KeySchemaElement>, StoreError> {
    let kinds = [KeyType::Hash, KeyType::Range];
    let elements = keys
        .iter()
        .zip(kinds)
        .map(|(name, kind)| KeySchemaElement::builder().attribute_name(*name).key_type(kind).build());
    elements.collect::<Result<_, _>>().map_err(StoreError::dynamodb)
}
