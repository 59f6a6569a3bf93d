//! The one connection that an end user has through an integration, where several are not wanted.

use futures::future::try_join_all;
use larder::connection::{Connection, ConnectionKey, former_own_ids, own_id};
use larder::dynamodb::{Connections, StoreError};

/// That connection, or the id to make it under. It may have an id of an earlier version of Larder, when others could take
/// an id first: their rows are passed over.
///
/// # Errors
/// When DynamoDB fails.
pub async fn find(
    connections: &Connections,
    workspace: &str,
    integration_key: &str,
    tenant: Option<&str>,
) -> Result<Result<Connection, String>, StoreError> {
    let own = own_id(workspace, integration_key, tenant);
    let former = former_own_ids(workspace, integration_key, tenant);
    let ids = std::iter::once(&own).chain(&former);
    let keys: Vec<_> = ids.map(|id| ConnectionKey::new(workspace, id)).collect();
    // All at once: a new connection has none of them, and its end user waits.
    let stored = try_join_all(keys.iter().map(|key| connections.get(key))).await?;
    let found = stored.into_iter().flatten().find(|it| it.tenant.as_deref() == tenant);
    Ok(found.ok_or(own))
}
