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

#[cfg(test)]
mod tests {
    use larder::testing::Lines;
    use serde_json::json;
    use time::OffsetDateTime;

    use super::super::testing::context;
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).expect("a time")
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    /// Returns the result of a refresh at 3,300 seconds, of credentials that expire at 3,600.
    fn obtained(stored: &Value, changes: Value) -> Result<ObtainedCredentials, ProviderError> {
        obtained_at(3300, stored, changes)
    }

    fn obtained_at(seconds: i64, stored: &Value, changes: Value) -> Result<ObtainedCredentials, ProviderError> {
        let before = Some(Expiry::new(at(0), at(3600)));
        let refresh = AnsweredRefresh { stored, before, asked: Asked::at(at(seconds)), refresh_margin: None };
        refresh.obtained(&context([]), None, object(changes), false)
    }

    fn kept(stored: &Value, changes: Value) -> Result<Value, String> {
        obtained(stored, changes).map(|it| Value::Object(it.credentials)).map_err(|error| error.to_string())
    }

    #[test]
    fn unusable_tokens_of_a_refresh_are_left_out() {
        let stored = json!({"access_token": "old", "refresh_token": "kept"});
        for (changes, expected) in [
            (json!({"access_token": "new", "refresh_token": ""}), json!({"access_token": "new"})),
            (json!({"access_token": "new", "refreshToken": null}), json!({"access_token": "new"})),
            (
                json!({"access_token": "new", "refresh_token": "next"}),
                json!({"access_token": "new", "refresh_token": "next"}),
            ),
            (
                json!({"access_token": "new", "accessToken": "", "note": "", "expires_in": 60}),
                json!({"access_token": "new", "note": "", "expires_in": 60}),
            ),
        ] {
            assert_eq!(kept(&stored, changes.clone()), Ok(expected), "{changes}");
        }
        let unusable = kept(&stored, json!({"access_token": ""}));
        assert_eq!(unusable, Err("the refresh returned no usable access token".to_owned()));
    }

    #[test]
    fn a_refresh_without_a_token_must_return_a_known_member() {
        let stored = json!({"access_token": "old", "refresh_token": "old"});
        let message = json!({"message": "all is well"});
        let unknown = Err("the refresh returned none of the credentials' members".to_owned());
        assert_eq!(kept(&stored, message.clone()), unknown);
        let known = json!({"message": "all is well", "refresh_token": "new"});
        assert_eq!(kept(&stored, known.clone()), Ok(known));
        let token = json!({"accessToken": "new"});
        assert_eq!(kept(&stored, token.clone()), Ok(token));
        // These credentials have no token to begin with.
        assert_eq!(kept(&json!({"session": "old"}), message.clone()), Ok(message));
    }

    #[test]
    fn an_expired_token_is_an_error_unless_anything_is_new() {
        let stored = json!({"access_token": "old", "refresh_token": "old"});
        let is_dead = |seconds, changes| obtained_at(seconds, &stored, changes).map(|it| it.is_dead);
        let same = json!({"access_token": "old"});
        let more = json!({"access_token": "old", "refresh_token": "new"});
        let new = json!({"access_token": "new"});
        assert_eq!(is_dead(3605, same.clone()), Err(ProviderError::unavailable(ObtainedCredentials::DEAD)));
        assert_eq!(is_dead(3605, more.clone()), Ok(true));
        assert_eq!(is_dead(3605, new), Ok(false));
        assert_eq!([is_dead(3604, same), is_dead(3604, more)], [Ok(false), Ok(false)]);
    }

    #[test]
    fn extracted_credentials_state_the_lifetime_if_they_have_one() {
        let tokens = object(json!({"expires_in": 60}));
        let (with, without) = (object(json!({"expires_in": 90})), object(json!({"account": "a1"})));
        assert_eq!(statement(&tokens, Some(&with)), &with);
        assert_eq!(statement(&tokens, Some(&without)), &tokens);
        assert_eq!(statement(&tokens, None), &tokens);
    }

    #[tokio::test]
    async fn a_lifetime_that_cannot_be_read_is_logged_and_ignored() {
        let lines = Lines::of("warn", async {
            for (lifetime, expected) in [(json!("soon"), None), (json!(60), Some(Expiry::new(at(0), at(60))))] {
                let credentials = object(json!({"access_token": "hunter2", "expires_in": lifetime}));
                assert_eq!(first_expiry(&context([]), &credentials, Asked::at(at(0))), expected);
            }
        });
        let lines = lines.await;
        let shown: Vec<_> = lines.iter().map(|line| (&line["connector"], &line["member"])).collect();
        assert_eq!(shown, [(&json!("crm"), &json!("expires_in"))]);
    }
}
