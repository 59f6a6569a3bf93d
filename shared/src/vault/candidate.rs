//! Credentials that a caller brings: sealed on their way to whoever tests them, and stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

use super::Vault;
use crate::connection::{Asked, Connection, ConnectionKey, Contents, Problem, expiry_of};
use crate::credentials::{Credentials, refresh_token};
use crate::dynamodb::Expect;
use crate::error::Error;
use crate::random::Rng;
use crate::refresh::ReplaceEvent;
use crate::seal::SealContext;

impl Vault {
    /// Seals credentials for one connection at its present version, to be tested before they replace anything.
    ///
    /// # Errors
    /// 413 when they are too large; 503 when the key service fails.
    pub async fn seal_candidate(
        &self,
        connection: &Connection,
        credentials: &Credentials,
    ) -> Result<ReplaceEvent, Error> {
        self.check_size(Some(credentials))?;
        let &Connection { ref key, version, .. } = connection;
        let sealed = self.sealer.seal(place(key, version), credentials.as_json().as_bytes()).await?;
        Ok(ReplaceEvent { key: key.clone(), version, sealed: URL_SAFE_NO_PAD.encode(sealed) })
    }

    /// Opens credentials that were sealed for a connection. Another of the same id has other versions.
    ///
    /// # Errors
    /// 503 when the key service fails; 500 when they were not sealed for this connection at this version.
    pub async fn open_candidate(&self, connection: &Connection, event: &ReplaceEvent) -> Result<Credentials, Error> {
        let damaged = "sealed credentials are damaged";
        let sealed = URL_SAFE_NO_PAD.decode(&event.sealed).map_err(|_| Error::internal(damaged))?;
        let place = place(&connection.key, connection.version);
        let bytes = self.sealer.open(place, &sealed).await?;
        serde_json::from_slice(&bytes).map_err(|_| Error::internal(damaged))
    }

    /// Stores credentials that a caller brought, whole, beside what [`Self::open_to_replace`] gave; none leaves the
    /// connection waiting for its end user. Returns the connection as it is now, or `None` if what is stored is not what `expect` says.
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
        let value = credentials.as_ref().map(Credentials::to_value).unwrap_or_default();
        let expiry = value.as_object().and_then(|members| expiry_of(members, Asked::at(now)));
        connection.apply_replacement(expiry, refresh_token(&value).is_some(), now, rng);
        if credentials.is_none() {
            connection.problem = Some(Problem::new(None, "the credentials were deleted; connect again"));
            connection.require_action();
        }
        let contents = Contents { credentials, ..entered };
        Ok(self.save(&connection, &contents, expect).await?.then_some(connection))
    }
}

fn place(key: &ConnectionKey, version: u64) -> SealContext<'_> {
    SealContext::of("candidate", key, version)
}
