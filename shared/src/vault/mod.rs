//! Connections with their contents: sealed on the way in, opened on the way out.
//!
//! This is the one place that knows where credentials are: sealed in the row with the rest of the contents, or in a
//! [`CredentialStore`] outside of it. Rows remember which, so a setting that changes strands nobody: a row is as it was
//! until its credentials are written again.
//!
//! # Decisions
//!
//! Credentials, input and connector parameters are sealed together, so they cannot be of different versions.
//!
//! `sealed_version` is separate from `version`, and the seal is bound to it. So a failed refresh can be recorded
//! without opening or sealing anything, even while the key service or the credential store is down. Every failure
//! counts in `version` and `retry_attempts`, so an older pair of `sealed` and `sealed_version`, put back alone, does
//! not open.

mod candidate;
mod outside;

pub use outside::Outside;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::connection::{Connection, ConnectionKey, Contents, Given};
#[cfg(doc)]
use crate::credential_store::CredentialStore;
use crate::credential_store::{CredentialStoreError, Key};
use crate::credentials::Credentials;
use crate::dynamodb::{Connections, Expect, Write};
use crate::error::Error;
use crate::seal::{SealContext, SealError, Sealer};

/// The table of connections together with the key to what is sealed in it.
#[derive(Clone)]
pub struct Vault {
    connections: Connections,
    sealer: Sealer,
    outside: Option<Outside>,
}

/// A connection that is ready to be written, again and again if need be: it is sealed once, so that a write whose answer
/// was lost is recognised by its bytes.
pub struct Prepared {
    row: Connection,
    outside: Option<Change>,
}

/// What is to become of the credentials outside.
struct Change {
    /// `None` removes them.
    credentials: Option<Credentials>,
    write_id: String,
}

/// What is sealed in a row whose credentials are, or would be, outside: [`Contents`] without them.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rest {
    #[serde(skip_serializing_if = "Map::is_empty")]
    input: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    connector_parameters: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given: Option<Given>,
    /// The kind of store that has the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials_in: Option<String>,
}

impl Vault {
    /// The largest contents, in bytes: what an item of 400 KB leaves beside its other attributes.
    const MAX_BYTES: usize = 380 * 1024;

    /// A vault over a table, and over a store of credentials if they are not in the rows.
    pub fn new(connections: Connections, sealer: Sealer, outside: Option<Outside>) -> Self {
        Self { connections, sealer, outside }
    }

    /// What seals the contents.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The largest credentials that can be stored, in bytes of JSON.
    pub fn max_bytes(&self) -> usize {
        self.outside.as_ref().map_or(Credentials::MAX_BYTES, |outside| outside.store.max_bytes())
    }

    /// Whether these credentials can be stored, beside what else is in the contents.
    pub fn fits(&self, contents: &Contents, credentials: &Credentials) -> bool {
        // The names of the members of the contents, and what JSON needs around them.
        const AROUND: usize = 100;
        let size = credentials.as_json().len();
        let beside = (&contents.input, &contents.connector_parameters, &contents.given);
        let beside = serde_json::to_vec(&beside).map_or(0, |json| json.len());
        size <= self.max_bytes() && (self.outside.is_some() || size + beside + AROUND <= Self::MAX_BYTES)
    }

    /// Opens the contents of a connection.
    ///
    /// # Errors
    /// 503 when the key service or the credential store fails; 500 when the sealed bytes are not those that were sealed
    /// for this connection.
    pub async fn open(&self, connection: &Connection) -> Result<Contents, Error> {
        let (mut contents, credentials_in) = self.open_row(connection).await?;
        if let Some(kind) = credentials_in {
            let outside = self.outside.as_ref().filter(|outside| outside.store.kind() == kind);
            let Some(outside) = outside else { return Err(elsewhere(&kind)) };
            contents.credentials = outside.get(key(connection)).await?;
            // The store knows ids only. If the row has gone meanwhile, this may be what another tenant has stored under its id.
            let stored = self.connections.get(&connection.key).await?;
            if stored.is_none_or(|stored| stored.tenant != connection.tenant) {
                contents.credentials = None;
            }
        }
        Ok(contents)
    }

    /// Opens the contents for whoever replaces the credentials (`PUT /credentials`): without these, but with what the
    /// application gave ([`Given`]). Credentials that the store outside cannot show have given nothing.
    ///
    /// # Errors
    /// As [`Self::open`], except that a store which refuses, or which is not the one in use, does not count as an error.
    pub async fn open_to_replace(&self, connection: &Connection) -> Result<Contents, Error> {
        let (mut contents, credentials_in) = self.open_row(connection).await?;
        let outside = self.outside.as_ref().filter(|outside| credentials_in.as_deref() == Some(outside.store.kind()));
        if let Some(outside) = outside.filter(|_| contents.given.is_none()) {
            contents.credentials = match outside.get(key(connection)).await {
                Err(CredentialStoreError::Refused(_)) => None,
                read => read?,
            };
        }
        Ok(contents.without_credentials())
    }

    /// Opens what was entered when connecting, for whoever connects again: the credentials may be unreadable, and are not
    /// among the contents. `None` if what is sealed does not open, or is damaged.
    ///
    /// # Errors
    /// 503 when the key service fails.
    pub async fn open_entered(&self, connection: &Connection) -> Result<Option<Contents>, Error> {
        match self.open_sealed(connection).await {
            Err(SealError::DoesNotOpen) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(bytes) => {
                let contents = serde_json::from_slice::<Contents>(&bytes).ok();
                Ok(contents.map(|contents| Contents { credentials: None, ..contents }))
            }
        }
    }

    async fn open_sealed(&self, connection: &Connection) -> Result<Vec<u8>, SealError> {
        // Since it was sealed there were failures only, each of which was counted; or it is about to be written. Otherwise an
        // older seal was put back without the rest of its row.
        let writes = connection.version.saturating_add(1).checked_sub(connection.sealed_version);
        if writes.is_none_or(|writes| writes > u64::from(connection.retry_attempts) + 1) {
            return Err(SealError::DoesNotOpen);
        }
        self.sealer.open(place(connection, connection.sealed_version), &connection.sealed).await
    }

    /// What is sealed in the row, and the kind of store that has the credentials if they are outside.
    async fn open_row(&self, connection: &Connection) -> Result<(Contents, Option<String>), Error> {
        let bytes = self.open_sealed(connection).await?;
        let damaged = |_| Error::internal("the contents of a connection are damaged");
        let contents: Contents = serde_json::from_slice(&bytes).map_err(damaged)?;
        if contents.credentials.is_some() {
            return Ok((contents, None));
        }
        let rest: Rest = serde_json::from_slice(&bytes).map_err(damaged)?;
        Ok((contents, rest.credentials_in))
    }

    /// Seals the contents into the connection for its present version, credentials included wherever they are kept.
    ///
    /// # Errors
    /// 413 when they are too large; 503 when the key service fails.
    pub async fn seal(&self, connection: &mut Connection, contents: &Contents) -> Result<(), Error> {
        self.check_size(contents.credentials.as_ref())?;
        self.seal_bytes(connection, serde_json::to_vec(contents).map_err(Error::internal)?).await
    }

    /// Makes a connection and its new contents ready to be written.
    ///
    /// # Errors
    /// As [`Self::seal`]. Nothing has been written then.
    pub async fn prepare(&self, mut connection: Connection, contents: &Contents) -> Result<Prepared, Error> {
        let Some(outside) = &self.outside else {
            self.seal(&mut connection, contents).await?;
            return Ok(Prepared { row: connection, outside: None });
        };
        self.check_size(contents.credentials.as_ref())?;
        let rest = Rest {
            input: contents.input.clone(),
            connector_parameters: contents.connector_parameters.clone(),
            given: contents.given.clone(),
            credentials_in: contents.credentials.as_ref().map(|_| outside.store.kind().to_owned()),
        };
        self.seal_bytes(&mut connection, serde_json::to_vec(&rest).map_err(Error::internal)?).await?;
        let change = Change { credentials: contents.credentials.clone(), write_id: outside.write_id() };
        Ok(Prepared { row: connection, outside: Some(change) })
    }

    /// Makes a connection ready to be written whose contents stay as they are.
    pub fn prepare_unchanged(&self, connection: Connection) -> Prepared {
        Prepared { row: connection, outside: None }
    }

    /// Writes what was prepared if what is stored is what `expect` says, or is already this.
    ///
    /// # Errors
    /// 503 when the table or the credential store fails, or somebody else does not finish writing the credentials. Then the
    /// old credentials or the new ones are stored, never less, and it can be tried again.
    pub async fn write(&self, prepared: &Prepared, expect: Expect<'_>) -> Result<Write, Error> {
        let Prepared { row, outside: change } = prepared;
        let written = match (&self.outside, change) {
            (Some(outside), Some(change)) => outside.write(&self.connections, row, change, expect).await?,
            _ => self.connections.put(row, expect).await?,
        };
        match written {
            // Its answer was lost, and it was repeated.
            Write::Conflict if self.is_stored(row).await? => Ok(Write::Done),
            written => Ok(written),
        }
    }

    /// Prepares and writes.
    ///
    /// # Errors
    /// As [`Self::prepare`] and [`Self::write`].
    pub async fn save(&self, connection: &Connection, contents: &Contents, expect: Expect<'_>) -> Result<Write, Error> {
        let prepared = self.prepare(connection.clone(), contents).await?;
        self.write(&prepared, expect).await
    }

    /// Removes a connection as it was seen, and its credentials. Removing what is gone succeeds.
    ///
    /// # Errors
    /// 503 when the table or the credential store fails, or somebody else does not finish writing the credentials.
    pub async fn remove(&self, seen: &Connection) -> Result<Write, Error> {
        let removed = match &self.outside {
            Some(outside) => outside.remove(&self.connections, seen).await?,
            None => self.connections.remove(seen, Expect::Version(seen.version)).await?,
        };
        match removed {
            // A removal whose answer was lost is repeated, and finds nothing.
            Write::Conflict if self.connections.get(&seen.key).await?.is_none() => Ok(Write::Done),
            removed => Ok(removed),
        }
    }

    /// Whether a write whose answer was lost has arrived all the same.
    async fn is_stored(&self, row: &Connection) -> Result<bool, Error> {
        let stored = self.connections.get(&row.key).await?;
        Ok(stored.is_some_and(|stored| stored.version == row.version && stored.sealed == row.sealed))
    }

    fn check_size(&self, credentials: Option<&Credentials>) -> Result<(), Error> {
        let size = credentials.map_or(0, |credentials| credentials.as_json().len());
        let most = self.max_bytes();
        if size > most {
            let most = most / 1024;
            return Err(Error::too_large(format!(
                "the credentials have {size} bytes of JSON; at most {most} KiB can be stored"
            )));
        }
        Ok(())
    }

    async fn seal_bytes(&self, connection: &mut Connection, bytes: Vec<u8>) -> Result<(), Error> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(Error::too_large("the credentials and what was entered are together too large to be stored"));
        }
        connection.sealed = self.sealer.seal(place(connection, connection.version), &bytes).await?;
        connection.sealed_version = connection.version;
        Ok(())
    }
}

fn place(connection: &Connection, version: u64) -> SealContext<'_> {
    SealContext::of("connection", &connection.key, version)
}

fn key(connection: &Connection) -> Key<'_> {
    let Connection { key: ConnectionKey { workspace, id }, tenant, .. } = connection;
    Key { workspace, connection_id: id, tenant: tenant.as_deref() }
}

/// The setting was changed after this row was written.
fn elsewhere(kind: &str) -> Error {
    let problem =
        format!("the credentials of a connection are in the store `{kind}`, which is not the one that is set");
    CredentialStoreError::Refused(problem.into()).into()
}
