//! A connection as the API shows it, without secrets.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Connection, State};
use crate::clock::rfc3339;

impl Connection {
    /// The members of the view that callers cannot change.
    pub const READ_ONLY: [&str; 24] = [
        "id",
        "tenantId",
        "userId",
        "integrationId",
        "integrationKey",
        "connectorId",
        "connectorKey",
        "state",
        "connected",
        "disconnected",
        "error",
        "clientAction",
        "canTest",
        "canRefreshCredentials",
        "nextCredentialsRefreshAt",
        "lastRefreshedAt",
        "expiresAt",
        "retryAttempts",
        "lastUsedAt",
        "scopes",
        "account",
        "archivedAt",
        "createdAt",
        "updatedAt",
    ];

    /// Returns the documented members that have a value; times are in RFC 3339.
    pub fn view(&self) -> Value {
        let connected = self.state == State::Ready;
        // The SDKs require a name.
        let integration = self.integration.as_ref().map(|integration| &integration.key);
        let name = self.details.name.as_ref().or(integration).unwrap_or(&self.key.id);
        let mut view = json!({
            "id": self.key.id,
            "name": name,
            "key": self.details.key,
            "tenantId": self.tenant,
            "userId": self.tenant,
            "tags": (!self.details.tags.is_empty()).then_some(&self.details.tags),
            "meta": self.details.meta,
            "integrationId": self.integration.as_ref().map(|integration| &integration.key),
            "integrationKey": self.integration.as_ref().map(|integration| &integration.key),
            "authOptionKey": self.integration.as_ref().map(|it| &it.option_key).filter(|key| !key.is_empty()),
            "connectorId": self.integration.as_ref().map(|integration| &integration.connector_key),
            "connectorKey": self.integration.as_ref().map(|integration| &integration.connector_key),
            "state": self.state,
            "connected": connected,
            "disconnected": !connected,
            "error": self.problem,
            "clientAction": (self.state == State::ClientActionRequired).then(|| json!({
                "type": "connect",
                "description": "The end user must reconnect.",
            })),
            "isDeactivated": self.details.is_deactivated.then_some(true),
            "canTest": self.integration.is_some() && self.archived_at.is_none(),
            "canRefreshCredentials": self.can_refresh(),
            "nextCredentialsRefreshAt": time(self.next_refresh_at),
            "lastRefreshedAt": time(self.last_refreshed_at),
            "expiresAt": time(self.expiry.map(|expiry| expiry.at)),
            "retryAttempts": self.retry_attempts,
            "lastUsedAt": time(self.details.last_used_at),
            "scopes": self.scopes,
            "account": self.account,
            "archivedAt": time(self.archived_at),
            "createdAt": time(Some(self.created_at)),
            "updatedAt": time(self.details.changed_at.max(Some(self.updated_at))),
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
            "name": self.details.name,
            "integrationKey": self.integration.as_ref().map(|integration| &integration.key),
            "customerId": self.tenant,
            "disconnected": self.state != State::Ready,
        })
    }
}

fn time(time: Option<OffsetDateTime>) -> Option<String> {
    time.and_then(rfc3339)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::ConnectionKey;

    #[test]
    fn each_member_of_a_view_can_be_changed_or_is_read_only() {
        let connection = Connection::new(ConnectionKey::new("acme", "c1"), OffsetDateTime::UNIX_EPOCH);
        let view = connection.view();
        let shown: Vec<_> = view.as_object().into_iter().flat_map(|members| members.keys()).collect();
        let changed = ["name", "key", "tags", "meta", "isDeactivated", "authOptionKey"];
        for name in shown {
            assert_ne!(changed.contains(&name.as_str()), Connection::READ_ONLY.contains(&name.as_str()), "{name}");
        }
        assert!(changed.iter().all(|name| !Connection::READ_ONLY.contains(name)));
    }
}
