//! `GET /oauth-callback`: finishes an OAuth connection. The provider sends the browser here.
//!
//! The checks come in this order: form of the query, state (single use, in time, the same browser), issuer, error, code.
//! Then the code is exchanged, the credentials are tested, and only what passed is stored.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, Method, header};
use larder::clock::Clock;
use larder::configuration::{Choice, Configuration};
use larder::connect::{ConnectFailure, Delivery, Establish, Flow, browser_cookie, browser_cookie_name, browser_digest};
use larder::connection::Connection;
use larder::environment::{Environment, SettingError};
use larder::error::Error;
use larder::http::{Handler, Request, Response, cookie};
use larder::invocation;
use larder::oauth2::{Callback, CallbackOutcome, State, parse_callback};
use larder::provider::{Auth, Authorization, Obtained};
use larder::seal::Sealer;
use larder::secret::Secret;
use larder::store::{SessionError, Sessions};

/// Serves `/oauth-callback`.
pub struct OAuthCallback {
    configuration: Arc<Configuration>,
    establish: Establish,
    sessions: Sessions,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
}

impl OAuthCallback {
    /// Wires the function.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(environment: &Environment, configuration: Arc<Configuration>) -> Result<Self, SettingError> {
        Ok(Self {
            configuration,
            establish: environment.establish()?,
            sessions: environment.sessions(),
            sealer: environment.sealer()?,
            clock: Arc::clone(&environment.clock),
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        if *request.method() != Method::GET {
            return Err(Error::method_not_allowed("GET"));
        }
        let callback = parse_callback(request.uri().query().unwrap_or_default())
            .map_err(|error| Error::bad_request(error.to_string()))?;
        let Some(state) = &callback.state else {
            return Err(Error::bad_request("the callback has no state; begin again at /connect"));
        };
        let id = State::parse(state).0.digest();
        let base_uri = &self.configuration.base_uri;
        let browser = cookie(request.headers(), &browser_cookie_name(base_uri, &id)).unwrap_or_default();
        let session = self.sessions.take(&id, &browser_digest(browser), self.clock.now()).await.map_err(refused)?;
        let flow = Flow::open(&self.sealer, &session).await?;
        invocation::note(|record| record.connection(&flow.connection.workspace, &flow.connection.connection_id));

        let mut response = match self.finish(&flow, callback).await {
            Ok(connection) => flow.delivery.success(&connection.view()),
            Err(error) => {
                let connection_id = Some(flow.connection.connection_id.clone());
                flow.delivery.failure(&ConnectFailure { error, connection_id })
            }
        };
        let gone = browser_cookie(base_uri, &id, "", Duration::ZERO);
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::try_from(gone).map_err(Error::internal)?);
        Ok(response)
    }

    async fn finish(&self, flow: &Flow, callback: Callback) -> Result<Connection, Error> {
        let new = &flow.connection;
        let integration = self.configuration.integration(&new.workspace, &new.integration_key).await?;
        let choice = Choice {
            option_key: &new.option_key,
            tenant: new.tenant.as_deref(),
            connector_parameters: &new.connector_parameters,
            input: &new.input,
            given: None,
        };
        let auth = self.configuration.auth_for(&integration, &choice).await?;
        let obtained = self.obtain(flow, &auth, callback).await?;
        self.establish.establish(new, &integration, &auth, obtained).await
    }

    async fn obtain(&self, flow: &Flow, auth: &Arc<Auth>, callback: Callback) -> Result<Obtained, Error> {
        let provider = &self.establish.provider;
        if let Some(request_token) = &flow.request_token {
            return Ok(provider.exchange_verifier(auth, request_token, &callback.parameters).await?);
        }
        let config = provider.oauth2_config(auth, None).await?;
        callback.check_issuer(config.issuer.as_deref()).map_err(|error| Error::bad_request(error.to_string()))?;
        let outcome = callback.outcome(&config).map_err(|error| Error::bad_request(error.to_string()))?;
        let code = match &outcome {
            CallbackOutcome::Code(code) => code,
            CallbackOutcome::Error { code, description } => {
                let detail = description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
                let message = format!("the application did not give access ({code}{detail})");
                return Err(Error::connection(None, message));
            }
        };
        let authorization = Authorization {
            code: code.expose(),
            code_verifier: flow.code_verifier.as_ref().map(Secret::expose),
            redirect_uri: &flow.redirect_uri,
            query_parameters: callback.parameters.clone(),
        };
        Ok(provider.exchange_code(auth, &config, authorization).await?)
    }
}

fn refused(error: SessionError) -> Error {
    match error {
        SessionError::Store(error) => error.into(),
        error => Error::bad_request(format!("{error}; begin again where you came from")),
    }
}

#[async_trait]
impl Handler for OAuthCallback {
    async fn handle(&self, request: Request) -> Response {
        match self.respond(&request).await {
            Ok(response) => response,
            // Without a flow, nobody is known to wait for the result; the person before the browser is told.
            Err(error) => Delivery::default().failure(&ConnectFailure { error, connection_id: None }),
        }
    }
}
