//! Responses from `tokenUri`.

use std::fmt;

use serde_json::{Map, Value};

use super::config::RESPONSE_NAMES;
use super::{MalformedTokenResponse, OAuthConfig, TokenError};
use crate::response::{
    ErrorReport, ErrorRules, add_default_lifetime, check_credentials, is_success, is_usable_token, json, token_form,
};

/// Parses a response of the token endpoint (RFC 6749 §5.1 and §5.2).
///
/// JSON objects and forms are both accepted, whatever the content type; an HTML page is neither. A success has a 2xx status,
/// no `error`, no `ok: false`, and an `access_token`, because GitHub and Slack report failures with a 200. If a key occurs
/// twice, the last one counts. The configuration's `tokenResponsePath`, `tokenResponseNames` and `defaultExpiresIn` are applied.
///
/// # Errors
///
/// A [`TokenError`], whose variant says what the failure means.
pub fn parse_token_response(config: &OAuthConfig, status: u16, body: &[u8]) -> Result<TokenResponse, TokenError> {
    let json = || json(body).and_then(|json| if let Value::Object(map) = json { Some(map) } else { None });
    match json().or_else(|| token_form(body)) {
        Some(map) => TokenResponse::check(config, status, map),
        None if is_success(status) => Err(TokenError::Malformed(MalformedTokenResponse::Unreadable)),
        None => Err(TokenError::of(status, &ErrorReport::default(), config.error_rules())),
    }
}

/// A successful token response (RFC 6749 §5.1) with its members in order. Its `Debug` shows only the keys.
#[derive(Clone, PartialEq)]
pub struct TokenResponse(Map<String, Value>);

impl TokenResponse {
    /// Checks a token response that a connector's `getTokenData` returned, as if it had come with a 200 (RFC 6749 §5.1). The
    /// configuration's `tokenResponsePath`, `tokenResponseNames` and `defaultExpiresIn` are applied.
    ///
    /// # Errors
    ///
    /// The same as for [`parse_token_response`].
    pub fn from_map(config: &OAuthConfig, map: Map<String, Value>) -> Result<Self, TokenError> {
        Self::check(config, 200, map)
    }

    fn check(config: &OAuthConfig, status: u16, mut map: Map<String, Value>) -> Result<Self, TokenError> {
        let rules = config.error_rules();
        check_success(status, &map, rules)?;
        if let Some(nested) = config.token_response_path.as_deref().and_then(|path| nested(&map, path)).cloned() {
            map.extend(nested);
            check_success(status, &map, rules)?;
        }
        for standard in RESPONSE_NAMES {
            let name = config.token_response_names.of(standard).filter(|name| *name != standard);
            if let Some(value) = name.and_then(|name| map.get(name)).cloned() {
                map.insert(standard.to_owned(), value);
            }
        }
        add_default_lifetime(&mut map, config.default_expires_in);
        let access_token = map.get("access_token").and_then(Value::as_str).unwrap_or_default();
        if access_token.is_empty() {
            let report = ErrorReport::read(status, &map);
            return Err(match report.code() {
                Some(_) => TokenError::of(status, &report, rules),
                None => TokenError::Malformed(MalformedTokenResponse::NoAccessToken),
            });
        }
        if access_token.contains(char::REPLACEMENT_CHARACTER) {
            return Err(TokenError::Malformed(MalformedTokenResponse::Garbled));
        }
        Ok(Self(map))
    }

    /// Checks that there is a usable `refresh_token`.
    ///
    /// # Errors
    ///
    /// [`MalformedTokenResponse::NoRefreshToken`].
    pub fn require_refresh_token(&self) -> Result<(), TokenError> {
        let is_usable = self.0.get("refresh_token").is_some_and(is_usable_token);
        if is_usable { Ok(()) } else { Err(TokenError::Malformed(MalformedTokenResponse::NoRefreshToken)) }
    }

    /// Returns the members in the provider's order.
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenResponse")?;
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Returns the object at a path of dot-separated names.
fn nested<'a>(map: &'a Map<String, Value>, path: &str) -> Option<&'a Map<String, Value>> {
    let path = path.strip_prefix("$.").unwrap_or(path);
    path.split('.').try_fold(map, |map, name| map.get(name)?.as_object())
}

/// Checks that the status is 2xx and the body reports no failure.
pub(super) fn check_success(status: u16, map: &Map<String, Value>, rules: ErrorRules<'_>) -> Result<(), TokenError> {
    check_credentials(status, map, rules).map_err(|report| TokenError::of(status, &report, rules))
}

#[cfg(test)]
mod tests;
