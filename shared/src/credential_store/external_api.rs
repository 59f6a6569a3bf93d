//! Credentials in an external HTTP API, such as another Larder's `/credentials`.
//!
//! # Decisions
//!
//! The protocol has no `DELETE`. A 404 may mean "already removed" or "no such route", so the credentials are read once
//! more; if they still exist they are replaced by `null`, after which the row says that there are none.
//!
//! The token names one connection and no admin. Otherwise the API could act as the end user, or read all connections,
//! at the Larder that signed it. Only a Larder that keeps its credentials itself accepts such tokens, so none accepts
//! its own, and two cannot call each other in a circle.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use http::{Method, StatusCode, header};
use serde::Deserialize;
use url::{Host, Url};

use super::{CredentialStore, CredentialStoreError, Key};
use crate::aws_http;
use crate::caller::{Claims, sign};
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::secret_store::Workspaces;
use crate::trust::Trust;

/// A client of an API that stores credentials:
///
/// | request, with `connectionId` added to the query | body | responses |
/// |---|---|---|
/// | `PUT` | `{"credentials": …}` | any 2xx: stored |
/// | `GET` | | 2xx with `{"credentials": …}` · 404: there are none |
/// | `DELETE` | | 2xx: removed |
///
/// An API need not support `DELETE`. If it responds with 404, 405, 410, or 501 and still has the credentials, they are
/// replaced with `null`.
///
/// `X-Membrane-Token` identifies the caller: a token of the workspace that is valid for a minute and only for this
/// connection's `/credentials`. A Larder that keeps its own credentials in an external API rejects it.
pub struct ExternalApi {
    endpoint: Url,
    workspaces: Arc<Workspaces>,
    clock: Arc<dyn Clock>,
    http: SharedHttpConnector,
}

/// The body of an API's response.
#[derive(Deserialize)]
struct ResponseBody {
    credentials: Credentials,
}

impl ExternalApi {
    /// The lifetime of a token.
    const TOKEN_LIFETIME: Duration = Duration::from_mins(1);
    /// The largest response that is read. It leaves room for credentials with many escapes.
    const MAX_RESPONSE: usize = 2 * 1024 * 1024;

    /// Creates a client of the API at `endpoint`, which [`is_endpoint`] must have accepted.
    pub fn new(endpoint: Url, workspaces: Arc<Workspaces>, clock: Arc<dyn Clock>, trust: Trust) -> Self {
        // Every function links this HTTP client anyway.
        Self { endpoint, workspaces, clock, http: aws_http::connector_for_all(trust) }
    }

    async fn token(&self, key: Key<'_>) -> Result<String, Error> {
        let Some(secret) = self.workspaces.secret(key.workspace).await? else {
            return Err(Error::internal("the workspace of a connection has no secret"));
        };
        let claims = Claims {
            iss: Some(key.workspace.to_owned()),
            sub: key.tenant.map(ToOwned::to_owned),
            for_credentials_of: Some(key.connection_id.to_owned()),
            exp: Some((self.clock.now() + Self::TOKEN_LIFETIME).unix_timestamp()),
            ..Claims::default()
        };
        sign(&claims, secret.signing())
    }

    async fn send(
        &self,
        method: Method,
        key: Key<'_>,
        body: Option<String>,
    ) -> Result<HttpResponse, CredentialStoreError> {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut().append_pair("connectionId", key.connection_id);
        let token = self.token(key).await.map_err(refused)?;
        let request = || {
            let request = http::Request::builder()
                .method(method.clone())
                .uri(url.as_str())
                .header(header::ACCEPT, "application/json")
                .header(header::USER_AGENT, "larder")
                .header("x-membrane-token", &token);
            let request = match &body {
                Some(json) => {
                    request.header(header::CONTENT_TYPE, "application/json").body(SdkBody::from(json.as_str()))
                }
                None => request.body(SdkBody::empty()),
            };
            HttpRequest::try_from(request.map_err(refused)?).map_err(refused)
        };
        match self.http.call(request()?).await {
            // A kept-alive connection may have been closed. All requests here are safe to repeat.
            Err(error) if error.is_io() => self.http.call(request()?).await,
            result => result,
        }
        .map_err(no_answer)
    }

    async fn read(response: HttpResponse) -> Result<Credentials, CredentialStoreError> {
        let mut stream = ByteStream::new(response.into_body());
        let mut json = Vec::new();
        while let Some(chunk) = stream.next().await {
            json.extend_from_slice(&chunk.map_err(no_answer)?);
            if json.len() > Self::MAX_RESPONSE {
                return Err(refused(format!("its response is larger than {} bytes", Self::MAX_RESPONSE)));
            }
        }
        // Serde's message could repeat parts of the credentials.
        let wrong = |_| refused("its response is not `{\"credentials\": …}`");
        serde_json::from_slice(&json).map(|ResponseBody { credentials }| credentials).map_err(wrong)
    }

    async fn put(&self, key: Key<'_>, json: &str) -> Result<(), CredentialStoreError> {
        let response = self.send(Method::PUT, key, Some(format!(r#"{{"credentials":{json}}}"#))).await?;
        if response.status().is_success() { Ok(()) } else { Err(unexpected(&Method::PUT, &response)) }
    }
}

/// Whether credentials may be stored at this URL. It must use https, or http to this machine (to any machine if
/// `is_local`), and have no user, fragment, or `connectionId`. It must not be below `base_uri`: a Larder cannot store
/// its credentials in itself.
pub fn is_endpoint(url: &Url, base_uri: &str, is_local: bool) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => is_local || is_loopback,
        _ => false,
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    let has_id = url.query_pairs().any(|(name, _)| name == "connectionId");
    let is_own = Url::parse(base_uri)
        .is_ok_and(|base| url.origin() == base.origin() && url.path().starts_with(base.path().trim_end_matches('/')));
    is_safe && !has_user && !has_id && !is_own && url.fragment().is_none()
}

#[async_trait]
impl CredentialStore for ExternalApi {
    fn kind(&self) -> &'static str {
        "external_api"
    }

    async fn get(&self, key: Key<'_>) -> Result<Option<Credentials>, CredentialStoreError> {
        let response = self.send(Method::GET, key, None).await?;
        match response.status().as_u16() {
            200..=299 => Self::read(response).await.map(Some),
            404 => Ok(None),
            _ => Err(unexpected(&Method::GET, &response)),
        }
    }

    async fn set(&self, key: Key<'_>, credentials: &Credentials, _: &str) -> Result<(), CredentialStoreError> {
        self.put(key, credentials.as_json()).await
    }

    async fn remove(&self, key: Key<'_>) -> Result<(), CredentialStoreError> {
        let response = self.send(Method::DELETE, key, None).await?;
        match response.status().as_u16() {
            200..=299 => Ok(()),
            // This may mean that the API has no such route, so look whether the credentials are still there.
            404 | 405 | 410 | 501 => match self.get(key).await? {
                Some(credentials) if credentials.as_json() != "null" => self.put(key, "null").await,
                _ => Ok(()),
            },
            _ => Err(unexpected(&Method::DELETE, &response)),
        }
    }
}

/// Returns the error for a status that the protocol does not define.
fn unexpected(method: &Method, response: &HttpResponse) -> CredentialStoreError {
    let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let hint = if status.is_redirection() { "; redirects are not followed, so configure their target" } else { "" };
    let problem = format!("it responded to {method} with {}{hint}", status.as_u16());
    match status {
        // The gateway does not know whether the request was carried out.
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => no_answer(problem),
        _ => refused(problem),
    }
}

fn no_answer(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CredentialStoreError {
    CredentialStoreError::NoAnswer(error.into())
}

fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CredentialStoreError {
    CredentialStoreError::Refused(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fine(url: &str, is_local: bool) -> bool {
        is_endpoint(&Url::parse(url).expect("a URL"), "https://larder.example/prod", is_local)
    }

    #[test]
    fn credentials_leave_this_machine_only_encrypted() {
        for fine in ["https://store.example/a?b=c", "http://127.0.0.1:1/", "http://[::1]/", "http://localhost:8080/x"] {
            assert!(is_fine(fine, false), "{fine}");
        }
        for wrong in [
            "http://store.example/",
            "http://127.0.0.1.store.example/",
            "ftp://store.example/",
            "https://user:password@store.example/",
            "https://store.example/#fragment",
            "https://store.example/?connectionId=c1",
        ] {
            assert!(!is_fine(wrong, false), "{wrong}");
        }
        assert!(is_fine("http://store.example/", true));
    }

    #[test]
    fn a_larder_cannot_store_its_credentials_in_itself() {
        assert!(!is_fine("https://larder.example/prod/credentials", false));
        assert!(is_fine("https://larder.example/store", false));
        assert!(is_fine("https://other.example/prod/credentials", false));
    }
}
