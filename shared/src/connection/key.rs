//! The key of a connection.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The key of a connection: its workspace and its id there. As a string, such as the key of its row, it is `workspace#id`.
///
/// Any id can be looked up: one that no connection can have is not found. The id of a new connection is checked by
/// [`Self::of_new`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConnectionKey {
    /// The key of the workspace, which has no `#`.
    pub workspace: String,
    /// The id of the connection in it, of any characters.
    #[serde(rename = "connectionId")]
    pub id: String,
}

impl ConnectionKey {
    /// The longest id, in bytes. With its workspace it is a key of an index of DynamoDB, which has at most 1024 bytes.
    pub const MAX_ID_BYTES: usize = 512;

    /// The key of a connection that may be there.
    pub fn new(workspace: impl Into<String>, id: impl Into<String>) -> Self {
        Self { workspace: workspace.into(), id: id.into() }
    }

    /// The key of a connection that may be made.
    ///
    /// # Errors
    /// 400 when the id is longer than [`Self::MAX_ID_BYTES`].
    pub fn of_new(workspace: impl Into<String>, id: impl Into<String>) -> Result<Self, Error> {
        let key = Self::new(workspace, id);
        if key.is_too_long() {
            let most = Self::MAX_ID_BYTES;
            return Err(Error::bad_request(format!("a `connectionId` has at most {most} bytes")));
        }
        Ok(key)
    }

    /// Whether no connection can have it.
    pub fn is_too_long(&self) -> bool {
        self.id.len() > Self::MAX_ID_BYTES
    }
}

impl fmt::Display for ConnectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.workspace, self.id)
    }
}

/// A string that is not the key of a connection.
#[derive(Debug, thiserror::Error)]
#[error("a key of a connection has a `#` between its workspace and its id")]
pub struct InvalidConnectionKey;

impl FromStr for ConnectionKey {
    type Err = InvalidConnectionKey;

    fn from_str(text: &str) -> Result<Self, InvalidConnectionKey> {
        let (workspace, id) = text.split_once('#').ok_or(InvalidConnectionKey)?;
        Ok(Self::new(workspace, id))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        for id in ["c1", "", "a#b", "#", "c/1 ü"] {
            let key = ConnectionKey::new("acme", id);
            assert_eq!(key.to_string(), format!("acme#{id}"));
            assert_eq!(key.to_string().parse::<ConnectionKey>().ok(), Some(key));
        }
        assert!("acme".parse::<ConnectionKey>().is_err());
    }

    #[test]
    fn events_name_the_parts_of_a_key() {
        let (key, json) = (ConnectionKey::new("acme", "c1"), json!({"workspace": "acme", "connectionId": "c1"}));
        assert_eq!(json!(key), json);
        assert_eq!(serde_json::from_value::<ConnectionKey>(json).ok(), Some(key));
    }

    #[test]
    fn only_a_new_id_has_a_length_to_keep_to() {
        let longest = "x".repeat(ConnectionKey::MAX_ID_BYTES);
        assert!(ConnectionKey::of_new("acme", &longest).is_ok_and(|key| !key.is_too_long()));
        let longer = longest + "x";
        assert!(ConnectionKey::of_new("acme", &longer).is_err());
        assert!(ConnectionKey::new("acme", longer).is_too_long());
    }
}
