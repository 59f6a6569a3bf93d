//! The extra keys of `refreshCredentials` in `spec.yml`. They are the same rules that `getOAuthConfig` has for token endpoints.

use std::time::Duration;

use serde_json::Value;

use super::{MalformedValue, pointer};
use crate::oauth2::{code, documented};
use crate::response::ErrorRules;

documented! {
    /// The rules for reading responses to `refreshCredentials`, however it is implemented.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RefreshRules {
        /// `permanentErrors`: array of error codes after which the end user must reconnect, as in `getOAuthConfig`.
        pub permanent_errors: Vec<String>,
        /// `transientErrors`: array of error codes after which the refresh is retried later, as in `getOAuthConfig`.
        pub transient_errors: Vec<String>,
        /// `refreshMargin`: how many seconds before the expiry a refresh is due, as in `getOAuthConfig`.
        pub margin: Option<Duration>,
        /// `defaultExpiresIn`: lifetime in seconds if the result has no expiry, as in `getOAuthConfig`; it also applies to the
        /// result of `getCredentialsFromConnectionParameters`.
        pub default_expires_in: Option<Duration>,
    }
    also {}
}

impl RefreshRules {
    /// Reads an entry of `spec.yml`.
    ///
    /// # Errors
    /// Everything malformed.
    pub(super) fn read(entry: &Value) -> Result<Self, Vec<MalformedValue>> {
        let mut malformed = Vec::new();
        let rules = Self {
            permanent_errors: codes(entry, "permanentErrors", &mut malformed),
            transient_errors: codes(entry, "transientErrors", &mut malformed),
            margin: seconds(entry, "refreshMargin", &mut malformed),
            default_expires_in: seconds(entry, "defaultExpiresIn", &mut malformed),
        };
        if malformed.is_empty() { Ok(rules) } else { Err(malformed) }
    }

    /// The rules that classify error codes.
    pub fn errors(&self) -> ErrorRules<'_> {
        let (permanent, transient) = (&self.permanent_errors[..], &self.transient_errors[..]);
        ErrorRules { permanent, transient, ..ErrorRules::default() }
    }
}

fn codes(entry: &Value, key: &str, malformed: &mut Vec<MalformedValue>) -> Vec<String> {
    let Some(value) = given(entry, key) else { return Vec::new() };
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    items.iter().map(code).collect::<Option<_>>().unwrap_or_else(|| {
        malformed.push(wrong(key, "must be an array of error codes", "write each code as a string or a whole number"));
        Vec::new()
    })
}

fn seconds(entry: &Value, key: &str, malformed: &mut Vec<MalformedValue>) -> Option<Duration> {
    let seconds = given(entry, key)?.as_u64().filter(|seconds| *seconds > 0);
    if seconds.is_none() {
        malformed.push(wrong(key, "must be a number of seconds", "write a whole number above 0"));
    }
    seconds.map(Duration::from_secs)
}

fn given<'a>(entry: &'a Value, key: &str) -> Option<&'a Value> {
    entry.get(key).filter(|value| !value.is_null())
}

fn wrong(key: &str, message: &str, help: &str) -> MalformedValue {
    MalformedValue { pointer: pointer::child("", key), message: format!("`{key}` {message}"), help: help.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_key_is_read() {
        let entry = json!({
            "implementationType": "javascript", "permanentErrors": [190, "gone"], "transientErrors": "is busy",
            "refreshMargin": 25, "defaultExpiresIn": 600,
        });
        let rules = RefreshRules::read(&entry).expect("rules");
        assert_eq!(
            (rules.permanent_errors, rules.transient_errors),
            (vec!["190".into(), "gone".into()], vec!["is busy".into()])
        );
        assert_eq!(rules.margin, Some(Duration::from_secs(25)));
        assert_eq!(rules.default_expires_in, Some(Duration::from_secs(600)));
        for (key, _) in RefreshRules::KEYS {
            assert!(entry.get(*key).is_some(), "{key}");
        }
        assert_eq!(RefreshRules::read(&json!({"refreshMargin": null})), Ok(RefreshRules::default()));
    }

    #[test]
    fn malformed_values_are_reported_by_key() {
        let entry =
            json!({"permanentErrors": [{}], "transientErrors": [0.5], "refreshMargin": "1", "defaultExpiresIn": 0});
        let malformed = RefreshRules::read(&entry).expect_err("all is wrong");
        let pointers: Vec<&str> = malformed.iter().map(|each| each.pointer.as_str()).collect();
        assert_eq!(pointers, ["/permanentErrors", "/transientErrors", "/refreshMargin", "/defaultExpiresIn"]);
    }
}
