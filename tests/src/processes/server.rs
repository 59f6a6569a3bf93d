//! The servers in `tests/servers`, each in its own process.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::visitor::{answer, http_client};
use crate::{Answer, Browser, Visitor, World};

/// A running server. It stops when dropped, because its stdin closes.
#[derive(Debug)]
pub struct Server {
    issuer: String,
    client: reqwest::Client,
    process: Child,
}

/// A request that a server recorded.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The path, for example `/token`.
    pub path: String,
    /// The query's parameters, in order.
    pub query: Vec<(String, String)>,
    /// The form's fields, in order.
    pub form: Vec<(String, String)>,
    /// Whether the request had an `Authorization` header.
    pub has_authorization: bool,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
}

impl Server {
    /// The client id that is registered with the servers.
    pub const CLIENT_ID: &str = "larder";
    /// The client's secret.
    pub const CLIENT_SECRET: &str = "larder-secret";

    /// Starts `oidc-provider.mjs` with these options, for a client at [`World::BASE_URI`].
    pub async fn oidc(options: Value) -> Self {
        Self::oidc_for(World::BASE_URI, options).await
    }

    /// Starts `oidc-provider.mjs` with these options, for a client at this base URI.
    pub async fn oidc_for(base_uri: &str, mut options: Value) -> Self {
        options["redirectUris"] = json!([format!("{base_uri}/oauth-callback")]);
        Self::start("oidc-provider.mjs", &options).await
    }

    /// Starts `odd-provider.mjs`.
    pub async fn odd() -> Self {
        Self::start("odd-provider.mjs", &json!({})).await
    }

    /// Starts `axios-server.mjs`.
    pub async fn axios() -> Self {
        Self::start("axios-server.mjs", &json!({})).await
    }

    /// Starts `sharetribe.mjs`.
    pub async fn sharetribe() -> Self {
        Self::start("sharetribe.mjs", &json!({})).await
    }

    /// Starts `sdk-app.mjs`.
    pub async fn sdk_app() -> Self {
        Self::start("sdk-app.mjs", &json!({})).await
    }

    /// The folder of the servers, where `node_modules` is.
    pub fn folder() -> PathBuf {
        env::var_os("LARDER_TEST_SERVERS").expect("LARDER_TEST_SERVERS is not set; run tests/run").into()
    }

    /// Starts a server. A Node.js process that deadlocks while it starts, which happens about once in a thousand times, is
    /// replaced.
    async fn start(program: &str, options: &Value) -> Self {
        const START_LIMIT: Duration = Duration::from_secs(30);
        for _ in 0..3 {
            if let Ok(server) = timeout(START_LIMIT, Self::start_once(program, options)).await {
                return server;
            }
        }
        panic!("{program} does not start");
    }

    async fn start_once(program: &str, options: &Value) -> Self {
        let mut process = Command::new("node")
            .args([program, &options.to_string()])
            .current_dir(Self::folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let line = lines.next_line().await.expect("UTF-8").unwrap_or_else(|| panic!("{program} did not start"));
        let started: Value = serde_json::from_str(&line).expect("the start line is JSON");
        let issuer = started["issuer"].as_str().expect("an issuer").to_owned();
        Self { issuer, client: http_client(), process }
    }

    /// Kills the server and waits for it to exit.
    pub async fn stop(mut self) {
        self.process.kill().await.expect("it is killed");
    }

    /// Returns a URL of the server, or its issuer if the path is empty.
    pub fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// Creates or updates the integration `crm`, which connects to this server with the bundled `oauth2` connector.
    /// `parameters` override the usual ones.
    pub async fn integrate(&self, world: &World, parameters: &[&Value]) {
        let mut all = json!({
            "clientId": Self::CLIENT_ID, "clientSecret": Self::CLIENT_SECRET, "tokenUri": self.uri("/token"),
        });
        for (key, value) in parameters.iter().flat_map(|more| more.as_object().expect("an object")) {
            all[key] = value.clone();
        }
        let body = json!({"connectorKey": "oauth2", "parameters": all});
        let answer = world.send(http::Method::PUT, "/integrations/crm", &world.admin, Some(&body)).await;
        assert!(answer.0.status().is_success(), "{}", answer.text());
    }

    /// Approves an authorize URL as the end user, and returns the callback URL.
    pub async fn approve(&self, authorize_url: &str) -> String {
        Visitor::default().follow_out_of(&self.issuer, authorize_url).await
    }

    /// Connects alice through the integration `crm`: to the provider and back. Returns the last page.
    pub async fn connect(&self, world: &World) -> Answer {
        let mut browser = Browser::default();
        let back = self.go(world, &mut browser).await;
        browser.get(world, &back).await
    }

    /// The first half of [`Self::connect`]: returns the callback URL without opening it.
    pub async fn go(&self, world: &World, browser: &mut Browser) -> String {
        let uri = format!("/connect?integrationKey=crm&token={}", world.alice);
        let authorize = browser.get(world, &uri).await.location();
        self.approve(&authorize).await
    }

    /// Calls the token endpoint directly, as the client.
    pub async fn call_token(&self, form: &[(&str, &str)]) -> Answer {
        let request = self.client.post(self.uri("/token")).basic_auth(Self::CLIENT_ID, Some(Self::CLIENT_SECRET));
        answer(request.form(form).send().await.expect("a response")).await
    }

    /// Gets a control endpoint.
    pub async fn get_control(&self, name: &str) -> Value {
        let request = self.client.get(self.uri(&format!("/_control/{name}")));
        answer(request.send().await.expect("a response")).await.expect(StatusCode::OK).json()
    }

    /// Posts to a control endpoint.
    pub async fn post_control(&self, name: &str, body: &Value) {
        let request = self.client.post(self.uri(&format!("/_control/{name}"))).body(body.to_string());
        answer(request.send().await.expect("a response")).await.expect(StatusCode::OK);
    }

    /// The recorded requests, in order.
    pub async fn requests(&self) -> Vec<Recorded> {
        let pairs = |value: &Value| serde_json::from_value(value.clone()).expect("pairs");
        let recorded = |entry: &Value| Recorded {
            path: entry["path"].as_str().expect("a path").to_owned(),
            query: pairs(&entry["query"]),
            form: pairs(&entry["body"]),
            has_authorization: entry["authorization"] == true,
            content_type: entry["contentType"].as_str().map(ToOwned::to_owned),
        };
        self.get_control("requests").await.as_array().expect("a list").iter().map(recorded).collect()
    }

    /// The recorded code exchanges.
    pub async fn exchanges(&self) -> Vec<Recorded> {
        self.grants_of_type("authorization_code").await
    }

    /// The recorded refreshes.
    pub async fn refreshes(&self) -> Vec<Recorded> {
        self.grants_of_type("refresh_token").await
    }

    async fn grants_of_type(&self, grant_type: &str) -> Vec<Recorded> {
        let requests = self.requests().await.into_iter();
        requests.filter(|request| request.get("grant_type") == Some(grant_type)).collect()
    }
}

impl Recorded {
    /// Returns a field of the form.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The names of the form's fields, in order.
    pub fn fields(&self) -> Vec<&str> {
        self.form.iter().map(|(name, _)| name.as_str()).collect()
    }
}
