//! The routes of connections.
//!
//! # Decisions
//!
//! `DELETE /connections/{id}` calls the provider first, which takes up to ten seconds. If the connection is refreshed
//! meanwhile, it is read again and removed. If it is reconnected, or its credentials are replaced, it is kept and the
//! answer is 409: the provider revoked another grant than the one stored now.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use larder::caller::Caller;
use larder::connection::RefreshOutcome;
use larder::connection::{Connection, ConnectionKey, State};
use larder::dynamodb::{Connections, Write};
use larder::error::Error;
use larder::http::{Parameters, Request, Response, empty, json};
use larder::record::TaskContext;
use larder_engine::provider::{ProviderError, Reauthorize};
use larder_engine::refresh::{Refresher, Trigger};
use serde_json::{Value, json};

use crate::Management;

impl Management {
    /// The default page size.
    const PAGE: usize = 50;

    pub(crate) async fn list_connections(&self, caller: &Caller, request: &Request) -> Result<Response, Error> {
        let parameters = Parameters::of_query(request);
        let limit = match parameters.optional("limit")? {
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=Connections::MAX_PAGE).contains(limit))
                .ok_or_else(|| Error::bad_request("`limit` must be a number from 1 to 100"))?,
            None => Self::PAGE,
        };
        let tenant = if caller.admin { None } else { caller.tenant.as_deref() };
        let cursor = parameters.optional("cursor")?;
        let page = self.connections.list(&caller.workspace, tenant, limit, cursor).await?;
        let items: Vec<_> = page.items.iter().map(Connection::view).collect();
        let mut body = json!({ "items": items });
        if let Some(cursor) = page.cursor {
            body["cursor"] = cursor.into();
        }
        Ok(json(StatusCode::OK, &body))
    }

    pub(crate) async fn get_connection(&self, caller: &Caller, id: &str) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.connection_of(caller, id).await?.view()))
    }

    /// Deletes a connection as it was when the provider was notified. If it is reconnected meanwhile, it is kept.
    pub(crate) async fn delete_connection(&self, caller: &Caller, id: &str) -> Result<Response, Error> {
        // Notifying the provider takes up to ten seconds, and the gateway waits for thirty.
        const ATTEMPTS: usize = 2;
        let mut seen = self.connection_of(caller, id).await?;
        for _ in 0..ATTEMPTS {
            let reauthorize = self.reauthorize(&seen);
            if let Err(error) = self.disconnect(&seen, &reauthorize).await {
                tracing::warn!(connection = id, %error, "the provider was not notified of the disconnect");
            }
            let disconnected = reauthorize.renewed().unwrap_or(seen);
            if self.vault.remove(&disconnected).await? == Write::Done {
                self.follow_up.removed(&disconnected).await;
                return Ok(empty(StatusCode::NO_CONTENT));
            }
            seen = self.connection_of(caller, id).await?;
            if !seen.has_only_been_refreshed_since(disconnected.version) {
                let message =
                    format!("the connection `{id}` got new credentials while it was being deleted, so it was kept");
                return Err(Error::conflict(message));
            }
        }
        Err(Error::conflict(format!("other requests are changing the connection `{id}`; try again")))
    }

    /// Makes the provider forget the credentials. The connection is deleted even if this fails.
    async fn disconnect(&self, connection: &Connection, reauthorize: &Arc<RefreshOnce>) -> Result<(), Error> {
        if connection.integration.is_none() {
            return Ok(());
        }
        let contents = self.vault.open(connection).await?;
        let Some(credentials) = &contents.credentials else { return Ok(()) };
        let auth = self.connector_setup.auth_of(connection, &contents).await?;
        let reauthorize = Arc::clone(reauthorize) as Arc<dyn Reauthorize>;
        Ok(self.provider.disconnect(&auth, &credentials.to_value(), Some(reauthorize)).await?)
    }

    /// Returns a refresh of this connection, for a connector function that finds its credentials expired.
    fn reauthorize(&self, connection: &Connection) -> Arc<RefreshOnce> {
        Arc::new(RefreshOnce {
            refresher: Arc::clone(&self.refresher),
            connection: connection.clone(),
            renewed: Mutex::default(),
        })
    }

    /// Tests the stored credentials. A failed test is a result, not an error.
    pub(crate) async fn test_connection(&self, caller: &Caller, id: &str) -> Result<Response, Error> {
        let connection = self.connection_of(caller, id).await?;
        let contents = self.vault.open(&connection).await?;
        let auth = self.connector_setup.auth_of(&connection, &contents).await?;
        let Some(credentials) = &contents.credentials else {
            return Err(Error::connection(None, "the connection has no credentials; its end user must reconnect"));
        };
        let body = match self.provider.test(&auth, credentials, Some(self.reauthorize(&connection) as _)).await {
            Ok(()) => json!({ "success": true }),
            Err(error @ ProviderError::Configuration { .. }) => return Err(error.into()),
            Err(error) => json!({ "success": false, "error": Error::from(error) }),
        };
        Ok(json(StatusCode::OK, &body))
    }

    /// Refreshes now, unless another caller is doing or has just done so. Simultaneous callers get the result of one
    /// refresh.
    pub(crate) async fn refresh_connection(&self, caller: &Caller, id: &str) -> Result<Response, Error> {
        let seen = self.connection_of(caller, id).await?;
        let outcome = self.refresher.refresh(&seen.key, Some(seen.version), Trigger::Forced).await?;
        if outcome == RefreshOutcome::NotRefreshable {
            let message = "the connection has nothing to refresh with; its end user can reconnect";
            return Err(Error::connection(None, message));
        }
        let settled = self.connections.settled(&seen.key, seen.version, &*self.clock).await?;
        let connection = settled.filter(|it| caller.may_see(it.tenant.as_deref())).ok_or_else(|| unknown(id))?;
        match &connection.problem {
            None if connection.is_leased(self.clock.now()) => {
                Err(Error::connection_unavailable("a refresh is in progress; try again", Duration::from_secs(5)))
            }
            None => Ok(json(StatusCode::OK, &connection.view())),
            Some(problem) => {
                let message = format!("the credentials were not refreshed: {}", problem.message);
                let wait = connection.spaced_at().map(|time| time - self.clock.now());
                let wait = wait.and_then(|wait| wait.try_into().ok()).unwrap_or_default();
                Err(match connection.state {
                    State::Ready => Error::connection_unavailable(message, wait),
                    State::ClientActionRequired => Error::connection(None, message),
                }
                .with_data(json!({ "connection": connection.view() })))
            }
        }
    }

    async fn connection_of(&self, caller: &Caller, id: &str) -> Result<Connection, Error> {
        let connection = self.connections.get(&ConnectionKey::new(&caller.workspace, id)).await?;
        connection.filter(|it| caller.may_see(it.tenant.as_deref())).ok_or_else(|| unknown(id))
    }
}

/// One forced refresh.
struct RefreshOnce {
    refresher: Arc<Refresher>,
    connection: Connection,
    renewed: Mutex<Option<Connection>>,
}

impl RefreshOnce {
    /// The connection after the refresh, if there was one.
    fn renewed(&self) -> Option<Connection> {
        self.renewed.lock().ok()?.take()
    }
}

#[async_trait]
impl Reauthorize for RefreshOnce {
    async fn reauthorize(&self) -> Option<Value> {
        let Connection { key, version, .. } = self.connection.clone();
        // The caller may run out of time. The refresh continues, so that the provider's new credentials are saved.
        let (refresher, of) = (Arc::clone(&self.refresher), key.clone());
        let refreshing = async move { refresher.refresh(&of, Some(version), Trigger::Forced).await };
        let outcome = tokio::spawn(TaskContext::current().run(refreshing)).await.ok()?.ok()?;
        if outcome != RefreshOutcome::Refreshed {
            return None;
        }
        let renewed = self.refresher.connections.get(&key).await.ok()??;
        if !renewed.has_only_been_refreshed_since(version) {
            return None;
        }
        let contents = self.refresher.vault.open(&renewed).await.ok()?;
        *self.renewed.lock().ok()? = Some(renewed);
        contents.credentials.map(|credentials| credentials.to_value())
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("there is no connection `{id}`"))
}
