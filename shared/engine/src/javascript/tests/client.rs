//! Tests of `apiClient`.

use std::sync::Mutex;

use super::*;

/// Echoes each request, and remembers the configuration.
#[derive(Default)]
struct EchoOpener {
    config: Mutex<Value>,
}

struct EchoApi;

impl OpenApi for EchoOpener {
    fn open(&self, config: Value) -> Result<Arc<dyn Api>, String> {
        if config.get("baseUri").is_some_and(Value::is_number) {
            return Err("`baseUri` must be a string".to_owned());
        }
        *self.config.lock().unwrap() = config;
        Ok(Arc::new(EchoApi))
    }
}

#[async_trait::async_trait]
impl Api for EchoApi {
    async fn request(&self, request: Value) -> Result<Value, Value> {
        let path = request["path"].as_str().unwrap_or_default();
        if path == "/401" {
            let response = json!({"status": 401, "data": {"error": "expired"}});
            return Err(
                json!({"type": "connection", "key": "access_token_expired", "message": "the access token has expired", "data": {"response": response}}),
            );
        }
        if path == "/bytes" {
            return Ok(json!({"status": 200, "headers": {}, "dataBase64": "AAEC/w=="}));
        }
        if path == "/big" {
            return Ok(json!({"status": 200, "headers": {}, "data": "x".repeat(3_000_000)}));
        }
        if path == "/never" {
            std::future::pending::<()>().await;
        }
        Ok(json!({"status": 201, "headers": {"x-a": "b"}, "data": request}))
    }
}

fn arguments() -> Map<String, Value> {
    Map::from_iter([("credentials".to_owned(), json!({"access_token": "hunter2"}))])
}

async fn run(text: &str, config: ClientConfig, limits: Limits) -> (Result<Returned, ScriptFailure>, Value) {
    let echo = Arc::new(EchoOpener::default());
    let client = ApiClientSetup { config, open: Arc::clone(&echo) as Arc<dyn OpenApi> };
    let outcome = engine(limits)
        .call(ScriptCall {
            script: &script(text),
            arguments: arguments(),
            client: Some(client),
            exchange: Exchange::API,
        })
        .await;
    let config = echo.config.lock().unwrap().clone();
    (outcome, config)
}

async fn result_of(text: &str) -> Option<Value> {
    let config = ClientConfig::Value(json!({"baseUri": "https://api.example"}));
    run(text, config, Limits::default()).await.0.unwrap().value
}

fn make(text: &str) -> ClientConfig {
    let files = Files::from([("auth/make-api-client.js".to_owned(), text.to_owned())]);
    let script = Script::new(Arc::new(files), "auth/make-api-client.js", "makeApiClient");
    ClientConfig::Script(script, arguments())
}

#[tokio::test]
async fn methods_take_a_path_data_or_query_and_options() {
    let text = "export default async ({ apiClient, externalApiClient }) => [
        apiClient === externalApiClient,
        await apiClient.get('/a', { q: 1 }, { headers: { h: 'x' }, baseUri: 'https://b.example' }),
        await apiClient.post('/a', { d: 1 }, { query: { q: 2 } }),
        await apiClient.delete('/a'),
        await apiClient.request({ url: '/user', method: 'GET', params: { p: 1 } }),
        await apiClient({ path: '/c', method: 'PUT', data: [1], headers: { k: 'v' } }),
        await apiClient.get('/a', undefined, { returnFullResponse: true }),
    ]";
    assert_eq!(
        result_of(text).await,
        Some(json!([
            true,
            {"path": "/a", "method": "GET", "query": {"q": 1}, "headers": {"h": "x"}, "baseUri": "https://b.example"},
            {"path": "/a", "method": "POST", "data": {"d": 1}, "query": {"q": 2}},
            {"path": "/a", "method": "DELETE"},
            {"path": "/user", "method": "GET", "query": {"p": 1}},
            {"path": "/c", "method": "PUT", "data": [1], "headers": {"k": "v"}},
            {"status": 201, "headers": {"x-a": "b"}, "data": {"path": "/a", "method": "GET"}},
        ]))
    );
}

#[tokio::test]
async fn bytes_can_be_sent_and_received() {
    let text = "export default async ({ apiClient }) => {
        const { dataBase64 } = await apiClient.post('/a', new Uint8Array([1, 2, 3]))
        const bytes = await apiClient.get('/bytes', {}, { responseType: 'arraybuffer' })
        const chunks = []
        for await (const chunk of await apiClient.get('/bytes', {}, { responseType: 'stream' })) chunks.push(...chunk)
        return [dataBase64, Array.from(new Uint8Array(bytes)), chunks]
    }";
    assert_eq!(result_of(text).await, Some(json!(["AQID", [0, 1, 2, 255], [0, 1, 2, 255]])));
}

#[tokio::test]
async fn failed_requests_throw_with_type_key_and_location() {
    let text =
        "export default async ({ apiClient }) => {\n  await apiClient.get('/ok')\n  await apiClient.get('/401')\n}";
    let failure = run(text, ClientConfig::Value(json!({})), Limits::default()).await.0.unwrap_err();
    let JavaScriptError::Thrown(thrown) = failure.error else { panic!("{failure:?}") };
    assert_eq!(type_and_key(&thrown), (Some("connection"), Some("access_token_expired")));
    assert_eq!(
        (thrown.message.as_str(), thrown.at.as_deref()),
        ("the access token has expired", Some("auth/test.js:3:19"))
    );
    let caught = "export default async ({ apiClient }) => { try { await apiClient.get('/401') } catch (e) { return [e instanceof Error, e.status, e.response.data.error, e.key] } }";
    assert_eq!(result_of(caught).await, Some(json!([true, 401, "expired", "access_token_expired"])));
}

#[tokio::test]
async fn make_api_client_returns_a_config_directly_or_under_args() {
    for text in [
        "export default ({ credentials }) => ({ args: { baseUri: 'https://x.example', headers: { Authorization: `Bearer ${credentials.access_token}` } } })",
        "module.exports = async ({ credentials }) => ({ baseUri: 'https://x.example', headers: { Authorization: `Bearer ${credentials.access_token}` } })",
    ] {
        let (outcome, config) =
            run("export default ({ apiClient }) => apiClient.get('/a')", make(text), Limits::default()).await;
        assert_eq!(outcome.unwrap().value, Some(json!({"path": "/a", "method": "GET"})));
        assert_eq!(config, json!({"baseUri": "https://x.example", "headers": {"Authorization": "Bearer hunter2"}}));
    }
}

#[tokio::test]
async fn make_api_client_may_return_functions_or_its_own_client() {
    let dynamic = make(
        "export default () => ({ baseUri: 'https://x.example', dynamicOptions: (input) => ({ headers: { path: input.path }, query: { v: 1 } }) })",
    );
    let (outcome, _) =
        run("export default ({ apiClient }) => apiClient.get('/a', { q: 2 })", dynamic, Limits::default()).await;
    assert_eq!(
        outcome.unwrap().value,
        Some(json!({"path": "/a", "method": "GET", "headers": {"path": "/a"}, "query": {"v": 1, "q": 2}}))
    );
    let on_error = make(
        "export default () => ({ onError(error) { throw Object.assign(new Error('mine'), { key: error.key + '!' }) } })",
    );
    let (outcome, _) =
        run("export default ({ apiClient }) => apiClient.get('/401')", on_error, Limits::default()).await;
    assert!(
        matches!(outcome.unwrap_err().error, JavaScriptError::Thrown(thrown) if type_and_key(&thrown).1 == Some("access_token_expired!"))
    );
    let own =
        make("export default ({ credentials }) => ({ get: async (path) => path + credentials.access_token.length })");
    let (outcome, _) = run("export default ({ apiClient }) => apiClient.get('/a')", own, Limits::default()).await;
    assert_eq!(outcome.unwrap().value, Some(json!("/a7")));
}

#[tokio::test]
async fn clients_that_cannot_be_created_have_a_reason() {
    let (outcome, _) =
        run("export default () => 1", ClientConfig::Value(json!({"baseUri": 5})), Limits::default()).await;
    assert_eq!(
        outcome.unwrap_err().error,
        JavaScriptError::Client { message: "`baseUri` must be a string".to_owned() }
    );
    let (outcome, _) =
        run("export default () => 1", make("export default () => { throw new Error('no') }"), Limits::default()).await;
    let JavaScriptError::Thrown(thrown) = outcome.unwrap_err().error else { panic!() };
    assert!(thrown.at.unwrap().starts_with("auth/make-api-client.js:1:"));
}

#[tokio::test]
async fn requests_bodies_responses_and_waiting_are_limited() {
    let limits = Limits {
        wall_clock: Duration::from_millis(500),
        response_bytes: 5_000_000,
        request_bytes: 1000,
        ..Limits::default()
    };
    let loops = |request: &str| {
        format!("export default async ({{ apiClient }}) => {{ for (;;) try {{ await {request} }} catch {{}} }}")
    };
    for (text, part) in [
        (loops("apiClient.get('/a')"), "more than 50 requests"),
        (loops("apiClient.get('/big')"), "responses of more than 5000000 bytes"),
        (loops("apiClient.post('/a', 'x'.repeat(1000))"), "a request body of more than 1000 bytes"),
        (
            "export default ({ apiClient }) => Promise.all(Array.from({ length: 51 }, () => apiClient.get('/a')))"
                .to_owned(),
            "50 requests",
        ),
    ] {
        let limits = Limits { wall_clock: Duration::from_secs(20), ..limits };
        let error = run(&text, ClientConfig::Value(json!({})), limits).await.0.unwrap_err().error;
        assert!(matches!(&error, JavaScriptError::Limit { what } if what.contains(part)), "{text}: {error:?}");
    }
    let never = "export default ({ apiClient }) => apiClient.get('/never')";
    let error = run(never, ClientConfig::Value(json!({})), limits).await.0.unwrap_err().error;
    assert_eq!(error, JavaScriptError::Timeout { seconds: 0.5 });
}

#[tokio::test]
async fn client_requests_count_as_soon_as_they_are_created() {
    let config = || ClientConfig::Value(json!({}));
    for (text, limits, part) in [
        (
            "export default async ({ apiClient }) => { for (let i = 0; i < 51; i++) apiClient.get('/never'); await new Promise(() => {}) }",
            Limits::default(),
            "more than 50 requests",
        ),
        (
            "export default async ({ apiClient }) => { for (let i = 0; i < 5; i++) apiClient.post('/never', 'x'.repeat(1000)); await new Promise(() => {}) }",
            Limits { waiting_bytes: 4000, ..Limits::default() },
            "pending requests of more than 4000 bytes",
        ),
        (
            "export default ({ apiClient }) => apiClient.post('/', Array(300_000).fill(0))",
            Limits::default(),
            "a request of more than 200000 values",
        ),
    ] {
        let error = run(text, config(), limits).await.0.unwrap_err().error;
        assert!(matches!(&error, JavaScriptError::Limit { what } if what.contains(part)), "{text}: {error:?}");
    }
    let few = "export default async ({ apiClient }) => { await apiClient.post('/', Array(100_000).fill(0)); return 1 }";
    assert_eq!(run(few, config(), Limits::default()).await.0.unwrap().value, Some(json!(1)));
}

#[tokio::test]
async fn api_requests_that_are_not_objects_are_errors() {
    for json in ["[]", "'text'", "1", "null", "undefined"] {
        let text = format!(
            "export default async ({{ apiClient }}) => {{ Object.prototype.toJSON = () => {json}; await apiClient.post('/', new Uint8Array(3)) }}"
        );
        let failure = run(&text, ClientConfig::Value(json!({})), Limits::default()).await.0.unwrap_err();
        assert!(matches!(failure.error, JavaScriptError::Thrown(_)), "{text}: {failure:?}");
    }
}
