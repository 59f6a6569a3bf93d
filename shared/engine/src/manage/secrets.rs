//! The secret part of a connection, as callers give it when they create or change one.
//!
//! # Decisions
//!
//! Credentials that a caller supplies may name any account. Functions that use the integration's secrets therefore see none of
//! their identifiers, or those that the provider gave before, as after `PUT /credentials`. Admins are exempt when they create a
//! connection: they hold the integration's secrets anyway, and import connections whose functions need the identifiers.
//!
//! If only the input or the parameters of an OAuth connection change, its tokens stay. A refresh in progress would replace
//! them and lose to this write, so the write waits for it and requires a row without a lease.

use std::sync::Arc;
use std::time::Duration;

use larder::caller::Caller;
use larder::connection::{Connection, DetailsPatch, Given, IntegrationRef, Problem};
use larder::credentials::Credentials;
use larder::dynamodb::{AttemptKind, Begun, Expect, Integration, StoreError};
use larder::error::{Error, ErrorType};
use serde_json::{Map, Value};

use super::delete::changed_by_others;
use super::{Management, unknown};
use crate::connect::Candidate;
use crate::connector_setup::ConnectInputs;
use crate::provider::{ConnectorContext, ObtainedCredentials};

/// The values from which credentials are made, or the credentials themselves. Members that are `None` stay as they are.
#[derive(Default)]
pub struct NewSecrets {
    /// The auth option.
    pub option_key: Option<String>,
    /// The values that the end user entered.
    pub input: Option<Map<String, Value>>,
    /// Overrides of the integration's parameters, for admins.
    pub connector_parameters: Option<Map<String, Value>>,
    /// Credentials that were obtained elsewhere.
    pub credentials: Option<Credentials>,
}

/// Everything about a connection that decides how its credentials are made.
pub(super) struct CredentialsPlan<'a> {
    pub(super) integration: &'a Integration,
    pub(super) option_key: &'a str,
    pub(super) tenant: Option<&'a str>,
    pub(super) input: Map<String, Value>,
    pub(super) connector_parameters: Map<String, Value>,
    /// The identifiers to which functions with secrets are limited.
    pub(super) given: Option<Given>,
}

impl NewSecrets {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        let Self { option_key, input, connector_parameters, credentials } = self;
        option_key.is_none() && input.is_none() && connector_parameters.is_none() && credentials.is_none()
    }

    /// Whether they are what a connection has already: SDKs send its option back with every change.
    fn are_those_of(&self, connection: &Connection) -> bool {
        let Self { option_key, input, connector_parameters, credentials } = self;
        let stored = connection.integration.as_ref().map(|integration| &integration.option_key);
        option_key.as_ref() == stored && input.is_none() && connector_parameters.is_none() && credentials.is_none()
    }

    /// Checks the caller's rights and the form of the credentials.
    ///
    /// # Errors
    /// 403 for parameters from a tenant, whose empty object counts as none; 400 for credentials that are not an object; 413 for credentials that are too
    /// large.
    pub(super) fn check(&self, caller: &Caller) -> Result<(), Error> {
        if self.connector_parameters.as_ref().is_some_and(|parameters| !parameters.is_empty()) {
            caller.require_override()?;
        }
        self.check_credentials()
    }

    /// Checks the form of the credentials.
    ///
    /// # Errors
    /// 400 for credentials that are not an object; 413 for too many values or bytes.
    pub(super) fn check_credentials(&self) -> Result<(), Error> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        if !credentials.as_json().starts_with('{') {
            return Err(Error::bad_request("`credentials` must be an object, such as the provider's token response"));
        }
        if !credentials.to_value().is_object() {
            let message = "`credentials` cannot be read: a number is too large, a \\u escape has no other half, or it is nested \
                           too deeply";
            return Err(Error::bad_request(message));
        }
        if credentials.have_too_many_values() {
            let most = Credentials::MAX_VALUES;
            let message =
                format!("`credentials` must have at most {most} values; store fewer, or encode them in a string");
            return Err(Error::too_large(message));
        }
        if credentials.as_json().len() > Credentials::MAX_BYTES {
            let most = Credentials::MAX_BYTES / 1024;
            return Err(Error::too_large(format!("`credentials` are too large; the limit is {most} KiB")));
        }
        Ok(())
    }

    fn members(&self) -> Option<Map<String, Value>> {
        match self.credentials.as_ref()?.to_value() {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }
}

impl Management {
    /// Changes attributes that people own, and replaces secrets. New secrets are tested first; if they fail, nothing changes.
    ///
    /// # Errors
    /// As [`Self::patch`]; 400 if the test fails, or the connection has no integration; 409 if it keeps changing.
    pub async fn patch_with_secrets(
        &self,
        caller: &Caller,
        selector: &str,
        tenant: Option<&str>,
        patch: &DetailsPatch,
        secrets: &NewSecrets,
    ) -> Result<Connection, Error> {
        // A test takes up to ten seconds, and the gateway waits for thirty.
        const ATTEMPTS: usize = 2;
        if secrets.is_empty() {
            return self.patch(caller, selector, tenant, patch).await;
        }
        patch.check()?;
        secrets.check(caller)?;
        let mut seen = self.find(caller, selector, tenant).await?;
        if secrets.are_those_of(&seen) {
            return self.patch(caller, selector, tenant, patch).await;
        }
        if let Some(key) = patch.key.iter().flatten().next() {
            self.require_free_key(&seen, key).await?;
        }
        for _ in 0..ATTEMPTS {
            let (key, begun) = (seen.key.clone(), Begun::now(AttemptKind::Replace));
            match self.replace_secrets(caller, seen, patch, secrets).await {
                Ok(Some(renewed)) => {
                    self.attempts.add(&key, begun, None).await;
                    return Ok(renewed);
                }
                Ok(None) => {}
                Err(error) => {
                    if error.kind == ErrorType::Connection {
                        self.attempts.add(&key, begun, Some(&Problem::from(&error))).await;
                    }
                    return Err(error);
                }
            }
            let stored = self.connections.get(&key).await?;
            seen = stored.filter(|it| caller.may_see(it)).ok_or_else(|| unknown(selector))?;
        }
        Err(changed_by_others(selector))
    }

    async fn replace_secrets(
        &self,
        caller: &Caller,
        seen: Connection,
        patch: &DetailsPatch,
        secrets: &NewSecrets,
    ) -> Result<Option<Connection>, Error> {
        let Some(reference) = seen.integration.clone() else {
            let message = "these credentials don't belong to an integration; replace them with PUT /credentials";
            return Err(Error::bad_request(message));
        };
        let integration = self.connector_setup.integration(&seen.key.workspace, &reference.key).await?;
        let stored = match secrets.credentials {
            // The stored credentials are only read for the identifiers that the provider gave.
            Some(_) => self.vault.open_to_replace(&seen).await?,
            None => self.vault.open_entered(&seen).await?.unwrap_or_default(),
        };
        let tenant = seen.tenant.clone();
        let own_option = self.connector_setup.option_key(&integration, &reference.option_key);
        let plan = CredentialsPlan {
            integration: &integration,
            option_key: secrets.option_key.as_deref().unwrap_or(&own_option),
            tenant: tenant.as_deref(),
            input: secrets.input.clone().unwrap_or(stored.input),
            connector_parameters: secrets
                .connector_parameters
                .clone()
                .filter(|_| caller.admin)
                .unwrap_or(stored.connector_parameters),
            given: stored.given.filter(|_| secrets.credentials.is_some()),
        };
        let (auth, obtained) = self.obtain(&plan, secrets).await?;
        if obtained.is_none() && auth.option.key != own_option {
            let message =
                "this option needs its user's approval: reconnect at /connect, or import tokens as `credentials`";
            return Err(Error::bad_request(message));
        }
        let reference = IntegrationRef::new(&integration, &auth.option.key);
        let Some(obtained) = obtained else {
            return self.keep_tokens(seen, &plan, reference, patch).await;
        };
        let candidate = Candidate::new(obtained, auth.connection_parameters.clone(), plan.connector_parameters);
        let candidate = self.writer.tested(&auth, candidate.with_given(plan.given)).await?;
        let expect = Expect::Version(seen.version);
        self.writer.renew(seen, &reference, &candidate, patch, expect).await
    }

    /// Changes everything but the tokens of a connection that needs an approval.
    async fn keep_tokens(
        &self,
        seen: Connection,
        plan: &CredentialsPlan<'_>,
        reference: IntegrationRef,
        patch: &DetailsPatch,
    ) -> Result<Option<Connection>, Error> {
        let (key, version) = (&seen.key, seen.version);
        let settled = self.connections.settled(key, version, &*self.clock).await?;
        let Some(seen) = settled.filter(|settled| settled.version == version) else { return Ok(None) };
        if seen.lease.is_some() {
            let retry_after = Some(Duration::from_secs(5));
            return Err(Error { retry_after, ..Error::unready("a refresh is in progress; try again") });
        }
        let contents = self.vault.open(&seen).await?;
        let Some(credentials) = &contents.credentials else {
            return Err(Error::connection(None, "the connection has no credentials; its end user must reconnect"));
        };
        let Value::Object(members) = credentials.to_value() else {
            return Err(Error::bad_request("the stored credentials are not an object; reconnect instead"));
        };
        let inputs = ConnectInputs { given: contents.given.as_ref(), ..plan.inputs() };
        let auth = self.connector_setup.auth_for(plan.integration, &inputs).await?;
        let obtained = self.provider.adopt(&auth, members).await?;
        let input = auth.connection_parameters.clone();
        let candidate = Candidate::new(obtained, input, plan.connector_parameters.clone());
        let candidate = candidate.with_given(contents.given.clone()).of_same_tokens(&seen);
        let candidate = self.writer.tested(&auth, candidate).await?;
        let expect = Expect::Unleased(seen.version, self.clock.now());
        self.writer.renew(seen, &reference, &candidate, patch, expect).await
    }

    /// Checks the values against the connector's schemas and makes credentials of them. Returns no credentials if they need an
    /// approval at the provider.
    pub(super) async fn obtain(
        &self,
        plan: &CredentialsPlan<'_>,
        secrets: &NewSecrets,
    ) -> Result<(Arc<ConnectorContext>, Option<ObtainedCredentials>), Error> {
        let auth = self.connector_setup.auth_for(plan.integration, &plan.inputs()).await?;
        let obtained = match secrets.members() {
            Some(credentials) => Some(self.provider.adopt(&auth, credentials).await?),
            None if auth.kind().is_immediate() => Some(self.provider.enter(&auth).await?),
            None => None,
        };
        Ok((auth, obtained))
    }

    /// Checks that no other connection of the tenant has a key, before the provider is called. The write checks it again.
    pub(super) async fn require_free_key(&self, connection: &Connection, key: &str) -> Result<(), Error> {
        let Connection { key: own, tenant, .. } = connection;
        let holder = self.connections.by_key(&own.workspace, tenant.as_deref(), key).await?;
        match holder {
            Some(holder) if holder.key != *own => Err(StoreError::KeyTaken.into()),
            _ => Ok(()),
        }
    }
}

impl CredentialsPlan<'_> {
    fn inputs(&self) -> ConnectInputs<'_> {
        ConnectInputs {
            option_key: self.option_key,
            tenant: self.tenant,
            connector_parameters: &self.connector_parameters,
            input: &self.input,
            given: self.given.as_ref(),
        }
    }
}
