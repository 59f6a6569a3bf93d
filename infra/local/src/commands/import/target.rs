//! An integration of Larder, as the target of an import.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::pace::{Pacer, persistently};
use crate::commands::client::{Client, CommandError, Page, text};

/// An integration with the connections that it has already.
pub(super) struct Target {
    /// The open ways to connect.
    pub(super) ways: Vec<Way>,
    /// The ids of its connections, by tenant and key.
    existing: HashMap<(String, String), String>,
    /// Spreads calls to the provider. Integrations with the same connector share it.
    pub(super) pacer: Arc<Pacer>,
}

/// A way to connect, as `POST /connection-options` shows it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Way {
    /// The option's key, if the connector has several.
    pub(super) key: Option<String>,
    /// The auth type.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// The schema of the values that the end user enters.
    pub(super) input_schema: Option<Map<String, Value>>,
}

/// The targets by key, or why they cannot be used.
pub(super) type Targets = BTreeMap<String, Result<Target, String>>;

/// Reads the integrations with these keys, and their connections.
///
/// # Errors
/// When Larder does not answer, or rejects the token.
pub(super) async fn load(client: &Client, keys: BTreeSet<String>, interval: Duration) -> Result<Targets, CommandError> {
    let mut pacers: BTreeMap<String, Arc<Pacer>> = BTreeMap::new();
    let mut targets = Targets::new();
    for key in keys {
        let target = match read(client, &key).await {
            Ok((connector, ways)) => {
                let existing = existing(client, &key).await?;
                let pacer = Arc::clone(pacers.entry(connector).or_insert_with(|| Arc::new(Pacer::new(interval))));
                Ok(Target { ways, existing, pacer })
            }
            Err(error) if error.has_no_url() || matches!(error.status().map(|it| it.as_u16()), Some(400 | 404)) => {
                Err(format!("the integration `{key}` cannot be used: {error}"))
            }
            Err(error) => return Err(error),
        };
        targets.insert(key, target);
    }
    Ok(targets)
}

async fn read(client: &Client, key: &str) -> Result<(String, Vec<Way>), CommandError> {
    let at_once = Pacer::new(Duration::ZERO);
    let body = json!({ "integrationKey": key }).to_string();
    let path = ["integrations", key];
    let integration = persistently(&at_once, || client.get(&path, &[])).await?;
    let path = ["connection-options"];
    let ways = persistently(&at_once, || client.call(Method::POST, &path, &[], Some(body.clone()))).await?;
    let ways = serde_json::from_value(ways);
    let ways = ways.map_err(|_| CommandError::Failed("the answer is not a list of ways to connect".to_owned()))?;
    Ok((text(&integration, "connectorKey").to_owned(), ways))
}

async fn existing(client: &Client, integration: &str) -> Result<HashMap<(String, String), String>, CommandError> {
    let at_once = Pacer::new(Duration::ZERO);
    let path = ["connections"];
    let (mut existing, mut cursor) = (HashMap::new(), None::<String>);
    loop {
        let query = [("integrationKey", integration), ("limit", "1000"), ("cursor", cursor.as_deref().unwrap_or("0"))];
        let page = Page::of(persistently(&at_once, || client.get(&path, &query)).await?)?;
        let keyed = page.items.iter().filter(|item| item.get("key").is_some());
        existing.extend(keyed.map(|item| {
            let [tenant, key, id] = ["tenantId", "key", "id"].map(|name| text(item, name).to_owned());
            ((tenant, key), id)
        }));
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(existing);
        }
    }
}

impl Way {
    /// Whether only the end user's approval at the provider leads to credentials.
    pub(super) fn needs_approval(&self) -> bool {
        ["oauth2", "oauth1"].contains(&self.kind.as_str())
    }
}

impl Target {
    /// The id of the tenant's connection that had this key when the import began.
    pub(super) fn existing(&self, tenant: &str, key: &str) -> Option<&str> {
        self.existing.get(&(tenant.to_owned(), key.to_owned())).map(String::as_str)
    }

    /// Whether it connects with OAuth 2.0, so that its tokens are refreshed.
    pub(super) fn refreshes(&self) -> bool {
        self.ways.iter().any(|way| way.kind == "oauth2")
    }
}
