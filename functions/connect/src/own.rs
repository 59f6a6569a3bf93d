//! Finds an end user's only connection through an integration.

use futures::future::try_join_all;
use larder::connection::{Connection, ConnectionKey, former_own_ids, own_id};
use larder::dynamodb::{Connections, StoreError};

/// Returns the connection, or the id to create it with. It may have an id from an earlier version of Larder, in which
/// others could take an id first; their rows are skipped.
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
    // All at once, because the end user waits, and for a new connection none of them exists.
    let stored = try_join_all(keys.iter().map(|key| connections.get(key))).await?;
    let found = stored.into_iter().flatten().find(|it| it.tenant.as_deref() == tenant);
    Ok(found.ok_or(own))
}
