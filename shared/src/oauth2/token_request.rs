//! What is sent to `tokenUri`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use url::form_urlencoded::{self, Serializer};

use super::{ClientAuthLocation, OAuthConfig};

/// Exchanges an authorization code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5, RFC 8707 §2.2).
///
/// The body is `grant_type=authorization_code`, `code`, `redirect_uri`, the client's credentials if they belong in
/// the body, `code_verifier` and `code_challenge_method=S256` (left out with `skipPkce`, or without a verifier), and
/// one `resource` for each configured. `redirect_uri` must be, byte for byte, the one of the authorize URL.
///
/// Client authentication (RFC 6749 §2.3.1) goes where `clientAuthLocation` says. Where the connector says nothing it
/// is HTTP Basic, with id and secret form-encoded first; a provider that does not decode them needs
/// `clientAuthLocation: body`. A client without a secret sends `client_id` in the body and no Basic header (§3.2.1).
///
/// The `Authorization` header is marked sensitive; the body is secret.
pub fn build_code_exchange(
    config: &OAuthConfig,
    code: &str,
    redirect_uri: &str,
    code_verifier: Option<&str>,
) -> Request<Vec<u8>> {
    let location = config.client_auth_location.unwrap_or(ClientAuthLocation::Headers);
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code");
    form.append_pair("code", code);
    form.append_pair("redirect_uri", redirect_uri);
    append_credentials(&mut form, config, location);
    if let Some(verifier) = code_verifier.filter(|_| !config.skip_pkce) {
        form.append_pair("code_verifier", verifier);
        form.append_pair("code_challenge_method", "S256");
    }
    build(config, location, form)
}

/// Exchanges a refresh token for a new access token (RFC 6749 §6, RFC 8707 §2.2).
///
/// The body is `grant_type=refresh_token`, `refresh_token`, the client's credentials if they belong in the body, and
/// one `resource` for each configured. `scope` is left out, which asks for the scope granted before.
///
/// Where the connector gives no `clientAuthLocation`, id and secret go into the body, as the connector format
/// documents it for a refresh, and not into a header besides: RFC 6749 §2.3 forbids two methods at once, and strict
/// servers answer `invalid_request`. A `clientAuthLocation` that is given governs the refresh as well.
pub fn build_refresh(config: &OAuthConfig, refresh_token: &str) -> Request<Vec<u8>> {
    let location = config.client_auth_location.unwrap_or(ClientAuthLocation::Body);
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token");
    form.append_pair("refresh_token", refresh_token);
    append_credentials(&mut form, config, location);
    build(config, location, form)
}

fn append_credentials(form: &mut Serializer<'_, String>, config: &OAuthConfig, location: ClientAuthLocation) {
    match &config.client_secret {
        None => {
            form.append_pair("client_id", &config.client_id);
        }
        Some(secret) if location != ClientAuthLocation::Headers => {
            form.append_pair("client_id", &config.client_id);
            form.append_pair("client_secret", secret.expose());
        }
        Some(_) => {}
    }
}

fn build(config: &OAuthConfig, location: ClientAuthLocation, mut form: Serializer<'_, String>) -> Request<Vec<u8>> {
    for resource in &config.resource {
        form.append_pair("resource", resource);
    }
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(config.token_uri.as_str())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(form.finish().into_bytes())
        .expect("from_value has checked that tokenUri is an http::Uri");
    if location != ClientAuthLocation::Body
        && let Some(basic) = basic(config)
    {
        request.headers_mut().insert(AUTHORIZATION, basic);
    }
    request
}

fn basic(config: &OAuthConfig) -> Option<HeaderValue> {
    let secret = config.client_secret.as_ref()?;
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(&config.client_id), encode(secret.expose()));
    let mut value =
        HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).expect("base64 is fit for a header");
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(changes: Value) -> OAuthConfig {
        let mut value = json!({
            "clientId": "s6BhdRkqt3",
            "clientSecret": "7Fjfp0ZBr1KtDRbnfVdmIw",
            "authorizeUri": "https://server.example.com/authorize",
            "tokenUri": "https://server.example.com/token?tenant=1",
        });
        for (key, change) in changes.as_object().unwrap() {
            value[key] = change.clone();
        }
        OAuthConfig::from_value(&value).unwrap()
    }

    fn exchange(changes: Value) -> String {
        whole(build_code_exchange(&config(changes), "SplxlOBeZQQYbYS6WxSbIA", "https://l.example/cb", Some("dBjft")))
    }

    fn refresh(changes: Value) -> String {
        whole(build_refresh(&config(changes), "tGzv3JOkF0XG5Qx2TlKWIA"))
    }

    fn whole(request: Request<Vec<u8>>) -> String {
        let mut text = format!("{} {}\n", request.method(), request.uri());
        for (name, value) in request.headers() {
            text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        text + "\n" + std::str::from_utf8(request.body()).unwrap()
    }

    const HEAD: &str = "POST https://server.example.com/token?tenant=1\n\
        content-type: application/x-www-form-urlencoded\naccept: application/json\n";
    /// The one of RFC 6749 §2.3.1.
    const BASIC: &str = "authorization: Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3\n";
    const CODE: &str =
        "grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA&redirect_uri=https%3A%2F%2Fl.example%2Fcb";
    const REFRESH: &str = "grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA";
    const IN_BODY: &str = "&client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw";
    const PKCE: &str = "&code_verifier=dBjft&code_challenge_method=S256";

    #[test]
    fn a_code_exchange_authenticates_in_the_header_unless_told_otherwise() {
        assert_eq!(exchange(json!({})), format!("{HEAD}{BASIC}\n{CODE}{PKCE}"));
    }

    #[test]
    fn a_refresh_authenticates_in_the_body_unless_told_otherwise() {
        assert_eq!(refresh(json!({})), format!("{HEAD}\n{REFRESH}{IN_BODY}"));
    }

    #[test]
    fn a_given_location_governs_both_requests() {
        let at = |location: &str| json!({ "clientAuthLocation": location });
        assert_eq!(exchange(at("headers")), format!("{HEAD}{BASIC}\n{CODE}{PKCE}"));
        assert_eq!(refresh(at("headers")), format!("{HEAD}{BASIC}\n{REFRESH}"));
        assert_eq!(exchange(at("body")), format!("{HEAD}\n{CODE}{IN_BODY}{PKCE}"));
        assert_eq!(refresh(at("body")), format!("{HEAD}\n{REFRESH}{IN_BODY}"));
        assert_eq!(exchange(at("both")), format!("{HEAD}{BASIC}\n{CODE}{IN_BODY}{PKCE}"));
        assert_eq!(refresh(at("both")), format!("{HEAD}{BASIC}\n{REFRESH}{IN_BODY}"));
    }

    #[test]
    fn a_client_without_a_secret_only_names_itself() {
        for location in [json!(null), json!("headers"), json!("body"), json!("both")] {
            let public = json!({ "clientSecret": null, "clientAuthLocation": location });
            assert_eq!(exchange(public.clone()), format!("{HEAD}\n{CODE}&client_id=s6BhdRkqt3{PKCE}"));
            assert_eq!(refresh(public), format!("{HEAD}\n{REFRESH}&client_id=s6BhdRkqt3"));
        }
    }

    #[test]
    fn skip_pkce_leaves_the_verifier_out() {
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
        let request =
            build_code_exchange(&config(json!({ "clientId": "a:b c", "clientSecret": "ü%+" })), "c", "r", None);
        let header = request.headers()[AUTHORIZATION].to_str().unwrap();
        let pair = STANDARD.decode(header.strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(String::from_utf8(pair).unwrap(), "a%3Ab+c:%C3%BC%25%2B");
    }

    #[test]
    fn debug_hides_the_basic_header() {
        let request = build_code_exchange(&config(json!({})), "c", "r", None);
        assert!(format!("{:?}", request.headers()).contains(r#""authorization": Sensitive"#));
    }
}
