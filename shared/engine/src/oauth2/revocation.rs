//! Requests to `revocationUri`.

use serde_json::Map;

use super::config::TokenRequestFormat;
use super::parameters::Parameters;
use super::token_request::{ClientAuthentication, TokenRequest};
use super::token_response::check_success;
use super::{OAuthConfig, TokenError};
use crate::response::{ErrorRules, object};

/// Builds the request that revokes a token (RFC 7009 §2.1), or returns `None` if the connector has no `revocationUri`.
///
/// The body is a form with `token`, `token_type_hint` if there is a `hint` (`refresh_token` or `access_token`), and the
/// client's credentials, which have the same place and names as in a refresh. `tokenHeaders` override the headers. Parse the
/// response with [`parse_revocation`].
pub fn build_revocation(config: &OAuthConfig, token: &str, hint: Option<&str>) -> Option<TokenRequest> {
    let uri = config.revocation_uri.as_ref()?;
    let client = ClientAuthentication::of_refresh(config);
    let mut parameters = Parameters::default();
    parameters.add(Some("token"), token);
    if let Some(hint) = hint {
        parameters.add(Some("token_type_hint"), hint);
    }
    client.add_to(&mut parameters);
    client.build(uri, TokenRequestFormat::Form, &parameters, &[token], &Map::new()).ok()
}

/// Parses the response to a revocation (RFC 7009 §2.2), which succeeds with any 2xx that reports no error. Providers also
/// report success for tokens that they do not know.
///
/// # Errors
///
/// The same as for a token response; see [`TokenError`].
pub fn parse_revocation(status: u16, body: &[u8]) -> Result<(), TokenError> {
    check_success(status, &object(body).unwrap_or_default(), ErrorRules::default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn revocation(changes: Value, hint: Option<&str>) -> Option<String> {
        let config = crate::oauth2::testing::config(changes);
        build_revocation(&config, "45ghiukldjahdnhzdauz", hint).map(|it| crate::oauth2::testing::whole(&it.request))
    }

    const HEAD: &str = "POST https://server.example.com/revoke\ncontent-type: application/x-www-form-urlencoded\n\
        accept: application/json\n";
    const URI: &str = "https://server.example.com/revoke";

    #[test]
    fn the_request_matches_rfc_7009() {
        let changes = json!({ "revocationUri": URI, "clientAuthLocation": "headers" });
        let basic = "authorization: Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3\n";
        let body = "token=45ghiukldjahdnhzdauz&token_type_hint=refresh_token";
        assert_eq!(revocation(changes, Some("refresh_token")).unwrap(), format!("{HEAD}{basic}\n{body}"));
    }

    #[test]
    fn the_client_authenticates_as_in_a_refresh() {
        let token = "token=45ghiukldjahdnhzdauz";
        assert_eq!(
            revocation(json!({ "revocationUri": URI }), None).unwrap(),
            format!("{HEAD}\n{token}&client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw")
        );
        let changes = json!({
            "revocationUri": URI, "refreshClientAuthLocation": "none", "tokenRequestFormat": "json",
            "refreshParameterNames": { "client_id": "client_key" }, "tokenHeaders": { "X-Version": 2 },
        });
        assert_eq!(revocation(changes, None).unwrap(), format!("{HEAD}x-version: 2\n\n{token}&client_key=s6BhdRkqt3"));
    }

    #[test]
    fn without_a_revocation_uri_nothing_is_sent() {
        assert_eq!(revocation(json!({}), None), None);
    }

    #[test]
    fn a_2xx_without_an_error_is_a_success() {
        for body in ["", "{}", "ok", r#"{"ok":true}"#, "<html></html>"] {
            assert_eq!(parse_revocation(200, body.as_bytes()), Ok(()), "{body}");
        }
        assert!(parse_revocation(200, br#"{"ok":false,"error":"invalid_auth"}"#).is_err());
        let error = parse_revocation(400, br#"{"error":"unsupported_token_type"}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the provider rejected the request: unsupported_token_type; check the integration's parameters"
        );
        assert!(matches!(parse_revocation(503, b""), Err(TokenError::Transient { status: 503, .. })));
    }
}
