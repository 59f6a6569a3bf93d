//! Tests for the configurations that are accepted and rejected.

use serde_json::json;

use super::*;

fn with(key: &str, value: Value) -> Result<OAuthConfig, ConfigError> {
    let mut config = json!({
        "clientId": "id",
        "clientSecret": "hunter2",
        "authorizeUri": "https://auth.example.com/oauth2/authorize",
        "tokenUri": "https://auth.example.com/oauth2/token",
    });
    config[key] = value;
    OAuthConfig::from_value(&config)
}

fn problem(key: &str, value: Value) -> String {
    with(key, value).expect_err("the value is invalid").to_string()
}

#[test]
fn the_specifications_example_is_parsed() {
    let config = with("scopes", json!(["read", "write"])).unwrap();
    assert_eq!(config.client_id, "id");
    assert_eq!(config.client_secret, Some(Secret::new("hunter2")));
    assert_eq!(config.authorize_uri.as_str(), "https://auth.example.com/oauth2/authorize");
    assert_eq!(config.token_uri.as_str(), "https://auth.example.com/oauth2/token");
    assert_eq!(config.scopes, ["read", "write"]);
    assert_eq!(config.client_auth_location, None);
    assert!(!config.no_refresh_token && !config.skip_pkce);
    assert!(config.extra.is_empty() && config.resource.is_empty());
    assert_eq!((config.issuer, config.redirect_uri), (None, None));
}

#[test]
fn the_other_keys_are_parsed() {
    let config = OAuthConfig::from_value(&json!({
        "clientId": 12345,
        "authorizeUri": "http://localhost/a",
        "tokenUri": "http://localhost/t",
        "scopes": "read  write",
        "clientAuthLocation": "both",
        "noRefreshToken": true,
        "skipPkce": true,
        "extra": { "prompt": "consent", "access_type": null },
        "resource": "https://api.example.com",
        "issuer": "https://auth.example.com",
        "redirectUri": "https://app.example.com/cb",
    }))
    .unwrap();
    assert_eq!(config.client_id, "12345");
    assert_eq!(config.client_secret, None);
    assert_eq!(config.scopes, ["read", "write"]);
    assert_eq!(config.client_auth_location, Some(ClientAuthLocation::Both));
    assert!(config.no_refresh_token && config.skip_pkce);
    assert_eq!(Value::Object(config.extra), json!({ "prompt": "consent", "access_type": null }));
    assert_eq!(config.resource, ["https://api.example.com"]);
    assert_eq!(config.issuer.as_deref(), Some("https://auth.example.com"));
    assert_eq!(config.redirect_uri.as_deref(), Some("https://app.example.com/cb"));
}

#[test]
fn all_problems_are_reported_at_once_by_key() {
    let error = OAuthConfig::from_value(&json!({ "clientSecret": ["hunter2"], "scopes": 3, "tokenUri": null }))
        .expect_err("every key is invalid");
    assert_eq!(
        error.to_string(),
        "getOAuthConfig returned no clientId; add it to auth/get-oauth-config.map.yml\n\
         getOAuthConfig returned an array for clientSecret; it must be a string\n\
         getOAuthConfig returned no authorizeUri; add it to auth/get-oauth-config.map.yml\n\
         getOAuthConfig returned no tokenUri; add it to auth/get-oauth-config.map.yml\n\
         getOAuthConfig returned a number for scopes; it must be an array of strings"
    );
    assert_eq!(error.problems().len(), 5);
}

#[test]
fn a_result_must_be_an_object() {
    let error = OAuthConfig::from_value(&json!("x")).expect_err("a string");
    assert_eq!(error.to_string(), "getOAuthConfig returned a string; it must return an object");
}

#[test]
fn endpoints_are_absolute_without_fragment_and_userinfo() {
    for uri in ["/authorize", "auth.example.com/a", "ftp://h/", "javascript:alert(1)", "https://", "https://a{b/"] {
        assert!(problem("tokenUri", json!(uri)).ends_with("must be an absolute http or https URL"), "{uri}");
    }
    assert!(problem("tokenUri", json!("https://h/a#f")).contains("without a fragment"));
    assert!(problem("refreshUri", json!("https://h/a#")).contains("without a fragment"));
    assert!(with("authorizeUri", json!("https://h/a#f")).is_ok());
    for uri in ["https://user:hunter2@h/a", "https://user@h/a", "https://:hunter2@h/a"] {
        let message = problem("tokenUri", json!(uri));
        assert_eq!(message, "getOAuthConfig's tokenUri must be a URL without a user name or password", "{uri}");
    }
}

#[test]
fn a_redirect_uri_is_a_url_or_a_plain_name() {
    for given in ["https://app.example/cb", "com.example.app:/cb", "Acme_Inc-AcmeInc-PRD-a1b2c3"] {
        assert_eq!(with("redirectUri", json!(given)).unwrap().redirect_uri.as_deref(), Some(given));
    }
    for wrong in ["https://app.example/cb#f", "//app.example/cb", "/cb", "app.example/cb", "two words"] {
        assert!(problem("redirectUri", json!(wrong)).contains("or a name issued by the provider"), "{wrong}");
    }
}

#[test]
fn invisible_characters_in_a_pasted_secret_are_reported() {
    let message = problem("clientSecret", json!("hunter\u{200b}2"));
    let expected = "getOAuthConfig's clientSecret contains an invisible character; correct the parameter it comes from";
    assert_eq!(message, expected);
    assert!(problem("clientId", json!("a\nb")).contains("clientId contains a line break"));
}

#[test]
fn the_deprecated_switches_choose_a_location() {
    let location = |key: &str, value: bool| with(key, json!(value)).unwrap().client_auth_location;
    assert_eq!(location("skipClientAuthInBody", true), Some(ClientAuthLocation::Headers));
    assert_eq!(location("skipClientAuthInHeader", true), Some(ClientAuthLocation::Body));
    assert_eq!(location("skipClientAuthInHeaders", true), Some(ClientAuthLocation::Body));
    assert_eq!(location("skipClientAuthInHeaders", false), None);
    let both = json!({
        "clientId": "id", "authorizeUri": "https://h/a", "tokenUri": "https://h/t",
        "skipClientAuthInHeader": true, "skipClientAuthInHeaders": true,
    });
    assert_eq!(OAuthConfig::from_value(&both).unwrap().client_auth_location, Some(ClientAuthLocation::Body));
    assert!(problem("clientAuthLocation", json!("header")).ends_with("must be headers, body, both or none"));
}

#[test]
fn debug_shows_neither_secrets_nor_queries() {
    let config = with("tokenUri", json!("https://h/t?client_secret=hunter2")).unwrap();
    assert_eq!(
        format!("{config:?}"),
        r#"OAuthConfig { client_id: "id", authorize_uri: "https://auth.example.com/oauth2/authorize", token_uri: "https://h/t", .. }"#
    );
}

#[test]
fn every_quirk_is_parsed() {
    let quirks = json!({
        "clientId": "id",
        "authorizeUri": "https://h/a",
        "tokenUri": "https://h/t",
        "scopeSeparator": ",",
        "clientAuthLocation": "none",
        "authorizeParameterNames": { "client_id": "client_key", "access_type": null },
        "codeParameter": "auth_code",
        "callbackFields": ["realmId", "shop"],
        "tokenRequestFormat": "json",
        "tokenParameterNames": { "code": "auth_code", "code_challenge_method": null },
        "tokenExtra": { "audience": "x" },
        "tokenHeaders": { "X-Version": 2, "accept": null },
        "tokenResponsePath": "authed_user",
        "tokenResponseNames": { "access_token": "token" },
        "defaultExpiresIn": 3600,
        "refreshUri": "https://h/r",
        "refreshClientAuthLocation": "headers",
        "refreshGrantType": "refresh",
        "refreshWithAccessToken": true,
        "refreshParameterNames": { "refresh_token": "token" },
        "refreshExtra": { "scope": null },
        "revocationUri": "https://h/x",
    });
    let config = OAuthConfig::from_value(&quirks).unwrap();
    assert_eq!(config.scope_separator, ",");
    assert_eq!(config.client_auth_location, Some(ClientAuthLocation::None));
    assert_eq!(config.authorize_parameter_names.of("client_id"), Some("client_key"));
    assert_eq!(config.authorize_parameter_names.of("access_type"), None);
    assert_eq!(config.authorize_parameter_names.of("scope"), Some("scope"));
    assert_eq!(config.code_parameter.as_deref(), Some("auth_code"));
    assert_eq!(config.callback_fields, ["realmId", "shop"]);
    assert_eq!(config.token_request_format, TokenRequestFormat::Json);
    assert_eq!(config.token_parameter_names.of("code"), Some("auth_code"));
    assert_eq!(config.token_parameter_names.of("refresh_token"), Some("refresh_token"));
    assert_eq!(config.token_extra["audience"], "x");
    assert_eq!(config.token_headers[0], (HeaderName::from_static("x-version"), Some(HeaderValue::from_static("2"))));
    assert_eq!(config.token_headers[1], (http::header::ACCEPT, None));
    assert_eq!(config.token_response_path.as_deref(), Some("authed_user"));
    assert_eq!(config.token_response_names.of("access_token"), Some("token"));
    assert_eq!(config.default_expires_in, Some(Duration::from_secs(3600)));
    assert_eq!(config.refresh_uri.unwrap().as_str(), "https://h/r");
    assert_eq!(config.refresh_client_auth_location, Some(ClientAuthLocation::Headers));
    assert_eq!(config.refresh_grant_type.as_deref(), Some("refresh"));
    assert!(config.refresh_with_access_token);
    assert_eq!(config.refresh_parameter_names.of("refresh_token"), Some("token"));
    assert_eq!(config.refresh_parameter_names.of("code_challenge_method"), None);
    assert_eq!(Value::Object(config.refresh_extra), json!({ "scope": null }));
    assert_eq!(config.revocation_uri.unwrap().as_str(), "https://h/x");
    // `KEYS` is made from the fields' docs, so this finds docs that name a different key than the one that is read.
    for key in quirks.as_object().unwrap().keys() {
        assert!(OAuthConfig::KEYS.iter().any(|(known, _)| known == key), "{key}");
    }
}

#[test]
fn error_codes_are_strings_or_whole_numbers() {
    let config = with("permanentErrors", json!(["token_revoked", " 17 ", 18])).unwrap();
    assert_eq!(config.permanent_errors, ["token_revoked", "17", "18"]);
    assert_eq!(config.error_rules().permanent, ["token_revoked", "17", "18"]);
    let config = with("transientErrors", json!("busy")).unwrap();
    assert_eq!(config.transient_errors, ["busy"]);
    assert_eq!(config.error_rules().transient, ["busy"]);
    let message = "getOAuthConfig's permanentErrors must be an array of error codes, as strings or whole numbers";
    for odd in [json!([1.5]), json!([""]), json!([null]), json!({"code": 1})] {
        assert_eq!(problem("permanentErrors", odd), message);
    }
}

#[test]
fn a_refresh_token_is_wanted_unless_the_connector_does_without() {
    assert!(with("scopes", json!([])).unwrap().wants_refresh_token());
    assert!(!with("noRefreshToken", json!(true)).unwrap().wants_refresh_token());
    assert!(!with("refreshWithAccessToken", json!(true)).unwrap().wants_refresh_token());
}

#[test]
fn a_quirk_of_the_wrong_type_is_reported() {
    for (key, value, expected) in [
        ("clientId", json!(1.5), "returned a number for clientId; it must be a string"),
        (
            "defaultExpiresIn",
            json!(0),
            "returned a number for defaultExpiresIn; it must be a whole number of seconds above 0",
        ),
        ("scopeSeparator", json!(["hunter2"]), "returned an array for scopeSeparator; it must be a string"),
        (
            "authorizeParameterNames",
            json!("hunter2"),
            "returned a string for authorizeParameterNames; it must be an object",
        ),
        (
            "authorizeParameterNames",
            json!({ "state": "s" }),
            "'s authorizeParameterNames cannot rename state; it can rename client_id, redirect_uri, response_type, scope, access_type",
        ),
        (
            "tokenParameterNames",
            json!({ "code": 3 }),
            "returned a number for tokenParameterNames.code; it must be a name, or null to omit it",
        ),
        (
            "tokenParameterNames",
            json!({ "code": "" }),
            "returned a string for tokenParameterNames.code; it must be a name, or null to omit it",
        ),
        ("tokenRequestFormat", json!("xml"), "'s tokenRequestFormat must be form, json or query"),
        ("tokenRequestFormat", json!(true), "'s tokenRequestFormat must be form, json or query"),
        (
            "tokenHeaders",
            json!({ "X-Key": ["hunter2"] }),
            "returned an array for tokenHeaders.X-Key; it must be a string, or null to remove it",
        ),
        ("tokenHeaders", json!({ "X-Key": "hunter\n2" }), "'s tokenHeaders.X-Key contains a line break"),
        ("tokenHeaders", json!({ "Content-Length": "3" }), "'s tokenHeaders cannot set content-length"),
        ("tokenExtra", json!({ "code": "hunter2" }), "'s tokenExtra cannot set code, which the flow sets"),
        (
            "refreshExtra",
            json!({ "refresh_token": null }),
            "'s refreshExtra cannot set refresh_token, which the flow sets",
        ),
        ("tokenResponsePath", json!({}), "returned an object for tokenResponsePath; it must be a string"),
        (
            "tokenResponseNames",
            json!({ "scope": "scopes" }),
            "'s tokenResponseNames cannot rename scope; it can rename access_token, refresh_token, expires_in",
        ),
        (
            "defaultExpiresIn",
            json!("3600"),
            "returned a string for defaultExpiresIn; it must be a whole number of seconds above 0",
        ),
        (
            "defaultExpiresIn",
            json!(-1),
            "returned a number for defaultExpiresIn; it must be a whole number of seconds above 0",
        ),
        ("refreshUri", json!("/refresh"), "'s refreshUri must be an absolute http or https URL"),
        (
            "refreshClientAuthLocation",
            json!("query"),
            "'s refreshClientAuthLocation must be headers, body, both or none",
        ),
        ("refreshGrantType", json!(["x"]), "returned an array for refreshGrantType; it must be a string"),
        (
            "refreshWithAccessToken",
            json!("yes"),
            "returned a string for refreshWithAccessToken; it must be true or false",
        ),
        ("codeParameter", json!("state"), "'s codeParameter must not be state, error or iss"),
        ("callbackFields", json!([1]), "returned an array for callbackFields; it must be an array of strings"),
        ("revocationUri", json!("https://h/#x"), "'s revocationUri must be a URL without a fragment (#…)"),
    ] {
        let problem = problem(key, value);
        assert_eq!(problem.strip_prefix("getOAuthConfig").unwrap().trim_start(), expected);
        assert!(!problem.contains("hunter"), "{problem}");
    }
}

#[test]
fn two_parameters_cannot_share_a_name() {
    for (key, names, expected) in [
        ("authorizeParameterNames", json!({ "client_id": "state" }), "client_id and state"),
        ("authorizeParameterNames", json!({ "client_id": "x", "scope": "x" }), "client_id and scope"),
        ("tokenParameterNames", json!({ "code": "client_id" }), "code and client_id"),
        ("refreshParameterNames", json!({ "refresh_token": "grant_type" }), "grant_type and refresh_token"),
    ] {
        assert_eq!(problem(key, names), format!("getOAuthConfig's {key} gives {expected} the same name"));
    }
    // Parameters of different requests may share a name, and omitted ones have none.
    for names in [json!({ "refresh_token": "code" }), json!({ "code": "client_id", "client_id": null })] {
        assert!(with("tokenParameterNames", names).is_ok());
    }
}
