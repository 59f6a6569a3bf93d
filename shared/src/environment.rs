//! The wiring of every function: its settings, by the environment or by `infra/local`, and the ports made of them.

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
use crate::credential_store::CredentialStore;
use crate::dynamodb::schema::Tables;
use crate::dynamodb::{Connections, DataKeyRing, Integrations, Sessions};
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

/// How one deployment of Larder is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it answers, without a slash at the end (`BASE_URI`).
    pub base_uri: String,
    /// The tables (`CONNECTIONS_TABLE`, `SESSIONS_TABLE`, `WORKSPACES_TABLE`).
    pub tables: Tables,
    /// Where secrets are.
    pub secrets: SecretsIn,
    /// Where data keys come from.
    pub keys: KeysFrom,
    /// Where credentials are kept.
    pub credentials: CredentialsIn,
    /// What wakes refreshes (`REFRESH_SCHEDULER`).
    pub refreshes: RefreshesBy,
    /// The URL of the queue for results that could not be saved (`RECOVERY_QUEUE_URL`).
    pub recovery_queue: Option<aws::Name>,
    /// The EventBridge bus that is told what happens to connections (`EVENT_BUS_NAME`).
    pub event_bus: Option<aws::Name>,
    /// The name of the `refresh` function (`REFRESH_FUNCTION`).
    pub refresh_function: String,
    /// Folders of connectors; of the same key, a later one wins (`CONNECTORS_DIR`, separated by `:`).
    pub connectors: Vec<PathBuf>,
    /// Whether providers on this machine may be reached, and by http (`LARDER_LOCAL=1`).
    pub is_local: bool,
    /// The certificate authorities that TLS connections trust (`AWS_CA_BUNDLE`, `SSL_CERT_FILE`, `SSL_CERT_DIR`).
    pub trust: Trust,
    /// A port of this machine that gets every request to a provider, whatever its URL; for tests. No environment
    /// variable sets it.
    pub egress_reroute: Option<u16>,
    /// How long a dead credential is still tried (`REFRESH_GIVE_UP`).
    pub give_up: Duration,
    /// Where metrics are written; a Lambda function writes them to stdout.
    pub metrics: Metrics,
}

/// Where secrets are.
#[derive(Debug, Clone)]
pub enum SecretsIn {
    /// In AWS Secrets Manager, with names that begin so (`SECRETS_PREFIX`).
    SecretsManager(aws::Name),
    /// In a file (`SECRETS_FILE`).
    File(PathBuf),
}

/// Where data keys come from.
#[derive(Debug, Clone)]
pub enum KeysFrom {
    /// From a KMS key (`KMS_KEY_ID`).
    Kms(aws::Name),
    /// From a file (`SEAL_KEY_FILE`).
    File(PathBuf),
}

impl KeysFrom {
    /// The KMS key, which also encrypts the secrets that are made.
    fn kms(&self) -> Option<&aws::Name> {
        match self {
            Self::Kms(key_id) => Some(key_id),
            Self::File(_) => None,
        }
    }
}

/// What wakes refreshes.
#[derive(Debug, Clone)]
pub enum RefreshesBy {
    /// The sweeper refreshes whatever is due (`none`).
    Sweeper,
    /// The sweeper puts whatever is due on the queue of this URL (`sweep`, `REFRESH_QUEUE_URL`).
    Queue(aws::Name),
    /// One-time schedules; the sweeper refreshes what they lose (`eventbridge`).
    Schedules(aws::ScheduleTarget),
}

/// A setting is missing or wrong.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// An environment variable that is needed is not set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// An environment variable does not hold what it should.
    #[error("the environment variable {name} is not {expected}")]
    Wrong {
        /// Its name.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The key file cannot be used.
    #[error("the key file cannot be used")]
    KeyFile(#[from] std::io::Error),
    /// The HTTP client cannot be made. Boxed, so that functions without one do not link its error.
    #[error("no HTTP client could be made")]
    Egress(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The longest that a dead credential is tried by default.
pub const GIVE_UP: Duration = Duration::from_hours(24 * 7);

/// The ports of one process. Each function takes only those that it needs.
pub struct Environment {
    /// How this deployment is set up.
    pub settings: Settings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    secrets: Arc<dyn SecretStore>,
    pub(crate) sdk: SdkConfig,
    dynamodb: aws_sdk_dynamodb::Client,
    sealer: OnceLock<Sealer>,
    credential_store: OnceLock<Arc<dyn CredentialStore>>,
}

impl Environment {
    /// An environment with everything given.
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

    /// The tables' own client.
    pub fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        &self.dynamodb
    }

    /// The workspaces.
    pub fn workspaces(&self) -> Arc<Workspaces> {
        Arc::new(Workspaces::new(Arc::clone(&self.secrets), Arc::clone(&self.clock)))
    }

    /// Turns tokens into callers.
    pub fn authenticator(&self) -> Authenticator {
        let keeps_for_others = !matches!(self.settings.credentials, CredentialsIn::ExternalApi(_));
        Authenticator::new(self.workspaces(), Arc::clone(&self.clock), keeps_for_others)
    }

    /// The connections.
    pub fn connections(&self) -> Connections {
        Connections::new(self.dynamodb.clone(), &self.settings.tables.connections)
    }

    /// The integrations, with their parameters.
    pub fn integrations(&self) -> Integrations {
        let (secrets, rng) = (Arc::clone(&self.secrets), Arc::clone(&self.rng));
        Integrations::new(self.dynamodb.clone(), &self.settings.tables.workspaces, secrets, rng)
    }

    /// The proxies that connectors of a workspace may use.
    pub fn proxies(&self) -> Proxies {
        Proxies::new(Arc::clone(&self.secrets))
    }

    /// A queue.
    pub fn queue(&self, url: &aws::Name) -> Arc<dyn Queue> {
        aws::queue(&self.sdk, url)
    }

    /// The pending connect flows.
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.dynamodb.clone(), &self.settings.tables.sessions)
    }

    /// Seals and opens records. All that ask get the same one, so that they share the data keys it has in memory.
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

    /// Connections with their contents.
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

    /// What follows a write: alarms for refreshes, and events.
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
