//! Connections in a file: a line each, with the body of `POST /connections`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::target::Way;
use super::tokens::{Lifetime, lifetime};
use super::{Draft, Heading};
use crate::commands::client::CommandError;

/// A line of the file.
pub(super) struct Line {
    pub(super) number: usize,
    /// The members as they are written, so that credentials stay the same to the byte.
    members: Result<BTreeMap<String, Box<RawValue>>, String>,
}

/// Reads the lines of a file.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<Line>, CommandError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CommandError::Failed(format!("the file {}: {error}", path.display())))?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    Ok(lines.map(|(number, line)| Line::parse(number, line)).collect())
}

impl Line {
    fn parse(number: usize, line: &str) -> Self {
        let members = serde_json::from_str(line);
        // The message of serde_json may quote the line.
        let reason = |error: serde_json::Error| format!("it is not a JSON object; see column {}", error.column());
        Self { number, members: members.map_err(reason) }
    }

    /// The integration, the tenant and the key.
    ///
    /// # Errors
    /// The reason why the line cannot be imported.
    pub(super) fn heading(&self) -> Result<Heading, String> {
        let members = self.members.as_ref().map_err(Clone::clone)?;
        let required = |names: &[&str]| {
            let value = names.iter().find_map(|name| members.get(*name));
            let value = value.and_then(|raw| read_as::<String>(raw)).filter(|value| !value.is_empty());
            value.ok_or_else(|| format!("it has no `{}`, which must be a string", names[0]))
        };
        Ok(Heading {
            integration: required(&["integrationKey", "integrationId"])?,
            tenant: required(&["tenantKey"])?,
            key: required(&["key"])?,
        })
    }

    /// The request that creates the connection.
    ///
    /// # Errors
    /// The reason why the line cannot be imported.
    pub(super) fn draft(&self, ways: &[Way], is_tested: bool, now: OffsetDateTime) -> Result<Draft, String> {
        let mut members = self.members.clone()?;
        let option = members.get("authOptionKey").and_then(|raw| read_as::<String>(raw));
        let way = ways.iter().find(|way| option.is_none() || way.key == option);
        let credentials = members.get("credentials").and_then(|raw| read_as::<Map<String, Value>>(raw));
        let lifetime = match (way, credentials) {
            (Some(way), Some(credentials)) if way.kind == "oauth2" => lifetime(&credentials, now)?,
            _ => Lifetime::Valid,
        };
        if !is_tested || lifetime == Lifetime::Expired {
            members.insert("test".to_owned(), to_raw_value(&false).map_err(|error| error.to_string())?);
        }
        let body = serde_json::to_string(&members).map_err(|error| error.to_string())?;
        Ok(Draft { body, note: lifetime.note() })
    }
}

fn read_as<T: DeserializeOwned>(raw: &RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn ways() -> Vec<Way> {
        vec![Way { kind: "oauth2".into(), ..Way::default() }]
    }

    fn line(text: &str) -> Line {
        Line::parse(1, text)
    }

    #[test]
    fn a_line_needs_an_integration_a_tenant_and_a_key() {
        let whole = json!({"integrationKey": "crm", "tenantKey": "alice", "key": "shop"});
        assert!(line(&whole.to_string()).heading().is_ok());
        for name in ["integrationKey", "tenantKey", "key"] {
            for wrong in [json!(null), json!(7), json!("")] {
                let mut whole = whole.clone();
                whole[name] = wrong;
                let reason = line(&whole.to_string()).heading().map(drop).expect_err("it is incomplete");
                assert_eq!(reason, format!("it has no `{name}`, which must be a string"));
            }
        }
    }

    #[test]
    fn a_broken_line_is_reported_without_its_text() {
        for text in ["{\"key\": the-secret}", "[\"the-secret\"]", "\"the-secret\"", "{\"the-secret\""] {
            let reason = line(text).heading().map(drop).expect_err("it is broken");
            assert!(reason.starts_with("it is not a JSON object") && !reason.contains("the-secret"), "{reason}");
        }
    }

    #[test]
    fn credentials_stay_the_same_to_the_byte() {
        let credentials = r#"{ "access_token":"\u0061",  "n": 1.0e2, "refresh_token": "r" }"#;
        let text = format!(r#"{{"key":"shop","credentials":{credentials}}}"#);
        let draft = line(&text).draft(&ways(), true, NOW).expect("it can be imported");
        assert_eq!(draft.body, format!(r#"{{"credentials":{credentials},"key":"shop"}}"#));
        let untested = line(&text).draft(&ways(), false, NOW).expect("it can be imported");
        assert!(untested.body.contains(r#""test":false"#), "{}", untested.body);
    }

    #[test]
    fn expired_tokens_are_not_tested_but_refreshed() {
        let text = |credentials: Value| json!({"key": "shop", "credentials": credentials}).to_string();
        let expired = json!({"access_token": "a", "refresh_token": "r", "expires_at": "2025-12-31T00:00:00Z"});
        let draft = line(&text(expired)).draft(&ways(), true, NOW).expect("it can be imported");
        assert!(draft.body.contains(r#""test":false"#), "{}", draft.body);
        let dead = json!({"access_token": "a", "expires_at": "2025-12-31T00:00:00Z"});
        let reason = line(&text(dead.clone())).draft(&ways(), true, NOW).map(drop).expect_err("it is dead");
        assert!(reason.contains("no refresh token"), "{reason}");
        let other = [Way { kind: "client-credentials".into(), ..Way::default() }];
        assert!(line(&text(dead)).draft(&other, true, NOW).is_ok(), "a function may renew it");
    }
}
