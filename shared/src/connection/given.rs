//! The identifiers that a provider gave for a connection, kept out of reach of `PUT /credentials`.
//!
//! Credentials name the account they belong to, and a connection's owner may replace them. A function that uses a
//! secret of the integration (a `disconnect` with the platform's own key, say) could then be made to act on someone
//! else's account. So such functions see the identifiers from before the first `PUT`, when only the provider had
//! written them. Tokens and other secrets are used as they were put: having them is the right to use them. Reconnecting
//! starts over. Before the first `PUT`, and so in older rows, nothing is kept and the credentials are used as they are.
//! A refresh does not add to the kept identifiers: a function without secrets sees the replaced ones and may return
//! them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::credentials::{Credentials, is_secret_name};

/// The members of credentials that are not secret, as the provider gave them. It has no `Debug`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Given(Map<String, Value>);

impl Given {
    /// Returns the identifiers among credentials that have not been replaced yet.
    pub fn of(credentials: &Credentials) -> Self {
        match credentials.to_value() {
            Value::Object(members) => Self(without_secrets(members)),
            _ => Self::default(),
        }
    }

    /// Returns credentials with these identifiers instead of their own. `is_secret` says which members are secret although
    /// their names do not show it.
    pub fn over(&self, credentials: &Value, is_secret: impl Fn(&str) -> bool) -> Value {
        let empty = Map::new();
        let stored = credentials.as_object().unwrap_or(&empty);
        Value::Object(over(&self.0, stored, &|name| is_secret_name(name) || is_secret(name)))
    }
}

fn over(
    given: &Map<String, Value>,
    stored: &Map<String, Value>,
    is_secret: &dyn Fn(&str) -> bool,
) -> Map<String, Value> {
    let empty = Map::new();
    let mut members = Map::new();
    for (name, value) in stored {
        match (value, given.get(name)) {
            (value, _) if is_secret(name) => drop(members.insert(name.clone(), value.clone())),
            (Value::Object(stored), given) => {
                let given = given.map_or(Some(&empty), Value::as_object);
                members.extend(given.map(|given| (name.clone(), Value::Object(over(given, stored, is_secret)))));
            }
            _ => {}
        }
    }
    for (name, value) in given.iter().filter(|(name, _)| !is_secret(name)) {
        members.entry(name.clone()).or_insert_with(|| value.clone());
    }
    members
}

fn without_secrets(members: Map<String, Value>) -> Map<String, Value> {
    let kept = members.into_iter().filter(|(name, _)| !is_secret_name(name));
    kept.map(|(name, value)| match value {
        Value::Object(members) => (name, Value::Object(without_secrets(members))),
        value => (name, value),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(before: &Value, put: &Value) -> Value {
        Given::of(&Credentials::from(before)).over(put, |name| name == "session")
    }

    #[test]
    fn a_put_replaces_secrets_but_not_identifiers() {
        let before = json!({"access_token": "A", "stripe_user_id": "acct_1", "scope": "read", "session": "S"});
        let put = json!({"access_token": "B", "stripe_user_id": "acct_2", "account": "acct_2", "session": "T"});
        let expected = json!({"access_token": "B", "stripe_user_id": "acct_1", "scope": "read", "session": "T"});
        assert_eq!(shown(&before, &put), expected);
        assert_eq!(shown(&before, &json!({})), json!({"stripe_user_id": "acct_1", "scope": "read"}));
        assert_eq!(shown(&json!({}), &json!({"stripe_user_id": "acct_2"})), json!({}));
        assert_eq!(shown(&json!("a text"), &json!(["acct_2"])), json!({}));
    }

    #[test]
    fn a_put_does_not_replace_nested_identifiers() {
        let before = json!({"user": {"id": 1, "token": "A"}, "team": {"id": 2}, "tags": [1]});
        let put =
            json!({"user": {"id": 9, "token": "B"}, "team": "other", "tags": [9], "more": {"id": 9, "token": "C"}});
        let expected = json!({"user": {"token": "B", "id": 1}, "more": {"token": "C"}, "team": {"id": 2}, "tags": [1]});
        assert_eq!(shown(&before, &put), expected);
        assert_eq!(shown(&json!({"user": 1}), &json!({"user": {"id": 9, "token": "B"}})), json!({"user": 1}));
    }
}
