//! The scopes that a provider granted.

use serde_json::{Map, Value};

/// The most bytes of scopes that are kept, so that they do not take a row's room from its credentials.
const MAX_BYTES: usize = 4096;

/// Returns the scopes that a token response or credentials state (RFC 6749 §5.1); `None` if they state none. Some providers
/// separate them with commas, or use an array.
pub fn granted_scopes(members: &Map<String, Value>) -> Option<Vec<String>> {
    let scopes: Vec<String> = match members.get("scope").or_else(|| members.get("scopes"))? {
        Value::String(text) if text.contains(char::is_whitespace) => {
            text.split_whitespace().map(|scope| scope.trim_end_matches(',').to_owned()).collect()
        }
        Value::String(text) => text.split(',').filter(|scope| !scope.is_empty()).map(ToOwned::to_owned).collect(),
        Value::Array(items) => items.iter().filter_map(|item| Some(item.as_str()?.to_owned())).collect(),
        _ => return None,
    };
    (!scopes.is_empty()).then(|| within_limits(scopes))
}

/// Cuts a list of scopes that is too long to be kept.
pub fn within_limits(scopes: Vec<String>) -> Vec<String> {
    let mut bytes = 0;
    let fits = |scope: &String| {
        bytes += scope.len();
        bytes <= MAX_BYTES
    };
    scopes.into_iter().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scopes_are_read_in_every_spelling() {
        for (members, expected) in [
            (json!({"scope": "read write"}), Some(vec!["read", "write"])),
            (json!({"scope": "read,write"}), Some(vec!["read", "write"])),
            (json!({"scope": "read, write"}), Some(vec!["read", "write"])),
            (json!({"scope": ["read", 7, "write"]}), Some(vec!["read", "write"])),
            (json!({"scopes": ["oauth"]}), Some(vec!["oauth"])),
            (json!({"scope": "https://a.example/b,c d"}), Some(vec!["https://a.example/b,c", "d"])),
            (json!({"scope": ""}), None),
            (json!({"scope": null}), None),
            (json!({"scope": 7}), None),
            (json!({}), None),
        ] {
            let found = granted_scopes(members.as_object().expect("an object"));
            let expected = expected.map(|it| it.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>());
            assert_eq!(found, expected, "{members}");
        }
    }

    #[test]
    fn scopes_leave_room_for_credentials() {
        let many = vec!["s".repeat(100); 100];
        assert_eq!(
            granted_scopes(json!({ "scope": many }).as_object().expect("an object")).map(|it| it.len()),
            Some(40)
        );
    }
}
