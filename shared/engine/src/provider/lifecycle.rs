//! The operations that all types of authentication share: enter, refresh, test, disconnect.

use std::sync::Arc;

use larder::connection::{Account, Asked, Expiry, brings_new_token, granted_scopes};
use larder::credentials::Credentials;
use larder::record;
use serde_json::{Map, Value};

use super::auth::with_credentials;
use super::lifetime::{AnsweredRefresh, first_expiry};
use super::{ConnectorContext, ObtainedCredentials, Provider, ProviderError, Reauthorize};
use crate::connector::{AuthType, DatabaseLogin, Function, FunctionName, test_passed};
use crate::database_login;
use crate::egress::Limits;
use crate::oauth2::OAuthConfig;
use crate::response::add_default_lifetime;

/// How a connection's credentials are refreshed.
pub enum Renewal {
    /// With the connector's `refreshCredentials`.
    Function,
    /// With a refresh token.
    OAuth2(Box<OAuthConfig>),
}

impl Provider {
    /// Makes the credentials of connections that need no approval, from the values that the end user entered: the result of
    /// `getCredentialsFromConnectionParameters`, or else the values themselves.
    ///
    /// # Errors
    /// When the function fails.
    pub async fn enter(&self, auth: &Arc<ConnectorContext>) -> Result<ObtainedCredentials, ProviderError> {
        let asked = Asked::at(self.clock.now());
        let function = FunctionName::GetCredentialsFromConnectionParameters;
        let made = self.run_for_object(auth, function, Map::new(), None).await;
        let made = made.map_err(ProviderError::of_new_credentials)?;
        let scopes = made.as_ref().and_then(granted_scopes);
        let mut credentials = made.unwrap_or_else(|| auth.connection_parameters.clone());
        let rules = auth.refresh_rules();
        add_default_lifetime(&mut credentials, rules.default_expires_in);
        let expiry = first_expiry(auth, &credentials, asked);
        Ok(ObtainedCredentials {
            credentials,
            expiry,
            renews_itself: auth.renews_itself(),
            refresh_margin: rules.margin,
            scopes,
            account: None,
            is_dead: false,
        })
    }

    /// Takes credentials that a caller obtained elsewhere as they are. Their lifetime is read like a provider's.
    ///
    /// # Errors
    /// When `getOAuthConfig` does not return a configuration.
    pub async fn adopt(
        &self,
        auth: &Arc<ConnectorContext>,
        credentials: Map<String, Value>,
    ) -> Result<ObtainedCredentials, ProviderError> {
        let expiry = first_expiry(auth, &credentials, Asked::at(self.clock.now()));
        let (renews_itself, refresh_margin) = match self.renewal(auth).await? {
            Some(Renewal::OAuth2(config)) => (config.refresh_with_access_token, config.refresh_margin),
            Some(Renewal::Function) | None => (auth.renews_itself(), auth.refresh_rules().margin),
        };
        let scopes = granted_scopes(&credentials);
        // An `id_token` from a caller may name anyone.
        let account = None;
        Ok(ObtainedCredentials { credentials, expiry, renews_itself, refresh_margin, scopes, account, is_dead: false })
    }

    /// Returns how the credentials are refreshed, without calling the provider yet, or `None` if they cannot be.
    ///
    /// # Errors
    /// When `getOAuthConfig` does not return a configuration.
    pub async fn renewal(&self, auth: &Arc<ConnectorContext>) -> Result<Option<Renewal>, ProviderError> {
        if auth.renews_itself() {
            return Ok(Some(Renewal::Function));
        }
        match auth.kind() {
            AuthType::OAuth2 => Ok(Some(Renewal::OAuth2(Box::new(self.oauth2_config(auth, None).await?)))),
            _ => Ok(None),
        }
    }

    /// Refreshes credentials that expire at `expiry`. The caller merges the result into them.
    ///
    /// # Errors
    /// When the provider rejects the request or does not answer, or a connector's function returns something invalid.
    pub async fn refresh(
        &self,
        auth: &Arc<ConnectorContext>,
        renewal: &Renewal,
        credentials: &Value,
        expiry: Option<Expiry>,
    ) -> Result<ObtainedCredentials, ProviderError> {
        match renewal {
            Renewal::OAuth2(config) => self.refresh_oauth2(auth, config, credentials, expiry).await,
            Renewal::Function => {
                let asked_at = self.clock.now();
                let name = FunctionName::RefreshCredentials;
                let api = self.api(auth, name, credentials.clone(), None);
                let arguments = with_credentials(credentials.clone());
                let renewed = self.run_for_object(auth, name, arguments, Some(&api));
                let Ok(renewed) = tokio::time::timeout(Self::DEADLINE, renewed).await else {
                    let message = format!("refreshCredentials took longer than {} s", Self::DEADLINE.as_secs());
                    return Err(ProviderError::unavailable(message));
                };
                let rules = auth.refresh_rules();
                let mut changes = renewed?.unwrap_or_default();
                if brings_new_token(credentials, &changes) {
                    add_default_lifetime(&mut changes, rules.default_expires_in);
                }
                let asked = Asked { at: asked_at, date: api.date() };
                let refresh =
                    AnsweredRefresh { stored: credentials, before: expiry, asked, refresh_margin: rules.margin };
                refresh.obtained(auth, None, changes, true)
            }
        }
    }

    /// Runs the connector's test with these credentials. Without a test, all credentials pass. Without `reauthorize`, they are
    /// new.
    ///
    /// # Errors
    /// When the test fails, the provider does not answer, or a connector's function returns something invalid.
    pub async fn test(
        &self,
        auth: &Arc<ConnectorContext>,
        credentials: &Credentials,
        reauthorize: Option<Arc<dyn Reauthorize>>,
    ) -> Result<(), ProviderError> {
        let are_new = reauthorize.is_none();
        let tested = self.run_test(auth, credentials.to_value(), reauthorize).await;
        tested.map(drop).map_err(|error| if are_new { error.of_new_credentials() } else { error })
    }

    /// Tests new credentials like [`Self::test`], and finds out whose account they are for. The account is `None` if the
    /// connector cannot tell, or fails to.
    ///
    /// # Errors
    /// As [`Self::test`].
    pub async fn examine(
        &self,
        auth: &Arc<ConnectorContext>,
        credentials: &Credentials,
    ) -> Result<Option<Account>, ProviderError> {
        let credentials = credentials.to_value();
        let tested = self.run_test(auth, credentials.clone(), None).await;
        let response = tested.map_err(ProviderError::of_new_credentials)?;
        Ok(self.account(auth, credentials, response).await)
    }

    /// Runs the test. Returns the response to a REST test if `getAccount` needs it.
    pub(super) async fn run_test(
        &self,
        auth: &Arc<ConnectorContext>,
        credentials: Value,
        reauthorize: Option<Arc<dyn Reauthorize>>,
    ) -> Result<Option<Value>, ProviderError> {
        let Some(test) = auth.function(FunctionName::Test) else { return Ok(None) };
        let arguments = with_credentials(credentials.clone());
        let has_mapping = match test {
            Function::Database(login) => return self.log_in(auth, login, arguments).await.map(|()| None),
            Function::Rest(rest) => rest.response_mapping.is_some(),
            Function::Mapping(_) | Function::JavaScript(_) => true,
        };
        let api = self.api(auth, FunctionName::Test, credentials, reauthorize);
        let result = self.run(auth, FunctionName::Test, arguments, Some(&api)).await?;
        if test_passed(result.as_ref(), has_mapping) {
            return Ok(api.take_response());
        }
        let message = "the connector's test of the credentials did not succeed";
        Err(ProviderError::refused(message))
    }

    /// Ends a connection at the provider: with `disconnect`, or else by revoking its token if there is a `revocationUri`
    /// (RFC 7009).
    ///
    /// # Errors
    /// When the provider rejects the request or does not answer in time. The connection is removed anyway.
    pub async fn disconnect(
        &self,
        auth: &Arc<ConnectorContext>,
        credentials: &Value,
        reauthorize: Option<Arc<dyn Reauthorize>>,
    ) -> Result<(), ProviderError> {
        let ending = async {
            if auth.function(FunctionName::Disconnect).is_some() {
                let api = self.api(auth, FunctionName::Disconnect, credentials.clone(), reauthorize);
                let arguments = with_credentials(credentials.clone());
                self.run(auth, FunctionName::Disconnect, arguments, Some(&api)).await?;
            } else if *auth.kind() == AuthType::OAuth2 {
                self.revoke(auth, credentials).await?;
            }
            Ok(())
        };
        tokio::time::timeout(Self::DISCONNECT, ending)
            .await
            .unwrap_or_else(|_| Err(ProviderError::unavailable("the provider did not answer in time")))
    }

    /// Logs in to a database and out again.
    pub(super) async fn log_in(
        &self,
        auth: &ConnectorContext,
        login: &DatabaseLogin,
        arguments: Map<String, Value>,
    ) -> Result<(), ProviderError> {
        let login = login.evaluate(&Value::Object(auth.arguments(FunctionName::Test, arguments)));
        let login = login.map_err(|error| ProviderError::configuration(error.to_string()))?;
        let attempt = database_login::verify(&self.egress, &login, Limits::API.deadline);
        Ok(record::waiting_for_provider(attempt).await?)
    }
}
