//! Reads and writes connections with their contents, which it seals and opens.
//!
//! Only this module knows where credentials are kept: sealed in the row with the rest of the contents, or in a
//! [`CredentialStore`] outside the row. Each row records which. A change of the setting therefore affects a row only when its
//! credentials are next written.
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
use time::OffsetDateTime;

use crate::connection::{Connection, ConnectionKey, Contents, Given, Problem};
#[cfg(doc)]
use crate::credential_store::CredentialStore;
use crate::credential_store::{CredentialStoreError, Key};
use crate::credentials::Credentials;
use crate::dynamodb::{Connections, Expect, Write};
use crate::error::Error;
use crate::random::Rng;
use crate::seal::{SealContext, SealError, Sealer};

/// The table of connections, together with the sealer and the store for their contents.
#[derive(Clone)]
pub struct Vault {
    connections: Connections,
    sealer: Sealer,
    outside: Option<Outside>,
}

/// A connection that is ready to be written, more than once if necessary. It is sealed only once, so that a write whose
/// response was lost can be recognized by its bytes.
pub struct PreparedWrite {
    row: Connection,
    outside: Option<StoreChange>,
}

/// A pending change of the credentials outside the row.
struct StoreChange {
    /// `None` removes them.
    credentials: Option<Credentials>,
    write_id: String,
}

/// The sealed part of a row whose credentials are, or would be, outside: [`Contents`] without credentials.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rest {
    #[serde(skip_serializing_if = "Map::is_empty")]
    input: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    connector_parameters: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given: Option<Given>,
    /// The kind of store that holds the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials_in: Option<String>,
}

impl Vault {
    /// The largest contents, in bytes: the room that an item of 400 KB has next to its other attributes.
    const MAX_BYTES: usize = 380 * 1024;

    /// Creates a vault over a table, and over a credential store if credentials are kept outside the rows.
    pub fn new(connections: Connections, sealer: Sealer, outside: Option<Outside>) -> Self {
        Self { connections, sealer, outside }
    }

    /// Returns the sealer of the contents.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Returns the size of the largest credentials that can be stored, in bytes of JSON.
    pub fn max_bytes(&self) -> usize {
        self.outside.as_ref().map_or(Credentials::MAX_BYTES, |outside| outside.store.max_bytes())
    }

    /// Whether these credentials can be stored together with the other contents.
    pub fn fits(&self, contents: &Contents, credentials: &Credentials) -> bool {
        // The member names of the contents and their JSON punctuation.
        const AROUND: usize = 100;
        let size = credentials.as_json().len();
        let beside = (&contents.input, &contents.connector_parameters, &contents.given);
        let beside = serde_json::to_vec(&beside).map_or(0, |json| json.len());
        size <= self.max_bytes() && (self.outside.is_some() || size + beside + AROUND <= Self::MAX_BYTES)
    }

    /// Opens a connection's contents.
    ///
    /// # Errors
    /// 503 when the key service or the credential store fails; 500 when the sealed bytes were not sealed for this
    /// connection.
    pub async fn open(&self, connection: &Connection) -> Result<Contents, Error> {
        // The row comes first: only it says whether the credentials are in it or in a store.
        let (mut contents, credentials_in) = self.open_row(connection).await?;
        if let Some(kind) = credentials_in {
            // Another store may hold older credentials under this id, so only the recorded kind is read.
            let outside = self.outside.as_ref().filter(|outside| outside.store.kind() == kind);
            let Some(outside) = outside else { return Err(elsewhere(&kind)) };
            contents.credentials = outside.get(key(connection)).await?;
            // The store knows only ids. If the row was removed meanwhile, another tenant may have reused its id for these.
            let stored = self.connections.get(&connection.key).await?;
            if stored.is_none_or(|stored| stored.tenant != connection.tenant) {
                contents.credentials = None;
            }
        }
        Ok(contents)
    }

    /// Opens the contents so that their credentials can be replaced (`PUT /credentials`): without the credentials, but with
    /// the identifiers that the provider gave ([`Given`]). If the store cannot return the credentials, there are none.
    ///
    /// # Errors
    /// As [`Self::open`], but neither a store that refuses nor a change of the store is an error.
    pub async fn open_to_replace(&self, connection: &Connection) -> Result<Contents, Error> {
        let (mut contents, credentials_in) = self.open_row(connection).await?;
        // The old credentials are read only for their identifiers; after the first replacement, those are in the row.
        let outside = self.outside.as_ref().filter(|outside| credentials_in.as_deref() == Some(outside.store.kind()));
        if let Some(outside) = outside.filter(|_| contents.given.is_none()) {
            contents.credentials = match outside.get(key(connection)).await {
                // Unreadable credentials must not prevent their replacement.
                Err(CredentialStoreError::Refused(_)) => None,
                read => read?,
            };
        }
        Ok(contents.without_credentials())
    }

    /// Opens the values that were entered when connecting, for a reconnect. The credentials may be unreadable and are left
    /// out. `None` if the seal does not open or the contents are damaged.
    ///
    /// # Errors
    /// 503 when the key service fails.
    pub async fn open_entered(&self, connection: &Connection) -> Result<Option<Contents>, Error> {
        match self.open_sealed(connection).await {
            // Reconnecting is the way out of a broken row, so that must not be an error here.
            Err(SealError::DoesNotOpen) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(bytes) => {
                let contents = serde_json::from_slice::<Contents>(&bytes).ok();
                Ok(contents.map(|contents| Contents { credentials: None, ..contents }))
            }
        }
    }

    async fn open_sealed(&self, connection: &Connection) -> Result<Vec<u8>, SealError> {
        // Every write since the seal must be a counted failure, or the one that is about to happen. Otherwise an older
        // seal was put back without the rest of its row.
        let writes = connection.version.saturating_add(1).checked_sub(connection.sealed_version);
        if writes.is_none_or(|writes| writes > u64::from(connection.retry_attempts) + 1) {
            return Err(SealError::DoesNotOpen);
        }
        self.sealer.open(place(connection, connection.sealed_version), &connection.sealed).await
    }

    /// Opens the row's contents. Returns them with the kind of store that holds the credentials, if those are outside.
    async fn open_row(&self, connection: &Connection) -> Result<(Contents, Option<String>), Error> {
        let bytes = self.open_sealed(connection).await?;
        let damaged = |_| Error::internal("the contents of a connection are damaged");
        let contents: Contents = serde_json::from_slice(&bytes).map_err(damaged)?;
        // Credentials in the row win: it was written before a store was configured, or there is none.
        if contents.credentials.is_some() {
            return Ok((contents, None));
        }
        let rest: Rest = serde_json::from_slice(&bytes).map_err(damaged)?;
        Ok((contents, rest.credentials_in))
    }

    /// Seals the contents into the connection for its current version. The credentials are included even if they are
    /// normally kept outside.
    ///
    /// # Errors
    /// 413 when they are too large; 503 when the key service fails.
    pub async fn seal(&self, connection: &mut Connection, contents: &Contents) -> Result<(), Error> {
        self.check_size(contents.credentials.as_ref())?;
        self.seal_bytes(connection, serde_json::to_vec(contents).map_err(Error::internal)?).await
    }

    /// Prepares a connection and its new contents for writing.
    ///
    /// # Errors
    /// As [`Self::seal`]. Nothing has been written in that case.
    pub async fn prepare(&self, mut connection: Connection, contents: &Contents) -> Result<PreparedWrite, Error> {
        let Some(outside) = &self.outside else {
            self.seal(&mut connection, contents).await?;
            return Ok(PreparedWrite { row: connection, outside: None });
        };
        // The store's limit is checked first, so that a write cannot fail halfway because of its size.
        self.check_size(contents.credentials.as_ref())?;
        // The row records the kind of store, not a copy of the credentials.
        let rest = Rest {
            input: contents.input.clone(),
            connector_parameters: contents.connector_parameters.clone(),
            given: contents.given.clone(),
            credentials_in: contents.credentials.as_ref().map(|_| outside.store.kind().to_owned()),
        };
        self.seal_bytes(&mut connection, serde_json::to_vec(&rest).map_err(Error::internal)?).await?;
        // One id for all retries of this write, so that the store can recognize a repeated one.
        let change = StoreChange { credentials: contents.credentials.clone(), write_id: outside.write_id() };
        Ok(PreparedWrite { row: connection, outside: Some(change) })
    }

    /// Prepares a connection whose contents have not changed for writing.
    pub fn prepare_unchanged(&self, connection: Connection) -> PreparedWrite {
        PreparedWrite { row: connection, outside: None }
    }

    /// Writes a prepared connection if the stored one matches `expect` or is already this one.
    ///
    /// # Errors
    /// 503 when the table or the credential store fails, or another writer does not finish. The old credentials or the new
    /// ones are stored in that case, and the write can be retried.
    pub async fn write(&self, prepared: &PreparedWrite, expect: Expect<'_>) -> Result<Write, Error> {
        let PreparedWrite { row, outside: change } = prepared;
        let written = match (&self.outside, change) {
            (Some(outside), Some(change)) => outside.write(&self.connections, row, change, expect).await?,
            _ => self.connections.put(row, expect).await?,
        };
        match written {
            // The response to the first try was lost, and its retry conflicts with itself.
            Write::Conflict if self.is_stored(row).await? => Ok(Write::Done),
            written => Ok(written),
        }
    }

    /// Prepares and writes a connection.
    ///
    /// # Errors
    /// As [`Self::prepare`] and [`Self::write`].
    pub async fn save(&self, connection: &Connection, contents: &Contents, expect: Expect<'_>) -> Result<Write, Error> {
        let prepared = self.prepare(connection.clone(), contents).await?;
        self.write(&prepared, expect).await
    }

    /// Archives a connection in the state that was seen, and erases its credentials and its input.
    ///
    /// # Errors
    /// 503 when the table, the key service or the credential store fails, or another writer does not finish.
    pub async fn archive(&self, seen: &Connection, now: OffsetDateTime) -> Result<Option<Connection>, Error> {
        let mut archived = seen.clone();
        archived.apply_archive(now);
        let expect = Expect::Version(seen.version);
        Ok(self.save(&archived, &Contents::default(), expect).await?.then_some(archived))
    }

    /// Brings a connection back from the archive, without credentials.
    ///
    /// # Errors
    /// As [`Self::archive`].
    pub async fn restore(&self, archived: &Connection, now: OffsetDateTime) -> Result<Option<Connection>, Error> {
        let mut restored = archived.clone();
        restored.apply_restore(now);
        let expect = Expect::Version(archived.version);
        Ok(self.save(&restored, &Contents::default(), expect).await?.then_some(restored))
    }

    /// Erases the credentials of a connection in the state that was seen, and all other contents but `kept`. Its end user must
    /// reconnect.
    ///
    /// # Errors
    /// As [`Self::archive`].
    pub async fn erase(
        &self,
        seen: &Connection,
        kept: &Contents,
        now: OffsetDateTime,
        rng: &dyn Rng,
    ) -> Result<Option<Connection>, Error> {
        let mut erased = seen.clone();
        // A new series of versions, so that a refresh in progress cannot bring the credentials back.
        erased.apply_replacement(None, false, now, rng);
        erased.problem = Some(Problem::new(None, Problem::DISCONNECTED));
        erased.scopes = None;
        erased.account = None;
        erased.require_action();
        Ok(self.save(&erased, kept, Expect::Version(seen.version)).await?.then_some(erased))
    }

    /// Removes a connection in the state that was seen, and its credentials. Removing one that is gone succeeds.
    ///
    /// # Errors
    /// 503 when the table or the credential store fails, or another writer does not finish.
    pub async fn remove(&self, seen: &Connection) -> Result<Write, Error> {
        let removed = match &self.outside {
            Some(outside) => outside.remove(&self.connections, seen).await?,
            None => self.connections.remove(seen, Expect::Version(seen.version)).await?,
        };
        match removed {
            // The response to the first try was lost, and its retry finds nothing.
            Write::Conflict if self.connections.get_with_archived(&seen.key).await?.is_none() => Ok(Write::Done),
            removed => Ok(removed),
        }
    }

    /// Whether a write whose response was lost has arrived anyway.
    async fn is_stored(&self, row: &Connection) -> Result<bool, Error> {
        let stored = self.connections.get_with_archived(&row.key).await?;
        Ok(stored.is_some_and(|stored| stored.version == row.version && stored.sealed == row.sealed))
    }

    fn check_size(&self, credentials: Option<&Credentials>) -> Result<(), Error> {
        let size = credentials.map_or(0, |credentials| credentials.as_json().len());
        let most = self.max_bytes();
        if size > most {
            let most = most / 1024;
            return Err(Error::too_large(format!(
                "the credentials are {size} bytes of JSON; at most {most} KiB can be stored"
            )));
        }
        Ok(())
    }

    async fn seal_bytes(&self, connection: &mut Connection, bytes: Vec<u8>) -> Result<(), Error> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(Error::too_large(
                "the credentials and the connection's parameters together are too large to store",
            ));
        }
        // The seal is bound to the row's version, so that an older seal in a newer row does not open.
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

/// The error for a row that was written under another setting.
fn elsewhere(kind: &str) -> Error {
    let problem = format!("a connection's credentials are in the store `{kind}`, but another store is configured");
    CredentialStoreError::Refused(problem.into()).into()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use async_trait::async_trait;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
    use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
    use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
    use aws_sdk_dynamodb::primitives::Blob;
    use aws_sdk_dynamodb::types::AttributeValue;
    use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use time::OffsetDateTime;

    use super::*;
    use crate::random::SystemRng;
    use crate::seal::{DataKey, DataKeys};

    /// A single data key for everything.
    struct OneKey(Arc<DataKey>);

    #[async_trait]
    impl DataKeys for OneKey {
        async fn current(&self, _: &str, _: Duration) -> Result<Arc<DataKey>, SealError> {
            Ok(Arc::clone(&self.0))
        }

        async fn by_id(&self, _: &str, _: &str) -> Result<Option<Arc<DataKey>>, SealError> {
            Ok(Some(Arc::clone(&self.0)))
        }
    }

    /// A vault without a credential store, over a table with these answers.
    fn vault(answers: &[&Rule]) -> Vault {
        let client: Client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, answers);
        let keys = Arc::new(OneKey(Arc::new(DataKey::new("k", [7; 32]))));
        Vault::new(Connections::new(client, "connections"), Sealer::new(keys, Arc::new(SystemRng)), None)
    }

    fn connection() -> Connection {
        let key = ConnectionKey::new("acme", "c1");
        Connection { version: 5, ..Connection::new(key, OffsetDateTime::UNIX_EPOCH) }
    }

    /// Credentials of this many bytes of JSON.
    fn credentials(bytes: usize) -> Credentials {
        Credentials::from(&Value::from("x".repeat(bytes - 2)))
    }

    /// Contents with an input of this many bytes of JSON.
    fn with_input(bytes: usize) -> Contents {
        let input = Map::from_iter([("key".to_owned(), Value::from("x".repeat(bytes - 10)))]);
        Contents { input, ..Contents::default() }
    }

    #[test]
    fn credentials_fit_up_to_350_kib_and_380_kib_with_the_rest() {
        let vault = vault(&[]);
        let fits = |input, bytes| vault.fits(&with_input(input), &credentials(bytes));
        assert_eq!([fits(20, 358_400), fits(20, 358_401)], [true, false]);
        // 389,120 bytes, less 110 for the names of the members.
        assert_eq!([fits(189_010, 200_000), fits(189_011, 200_000)], [true, false]);
    }

    #[tokio::test]
    async fn contents_over_350_or_380_kib_are_rejected_with_the_limit() {
        let vault = vault(&[]);
        let seal = async |contents: &Contents| {
            let sealed = vault.seal(&mut connection(), contents).await;
            sealed.map_err(|error| error.message)
        };
        let only = |bytes| Contents { credentials: Some(credentials(bytes)), ..Contents::default() };
        assert_eq!(seal(&only(358_400)).await, Ok(()));
        let message = "the credentials are 358401 bytes of JSON; at most 350 KiB can be stored";
        assert_eq!(seal(&only(358_401)).await, Err(message.to_owned()));
        // 389,120 bytes, less 10 for the name of the member.
        assert_eq!(seal(&with_input(389_110)).await, Ok(()));
        let message = "the credentials and the connection's parameters together are too large to store";
        assert_eq!(seal(&with_input(389_111)).await, Err(message.to_owned()));
    }

    #[tokio::test]
    async fn a_reconnect_keeps_the_input_but_not_the_credentials() {
        let vault = vault(&[]);
        let mut connection = connection();
        let contents = Contents { credentials: Some(credentials(10)), ..with_input(20) };
        vault.seal(&mut connection, &contents).await.expect("sealed contents");
        let entered = vault.open_entered(&connection).await.expect("no failure").expect("contents");
        assert!(entered.credentials.is_none());
        assert_eq!(entered.input, contents.input);
        connection.sealed[40] ^= 1;
        assert!(vault.open_entered(&connection).await.expect("no failure").is_none());
    }

    #[tokio::test]
    async fn a_seal_opens_only_if_every_write_since_was_a_failure() {
        let vault = vault(&[]);
        let mut sealed = connection();
        vault.seal(&mut sealed, &with_input(20)).await.expect("sealed contents");
        let opens = async |version, retry_attempts| {
            let connection = Connection { version, retry_attempts, ..sealed.clone() };
            vault.open_entered(&connection).await.expect("no failure").is_some()
        };
        for (version, failures, expected) in [
            (5, 0, true),
            (6, 0, false),
            (6, 1, true),
            (7, 1, false),
            (7, 2, true),
            // The row before the next write, which raises the version.
            (4, 0, true),
            (3, 0, false),
        ] {
            assert_eq!(opens(version, failures).await, expected, "version {version} after {failures} failures");
        }
    }

    #[tokio::test]
    async fn a_write_that_conflicts_only_with_itself_has_succeeded() {
        let written = Arc::new(Mutex::new(None));
        for (version, sealed, expected) in
            [("5", None, Write::Done), ("6", None, Write::Conflict), ("5", Some("another's"), Write::Conflict)]
        {
            let rows = Arc::clone(&written);
            let put = mock!(Client::put_item)
                .match_requests(move |request| {
                    *rows.lock().expect("a lock") = request.item().cloned();
                    true
                })
                .then_error(|| {
                    let failed = ConditionalCheckFailedException::builder().message("it failed").build();
                    PutItemError::ConditionalCheckFailedException(failed)
                });
            let rows = Arc::clone(&written);
            let get = mock!(Client::get_item).then_output(move || {
                let mut row = rows.lock().expect("a lock").clone().expect("a row");
                row.insert("version".to_owned(), AttributeValue::N(version.to_owned()));
                if let Some(sealed) = sealed {
                    row.insert("sealed".to_owned(), AttributeValue::B(Blob::new(sealed)));
                }
                GetItemOutput::builder().set_item(Some(row)).build()
            });
            let saved = vault(&[&put, &get]).save(&connection(), &with_input(20), Expect::Absent).await;
            assert_eq!(saved.expect("no failure"), expected, "version {version}, {sealed:?}");
        }
    }

    #[tokio::test]
    async fn removing_succeeds_if_the_row_is_gone_and_not_if_it_changed() {
        let stored = Arc::new(Mutex::new(None));
        let rows = Arc::clone(&stored);
        let put = mock!(Client::put_item)
            .match_requests(move |request| {
                *rows.lock().expect("a lock") = request.item().cloned();
                true
            })
            .then_output(|| PutItemOutput::builder().build());
        let delete = mock!(Client::delete_item).then_error(|| {
            let failed = ConditionalCheckFailedException::builder().message("it failed").build();
            DeleteItemError::ConditionalCheckFailedException(failed)
        });
        let get = mock!(Client::get_item)
            .then_output(move || GetItemOutput::builder().set_item(stored.lock().expect("a lock").clone()).build());
        let vault = vault(&[&put, &delete, &get]);
        assert_eq!(vault.remove(&connection()).await.expect("no failure"), Write::Done);
        let changed = Connection { version: 6, ..connection() };
        let saved = vault.save(&changed, &with_input(20), Expect::Absent).await;
        assert_eq!(saved.expect("no failure"), Write::Done);
        assert_eq!(vault.remove(&connection()).await.expect("no failure"), Write::Conflict);
    }
}
