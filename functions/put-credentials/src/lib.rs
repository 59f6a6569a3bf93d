//! `PUT` and `DELETE /credentials?connectionId=ID`: stores or removes a connection's credentials.
//!
//! If the connection has an integration, new credentials are tested first. This function has no engine for that, so it
//! seals them and lets the `refresh` function test and store them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use larder::caller::{Authenticator, Caller};
use larder::clock::Clock;
use larder::connection::{Connection, ConnectionKey, Contents, is_own_id};
use larder::cors::AllowedOrigins;
use larder::credentials::Credentials;
use larder::dynamodb::{Connections, Expect, Write};
use larder::environment::{Environment, SettingError};
use larder::error::Error;
use larder::follow_up::FollowUp;
use larder::http::{Handler, Parameters, Request, Response, empty, read_json};
use larder::random::Rng;
use larder::refresh::{ReplaceCredentials, Replaced};
use larder::routes::Function;
use larder::vault::Vault;
use serde::Deserialize;
use tokio::time::Instant;

/// Serves `PUT` and `DELETE /credentials`.
pub struct PutCredentials {
    authenticator: Authenticator,
    connections: Connections,
    vault: Vault,
    follow_up: FollowUp,
    tester: Arc<dyn ReplaceCredentials>,
    cors_origins: AllowedOrigins,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

#[derive(Deserialize)]
struct CredentialsBody {
    credentials: Credentials,
}

impl PutCredentials {
    /// How long after the request another test may start. A test takes up to 20 seconds, and API Gateway gives up after 30.
    const LAST_TEST: Duration = Duration::from_secs(3);

    /// Creates the function from its environment. `tester` tests and stores credentials of connections with an integration.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn new(environment: &Environment, tester: Arc<dyn ReplaceCredentials>) -> Result<Self, SettingError> {
        Ok(Self {
            authenticator: environment.authenticator(),
            connections: environment.connections(),
            vault: environment.vault()?,
            follow_up: environment.follow_up(),
            tester,
            cors_origins: environment.settings.cors_origins.clone(),
            clock: Arc::clone(&environment.clock),
            rng: Arc::clone(&environment.rng),
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        let parameters = Parameters::of_query(request);
        let caller = self.authenticator.authenticate_for_credentials(request.headers(), &parameters).await?;
        let route = Function::PutCredentials.route(request.method());
        let route = route.ok_or_else(|| Error::method_not_allowed("GET, PUT, DELETE"))?;
        caller.authorize(route)?;
        let id = parameters.required("connectionId")?;
        match route.method {
            Method::PUT => {
                let key = ConnectionKey::of_new(&caller.workspace, id)?;
                let is_tested = is_tested(&caller, &parameters)?;
                let CredentialsBody { credentials } = read_json(request)?;
                if credentials.have_too_many_values() {
                    let most = Credentials::MAX_VALUES;
                    let message = format!(
                        "`credentials` must have at most {most} values; store fewer, or encode them in a string"
                    );
                    return Err(Error::too_large(message));
                }
                self.replace(&caller, &key, &credentials, is_tested).await?;
                Ok(empty(StatusCode::CREATED))
            }
            _ => {
                self.remove(&caller, &ConnectionKey::new(&caller.workspace, id)).await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
        }
    }

    /// Removes a connection's credentials. If it has an integration, it stays, so that its end user can reconnect.
    async fn remove(&self, caller: &Caller, key: &ConnectionKey) -> Result<(), Error> {
        let change = |stored: Option<Connection>| async move {
            let Some(stored) = stored.filter(|it| caller.may_see(it)) else { return Ok(Some(())) };
            if stored.integration.is_some() {
                return Ok(self.write(key, Some(stored), None, caller).await?.then_some(()));
            }
            if self.vault.remove(&stored).await? == Write::Conflict {
                return Ok(None);
            }
            self.follow_up.removed(&stored).await;
            Ok(Some(()))
        };
        self.connections.change(key, change).await?.ok_or_else(|| changed_by_others(key))
    }

    /// Stores credentials and replaces any that exist. If the connection has an integration, they are tested first.
    async fn replace(
        &self,
        caller: &Caller,
        key: &ConnectionKey,
        credentials: &Credentials,
        is_tested: bool,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        let change = |stored: Option<Connection>| async move {
            let is_visible = stored.as_ref().map(|stored| caller.may_see(stored));
            if is_visible != Some(true) {
                caller.require_creation(None)?;
            }
            if is_visible == Some(false) {
                return Err(Error::not_found(format!("there is no connection `{}`", key.id)));
            }
            if stored.is_none() && is_own_id(&key.id) && !caller.keeps_credentials {
                let message = "ids of the form `own-…` are reserved for connecting; choose another `connectionId`";
                return Err(Error::bad_request(message));
            }
            if let Some(stored) = stored.as_ref().filter(|stored| is_tested && stored.integration.is_some()) {
                let event = self.vault.seal_candidate(stored, credentials).await?;
                match self.tester.replace(&event).await? {
                    Replaced::Stored => return Ok(Some(())),
                    Replaced::Refused(refusal) => return Err(refusal.into()),
                    Replaced::Stale if begun.elapsed() < Self::LAST_TEST => return Ok(None),
                    Replaced::Stale => return Err(changed_by_others(key)),
                }
            }
            Ok(self.write(key, stored, Some(credentials), caller).await?.then_some(()))
        };
        self.connections.change(key, change).await?.ok_or_else(|| changed_by_others(key))
    }

    /// Writes credentials if the connection is still as read. Without credentials, the end user must reconnect.
    async fn write(
        &self,
        key: &ConnectionKey,
        stored: Option<Connection>,
        credentials: Option<&Credentials>,
        caller: &Caller,
    ) -> Result<Write, Error> {
        let now = self.clock.now();
        let before = stored.as_ref().map(|stored| stored.state);
        let expect = stored.as_ref().map_or(Expect::Absent, |stored| Expect::Version(stored.version));
        let (connection, contents) = match stored {
            Some(stored) if stored.integration.is_some() => {
                let contents = self.vault.open_to_replace(&stored).await?;
                // Without a test, nobody says whose credentials they are.
                (Connection { account: None, ..stored }, contents)
            }
            Some(stored) => (stored, Contents::default()),
            None => {
                let tenant = caller.tenant.clone();
                (Connection { tenant, ..Connection::new(key.clone(), now) }, Contents::default())
            }
        };
        let replacing = self.vault.replace(connection, contents, credentials.cloned(), expect, now, &*self.rng);
        let Some(connection) = replacing.await? else { return Ok(Write::Conflict) };
        self.follow_up.written(before, &connection).await;
        Ok(Write::Done)
    }
}

fn changed_by_others(key: &ConnectionKey) -> Error {
    Error::conflict(format!("other requests are changing the connection `{}`; try again", key.id))
}

/// Whether new credentials of a connection with an integration are tested (`test`, which only admins may turn off).
fn is_tested(caller: &Caller, parameters: &Parameters) -> Result<bool, Error> {
    match parameters.optional("test")? {
        None | Some("true") => Ok(true),
        Some("false") if caller.admin => Ok(false),
        Some("false") => {
            let message = "only admins may store untested credentials; omit `test=false`";
            Err(Error::access_denied(message))
        }
        Some(_) => Err(Error::bad_request("`test` must be `true` or `false`")),
    }
}

#[async_trait]
impl Handler for PutCredentials {
    async fn handle(&self, request: Request) -> Response {
        self.cors_origins.answer(&request, self.respond(&request)).await
    }
}
