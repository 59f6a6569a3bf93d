//! Page links and the sessions that begin with them: they sign a browser in to the pages.
//!
//! # Decisions
//!
//! Only admins create links, for themselves or for a tenant: a tenant's token lasts minutes, and must not become a session of
//! hours.
//!
//! A session acts as the caller that its link was made for, with the scopes of the token that made it. The caller is sealed for the
//! session's id, so that writing to the table makes nobody an admin.

use std::time::Duration;

use larder::caller::Caller;
use larder::clock::{later, rfc3339};
use larder::digest::sha256_base64url;
use larder::dynamodb::{PageLinkError, PageSession, Write};
use larder::error::Error;
use larder::seal::SealContext;
use larder::secret::Secret;
use larder::{random, record};
use serde_json::{Value, json};

use super::Management;
use super::create::check_tenant;

/// The longest lifetime of a link, in seconds.
const MAX_LIFETIME: u64 = 24 * 60 * 60;
/// The lifetime of a link that doesn't state one, in seconds.
const LIFETIME: u64 = 30 * 60;
/// How long a session lasts.
pub const SESSION_LIFETIME: Duration = Duration::from_hours(12);

/// A browser that is signed in to the pages.
#[derive(Debug)]
pub struct Visitor {
    /// The caller that the session acts as.
    pub caller: Caller,
    /// The token that every form of the session must carry.
    pub form_token: String,
}

impl Management {
    /// Creates a page link, for a tenant or for the admin who asks. The answer has its URL, whose secret is stored only as a
    /// digest.
    ///
    /// # Errors
    /// 400 for a value that is invalid or breaks a limit; 403 unless the caller is an admin whose token has no limits.
    pub async fn create_page_link(
        &self,
        caller: &Caller,
        tenant: Option<String>,
        expires_in: Option<u64>,
    ) -> Result<Value, Error> {
        check_maker(caller)?;
        let lifetime = expires_in.unwrap_or(LIFETIME);
        if !(1..=MAX_LIFETIME).contains(&lifetime) {
            let message = format!("`expiresIn` must be a number of seconds from 1 to {MAX_LIFETIME}");
            return Err(Error::bad_request(message));
        }
        tenant.as_deref().map_or(Ok(()), check_tenant)?;
        let holder = match tenant {
            Some(tenant) => Caller { tenant: Some(tenant), admin: false, ..caller.clone() },
            None => caller.clone(),
        };
        let rng = &*self.writer.rng;
        let (id, secret) = (random::token::<16>(rng), random::token::<32>(rng));
        let expires_at = later(self.clock.now(), Duration::from_secs(lifetime));
        let bytes = serde_json::to_vec(&holder).map_err(Error::internal)?;
        let sealed = self.vault.sealer().seal(seal_context(&caller.workspace, &id), &bytes).await?;
        let session = PageSession {
            id: id.clone(),
            workspace: caller.workspace.clone(),
            tenant: holder.tenant.filter(|_| !holder.admin),
            link: Some(sha256_base64url(&secret)),
            browser: None,
            sealed,
            expires_at,
        };
        self.page_sessions.put(&session).await?;
        let url = format!("{}/sign-in?link={id}.{secret}", self.connector_setup.base_uri);
        Ok(json!({ "id": id, "url": url, "expiresAt": rfc3339(expires_at) }))
    }

    /// Revokes a page link, and the session that began with it.
    ///
    /// # Errors
    /// 403 unless the caller is an admin whose token has no limits; 404 if the workspace has no such link, or its session has ended.
    pub async fn revoke_page_link(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        check_maker(caller)?;
        match self.page_sessions.revoke(id, &caller.workspace).await? {
            Write::Done => Ok(()),
            Write::Conflict => Err(Error::not_found(format!("there is no page link `{id}`, or its session has ended"))),
        }
    }

    /// Uses a page link, and returns the value of the cookie that carries the session.
    ///
    /// # Errors
    /// When the link is unknown, used or expired, or the table fails.
    pub async fn sign_in(&self, link: &str) -> Result<Secret, Error> {
        let (id, secret) = link.split_once('.').ok_or(PageLinkError::Unknown)?;
        let browser = random::token::<32>(&*self.writer.rng);
        let now = self.clock.now();
        let until = later(now, SESSION_LIFETIME);
        let session =
            self.page_sessions.sign_in(id, &sha256_base64url(secret), &sha256_base64url(&browser), now, until).await?;
        record::note(|record| record.workspace = Some(session.workspace));
        Ok(Secret::new(format!("{id}.{browser}")))
    }

    /// Whether a link was made for a tenant.
    pub async fn is_link_of_tenant(&self, link: &str) -> bool {
        let id = link.split_once('.').map_or("", |(id, _)| id);
        !id.is_empty() && matches!(self.page_sessions.get(id).await, Ok(Some(session)) if session.tenant.is_some())
    }

    /// Returns the visitor whose browser sent this cookie. `None` if it has no session, or the session has ended.
    ///
    /// # Errors
    /// 503 when the table or the key service fails.
    pub async fn visitor(&self, cookie: &str) -> Result<Option<Visitor>, Error> {
        let Some((id, browser)) = cookie.split_once('.') else { return Ok(None) };
        let Some(session) = self.page_sessions.get(id).await? else { return Ok(None) };
        let is_own = session.browser == Some(sha256_base64url(browser));
        if !is_own || session.expires_at <= self.clock.now() {
            return Ok(None);
        }
        let bytes = self.vault.sealer().open(seal_context(&session.workspace, id), &session.sealed).await?;
        let caller: Caller = serde_json::from_slice(&bytes)
            .map_err(|_| Error::internal("the contents of a page session are damaged"))?;
        record::note(|record| record.workspace = Some(session.workspace));
        // It follows from the cookie, which scripts of other pages cannot read.
        Ok(Some(Visitor { caller, form_token: sha256_base64url(format!("form:{browser}")) }))
    }

    /// Ends the session of the browser that sent this cookie.
    ///
    /// # Errors
    /// 503 when the table fails.
    pub async fn sign_out(&self, cookie: &str) -> Result<(), Error> {
        if let Some((id, browser)) = cookie.split_once('.') {
            // A session that has ended needs no end.
            let _ended: Write = self.page_sessions.sign_out(id, &sha256_base64url(browser)).await?;
        }
        Ok(())
    }
}

/// Checks that the caller may make and revoke page links.
fn check_maker(caller: &Caller) -> Result<(), Error> {
    caller.require_admin()?;
    if caller.is_limited() {
        // It could end sessions that see more than it does.
        let message =
            "a token with the claim `connectionIds` or `integrationKeys` cannot manage page links; sign one without it";
        return Err(Error::access_denied(message));
    }
    Ok(())
}

fn seal_context<'a>(workspace: &'a str, id: &'a str) -> SealContext<'a> {
    SealContext { workspace, kind: "page", id, version: 0 }
}
