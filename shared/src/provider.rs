//! What Larder asks of a connected application: to exchange a code, to refresh, to be tested. Runs a connector's
//! functions, or the documented defaults where it has none.

use std::sync::Arc;
use std::time::Duration;

use http::header;
use serde_json::{Map, Value, json};

use crate::clock::Clock;
use crate::connection::{Expiry, Failure, Problem, expiry_of};
use crate::connector::{
    ApiClient, ApiResponse, Connector, Function, FunctionName, ResponseError, RestError, RestMapping, test_passed,
};
use crate::credentials::{Credentials, refresh_token};
use crate::egress::{Egress, EgressError, Limits};
use crate::error::Error;
use crate::oauth2::{
    Malformed, OAuthConfig, TokenError, TokenResponse, build_code_exchange, build_refresh, parse_retry_after,
    parse_token_response,
};

/// A connector with the parameters of one connection: what its functions get as arguments.
pub struct Auth {
    /// The connector.
    pub connector: Arc<Connector>,
    /// The integration's parameters, overridden by the connection's own.
    pub connector_parameters: Map<String, Value>,
    /// What the end user entered.
    pub connection_parameters: Map<String, Value>,
    /// Where the provider sends the browser back to.
    pub callback_uri: String,
}

/// What the browser brought back, for [`Provider::exchange_code`].
pub struct Authorization<'a> {
    /// The authorization code.
    pub code: &'a str,
    /// The PKCE verifier of this flow, if it has one.
    pub code_verifier: Option<&'a str>,
    /// The redirect URI of the authorize request.
    pub redirect_uri: &'a str,
    /// All query parameters of the callback.
    pub query_parameters: Map<String, Value>,
}

/// Fresh credentials, or changes of credentials.
pub struct Obtained {
    /// The members.
    pub credentials: Map<String, Value>,
    /// When they die, if the provider said so.
    pub expiry: Option<Expiry>,
}

/// Why a provider did not do what was asked. The text holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The connector or the integration is set up wrongly; mending it heals the connection.
    #[error("{0}")]
    Configuration(String),
    /// The provider refused.
    #[error("{message}")]
    Refused {
        /// Of the documented keys.
        key: Option<&'static str>,
        /// What it said.
        message: String,
        /// Whether asking again is pointless.
        permanent: bool,
    },
    /// The provider is down, slow, or out of its mind.
    #[error("{message}")]
    Unavailable {
        /// What was seen.
        message: String,
        /// When it asked to be asked again.
        retry_after: Option<Duration>,
    },
}

/// Speaks to providers.
#[derive(Clone)]
pub struct Provider {
    egress: Egress,
    clock: Arc<dyn Clock>,
}

impl Provider {
    /// How long an exchange with a provider takes at most.
    pub const DEADLINE: Duration = Limits::TOKEN.deadline;

    /// A provider reached through `egress`.
    pub fn new(egress: Egress, clock: Arc<dyn Clock>) -> Self {
        Self { egress, clock }
    }

    /// Exchanges an authorization code for credentials (`getTokenData`, then `getCredentialsFromAccessTokenResponse`).
    ///
    /// # Errors
    /// When the provider refuses or does not answer, or the connector's functions do not return what they should.
    pub async fn exchange_code(
        &self,
        auth: &Auth,
        config: &OAuthConfig,
        authorization: Authorization<'_>,
    ) -> Result<Obtained, ProviderError> {
        let asked_at = self.clock.now();
        let mut arguments = auth.arguments();
        arguments.insert("codeVerifier".into(), json!(authorization.code_verifier));
        arguments.insert("redirectUri".into(), json!(authorization.redirect_uri));
        arguments.insert("queryParameters".into(), Value::Object(authorization.query_parameters.clone()));
        let response = match auth.mapped(FunctionName::GetTokenData, &arguments)? {
            Some(tokens) => TokenResponse::from_map(tokens)?,
            None => {
                let Authorization { code, code_verifier, redirect_uri, .. } = authorization;
                self.ask_for_tokens(config, build_code_exchange(config, code, redirect_uri, code_verifier)).await?
            }
        };
        if !config.no_refresh_token {
            response.require_refresh_token()?;
        }
        let tokens = response.into_map();
        arguments.insert("tokenResponse".into(), Value::Object(tokens.clone()));
        let extracted = auth.mapped(FunctionName::GetCredentialsFromAccessTokenResponse, &arguments)?;
        let expiry = extracted.as_ref().and_then(|it| expiry_of(it, asked_at)).or_else(|| expiry_of(&tokens, asked_at));
        // "Token response as well as additional extracted credentials are stored."
        let entered = auth.mapped(FunctionName::GetCredentialsFromConnectionParameters, &auth.arguments())?;
        let mut credentials = entered.unwrap_or_default();
        credentials.extend(tokens);
        credentials.extend(extracted.unwrap_or_default());
        Ok(Obtained { credentials, expiry })
    }

    /// Asks for new credentials with the refresh token among `credentials` (RFC 6749 §6), then runs
    /// `getCredentialsFromRefreshTokenResponse`. The result is to be merged into the credentials.
    ///
    /// # Errors
    /// When the provider refuses or does not answer, or the connector's functions do not return what they should.
    pub async fn refresh(
        &self,
        auth: &Auth,
        config: &OAuthConfig,
        credentials: &Value,
    ) -> Result<Obtained, ProviderError> {
        let Some(refresh_token) = refresh_token(credentials) else {
            return Err(ProviderError::Refused {
                key: Some("access_token_expired"),
                message: "there is no refresh token; the end user must connect again".into(),
                permanent: true,
            });
        };
        let asked_at = self.clock.now();
        let tokens = self.ask_for_tokens(config, build_refresh(config, refresh_token)).await?.into_map();
        let mut arguments = auth.arguments();
        arguments.insert("credentials".into(), credentials.clone());
        arguments.insert("tokenResponse".into(), Value::Object(tokens.clone()));
        // The tokens are the only copy: a fault in the mapping must not lose them.
        let extracted = auth.mapped(FunctionName::GetCredentialsFromRefreshTokenResponse, &arguments);
        let extracted = extracted.unwrap_or_else(|error| {
            tracing::warn!(connector = auth.connector.key, %error, "the token response is kept as it came");
            None
        });
        let expiry = extracted.as_ref().and_then(|it| expiry_of(it, asked_at)).or_else(|| expiry_of(&tokens, asked_at));
        let mut changes = extracted.unwrap_or_else(|| tokens.clone());
        // A rotated refresh token is kept even where a connector's function forgets it: without it all is lost.
        if let Some(rotated) = tokens.get("refresh_token").filter(|token| !token.is_null()) {
            changes.entry("refresh_token").or_insert_with(|| rotated.clone());
        }
        // An empty or null one is not a new one (RFC 6749 §6: the old one goes on).
        if changes.get("refresh_token").is_some_and(|token| token.is_null() || token == "") {
            changes.shift_remove("refresh_token");
        }
        Ok(Obtained { credentials: changes, expiry })
    }

    /// Makes the connector's test call with these credentials. A connector without a test passes.
    ///
    /// # Errors
    /// When the test fails, the provider does not answer, or the connector's functions do not return what they should.
    pub async fn test(&self, auth: &Auth, credentials: &Credentials) -> Result<(), ProviderError> {
        let test = match auth.connector.function(FunctionName::Test) {
            None => return Ok(()),
            Some(Function::Rest(test)) => test,
            Some(Function::Mapping(_)) => {
                return Err(ProviderError::Configuration(
                    "the connector's test is no request; give it `path` and `method`".into(),
                ));
            }
        };
        let mut arguments = auth.arguments();
        arguments.insert("credentials".into(), credentials.to_value());
        let client = auth.mapped(FunctionName::MakeApiClient, &arguments)?.unwrap_or_default();
        let client = ApiClient::from_value(&Value::Object(client))
            .map_err(|problem| ProviderError::Configuration(format!("makeApiClient: {problem}")))?;
        let arguments = Value::Object(arguments);
        let result = self.call(test, &client, &arguments).await?;
        if test_passed(result.as_ref(), test.response_mapping.is_some()) {
            return Ok(());
        }
        let message = "the connector's test of the credentials returned nothing that counts as success".into();
        Err(ProviderError::Refused { key: None, message, permanent: false })
    }

    async fn call(
        &self,
        mapping: &RestMapping,
        client: &ApiClient,
        variables: &Value,
    ) -> Result<Option<Value>, ProviderError> {
        let request = mapping.build_request(client, variables)?;
        let response = self.egress.send(request, Limits::API).await?;
        let headers = response
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let response = ApiResponse::new(response.status.as_u16(), headers.collect(), &response.body);
        Ok(mapping.read_response(variables, &response)?)
    }

    async fn ask_for_tokens(
        &self,
        config: &OAuthConfig,
        request: http::Request<Vec<u8>>,
    ) -> Result<TokenResponse, ProviderError> {
        let secrets = secrets_of(config, &request);
        let response = self.egress.send(request, Limits::TOKEN).await?;
        let text = |name| response.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let wait = text(header::RETRY_AFTER).and_then(|wait| parse_retry_after(wait, self.clock.now()));
        let content_type = text(header::CONTENT_TYPE);
        parse_token_response(response.status.as_u16(), content_type, &response.body)
            .map_err(|error| ProviderError::from(error.with_retry_after(wait)).without(&secrets))
    }
}

impl Auth {
    /// The OAuth2 configuration of this connection (`getOAuthConfig`). `state` is only there when a flow begins.
    ///
    /// # Errors
    /// When the function does not return a configuration.
    pub fn oauth_config(&self, state: Option<&str>) -> Result<OAuthConfig, ProviderError> {
        let mut arguments = self.arguments();
        arguments.insert("redirectUri".into(), json!(self.callback_uri));
        if let Some(state) = state {
            arguments.insert("state".into(), json!(state));
        }
        let config = self.mapped(FunctionName::GetOAuthConfig, &arguments)?.unwrap_or_default();
        OAuthConfig::from_value(&Value::Object(config)).map_err(|error| ProviderError::Configuration(error.to_string()))
    }

    /// The redirect URI of the authorize request and, to the letter, of the token request.
    pub fn redirect_uri<'a>(&'a self, config: &'a OAuthConfig) -> &'a str {
        config.redirect_uri.as_deref().unwrap_or(&self.callback_uri)
    }

    fn arguments(&self) -> Map<String, Value> {
        let mut arguments = Map::new();
        arguments.insert("connectorParameters".into(), Value::Object(self.connector_parameters.clone()));
        arguments.insert("connectionParameters".into(), Value::Object(self.connection_parameters.clone()));
        arguments.insert("connectionInput".into(), Value::Object(self.connection_parameters.clone()));
        arguments
    }

    /// Evaluates a function that is a mapping. `None` if the connector has no such function.
    fn mapped(
        &self,
        name: FunctionName,
        arguments: &Map<String, Value>,
    ) -> Result<Option<Map<String, Value>>, ProviderError> {
        match self.connector.function(name) {
            None => Ok(None),
            Some(Function::Mapping(mapping)) => match mapping.evaluate(&Value::Object(arguments.clone())) {
                Some(Value::Object(result)) => Ok(Some(result)),
                _ => Err(ProviderError::Configuration(format!("{} did not return an object", name.spec_key()))),
            },
            Some(Function::Rest(_)) => {
                Err(ProviderError::Configuration(format!("{} cannot be a REST mapping", name.spec_key())))
            }
        }
    }
}

/// What a token request carries that no error may repeat, should the provider do so.
fn secrets_of(config: &OAuthConfig, request: &http::Request<Vec<u8>>) -> Vec<String> {
    let sent = form_urlencoded::parse(request.body())
        .filter(|(name, _)| matches!(&**name, "code" | "code_verifier" | "refresh_token"))
        .map(|(_, value)| value.into_owned());
    let client_secret = config.client_secret.as_ref().map(|secret| secret.expose().to_owned());
    sent.chain(client_secret).filter(|secret| !secret.is_empty()).collect()
}

impl ProviderError {
    /// The same error, with these texts taken out of its message.
    fn without(mut self, secrets: &[String]) -> Self {
        let (Self::Configuration(message) | Self::Refused { message, .. } | Self::Unavailable { message, .. }) =
            &mut self;
        for secret in secrets {
            *message = message.replace(secret, "…");
        }
        self
    }

    /// What this means for a connection that was being refreshed.
    pub fn into_failure(self) -> Failure {
        let message = self.to_string();
        match self {
            Self::Refused { key, permanent: true, .. } => Failure::Permanent(Problem::new(key, message)),
            Self::Refused { key, .. } => Failure::Transient { problem: Problem::new(key, message), retry_after: None },
            Self::Configuration(_) => {
                Failure::Transient { problem: Problem::new(Some("configuration"), message), retry_after: None }
            }
            Self::Unavailable { retry_after, .. } => {
                Failure::Transient { problem: Problem::new(None, message), retry_after }
            }
        }
    }
}

impl From<ProviderError> for Error {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Configuration(message) => Error::configuration(message),
            ProviderError::Refused { key, message, .. } => Error::connection(key, message),
            ProviderError::Unavailable { message, retry_after } => {
                Error::connection_unavailable(message, retry_after.unwrap_or(Duration::from_secs(60)))
            }
        }
    }
}

impl From<TokenError> for ProviderError {
    fn from(error: TokenError) -> Self {
        let message = error.to_string();
        match error {
            TokenError::Permanent { .. } => {
                Self::Refused { key: Some("access_token_expired"), message, permanent: true }
            }
            TokenError::Configuration { .. } | TokenError::Malformed(Malformed::NoRefreshToken) => {
                Self::Configuration(message)
            }
            TokenError::Malformed(_) => Self::Unavailable { message, retry_after: None },
            TokenError::Transient { retry_after, .. } => Self::Unavailable { message, retry_after },
        }
    }
}

impl From<EgressError> for ProviderError {
    fn from(error: EgressError) -> Self {
        let message = error.to_string();
        match error {
            EgressError::Refused { .. } => Self::Configuration(message),
            _ => Self::Unavailable { message, retry_after: None },
        }
    }
}

impl From<RestError> for ProviderError {
    fn from(error: RestError) -> Self {
        Self::Configuration(format!("the connector's test: {error}"))
    }
}

impl From<ResponseError> for ProviderError {
    fn from(error: ResponseError) -> Self {
        let message = error.to_string();
        match error {
            ResponseError::RateLimitExceeded { retry_after } => Self::Unavailable { message, retry_after },
            ResponseError::Connection { status: 500.. } => Self::Unavailable { message, retry_after: None },
            error => Self::Refused { key: error.key(), message, permanent: false },
        }
    }
}

/// Where a provider sends the browser: the integration's own address, or ours.
pub fn callback_uri(base_uri: &str, oauth_callback_uri: Option<&str>) -> String {
    oauth_callback_uri.map_or_else(|| format!("{base_uri}/oauth-callback"), ToOwned::to_owned)
}
