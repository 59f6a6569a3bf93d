//! The OAuth 2.0 flow: exchanging the code, refreshing, and revoking.
//!
//! # Decisions
//!
//! After the code exchange, four results are merged, each overriding the ones before:
//! `getCredentialsFromConnectionParameters`, the callback's fields, the token response, and
//! `getCredentialsFromAccessTokenResponse`. A function that returns only additional fields loses nothing, and
//! `expires_in` stays readable. The callback's fields come before the token response because they passed through the
//! browser.
//!
//! After a refresh, the function's result, or else the token response, is merged into the stored credentials. A rotated
//! `refresh_token` is kept even if the function forgets it, and the tokens even if it fails; an empty one does not
//! replace the old one.

use std::sync::Arc;

use http::header;
use larder::connection::{Asked, Expiry, granted_scopes, states_lifetime, within_limits};
use larder::credentials::refresh_token;
use larder::isolation::caught;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::lifetime::{AnsweredRefresh, first_expiry, statement};
use super::{ConnectorContext, ObtainedCredentials, Provider, ProviderError};
use crate::connector::FunctionName;
use crate::egress::{Limits, Permit, Response};
use crate::oauth2::{
    OAuthConfig, TokenError, TokenRequest, TokenResponse, account_of_id_token, build_code_exchange, build_refresh,
    build_revocation, callback_fields, parse_revocation, parse_token_response,
};
use crate::response::{header_text, is_usable_token, parse_http_date, redirect_target, retry_after};

/// The result of an authorization request, for [`Provider::exchange_code`].
pub struct Authorization<'a> {
    /// The authorization code.
    pub code: &'a str,
    /// The PKCE verifier of this flow, if it has one.
    pub code_verifier: Option<&'a str>,
    /// The redirect URI of the authorization request.
    pub redirect_uri: &'a str,
    /// All query parameters of the callback.
    pub query_parameters: Map<String, Value>,
}

/// A token response, and the time of the answer by the authorization server's clock.
struct DatedTokenResponse {
    response: TokenResponse,
    date: Option<OffsetDateTime>,
    /// The permit of a large answer, held until everything made from it is done.
    permit: Option<Permit>,
}

impl Provider {
    /// Returns a connection's OAuth2 configuration (`getOAuthConfig`). `state` is only given when a flow begins.
    ///
    /// # Errors
    /// When the function does not return a valid configuration.
    pub async fn oauth2_config(
        &self,
        auth: &Arc<ConnectorContext>,
        state: Option<&str>,
    ) -> Result<OAuthConfig, ProviderError> {
        let config = self.oauth_config_of(auth, state).await?;
        OAuthConfig::from_value(&config).map_err(|error| ProviderError::configuration(error.to_string()))
    }

    /// Returns the result of `getOAuthConfig`, which may be for either version of OAuth.
    pub(super) async fn oauth_config_of(
        &self,
        auth: &Arc<ConnectorContext>,
        state: Option<&str>,
    ) -> Result<Value, ProviderError> {
        let mut arguments = Map::new();
        arguments.insert("redirectUri".into(), json!(auth.callback_uri));
        if let Some(state) = state {
            arguments.insert("state".into(), json!(state));
        }
        let config = Box::pin(self.run_for_object(auth, FunctionName::GetOAuthConfig, arguments, None)).await?;
        Ok(Value::Object(config.unwrap_or_default()))
    }

    /// Exchanges an authorization code for credentials (`getTokenData`, then `getCredentialsFromAccessTokenResponse`).
    ///
    /// # Errors
    /// When the provider rejects the request or does not answer, or a connector's function returns something invalid.
    pub async fn exchange_code(
        &self,
        auth: &Arc<ConnectorContext>,
        config: &OAuthConfig,
        authorization: Authorization<'_>,
    ) -> Result<ObtainedCredentials, ProviderError> {
        let asked_at = self.clock.now();
        let Authorization { code, code_verifier, redirect_uri, query_parameters } = authorization;
        let mut arguments = Map::new();
        arguments.insert("codeVerifier".into(), json!(code_verifier));
        arguments.insert("redirectUri".into(), json!(redirect_uri));
        arguments.insert("queryParameters".into(), Value::Object(query_parameters.clone()));
        let made = self.run_for_object(auth, FunctionName::GetTokenData, arguments.clone(), None).await?;
        let DatedTokenResponse { response, date, permit: _permit } = match made {
            Some(tokens) => {
                DatedTokenResponse { response: TokenResponse::from_map(config, tokens)?, date: None, permit: None }
            }
            None => {
                self.ask_for_tokens(config, build_code_exchange(config, code, redirect_uri, code_verifier)?).await?
            }
        };
        if config.wants_refresh_token() {
            response.require_refresh_token()?;
        }
        let tokens = response.into_map();
        let entered = FunctionName::GetCredentialsFromConnectionParameters;
        let mut credentials = self.run_for_object(auth, entered, Map::new(), None).await?.unwrap_or_default();
        credentials.extend(callback_fields(config, &query_parameters));
        credentials.extend(tokens.clone());
        let extraction = FunctionName::GetCredentialsFromAccessTokenResponse;
        let mut extracted = None;
        if auth.function(extraction).is_some() {
            arguments.insert("tokenResponse".into(), Value::Object(tokens.clone()));
            let api = self.api(auth, extraction, Value::Object(credentials.clone()), None);
            extracted = self.run_for_object(auth, extraction, arguments, Some(&api)).await?;
        }
        let asked = Asked { at: asked_at, date };
        // Without a `scope`, the granted scopes are the requested ones (RFC 6749 §5.1).
        let requested = || (!config.scopes.is_empty()).then(|| within_limits(config.scopes.clone()));
        let (scopes, account) = (granted_scopes(&tokens).or_else(requested), account_of_id_token(&tokens));
        let expiry = first_expiry(auth, statement(&tokens, extracted.as_ref()), asked);
        // The connector format says: "Token response as well as additional extracted credentials are stored."
        credentials.extend(extracted.unwrap_or_default());
        let refreshes_itself = auth.renews_itself();
        let refresh_margin = if refreshes_itself { auth.refresh_rules().margin } else { config.refresh_margin };
        let renews_itself = config.refresh_with_access_token || refreshes_itself;
        Ok(ObtainedCredentials { credentials, expiry, renews_itself, refresh_margin, scopes, account, is_dead: false })
    }

    /// Requests new tokens with the refresh token in `credentials` (RFC 6749 §6), then runs
    /// `getCredentialsFromRefreshTokenResponse`.
    pub(super) async fn refresh_oauth2(
        &self,
        auth: &Arc<ConnectorContext>,
        config: &OAuthConfig,
        credentials: &Value,
        before: Option<Expiry>,
    ) -> Result<ObtainedCredentials, ProviderError> {
        let Some(token) = config.token_to_refresh(credentials) else {
            let message = "the credentials contain no token to refresh with; check the connector's configuration";
            return Err(ProviderError::configuration(message));
        };
        let asked_at = self.clock.now();
        let answered = self.ask_for_tokens(config, build_refresh(config, token)?).await?;
        let DatedTokenResponse { response, date, permit: _permit } = answered;
        let tokens = response.into_map();
        let asked = Asked { at: asked_at, date };
        let refresh = AnsweredRefresh { stored: credentials, before, asked, refresh_margin: config.refresh_margin };
        let Some(mut changes) = self.extract_refreshed(auth, credentials, &tokens).await else {
            return refresh.obtained(auth, None, tokens, config.refresh_with_access_token);
        };
        // The old tokens may no longer work, so keep the new ones even if the connector's function forgets them, blanks them,
        // or copies the old ones along with the rest of the credentials.
        changes.retain(|name, value| credentials.get(name) != Some(value));
        for name in ["access_token", "refresh_token"] {
            let token = tokens.get(name).filter(|token| is_usable_token(token));
            if let Some(token) = token.filter(|_| !changes.get(name).is_some_and(is_usable_token)) {
                changes.insert(name.to_owned(), token.clone());
            }
        }
        let stated = if states_lifetime(&changes) { None } else { Some(&tokens) };
        refresh.obtained(auth, stated, changes, config.refresh_with_access_token)
    }

    /// Runs `getCredentialsFromRefreshTokenResponse` on the tokens. Returns `None` if there is no such function or if it
    /// fails, because the tokens are the only copy and a faulty function must not lose them.
    async fn extract_refreshed(
        &self,
        auth: &Arc<ConnectorContext>,
        credentials: &Value,
        tokens: &Map<String, Value>,
    ) -> Option<Map<String, Value>> {
        let extraction = FunctionName::GetCredentialsFromRefreshTokenResponse;
        auth.function(extraction)?;
        let mut arguments = Map::new();
        arguments.insert("credentials".into(), credentials.clone());
        arguments.insert("tokenResponse".into(), Value::Object(tokens.clone()));
        let mut fresh = credentials.as_object().cloned().unwrap_or_default();
        fresh.extend(tokens.clone());
        let api = self.api(auth, extraction, Value::Object(fresh), None);
        let extracted = caught(self.run_for_object(auth, extraction, arguments, Some(&api)));
        let problem = match tokio::time::timeout(Self::EXTRACTION, extracted).await {
            Ok(Ok(Ok(extracted))) => return extracted,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(panicked)) => panicked.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        tracing::warn!(
            connector = auth.connector.key,
            problem,
            "extracting credentials failed; the token response is kept unchanged"
        );
        None
    }

    async fn ask_for_tokens(
        &self,
        config: &OAuthConfig,
        TokenRequest { request, secrets }: TokenRequest,
    ) -> Result<DatedTokenResponse, ProviderError> {
        let uri = request.uri().clone();
        let Response { status, headers, body, is_second, permit } =
            self.egress.send(request, Limits::CREDENTIALS).await?;
        let wait = retry_after(&headers, self.clock.now());
        if let Some(target) = redirect_target(status.as_u16(), &headers, &uri) {
            return Err(TokenError::Redirected { status: status.as_u16(), target, retry_after: wait }.into());
        }
        let date = header_text(&headers, header::DATE).and_then(parse_http_date);
        match parse_token_response(config, status.as_u16(), &body) {
            Ok(response) => Ok(DatedTokenResponse { response, date, permit }),
            Err(error) => {
                let error = ProviderError::from(error.with_retry_after(wait)).without(&secrets);
                Err(if is_second { error.after_lost_answer() } else { error })
            }
        }
    }

    /// Revokes the refresh token, or else the access token, if the connector has a `revocationUri` (RFC 7009).
    pub(super) async fn revoke(&self, auth: &Arc<ConnectorContext>, credentials: &Value) -> Result<(), ProviderError> {
        let config = self.oauth2_config(auth, None).await?;
        let access_token = || credentials.get("access_token").and_then(Value::as_str);
        let token = match refresh_token(credentials) {
            Some(token) => Some((token, "refresh_token")),
            None => access_token().map(|token| (token, "access_token")),
        };
        let request = token.and_then(|(token, hint)| build_revocation(&config, token, Some(hint)));
        let Some(TokenRequest { request, secrets }) = request else { return Ok(()) };
        let response = self.egress.send(request, Limits::TOKEN).await?;
        parse_revocation(response.status.as_u16(), &response.body)
            .map_err(|error| ProviderError::from(error).without(&secrets))
    }
}
