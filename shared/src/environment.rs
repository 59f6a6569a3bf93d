//! The wiring of every function: its settings, by the environment or by `infra/local`, and the ports made of them.

mod credentials;

use std::env;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, SdkConfig};
pub use credentials::CredentialsIn;
use url::Url;

use crate::aws_http;
use crate::caller::Authenticator;
use crate::clock::{Clock, SystemClock};
use crate::credential_store::CredentialStore;
use crate::events::Events;
use crate::invoke::RefreshFunction;
use crate::metrics::Metrics;
use crate::random::{Rng, SystemRng};
use crate::scheduler::{EventBridgeScheduler, ScheduleTarget, Scheduler, SweepOnly};
use crate::seal::{DataKeys, KeyFile, KmsKeys, Sealer};
use crate::secrets::{SecretFile, SecretStore, SecretsManager, Workspaces};
use crate::signals::Signals;
use crate::store::schema::Tables;
use crate::store::{Connections, DataKeyRing, Sessions};
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
    pub recovery_queue: Option<String>,
    /// The EventBridge bus that is told what happens to connections (`EVENT_BUS_NAME`).
    pub event_bus: Option<String>,
    /// The name of the `refresh` function (`REFRESH_FUNCTION`).
    pub refresh_function: String,
    /// Folders of connectors; of the same key, a later one wins (`CONNECTORS_DIR`, separated by `:`).
    pub connectors: Vec<PathBuf>,
    /// Whether providers on this machine may be reached, and by http (`LARDER_LOCAL=1`).
    pub is_local: bool,
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
    SecretsManager(String),
    /// In a file (`SECRETS_FILE`).
    File(PathBuf),
}

/// Where data keys come from.
#[derive(Debug, Clone)]
pub enum KeysFrom {
    /// From a KMS key (`KMS_KEY_ID`).
    Kms(String),
    /// From a file (`SEAL_KEY_FILE`).
    File(PathBuf),
}

impl KeysFrom {
    /// The KMS key, which also encrypts the secrets that are made.
    fn kms(&self) -> Option<String> {
        match self {
            Self::Kms(key_id) => Some(key_id.clone()),
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
    Queue(String),
    /// One-time schedules; the sweeper refreshes what they lose (`eventbridge`).
    Schedules(ScheduleTarget),
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

impl Settings {
    /// Reads the environment of a Lambda function.
    ///
    /// # Errors
    /// When something is missing or wrong.
    pub fn from_env() -> Result<Self, SettingError> {
        let defaults = Tables::default();
        let secrets = match optional("SECRETS_FILE") {
            Some(path) => SecretsIn::File(path.into()),
            None => SecretsIn::SecretsManager(secrets_prefix()),
        };
        let keys = match optional("SEAL_KEY_FILE") {
            Some(path) => KeysFrom::File(path.into()),
            None => KeysFrom::Kms(required("KMS_KEY_ID")?),
        };
        let base_uri = base_uri(&required("BASE_URI")?)?;
        let is_local = optional("LARDER_LOCAL").is_some_and(|value| value == "1");
        Ok(Self {
            credentials: CredentialsIn::from_env(&base_uri, is_local)?,
            base_uri,
            tables: Tables {
                connections: optional("CONNECTIONS_TABLE").unwrap_or(defaults.connections),
                sessions: optional("SESSIONS_TABLE").unwrap_or(defaults.sessions),
                workspaces: optional("WORKSPACES_TABLE").unwrap_or(defaults.workspaces),
            },
            secrets,
            keys,
            refreshes: refreshes_by()?,
            recovery_queue: optional("RECOVERY_QUEUE_URL"),
            event_bus: optional("EVENT_BUS_NAME"),
            refresh_function: optional("REFRESH_FUNCTION").unwrap_or_else(|| "refresh".into()),
            connectors: env::split_paths(&optional("CONNECTORS_DIR").unwrap_or_else(|| "/opt/connectors".into()))
                .collect(),
            is_local,
            egress_reroute: None,
            give_up: match optional("REFRESH_GIVE_UP") {
                Some(text) => duration(&text).ok_or(SettingError::Wrong {
                    name: "REFRESH_GIVE_UP",
                    expected: "a duration such as 7d, 12h, 30m or 45s",
                })?,
                None => GIVE_UP,
            },
            metrics: Metrics::to(Arc::new(Mutex::new(std::io::stdout()))),
        })
    }
}

/// The ports of one process. Each function takes only those that it needs.
pub struct Environment {
    /// How this deployment is set up.
    pub settings: Settings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    secrets: Arc<dyn SecretStore>,
    sdk: SdkConfig,
    dynamodb: aws_sdk_dynamodb::Client,
    sealer: OnceLock<Sealer>,
    credential_store: OnceLock<Arc<dyn CredentialStore>>,
    #[cfg(feature = "engine")]
    provider: OnceLock<crate::provider::Provider>,
    #[cfg(feature = "engine")]
    transport: Option<Arc<dyn crate::egress::Transport>>,
}

impl Environment {
    /// The environment of a Lambda function.
    ///
    /// # Errors
    /// When a setting is missing or wrong.
    pub async fn from_env() -> Result<Self, SettingError> {
        // Lambda gives its credentials in variables. The chain of all providers makes HTTP clients for each other way.
        let sdk = aws_config::defaults(BehaviorVersion::latest())
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
            .timeout_config(aws_http::timeouts())
            .http_client(aws_http::client());
        let sdk = sdk.load().await;
        Ok(Self::new(Settings::from_env()?, sdk, Arc::new(SystemClock), Arc::new(SystemRng)))
    }

    /// An environment with everything given.
    pub fn new(settings: Settings, sdk: SdkConfig, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        let secrets: Arc<dyn SecretStore> = match &settings.secrets {
            SecretsIn::File(path) => Arc::new(SecretFile::new(path)),
            SecretsIn::SecretsManager(prefix) => {
                Arc::new(SecretsManager::new(aws_sdk_secretsmanager::Client::new(&sdk), prefix, settings.keys.kms()))
            }
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
            #[cfg(feature = "engine")]
            provider: OnceLock::new(),
            #[cfg(feature = "engine")]
            transport: None,
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
            KeysFrom::Kms(key_id) => Arc::new(KmsKeys::new(
                aws_sdk_kms::Client::new(&self.sdk),
                key_id,
                DataKeyRing::new(self.dynamodb.clone(), &self.settings.tables.workspaces),
                Arc::clone(&self.clock),
                Arc::clone(&self.rng),
            )),
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
    pub fn signals(&self) -> Signals {
        let scheduler: Arc<dyn Scheduler> = match &self.settings.refreshes {
            RefreshesBy::Schedules(target) => {
                Arc::new(EventBridgeScheduler::new(aws_sdk_scheduler::Client::new(&self.sdk), target.clone()))
            }
            RefreshesBy::Sweeper | RefreshesBy::Queue(_) => Arc::new(SweepOnly),
        };
        let events = match &self.settings.event_bus {
            Some(bus) => Events::on(aws_sdk_eventbridge::Client::new(&self.sdk), bus),
            None => Events::none(),
        };
        Signals::new(scheduler, events)
    }

    /// The `refresh` function, to be invoked.
    pub fn refresh_function(&self) -> RefreshFunction {
        RefreshFunction::new(self.sdk.clone(), &self.settings.refresh_function)
    }
}

#[cfg(feature = "engine")]
mod engine {
    use super::{Arc, Environment, RefreshesBy, SettingError};
    use crate::configuration::Configuration;
    use crate::connect::Establish;
    use crate::connector::{Catalog, Folder};
    use crate::egress::{Egress, Reach, Transport};
    use crate::javascript::{JavaScript, Limits};
    use crate::provider::Provider;
    use crate::queue::{RecoveryQueue, RefreshQueue};
    use crate::refresh::{Refresher, Slots};
    use crate::secrets::Proxies;
    use crate::store::Integrations;

    impl Environment {
        /// Integrations and connectors. Of the same key, those in the settings' folders win over `bundled`.
        pub fn configuration(&self, bundled: Vec<Folder>) -> Arc<Configuration> {
            let tables = &self.settings.tables;
            let (secrets, rng) = (Arc::clone(&self.secrets), Arc::clone(&self.rng));
            Arc::new(Configuration {
                integrations: Integrations::new(self.dynamodb.clone(), &tables.workspaces, secrets, rng),
                catalog: Catalog::new(bundled).with_dirs(&self.settings.connectors),
                base_uri: self.settings.base_uri.clone(),
                workspaces: self.workspaces(),
                proxies: Proxies::new(Arc::clone(&self.secrets)),
                clock: Arc::clone(&self.clock),
            })
        }

        /// The same, but for what carries requests to providers; for tests.
        pub fn with_transport(self, transport: Arc<dyn Transport>) -> Self {
            Self { transport: Some(transport), ..self }
        }

        /// Speaks to providers. All that ask get the same one: its HTTP client reads the machine's root certificates.
        ///
        /// # Errors
        /// When no HTTP client can be made.
        pub fn provider(&self) -> Result<Provider, SettingError> {
            if let Some(provider) = self.provider.get() {
                return Ok(provider.clone());
            }
            let reach = match self.settings.egress_reroute {
                Some(port) => Reach::Rerouted(port),
                None if self.settings.is_local => Reach::PublicAndLoopback,
                None => Reach::Public,
            };
            let egress = match &self.transport {
                Some(transport) => Egress::over(Arc::clone(transport)),
                None => Egress::new(reach).map_err(|error| SettingError::Egress(Box::new(error)))?,
            };
            let javascript = JavaScript::new(egress.clone(), Arc::clone(&self.rng), Limits::default());
            let provider = Provider::new(egress, javascript, Arc::clone(&self.clock), Arc::clone(&self.rng));
            Ok(self.provider.get_or_init(|| provider).clone())
        }

        /// Tests and stores connections.
        ///
        /// # Errors
        /// When the key file cannot be used or no HTTP client can be made.
        pub fn establish(&self) -> Result<Establish, SettingError> {
            Ok(Establish {
                connections: self.connections(),
                vault: self.vault()?,
                provider: self.provider()?,
                signals: self.signals(),
                clock: Arc::clone(&self.clock),
                rng: Arc::clone(&self.rng),
            })
        }

        /// Refreshes connections.
        ///
        /// # Errors
        /// When the key file cannot be used or no HTTP client can be made.
        pub fn refresher(&self, configuration: Arc<Configuration>) -> Result<Refresher, SettingError> {
            let sqs = || aws_sdk_sqs::Client::new(&self.sdk);
            let queue = match &self.settings.refreshes {
                RefreshesBy::Queue(url) => Some(RefreshQueue::new(sqs(), url)),
                RefreshesBy::Sweeper | RefreshesBy::Schedules(_) => None,
            };
            Ok(Refresher {
                connections: self.connections(),
                vault: self.vault()?,
                configuration,
                provider: self.provider()?,
                signals: self.signals(),
                queue,
                recovery: self.settings.recovery_queue.as_ref().map(|url| RecoveryQueue::new(sqs(), url)),
                clock: Arc::clone(&self.clock),
                rng: Arc::clone(&self.rng),
                give_up: self.settings.give_up,
                metrics: self.settings.metrics.clone(),
                slots: Slots::default(),
            })
        }
    }
}

fn refreshes_by() -> Result<RefreshesBy, SettingError> {
    match optional("REFRESH_SCHEDULER").as_deref() {
        None | Some("none") => Ok(RefreshesBy::Sweeper),
        Some("sweep") => Ok(RefreshesBy::Queue(required("REFRESH_QUEUE_URL")?)),
        Some("eventbridge") => Ok(RefreshesBy::Schedules(ScheduleTarget {
            group: required("SCHEDULE_GROUP")?,
            function_arn: required("REFRESH_FUNCTION_ARN")?,
            role_arn: required("SCHEDULE_ROLE_ARN")?,
            dead_letter_arn: optional("SCHEDULE_DEAD_LETTER_ARN"),
        })),
        Some(_) => Err(SettingError::Wrong { name: "REFRESH_SCHEDULER", expected: "eventbridge, sweep or none" }),
    }
}

fn base_uri(text: &str) -> Result<String, SettingError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
    url.map(|url| url.as_str().trim_end_matches('/').to_owned())
        .ok_or(SettingError::Wrong { name: "BASE_URI", expected: "an http(s) URL without a query" })
}

/// Reads `7d`, `12h`, `30m`, `45s`, or plain seconds.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
}

fn secrets_prefix() -> String {
    optional("SECRETS_PREFIX").unwrap_or_else(|| "larder/".into())
}

fn optional(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &'static str) -> Result<String, SettingError> {
    optional(name).ok_or(SettingError::Missing(name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{base_uri, duration};

    #[test]
    fn a_duration_has_a_unit_or_is_in_seconds() {
        assert_eq!(duration("7d"), Some(Duration::from_hours(168)));
        assert_eq!(duration("90"), Some(Duration::from_secs(90)));
        for wrong in ["", "d", "1w", "-1s", "1.5h", "99999999999999999999d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_base_uri_has_no_slash_at_the_end_and_no_query() {
        assert_eq!(base_uri("https://larder.example/prod/").expect("fine"), "https://larder.example/prod");
        assert!(base_uri("larder.example").is_err());
        assert!(base_uri("https://larder.example/?a=b").is_err());
    }
}
