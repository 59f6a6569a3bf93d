//! A whole Larder in this process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::SdkConfig;
use http::{Method, StatusCode};
use larder::caller::{Claims, sign};
use larder::clock::{Clock, ManualClock};
use larder::connection::ConnectionKey;
use larder::environment::{CredentialsIn, Settings};
use larder::http::{Request, Response};
use larder::metrics::Metrics;
use larder::random::SystemRng;
use larder::secret::Secret;
use larder::secret_store::{SecretFile, SecretStore as _, WorkspaceSecret};
use larder_local::bundle::{Bundle, DataDir, Grant};
use larder_local::embedded_dynamodb::{Door, EmbeddedDynamoDb};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::openapi::OpenApi;
use crate::{Aws, Browser, MockProvider, Requests};

/// The functions with an embedded database and a manual clock.
pub struct World {
    /// The functions.
    pub bundle: Arc<Bundle>,
    /// The clock.
    pub clock: Arc<ManualClock>,
    /// An admin's token.
    pub admin: String,
    /// The token of the end user `alice`.
    pub alice: String,
    /// The embedded database.
    pub database: EmbeddedDynamoDb,
    /// The functions' requests to the database.
    pub requests: Requests,
    settings: Settings,
    sdk: SdkConfig,
    folder: TempDir,
    /// Kept because the connector's files are read when it is first used.
    _connector: Option<TempConnector>,
    metrics: Arc<Mutex<Vec<u8>>>,
}

/// A response with helpers for tests.
#[derive(Debug)]
pub struct Answer(pub Response);

impl World {
    /// This Larder's own base URI.
    pub const BASE_URI: &str = "https://larder.example";
    /// The time at the start, 2026-01-01T00:00:00Z.
    pub const START: i64 = 1_767_225_600;

    /// The redirect URI that the integration `crm` allows, percent-encoded.
    const DONE: &str = "https%3A%2F%2Fapp.example%2Fdone%3Ffrom%3Dlarder";

    /// Starts a new Larder with the bundled connectors.
    pub async fn new() -> Self {
        Self::with_connectors(Vec::new()).await
    }

    /// Starts a new Larder that sends all requests to providers to a local port.
    pub async fn rerouted(port: u16, connectors: Vec<PathBuf>) -> Self {
        Self::open(connectors, Some(port)).await
    }

    /// Starts a new Larder with extra connector folders.
    pub async fn with_connectors(connectors: Vec<PathBuf>) -> Self {
        Self::open(connectors, None).await
    }

    async fn open(connectors: Vec<PathBuf>, egress_reroute: Option<u16>) -> Self {
        let (folder, database) = Self::data();
        let change = |settings| Settings { egress_reroute, connectors, ..settings };
        let sdk = database.sdk_config();
        Self::over(folder, database, &sdk, change).await
    }

    /// Starts a new Larder with changed settings and a fake of AWS.
    pub async fn deployed(change: impl FnOnce(Settings) -> Settings) -> (Self, Aws) {
        let (folder, database) = Self::data();
        let aws = Aws::start(database.clone()).await;
        (Self::over(folder, database, &aws.sdk_config(), change).await, aws)
    }

    /// Starts a new Larder with this credential store.
    pub async fn keeping(credentials: CredentialsIn) -> Self {
        let (folder, database) = Self::data();
        let sdk = database.sdk_config();
        Self::over(folder, database, &sdk, |settings| Settings { credentials, ..settings }).await
    }

    /// Starts a new Larder with this credential store and this SDK configuration.
    pub async fn keeping_in_aws(credentials: CredentialsIn, sdk: &SdkConfig) -> Self {
        let (folder, database) = Self::data();
        Self::over(folder, database, sdk, |settings| Settings { credentials, ..settings }).await
    }

    /// Starts a new Larder with this credential store and another Larder's workspace secrets.
    pub async fn keeping_beside(credentials: CredentialsIn, other: &Self) -> Self {
        let (folder, database) = Self::data();
        let secrets = [other.folder(), folder.path()].map(|folder| DataDir::open(folder).expect("a folder").secrets());
        std::fs::copy(&secrets[0], &secrets[1]).expect("the secrets are copied");
        let sdk = database.sdk_config();
        Self::over(folder, database, &sdk, |settings| Settings { credentials, ..settings }).await
    }

    /// Starts a new Larder with a database file that `make` creates.
    pub async fn over_database(make: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = DataDir::open(folder.path()).expect("a data folder").database();
        make(&file);
        let database = EmbeddedDynamoDb::open(&file).expect("a database");
        let sdk = database.sdk_config();
        Self::over(folder, database, &sdk, |settings| settings).await
    }

    fn data() -> (TempDir, EmbeddedDynamoDb) {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        (folder, EmbeddedDynamoDb::open(&data.database()).expect("a database"))
    }

    async fn over(
        folder: TempDir,
        database: EmbeddedDynamoDb,
        sdk: &SdkConfig,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let data = DataDir::open(folder.path()).expect("a data folder");
        let requests = Requests::default();
        let sdk = requests.of(sdk);
        let clock = Arc::new(ManualClock::at(Self::START));
        let metrics = Arc::<Mutex<Vec<u8>>>::default();
        let metrics_to = Metrics::to(Arc::clone(&metrics) as _);
        let settings = change(Settings { metrics: metrics_to, ..data.settings(Self::BASE_URI, Vec::new()) });
        let bundle = Bundle::open(settings.clone(), sdk.clone(), Arc::clone(&clock) as _, Arc::new(SystemRng)).await;
        let bundle = Arc::new(bundle.expect("a bundle"));
        let year = 365 * 24 * 3600;
        let grant = |tenant: Option<&str>| Grant {
            tenant: tenant.map(ToOwned::to_owned),
            is_admin: tenant.is_none(),
            expires_in: year,
            ..Grant::default()
        };
        let admin = bundle.token(&grant(None)).await.expect("a token");
        let alice = bundle.token(&grant(Some("alice"))).await.expect("a token");
        Self { bundle, clock, admin, alice, database, requests, settings, sdk, folder, _connector: None, metrics }
    }

    /// Starts a new Larder with one extra connector `app`, whose files are given as paths and contents.
    pub async fn with_connector(files: &[(&str, &str)]) -> Self {
        let connector = TempConnector::new(files);
        let world = Self::with_connectors(vec![connector.path().to_owned()]).await;
        Self { _connector: Some(connector), ..world }
    }

    /// Restarts Larder with the same data.
    pub async fn restart(&mut self) {
        let (settings, clock) = (self.settings.clone(), Arc::clone(&self.clock));
        let bundle = Bundle::open(settings, self.sdk.clone(), clock, Arc::new(SystemRng)).await;
        self.bundle = Arc::new(bundle.expect("a bundle"));
    }

    /// Restarts Larder with another credential store.
    pub async fn restart_keeping(&mut self, credentials: CredentialsIn) {
        self.settings.credentials = credentials;
        self.restart().await;
    }

    /// Returns a token for an end user.
    pub async fn token(&self, tenant: &str) -> String {
        let grant = Grant { tenant: Some(tenant.to_owned()), ..Grant::default() };
        self.bundle.token(&grant).await.expect("a token")
    }

    /// Signs a token with these claims and a lifetime of an hour, with the workspace's secret, which is created if it is
    /// missing.
    pub async fn sign(&self, workspace: &str, claims: Claims) -> String {
        let workspaces = self.bundle.environment().workspaces();
        let secret = match workspaces.secret(workspace).await.expect("a secret store") {
            Some(WorkspaceSecret { secret, .. }) => secret,
            None => {
                let secret = Secret::new(format!("the secret of the workspace {workspace}"));
                let stored = WorkspaceSecret::new(secret.clone());
                workspaces.put(workspace, &stored).await.expect("a secret store");
                secret
            }
        };
        let exp = Some(self.clock.now().unix_timestamp() + 3600);
        sign(&Claims { workspace_key: Some(workspace.to_owned()), exp, ..claims }, &secret).expect("a token")
    }

    /// A client that bypasses Larder.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.database.sdk_config())
    }

    /// Opens the database to other processes.
    pub async fn door(&self) -> Door {
        Door::open(self.database.clone(), &SystemRng).await.expect("a port")
    }

    /// Stores a secret, as Larder's operator would.
    pub async fn put_secret(&self, name: &str, value: &Secret) {
        let path = DataDir::open(self.folder.path()).expect("a data folder").secrets();
        SecretFile::new(path).put(name, value).await.expect("a secret store");
    }

    /// Takes the lines of metrics since the last call.
    pub fn metrics(&self) -> Vec<Value> {
        let written = std::mem::take(&mut *self.metrics.lock().expect("the lock is not poisoned"));
        String::from_utf8_lossy(&written).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Advances the clock.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The seconds since the start.
    pub fn seconds(&self) -> i64 {
        self.clock.now().unix_timestamp() - Self::START
    }

    /// The current time, in seconds since 1970.
    pub fn clock_time(&self) -> i64 {
        self.clock.now().unix_timestamp()
    }

    /// Sends a request with a token and an optional JSON body.
    pub async fn send(&self, method: Method, uri: &str, token: &str, body: Option<&Value>) -> Answer {
        self.send_raw(method, uri, token, body.map(Value::to_string).unwrap_or_default()).await
    }

    /// Sends a request with a token and any body.
    pub async fn send_raw(&self, method: Method, uri: &str, token: &str, body: impl Into<bytes::Bytes>) -> Answer {
        let request = http::Request::builder()
            .method(method)
            .uri(uri)
            .header("authorization", format!("Bearer {token}"))
            .body(body.into())
            .expect("a request");
        self.handle(request).await
    }

    /// Sends a request. The OpenAPI document must describe the response.
    pub async fn handle(&self, request: Request) -> Answer {
        // Boxed, since tests that send many requests have little space on the stack in a debug build.
        let response = Box::pin(self.bundle.handle(request.clone())).await;
        OpenApi::get().check_response(&request, &response);
        Answer(response)
    }

    /// GET as an admin.
    pub async fn get(&self, uri: &str) -> Answer {
        self.send(Method::GET, uri, &self.admin, None).await
    }

    /// POST as an admin.
    pub async fn post(&self, uri: &str) -> Answer {
        self.send(Method::POST, uri, &self.admin, None).await
    }

    /// Creates or updates the integration `crm`, which connects to a mock provider with the bundled `oauth2` connector.
    /// `parameters` override the usual ones.
    pub async fn integrate(&self, provider: &MockProvider, parameters: Value) {
        let mut all = provider.parameters();
        for (key, value) in parameters.as_object().expect("an object") {
            all[key] = value.clone();
        }
        let body = json!({"connectorKey": "oauth2", "parameters": all,
                          "redirectUris": ["https://app.example/done?from=larder"]});
        let answer = self.send(Method::PUT, "/integrations/crm", &self.admin, Some(&body)).await;
        assert!(answer.0.status().is_success(), "{}", answer.text());
    }

    /// Creates an integration `app` of the connector `app`. `settings` override members of its body.
    pub async fn integrate_app(&self, settings: Value) -> Answer {
        let mut body = json!({"connectorKey": "app", "redirectUris": ["https://app.example/done"]});
        for (key, value) in settings.as_object().expect("an object") {
            body[key] = value.clone();
        }
        self.send(Method::PUT, "/integrations/app", &self.admin, Some(&body)).await
    }

    /// Connects alice through `app` with this payload. Returns the page or redirect that she gets.
    pub async fn connect_app(&self, payload: Value) -> Answer {
        let mut payload = payload;
        payload["token"] = json!(self.alice);
        payload["integrationKey"] = json!("app");
        Browser::default().post(self, "/connect", &[("payload", &payload.to_string())]).await
    }

    /// Connects alice through `crm`: to the provider and back. Returns the connection's id.
    pub async fn connect(&self, provider: &MockProvider) -> String {
        let mut browser = Browser::default();
        let uri = format!("/connect?integrationKey=crm&token={}", self.alice);
        let authorize = browser.get(self, &uri).await.location();
        let page = browser.get(self, &provider.approve(&authorize)).await;
        page.expect(StatusCode::OK);
        connect::own_connection_id("local", "crm", Some("alice"))
    }

    /// Makes another connection of alice through `crm`. Returns its id, which anyone may reuse once the connection is gone.
    pub async fn connect_one_more(&self, provider: &MockProvider) -> String {
        let mut browser = Browser::default();
        let uri = format!(
            "/connect?integrationKey=crm&allowMultipleConnections=1&redirectUri={}&token={}",
            Self::DONE,
            self.alice
        );
        let authorize = browser.get(self, &uri).await.location();
        let done = browser.get(self, &provider.approve(&authorize)).await.location();
        done.split_once("connectionId=").expect("an id").1.to_owned()
    }

    /// The version of a connection's row.
    pub async fn version(&self, id: &str) -> u64 {
        let key = ConnectionKey::new("local", id);
        let connection = self.bundle.environment().connections().get(&key).await.expect("a table");
        connection.expect("a connection").version
    }

    /// Returns an admin's `GET /credentials`.
    pub async fn credentials(&self, id: &str) -> Value {
        let answer = self.get(&format!("/credentials?connectionId={id}")).await;
        answer.expect(StatusCode::OK).json()["credentials"].clone()
    }

    /// Returns an admin's `GET /connections/{id}`.
    pub async fn connection(&self, id: &str) -> Value {
        self.get(&format!("/connections/{id}")).await.expect(StatusCode::OK).json()
    }

    /// Runs one sweep.
    pub async fn sweep(&self) {
        self.bundle.refresher().sweep(Duration::ZERO, None).await.expect("a sweep");
    }
}

/// A temporary folder with one connector `app`.
pub struct TempConnector(TempDir);

impl TempConnector {
    /// Creates a connector from paths and contents of files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join("app").join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        Self(folder)
    }

    /// The folder that contains the connector's folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The connector's folder.
    pub fn folder(&self) -> PathBuf {
        self.0.path().join("app")
    }
}

impl Answer {
    /// Asserts the status.
    ///
    /// # Panics
    /// If the status differs.
    #[track_caller]
    pub fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.0.status(), status, "{}", self.0.body());
        self
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.0.body()).unwrap_or_else(|_| panic!("not JSON: {}", self.0.body()))
    }

    /// The body.
    pub fn text(&self) -> &str {
        self.0.body()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// The target of a redirect.
    #[track_caller]
    pub fn location(&self) -> String {
        self.header("location")
            .unwrap_or_else(|| panic!("not a redirect: {:?} {}", self.0.status(), self.text()))
            .to_owned()
    }

    /// Formats the whole response for snapshots: status, headers, body.
    pub fn snapshot(&self) -> String {
        let headers =
            self.0.headers().iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("?")));
        format!("{}\n{}\n{}", self.0.status(), headers.collect::<String>(), self.text())
    }
}
