//! The OAuth configuration that `getOAuthConfig` returns, parsed and checked.

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
pub(crate) use names::RESPONSE_NAMES;
pub(crate) use reader::{ConfigReader, code, nowhere};
use serde_json::{Map, Value};
use url::Url;

use crate::response::ErrorRules;

documented! {
    /// An integration's OAuth2 configuration: the result of a connector's `getOAuthConfig`.
    ///
    /// Each field's docs start with its key. [`OAuthConfig::KEYS`] and the table in `shared/connectors/FORMAT.md` are made from
    /// them. `Debug` shows only the client id and the endpoints without their queries.
    #[derive(Clone)]
    #[non_exhaustive]
    pub struct OAuthConfig {
        /// `clientId`: required. The client's id (RFC 6749 §2.2).
        pub client_id: String,
        /// `clientSecret`: the client's secret. A client without one is public and only identifies itself (RFC 6749
        /// §2.1).
        pub client_secret: Option<Secret>,
        /// `authorizeUri`: required. The URL that the browser is sent to: an absolute http(s) URL without a user name
        /// (RFC 6749 §3.1). Its query is kept, and so is its fragment: a route (`#/authorize`, `#!/authorize`) gets the
        /// parameters in its own query, and any other fragment stays at the end.
        pub authorize_uri: Url,
        /// `tokenUri`: required. The URL where codes and refresh tokens are exchanged: an absolute http(s) URL without a
        /// fragment or user name (RFC 6749 §3.2).
        pub token_uri: Url,
        /// `scopes`: array, or one string with spaces. If there are none, `scope` is omitted from the authorize URL (RFC
        /// 6749 §3.3).
        pub scopes: Vec<String>,
        /// `scopeSeparator`: the separator between scopes in the authorize URL; a space by default, as in RFC 6749 §3.3.
        /// For providers that want commas.
        pub scope_separator: String,
        /// `clientAuthLocation`: `headers` (HTTP Basic), `body`, `both`, or `none` (no secret, only `client_id` in the
        /// body), for the code exchange and the refresh. By default, headers for the code exchange and body for the
        /// refresh. For providers that read only one of the two (RFC 6749 §2.3.1).
        pub client_auth_location: Option<ClientAuthLocation>,
        /// `noRefreshToken`: `true` accepts a token response without a refresh token. For providers whose tokens do not
        /// expire, or cannot be refreshed.
        pub no_refresh_token: bool,
        /// `skipPkce`: `true` omits the PKCE parameters (RFC 7636). For providers that reject unknown parameters.
        pub skip_pkce: bool,
        /// `authorizeParameterNames`: object from standard names to the provider's names, or `null` to omit the
        /// parameter, for `client_id`, `redirect_uri`, `response_type`, `scope` and `access_type` in the authorize URL.
        /// For providers that use names like `client_key` or `app_id`.
        pub authorize_parameter_names: ParameterNames,
        /// `extra`: object of parameters for the authorize URL, under the provider's names. Each replaces the parameter
        /// with its name or is appended, and `null` removes it. Arrays are joined with spaces, and objects become JSON.
        pub extra: Map<String, Value>,
        /// `resource`: string or array of resource indicators for the authorize, token and refresh requests (RFC 8707
        /// §2).
        pub resource: Vec<String>,
        /// `issuer`: the required value of `iss` in the callback (RFC 9207 §2.4). By default, `iss` is not checked.
        pub issuer: Option<String>,
        /// `redirectUri`: a redirect URI to send, unchanged, in both requests instead of the one passed to the function.
        /// For providers that expect a name that they issued, such as eBay's RuName: the URL behind the name must be the
        /// callback.
        pub redirect_uri: Option<String>,
        /// `codeParameter`: the name of the code in the callback; `code` by default. If both are present, this one is
        /// used. For providers that send `auth_code`, for example.
        pub code_parameter: Option<String>,
        /// `callbackFields`: array of callback parameters (from its query or, with `response_mode=form_post`, from its
        /// form) to keep in the credentials. Members of the token response with the same names take precedence. For
        /// providers that identify the account there, for example with `realmId`.
        pub callback_fields: Vec<String>,
        /// `tokenRequestFormat`: `form` (RFC 6749 appendix B, the default), `json`, or `query`, which makes the request
        /// a `GET` without a body, for the code exchange and the refresh. For providers that accept nothing else.
        pub token_request_format: TokenRequestFormat,
        /// `tokenParameterNames`: like `authorizeParameterNames`, for the code exchange and the refresh: `grant_type`,
        /// `code`, `redirect_uri`, `client_id`, `client_secret`, `code_verifier`, `code_challenge_method` and
        /// `refresh_token`.
        pub token_parameter_names: ParameterNames,
        /// `tokenExtra`: object of parameters for the code exchange, under the provider's names. Each replaces the
        /// parameter with its name or is appended, and `null` removes it. The code, the verifier and the redirect URI
        /// cannot be set.
        pub token_extra: Map<String, Value>,
        /// `tokenHeaders`: object of headers for the code exchange, the refresh and the revocation. Each replaces the
        /// header with its name, and `null` removes it. For providers that want a version or a client id there.
        pub token_headers: Vec<(HeaderName, Option<HeaderValue>)>,
        /// `tokenResponsePath`: dot-separated names that lead to an object in the token response, such as `authed_user`,
        /// whose members override the response's own. If there is no such object, the response is used as it is. For
        /// providers that nest the user's token.
        pub token_response_path: Option<String>,
        /// `tokenResponseNames`: object from `access_token`, `refresh_token` and `expires_in` to the provider's names for
        /// them in the token response. The members under the provider's names are kept, too.
        pub token_response_names: ParameterNames,
        /// `defaultExpiresIn`: the lifetime of an access token in seconds, if the token response does not state it. By
        /// default, such a token is refreshed every 24 hours.
        pub default_expires_in: Option<Duration>,
        /// `refreshUri`: the URL for refreshes; `tokenUri` by default.
        pub refresh_uri: Option<Url>,
        /// `refreshClientAuthLocation`: overrides `clientAuthLocation` for refreshes and revocation. `none` is for
        /// providers that accept no secret in a refresh.
        pub refresh_client_auth_location: Option<ClientAuthLocation>,
        /// `refreshGrantType`: the `grant_type` of a refresh; `refresh_token` by default.
        pub refresh_grant_type: Option<String>,
        /// `refreshWithAccessToken`: `true` refreshes with the access token, sent under the name of `refresh_token`, and
        /// expects no refresh token. For providers with long-lived tokens that are exchanged for new ones.
        pub refresh_with_access_token: bool,
        /// `refreshParameterNames`: overrides `tokenParameterNames` for refreshes and revocation.
        pub refresh_parameter_names: ParameterNames,
        /// `refreshExtra`: like `tokenExtra`, for refreshes. The refresh token cannot be set.
        pub refresh_extra: Map<String, Value>,
        /// `revocationUri`: the URL where tokens are revoked when the connection is removed (RFC 7009). By default,
        /// nothing is revoked.
        pub revocation_uri: Option<Url>,
        /// `permanentErrors`: array of error codes, as strings or numbers, after which the end user must reconnect, in
        /// addition to those of RFC 6749 §5.2. An entry that contains a space is searched for in the description. For
        /// providers that answer `invalid_request` to a dead refresh token.
        pub permanent_errors: Vec<String>,
        /// `transientErrors`: array of error codes, like `permanentErrors`, after which the refresh is retried later,
        /// whatever else the response says. For providers that answer `invalid_grant` while another request is being
        /// processed.
        pub transient_errors: Vec<String>,
        /// `refreshMargin`: how many seconds before the expiry a refresh is due; by default five minutes, or half of a
        /// lifetime below ten minutes. For providers that reject early refreshes.
        pub refresh_margin: Option<Duration>,
    }
    also {
        "skipClientAuthInBody": "an older form of `clientAuthLocation: headers`",
        "skipClientAuthInHeader": "an older form of `clientAuthLocation: body`",
        "skipClientAuthInHeaders": "an older form of `clientAuthLocation: body`",
    }
}

/// The place of a client's id and secret in a token request (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthLocation {
    /// HTTP Basic.
    Headers,
    /// `client_id` and `client_secret` in the body.
    Body,
    /// Both, for providers that insist on it. RFC 6749 §2.3 forbids this, and strict servers reject it.
    Both,
    /// No secret: `client_id` in the body, as for a public client (RFC 6749 §3.2.1).
    None,
}

/// How the parameters of a token request are encoded.
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

/// Everything that is wrong with a result of `getOAuthConfig`. The messages name keys, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// Returns one message per problem, in the order of the keys.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl OAuthConfig {
    /// Parses the result of `getOAuthConfig`.
    ///
    /// `null` and `""` count as absent, unknown keys are ignored, and `scopes` may also be one space-separated string. The URLs
    /// follow RFC 6749 §3.1 and §3.2. Names that would merge two parameters are rejected.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let mut reader = ConfigReader::new(value)?;
        let client_id = reader.required("clientId", ConfigReader::pasted);
        let client_secret = reader.pasted("clientSecret").map(Secret::new);
        let authorize_uri = reader.required("authorizeUri", ConfigReader::url);
        let token_uri = reader.required("tokenUri", ConfigReader::url);
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
            token_response_names: reader.response_names(),
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

    /// Returns the token in `credentials` that a refresh sends: the refresh token or, with `refreshWithAccessToken`, the access
    /// token. Returns `None` if the credentials cannot be refreshed.
    pub fn token_to_refresh<'a>(&self, credentials: &'a Value) -> Option<&'a str> {
        if !self.refresh_with_access_token {
            return refresh_token(credentials);
        }
        let named = ["access_token", "accessToken"].iter().find_map(|key| credentials.get(*key)?.as_str());
        named.filter(|token| !token.is_empty())
    }

    /// Returns the connector's rules for error codes.
    pub fn error_rules(&self) -> ErrorRules<'_> {
        let (permanent, transient) = (&self.permanent_errors[..], &self.transient_errors[..]);
        ErrorRules { permanent, transient, ..ErrorRules::default() }
    }

    /// Whether a token response must have a refresh token.
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
