//! Connection keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A connection's key: its workspace and its id there. As a string, it is `workspace#id`; so is the key of its row.
///
/// Any id can be looked up; one that no connection can have is not found. [`Self::of_new`] checks the id of a new
/// connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConnectionKey {
    /// The workspace's key, which contains no `#`.
    pub workspace: String,
    /// The connection's id in the workspace; any characters are allowed.
    #[serde(rename = "connectionId")]
    pub id: String,
}

impl ConnectionKey {
    /// The longest id, in bytes. Workspace and id together are the key of a DynamoDB index, which is limited to 1024 bytes.
    pub const MAX_ID_BYTES: usize = 512;

    /// The key of a connection that may exist.
    pub fn new(workspace: impl Into<String>, id: impl Into<String>) -> Self {
        Self { workspace: workspace.into(), id: id.into() }
    }

    /// The key of a connection to create.
    ///
    /// # Errors
    /// 400 when the id is longer than [`Self::MAX_ID_BYTES`].
    pub fn of_new(workspace: impl Into<String>, id: impl Into<String>) -> Result<Self, Error> {
        let key = Self::new(workspace, id);
        if key.is_too_long() {
            let most = Self::MAX_ID_BYTES;
            return Err(Error::bad_request(format!("`connectionId` must be at most {most} bytes long")));
        }
        Ok(key)
    }

    /// Whether it is too long for any connection to have it.
    pub fn is_too_long(&self) -> bool {
        self.id.len() > Self::MAX_ID_BYTES
    }
}

impl fmt::Display for ConnectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.workspace, self.id)
    }
}

/// A string that is not a connection key.
#[derive(Debug, thiserror::Error)]
#[error("a connection key needs a `#` between workspace and id")]
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
    fn connection_keys_round_trip() {
        for id in ["c1", "", "a#b", "#", "c/1 ü"] {
            let key = ConnectionKey::new("acme", id);
            assert_eq!(key.to_string(), format!("acme#{id}"));
            assert_eq!(key.to_string().parse::<ConnectionKey>().ok(), Some(key));
        }
        assert!("acme".parse::<ConnectionKey>().is_err());
    }

    #[test]
    fn a_connection_key_serializes_as_its_parts() {
        let (key, json) = (ConnectionKey::new("acme", "c1"), json!({"workspace": "acme", "connectionId": "c1"}));
        assert_eq!(json!(key), json);
        assert_eq!(serde_json::from_value::<ConnectionKey>(json).ok(), Some(key));
    }

    #[test]
    fn only_new_connection_ids_are_limited_in_length() {
        let longest = "x".repeat(512);
        assert!(ConnectionKey::of_new("acme", &longest).is_ok_and(|key| !key.is_too_long()));
        let longer = longest + "x";
        assert!(ConnectionKey::of_new("acme", &longer).is_err());
        assert!(ConnectionKey::new("acme", longer).is_too_long());
    }
}
