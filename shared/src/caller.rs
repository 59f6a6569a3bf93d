//! Identifies callers by access tokens that are signed with a key of their workspace (RFC 7519), and says what they may do.
//!
//! # Decisions
//!
//! Tokens must expire, unless the workspace says otherwise: `exp` has no leeway, while `nbf` has a minute.
//!
//! Tokens that connectors of the type `membrane-token` send to a provider are signed with the workspace's secret, as
//! the format requires, unless the workspace has an application secret. The provider could use them here as the end user,
//! so they carry the claim `forApplication`, and are rejected.
//!
//! A token that is limited to connections or integrations gets the answers of a workspace without the others. They are
//! left out where the caller's own rights are checked, too, so no route needs to know about it.

mod claims;
mod signature;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use claims::{Claims, sign};
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use signature::{SignedBy, asks_for_extensions, verified};

use crate::clock::Clock;
use crate::connection::Connection;
use crate::dynamodb::Selection;
use crate::dynamodb::schema::MAX_TENANT_BYTES;
use crate::error::Error;
use crate::http::Parameters;
use crate::record;
use crate::routes::{Audience, Route};
use crate::scope::{Scope, Scopes};
use crate::secret_store::{WorkspaceSecret, Workspaces};

/// The holder of a valid token: an admin (your application), or a tenant (one of its end users).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The kinds of work that the token allows.
    pub scopes: Scopes,
    /// The only connections that exist for the token.
    pub connection_ids: Option<BTreeSet<String>>,
    /// The only integrations that exist for the token, with their connections.
    pub integration_keys: Option<BTreeSet<String>>,
}

impl Caller {
    /// Whether this caller may see a connection of its own workspace.
    pub fn may_see(&self, connection: &Connection) -> bool {
        let is_own = self.admin || self.tenant == connection.tenant;
        let integration = connection.integration.as_ref().map(|integration| &integration.key);
        is_own
            && self.connection_ids.as_ref().is_none_or(|ids| ids.contains(&connection.key.id))
            && self.integration_keys.as_ref().is_none_or(|keys| integration.is_some_and(|key| keys.contains(key)))
    }

    /// Whether an integration of its own workspace exists for this caller.
    pub fn may_use(&self, integration: &str) -> bool {
        self.integration_keys.as_ref().is_none_or(|keys| keys.contains(integration))
    }

    /// Whether the token is limited to some connections or integrations.
    pub fn is_limited(&self) -> bool {
        self.connection_ids.is_some() || self.integration_keys.is_some()
    }

    /// Returns the connections that exist for the token, of any tenant.
    pub fn selection(&self) -> Selection<'_> {
        let (ids, integrations) = (self.connection_ids.as_ref(), self.integration_keys.as_ref());
        Selection { ids, integrations, ..Selection::default() }
    }

    /// Checks that the caller may use a route.
    ///
    /// # Errors
    /// 403 if the route is only for admins, or requires another scope.
    pub fn authorize(&self, route: &Route) -> Result<(), Error> {
        if route.audience == Audience::Admins {
            self.require_admin()?;
        }
        route.scope.map_or(Ok(()), |scope| self.require(scope))
    }

    /// Checks that the token has a scope.
    ///
    /// # Errors
    /// 403 with the name of the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        if self.scopes.include(scope) {
            return Ok(());
        }
        let name = scope.name();
        Err(Error::access_denied(format!("the access token does not allow this; add `{name}` to its claim `scope`")))
    }

    /// An end user, or nobody in particular, who acts without a token: on a link that a caller made for them.
    pub fn of_link(workspace: impl Into<String>, tenant: Option<String>) -> Self {
        Self {
            workspace: workspace.into(),
            tenant,
            admin: false,
            keeps_credentials: false,
            scopes: Scopes::EVERY,
            connection_ids: None,
            integration_keys: None,
        }
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

    /// Checks that the caller may override an integration's parameters for one connection.
    ///
    /// # Errors
    /// 403 unless the caller is an admin whose token may change integrations.
    pub fn require_override(&self) -> Result<(), Error> {
        if !self.admin {
            // An end user who could set `tokenUri` could have the client secret sent there.
            let message = "`connectorParameters` requires an admin token: it overrides the integration's parameters";
            return Err(Error::access_denied(message));
        }
        // So could a token that may not read refresh tokens, with one of these.
        self.require(Scope::IntegrationsWrite)
    }

    /// Checks that the token may create a connection through an integration that exists for it, or without one.
    ///
    /// # Errors
    /// 403 if it is limited to connections, or the connection would not exist for it.
    pub fn require_creation(&self, integration: Option<&str>) -> Result<(), Error> {
        let limit = match integration {
            _ if self.connection_ids.is_some() => "connectionIds",
            None if self.integration_keys.is_some() => "integrationKeys",
            _ => return Ok(()),
        };
        let message = format!("a token with the claim `{limit}` cannot create this connection; sign one without it");
        Err(Error::access_denied(message))
    }

    /// Checks that the token may create or change an integration, which affects all of its connections.
    ///
    /// # Errors
    /// 403 if it is limited to connections, or the integration does not exist for it.
    pub fn require_integration(&self, key: &str) -> Result<(), Error> {
        let limit = match self.connection_ids {
            Some(_) => "connectionIds",
            None if !self.may_use(key) => "integrationKeys",
            None => return Ok(()),
        };
        let message = format!("a token with the claim `{limit}` cannot change this integration; sign one without it");
        Err(Error::access_denied(message))
    }
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
    /// 401, the same for every reason; 500 if the workspace secret must not be used; 503 if the secret store fails.
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
        let is_current = claimed.exp.is_none_or(|exp| exp > self.clock.now().unix_timestamp());
        (is_current && self.workspaces.must_ask(&workspace)).then_some(workspace)
    }

    /// Returns the caller of a request, with these parameters, for a connection's credentials: as
    /// [`Self::authenticate`], or another Larder that stores the credentials of this connection here.
    ///
    /// # Errors
    /// 401, the same for every reason; 500 if the workspace secret must not be used; 503 if the secret store fails.
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
    /// 401, the same for every reason; 500 if the workspace secret must not be used; 503 if the secret store fails.
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
        let Some((claims, signed_by)) = verified(token, &secret) else {
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
        if signed_by == SignedBy::Larder && !is_for_credentials {
            return Err(refused("signed with the application secret"));
        }
        let now = self.clock.now().unix_timestamp();
        let Some(exp) = claims.exp.or(secret.allow_tokens_without_expiry.then_some(Self::LAST_EXPIRY)) else {
            return Err(refused("no expiry"));
        };
        if exp <= now {
            return Err(refused("expired"));
        }
        if exp > Self::LAST_EXPIRY {
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
        Ok(Caller {
            workspace,
            tenant,
            admin: claims.is_admin && !is_for_credentials,
            keeps_credentials: is_for_credentials,
            scopes: claims.scope.as_deref().map_or(Scopes::EVERY, Scopes::parse),
            connection_ids: claims.connection_ids,
            integration_keys: claims.integration_keys,
        })
    }
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
    use crate::secret::Secret;
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

    #[tokio::test]
    async fn a_token_names_its_workspace_until_it_expires_or_is_known() {
        let clock = Arc::new(ManualClock::at(1_700_000_000));
        let workspaces = Arc::new(Workspaces::new(Arc::new(OneSecret), Arc::clone(&clock) as _));
        let authenticator = Authenticator::new(Arc::clone(&workspaces), clock, false);
        let named = |exp| {
            let claims = Claims { workspace_key: Some("acme".into()), exp: Some(exp), ..Claims::default() };
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
}
