//! The servers of `tests/servers`, each a process of its own.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::visitor::{answer, http_client};
use crate::{Answer, Browser, Visitor, World};

/// A running server. It ends with this value: its stdin closes.
#[derive(Debug)]
pub struct Server {
    issuer: String,
    client: reqwest::Client,
    process: Child,
}

/// A request that a server got.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// `/token`, for instance.
    pub path: String,
    /// The parameters of the query, in order.
    pub query: Vec<(String, String)>,
    /// The fields of the form, in order.
    pub form: Vec<(String, String)>,
    /// Whether there was an `Authorization` header.
    pub has_authorization: bool,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
}

impl Server {
    /// The client that the servers know.
    pub const CLIENT_ID: &str = "larder";
    /// Its secret.
    pub const CLIENT_SECRET: &str = "larder-secret";

    /// Starts `oidc-provider.mjs` with these options, for a client that comes back to [`World::BASE_URI`].
    pub async fn oidc(options: Value) -> Self {
        Self::oidc_for(World::BASE_URI, options).await
    }

    /// Starts `oidc-provider.mjs` with these options, for a client that comes back to the Larder at this URI.
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

    /// The folder of the servers, where `node_modules` is.
    pub fn folder() -> PathBuf {
        env::var_os("LARDER_TEST_SERVERS").expect("LARDER_TEST_SERVERS is not set; run tests/run").into()
    }

    async fn start(program: &str, options: &Value) -> Self {
        let mut process = Command::new("node")
            .args([program, &options.to_string()])
            .current_dir(Self::folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let line = lines.next_line().await.expect("text").unwrap_or_else(|| panic!("{program} did not start"));
        let started: Value = serde_json::from_str(&line).expect("the start line is JSON");
        let issuer = started["issuer"].as_str().expect("an issuer").to_owned();
        Self { issuer, client: http_client(), process }
    }

    /// Ends the server, and waits until nobody answers there.
    pub async fn stop(mut self) {
        self.process.kill().await.expect("it is killed");
    }

    /// A URL of the server; its issuer, if the path is empty.
    pub fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// Makes or changes the integration `crm` of the bundled `oauth2` connector. It leads here, with `parameters` put over
    /// those that every integration has.
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

    /// What the end user's approval of an authorize URL leads to.
    pub async fn approve(&self, authorize_url: &str) -> String {
        Visitor::default().follow_out_of(&self.issuer, authorize_url).await
    }

    /// Sends alice through the integration `crm` to the provider and back. Gives the page that she ends on.
    pub async fn connect(&self, world: &World) -> Answer {
        let mut browser = Browser::default();
        let back = self.go(world, &mut browser).await;
        browser.get(world, &back).await
    }

    /// The first half of [`Self::connect`]: gives the callback, not yet opened.
    pub async fn go(&self, world: &World, browser: &mut Browser) -> String {
        let uri = format!("/connect?integrationKey=crm&token={}", world.alice);
        let authorize = browser.get(world, &uri).await.location();
        self.approve(&authorize).await
    }

    /// Calls the token endpoint by hand, as the client.
    pub async fn call_token(&self, form: &[(&str, &str)]) -> Answer {
        let request = self.client.post(self.uri("/token")).basic_auth(Self::CLIENT_ID, Some(Self::CLIENT_SECRET));
        answer(request.form(form).send().await.expect("a response")).await
    }

    /// Asks a control endpoint.
    pub async fn ask(&self, name: &str) -> Value {
        let request = self.client.get(self.uri(&format!("/_control/{name}")));
        answer(request.send().await.expect("a response")).await.expect(StatusCode::OK).json()
    }

    /// Tells a control endpoint.
    pub async fn tell(&self, name: &str, body: &Value) {
        let request = self.client.post(self.uri(&format!("/_control/{name}"))).body(body.to_string());
        answer(request.send().await.expect("a response")).await.expect(StatusCode::OK);
    }

    /// The requests so far, in the order in which they came.
    pub async fn requests(&self) -> Vec<Recorded> {
        let pairs = |value: &Value| serde_json::from_value(value.clone()).expect("pairs");
        let recorded = |entry: &Value| Recorded {
            path: entry["path"].as_str().expect("a path").to_owned(),
            query: pairs(&entry["query"]),
            form: pairs(&entry["body"]),
            has_authorization: entry["authorization"] == true,
            content_type: entry["contentType"].as_str().map(ToOwned::to_owned),
        };
        self.ask("requests").await.as_array().expect("a list").iter().map(recorded).collect()
    }

    /// The code exchanges so far.
    pub async fn exchanges(&self) -> Vec<Recorded> {
        self.grants_of_type("authorization_code").await
    }

    /// The refreshes so far.
    pub async fn refreshes(&self) -> Vec<Recorded> {
        self.grants_of_type("refresh_token").await
    }

    async fn grants_of_type(&self, grant_type: &str) -> Vec<Recorded> {
        let requests = self.requests().await.into_iter();
        requests.filter(|request| request.get("grant_type") == Some(grant_type)).collect()
    }
}

impl Recorded {
    /// A field of the form.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The names of the fields of the form, in order.
    pub fn fields(&self) -> Vec<&str> {
        self.form.iter().map(|(name, _)| name.as_str()).collect()
    }
}
