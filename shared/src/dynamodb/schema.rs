//! The tables, created with CreateTable. The template in `infra/` declares the same ones for AWS.
//!
//! # Tables and indexes
//!
//! `connections` has five indexes. `by_workspace` (`workspace`, `created_at`) projects `tenant`, `integration_key` and
//! `connector_key`. `by_tenant` (`tenant`, `id`) projects `integration_key`: a tenant's list is one Query and one
//! BatchGetItem, however many connections others have; while the index is missing or being filled, `by_workspace` is
//! filtered instead. `by_integration` (`integration_key`, `id`) projects `tenant`, and `by_state` (`state`, `id`) `tenant` and
//! `integration_key`, with the same fallback. `by_due` (`due_shard`, `next_refresh_at`) has keys only; the shard is one of 8, by a hash of the
//! id. The table also has the items `#key#…` (a caller's key that leads to its row) and `#unconfirmed#…`
//! (credentials that wait for a confirmation, also in `by_due`).
//!
//! `sessions` has the key `id`, the digest of the state, and `workspace`, `browser` (the cookie's digest), `sealed`
//! (the flow), `expires_at`, and `ttl` in seconds for DynamoDB's own deletion, which only cleans up. A connection request
//! is an item of this table, too: its `id` is `request#` and the digest of the link's secret, and it has `workspace`,
//! `tenant`, `status_token` (a digest), `browser`, `sealed` (the parameters), `expires_at`, `ttl`, and once it has ended
//! `outcome` with `connection_id`, `confirmation` (a digest) or `problem`.
//!
//! `attempts` has the keys `connection`, the id of a row of `connections`, and `at`, the time and the id of the request;
//! `kind`, `ended_at`, `duration_ms`, `failed`, `problem`, `problem_key` and `request_id`; and `ttl`, as in `sessions`.
//!
//! `workspaces` has the keys `workspace` and `item`. `integration/{key}` is an integration without its parameters, and
//! `data-key/{id}` a data key as KMS wrapped it.

use std::io;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexUpdate, IndexStatus, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType,
};

use super::StoreError;

/// The names of the tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Connections, by `{workspace}#{connection id}`.
    pub connections: String,
    /// Pending connect flows, by the digest of their state, and connection requests, by the digest of their link's secret.
    pub sessions: String,
    /// The history of connections, by the id of their row and the time.
    pub attempts: String,
    /// The integrations and wrapped data keys of workspaces, by workspace and item.
    pub workspaces: String,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            connections: "larder-connections".into(),
            sessions: "larder-sessions".into(),
            attempts: "larder-attempts".into(),
            workspaces: "larder-workspaces".into(),
        }
    }
}

/// The index of a workspace's connections. It projects only attributes that a refresh never changes.
pub const BY_WORKSPACE: &str = "by_workspace";
/// The index of a tenant's connections, by workspace and id. It also projects only attributes that a refresh never changes.
pub const BY_TENANT: &str = "by_tenant";
/// The index of an integration's connections, by workspace and id. It projects only keys and the tenant.
pub const BY_INTEGRATION: &str = "by_integration";
/// The index of the connections in a state, by workspace and id. It projects only attributes that a refresh never changes.
pub const BY_STATE: &str = "by_state";
/// The index of due connections. It projects only keys.
pub const BY_DUE: &str = "by_due";

/// The longest tenant name, in bytes: it is an index key.
pub const MAX_TENANT_BYTES: usize = 2048;

/// The specification of a table.
struct TableSpec<'a> {
    name: &'a str,
    keys: &'a [(&'a str, ScalarAttributeType)],
    indexes: Vec<IndexSpec<'a>>,
}

struct IndexSpec<'a> {
    name: &'a str,
    keys: [(&'a str, ScalarAttributeType); 2],
    /// The projected attributes, in addition to keys.
    projected: &'a [&'a str],
}

/// Creates missing tables, and missing indexes of tables from earlier versions.
///
/// # Errors
/// When DynamoDB fails, or an index is not filled within a minute.
pub async fn create(client: &Client, tables: &Tables) -> Result<(), StoreError> {
    use ScalarAttributeType::{N, S};
    let indexes = vec![
        IndexSpec {
            name: BY_WORKSPACE,
            keys: [("workspace", S), ("created_at", N)],
            projected: &["tenant", "integration_key", "connector_key"],
        },
        IndexSpec { name: BY_DUE, keys: [("due_shard", N), ("next_refresh_at", N)], projected: &[] },
        IndexSpec { name: BY_TENANT, keys: [("tenant", S), ("id", S)], projected: &["integration_key"] },
        IndexSpec { name: BY_INTEGRATION, keys: [("integration_key", S), ("id", S)], projected: &["tenant"] },
        IndexSpec { name: BY_STATE, keys: [("state", S), ("id", S)], projected: &["tenant", "integration_key"] },
    ];
    for table in [
        TableSpec { name: &tables.connections, keys: &[("id", S)], indexes },
        TableSpec { name: &tables.sessions, keys: &[("id", S)], indexes: Vec::new() },
        TableSpec { name: &tables.attempts, keys: &[("connection", S), ("at", S)], indexes: Vec::new() },
        TableSpec { name: &tables.workspaces, keys: &[("workspace", S), ("item", S)], indexes: Vec::new() },
    ] {
        if !table.create(client).await? {
            table.add_missing_indexes(client).await?;
        }
    }
    Ok(())
}

impl TableSpec<'_> {
    /// Creates the table. Returns `false` if it exists.
    async fn create(&self, client: &Client) -> Result<bool, StoreError> {
        let mut keys = self.keys.to_vec();
        keys.extend(self.indexes.iter().flat_map(|index| index.keys.clone()));
        keys.sort_unstable_by_key(|(name, _)| *name);
        keys.dedup_by_key(|(name, _)| *name);
        let indexes = self.indexes.iter().map(IndexSpec::definition).collect::<Result<Vec<_>, _>>()?;
        let result = client
            .create_table()
            .table_name(self.name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(attributes(&keys)?))
            .set_key_schema(Some(key_schema(self.keys)?))
            .set_global_secondary_indexes((!indexes.is_empty()).then_some(indexes))
            .send()
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_resource_in_use_exception() => Ok(false),
            Err(error) => Err(StoreError::dynamodb(error)),
        }
    }

    /// Adds missing indexes one by one: DynamoDB accepts only one new index at a time.
    async fn add_missing_indexes(&self, client: &Client) -> Result<(), StoreError> {
        if self.indexes.is_empty() {
            return Ok(());
        }
        let there = self.index_states(client).await?;
        for index in self.indexes.iter().filter(|index| !there.iter().any(|(name, _)| name == index.name)) {
            client
                .update_table()
                .table_name(self.name)
                .set_attribute_definitions(Some(attributes(&index.keys)?))
                .global_secondary_index_updates(index.creation()?)
                .send()
                .await
                .map_err(StoreError::dynamodb)?;
            self.wait_until_filled(client, index).await?;
        }
        Ok(())
    }

    async fn wait_until_filled(&self, client: &Client, index: &IndexSpec<'_>) -> Result<(), StoreError> {
        const PAUSE: Duration = Duration::from_millis(200);
        for _ in 0..300 {
            let states = self.index_states(client).await?;
            if states.iter().any(|(name, status)| name == index.name && *status == IndexStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(StoreError::dynamodb(io::Error::other(format!("the index {} was not filled within a minute", index.name))))
    }

    async fn index_states(&self, client: &Client) -> Result<Vec<(String, IndexStatus)>, StoreError> {
        let described = client.describe_table().table_name(self.name).send().await.map_err(StoreError::dynamodb)?;
        let indexes = described.table.and_then(|table| table.global_secondary_indexes).unwrap_or_default();
        Ok(indexes.into_iter().filter_map(|index| index.index_name.zip(index.index_status)).collect())
    }
}

impl IndexSpec<'_> {
    fn definition(&self) -> Result<GlobalSecondaryIndex, StoreError> {
        let index = GlobalSecondaryIndex::builder()
            .index_name(self.name)
            .set_key_schema(Some(key_schema(&self.keys)?))
            .projection(self.projection());
        index.build().map_err(StoreError::dynamodb)
    }

    fn creation(&self) -> Result<GlobalSecondaryIndexUpdate, StoreError> {
        let create = CreateGlobalSecondaryIndexAction::builder()
            .index_name(self.name)
            .set_key_schema(Some(key_schema(&self.keys)?))
            .projection(self.projection());
        let create = create.build().map_err(StoreError::dynamodb)?;
        Ok(GlobalSecondaryIndexUpdate::builder().create(create).build())
    }

    fn projection(&self) -> Projection {
        let projection = Projection::builder();
        if self.projected.is_empty() {
            return projection.projection_type(ProjectionType::KeysOnly).build();
        }
        let projected = self.projected.iter().map(|name| (*name).to_owned()).collect();
        projection.projection_type(ProjectionType::Include).set_non_key_attributes(Some(projected)).build()
    }
}

fn attributes(keys: &[(&str, ScalarAttributeType)]) -> Result<Vec<AttributeDefinition>, StoreError> {
    let attribute = |(name, kind): &(&str, ScalarAttributeType)| {
        AttributeDefinition::builder().attribute_name(*name).attribute_type(kind.clone()).build()
    };
    keys.iter().map(attribute).collect::<Result<_, _>>().map_err(StoreError::dynamodb)
}

fn key_schema(keys: &[(&str, ScalarAttributeType)]) -> Result<Vec<KeySchemaElement>, StoreError> {
    let kinds = [KeyType::Hash, KeyType::Range];
    let element = |((name, _), kind): (&(&str, ScalarAttributeType), KeyType)| {
        KeySchemaElement::builder().attribute_name(*name).key_type(kind).build()
    };
    keys.iter().zip(kinds).map(element).collect::<Result<_, _>>().map_err(StoreError::dynamodb)
}
