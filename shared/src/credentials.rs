//! Credentials: any JSON value, kept byte for byte.
//!
//! # Decisions
//!
//! Credentials are serde_json's `RawValue`, the string as it came. The feature `arbitrary_precision` would also keep
//! long numbers, but it breaks numbers in buffered types, such as Lambda events, for the whole build. In mappings,
//! numbers are 64-bit integers or doubles.

mod without_members;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::values::has_too_many_values;

/// A connection's credentials. `Debug` does not print them.
///
/// Their JSON is kept unchanged, so that key order, number precision, and spacing survive storage.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credentials(Box<RawValue>);

impl Credentials {
    /// The size of the largest credentials that can be stored, in bytes of JSON. A DynamoDB item holds 400 KB.
    pub const MAX_BYTES: usize = 350 * 1024;

    /// The largest number of values that a caller may store. Credentials from providers have fewer than a hundred, a
    /// browser's cookies about a thousand. A refresh parses all of them, at eighty bytes or more per value.
    pub const MAX_VALUES: usize = 10_000;

    /// Whether they have more values than may be stored.
    pub fn have_too_many_values(&self) -> bool {
        has_too_many_values(self.as_json().as_bytes(), Self::MAX_VALUES)
    }

    /// Returns the JSON.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// Parses the JSON. Numbers beyond 64 bits lose digits, as they would in JavaScript.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(self.as_json()).unwrap_or_default()
    }

    /// Returns these credentials without some of their members. The others keep their bytes.
    #[must_use]
    pub fn without(&self, is_left_out: impl Fn(&str) -> bool) -> Self {
        match serde_json::from_str::<Members>(self.as_json()) {
            Ok(Members(members)) if members.iter().any(|(name, _)| is_left_out(name)) => {
                Self(raw(&Members(members.into_iter().filter(|(name, _)| !is_left_out(name)).collect())))
            }
            _ => self.clone(),
        }
    }

    /// The members that only Larder needs, to refresh the others.
    pub const REFRESH_SECRETS: [&str; 4] = ["refresh_token", "refreshToken", "client_secret", "clientSecret"];

    /// Returns the JSON without [`Self::REFRESH_SECRETS`], in objects at any depth: Slack and connectors' own functions nest
    /// what they keep. Every other byte stays.
    pub fn without_refresh_secrets(&self) -> String {
        without_members::without_members(self.as_json(), &Self::REFRESH_SECRETS)
    }

    /// Returns these credentials with the members of `changes` merged in. Unchanged members keep their bytes.
    ///
    /// Credentials that are not an object are replaced.
    #[must_use]
    pub fn merged(&self, changes: &Map<String, Value>) -> Self {
        let Ok(members) = serde_json::from_str::<Members>(self.as_json()) else {
            return Self::from(&Value::Object(changes.clone()));
        };
        let mut members = members.0;
        for (name, value) in changes {
            let value = raw(value);
            match members.iter_mut().rev().find(|(known, _)| known == name) {
                Some((_, old)) => *old = value,
                None => members.push((name.clone(), value)),
            }
        }
        Self(raw(&Members(members)))
    }
}

impl From<&Value> for Credentials {
    fn from(value: &Value) -> Self {
        Self(raw(value))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Returns the refresh token among credentials, if there is one.
pub fn refresh_token(credentials: &Value) -> Option<&str> {
    let named = ["refresh_token", "refreshToken"].iter().find_map(|key| credentials.get(*key)?.as_str());
    named.filter(|token| !token.is_empty())
}

/// The suffixes of secrets' names.
const SECRETS: [&str; 6] = ["password", "passphrase", "secret", "apikey", "privatekey", "token"];

/// Whether a name such as `access_token` or `API-Key` marks its value as secret.
pub fn is_secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    SECRETS.iter().any(|secret| plain.ends_with(secret))
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("JSON values serialize")
}

/// The members of a JSON object in order, with their values unparsed.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl Serialize for Members {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Credentials;

    fn credentials(json: &str) -> Credentials {
        serde_json::from_str(json).expect("JSON")
    }

    fn merged(old: &str, changes: &serde_json::Value) -> String {
        credentials(old).merged(changes.as_object().expect("an object")).as_json().to_owned()
    }

    #[test]
    fn a_merge_changes_only_the_members_it_names() {
        let old = r#"{"refresh_token":"R","id":12345678901234567890123456789,"access_token":"old"}"#;
        let new = merged(old, &json!({"access_token": "new", "scope": null}));
        assert_eq!(
            new,
            r#"{"refresh_token":"R","id":12345678901234567890123456789,"access_token":"new","scope":null}"#
        );
    }

    #[test]
    fn a_merge_is_shallow() {
        assert_eq!(merged(r#"{"a":{"b":1,"c":2}}"#, &json!({"a": {"b": 3}})), r#"{"a":{"b":3}}"#);
    }

    #[test]
    fn a_merge_replaces_credentials_that_are_not_an_object() {
        assert_eq!(merged(r#""a token""#, &json!({"access_token": "new"})), r#"{"access_token":"new"}"#);
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", credentials(r#"{"access_token":"marker"}"#)), "Credentials(…)");
    }
}
