//! State in DynamoDB: connections, connection requests, pending connect flows, and the configuration of workspaces.
//!
//! [`schema`] describes the tables. Global secondary indexes are used to find rows, never to decide a lease.
//!
//! # Decisions
//!
//! Integrations and wrapped data keys share a third table, `workspaces`, as rows under their workspace. So listing them
//! is one strongly consistent Query and needs no index.

mod attempts;
mod conditional;
mod connection_requests;
mod connections;
mod data_keys;
mod integrations;
mod item;
mod page_sessions;
pub mod schema;
mod sessions;
mod workspace_items;

pub use attempts::{Attempt, AttemptKind, Attempts, Begun};
pub use connection_requests::{
    Claim, Claiming, ConnectionRequest, ConnectionRequests, LinkError, RequestOutcome, RequestStatus,
};
pub use connections::{Connections, Count, DUE_SHARDS, Due, Expect, ListError, Page, Selection, Unconfirmed};
pub use data_keys::{DataKeyRing, WrappedKey};
pub use integrations::{Integration, IntegrationParameters, Integrations, OptionConfig, ParameterChanges};
pub use page_sessions::{PageLinkError, PageSession, PageSessions};
pub use sessions::{Session, SessionError, Sessions, Taken, Visit};

use crate::error::Error;

/// The outcome of a conditional write. Losing to another writer isn't an error.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// The row was written.
    Done,
    /// The stored row is not the one that the write expected. Nothing was written.
    Conflict,
}

impl Write {
    /// Returns `value` if the write was done.
    pub fn then_some<T>(self, value: T) -> Option<T> {
        match self {
            Self::Done => Some(value),
            Self::Conflict => None,
        }
    }
}

/// A table could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB did not answer, or throttled or rejected the request.
    #[error("DynamoDB failed")]
    DynamoDb(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The row would exceed the 400 KB that DynamoDB allows.
    #[error("the connection is too large to store")]
    TooLarge,
    /// Another connection of the tenant has the key.
    #[error("another connection has this key")]
    KeyTaken,
    /// The index of a query is missing or still being filled.
    #[error("an index of the table of connections is missing or still being filled")]
    NoIndex,
    /// An item lacks an attribute or holds one of the wrong type.
    #[error("an item in the table {table} is damaged: {attribute} is missing or has the wrong type")]
    Damaged {
        /// The table.
        table: &'static str,
        /// The attribute.
        attribute: &'static str,
    },
}

impl StoreError {
    fn dynamodb(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::DynamoDb(Box::new(error))
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DynamoDb(_) | StoreError::NoIndex => Error::unavailable("the database", &error),
            StoreError::Damaged { .. } => Error::internal(error),
            StoreError::TooLarge => Error::too_large(
                "the connection is too large to store: its credentials, `meta`, tags, and flows share 400 KB",
            ),
            StoreError::KeyTaken => {
                Error::already_exists("another connection has this `key`; choose another, or remove it there first")
            }
        }
    }
}
