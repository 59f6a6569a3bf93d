//! Reads the keys of a `getOAuthConfig` result and collects all problems.

use std::time::Duration;

use http::{HeaderName, HeaderValue, header};
use serde_json::{Map, Value};
use url::Url;

use super::names::RESPONSE_NAMES;
use super::{ClientAuthLocation, ConfigError, ParameterNames, TokenRequestFormat};
use crate::pasted::flaw;

/// The parameters that `tokenParameterNames` can rename, followed by the parameters of the requests it applies to.
const TOKEN_NAMES: [&str; 8] = [
    "grant_type",
    "code",
    "redirect_uri",
    "client_id",
    "client_secret",
    "code_verifier",
    "code_challenge_method",
    "refresh_token",
];
const EXCHANGE: [&str; 8] = [
    "grant_type",
    "code",
    "redirect_uri",
    "client_id",
    "client_secret",
    "code_verifier",
    "code_challenge_method",
    "resource",
];
const REFRESH: [&str; 5] = ["grant_type", "refresh_token", "client_id", "client_secret", "resource"];
const REVOCATION: [&str; 4] = ["token", "token_type_hint", "client_id", "client_secret"];

/// The parameters that `authorizeParameterNames` can rename, followed by all parameters of the authorize URL.
const AUTHORIZE_NAMES: [&str; 5] = ["client_id", "redirect_uri", "response_type", "scope", "access_type"];
const AUTHORIZE: [&str; 9] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "access_type",
    "state",
    "code_challenge",
    "code_challenge_method",
    "resource",
];

/// Reads a configuration key by key and collects the problems.
pub(crate) struct ConfigReader<'a> {
    map: &'a Map<String, Value>,
    problems: Vec<String>,
}

/// Returns a placeholder for an invalid URL, which [`ConfigReader::finish`] never lets out.
pub(crate) fn nowhere() -> Url {
    Url::parse("http://invalid.invalid").expect("a valid URL")
}

impl<'a> ConfigReader<'a> {
    pub(crate) fn new(value: &'a Value) -> Result<Self, ConfigError> {
        match value {
            Value::Object(map) => Ok(Self { map, problems: Vec::new() }),
            value => {
                let problem = format!("getOAuthConfig returned {}; it must return an object", kind(value));
                Err(ConfigError { problems: vec![problem] })
            }
        }
    }

    /// Returns the configuration if no key had a problem.
    pub(crate) fn finish<T>(self, config: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() { Ok(config) } else { Err(ConfigError { problems: self.problems }) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null() && value.as_str() != Some(""))
    }

    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    fn wrong_kind(&mut self, key: &str, value: &Value, wanted: &str) {
        self.problem(format!("getOAuthConfig returned {} for {key}; it must be {wanted}", kind(value)));
    }

    pub(crate) fn required<T>(&mut self, key: &str, read: impl FnOnce(&mut Self, &str) -> Option<T>) -> Option<T> {
        if self.get(key).is_none() {
            self.problem(format!("getOAuthConfig returned no {key}; add it to auth/get-oauth-config.map.yml"));
            return None;
        }
        read(self, key)
    }

    /// Reads a string. A whole number is accepted, too, because YAML reads some providers' client ids as numbers.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            value => {
                self.wrong_kind(key, value, "a string");
                None
            }
        }
    }

    /// Reads a client id or secret, which someone has pasted.
    pub(crate) fn pasted(&mut self, key: &str) -> Option<String> {
        let text = self.text(key)?;
        if let Some(flaw) = flaw(&text) {
            self.problem(format!("getOAuthConfig's {key} {flaw}; correct the parameter it comes from"));
        }
        Some(text)
    }

    pub(crate) fn url(&mut self, key: &str) -> Option<Url> {
        let text = self.text(key)?;
        let problem = match Url::parse(&text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") => "an absolute http or https URL",
            Ok(url) if url.fragment().is_some() && key != "authorizeUri" => "a URL without a fragment (#…)",
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "a URL without a user name or password"
            }
            // The `url` crate accepts hosts and paths that the `http` crate rejects; no provider has such URLs.
            Ok(url) if url.as_str().parse::<http::Uri>().is_ok() => return Some(url),
            Ok(_) | Err(_) => "an absolute http or https URL",
        };
        self.problem(format!("getOAuthConfig's {key} must be {problem}"));
        None
    }

    /// Reads the redirect URI: an absolute URL without a fragment (RFC 6749 §3.1.2), or the provider's own name for the URL,
    /// which looks nothing like a URL. It is kept unchanged because providers compare it byte for byte.
    pub(super) fn redirect_uri(&mut self) -> Option<String> {
        let text = self.text("redirectUri")?;
        let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
        if is_name || Url::parse(&text).is_ok_and(|url| url.fragment().is_none()) {
            return Some(text);
        }
        let problem = "getOAuthConfig's redirectUri must be an absolute URL without a fragment (#…), or a name issued by the \
                       provider, of letters, digits, `-`, `_`, `.` and `~`";
        self.problem(problem.into());
        None
    }

    pub(crate) fn flag(&mut self, key: &str) -> bool {
        match self.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(value) => {
                self.wrong_kind(key, value, "true or false");
                false
            }
        }
    }

    pub(crate) fn list(&mut self, key: &str) -> Vec<String> {
        match self.get(key) {
            None => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                items.iter().filter_map(Value::as_str).filter(|text| !text.is_empty()).map(Into::into).collect()
            }
            Some(value) => {
                self.wrong_kind(key, value, "an array of strings");
                Vec::new()
            }
        }
    }

    /// Reads a list of error codes, which may be numbers.
    pub(super) fn codes(&mut self, key: &str) -> Vec<String> {
        let items = match self.get(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items.as_slice(),
            Some(item) => std::slice::from_ref(item),
        };
        let codes: Option<Vec<String>> = items.iter().map(code).collect();
        codes.unwrap_or_else(|| {
            self.problem(format!(
                "getOAuthConfig's {key} must be an array of error codes, as strings or whole numbers"
            ));
            Vec::new()
        })
    }

    pub(crate) fn object(&mut self, key: &str) -> Map<String, Value> {
        match self.get(key) {
            None => Map::new(),
            Some(Value::Object(map)) => map.clone(),
            Some(value) => {
                self.wrong_kind(key, value, "an object");
                Map::new()
            }
        }
    }

    /// Reads a list whose items may contain several words each.
    pub(crate) fn words(&mut self, key: &str) -> Vec<String> {
        self.list(key).iter().flat_map(|text| text.split_whitespace()).map(Into::into).collect()
    }

    pub(super) fn seconds(&mut self, key: &str) -> Option<Duration> {
        let value = self.get(key)?;
        match value.as_u64().filter(|seconds| *seconds > 0) {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => {
                self.wrong_kind(key, value, "a whole number of seconds above 0");
                None
            }
        }
    }

    /// Reads one of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let word = self.get(key)?.as_str().unwrap_or_default();
        let chosen = choices.iter().find(|(choice, _)| *choice == word);
        if chosen.is_none() {
            let words: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
            let (last, others) = words.split_last().expect("at least one choice");
            self.problem(format!("getOAuthConfig's {key} must be {} or {last}", others.join(", ")));
        }
        chosen.map(|(_, choice)| *choice)
    }

    pub(super) fn location(&mut self, key: &str) -> Option<ClientAuthLocation> {
        let choices = [
            ("headers", ClientAuthLocation::Headers),
            ("body", ClientAuthLocation::Body),
            ("both", ClientAuthLocation::Both),
            ("none", ClientAuthLocation::None),
        ];
        self.choice(key, &choices)
    }

    pub(super) fn client_auth_location(&mut self) -> Option<ClientAuthLocation> {
        let skip_body = self.flag("skipClientAuthInBody");
        let skip_headers = self.flag("skipClientAuthInHeader") | self.flag("skipClientAuthInHeaders");
        if self.get("clientAuthLocation").is_some() {
            return self.location("clientAuthLocation");
        }
        match (skip_body, skip_headers) {
            (true, true) => {
                let problem = "getOAuthConfig skips client authentication in the body and in the headers; \
                               set clientAuthLocation instead";
                self.problem(problem.into());
                None
            }
            (true, false) => Some(ClientAuthLocation::Headers),
            (false, true) => Some(ClientAuthLocation::Body),
            (false, false) => None,
        }
    }

    pub(super) fn token_request_format(&mut self) -> TokenRequestFormat {
        let choices = [
            ("form", TokenRequestFormat::Form),
            ("json", TokenRequestFormat::Json),
            ("query", TokenRequestFormat::Query),
        ];
        self.choice("tokenRequestFormat", &choices).unwrap_or_default()
    }

    pub(super) fn code_parameter(&mut self) -> Option<String> {
        let name = self.text("codeParameter")?;
        if ["state", "error", "iss"].contains(&name.as_str()) {
            self.problem("getOAuthConfig's codeParameter must not be state, error or iss".into());
        }
        Some(name)
    }

    pub(super) fn authorize_names(&mut self) -> ParameterNames {
        let key = "authorizeParameterNames";
        let names = self.names(key, &AUTHORIZE_NAMES, &ParameterNames::default());
        self.distinct(key, &names, &AUTHORIZE);
        names
    }

    pub(super) fn token_names(&mut self, key: &str, below: &ParameterNames) -> ParameterNames {
        let names = self.names(key, &TOKEN_NAMES, below);
        if key == "tokenParameterNames" {
            self.distinct(key, &names, &EXCHANGE);
        } else {
            self.distinct(key, &names, &REFRESH);
            if self.get("revocationUri").is_some() {
                self.distinct(key, &names, &REVOCATION);
            }
        }
        names
    }

    pub(super) fn response_names(&mut self) -> ParameterNames {
        self.names("tokenResponseNames", &RESPONSE_NAMES, &ParameterNames::default())
    }

    fn names(&mut self, key: &str, known: &[&str], below: &ParameterNames) -> ParameterNames {
        let mut names = below.clone();
        for (standard, name) in &self.object(key) {
            match name {
                _ if !known.contains(&standard.as_str()) => {
                    let known = known.join(", ");
                    self.problem(format!("getOAuthConfig's {key} cannot rename {standard}; it can rename {known}"));
                }
                Value::Null => names.set(standard, None),
                Value::String(name) if !name.is_empty() => names.set(standard, Some(name)),
                value => self.wrong_kind(&format!("{key}.{standard}"), value, "a name, or null to omit it"),
            }
        }
        names
    }

    fn distinct(&mut self, key: &str, names: &ParameterNames, sent: &[&str]) {
        if let Some((one, other)) = names.collision(sent) {
            self.problem(format!("getOAuthConfig's {key} gives {one} and {other} the same name"));
        }
    }

    /// Reads parameters that override others, except for the `protected` ones.
    pub(super) fn extra(&mut self, key: &str, names: &ParameterNames, protected: &[&str]) -> Map<String, Value> {
        let extra = self.object(key);
        for standard in protected {
            if names.of(standard).is_some_and(|name| extra.contains_key(name)) {
                self.problem(format!("getOAuthConfig's {key} cannot set {standard}, which the flow sets"));
            }
        }
        extra
    }

    pub(super) fn headers(&mut self, key: &str) -> Vec<(HeaderName, Option<HeaderValue>)> {
        let mut headers = Vec::new();
        for (name, value) in &self.object(key) {
            let text = match value {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
                Value::Array(_) | Value::Object(_) => {
                    self.wrong_kind(&format!("{key}.{name}"), value, "a string, or null to remove it");
                    continue;
                }
            };
            match (HeaderName::try_from(name), text.map(HeaderValue::try_from).transpose()) {
                (Ok(name), _) if OF_THE_TRANSPORT.contains(&name) => {
                    self.problem(format!("getOAuthConfig's {key} cannot set {name}"));
                }
                (Ok(name), Ok(mut value)) => {
                    value.iter_mut().for_each(|value| value.set_sensitive(true));
                    headers.push((name, value));
                }
                _ => {
                    let flaw = value.as_str().and_then(flaw).unwrap_or("is not a valid HTTP header");
                    self.problem(format!("getOAuthConfig's {key}.{name} {flaw}"));
                }
            }
        }
        headers
    }
}

const OF_THE_TRANSPORT: [HeaderName; 4] =
    [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];

/// Returns an error code from a list.
pub(crate) fn code(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
