//! `GET` and `POST /connect`: begins a connection. The browser of the end user comes here.
//!
//! For OAuth2 it is sent on to the provider, and comes back to `oauth-callback`.

mod request;

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Method, StatusCode, header};
use larder::caller::{Authenticator, Caller};
use larder::clock::Clock;
use larder::configuration::Configuration;
use larder::connect::{ConnectFailure, Delivery, FLOW_LIFE, Flow, browser_cookie, browser_digest};
use larder::connection::{Connection, Contents};
use larder::environment::{Environment, SettingError};
use larder::error::Error;
use larder::http::{Handler, Request, Response, redirect};
use larder::oauth2::{Pkce, State, build_authorize_url};
use larder::random::{self, Rng};
use larder::seal::Sealer;
use larder::store::{Connections, Integration, Session, Sessions};
use larder::vault::Vault;
use request::ConnectRequest;

/// Serves `/connect`.
pub struct Connect {
    authenticator: Authenticator,
    configuration: Arc<Configuration>,
    connections: Connections,
    sessions: Sessions,
    sealer: Sealer,
    vault: Vault,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Connect {
    /// Wires the function.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(environment: &Environment, configuration: Arc<Configuration>) -> Result<Self, SettingError> {
        Ok(Self {
            authenticator: environment.authenticator(),
            configuration,
            connections: environment.connections(),
            sessions: environment.sessions(),
            sealer: environment.sealer()?,
            vault: environment.vault()?,
            clock: Arc::clone(&environment.clock),
            rng: Arc::clone(&environment.rng),
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return Err(Error::method_not_allowed("GET, POST"));
        }
        let wanted = ConnectRequest::read(request)?;
        let caller = match &wanted.token {
            Some(token) => self.authenticator.verify(token).await?,
            None => self.authenticator.authenticate(request.headers()).await?,
        };
        let key = wanted.integration_key.as_deref();
        let key = key.ok_or_else(|| Error::bad_request("`integrationKey` is missing; it names the integration"))?;
        let integration = self.configuration.integration(&caller.workspace, key).await?;
        let delivery = Delivery::new(
            &integration,
            wanted.redirect_uri.clone(),
            wanted.request_id.clone(),
            &self.configuration.base_uri,
        )?;
        // From here on, the caller hears of a failure where it waits for the result.
        let connection_id = wanted.connection_id.clone();
        match self.begin(&caller, &integration, wanted, delivery.clone()).await {
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
    ) -> Result<Response, Error> {
        if !wanted.connector_parameters.is_empty() && !caller.admin {
            // An end user who could set `tokenUri` would be sent the client secret.
            let message =
                "`connectorParameters` can only be given with an admin token: they override the integration's own";
            return Err(Error::access_denied(message));
        }
        let Target { connection_id, tenant, contents: stored } = self.target(caller, integration, &wanted).await?;
        // Whoever connects again need not enter everything again.
        let input = if wanted.input.is_empty() { stored.input } else { wanted.input };
        let connector_parameters = match wanted.connector_parameters {
            none if none.is_empty() => stored.connector_parameters,
            given => given,
        };
        let auth = self.configuration.auth(integration, &connector_parameters, &input).await?;

        let state = State::generate(&*self.rng);
        let sent_state = state.with_custom(wanted.custom_state.as_deref());
        let config = auth.oauth_config(Some(&sent_state))?;
        let pkce = (!config.skip_pkce).then(|| Pkce::generate(&*self.rng));
        let challenge = pkce.as_ref().map(Pkce::challenge);
        let authorize_url = build_authorize_url(&config, auth.redirect_uri(&config), &sent_state, challenge.as_deref());

        let flow = Flow {
            workspace: caller.workspace.clone(),
            tenant,
            integration_key: integration.key.clone(),
            connection_id,
            name: wanted.name,
            input,
            connector_parameters,
            code_verifier: pkce.map(|pkce| pkce.verifier().clone()),
            redirect_uri: auth.redirect_uri(&config).to_owned(),
            delivery,
        };
        let id = state.digest();
        let browser = random::token::<16>(&*self.rng);
        let session = Session {
            workspace: flow.workspace.clone(),
            browser: browser_digest(&browser),
            sealed: flow.seal(&self.sealer, &id).await?,
            expires_at: self.clock.now() + FLOW_LIFE,
            id,
        };
        self.sessions.put(&session).await?;

        let cookie = browser_cookie(&self.configuration.base_uri, &session.id, &browser, FLOW_LIFE);
        let mut response = redirect(authorize_url.as_str());
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::try_from(cookie).map_err(Error::internal)?);
        Ok(response)
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
        let fresh = |connection_id| Target { connection_id, tenant: tenant.clone(), contents: Contents::default() };
        if wanted.connection_id.is_none() && wanted.allow_multiple_connections {
            return Ok(fresh(random::token::<16>(&*self.rng)));
        }
        if let Some(id) = &wanted.connection_id {
            let stored = self.connections.get(&caller.workspace, id).await?.filter(|connection| {
                caller.may_see(connection.tenant.as_deref())
                    && connection.integration.as_ref().is_some_and(|reference| reference.key == integration.key)
            });
            let unknown = || format!("there is no connection `{id}` of the integration `{}`", integration.key);
            let connection = stored.ok_or_else(|| Error::not_found(unknown()))?;
            return self.renewal(connection).await;
        }
        for attempt in 0..OWN_IDS {
            let id = nth_own_id(&caller.workspace, &integration.key, caller.tenant.as_deref(), attempt);
            match self.connections.get(&caller.workspace, &id).await? {
                None => return Ok(fresh(id)),
                Some(connection) if connection.tenant == caller.tenant => return self.renewal(connection).await,
                // Somebody has stored credentials of their own under this id.
                Some(_) => {}
            }
        }
        Ok(fresh(random::token::<16>(&*self.rng)))
    }

    /// A connection that is there. Connecting again also heals what does not open any more.
    async fn renewal(&self, connection: Connection) -> Result<Target, Error> {
        let contents = match self.vault.open(&connection).await {
            Err(error) if error.status == StatusCode::INTERNAL_SERVER_ERROR => Contents::default(),
            result => result?,
        };
        Ok(Target { connection_id: connection.id, tenant: connection.tenant, contents })
    }
}

/// The connection that a flow makes or renews.
struct Target {
    connection_id: String,
    /// Whose it is: where an admin renews it, not the caller's.
    tenant: Option<String>,
    contents: Contents,
}

/// How many ids an end user's own connection may have, in case that others have taken the first ones.
const OWN_IDS: u8 = 4;

/// The id of the connection that an end user has through an integration, where several are not wanted: so long as nobody
/// else has stored credentials under it.
pub fn own_connection_id(workspace: &str, integration_key: &str, tenant: Option<&str>) -> String {
    nth_own_id(workspace, integration_key, tenant, 0)
}

fn nth_own_id(workspace: &str, integration_key: &str, tenant: Option<&str>, attempt: u8) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [workspace, integration_key, tenant.unwrap_or_default()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.update(&[u8::from(tenant.is_some()), attempt]);
    URL_SAFE_NO_PAD.encode(context.finish().as_ref().get(..16).unwrap_or_default())
}

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
