//! The end user named by an `id_token` (OpenID Connect Core 1.0 §2).
//!
//! Its signature is not verified: it comes directly from the token endpoint (§3.1.3.7, rule 6), and it is only shown.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder::connection::Account;
use serde_json::{Map, Value};

/// Returns the account that a token response's `id_token` names, if it has one.
pub fn account_of_id_token(tokens: &Map<String, Value>) -> Option<Account> {
    let payload = tokens.get("id_token")?.as_str()?.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let label = ["email", "preferred_username", "name"].iter().find_map(|name| claims.get(*name)?.as_str());
    Account::new(claims.get("sub")?.as_str()?, label)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn account(claims: &Value) -> Option<Account> {
        let token = format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims.to_string()));
        account_of_id_token(json!({ "id_token": token }).as_object().expect("an object"))
    }

    #[test]
    fn an_id_token_names_the_account() {
        let all = json!({"sub": "7", "email": "a@example.com", "preferred_username": "a", "name": "Alice"});
        assert_eq!(account(&all), Account::new("7", Some("a@example.com")));
        assert_eq!(account(&json!({"sub": "7", "name": "Alice"})), Account::new("7", Some("Alice")));
        assert_eq!(account(&json!({"sub": "7"})), Account::new("7", None));
    }

    #[test]
    fn an_unreadable_id_token_names_no_account() {
        for claims in [json!({"name": "Alice"}), json!({"sub": 7}), json!({"sub": " "}), json!([])] {
            assert_eq!(account(&claims), None, "{claims}");
        }
        for tokens in [json!({}), json!({"id_token": "a"}), json!({"id_token": "a.!.b"}), json!({"id_token": 7})] {
            assert_eq!(account_of_id_token(tokens.as_object().expect("an object")), None, "{tokens}");
        }
    }
}
