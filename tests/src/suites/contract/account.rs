//! An end user's account at a provider, and the integration that connects it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{Answer, MockProvider, Target, Visitor};

/// A provider, its integration, and an end user.
pub(super) struct Account<'a> {
    pub(super) target: &'a Target,
    pub(super) provider: MockProvider,
    /// The key of both the integration and the end user.
    pub(super) key: &'static str,
}

impl<'a> Account<'a> {
    /// The redirect URI that the integration allows.
    pub(super) const DONE: &'static str = "https://app.example/done?from=larder";

    /// Starts a new provider and creates an integration with this key.
    pub(super) async fn open(target: &'a Target, key: &'static str) -> Self {
        let account = Self { target, provider: MockProvider::start().await, key };
        let body = account.integration();
        target.put(&format!("/integrations/{key}"), &target.admin(), &body).await.expect(StatusCode::CREATED);
        account
    }

    /// The body of the request that creates the integration.
    pub(super) fn integration(&self) -> Value {
        json!({"connectorKey": "oauth2", "parameters": self.provider.parameters(), "redirectUris": [Self::DONE]})
    }

    /// The end user's token.
    pub(super) fn token(&self) -> String {
        self.target.tenant(self.key)
    }

    /// The connect link with these extra parameters.
    pub(super) fn link(&self, parameters: &[(&str, &str)]) -> String {
        let mut link = format!("/connect?integrationKey={}&token={}", self.key, self.token());
        for (name, value) in parameters {
            link += &format!("&{name}={}", super::encode(value));
        }
        self.target.uri(&link)
    }

    /// Starts a flow. Returns the browser and the authorize URL.
    pub(super) async fn begin(&self, parameters: &[(&str, &str)]) -> (Visitor, String) {
        let mut visitor = Visitor::default();
        let location = visitor.get(&self.link(parameters)).await.expect(StatusCode::FOUND).location();
        assert!(location.starts_with(&self.provider.uri("/authorize?")), "{location}");
        (visitor, location)
    }

    /// Goes to the provider and back. Returns the last response.
    pub(super) async fn go(&self, parameters: &[(&str, &str)]) -> Answer {
        let (mut visitor, authorize) = self.begin(parameters).await;
        visitor.get(&self.provider.approve(&authorize)).await
    }

    /// Connects, and returns the connection's id.
    pub(super) async fn connect(&self) -> String {
        self.go(&[]).await.expect(StatusCode::OK);
        connect::own_connection_id(&self.target.workspace, self.key, Some(self.key))
    }

    /// Reads the credentials as the end user.
    pub(super) async fn read(&self, id: &str) -> Answer {
        self.target.get(&format!("/credentials?connectionId={id}"), &self.token()).await
    }

    /// Reads the access token as the end user.
    pub(super) async fn access_token(&self, id: &str) -> Value {
        self.read(id).await.expect(StatusCode::OK).json()["credentials"]["access_token"].take()
    }

    /// Shows the connection as the end user.
    pub(super) async fn connection(&self, id: &str) -> Value {
        let answer = self.target.get(&format!("/connections/{id}"), &self.token()).await;
        answer.expect(StatusCode::OK).json()
    }

    /// Lists the end user's connections.
    pub(super) async fn connections(&self) -> Vec<Value> {
        let answer = self.target.get("/connections", &self.token()).await.expect(StatusCode::OK);
        answer.json()["items"].as_array().expect("a list").clone()
    }
}
