//! The rules for all credentials that a provider gave: how long they live, and what of them is kept.

use std::time::Duration;

use larder::connection::{
    Asked, Expiry, access_token, expiry_of, refreshed_expiry, states_lifetime, unreadable_lifetime,
};
use serde_json::{Map, Value};

use super::{ConnectorContext, ObtainedCredentials, ProviderError};
use crate::response::is_usable_token;

/// A refresh whose answer has come.
pub(super) struct Refresh<'a> {
    /// The credentials that were refreshed.
    pub(super) stored: &'a Value,
    /// When they expire.
    pub(super) before: Option<Expiry>,
    /// When the new ones were asked for.
    pub(super) asked: Asked,
    pub(super) refresh_margin: Option<Duration>,
}

impl Refresh<'_> {
    /// The result of the refresh. `statement` holds the members that state the lifetime, if these aren't `changes`.
    ///
    /// # Errors
    /// When there is nothing among them that could be used.
    pub(super) fn obtained(
        self,
        auth: &ConnectorContext,
        statement: Option<&Map<String, Value>>,
        mut changes: Map<String, Value>,
        renews_itself: bool,
    ) -> Result<ObtainedCredentials, ProviderError> {
        let Self { stored, before, asked, refresh_margin } = self;
        // An empty refresh token, or one that no provider has issued, is not a new one (RFC 6749 §6: the old one goes on).
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
        // Of credentials without a new token, some part must be new; a message is none.
        if had_token && !has_token && !changes.keys().any(|name| stored.get(name).is_some()) {
            return Err(ProviderError::unavailable(
                "the refresh returned none of the members that the credentials have",
            ));
        }
        let statement = statement.unwrap_or(&changes);
        warn_of_unreadable(auth, statement, asked);
        let expiry = refreshed_expiry(before, stored, statement, asked);
        let is_dead = expiry.is_some_and(|expiry| expiry.is_rest && expiry.is_long_over(asked.at));
        let brings_nothing = changes.iter().all(|(name, value)| stored.get(name) == Some(value));
        match is_dead && brings_nothing {
            true => Err(ProviderError::unavailable(ObtainedCredentials::DEAD)),
            false => Ok(ObtainedCredentials { credentials: changes, expiry, renews_itself, refresh_margin, is_dead }),
        }
    }
}

/// When the first credentials of a connection expire.
pub(super) fn first_expiry(auth: &ConnectorContext, credentials: &Map<String, Value>, asked: Asked) -> Option<Expiry> {
    warn_of_unreadable(auth, credentials, asked);
    expiry_of(credentials, asked)
}

/// Of a provider's answer and of what a function made of it: the one that states the lifetime.
pub(super) fn statement<'a>(
    tokens: &'a Map<String, Value>,
    extracted: Option<&'a Map<String, Value>>,
) -> &'a Map<String, Value> {
    extracted.filter(|extracted| states_lifetime(extracted)).unwrap_or(tokens)
}

fn warn_of_unreadable(auth: &ConnectorContext, credentials: &Map<String, Value>, asked: Asked) {
    if let Some(member) = unreadable_lifetime(credentials, asked) {
        let connector = &auth.connector.key;
        tracing::warn!(connector, member, "the lifetime of credentials cannot be read; it counts as not stated");
    }
}
