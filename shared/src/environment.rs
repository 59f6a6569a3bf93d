//! The wiring of every function: its settings, from the environment or from `infra/local`, and the ports built from them.

mod cors;
mod credentials;
#[cfg(feature = "aws")]
mod from_env;

use std::env;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_types::SdkConfig;
pub use credentials::CredentialsIn;

use crate::aws;
use crate::caller::Authenticator;
use crate::clock::Clock;
use crate::cors::AllowedOrigins;
use crate::credential_store::CredentialStore;
use crate::dynamodb::schema::Tables;
use crate::dynamodb::{Attempts, ConnectionRequests, Connections, DataKeyRing, Integrations, PageSessions, Sessions};
use crate::events::{Events, NoEvents};
use crate::follow_up::FollowUp;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::random::Rng;
use crate::scheduler::{Scheduler, SweepOnly};
use crate::seal::{DataKeys, KeyFile, Sealer};
use crate::secret_store::{Proxies, SecretFile, SecretStore, Workspaces};
use crate::trust::Trust;
use crate::vault::{Outside, Vault};

/// The settings of one deployment of Larder.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URI that it answers at, without a trailing slash (`BASE_URI`).
    pub base_uri: String,
    /// The tables (`CONNECTIONS_TABLE`, `SESSIONS_TABLE`, `ATTEMPTS_TABLE`, `WORKSPACES_TABLE`).
    pub tables: Tables,
    /// The origins whose scripts may call the JSON routes (`CORS_ORIGINS`).
    pub cors_origins: AllowedOrigins,
    /// The location of secrets.
    pub secrets: SecretsIn,
    /// The source of data keys.
    pub keys: KeysFrom,
    /// The location of credentials.
    pub credentials: CredentialsIn,
    /// The trigger of refreshes (`REFRESH_SCHEDULER`).
    pub refreshes: RefreshesBy,
    /// The URL of the queue for results that could not be saved (`RECOVERY_QUEUE_URL`).
    pub recovery_queue: Option<aws::ResourceName>,
    /// The EventBridge bus for events about connections (`EVENT_BUS_NAME`).
    pub event_bus: Option<aws::ResourceName>,
    /// The name of the `refresh` function (`REFRESH_FUNCTION`).
    pub refresh_function: String,
    /// The folders of connectors (`CONNECTORS_DIR`, separated by `:`). If two have the same key, the later one wins.
    pub connectors: Vec<PathBuf>,
    /// Whether providers may be on this machine and use http (`LARDER_LOCAL=1`).
    pub is_local: bool,
    /// The certificate authorities that TLS connections trust (`AWS_CA_BUNDLE`, `SSL_CERT_FILE`, `SSL_CERT_DIR`).
    pub trust: Trust,
    /// A port on this machine that receives every request to a provider, whatever its URL. For tests; no environment
    /// variable sets it.
    pub egress_reroute: Option<u16>,
    /// How long attempts continue after a connection's expiry (`REFRESH_GIVE_UP`).
    pub give_up: Duration,
    /// The destination of metrics; stdout in a Lambda function.
    pub metrics: Metrics,
}

/// The location of secrets.
#[derive(Debug, Clone)]
pub enum SecretsIn {
    /// AWS Secrets Manager, with names that have this prefix (`SECRETS_PREFIX`).
    SecretsManager(aws::ResourceName),
    /// A file (`SECRETS_FILE`).
    File(PathBuf),
}

/// The source of data keys.
#[derive(Debug, Clone)]
pub enum KeysFrom {
    /// A KMS key (`KMS_KEY_ID`).
    Kms(aws::ResourceName),
    /// A file (`SEAL_KEY_FILE`).
    File(PathBuf),
}

impl KeysFrom {
    /// Returns the KMS key, which also encrypts new secrets.
    fn kms(&self) -> Option<&aws::ResourceName> {
        match self {
            Self::Kms(key_id) => Some(key_id),
            Self::File(_) => None,
        }
    }
}

/// The trigger of refreshes.
#[derive(Debug, Clone)]
pub enum RefreshesBy {
    /// The sweeper refreshes all due connections (`none`).
    Sweeper,
    /// The sweeper sends all due connections to the queue with this URL (`sweep`, `REFRESH_QUEUE_URL`).
    Queue(aws::ResourceName),
    /// One-time schedules; the sweeper refreshes connections whose schedules are lost (`eventbridge`).
    Schedules(aws::ScheduleTarget),
}

/// A missing or invalid setting.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// A required environment variable is not set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// An environment variable has an invalid value.
    #[error("the environment variable {name} must be {expected}")]
    Wrong {
        /// The variable's name.
        name: &'static str,
        /// The values that are valid.
        expected: &'static str,
    },
    /// The key file cannot be used.
    #[error("the key file cannot be used")]
    KeyFile(#[from] std::io::Error),
    /// The HTTP client cannot be created. Boxed, so that functions without one do not link its error.
    #[error("the HTTP client could not be created")]
    Egress(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How long attempts continue after a connection's expiry by default.
pub const GIVE_UP: Duration = Duration::from_hours(24 * 7);

/// The ports of one process. Each function takes only those that it needs.
pub struct Environment {
    /// The settings of this deployment.
    pub settings: Settings,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of random bytes.
    pub rng: Arc<dyn Rng>,
    secrets: Arc<dyn SecretStore>,
    pub(crate) sdk: SdkConfig,
    dynamodb: aws_sdk_dynamodb::Client,
    sealer: OnceLock<Sealer>,
    credential_store: OnceLock<Arc<dyn CredentialStore>>,
}

impl Environment {
    /// Creates an environment from its parts.
    pub fn new(settings: Settings, sdk: SdkConfig, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        let secrets: Arc<dyn SecretStore> = match &settings.secrets {
            SecretsIn::File(path) => Arc::new(SecretFile::new(path)),
            SecretsIn::SecretsManager(prefix) => aws::secret_store(&sdk, prefix, settings.keys.kms()),
        };
        let dynamodb = aws_sdk_dynamodb::Client::new(&sdk);
        Self {
            settings,
            clock,
            rng,
            secrets,
            sdk,
            dynamodb,
            sealer: OnceLock::new(),
            credential_store: OnceLock::new(),
        }
    }

    /// Returns the client for the tables.
    pub fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        &self.dynamodb
    }

    /// Returns the workspaces.
    pub fn workspaces(&self) -> Arc<Workspaces> {
        Arc::new(Workspaces::new(Arc::clone(&self.secrets), Arc::clone(&self.clock)))
    }

    /// Returns the authenticator of callers.
    pub fn authenticator(&self) -> Authenticator {
        let keeps_for_others = !matches!(self.settings.credentials, CredentialsIn::ExternalApi(_));
        Authenticator::new(self.workspaces(), Arc::clone(&self.clock), keeps_for_others)
    }

    /// Returns the connections.
    pub fn connections(&self) -> Connections {
        Connections::new(self.dynamodb.clone(), &self.settings.tables.connections)
    }

    /// Returns the integrations, with their parameters.
    pub fn integrations(&self) -> Integrations {
        let (secrets, rng) = (Arc::clone(&self.secrets), Arc::clone(&self.rng));
        Integrations::new(self.dynamodb.clone(), &self.settings.tables.workspaces, secrets, rng)
    }

    /// Returns the proxies that a workspace's connectors may use.
    pub fn proxies(&self) -> Proxies {
        Proxies::new(Arc::clone(&self.secrets))
    }

    /// Returns the queue with this URL.
    pub fn queue(&self, url: &aws::ResourceName) -> Arc<dyn Queue> {
        aws::queue(&self.sdk, url)
    }

    /// Returns the pending connect flows.
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.dynamodb.clone(), &self.settings.tables.sessions)
    }

    /// Returns the connection requests.
    pub fn connection_requests(&self) -> ConnectionRequests {
        ConnectionRequests::new(self.dynamodb.clone(), &self.settings.tables.sessions)
    }

    /// Returns the sessions of the pages.
    pub fn page_sessions(&self) -> PageSessions {
        PageSessions::new(self.dynamodb.clone(), &self.settings.tables.sessions)
    }

    /// Returns the history of connections.
    pub fn attempts(&self) -> Attempts {
        let (clock, rng) = (Arc::clone(&self.clock), Arc::clone(&self.rng));
        Attempts::new(self.dynamodb.clone(), &self.settings.tables.attempts, clock, rng)
    }

    /// Returns the sealer. All callers get the same one, so that they share its data keys in memory.
    ///
    /// # Errors
    /// When the key file cannot be used.
    pub fn sealer(&self) -> Result<Sealer, SettingError> {
        if let Some(sealer) = self.sealer.get() {
            return Ok(sealer.clone());
        }
        let keys: Arc<dyn DataKeys> = match &self.settings.keys {
            KeysFrom::File(path) => Arc::new(KeyFile::open(path)?),
            KeysFrom::Kms(key_id) => {
                let ring = DataKeyRing::new(self.dynamodb.clone(), &self.settings.tables.workspaces);
                aws::data_keys(&self.sdk, key_id, ring, &self.clock, &self.rng)
            }
        };
        let sealer = Sealer::new(keys, Arc::clone(&self.rng));
        Ok(self.sealer.get_or_init(|| sealer).clone())
    }

    /// Returns the connections with their contents.
    ///
    /// # Errors
    /// When the key file cannot be used.
    pub fn vault(&self) -> Result<Vault, SettingError> {
        let outside = self.credential_store()?.map(|store| Outside {
            store,
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
        });
        Ok(Vault::new(self.connections(), self.sealer()?, outside))
    }

    /// Returns the follow-up of a write: schedules for refreshes, and events.
    pub fn follow_up(&self) -> FollowUp {
        let scheduler: Arc<dyn Scheduler> = match &self.settings.refreshes {
            RefreshesBy::Schedules(target) => aws::scheduler(&self.sdk, target),
            RefreshesBy::Sweeper | RefreshesBy::Queue(_) => Arc::new(SweepOnly),
        };
        let events: Arc<dyn Events> = match &self.settings.event_bus {
            Some(bus) => aws::events(&self.sdk, bus),
            None => Arc::new(NoEvents),
        };
        FollowUp::new(scheduler, events)
    }
}

pub(crate) fn optional(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
