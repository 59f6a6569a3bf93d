//! What `getOAuthConfig` returned, checked.

use std::fmt;

use serde_json::{Map, Value};
use url::Url;

use crate::secret::Secret;

/// An integration's OAuth2 configuration: the result of a connector's `getOAuthConfig`.
///
/// Its `Debug` shows the client id and the endpoints without their queries, nothing else.
#[derive(Clone)]
#[non_exhaustive]
pub struct OAuthConfig {
    /// `clientId` (RFC 6749 §2.2).
    pub client_id: String,
    /// `clientSecret`; `None` for a public client, which then only names itself (RFC 6749 §2.1).
    pub client_secret: Option<Secret>,
    /// `authorizeUri`: absolute, http or https, without fragment or userinfo (RFC 6749 §3.1).
    pub authorize_uri: Url,
    /// `tokenUri`: absolute, http or https, without fragment or userinfo (RFC 6749 §3.2).
    pub token_uri: Url,
    /// `scopes`; none leaves `scope` out of the authorize URL (RFC 6749 §3.3).
    pub scopes: Vec<String>,
    /// `clientAuthLocation`, or what the deprecated `skipClientAuthInBody` and `skipClientAuthInHeader(s)` come to.
    /// `None` where the connector says nothing: a code exchange then uses the header and a refresh the body.
    pub client_auth_location: Option<ClientAuthLocation>,
    /// `noRefreshToken`: this API gives no refresh tokens.
    pub no_refresh_token: bool,
    /// `skipPkce`: this API does not bear PKCE parameters.
    pub skip_pkce: bool,
    /// `extra`: more query parameters for the authorize URL, in order.
    pub extra: Map<String, Value>,
    /// `resource`: one or more resource indicators for the authorize, token and refresh requests (RFC 8707 §2).
    pub resource: Vec<String>,
    /// `issuer`: what `iss` must be on the callback (RFC 9207 §2.4).
    pub issuer: Option<String>,
    /// `redirectUri`: the callback the connector wants in place of the one it was given, byte for byte.
    pub redirect_uri: Option<String>,
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
    /// string. The URLs follow RFC 6749 §3.1 and §3.2.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let Value::Object(map) = value else {
            let problem = format!("getOAuthConfig returned {}; it must return an object", kind(value));
            return Err(ConfigError { problems: vec![problem] });
        };
        let mut reader = Reader { map, problems: Vec::new() };
        let client_id = reader.required("clientId", Reader::text);
        let client_secret = reader.text("clientSecret").map(Secret::new);
        let authorize_uri = reader.required("authorizeUri", Reader::url);
        let token_uri = reader.required("tokenUri", Reader::url);
        let scopes = reader.list("scopes").iter().flat_map(|scope| scope.split_whitespace()).map(Into::into).collect();
        let client_auth_location = reader.client_auth_location();
        let no_refresh_token = reader.flag("noRefreshToken");
        let skip_pkce = reader.flag("skipPkce");
        let extra = reader.object("extra");
        let resource = reader.list("resource");
        let issuer = reader.text("issuer");
        let redirect_uri = reader.redirect_uri();

        match (client_id, authorize_uri, token_uri) {
            (Some(client_id), Some(authorize_uri), Some(token_uri)) if reader.problems.is_empty() => Ok(Self {
                client_id,
                client_secret,
                authorize_uri,
                token_uri,
                scopes,
                client_auth_location,
                no_refresh_token,
                skip_pkce,
                extra,
                resource,
                issuer,
                redirect_uri,
            }),
            _ => Err(ConfigError { problems: reader.problems }),
        }
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

/// Reads one key after the other and collects what is wrong.
struct Reader<'a> {
    map: &'a Map<String, Value>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null() && value.as_str() != Some(""))
    }

    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    fn wrong_kind(&mut self, key: &str, value: &Value, wanted: &str) {
        self.problem(format!("getOAuthConfig returned {} for {key}; it must be {wanted}", kind(value)));
    }

    fn required<T>(&mut self, key: &str, read: impl FnOnce(&mut Self, &str) -> Option<T>) -> Option<T> {
        if self.get(key).is_none() {
            self.problem(format!("getOAuthConfig returned no {key}; add it to auth/get-oauth-config.map.yml"));
            return None;
        }
        read(self, key)
    }

    /// Text; a whole number will do, since some providers' client ids look like one to YAML.
    fn text(&mut self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            value => {
                self.wrong_kind(key, value, "text");
                None
            }
        }
    }

    fn url(&mut self, key: &str) -> Option<Url> {
        let text = self.text(key)?;
        let problem = match Url::parse(&text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") => "an absolute http or https URL",
            Ok(url) if url.fragment().is_some() => "a URL without a fragment (#…)",
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "a URL without a user name or password"
            }
            // What `url` takes and `http` does not is no host or path that a provider has.
            Ok(url) if url.as_str().parse::<http::Uri>().is_ok() => return Some(url),
            Ok(_) | Err(_) => "an absolute http or https URL",
        };
        self.problem(format!("getOAuthConfig's {key} must be {problem}"));
        None
    }

    /// RFC 6749 §3.1.2: absolute and without a fragment. The text is kept, since it is compared byte for byte.
    fn redirect_uri(&mut self) -> Option<String> {
        let text = self.text("redirectUri")?;
        if Url::parse(&text).is_ok_and(|url| url.fragment().is_none()) {
            return Some(text);
        }
        self.problem("getOAuthConfig's redirectUri must be an absolute URL without a fragment (#…)".into());
        None
    }

    fn flag(&mut self, key: &str) -> bool {
        match self.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(value) => {
                self.wrong_kind(key, value, "true or false");
                false
            }
        }
    }

    fn list(&mut self, key: &str) -> Vec<String> {
        match self.get(key) {
            None => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                items.iter().filter_map(Value::as_str).filter(|text| !text.is_empty()).map(Into::into).collect()
            }
            Some(value) => {
                self.wrong_kind(key, value, "an array of texts");
                Vec::new()
            }
        }
    }

    fn object(&mut self, key: &str) -> Map<String, Value> {
        match self.get(key) {
            None => Map::new(),
            Some(Value::Object(map)) => map.clone(),
            Some(value) => {
                self.wrong_kind(key, value, "an object");
                Map::new()
            }
        }
    }

    fn client_auth_location(&mut self) -> Option<ClientAuthLocation> {
        let skip_body = self.flag("skipClientAuthInBody");
        let skip_headers = self.flag("skipClientAuthInHeader") | self.flag("skipClientAuthInHeaders");
        match self.get("clientAuthLocation").map(|value| value.as_str().unwrap_or_default()) {
            Some("headers") => Some(ClientAuthLocation::Headers),
            Some("body") => Some(ClientAuthLocation::Body),
            Some("both") => Some(ClientAuthLocation::Both),
            Some(_) => {
                self.problem("getOAuthConfig's clientAuthLocation must be headers, body or both".into());
                None
            }
            None if skip_body && skip_headers => {
                let problem = "getOAuthConfig skips client authentication in the body and in the headers; \
                               set clientAuthLocation instead";
                self.problem(problem.into());
                None
            }
            None if skip_body => Some(ClientAuthLocation::Headers),
            None if skip_headers => Some(ClientAuthLocation::Body),
            None => None,
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
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
        with(key, value).expect_err("this is wrong").to_string()
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
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
    fn every_other_key_is_read() {
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
    fn all_problems_are_told_at_once_and_by_name() {
        let error = OAuthConfig::from_value(&json!({ "clientSecret": ["hunter2"], "scopes": 3, "tokenUri": null }))
            .expect_err("nothing is right");
        assert_eq!(
            error.to_string(),
            "getOAuthConfig returned no clientId; add it to auth/get-oauth-config.map.yml\n\
             getOAuthConfig returned an array for clientSecret; it must be text\n\
             getOAuthConfig returned no authorizeUri; add it to auth/get-oauth-config.map.yml\n\
             getOAuthConfig returned no tokenUri; add it to auth/get-oauth-config.map.yml\n\
             getOAuthConfig returned a number for scopes; it must be an array of texts"
        );
        assert_eq!(error.problems().len(), 5);
    }

    #[test]
    fn a_result_that_is_no_object_is_refused() {
        let error = OAuthConfig::from_value(&json!("x")).expect_err("text");
        assert_eq!(error.to_string(), "getOAuthConfig returned text; it must return an object");
    }

    #[test]
    fn endpoints_are_absolute_and_bare_of_fragment_and_userinfo() {
        for uri in ["/authorize", "auth.example.com/a", "ftp://h/", "javascript:alert(1)", "https://", "https://a{b/"] {
            assert!(problem("tokenUri", json!(uri)).ends_with("must be an absolute http or https URL"), "{uri}");
        }
        assert!(problem("authorizeUri", json!("https://h/a#f")).contains("without a fragment"));
        assert!(problem("authorizeUri", json!("https://h/a#")).contains("without a fragment"));
        let message = problem("tokenUri", json!("https://user:hunter2@h/a"));
        assert_eq!(message, "getOAuthConfig's tokenUri must be a URL without a user name or password");
    }

    #[test]
    fn the_deprecated_switches_choose_a_location() {
        let location = |key: &str, value: bool| with(key, json!(value)).unwrap().client_auth_location;
        assert_eq!(location("skipClientAuthInBody", true), Some(ClientAuthLocation::Headers));
        assert_eq!(location("skipClientAuthInHeader", true), Some(ClientAuthLocation::Body));
        assert_eq!(location("skipClientAuthInHeaders", true), Some(ClientAuthLocation::Body));
        assert_eq!(location("skipClientAuthInHeaders", false), None);
        assert!(problem("clientAuthLocation", json!("header")).ends_with("must be headers, body or both"));
    }

    #[test]
    fn debug_shows_no_secret_and_no_query() {
        let config = with("tokenUri", json!("https://h/t?client_secret=hunter2")).unwrap();
        assert_eq!(
            format!("{config:?}"),
            r#"OAuthConfig { client_id: "id", authorize_uri: "https://auth.example.com/oauth2/authorize", token_uri: "https://h/t", .. }"#
        );
    }
}
