//! DynamoDB items with typed attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use super::StoreError;
use crate::clock::{from_milliseconds, milliseconds};

/// A DynamoDB item being built or read.
#[derive(Debug, Default, Clone)]
pub(super) struct Item(pub(super) HashMap<String, AttributeValue>);

impl Item {
    pub(super) fn string(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::S(value.into()));
        self
    }

    pub(super) fn number(mut self, name: &str, value: impl ToString) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::N(value.to_string()));
        self
    }

    pub(super) fn bytes(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::B(Blob::new(value)));
        self
    }

    /// Adds a time, as milliseconds since 1970.
    pub(super) fn time(self, name: &str, value: OffsetDateTime) -> Self {
        self.number(name, milliseconds(value))
    }

    /// Adds the time at which the item expires, also in seconds for DynamoDB's own deletion, which may happen days later.
    pub(super) fn expiring(self, at: OffsetDateTime) -> Self {
        self.time("expires_at", at).number("ttl", at.unix_timestamp())
    }

    /// Adds a set of strings. DynamoDB has no empty ones.
    pub(super) fn strings(mut self, name: &str, values: Vec<String>) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::Ss(values));
        self
    }

    /// Adds all attributes of another item.
    pub(super) fn with(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Adds a value with `add`, or leaves the attribute out if there is none.
    pub(super) fn maybe<T>(self, name: &str, value: Option<T>, add: impl FnOnce(Self, &str, T) -> Self) -> Self {
        match value {
            Some(value) => add(self, name, value),
            None => self,
        }
    }

    pub(super) fn get_string(&self, name: &str) -> Option<String> {
        self.0.get(name)?.as_s().ok().cloned()
    }

    pub(super) fn get_number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.0.get(name)?.as_n().ok()?.parse().ok()
    }

    /// The bytes of its strings and binary values, which are nearly all of its size.
    pub(super) fn size(&self) -> usize {
        let size = |value: &AttributeValue| match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::B(blob) => blob.as_ref().len(),
            _ => 0,
        };
        self.0.values().map(size).sum()
    }

    /// Reads a string that holds JSON.
    pub(super) fn get_json<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.as_s().ok()?).ok()
    }

    pub(super) fn get_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name)?.as_b().ok().map(|blob| blob.as_ref().to_vec())
    }

    pub(super) fn get_time(&self, name: &str) -> Option<OffsetDateTime> {
        from_milliseconds(self.get_number(name)?)
    }
}

/// Returns the value, or an error that names the missing attribute.
pub(super) fn present<T>(value: Option<T>, table: &'static str, attribute: &'static str) -> Result<T, StoreError> {
    value.ok_or(StoreError::Damaged { table, attribute })
}
