//! Refreshes that are cut off between the provider's answer and the save.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use larder::clock::SystemClock;
use larder::secrets::{SecretFile, Workspaces};
use larder_local::bundle::{DataDir, Grant, mint};
use larder_tests::{MockProvider, Program, Visitor};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A program, and a connection that alice has made through it.
async fn connected(data: &Path, provider: &MockProvider) -> (Program, String) {
    let larder = start(data).await;
    let body = json!({"connectorKey": "oauth2", "parameters": provider.parameters()}).to_string();
    larder.send(Method::PUT, "/integrations/crm", &larder.admin, &body).await.expect(StatusCode::CREATED);
    let secrets = SecretFile::new(DataDir::open(data).expect("a folder").secrets());
    let workspaces = Workspaces::new(Arc::new(secrets), Arc::new(SystemClock));
    let grant = Grant { tenant: Some("alice".into()), ..Grant::default() };
    let alice = mint(&workspaces, &grant, &SystemClock).await.expect("a token");
    let mut visitor = Visitor::default();
    let link = larder.uri(&format!("/connect?integrationKey=crm&token={alice}"));
    let authorize = visitor.get(&link).await.location();
    visitor.get(&provider.approve(&authorize)).await.expect(StatusCode::OK);
    (larder, connect::own_connection_id("local", "crm", Some("alice")))
}

async fn start(data: &Path) -> Program {
    let data = data.to_str().expect("a path in UTF-8");
    Program::start(&["--data", data, "--listen", "127.0.0.1:0", "--no-demo"]).await
}

fn refresh_uri(id: &str) -> String {
    format!("/connections/{id}/refresh-credentials")
}

/// Asks for a refresh, and comes back when the provider has got it and thinks about its answer.
#[expect(clippy::disallowed_methods, reason = "a test's own client")]
async fn ask(larder: &Program, id: &str, provider: &MockProvider) -> JoinHandle<reqwest::Result<reqwest::Response>> {
    let request = reqwest::Client::new().post(larder.uri(&refresh_uri(id))).bearer_auth(&larder.admin);
    let asking = tokio::spawn(request.send());
    until(async || provider.refreshes().len() == 1).await;
    asking
}

async fn credentials(larder: &Program, id: &str) -> Value {
    let answer = larder.get(&format!("/credentials?connectionId={id}"), &larder.admin).await;
    answer.expect(StatusCode::OK).json()["credentials"].clone()
}

#[tokio::test]
async fn a_refresh_is_saved_though_whoever_asked_for_it_has_hung_up() {
    let (data, provider) = (tempfile::tempdir().expect("a folder"), MockProvider::start().await);
    let (larder, id) = connected(data.path(), &provider).await;
    provider.set_delay(Duration::from_secs(1));
    ask(&larder, &id, &provider).await.abort();
    until(async || credentials(&larder, &id).await["refresh_token"] == "refresh-2").await;
}

/// Waits until something is so.
async fn until(is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it does not become so");
}
