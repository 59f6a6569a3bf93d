//! One instance of all functions. It starts cold, then serves one invocation at a time.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connections::Connections as ConnectionsFunction;
use get_credentials::GetCredentials;
use http::Method;
use larder::aws::ScheduleTarget;
use larder::connection::{Confirmation, ConnectionKey, RefreshOutcome};
use larder::cors::AllowedOrigins;
use larder::dynamodb::schema::Tables;
use larder::environment::{CredentialsIn, GIVE_UP, KeysFrom, RefreshesBy, SecretsIn, Settings};
use larder::error::Error;
use larder::http::{Handler as _, Response};
use larder::metrics::Metrics;
use larder::refresh::{RefreshConnection, RefreshEvent};
use larder::trust::Trust;
use larder_engine::connect::{ConnectionWriter, NewConnection};
use larder_engine::connector::Catalog;
use larder_engine::connector_setup::{ConnectInputs, ConnectorSetup};
use larder_engine::environment::Environment;
use larder_engine::provider::Authorization;
use larder_tests::TempConnector;
use refresh::Refresh;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::cloud::{Cloud, RECOVERY_QUEUE, REFRESH_QUEUE, SECRETS};
use super::internet::Internet;
use super::network::Service;
use super::provider::SimulatedProviders;
use super::run::SimulatedRun;
use super::sandbox::Sandbox;

/// The workspace of all runs.
pub(super) const WORKSPACE: &str = "sim";

/// How refreshes are triggered.
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

/// The functions in one sandbox, each created at its first call.
pub(super) struct Instance {
    pub(super) sandbox: Arc<Sandbox>,
    /// The number of the deployment. Only the latest one gets invocations.
    pub(super) generation: usize,
    environment: Environment,
    connector_setup: OnceLock<Arc<ConnectorSetup>>,
    refresh: OnceLock<Refresh>,
    get: OnceLock<GetCredentials>,
    management: OnceLock<ConnectionsFunction>,
    writer: OnceLock<ConnectionWriter>,
    run: Arc<SimulatedRun>,
}

impl Instance {
    pub(super) fn new(
        sandbox: Sandbox,
        cloud: &Arc<Cloud>,
        providers: &Arc<SimulatedProviders>,
        deployment: &Deployment,
        generation: usize,
        run: Arc<SimulatedRun>,
    ) -> Self {
        let sandbox = Arc::new(sandbox);
        let sdk = cloud.sdk_config(&sandbox);
        let chance = Arc::clone(&sandbox.network.chance);
        let clock = Arc::clone(&sandbox);
        let internet = Internet { sandbox: Arc::clone(&sandbox), providers: Arc::clone(providers) };
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
            run,
        }
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(super) fn connector_setup(&self) -> &Arc<ConnectorSetup> {
        self.connector_setup.get_or_init(|| self.environment.connector_setup(Catalog::default()))
    }

    pub(super) fn refresh(&self) -> &Refresh {
        self.refresh.get_or_init(|| Refresh::new(&self.environment).expect("settings"))
    }

    /// `GET /credentials`.
    pub(super) async fn get(&self, id: &str, token: &str) -> Response {
        let get = self.get.get_or_init(|| {
            let refresh = Invocations { sandbox: Arc::clone(&self.sandbox), run: Arc::clone(&self.run) };
            GetCredentials::new(&self.environment, Arc::new(refresh)).expect("settings")
        });
        get.handle(request(Method::GET, &format!("/credentials?connectionId={id}"), token)).await
    }

    /// `POST /connections/{id}/refresh-credentials`.
    pub(super) async fn refresh_now(&self, id: &str, token: &str) -> Response {
        self.manage(request(Method::POST, &format!("/connections/{id}/refresh-credentials"), token)).await
    }

    /// Sends a request to `connections`.
    pub(super) async fn manage(&self, request: http::Request<Bytes>) -> Response {
        let management = self.management.get_or_init(|| {
            ConnectionsFunction::new(&self.environment, Arc::clone(self.connector_setup())).expect("settings")
        });
        management.handle(request).await
    }

    /// Stores the credentials that wait for a connection.
    pub(super) async fn confirm(&self, id: &str, request: &str) -> Result<(), Error> {
        let management = self.environment.management(Arc::clone(self.connector_setup())).expect("settings");
        management.confirm(&ConnectionKey::new(WORKSPACE, id), request, async { Ok(()) }).await.map(drop)
    }

    /// Completes a connect flow from the code exchange on. Returns the stored access token, or the one that waits for its
    /// confirmation.
    pub(super) async fn connect(
        &self,
        number: usize,
        id: &str,
        confirmation: Option<&Confirmation>,
    ) -> Result<String, Error> {
        let key = format!("provider-{number}");
        let integration = self.connector_setup().integration(WORKSPACE, &key).await?;
        let (connector_parameters, input) = (Map::new(), Map::new());
        let inputs = ConnectInputs {
            option_key: "",
            tenant: Some("alice"),
            connector_parameters: &connector_parameters,
            input: &input,
            given: None,
        };
        let auth = self.connector_setup().auth_for(&integration, &inputs).await?;
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
            own_key: None,
            tags: None,
            meta: None,
            input,
            connector_parameters,
        };
        let writer = self.writer.get_or_init(|| self.environment.connection_writer().expect("settings"));
        writer.create_or_renew(&new, &integration, &auth, obtained, confirmation).await?;
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
        cors_origins: AllowedOrigins::Any,
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

/// The folder of the connector `app`, which all providers share.
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
      authorizeUri: https://provider.example/authorize
      tokenUri: {$var: connectorParameters.tokenUri}
  makeApiClient:
    mapping: {baseUri: 'https://provider.example'}
";
    CONNECTOR.get_or_init(|| TempConnector::new(&[("spec.yml", SPEC)])).path().to_owned()
}

pub(super) fn request(method: Method, uri: &str, token: &str) -> http::Request<Bytes> {
    let request = http::Request::builder().method(method).uri(uri);
    request.header("authorization", format!("Bearer {token}")).body(Bytes::new()).expect("a request")
}

/// Invokes `refresh` for a reader and waits for the result, as the SDK does.
struct Invocations {
    sandbox: Arc<Sandbox>,
    run: Arc<SimulatedRun>,
}

#[async_trait]
impl RefreshConnection for Invocations {
    async fn refresh(&self, event: &RefreshEvent) -> Result<RefreshOutcome, Error> {
        const TIMEOUT: Duration = Duration::from_secs(25);
        let (done, outcome) = oneshot::channel();
        let event: Value = json!(event);
        let invoked = self.sandbox.call(Service::Lambda, || {
            let run = Arc::clone(&self.run);
            tokio::spawn(async move { done.send(run.refresh(event).await) });
        });
        let failed = |why: &str| Error::unavailable("the refresh function", &std::io::Error::other(why.to_owned()));
        match timeout(TIMEOUT, async { (invoked.await, outcome.await) }).await {
            Ok((Ok(()), Ok(Some(Ok(refresh::EventResult::Refresh(outcome)))))) => Ok(outcome),
            Ok((Ok(()), Ok(Some(Err(error))))) => Err(failed(&error.to_string())),
            Ok((Ok(()), _)) => Err(failed("the process was killed")),
            Ok((Err(_), _)) => Err(failed("the invocation or its response was lost")),
            Err(_) => Err(failed("it timed out")),
        }
    }
}
