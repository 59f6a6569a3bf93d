//! Confirms and discards the credentials of connections that wait for their application. The caller has checked that the
//! request is the application's.

use larder::connection::{Connection, ConnectionKey};
use larder::error::Error;

use super::Management;

impl Management {
    /// Stores the credentials that a connection request brought: a new connection comes into being, or a reconnected one gets
    /// them. `recorded` runs once they are stored, before what waited is erased.
    ///
    /// # Errors
    /// 404 if none of this request wait, because they were confirmed, discarded or replaced, or their time is up; 409 if the
    /// connection got other credentials meanwhile or keeps changing.
    pub async fn confirm(
        &self,
        key: &ConnectionKey,
        request_id: &str,
        recorded: impl Future<Output = Result<(), Error>>,
    ) -> Result<Connection, Error> {
        self.writer.confirm(&self.connector_setup, key, request_id, recorded).await
    }

    /// Erases the credentials that a connection request brought. Those of a new connection are revoked first. Discarding ones
    /// that no longer wait succeeds. Returns whether the connection has them already.
    ///
    /// # Errors
    /// 409 while they are being confirmed.
    pub async fn discard(&self, key: &ConnectionKey, request_id: &str) -> Result<bool, Error> {
        self.writer.discard(&self.connector_setup, key, request_id).await
    }
}
