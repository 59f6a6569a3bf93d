//! The pending connect flow, from the authorization request to the callback.
//!
//! # Decisions
//!
//! Each flow has a cookie of its own, with a random value whose digest is in the session, and with the beginning of the
//! session's id in its name. Tabs do not disturb each other, and there is no signing key to keep. A session that
//! another browser requests is kept, so a stranger cannot end it.

use std::time::Duration;

use larder::credentials::Credentials;
use larder::digest::sha256_base64url;
use larder::dynamodb::Session;
use larder::error::Error;
use larder::seal::{SealContext, Sealer};
use larder::secret::Secret;
use serde::{Deserialize, Serialize};

use super::{Delivery, NewConnection};
use crate::oauth1::OAuth1Token;

/// How long an end user has to approve access.
pub const FLOW_LIFETIME: Duration = Duration::from_mins(15);

/// Everything the callback needs to finish the flow that `connect` began. It is sealed in the session.
#[derive(Clone, Serialize, Deserialize)]
pub struct Flow {
    /// The connection to create or reconnect.
    pub connection: NewConnection,
    /// The PKCE verifier, unless the connector skips PKCE.
    pub code_verifier: Option<Secret>,
    /// The request token, for OAuth 1.0a.
    pub request_token: Option<OAuth1Token>,
    /// The redirect URI of the authorization request, which the token request must repeat exactly (RFC 6749 §4.1.3).
    pub redirect_uri: String,
    /// The destination of the result.
    pub delivery: Delivery,
}

impl Flow {
    /// Seals the flow for the session with that id.
    ///
    /// # Errors
    /// 413 when the entered values are too large; 503 when the key service fails.
    pub async fn seal(&self, sealer: &Sealer, session_id: &str) -> Result<Vec<u8>, Error> {
        seal_json(sealer, seal_context(&self.connection.workspace, session_id), self).await
    }

    /// Opens the flow of a session.
    ///
    /// # Errors
    /// 503 when the key service fails; 500 when the session was tampered with.
    pub async fn open(sealer: &Sealer, session: &Session) -> Result<Self, Error> {
        let bytes = sealer.open(seal_context(&session.workspace, &session.id), &session.sealed).await?;
        serde_json::from_slice(&bytes).map_err(|_| Error::internal("a session's contents are damaged"))
    }
}

/// Seals a value as JSON, if it has the size that an item can hold.
pub(super) async fn seal_json(
    sealer: &Sealer,
    context: SealContext<'_>,
    value: &impl Serialize,
) -> Result<Vec<u8>, Error> {
    let bytes = serde_json::to_vec(value).map_err(Error::internal)?;
    if bytes.len() > Credentials::MAX_BYTES {
        return Err(Error::too_large("the entered values are too large to be stored"));
    }
    Ok(sealer.seal(context, &bytes).await?)
}

fn seal_context<'a>(workspace: &'a str, session_id: &'a str) -> SealContext<'a> {
    SealContext { workspace, kind: "session", id: session_id, version: 0 }
}

/// Returns the name of the cookie that binds a flow to its browser. Each flow has its own, so two tabs do not interfere.
///
/// Over https it has the `__Host-` prefix (RFC 6265bis §4.1.3.2), which neither a subdomain nor a plain http page can set.
pub fn browser_cookie_name(base_uri: &str, session_id: &str) -> String {
    let prefix = if base_uri.starts_with("https:") { "__Host-" } else { "" };
    format!("{prefix}larder-{}", session_id.get(..12).unwrap_or(session_id))
}

/// Returns the `Set-Cookie` value. The cookie lives as long as the flow, is sent on top-level navigation only, and is hidden
/// from scripts.
pub fn browser_cookie(base_uri: &str, session_id: &str, value: &str, lifetime: Duration) -> String {
    let secure = if base_uri.starts_with("https:") { "; Secure" } else { "" };
    let name = browser_cookie_name(base_uri, session_id);
    format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", lifetime.as_secs())
}

/// Returns the digest of the cookie's value that the session keeps.
pub fn browser_digest(cookie: &str) -> String {
    sha256_base64url(cookie)
}
