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
use larder::http::Response;
use larder::metrics::Metrics;
use larder::random::SystemRng;
use larder::secret::Secret;
use larder::secret_store::{SecretFile, SecretStore as _, WorkspaceSecret};
use larder_local::bundle::{Bundle, DataDir, Grant};
use larder_local::embedded_dynamodb::{Door, EmbeddedDynamoDb};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Aws, Browser, MockProvider, Requests};

/// The functions over an embedded database, at a time of our choice.
pub struct World {
    /// The functions.
    pub bundle: Arc<Bundle>,
    /// The time.
    pub clock: Arc<ManualClock>,
    /// A token that may do everything in the workspace.
    pub admin: String,
    /// A token of the end user `alice`.
    pub alice: String,
    /// The embedded database.
    pub database: EmbeddedDynamoDb,
    /// The requests of the functions to it.
    pub requests: Requests,
    settings: Settings,
    sdk: SdkConfig,
    folder: TempDir,
    /// Read when it is first used.
    _connector: Option<TempConnector>,
    metrics: Arc<Mutex<Vec<u8>>>,
}

/// A response that tests read.
#[derive(Debug)]
pub struct Answer(pub Response);

impl World {
    /// Where this Larder believes to be.
    pub const BASE_URI: &str = "https://larder.example";
    /// Its first second, 2026-01-01T00:00:00Z.
    pub const START: i64 = 1_767_225_600;

    /// The last redirect that the integration `crm` allows, encoded for a query.
    const DONE: &str = "https%3A%2F%2Fapp.example%2Fdone%3Ffrom%3Dlarder";

    /// A fresh Larder with the bundled connectors.
    pub async fn new() -> Self {
        Self::with_connectors(Vec::new()).await
    }

    /// A fresh Larder whose requests to providers, whatever their URL, all go to a port of this machine.
    pub async fn rerouted(port: u16, connectors: Vec<PathBuf>) -> Self {
        Self::open(connectors, Some(port)).await
    }

    /// A fresh Larder with connector folders besides the bundled ones.
    pub async fn with_connectors(connectors: Vec<PathBuf>) -> Self {
        Self::open(connectors, None).await
    }

    async fn open(connectors: Vec<PathBuf>, egress_reroute: Option<u16>) -> Self {
        let (folder, database) = Self::data();
        let change = |settings| Settings { egress_reroute, connectors, ..settings };
        let sdk = database.sdk_config();
        Self::over(folder, database, &sdk, change).await
    }

    /// A fresh Larder with other settings, and the services of AWS around it.
    pub async fn deployed(change: impl FnOnce(Settings) -> Settings) -> (Self, Aws) {
        let (folder, database) = Self::data();
        let aws = Aws::start(database.clone()).await;
        (Self::over(folder, database, &aws.sdk_config(), change).await, aws)
    }

    /// A fresh Larder that keeps credentials there.
    pub async fn keeping(credentials: CredentialsIn) -> Self {
        let (folder, database) = Self::data();
        let sdk = database.sdk_config();
        Self::over(folder, database, &sdk, |settings| Settings { credentials, ..settings }).await
    }

    /// A fresh Larder that keeps credentials there, with an SDK configuration that leads to all of AWS.
    pub async fn keeping_in_aws(credentials: CredentialsIn, sdk: &SdkConfig) -> Self {
        let (folder, database) = Self::data();
        Self::over(folder, database, sdk, |settings| Settings { credentials, ..settings }).await
    }

    /// A fresh Larder that keeps credentials there, whose workspaces have the secrets that they have at another.
    pub async fn keeping_beside(credentials: CredentialsIn, other: &Self) -> Self {
        let (folder, database) = Self::data();
        let secrets = [other.folder(), folder.path()].map(|folder| DataDir::open(folder).expect("a folder").secrets());
        std::fs::copy(&secrets[0], &secrets[1]).expect("the secrets are copied");
        let sdk = database.sdk_config();
        Self::over(folder, database, &sdk, |settings| Settings { credentials, ..settings }).await
    }

    /// A fresh Larder over a database file that was made beforehand.
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
        };
        let admin = bundle.token(&grant(None)).await.expect("a token");
        let alice = bundle.token(&grant(Some("alice"))).await.expect("a token");
        Self { bundle, clock, admin, alice, database, requests, settings, sdk, folder, _connector: None, metrics }
    }

    /// A fresh Larder with one connector `app` besides the bundled ones, given as paths and texts.
    pub async fn with_connector(files: &[(&str, &str)]) -> Self {
        let connector = TempConnector::new(files);
        let world = Self::with_connectors(vec![connector.path().to_owned()]).await;
        Self { _connector: Some(connector), ..world }
    }

    /// Another Larder over the same data, as after a restart.
    pub async fn restart(&mut self) {
        let (settings, clock) = (self.settings.clone(), Arc::clone(&self.clock));
        let bundle = Bundle::open(settings, self.sdk.clone(), clock, Arc::new(SystemRng)).await;
        self.bundle = Arc::new(bundle.expect("a bundle"));
    }

    /// As after a restart with another setting for where credentials are kept.
    pub async fn restart_keeping(&mut self, credentials: CredentialsIn) {
        self.settings.credentials = credentials;
        self.restart().await;
    }

    /// A token of another end user.
    pub async fn token(&self, tenant: &str) -> String {
        let grant = Grant { tenant: Some(tenant.to_owned()), ..Grant::default() };
        self.bundle.token(&grant).await.expect("a token")
    }

    /// A token with these claims and an hour of life, signed with the secret of the workspace that it names, which is made
    /// if there is none.
    pub async fn sign(&self, workspace: &str, claims: Claims) -> String {
        let workspaces = self.bundle.environment().workspaces();
        let secret = match workspaces.secret(workspace).await.expect("a secret store") {
            Some(WorkspaceSecret { secret, .. }) => secret,
            None => {
                let secret = Secret::new(format!("the secret of the workspace {workspace}"));
                let stored = WorkspaceSecret { secret: secret.clone(), previous_secret: None };
                workspaces.put(workspace, &stored).await.expect("a secret store");
                secret
            }
        };
        let exp = self.clock.now().unix_timestamp() + 3600;
        sign(&Claims { workspace_key: Some(workspace.to_owned()), exp, ..claims }, &secret).expect("a token")
    }

    /// The tables, for somebody who may write them without Larder.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.database.sdk_config())
    }

    /// A way to the tables for other processes.
    pub async fn door(&self) -> Door {
        Door::open(self.database.clone(), &SystemRng).await.expect("a port")
    }

    /// Writes a secret, as whoever runs Larder would.
    pub async fn put_secret(&self, name: &str, value: &Secret) {
        let path = DataDir::open(self.folder.path()).expect("a data folder").secrets();
        SecretFile::new(path).put(name, value).await.expect("a secret store");
    }

    /// The lines of metrics since the last time that they were asked for.
    pub fn metrics(&self) -> Vec<Value> {
        let written = std::mem::take(&mut *self.metrics.lock().expect("no panic holds it"));
        String::from_utf8_lossy(&written).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The folder with everything that this Larder keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Moves the clock.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Seconds since the first one.
    pub fn seconds(&self) -> i64 {
        self.clock.now().unix_timestamp() - Self::START
    }

    /// The time, in seconds since 1970.
    pub fn clock_time(&self) -> i64 {
        self.clock.now().unix_timestamp()
    }

    /// Sends a request with a token and a JSON body, if there is one.
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
        Answer(self.bundle.handle(request).await)
    }

    /// GET as an admin.
    pub async fn get(&self, uri: &str) -> Answer {
        self.send(Method::GET, uri, &self.admin, None).await
    }

    /// POST as an admin.
    pub async fn post(&self, uri: &str) -> Answer {
        self.send(Method::POST, uri, &self.admin, None).await
    }

    /// Makes or changes an integration `crm` of the bundled `oauth2` connector that leads to a mock provider; `parameters` are put
    /// over the usual ones.
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

    /// Makes an integration `app` of the connector `app`; `settings` are put over its body.
    pub async fn integrate_app(&self, settings: Value) -> Answer {
        let mut body = json!({"connectorKey": "app", "redirectUris": ["https://app.example/done"]});
        for (key, value) in settings.as_object().expect("an object") {
            body[key] = value.clone();
        }
        self.send(Method::PUT, "/integrations/app", &self.admin, Some(&body)).await
    }

    /// Has alice connect through `app` with this payload; the answer is the page or the redirect that she sees.
    pub async fn connect_app(&self, payload: Value) -> Answer {
        let mut payload = payload;
        payload["token"] = json!(self.alice);
        payload["integrationKey"] = json!("app");
        Browser::default().post(self, "/connect", &[("payload", &payload.to_string())]).await
    }

    /// Connects alice through `crm`: to the provider and back. Gives the id of the connection.
    pub async fn connect(&self, provider: &MockProvider) -> String {
        let mut browser = Browser::default();
        let uri = format!("/connect?integrationKey=crm&token={}", self.alice);
        let authorize = browser.get(self, &uri).await.location();
        let page = browser.get(self, &provider.approve(&authorize)).await;
        page.expect(StatusCode::OK);
        connect::own_connection_id("local", "crm", Some("alice"))
    }

    /// Makes one more connection of alice through `crm`. Gives its id, which anybody may use when it is free.
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

    /// What `GET /credentials` gives an admin.
    pub async fn credentials(&self, id: &str) -> Value {
        let answer = self.get(&format!("/credentials?connectionId={id}")).await;
        answer.expect(StatusCode::OK).json()["credentials"].clone()
    }

    /// What `GET /connections/{id}` gives an admin.
    pub async fn connection(&self, id: &str) -> Value {
        self.get(&format!("/connections/{id}")).await.expect(StatusCode::OK).json()
    }

    /// One tick of the sweeper.
    pub async fn sweep(&self) {
        self.bundle.refresher().sweep(Duration::ZERO, None).await.expect("a sweep");
    }
}

/// A folder with one connector `app` in it, gone with this value.
pub struct TempConnector(TempDir);

impl TempConnector {
    /// A connector of these paths and texts.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join("app").join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        Self(folder)
    }

    /// Where the connector's folder is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The connector's folder.
    pub fn folder(&self) -> PathBuf {
        self.0.path().join("app")
    }
}

impl Answer {
    /// # Panics
    /// If the status is another one.
    #[track_caller]
    pub fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.0.status(), status, "{}", self.0.body());
        self
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.0.body()).unwrap_or_else(|_| panic!("no JSON: {}", self.0.body()))
    }

    /// The body.
    pub fn text(&self) -> &str {
        self.0.body()
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// Where a redirect leads.
    #[track_caller]
    pub fn location(&self) -> String {
        self.header("location")
            .unwrap_or_else(|| panic!("no redirect: {:?} {}", self.0.status(), self.text()))
            .to_owned()
    }

    /// The whole response as a text for snapshots: status, headers, body.
    pub fn snapshot(&self) -> String {
        let headers =
            self.0.headers().iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("?")));
        format!("{}\n{}\n{}", self.0.status(), headers.collect::<String>(), self.text())
    }
}
