//! Connections with their contents: sealed on the way in, opened on the way out.

use crate::connection::{Connection, Contents};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::seal::{Place, Sealer};
use crate::store::{Connections, Expect};

/// The table of connections together with the key to what is sealed in it.
#[derive(Clone)]
pub struct Vault {
    connections: Connections,
    sealer: Sealer,
}

impl Vault {
    /// The largest contents, in bytes: what an item of 400 KB leaves beside its other attributes.
    const MAX_BYTES: usize = 380 * 1024;

    /// A vault over a table.
    pub fn new(connections: Connections, sealer: Sealer) -> Self {
        Self { connections, sealer }
    }

    /// What seals the contents.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Opens the contents of a connection.
    ///
    /// # Errors
    /// 503 when the key service fails; 500 when the sealed bytes are not those that were sealed for this connection.
    pub async fn open(&self, connection: &Connection) -> Result<Contents, Error> {
        let bytes = self.sealer.open(place(connection, connection.sealed_version), &connection.sealed).await?;
        serde_json::from_slice(&bytes).map_err(|_| Error::internal("the contents of a connection are damaged"))
    }

    /// Seals the contents into the connection, for its present version.
    ///
    /// # Errors
    /// 413 when they are too large; 503 when the key service fails.
    pub async fn seal(&self, connection: &mut Connection, contents: &Contents) -> Result<(), Error> {
        let size = contents.credentials.as_ref().map_or(0, |credentials| credentials.as_json().len());
        if size > Credentials::MAX_BYTES {
            let limit = Credentials::MAX_BYTES / 1024;
            return Err(Error::too_large(format!(
                "the credentials have {size} bytes of JSON; at most {limit} KiB can be stored"
            )));
        }
        let bytes = serde_json::to_vec(contents).map_err(Error::internal)?;
        if bytes.len() > Self::MAX_BYTES {
            return Err(Error::too_large("the credentials and what was entered are together too large to be stored"));
        }
        connection.sealed = self.sealer.seal(place(connection, connection.version), &bytes).await?;
        connection.sealed_version = connection.version;
        Ok(())
    }

    /// Seals the contents into the connection and writes both if what is stored is what `expect` says. `false` if it is
    /// not.
    ///
    /// # Errors
    /// As [`Self::seal`]; 503 when the table fails.
    pub async fn save(
        &self,
        connection: &mut Connection,
        contents: &Contents,
        expect: Expect<'_>,
    ) -> Result<bool, Error> {
        self.seal(connection, contents).await?;
        Ok(self.connections.put(connection, expect).await?)
    }
}

fn place(connection: &Connection, version: u64) -> Place<'_> {
    Place { workspace: &connection.workspace, kind: "connection", id: &connection.id, version }
}
