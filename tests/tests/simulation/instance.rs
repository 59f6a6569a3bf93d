//! One instance of all functions: made anew, it knows nothing; then it serves one invocation after the other.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connections::Management;
use get_credentials::GetCredentials;
use http::Method;
use larder::aws::ScheduleTarget;
use larder::connection::RefreshOutcome;
use larder::dynamodb::schema::Tables;
use larder::environment::{CredentialsIn, GIVE_UP, KeysFrom, RefreshesBy, SecretsIn, Settings};
use larder::error::Error;
use larder::http::{Handler as _, Response};
use larder::metrics::Metrics;
use larder::refresh::{RefreshConnection, RefreshEvent};
use larder::trust::Trust;
use larder_engine::connect::{ConnectionWriter, NewConnection};
use larder_engine::connector_setup::{ConnectInputs, ConnectorSetup};
use larder_engine::environment::Environment;
use larder_engine::provider::Authorization;
use larder_tests::TempConnector;
use refresh::Refresh;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::application::Applications;
use super::cloud::{Cloud, RECOVERY_QUEUE, REFRESH_QUEUE, SECRETS};
use super::internet::Internet;
use super::life::Life;
use super::network::Service;
use super::sandbox::Sandbox;

/// The workspace of all lives.
pub(super) const WORKSPACE: &str = "sim";

/// What wakes refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Sweeper,
    Queue,
    Schedules,
}

/// How Larder is deployed.
#[derive(Debug, Clone)]
pub(super) struct Deployment {
    pub(super) mode: Mode,
    pub(super) has_recovery: bool,
    /// Whether credentials are kept in Secrets Manager.
    pub(super) is_outside: bool,
}

/// The functions in one sandbox, each wired when it is first called.
pub(super) struct Instance {
    pub(super) sandbox: Arc<Sandbox>,
    /// Counts deployments: only the last one gets invocations.
    pub(super) generation: usize,
    environment: Environment,
    connector_setup: OnceLock<Arc<ConnectorSetup>>,
    refresh: OnceLock<Refresh>,
    get: OnceLock<GetCredentials>,
    management: OnceLock<Management>,
    writer: OnceLock<ConnectionWriter>,
    life: Arc<Life>,
}

impl Instance {
    pub(super) fn new(
        sandbox: Sandbox,
        cloud: &Arc<Cloud>,
        applications: &Arc<Applications>,
        deployment: &Deployment,
        generation: usize,
        life: Arc<Life>,
    ) -> Self {
        let sandbox = Arc::new(sandbox);
        let sdk = cloud.sdk_config(&sandbox);
        let chance = Arc::clone(&sandbox.network.chance);
        let clock = Arc::clone(&sandbox);
        let internet = Internet { sandbox: Arc::clone(&sandbox), applications: Arc::clone(applications) };
        let ports = larder::environment::Environment::new(settings(deployment), sdk, clock, chance);
        let environment = Environment::new(ports).with_transport(Arc::new(internet));
        Self {
            sandbox,
            generation,
            environment,
            connector_setup: OnceLock::new(),
            refresh: OnceLock::new(),
            get: OnceLock::new(),
            management: OnceLock::new(),
            writer: OnceLock::new(),
            life,
        }
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(super) fn connector_setup(&self) -> &Arc<ConnectorSetup> {
        self.connector_setup.get_or_init(|| self.environment.connector_setup(Vec::new()))
    }

    pub(super) fn refresh(&self) -> &Refresh {
        self.refresh.get_or_init(|| Refresh::new(&self.environment).expect("settings"))
    }

    /// `GET /credentials`.
    pub(super) async fn get(&self, id: &str, token: &str) -> Response {
        let get = self.get.get_or_init(|| {
            let refresh = Invocations { sandbox: Arc::clone(&self.sandbox), life: Arc::clone(&self.life) };
            GetCredentials::new(&self.environment, Arc::new(refresh)).expect("settings")
        });
        get.handle(request(Method::GET, &format!("/credentials?connectionId={id}"), token)).await
    }

    /// `POST /connections/{id}/refresh-credentials`.
    pub(super) async fn refresh_now(&self, id: &str, token: &str) -> Response {
        let management = self
            .management
            .get_or_init(|| Management::new(&self.environment, Arc::clone(self.connector_setup())).expect("settings"));
        management.handle(request(Method::POST, &format!("/connections/{id}/refresh-credentials"), token)).await
    }

    /// The last half of a connect flow; gives the access token that is stored then.
    pub(super) async fn connect(&self, application: usize, id: &str) -> Result<String, Error> {
        let key = format!("application-{application}");
        let integration = self.connector_setup().integration(WORKSPACE, &key).await?;
        let (connector_parameters, input) = (Map::new(), Map::new());
        let choice = ConnectInputs {
            option_key: "",
            tenant: Some("alice"),
            connector_parameters: &connector_parameters,
            input: &input,
            given: None,
        };
        let auth = self.connector_setup().auth_for(&integration, &choice).await?;
        let provider = self.environment.provider().expect("a provider");
        let config = provider.oauth2_config(&auth, None).await?;
        let authorization = Authorization {
            code: "code",
            code_verifier: Some("verifier"),
            redirect_uri: "https://larder.example/oauth-callback",
            query_parameters: Map::new(),
        };
        let obtained = provider.exchange_code(&auth, &config, authorization).await?;
        let access_token = obtained.credentials["access_token"].as_str().expect("a token").to_owned();
        let new = NewConnection {
            workspace: WORKSPACE.into(),
            tenant: Some("alice".into()),
            integration_key: key,
            option_key: String::new(),
            connection_id: id.to_owned(),
            name: None,
            input,
            connector_parameters,
        };
        let writer = self.writer.get_or_init(|| self.environment.connection_writer().expect("settings"));
        writer.create_or_renew(&new, &integration, &auth, obtained).await?;
        Ok(access_token)
    }
}

fn settings(deployment: &Deployment) -> Settings {
    let target = || ScheduleTarget {
        group: "larder".into(),
        function_arn: "arn:aws:lambda:eu-west-1:123456789012:function:refresh".into(),
        role_arn: "arn:aws:iam::123456789012:role/schedules".into(),
        dead_letter_arn: None,
    };
    Settings {
        base_uri: "https://larder.example".into(),
        tables: Tables::default(),
        secrets: SecretsIn::SecretsManager(SECRETS.into()),
        keys: KeysFrom::Kms("key".into()),
        credentials: if deployment.is_outside {
            CredentialsIn::SecretsManager(SECRETS.into())
        } else {
            CredentialsIn::Database
        },
        refreshes: match deployment.mode {
            Mode::Sweeper => RefreshesBy::Sweeper,
            Mode::Queue => RefreshesBy::Queue(REFRESH_QUEUE.into()),
            Mode::Schedules => RefreshesBy::Schedules(target()),
        },
        recovery_queue: deployment.has_recovery.then(|| RECOVERY_QUEUE.into()),
        event_bus: None,
        refresh_function: "refresh".into(),
        connectors: vec![connectors()],
        is_local: false,
        trust: Trust::Machine,
        egress_reroute: None,
        give_up: GIVE_UP,
        metrics: Metrics::nowhere(),
    }
}

/// The folder of the connector `app`, which is the same for all applications.
fn connectors() -> PathBuf {
    static CONNECTOR: OnceLock<TempConnector> = OnceLock::new();
    const SPEC: &str = "
name: App
key: app
auth:
  type: oauth2
  getOAuthConfig:
    implementationType: mapping
    mapping:
      clientId: larder
      authorizeUri: https://application.example/authorize
      tokenUri: {$var: connectorParameters.tokenUri}
  makeApiClient:
    mapping: {baseUri: 'https://application.example'}
";
    CONNECTOR.get_or_init(|| TempConnector::new(&[("spec.yml", SPEC)])).path().to_owned()
}

fn request(method: Method, uri: &str, token: &str) -> http::Request<Bytes> {
    let request = http::Request::builder().method(method).uri(uri);
    request.header("authorization", format!("Bearer {token}")).body(Bytes::new()).expect("a request")
}

/// Invokes `refresh` for a reader, and waits for it as the SDK does.
struct Invocations {
    sandbox: Arc<Sandbox>,
    life: Arc<Life>,
}

#[async_trait]
impl RefreshConnection for Invocations {
    async fn refresh(&self, event: &RefreshEvent) -> Result<RefreshOutcome, Error> {
        const MOST: Duration = Duration::from_secs(25);
        let (done, outcome) = oneshot::channel();
        let event: Value = json!(event);
        let invoked = self.sandbox.call(Service::Lambda, || {
            let life = Arc::clone(&self.life);
            tokio::spawn(async move { done.send(life.refresh(event).await) });
        });
        let failed = |why: &str| Error::unavailable("the refresh function", &std::io::Error::other(why.to_owned()));
        match timeout(MOST, async { (invoked.await, outcome.await) }).await {
            Ok((Ok(()), Ok(Some(Ok(refresh::EventResult::Refresh(outcome)))))) => Ok(outcome),
            Ok((Ok(()), Ok(Some(Err(error))))) => Err(failed(&error.to_string())),
            Ok((Ok(()), _)) => Err(failed("it was killed")),
            Ok((Err(_), _)) => Err(failed("it was not invoked, or not heard of")),
            Err(_) => Err(failed("it took too long")),
        }
    }
}
