//! The requests of a flow (RFC 5849 §2).

use http::{Method, Request};
use url::Url;

use super::encoding::encode;
use super::sign::sign_with;
use super::{OAuth1Config, OAuth1Token, SignError, Stamp};
use crate::oauth2::{Parameters, TokenRequest, longest_first};

/// Builds the request for temporary credentials (RFC 5849 §2.1). Pass the response to
/// [`parse_request_token`](super::parse_request_token).
///
/// The provider redirects to exactly this `callback_uri`, so it can carry the flow's state.
///
/// # Errors
///
/// [`SignError`].
pub fn build_request_token(
    config: &OAuth1Config,
    callback_uri: &str,
    stamp: &Stamp<'_>,
) -> Result<TokenRequest, SignError> {
    build(config, &config.request_token_uri, None, &[("oauth_callback", callback_uri)], stamp)
}

/// Builds the URL for the browser (RFC 5849 §2.2): `authorizeUri` with `oauth_token`, `scope` if there are `scopes`,
/// then `extra`, which cannot set `oauth_token`. Each key appears only once.
pub fn build_authorize_url(config: &OAuth1Config, request_token: &OAuth1Token) -> Url {
    let mut ours = Parameters::default();
    ours.add(Some("oauth_token"), request_token.token.expose());
    if !config.scopes.is_empty() {
        ours.add(Some("scope"), config.scopes.join(" "));
    }
    ours.put_over(config.extra.iter().filter(|(key, _)| *key != "oauth_token"));
    ours.onto_page(&config.authorize_uri, |key| config.extra.contains_key(key))
}

/// Builds the request that exchanges the temporary credentials for a token (RFC 5849 §2.3). The verifier comes from
/// [`check_callback`](super::check_callback). Pass the response to [`parse_access_token`](super::parse_access_token).
///
/// # Errors
///
/// [`SignError`].
pub fn build_access_token(
    config: &OAuth1Config,
    request_token: &OAuth1Token,
    verifier: Option<&str>,
    stamp: &Stamp<'_>,
) -> Result<TokenRequest, SignError> {
    let verifier = verifier.map(|verifier| ("oauth_verifier", verifier));
    build(config, &config.token_uri, Some(request_token), verifier.as_slice(), stamp)
}

fn build(
    config: &OAuth1Config,
    uri: &Url,
    token: Option<&OAuth1Token>,
    further: &[(&'static str, &str)],
    stamp: &Stamp<'_>,
) -> Result<TokenRequest, SignError> {
    let mut request = Request::new(Vec::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.as_str().parse().map_err(|_| SignError::NotAbsolute)?;
    sign_with(&mut request, config, token, further, stamp)?;

    let token = token.iter().flat_map(|token| [token.token.expose(), token.secret.expose()]);
    let verifier = further.iter().filter(|(name, _)| *name == "oauth_verifier").map(|(_, verifier)| *verifier);
    let secrets = token.chain(verifier).chain(config.consumer_secret.iter().map(|secret| secret.expose()));
    let secrets = secrets.flat_map(|secret| [encode(secret), secret.to_owned()]);
    Ok(TokenRequest { request, secrets: longest_first(secrets) })
}

#[cfg(test)]
mod tests {
    use larder::random::SystemRng;
    use larder::secret::Secret;
    use serde_json::json;

    use super::super::config::tests::config;
    use super::*;

    fn stamp() -> Stamp<'static> {
        Stamp { timestamp: 137_131_200, nonce: "wIjqoS".into(), rng: &SystemRng }
    }

    fn request_token() -> OAuth1Token {
        OAuth1Token { token: Secret::new("hh5s93j4hdidpola"), secret: Secret::new("hdhd0244k9j7ao03") }
    }

    fn whole(request: &TokenRequest) -> String {
        crate::oauth2::testing::whole(&request.request)
    }

    #[test]
    fn a_flow_starts_by_sending_the_callback_uri() {
        let config = config(json!({ "signatureMethod": "PLAINTEXT", "realm": "Photos" }));
        let request = build_request_token(&config, "http://printer.example.com/ready?state=xyz", &stamp()).unwrap();
        assert_eq!(
            whole(&request),
            "POST https://photos.example.net/initiate\nauthorization: OAuth realm=\"Photos\", \
             oauth_consumer_key=\"dpf43f3p2l4k3l03\", oauth_signature_method=\"PLAINTEXT\", \
             oauth_timestamp=\"137131200\", oauth_nonce=\"wIjqoS\", oauth_version=\"1.0\", \
             oauth_callback=\"http%3A%2F%2Fprinter.example.com%2Fready%3Fstate%3Dxyz\", \
             oauth_signature=\"kd94hf93k423kf44%26\"\n\n"
        );
        assert_eq!(request.secrets, ["kd94hf93k423kf44"]);
    }

    #[test]
    fn the_verifier_is_sent_with_the_request_token() {
        let config =
            config(json!({ "signatureMethod": "PLAINTEXT", "tokenUri": "https://photos.example.net/token?a=1" }));
        let request = build_access_token(&config, &request_token(), Some("hfdp7dh39/dks9884"), &stamp()).unwrap();
        assert_eq!(
            whole(&request),
            "POST https://photos.example.net/token?a=1\nauthorization: OAuth \
             oauth_consumer_key=\"dpf43f3p2l4k3l03\", oauth_signature_method=\"PLAINTEXT\", \
             oauth_timestamp=\"137131200\", oauth_nonce=\"wIjqoS\", oauth_version=\"1.0\", \
             oauth_token=\"hh5s93j4hdidpola\", oauth_verifier=\"hfdp7dh39%2Fdks9884\", \
             oauth_signature=\"kd94hf93k423kf44%26hdhd0244k9j7ao03\"\n\n"
        );
        for secret in
            ["hh5s93j4hdidpola", "hdhd0244k9j7ao03", "hfdp7dh39/dks9884", "hfdp7dh39%2Fdks9884", "kd94hf93k423kf44"]
        {
            assert!(request.secrets.iter().any(|it| it == secret), "{secret}");
        }
        assert_eq!(format!("{request:?}"), r#"TokenRequest { host: Some("photos.example.net"), .. }"#);
    }

    #[test]
    fn the_authorize_url_has_the_request_token_and_extra() {
        let url = build_authorize_url(&config(json!({})), &request_token());
        assert_eq!(url.as_str(), "https://photos.example.net/authorize?oauth_token=hh5s93j4hdidpola");
        let trello = config(json!({
            "authorizeUri": "https://trello.com/1/OAuthAuthorizeToken?name=Larder&oauth_token=evil&expiration=1day",
            "scopes": ["read", "write"],
            "extra": { "expiration": "never", "scope": "read,write", "oauth_token": "evil" },
        }));
        assert_eq!(
            build_authorize_url(&trello, &request_token()).as_str(),
            "https://trello.com/1/OAuthAuthorizeToken?name=Larder&oauth_token=hh5s93j4hdidpola&scope=read%2Cwrite\
             &expiration=never"
        );
    }
}
