//! A Larder for each thread, with a mock provider for all URLs, an integration and a connection.

use std::cell::RefCell;
use std::collections::BTreeSet;

use aws_sdk_dynamodb::Client;
use http::{HeaderMap, Method, StatusCode};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use larder::error::{ErrorSummary, ErrorType};
use larder::http::Response;
use larder::lambda::read_request;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::MARKER;
use crate::{MockProvider, TempConnector, World};

/// A Larder with the integration `app` and a mock provider.
pub(super) struct TestBed {
    pub(super) world: World,
    pub(super) provider: MockProvider,
    dynamodb: Client,
    _connector: TempConnector,
}

/// The number of inputs after which a thread gets a new test bed, so that leftovers do not pile up.
const INPUTS: usize = 1000;

thread_local! {
    static ANSWERED: RefCell<BTreeSet<u16>> = const { RefCell::new(BTreeSet::new()) };
    static TEST_BED: RefCell<Option<(Runtime, TestBed, usize)>> = const { RefCell::new(None) };
}

/// Returns the statuses of all responses on this thread, which show whether inputs reached deeper code.
pub fn answered() -> BTreeSet<u16> {
    ANSWERED.with_borrow(Clone::clone)
}

/// Runs a future with this thread's test bed.
pub(super) fn on_test_bed<T>(run: impl AsyncFnOnce(&TestBed) -> T) -> T {
    TEST_BED.with_borrow_mut(|kept| {
        let (runtime, bed, left) = kept.take().unwrap_or_else(|| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let bed = runtime.block_on(TestBed::new());
            (runtime, bed, INPUTS)
        });
        let result = runtime.block_on(run(&bed));
        if left > 1 {
            *kept = Some((runtime, bed, left - 1));
        }
        result
    })
}

impl TestBed {
    /// The integration's redirect URIs.
    pub(super) const REDIRECTS: [&str; 2] = ["https://app.example/done?from=larder", "https://other.example/"];
    /// The provider's authorize URI.
    pub(super) const AUTHORIZE_URI: &str = "https://auth.example/authorize?tenant=a%20b&state=theirs&prompt=consent";
    /// The connection of the end user `bob`, whose credentials contain [`MARKER`].
    pub(super) const BOBS: &str = "bobs";

    async fn new() -> Self {
        let provider = MockProvider::start().await;
        let port = Url::parse(&provider.uri("/")).ok().and_then(|url| url.port()).expect("a port");
        let connector = TempConnector::new(&[("spec.yml", &SPEC.replace("CODE", &json!(CODE).to_string()))]);
        let world = World::rerouted(port, vec![connector.path().to_owned()]).await;
        let integration = json!({
            "connectorKey": "app", "redirectUris": Self::REDIRECTS,
            "parameters": {"clientSecret": MARKER, "authorizeUri": Self::AUTHORIZE_URI},
        });
        let answer = world.send(Method::PUT, "/integrations/app", &world.admin, Some(&integration)).await;
        answer.expect(StatusCode::CREATED);
        let bob = world.token("bob").await;
        let credentials = json!({"credentials": {"key": MARKER}});
        let uri = format!("/credentials?connectionId={}", Self::BOBS);
        world.send(Method::PUT, &uri, &bob, Some(&credentials)).await.expect(StatusCode::CREATED);
        Self { dynamodb: world.dynamodb(), world, provider, _connector: connector }
    }

    /// Starts a flow as alice.
    pub(super) async fn begin(&self) -> StartedFlow {
        let begin = format!("integrationKey=app&authOptionKey=oauth&customState=custom&token={}", self.world.alice);
        let response = self.request("GET", ("/connect", &begin), None, "").await;
        assert_eq!(response.status(), StatusCode::FOUND, "{}", response.body());
        let url = Url::parse(header(response.headers(), "location")).expect("a URL");
        let state = url.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
        let cookie = header(response.headers(), "set-cookie").split(';').next().unwrap_or_default().to_owned();
        StartedFlow { state, cookie }
    }

    /// Connects alice.
    pub(super) async fn connect(&self) {
        let StartedFlow { state, cookie } = self.begin().await;
        let query = format!("code=the-code&state={state}");
        let response = self.request("GET", ("/oauth-callback", &query), Some(("cookie", &cookie)), "").await;
        assert_eq!(response.status(), StatusCode::OK, "{}", response.body());
    }

    pub(super) fn dynamodb(&self) -> &Client {
        &self.dynamodb
    }

    /// Answers an event, like the functions behind API Gateway.
    pub(super) async fn answer(&self, event: ApiGatewayV2httpRequest) -> Response {
        let response = match read_request(event) {
            Ok(request) => self.world.bundle.handle(request).await,
            Err(error) => error.into(),
        };
        check(&response);
        response
    }

    /// Answers a request to a path with a query, an optional header, and a body.
    pub(super) async fn request(
        &self,
        method: &str,
        (path, query): (&str, &str),
        header: Option<(&str, &str)>,
        body: &str,
    ) -> Response {
        let event: Value = json!({
            "version": "2.0", "rawPath": path, "rawQueryString": query, "isBase64Encoded": false, "body": body,
            "headers": {"host": "larder.example"},
            "requestContext": {"stage": "$default", "http": {"method": method, "path": path}},
        });
        let mut event: ApiGatewayV2httpRequest = serde_json::from_value(event).expect("an event");
        if let Some((name, value)) = header {
            let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
            event.headers.insert(name, value.parse().expect("a value"));
        }
        self.answer(event).await
    }
}

/// A flow that waits for its end user's approval.
pub(super) struct StartedFlow {
    pub(super) state: String,
    /// The browser's cookie.
    pub(super) cookie: String,
}

/// Checks the invariants of every response.
fn check(response: &Response) {
    let (status, headers, body) = (response.status(), response.headers(), response.body());
    ANSWERED.with_borrow_mut(|statuses| statuses.insert(status.as_u16()));
    let error = response.extensions().get::<ErrorSummary>();
    let is_providers = error.is_some_and(|error| error.kind == ErrorType::Connection);
    assert!(!status.is_server_error() || (status == 503 && is_providers), "{status} {body}");
    let header = |name: &str| header(headers, name);
    assert_eq!(header("cache-control"), "no-store");
    if !body.is_empty() {
        assert_eq!(header("x-content-type-options"), "nosniff");
    }
    if header("content-type").starts_with("text/html") {
        assert!(header("content-security-policy").starts_with("default-src 'none'; "), "{headers:?}");
        // Our own forms need an origin.
        let referrer = if body.contains("<form") { "same-origin" } else { "no-referrer" };
        assert_eq!(header("referrer-policy"), referrer);
        // The page's own script and its data.
        let scripts = body.matches("<script").count();
        assert!(scripts <= 2 && body.matches("</script").count() == scripts, "{body}");
        assert!(!["<img", "<iframe", "<object"].iter().any(|tag| body.contains(tag)), "{body}");
        let signs = body.matches("<svg class=\"sign ").count();
        assert!(signs <= 1 && body.matches("<svg").count() == signs, "{body}");
    } else if !body.is_empty() {
        assert!(serde_json::from_str::<Value>(body).is_ok(), "{body}");
    }
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

const SPEC: &str = "
name: App
parametersSchema:
  type: object
  properties: { clientSecret: { type: string }, authorizeUri: { type: string } }
auth:
  options:
    oauth:
      type: oauth2
      getOAuthConfig:
        mapping:
          clientId: the-client
          clientSecret: { $var: connectorParameters.clientSecret }
          authorizeUri: { $var: connectorParameters.authorizeUri }
          tokenUri: https://auth.example/token
          scopes: [read, write]
      makeApiClient: { mapping: { baseUri: https://api.example } }
    key:
      type: client-credentials
      inputSchema:
        type: object
        properties: { apiKey: { type: string, minLength: 3 }, port: { type: integer, default: 1 } }
        required: [apiKey]
      makeApiClient:
        mapping: { baseUri: https://api.example, headers: { X-Key: { $var: credentials.apiKey } } }
    script:
      type: client-credentials
      makeApiClient: { mapping: { baseUri: https://api.example } }
      refreshCredentials: { code: &code CODE }
    listed:
      type: client-credentials
      makeApiClient: { mapping: { baseUri: https://api.example } }
      refreshCredentials:
        code: *code
        permanentErrors: [gone, 190, is over]
        transientErrors: [busy, already being processed]
        refreshMargin: 25
        defaultExpiresIn: 600
";

/// A script that returns or throws what the credentials say.
const CODE: &str = r#"
const cycle = {};
cycle.cycle = cycle;
const odd = {
    "<undefined>": undefined, "<NaN>": NaN, "<Infinity>": Infinity, "<-0>": -0, "<BigInt>": 1n, "<Date>": new Date(0),
    "<function>": () => 1, "<Symbol>": Symbol("a"), "<Map>": new Map([["retry-after", "30"]]), "<bytes>": new Uint8Array([1, 2]),
    "<surrogate>": "\ud800", "<cycle>": cycle, "<promise>": Promise.resolve("a"), "<rejected>": { then: (_, no) => no("a") },
    "<getter>": { get a() { throw new Error("a getter"); } }, "<toJSON>": { toJSON: () => ({ access_token: "json" }) },
    "<huge>": "x".repeat(400_000), "<deep>": JSON.parse("[".repeat(5000) + "]".repeat(5000)),
    "<proxy>": new Proxy({}, { ownKeys: () => { throw new Error("a proxy"); } }),
};
const fill = (value) => {
    if (typeof value === "string") return value in odd ? odd[value] : value;
    if (Array.isArray(value)) return value.map(fill);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, fill(member)]));
};
export default function refreshCredentials({ credentials }) {
    const outcome = fill(JSON.parse(credentials.outcome));
    if (!("throws" in outcome)) return outcome.returns;
    const thrown = outcome.throws;
    if (thrown === null || typeof thrown !== "object" || Array.isArray(thrown)) throw thrown;
    throw Object.assign(new Error("a failure"), thrown);
}
"#;
