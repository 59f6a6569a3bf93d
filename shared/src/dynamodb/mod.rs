//! State in DynamoDB: connections, pending connect flows, and the configuration of workspaces.
//!
//! [`schema`] describes the tables. Global secondary indexes are used to find rows, never to decide a lease.
//!
//! # Decisions
//!
//! Integrations and wrapped data keys share a third table, `workspaces`, as rows under their workspace. So listing them
//! is one strongly consistent Query and needs no index.

mod connections;
mod data_keys;
mod integrations;
mod item;
pub mod schema;
mod sessions;

pub use connections::{Connections, DUE_SHARDS, Due, Expect, ListError, Page};
pub use data_keys::{DataKeyRing, WrappedKey};
pub use integrations::{Integration, IntegrationParameters, Integrations, OptionConfig, ParameterChanges};
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
            StoreError::DynamoDb(_) => Error::unavailable("the database", &error),
            StoreError::Damaged { .. } => Error::internal(error),
        }
    }
}
