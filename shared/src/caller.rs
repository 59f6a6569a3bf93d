//! Identifies callers by access tokens that are signed with a workspace secret (RFC 7519).
//!
//! # Decisions
//!
//! Tokens must expire: `exp` is required and has no leeway, while `nbf` has a minute.
//!
//! Tokens that connectors of the type `membrane-token` send to a provider are signed with the workspace's secret, as
//! the format requires, so the provider could use them here as the end user. They carry the claim `forApplication`, and
//! are rejected.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};

use crate::clock::Clock;
use crate::dynamodb::schema::MAX_TENANT_BYTES;
use crate::error::Error;
use crate::http::Parameters;
use crate::record;
use crate::secret::Secret;
use crate::secret_store::{WorkspaceSecret, Workspaces};

/// The holder of a valid token: an admin (your application), or a tenant (one of its end users).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The workspace's key. No request crosses workspaces.
    pub workspace: String,
    /// The tenant. `None` only for an admin, or for another Larder that stores credentials of a connection without a tenant
    /// here.
    pub tenant: Option<String>,
    /// Whether the caller may manage integrations and see every connection of the workspace.
    pub admin: bool,
    /// Whether the caller is another Larder that stores the credentials of one connection here.
    pub keeps_credentials: bool,
}

impl Caller {
    /// Whether this caller may see connections of `tenant` in its own workspace.
    pub fn may_see(&self, tenant: Option<&str>) -> bool {
        self.admin || self.tenant.as_deref() == tenant
    }

    /// An end user, or nobody in particular, who acts without a token: on a link that a caller made for them.
    pub fn of_link(workspace: impl Into<String>, tenant: Option<String>) -> Self {
        Self { workspace: workspace.into(), tenant, admin: false, keeps_credentials: false }
    }

    /// Checks that the caller is an admin.
    ///
    /// # Errors
    /// 403 unless the caller is an admin.
    pub fn require_admin(&self) -> Result<(), Error> {
        if self.admin {
            return Ok(());
        }
        Err(Error::access_denied("this route requires an admin token: sign it with the claim `\"isAdmin\": true`"))
    }
}

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
    /// When the token expires, in seconds since 1970. A token without it is rejected.
    #[serde(deserialize_with = "numeric_date")]
    pub exp: i64,
    /// When the token becomes valid, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_date")]
    pub nbf: Option<i64>,
}

/// Reads a NumericDate (RFC 7519 §2), rounded down to a whole second. Values too large for `i64` saturate.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Number::deserialize(deserializer).map(|date| whole_seconds(&date))
}

fn optional_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<Number>::deserialize(deserializer)?.as_ref().map(whole_seconds))
}

fn whole_seconds(date: &Number) -> i64 {
    // `as` saturates.
    date.as_i64().unwrap_or_else(|| date.as_f64().unwrap_or(f64::INFINITY).floor() as i64)
}

/// Turns tokens into callers.
pub struct Authenticator {
    workspaces: Arc<Workspaces>,
    clock: Arc<dyn Clock>,
    keeps_for_others: bool,
}

impl Authenticator {
    /// How far the clock of a token's issuer may be ahead of ours.
    const NOT_BEFORE_LEEWAY: Duration = Duration::from_mins(1);
    /// The last second of the year 9999. Later times are mistakes, such as milliseconds.
    pub const LAST_EXPIRY: i64 = 253_402_300_799;

    /// Creates an authenticator for these workspaces. `keeps_for_others` says whether other Larders may store their
    /// credentials here. It must be false if this Larder stores its own in an external API: then a token it signed for
    /// that API is useless here.
    pub fn new(workspaces: Arc<Workspaces>, clock: Arc<dyn Clock>, keeps_for_others: bool) -> Self {
        Self { workspaces, clock, keeps_for_others }
    }

    /// Returns the caller of a request, identified by `Authorization: Bearer` or `X-Membrane-Token`.
    ///
    /// # Errors
    /// 401, the same for every reason; 500 if the workspace secret is too short to verify anything; 503 if the secret store
    /// fails.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        match bearer(headers) {
            Some(token) => self.verify(token).await,
            None => Err(refused("no token")),
        }
    }

    /// Returns the workspace that a token names, if verifying the token takes a call. Nothing is verified yet: use it
    /// only to read ahead, and disclose nothing that was read.
    pub fn unverified_workspace(&self, headers: &HeaderMap) -> Option<String> {
        let claimed = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(bearer(headers)?).ok()?;
        let workspace = claimed.workspace_key.or(claimed.iss)?;
        let may_be_good = claimed.exp > self.clock.now().unix_timestamp() && self.workspaces.must_ask(&workspace);
        may_be_good.then_some(workspace)
    }

    /// Returns the caller of a request, with these parameters, for a connection's credentials: as
    /// [`Self::authenticate`], or another Larder that stores the credentials of this connection here.
    ///
    /// # Errors
    /// 401, the same for every reason; 500 if the workspace secret is too short to verify anything; 503 if the secret store
    /// fails.
    pub async fn authenticate_for_credentials(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<Caller, Error> {
        let connection_id = parameters.optional("connectionId").ok().flatten().filter(|_| self.keeps_for_others);
        match bearer(headers) {
            Some(token) => self.verify_for(token, connection_id).await,
            None => Err(refused("no token")),
        }
    }

    /// Returns the caller that a token identifies.
    ///
    /// # Errors
    /// 401, the same for every reason; 500 if the workspace secret is too short to verify anything; 503 if the secret store
    /// fails.
    pub async fn verify(&self, token: &str) -> Result<Caller, Error> {
        self.verify_for(token, None).await
    }

    async fn verify_for(&self, token: &str, connection_id: Option<&str>) -> Result<Caller, Error> {
        let Ok(claimed) = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token) else {
            return Err(refused("malformed token"));
        };
        if asks_for_extensions(token) {
            return Err(refused("requires unsupported token extensions"));
        }
        let Some(workspace) = claimed.workspace_key.or(claimed.iss) else {
            return Err(refused("no workspace in the token"));
        };
        let Some(secret) = self.workspaces.secret(&workspace).await? else {
            return Err(refused("unknown workspace"));
        };
        let claims = secret.verifying().find_map(|secret| signed_claims(token, secret));
        let Some(claims) = claims else {
            // The response does not depend on the signature, so it does not reveal whether a guessed secret is right.
            if !WorkspaceSecret::is_long_enough(&secret.secret) {
                record::note(|record| record.refusal = Some("the workspace secret is too short"));
                return Err(Error::short_secret());
            }
            return Err(refused("wrong signature or algorithm"));
        };
        if claims.for_application {
            return Err(refused("issued for a provider"));
        }
        let is_for_credentials = claims.for_credentials_of.is_some();
        if is_for_credentials && claims.for_credentials_of.as_deref() != connection_id {
            return Err(refused("issued for the credentials of one connection"));
        }
        let now = self.clock.now().unix_timestamp();
        if claims.exp <= now {
            return Err(refused("expired"));
        }
        if claims.exp > Self::LAST_EXPIRY {
            return Err(refused("expires after the year 9999"));
        }
        if claims.nbf.is_some_and(|start| start > now + Self::NOT_BEFORE_LEEWAY.as_secs() as i64) {
            return Err(refused("not valid yet"));
        }
        let tenant = claims.tenant_key.or(claims.id).or(claims.sub).filter(|tenant| !tenant.is_empty());
        if tenant.is_none() && !claims.is_admin && !is_for_credentials {
            return Err(refused("neither a tenant nor an admin"));
        }
        record::note(|record| record.workspace = Some(workspace.clone()));
        if tenant.as_ref().is_some_and(|tenant| tenant.len() > MAX_TENANT_BYTES) {
            let message = format!("the tenant in the access token must be at most {MAX_TENANT_BYTES} bytes long");
            return Err(Error::bad_request(message));
        }
        let admin = claims.is_admin && !is_for_credentials;
        Ok(Caller { workspace, tenant, admin, keeps_credentials: is_for_credentials })
    }
}

/// Signs claims as a token (HS256).
///
/// # Errors
/// When the secret cannot sign.
pub fn sign(claims: &Claims, secret: &Secret) -> Result<String, Error> {
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).map_err(Error::internal)
}

fn signed_claims(token: &str, secret: &Secret) -> Option<Claims> {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    // We check times ourselves: the library uses the machine's clock.
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    let key = DecodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::decode::<Claims>(token, &key, &rules).ok().map(|data| data.claims)
}

/// Whether a token requires extensions that Larder does not support: any `crit` (RFC 7515 §4.1.11), or an unencoded payload
/// (which RFC 7797 forbids for tokens). Also true if the header isn't an object.
fn asks_for_extensions(token: &str) -> bool {
    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let header = header.and_then(|header| serde_json::from_slice::<Map<String, Value>>(&header).ok());
    header.is_none_or(|header| header.contains_key("crit") || header.get("b64").is_some_and(|b64| *b64 != true))
}

/// Returns the token of a request, from `Authorization: Bearer` or `X-Membrane-Token`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = authorization.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.or_else(|| headers.get("x-membrane-token")?.to_str().ok())
}

/// 401: the reason goes only into the log.
pub fn refused(reason: &'static str) -> Error {
    record::note(|record| record.refusal = Some(reason));
    Error::not_authenticated()
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::clock::ManualClock;
    use crate::secret_store::{SecretStore, SecretStoreError};

    /// A store with the same secret for every workspace.
    struct OneSecret;

    #[async_trait]
    impl SecretStore for OneSecret {
        async fn get(&self, _: &str) -> Result<Option<Secret>, SecretStoreError> {
            Ok(Some(Secret::new(r#"{"secret":"0123456789abcdef0123456789abcdef"}"#)))
        }

        async fn put(&self, _: &str, _: &Secret) -> Result<(), SecretStoreError> {
            unreachable!("nothing is written")
        }

        async fn remove(&self, _: &str) -> Result<(), SecretStoreError> {
            unreachable!("nothing is removed")
        }
    }

    fn claims(exp: &str) -> Option<i64> {
        serde_json::from_str::<Claims>(&format!(r#"{{"exp":{exp}}}"#)).ok().map(|claims| claims.exp)
    }

    #[test]
    fn token_times_are_numbers_with_or_without_a_fraction() {
        for (exp, seconds) in [("12", 12), ("12.9", 12), ("-0.5", -1), ("1.2e1", 12), ("0", 0)] {
            assert_eq!(claims(exp), Some(seconds), "{exp}");
        }
        for exp in ["9223372036854775807", "18446744073709551615", "1e18", "1e300"] {
            assert!(claims(exp).is_some_and(|exp| exp > Authenticator::LAST_EXPIRY), "{exp}");
        }
        for exp in [r#""12""#, "true", "null", "[12]", "1e400", r#"12,"exp":13"#] {
            assert_eq!(claims(exp), None, "{exp}");
        }
        let nbf = |nbf: &str| serde_json::from_str::<Claims>(&format!(r#"{{"nbf":{nbf}}}"#)).ok().map(|it| it.nbf);
        assert_eq!([nbf("1.5"), nbf("null"), nbf(r#""1""#)], [Some(Some(1)), Some(None), None]);
    }

    #[tokio::test]
    async fn a_token_names_its_workspace_until_it_expires_or_is_known() {
        let clock = Arc::new(ManualClock::at(1_700_000_000));
        let workspaces = Arc::new(Workspaces::new(Arc::new(OneSecret), Arc::clone(&clock) as _));
        let authenticator = Authenticator::new(Arc::clone(&workspaces), clock, false);
        let named = |exp| {
            let claims = Claims { workspace_key: Some("acme".into()), exp, ..Claims::default() };
            let token = sign(&claims, &Secret::new("any")).expect("a token");
            let value = format!("Bearer {token}").parse().expect("a header");
            authenticator.unverified_workspace(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
        };
        assert_eq!(named(1_700_000_000), None);
        assert_eq!(named(1_700_000_001).as_deref(), Some("acme"));
        // Once the secret is cached, there is nothing to read ahead.
        workspaces.secret("acme").await.expect("no failure");
        assert_eq!(named(1_700_000_001), None);
    }

    #[test]
    fn token_headers_that_require_extensions_are_recognized() {
        let asks = |header: &str| asks_for_extensions(&format!("{}.e30.", URL_SAFE_NO_PAD.encode(header)));
        for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","b64":true,"kid":"crit"}"#] {
            assert!(!asks(header), "{header}");
        }
        for header in
            [r#"{"crit":["exp"]}"#, r#"{"crit":[]}"#, r#"{"crit":null}"#, r#"{"b64":false}"#, r#"{"b64":"true"}"#, "[]"]
        {
            assert!(asks(header), "{header}");
        }
    }
}
