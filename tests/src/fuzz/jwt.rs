//! Callers' tokens.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder::caller::{Authenticator, Caller, Claims};
use larder::clock::{Clock as _, ManualClock};
use larder::error::ErrorClass;
use larder::scope::{Scope, Scopes};
use larder::secret::Secret;
use larder::secret_store::{SecretStore, SecretStoreError, WorkspaceSecret, Workspaces};
use serde_json::{Value, json};

const NOW: i64 = 1_767_225_600;
const SECRET: &str = "the secret of the workspace, which is long enough";
const PREVIOUS: &str = "the secret before that, which is long enough";
const APPLICATION: &str = "the secret that only Larder signs with, for others";
/// The id of the public key.
const KEY_ID: &str = "ed";

/// Takes a token; or three lines that are signed here: a secret or the name of a key, the header and the claims as JSON.
/// `NOW` is a placeholder for the current time.
pub fn jwt(data: &[u8]) {
    let text = String::from_utf8_lossy(data).replace("NOW", &NOW.to_string());
    let lines: Vec<&str> = text.splitn(3, '\n').collect();
    let token = match lines[..] {
        [secret, header, claims] => signed(secret, header, claims),
        _ => text,
    };
    let caller = futures::executor::block_on(AUTHENTICATOR.verify(&token));
    match caller {
        Ok(caller) => {
            assert_eq!(Some(&caller), expected(&token).as_ref(), "{token}");
            let claim = claim_of(&token, "scope");
            let grants = |name| claim.as_str().is_none_or(|claim| claim.split(' ').any(|granted| granted == name));
            for scope in Scope::ALL {
                assert_eq!(caller.scopes.include(scope), grants(scope.name()), "{token}");
            }
        }
        Err(error) if error.class == ErrorClass::Invalid => {
            assert!(error.message.contains("2048 bytes") && expected(&token).is_none(), "{token}");
        }
        Err(error) => {
            assert_eq!((error.class.code(), error.key), (401, Some("not_authenticated")));
            // Larder may reject unneeded header members.
            assert!(expected(&token).is_none() || !is_plain(&token), "{token}");
        }
    }
}

/// The expected caller according to RFC 7515 §5.2 and the claims in `functions/README.md`.
fn expected(token: &str) -> Option<Caller> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Value = decoded(header)?;
    let is_extended = header.get("crit").is_some() || header.get("b64").is_some_and(|b64| *b64 != true);
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let is_ours = match header["alg"].as_str()? {
        "EdDSA" => {
            let key = UnparsedPublicKey::new(&ED25519, PRIVATE_KEY.public_key());
            let is_named = header.get("kid").is_none_or(|id| id == KEY_ID || id.is_null());
            is_named && key.verify(signed.as_bytes(), &signature).is_ok()
        }
        name => [SECRET, PREVIOUS].iter().any(|secret| {
            let key = hmac_of(name).map(|algorithm| hmac::Key::new(algorithm, secret.as_bytes()));
            key.is_some_and(|key| hmac::verify(&key, signed.as_bytes(), &signature).is_ok())
        }),
    };
    let limits: Value = decoded(claims)?;
    let has_typed_limits = limits.get("scope").is_none_or(Value::is_string)
        && ["connectionIds", "integrationKeys"].iter().all(|name| limits.get(*name).is_none_or(is_list_of_strings));
    let claims: Claims = decoded(claims).filter(|_| has_typed_limits)?;
    let workspace = claims.workspace_key.or(claims.iss).filter(|key| key == "local" || key == "lasting")?;
    const YEAR_9999: i64 = 253_402_300_799;
    let lasts = match claims.exp {
        Some(exp) => (NOW + 1..=YEAR_9999).contains(&exp),
        None => workspace == "lasting",
    };
    let is_now = !is_extended && lasts && claims.nbf.is_none_or(|start| start <= NOW + 60);
    let tenant = claims.tenant_key.or(claims.id).or(claims.sub).filter(|tenant| !tenant.is_empty());
    let is_for_callers = !claims.for_application && claims.for_credentials_of.is_none();
    let is_caller = is_ours && is_now && is_for_callers && (tenant.is_some() || claims.is_admin);
    let is_caller = is_caller && tenant.as_ref().is_none_or(|tenant| tenant.len() <= 2048);
    is_caller.then_some(Caller {
        workspace,
        tenant,
        admin: claims.is_admin,
        keeps_credentials: false,
        scopes: claims.scope.as_deref().map_or(Scopes::EVERY, Scopes::parse),
        connection_ids: claims.connection_ids,
        integration_keys: claims.integration_keys,
    })
}

fn is_list_of_strings(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(Value::is_string))
}

fn claim_of(token: &str, name: &str) -> Value {
    let claims: Option<Value> = token.split('.').nth(1).and_then(decoded);
    claims.unwrap_or_default()[name].take()
}

fn hmac_of(algorithm: &str) -> Option<hmac::Algorithm> {
    match algorithm {
        "HS256" => Some(hmac::HMAC_SHA256),
        "HS384" => Some(hmac::HMAC_SHA384),
        "HS512" => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

/// Whether the header has only the usual members.
fn is_plain(token: &str) -> bool {
    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok()).unwrap_or_default();
    let header = String::from_utf8_lossy(&header).replace(char::is_whitespace, "");
    header.matches("\"alg\"").count() == 1 && header.replace(r#","typ":"JWT""#, "").matches(':').count() == 1
}

fn decoded<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn signed(secret: &str, header: &str, claims: &str) -> String {
    let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let public = PRIVATE_KEY.public_key().as_ref();
    let secret = match secret {
        "private" => {
            let signature = PRIVATE_KEY.sign(text.as_bytes());
            return format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
        }
        "current" => SECRET.as_bytes(),
        "previous" => PREVIOUS.as_bytes(),
        "application" => APPLICATION.as_bytes(),
        "public" => public,
        other => other.as_bytes(),
    };
    let header: Value = serde_json::from_str(header).unwrap_or_default();
    let algorithm = header["alg"].as_str().and_then(hmac_of).unwrap_or(hmac::HMAC_SHA256);
    let signature = hmac::sign(&hmac::Key::new(algorithm, secret), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The key of the application, whose public half is among the workspace's keys.
static PRIVATE_KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed of 32 bytes"));

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let clock = Arc::new(ManualClock::at(NOW));
    assert_eq!(clock.now().unix_timestamp(), NOW);
    Authenticator::new(Arc::new(Workspaces::new(Arc::new(TwoWorkspaces), Arc::clone(&clock) as _)), clock, true)
});

/// The workspaces `local` and `lasting`, whose tokens need not expire.
struct TwoWorkspaces;

#[async_trait]
impl SecretStore for TwoWorkspaces {
    async fn get(&self, name: &str) -> Result<Option<Secret>, SecretStoreError> {
        let x = URL_SAFE_NO_PAD.encode(PRIVATE_KEY.public_key());
        let secret = WorkspaceSecret {
            previous_secret: Some(Secret::new(PREVIOUS)),
            application_secret: Some(Secret::new(APPLICATION)),
            public_keys: json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": KEY_ID, "x": x}]}).into(),
            allow_tokens_without_expiry: name == "workspaces/lasting",
            ..WorkspaceSecret::new(Secret::new(SECRET))
        };
        let text = serde_json::to_string(&secret).expect("JSON");
        Ok(["workspaces/local", "workspaces/lasting"].contains(&name).then(|| Secret::new(text)))
    }

    async fn put(&self, _: &str, _: &Secret) -> Result<(), SecretStoreError> {
        Ok(())
    }

    async fn remove(&self, _: &str) -> Result<(), SecretStoreError> {
        Ok(())
    }
}
