//! Requests to `tokenUri`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::config::{ParameterNames, TokenRequestFormat};
use super::parameters::Parameters;
use super::{ClientAuthLocation, OAuthConfig, TokenError};

/// A request to a provider, and the secrets in it that must not be repeated. Its `Debug` shows only the host.
pub struct TokenRequest {
    /// The request to send. Secret headers are marked as sensitive; the body and the query are secret.
    pub request: Request<Vec<u8>>,
    /// Strings to remove from the provider's response before it goes into a message, the longest first.
    pub secrets: Vec<String>,
}

/// Builds the request that exchanges an authorization code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5, RFC 8707 §2.2).
///
/// The body has `grant_type=authorization_code`, `code`, `redirect_uri`, the client's credentials if they belong in the
/// body, `code_verifier` and `code_challenge_method=S256` (omitted with `skipPkce` or without a verifier), and one `resource`
/// per configured resource. `redirect_uri` must be the same as in the authorize URL, byte for byte. `tokenParameterNames`
/// renames or omits parameters, `tokenExtra` overrides them, `tokenRequestFormat` sets the encoding, and `tokenHeaders`
/// overrides the headers.
///
/// `clientAuthLocation` sets the place of client authentication (RFC 6749 §2.3.1). The default is HTTP Basic with
/// form-encoded id and secret; a provider that does not decode them needs `clientAuthLocation: body`. A client without a
/// secret sends `client_id` in the body and no Basic header (§3.2.1).
///
/// # Errors
///
/// [`TokenError::TooLong`], only with `tokenRequestFormat: query`.
pub fn build_code_exchange(
    config: &OAuthConfig,
    code: &str,
    redirect_uri: &str,
    code_verifier: Option<&str>,
) -> Result<TokenRequest, TokenError> {
    let names = &config.token_parameter_names;
    let client =
        ClientAuthentication::new(config, config.client_auth_location.unwrap_or(ClientAuthLocation::Headers), names);
    let mut parameters = Parameters::default();
    parameters.add(names.of("grant_type"), "authorization_code");
    parameters.add(names.of("code"), code);
    parameters.add(names.of("redirect_uri"), redirect_uri);
    client.add_to(&mut parameters);
    if let Some(verifier) = code_verifier.filter(|_| !config.skip_pkce) {
        parameters.add(names.of("code_verifier"), verifier);
        parameters.add(names.of("code_challenge_method"), "S256");
    }
    parameters.add_resources(&config.resource);
    parameters.put_over(&config.token_extra);
    let secrets = [code, code_verifier.unwrap_or_default()];
    client.build(&config.token_uri, config.token_request_format, &parameters, &secrets, &config.token_extra)
}

/// Builds the request that exchanges a refresh token for a new access token (RFC 6749 §6, RFC 8707 §2.2).
///
/// The body has `grant_type=refresh_token` (or `refreshGrantType`), `refresh_token`, the client's credentials if they belong
/// in the body, and one `resource` per configured resource. `scope` is omitted, which requests the same scope as before.
/// `refreshParameterNames`, `refreshExtra`, `tokenRequestFormat` and `tokenHeaders` work as in the code exchange. The request
/// goes to `refreshUri`, or to `tokenUri` if there is none. `token` comes from [`OAuthConfig::token_to_refresh`].
///
/// With neither `refreshClientAuthLocation` nor `clientAuthLocation`, id and secret go into the body, which the connector
/// format documents for a refresh. They do not go into a header as well: RFC 6749 §2.3 forbids two methods at once, and
/// strict servers answer `invalid_request`.
///
/// # Errors
///
/// [`TokenError::TooLong`], only with `tokenRequestFormat: query`.
pub fn build_refresh(config: &OAuthConfig, token: &str) -> Result<TokenRequest, TokenError> {
    let names = &config.refresh_parameter_names;
    let client = ClientAuthentication::of_refresh(config);
    let mut parameters = Parameters::default();
    parameters.add(names.of("grant_type"), config.refresh_grant_type.as_deref().unwrap_or("refresh_token"));
    parameters.add(names.of("refresh_token"), token);
    client.add_to(&mut parameters);
    parameters.add_resources(&config.resource);
    parameters.put_over(&config.refresh_extra);
    let uri = config.refresh_uri.as_ref().unwrap_or(&config.token_uri);
    client.build(uri, config.token_request_format, &parameters, &[token], &config.refresh_extra)
}

/// How the client authenticates in one request.
pub(super) struct ClientAuthentication<'a> {
    config: &'a OAuthConfig,
    location: ClientAuthLocation,
    names: &'a ParameterNames,
}

impl<'a> ClientAuthentication<'a> {
    fn new(config: &'a OAuthConfig, location: ClientAuthLocation, names: &'a ParameterNames) -> Self {
        Self { config, location, names }
    }

    /// Returns the client's authentication for refreshes and revocation.
    pub(super) fn of_refresh(config: &'a OAuthConfig) -> Self {
        let location = config.refresh_client_auth_location.or(config.client_auth_location);
        Self::new(config, location.unwrap_or(ClientAuthLocation::Body), &config.refresh_parameter_names)
    }

    /// Adds the part of the authentication that belongs in the body.
    pub(super) fn add_to(&self, parameters: &mut Parameters) {
        let secret = self.config.client_secret.as_ref().filter(|_| self.location != ClientAuthLocation::None);
        if secret.is_none() || self.location != ClientAuthLocation::Headers {
            parameters.add(self.names.of("client_id"), self.config.client_id.as_str());
        }
        if let Some(secret) = secret.filter(|_| self.location != ClientAuthLocation::Headers) {
            parameters.add(self.names.of("client_secret"), secret.expose());
        }
    }

    /// Builds a request with this authentication.
    pub(super) fn build(
        &self,
        uri: &Url,
        format: TokenRequestFormat,
        parameters: &Parameters,
        secrets: &[&str],
        extra: &Map<String, Value>,
    ) -> Result<TokenRequest, TokenError> {
        let (method, uri, body) = match format {
            TokenRequestFormat::Form => (Method::POST, uri.clone(), parameters.to_form()),
            TokenRequestFormat::Json => (Method::POST, uri.clone(), parameters.to_json()),
            TokenRequestFormat::Query => (Method::GET, parameters.onto(uri, |_| false), String::new()),
        };
        // `from_value` has checked that the URI is a valid `http::Uri`, so only the query can make it too long.
        let uri = http::Uri::try_from(uri.as_str()).map_err(|_| TokenError::TooLong)?;
        let mut request = Request::new(body.into_bytes());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers(format);
        Ok(TokenRequest { request, secrets: self.secrets(secrets, extra) })
    }

    fn headers(&self, format: TokenRequestFormat) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let content_type = match format {
            TokenRequestFormat::Form => Some("application/x-www-form-urlencoded"),
            TokenRequestFormat::Json => Some("application/json"),
            TokenRequestFormat::Query => None,
        };
        headers.extend(content_type.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind))));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if matches!(self.location, ClientAuthLocation::Headers | ClientAuthLocation::Both) {
            headers.extend(self.basic().map(|basic| (AUTHORIZATION, basic)));
        }
        for (name, value) in &self.config.token_headers {
            match value {
                Some(value) => headers.insert(name, value.clone()),
                None => headers.remove(name),
            };
        }
        headers
    }

    fn basic(&self) -> Option<HeaderValue> {
        let secret = self.config.client_secret.as_ref()?;
        let pair = format!("{}:{}", form_encode(&self.config.client_id), form_encode(secret.expose()));
        let mut value =
            HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).expect("base64 is a valid header value");
        value.set_sensitive(true);
        Some(value)
    }

    /// Returns the secrets in a request. Any of the connector's own parameters and headers may be secret, except for short
    /// ones.
    fn secrets(&self, of_flow: &[&str], extra: &Map<String, Value>) -> Vec<String> {
        const SHORT: usize = 8;
        let client_secret = self.config.client_secret.iter().map(|secret| secret.expose().to_owned());
        let basic = self.basic().and_then(|basic| Some(basic.to_str().ok()?.strip_prefix("Basic ")?.to_owned()));
        let headers = self.config.token_headers.iter().filter_map(|(_, value)| value.as_ref()?.to_str().ok());
        let of_connector = extra.values().filter_map(Value::as_str).chain(headers);
        let of_connector = of_connector.filter(|text| text.len() >= SHORT).map(ToOwned::to_owned);
        let raw = of_flow.iter().map(|text| (*text).to_owned()).chain(client_secret).chain(basic).chain(of_connector);
        longest_first(raw.flat_map(|text| [form_encode(&text), text]))
    }
}

/// Sorts secrets for [`TokenRequest::secrets`]: without duplicates and empty ones, and none before one that contains it.
pub(crate) fn longest_first(secrets: impl Iterator<Item = String>) -> Vec<String> {
    let mut secrets: Vec<_> = secrets.filter(|secret| !secret.is_empty()).collect();
    secrets.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    secrets.dedup();
    secrets
}

fn form_encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest").field("host", &self.request.uri().host()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
