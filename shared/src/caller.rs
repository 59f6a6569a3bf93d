//! Who calls: access tokens signed with a workspace secret (RFC 7519).
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

/// Whoever holds a valid token: a workspace's own code (admin), or one of its end users (a tenant).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key of the workspace. Nothing crosses a workspace.
    pub workspace: String,
    /// The end user. Always there, unless the caller is an admin, or a Larder that keeps its credentials here and asks for
    /// a connection that is nobody's.
    pub tenant: Option<String>,
    /// May manage integrations and see every connection of the workspace.
    pub admin: bool,
    /// Whether this is another Larder, which keeps the credentials of one connection here.
    pub keeps_credentials: bool,
}

impl Caller {
    /// Whether this caller may see what belongs to `tenant` in its own workspace.
    pub fn may_see(&self, tenant: Option<&str>) -> bool {
        self.admin || self.tenant.as_deref() == tenant
    }

    /// # Errors
    /// 403 unless the caller is an admin.
    pub fn require_admin(&self) -> Result<(), Error> {
        if self.admin {
            return Ok(());
        }
        Err(Error::access_denied("this route takes an admin token: a token of the workspace with `\"isAdmin\": true`"))
    }
}

/// The claims of an access token, in all their spellings.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claims {
    /// The workspace; wins over `iss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_key: Option<String>,
    /// The workspace, in older tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The tenant; wins over `id` and `sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_key: Option<String>,
    /// The tenant, in older tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The tenant, in tokens between services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Whether this is a token of the workspace's own code.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_admin: bool,
    /// Whether it tells a connected application who calls, for connectors of the type membrane-token. Such a token opens
    /// nothing here: the application has it too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub for_application: bool,
    /// The one connection whose credentials another Larder, which keeps them here, may read and write. Such a token opens
    /// nothing else, also not for an end user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_credentials_of: Option<String>,
    /// The end of its life, in seconds since 1970. A token without one is refused.
    #[serde(deserialize_with = "numeric_date")]
    pub exp: i64,
    /// The start of its life, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_date")]
    pub nbf: Option<i64>,
}

/// A NumericDate (RFC 7519 §2), which may have a fraction: the second that it is in. One that is too large for this type is
/// the largest.
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
    /// How far ahead of ours the clock of the token's issuer may be.
    const NOT_BEFORE_LEEWAY: Duration = Duration::from_mins(1);
    /// The last second of the year 9999. Times beyond it are mistakes, such as milliseconds, and would never come.
    pub const LAST_EXPIRY: i64 = 253_402_300_799;

    /// An authenticator for these workspaces. `keeps_for_others` is whether another Larder may keep its credentials here,
    /// which it may not where they are kept elsewhere in turn: so tokens for that open nothing where they were made.
    pub fn new(workspaces: Arc<Workspaces>, clock: Arc<dyn Clock>, keeps_for_others: bool) -> Self {
        Self { workspaces, clock, keeps_for_others }
    }

    /// The caller of a request, by `Authorization: Bearer` or `X-Membrane-Token`.
    ///
    /// # Errors
    /// 401, the same for every reason; 500 if the secret of the workspace is too short to verify anything; 503 if the secret
    /// store fails.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        match bearer(headers) {
            Some(token) => self.verify(token).await,
            None => Err(refused("no token")),
        }
    }

    /// The workspace that a token names, if it takes a call to find out whether it is good. Nothing is verified yet: it
    /// tells what to read ahead, and nobody what was read.
    pub fn unverified_workspace(&self, headers: &HeaderMap) -> Option<String> {
        let claimed = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(bearer(headers)?).ok()?;
        let workspace = claimed.workspace_key.or(claimed.iss)?;
        let may_be_good = claimed.exp > self.clock.now().unix_timestamp() && self.workspaces.must_ask(&workspace);
        may_be_good.then_some(workspace)
    }

    /// The caller of a request for the credentials of a connection, whose parameters are these: as
    /// [`Self::authenticate`], or another Larder that keeps the credentials of this connection here.
    ///
    /// # Errors
    /// 401, the same for every reason; 500 if the secret of the workspace is too short to verify anything; 503 if the secret
    /// store fails.
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

    /// The caller behind a token.
    ///
    /// # Errors
    /// 401, the same for every reason; 500 if the secret of the workspace is too short to verify anything; 503 if the secret
    /// store fails.
    pub async fn verify(&self, token: &str) -> Result<Caller, Error> {
        self.verify_for(token, None).await
    }

    async fn verify_for(&self, token: &str, connection_id: Option<&str>) -> Result<Caller, Error> {
        let Ok(claimed) = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token) else {
            return Err(refused("not a token of ours"));
        };
        if asks_for_extensions(token) {
            return Err(refused("asks for extensions of the format"));
        }
        let Some(workspace) = claimed.workspace_key.or(claimed.iss) else {
            return Err(refused("no workspace in the token"));
        };
        let Some(secret) = self.workspaces.secret(&workspace).await? else {
            return Err(refused("unknown workspace"));
        };
        let claims = secret.verifying().find_map(|secret| signed_claims(token, secret));
        let Some(claims) = claims else {
            // The answer doesn't depend on the signature, so that nobody learns from it whether a guess was right.
            if !WorkspaceSecret::is_long_enough(&secret.secret) {
                record::note(|record| record.refusal = Some("the secret of the workspace is too short"));
                return Err(Error::short_secret());
            }
            return Err(refused("wrong signature or algorithm"));
        };
        if claims.for_application {
            return Err(refused("made for a connected application"));
        }
        let is_for_credentials = claims.for_credentials_of.is_some();
        if is_for_credentials && claims.for_credentials_of.as_deref() != connection_id {
            return Err(refused("made for the credentials of one connection"));
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
            let message = format!("the tenant that the token names has more than {MAX_TENANT_BYTES} bytes");
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
    // We check times ourselves: the library asks the machine's clock.
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    let key = DecodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::decode::<Claims>(token, &key, &rules).ok().map(|data| data.claims)
}

/// Whether a token says that it cannot be read without extensions, none of which Larder has: any `crit` (RFC 7515 §4.1.11),
/// or a payload that is not encoded (RFC 7797, which forbids that for tokens). Also where the header isn't an object.
fn asks_for_extensions(token: &str) -> bool {
    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let header = header.and_then(|header| serde_json::from_slice::<Map<String, Value>>(&header).ok());
    header.is_none_or(|header| header.contains_key("crit") || header.get("b64").is_some_and(|b64| *b64 != true))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = authorization.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.or_else(|| headers.get("x-membrane-token")?.to_str().ok())
}

fn refused(reason: &'static str) -> Error {
    record::note(|record| record.refusal = Some(reason));
    Error::not_authenticated()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(exp: &str) -> Option<i64> {
        serde_json::from_str::<Claims>(&format!(r#"{{"exp":{exp}}}"#)).ok().map(|claims| claims.exp)
    }

    #[test]
    fn a_time_is_a_number_with_or_without_a_fraction() {
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

    #[test]
    fn a_header_that_must_be_understood_is_found() {
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
