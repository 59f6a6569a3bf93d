//! What `getOAuthConfig` returned, checked.

mod keys;
mod names;
mod reader;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
pub(crate) use keys::{documented, entry};
use larder::credentials::refresh_token;
use larder::secret::Secret;
pub use names::ParameterNames;
pub(crate) use reader::{Reader, code, nowhere};
use serde_json::{Map, Value};
use url::Url;

use crate::response::ErrorRules;

documented! {
    /// An integration's OAuth2 configuration: the result of a connector's `getOAuthConfig`.
    ///
    /// The first words of each field's docs are its key; [`OAuthConfig::KEYS`] and the table in
    /// `shared/connectors/README.md` are made of them. Its `Debug` shows the client id and the endpoints without their
    /// queries, nothing else.
    #[derive(Clone)]
    #[non_exhaustive]
    pub struct OAuthConfig {
        /// `clientId`: required. The client's id (RFC 6749 §2.2).
        pub client_id: String,
        /// `clientSecret`: the client's secret. A client without one is public, and only names itself (RFC 6749 §2.1).
        pub client_secret: Option<Secret>,
        /// `authorizeUri`: required. Where the browser is sent; an absolute http(s) URL without user (RFC 6749 §3.1). A query
        /// that it has is kept, and so is a fragment: a route (`#/authorize`, `#!/authorize`) gets the parameters as a query of
        /// its own, any other stays at the end.
        pub authorize_uri: Url,
        /// `tokenUri`: required. Where codes and refresh tokens are exchanged; an absolute http(s) URL without fragment and
        /// user (RFC 6749 §3.2).
        pub token_uri: Url,
        /// `scopes`: array, or one text with spaces. None leaves `scope` out of the authorize URL (RFC 6749 §3.3).
        pub scopes: Vec<String>,
        /// `scopeSeparator`: what stands between scopes in the authorize URL; one space if absent. For providers that
        /// want commas, as RFC 6749 §3.3 does not.
        pub scope_separator: String,
        /// `clientAuthLocation`: `headers` (HTTP Basic), `body`, `both`, or `none` (no secret, only `client_id` in the
        /// body), for the code and for a refresh. Absent: headers for the code, body for a refresh. For providers that
        /// read only one of the two (RFC 6749 §2.3.1).
        pub client_auth_location: Option<ClientAuthLocation>,
        /// `noRefreshToken`: `true`: a token response without a refresh token is fine. For providers whose tokens do not
        /// expire, or end for good.
        pub no_refresh_token: bool,
        /// `skipPkce`: `true`: no PKCE parameters (RFC 7636). For providers that refuse parameters they do not know.
        pub skip_pkce: bool,
        /// `authorizeParameterNames`: object of a standard name and the provider's name for it, or `null` to leave the
        /// parameter out; for `client_id`, `redirect_uri`, `response_type`, `scope` and `access_type` of the authorize
        /// URL. For providers that say `client_key` or `app_id`.
        pub authorize_parameter_names: ParameterNames,
        /// `extra`: object of parameters of the authorize URL, by the provider's names; each replaces the one of its name
        /// or is appended. `null` removes it. Arrays are joined by spaces, objects become JSON.
        pub extra: Map<String, Value>,
        /// `resource`: text or array: resource indicators of the authorize, token and refresh requests (RFC 8707 §2).
        pub resource: Vec<String>,
        /// `issuer`: what `iss` must be on the callback (RFC 9207 §2.4). Absent: it is not looked at.
        pub issuer: Option<String>,
        /// `redirectUri`: a redirect URI in place of the one that the function was given, byte for byte, in both requests. For
        /// providers that want the name here that they gave it, as eBay's RuName: the URL behind the name must be the callback.
        pub redirect_uri: Option<String>,
        /// `codeParameter`: the callback's name of the code; `code` if absent. Where both come, this one counts. For
        /// providers that send `auth_code` or the like.
        pub code_parameter: Option<String>,
        /// `callbackFields`: array of parameters of the callback (of its query or, with `response_mode=form_post`, of its
        /// form) to keep in the credentials, under the members of
        /// the token response. For providers that name the account there, as by `realmId`.
        pub callback_fields: Vec<String>,
        /// `tokenRequestFormat`: `form` (RFC 6749 appendix B, if absent), `json`, or `query`, which makes the request a
        /// `GET` without a body; for the code and for a refresh. For providers that read nothing else.
        pub token_request_format: TokenRequestFormat,
        /// `tokenParameterNames`: as `authorizeParameterNames`, for the code exchange and the refresh: `grant_type`,
        /// `code`, `redirect_uri`, `client_id`, `client_secret`, `code_verifier`, `code_challenge_method` and
        /// `refresh_token`.
        pub token_parameter_names: ParameterNames,
        /// `tokenExtra`: object of parameters of the code exchange, by the provider's names; each replaces the one of its
        /// name or is appended, `null` removes it. The code, the verifier and the redirect URI cannot be set.
        pub token_extra: Map<String, Value>,
        /// `tokenHeaders`: object of headers of the code exchange, the refresh and the revocation; each replaces the one
        /// of its name, `null` removes it. For providers that want a version or a client id there.
        pub token_headers: Vec<(HeaderName, Option<HeaderValue>)>,
        /// `tokenResponsePath`: names joined by dots that lead to an object in the token response, as `authed_user`; its
        /// members are put over the response's. Nothing there: the response counts as it is. For providers that nest the
        /// user's token.
        pub token_response_path: Option<String>,
        /// `defaultExpiresIn`: seconds that an access token lives where the token response gives no expiry. Absent: such
        /// a token is refreshed every 24 hours.
        pub default_expires_in: Option<Duration>,
        /// `refreshUri`: where refreshes go; `tokenUri` if absent.
        pub refresh_uri: Option<Url>,
        /// `refreshClientAuthLocation`: `clientAuthLocation` for refreshes and revocation only. `none` is for providers
        /// that take no secret on a refresh.
        pub refresh_client_auth_location: Option<ClientAuthLocation>,
        /// `refreshGrantType`: the `grant_type` of a refresh; `refresh_token` if absent.
        pub refresh_grant_type: Option<String>,
        /// `refreshWithAccessToken`: `true`: the access token is what is sent to renew, under the name of
        /// `refresh_token`, and no refresh token is expected. For providers with long-lived tokens that renew themselves.
        pub refresh_with_access_token: bool,
        /// `refreshParameterNames`: over `tokenParameterNames`, for refreshes and revocation only.
        pub refresh_parameter_names: ParameterNames,
        /// `refreshExtra`: as `tokenExtra`, for refreshes. The refresh token cannot be set.
        pub refresh_extra: Map<String, Value>,
        /// `revocationUri`: where tokens are revoked when the connection is removed (RFC 7009). Absent: nothing is revoked.
        pub revocation_uri: Option<Url>,
        /// `permanentErrors`: array of error codes, as text or number, after which the end user must connect again, in
        /// addition to those of RFC 6749 §5.2. An entry that contains a space is searched for in the description. For
        /// providers that answer `invalid_request` to a dead refresh token.
        pub permanent_errors: Vec<String>,
        /// `transientErrors`: array as `permanentErrors`: whatever such an answer says, the refresh is tried again later. For
        /// providers that answer `invalid_grant` while another request is being processed.
        pub transient_errors: Vec<String>,
        /// `refreshMargin`: seconds before the expiry when a refresh is due; five minutes, or half of a lifetime below ten
        /// minutes, if absent. For providers that refuse a refresh that comes early.
        pub refresh_margin: Option<Duration>,
    }
    also {
        "skipClientAuthInBody": "an older form of `clientAuthLocation: headers`",
        "skipClientAuthInHeader": "an older form of `clientAuthLocation: body`",
        "skipClientAuthInHeaders": "an older form of `clientAuthLocation: body`",
    }
}

/// Where a client's id and secret go in a token request (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthLocation {
    /// HTTP Basic.
    Headers,
    /// `client_id` and `client_secret` in the body.
    Body,
    /// Both at once, for providers that insist; RFC 6749 §2.3 forbids it, and strict servers refuse it.
    Both,
    /// No secret: `client_id` in the body, as a public client does it (RFC 6749 §3.2.1).
    None,
}

/// How the parameters of a token request are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenRequestFormat {
    /// A form in the body (RFC 6749 appendix B).
    #[default]
    Form,
    /// A JSON object in the body.
    Json,
    /// The query of a `GET`.
    Query,
}

/// Everything that is wrong with a `getOAuthConfig` result. The texts name keys, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// One sentence for each problem, in the order of the keys.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl OAuthConfig {
    /// Reads the result of `getOAuthConfig`.
    ///
    /// `null` and `""` count as absent, keys nobody knows are ignored, and `scopes` may also be one space-separated
    /// string. The URLs follow RFC 6749 §3.1 and §3.2. Names that would make two parameters one are refused.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(value)?;
        let client_id = reader.required("clientId", Reader::pasted);
        let client_secret = reader.pasted("clientSecret").map(Secret::new);
        let authorize_uri = reader.required("authorizeUri", Reader::url);
        let token_uri = reader.required("tokenUri", Reader::url);
        let token_parameter_names = reader.token_names("tokenParameterNames", &ParameterNames::default());
        let refresh_parameter_names = reader.token_names("refreshParameterNames", &token_parameter_names);
        let config = Self {
            client_id: client_id.unwrap_or_default(),
            client_secret,
            authorize_uri: authorize_uri.unwrap_or_else(nowhere),
            token_uri: token_uri.unwrap_or_else(nowhere),
            scopes: reader.words("scopes"),
            scope_separator: reader.text("scopeSeparator").unwrap_or_else(|| " ".into()),
            client_auth_location: reader.client_auth_location(),
            no_refresh_token: reader.flag("noRefreshToken"),
            skip_pkce: reader.flag("skipPkce"),
            authorize_parameter_names: reader.authorize_names(),
            extra: reader.object("extra"),
            resource: reader.list("resource"),
            issuer: reader.text("issuer"),
            redirect_uri: reader.redirect_uri(),
            code_parameter: reader.code_parameter(),
            callback_fields: reader.list("callbackFields"),
            token_request_format: reader.token_request_format(),
            token_extra: reader.extra("tokenExtra", &token_parameter_names, &["code", "redirect_uri", "code_verifier"]),
            token_headers: reader.headers("tokenHeaders"),
            token_response_path: reader.text("tokenResponsePath"),
            default_expires_in: reader.seconds("defaultExpiresIn"),
            refresh_uri: reader.url("refreshUri"),
            refresh_client_auth_location: reader.location("refreshClientAuthLocation"),
            refresh_grant_type: reader.text("refreshGrantType"),
            refresh_with_access_token: reader.flag("refreshWithAccessToken"),
            refresh_extra: reader.extra("refreshExtra", &refresh_parameter_names, &["refresh_token"]),
            revocation_uri: reader.url("revocationUri"),
            permanent_errors: reader.codes("permanentErrors"),
            transient_errors: reader.codes("transientErrors"),
            refresh_margin: reader.seconds("refreshMargin"),
            token_parameter_names,
            refresh_parameter_names,
        };
        reader.finish(config)
    }

    /// The token among `credentials` that a refresh sends: the refresh token, or with `refreshWithAccessToken` the access
    /// token. `None`: these credentials cannot be refreshed.
    pub fn token_to_refresh<'a>(&self, credentials: &'a Value) -> Option<&'a str> {
        if !self.refresh_with_access_token {
            return refresh_token(credentials);
        }
        let named = ["access_token", "accessToken"].iter().find_map(|key| credentials.get(*key)?.as_str());
        named.filter(|token| !token.is_empty())
    }

    /// The connector's rules for error codes.
    pub fn error_rules(&self) -> ErrorRules<'_> {
        ErrorRules { permanent: &self.permanent_errors, transient: &self.transient_errors }
    }

    /// Whether a token response must bring a refresh token.
    pub fn wants_refresh_token(&self) -> bool {
        !self.no_refresh_token && !self.refresh_with_access_token
    }
}

impl fmt::Debug for OAuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = |url: &Url| format!("{}{}", url.origin().ascii_serialization(), url.path());
        f.debug_struct("OAuthConfig")
            .field("client_id", &self.client_id)
            .field("authorize_uri", &endpoint(&self.authorize_uri))
            .field("token_uri", &endpoint(&self.token_uri))
            .finish_non_exhaustive()
    }
}
