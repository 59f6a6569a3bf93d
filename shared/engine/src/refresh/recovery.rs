//! Recovering the results of refreshes that the table did not accept: they are sealed, queued, and saved from the queue.
//!
//! A provider that rotates refresh tokens has already invalidated the old one, so the result is the only copy. Until it is
//! saved, the provider should not be called with the old token. The lease of the refresh that got the result prevents that,
//! and after it one grace period.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder::clock::{from_milliseconds, milliseconds};
use larder::connection::{Connection, ConnectionKey, Contents, Expiry, Lease, LeaseHolder};
use larder::credentials::{Credentials, refresh_token};
use larder::digest::sha256_base64url;
use larder::dynamodb::{Expect, Write};
use larder::error::Error;
use larder::random::Rng;
use larder::seal::{SealContext, Sealer};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Refresher;
use crate::provider::ObtainedCredentials;

/// The result of a refresh.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Renewed {
    credentials: Credentials,
    /// The digest of the credentials that were refreshed.
    replaces: String,
    /// When the access token was requested and when it expires, in milliseconds since 1970.
    life: Option<(i64, i64)>,
    /// Whether the access token is the same as before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_rest: bool,
    renews_itself: bool,
    /// How long before the expiry a refresh is due, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_margin: Option<u64>,
    /// The granted scopes, if the provider stated them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    at: i64,
}

impl Renewed {
    /// Creates the result. `credentials` is the outcome of merging `obtained` into the credentials that it `replaces`.
    pub(super) fn new(
        credentials: Credentials,
        replaces: &Credentials,
        obtained: &ObtainedCredentials,
        now: OffsetDateTime,
    ) -> Self {
        let &ObtainedCredentials { expiry, renews_itself, refresh_margin, .. } = obtained;
        Self {
            credentials,
            replaces: sha256_base64url(replaces.as_json()),
            life: expiry.map(|expiry| (milliseconds(expiry.from), milliseconds(expiry.at))),
            is_rest: expiry.is_some_and(|expiry| expiry.is_rest),
            renews_itself,
            refresh_margin: refresh_margin.map(|margin| margin.as_secs()),
            scopes: obtained.scopes.clone(),
            at: milliseconds(now),
        }
    }

    /// Whether the stored credentials are the ones that were refreshed, or already this result. An external credential store
    /// may hold others although the row is unchanged.
    fn follows(&self, stored: &Credentials) -> bool {
        sha256_base64url(stored.as_json()) == self.replaces || stored.as_json() == self.credentials.as_json()
    }

    /// Applies the result to a connection and its contents.
    pub(super) fn apply(&self, connection: &mut Connection, contents: &mut Contents) {
        let expiry = self.life.and_then(|(from, at)| {
            Some(Expiry { from: from_milliseconds(from)?, at: from_milliseconds(at)?, is_rest: self.is_rest })
        });
        let at = from_milliseconds(self.at).unwrap_or(connection.updated_at);
        connection.renews_itself = self.renews_itself;
        connection.refresh_margin = self.refresh_margin.map(Duration::from_secs);
        connection.apply_renewal(expiry, refresh_token(&self.credentials.to_value()).is_some(), at);
        if self.scopes.is_some() {
            connection.scopes.clone_from(&self.scopes);
        }
        connection.last_refreshed_at = Some(at);
        contents.credentials = Some(self.credentials.clone());
    }
}

/// A result that waits to be saved: a message on the recovery queue.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unsaved {
    /// The connection.
    #[serde(flatten)]
    pub key: ConnectionKey,
    /// The version that was refreshed.
    version: u64,
    /// When the connection was created, in milliseconds since 1970. It rules out a later connection with the same id.
    created_at: i64,
    /// The fencing token of the lease that the refresh held.
    lease_token: String,
    /// The sealed result, in URL-safe base64.
    sealed: String,
}

impl std::fmt::Debug for Unsaved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unsaved({}, {}, version {})", self.key.workspace, self.key.id, self.version)
    }
}

/// The outcome of saving a result later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The result is saved.
    Saved,
    /// The connection has newer credentials, or is gone: there is nothing left to do.
    Superseded,
    /// The connection is being refreshed; try again.
    Busy,
}

impl Unsaved {
    /// How long a connection is left to the recovery queue after its lease has expired without a result, before the provider
    /// is called again.
    pub const GRACE: Duration = Duration::from_secs(90);

    pub(super) async fn seal(
        sealer: &Sealer,
        seen: &Connection,
        lease: &Lease,
        renewed: &Renewed,
    ) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(renewed).map_err(Error::internal)?;
        let sealed = sealer.seal(seal_context(&seen.key, seen.version), &bytes).await?;
        Ok(Self {
            key: seen.key.clone(),
            version: seen.version,
            created_at: milliseconds(seen.created_at),
            lease_token: lease.token.clone(),
            sealed: URL_SAFE_NO_PAD.encode(sealed),
        })
    }

    async fn open(&self, sealer: &Sealer) -> Result<Renewed, Error> {
        let damaged = "a message on the recovery queue is damaged";
        let sealed = URL_SAFE_NO_PAD.decode(&self.sealed).map_err(|_| Error::internal(damaged))?;
        let bytes = sealer.open(seal_context(&self.key, self.version), &sealed).await?;
        serde_json::from_slice(&bytes).map_err(|_| Error::internal(damaged))
    }

    /// Whether a connection still has the credentials that were refreshed: it has only failed since then.
    fn is_newest_of(&self, stored: &Connection) -> bool {
        milliseconds(stored.created_at) == self.created_at && stored.has_only_failed_since(self.version)
    }
}

fn seal_context(key: &ConnectionKey, version: u64) -> SealContext<'_> {
    SealContext::of("refreshed", key, version)
}

/// Creates the lease that leaves a connection to the recovery queue for a while.
pub(super) fn grace(now: OffsetDateTime, rng: &dyn Rng) -> Lease {
    Lease::new(LeaseHolder::RecoveryQueue, now + Unsaved::GRACE, rng)
}

impl Refresher {
    /// Saves a result that could not be saved right after the refresh. Doing so twice has the same effect as once.
    ///
    /// # Errors
    /// When one of Larder's own dependencies fails; the result must then be kept.
    pub async fn recover(&self, unsaved: &Unsaved) -> Result<Recovery, Error> {
        // Keep newer credentials, which came from a later refresh, a reconnect or your application.
        let stored = self.connections.get(&unsaved.key).await?;
        let Some(mut connection) = stored.filter(|stored| unsaved.is_newest_of(stored)) else {
            return Ok(Recovery::Superseded);
        };
        let now = self.clock.now();
        // Hold a lease, so that the provider is called neither during this attempt nor before the next one.
        let lease = match connection.lease.clone().filter(|lease| lease.until > now) {
            Some(lease) if lease.token == unsaved.lease_token => Some(lease),
            Some(lease) if lease.holder == LeaseHolder::RecoveryQueue => {
                let lease = Lease { until: now + Unsaved::GRACE, ..lease };
                self.connections.prolong(&connection, &lease).await?.then_some(lease)
            }
            // The provider is being called with the old token. If that fails, this result is saved afterwards.
            Some(_) => None,
            None => {
                let lease = grace(now, &*self.rng);
                self.connections.lease(&connection, &lease, now).await?.then_some(lease)
            }
        };
        let Some(lease) = lease else { return Ok(Recovery::Busy) };
        let renewed = unsaved.open(self.vault.sealer()).await?;
        let mut contents = self.vault.open(&connection).await?;
        // An external store may have newer credentials although the row is unchanged.
        if contents.credentials.as_ref().is_some_and(|stored| !renewed.follows(stored)) {
            self.connections.release(&connection, &lease).await?;
            return Ok(Recovery::Superseded);
        }
        // Save as the refresh would have, with the time of its answer.
        let before = connection.state;
        renewed.apply(&mut connection, &mut contents);
        if self.vault.save(&connection, &contents, Expect::Lease(&lease)).await? == Write::Conflict {
            return Ok(Recovery::Busy);
        }
        let ConnectionKey { workspace, id } = &connection.key;
        tracing::info!(workspace, connection = id, "the result of a refresh was saved late");
        self.follow_up.written(Some(before), &connection).await;
        Ok(Recovery::Saved)
    }
}

#[cfg(test)]
mod tests {
    use larder::connection::{Failure, Problem};
    use serde_json::{Map, json};

    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).expect("a time")
    }

    fn credentials(token: &str) -> Credentials {
        Credentials::from(&json!({"access_token": token}))
    }

    fn unsaved() -> Unsaved {
        Unsaved {
            key: ConnectionKey::new("acme", "c1"),
            version: 3,
            created_at: 1_700_000_000_000,
            lease_token: "hunter2".into(),
            sealed: "hunter3".into(),
        }
    }

    #[test]
    fn a_result_follows_the_credentials_it_replaced_and_itself() {
        let obtained = ObtainedCredentials {
            credentials: Map::new(),
            expiry: None,
            renews_itself: false,
            refresh_margin: None,
            scopes: None,
            account: None,
            is_dead: false,
        };
        let renewed = Renewed::new(credentials("new"), &credentials("old"), &obtained, at(0));
        assert_eq!(["old", "new", "other"].map(|token| renewed.follows(&credentials(token))), [true, true, false]);
    }

    #[test]
    fn a_result_is_the_newest_while_its_connection_only_fails() {
        let mut connection = Connection { version: 3, ..Connection::new(ConnectionKey::new("acme", "c1"), at(0)) };
        assert!(unsaved().is_newest_of(&connection));
        let failure = Failure::Transient { problem: Problem::new(None, "down"), retry_after: None };
        connection.apply_failure(&failure, at(60), 0.0, Duration::MAX);
        assert!(unsaved().is_newest_of(&connection));
        let recreated = Connection { created_at: at(1), ..connection.clone() };
        assert!(!unsaved().is_newest_of(&recreated));
        connection.apply_renewal(None, true, at(120));
        assert!(!unsaved().is_newest_of(&connection));
    }

    #[test]
    fn debug_shows_the_connection_of_a_result_and_no_secret() {
        assert_eq!(format!("{:?}", unsaved()), "Unsaved(acme, c1, version 3)");
    }
}
