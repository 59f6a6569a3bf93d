//! The rules for all credentials that a provider returns: their lifetime, and which members are kept.

use std::time::Duration;

use larder::connection::{
    Asked, Expiry, access_token, expiry_of, granted_scopes, refreshed_expiry, states_lifetime, unreadable_lifetime,
};
use serde_json::{Map, Value};

use super::{ConnectorContext, ObtainedCredentials, ProviderError};
use crate::response::is_usable_token;

/// A refresh that the provider has answered.
pub(super) struct AnsweredRefresh<'a> {
    /// The credentials that were refreshed.
    pub(super) stored: &'a Value,
    /// The expiry of the stored credentials.
    pub(super) before: Option<Expiry>,
    /// When the new credentials were requested.
    pub(super) asked: Asked,
    pub(super) refresh_margin: Option<Duration>,
}

impl AnsweredRefresh<'_> {
    /// Returns the result of the refresh. `statement` has the members that state the lifetime, unless `changes` has them.
    ///
    /// # Errors
    /// When the changes contain nothing usable.
    pub(super) fn obtained(
        self,
        auth: &ConnectorContext,
        statement: Option<&Map<String, Value>>,
        mut changes: Map<String, Value>,
        renews_itself: bool,
    ) -> Result<ObtainedCredentials, ProviderError> {
        let Self { stored, before, asked, refresh_margin } = self;
        // Keep the old refresh token unless there is a usable new one (RFC 6749 §6): some answers have an empty or bogus one.
        for name in ["refresh_token", "refreshToken"] {
            if changes.get(name).is_some_and(|token| !is_usable_token(token)) {
                changes.shift_remove(name);
            }
        }
        let access_tokens = ["access_token", "accessToken"];
        let (had_token, has_token) =
            (access_tokens.iter().any(|name| stored.get(name).is_some()), access_token(&changes).is_some());
        if !has_token && access_tokens.iter().any(|name| changes.contains_key(*name)) {
            return Err(ProviderError::unavailable("the refresh returned no usable access token"));
        }
        changes.retain(|name, value| !access_tokens.contains(&name.as_str()) || is_usable_token(value));
        // Without a new token, the answer must repeat a known member; otherwise it is something else, such as a message.
        if had_token && !has_token && !changes.keys().any(|name| stored.get(name).is_some()) {
            return Err(ProviderError::unavailable("the refresh returned none of the credentials' members"));
        }
        let statement = statement.unwrap_or(&changes);
        warn_of_unreadable(auth, statement, asked);
        let expiry = refreshed_expiry(before, stored, statement, asked);
        let is_dead = expiry.is_some_and(|expiry| expiry.is_rest && expiry.is_long_over(asked.at));
        let brings_nothing = changes.iter().all(|(name, value)| stored.get(name) == Some(value));
        match is_dead && brings_nothing {
            true => Err(ProviderError::unavailable(ObtainedCredentials::DEAD)),
            false => {
                let scopes = granted_scopes(statement);
                let credentials = changes;
                let account = None;
                Ok(ObtainedCredentials { credentials, expiry, renews_itself, refresh_margin, scopes, account, is_dead })
            }
        }
    }
}

/// Returns when a connection's first credentials expire.
pub(super) fn first_expiry(auth: &ConnectorContext, credentials: &Map<String, Value>, asked: Asked) -> Option<Expiry> {
    warn_of_unreadable(auth, credentials, asked);
    expiry_of(credentials, asked)
}

/// Returns the members that state the lifetime: those that a function extracted, or else the provider's own.
pub(super) fn statement<'a>(
    tokens: &'a Map<String, Value>,
    extracted: Option<&'a Map<String, Value>>,
) -> &'a Map<String, Value> {
    extracted.filter(|extracted| states_lifetime(extracted)).unwrap_or(tokens)
}

fn warn_of_unreadable(auth: &ConnectorContext, credentials: &Map<String, Value>, asked: Asked) {
    if let Some(member) = unreadable_lifetime(credentials, asked) {
        let connector = &auth.connector.key;
        tracing::warn!(connector, member, "ignoring a lifetime that cannot be read");
    }
}
