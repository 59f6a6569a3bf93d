//! Runs a connector's function, however it is implemented.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::auth::with_credentials;
use super::session::ApiSession;
use super::{Auth, Provider, ProviderError};
use crate::connector::{ApiClient, Function, FunctionName, RestMapping};
use crate::javascript::{Call, Client, ClientConfig, Failure, JavaScriptError, LogLine, OpenApi};

impl Provider {
    /// Runs a single function, for who develops a connector. `credentials` are what its API client is made of.
    ///
    /// # Errors
    /// When the function fails.
    pub async fn call(
        &self,
        auth: &Arc<Auth>,
        name: FunctionName,
        arguments: Map<String, Value>,
        credentials: Option<Value>,
    ) -> Result<Option<Value>, ProviderError> {
        if let Some(Function::Database(login)) = auth.function(name) {
            self.log_in(auth, login, arguments).await?;
            return Ok(Some(Value::Bool(true)));
        }
        let needs_api = !matches!(name, FunctionName::GetOAuthConfig | FunctionName::MakeApiClient);
        let api = credentials.filter(|_| needs_api).map(|credentials| self.api(auth, credentials, None));
        self.run(auth, name, arguments, api.as_ref()).await
    }

    /// The result of a function; `None` where there is no such function. `arguments` are added to those that every
    /// function gets.
    pub(super) async fn run(
        &self,
        auth: &Arc<Auth>,
        name: FunctionName,
        arguments: Map<String, Value>,
        api: Option<&Arc<ApiSession>>,
    ) -> Result<Option<Value>, ProviderError> {
        let Some(function) = auth.function(name) else { return Ok(None) };
        let all = auth.arguments(name, arguments);
        let result = match function {
            Function::Mapping(mapping) => mapping.evaluate(&Value::Object(all)),
            Function::Rest(rest) => self.request(auth, rest, all, api).await?,
            Function::JavaScript(script) => {
                let client = match api {
                    Some(api) => Some(self.client_of(auth, api).await?),
                    None => None,
                };
                let call = Call { script, arguments: all, client };
                let returned = self.javascript.call(call).await.map_err(|failure| failed(auth, name, failure))?;
                log(auth, name, &returned.logs);
                returned.value
            }
            Function::Database(_) => {
                let message = format!("{} cannot be a database login", name.spec_key());
                return Err(ProviderError::Configuration(message));
            }
        };
        Ok(Some(result.unwrap_or_default()))
    }

    /// The result of a function that must be an object.
    pub(super) async fn run_for_object(
        &self,
        auth: &Arc<Auth>,
        name: FunctionName,
        arguments: Map<String, Value>,
        api: Option<&Arc<ApiSession>>,
    ) -> Result<Option<Map<String, Value>>, ProviderError> {
        match self.run(auth, name, arguments, api).await? {
            None => Ok(None),
            Some(Value::Object(result)) => Ok(Some(result)),
            Some(_) => Err(ProviderError::Configuration(format!("{} did not return an object", name.spec_key()))),
        }
    }

    /// The API client for these credentials (`makeApiClient`).
    pub(super) async fn api_client(&self, auth: &Arc<Auth>, credentials: &Value) -> Result<ApiClient, ProviderError> {
        let arguments = with_credentials(credentials.clone());
        // Boxed: a function may have an API client, which is a function.
        let client = Box::pin(self.run_for_object(auth, FunctionName::MakeApiClient, arguments, None)).await?;
        read_client(&Value::Object(client.unwrap_or_default()))
    }

    async fn request(
        &self,
        auth: &Arc<Auth>,
        rest: &RestMapping,
        variables: Map<String, Value>,
        api: Option<&Arc<ApiSession>>,
    ) -> Result<Option<Value>, ProviderError> {
        let variables = Value::Object(variables);
        let request = rest.request(&variables)?;
        let response = match api {
            Some(api) => api.send(&request).await?,
            None => Arc::new(ApiSession::bare(self.clone(), Arc::clone(auth))).send(&request).await?,
        };
        Ok(rest.result(&variables, &response))
    }

    /// What a script calls as `apiClient`. One that `makeApiClient` builds in JavaScript is built in the script's own
    /// runtime, for it may hold functions.
    async fn client_of(&self, auth: &Arc<Auth>, api: &Arc<ApiSession>) -> Result<Client, ProviderError> {
        let arguments = with_credentials(api.credentials());
        let config = match auth.function(FunctionName::MakeApiClient) {
            Some(Function::JavaScript(script)) => {
                ClientConfig::Script(script.clone(), auth.arguments(FunctionName::MakeApiClient, arguments))
            }
            _ => {
                let config = Box::pin(self.run_for_object(auth, FunctionName::MakeApiClient, arguments, None)).await?;
                ClientConfig::Value(Value::Object(config.unwrap_or_default()))
            }
        };
        Ok(Client { config, open: Arc::new(Arc::clone(api)) as Arc<dyn OpenApi> })
    }
}

pub(super) fn read_client(config: &Value) -> Result<ApiClient, ProviderError> {
    ApiClient::from_value(config).map_err(|problem| ProviderError::Configuration(format!("makeApiClient: {problem}")))
}

fn log(auth: &Auth, name: FunctionName, lines: &[LogLine]) {
    for LogLine { level, text } in lines {
        tracing::info!(connector = auth.connector.key, function = name.spec_key(), level, text, "console");
    }
}

fn failed(auth: &Auth, name: FunctionName, failure: Failure) -> ProviderError {
    log(auth, name, &failure.logs);
    let message = format!("{}: {}", name.spec_key(), failure.error);
    match failure.error {
        JavaScriptError::Thrown(thrown) => ProviderError::of_thrown(message, &thrown),
        JavaScriptError::Timeout { .. } | JavaScriptError::Busy => {
            ProviderError::Unavailable { message, retry_after: None }
        }
        _ => ProviderError::Configuration(message),
    }
}
