//! The routes of connections.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use larder::caller::Caller;
use larder::connection::{Connection, State};
use larder::error::Error;
use larder::http::{Parameters, Request, Response, empty, json};
use larder::invocation::Here;
use larder::invoke::Outcome;
use larder::provider::{ProviderError, Reauthorize};
use larder::refresh::{Refresher, Trigger};
use larder::store::Connections;
use serde_json::{Value, json};

use crate::Management;

impl Management {
    /// The page size where none is asked for.
    const PAGE: usize = 50;

    pub(crate) async fn list_connections(&self, caller: &Caller, request: &Request) -> Result<Response, Error> {
        let parameters = Parameters::of_query(request);
        let limit = match parameters.optional("limit")? {
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=Connections::MAX_PAGE).contains(limit))
                .ok_or_else(|| Error::bad_request("`limit` is not a number from 1 to 100"))?,
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

    pub(crate) async fn delete_connection(&self, caller: &Caller, id: &str) -> Result<Response, Error> {
        let connection = self.connection_of(caller, id).await?;
        if let Err(error) = self.disconnect(&connection).await {
            tracing::warn!(connection = id, %error, "the application was not told that the connection ends");
        }
        self.vault.remove(&connection).await?;
        self.signals.removed(&connection).await;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// Has the provider forget the credentials. A connection ends also where that fails.
    async fn disconnect(&self, connection: &Connection) -> Result<(), Error> {
        if connection.integration.is_none() {
            return Ok(());
        }
        let contents = self.vault.open(connection).await?;
        let Some(credentials) = &contents.credentials else { return Ok(()) };
        let auth = self.configuration.auth_of(connection, &contents).await?;
        let reauthorize = self.reauthorize(connection);
        Ok(self.provider.disconnect(&auth, &credentials.to_value(), Some(reauthorize)).await?)
    }

    /// Renews this connection for a function that finds its credentials expired.
    fn reauthorize(&self, connection: &Connection) -> Arc<dyn Reauthorize> {
        Arc::new(RefreshOnce {
            refresher: Arc::clone(&self.refresher),
            workspace: connection.workspace.clone(),
            id: connection.id.clone(),
        })
    }

    /// Tries the stored credentials. A failure of the test is the answer, not an error.
    pub(crate) async fn test_connection(&self, caller: &Caller, id: &str) -> Result<Response, Error> {
        let connection = self.connection_of(caller, id).await?;
        let contents = self.vault.open(&connection).await?;
        let auth = self.configuration.auth_of(&connection, &contents).await?;
        let Some(credentials) = &contents.credentials else {
            return Err(Error::connection(None, "the connection has no credentials; connect again"));
        };
        let body = match self.provider.test(&auth, credentials, Some(self.reauthorize(&connection))).await {
            Ok(()) => json!({ "success": true }),
            Err(error @ ProviderError::Configuration { .. }) => return Err(error.into()),
            Err(error) => json!({ "success": false, "error": Error::from(error) }),
        };
        Ok(json(StatusCode::OK, &body))
    }

    /// Refreshes now, unless somebody just did or does: whoever asks at the same time gets the result of the one call.
    pub(crate) async fn refresh_connection(&self, caller: &Caller, id: &str) -> Result<Response, Error> {
        let seen = self.connection_of(caller, id).await?;
        let outcome = self.refresher.refresh(&caller.workspace, id, None, Trigger::Forced).await?;
        if outcome == Outcome::NotRefreshable {
            let message = "this connection has nothing to refresh with; its end user can connect again";
            return Err(Error::connection(None, message));
        }
        let settled = self.connections.settled(&caller.workspace, id, seen.version, &*self.clock).await?;
        let connection = settled.ok_or_else(|| unknown(id))?;
        match &connection.problem {
            None if connection.is_leased(self.clock.now()) => {
                Err(Error::connection_unavailable("a refresh is under way; ask again", Duration::from_secs(5)))
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
        let connection = self.connections.get(&caller.workspace, id).await?;
        connection.filter(|it| caller.may_see(it.tenant.as_deref())).ok_or_else(|| unknown(id))
    }
}

/// One forced refresh.
struct RefreshOnce {
    refresher: Arc<Refresher>,
    workspace: String,
    id: String,
}

#[async_trait]
impl Reauthorize for RefreshOnce {
    async fn reauthorize(&self) -> Option<Value> {
        let Self { refresher, workspace, id } = self;
        // Whoever asks may run out of time. The refresh goes on: what the provider gives is saved.
        let (refreshing, of) = (Arc::clone(refresher), (workspace.clone(), id.clone()));
        let refreshing = async move { refreshing.refresh(&of.0, &of.1, None, Trigger::Forced).await };
        let outcome = tokio::spawn(Here::current().run(refreshing)).await.ok()?.ok()?;
        if outcome != Outcome::Refreshed {
            return None;
        }
        let connection = refresher.connections.get(workspace, id).await.ok()??;
        let contents = refresher.vault.open(&connection).await.ok()?;
        contents.credentials.map(|credentials| credentials.to_value())
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("there is no connection `{id}`"))
}
