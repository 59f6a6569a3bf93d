//! Credentials behind an HTTP API of somebody else's, such as another Larder's `/credentials`.
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

/// A client of an API that stores credentials:
///
/// | request, with `connectionId` added to the query | body | answers |
/// |---|---|---|
/// | `PUT` | `{"credentials": …}` | any 2xx: stored |
/// | `GET` | | 2xx with `{"credentials": …}` · 404: there are none |
/// | `DELETE` | | 2xx: removed |
///
/// An API need not know `DELETE`. Where it answers 404, 405, 410 or 501, and the credentials are still there, they are
/// replaced by `null`.
///
/// `X-Membrane-Token` says who asks: a token of the workspace, good for a minute and for this one connection. It opens
/// only `/credentials`, and not at a Larder that keeps its own credentials elsewhere.
pub struct ExternalApi {
    endpoint: Url,
    workspaces: Arc<Workspaces>,
    clock: Arc<dyn Clock>,
    http: SharedHttpConnector,
}

/// What an API says of a connection.
#[derive(Deserialize)]
struct Body {
    credentials: Credentials,
}

impl ExternalApi {
    /// How long a token lives.
    const TOKEN_LIFE: Duration = Duration::from_mins(1);
    /// The largest answer that is read: credentials may be written with many escapes.
    const MAX_ANSWER: usize = 2 * 1024 * 1024;

    /// The API at `endpoint`, which [`is_endpoint`] has looked at.
    pub fn new(endpoint: Url, workspaces: Arc<Workspaces>, clock: Arc<dyn Clock>) -> Self {
        // Every function links this client anyway.
        Self { endpoint, workspaces, clock, http: aws_http::connector_for_all() }
    }

    async fn token(&self, key: Key<'_>) -> Result<String, Error> {
        let Some(secret) = self.workspaces.secret(key.workspace).await? else {
            return Err(Error::internal("a connection of a workspace that has no secret"));
        };
        let claims = Claims {
            iss: Some(key.workspace.to_owned()),
            sub: key.tenant.map(ToOwned::to_owned),
            for_credentials_of: Some(key.connection_id.to_owned()),
            exp: (self.clock.now() + Self::TOKEN_LIFE).unix_timestamp(),
            ..Claims::default()
        };
        sign(&claims, &secret.secret)
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
            // A connection that was kept open may be closed by now. All that is sent here can be sent twice.
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
            if json.len() > Self::MAX_ANSWER {
                return Err(refused(format!("its answer has more than {} bytes", Self::MAX_ANSWER)));
            }
        }
        // What serde has to say could repeat what the answer held.
        let wrong = |_| refused("its answer is not `{\"credentials\": …}`");
        serde_json::from_slice(&json).map(|Body { credentials }| credentials).map_err(wrong)
    }

    async fn put(&self, key: Key<'_>, json: &str) -> Result<(), CredentialStoreError> {
        let response = self.send(Method::PUT, key, Some(format!(r#"{{"credentials":{json}}}"#))).await?;
        if response.status().is_success() { Ok(()) } else { Err(unexpected(&Method::PUT, &response)) }
    }
}

/// Whether credentials can be kept at this URL: by https, or by http on this machine, where `is_local` anywhere. It has no
/// user, no fragment and no `connectionId`. `base_uri` is where this Larder answers: it cannot keep its credentials at
/// itself.
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
            // It may also say so because it has no such route. Then what is there tells.
            404 | 405 | 410 | 501 => match self.get(key).await? {
                Some(credentials) if credentials.as_json() != "null" => self.put(key, "null").await,
                _ => Ok(()),
            },
            _ => Err(unexpected(&Method::DELETE, &response)),
        }
    }
}

/// An answer that is none of those that the protocol has.
fn unexpected(method: &Method, response: &HttpResponse) -> CredentialStoreError {
    let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let hint = if status.is_redirection() { "; redirects are not followed: set the URL that they lead to" } else { "" };
    let problem = format!("it answered {} to {method}{hint}", status.as_u16());
    match status {
        // The gateway does not know what became of the request.
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
    fn credentials_travel_encrypted_unless_they_stay_on_this_machine() {
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
    fn a_larder_cannot_keep_its_credentials_at_itself() {
        assert!(!is_fine("https://larder.example/prod/credentials", false));
        assert!(is_fine("https://larder.example/store", false));
        assert!(is_fine("https://other.example/prod/credentials", false));
    }
}
