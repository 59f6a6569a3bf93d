//! Connection requests: creates them, shows how they ended, and cancels them.
//!
//! # Decisions
//!
//! A status token is not a token of a caller. It is random, names no workspace, and is compared with the digest in one request,
//! so nothing else accepts it.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::try_join_all;
use larder::caller::{Caller, refused};
use larder::clock::{later, rfc3339};
use larder::connection::{ConnectionKey, DetailsPatch};
use larder::digest::sha256_base64url;
use larder::dynamodb::{Claim, Claiming, ConnectionRequest, RequestOutcome, RequestStatus, Write};
use larder::error::{Error, ErrorClass, log_cause};
use larder::secret::Secret;
use larder::{random, record};
use serde_json::{Value, json};

use super::{Management, unknown, without_nulls};
use crate::connect::{Delivery, RequestedConnection, new_connection_id, request_id};

/// The longest lifetime of a request, in seconds.
const MAX_LIFETIME: u64 = 24 * 60 * 60;
/// The lifetime of a request that doesn't state one, in seconds.
const LIFETIME: u64 = 30 * 60;
/// The most integrations that an end user can choose from.
const MAX_INTEGRATIONS: usize = 50;
/// How often to wait for something else that is ending a request, and how long each time.
const WAITS: usize = 10;
const WAIT: Duration = Duration::from_millis(250);

/// A new connection request. Its secrets are stored only as digests.
pub struct NewRequest {
    /// The stored request.
    pub request: ConnectionRequest,
    /// The link.
    pub url: String,
    /// The token that reads the status.
    pub status_token: String,
}

impl Management {
    /// Creates a connection request and shows it, as [`Self::make_request`] does, with its link and its status token.
    ///
    /// # Errors
    /// As [`Self::make_request`].
    pub async fn create_request(
        &self,
        caller: &Caller,
        wanted: RequestedConnection,
        expires_in: Option<u64>,
    ) -> Result<Value, Error> {
        let made = self.make_request(caller, wanted, expires_in).await?;
        let mut view = self.view_request(&made.request);
        view["url"] = made.url.into();
        view["statusToken"] = made.status_token.into();
        Ok(view)
    }

    /// Creates a connection request that expires after this many seconds.
    ///
    /// # Errors
    /// 400 for a value that is invalid or breaks a limit; 404 if there is no such integration or connection.
    pub async fn make_request(
        &self,
        caller: &Caller,
        mut wanted: RequestedConnection,
        expires_in: Option<u64>,
    ) -> Result<NewRequest, Error> {
        let lifetime = expires_in.unwrap_or(LIFETIME);
        if !(1..=MAX_LIFETIME).contains(&lifetime) {
            return Err(Error::bad_request(format!(
                "`expiresIn` must be a number of seconds from 1 to {MAX_LIFETIME}"
            )));
        }
        check_details(&wanted)?;
        wanted.code_challenge.as_deref().map_or(Ok(()), check_challenge)?;
        if wanted.code_challenge.is_some() && wanted.redirect_uri.is_none() {
            let message =
                "`codeChallenge` needs a `redirectUri`, to which the end user comes back with the confirmation";
            return Err(Error::bad_request(message));
        }
        let tenant = self.resolve_connection(caller, &mut wanted).await?;
        self.check_integrations(caller, &wanted).await?;

        let secret = random::token::<32>(&*self.writer.rng);
        let status_token = random::token::<32>(&*self.writer.rng);
        let id = request_id(&secret);
        let now = self.clock.now();
        let request = ConnectionRequest {
            workspace: caller.workspace.clone(),
            tenant,
            status_token: sha256_base64url(&status_token),
            browser: None,
            sealed: wanted.seal(self.vault.sealer(), &caller.workspace, &id).await?,
            expires_at: later(now, Duration::from_secs(lifetime)),
            outcome: None,
            confirmation: None,
            claimed_until: None,
            id,
        };
        self.requests.put(&request).await?;
        let url = format!("{}/connect?connectionRequestId={secret}", self.connector_setup.base_uri);
        Ok(NewRequest { request, url, status_token })
    }

    /// Shows the status of a request.
    ///
    /// # Errors
    /// 404 if there is none, or it belongs to another tenant.
    pub async fn get_request(&self, caller: &Caller, id: &str) -> Result<Value, Error> {
        Ok(self.view_request(&self.find_request(caller, id).await?))
    }

    /// Shows the status of a request to the holder of its status token.
    ///
    /// # Errors
    /// 401 if the token is another one, or there is no such request.
    pub async fn get_request_by_token(&self, id: &str, status_token: &str) -> Result<Value, Error> {
        let request = self.requests.get(id, self.clock.now()).await?;
        let request = request.filter(|request| is_digest_of(&request.status_token, &Secret::new(status_token)));
        let request = request.ok_or_else(|| refused("wrong status token"))?;
        record::note(|record| record.workspace = Some(request.workspace.clone()));
        Ok(self.view_request(&request))
    }

    /// Confirms the connection that a request led to: from now on it counts. Confirming it again changes nothing.
    ///
    /// # Errors
    /// 400 if the proof is wrong, or the request needs no confirmation; 404 if there is no such request, or it belongs to
    /// another tenant; 409 if there is nothing to confirm.
    pub async fn confirm_request(&self, caller: &Caller, id: &str, proof: &ConfirmationProof) -> Result<Value, Error> {
        let request = self.find_request(caller, id).await?;
        let wanted = RequestedConnection::open(self.vault.sealer(), &request).await?;
        proof.check(&wanted, request.confirmation.as_deref())?;
        let claim = random::token::<16>(&*self.writer.rng);
        let (request, connection_id) = match self.claim_request(id, &claim, Claiming::Confirmation).await? {
            Claim::Taken(request) => match request.outcome.clone() {
                Some(RequestOutcome::Unconfirmed { connection_id }) => (request, connection_id),
                _ => return Err(Error::internal("a connection request was claimed without a connection")),
            },
            Claim::Refused(refused) => {
                let request = refused.ok_or_else(|| unknown_request(id))?;
                // The end user may have come back since it was read.
                proof.check(&wanted, request.confirmation.as_deref())?;
                return match &request.outcome {
                    Some(RequestOutcome::Connected { .. }) => Ok(self.view_request(&request)),
                    Some(RequestOutcome::Canceled) => Err(canceled()),
                    _ if request.status(self.clock.now()) == RequestStatus::Expired => {
                        Err(Error::conflict("the connection request has expired; create another"))
                    }
                    _ => Err(Error::conflict("the end user has not connected yet; confirm when they come back")),
                };
            }
        };
        let key = ConnectionKey::new(&request.workspace, &connection_id);
        let connected = RequestOutcome::Connected { connection_id };
        let recorded = async {
            match self.requests.finish(id, &claim, &connected, None).await? {
                Write::Done => Ok(()),
                Write::Conflict => Err(busy()),
            }
        };
        let confirming = async {
            proof.check(&wanted, request.confirmation.as_deref())?;
            self.confirm(&key, id, recorded).await
        };
        match confirming.await {
            Ok(_) => Ok(self.view_request(&ConnectionRequest { outcome: Some(connected.clone()), ..request })),
            Err(error) => {
                self.release_request(id, &claim).await;
                // There is such a request.
                Err(if error.class == ErrorClass::NotFound { Error::conflict(error.message) } else { error })
            }
        }
    }

    /// Cancels a request. Its link no longer leads on, a flow that it began can no longer be finished, and a connection that is
    /// not confirmed is discarded. A request that has expired stays expired.
    ///
    /// # Errors
    /// 404 if there is none, or it belongs to another tenant; 409 if it has led to a connection, or is doing so.
    pub async fn cancel_request(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let request = self.find_request(caller, id).await?;
        if request.status(self.clock.now()) == RequestStatus::Expired {
            return self.discard_unconfirmed(&request).await?.map_or(Ok(()), |_| Err(has_connected()));
        }
        let claim = random::token::<16>(&*self.writer.rng);
        let request = match self.claim_request(id, &claim, Claiming::Cancellation).await? {
            Claim::Taken(request) => request,
            Claim::Refused(refused) => {
                return match refused.and_then(|request| request.outcome) {
                    Some(RequestOutcome::Canceled) => Ok(()),
                    _ => Err(has_connected()),
                };
            }
        };
        // The connection comes first: if this is interrupted, canceling again discards it.
        let outcome = match self.discard_unconfirmed(&request).await {
            Ok(None) => RequestOutcome::Canceled,
            Ok(Some(connection_id)) => RequestOutcome::Connected { connection_id },
            Err(error) => {
                self.release_request(id, &claim).await;
                return Err(error);
            }
        };
        match self.requests.finish(id, &claim, &outcome, None).await? {
            Write::Done if outcome == RequestOutcome::Canceled => Ok(()),
            Write::Done => Err(has_connected()),
            Write::Conflict => Err(busy()),
        }
    }

    /// Claims a request. If something else is ending it, this waits a moment for its outcome.
    async fn claim_request(&self, id: &str, claim: &str, claiming: Claiming) -> Result<Claim, Error> {
        for _ in 0..WAITS {
            match self.requests.claim(id, claim, claiming, self.clock.now()).await? {
                Claim::Refused(Some(request)) if request.is_claimed(self.clock.now()) => tokio::time::sleep(WAIT).await,
                answer => return Ok(answer),
            }
        }
        Err(busy())
    }

    /// Ends a claim. If that fails, the claim expires.
    async fn release_request(&self, id: &str, claim: &str) {
        if let Err(error) = self.requests.release(id, claim).await {
            log_cause("the table; a connection request stays claimed for a moment", &error);
        }
    }

    /// Discards a connection that is not confirmed. Returns the id of one that was made, by a flow or a confirmation that was
    /// interrupted before it recorded that.
    async fn discard_unconfirmed(&self, request: &ConnectionRequest) -> Result<Option<String>, Error> {
        let key = |id: &str| ConnectionKey::new(&request.workspace, id);
        match &request.outcome {
            Some(RequestOutcome::Unconfirmed { connection_id }) => {
                let is_made = self.discard(&key(connection_id), &request.id).await?;
                Ok(is_made.then(|| connection_id.clone()))
            }
            Some(RequestOutcome::Connected { .. } | RequestOutcome::Canceled) => Ok(None),
            None | Some(RequestOutcome::Failed(_)) => {
                let made = self.connections.get(&key(&new_connection_id(&request.id))).await?;
                Ok(made.map(|connection| connection.key.id))
            }
        }
    }

    async fn find_request(&self, caller: &Caller, id: &str) -> Result<ConnectionRequest, Error> {
        let request = self.requests.get(id, self.clock.now()).await?;
        let is_own =
            |it: &ConnectionRequest| it.workspace == caller.workspace && (caller.admin || caller.tenant == it.tenant);
        let request = request.filter(is_own).ok_or_else(|| unknown_request(id))?;
        // What a request connects is sealed, so only tokens with limits pay for opening it.
        if caller.is_limited() {
            let wanted = RequestedConnection::open(self.vault.sealer(), &request).await?;
            let connection = wanted.connection_id.as_ref();
            let is_within =
                caller.connection_ids.as_ref().is_none_or(|ids| connection.is_some_and(|id| ids.contains(id)))
                    && wanted.integration_keys.iter().all(|key| caller.may_use(key));
            if !is_within {
                return Err(unknown_request(id));
            }
        }
        Ok(request)
    }

    /// Returns the tenant that the connection belongs to. For a reconnect, the request gets the connection's integration.
    async fn resolve_connection(
        &self,
        caller: &Caller,
        wanted: &mut RequestedConnection,
    ) -> Result<Option<String>, Error> {
        let Some(id) = &wanted.connection_id else {
            caller.require_creation(wanted.integration_keys.first().map(String::as_str))?;
            return Ok(caller.tenant.clone());
        };
        if wanted.key.is_some() {
            return Err(Error::bad_request("`connectionId` and `key` both name a connection; give only one"));
        }
        let stored = self.connections.get(&ConnectionKey::new(&caller.workspace, id)).await?;
        let connection = stored.filter(|it| caller.may_see(it)).ok_or_else(|| unknown(id))?;
        let none = || Error::bad_request(format!("the connection `{id}` has no integration to reconnect through"));
        let integration = connection.integration.ok_or_else(none)?.key;
        if !wanted.integration_keys.is_empty() && !wanted.integration_keys.contains(&integration) {
            let message = format!("the connection `{id}` is of the integration `{integration}`; omit `integrationKey`");
            return Err(Error::bad_request(message));
        }
        wanted.integration_keys = vec![integration];
        Ok(connection.tenant)
    }

    /// Checks that the integrations exist, and may send their result to the redirect URI.
    async fn check_integrations(&self, caller: &Caller, wanted: &RequestedConnection) -> Result<(), Error> {
        let keys = &wanted.integration_keys;
        if keys.is_empty() {
            let message = "`integrationKey` is missing; add the key of an integration, `integrationKeys` with several, or a \
                           `connectionId`";
            return Err(Error::bad_request(message));
        }
        if keys.len() > MAX_INTEGRATIONS || keys.iter().collect::<BTreeSet<_>>().len() != keys.len() {
            let message = format!("`integrationKeys` must have at most {MAX_INTEGRATIONS} different members");
            return Err(Error::bad_request(message));
        }
        if keys.len() > 1 && wanted.option_key.is_some() {
            return Err(Error::bad_request("`authOptionKey` needs a single `integrationKey`"));
        }
        let loaded = keys.iter().map(|key| self.connector_setup.integration_for(caller, key));
        for integration in try_join_all(loaded).await? {
            Delivery::new(&integration, wanted.redirect_uri.clone(), None, &self.connector_setup.base_uri)?;
        }
        Ok(())
    }

    fn view_request(&self, request: &ConnectionRequest) -> Value {
        let (connection_id, error) = match &request.outcome {
            Some(RequestOutcome::Connected { connection_id }) => (Some(connection_id), None),
            Some(RequestOutcome::Failed(error)) => (None, Some(error)),
            None | Some(RequestOutcome::Unconfirmed { .. } | RequestOutcome::Canceled) => (None, None),
        };
        without_nulls(json!({
            "requestId": request.id,
            "status": request.status(self.clock.now()),
            "expiresAt": rfc3339(request.expires_at),
            "resultConnectionId": connection_id,
            "resultError": error,
        }))
    }
}

fn unknown_request(id: &str) -> Error {
    Error::not_found(format!("there is no connection request `{id}`"))
}

fn busy() -> Error {
    Error::conflict("the connection request is just being finished; try again in a moment")
}

fn has_connected() -> Error {
    Error::conflict("the connection request has led to a connection; delete that connection instead")
}

fn canceled() -> Error {
    Error::conflict("the connection request was canceled")
}

/// The proof that the application confirms a connection for the person who asked for it.
pub struct ConfirmationProof {
    /// The verifier of the request's challenge (RFC 7636).
    pub code_verifier: Secret,
    /// The code that the end user's browser took to the application.
    pub confirmation: Option<Secret>,
}

impl ConfirmationProof {
    /// Checks the proof against a request, and against the digest of the code that its flow gave the browser.
    fn check(&self, wanted: &RequestedConnection, digest: Option<&str>) -> Result<(), Error> {
        let none = "the connection request was made without `codeChallenge`, so its connection needs no confirmation";
        let challenge = wanted.code_challenge.as_ref().ok_or_else(|| Error::bad_request(none))?;
        let verifier = self.code_verifier.expose();
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(is_unreserved) {
            let message = "`codeVerifier` must have 43 to 128 letters, digits, `-`, `.`, `_` or `~` (RFC 7636)";
            return Err(Error::bad_request(message));
        }
        if !is_digest_of(challenge, &self.code_verifier) {
            return Err(Error::bad_request("`codeVerifier` does not belong to the `codeChallenge` of the request"));
        }
        let is_wrong = |code: &Secret| digest.is_some_and(|digest| !is_digest_of(digest, code));
        if self.confirmation.as_ref().is_some_and(is_wrong) {
            let message = "`confirmation` is not the code that the end user's browser took to `redirectUri`";
            return Err(Error::bad_request(message));
        }
        Ok(())
    }
}

/// Whether a string is the digest of a secret. It compares in constant time.
fn is_digest_of(digest: &str, secret: &Secret) -> bool {
    Secret::new(digest) == Secret::new(sha256_base64url(secret.expose()))
}

/// Checks the form of a challenge with the method S256: a SHA-256 as base64url (RFC 7636 §4.2).
fn check_challenge(challenge: &str) -> Result<(), Error> {
    if URL_SAFE_NO_PAD.decode(challenge).is_ok_and(|digest| digest.len() == 32) {
        return Ok(());
    }
    let message =
        "`codeChallenge` must be the SHA-256 of a code verifier, as base64url without padding (RFC 7636, S256)";
    Err(Error::bad_request(message))
}

/// Checks the values that do not depend on anything stored.
fn check_details(wanted: &RequestedConnection) -> Result<(), Error> {
    let patch = DetailsPatch {
        name: wanted.name.clone().map(Some),
        key: wanted.key.clone().map(Some),
        tags: wanted.tags.clone(),
        meta: wanted.meta.clone().map(Some),
        is_deactivated: None,
    };
    patch.check()
}
