//! Wiring for the functions that talk to providers.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use larder::environment::{RefreshesBy, SettingError};

use crate::connect::ConnectionWriter;
use crate::connector::Catalog;
use crate::connector_setup::ConnectorSetup;
use crate::egress::{AddressPolicy, Egress, Transport};
use crate::javascript::{JavaScript, Limits};
use crate::manage::Management;
use crate::provider::Provider;
use crate::refresh::{RecoveryQueue, RefreshQueue, Refresher, Slots};

/// The ports of one process: those every function has, plus the engine's.
pub struct Environment {
    ports: larder::environment::Environment,
    provider: OnceLock<Provider>,
    transport: Option<Arc<dyn Transport>>,
}

impl Deref for Environment {
    type Target = larder::environment::Environment;

    fn deref(&self) -> &Self::Target {
        &self.ports
    }
}

impl Environment {
    /// Reads the environment of a Lambda function.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    #[cfg(feature = "aws")]
    pub async fn from_env() -> Result<Self, SettingError> {
        Ok(Self::new(larder::environment::Environment::from_env().await?))
    }

    /// Adds the engine to the ports every function has.
    pub fn new(ports: larder::environment::Environment) -> Self {
        Self { ports, provider: OnceLock::new(), transport: None }
    }

    /// Replaces the transport of requests to providers, for tests.
    pub fn with_transport(self, transport: Arc<dyn Transport>) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// Integrations and connectors. When two connectors share a key, the one in the settings' folders wins over `bundled`.
    pub fn connector_setup(&self, bundled: Catalog) -> Arc<ConnectorSetup> {
        self.connector_setup_of(bundled.with_dirs(&self.settings.connectors))
    }

    /// Integrations, and the connectors of a catalog.
    pub fn connector_setup_of(&self, catalog: Catalog) -> Arc<ConnectorSetup> {
        Arc::new(ConnectorSetup {
            integrations: self.integrations(),
            catalog,
            base_uri: self.settings.base_uri.clone(),
            workspaces: self.workspaces(),
            proxies: self.proxies(),
            clock: Arc::clone(&self.clock),
        })
    }

    /// The client for all providers. It is created once, because its HTTP client loads the machine's root certificates.
    ///
    /// # Errors
    /// When the HTTP client cannot be created.
    pub fn provider(&self) -> Result<Provider, SettingError> {
        if let Some(provider) = self.provider.get() {
            return Ok(provider.clone());
        }
        let policy = match self.settings.egress_reroute {
            Some(port) => AddressPolicy::Rerouted(port),
            None if self.settings.is_local => AddressPolicy::PublicAndLoopback,
            None => AddressPolicy::Public,
        };
        let egress = match &self.transport {
            Some(transport) => Egress::over(Arc::clone(transport)),
            None => {
                Egress::trusting(&self.settings.trust, policy).map_err(|error| SettingError::Egress(Box::new(error)))?
            }
        };
        let javascript = JavaScript::new(egress.clone(), Arc::clone(&self.rng), Limits::default());
        let provider = Provider::new(egress, javascript, Arc::clone(&self.clock), Arc::clone(&self.rng));
        Ok(self.provider.get_or_init(|| provider).clone())
    }

    /// Tests new connections and stores them.
    ///
    /// # Errors
    /// When the key file cannot be used or the HTTP client cannot be created.
    pub fn connection_writer(&self) -> Result<ConnectionWriter, SettingError> {
        Ok(ConnectionWriter {
            connections: self.connections(),
            vault: self.vault()?,
            provider: self.provider()?,
            follow_up: self.follow_up(),
            attempts: self.attempts(),
            integrations: self.integrations(),
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
        })
    }

    /// Refreshes connections.
    ///
    /// # Errors
    /// When the key file cannot be used or the HTTP client cannot be created.
    pub fn refresher(&self, connector_setup: Arc<ConnectorSetup>) -> Result<Refresher, SettingError> {
        let queue = match &self.settings.refreshes {
            RefreshesBy::Queue(url) => Some(RefreshQueue::new(self.queue(url))),
            RefreshesBy::Sweeper | RefreshesBy::Schedules(_) => None,
        };
        Ok(Refresher {
            connections: self.connections(),
            vault: self.vault()?,
            connector_setup,
            provider: self.provider()?,
            writer: self.connection_writer()?,
            follow_up: self.follow_up(),
            attempts: self.attempts(),
            queue,
            recovery: self.settings.recovery_queue.as_ref().map(|url| RecoveryQueue::new(self.queue(url))),
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
            give_up: self.settings.give_up,
            metrics: self.settings.metrics.clone(),
            slots: Slots::default(),
        })
    }

    /// Manages connections.
    ///
    /// # Errors
    /// When the key file cannot be used or the HTTP client cannot be created.
    pub fn management(&self, connector_setup: Arc<ConnectorSetup>) -> Result<Management, SettingError> {
        let refresher = self.refresher(Arc::clone(&connector_setup))?;
        Ok(Management {
            connector_setup,
            connections: refresher.connections.clone(),
            requests: self.connection_requests(),
            page_sessions: self.page_sessions(),
            vault: refresher.vault.clone(),
            provider: refresher.provider.clone(),
            writer: self.connection_writer()?,
            follow_up: refresher.follow_up.clone(),
            attempts: refresher.attempts.clone(),
            refresher: Arc::new(refresher),
            clock: Arc::clone(&self.clock),
        })
    }
}
