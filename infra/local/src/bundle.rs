//! All functions in one process, with their state in one data folder.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use connect::Connect;
use connections::Connections;
use get_credentials::GetCredentials;
use include_dir::{Dir, DirEntry, include_dir};
use larder::caller::{Authenticator, Caller, Claims, sign};
use larder::clock::Clock;
use larder::cors::AllowedOrigins;
use larder::dynamodb::schema::{self, Tables};
use larder::environment::{CredentialsIn, GIVE_UP, KeysFrom, RefreshesBy, SecretsIn, SettingError, Settings};
use larder::error::Error;
use larder::http::{Handler, Request, Response};
use larder::invocation::Invocation;
use larder::metrics::Metrics;
use larder::random::{self, Rng};
use larder::routes::{Function, path_within};
use larder::seal::KeyFile;
use larder::secret::Secret;
use larder::secret_store::{WorkspaceSecret, Workspaces};
use larder::trust::Trust;
use larder_engine::connector::{Catalog, Files};
use larder_engine::environment::Environment;
use larder_engine::manage::Management;
use larder_engine::refresh::Refresher;
use oauth_callback::OAuthCallback;
use pages::Pages;
use put_credentials::PutCredentials;

use crate::route::function_of;
use crate::{TENANT, WORKSPACE};

static CONNECTORS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../shared/connectors");

/// The data folder, which holds all state.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// The reasons why Larder does not run on this machine.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file or a port cannot be used.
    #[error("{0}: {1}")]
    Io(String, #[source] io::Error),
    /// A setting is invalid.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The embedded database failed.
    #[error("the embedded database failed")]
    Store(#[from] larder::dynamodb::StoreError),
    /// An error of Larder itself.
    #[error(transparent)]
    Larder(#[from] Error),
}

impl DataDir {
    /// Opens a folder, or creates one that only its owner can read. An existing folder keeps its mode, but Larder's own files
    /// in it become private to their owner.
    ///
    /// # Errors
    /// When the folder cannot be created, or a file in it belongs to another user.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.and_then(|()| path.canonicalize())
            .map(Self)
            .and_then(|folder| folder.narrow().map(|()| folder))
            .map_err(|error| LocalError::Io(format!("the data folder {}", path.display()), error))
    }

    fn narrow(&self) -> io::Result<()> {
        let names = [
            "larder.sqlite",
            "larder.sqlite-wal",
            "larder.sqlite-shm",
            "secrets.json",
            "secrets.lock",
            "seal.key",
            "lambda.env",
            "demo.lock",
        ];
        for path in names.map(|name| self.0.join(name)) {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The name of the database file.
    pub const DATABASE: &str = "larder.sqlite";

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of the database file.
    pub fn database(&self) -> PathBuf {
        self.0.join(Self::DATABASE)
    }

    /// The path of the secrets file.
    pub fn secrets(&self) -> PathBuf {
        self.0.join("secrets.json")
    }

    /// The path of the sealing key's file.
    pub fn seal_key(&self) -> PathBuf {
        self.0.join("seal.key")
    }

    /// The path of `lambda.env`, the environment of Lambda binaries that use the same data.
    pub fn lambda_env(&self) -> PathBuf {
        self.0.join("lambda.env")
    }

    /// Writes `lambda.env`, which holds the key of the embedded database.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_lambda_env(&self, contents: &str) -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.lambda_env())?;
        file.write_all(contents.as_bytes())
    }

    /// Claims the demo of this folder for a Larder at `base_uri`, until the file is closed. `Err` has the base URI of the Larder
    /// that has it.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn claim_demo(&self, base_uri: &str) -> io::Result<Result<File, String>> {
        let path = self.0.join("demo.lock");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.write_all(base_uri.as_bytes())?;
                Ok(Ok(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder)?;
                Ok(Err(holder))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The settings of a Larder that keeps its state in this folder.
    pub fn settings(&self, base_uri: &str, connectors: Vec<PathBuf>) -> Settings {
        Settings {
            base_uri: base_uri.to_owned(),
            tables: Tables::default(),
            cors_origins: AllowedOrigins::Any,
            secrets: SecretsIn::File(self.secrets()),
            keys: KeysFrom::File(self.seal_key()),
            credentials: CredentialsIn::Database,
            refreshes: RefreshesBy::Sweeper,
            recovery_queue: None,
            event_bus: None,
            refresh_function: "refresh".into(),
            connectors,
            is_local: true,
            trust: Trust::Machine,
            egress_reroute: None,
            give_up: GIVE_UP,
            metrics: Metrics::nowhere(),
        }
    }
}

/// The functions with all their ports.
pub struct Bundle {
    environment: Environment,
    workspaces: Arc<Workspaces>,
    connect: Connect,
    oauth_callback: OAuthCallback,
    get_credentials: GetCredentials,
    put_credentials: PutCredentials,
    connections: Connections,
    pages: Pages,
    refresher: Arc<Refresher>,
}

impl Bundle {
    /// Wires all functions to their ports, and creates the tables and this machine's workspace if they are missing.
    ///
    /// # Errors
    /// When a file cannot be used or the database fails.
    pub async fn open(
        settings: Settings,
        sdk: SdkConfig,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Result<Self, LocalError> {
        if let KeysFrom::File(path) = &settings.keys {
            KeyFile::create(path, &*rng).map_err(SettingError::from)?;
        }
        let environment = Environment::new(larder::environment::Environment::new(settings, sdk, clock, rng));
        schema::create(environment.dynamodb(), &environment.settings.tables).await?;
        // The authors of connectors are at work, so their directories are not opened once and for all.
        let connectors = bundled_connectors().watching(&environment.settings.connectors);
        let connector_setup = environment.connector_setup_of(connectors);
        let refresher = Arc::new(environment.refresher(Arc::clone(&connector_setup))?);
        let bundle = Self {
            workspaces: environment.workspaces(),
            connect: Connect::new(&environment, Arc::clone(&connector_setup))?,
            oauth_callback: OAuthCallback::new(&environment, Arc::clone(&connector_setup))?,
            get_credentials: GetCredentials::new(&environment, Arc::clone(&refresher) as _)?,
            put_credentials: PutCredentials::new(&environment, Arc::clone(&refresher) as _)?,
            connections: Connections::new(&environment, Arc::clone(&connector_setup))?,
            pages: Pages::new(&environment, connector_setup)?,
            refresher,
            environment,
        };
        bundle.ensure_workspace().await?;
        Ok(bundle)
    }

    /// Answers a request like API Gateway and the function behind the route.
    pub async fn handle(&self, request: Request) -> Response {
        let path = path_within(&self.environment.settings.base_uri, request.uri().path());
        let Some(function) = function_of(request.method(), path) else {
            // Somebody has mistyped an address.
            if pages::accepts_html(&request) {
                return self.pages.handle(request).await;
            }
            let (method, path) = (request.method(), request.uri().path());
            let unknown = Error::not_found(format!("there is no route {method} {path}"));
            return self.environment.settings.cors_origins.answer(&request, async { Err(unknown) }).await;
        };
        let handler: &dyn Handler = match function {
            Function::Connect => &self.connect,
            Function::OAuthCallback => &self.oauth_callback,
            Function::GetCredentials => &self.get_credentials,
            Function::PutCredentials => &self.put_credentials,
            Function::Connections => &self.connections,
            Function::Pages => &self.pages,
        };
        let method = Some(request.method().clone());
        let invocation = Invocation { function: function.name().into(), method, ..Invocation::default() };
        invocation.answer(handler.handle(request)).await
    }

    /// The refresher, for the sweeper.
    pub fn refresher(&self) -> &Arc<Refresher> {
        &self.refresher
    }

    /// The settings and ports that the functions share.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Signs a token for this machine's workspace.
    ///
    /// # Errors
    /// When the secrets file cannot be read.
    pub async fn token(&self, grant: &Grant) -> Result<String, Error> {
        mint(&self.workspaces, grant, &*self.environment.clock).await
    }

    /// Creates a link that signs a browser in to the pages, once within a day: as a tenant, or else as an admin who acts for the
    /// demo's tenant.
    ///
    /// # Errors
    /// When the tenant's name is too long, or the database fails.
    pub async fn page_link(&self, tenant: Option<String>) -> Result<String, LocalError> {
        let lifetime = Duration::from_hours(24).as_secs();
        let created = self.management()?.create_page_link(&admin(), tenant, Some(lifetime)).await?;
        Ok(created["url"].as_str().unwrap_or_default().to_owned())
    }

    /// Creates what the pages call.
    ///
    /// # Errors
    /// When the key file cannot be used or the HTTP client cannot be created.
    pub fn management(&self) -> Result<Management, LocalError> {
        Ok(self.environment.management(Arc::clone(&self.refresher.connector_setup))?)
    }

    /// The function `pages`, for the visitors of other pages.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Creates or replaces an integration, as an admin.
    ///
    /// # Errors
    /// When the integration is rejected, or a file or the database cannot be used.
    pub async fn put_integration(&self, key: &str, body: &serde_json::Value) -> Result<(), LocalError> {
        let body = serde_json::from_value(body.clone()).map_err(Error::internal)?;
        self.management()?.put_integration(&admin(), key, body).await?;
        Ok(())
    }

    async fn ensure_workspace(&self) -> Result<(), Error> {
        if self.workspaces.secret(WORKSPACE).await?.is_none() {
            let secret = Secret::new(random::token::<32>(&*self.environment.rng));
            self.workspaces.put(WORKSPACE, &WorkspaceSecret::new(secret)).await?;
        }
        Ok(())
    }
}

/// The admin of this machine's workspace, who acts for the default tenant.
fn admin() -> Caller {
    Caller { admin: true, ..Caller::of_link(WORKSPACE, Some(TENANT.to_owned())) }
}

/// The rights and the lifetime of a token.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The end user; `None` for a token of the workspace.
    pub tenant: Option<String>,
    /// Whether the token has an admin's rights.
    pub is_admin: bool,
    /// Seconds until the token expires; negative for one that has expired.
    pub expires_in: i64,
    /// The claim `scope`; `None` for all scopes.
    pub scope: Option<&'static str>,
    /// The only integrations that exist for the token.
    pub integration_keys: Option<BTreeSet<String>>,
}

impl Default for Grant {
    fn default() -> Self {
        Self {
            tenant: Some(TENANT.into()),
            is_admin: false,
            expires_in: Duration::from_hours(2).as_secs() as i64,
            scope: None,
            integration_keys: None,
        }
    }
}

/// Signs a token for this machine's workspace.
///
/// # Errors
/// 503 when the secrets file cannot be read; 404 when it has no workspace yet.
pub async fn mint(workspaces: &Workspaces, grant: &Grant, clock: &dyn Clock) -> Result<String, Error> {
    let Some(WorkspaceSecret { secret, .. }) = workspaces.secret(WORKSPACE).await? else {
        return Err(Error::not_found("there is no workspace in this data folder yet; run Larder with it once"));
    };
    let claims = Claims {
        workspace_key: Some(WORKSPACE.into()),
        tenant_key: grant.tenant.clone(),
        is_admin: grant.is_admin,
        scope: grant.scope.map(ToOwned::to_owned),
        integration_keys: grant.integration_keys.clone(),
        exp: Some(clock.now().unix_timestamp().saturating_add(grant.expires_in).min(Authenticator::LAST_EXPIRY)),
        ..Claims::default()
    };
    sign(&claims, &secret)
}

/// The folder of the bundled connectors in the source tree that this program was built from.
pub fn bundled_connectors_dir() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/connectors");
    path.canonicalize().unwrap_or(path)
}

/// The bundled connectors. In AWS they are a Lambda layer.
#[must_use]
pub fn bundled_connectors() -> Catalog {
    let mut files = Files::new();
    collect(&CONNECTORS, CONNECTORS.path(), &mut files);
    Catalog::in_memory("bundled", files)
}

fn collect(folder: &Dir<'_>, root: &Path, files: &mut Files) {
    for entry in folder.entries() {
        match entry {
            DirEntry::Dir(dir) => collect(dir, root, files),
            DirEntry::File(file) => {
                let path = file.path().strip_prefix(root).unwrap_or(file.path());
                if let Some(text) = file.contents_utf8() {
                    files.insert(path.to_string_lossy().into_owned(), text.to_owned());
                }
            }
        }
    }
}
