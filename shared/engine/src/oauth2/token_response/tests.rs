//! Tests for successful, failed and odd token responses.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::oauth2::testing::config;
use crate::response::ErrorCode;

fn parse(status: u16, body: &str) -> Result<TokenResponse, TokenError> {
    parse_token_response(&config(json!({})), status, body.as_bytes())
}

#[test]
fn the_response_in_rfc_6749_section_5_1_is_parsed() {
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
    assert_eq!(response.0["access_token"], "2YotnFZFEjr1zCsicMWpAA");
    assert_eq!(response.0["refresh_token"], "tGzv3JOkF0XG5Qx2TlKWIA");
    assert_eq!(
        format!("{response:?}"),
        r#"TokenResponse["access_token", "token_type", "expires_in", "refresh_token", "example_parameter"]"#
    );
    assert_eq!(response.into_map()["example_parameter"], "example_value");
}

#[test]
fn the_error_in_rfc_6749_section_5_2_is_parsed() {
    let error = parse(400, r#"{"error":"invalid_request"}"#).unwrap_err();
    let code = ErrorCode::new("invalid_request");
    assert_eq!(error, TokenError::Configuration { code, description: None, retry_after: None });
}

#[test]
fn forms_are_parsed_like_json() {
    let body = "access_token=gho_16C7e42F&scope=repo%2Cgist&token_type=bearer&expires_in=28800";
    let response = parse(200, body).unwrap();
    assert_eq!(response.0["access_token"], "gho_16C7e42F");
    assert_eq!(response.into_map()["expires_in"], "28800");
    let error = parse(200, "error=bad_verification_code&error_description=The+code+is+bad.").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the provider permanently rejected the grant: bad_verification_code (The code is bad.)"
    );
}

#[test]
fn byte_order_marks_and_stray_bytes_are_tolerated() {
    let parse = |body: &[u8]| parse_token_response(&config(json!({})), 201, body);
    assert_eq!(parse(b"\xef\xbb\xbf \n{\"access_token\": \"a\"}\n").unwrap().0["access_token"], "a");
    assert_eq!(parse(b"\xef\xbb\xbfaccess_token=a").unwrap().0["access_token"], "a");
    assert_eq!(parse(b"{\"access_token\": \"a\", \"name\": \"Jos\xe9\"}").unwrap().0["access_token"], "a");
    assert_eq!(parse(b"{\"access_token\": \"a\xe9\"}"), Err(TokenError::Malformed(MalformedTokenResponse::Garbled)));
    let response = parse(b"{\"access_token\": \"a\", \"refresh_token\": \"\xe9\"}").unwrap();
    assert_eq!(response.require_refresh_token(), Err(TokenError::Malformed(MalformedTokenResponse::NoRefreshToken)));
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
        (r#"{"status":"BAD_REFRESH_TOKEN","message":"no"}"#, true),
        (r#"{"errors":[{"errorType":"invalid_grant"}],"success":false}"#, true),
        (r#"{"code":42,"msg":"no"}"#, false),
    ] {
        assert_eq!(parse(200, body).unwrap_err().is_permanent(), permanent, "{body}");
    }
    let fine = [
        r#"{"ok":true,"error":null,"access_token":"x"}"#,
        r#"{"error":"","access_token":"x"}"#,
        r#"{"status":"invalid_code","code":42,"access_token":"x"}"#,
    ];
    for body in fine {
        assert!(parse(200, body).is_ok(), "{body}");
    }
}

#[test]
fn html_pages_and_empty_bodies_are_transient_failures() {
    let page = b"<html><a href='/login?error=invalid_grant&error=invalid_grant'>Sign in</a></html>";
    let words = b"go to /login?error=invalid_grant&error=invalid_grant";
    for status in [302, 400, 404, 429, 500, 503] {
        for body in [&page[..], words, b"", b"{"] {
            let error = parse_token_response(&config(json!({})), status, body).unwrap_err();
            assert_eq!(error, TokenError::Transient { status, code: None, description: None, retry_after: None });
        }
    }
    let error = parse(500, r#"{"error":"invalid_grant"}"#).unwrap_err();
    assert_eq!(error.to_string(), "the provider returned no token (HTTP 500, invalid_grant)");
}

#[test]
fn a_success_without_an_access_token_is_malformed() {
    for body in
        ["{}", r#"{"access_token":""}"#, r#"{"access_token":null}"#, r#"{"access_token":["a"]}"#, "access_token="]
    {
        assert_eq!(parse(200, body), Err(TokenError::Malformed(MalformedTokenResponse::NoAccessToken)), "{body}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
    for body in ["", "null", "[]", "\"a\"", "{", "hello", "<html>", &deep] {
        assert_eq!(parse(200, body), Err(TokenError::Malformed(MalformedTokenResponse::Unreadable)), "{body}");
    }
}

#[test]
fn a_missing_refresh_token_is_an_error_if_one_is_required() {
    let response = parse(200, r#"{"access_token":"a","refresh_token":""}"#).unwrap();
    assert_eq!(response.require_refresh_token(), Err(TokenError::Malformed(MalformedTokenResponse::NoRefreshToken)));
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    assert_eq!(parse(200, r#"{"access_token":"a","access_token":"b"}"#).unwrap().0["access_token"], "b");
}

#[test]
fn token_response_path_selects_the_token() {
    let at = |path: &str, body: &str| {
        let config = config(json!({ "tokenResponsePath": path }));
        parse_token_response(&config, 200, body.as_bytes()).map(|it| Value::Object(it.into_map()).to_string())
    };
    let slack = r#"{"ok":true,"access_token":"xoxb","team":{"id":"T"},"authed_user":{"id":"U","access_token":"xoxp"}}"#;
    let merged = r#"{"ok":true,"access_token":"xoxp","team":{"id":"T"},"authed_user":{"id":"U","access_token":"xoxp"},"id":"U"}"#;
    assert_eq!(at("authed_user", slack).unwrap(), merged);
    assert_eq!(at("$.authed_user", slack).unwrap(), merged);
    let deep = r#"{"data":{"token":{"access_token":"a"}}}"#;
    assert_eq!(at("data.token", deep).unwrap(), r#"{"data":{"token":{"access_token":"a"}},"access_token":"a"}"#);
    for path in ["nowhere", "team.id", "authed_user.access_token.x", ".", ""] {
        assert_eq!(at(path, slack).unwrap(), slack, "{path}");
    }
    assert_eq!(at("data", deep), Err(TokenError::Malformed(MalformedTokenResponse::NoAccessToken)));
    let outer = r#"{"ok":false,"error":"invalid_code","authed_user":{"ok":true,"error":null,"access_token":"a"}}"#;
    assert!(at("authed_user", outer).unwrap_err().is_permanent());
    let inner = r#"{"ok":true,"data":{"error":"invalid_grant","access_token":"a"}}"#;
    assert!(at("data", inner).unwrap_err().is_permanent());
}

#[test]
fn token_response_names_find_the_tokens() {
    let names = json!({ "access_token": "accessToken", "refresh_token": "refreshToken", "expires_in": "expireIn" });
    let config = config(json!({ "tokenResponseNames": names }));
    let response = parse_token_response(&config, 200, br#"{"accessToken":"a","refreshToken":"r","expireIn":7200}"#);
    let members = response.unwrap().into_map();
    assert_eq!(members["access_token"], "a");
    assert_eq!(members["refresh_token"], "r");
    assert_eq!(members["expires_in"], 7200);
    let standard = parse_token_response(&config, 200, br#"{"access_token":"a"}"#).unwrap();
    assert_eq!(Value::Object(standard.into_map()), json!({ "access_token": "a" }));
}

#[test]
fn tokens_under_other_names_in_a_nested_object_are_found() {
    let config =
        config(json!({ "tokenResponsePath": "access_token", "tokenResponseNames": { "access_token": "token" } }));
    let yammer = br#"{"user":{"id":1},"access_token":{"user_id":1,"token":"a"}}"#;
    assert_eq!(parse_token_response(&config, 200, yammer).unwrap().into_map()["access_token"], "a");
    let without = parse_token_response(&config, 200, br#"{"access_token":{"user_id":1}}"#);
    assert_eq!(without, Err(TokenError::Malformed(MalformedTokenResponse::NoAccessToken)));
}

#[test]
fn default_expires_in_replaces_a_missing_expiry() {
    let config = config(json!({ "defaultExpiresIn": 7200 }));
    let expires_in = |body: Value| {
        let response = parse_token_response(&config, 200, body.to_string().as_bytes()).unwrap();
        response.into_map().get("expires_in").cloned()
    };
    assert_eq!(expires_in(json!({ "access_token": "a" })), Some(json!(7200)));
    assert_eq!(expires_in(json!({ "access_token": "a", "expires_in": null })), Some(json!(7200)));
    assert_eq!(expires_in(json!({ "access_token": "a", "expires_in": 60 })), Some(json!(60)));
    assert_eq!(expires_in(json!({ "access_token": "a", "expires_at": "2030-01-01T00:00:00Z" })), None);
    let hour = "e30.eyJleHAiOjE3MDAwMDM2MDB9.c2ln";
    assert_eq!(expires_in(json!({ "access_token": hour })), None, "the token itself states its expiry");
    let mapped = TokenResponse::from_map(&config, json!({ "access_token": "a" }).as_object().unwrap().clone());
    assert_eq!(mapped.unwrap().into_map()["expires_in"], 7200);
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
    fn no_body_makes_the_parser_panic(
        status in any::<u16>(),
        body in prop::collection::vec(any::<u8>(), 0..200),
        start in proptest::sample::select(vec!["", "{", "{\"error\":", "access_token=", "error=%", "\u{feff}"]),
    ) {
        let body = [start.as_bytes(), &body].concat();
        if let Err(error) = parse_token_response(&config(json!({})), status, &body) {
            let text = format!("{error:?} {error}");
            prop_assert!(text.chars().count() < 1200);
        }
    }

    #[test]
    fn errors_and_debug_never_repeat_values(
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
        assert_silent(&parse_token_response(&config(json!({})), status, body.as_bytes()));
        assert_silent(&parse_token_response(&config(json!({})), status, &body.as_bytes()[..body.len() - 1]));
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair(key, &text).append_pair(other, MARKER).finish();
        assert_silent(&parse_token_response(&config(json!({})), status, form.as_bytes()));
    }
}
