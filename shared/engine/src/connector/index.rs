//! The index of a directory of connectors: `index.json`, which lists them without any of their files being read.
//!
//! It is committed like a lock file. `larder check --write-index` makes it, and `check` reports one that is out of date.

use std::io;

use serde::{Deserialize, Serialize};

use super::{AuthOption, Connector};

/// The file's name.
pub const FILE: &str = "index.json";

/// A connector in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexEntry {
    /// The connector's key.
    pub key: String,
    /// The display name.
    pub name: String,
    /// Other names to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The kinds of application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// The auth type of its first option.
    #[serde(rename = "type")]
    pub auth_type: String,
    /// The generic connector that this option extends, if it is one of a preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Its other options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<FurtherWay>,
    /// The provider's logo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    /// The preset's file, or the folder.
    pub file: String,
}

/// Another way to connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FurtherWay {
    /// The auth type.
    #[serde(rename = "type")]
    pub auth_type: String,
    /// The generic connector that it extends, if it is one of a preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
}

impl IndexEntry {
    /// The entry of a connector in a file or folder.
    pub fn of(connector: &Connector, file: &str) -> Self {
        Self {
            key: connector.key.clone(),
            name: connector.name.clone(),
            aliases: connector.about.aliases.clone(),
            categories: connector.about.categories.clone(),
            auth_type: connector.options.first().map(|option| option.kind.spec_name()).unwrap_or_default().to_owned(),
            extends: connector.extends().map(str::to_owned),
            more: connector.options.iter().skip(1).map(|option| FurtherWay::of(option)).collect(),
            logo_uri: connector.logo_uri.clone(),
            file: file.to_owned(),
        }
    }

    /// The generic connectors of its options, or else their auth types, without repetition.
    pub fn auth_types(&self) -> Vec<&str> {
        let mut types: Vec<&str> = Vec::new();
        for (auth_type, extends) in self.ways() {
            let name = extends.unwrap_or(auth_type);
            if !types.contains(&name) {
                types.push(name);
            }
        }
        types
    }

    fn ways(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let first = (self.auth_type.as_str(), self.extends.as_deref());
        let further = self.more.iter().map(|way| (way.auth_type.as_str(), way.extends.as_deref()));
        std::iter::once(first).chain(further)
    }
}

impl FurtherWay {
    fn of(option: &AuthOption) -> Self {
        Self { auth_type: option.kind.spec_name().to_owned(), extends: option.extends.clone() }
    }
}

/// Reads an index.
///
/// # Errors
/// When it isn't a list of entries.
pub fn read(text: &str) -> io::Result<Vec<IndexEntry>> {
    serde_json::from_str(text).map_err(io::Error::from)
}

/// Writes an index, one connector a line, ordered by key.
pub fn write(entries: &[IndexEntry]) -> String {
    let mut sorted: Vec<&IndexEntry> = entries.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let lines: Vec<String> = sorted.iter().filter_map(|entry| serde_json::to_string(entry).ok()).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str) -> IndexEntry {
        IndexEntry {
            key: key.to_owned(),
            name: "Acme Cloud".to_owned(),
            aliases: vec!["Old Name".to_owned()],
            categories: Vec::new(),
            auth_type: "client-credentials".to_owned(),
            extends: Some("api-key".to_owned()),
            more: vec![FurtherWay { auth_type: "oauth2".to_owned(), extends: None }],
            logo_uri: None,
            file: format!("{key}.yml"),
        }
    }

    #[test]
    fn an_index_is_read_as_it_was_written_in_the_order_of_keys() {
        let text = write(&[entry("b"), entry("a")]);
        assert_eq!(read(&text).expect("is valid"), [entry("a"), entry("b")]);
        assert_eq!(text.lines().count(), 4);
        assert!(read("{}").is_err() && read("").is_err());
    }

    #[test]
    fn auth_types_name_generic_connectors_where_there_are_any() {
        assert_eq!(entry("a").auth_types(), ["api-key", "oauth2"]);
    }
}
