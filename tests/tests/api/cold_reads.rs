//! The cost of a read in a process with nothing in memory yet, and that nothing is revealed before the token is verified.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use get_credentials::GetCredentials;
use http::{Method, StatusCode};
use larder::aws_http;
use larder::caller::{Claims, sign};
use larder::clock::{Clock as _, SystemClock};
use larder::dynamodb::schema;
use larder::environment::{Environment, KeysFrom, SecretsIn, Settings};
use larder::http::{Handler, Response};
use larder::random::SystemRng;
use larder::record::recorded;
use larder::secret::Secret;
use larder::trust::Trust;
use larder_local::bundle::DataDir;
use larder_local::embedded_dynamodb::EmbeddedDynamoDb;
use larder_tests::distant_aws::DistantAws;
use put_credentials::PutCredentials;
use serde_json::json;
use tempfile::TempDir;

const SECRET: &str = "the secret of the workspace, which is long enough";
const STORED: &str = r#"{"credentials":{"apiKey":"k"}}"#;

/// AWS with one connection, `mine`, in the workspace `acme`.
struct Deployment {
    aws: DistantAws,
    database: EmbeddedDynamoDb,
    folder: TempDir,
}

impl Deployment {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = EmbeddedDynamoDb::open(&folder.path().join("larder.sqlite")).unwrap();
        let aws = DistantAws::start(&database).await;
        aws.put_secret("larder/workspaces/acme", &json!({ "secret": SECRET }));
        let deployment = Self { aws, database, folder };
        let environment = deployment.process();
        schema::create(environment.dynamodb(), &environment.settings.tables).await.unwrap();
        let put = PutCredentials::new(&environment, Arc::new(environment.refresh_function())).unwrap();
        let stored = send(&put, Method::PUT, &token("acme", SECRET), STORED).await;
        assert_eq!(stored.status(), StatusCode::CREATED);
        deployment
    }

    /// The environment of a process that has just started.
    fn process(&self) -> Environment {
        let settings = Settings {
            secrets: SecretsIn::SecretsManager("larder/".into()),
            keys: KeysFrom::Kms("alias/larder".into()),
            ..DataDir::open(Path::new(self.folder.path())).unwrap().settings("https://larder.example", Vec::new())
        };
        let sdk = self.database.sdk_config().into_builder().http_client(aws_http::client(Trust::Machine));
        let sdk = sdk.endpoint_url(self.aws.endpoint()).build();
        Environment::new(settings, sdk, Arc::new(SystemClock), Arc::new(SystemRng))
    }

    fn reader(&self) -> GetCredentials {
        let environment = self.process();
        let reader = GetCredentials::new(&environment, Arc::new(environment.refresh_function())).unwrap();
        self.aws.take_calls();
        reader
    }

    /// The operations since the last call, sorted.
    fn calls(&self) -> Vec<String> {
        let mut calls: Vec<_> =
            self.aws.take_calls().iter().map(|call| call.rsplit('.').next().unwrap().to_owned()).collect();
        calls.sort();
        calls
    }
}

fn token(workspace: &str, secret: &str) -> String {
    let exp = Some(SystemClock.now().unix_timestamp() + 3600);
    let claims = Claims { workspace_key: Some(workspace.into()), is_admin: true, exp, ..Claims::default() };
    sign(&claims, &Secret::new(secret)).unwrap()
}

async fn send(handler: &dyn Handler, method: Method, token: &str, body: &str) -> Response {
    let request = http::Request::builder().method(method).uri("/credentials?connectionId=mine");
    let request = request.header("authorization", format!("Bearer {token}")).body(body.to_owned().into());
    handler.handle(request.unwrap()).await
}

#[tokio::test]
async fn a_cold_read_calls_aws_in_parallel_and_a_warm_one_once() {
    let deployment = Deployment::new().await;
    let reader = deployment.reader();
    deployment.aws.set_delay(Duration::from_millis(200));
    deployment.aws.take_max_concurrency();
    let read = send(&reader, Method::GET, &token("acme", SECRET), "").await;
    assert_eq!((read.status(), read.body().as_str()), (StatusCode::OK, STORED));
    assert_eq!(deployment.calls(), ["Decrypt", "GetItem", "GetSecretValue", "Query", "UpdateItem"]);
    assert_eq!(deployment.aws.take_max_concurrency(), 3);

    let read = send(&reader, Method::GET, &token("acme", SECRET), "").await;
    assert_eq!((read.status(), read.body().as_str()), (StatusCode::OK, STORED));
    assert_eq!(deployment.calls(), ["GetItem"]);
}

#[tokio::test]
async fn unknown_workspaces_need_no_decryption_and_are_remembered() {
    let deployment = Deployment::new().await;
    let reader = deployment.reader();
    let rejected = send(&reader, Method::GET, &token("nowhere", SECRET), "").await;
    assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(deployment.calls(), ["GetItem", "GetSecretValue", "Query"]);
    let again = send(&reader, Method::GET, &token("nowhere", "another"), "").await;
    assert_eq!((again.status(), again.body()), (StatusCode::UNAUTHORIZED, rejected.body()));
    assert_eq!(deployment.calls(), [""; 0]);
}

#[tokio::test]
async fn a_forged_token_causes_one_read_ahead_and_learns_nothing() {
    let deployment = Deployment::new().await;
    let reader = deployment.reader();
    let forged = token("acme", "not the secret");
    let rejected = send(&reader, Method::GET, &forged, "").await;
    assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
    assert!(!rejected.body().contains("apiKey"), "{}", rejected.body());
    assert_eq!(deployment.calls().len(), 4);
    let again = send(&reader, Method::GET, &forged, "").await;
    assert_eq!((again.status(), again.body()), (StatusCode::UNAUTHORIZED, rejected.body()));
    assert_eq!(deployment.calls(), [""; 0]);
}

#[tokio::test]
async fn rejected_callers_leave_no_workspace_or_connection_in_the_log() {
    let deployment = Deployment::new().await;
    let (acme, mine) = (Some("acme".to_owned()), Some("mine".to_owned()));
    let forged = "a secret that nobody has given to anybody";
    // A read that succeeds is recorded.
    for (secret, status, calls, expected) in [(forged, 401, 4, (None, None)), (SECRET, 200, 5, (acme, mine))] {
        let reader = deployment.reader();
        let (response, record) = recorded(send(&reader, Method::GET, &token("acme", secret), "")).await;
        assert_eq!((response.status().as_u16(), deployment.calls().len()), (status, calls), "the read ahead happened");
        assert_eq!((record.workspace, record.connection), expected);
        assert_eq!(record.refusal.is_some(), status == 401);
    }
}

#[tokio::test]
async fn malformed_and_expired_tokens_cause_no_read_ahead() {
    let deployment = Deployment::new().await;
    let reader = deployment.reader();
    let exp = Some(SystemClock.now().unix_timestamp() - 1);
    let expired = Claims { workspace_key: Some("acme".into()), is_admin: true, exp, ..Claims::default() };
    let expired = sign(&expired, &Secret::new(SECRET)).unwrap();
    for (token, calls) in [("nonsense", 0), (expired.as_str(), 1)] {
        assert_eq!(send(&reader, Method::GET, token, "").await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(deployment.calls().len(), calls, "{token}");
    }
}
