//! The OAuth 1.0a flow: the request token, the verifier, and signed requests.

use std::sync::Arc;

use http::Request;
use larder::connection::Asked;
use serde_json::{Map, Value};
use url::Url;

use super::lifetime::first_expiry;
use super::{ConnectorContext, ObtainedCredentials, Provider, ProviderError};
use crate::egress::{Limits, Response};
use crate::oauth1::{
    OAuth1Config, OAuth1Token, SignError, Stamp, build_access_token, build_authorize_url, build_request_token,
    check_callback, parse_access_token, parse_request_token, sign,
};
use crate::oauth2::{TokenError, TokenRequest};
use crate::response::{redirect_target, retry_after};

impl Provider {
    /// Returns a connection's OAuth 1.0a configuration (`getOAuthConfig`). `state` is only given when a flow begins.
    pub(super) async fn oauth1_config(
        &self,
        auth: &Arc<ConnectorContext>,
        state: Option<&str>,
    ) -> Result<OAuth1Config, ProviderError> {
        let config = self.oauth_config_of(auth, state).await?;
        OAuth1Config::from_value(&config).map_err(|error| ProviderError::configuration(error.to_string()))
    }

    /// Requests a request token. Also returns the URL where the end user approves it. The state goes into the callback's query.
    ///
    /// # Errors
    /// When the provider rejects the request or does not answer, or `getOAuthConfig` returns something invalid.
    pub async fn request_token(
        &self,
        auth: &Arc<ConnectorContext>,
        state: &str,
    ) -> Result<(OAuth1Token, Url), ProviderError> {
        let config = self.oauth1_config(auth, Some(state)).await?;
        let mut callback = Url::parse(&auth.callback_uri)
            .map_err(|_| ProviderError::configuration("the callback URI is not a valid URL"))?;
        callback.query_pairs_mut().append_pair("state", state);
        let request = build_request_token(&config, callback.as_str(), &self.stamp())?;
        let token = self.exchange_oauth1(request, |status, body| parse_request_token(&config, status, body)).await?;
        let authorize_url = build_authorize_url(&config, &token);
        Ok((token, authorize_url))
    }

    /// Exchanges an approved request token for credentials. `parameters` are those of the callback.
    ///
    /// # Errors
    /// When the callback belongs to another flow, or the provider rejects the request or does not answer.
    pub async fn exchange_verifier(
        &self,
        auth: &Arc<ConnectorContext>,
        request_token: &OAuth1Token,
        parameters: &Map<String, Value>,
    ) -> Result<ObtainedCredentials, ProviderError> {
        let config = self.oauth1_config(auth, None).await?;
        let verifier = check_callback(&config, request_token, parameters);
        let verifier = verifier.map_err(|error| ProviderError::refused(error.to_string()))?;
        let verifier = verifier.as_ref().map(larder::secret::Secret::expose);
        let request = build_access_token(&config, request_token, verifier, &self.stamp())?;
        let asked = Asked::at(self.clock.now());
        let credentials = self.exchange_oauth1(request, parse_access_token).await?;
        let expiry = first_expiry(auth, &credentials, asked);
        let refresh_margin = auth.refresh_rules().margin;
        Ok(ObtainedCredentials {
            credentials,
            expiry,
            renews_itself: auth.renews_itself(),
            refresh_margin,
            scopes: None,
            account: None,
            is_dead: false,
        })
    }

    /// Signs an API request with a connection's credentials.
    pub(super) fn sign(
        &self,
        config: &OAuth1Config,
        credentials: &Value,
        request: &mut Request<Vec<u8>>,
    ) -> Result<(), ProviderError> {
        let token = OAuth1Token::of(credentials)
            .ok_or_else(|| ProviderError::configuration("the credentials lack oauth_token or oauth_token_secret"))?;
        Ok(sign(request, config, &token, &self.stamp())?)
    }

    fn stamp(&self) -> Stamp<'_> {
        Stamp::new(self.clock.now(), &*self.rng)
    }

    async fn exchange_oauth1<T>(
        &self,
        TokenRequest { request, secrets }: TokenRequest,
        parse: impl FnOnce(u16, &[u8]) -> Result<T, TokenError>,
    ) -> Result<T, ProviderError> {
        let uri = request.uri().clone();
        let Response { status, headers, body, permit: _permit, .. } = self.egress.send(request, Limits::TOKEN).await?;
        let wait = retry_after(&headers, self.clock.now());
        if let Some(target) = redirect_target(status.as_u16(), &headers, &uri) {
            return Err(TokenError::Redirected { status: status.as_u16(), target, retry_after: wait }.into());
        }
        parse(status.as_u16(), &body)
            .map_err(|error| ProviderError::from(error.with_retry_after(wait)).without(&secrets))
    }
}

impl From<SignError> for ProviderError {
    fn from(error: SignError) -> Self {
        Self::configuration(error.to_string())
    }
}
