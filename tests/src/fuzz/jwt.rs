//! Tokens of callers.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder::caller::{Authenticator, Caller, Claims};
use larder::clock::{Clock as _, ManualClock};
use larder::error::ErrorClass;
use larder::secret::Secret;
use larder::secret_store::{SecretStore, SecretStoreError, WorkspaceSecret, Workspaces};
use serde_json::Value;

const NOW: i64 = 1_767_225_600;
const SECRET: &str = "the secret of the workspace, which is long enough";
const PREVIOUS: &str = "the secret before that, which is long enough";

/// A token; or a line with a secret, then the header and the claims as JSON, each on its line, which are signed here. In
/// claims, `NOW` is the time.
pub fn jwt(data: &[u8]) {
    let text = String::from_utf8_lossy(data).replace("NOW", &NOW.to_string());
    let lines: Vec<&str> = text.splitn(3, '\n').collect();
    let token = match lines[..] {
        [secret, header, claims] => signed(secret, header, claims),
        _ => text,
    };
    let caller = futures::executor::block_on(AUTHENTICATOR.verify(&token));
    match caller {
        Ok(caller) => assert_eq!(Some(&caller), expected(&token).as_ref(), "{token}"),
        Err(error) if error.class == ErrorClass::Invalid => {
            assert!(error.message.contains("2048 bytes") && expected(&token).is_none(), "{token}");
        }
        Err(error) => {
            assert_eq!((error.class.code(), error.key), (401, Some("not_authenticated")));
            // Members of the header that nobody needs may be refused.
            assert!(expected(&token).is_none() || !is_plain(&token), "{token}");
        }
    }
}

/// The caller by the book: RFC 7515 §5.2, and the claims of `functions/README.md`.
fn expected(token: &str) -> Option<Caller> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Value = decoded(header)?;
    let is_extended = header.get("crit").is_some() || header.get("b64").is_some_and(|b64| *b64 != true);
    let algorithm = match header["alg"].as_str()? {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => return None,
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let is_ours = [SECRET, PREVIOUS].iter().any(|secret| {
        let key = hmac::Key::new(algorithm, secret.as_bytes());
        hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
    });
    let claims: Claims = decoded(claims)?;
    let workspace = claims.workspace_key.or(claims.iss).filter(|key| key == "local")?;
    const YEAR_9999: i64 = 253_402_300_799;
    let is_now =
        !is_extended && (NOW + 1..=YEAR_9999).contains(&claims.exp) && claims.nbf.is_none_or(|start| start <= NOW + 60);
    let tenant = claims.tenant_key.or(claims.id).or(claims.sub).filter(|tenant| !tenant.is_empty());
    let is_for_callers = !claims.for_application && claims.for_credentials_of.is_none();
    let is_caller = is_ours && is_now && is_for_callers && (tenant.is_some() || claims.is_admin);
    let is_caller = is_caller && tenant.as_ref().is_none_or(|tenant| tenant.len() <= 2048);
    is_caller.then_some(Caller { workspace, tenant, admin: claims.is_admin, keeps_credentials: false })
}

/// Whether the header is what most tokens have.
fn is_plain(token: &str) -> bool {
    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok()).unwrap_or_default();
    let header = String::from_utf8_lossy(&header).replace(char::is_whitespace, "");
    header.matches("\"alg\"").count() == 1 && header.replace(r#","typ":"JWT""#, "").matches(':').count() == 1
}

fn decoded<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn signed(secret: &str, header: &str, claims: &str) -> String {
    let algorithm = match serde_json::from_str::<Value>(header).unwrap_or_default()["alg"].as_str() {
        Some("HS384") => hmac::HMAC_SHA384,
        Some("HS512") => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let secret = match secret {
        "current" => SECRET,
        "previous" => PREVIOUS,
        other => other,
    };
    let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let clock = Arc::new(ManualClock::at(NOW));
    assert_eq!(clock.now().unix_timestamp(), NOW);
    Authenticator::new(Arc::new(Workspaces::new(Arc::new(OneWorkspace), Arc::clone(&clock) as _)), clock, true)
});

/// The workspace `local`.
struct OneWorkspace;

#[async_trait]
impl SecretStore for OneWorkspace {
    async fn get(&self, name: &str) -> Result<Option<Secret>, SecretStoreError> {
        let secret = WorkspaceSecret { secret: Secret::new(SECRET), previous_secret: Some(Secret::new(PREVIOUS)) };
        let text = serde_json::to_string(&secret).expect("JSON");
        Ok((name == "workspaces/local").then(|| Secret::new(text)))
    }

    async fn put(&self, _: &str, _: &Secret) -> Result<(), SecretStoreError> {
        Ok(())
    }

    async fn remove(&self, _: &str) -> Result<(), SecretStoreError> {
        Ok(())
    }
}
