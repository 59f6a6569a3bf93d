//! Connections in a file: a line each, with the body of `POST /connections`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::target::Way;
use super::tokens::{Lifetime, lifetime};
use super::{Draft, Heading, Outcome, Unfit};
use crate::commands::client::CommandError;

/// A line of the file.
pub(super) struct Line {
    pub(super) number: usize,
    /// The members as they are written, so that credentials stay the same to the byte.
    members: Result<BTreeMap<String, Box<RawValue>>, String>,
    /// The reason why Larder would reject the line.
    problem: Option<String>,
}

/// Reads the lines of a file.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<Line>, CommandError> {
    let bytes =
        std::fs::read(path).map_err(|error| CommandError::Failed(format!("the file {}: {error}", path.display())))?;
    Ok(lines(&bytes))
}

/// The lines that are not empty. Editors of Windows put a byte order mark before the first one.
fn lines(bytes: &[u8]) -> Vec<Line> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = (1..).zip(bytes.split(|byte| *byte == b'\n'));
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    lines.map(|(number, line)| Line::parse(number, line)).collect()
}

impl Line {
    pub(super) fn parse(number: usize, line: &[u8]) -> Self {
        let members = match str::from_utf8(line) {
            Ok(text) => serde_json::from_str(text).map_err(|error| malformed(&error)),
            Err(_) => Err("it is not in UTF-8".to_owned()),
        };
        let problem = ::connections::check_creation(line.to_vec()).err().map(|error| of_line(&error.message));
        Self { number, members, problem }
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
        let heading = Heading {
            integration: required(&["integrationKey", "integrationId"])?,
            tenant: required(&["tenantKey"])?,
            key: required(&["key"])?,
        };
        self.problem.clone().map_or(Ok(heading), Err)
    }

    /// The request that creates the connection.
    ///
    /// # Errors
    /// The reason why the line cannot be imported.
    pub(super) fn draft(&self, ways: &[Way], is_tested: bool, now: OffsetDateTime) -> Result<Draft, Unfit> {
        let failed = |reason| (Outcome::Failed, reason);
        let mut members = self.members.clone().map_err(failed)?;
        let option = members.get("authOptionKey").and_then(|raw| read_as::<String>(raw));
        let way = ways.iter().find(|way| option.is_none() || way.key == option);
        let credentials = members.get("credentials").and_then(|raw| read_as::<Map<String, Value>>(raw));
        if credentials.is_none() && way.is_some_and(Way::needs_approval) {
            return Err(failed("it has no `credentials`, and its integration needs them".to_owned()));
        }
        let lifetime = match (way, credentials) {
            (Some(way), Some(credentials)) if way.kind == "oauth2" => {
                lifetime(&credentials, now).map_err(|reason| (Outcome::Skipped, reason))?
            }
            _ => Lifetime::Valid,
        };
        if !is_tested || lifetime == Lifetime::Expired {
            members.insert("test".to_owned(), to_raw_value(&false).map_err(|error| failed(error.to_string()))?);
        }
        let body = serde_json::to_string(&members).map_err(|error| failed(error.to_string()))?;
        Ok(Draft { body, note: lifetime.note() })
    }
}

/// The message of serde_json may quote the line.
fn malformed(error: &serde_json::Error) -> String {
    match error.column() {
        0 => "it is not a JSON object".to_owned(),
        column => format!("it is not a JSON object; see column {column}"),
    }
}

/// An error of the API about a body that is this line.
fn of_line(message: &str) -> String {
    message.replacen("the request body", "it", 1).replacen(" at line 1 column ", "; see column ", 1)
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
        Line::parse(1, text.as_bytes())
    }

    #[test]
    fn a_line_that_is_not_utf8_leaves_the_others_alone() {
        let line = |key: &str| json!({"integrationKey": "crm", "tenantKey": "alice", "key": key}).to_string();
        let text =
            [b"\xef\xbb\xbf", line("one").as_bytes(), b"\r\n\n{\"key\": \"\xff\"}\n", line("two").as_bytes()].concat();
        let lines = lines(&text);
        let keys: Vec<_> = lines.iter().map(|line| (line.number, line.heading().map(|heading| heading.key))).collect();
        let expected =
            [(1, Ok("one".to_owned())), (3, Err("it is not in UTF-8".to_owned())), (4, Ok("two".to_owned()))];
        assert_eq!(keys, expected);
    }

    #[test]
    fn lines_that_larder_would_reject_are_found_in_a_dry_run() {
        for (member, expected) in [
            (r#""credentials":"the-secret""#.to_owned(), "`credentials` must be an object"),
            (format!(r#""credentials":{{"token":"{}"}}"#, "t".repeat(400_000)), "too large"),
            (r#""colour":"red""#.to_owned(), "unknown field `colour`"),
            (r#""name":5"#.to_owned(), "expected a string; see column"),
            (r#""input":[]"#.to_owned(), "expected a map; see column"),
            (r#""key":"again""#.to_owned(), "duplicate field `key`; see column"),
            (format!(r#""tags":{{"team":"{}"}}"#, "t".repeat(300)), "`tags.team` has 300 characters"),
        ] {
            let text = format!(r#"{{"integrationKey":"crm","tenantKey":"alice","key":"shop",{member}}}"#);
            let reason = line(&text).heading().map(drop).expect_err("it would be rejected");
            assert!(reason.contains(expected) && !reason.contains("the-secret"), "{reason}");
        }
        let long = json!({"integrationKey": "crm", "tenantKey": "t".repeat(2049), "key": "shop"}).to_string();
        let reason = line(&long).heading().map(drop).expect_err("it would be rejected");
        assert!(reason.contains("`tenantKey`"), "{reason}");
    }

    #[test]
    fn an_oauth_connection_is_imported_only_with_credentials() {
        let text = r#"{"key":"shop","input":{"a":"b"}}"#;
        let (outcome, reason) = line(text).draft(&ways(), true, NOW).map(drop).expect_err("it has no tokens");
        assert!(outcome == Outcome::Failed && reason.contains("`credentials`"), "{reason}");
        let entered = [Way { kind: "client-credentials".into(), ..Way::default() }];
        assert!(line(text).draft(&entered, true, NOW).is_ok());
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
        let (outcome, reason) = line(&text(dead.clone())).draft(&ways(), true, NOW).map(drop).expect_err("it is dead");
        assert!(outcome == Outcome::Skipped && reason.contains("no refresh token"), "{reason}");
        let other = [Way { kind: "client-credentials".into(), ..Way::default() }];
        assert!(line(&text(dead)).draft(&other, true, NOW).is_ok(), "a function may renew it");
    }
}
