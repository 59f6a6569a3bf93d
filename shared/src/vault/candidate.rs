//! Credentials that a caller provides: sealed for the function that tests them, then stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

use super::Vault;
use crate::connection::{Asked, Connection, ConnectionKey, Contents, Problem, expiry_of, granted_scopes};
use crate::credentials::{Credentials, refresh_token};
use crate::dynamodb::Expect;
use crate::error::Error;
use crate::random::Rng;
use crate::refresh::ReplaceEvent;
use crate::seal::SealContext;

impl Vault {
    /// Seals credentials for one connection at its current version, so that they can be tested before they replace
    /// anything.
    ///
    /// # Errors
    /// 413 when they are too large; 503 when the key service fails.
    pub async fn seal_candidate(
        &self,
        connection: &Connection,
        credentials: &Credentials,
    ) -> Result<ReplaceEvent, Error> {
        // Credentials that cannot be stored need not be tested.
        self.check_size(Some(credentials))?;
        // They are bound to the version, so they cannot replace credentials that were written meanwhile.
        let &Connection { ref key, version, .. } = connection;
        let sealed = self.sealer.seal(place(key, version), credentials.as_json().as_bytes()).await?;
        Ok(ReplaceEvent { key: key.clone(), version, sealed: URL_SAFE_NO_PAD.encode(sealed) })
    }

    /// Opens credentials that were sealed for a connection. A later connection with the same id has other versions.
    ///
    /// # Errors
    /// 503 when the key service fails; 500 when they were not sealed for this connection at this version.
    pub async fn open_candidate(&self, connection: &Connection, event: &ReplaceEvent) -> Result<Credentials, Error> {
        let damaged = "sealed credentials are damaged";
        let sealed = URL_SAFE_NO_PAD.decode(&event.sealed).map_err(|_| Error::internal(damaged))?;
        // The version is the stored row's, not the event's: the seal proves that they are the same.
        let place = place(&connection.key, connection.version);
        let bytes = self.sealer.open(place, &sealed).await?;
        serde_json::from_slice(&bytes).map_err(|_| Error::internal(damaged))
    }

    /// Replaces the credentials with those of a caller and keeps the contents from [`Self::open_to_replace`]. Without
    /// credentials, the end user must reconnect. Returns the new connection, or `None` if the stored one does not match
    /// `expect`.
    ///
    /// # Errors
    /// As [`Self::prepare`] and [`Self::write`].
    pub async fn replace(
        &self,
        mut connection: Connection,
        entered: Contents,
        credentials: Option<Credentials>,
        expect: Expect<'_>,
        now: OffsetDateTime,
        rng: &dyn Rng,
    ) -> Result<Option<Connection>, Error> {
        // Callers state a lifetime as providers do, so it is read the same way.
        let value = credentials.as_ref().map(Credentials::to_value).unwrap_or_default();
        let members = value.as_object();
        let expiry = members.and_then(|members| expiry_of(members, Asked::at(now)));
        let is_integrated = connection.integration.is_some();
        connection.scopes = members.filter(|_| is_integrated).and_then(granted_scopes);
        // A new series of versions, so that a refresh in progress cannot overwrite these credentials.
        connection.apply_replacement(expiry, refresh_token(&value).is_some(), now, rng);
        if credentials.is_none() {
            connection.problem = Some(Problem::new(None, "the credentials were deleted; reconnect"));
            connection.require_action();
        }
        let contents = Contents { credentials, ..entered };
        Ok(self.save(&connection, &contents, expect).await?.then_some(connection))
    }
}

fn place(key: &ConnectionKey, version: u64) -> SealContext<'_> {
    SealContext::of("candidate", key, version)
}
