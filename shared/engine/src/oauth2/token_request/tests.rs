//! Tests for the exact requests that are sent.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::oauth2::testing::{config, whole};

fn code_exchange(changes: Value) -> TokenRequest {
    let config = config(changes);
    build_code_exchange(&config, "SplxlOBeZQQYbYS6WxSbIA", "https://l.example/cb", Some("dBjft")).unwrap()
}

fn exchange(changes: Value) -> String {
    whole(&code_exchange(changes).request)
}

fn refresh(changes: Value) -> String {
    whole(&build_refresh(&config(changes), "tGzv3JOkF0XG5Qx2TlKWIA").unwrap().request)
}

const HEAD: &str = "POST https://server.example.com/token?tenant=1\n\
    content-type: application/x-www-form-urlencoded\naccept: application/json\n";
/// The header in RFC 6749 §2.3.1.
const BASIC: &str = "authorization: Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3\n";
const CODE: &str =
    "grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA&redirect_uri=https%3A%2F%2Fl.example%2Fcb";
const REFRESH: &str = "grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA";
const IN_BODY: &str = "&client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw";
const PKCE: &str = "&code_verifier=dBjft&code_challenge_method=S256";

#[test]
fn a_code_exchange_authenticates_in_the_header_by_default() {
    assert_eq!(exchange(json!({})), format!("{HEAD}{BASIC}\n{CODE}{PKCE}"));
}

#[test]
fn a_refresh_authenticates_in_the_body_by_default() {
    assert_eq!(refresh(json!({})), format!("{HEAD}\n{REFRESH}{IN_BODY}"));
}

#[test]
fn client_auth_location_applies_to_both_requests() {
    let at = |location: &str| json!({ "clientAuthLocation": location });
    assert_eq!(exchange(at("headers")), format!("{HEAD}{BASIC}\n{CODE}{PKCE}"));
    assert_eq!(refresh(at("headers")), format!("{HEAD}{BASIC}\n{REFRESH}"));
    assert_eq!(exchange(at("body")), format!("{HEAD}\n{CODE}{IN_BODY}{PKCE}"));
    assert_eq!(refresh(at("body")), format!("{HEAD}\n{REFRESH}{IN_BODY}"));
    assert_eq!(exchange(at("both")), format!("{HEAD}{BASIC}\n{CODE}{IN_BODY}{PKCE}"));
    assert_eq!(refresh(at("both")), format!("{HEAD}{BASIC}\n{REFRESH}{IN_BODY}"));
}

#[test]
fn a_client_without_a_secret_only_identifies_itself() {
    for location in [json!(null), json!("headers"), json!("body"), json!("both")] {
        let public = json!({ "clientSecret": null, "clientAuthLocation": location });
        assert_eq!(exchange(public.clone()), format!("{HEAD}\n{CODE}&client_id=s6BhdRkqt3{PKCE}"));
        assert_eq!(refresh(public), format!("{HEAD}\n{REFRESH}&client_id=s6BhdRkqt3"));
    }
}

#[test]
fn skip_pkce_omits_the_verifier() {
    assert_eq!(exchange(json!({ "skipPkce": true })), format!("{HEAD}{BASIC}\n{CODE}"));
}

#[test]
fn the_resource_goes_into_both_requests() {
    let resource = json!({ "resource": ["https://a.example/", "urn:b"] });
    let named = "&resource=https%3A%2F%2Fa.example%2F&resource=urn%3Ab";
    assert_eq!(exchange(resource.clone()), format!("{HEAD}{BASIC}\n{CODE}{PKCE}{named}"));
    assert_eq!(refresh(resource), format!("{HEAD}\n{REFRESH}{IN_BODY}{named}"));
}

#[test]
fn basic_form_encodes_id_and_secret_first() {
    let request = code_exchange(json!({ "clientId": "a:b c", "clientSecret": "ü%+" })).request;
    let header = request.headers()[AUTHORIZATION].to_str().unwrap();
    let pair = STANDARD.decode(header.strip_prefix("Basic ").unwrap()).unwrap();
    assert_eq!(String::from_utf8(pair).unwrap(), "a%3Ab+c:%C3%BC%25%2B");
}

#[test]
fn client_auth_location_none_sends_no_secret() {
    let none = json!({ "clientAuthLocation": "none" });
    assert_eq!(exchange(none.clone()), format!("{HEAD}\n{CODE}&client_id=s6BhdRkqt3{PKCE}"));
    assert_eq!(refresh(none), format!("{HEAD}\n{REFRESH}&client_id=s6BhdRkqt3"));
}

#[test]
fn refresh_client_auth_location_applies_to_refreshes_only() {
    let none = json!({ "clientAuthLocation": "both", "refreshClientAuthLocation": "none" });
    assert_eq!(exchange(none.clone()), format!("{HEAD}{BASIC}\n{CODE}{IN_BODY}{PKCE}"));
    assert_eq!(refresh(none), format!("{HEAD}\n{REFRESH}&client_id=s6BhdRkqt3"));
    let headers = json!({ "refreshClientAuthLocation": "headers" });
    assert_eq!(refresh(headers), format!("{HEAD}{BASIC}\n{REFRESH}"));
}

#[test]
fn token_parameter_names_apply_to_both_requests() {
    let names = json!({
        "code": "auth_code", "client_id": "app_id", "client_secret": "secret", "redirect_uri": null,
        "code_challenge_method": null, "refresh_token": "token",
    });
    let changes = json!({ "clientAuthLocation": "body", "tokenParameterNames": names });
    let client = "&app_id=s6BhdRkqt3&secret=7Fjfp0ZBr1KtDRbnfVdmIw";
    let code = "grant_type=authorization_code&auth_code=SplxlOBeZQQYbYS6WxSbIA";
    assert_eq!(exchange(changes.clone()), format!("{HEAD}\n{code}{client}&code_verifier=dBjft"));
    let token = "grant_type=refresh_token&token=tGzv3JOkF0XG5Qx2TlKWIA";
    assert_eq!(refresh(changes), format!("{HEAD}\n{token}{client}"));
}

#[test]
fn refresh_parameter_names_override_token_parameter_names() {
    let changes = json!({
        "tokenParameterNames": { "client_id": "app_id", "refresh_token": "token" },
        "refreshParameterNames": { "refresh_token": "access_token", "client_secret": null },
    });
    let token = "grant_type=refresh_token&access_token=tGzv3JOkF0XG5Qx2TlKWIA";
    assert_eq!(refresh(changes.clone()), format!("{HEAD}\n{token}&app_id=s6BhdRkqt3"));
    assert_eq!(exchange(changes), format!("{HEAD}{BASIC}\n{CODE}{PKCE}"));
}

#[test]
fn token_extra_and_refresh_extra_override_parameters() {
    let extra = json!({ "code_challenge_method": null, "grant_type": "code", "audience": ["a", "b"], "n": 1 });
    let changes = json!({ "tokenExtra": extra, "refreshExtra": { "scope": "all", "client_secret": null } });
    let code = CODE.replace("authorization_code", "code");
    assert_eq!(exchange(changes.clone()), format!("{HEAD}{BASIC}\n{code}&code_verifier=dBjft&audience=a+b&n=1"));
    assert_eq!(refresh(changes), format!("{HEAD}\n{REFRESH}&client_id=s6BhdRkqt3&scope=all"));
}

#[test]
fn token_request_format_json_sends_an_object() {
    let changes = json!({
        "tokenRequestFormat": "json", "resource": ["urn:a", "urn:b"], "tokenExtra": { "n": 1, "o": { "k": [true] } },
    });
    let head = HEAD.replace("x-www-form-urlencoded", "json");
    assert_eq!(
        exchange(changes.clone()),
        format!(
            "{head}{BASIC}\n{}",
            r#"{"grant_type":"authorization_code","code":"SplxlOBeZQQYbYS6WxSbIA","redirect_uri":"https://l.example/cb","code_verifier":"dBjft","code_challenge_method":"S256","resource":["urn:a","urn:b"],"n":1,"o":{"k":[true]}}"#
        )
    );
    assert_eq!(
        refresh(changes),
        format!(
            "{head}\n{}",
            r#"{"grant_type":"refresh_token","refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","client_id":"s6BhdRkqt3","client_secret":"7Fjfp0ZBr1KtDRbnfVdmIw","resource":["urn:a","urn:b"]}"#
        )
    );
}

#[test]
fn token_request_format_query_sends_a_get_without_a_body() {
    let changes = json!({ "tokenRequestFormat": "query", "tokenUri": "https://h/t?tenant=1&client_id=old" });
    let get = |query: &str, headers: &str| format!("GET https://h/t?{query}\naccept: application/json\n{headers}\n");
    assert_eq!(exchange(changes.clone()), get(&format!("tenant=1&client_id=old&{CODE}{PKCE}"), BASIC));
    assert_eq!(refresh(changes), get(&format!("tenant=1&{REFRESH}{IN_BODY}"), ""));
}

#[test]
fn a_token_too_long_for_a_query_is_an_error() {
    let long = "x".repeat(100_000);
    let error = build_refresh(&config(json!({ "tokenRequestFormat": "query" })), &long).unwrap_err();
    assert_eq!(error, TokenError::TooLong);
    assert!(build_refresh(&config(json!({})), &long).is_ok());
}

#[test]
fn token_headers_override_the_headers() {
    let headers = json!({ "Accept": null, "Notion-Version": "2022-06-28", "X-N": 1, "authorization": "Basic eDp5" });
    let head = HEAD.replace("accept: application/json\n", "");
    let changes = json!({ "clientAuthLocation": "headers", "tokenHeaders": headers });
    let more = "authorization: Basic eDp5\nnotion-version: 2022-06-28\nx-n: 1\n";
    assert_eq!(exchange(changes.clone()), format!("{head}{more}\n{CODE}{PKCE}"));
    assert_eq!(refresh(changes), format!("{head}{more}\n{REFRESH}"));
}

#[test]
fn refresh_uri_and_refresh_grant_type_apply_to_refreshes_only() {
    let changes = json!({ "refreshUri": "https://h/refresh?a=1", "refreshGrantType": "refresh" });
    let head = HEAD.replace("https://server.example.com/token?tenant=1", "https://h/refresh?a=1");
    let token = "grant_type=refresh&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA";
    assert_eq!(refresh(changes.clone()), format!("{head}\n{token}{IN_BODY}"));
    assert_eq!(exchange(changes), format!("{HEAD}{BASIC}\n{CODE}{PKCE}"));
}

#[test]
fn refresh_with_access_token_sends_the_access_token() {
    let credentials = json!({ "access_token": "A", "refresh_token": "R" });
    let changes = json!({
        "refreshWithAccessToken": true, "refreshGrantType": "ig_refresh_token", "tokenRequestFormat": "query",
        "refreshUri": "https://h/refresh", "refreshClientAuthLocation": "none",
        "refreshParameterNames": { "refresh_token": "access_token", "client_id": null },
    });
    let config = config(changes);
    assert!(!config.wants_refresh_token());
    let request = build_refresh(&config, config.token_to_refresh(&credentials).unwrap()).unwrap().request;
    assert_eq!(request.uri(), "https://h/refresh?grant_type=ig_refresh_token&access_token=A");
    assert_eq!(config.token_to_refresh(&json!({ "refresh_token": "R" })), None);

    let standard = crate::oauth2::testing::config(json!({}));
    assert_eq!(standard.token_to_refresh(&credentials), Some("R"));
    assert_eq!(standard.token_to_refresh(&json!({ "access_token": "A" })), None);
}

#[test]
fn a_request_lists_its_secrets_whatever_their_names() {
    let changes = json!({
        "clientSecret": "the client's secret",
        "tokenParameterNames": { "code": "auth_code", "code_verifier": "v" },
        "tokenExtra": { "api_key": "another-secret", "n": "7 bytes", "m": "8 bytes!" },
        "tokenHeaders": { "X-Key": "one more secret" },
    });
    let secrets = code_exchange(changes.clone()).secrets;
    for secret in [
        "SplxlOBeZQQYbYS6WxSbIA",
        "dBjft",
        "the client's secret",
        "the+client%27s+secret",
        "czZCaGRSa3F0Mzp0aGUrY2xpZW50JTI3cytzZWNyZXQ=",
        "another-secret",
        "8 bytes!",
        "one more secret",
    ] {
        assert!(secrets.iter().any(|it| it == secret), "{secret}");
    }
    assert!(secrets.is_sorted_by_key(|secret| std::cmp::Reverse(secret.len())));
    assert!(!secrets.iter().any(|secret| secret == "7 bytes" || secret.is_empty()));
    let request = build_refresh(&config(changes), "the-refresh-token").unwrap();
    assert!(request.secrets.contains(&"the-refresh-token".to_owned()));
}

#[test]
fn debug_shows_only_the_host() {
    let request = code_exchange(json!({ "tokenHeaders": { "X-Key": "hunter2" }, "clientAuthLocation": "headers" }));
    assert_eq!(format!("{request:?}"), r#"TokenRequest { host: Some("server.example.com"), .. }"#);
    let headers = format!("{:?}", request.request.headers());
    assert!(headers.contains(r#""authorization": Sensitive"#) && headers.contains(r#""x-key": Sensitive"#));
}

proptest! {
    #[test]
    fn renaming_neither_loses_values_nor_repeats_keys(
        names in prop::collection::btree_map(
            proptest::sample::select(vec![
                "grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier",
                "code_challenge_method", "refresh_token",
            ]),
            prop::option::of(prop_oneof![
                proptest::sample::select(vec!["code", "client_id", "token", "grant_type"]).prop_map(str::to_owned),
                "[a-z_]{1,5}",
            ]),
            0..6,
        ),
        extra in prop::collection::btree_map("[a-z_]{1,5}|code|client_id|resource", "[a-z]{0,3}", 0..4),
        format in proptest::sample::select(vec!["form", "json", "query"]),
    ) {
        let value = json!({
            "clientId": "the-client", "clientSecret": "the-secret", "authorizeUri": "https://h/a",
            "tokenUri": "https://h/t?code=evil", "clientAuthLocation": "body", "tokenRequestFormat": format,
            "tokenParameterNames": names, "tokenExtra": extra,
        });
        // Names that would merge two parameters are rejected, and so are extras for parameters that the flow sets.
        let Ok(config) = OAuthConfig::from_value(&value) else { return Ok(()) };
        let request = build_code_exchange(&config, "the-code", "the-uri", Some("the-verifier")).unwrap().request;
        let pairs: Vec<(String, String)> = match format {
            "json" => {
                let map: serde_json::Map<String, Value> = serde_json::from_slice(request.body()).unwrap();
                map.into_iter().map(|(key, value)| (key, value.as_str().unwrap().to_owned())).collect()
            }
            "query" => {
                form_urlencoded::parse(request.uri().query().unwrap().as_bytes()).into_owned().collect()
            }
            _ => form_urlencoded::parse(request.body()).into_owned().collect(),
        };
        let values = |key: &str| -> Vec<&str> {
            pairs.iter().filter(|(k, _)| k == key).map(|(_, value)| value.as_str()).collect()
        };
        for (key, _) in &pairs {
            prop_assert_eq!(values(key).len(), 1, "{}", key);
        }
        let names = &config.token_parameter_names;
        for (standard, value) in [("code", "the-code"), ("redirect_uri", "the-uri"), ("code_verifier", "the-verifier")] {
            if let Some(name) = names.of(standard) {
                prop_assert_eq!(values(name), [value]);
            }
        }
        for (standard, value) in [("client_id", "the-client"), ("client_secret", "the-secret")] {
            if let Some(name) = names.of(standard).filter(|name| !config.token_extra.contains_key(*name)) {
                prop_assert_eq!(values(name), [value]);
            }
        }
    }
}
