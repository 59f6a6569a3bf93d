//! Credentials that are kept outside the row: first they are written there, then the row.
//!
//! Whoever writes or removes them holds the lease of the connection, which a refresh has anyway; so they are written by
//! one at a time. Right before the write the lease is prolonged, on condition that it is still ours, so that it outlasts
//! the write and clocks that disagree. Who has lost the lease writes nothing. Between the two writes, and for as long as a
//! process that died there leaves it so, the newer credentials are with the older row: readers get them, and the next
//! refresh goes on from them.
//!
//! # Decisions
//!
//! A new connection is first stored without credentials and leased, so two flows that create it at once cannot write
//! under each other's row. If its credentials are never stored, it says so (`CLIENT_ACTION_REQUIRED`). A rejected write
//! returns the lease; a write without an answer keeps it until it can no longer arrive. Prolonging the lease before
//! each write checks ownership and limits the time in one conditional update, so a refresh may retry as long as it
//! likes and never writes late.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Change, key};
use crate::clock::Clock;
use crate::connection::{Connection, Lease, LeaseHolder, Problem};
use crate::credential_store::{CredentialStore, CredentialStoreError, Key};
use crate::credentials::Credentials;
use crate::dynamodb::{Connections, Expect, StoreError, Write};
use crate::error::Error;
use crate::random::{self, Rng};

/// A store outside, and what is needed to hold leases.
#[derive(Clone)]
pub struct Outside {
    /// Where the credentials are.
    pub store: Arc<dyn CredentialStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Lease tokens and ids of writes.
    pub rng: Arc<dyn Rng>,
}

/// The right to change the credentials, and until when it is to be used.
struct Held {
    lease: Lease,
    deadline: Instant,
}

impl Outside {
    /// From prolonging the lease to the end of what is done under it; also how long a reader waits.
    const DEADLINE: Duration = Duration::from_secs(8);

    pub(super) fn write_id(&self) -> String {
        random::token::<32>(&*self.rng)
    }

    pub(super) async fn get(&self, key: Key<'_>) -> Result<Option<Credentials>, CredentialStoreError> {
        within(Instant::now() + Self::DEADLINE, self.store.get(key)).await
    }

    /// Carries out the change under the lease, then writes the row.
    pub(super) async fn write(
        &self,
        connections: &Connections,
        row: &Connection,
        change: &Change,
        expect: Expect<'_>,
    ) -> Result<Write, Error> {
        let Some(Held { lease, deadline }) = self.hold(connections, row, expect).await? else {
            return Ok(Write::Conflict);
        };
        let changed = match &change.credentials {
            Some(credentials) => within(deadline, self.store.set(key(row), credentials, &change.write_id)).await,
            None => within(deadline, self.store.remove(key(row))).await,
        };
        match changed {
            Ok(()) => Ok(connections.put(row, Expect::Lease(&lease)).await?),
            Err(error) => {
                if is_over(&error) {
                    let_go(connections, row, &lease, expect).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Removes the credentials, then the row, if it is as it was seen. While the lease is held, nobody can put another row
    /// with credentials of its own in that place.
    pub(super) async fn remove(&self, connections: &Connections, seen: &Connection) -> Result<Write, Error> {
        let expect = Expect::Version(seen.version);
        let Some(Held { lease, deadline }) = self.hold(connections, seen, expect).await? else {
            return Ok(Write::Conflict);
        };
        if let Err(error) = within(deadline, self.store.remove(key(seen))).await {
            if is_over(&error) {
                let_go(connections, seen, &lease, expect).await?;
            }
            return Err(error.into());
        }
        Ok(connections.remove(seen, Expect::Lease(&lease)).await?)
    }

    /// Takes the lease of a connection that is as `expect` says, or prolongs it. `None` if the connection has changed.
    async fn hold(
        &self,
        connections: &Connections,
        row: &Connection,
        expect: Expect<'_>,
    ) -> Result<Option<Held>, Error> {
        let (now, deadline) = (self.clock.now(), Instant::now() + Self::DEADLINE);
        let until = now + Self::DEADLINE + Lease::CLOCK_SKEW;
        let lease = match expect {
            Expect::Lease(ours) => Lease { until, ..ours.clone() },
            _ => Lease::new(LeaseHolder::Refresher, until, &*self.rng),
        };
        let held = match expect {
            Expect::Lease(_) => connections.prolong(row, &lease).await?,
            Expect::Absent => connections.reserve(&placeholder(row), &lease).await?,
            Expect::Version(version) | Expect::Unleased(version, _) => {
                let seen = Connection { version, ..Connection::new(row.key.clone(), now) };
                connections.lease(&seen, &lease, now).await?
            }
        };
        if held == Write::Done {
            return Ok(Some(Held { lease, deadline }));
        }
        // Whoever writes now is waited for.
        let (Expect::Version(version) | Expect::Unleased(version, _)) = expect else { return Ok(None) };
        let settled = connections.settled(&row.key, version, &*self.clock).await?;
        let now = self.clock.now();
        let other = settled.filter(|it| it.version == version && it.is_leased(now)).and_then(|it| it.lease);
        let Some(other) = other else { return Ok(None) };
        let message = "the credentials are being refreshed or written by somebody else; try again";
        Err(Error { retry_after: (other.until - now).try_into().ok(), ..Error::unready(message) })
    }
}

/// A connection that holds its place while its first credentials are written. If that never ends, it says so.
fn placeholder(row: &Connection) -> Connection {
    let version = row.version.saturating_sub(1);
    let mut placeholder = Connection { version, expiry: None, refreshable: false, ..row.clone() };
    let message = "the credentials could not be stored; store them again, or connect again";
    placeholder.problem = Some(Problem::new(None, message));
    placeholder.require_action();
    placeholder
}

/// Whether nothing of what was asked is under way any more. What is must not meet another writer: then the lease ends by
/// itself.
fn is_over(error: &CredentialStoreError) -> bool {
    matches!(error, CredentialStoreError::Refused(_))
}

/// Ends a lease under which nothing was done.
async fn let_go(
    connections: &Connections,
    row: &Connection,
    lease: &Lease,
    expect: Expect<'_>,
) -> Result<(), StoreError> {
    match expect {
        // It was held before, and whoever held it goes on.
        Expect::Lease(_) => Ok(()),
        Expect::Absent => connections.remove(row, Expect::Lease(lease)).await.map(drop),
        Expect::Version(_) | Expect::Unleased(..) => connections.release(row, lease).await,
    }
}

/// Does it if there is time, and for so long.
async fn within<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, CredentialStoreError>>,
) -> Result<T, CredentialStoreError> {
    if Instant::now() >= deadline {
        return Err(CredentialStoreError::Refused("it was not asked: the database took too long".into()));
    }
    let slow = |error| CredentialStoreError::NoAnswer(Box::new(error));
    timeout_at(deadline, work).await.map_err(slow)?
}
