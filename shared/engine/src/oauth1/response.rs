//! The responses of `requestTokenUri` and `tokenUri`.

use serde_json::{Map, Value};

use super::{OAuth1Config, OAuth1Token};
use crate::oauth2::{MalformedTokenResponse, TokenError};
use crate::response::{ErrorCode, clean_description, is_success, object};

/// Codes of the widespread `oauth_problem` extension that end this flow or this token for good.
const PERMANENT: [&str; 7] = [
    "token_expired",
    "token_rejected",
    "token_revoked",
    "token_used",
    "verifier_invalid",
    "permission_denied",
    "user_refused",
];

/// Codes of the `oauth_problem` extension that blame the integration.
const CONFIGURATION: [&str; 9] = [
    "consumer_key_unknown",
    "consumer_key_rejected",
    "consumer_key_refused",
    "signature_invalid",
    "signature_method_rejected",
    "version_rejected",
    "parameter_absent",
    "parameter_rejected",
    "callback_rejected",
];

/// Parses the response to [`build_request_token`](super::build_request_token) (RFC 5849 §2.1): a form or, from some
/// providers, a JSON object.
///
/// # Errors
///
/// A [`TokenError`]. No token is involved yet, so a 401 or a 403 means that the integration is misconfigured. A
/// response without `oauth_callback_confirmed=true` is [`MalformedTokenResponse::Unconfirmed`], unless the connector allows it.
pub fn parse_request_token(config: &OAuth1Config, status: u16, body: &[u8]) -> Result<OAuth1Token, TokenError> {
    let map = read(status, body).map_err(|error| match error {
        TokenError::Transient { status: 401 | 403, code: None, description, .. } => {
            let code = ErrorCode::new(&format!("HTTP {status}"));
            TokenError::Configuration { code, description, retry_after: None }
        }
        error => error,
    })?;
    let (token, map) = token(map)?;
    let is_confirmed = match map.get("oauth_callback_confirmed") {
        Some(Value::Bool(confirmed)) => *confirmed,
        confirmed => confirmed.and_then(Value::as_str) == Some("true"),
    };
    if !is_confirmed && !config.allow_unconfirmed_callback {
        return Err(TokenError::Malformed(MalformedTokenResponse::Unconfirmed));
    }
    Ok(token)
}

/// Parses the response to [`build_access_token`](super::build_access_token) (RFC 5849 §2.3): the new connection's
/// credentials, with `oauth_token`, `oauth_token_secret` and all other members.
///
/// # Errors
///
/// A [`TokenError`].
pub fn parse_access_token(status: u16, body: &[u8]) -> Result<Map<String, Value>, TokenError> {
    let (_, map) = token(read(status, body)?)?;
    Ok(map)
}

fn token(map: Map<String, Value>) -> Result<(OAuth1Token, Map<String, Value>), TokenError> {
    let value = Value::Object(map);
    match (OAuth1Token::of(&value), value) {
        (Some(token), Value::Object(map)) => Ok((token, map)),
        _ => Err(TokenError::Malformed(MalformedTokenResponse::NoToken)),
    }
}

fn read(status: u16, body: &[u8]) -> Result<Map<String, Value>, TokenError> {
    let map = object(body);
    let text = |key: &str| map.as_ref()?.get(key)?.as_str().filter(|text| !text.is_empty());
    let problem = text("oauth_problem").map(ErrorCode::new);
    if problem.is_some() || !is_success(status) {
        let advice = text("oauth_problem_advice").and_then(|advice| clean_description(advice, 200));
        return Err(TokenError::classify_by(status, problem, advice, &PERMANENT, &CONFIGURATION));
    }
    map.ok_or(TokenError::Malformed(MalformedTokenResponse::Unreadable))
}

#[cfg(test)]
mod tests {
    use larder::secret::Secret;
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::config::tests::config;
    use super::*;

    fn request_token(status: u16, body: &str) -> Result<OAuth1Token, TokenError> {
        parse_request_token(&config(json!({})), status, body.as_bytes())
    }

    #[test]
    fn rfc_5849_section_1_2_responses_are_parsed() {
        let body = "oauth_token=hh5s93j4hdidpola&oauth_token_secret=hdhd0244k9j7ao03&oauth_callback_confirmed=true";
        let token = request_token(200, body).unwrap();
        assert_eq!(
            token,
            OAuth1Token { token: Secret::new("hh5s93j4hdidpola"), secret: Secret::new("hdhd0244k9j7ao03") }
        );
        let body = b"oauth_token=nnch734d00sl2jdk&oauth_token_secret=pfkkdhi9sl3r4s00&user_id=7";
        assert_eq!(
            Value::Object(parse_access_token(200, body).unwrap()),
            json!({ "oauth_token": "nnch734d00sl2jdk", "oauth_token_secret": "pfkkdhi9sl3r4s00", "user_id": "7" })
        );
    }

    #[test]
    fn a_callback_must_be_confirmed_unless_the_connector_waives_it() {
        let lax = config(json!({ "allowUnconfirmedCallback": true }));
        for end in ["", "&oauth_callback_confirmed=false", "&oauth_callback_confirmed="] {
            let body = format!("oauth_token=a&oauth_token_secret=b{end}");
            assert_eq!(request_token(200, &body), Err(TokenError::Malformed(MalformedTokenResponse::Unconfirmed)));
            assert!(parse_request_token(&lax, 200, body.as_bytes()).is_ok());
        }
        let json = r#"{"oauth_token":"a","oauth_token_secret":"b","oauth_callback_confirmed":true}"#;
        assert!(request_token(200, json).is_ok());
    }

    #[test]
    fn a_response_without_a_token_is_malformed() {
        for body in ["oauth_token=a", "oauth_token=&oauth_token_secret=b", "{}", "x"] {
            assert_eq!(
                parse_access_token(200, body.as_bytes()),
                Err(TokenError::Malformed(MalformedTokenResponse::NoToken))
            );
        }
        assert_eq!(parse_access_token(200, b"<html>"), Err(TokenError::Malformed(MalformedTokenResponse::Unreadable)));
    }

    #[test]
    fn an_error_is_permanent_configuration_or_transient() {
        let refused = |status: u16, body: &str| parse_access_token(status, body.as_bytes()).unwrap_err();
        assert!(refused(401, "oauth_problem=token_rejected").is_permanent());
        assert_eq!(
            refused(401, "oauth_problem=signature_invalid&oauth_problem_advice=Check+it.").to_string(),
            "the provider rejected the request: signature_invalid (Check it.); check the integration's parameters"
        );
        for (status, body) in [(401, "oauth_problem=timestamp_refused"), (401, "")] {
            assert!(matches!(refused(status, body), TokenError::Transient { .. }), "{status} {body}");
        }
        for status in [429, 500, 503] {
            for body in ["oauth_problem=token_rejected", "oauth_problem=consumer_key_unknown"] {
                assert!(matches!(refused(status, body), TokenError::Transient { .. }), "{status} {body}");
            }
        }
        assert!(matches!(refused(200, "oauth_problem=consumer_key_unknown"), TokenError::Configuration { .. }));
        assert_eq!(
            request_token(401, "Failed to validate oauth signature").unwrap_err().to_string(),
            "the provider rejected the request: HTTP 401; check the integration's parameters"
        );
        assert!(matches!(request_token(500, ""), Err(TokenError::Transient { status: 500, .. })));
    }

    proptest! {
        #[test]
        fn no_body_causes_a_panic_or_leaks_a_token(
            status in proptest::sample::select(vec![200, 302, 401, 500]),
            start in proptest::sample::select(vec![
                "", "{", "oauth_problem=", "oauth_token=MARKER-7Fjfp0ZBr1KtDRbn&oauth_token_secret=MARKER&",
            ]),
            body in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let body = [start.as_bytes(), &body].concat();
            let token = parse_request_token(&config(json!({})), status, &body);
            let text = format!("{token:?}");
            prop_assert!(!text.contains("MARKER"));
            if let Err(error) = parse_access_token(status, &body) {
                let text = format!("{error:?} {error}");
                prop_assert!(!text.contains("MARKER"));
            }
        }
    }
}
