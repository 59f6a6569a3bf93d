//! The API client that a connector's functions use. It sends requests with the connection's credentials, interprets the
//! responses, and refreshes expired credentials once.
//!
//! # Decisions
//!
//! If a `test` or `disconnect` of a stored connection finds the access token expired, the session obtains new
//! credentials through `Reauthorize` and tries once more. That is a forced refresh with a lease of its own, so it
//! observes the minimum interval and stores its result. While a connection is being created or refreshed, there is
//! nothing to refresh, and the failure is reported.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, header};
use larder::error::Error;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;
use url::Url;

use super::auth::with_credentials;
use super::error::AFTER_LOST_ANSWER;
use super::functions::{limits_of, read_client};
use super::{ConnectorContext, Provider, ProviderError, SignedToken, unfit};
use crate::connector::{
    ApiClient, ApiRequest, ApiResponse, AuthType, ErrorKey, Function, FunctionName, Reading, Refused, ResponseError,
    RestError, TokenHeaders,
};
use crate::egress::{Limits, Permit, Response};
use crate::javascript::{Api, OpenApi};
use crate::oauth1::{OAuth1Config, SignatureMethod};
use crate::response::{self, header_text, parse_http_date};

/// Refreshes the credentials of the connection in use.
#[async_trait]
pub trait Reauthorize: Send + Sync {
    /// Returns new credentials, or `None` if they cannot be refreshed now.
    async fn reauthorize(&self) -> Option<Value>;
}

/// The API client of one function call or one test.
pub(super) struct ApiSession {
    provider: Provider,
    auth: Arc<ConnectorContext>,
    /// The function that makes the requests.
    name: FunctionName,
    reauthorize: Option<Arc<dyn Reauthorize>>,
    called_at: Instant,
    state: Mutex<SessionState>,
}

struct SessionState {
    credentials: Value,
    /// The result of `makeApiClient` for these credentials, created on the first request.
    client: Option<ApiClient>,
    /// The configuration for signing OAuth 1.0a requests, created on the first request.
    oauth1: Option<Arc<OAuth1Config>>,
    is_renewed: bool,
    /// The permit for large responses, held from the first one on.
    permit: Option<Permit>,
    /// The provider's time in its last response.
    date: Option<OffsetDateTime>,
    /// The response to a `test`, for `getAccount`.
    response: Option<Value>,
}

impl SessionState {
    fn new(credentials: Value) -> Self {
        Self { credentials, client: None, oauth1: None, is_renewed: false, permit: None, date: None, response: None }
    }
}

/// Why there is no usable response.
pub(super) enum ApiError {
    /// The response is an error.
    Response { error: ResponseError, request: Value, response: ApiResponse },
    /// There is no response, or the request was never sent.
    Provider(ProviderError),
}

impl Provider {
    /// Creates the API client that a function gets, with these credentials.
    pub(super) fn api(
        &self,
        auth: &Arc<ConnectorContext>,
        name: FunctionName,
        credentials: Value,
        reauthorize: Option<Arc<dyn Reauthorize>>,
    ) -> Arc<ApiSession> {
        let auth = auth.owner_of(name);
        let credentials = auth.shown_to(name, credentials);
        let state = SessionState::new(credentials);
        Arc::new(ApiSession {
            provider: self.clone(),
            auth,
            name,
            reauthorize,
            called_at: Instant::now(),
            state: Mutex::new(state),
        })
    }
}

impl ApiSession {
    /// Creates a client for requests before there are credentials.
    pub(super) fn bare(provider: Provider, auth: Arc<ConnectorContext>, name: FunctionName) -> Self {
        let client = Some(ApiClient::default());
        let state = SessionState { client, is_renewed: true, ..SessionState::new(Value::Null) };
        Self { provider, auth, name, reauthorize: None, called_at: Instant::now(), state: Mutex::new(state) }
    }

    /// Returns the connector that owns this API client.
    pub(super) fn auth(&self) -> &Arc<ConnectorContext> {
        &self.auth
    }

    /// Returns the credentials in use.
    pub(super) fn credentials(&self) -> Value {
        self.state().credentials.clone()
    }

    /// Keeps the response to a `test`.
    pub(super) fn keep_response(&self, response: Value) {
        self.state().response = Some(response);
    }

    /// Takes the response to a `test`.
    pub(super) fn take_response(&self) -> Option<Value> {
        self.state().response.take()
    }

    /// Returns the `Date` of the last response (RFC 9110 §6.6.1).
    pub(super) fn date(&self) -> Option<OffsetDateTime> {
        self.state().date
    }

    /// Sends a request. If the response says that the access token has expired, the credentials are refreshed once and the
    /// request is repeated. With `doubts_success`, a 2xx that returns credentials is checked for errors, too.
    pub(super) async fn send(&self, request: &ApiRequest, doubts_success: bool) -> Result<ApiResponse, ApiError> {
        let client = self.client().await?;
        match self.exchange(request, &client, doubts_success).await {
            Err(error) if error.is_expired() => match self.renewed_client().await {
                Some(client) => self.exchange(request, &client?, doubts_success).await,
                None => Err(error),
            },
            result => result,
        }
    }

    async fn exchange(
        &self,
        request: &ApiRequest,
        client: &ApiClient,
        doubts_success: bool,
    ) -> Result<ApiResponse, ApiError> {
        unfit::check(&self.auth, self.name, &self.credentials(), request, client)?;
        let mut request = request.build(client).map_err(|error| self.explained(error)).map_err(ProviderError::from)?;
        if let Some(token) = &self.auth.token {
            add_token(token, &mut request)?;
        }
        if *self.auth.kind() == AuthType::OAuth1 {
            let config = self.oauth1().await?;
            self.protect_lender_secret(&config, request.uri())?;
            self.provider.sign(&config, &self.credentials(), &mut request)?;
        }
        let uri = request.uri().clone();
        let asked = json!({"method": request.method().as_str(), "url": public_url(&uri)});
        let limits = Limits { has_permit: self.state().permit.is_some(), ..limits_of(self.name) };
        // A formula that blocked the thread may have delayed all timeouts. By now, the connection may be refreshed elsewhere.
        if self.called_at.elapsed() > Provider::DEADLINE {
            let message = format!("{} took too long to make a request", self.name.spec_key());
            return Err(ProviderError::unavailable(message).into());
        }
        let answer = self.provider.egress.send(request, limits).await.map_err(ProviderError::from)?;
        let Response { status, headers, body, is_second, permit } = answer;
        {
            let mut state = self.state();
            state.date = header_text(&headers, header::DATE).and_then(parse_http_date);
            state.permit = permit.or_else(|| state.permit.take());
        }
        let redirect = response::redirect_target(status.as_u16(), &headers, &uri);
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let response = ApiResponse::new(status.as_u16(), headers, body);
        let response = if self.name.asks_for_tokens() { response.of_tokens() } else { response };
        let (rules, redirect) = (self.auth.error_rules(self.name), redirect.as_deref());
        let reading = Reading { rules, doubts_success, redirect, now: self.provider.clock.now() };
        client.judge(response, reading).map_err(|refused| {
            let Refused { mut error, response } = *refused;
            if is_second {
                error.message.push_str(AFTER_LOST_ANSWER);
            }
            ApiError::Response { error, request: asked, response }
        })
    }

    /// Names the value that is missing if the API client has no usable base URI.
    fn explained(&self, error: RestError) -> RestError {
        let Some(Function::Mapping(client)) = self.auth.function(FunctionName::MakeApiClient) else { return error };
        let arguments = self.auth.arguments(FunctionName::MakeApiClient, with_credentials(self.credentials()));
        let missing = || client.undefined_in("baseUri", &Value::Object(arguments));
        match error {
            RestError::NoBaseUri | RestError::InvalidUrl => missing().map_or(error, RestError::MissingInBaseUri),
            error => error,
        }
    }

    /// Rejects PLAINTEXT signatures of a lender's client on requests to other hosts than the lender's own provider. Such a
    /// signature is the client's secret itself (RFC 5849 §3.4.4), and a borrower chooses where its requests go.
    fn protect_lender_secret(&self, config: &OAuth1Config, uri: &http::Uri) -> Result<(), ProviderError> {
        let is_lenders = || Url::parse(&uri.to_string()).is_ok_and(|url| url.origin() == config.token_uri.origin());
        if self.auth.lender.is_some() && config.signature_method == SignatureMethod::Plaintext && !is_lenders() {
            let message = "the auth proxy's PLAINTEXT signature would reveal its secret to a host other than that of its \
                           `tokenUri`; it must use another `signatureMethod`";
            return Err(ProviderError::configuration(message));
        }
        Ok(())
    }

    async fn oauth1(&self) -> Result<Arc<OAuth1Config>, ProviderError> {
        if let Some(config) = &self.state().oauth1 {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.provider.oauth1_config(&self.auth, None).await?);
        self.state().oauth1 = Some(Arc::clone(&config));
        Ok(config)
    }

    async fn client(&self) -> Result<ApiClient, ApiError> {
        let credentials = {
            let state = self.state();
            match &state.client {
                Some(client) => return Ok(client.clone()),
                None => state.credentials.clone(),
            }
        };
        let client = self.provider.api_client(&self.auth, &credentials).await?;
        self.state().client = Some(client.clone());
        Ok(client)
    }

    /// Returns a client with refreshed credentials, unless they cannot be refreshed or already have been.
    async fn renewed_client(&self) -> Option<Result<ApiClient, ApiError>> {
        let reauthorize = self.reauthorize.as_ref()?;
        if std::mem::replace(&mut self.state().is_renewed, true) {
            return None;
        }
        let credentials = self.auth.shown_to(self.name, reauthorize.reauthorize().await?);
        {
            let mut state = self.state();
            state.credentials = credentials;
            state.client = None;
        }
        Some(self.client().await)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, SessionState> {
        self.state.lock().expect("nothing panics while holding the lock")
    }
}

impl OpenApi for Arc<ApiSession> {
    fn open(&self, config: Value) -> Result<Arc<dyn Api>, String> {
        let client = read_client(&config).map_err(|error| error.to_string())?;
        self.state().client = Some(client);
        Ok(Arc::clone(self) as Arc<dyn Api>)
    }
}

#[async_trait]
impl Api for ApiSession {
    async fn request(&self, request: Value) -> Result<Value, Value> {
        let wants_bytes =
            request.get("responseType").is_some_and(|wanted| wanted == "arraybuffer" || wanted == "stream");
        let request =
            ApiRequest::from_value(&request).map_err(|error| ApiError::Provider(error.into()).into_value())?;
        // A script can check a 200 for errors itself.
        let response = self.send(&request, false).await.map_err(ApiError::into_value)?;
        let mut answer = json!({"status": response.status, "headers": response.header_map()});
        if wants_bytes {
            answer["dataBase64"] = STANDARD.encode(&response.body).into();
        } else {
            answer["data"] = response.into_data();
        }
        Ok(answer)
    }
}

impl ApiError {
    fn is_expired(&self) -> bool {
        matches!(self, Self::Response { error, .. } if error.key == Some(ErrorKey::AccessTokenExpired))
    }

    /// Converts the error to the value that a script catches.
    fn into_value(self) -> Value {
        match self {
            Self::Response { error, request, response } => {
                let headers = response.header_map();
                let mut value = json!({
                    "type": "connection",
                    "message": error.message,
                    "data": {"request": request, "response": {"status": error.status, "headers": headers}},
                });
                value["data"]["response"]["data"] = response.into_data();
                if let Some(key) = error.key {
                    value["key"] = key.name().into();
                }
                value
            }
            Self::Provider(error) => serde_json::to_value(Error::from(error)).unwrap_or_default(),
        }
    }
}

impl From<ApiError> for ProviderError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Response { error, .. } => error.into(),
            ApiError::Provider(error) => error,
        }
    }
}

impl From<ProviderError> for ApiError {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

/// Returns a URL without its query, which may contain a key.
fn public_url(uri: &http::Uri) -> String {
    format!("{}://{}{}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default(), uri.path())
}

/// Adds a signed token to a request's headers.
fn add_token(token: &SignedToken, request: &mut http::Request<Vec<u8>>) -> Result<(), ProviderError> {
    let mut value = HeaderValue::from_str(token.token.expose())
        .map_err(|_| ProviderError::configuration("the signed token has characters that a header cannot contain"))?;
    value.set_sensitive(true);
    if token.headers == TokenHeaders::Both {
        request.headers_mut().insert("x-membrane-token", value.clone());
    }
    request.headers_mut().insert("x-integration-app-token", value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use larder::secret::Secret;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::super::testing::{context, provider};
    use super::*;
    use crate::javascript;

    #[tokio::test]
    async fn a_function_sends_nothing_after_thirty_seconds() {
        let sent = async |seconds| {
            let provider = provider(javascript::Limits::default());
            let bare = ApiSession::bare(provider, Arc::new(context([])), FunctionName::Test);
            let session = ApiSession { called_at: Instant::now() - Duration::from_secs(seconds), ..bare };
            let request = ApiRequest { path: "http://10.0.0.1/".into(), ..ApiRequest::default() };
            session.send(&request, false).await.err().map(|error| ProviderError::from(error).to_string())
        };
        let late = sent(31).await.expect("an error");
        assert_eq!(late, "test took too long to make a request");
        let in_time = sent(20).await.expect("an error");
        assert!(in_time.starts_with("requests to 10.0.0.1 are not allowed"), "{in_time}");
    }

    /// Starts a server that answers every request with this body, and returns its URL.
    async fn answering(body: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        url
    }

    #[tokio::test]
    async fn a_session_needs_one_permit_for_all_its_large_responses() {
        let url = answering(format!("\"{}\"", "x".repeat(70_000))).await;
        let (provider, auth) = (provider(javascript::Limits::default()), Arc::new(context([])));
        let session = || ApiSession::bare(provider.clone(), Arc::clone(&auth), FunctionName::Test);
        let is_answered = async |session: &ApiSession, seconds| {
            let request = session.request(json!({ "url": url }));
            timeout(Duration::from_secs(seconds), request).await.is_ok_and(|answer| answer.is_ok())
        };
        let sessions: Vec<_> = (0..8).map(|_| session()).collect();
        for session in &sessions {
            assert!(is_answered(session, 15).await);
        }
        assert!(!is_answered(&session(), 1).await, "eight sessions hold all the permits");
        for session in &sessions {
            assert!(is_answered(session, 15).await);
        }
    }

    #[tokio::test]
    async fn scripts_get_binary_responses_in_base64() {
        let url = answering("[1]".to_owned()).await;
        let provider = provider(javascript::Limits::default());
        let session = ApiSession::bare(provider, Arc::new(context([])), FunctionName::Test);
        for (wanted, expected) in [("arraybuffer", true), ("stream", true), ("json", false)] {
            let answer = session.request(json!({"url": url, "responseType": wanted})).await.expect("a response");
            assert_eq!(
                (answer["dataBase64"] == "WzFd", answer.get("data").is_some()),
                (expected, !expected),
                "{answer}"
            );
        }
    }

    #[test]
    fn a_lenders_plaintext_secret_goes_only_to_its_own_provider() {
        let allows = |method: &str, is_lent: bool, uri: &str| {
            let config = OAuth1Config::from_value(&json!({
                "consumerKey": "key",
                "consumerSecret": "hunter2",
                "requestTokenUri": "https://lender.example.com/request",
                "authorizeUri": "https://lender.example.com/authorize",
                "tokenUri": "https://lender.example.com/token",
                "signatureMethod": method,
            }));
            let lender = is_lent.then(|| Arc::new(context([])));
            let auth = Arc::new(ConnectorContext { lender, ..context([]) });
            let session = ApiSession::bare(provider(javascript::Limits::default()), auth, FunctionName::Test);
            let uri = uri.parse().expect("a URL");
            session.protect_lender_secret(&config.expect("a configuration"), &uri).is_ok()
        };
        let (own, other) = ("https://lender.example.com/me", "https://borrower.example.com/me");
        assert!(!allows("PLAINTEXT", true, other));
        assert!(!allows("PLAINTEXT", true, "https://lender.example.com:8443/me"));
        assert!(allows("PLAINTEXT", true, own));
        assert!(allows("PLAINTEXT", false, other));
        assert!(allows("HMAC-SHA1", true, other));
    }

    #[test]
    fn urls_in_errors_have_no_query_user_or_port() {
        let uri = "https://user:hunter2@api.example.com:8443/v1/me?key=hunter3".parse().expect("a URL");
        assert_eq!(public_url(&uri), "https://api.example.com/v1/me");
    }

    #[test]
    fn a_signed_token_goes_into_one_header_or_both() {
        let names = |headers| {
            let mut request = http::Request::new(Vec::new());
            let token = SignedToken { token: Secret::new("hunter2"), headers };
            add_token(&token, &mut request).expect("headers");
            let mut names: Vec<_> = request.headers().keys().map(ToString::to_string).collect();
            names.sort();
            assert!(request.headers().values().all(|value| value == "hunter2" && value.is_sensitive()));
            names
        };
        assert_eq!(names(TokenHeaders::Both), ["x-integration-app-token", "x-membrane-token"]);
        assert_eq!(names(TokenHeaders::Legacy), ["x-integration-app-token"]);
    }
}
