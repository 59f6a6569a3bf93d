//! A connection as the API shows it, without secrets.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Connection, State};

impl Connection {
    /// Returns the documented members that have a value; times are in RFC 3339.
    pub fn view(&self) -> Value {
        let connected = self.state == State::Ready;
        let mut view = json!({
            "id": self.key.id,
            "name": self.name,
            "tenantId": self.tenant,
            "integrationKey": self.integration.as_ref().map(|integration| &integration.key),
            "authOptionKey": self.integration.as_ref().map(|it| &it.option_key).filter(|key| !key.is_empty()),
            "connectorKey": self.integration.as_ref().map(|integration| &integration.connector_key),
            "state": self.state,
            "connected": connected,
            "disconnected": !connected,
            "error": self.problem,
            "canRefreshCredentials": self.can_refresh(),
            "nextCredentialsRefreshAt": time(self.next_refresh_at),
            "lastRefreshedAt": time(self.last_refreshed_at),
            "expiresAt": time(self.expiry.map(|expiry| expiry.at)),
            "retryAttempts": self.retry_attempts,
            "createdAt": time(Some(self.created_at)),
            "updatedAt": time(Some(self.updated_at)),
        });
        if let Some(members) = view.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        view
    }

    /// Returns the members that events include.
    pub fn summary(&self) -> Value {
        json!({
            "id": self.key.id,
            "name": self.name,
            "integrationKey": self.integration.as_ref().map(|integration| &integration.key),
            "customerId": self.tenant,
            "disconnected": self.state != State::Ready,
        })
    }
}

fn time(time: Option<OffsetDateTime>) -> Option<String> {
    time.and_then(|time| time.replace_nanosecond(time.millisecond() as u32 * 1_000_000).ok()?.format(&Rfc3339).ok())
}
