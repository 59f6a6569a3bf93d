//! What comes back from `tokenUri`.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::error_code::clean_description;
use super::{Malformed, OAuthErrorCode, TokenError};

/// Reads an answer of the token endpoint (RFC 6749 §5.1 and §5.2).
///
/// JSON objects and forms are both read, whatever the content type says, except that HTML is never taken for a form.
/// A success has a 2xx status, no `error`, no `ok: false`, and an `access_token`: GitHub and Slack report their
/// failures with a 200. Of keys that are given twice the last one counts.
///
/// # Errors
///
/// A [`TokenError`]; see there for what each kind means.
pub fn parse_token_response(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<TokenResponse, TokenError> {
    match read(content_type, body) {
        Some(map) => TokenResponse::check(status, map),
        None if is_success(status) => Err(TokenError::Malformed(Malformed::Unreadable)),
        None => Err(TokenError::classify(status, None, None)),
    }
}

/// A successful token response (RFC 6749 §5.1), every member in its order. Its `Debug` prints the keys only.
#[derive(Clone, PartialEq)]
pub struct TokenResponse(Map<String, Value>);

impl TokenResponse {
    /// Checks a token response that a connector's `getTokenData` returned, as if a 200 had carried it (RFC 6749 §5.1).
    ///
    /// # Errors
    ///
    /// As [`parse_token_response`].
    pub fn from_map(map: Map<String, Value>) -> Result<Self, TokenError> {
        Self::check(200, map)
    }

    fn check(status: u16, map: Map<String, Value>) -> Result<Self, TokenError> {
        let error = map.get("error").filter(|error| is_given(error));
        if error.is_some() || map.get("ok") == Some(&Value::Bool(false)) || !is_success(status) {
            return Err(failure(status, &map, error));
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

fn read(content_type: Option<&str>, body: &[u8]) -> Option<Map<String, Value>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    if body.first() == Some(&b'{') {
        return serde_json::from_slice(body).ok();
    }
    let is_html = content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    if is_html || body.first() == Some(&b'<') {
        return None;
    }
    let form: Map<_, _> =
        form_urlencoded::parse(body).map(|(key, value)| (key.into_owned(), Value::from(value.into_owned()))).collect();
    Some(form).filter(|form| form.contains_key("access_token") || form.contains_key("error"))
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
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const JSON: Option<&str> = Some("application/json;charset=UTF-8");

    fn parse(status: u16, body: &str) -> Result<TokenResponse, TokenError> {
        parse_token_response(status, JSON, body.as_bytes())
    }

    fn expires_in(value: Value) -> Option<u64> {
        let map = json!({ "access_token": "a", "expires_in": value });
        parse(200, &map.to_string()).unwrap().expires_in().map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn the_example_of_rfc_6749_section_5_1_is_read() {
        let response = parse(
            200,
            r#"{
                "access_token":"2YotnFZFEjr1zCsicMWpAA",
                "token_type":"example",
                "expires_in":3600,
                "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA",
                "example_parameter":"example_value"
            }"#,
        )
        .unwrap();
        assert_eq!(response.access_token(), "2YotnFZFEjr1zCsicMWpAA");
        assert_eq!(response.refresh_token(), Some("tGzv3JOkF0XG5Qx2TlKWIA"));
        assert_eq!(response.token_type(), Some("example"));
        assert!(!response.is_bearer());
        assert_eq!(response.scope(), None);
        assert_eq!(response.expires_in(), Some(Duration::from_secs(3600)));
        assert_eq!(
            format!("{response:?}"),
            r#"TokenResponse["access_token", "token_type", "expires_in", "refresh_token", "example_parameter"]"#
        );
        assert_eq!(response.into_map()["example_parameter"], "example_value");
    }

    #[test]
    fn the_error_of_rfc_6749_section_5_2_is_read() {
        let error = parse(400, r#"{"error":"invalid_request"}"#).unwrap_err();
        assert_eq!(
            error,
            TokenError::Configuration { code: OAuthErrorCode::new("invalid_request"), description: None }
        );
    }

    #[test]
    fn a_form_is_read_whatever_its_content_type() {
        let body = b"access_token=gho_16C7e42F&scope=repo%2Cgist&token_type=bearer&expires_in=28800";
        for content_type in [None, JSON, Some("application/x-www-form-urlencoded"), Some("text/plain")] {
            let response = parse_token_response(200, content_type, body).unwrap();
            assert_eq!(response.access_token(), "gho_16C7e42F");
            assert_eq!(response.scope(), Some("repo,gist"));
            assert_eq!(response.expires_in(), Some(Duration::from_secs(28_800)));
            assert!(response.is_bearer());
        }
        let error = parse_token_response(200, None, b"error=bad_verification_code&error_description=The+code+is+bad.");
        assert_eq!(
            error.unwrap_err().to_string(),
            "the provider refused the grant for good: bad_verification_code (The code is bad.)"
        );
    }

    #[test]
    fn json_is_read_whatever_its_content_type() {
        for content_type in [None, Some("text/html"), Some("text/javascript"), Some("\u{0}")] {
            let body = b"\xef\xbb\xbf \n{\"access_token\": \"a\"}\n";
            assert_eq!(parse_token_response(201, content_type, body).unwrap().access_token(), "a");
        }
    }

    #[test]
    fn a_200_may_be_a_failure() {
        for (body, permanent) in [
            (r#"{"error":"bad_refresh_token","access_token":"x"}"#, true),
            (r#"{"ok":false,"error":"invalid_refresh_token"}"#, true),
            (r#"{"ok":false,"error":"ratelimited"}"#, false),
            (r#"{"ok":false,"access_token":"x"}"#, false),
            (r#"{"error":{"code":"invalid_grant","message":"no"}}"#, true),
            (r#"{"error":{"code":190,"type":"OAuthException"}}"#, false),
            (r#"{"error":true,"access_token":"x"}"#, false),
        ] {
            assert_eq!(parse(200, body).unwrap_err().is_permanent(), permanent, "{body}");
        }
        for body in [r#"{"ok":true,"error":null,"access_token":"x"}"#, r#"{"error":"","access_token":"x"}"#] {
            assert!(parse(200, body).is_ok(), "{body}");
        }
    }

    #[test]
    fn html_and_nothing_are_transient_failures() {
        let page = b"<html><a href='/login?error=invalid_grant&error=invalid_grant'>Sign in</a></html>";
        let bare = b"x&error=invalid_grant";
        for status in [302, 400, 404, 429, 500, 503] {
            for (content_type, body) in [(None, &page[..]), (Some("Text/HTML"), &bare[..]), (JSON, b""), (JSON, b"{")] {
                let error = parse_token_response(status, content_type, body).unwrap_err();
                assert_eq!(error, TokenError::Transient { status, code: None, description: None, retry_after: None });
            }
        }
        let error = parse(500, r#"{"error":"invalid_grant"}"#).unwrap_err();
        assert_eq!(error.to_string(), "the provider gave no token (HTTP 500, invalid_grant)");
    }

    #[test]
    fn a_success_without_an_access_token_is_malformed() {
        for body in
            ["{}", r#"{"access_token":""}"#, r#"{"access_token":null}"#, r#"{"access_token":["a"]}"#, "access_token="]
        {
            assert_eq!(parse(200, body), Err(TokenError::Malformed(Malformed::NoAccessToken)), "{body}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
        for body in ["", "null", "[]", "\"a\"", "{", "hello", "<html>", &deep] {
            assert_eq!(parse(200, body), Err(TokenError::Malformed(Malformed::Unreadable)), "{body}");
        }
    }

    #[test]
    fn a_missing_refresh_token_is_an_error_only_where_one_is_required() {
        let response = parse(200, r#"{"access_token":"a","refresh_token":""}"#).unwrap();
        assert_eq!(response.refresh_token(), None);
        assert_eq!(response.require_refresh_token(), Err(TokenError::Malformed(Malformed::NoRefreshToken)));
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        assert_eq!(parse(200, r#"{"access_token":"a","access_token":"b"}"#).unwrap().access_token(), "b");
    }

    #[test]
    fn a_lifetime_is_read_from_numbers_and_texts() {
        for (value, secs) in [
            (json!(3600), Some(3600)),
            (json!(3599.9), Some(3599)),
            (json!("3600"), Some(3600)),
            (json!(" 3600.0 "), Some(3600)),
            (json!(0), Some(0)),
            (json!(-5), Some(0)),
            (json!("-5"), Some(0)),
            (json!(u64::MAX), Some(315_360_000)),
            (json!(1e300), Some(315_360_000)),
            (json!("99999999999999999999999999"), Some(315_360_000)),
            (json!("1e999"), Some(315_360_000)),
            (json!("NaN"), None),
            (json!("inf"), None),
            (json!("an hour"), None),
            (json!(""), None),
            (json!(null), None),
            (json!([3600]), None),
        ] {
            assert_eq!(expires_in(value.clone()), secs, "{value}");
        }
    }

    const MARKER: &str = "MARKER-7Fjfp0ZBr1KtDRbnfVdmIw";

    fn assert_silent(result: &Result<TokenResponse, TokenError>) {
        let text = match result {
            Ok(response) => format!("{response:?}"),
            Err(error) => format!("{error:?} {error}"),
        };
        assert!(!text.contains("MARKER"), "{text}");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(
            status in any::<u16>(),
            content_type in prop::option::of("\\PC{0,20}"),
            body in prop::collection::vec(any::<u8>(), 0..200),
            start in proptest::sample::select(vec!["", "{", "{\"error\":", "access_token=", "error=%", "\u{feff}"]),
        ) {
            let body = [start.as_bytes(), &body].concat();
            if let Err(error) = parse_token_response(status, content_type.as_deref(), &body) {
                let text = format!("{error:?} {error}");
                prop_assert!(text.chars().count() < 1200);
            }
        }

        #[test]
        fn no_marker_in_a_value_comes_out(
            status in proptest::sample::select(vec![200, 302, 400, 401, 429, 500]),
            key in proptest::sample::select(vec![
                "access_token", "refresh_token", "error", "error_description", "ok", "scope", "expires_in", "x",
            ]),
            other in proptest::sample::select(vec!["access_token", "error", "error_description", "ok"]),
            before in "\\PC{0,5}",
            after in "\\PC{0,250}",
            nested in any::<bool>(),
        ) {
            let text = format!("{before}{MARKER}{after}");
            let inner = if nested { json!({ "code": text, "message": text }) } else { json!(text) };
            let body = json!({ key: inner, other: format!("code {MARKER}") }).to_string();
            assert_silent(&parse_token_response(status, JSON, body.as_bytes()));
            assert_silent(&parse_token_response(status, JSON, &body.as_bytes()[..body.len() - 1]));
            let form = form_urlencoded::Serializer::new(String::new())
                .append_pair(key, &text).append_pair(other, MARKER).finish();
            assert_silent(&parse_token_response(status, None, form.as_bytes()));
        }
    }
}
