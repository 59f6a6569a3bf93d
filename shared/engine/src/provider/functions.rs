//! Runs a connector's functions, however they are implemented.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::account::RESPONSE;
use super::auth::with_credentials;
use super::session::ApiSession;
use super::{ConnectorContext, Provider, ProviderError};
use crate::connector::{ApiClient, Function, FunctionName, RestMapping};
use crate::egress::Limits;
use crate::javascript::{ApiClientSetup, ClientConfig, JavaScriptError, LogLine, OpenApi, ScriptCall, ScriptFailure};
use crate::response::{ErrorReport, ErrorRules, check_credentials};

impl Provider {
    /// Runs a single function, for connector development. Its API client is made from `credentials`.
    ///
    /// # Errors
    /// When the function fails.
    pub async fn call(
        &self,
        auth: &Arc<ConnectorContext>,
        name: FunctionName,
        arguments: Map<String, Value>,
        credentials: Option<Value>,
    ) -> Result<Option<Value>, ProviderError> {
        if let Some(Function::Database(login)) = auth.function(name) {
            self.log_in(auth, login, arguments).await?;
            return Ok(Some(Value::Bool(true)));
        }
        let mut arguments = arguments;
        if let Some(credentials) = credentials.clone().filter(|_| name == FunctionName::GetAccount) {
            let response = self.run_test(auth, credentials, None).await?;
            arguments.extend(response.map(|response| (RESPONSE.to_owned(), response)));
        }
        let needs_api = !matches!(name, FunctionName::GetOAuthConfig | FunctionName::MakeApiClient);
        let api = credentials.filter(|_| needs_api).map(|credentials| self.api(auth, name, credentials, None));
        self.run(auth, name, arguments, api.as_ref()).await
    }

    /// Runs a function and returns its result, or `None` if the connector has no such function. `arguments` are added to
    /// those that every function gets.
    pub(super) async fn run(
        &self,
        auth: &Arc<ConnectorContext>,
        name: FunctionName,
        arguments: Map<String, Value>,
        api: Option<&Arc<ApiSession>>,
    ) -> Result<Option<Value>, ProviderError> {
        let Some(function) = auth.function(name) else { return Ok(None) };
        let all = auth.arguments(name, arguments);
        let result = match function {
            Function::Mapping(mapping) => mapping.evaluate(&Value::Object(all)),
            Function::Rest(rest) => self.request(auth, name, rest, all, api).await?,
            Function::JavaScript(script) => {
                let client = match api {
                    Some(api) => Some(self.client_of(api).await?),
                    None => None,
                };
                let call = ScriptCall { script, arguments: all, client, exchange: limits_of(name) };
                let returned = self.javascript.call(call).await.map_err(|failure| self.failed(auth, name, failure))?;
                log(auth, name, &returned.logs);
                returned.value
            }
            Function::Database(_) => {
                let message = format!("{} cannot be a database login", name.spec_key());
                return Err(ProviderError::configuration(message));
            }
        };
        Ok(Some(result.unwrap_or_default()))
    }

    /// Runs a function that must return an object. If the object becomes credentials, it must not report an error, because a
    /// function may pass on a provider's error that came with a 200.
    pub(super) async fn run_for_object(
        &self,
        auth: &Arc<ConnectorContext>,
        name: FunctionName,
        arguments: Map<String, Value>,
        api: Option<&Arc<ApiSession>>,
    ) -> Result<Option<Map<String, Value>>, ProviderError> {
        match self.run(auth, name, arguments, api).await? {
            None => Ok(None),
            Some(Value::Object(result)) => {
                // A REST function's response has already been checked.
                let is_script = matches!(auth.function(name), Some(Function::JavaScript(_)));
                if let Some(rules) = auth.error_rules(name).filter(|_| is_script) {
                    check_credentials(OK, &result, rules).map_err(|report| reported(name, &report, rules))?;
                }
                Ok(Some(result))
            }
            Some(result) => {
                let message = format!("{} did not return an object", name.spec_key());
                // For example, a page that the provider returned with a 200.
                let is_rest = matches!(auth.function(name), Some(Function::Rest(_)));
                let is_answer = name.gives_credentials() && (is_rest || !result.is_null());
                Err(if is_answer { ProviderError::unavailable(message) } else { ProviderError::configuration(message) })
            }
        }
    }

    /// Returns the API client for these credentials (`makeApiClient`).
    pub(super) async fn api_client(
        &self,
        auth: &Arc<ConnectorContext>,
        credentials: &Value,
    ) -> Result<ApiClient, ProviderError> {
        let arguments = with_credentials(credentials.clone());
        // Boxed because this is recursive: a function may have an API client, which is itself made by a function.
        let client = Box::pin(self.run_for_object(auth, FunctionName::MakeApiClient, arguments, None)).await?;
        read_client(&Value::Object(client.unwrap_or_default()))
    }

    async fn request(
        &self,
        auth: &Arc<ConnectorContext>,
        name: FunctionName,
        rest: &RestMapping,
        variables: Map<String, Value>,
        api: Option<&Arc<ApiSession>>,
    ) -> Result<Option<Value>, ProviderError> {
        let bare;
        let session = match api {
            Some(api) => api,
            None => {
                bare = Arc::new(ApiSession::bare(self.clone(), Arc::clone(auth), name));
                &bare
            }
        };
        let send = async |part: &RestMapping, number, variables: &Map<String, Value>| {
            let sent = async {
                let request = part.request(&Value::Object(variables.clone()))?;
                Ok::<_, ProviderError>(session.send(&request, true).await?)
            };
            sent.await.map_err(|error| error.followed_by(&rest.place_of(part, number)))
        };
        let mut variables = variables;
        let mut handed_on = Map::new();
        for (index, earlier) in rest.before.iter().enumerate() {
            let response = send(earlier, index + 1, &variables).await?;
            if let Some(Value::Object(result)) = earlier.result(variables.clone(), response) {
                handed_on.extend(result);
            }
            variables.insert(RestMapping::BEFORE.to_owned(), Value::Object(handed_on.clone()));
        }
        let response = send(rest, rest.before.len() + 1, &variables).await?;
        if let Some(api) =
            api.filter(|_| name == FunctionName::Test && auth.function(FunctionName::GetAccount).is_some())
        {
            api.keep_response(response.variable());
        }
        Ok(rest.result(variables, response))
    }

    /// Returns the client that a script uses as `apiClient`. If `makeApiClient` is JavaScript, it runs in the script's own
    /// runtime, because the client may contain functions.
    async fn client_of(&self, api: &Arc<ApiSession>) -> Result<ApiClientSetup, ProviderError> {
        let auth = api.auth();
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
        Ok(ApiClientSetup { config, open: Arc::new(Arc::clone(api)) as Arc<dyn OpenApi> })
    }

    fn failed(&self, auth: &ConnectorContext, name: FunctionName, failure: ScriptFailure) -> ProviderError {
        log(auth, name, &failure.logs);
        let message = format!("{}: {}", name.spec_key(), failure.error);
        match failure.error {
            JavaScriptError::Thrown(thrown) => {
                ProviderError::of_thrown(message, &thrown, auth.error_rules(name), self.clock.now())
            }
            JavaScriptError::Timeout { .. } | JavaScriptError::Busy => ProviderError::unavailable(message),
            _ => ProviderError::configuration(message),
        }
    }
}

const OK: u16 = 200;

/// Returns the limits for each of a function's requests.
pub(super) fn limits_of(name: FunctionName) -> Limits {
    match name {
        name if name.asks_for_tokens() => Limits::CREDENTIALS,
        name if name.gives_credentials() => Limits::TOKEN,
        _ => Limits::API,
    }
}

pub(super) fn read_client(config: &Value) -> Result<ApiClient, ProviderError> {
    ApiClient::from_value(config).map_err(|problem| ProviderError::configuration(format!("makeApiClient: {problem}")))
}

/// Creates the error for credentials that report an error themselves.
fn reported(name: FunctionName, report: &ErrorReport, rules: ErrorRules<'_>) -> ProviderError {
    let what = report.summary().unwrap_or_else(|| "unspecified".to_owned());
    let message = format!("{} returned an error instead of credentials: {what}", name.spec_key());
    ProviderError::of_response(None, message, OK, Some(rules.meaning(OK, report)), None)
}

fn log(auth: &ConnectorContext, name: FunctionName, lines: &[LogLine]) {
    for LogLine { level, text } in lines {
        // Not named `level`, because every log line already has that.
        tracing::info!(
            connector = auth.connector.key,
            function = name.spec_key(),
            consoleLevel = level,
            text,
            "console"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use larder::testing::Lines;
    use serde_json::json;

    use super::super::testing::{context, provider, script};
    use super::*;
    use crate::connector::{DatabaseLogin, Mapping};
    use crate::javascript;

    #[test]
    fn limits_depend_on_the_purpose_of_a_function() {
        let limits = |name| {
            let Limits { max_body_bytes, max_values, repeats_lost, .. } = limits_of(name);
            (max_body_bytes, max_values, repeats_lost)
        };
        // Requests for tokens are repeated if the answer is lost.
        for name in [
            FunctionName::GetTokenData,
            FunctionName::GetCredentialsFromConnectionParameters,
            FunctionName::RefreshCredentials,
        ] {
            assert_eq!(limits(name), (1_048_576, 2_000, true), "{name:?}");
        }
        for name in
            [FunctionName::GetCredentialsFromAccessTokenResponse, FunctionName::GetCredentialsFromRefreshTokenResponse]
        {
            assert_eq!(limits(name), (1_048_576, 20_000, false), "{name:?}");
        }
        for name in [FunctionName::Test, FunctionName::Disconnect] {
            assert_eq!(limits(name), (10_485_760, 200_000, false), "{name:?}");
        }
    }

    #[tokio::test]
    async fn a_script_gets_the_functions_of_its_client() {
        let client = script(
            "client.js",
            "export default ({ credentials }) => ({ get: async (path) => credentials.name + path });",
        );
        let test = script("test.js", "export default ({ apiClient }) => apiClient.get('/me');");
        let auth = Arc::new(context([(FunctionName::MakeApiClient, client), (FunctionName::Test, test)]));
        let called = async |credentials| {
            provider(javascript::Limits::default()).call(&auth, FunctionName::Test, Map::new(), credentials).await
        };
        assert_eq!(called(Some(json!({"name": "a1"}))).await, Ok(Some(json!("a1/me"))));
        // Without credentials, there is no client.
        assert!(matches!(called(None).await, Err(ProviderError::Refused { .. })));
    }

    #[tokio::test]
    async fn a_script_without_an_end_may_be_retried() {
        let auth =
            Arc::new(context([(FunctionName::Test, script("test.js", "export default () => { while (true); };"))]));
        let limits = javascript::Limits { wall_clock: Duration::from_millis(100), ..javascript::Limits::default() };
        let ended = provider(limits).call(&auth, FunctionName::Test, Map::new(), None).await;
        assert!(matches!(ended, Err(ProviderError::Unavailable { .. })), "{ended:?}");
    }

    #[tokio::test]
    async fn lines_that_a_script_writes_to_the_console_are_logged() {
        let auth =
            Arc::new(context([(FunctionName::Test, script("test.js", "export default () => console.warn('hello');"))]));
        let lines = Lines::of("info", async {
            let called =
                provider(javascript::Limits::default()).call(&auth, FunctionName::Test, Map::new(), None).await;
            assert_eq!(called, Ok(Some(Value::Null)));
        });
        let lines = lines.await;
        let line = lines.iter().find(|line| line["message"] == "console").expect("a line");
        let shown = ["connector", "function", "consoleLevel", "text"].map(|name| &line[name]);
        assert_eq!(shown, ["crm", "test", "warn", "hello"]);
    }

    #[tokio::test]
    async fn a_value_that_the_base_uri_lacks_is_named() {
        let template = json!({"template": "https://{host}.acme.com", "values": {"host": {"$var": "credentials.host"}}});
        for base in [json!({"$var": "credentials.host"}), json!({ "$tpl": template })] {
            let client = Mapping::parse(json!({"baseUri": base, "query": {"v": "1"}})).expect("a mapping");
            let test = RestMapping::parse(&json!({"path": "/me", "method": "get"})).expect("a request");
            let functions =
                [(FunctionName::MakeApiClient, Function::Mapping(client)), (FunctionName::Test, Function::Rest(test))];
            let provider = provider(javascript::Limits::default());
            let auth = Arc::new(context(functions));
            let called = provider.call(&auth, FunctionName::Test, Map::new(), Some(json!({}))).await;
            let message = "the connector's request is invalid: `credentials.host` has no value, but the `baseUri` of the \
                           API client needs it";
            assert_eq!(called, Err(ProviderError::configuration(message)));
        }
    }

    #[tokio::test]
    async fn a_database_login_connects_to_no_private_address() {
        let login = json!({"driver": "postgres", "host": "10.0.0.1", "user": "u", "password": "p", "database": "d"});
        let login = Function::Database(DatabaseLogin::check(&login).expect("a login"));
        let auth = Arc::new(context([(FunctionName::Test, login)]));
        let called = provider(javascript::Limits::default()).call(&auth, FunctionName::Test, Map::new(), None).await;
        assert!(matches!(called, Err(ProviderError::Configuration { .. })), "{called:?}");
    }

    #[tokio::test]
    async fn a_wrong_result_is_the_providers_fault_only_if_it_answered() {
        let run = async |name, text| {
            let auth = Arc::new(context([(name, script("run.js", text))]));
            let object = provider(javascript::Limits::default()).run_for_object(&auth, name, Map::new(), None).await;
            object.expect_err("no object")
        };
        let message = "refreshCredentials did not return an object";
        let page = run(FunctionName::RefreshCredentials, "export default () => '<html>';").await;
        assert_eq!(page, ProviderError::unavailable(message));
        let nothing = run(FunctionName::RefreshCredentials, "export default () => {};").await;
        assert_eq!(nothing, ProviderError::configuration(message));
        let client = run(FunctionName::MakeApiClient, "export default () => 'https://api.example.com';").await;
        assert_eq!(client, ProviderError::configuration("makeApiClient did not return an object"));
    }
}
