//! What comes back from `tokenUri`.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use url::form_urlencoded;

use super::error_code::clean_description;
use super::{Malformed, OAuthConfig, OAuthErrorCode, TokenError};
use crate::connection::expiry_of;

/// Reads an answer of the token endpoint (RFC 6749 §5.1 and §5.2).
///
/// JSON objects and forms are both read, whatever the content type says, except that HTML is never taken for a form.
/// A success has a 2xx status, no `error`, no `ok: false`, and an `access_token`: GitHub and Slack report their
/// failures with a 200. Of keys that are given twice the last one counts. `tokenResponsePath` and `defaultExpiresIn` of
/// the configuration are applied.
///
/// # Errors
///
/// A [`TokenError`]; see there for what each kind means.
pub fn parse_token_response(
    config: &OAuthConfig,
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<TokenResponse, TokenError> {
    match read_object(content_type, body).filter(|map| is_answer(body, map)) {
        Some(map) => TokenResponse::check(config, status, map),
        None if is_success(status) => Err(TokenError::Malformed(Malformed::Unreadable)),
        None => Err(TokenError::classify(status, None, None)),
    }
}

/// A successful token response (RFC 6749 §5.1), every member in its order. Its `Debug` prints the keys only.
#[derive(Clone, PartialEq)]
pub struct TokenResponse(Map<String, Value>);

impl TokenResponse {
    /// Checks a token response that a connector's `getTokenData` returned, as if a 200 had carried it (RFC 6749 §5.1).
    /// `tokenResponsePath` and `defaultExpiresIn` of the configuration are applied.
    ///
    /// # Errors
    ///
    /// As [`parse_token_response`].
    pub fn from_map(config: &OAuthConfig, map: Map<String, Value>) -> Result<Self, TokenError> {
        Self::check(config, 200, map)
    }

    fn check(config: &OAuthConfig, status: u16, mut map: Map<String, Value>) -> Result<Self, TokenError> {
        let check = |map: &Map<String, Value>| {
            check_success(status, map).map_err(|error| error.with_permanent(&config.permanent_errors))
        };
        check(&map)?;
        if let Some(nested) = config.token_response_path.as_deref().and_then(|path| nested(&map, path)).cloned() {
            map.extend(nested);
            check(&map)?;
        }
        if let Some(life) = config.default_expires_in
            && expiry_of(&map, OffsetDateTime::UNIX_EPOCH, None).is_none()
        {
            map.insert("expires_in".into(), life.as_secs().into());
        }
        let response = Self(map);
        if response.access_token().is_empty() {
            return Err(TokenError::Malformed(Malformed::NoAccessToken));
        }
        Ok(response)
    }

    /// `access_token`, never empty.
    pub fn access_token(&self) -> &str {
        self.text("access_token").unwrap_or_default()
    }

    /// `refresh_token`; on a refresh `None` means that the old one stays valid (RFC 6749 §6).
    pub fn refresh_token(&self) -> Option<&str> {
        self.text("refresh_token").filter(|token| !token.is_empty())
    }

    /// `refresh_token`, where the connector has not set `noRefreshToken`.
    ///
    /// # Errors
    ///
    /// [`Malformed::NoRefreshToken`].
    pub fn require_refresh_token(&self) -> Result<&str, TokenError> {
        self.refresh_token().ok_or(TokenError::Malformed(Malformed::NoRefreshToken))
    }

    /// `token_type`; one that is not Bearer, or missing, is no error here.
    pub fn token_type(&self) -> Option<&str> {
        self.text("token_type")
    }

    /// Whether `token_type` is Bearer in any case (RFC 6749 §7.1), or missing, which providers mean the same by.
    pub fn is_bearer(&self) -> bool {
        self.token_type().is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"))
    }

    /// `scope` as granted; `None` means the requested scope (RFC 6749 §5.1).
    pub fn scope(&self) -> Option<&str> {
        self.text("scope")
    }

    /// `expires_in` (RFC 6749 §5.1), in whole seconds.
    ///
    /// A number or a text with one in it. Negative is zero, more than ten years is ten years, rubbish is `None`.
    pub fn expires_in(&self) -> Option<Duration> {
        const TEN_YEARS_SECS: f64 = 315_360_000.0;
        let seconds = match self.0.get("expires_in")? {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => parse_number(text.trim())?,
            _ => return None,
        };
        Some(Duration::from_secs(seconds.clamp(0.0, TEN_YEARS_SECS) as u64))
    }

    /// Every member, in the provider's order.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Every member, in the provider's order.
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenResponse")?;
        f.debug_list().entries(self.0.keys()).finish()
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Reads a JSON object or a form; of something else a form may have been made, too.
pub(crate) fn read_object(content_type: Option<&str>, body: &[u8]) -> Option<Map<String, Value>> {
    let body = trimmed(body);
    if body.first() == Some(&b'{') {
        return serde_json::from_slice(body).ok();
    }
    let is_html = content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    if is_html || body.first() == Some(&b'<') {
        return None;
    }
    Some(form_urlencoded::parse(body).map(|(key, value)| (key.into_owned(), value.into_owned().into())).collect())
}

fn trimmed(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii()
}

/// Whether it was JSON, or a form that says what token responses say.
fn is_answer(body: &[u8], map: &Map<String, Value>) -> bool {
    trimmed(body).first() == Some(&b'{') || map.contains_key("access_token") || map.contains_key("error")
}

/// The object that names joined by dots lead to.
fn nested<'a>(map: &'a Map<String, Value>, path: &str) -> Option<&'a Map<String, Value>> {
    let path = path.strip_prefix("$.").unwrap_or(path);
    path.split('.').try_fold(map, |map, name| map.get(name)?.as_object())
}

/// Checks that the status is 2xx, and that neither `error` nor `ok: false` reports a failure.
pub(super) fn check_success(status: u16, map: &Map<String, Value>) -> Result<(), TokenError> {
    let error = map.get("error").filter(|error| is_given(error));
    if error.is_some() || map.get("ok") == Some(&Value::Bool(false)) || !is_success(status) {
        return Err(failure(status, map, error));
    }
    Ok(())
}

/// `"error": null`, `false` and `""` report no error.
fn is_given(error: &Value) -> bool {
    !matches!(error, Value::Null | Value::Bool(false)) && error.as_str() != Some("")
}

/// The code is a text, or a text in an object, as in `{"error": {"code": "invalid_grant", "message": "…"}}`.
fn failure(status: u16, map: &Map<String, Value>, error: Option<&Value>) -> TokenError {
    let inner = |keys: [&str; 2]| keys.into_iter().find_map(|key| error?.get(key)?.as_str());
    let code = error.map(|error| {
        error.as_str().or_else(|| inner(["code", "type"])).map_or_else(OAuthErrorCode::unknown, OAuthErrorCode::new)
    });
    let description =
        map.get("error_description").and_then(Value::as_str).or_else(|| inner(["message", "description"]));
    TokenError::classify(status, code, description.and_then(|text| clean_description(text, 200)))
}

/// A decimal number, but none of `NaN` and `infinity`, which Rust would read too.
fn parse_number(text: &str) -> Option<f64> {
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    text.parse().ok().filter(|_| numeric)
}

#[cfg(test)]
mod tests;
