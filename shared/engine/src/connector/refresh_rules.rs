//! The keys beside `refreshCredentials` in `spec.yml`: the rules for answers that `getOAuthConfig` has for token endpoints.

use std::time::Duration;

use serde_json::Value;

use super::{Malformed, pointer};
use crate::oauth2::{code, documented};
use crate::response::ErrorRules;

documented! {
    /// How the answers to `refreshCredentials` are read, whatever implements it.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RefreshRules {
        /// `permanentErrors`: array of error codes, as in `getOAuthConfig`, after which the end user must connect again.
        pub permanent_errors: Vec<String>,
        /// `transientErrors`: array of error codes, as in `getOAuthConfig`, after which the refresh is tried again later.
        pub transient_errors: Vec<String>,
        /// `refreshMargin`: seconds before the expiry when a refresh is due, as in `getOAuthConfig`.
        pub margin: Option<Duration>,
        /// `defaultExpiresIn`: seconds that credentials live where the result gives no expiry, as in `getOAuthConfig`; of those
        /// that `getCredentialsFromConnectionParameters` makes, too.
        pub default_expires_in: Option<Duration>,
    }
    also {}
}

impl RefreshRules {
    /// Reads an entry of `spec.yml`.
    ///
    /// # Errors
    /// Everything that is malformed.
    pub(super) fn read(entry: &Value) -> Result<Self, Vec<Malformed>> {
        let mut malformed = Vec::new();
        let rules = Self {
            permanent_errors: codes(entry, "permanentErrors", &mut malformed),
            transient_errors: codes(entry, "transientErrors", &mut malformed),
            margin: seconds(entry, "refreshMargin", &mut malformed),
            default_expires_in: seconds(entry, "defaultExpiresIn", &mut malformed),
        };
        if malformed.is_empty() { Ok(rules) } else { Err(malformed) }
    }

    /// The rules for error codes.
    pub fn errors(&self) -> ErrorRules<'_> {
        ErrorRules { permanent: &self.permanent_errors, transient: &self.transient_errors }
    }
}

fn codes(entry: &Value, key: &str, malformed: &mut Vec<Malformed>) -> Vec<String> {
    let Some(value) = given(entry, key) else { return Vec::new() };
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    items.iter().map(code).collect::<Option<_>>().unwrap_or_else(|| {
        malformed.push(wrong(key, "must be an array of error codes", "write each code as text or as a whole number"));
        Vec::new()
    })
}

fn seconds(entry: &Value, key: &str, malformed: &mut Vec<Malformed>) -> Option<Duration> {
    let seconds = given(entry, key)?.as_u64().filter(|seconds| *seconds > 0);
    if seconds.is_none() {
        malformed.push(wrong(key, "must be a number of seconds", "write a whole number above 0"));
    }
    seconds.map(Duration::from_secs)
}

fn given<'a>(entry: &'a Value, key: &str) -> Option<&'a Value> {
    entry.get(key).filter(|value| !value.is_null())
}

fn wrong(key: &str, message: &str, help: &str) -> Malformed {
    Malformed { pointer: pointer::child("", key), message: format!("`{key}` {message}"), help: help.to_owned() }
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
    fn mistakes_are_named() {
        let entry =
            json!({"permanentErrors": [{}], "transientErrors": [0.5], "refreshMargin": "1", "defaultExpiresIn": 0});
        let malformed = RefreshRules::read(&entry).expect_err("all is wrong");
        let pointers: Vec<&str> = malformed.iter().map(|each| each.pointer.as_str()).collect();
        assert_eq!(pointers, ["/permanentErrors", "/transientErrors", "/refreshMargin", "/defaultExpiresIn"]);
    }
}
