//! Expresses a bundled connector's way to connect in the form of the facts. Its functions are evaluated with samples,
//! so a value counts no matter how it is written.

use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larder_engine::connector::index::IndexEntry;
use larder_engine::connector::{
    ApiClient, ApiRequest, AuthOption, AuthType, Connector, Function, FunctionName, RestMapping,
};
use larder_local::bundle::bundled_connectors_dir;
use serde_json::{Map, Value, json};
use url::Url;

use crate::fact_sheets::{Basic, Placement};
use crate::samples::{Fields, Sample, with_names};

/// The token of samples, in all kinds of credentials.
const TOKEN: &str = "zzaccess_tokenzz";

/// A way to connect, as a connector describes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    /// As in facts: `oauth2`, `oauth1`, `api-key`, `basic`, `client-credentials`; also `two-step`.
    pub(crate) kind: &'static str,
    /// The configuration of OAuth, or that of a login.
    pub(crate) config: Map<String, Value>,
    /// Where the token or the end user's secrets go in a request to the API.
    pub(crate) placements: Vec<Placement>,
    /// HTTP Basic in a request to the API.
    pub(crate) basic: Option<Basic>,
    /// The address of the API.
    pub(crate) base_uri: Option<String>,
    /// The test request, as `GET https://…`.
    pub(crate) test: Option<String>,
    /// The requests that get credentials, without OAuth.
    pub(crate) logins: Vec<String>,
    /// The request that ends a connection, if it is described.
    pub(crate) disconnect: Option<String>,
}

/// The files of a connector.
pub(crate) struct Source {
    /// All text.
    pub(crate) text: String,
    /// The preset; null for a folder.
    pub(crate) preset: Value,
}

impl Source {
    /// Reads a connector's file or folder.
    pub(crate) fn read(entry: &IndexEntry) -> Self {
        let path = bundled_connectors_dir().join(&entry.file);
        if path.is_file() {
            let text = fs::read_to_string(&path).expect("a preset");
            let preset = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", entry.key));
            return Self { text, preset };
        }
        let auth = fs::read_dir(path.join("auth")).expect("a folder").map(|file| file.expect("a file").path());
        let files = auth.filter(|path| path.is_file()).chain([path.join("spec.yml")]);
        let text = files.map(|file| fs::read_to_string(file).expect("a file")).collect();
        Self { text, preset: Value::Null }
    }

    /// Members of the credentials that the connector uses and no standard has, with values that fit their use.
    pub(crate) fn credentials(&self, domain: &str) -> Map<String, Value> {
        let uses = self.text.split("credentials.").skip(1).map(|rest| {
            let end = rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(rest.len());
            rest.split_at(end).0
        });
        let standard = ["access_token", "refresh_token", "oauth_token", "oauth_token_secret", "id_token", ""];
        let own = uses.filter(|name| !standard.contains(name));
        own.map(|name| (name.to_owned(), json!(self.credential(name, domain)))).collect()
    }

    fn credential(&self, name: &str, domain: &str) -> String {
        // An address may end with a slash.
        let placeholder = format!("{{credentials.{name}}}");
        let mut ends = self.text.split(placeholder.as_str()).skip(1);
        let slash = if ends.any(|end| end.starts_with(char::is_alphanumeric)) { "/" } else { "" };
        let label = format!("://{{credentials.{name}}}");
        let lower = name.to_lowercase();
        let is_base =
            ["baseUri: \"", "baseUri: "].iter().any(|key| self.text.contains(&format!("{key}{{credentials.{name}}}")));
        let is_url = is_base || ["url", "uri", "domain", "host", "endpoint"].iter().any(|end| lower.ends_with(end));
        match self.text.split_once(&label) {
            Some((_, rest)) if rest.starts_with('.') => "sample".to_owned(),
            Some(_) => format!("sample.{domain}"),
            None if is_url => format!("https://sample.{domain}{slash}"),
            None => format!("sample-{name}"),
        }
    }
}

impl Claims {
    /// Evaluates a way to connect. Values of [`Fields::named`] are in braces.
    ///
    /// # Errors
    /// A message, if a function doesn't give a usable result.
    pub(crate) fn of(option: &AuthOption, source: &Source, fields: &Fields, sample: &Sample) -> Result<Self, String> {
        let mut claims = Self::default();
        let mut variables = json!({
            "connectorParameters": sample.parameters,
            "connectionParameters": sample.input,
            "connectionInput": sample.input,
            "redirectUri": "https://larder.example/oauth-callback",
            "state": "state",
        });
        if let Some(config) = option.function(FunctionName::GetOAuthConfig) {
            let Function::Mapping(mapping) = config else { return Err("a script".to_owned()) };
            claims.config = object(mapping.evaluate(&variables));
        }
        let minting = option.function(FunctionName::GetCredentialsFromConnectionParameters);
        if let (Some(Function::Rest(login)), AuthType::ClientCredentials) = (minting, &option.kind) {
            claims.read_login(login, &variables)?;
        }
        let domain = domain(claims.uri("tokenUri").or(claims.uri("authorizeUri")).unwrap_or("https://acme.example"));
        let mut credentials = source.credentials(&domain);
        credentials.extend(sample.input.clone());
        for name in ["access_token", "refresh_token", "oauth_token"] {
            credentials.insert(name.to_owned(), TOKEN.into());
        }
        variables["credentials"] = credentials.into();
        claims.read_api_client(option, &variables, fields)?;
        claims.kind = claims.kind_of(option);
        Ok(claims.named(fields))
    }

    /// A string of the configuration.
    pub(crate) fn uri(&self, key: &str) -> Option<&str> {
        self.config.get(key)?.as_str().filter(|uri| !uri.is_empty())
    }

    /// Whether a member of the configuration is `true`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.config.get(key) == Some(&Value::Bool(true))
    }

    /// The scopes, however they are written.
    pub(crate) fn scopes(&self) -> Vec<String> {
        match self.config.get("scopes") {
            Some(Value::Array(scopes)) => scopes.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(scopes)) => scopes.split(' ').map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// Reads the requests of a login as if it were the configuration of OAuth.
    fn read_login(&mut self, login: &RestMapping, variables: &Value) -> Result<(), String> {
        let mut variables = variables.clone();
        variables["before"] = json!({});
        let mut last = None;
        for step in login.before.iter().chain([login]) {
            // Without the results of earlier requests, some paths cannot be filled in.
            let Ok(request) = step.request(&variables) else {
                self.logins.push(step.path.clone());
                continue;
            };
            let request = request.build(&ApiClient::default()).map_err(|error| format!("a login: {error}"))?;
            self.logins.push(request.uri().to_string());
            last = Some(request);
        }
        let Some(request) = last else { return Ok(()) };
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let is_json = serde_json::from_str::<Value>(&body).is_ok();
        let is_basic = request.headers().contains_key("authorization");
        self.config.insert("tokenUri".to_owned(), json!(without_query(&request.uri().to_string())));
        self.config.insert("clientAuthLocation".to_owned(), json!(if is_basic { "headers" } else { "body" }));
        self.config.insert("tokenRequestFormat".to_owned(), json!(if is_json { "json" } else { "form" }));
        let is_grant = body.contains("grant_type") && !body.contains("password");
        self.config.insert("isGrant".to_owned(), json!(is_grant));
        Ok(())
    }

    /// Reads where secrets go in the test request, or in any other.
    fn read_api_client(&mut self, option: &AuthOption, variables: &Value, fields: &Fields) -> Result<(), String> {
        let client = match option.function(FunctionName::MakeApiClient) {
            Some(Function::Mapping(mapping)) => mapping.evaluate(variables).unwrap_or_default(),
            Some(_) => return Err("a script".to_owned()),
            // A database.
            None => return Ok(()),
        };
        let mut client = ApiClient::from_value(&client)?;
        let is_tested = option.function(FunctionName::Test).is_some();
        if !is_tested && client.base_uri.as_ref().is_none_or(|uri| Url::parse(uri).is_err()) {
            // An address that is entered, and that nothing needs.
            client.base_uri = Some("https://acme.example".to_owned());
        }
        self.base_uri = client.base_uri.clone();
        if let Some(Function::Rest(disconnect)) = option.function(FunctionName::Disconnect) {
            let request = disconnect.request(variables).and_then(|request| request.build(&client));
            let request = request.map_err(|error| format!("disconnect: {error}"))?;
            self.disconnect = Some(request.uri().to_string());
        }
        let request = match option.function(FunctionName::Test) {
            Some(Function::Rest(test)) => test.request(variables).map_err(|error| error.to_string())?,
            Some(_) => return Err("a script".to_owned()),
            None => ApiRequest::default(),
        };
        let request = request.build(&client).map_err(|error| format!("the test: {error}"))?;
        self.test = is_tested.then(|| format!("{} {}", request.method(), request.uri()));
        let is_entered = option.kind == AuthType::ClientCredentials && self.logins.is_empty();
        let secrets = secrets(fields, is_entered);
        for (name, value) in request.headers() {
            let value = value.to_str().unwrap_or_default();
            if let Some(basic) = value.strip_prefix("Basic ").and_then(decoded) {
                self.basic = Some(basic);
            }
            self.placements.extend(placement("header", name.as_str(), value, &secrets));
        }
        let url = Url::parse(&request.uri().to_string()).map_err(|error| error.to_string())?;
        for (name, value) in url.query_pairs() {
            self.placements.extend(placement("query", &name, &value, &secrets));
        }
        let body = String::from_utf8_lossy(request.body());
        self.placements.extend(placement("path", "", url.path(), &secrets).map(Placement::bare));
        self.placements.extend(placement("body", "", &body, &secrets).map(Placement::bare));
        Ok(())
    }

    fn kind_of(&self, option: &AuthOption) -> &'static str {
        match option.kind {
            AuthType::OAuth2 => "oauth2",
            AuthType::OAuth1 => "oauth1",
            _ if self.flag("isGrant") => "client-credentials",
            _ if !self.logins.is_empty() => "two-step",
            _ if self.placements.is_empty() && self.basic.is_some() => "basic",
            _ => "api-key",
        }
    }

    fn named(mut self, fields: &Fields) -> Self {
        let name = |text: &str| with_names(text, fields);
        self.config = object(Some(named(self.config.into(), &name)));
        self.test = self.test.map(|test| name(&test));
        self.base_uri = self.base_uri.map(|uri| name(&uri));
        self.disconnect = self.disconnect.map(|uri| name(&uri));
        self.logins = self.logins.iter().map(|uri| name(uri)).collect();
        for placement in &mut self.placements {
            placement.prefix = placement.prefix.as_deref().map(name);
        }
        self.basic = self.basic.map(|it| Basic { username: name(&it.username), password: name(&it.password) });
        self
    }
}

/// The secrets that are looked for in requests: the token, or what the end user enters.
fn secrets(fields: &Fields, is_entered: bool) -> Vec<String> {
    if !is_entered {
        return vec![TOKEN.to_owned()];
    }
    let strings = fields.input.iter().filter(|field| field.listed().is_empty());
    let (secret, open): (Vec<_>, Vec<_>) = strings.partition(|field| field.is_secret());
    let chosen = if secret.is_empty() { open } else { secret };
    chosen.into_iter().map(|field| format!("zz{}zz", field.name)).collect()
}

fn placement(place: &str, name: &str, value: &str, secrets: &[String]) -> Option<Placement> {
    let prefix = secrets.iter().find_map(|secret| value.split_once(secret.as_str())).map(|(prefix, _)| prefix)?;
    let prefix = Some(prefix.trim_end().to_owned());
    Some(Placement { place: place.to_owned(), name: name.to_owned(), prefix })
}

fn decoded(basic: &str) -> Option<Basic> {
    let text = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Basic { username: username.to_owned(), password: password.to_owned() })
}

fn named(value: Value, name: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => name(&text).into(),
        Value::Array(items) => items.into_iter().map(|item| named(item, name)).collect(),
        Value::Object(object) => {
            object.into_iter().map(|(key, value)| (key, named(value, name))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn without_query(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or_default()
}

/// The last two labels of a URL's host.
pub(crate) fn domain(uri: &str) -> String {
    let host = uri.split("://").nth(1).unwrap_or(uri).split(['/', '?', '#', ':']).next().unwrap_or_default();
    let labels: Vec<&str> = host.rsplit('.').take(2).collect();
    labels.into_iter().rev().collect::<Vec<_>>().join(".")
}

/// The ways to connect, each with the name that differences have: the connector's key for the first, and further ones with
/// the option's key.
pub(crate) fn ways(connector: &Connector) -> impl Iterator<Item = (String, &Arc<AuthOption>)> {
    connector.options.iter().enumerate().map(|(index, option)| match index {
        0 => (connector.key.clone(), option),
        _ => (format!("{}/{}", connector.key, option.key), option),
    })
}
