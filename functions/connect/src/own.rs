//! The one connection that an end user has through an integration, where several are not wanted.

use larder::connection::{Connection, former_own_ids, own_id};
use larder::store::{Connections, StoreError};

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
    for id in std::iter::once(&own).chain(&former) {
        if let Some(connection) = connections.get(workspace, id).await?.filter(|it| it.tenant.as_deref() == tenant) {
            return Ok(Ok(connection));
        }
    }
    Ok(Err(own))
}
