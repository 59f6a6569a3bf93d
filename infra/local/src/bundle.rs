//! All functions over the state of one folder.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use connect::Connect;
use connections::Management;
use get_credentials::GetCredentials;
use http::Method;
use include_dir::{Dir, DirEntry, include_dir};
use larder::caller::{Authenticator, Claims, sign};
use larder::clock::Clock;
use larder::dynamodb::schema::{self, Tables};
use larder::environment::{CredentialsIn, GIVE_UP, KeysFrom, RefreshesBy, SecretsIn, SettingError, Settings};
use larder::error::Error;
use larder::http::{Handler, Request, Response};
use larder::invocation::Invocation;
use larder::metrics::Metrics;
use larder::random::{self, Rng};
use larder::routes::Function;
use larder::seal::KeyFile;
use larder::secret::Secret;
use larder::secret_store::{WorkspaceSecret, Workspaces};
use larder::trust::Trust;
use larder_engine::connector::{Files, Folder};
use larder_engine::environment::Environment;
use larder_engine::refresh::Refresher;
use oauth_callback::OAuthCallback;
use put_credentials::PutCredentials;

use crate::route::function_of;
use crate::{TENANT, WORKSPACE};

static CONNECTORS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../shared/connectors");

/// The state of one folder.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// Something on this machine stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file or a port.
    #[error("{0}: {1}")]
    Io(String, #[source] io::Error),
    /// A setting.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The embedded database.
    #[error("the embedded database does not work")]
    Store(#[from] larder::dynamodb::StoreError),
    /// Larder itself.
    #[error(transparent)]
    Larder(#[from] Error),
}

impl DataDir {
    /// Opens a folder, or makes one that only its owner can read. A folder that exists keeps its mode, but what Larder has
    /// written there becomes its owner's alone.
    ///
    /// # Errors
    /// When it cannot be made, or a file in it is somebody else's.
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

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.0.join("larder.sqlite")
    }

    /// The file of secrets.
    pub fn secrets(&self) -> PathBuf {
        self.0.join("secrets.json")
    }

    /// The file of the key that seals.
    pub fn seal_key(&self) -> PathBuf {
        self.0.join("seal.key")
    }

    /// The environment of the Lambda binaries over the same data.
    pub fn lambda_env(&self) -> PathBuf {
        self.0.join("lambda.env")
    }

    /// Writes that file. It holds the key of the embedded database.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_lambda_env(&self, text: &str) -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.lambda_env())?;
        file.write_all(text.as_bytes())
    }

    /// The settings of a Larder that keeps its state here.
    pub fn settings(&self, base_uri: &str, connectors: Vec<PathBuf>) -> Settings {
        Settings {
            base_uri: base_uri.to_owned(),
            tables: Tables::default(),
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

/// The functions, wired.
pub struct Bundle {
    environment: Environment,
    workspaces: Arc<Workspaces>,
    connect: Connect,
    oauth_callback: OAuthCallback,
    get_credentials: GetCredentials,
    put_credentials: PutCredentials,
    management: Management,
    refresher: Arc<Refresher>,
}

impl Bundle {
    /// Wires all functions over a data folder and a database, with the workspace of this machine.
    ///
    /// # Errors
    /// When a file cannot be used or the database does not work.
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
        let connector_setup = environment.connector_setup(bundled_connectors());
        let refresher = Arc::new(environment.refresher(Arc::clone(&connector_setup))?);
        let bundle = Self {
            workspaces: environment.workspaces(),
            connect: Connect::new(&environment, Arc::clone(&connector_setup))?,
            oauth_callback: OAuthCallback::new(&environment, Arc::clone(&connector_setup))?,
            get_credentials: GetCredentials::new(&environment, Arc::clone(&refresher) as _)?,
            put_credentials: PutCredentials::new(&environment, Arc::clone(&refresher) as _)?,
            management: Management::new(&environment, connector_setup)?,
            refresher,
            environment,
        };
        bundle.ensure_workspace().await?;
        Ok(bundle)
    }

    /// Answers a request as API Gateway and the function behind the route would.
    pub async fn handle(&self, request: Request) -> Response {
        let Some(function) = function_of(request.method(), request.uri().path()) else {
            let (method, path) = (request.method(), request.uri().path());
            return Error::not_found(format!("there is no route {method} {path}")).into();
        };
        let handler: &dyn Handler = match function {
            Function::Connect => &self.connect,
            Function::OAuthCallback => &self.oauth_callback,
            Function::GetCredentials => &self.get_credentials,
            Function::PutCredentials => &self.put_credentials,
            Function::Connections => &self.management,
        };
        let method = Some(request.method().clone());
        let invocation = Invocation { function: function.name().into(), method, ..Invocation::default() };
        invocation.answer(handler.handle(request)).await
    }

    /// Refreshes connections, for the sweeper.
    pub fn refresher(&self) -> &Arc<Refresher> {
        &self.refresher
    }

    /// The ports.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// A token of this machine's workspace.
    ///
    /// # Errors
    /// When the secrets file cannot be read.
    pub async fn token(&self, grant: &Grant) -> Result<String, LocalError> {
        Ok(mint(&self.workspaces, grant, &*self.environment.clock).await?)
    }

    /// Makes or changes an integration, as an admin would.
    ///
    /// # Errors
    /// What the route answers if it does not accept it.
    pub async fn put_integration(&self, key: &str, body: &serde_json::Value) -> Result<(), LocalError> {
        let token = self.token(&Grant { is_admin: true, ..Grant::default() }).await?;
        let request = http::Request::builder()
            .method(Method::PUT)
            .uri(format!("/integrations/{key}"))
            .header("authorization", format!("Bearer {token}"))
            .body(body.to_string().into())
            .map_err(Error::internal)?;
        let response = self.handle(request).await;
        if response.status().is_success() { Ok(()) } else { Err(Error::internal(response.into_body()).into()) }
    }

    async fn ensure_workspace(&self) -> Result<(), Error> {
        if self.workspaces.secret(WORKSPACE).await?.is_none() {
            let secret = Secret::new(random::token::<32>(&*self.environment.rng));
            self.workspaces.put(WORKSPACE, &WorkspaceSecret { secret, previous_secret: None }).await?;
        }
        Ok(())
    }
}

/// What a token allows.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The end user.
    pub tenant: Option<String>,
    /// Whether it may manage.
    pub is_admin: bool,
    /// Seconds until it expires; a negative number makes an expired one.
    pub expires_in: i64,
}

impl Default for Grant {
    fn default() -> Self {
        Self { tenant: Some(TENANT.into()), is_admin: false, expires_in: Duration::from_hours(2).as_secs() as i64 }
    }
}

/// Signs a token of this machine's workspace.
///
/// # Errors
/// 503 when the secrets file cannot be read; 404 when there is no workspace in it yet.
pub async fn mint(workspaces: &Workspaces, grant: &Grant, clock: &dyn Clock) -> Result<String, Error> {
    let Some(WorkspaceSecret { secret, .. }) = workspaces.secret(WORKSPACE).await? else {
        return Err(Error::not_found("there is no workspace in this data folder yet; start Larder there once"));
    };
    let claims = Claims {
        workspace_key: Some(WORKSPACE.into()),
        tenant_key: grant.tenant.clone(),
        is_admin: grant.is_admin,
        exp: clock.now().unix_timestamp().saturating_add(grant.expires_in).min(Authenticator::LAST_EXPIRY),
        ..Claims::default()
    };
    sign(&claims, &secret)
}

/// Where the bundled connectors are in the source tree that this program was built from.
pub fn bundled_connectors_dir() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/connectors");
    path.canonicalize().unwrap_or(path)
}

/// The connectors that come with Larder. In AWS they are a layer.
fn bundled_connectors() -> Vec<Folder> {
    CONNECTORS
        .dirs()
        .map(|folder| {
            let mut files = Files::new();
            collect(folder, folder.path(), &mut files);
            let name = folder.path().to_string_lossy();
            Folder::in_memory(&*name, format!("bundled {name}"), files)
        })
        .collect()
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
