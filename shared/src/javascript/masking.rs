//! Keeps credentials out of messages and logs.

use serde_json::{Map, Value};

/// Shorter texts are left alone: they are hardly secrets, and would be found everywhere.
const MIN_LENGTH: usize = 6;

/// What holds secrets among a function's arguments.
const SECRET_ARGUMENTS: [&str; 6] =
    ["codeVerifier", "connectionParameters", "connectorParameters", "credentials", "queryParameters", "tokenResponse"];

/// The secret texts of one call.
pub(super) struct Masking {
    /// The longest first, since one may contain another.
    secrets: Vec<String>,
}

impl Masking {
    /// Every text under those arguments that hold secrets.
    pub(super) fn new(arguments: &Map<String, Value>) -> Self {
        let mut secrets = Vec::new();
        for name in SECRET_ARGUMENTS {
            arguments.get(name).into_iter().for_each(|value| collect(value, &mut secrets));
        }
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets }
    }

    /// The text with `…` for each secret.
    pub(super) fn text(&self, text: &str) -> String {
        self.secrets
            .iter()
            .fold(text.to_owned(), |text, secret| if text.contains(secret) { text.replace(secret, "…") } else { text })
    }

    /// The same for all texts in a value.
    pub(super) fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(name, value)| (self.text(&name), self.value(value))).collect()
            }
            other => other,
        }
    }
}

fn collect(value: &Value, secrets: &mut Vec<String>) {
    match value {
        Value::String(text) if text.chars().count() >= MIN_LENGTH => secrets.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, secrets)),
        Value::Object(members) => members.values().for_each(|value| collect(value, secrets)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_masked_wherever_they_stand_and_short_texts_are_not() {
        let arguments = json!({
            "credentials": {"token": "hunter2-long", "nested": [{"a": "hunter2"}], "short": "abc", "id": 123_456},
            "connectorParameters": {"clientSecret": "s3cret!"},
            "connectionParameters": {"shop": "acme-shop"}
        });
        let Value::Object(arguments) = arguments else { panic!() };
        let masking = Masking::new(&arguments);
        assert_eq!(masking.text("hunter2-long, hunter2 and s3cret! of acme-shop abc"), "…, … and … of … abc");
        assert_eq!(masking.value(json!({"hunter2": ["s3cret!", 1]})), json!({"…": ["…", 1]}));
    }
}
