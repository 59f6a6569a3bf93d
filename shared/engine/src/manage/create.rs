//! Creates connections without a browser: from the values that an end user would enter, or from credentials that were
//! obtained elsewhere.
//!
//! # Decisions
//!
//! A tenant's first connection through an integration gets the id under which connecting looks for it, so that a connect link
//! reconnects it. Further ones get random ids, as with `allowMultipleConnections`.

use futures::future::try_join_all;
use larder::caller::Caller;
use larder::connection::{
    Connection, ConnectionKey, Details, DetailsPatch, Given, IntegrationRef, former_own_ids, own_id,
};
use larder::dynamodb::schema::MAX_TENANT_BYTES;
use larder::dynamodb::{AttemptKind, Begun};
use larder::error::Error;
use larder::{random, record};

use super::Management;
use super::delete::changed_by_others;
use super::secrets::{CredentialsPlan, NewSecrets};
use crate::connect::Candidate;

/// A connection to create.
pub struct Creation {
    /// The integration's key.
    pub integration_key: String,
    /// The tenant, if it is not the caller's own.
    pub tenant: Option<String>,
    /// The attributes that people own.
    pub details: DetailsPatch,
    /// The values to make credentials of, or the credentials.
    pub secrets: NewSecrets,
    /// Whether the credentials are tested first.
    pub is_tested: bool,
}

impl Creation {
    /// Checks what can be checked without the integration and the caller.
    ///
    /// # Errors
    /// 400 if a value is invalid; 413 if the credentials are too large.
    pub fn check(&self) -> Result<(), Error> {
        self.details.check()?;
        self.secrets.check_credentials()?;
        self.tenant.as_deref().map_or(Ok(()), check_tenant)
    }
}

impl Management {
    /// Creates a connection and schedules its first refresh. The credentials are tested first.
    ///
    /// # Errors
    /// 400 if a value is invalid, the test fails, or the connector needs an approval; 403 if only admins may do this; 409 if
    /// another connection has the key.
    pub async fn create(&self, caller: &Caller, creation: &Creation) -> Result<Connection, Error> {
        let Creation { integration_key, details: patch, secrets, is_tested, .. } = creation;
        patch.check()?;
        secrets.check(caller)?;
        if !is_tested && !caller.admin {
            return Err(Error::access_denied("only admins may store untested credentials; omit `test`"));
        }
        let tenant = tenant_of(caller, creation.tenant.clone())?;
        let integration = self.connector_setup.integration_for(caller, integration_key).await?;
        caller.require_creation(Some(integration_key))?;
        let now = self.clock.now();
        let mut details = Details::default();
        if !patch.is_empty() {
            patch.apply(&mut details, now);
        }
        let mut key = self.free_id(caller, integration_key, tenant.as_deref()).await?;
        record::note(|record| record.connection(&key));
        if let Some(own_key) = &details.key {
            let planned = Connection { tenant: tenant.clone(), ..Connection::new(key.clone(), now) };
            self.require_free_key(&planned, own_key).await?;
        }
        let plan = CredentialsPlan {
            integration: &integration,
            option_key: secrets.option_key.as_deref().unwrap_or_default(),
            tenant: tenant.as_deref(),
            input: secrets.input.clone().unwrap_or_default(),
            connector_parameters: secrets.connector_parameters.clone().unwrap_or_default(),
            given: (secrets.credentials.is_some() && !caller.admin).then(Given::default),
        };
        let begun = Begun::now(AttemptKind::Connect);
        let (auth, obtained) = self.obtain(&plan, secrets).await?;
        let Some(obtained) = obtained else {
            let message = "this connector needs its user's approval: open /connect in the user's browser, or import \
                           existing tokens as `credentials`";
            return Err(Error::bad_request(message));
        };
        let candidate = Candidate::new(obtained, auth.connection_parameters.clone(), plan.connector_parameters);
        let mut candidate = candidate.with_given(plan.given);
        if *is_tested {
            candidate = self.writer.tested(&auth, candidate).await?;
        }
        let reference = IntegrationRef::new(&integration, &auth.option.key);
        // Another request may have taken the first id meanwhile. Nobody takes a random one.
        for _ in 0..2 {
            let created =
                self.writer.create(key.clone(), tenant.clone(), details.clone(), &reference, &candidate).await?;
            if let Some(connection) = created {
                record::note(|record| record.connection(&connection.key));
                self.attempts.add(&connection.key, begun, None).await;
                return Ok(connection);
            }
            key = self.random_id(caller);
        }
        Err(changed_by_others(&key.id))
    }

    async fn free_id(&self, caller: &Caller, integration: &str, tenant: Option<&str>) -> Result<ConnectionKey, Error> {
        let workspace = &caller.workspace;
        let own = ConnectionKey::new(workspace, own_id(workspace, integration, tenant));
        let former = former_own_ids(workspace, integration, tenant);
        let keys: Vec<_> =
            former.into_iter().map(|id| ConnectionKey::new(workspace, id)).chain([own.clone()]).collect();
        let stored = try_join_all(keys.iter().map(|key| self.connections.get(key))).await?;
        let has_one = stored.into_iter().flatten().any(|it| it.tenant.as_deref() == tenant);
        Ok(if has_one { self.random_id(caller) } else { own })
    }

    fn random_id(&self, caller: &Caller) -> ConnectionKey {
        ConnectionKey::new(&caller.workspace, random::token::<16>(&*self.writer.rng))
    }
}

/// The tenant that the connection belongs to.
fn tenant_of(caller: &Caller, wanted: Option<String>) -> Result<Option<String>, Error> {
    match wanted {
        None => Ok(caller.tenant.clone()),
        own if own == caller.tenant => Ok(own),
        Some(_) if !caller.admin => {
            Err(Error::access_denied("`tenantKey` requires an admin token; omit it to create your own connection"))
        }
        Some(tenant) => check_tenant(&tenant).map(|()| Some(tenant)),
    }
}

pub(super) fn check_tenant(tenant: &str) -> Result<(), Error> {
    if tenant.is_empty() || tenant.len() > MAX_TENANT_BYTES {
        return Err(Error::bad_request(format!("`tenantKey` must have 1 to {MAX_TENANT_BYTES} bytes")));
    }
    Ok(())
}
