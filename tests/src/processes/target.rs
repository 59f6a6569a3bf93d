//! A Larder that tests reach over the network.

use std::path::Path;
use std::sync::Arc;

use http::Method;
use larder::caller::{Claims, sign};
use larder::clock::{Clock as _, SystemClock};
use larder::secret::Secret;
use larder::secret_store::{SecretFile, Workspaces};
use larder_local::WORKSPACE;
use larder_local::bundle::DataDir;

use super::visitor::{answer, http_client};
use crate::openapi::OpenApi;
use crate::{Answer, Program, Watch};

/// A Larder and a workspace for which tests sign tokens. It can reach providers on this machine.
#[derive(Debug)]
pub struct Target {
    /// The name in failure messages.
    pub name: &'static str,
    /// The base URI.
    pub base_uri: String,
    /// The key of the workspace.
    pub workspace: String,
    /// The secret of the workspace.
    pub secret: Secret,
    client: reqwest::Client,
}

impl Target {
    /// A Larder at `base_uri`.
    pub fn new(name: &'static str, base_uri: &str, workspace: &str, secret: Secret) -> Self {
        let (base_uri, workspace) = (base_uri.to_owned(), workspace.to_owned());
        Self { name, base_uri, workspace, secret, client: http_client() }
    }

    /// The program of `cargo run` with its data folder.
    pub async fn local(program: &Program, data: &Path) -> Self {
        Self::new("local", &program.base_uri, WORKSPACE, local_secret(data).await)
    }

    /// The Lambda binaries with a data folder.
    pub async fn watch(watch: &Watch, data: &Path) -> Self {
        Self::new("cargo lambda watch", &watch.base_uri, WORKSPACE, local_secret(data).await)
    }

    /// Returns a URL of this Larder.
    pub fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.base_uri)
    }

    /// Returns an admin's token.
    pub fn admin(&self) -> String {
        self.sign(Claims { is_admin: true, ..Claims::default() })
    }

    /// Returns an end user's token.
    pub fn tenant(&self, key: &str) -> String {
        self.sign(Claims { tenant_key: Some(key.to_owned()), ..Claims::default() })
    }

    /// Signs a token with these claims. By default, it is for the workspace and expires in an hour.
    pub fn sign(&self, claims: Claims) -> String {
        let exp = claims.exp.or(Some(now() + 3600));
        let workspace_key = claims.workspace_key.or_else(|| Some(self.workspace.clone()));
        sign(&Claims { workspace_key, exp, ..claims }, &self.secret).expect("a token")
    }

    /// Builds a request to a path, without a token.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.uri(path))
    }

    /// Sends a request with a token and a body.
    pub async fn send(&self, method: Method, path: &str, token: &str, body: impl Into<reqwest::Body>) -> Answer {
        respond(self.request(method, path).bearer_auth(token).body(body)).await
    }

    /// GET with a token.
    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Method::GET, path, token, "").await
    }

    /// POST with a token and no body.
    pub async fn post(&self, path: &str, token: &str) -> Answer {
        self.send(Method::POST, path, token, "").await
    }

    /// PUT with a token and JSON.
    pub async fn put(&self, path: &str, token: &str, body: &serde_json::Value) -> Answer {
        self.send(Method::PUT, path, token, body.to_string()).await
    }

    /// DELETE with a token.
    pub async fn delete(&self, path: &str, token: &str) -> Answer {
        self.send(Method::DELETE, path, token, "").await
    }
}

/// Sends a request and reads the whole response. Both must be as the OpenAPI document describes them.
pub(crate) async fn respond(request: reqwest::RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.expect("a request");
    let mut seen = http::Request::builder().method(request.method()).uri(request.url().as_str());
    if let Some(headers) = seen.headers_mut() {
        headers.clone_from(request.headers());
    }
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let seen = seen.body(body.to_vec().into()).expect("a request");
    let answer = answer(client.execute(request).await.expect("a response")).await;
    OpenApi::get().check(&seen, &answer.0);
    answer
}

/// The current time, in seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemClock.now().unix_timestamp()
}

pub(super) async fn local_secret(data: &Path) -> Secret {
    let secrets = DataDir::open(data).expect("a data folder").secrets();
    let workspaces = Workspaces::new(Arc::new(SecretFile::new(secrets)), Arc::new(SystemClock));
    workspaces.secret(WORKSPACE).await.expect("a secret store").expect("the secret of the workspace").secret
}
