//! The claims of access tokens.

use std::collections::BTreeSet;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

use crate::error::Error;
use crate::http::present;
use crate::secret::Secret;

/// The claims of an access token, in all their spellings.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claims {
    /// The workspace; takes precedence over `iss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_key: Option<String>,
    /// The workspace, in older tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The tenant; takes precedence over `id` and `sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_key: Option<String>,
    /// The tenant, in older tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The tenant, in tokens between services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Whether the token belongs to your application itself, and not to one of its end users.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_admin: bool,
    /// Whether the token identifies the caller to a provider, for connectors of the type membrane-token. Such a token is
    /// rejected here, because the provider has it too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub for_application: bool,
    /// The only connection whose credentials another Larder may read and write here. Such a token is valid for nothing
    /// else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_credentials_of: Option<String>,
    /// The scopes, separated by spaces. A token without the claim has all of them.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub scope: Option<String>,
    /// The only connections that exist for the token.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub connection_ids: Option<BTreeSet<String>>,
    /// The only integrations that exist for the token, with their connections.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub integration_keys: Option<BTreeSet<String>>,
    /// When the token expires, in seconds since 1970. A token without it is rejected, unless its workspace allows it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "numeric_date")]
    pub exp: Option<i64>,
    /// When the token becomes valid, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_date")]
    pub nbf: Option<i64>,
}

/// Reads a NumericDate (RFC 7519 §2), rounded down to a whole second. Values too large for `i64` saturate.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Number::deserialize(deserializer).map(|date| Some(whole_seconds(&date)))
}

fn optional_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<Number>::deserialize(deserializer)?.as_ref().map(whole_seconds))
}

fn whole_seconds(date: &Number) -> i64 {
    // `as` saturates.
    date.as_i64().unwrap_or_else(|| date.as_f64().unwrap_or(f64::INFINITY).floor() as i64)
}

/// Signs claims as a token (HS256).
///
/// # Errors
/// When the secret cannot sign.
pub fn sign(claims: &Claims, secret: &Secret) -> Result<String, Error> {
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(exp: &str) -> Option<i64> {
        serde_json::from_str::<Claims>(&format!(r#"{{"exp":{exp}}}"#)).ok().and_then(|claims| claims.exp)
    }

    #[test]
    fn token_times_are_numbers_with_or_without_a_fraction() {
        for (exp, seconds) in [("12", 12), ("12.9", 12), ("-0.5", -1), ("1.2e1", 12), ("0", 0)] {
            assert_eq!(claims(exp), Some(seconds), "{exp}");
        }
        for exp in ["9223372036854775807", "18446744073709551615", "1e18", "1e300"] {
            assert!(claims(exp).is_some_and(|exp| exp > super::super::Authenticator::LAST_EXPIRY), "{exp}");
        }
        for exp in [r#""12""#, "true", "null", "[12]", "1e400", r#"12,"exp":13"#] {
            assert_eq!(claims(exp), None, "{exp}");
        }
        let nbf = |nbf: &str| serde_json::from_str::<Claims>(&format!(r#"{{"nbf":{nbf}}}"#)).ok().map(|it| it.nbf);
        assert_eq!([nbf("1.5"), nbf("null"), nbf(r#""1""#)], [Some(Some(1)), Some(None), None]);
    }

    #[test]
    fn claims_that_limit_a_token_have_exactly_one_type() {
        let read = |claims: &str| serde_json::from_str::<Claims>(claims).is_ok();
        for limits in [r#"{"scope":""}"#, r#"{"connectionIds":[]}"#, r#"{"integrationKeys":["a","a","b"]}"#] {
            assert!(read(limits), "{limits}");
        }
        for name in ["scope", "connectionIds", "integrationKeys"] {
            for value in ["null", "7", "true", "{}", "[7]", "[null]", r#"["a",["b"]]"#] {
                assert!(!read(&format!(r#"{{"{name}":{value}}}"#)), "{name} {value}");
            }
        }
        assert!(!read(r#"{"scope":["connections:read"]}"#));
        assert!(!read(r#"{"connectionIds":"a"}"#) && !read(r#"{"integrationKeys":"a"}"#));
        assert!(!read(r#"{"scope":"","scope":"connections:read"}"#));
    }
}
