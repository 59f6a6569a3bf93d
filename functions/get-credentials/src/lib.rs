//! `GET /credentials?connectionId=ID`: serves a connection's credentials. This is the hot path.
//!
//! A warm read is one GetItem; a cold one makes its calls in parallel. An expired access token is refreshed first, by the
//! `refresh` function. Other readers wait for that one refresh. The first read in an hour also records when it was.
//!
//! Without `connectionId`, `connectionKey` or `integrationKey` selects the connection, which takes another call or two.
//!
//! # Decisions
//!
//! A cold read looks ahead only for a token that could be valid: well-formed, not expired, of a workspace whose secret
//! is not in memory. The newest data key is a guess, because only the row names the right one. It is wrong for rows not
//! written since the last rotation, and then costs two more calls. Looking ahead never creates a key, so
//! `get-credentials` doesn't need permission to.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use larder::caller::{Authenticator, Caller};
use larder::clock::{Clock, later};
use larder::connection::{Connection, ConnectionKey, State};
use larder::cors::AllowedOrigins;
use larder::dynamodb::{Connections, Selection, StoreError};
use larder::environment::{Environment, SettingError};
use larder::error::{Error, log_cause};
use larder::http::{Handler, Parameters, Request, Response, raw_json};
use larder::record::{Record, note, recorded};
use larder::refresh::{RefreshConnection, RefreshEvent};
use larder::routes::Function;
use larder::scope::Scope;
use larder::seal::Sealer;
use larder::vault::Vault;
use tokio::time::timeout;

/// Serves `GET /credentials`.
pub struct GetCredentials {
    authenticator: Authenticator,
    connections: Connections,
    sealer: Sealer,
    vault: Vault,
    refresh: Arc<dyn RefreshConnection>,
    cors_origins: AllowedOrigins,
    clock: Arc<dyn Clock>,
}

/// The connection that a request means.
#[derive(Clone, Copy)]
enum Selector<'a> {
    /// `connectionId`.
    Id(&'a str),
    /// `connectionKey`.
    Key(&'a str),
    /// `integrationKey`: the caller's only connection of this integration.
    Integration(&'a str),
}

impl<'a> Selector<'a> {
    /// Reads the parameters. The others count only without `connectionId`.
    fn of(parameters: &'a Parameters) -> Result<Self, Error> {
        if parameters.optional("connectionId")?.is_none() {
            let given = |name| Ok::<_, Error>(parameters.optional(name)?.filter(|value| !value.is_empty()));
            if let Some(key) = given("connectionKey")? {
                return Ok(Self::Key(key));
            }
            if let Some(key) = given("integrationKey")? {
                return Ok(Self::Integration(key));
            }
        }
        parameters.required("connectionId").map(Self::Id)
    }
}

/// Says that there are none.
impl Display for Selector<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "there are no credentials for the connection `{id}`"),
            Self::Key(key) => write!(f, "there are no credentials for the connection with the key `{key}`"),
            Self::Integration(key) => {
                write!(f, "there isn't exactly one connection of the integration `{key}` with credentials")
            }
        }
    }
}

impl GetCredentials {
    /// How exact the time of the last read is.
    const USE_INTERVAL: Duration = Duration::from_hours(1);
    /// How long a read waits for that time to be written.
    const MAX_MARKING: Duration = Duration::from_secs(1);

    /// Creates the function from its environment. `refresh` refreshes expired connections.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn new(environment: &Environment, refresh: Arc<dyn RefreshConnection>) -> Result<Self, SettingError> {
        Ok(Self {
            authenticator: environment.authenticator(),
            connections: environment.connections(),
            sealer: environment.sealer()?,
            vault: environment.vault()?,
            refresh,
            cors_origins: environment.settings.cors_origins.clone(),
            clock: Arc::clone(&environment.clock),
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        let parameters = Parameters::of_query(request);
        let caller = self.authenticator.authenticate_for_credentials(request.headers(), &parameters);
        let (caller, found) = tokio::join!(caller, self.look_ahead(request, &parameters));
        // Nothing that was read ahead is used or disclosed before this point.
        let caller = caller?;
        let route = Function::GetCredentials.route(request.method());
        caller.authorize(route.ok_or_else(|| Error::method_not_allowed("GET"))?)?;
        let selector = Selector::of(&parameters)?;
        let unknown = || Error::not_found(selector.to_string());

        let connection = match found {
            Some((found, learned)) => {
                note(|record| *record = Record { workspace: record.workspace.take(), ..learned });
                found?
            }
            None => self.find(&caller, selector, &parameters).await?,
        };
        let connection = connection.filter(|it| caller.may_see(it)).ok_or_else(unknown)?;
        if connection.details.is_deactivated {
            return Err(Error::deactivated());
        }
        let connection = self.fresh(connection, &caller).await?.ok_or_else(unknown)?;
        let (contents, ()) = tokio::join!(self.vault.open(&connection), self.mark_used(&connection));
        let credentials = contents?.credentials.ok_or_else(unknown)?;
        // Values that were stored without an integration are not interpreted.
        let is_whole = connection.integration.is_none() || caller.scopes.include(Scope::CredentialsRefreshToken);
        let json = match is_whole {
            true => Cow::Borrowed(credentials.as_json()),
            false => Cow::Owned(credentials.without_refresh_secrets()),
        };
        Ok(raw_json(StatusCode::OK, format!(r#"{{"credentials":{json}}}"#)))
    }

    /// Reads the requested connection. The tenant of a key is the caller's, or one that an admin names with `tenantId`.
    async fn find(
        &self,
        caller: &Caller,
        selector: Selector<'_>,
        parameters: &Parameters,
    ) -> Result<Option<Connection>, Error> {
        let workspace = &caller.workspace;
        let tenant = if caller.admin { parameters.optional("tenantId")? } else { caller.tenant.as_deref() };
        match selector {
            Selector::Id(id) => Ok(self.connections.get(&ConnectionKey::new(workspace, id)).await?),
            Selector::Key(key) => Ok(self.connections.by_key(workspace, tenant, key).await?),
            Selector::Integration(key) => {
                let selection = Selection { tenant, integration: Some(key), ..caller.selection() };
                Ok(self.connections.only(workspace, selection).await?)
            }
        }
    }

    /// Records that the credentials are read, once an hour. A read does not fail because of this.
    async fn mark_used(&self, connection: &Connection) {
        let now = self.clock.now();
        if connection.details.last_used_at.is_some_and(|last| later(last, Self::USE_INTERVAL) > now) {
            return;
        }
        let what = "the table; the time of the last read was not recorded";
        match timeout(Self::MAX_MARKING, self.connections.mark_used(connection, now)).await {
            // A conflict means that the connection was removed meanwhile.
            Ok(Ok(_)) => {}
            Ok(Err(error)) => log_cause(what, &error),
            Err(error) => log_cause(what, &error),
        }
    }

    /// Reads the requested connection, and loads the key that most likely opens it, while the secret that verifies the
    /// token is fetched. `None` if the secret is in memory: then a read takes only one call anyway.
    async fn look_ahead(
        &self,
        request: &Request,
        parameters: &Parameters,
    ) -> Option<(Result<Option<Connection>, StoreError>, Record)> {
        let workspace = self.authenticator.unverified_workspace(request.headers())?;
        let id = parameters.required("connectionId").ok()?;
        let key = ConnectionKey::new(workspace, id);
        let reads = async { tokio::join!(self.connections.get(&key), self.sealer.look_ahead(&key.workspace)) };
        // Not in the invocation's record: the caller has proven nothing yet.
        let ((found, ()), learned) = recorded(reads).await;
        Some((found, learned))
    }

    /// Returns the connection once its token is valid. `None` if it was removed meanwhile, or now belongs to someone else.
    async fn fresh(&self, connection: Connection, caller: &Caller) -> Result<Option<Connection>, Error> {
        // Credentials that were stored without an integration are not interpreted, so they never expire.
        if connection.integration.is_none() || !connection.is_expired(self.clock.now()) {
            return Ok(Some(connection));
        }
        let &Connection { ref key, version, .. } = &connection;
        if connection.can_refresh() && !connection.is_leased(self.clock.now()) {
            let event = RefreshEvent { key: key.clone(), version: Some(version) };
            self.refresh.refresh(&event).await?;
        }
        let settled = self.connections.settled(key, version, &*self.clock).await?;
        match settled.filter(|it| caller.may_see(it)) {
            Some(settled) if settled.is_expired(self.clock.now()) => Err(self.expired(&settled)),
            settled => Ok(settled),
        }
    }

    /// Returns the error that says why an expired token is not served, and when to retry.
    fn expired(&self, connection: &Connection) -> Error {
        let because = connection.problem.as_ref().map(|problem| format!(": {}", problem.message)).unwrap_or_default();
        if connection.state == State::ClientActionRequired || !connection.can_refresh() {
            let message = format!("the connection has expired; its end user must reconnect{because}");
            return Error::connection(Some("access_token_expired"), message);
        }
        let wait = connection.attempt_allowed_at().map(|time| time - self.clock.now());
        let wait = wait.and_then(|wait| Duration::try_from(wait).ok()).unwrap_or(Duration::from_secs(1));
        let message = format!("the access token has expired and could not be refreshed yet{because}");
        Error::connection_unavailable(message, wait)
    }
}

#[async_trait]
impl Handler for GetCredentials {
    async fn handle(&self, request: Request) -> Response {
        self.cors_origins.answer(&request, self.respond(&request)).await
    }
}
