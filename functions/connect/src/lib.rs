//! `GET` and `POST /connect`: begins a connection. The browser of the end user comes here.
//!
//! For OAuth it is sent on to the provider, and comes back to `oauth-callback`. What needs no provider's page, such as an
//! API key, is tested and stored at once.

mod own;
mod request;

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderValue, Method, StatusCode, header};
use larder::caller::{Authenticator, Caller};
use larder::clock::Clock;
pub use larder::connection::own_id as own_connection_id;
use larder::connection::{Connection, ConnectionKey, Contents};
use larder::dynamodb::{Integration, Session, Sessions};
use larder::environment::SettingError;
use larder::error::Error;
use larder::http::{Handler, Request, Response, empty, host, is_prefetch, redirect};
use larder::random::{self, Rng};
use larder::record;
use larder::seal::Sealer;
use larder::secret::Secret;
use larder_engine::connect::{
    ConnectFailure, ConnectionWriter, Delivery, FLOW_LIFETIME, Flow, NewConnection, browser_cookie, browser_digest,
};
use larder_engine::connector::AuthType;
use larder_engine::connector_setup::{ConnectInputs, ConnectorSetup};
use larder_engine::environment::Environment;
use larder_engine::oauth1::Token;
use larder_engine::oauth2::{OAuthState, Pkce, build_authorize_url};
use larder_engine::provider::ConnectorContext;
pub use own::find as find_own_connection;
use request::ConnectRequest;
use url::Url;

/// Serves `/connect`.
pub struct Connect {
    authenticator: Authenticator,
    connector_setup: Arc<ConnectorSetup>,
    writer: ConnectionWriter,
    sessions: Sessions,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Connect {
    /// Wires the function.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(environment: &Environment, connector_setup: Arc<ConnectorSetup>) -> Result<Self, SettingError> {
        Ok(Self {
            authenticator: environment.authenticator(),
            connector_setup,
            writer: environment.connection_writer()?,
            sessions: environment.sessions(),
            sealer: environment.sealer()?,
            clock: Arc::clone(&environment.clock),
            rng: Arc::clone(&environment.rng),
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return Err(Error::method_not_allowed("GET, POST"));
        }
        if is_prefetch(request.headers()) {
            // Nobody has opened it yet. What needs no approval would be connected already.
            return Ok(empty(StatusCode::NO_CONTENT));
        }
        let wanted = ConnectRequest::read(request)?;
        let caller = match &wanted.token {
            Some(token) => self.authenticator.verify(token).await?,
            None => self.authenticator.authenticate(request.headers()).await?,
        };
        let key = wanted.integration_key.as_deref();
        let key = key.ok_or_else(|| Error::bad_request("`integrationKey` is missing; it names the integration"))?;
        let integration = self.connector_setup.integration(&caller.workspace, key).await?;
        let delivery = Delivery::new(
            &integration,
            wanted.redirect_uri.clone(),
            wanted.request_id.clone(),
            &self.connector_setup.base_uri,
        )?;
        // From here on, the caller hears of a failure where it waits for the result.
        let connection_id = wanted.connection_id.clone();
        match self.begin(&caller, &integration, wanted, delivery.clone(), host(request)).await {
            Ok(response) => Ok(response),
            Err(error) => Ok(delivery.failure(&ConnectFailure { error, connection_id })),
        }
    }

    async fn begin(
        &self,
        caller: &Caller,
        integration: &Integration,
        wanted: ConnectRequest,
        delivery: Delivery,
        host: Option<&str>,
    ) -> Result<Response, Error> {
        if !wanted.connector_parameters.is_empty() && !caller.admin {
            // An end user who could set `tokenUri` would be sent the client secret.
            let message =
                "`connectorParameters` can only be given with an admin token: they override the integration's own";
            return Err(Error::access_denied(message));
        }
        let Target { connection_id, tenant, contents: stored, option_key } =
            self.target(caller, integration, &wanted).await?;
        record::note(|record| record.connection(&ConnectionKey::new(&caller.workspace, &connection_id)));
        // Whoever connects again need not enter everything again.
        let input = if wanted.input.is_empty() { stored.input } else { wanted.input };
        let connector_parameters = match wanted.connector_parameters {
            none if none.is_empty() => stored.connector_parameters,
            given => given,
        };
        let choice = ConnectInputs {
            option_key: wanted.auth_option_key.as_deref().or(option_key.as_deref()).unwrap_or_default(),
            tenant: tenant.as_deref(),
            connector_parameters: &connector_parameters,
            input: &input,
            given: None,
        };
        let auth = self.connector_setup.auth_for(integration, &choice).await?;
        let connection = NewConnection {
            workspace: caller.workspace.clone(),
            tenant,
            integration_key: integration.key.clone(),
            option_key: auth.option.key.clone(),
            connection_id,
            name: wanted.name,
            input: auth.connection_parameters.clone(),
            connector_parameters,
        };
        if auth.kind().is_immediate() {
            let obtained = self.writer.provider.enter(&auth).await?;
            let connection = self.writer.create_or_renew(&connection, integration, &auth, obtained).await?;
            return Ok(delivery.success(&connection));
        }

        let state = OAuthState::generate(&*self.rng);
        let departure = self.departure(&auth, &state.with_custom(wanted.custom_state.as_deref())).await?;
        let flow = Flow {
            connection,
            code_verifier: departure.code_verifier,
            request_token: departure.request_token,
            redirect_uri: departure.redirect_uri,
            delivery,
        };
        let id = state.digest();
        let browser = random::token::<16>(&*self.rng);
        let session = Session {
            workspace: caller.workspace.clone(),
            browser: browser_digest(&browser),
            host: host.filter(|host| host.len() <= MAX_HOST).map(ToOwned::to_owned),
            sealed: flow.seal(&self.sealer, &id).await?,
            expires_at: self.clock.now() + FLOW_LIFETIME,
            id,
        };
        self.sessions.put(&session).await?;

        let cookie = browser_cookie(&self.connector_setup.base_uri, &session.id, &browser, FLOW_LIFETIME);
        let mut response = redirect(departure.authorize_url.as_str());
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::try_from(cookie).map_err(Error::internal)?);
        Ok(response)
    }

    /// Where the browser goes, and what is needed when it comes back.
    async fn departure(&self, auth: &Arc<ConnectorContext>, state: &str) -> Result<Departure, Error> {
        let provider = &self.writer.provider;
        if *auth.kind() == AuthType::OAuth1 {
            let (request_token, authorize_url) = provider.request_token(auth, state).await?;
            return Ok(Departure {
                authorize_url,
                redirect_uri: auth.callback_uri.clone(),
                code_verifier: None,
                request_token: Some(request_token),
            });
        }
        let config = provider.oauth2_config(auth, Some(state)).await?;
        let pkce = (!config.skip_pkce).then(|| Pkce::generate(&*self.rng));
        let challenge = pkce.as_ref().map(Pkce::challenge);
        let redirect_uri = auth.redirect_uri(config.redirect_uri.as_ref());
        Ok(Departure {
            authorize_url: build_authorize_url(&config, redirect_uri, state, challenge.as_deref()),
            redirect_uri: redirect_uri.to_owned(),
            code_verifier: pkce.map(|pkce| pkce.verifier().clone()),
            request_token: None,
        })
    }

    /// The connection to make or to renew, with what is stored of it: the one that was named, a new one where several are
    /// wanted, or the one that this end user has through this integration. That last id is computed, so two flows at once
    /// cannot make two.
    async fn target(
        &self,
        caller: &Caller,
        integration: &Integration,
        wanted: &ConnectRequest,
    ) -> Result<Target, Error> {
        let tenant = caller.tenant.clone();
        let fresh = |connection_id| Target {
            connection_id,
            tenant: tenant.clone(),
            contents: Contents::default(),
            option_key: None,
        };
        if wanted.connection_id.is_none() && wanted.allow_multiple_connections {
            return Ok(fresh(random::token::<16>(&*self.rng)));
        }
        if let Some(id) = &wanted.connection_id {
            let key = ConnectionKey::new(&caller.workspace, id);
            let stored = self.writer.connections.get(&key).await?.filter(|connection| {
                caller.may_see(connection.tenant.as_deref())
                    && connection.integration.as_ref().is_some_and(|reference| reference.key == integration.key)
            });
            let unknown = || format!("there is no connection `{id}` of the integration `{}`", integration.key);
            let connection = stored.ok_or_else(|| Error::not_found(unknown()))?;
            return self.renewal(connection).await;
        }
        let own =
            own::find(&self.writer.connections, &caller.workspace, &integration.key, caller.tenant.as_deref()).await?;
        match own {
            Ok(connection) => self.renewal(connection).await,
            Err(id) => Ok(fresh(id)),
        }
    }

    /// A connection that is there. Connecting again also heals what does not open any more.
    async fn renewal(&self, connection: Connection) -> Result<Target, Error> {
        let contents = self.writer.vault.open_entered(&connection).await?.unwrap_or_default();
        let option_key = connection.integration.map(|reference| reference.option_key);
        Ok(Target { connection_id: connection.key.id, tenant: connection.tenant, contents, option_key })
    }
}

/// The connection that a flow makes or renews.
struct Target {
    connection_id: String,
    /// Whose it is: where an admin renews it, not the caller's.
    tenant: Option<String>,
    contents: Contents,
    /// The way it was connected before.
    option_key: Option<String>,
}

/// The way to the provider.
struct Departure {
    authorize_url: Url,
    redirect_uri: String,
    code_verifier: Option<Secret>,
    request_token: Option<Token>,
}

/// The longest host that is kept: a name of DNS and a port.
const MAX_HOST: usize = 260;

#[async_trait]
impl Handler for Connect {
    async fn handle(&self, request: Request) -> Response {
        match self.respond(&request).await {
            Ok(response) => response,
            // Nobody is known to wait for it, so the person before the browser is told.
            Err(error) => Delivery::default().failure(&ConnectFailure { error, connection_id: None }),
        }
    }
}
