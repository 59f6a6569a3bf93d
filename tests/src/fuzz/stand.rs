//! A Larder in this process for each thread, with a provider that it reaches whatever the URL, and a few things in it.

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

/// A Larder with the integration `app`.
pub(super) struct Stand {
    pub(super) world: World,
    pub(super) provider: MockProvider,
    dynamodb: Client,
    _connector: TempConnector,
}

/// After so many inputs, the next begins anew: what they leave behind is kept small.
const INPUTS: usize = 1000;

thread_local! {
    static ANSWERED: RefCell<BTreeSet<u16>> = const { RefCell::new(BTreeSet::new()) };
    static STAND: RefCell<Option<(Runtime, Stand, usize)>> = const { RefCell::new(None) };
}

/// The statuses of all responses on this thread so far: whether inputs got anywhere.
pub fn answered() -> BTreeSet<u16> {
    ANSWERED.with_borrow(Clone::clone)
}

/// Runs on this thread's stand.
pub(super) fn on_stand<T>(run: impl AsyncFnOnce(&Stand) -> T) -> T {
    STAND.with_borrow_mut(|kept| {
        let (runtime, stand, left) = kept.take().unwrap_or_else(|| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let stand = runtime.block_on(Stand::new());
            (runtime, stand, INPUTS)
        });
        let result = runtime.block_on(run(&stand));
        if left > 1 {
            *kept = Some((runtime, stand, left - 1));
        }
        result
    })
}

impl Stand {
    /// What an integration lets results be redirected to.
    pub(super) const REDIRECTS: [&str; 2] = ["https://app.example/done?from=larder", "https://other.example/"];
    /// Where end users approve.
    pub(super) const AUTHORIZE_URI: &str = "https://auth.example/authorize?tenant=a%20b&state=theirs&prompt=consent";
    /// The connection of another end user than `alice`; [`MARKER`] is in its credentials.
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

    /// Sends alice to the provider.
    pub(super) async fn begin(&self) -> Begun {
        let begin = format!("integrationKey=app&authOptionKey=oauth&customState=custom&token={}", self.world.alice);
        let response = self.request("GET", ("/connect", &begin), None, "").await;
        assert_eq!(response.status(), StatusCode::FOUND, "{}", response.body());
        let url = Url::parse(header(response.headers(), "location")).expect("a URL");
        let state = url.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
        let cookie = header(response.headers(), "set-cookie").split(';').next().unwrap_or_default().to_owned();
        Begun { state, cookie }
    }

    /// Connects alice.
    pub(super) async fn connect(&self) {
        let Begun { state, cookie } = self.begin().await;
        let query = format!("code=the-code&state={state}");
        let response = self.request("GET", ("/oauth-callback", &query), Some(("cookie", &cookie)), "").await;
        assert_eq!(response.status(), StatusCode::OK, "{}", response.body());
    }

    pub(super) fn dynamodb(&self) -> &Client {
        &self.dynamodb
    }

    /// Answers an event as the functions do behind API Gateway.
    pub(super) async fn answer(&self, event: ApiGatewayV2httpRequest) -> Response {
        let response = match read_request(event) {
            Ok(request) => self.world.bundle.handle(request).await,
            Err(error) => error.into(),
        };
        check(&response);
        response
    }

    /// Answers a request to a path with a query, a header if there is one, and a body.
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

/// A flow that waits for its end user.
pub(super) struct Begun {
    pub(super) state: String,
    /// The cookie of the browser.
    pub(super) cookie: String,
}

/// What holds of every response, whatever was asked.
fn check(response: &Response) {
    let (status, headers, body) = (response.status(), response.headers(), response.body());
    ANSWERED.with_borrow_mut(|statuses| statuses.insert(status.as_u16()));
    let told = response.extensions().get::<ErrorSummary>();
    let is_providers = told.is_some_and(|told| told.kind == ErrorType::Connection);
    assert!(!status.is_server_error() || (status == 503 && is_providers), "{status} {body}");
    let header = |name: &str| header(headers, name);
    assert_eq!(header("cache-control"), "no-store");
    if !body.is_empty() {
        assert_eq!(header("x-content-type-options"), "nosniff");
    }
    if header("content-type").starts_with("text/html") {
        assert!(header("content-security-policy").starts_with("default-src 'none'; "), "{headers:?}");
        assert_eq!(header("referrer-policy"), "no-referrer");
        // The page's own script, and the data that it reads.
        let scripts = body.matches("<script").count();
        assert!(scripts <= 2 && body.matches("</script").count() == scripts, "{body}");
        assert!(!["<img", "<iframe", "<svg", "<object"].iter().any(|tag| body.contains(tag)), "{body}");
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

/// Does what the credentials say.
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
