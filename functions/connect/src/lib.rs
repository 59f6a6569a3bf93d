//! `GET` and `POST /connect`: starts to connect an end user's account. The end user's browser opens it. `/connection-popup` is
//! the same, for older SDKs.
//!
//! The link of a connection request opens it without a token, for the first browser that follows it.
//!
//! For OAuth, the browser is redirected to the provider and returns to `oauth-callback`. Credentials that need no
//! provider's page, such as an API key, are tested and stored immediately. If the end user has to enter or choose something
//! first, a form asks for it. The function `pages` shows the same form in frames of applications; see [`Connect::screen`].

mod form;
mod link;
mod own;
mod request;
mod screen;
mod ticket;

use std::sync::Arc;

use async_trait::async_trait;
use form::Asking;
use http::{HeaderValue, Method, StatusCode, header};
use larder::caller::{Authenticator, Caller};
use larder::clock::Clock;
pub use larder::connection::own_id as own_connection_id;
use larder::connection::{Confirmation, Connection, ConnectionKey, Contents, Details};
use larder::dynamodb::{ConnectionRequests, Integration, Session, Sessions};
use larder::environment::SettingError;
use larder::error::{Error, ErrorClass, ErrorType};
use larder::http::{Handler, Parameters, Request, Response, empty, is_prefetch, redirect};
use larder::random::{self, Rng};
use larder::record;
use larder::routes::{Function, Route};
use larder::seal::Sealer;
use larder::secret::Secret;
use larder_engine::connect::{
    ConnectFailure, ConnectionWriter, Delivery, FLOW_LIFETIME, Flow, FlowRequest, NewConnection, browser_cookie,
    browser_digest,
};
use larder_engine::connector::AuthType;
use larder_engine::connector_setup::{ConnectInputs, ConnectorSetup};
use larder_engine::environment::Environment;
use larder_engine::oauth1::OAuth1Token;
use larder_engine::oauth2::{OAuthState, Pkce, build_authorize_url};
use larder_engine::pages::{self, ForPeople, Language, words};
use larder_engine::provider::ConnectorContext;
pub use own::find as find_own_connection;
pub use request::ConnectRequest;
use request::Requested;
pub use screen::{Screen, ScreenStep};
pub use ticket::{Ticket, Tickets};
use time::OffsetDateTime;
use url::Url;

/// Serves `/connect` and `/connection-popup`.
pub struct Connect {
    authenticator: Authenticator,
    connector_setup: Arc<ConnectorSetup>,
    writer: ConnectionWriter,
    sessions: Sessions,
    requests: ConnectionRequests,
    sealer: Sealer,
    tickets: Tickets,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Connect {
    /// Creates the function from its environment.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn new(environment: &Environment, connector_setup: Arc<ConnectorSetup>) -> Result<Self, SettingError> {
        Ok(Self {
            authenticator: environment.authenticator(),
            connector_setup,
            writer: environment.connection_writer()?,
            sessions: environment.sessions(),
            requests: environment.connection_requests(),
            sealer: environment.sealer()?,
            tickets: Tickets::of_forms(environment)?,
            clock: Arc::clone(&environment.clock),
            rng: Arc::clone(&environment.rng),
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        let route = Function::Connect.route(request.method()).ok_or_else(|| Error::method_not_allowed("GET, POST"))?;
        if is_prefetch(request.headers()) {
            // The end user has not opened the link yet. Without this check, an API key in it would already be connected.
            return Ok(empty(StatusCode::NO_CONTENT));
        }
        // Boxed, as all routes share one stack, which is small in debug builds.
        if let Some(link) = link::link(request) {
            return Box::pin(self.open_link(request, &link)).await;
        }
        if let Some(ticket) = form::ticket(request) {
            return Box::pin(self.continue_form(request, &ticket)).await;
        }
        let wanted = ConnectRequest::read(request)?;
        let language = Language::of(request.headers());
        let caller = self.caller(request, &wanted, route).await?;
        let integration = self.integration(&caller, &wanted).await?;
        // The redirect is checked against the integration's list before anything is sent there, errors included.
        let delivery = self.delivery(&integration, &wanted, language)?;
        if *request.method() == Method::POST {
            delivery.check_opener(&integration, request.headers().get(header::ORIGIN))?;
        }
        // From here on, failures are delivered where the caller expects the result.
        let connection_id = wanted.connection_id.clone();
        let asking = Asking::new(request, &caller, &integration, &delivery);
        match Box::pin(self.proceed(&asking, wanted, &Parameters::default())).await {
            Ok(response) => Ok(response),
            Err(error) => Ok(delivery.failure(&ConnectFailure { error, connection_id })),
        }
    }

    /// Returns the caller of a request, who may use its route. A browser cannot send headers with a link, so the token may be a
    /// parameter too.
    ///
    /// # Errors
    /// 401 in words for the end user; 403 if the token does not allow the route; 503 when the secret store fails.
    pub async fn caller(&self, request: &Request, wanted: &ConnectRequest, route: &Route) -> Result<Caller, Error> {
        let caller = match &wanted.token {
            Some(token) => self.authenticator.verify(token).await,
            None => self.authenticator.authenticate(request.headers()).await,
        };
        let caller = caller.map_err(|error| for_end_user(error, Language::of(request.headers())))?;
        caller.authorize(route)?;
        Ok(caller)
    }

    /// Returns where the result of a request goes.
    fn delivery(
        &self,
        integration: &Integration,
        wanted: &ConnectRequest,
        language: Language,
    ) -> Result<Delivery, Error> {
        let (redirect_uri, request_id) = (wanted.redirect_uri.clone(), wanted.request_id.clone());
        let delivery = Delivery::new(integration, redirect_uri, request_id, &self.connector_setup.base_uri)?;
        Ok(Delivery { language, ..delivery })
    }

    /// Returns the integration that the request names, or that of the connection to reconnect.
    ///
    /// # Errors
    /// 404 if there is none, or it belongs to another tenant; 400 if the request names none; 503 when a table fails.
    pub async fn integration(&self, caller: &Caller, wanted: &ConnectRequest) -> Result<Integration, Error> {
        let key = match (&wanted.integration_key, &wanted.connection_id) {
            (Some(key), _) => key.clone(),
            (None, Some(id)) => {
                let stored = self.writer.connections.get(&ConnectionKey::new(&caller.workspace, id)).await?;
                let stored = stored.filter(|connection| caller.may_see(connection));
                let connection = stored.ok_or_else(|| Error::not_found(format!("there is no connection `{id}`")))?;
                let none =
                    || Error::bad_request(format!("the connection `{id}` has no integration to reconnect through"));
                connection.integration.ok_or_else(none)?.key
            }
            (None, None) => {
                let message = "`integrationKey` is missing; add the key of an integration, or a `connectionId`";
                return Err(Error::bad_request(message));
            }
        };
        self.connector_setup.integration_for(caller, &key).await
    }

    async fn begin(
        &self,
        caller: &Caller,
        integration: &Integration,
        wanted: ConnectRequest,
        delivery: Delivery,
        host: Option<&str>,
    ) -> Result<Response, Error> {
        let prepared = self.prepare(caller, integration, wanted).await?;
        if prepared.auth.kind().is_immediate() {
            let connection = self.enter(&prepared, integration, delivery.request.as_ref()).await?;
            return Ok(delivery.success(&connection));
        }
        self.send_away(prepared, delivery, host).await
    }

    /// Checks everything that can be checked before the provider is called.
    async fn prepare(
        &self,
        caller: &Caller,
        integration: &Integration,
        wanted: ConnectRequest,
    ) -> Result<Prepared, Error> {
        if !wanted.connector_parameters.is_empty() {
            caller.require_override()?;
        }
        // The connection comes first: a reconnect reuses what is stored with it.
        let ConnectTarget { connection_id, tenant, contents: stored, option_key, default_name, name: _ } =
            self.target(caller, integration, &wanted).await?;
        let Requested { key, tags, meta, option_key: _, locked_input, ends_at } = wanted.requested;
        record::note(|record| record.connection(&ConnectionKey::new(&caller.workspace, &connection_id)));
        // To reconnect, an end user need not enter everything again.
        let mut input = if wanted.input.is_empty() && !wanted.is_filled_in { stored.input } else { wanted.input };
        input.extend(locked_input);
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
        // This validates the input against the connector's schema, before the end user is sent anywhere.
        let auth = self.connector_setup.auth_for(integration, &choice).await?;
        let connection = NewConnection {
            workspace: caller.workspace.clone(),
            tenant,
            integration_key: integration.key.clone(),
            option_key: auth.option.key.clone(),
            connection_id,
            name: wanted.name.or(default_name),
            own_key: key,
            tags,
            meta,
            input: auth.connection_parameters.clone(),
            connector_parameters,
        };
        Ok(Prepared { connection, auth, custom_state: wanted.custom_state, ends_at, is_filled_in: wanted.is_filled_in })
    }

    /// Connects with the values that the end user entered, which need no approval. The credentials are tested before they replace
    /// working ones.
    async fn enter(
        &self,
        prepared: &Prepared,
        integration: &Integration,
        request: Option<&FlowRequest>,
    ) -> Result<Connection, Error> {
        let Prepared { connection: new, auth, is_filled_in, .. } = prepared;
        let connect = |confirmation: Option<Confirmation>| async move {
            let connecting = async {
                let obtained = self.writer.provider.enter(auth).await?;
                self.writer.create_or_renew(new, integration, auth, obtained, confirmation.as_ref()).await
            };
            self.writer.recorded(new, connecting).await
        };
        let may_correct = |error: &Error| *is_filled_in && form::correctable(error).is_some();
        match request {
            Some(request) => Box::pin(request.finish(&self.requests, &self.writer, connect, may_correct)).await,
            None => Box::pin(connect(None)).await,
        }
    }

    /// Sends the browser to the provider, and stores the flow that the callback finishes.
    async fn send_away(&self, prepared: Prepared, delivery: Delivery, host: Option<&str>) -> Result<Response, Error> {
        let Prepared { connection, auth, custom_state, ends_at, .. } = prepared;
        // The state ties the callback to this flow (RFC 6749 §10.12). Your application's own state travels along with it.
        let state = OAuthState::generate(&*self.rng);
        let departure = self.departure(&auth, &state.with_custom(custom_state.as_deref())).await?;
        // The callback finishes the flow from this record, so that neither browser nor provider can change its parameters.
        let flow = Flow {
            connection,
            code_verifier: departure.code_verifier,
            request_token: departure.request_token,
            redirect_uri: departure.redirect_uri,
            delivery,
        };
        // Only digests are stored, so the table does not reveal a state or a cookie that could finish the flow.
        let id = state.digest();
        let browser = random::token::<16>(&*self.rng);
        let flow_ends_at = self.clock.now() + FLOW_LIFETIME;
        let session = Session {
            workspace: flow.connection.workspace.clone(),
            browser: browser_digest(&browser),
            host: host.filter(|host| host.len() <= MAX_HOST).map(ToOwned::to_owned),
            sealed: flow.seal(&self.sealer, &id).await?,
            expires_at: ends_at.map_or(flow_ends_at, |ends_at| ends_at.min(flow_ends_at)),
            id,
        };
        // The session must exist before the browser leaves: the provider may send it back at once.
        self.sessions.put(&session).await?;

        // The cookie ties the flow to this browser, so that an attacker cannot lure someone else into finishing it.
        let cookie = browser_cookie(&self.connector_setup.base_uri, &session.id, &browser, FLOW_LIFETIME);
        let mut response = redirect(departure.authorize_url.as_str());
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::try_from(cookie).map_err(Error::internal)?);
        Ok(response)
    }

    /// Returns where to send the browser, and what the callback will need.
    async fn departure(&self, auth: &Arc<ConnectorContext>, state: &str) -> Result<Departure, Error> {
        let provider = &self.writer.provider;
        if *auth.kind() == AuthType::OAuth1 {
            // OAuth 1.0 has no state parameter: the request token is obtained first, for a callback URL with our state.
            let (request_token, authorize_url) = provider.request_token(auth, state).await?;
            return Ok(Departure {
                authorize_url,
                redirect_uri: auth.callback_uri.clone(),
                code_verifier: None,
                request_token: Some(request_token),
            });
        }
        let config = provider.oauth2_config(auth, Some(state)).await?;
        // PKCE makes a leaked code useless (RFC 7636). It is skipped only for providers that reject it.
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

    /// Returns the connection to create or reconnect, with its stored contents: the one that the request names by its id or
    /// its key, a new one if several are allowed, or else this end user's only one through this integration. The latter's
    /// id is computed, so two simultaneous flows cannot create two.
    async fn target(
        &self,
        caller: &Caller,
        integration: &Integration,
        wanted: &ConnectRequest,
    ) -> Result<ConnectTarget, Error> {
        let fresh = |connection_id| -> Result<ConnectTarget, Error> {
            caller.require_creation(Some(&integration.key))?;
            Ok(ConnectTarget {
                connection_id,
                tenant: caller.tenant.clone(),
                contents: Contents::default(),
                option_key: None,
                default_name: integration.name.clone().filter(|name| name.len() <= Details::MAX_NAME_BYTES),
                name: None,
            })
        };
        if let Some(id) = &wanted.connection_id {
            // A connection of another tenant or integration is reported as missing, so that ids cannot be probed.
            let key = ConnectionKey::new(&caller.workspace, id);
            let stored = self.writer.connections.get(&key).await?.filter(|connection| {
                caller.may_see(connection)
                    && connection.integration.as_ref().is_some_and(|reference| reference.key == integration.key)
            });
            let unknown = || format!("there is no connection `{id}` of the integration `{}`", integration.key);
            let connection = stored.ok_or_else(|| Error::not_found(unknown()))?;
            return self.renewal(integration, connection).await;
        }
        let tenant = caller.tenant.as_deref();
        if let Some(key) = &wanted.requested.key
            && let Some(connection) = self.writer.connections.by_key(&caller.workspace, tenant, key).await?
        {
            if connection.integration.as_ref().is_none_or(|reference| reference.key != integration.key) {
                let message = format!("the key `{key}` belongs to a connection that is not of this integration");
                return Err(Error::already_exists(message));
            }
            return self.renewal(integration, connection).await;
        }
        let random_id = || wanted.new_id.clone().unwrap_or_else(|| random::token::<16>(&*self.rng));
        if wanted.allow_multiple_connections {
            return fresh(random_id());
        }
        let own = own::find(&self.writer.connections, &caller.workspace, &integration.key, tenant).await?;
        match own {
            // For a token that is limited to other connections, there is none, and it cannot create one.
            Ok(connection) if !caller.may_see(&connection) => fresh(connection.key.id),
            // None has the key, so another one gets it.
            Ok(_) if wanted.requested.key.is_some() => fresh(random_id()),
            Ok(connection) => self.renewal(integration, connection).await,
            Err(id) => fresh(id),
        }
    }

    /// Returns an existing connection as the target.
    async fn renewal(&self, integration: &Integration, connection: Connection) -> Result<ConnectTarget, Error> {
        // Contents that no longer open are replaced, so that reconnecting repairs the connection.
        let contents = self.writer.vault.open_entered(&connection).await?.unwrap_or_default();
        let stored = connection.integration.map(|reference| reference.option_key);
        let option_key = stored.map(|stored| self.connector_setup.option_key(integration, &stored));
        let Connection { key, tenant, details, .. } = connection;
        let name = details.name;
        Ok(ConnectTarget { connection_id: key.id, tenant, contents, option_key, default_name: None, name })
    }
}

/// The connection that a flow creates or reconnects.
struct ConnectTarget {
    connection_id: String,
    /// Its tenant, which is not the caller's if an admin reconnects it.
    tenant: Option<String>,
    contents: Contents,
    /// The option that it was connected with before.
    option_key: Option<String>,
    /// The name of a new connection, if none is given.
    default_name: Option<String>,
    /// The name of a connection that exists.
    name: Option<String>,
}

/// A connection whose inputs are complete and valid.
struct Prepared {
    connection: NewConnection,
    auth: Arc<ConnectorContext>,
    custom_state: Option<String>,
    /// When the flow must have ended, if that is before its usual end.
    ends_at: Option<OffsetDateTime>,
    /// Whether the end user filled in a form.
    is_filled_in: bool,
}

/// The redirect to the provider, and what the callback will need.
struct Departure {
    authorize_url: Url,
    redirect_uri: String,
    code_verifier: Option<Secret>,
    request_token: Option<OAuth1Token>,
}

/// The longest host that is stored: a DNS name and a port.
const MAX_HOST: usize = 260;

/// Words a rejected token for the end user who opened the link; the log has the reason.
fn for_end_user(error: Error, language: Language) -> Error {
    if error.class != ErrorClass::NotAuthenticated {
        return error;
    }
    error.for_people(words::LINK_EXPIRED.say(language))
}

/// Renders an error of a link that is not understood. The details are for the application's developers.
fn refused(error: &Error, language: Language) -> Response {
    let is_of_link = error.class == ErrorClass::Invalid && error.kind == ErrorType::BadRequest && !error.is_for_people;
    let shown = match is_of_link {
        true => ForPeople::instead_of(error, words::LINK_UNKNOWN, language),
        false => ForPeople::of(error, language),
    };
    pages::failed(error, language, words::NOT_CONNECTED, &shown, None, &[])
}

#[async_trait]
impl Handler for Connect {
    async fn handle(&self, request: Request) -> Response {
        match self.respond(&request).await {
            Ok(response) => response,
            // It is not known where the caller waits for a result, so the error is shown on a page.
            Err(error) => refused(&error, Language::of(request.headers())),
        }
    }
}
