//! `GET /oauth-callback`: finishes an OAuth connection. The provider sends the browser here.
//!
//! The checks come in this order: form of the query, state (single use, in time, the same browser), issuer, error, code.
//! Then the code is exchanged, the credentials are tested, and only what passed is stored.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, header};
use larder::clock::Clock;
use larder::configuration::Configuration;
use larder::connect::{ConnectFailure, Delivery, Flow, browser_cookie, browser_cookie_name, browser_digest};
use larder::connection::{Connection, Contents, IntegrationRef};
use larder::credentials::{Credentials, refresh_token};
use larder::environment::{Environment, SettingError};
use larder::error::Error;
use larder::http::{Handler, Request, Response, cookie};
use larder::oauth2::{Callback, CallbackOutcome, State, parse_callback};
use larder::provider::{Authorization, Obtained, Provider};
use larder::scheduler::{Scheduler, arm_or_leave_to_sweeper};
use larder::seal::Sealer;
use larder::secret::Secret;
use larder::store::{Connections, Expect, SessionError, Sessions};
use larder::vault::Vault;

/// Serves `/oauth-callback`.
pub struct OAuthCallback {
    configuration: Arc<Configuration>,
    connections: Connections,
    sessions: Sessions,
    sealer: Sealer,
    vault: Vault,
    provider: Provider,
    scheduler: Arc<dyn Scheduler>,
    clock: Arc<dyn Clock>,
}

impl OAuthCallback {
    /// How often saving is tried again after somebody else changed the connection.
    const ATTEMPTS: usize = 5;

    /// Wires the function.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(environment: &Environment, configuration: Arc<Configuration>) -> Result<Self, SettingError> {
        Ok(Self {
            configuration,
            connections: environment.connections(),
            sessions: environment.sessions(),
            sealer: environment.sealer()?,
            vault: environment.vault()?,
            provider: environment.provider()?,
            scheduler: environment.scheduler(),
            clock: Arc::clone(&environment.clock),
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
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

        let mut response = match self.finish(&flow, callback).await {
            Ok(connection) => flow.delivery.success(&connection.view()),
            Err(error) => {
                let connection_id = Some(flow.connection_id.clone());
                flow.delivery.failure(&ConnectFailure { error, connection_id })
            }
        };
        let gone = browser_cookie(base_uri, &id, "", Duration::ZERO);
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::try_from(gone).map_err(Error::internal)?);
        Ok(response)
    }

    async fn finish(&self, flow: &Flow, callback: Callback) -> Result<Connection, Error> {
        let integration = self.configuration.integration(&flow.workspace, &flow.integration_key).await?;
        let auth = self.configuration.auth(&integration, &flow.connector_parameters, &flow.input).await?;
        let config = auth.oauth_config(None)?;
        callback.check_issuer(config.issuer.as_deref()).map_err(|error| Error::bad_request(error.to_string()))?;
        let code = match &callback.outcome {
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
        let obtained = self.provider.exchange_code(&auth, &config, authorization).await?;
        let credentials = Credentials::from(&obtained.credentials.clone().into());
        self.provider.test(&auth, &credentials).await?;
        self.save(flow, &IntegrationRef::from(&integration), obtained, credentials).await
    }

    /// Stores the new connection, or the new credentials of the one that is there.
    async fn save(
        &self,
        flow: &Flow,
        integration: &IntegrationRef,
        obtained: Obtained,
        credentials: Credentials,
    ) -> Result<Connection, Error> {
        let contents = Contents {
            credentials: Some(credentials),
            input: flow.input.clone(),
            connector_parameters: flow.connector_parameters.clone(),
        };
        let refreshable = refresh_token(&obtained.credentials.into()).is_some();
        for _ in 0..Self::ATTEMPTS {
            let now = self.clock.now();
            let stored = self.connections.get(&flow.workspace, &flow.connection_id).await?;
            // Since the flow began, somebody may have stored credentials under this id.
            if stored.as_ref().is_some_and(|stored| stored.tenant != flow.tenant) {
                return Err(Error::conflict("the connection belongs to somebody else; connect again"));
            }
            let expect = stored.as_ref().map_or(Expect::Absent, |stored| Expect::Version(stored.version));
            let mut connection = stored.unwrap_or_else(|| Connection {
                tenant: flow.tenant.clone(),
                ..Connection::new(&flow.workspace, &flow.connection_id, now)
            });
            connection.name = flow.name.clone().or(connection.name);
            connection.integration = Some(integration.clone());
            connection.renewed(obtained.expiry, refreshable, now);
            if self.vault.save(&mut connection, &contents, expect).await? {
                arm_or_leave_to_sweeper(&*self.scheduler, &connection).await;
                return Ok(connection);
            }
        }
        Err(Error::conflict("the connection is being changed by others; connect again"))
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
