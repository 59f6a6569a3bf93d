//! Ends the wait of credentials that nobody confirmed in time. A sweep finds them like a connection that is due.

use larder::connection::{ConnectionKey, RefreshOutcome};
use larder::dynamodb::Write;
use larder::error::Error;

use super::Refresher;

impl Refresher {
    /// Erases the credentials in this item if their time is up.
    pub(super) async fn end_unconfirmed(&self, item: &ConnectionKey) -> Result<RefreshOutcome, Error> {
        let Some(unconfirmed) = self.connections.unconfirmed_in(item).await? else { return Ok(RefreshOutcome::Gone) };
        if unconfirmed.is_open(self.clock.now()) {
            return Ok(RefreshOutcome::TooSoon);
        }
        Ok(match self.writer.end(&self.connector_setup, &unconfirmed).await? {
            Write::Done => RefreshOutcome::Gone,
            Write::Conflict => RefreshOutcome::Busy,
        })
    }
}
