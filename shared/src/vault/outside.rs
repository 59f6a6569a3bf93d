//! Keeps credentials outside the row: writes them to the store first, then the row.
//!
//! A writer must hold the connection's lease (a refresh has it anyway), so there is only one at a time. Right before
//! the write, the lease is extended on the condition that it is still ours, so that it outlasts the write and
//! differences between clocks. A writer that has lost the lease writes nothing. Between the two writes, or after a
//! crash there, the newer credentials go with the older row: readers get them, and the next refresh continues from
//! them.
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

use super::{StoreChange, key};
use crate::clock::Clock;
use crate::connection::{Connection, Lease, LeaseHolder, Problem};
use crate::credential_store::{CredentialStore, CredentialStoreError, Key};
use crate::credentials::Credentials;
use crate::dynamodb::{Connections, Expect, StoreError, Write};
use crate::error::Error;
use crate::random::{self, Rng};

/// A credential store, with the means to hold leases.
#[derive(Clone)]
pub struct Outside {
    /// The store of the credentials.
    pub store: Arc<dyn CredentialStore>,
    /// The clock that leases go by.
    pub clock: Arc<dyn Clock>,
    /// The source of lease tokens and write ids.
    pub rng: Arc<dyn Rng>,
}

/// A lease to change the credentials, and the deadline for using it.
struct HeldLease {
    lease: Lease,
    deadline: Instant,
}

impl Outside {
    /// The time from extending the lease to the end of the work under it. Readers wait this long too.
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
        change: &StoreChange,
        expect: Expect<'_>,
    ) -> Result<Write, Error> {
        // The lease comes first: the store has no conditional writes, so two simultaneous writers would not notice each
        // other.
        let Some(HeldLease { lease, deadline }) = self.hold(connections, row, expect).await? else {
            return Ok(Write::Conflict);
        };
        // The store comes before the row: newer credentials with an older row are usable, but not the reverse.
        let changed = match &change.credentials {
            Some(credentials) => within(deadline, self.store.set(key(row), credentials, &change.write_id)).await,
            None => within(deadline, self.store.remove(key(row))).await,
        };
        match changed {
            // The row is written only by the holder of the lease, and that write releases it.
            Ok(()) => Ok(connections.put(row, Expect::Lease(&lease)).await?),
            Err(error) => {
                // A refused change is over, so others need not wait for the lease to lapse.
                if is_over(&error) {
                    let_go(connections, row, &lease, expect).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Removes the credentials, then the row, if it is still as seen. While the lease is held, no one else can create
    /// another row with its own credentials in its place.
    pub(super) async fn remove(&self, connections: &Connections, seen: &Connection) -> Result<Write, Error> {
        let expect = Expect::Version(seen.version);
        let Some(HeldLease { lease, deadline }) = self.hold(connections, seen, expect).await? else {
            return Ok(Write::Conflict);
        };
        // The credentials go first: without their row, they would never be removed.
        if let Err(error) = within(deadline, self.store.remove(key(seen))).await {
            if is_over(&error) {
                let_go(connections, seen, &lease, expect).await?;
            }
            return Err(error.into());
        }
        Ok(connections.remove(seen, Expect::Lease(&lease)).await?)
    }

    /// Takes or extends the lease of a connection that matches `expect`. `None` if the connection has changed.
    async fn hold(
        &self,
        connections: &Connections,
        row: &Connection,
        expect: Expect<'_>,
    ) -> Result<Option<HeldLease>, Error> {
        // The lease outlasts the deadline by the clock skew: no other process takes it while the work may still arrive.
        let (now, deadline) = (self.clock.now(), Instant::now() + Self::DEADLINE);
        let until = now + Self::DEADLINE + Lease::CLOCK_SKEW;
        let lease = match expect {
            Expect::Lease(ours) => Lease { until, ..ours.clone() },
            _ => Lease::new(LeaseHolder::Refresher, until, &*self.rng),
        };
        let held = match expect {
            // A refresh has held its lease for a while, so it may be about to lapse.
            Expect::Lease(_) => connections.prolong(row, &lease).await?,
            // There is no row to lease yet, so a placeholder takes its place.
            Expect::Absent => connections.reserve(&placeholder(row), &lease).await?,
            Expect::Version(version) | Expect::Unleased(version, _) => {
                let seen = Connection { version, ..Connection::new(row.key.clone(), now) };
                connections.lease(&seen, &lease, now).await?
            }
        };
        if held == Write::Done {
            return Ok(Some(HeldLease { lease, deadline }));
        }
        // Wait for the current writer: its result decides whether ours is a conflict.
        let (Expect::Version(version) | Expect::Unleased(version, _)) = expect else {
            return Ok(None);
        };
        let settled = connections.settled(&row.key, version, &*self.clock).await?;
        let now = self.clock.now();
        let other = settled.filter(|it| it.version == version && it.is_leased(now)).and_then(|it| it.lease);
        let Some(other) = other else { return Ok(None) };
        // It has not finished. Its lease says when a retry makes sense.
        let message = "another request is refreshing or writing the credentials; try again";
        Err(Error { retry_after: (other.until - now).try_into().ok(), ..Error::unready(message) })
    }
}

/// Returns a row that holds the connection's place while its first credentials are written, and that explains itself if
/// they never are.
fn placeholder(row: &Connection) -> Connection {
    let version = row.version.saturating_sub(1);
    let mut placeholder = Connection { version, expiry: None, refreshable: false, ..row.clone() };
    let message = "the credentials could not be stored; store them again, or reconnect";
    placeholder.problem = Some(Problem::new(None, message));
    placeholder.require_action();
    placeholder
}

/// Whether the failed request is over. If it may still be carried out, it must not meet another writer, so the lease is
/// left to lapse.
fn is_over(error: &CredentialStoreError) -> bool {
    matches!(error, CredentialStoreError::Refused(_))
}

/// Releases a lease under which nothing was done.
async fn let_go(
    connections: &Connections,
    row: &Connection,
    lease: &Lease,
    expect: Expect<'_>,
) -> Result<(), StoreError> {
    match expect {
        // The caller held it before and keeps using it.
        Expect::Lease(_) => Ok(()),
        // The row is only our placeholder.
        Expect::Absent => connections.remove(row, Expect::Lease(lease)).await.map(drop),
        Expect::Version(_) | Expect::Unleased(..) => connections.release(row, lease).await,
    }
}

/// Does the work if there is time left, until the deadline.
async fn within<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, CredentialStoreError>>,
) -> Result<T, CredentialStoreError> {
    if Instant::now() >= deadline {
        return Err(CredentialStoreError::Refused("the store was not called: the database took too long".into()));
    }
    let slow = |error| CredentialStoreError::NoAnswer(Box::new(error));
    timeout_at(deadline, work).await.map_err(slow)?
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
    use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
    use aws_sdk_dynamodb::operation::put_item::PutItemOutput;
    use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
    use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use time::OffsetDateTime;

    use super::*;
    use crate::clock::ManualClock;
    use crate::connection::{ConnectionKey, Expiry, State};
    use crate::credential_store::Memory;
    use crate::random::SystemRng;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).expect("a time")
    }

    fn outside() -> Outside {
        let clock = Arc::new(ManualClock::at(1_700_000_000));
        Outside { store: Arc::new(Memory::default()), clock, rng: Arc::new(SystemRng) }
    }

    fn row() -> Connection {
        let expiry = Some(Expiry::new(at(0), at(3600)));
        let key = ConnectionKey::new("acme", "c1");
        Connection { version: 7, expiry, refreshable: true, ..Connection::new(key, at(0)) }
    }

    fn lease() -> Lease {
        Lease { token: "ours".into(), holder: LeaseHolder::Refresher, until: at(5) }
    }

    /// A table that accepts every put, update and delete.
    fn accepting() -> [Rule; 3] {
        [
            mock!(Client::put_item).then_output(|| PutItemOutput::builder().build()),
            mock!(Client::update_item).then_output(|| UpdateItemOutput::builder().build()),
            mock!(Client::delete_item).then_output(|| DeleteItemOutput::builder().build()),
        ]
    }

    fn connections(rules: &[Rule; 3]) -> Connections {
        Connections::new(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, rules), "connections")
    }

    #[tokio::test]
    async fn a_write_has_eight_seconds_under_a_lease_of_38() {
        let ours = lease();
        let table = accepting();
        for (expect, is_ours) in [
            (Expect::Lease(&ours), true),
            (Expect::Absent, false),
            (Expect::Version(7), false),
            (Expect::Unleased(7, at(0)), false),
        ] {
            let held =
                outside().hold(&connections(&table), &row(), expect).await.expect("no failure").expect("a lease");
            assert_eq!((held.lease.until, held.lease.token == "ours"), (at(38), is_ours), "{expect:?}");
            let left = held.deadline - Instant::now();
            assert!(left > Duration::from_secs(5) && left <= Duration::from_secs(8), "{left:?}");
        }
    }

    #[tokio::test]
    async fn a_newer_row_is_a_conflict_even_if_it_is_leased() {
        let stored = Arc::new(Mutex::new(None));
        let rows = Arc::clone(&stored);
        let put = mock!(Client::put_item)
            .match_requests(move |request| {
                *rows.lock().expect("a lock") = request.item().cloned();
                true
            })
            .then_output(|| PutItemOutput::builder().build());
        let update = mock!(Client::update_item).then_error(|| {
            let failed = ConditionalCheckFailedException::builder().message("it failed").build();
            UpdateItemError::ConditionalCheckFailedException(failed)
        });
        let get = mock!(Client::get_item)
            .then_output(move || GetItemOutput::builder().set_item(stored.lock().expect("a lock").clone()).build());
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&put, &update, &get]);
        let connections = Connections::new(client, "connections");
        assert_eq!(connections.reserve(&row(), &lease()).await.expect("no failure"), Write::Done);
        let held = outside().hold(&connections, &row(), Expect::Version(6)).await.expect("no failure");
        assert!(held.is_none());
    }

    #[test]
    fn a_placeholder_explains_itself_and_cannot_be_refreshed() {
        let placeholder = placeholder(&row());
        assert_eq!((placeholder.version, placeholder.expiry, placeholder.refreshable), (6, None, false));
        assert_eq!((placeholder.state, placeholder.next_refresh_at), (State::ClientActionRequired, None));
        let message = placeholder.problem.expect("a problem").message;
        assert_eq!(message, "the credentials could not be stored; store them again, or reconnect");
    }

    #[test]
    fn each_write_has_another_id() {
        let [first, second] = [(); 2].map(|()| outside().write_id());
        // 32 random bytes in base64.
        assert_eq!((first.len(), second.len()), (43, 43));
        assert_ne!(first, second);
    }

    #[test]
    fn only_a_rejected_request_is_over() {
        assert!(is_over(&CredentialStoreError::Refused("no".into())));
        assert!(!is_over(&CredentialStoreError::NoAnswer("a timeout".into())));
    }

    #[tokio::test]
    async fn letting_go_releases_only_leases_taken_for_the_write() {
        for (expect, updates, deletes) in [
            (Expect::Lease(&lease()), 0, 0),
            (Expect::Absent, 0, 1),
            (Expect::Version(7), 1, 0),
            (Expect::Unleased(7, at(0)), 1, 0),
        ] {
            let table = accepting();
            let_go(&connections(&table), &row(), &lease(), expect).await.expect("no failure");
            assert_eq!((table[1].num_calls(), table[2].num_calls()), (updates, deletes), "{expect:?}");
        }
    }
}
