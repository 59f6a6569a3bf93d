//! `larder try PATH --input FILE`: runs a connector's functions one by one against the real provider, and prints the
//! arguments and the result of each, with secrets masked.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use larder::clock::SystemClock;
use larder::random::SystemRng;
use larder_engine::connector::{Connector, Folder, FunctionName, folder, schema};
use larder_engine::egress::{AddressPolicy, Egress};
use larder_engine::javascript::{JavaScript, Limits};
use larder_engine::provider::{ConnectorContext, Provider};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::check::generics;

/// The input of the functions, from a JSON or YAML file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TrialInput {
    auth_option_key: String,
    connector_parameters: Map<String, Value>,
    #[serde(alias = "connectionInput", alias = "input")]
    connection_parameters: Map<String, Value>,
    /// If missing, the results of functions that produce credentials are used, or else the end user's input.
    credentials: Option<Map<String, Value>>,
    /// For `getCredentialsFromAccessTokenResponse` and `getCredentialsFromRefreshTokenResponse`.
    token_response: Option<Map<String, Value>>,
    /// For `getTokenData`: `code`, for example.
    query_parameters: Option<Map<String, Value>>,
    code_verifier: Option<String>,
    redirect_uri: Option<String>,
}

/// The reasons why nothing could be run.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// A file or a folder cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, std::io::Error),
    /// The input is invalid.
    #[error("{0}")]
    Input(String),
    /// The path is not a valid connector.
    #[error("the connector does not load:\n{0}\nrun `larder check` for details")]
    Connector(String),
    /// The HTTP client could not be created.
    #[error("the HTTP client could not be created")]
    Egress(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Functions that change something at the provider. They run only when named.
const NAMED_ONLY: [FunctionName; 2] = [FunctionName::RefreshCredentials, FunctionName::Disconnect];

/// Runs the functions and appends an entry for each to `report`. `only` selects functions by name; empty means all that
/// change nothing. Returns `false` if one of them failed, or none could be run.
///
/// # Errors
/// When nothing could be run.
pub async fn run(dir: &Path, input: &Path, only: &[String], report: &mut String) -> Result<bool, TrialError> {
    let unreadable = |path: &Path| {
        let path = path.display().to_string();
        move |error| TrialError::Unreadable(path, error)
    };
    let real = dir.canonicalize().map_err(unreadable(dir))?;
    let generics = generics(real.parent().unwrap_or(&real));
    let connector = Folder::on_disk(real).parse(&|key| generics.generic_connector(key)).map_err(|broken| {
        TrialError::Connector(broken.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    let text = std::fs::read_to_string(input).map_err(unreadable(input))?;
    let input: TrialInput = folder::parse_data(&text)
        .and_then(|value| serde_json::from_value(value).map_err(|error| error.to_string()))
        .map_err(|error| TrialError::Input(format!("{}: {error}", input.display())))?;
    let selected = selected(only)?;

    let egress = Egress::new(AddressPolicy::PublicAndLoopback).map_err(|error| TrialError::Egress(Box::new(error)))?;
    let javascript = JavaScript::new(egress.clone(), Arc::new(SystemRng), Limits::default());
    let provider = Provider::new(egress, javascript, Arc::new(SystemClock), Arc::new(SystemRng));
    let mut trial = Trial::new(connector, input)?;
    let mut outcomes = Vec::new();
    for name in ORDER {
        let is_selected = if selected.is_empty() { !NAMED_ONLY.contains(&name) } else { selected.contains(&name) };
        if is_selected && trial.auth.option.function(name).is_some() {
            outcomes.push(trial.run(&provider, name, report).await);
        }
    }
    if outcomes.iter().all(|outcome| *outcome == TrialOutcome::Skipped) {
        writeln!(report, "no function was run").ok();
        return Ok(false);
    }
    Ok(!outcomes.contains(&TrialOutcome::Failed))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TrialOutcome {
    Passed,
    Failed,
    Skipped,
}

/// The order of execution, which follows a connection's life cycle.
const ORDER: [FunctionName; 10] = [
    FunctionName::GetOAuthConfig,
    FunctionName::GetTokenData,
    FunctionName::GetCredentialsFromConnectionParameters,
    FunctionName::GetCredentialsFromAccessTokenResponse,
    FunctionName::MakeApiClient,
    FunctionName::Test,
    FunctionName::GetAccount,
    FunctionName::RefreshCredentials,
    FunctionName::GetCredentialsFromRefreshTokenResponse,
    FunctionName::Disconnect,
];

fn selected(only: &[String]) -> Result<Vec<FunctionName>, TrialError> {
    let find = |name: &String| {
        FunctionName::ALL.into_iter().find(|each| each.spec_key() == name).ok_or_else(|| {
            let names: Vec<&str> = FunctionName::ALL.iter().map(|each| each.spec_key()).collect();
            TrialError::Input(format!("there is no function `{name}`; the functions are {}", names.join(", ")))
        })
    };
    only.iter().map(find).collect()
}

struct Trial {
    auth: Arc<ConnectorContext>,
    input: TrialInput,
    credentials: Option<Map<String, Value>>,
    /// The function that was to make the credentials, but failed.
    failed: Option<FunctionName>,
    secrets: Vec<String>,
}

impl Trial {
    fn new(connector: Connector, mut input: TrialInput) -> Result<Self, TrialError> {
        let option = match connector.options.as_slice() {
            [only] if input.auth_option_key.is_empty() => Arc::clone(only),
            options => connector.option(&input.auth_option_key).cloned().ok_or_else(|| {
                let keys: Vec<&str> = options.iter().map(|option| option.key.as_str()).collect();
                TrialError::Input(format!("`authOptionKey` must be one of {}", keys.join(", ")))
            })?,
        };
        let entered = std::mem::take(&mut input.connection_parameters);
        // With credentials, nothing has to be entered.
        let is_entered = !entered.is_empty() || input.credentials.is_none();
        let entered = schema::with_defaults(option.input_schema.as_ref(), option.tidied(entered));
        input.connector_parameters = connector.tidied(std::mem::take(&mut input.connector_parameters));
        let parameters = schema::validate(option.parameters_schema.as_ref(), &input.connector_parameters);
        let inputs = if is_entered { option.check_input(&entered) } else { Ok(Vec::new()) };
        for (name, checked) in [("connectorParameters", parameters), ("connectionParameters", inputs)] {
            let errors = checked.map_err(|error| TrialError::Input(error.to_string()))?;
            if !errors.is_empty() {
                return Err(TrialError::Input(format!("`{name}` is invalid: {}", schema::summary(&errors))));
            }
        }
        let mut secrets = Vec::new();
        collect_secrets(&input.connector_parameters, option.parameters_schema.as_ref(), &mut secrets);
        collect_secrets(&entered, option.input_schema.as_ref(), &mut secrets);
        // As in a connection, the input of an API key is its credentials.
        let makes_credentials = option.function(FunctionName::GetCredentialsFromConnectionParameters).is_some();
        let is_input = is_entered && option.kind.is_immediate() && !makes_credentials;
        let credentials = input.credentials.clone().or_else(|| is_input.then(|| entered.clone()));
        let auth = Arc::new(ConnectorContext {
            connector: Arc::new(connector),
            option,
            connector_parameters: std::mem::take(&mut input.connector_parameters),
            connection_parameters: entered,
            callback_uri: input.redirect_uri.clone().unwrap_or_else(|| "http://127.0.0.1:9000/oauth-callback".into()),
            lender: None,
            given: None,
            token: None,
        });
        let mut trial = Self { auth, input, credentials, failed: None, secrets };
        for object in [trial.input.credentials.clone(), trial.input.token_response.clone()].into_iter().flatten() {
            collect_secrets(&object, None, &mut trial.secrets);
        }
        Ok(trial)
    }

    /// Runs one function if the input has what it needs.
    async fn run(&mut self, provider: &Provider, name: FunctionName, report: &mut String) -> TrialOutcome {
        let arguments = match self.arguments(name) {
            Ok(arguments) => arguments,
            Err(missing) => {
                let reason = match self.failed {
                    Some(failed) => format!("{} failed", failed.spec_key()),
                    None => format!("the input has no `{missing}`"),
                };
                writeln!(report, "- {}: skipped because {reason}", name.spec_key()).ok();
                return TrialOutcome::Skipped;
            }
        };
        let started = Instant::now();
        let result =
            provider.call(&self.auth, name, arguments.clone(), self.credentials.clone().map(Value::Object)).await;
        let took = started.elapsed().as_millis();
        match &result {
            Ok(Some(Value::Object(result))) => self.keep(name, result),
            Err(_) if name.gives_credentials() => self.failed = Some(name),
            _ => {}
        }
        writeln!(report, "- {} ({took} ms)", name.spec_key()).ok();
        writeln!(report, "    got      {}", self.masked(&Value::Object(self.all_arguments(arguments)))).ok();
        match &result {
            Ok(value) => {
                let text = value.as_ref().map_or_else(|| "nothing".to_owned(), |value| self.masked(value));
                writeln!(report, "    returned {text}").ok();
            }
            Err(error) => {
                writeln!(report, "    failed   {}", self.without_secrets(&error.to_string())).ok();
            }
        }
        if result.is_ok() { TrialOutcome::Passed } else { TrialOutcome::Failed }
    }

    /// A function's arguments with the parameters, which all functions get.
    fn all_arguments(&self, own: Map<String, Value>) -> Map<String, Value> {
        let ConnectorContext { connector_parameters, connection_parameters, .. } = &*self.auth;
        let parameters =
            [("connectorParameters", connector_parameters), ("connectionParameters", connection_parameters)];
        let given = parameters.into_iter().filter(|(_, values)| !values.is_empty());
        given.map(|(name, values)| (name.to_owned(), Value::Object(values.clone()))).chain(own).collect()
    }

    /// The function's arguments apart from the parameters, or the name of the first missing one.
    fn arguments(&self, name: FunctionName) -> Result<Map<String, Value>, &'static str> {
        let object = |key: &'static str, value: &Option<Map<String, Value>>| {
            value.clone().map(|value| (key.to_owned(), Value::Object(value))).ok_or(key)
        };
        let credentials = || object("credentials", &self.credentials);
        let tokens = || object("tokenResponse", &self.input.token_response);
        let query = || object("queryParameters", &self.input.query_parameters);
        let text = |key: &str, value: &Option<String>| (key.to_owned(), value.clone().into());
        let redirect_uri = ("redirectUri".to_owned(), Value::from(self.auth.callback_uri.as_str()));
        Ok(Map::from_iter(match name {
            FunctionName::GetOAuthConfig => vec![redirect_uri, ("state".to_owned(), "state".into())],
            FunctionName::GetTokenData => {
                vec![query()?, text("codeVerifier", &self.input.code_verifier), redirect_uri]
            }
            FunctionName::GetCredentialsFromConnectionParameters => Vec::new(),
            FunctionName::GetCredentialsFromAccessTokenResponse => {
                vec![tokens()?, query().unwrap_or(("queryParameters".to_owned(), Value::Object(Map::new())))]
            }
            FunctionName::GetCredentialsFromRefreshTokenResponse => vec![credentials()?, tokens()?],
            FunctionName::RefreshCredentials
            | FunctionName::MakeApiClient
            | FunctionName::Test
            | FunctionName::GetAccount
            | FunctionName::Disconnect => vec![credentials()?],
        }))
    }

    /// Keeps the parts of a result that later functions need.
    fn keep(&mut self, name: FunctionName, result: &Map<String, Value>) {
        collect_secrets(result, None, &mut self.secrets);
        match name {
            FunctionName::GetTokenData => {
                self.input.token_response = Some(result.clone());
                self.credentials.get_or_insert_default().extend(result.clone());
            }
            FunctionName::GetCredentialsFromConnectionParameters
            | FunctionName::GetCredentialsFromAccessTokenResponse
            | FunctionName::RefreshCredentials
            | FunctionName::GetCredentialsFromRefreshTokenResponse => {
                self.credentials.get_or_insert_default().extend(result.clone());
            }
            _ => {}
        }
    }

    fn masked(&self, value: &Value) -> String {
        self.without_secrets(&value.to_string())
    }

    fn without_secrets(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"))
    }
}

/// Collects the secret strings: those that the schema marks, and those whose names sound secret.
fn collect_secrets(object: &Map<String, Value>, schema: Option<&Value>, secrets: &mut Vec<String>) {
    const WORDS: [&str; 7] = ["secret", "token", "password", "key", "auth", "cookie", "session"];
    for (name, value) in object {
        let property = schema.and_then(|schema| schema.get("properties")?.get(name));
        let is_marked = property.is_some_and(|property| {
            property.get("isSensitive") == Some(&Value::Bool(true))
                || property.get("format") == Some(&"password".into())
        });
        let lower = name.to_lowercase();
        let is_named = WORDS.iter().any(|word| lower.contains(word)) && !lower.ends_with("type");
        match value {
            Value::String(text) if (is_marked || is_named) && !text.is_empty() => {
                // As it is written in JSON.
                let escaped = Value::from(text.as_str()).to_string();
                secrets.push(escaped.trim_matches('"').to_owned());
                secrets.push(text.clone());
            }
            Value::Object(inner) => collect_secrets(inner, None, secrets),
            _ => {}
        }
    }
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
}
