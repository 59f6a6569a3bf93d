//! The API client that a connector's functions call: requests with the connection's credentials, what the responses
//! mean, and one renewal of credentials that have expired.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde_json::{Value, json};

use super::functions::read_client;
use super::{Auth, Provider, ProviderError, SignedToken};
use crate::connector::{ApiClient, ApiRequest, ApiResponse, AuthType, ErrorKey, ResponseError, TokenHeaders};
use crate::egress::{Limits, Response};
use crate::error::Error;
use crate::javascript::{Api, OpenApi};

/// Renews the credentials of the connection that is used.
#[async_trait]
pub trait Reauthorize: Send + Sync {
    /// The new credentials; `None` where they cannot be renewed now.
    async fn reauthorize(&self) -> Option<Value>;
}

/// The requests of one function call, or of one test.
pub(super) struct ApiSession {
    provider: Provider,
    auth: Arc<Auth>,
    reauthorize: Option<Arc<dyn Reauthorize>>,
    state: Mutex<State>,
}

struct State {
    credentials: Value,
    /// What `makeApiClient` returned for them; made on the first request.
    client: Option<ApiClient>,
    is_renewed: bool,
}

/// Why there is no usable response.
pub(super) enum ApiError {
    /// The response is no success.
    Response { error: ResponseError, request: Value, data: Value },
    /// There is none, or no request.
    Provider(ProviderError),
}

impl Provider {
    /// The API client of a connection with these credentials.
    pub(super) fn api(
        &self,
        auth: &Arc<Auth>,
        credentials: Value,
        reauthorize: Option<Arc<dyn Reauthorize>>,
    ) -> Arc<ApiSession> {
        Arc::new(ApiSession::new(self.clone(), Arc::clone(auth), credentials, reauthorize))
    }
}

impl ApiSession {
    /// Requests with the client that `makeApiClient` makes of these credentials.
    fn new(provider: Provider, auth: Arc<Auth>, credentials: Value, reauthorize: Option<Arc<dyn Reauthorize>>) -> Self {
        let state = Mutex::new(State { credentials, client: None, is_renewed: false });
        Self { provider, auth, reauthorize, state }
    }

    /// Requests before there are credentials.
    pub(super) fn bare(provider: Provider, auth: Arc<Auth>) -> Self {
        let state = State { credentials: Value::Null, client: Some(ApiClient::default()), is_renewed: true };
        Self { provider, auth, reauthorize: None, state: Mutex::new(state) }
    }

    /// The credentials in use.
    pub(super) fn credentials(&self) -> Value {
        self.state().credentials.clone()
    }

    /// Sends a request. Where the answer is that the access token has expired, the credentials are renewed once, and
    /// the request is sent again.
    pub(super) async fn send(&self, request: &ApiRequest) -> Result<ApiResponse, ApiError> {
        let client = self.client().await?;
        match self.exchange(request, &client).await {
            Err(error) if error.is_expired() => match self.renewed_client().await {
                Some(client) => self.exchange(request, &client?).await,
                None => Err(error),
            },
            result => result,
        }
    }

    async fn exchange(&self, request: &ApiRequest, client: &ApiClient) -> Result<ApiResponse, ApiError> {
        let mut request = request.build(client).map_err(ProviderError::from)?;
        if let Some(token) = &self.auth.token {
            carry(token, &mut request)?;
        }
        if *self.auth.kind() == AuthType::OAuth1 {
            self.provider.sign(&self.auth, &self.credentials(), &mut request).await?;
        }
        let asked = json!({"method": request.method().as_str(), "url": public_url(request.uri())});
        let Response { status, headers, body } =
            self.provider.egress.send(request, Limits::API).await.map_err(ProviderError::from)?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let response = ApiResponse::new(status.as_u16(), headers, body);
        let data = response.data.clone();
        client.judge(response).map_err(|error| ApiError::Response { error, request: asked, data })
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

    /// A client with renewed credentials, if they can be renewed and have not been.
    async fn renewed_client(&self) -> Option<Result<ApiClient, ApiError>> {
        let reauthorize = self.reauthorize.as_ref()?;
        if std::mem::replace(&mut self.state().is_renewed, true) {
            return None;
        }
        let credentials = reauthorize.reauthorize().await?;
        {
            let mut state = self.state();
            state.credentials = credentials;
            state.client = None;
        }
        Some(self.client().await)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic holds it")
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
        let request = ApiRequest::from_value(&request).map_err(|error| ApiError::Provider(error.into()).to_value())?;
        let response = self.send(&request).await.map_err(|error| error.to_value())?;
        let mut answer = json!({"status": response.status, "headers": response.header_map()});
        if wants_bytes {
            answer["dataBase64"] = STANDARD.encode(&response.body).into();
        } else {
            answer["data"] = response.data;
        }
        Ok(answer)
    }
}

impl ApiError {
    fn is_expired(&self) -> bool {
        matches!(self, Self::Response { error, .. } if error.key == Some(ErrorKey::AccessTokenExpired))
    }

    /// As a script sees it.
    fn to_value(&self) -> Value {
        match self {
            Self::Response { error, request, data } => {
                let mut value = json!({
                    "type": "connection",
                    "message": error.message,
                    "data": {"request": request, "response": {"status": error.status, "data": data}},
                });
                if let Some(key) = error.key {
                    value["key"] = key.name().into();
                }
                value
            }
            Self::Provider(error) => serde_json::to_value(Error::from(error.clone())).unwrap_or_default(),
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

/// Without the query, which may hold a key.
fn public_url(uri: &http::Uri) -> String {
    format!("{}://{}{}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default(), uri.path())
}

fn carry(token: &SignedToken, request: &mut http::Request<Vec<u8>>) -> Result<(), ProviderError> {
    let mut value = HeaderValue::from_str(token.token.expose())
        .map_err(|_| ProviderError::Configuration("the signed token is not fit for a header".into()))?;
    value.set_sensitive(true);
    if token.headers == TokenHeaders::Both {
        request.headers_mut().insert("x-membrane-token", value.clone());
    }
    request.headers_mut().insert("x-integration-app-token", value);
    Ok(())
}
