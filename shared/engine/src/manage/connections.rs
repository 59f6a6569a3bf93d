//! Lists, changes, tests, and refreshes connections.

use std::sync::Arc;
use std::time::Duration;

use larder::caller::Caller;
use larder::connection::{Connection, DetailsPatch, Flow, Problem, RefreshOutcome, State};
use larder::dynamodb::{AttemptKind, Begun, Page, Selection, StoreError, Write};
use larder::error::{Error, log_cause};
use larder::random;
use serde_json::{Value, json};

use super::delete::changed_by_others;
use super::refresh_once::RefreshOnce;
use super::{Filters, Management, unknown};
use crate::provider::ProviderError;
use crate::refresh::Trigger;

impl Management {
    /// Lists a page of connections, as `{items, cursor?}`.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub async fn list(&self, caller: &Caller, filters: &Filters) -> Result<Value, Error> {
        let page = self.page(caller, filters).await?;
        let items: Vec<_> = page.items.iter().map(Connection::view).collect();
        let mut body = json!({ "items": items });
        if let Some(cursor) = page.cursor {
            body["cursor"] = cursor.into();
        }
        Ok(body)
    }

    /// Returns a page of connections.
    ///
    /// # Errors
    /// When the cursor belongs to another list, or the table fails.
    pub async fn page(&self, caller: &Caller, filters: &Filters) -> Result<Page, Error> {
        if filters.is_empty {
            return Ok(Page { items: Vec::new(), cursor: None });
        }
        let now = self.clock.now();
        let matches = |connection: &Connection| filters.matches(connection) && !connection.is_past_archive(now);
        let selection = Selection {
            tenant: filters.tenant.as_deref(),
            integration: filters.integration.as_deref(),
            state: filters.state,
            needs_attention: filters.needs_attention,
            with_archived: filters.with_archived,
            filter: if filters.filters_rows() || filters.with_archived { Some(&matches) } else { None },
            ..caller.selection()
        };
        Ok(match (&filters.tenant, &filters.key) {
            // A tenant has at most one.
            (Some(tenant), Some(key)) if filters.cursor.is_none() => {
                let found = self.connections.by_key(&caller.workspace, Some(tenant), key).await?;
                let items = found.into_iter().filter(|connection| selection.selects(connection)).collect();
                Page { items, cursor: None }
            }
            _ => self.connections.list(&caller.workspace, selection, filters.limit, filters.cursor.as_deref()).await?,
        })
    }

    /// Changes attributes that people own.
    ///
    /// # Errors
    /// 400 for a value that breaks a limit; 409 for a key that another connection of the tenant has.
    pub async fn patch(
        &self,
        caller: &Caller,
        selector: &str,
        tenant: Option<&str>,
        patch: &DetailsPatch,
    ) -> Result<Connection, Error> {
        patch.check()?;
        let mut connection = self.find(caller, selector, tenant).await?;
        let now = self.clock.now();
        if patch.is_empty() {
            return Ok(connection);
        }
        match self.connections.patch(&connection, patch, now).await? {
            Write::Done => patch.apply(&mut connection.details, now),
            Write::Conflict => return Err(unknown(selector)),
        }
        Ok(connection)
    }

    /// Marks a connection as used by a flow, or as no longer used by it.
    ///
    /// # Errors
    /// 400 for a flow that breaks a limit; 409 while the connection is being deleted.
    pub async fn put_flow(
        &self,
        caller: &Caller,
        selector: &str,
        tenant: Option<&str>,
        id: &str,
        flow: &Flow,
    ) -> Result<(), Error> {
        // Each attempt fails only if another request has changed the connection.
        const ATTEMPTS: u32 = 10;
        flow.check(id)?;
        let mut connection = self.find(caller, selector, tenant).await?;
        for attempt in 0..ATTEMPTS {
            connection.details.check_room_for(id, flow)?;
            if self.connections.mark_flow(&connection, id, flow, self.clock.now()).await? == Write::Done {
                return Ok(());
            }
            let stored = self.connections.get(&connection.key).await?;
            let stored = stored.filter(|it| caller.may_see(it)).ok_or_else(|| unknown(selector))?;
            if stored.details.changed_at == connection.details.changed_at {
                return Err(Error::conflict(format!("the connection `{selector}` is being deleted")));
            }
            connection = stored;
            // Many flows may mark a connection at the same moment.
            let pause = Duration::from_millis(20) * attempt;
            tokio::time::sleep(pause.mul_f64(random::fraction(&*self.writer.rng))).await;
        }
        Err(changed_by_others(selector))
    }

    /// Removes the mark of a flow.
    ///
    /// # Errors
    /// 404 if there is no such connection.
    pub async fn delete_flow(
        &self,
        caller: &Caller,
        selector: &str,
        tenant: Option<&str>,
        id: &str,
    ) -> Result<(), Error> {
        let connection = self.find(caller, selector, tenant).await?;
        match self.connections.unmark_flow(&connection, id, self.clock.now()).await? {
            Write::Done => Ok(()),
            Write::Conflict => Err(unknown(selector)),
        }
    }

    /// Tests the stored credentials. A failed test is a result, not an error.
    ///
    /// # Errors
    /// When there are no credentials, or the integration is at fault.
    pub async fn test(&self, caller: &Caller, selector: &str, tenant: Option<&str>) -> Result<Value, Error> {
        let connection = self.find(caller, selector, tenant).await?;
        let key = connection.key.clone();
        let contents = self.vault.open(&connection).await?;
        let auth = self.connector_setup.auth_of(&connection, &contents).await?;
        let Some(credentials) = &contents.credentials else {
            return Err(Error::connection(None, "the connection has no credentials; its end user must reconnect"));
        };
        let (reauthorize, begun) = (RefreshOnce::new(&self.refresher, &connection), Begun::now(AttemptKind::Test));
        let error = self.provider.test(&auth, credentials, Some(Arc::clone(&reauthorize) as _)).await.err();
        let is_set_up = matches!(error, Some(ProviderError::Configuration { .. }));
        let error = error.map(Error::from);
        let problem = error.as_ref().map(Problem::from);
        self.record_test(reauthorize.renewed().unwrap_or(connection), problem.as_ref()).await;
        self.attempts.add(&key, begun, problem.as_ref()).await;
        match error {
            None => Ok(json!({ "success": true })),
            Some(error) if is_set_up => Err(error),
            Some(error) => Ok(json!({ "success": false, "error": error })),
        }
    }

    /// Stores in the row how a test ended, unless it has other credentials by now. A failure to do so is only logged.
    async fn record_test(&self, tested: Connection, problem: Option<&Problem>) {
        let record = async |seen: &Connection| match seen.state {
            State::Ready if seen.test_problem.as_ref() != problem => {
                self.connections.record_test(seen, problem, self.clock.now()).await
            }
            _ => Ok(Write::Done),
        };
        let recording = async {
            if record(&tested).await? == Write::Conflict
                && let Some(stored) = self.connections.get(&tested.key).await?
                && stored.has_only_failed_since(tested.version)
            {
                // A refresh in progress writes a newer outcome.
                let _: Write = record(&stored).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = recording.await {
            log_cause("the table; the outcome of a test was not recorded", &error);
        }
    }

    /// Refreshes now, unless another caller is doing or has just done so. Simultaneous callers get the result of one
    /// refresh.
    ///
    /// # Errors
    /// When the refresh failed, with the connection in `data`.
    pub async fn refresh(&self, caller: &Caller, selector: &str, tenant: Option<&str>) -> Result<Connection, Error> {
        let seen = self.find(caller, selector, tenant).await?;
        self.refresh_found(caller, selector, &seen).await
    }

    /// Refreshes a connection that was found by a selector, as [`Self::refresh`] does.
    ///
    /// # Errors
    /// Like [`Self::refresh`].
    pub async fn refresh_found(&self, caller: &Caller, selector: &str, seen: &Connection) -> Result<Connection, Error> {
        let outcome = self.refresher.refresh(&seen.key, Some(seen.version), Trigger::Forced).await?;
        if outcome == RefreshOutcome::NotRefreshable {
            let message = "the connection has nothing to refresh with; its end user can reconnect";
            return Err(Error::connection(None, message));
        }
        let settled = self.connections.settled(&seen.key, seen.version, &*self.clock).await?;
        let connection = settled.filter(|it| caller.may_see(it)).ok_or_else(|| unknown(selector))?;
        match &connection.problem {
            None if connection.is_leased(self.clock.now()) => {
                Err(Error::connection_unavailable("a refresh is in progress; try again", Duration::from_secs(5)))
            }
            None => Ok(connection),
            Some(problem) => {
                let message = format!("the credentials were not refreshed: {}", problem.message);
                let wait = connection.spaced_at().map(|time| time - self.clock.now());
                let wait = wait.and_then(|wait| wait.try_into().ok()).unwrap_or_default();
                Err(match connection.state {
                    State::Ready => Error::connection_unavailable(message, wait),
                    State::ClientActionRequired | State::Building => Error::connection(None, message),
                }
                .with_data(json!({ "connection": connection.view() })))
            }
        }
    }
}
