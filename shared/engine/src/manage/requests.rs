//! Connection requests: creates them, shows how they ended, and cancels them.
//!
//! # Decisions
//!
//! A status token is not a token of a caller. It is random, names no workspace, and is compared with the digest in one request,
//! so nothing else accepts it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::try_join_all;
use larder::caller::{Caller, refused};
use larder::clock::{later, rfc3339};
use larder::connection::{ConnectionKey, DetailsPatch};
use larder::digest::sha256_base64url;
use larder::dynamodb::{ConnectionRequest, RequestOutcome, Write};
use larder::error::Error;
use larder::secret::Secret;
use larder::{random, record};
use serde_json::{Value, json};

use super::{Management, unknown, without_nulls};
use crate::connect::{Delivery, RequestedConnection, request_id};

/// The longest lifetime of a request, in seconds.
const MAX_LIFETIME: u64 = 24 * 60 * 60;
/// The lifetime of a request that doesn't state one, in seconds.
const LIFETIME: u64 = 30 * 60;
/// The most integrations that an end user can choose from.
const MAX_INTEGRATIONS: usize = 50;

impl Management {
    /// Creates a connection request that expires after this many seconds. The answer has its link and its status token, which
    /// are stored only as digests.
    ///
    /// # Errors
    /// 400 for a value that is invalid or breaks a limit; 404 if there is no such integration or connection.
    pub async fn create_request(
        &self,
        caller: &Caller,
        mut wanted: RequestedConnection,
        expires_in: Option<u64>,
    ) -> Result<Value, Error> {
        let lifetime = expires_in.unwrap_or(LIFETIME);
        if !(1..=MAX_LIFETIME).contains(&lifetime) {
            return Err(Error::bad_request(format!(
                "`expiresIn` must be a number of seconds from 1 to {MAX_LIFETIME}"
            )));
        }
        check_details(&wanted)?;
        let tenant = self.resolve_connection(caller, &mut wanted).await?;
        self.check_integrations(caller, &wanted).await?;

        let secret = random::token::<32>(&*self.writer.rng);
        let status_token = random::token::<32>(&*self.writer.rng);
        let id = request_id(&secret);
        let now = self.clock.now();
        let request = ConnectionRequest {
            workspace: caller.workspace.clone(),
            tenant,
            status_token: sha256_base64url(&status_token),
            browser: None,
            sealed: wanted.seal(self.vault.sealer(), &caller.workspace, &id).await?,
            expires_at: later(now, Duration::from_secs(lifetime)),
            outcome: None,
            id,
        };
        self.requests.put(&request).await?;
        let mut view = self.view_request(&request);
        view["url"] = format!("{}/connect?connectionRequestId={secret}", self.connector_setup.base_uri).into();
        view["statusToken"] = status_token.into();
        Ok(view)
    }

    /// Shows the status of a request.
    ///
    /// # Errors
    /// 404 if there is none, or it belongs to another tenant.
    pub async fn get_request(&self, caller: &Caller, id: &str) -> Result<Value, Error> {
        Ok(self.view_request(&self.find_request(caller, id).await?))
    }

    /// Shows the status of a request to the holder of its status token.
    ///
    /// # Errors
    /// 401 if the token is another one, or there is no such request.
    pub async fn get_request_by_token(&self, id: &str, status_token: &str) -> Result<Value, Error> {
        let request = self.requests.get(id, self.clock.now()).await?;
        let presented = Secret::new(sha256_base64url(status_token));
        let request = request.filter(|request| Secret::new(request.status_token.as_str()) == presented);
        let request = request.ok_or_else(|| refused("wrong status token"))?;
        record::note(|record| record.workspace = Some(request.workspace.clone()));
        Ok(self.view_request(&request))
    }

    /// Cancels a request. Its link no longer leads on, and a flow that it began can no longer be finished.
    ///
    /// # Errors
    /// 404 if there is none, or it belongs to another tenant; 409 if it has led to a connection.
    pub async fn cancel_request(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let request = self.find_request(caller, id).await?;
        match self.requests.cancel(&request.id).await? {
            Write::Done => Ok(()),
            Write::Conflict => {
                let message = "the connection request has led to a connection; delete that connection instead";
                Err(Error::conflict(message))
            }
        }
    }

    async fn find_request(&self, caller: &Caller, id: &str) -> Result<ConnectionRequest, Error> {
        let request = self.requests.get(id, self.clock.now()).await?;
        let visible = request.filter(|it| it.workspace == caller.workspace && caller.may_see(it.tenant.as_deref()));
        visible.ok_or_else(|| Error::not_found(format!("there is no connection request `{id}`")))
    }

    /// Returns the tenant that the connection belongs to. For a reconnect, the request gets the connection's integration.
    async fn resolve_connection(
        &self,
        caller: &Caller,
        wanted: &mut RequestedConnection,
    ) -> Result<Option<String>, Error> {
        let Some(id) = &wanted.connection_id else { return Ok(caller.tenant.clone()) };
        if wanted.key.is_some() {
            return Err(Error::bad_request("`connectionId` and `key` both name a connection; give only one"));
        }
        let stored = self.connections.get(&ConnectionKey::new(&caller.workspace, id)).await?;
        let connection = stored.filter(|it| caller.may_see(it.tenant.as_deref())).ok_or_else(|| unknown(id))?;
        let none = || Error::bad_request(format!("the connection `{id}` has no integration to reconnect through"));
        let integration = connection.integration.ok_or_else(none)?.key;
        if !wanted.integration_keys.is_empty() && !wanted.integration_keys.contains(&integration) {
            let message = format!("the connection `{id}` is of the integration `{integration}`; omit `integrationKey`");
            return Err(Error::bad_request(message));
        }
        wanted.integration_keys = vec![integration];
        Ok(connection.tenant)
    }

    /// Checks that the integrations exist, and may send their result to the redirect URI.
    async fn check_integrations(&self, caller: &Caller, wanted: &RequestedConnection) -> Result<(), Error> {
        let keys = &wanted.integration_keys;
        if keys.is_empty() {
            let message = "`integrationKey` is missing; add the key of an integration, `integrationKeys` with several, or a \
                           `connectionId`";
            return Err(Error::bad_request(message));
        }
        if keys.len() > MAX_INTEGRATIONS || keys.iter().collect::<BTreeSet<_>>().len() != keys.len() {
            let message = format!("`integrationKeys` must have at most {MAX_INTEGRATIONS} different members");
            return Err(Error::bad_request(message));
        }
        if keys.len() > 1 && wanted.option_key.is_some() {
            return Err(Error::bad_request("`authOptionKey` needs a single `integrationKey`"));
        }
        let loaded = keys.iter().map(|key| self.connector_setup.integration(&caller.workspace, key));
        for integration in try_join_all(loaded).await? {
            Delivery::new(&integration, wanted.redirect_uri.clone(), None, &self.connector_setup.base_uri)?;
        }
        Ok(())
    }

    fn view_request(&self, request: &ConnectionRequest) -> Value {
        let (connection_id, error) = match &request.outcome {
            Some(RequestOutcome::Connected { connection_id }) => (Some(connection_id), None),
            Some(RequestOutcome::Failed(error)) => (None, Some(error)),
            None | Some(RequestOutcome::Unconfirmed { .. } | RequestOutcome::Cancelled) => (None, None),
        };
        without_nulls(json!({
            "requestId": request.id,
            "status": request.status(self.clock.now()),
            "expiresAt": rfc3339(request.expires_at),
            "resultConnectionId": connection_id,
            "resultError": error,
        }))
    }
}

/// Checks the values that do not depend on anything stored.
fn check_details(wanted: &RequestedConnection) -> Result<(), Error> {
    let patch = DetailsPatch {
        name: wanted.name.clone().map(Some),
        key: wanted.key.clone().map(Some),
        tags: wanted.tags.clone(),
        meta: wanted.meta.clone().map(Some),
        is_deactivated: None,
    };
    patch.check()
}
