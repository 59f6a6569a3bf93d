//! `cargo run`: all of Larder on one machine, and the command line around it.

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};
use larder::clock::SystemClock;
use larder::cors::AllowedOrigins;
use larder::environment::{CredentialsIn, Settings};
use larder::error::Error;
use larder::logging::may_be_logged;
use larder::random::SystemRng;
use larder::secret_store::{SecretFile, Workspaces};
use larder_local::bundle::{Bundle, DataDir, Grant, LocalError, bundled_connectors_dir, mint};
use larder_local::commands::connect::ConnectArgs;
use larder_local::commands::connections::ConnectionsArgs;
use larder_local::commands::import::ImportArgs;
use larder_local::commands::sign_in::SignInArgs;
use larder_local::commands::{self, CommandError};
use larder_local::demo::Demo;
use larder_local::embedded_dynamodb::{Door, EmbeddedDynamoDb};
use larder_local::new_connector::Generic;
use larder_local::terminal::print;
use larder_local::{server, sweeper, terminal};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How long running refreshes may take to finish when the program is stopped.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// The port of `cargo lambda watch` in `infra/README.md`.
const LAMBDA_PORT: u16 = 9100;

/// Keeps connection credentials fresh. Without a command, runs all of Larder on this machine: the functions, an embedded
/// database and a demo provider.
#[derive(Parser)]
#[command(name = "larder", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Address to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Data folder, which holds all state
    #[arg(long, value_name = "DIR", default_value = ".larder")]
    data: PathBuf,
    /// Directory of connectors; repeatable, later ones win
    #[arg(long, value_name = "DIR")]
    connectors: Vec<PathBuf>,
    /// Run without the demo provider
    #[arg(long)]
    no_demo: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Print a token for calling the API
    Token {
        /// Data folder, which holds all state
        #[arg(long, value_name = "DIR", default_value = ".larder")]
        data: PathBuf,
        /// End user to act as [default: demo, unless --admin]
        #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        tenant: Option<String>,
        /// Allow managing integrations and seeing all connections
        #[arg(long)]
        admin: bool,
        /// Lifetime of the token in seconds
        #[arg(long, value_name = "SECS", default_value_t = 7200, allow_negative_numbers = true)]
        expires_in: i64,
    },
    /// Print a link that signs a browser in to the pages, once
    SignIn(SignInArgs),
    /// Check connectors for mistakes
    Check {
        /// Preset, connector folder, or a directory of them
        #[arg(value_name = "PATH", required = true)]
        dirs: Vec<PathBuf>,
        /// Write the index of each directory
        #[arg(long)]
        write_index: bool,
        /// Print the findings as a JSON array
        #[arg(long)]
        json: bool,
        /// List the connectors without a test, by reason
        #[arg(long)]
        verbose: bool,
    },
    /// Run a connector's functions one by one against the real provider
    Try {
        /// Preset or connector folder
        #[arg(value_name = "PATH")]
        dir: PathBuf,
        /// Input of the functions, as JSON or YAML: connectorParameters, connectionParameters, credentials, …
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// Run only this function; repeatable. refreshCredentials and disconnect run only when named
        #[arg(long, value_name = "NAME")]
        function: Vec<String>,
    },
    /// Write connectors
    Connector {
        #[command(subcommand)]
        command: ConnectorCommand,
    },
    /// List, show, test, refresh and delete the connections of a running Larder
    Connections(ConnectionsArgs),
    /// Connect an account in the browser, through a running Larder
    Connect(ConnectArgs),
    /// Import connections from Nango or from a file into a running Larder
    Import(Box<ImportArgs>),
}

#[derive(Subcommand)]
enum ConnectorCommand {
    /// Write a preset to start from
    New {
        /// The connector's key, which is also the file's name
        #[arg(value_name = "KEY")]
        key: String,
        /// The generic connector that it fixes the parameters of
        #[arg(long, value_name = "GENERIC")]
        extends: Generic,
        /// Directory of connectors
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(io::stderr().is_terminal()).finish();
    log.with(filter_fn(may_be_logged)).init();
    let result = match cli.command {
        Some(Command::Token { data, tenant, admin, expires_in }) => {
            let tenant = if admin { tenant } else { tenant.or(Grant::default().tenant) };
            token(&data, &Grant { tenant, is_admin: admin, expires_in, ..Grant::default() }).await
        }
        Some(Command::Check { dirs, write_index, json, verbose }) => return check(&dirs, write_index, json, verbose),
        Some(Command::Try { dir, input, function }) => return try_connector(&dir, &input, &function).await,
        Some(Command::SignIn(args)) => return ended(commands::sign_in::run(args).await),
        Some(Command::Connections(args)) => return ended(commands::connections::run(args).await),
        Some(Command::Connect(args)) => return ended(commands::connect::run(args).await),
        Some(Command::Import(args)) => return ended(commands::import::run(*args).await),
        Some(Command::Connector { command: ConnectorCommand::New { key, extends, dir } }) => {
            return new_connector(&key, extends, &dir);
        }
        None => run(cli).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

fn failure(error: &dyn std::fmt::Display) -> ExitCode {
    terminal::say(&format!("error: {error}"));
    ExitCode::FAILURE
}

async fn token(data: &Path, grant: &Grant) -> Result<(), LocalError> {
    let secrets = Arc::new(SecretFile::new(data.join("secrets.json")));
    let workspaces = Workspaces::new(secrets, Arc::new(SystemClock));
    print(&mint(&workspaces, grant, &SystemClock).await?);
    Ok(())
}

fn new_connector(key: &str, generic: Generic, dir: &Path) -> ExitCode {
    match larder_local::new_connector::write(key, generic, dir) {
        Ok(path) => {
            let program = if std::env::var_os("CARGO").is_some() { "cargo run --quiet --" } else { "larder" };
            print(&larder_local::new_connector::next_steps(key, generic, &path, dir, program));
            ExitCode::SUCCESS
        }
        Err(error) => failure(&error),
    }
}

fn check(dirs: &[PathBuf], writes_index: bool, json: bool, verbose: bool) -> ExitCode {
    let report = larder_local::check::check(dirs, writes_index, verbose);
    let text = if json { report.to_json().to_string() } else { report.to_text() };
    print(text.trim_end());
    if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn try_connector(dir: &Path, input: &Path, functions: &[String]) -> ExitCode {
    let mut report = String::new();
    let result = larder_local::try_connector::run(dir, input, functions, &mut report).await;
    print(report.trim_end());
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failure(&error),
    }
}

/// Reports how a command ended that calls a running Larder.
fn ended(result: Result<(), CommandError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::say(&format!("error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(cli: Cli) -> Result<(), LocalError> {
    let failed = |subject: String| move |error| LocalError::Io(subject, error);
    let listener = TcpListener::bind(cli.listen).await.map_err(failed(format!("cannot listen on {}", cli.listen)))?;
    let address = listener.local_addr().map_err(failed("the listener".into()))?;
    let base_uri = base_uri(address);

    if let Some(missing) = cli.connectors.iter().find(|dir| !dir.is_dir()) {
        let error = io::Error::new(io::ErrorKind::NotFound, "there is no such directory");
        return Err(LocalError::Io(format!("the connectors in {}", missing.display()), error));
    }
    let data = DataDir::open(&cli.data)?;
    let file = data.database();
    let database = EmbeddedDynamoDb::open(&file).map_err(failed(format!("the database {}", file.display())))?;
    let door = Door::open(database.clone(), &SystemRng).await.map_err(failed("a port for the database".into()))?;
    let lambda_env = lambda_env(&data, &cli.connectors, &door);
    lambda_env.and_then(|text| data.write_lambda_env(&text)).map_err(failed("the file lambda.env".into()))?;
    let credentials = CredentialsIn::from_env(&base_uri, true, None)?;
    let cors_origins = AllowedOrigins::from_env()?;
    let settings = Settings { credentials, cors_origins, ..data.settings(&base_uri, cli.connectors) };
    let bundle =
        Arc::new(Bundle::open(settings, database.sdk_config(), Arc::new(SystemClock), Arc::new(SystemRng)).await?);
    // Loads every connector of directories without an index now, so that broken ones are logged at the start, while their
    // author is watching.
    drop(bundle.refresher().connector_setup.catalog.broken());
    let demo = match cli.no_demo {
        true => None,
        false => Demo::open(&bundle, &data, cli.data.display().to_string()).await?.map(Arc::new),
    };
    print(&welcome(&base_uri, data.path(), &bundle.page_link(None).await?));

    let refresher = Arc::clone(bundle.refresher());
    let sweeper = tokio::spawn(sweeper::run(Arc::clone(&refresher)));
    let mut terminated = signal(SignalKind::terminate()).map_err(failed("the signal handler".into()))?;
    tokio::select! {
        () = server::serve(listener, bundle, demo) => {}
        ended = sweeper => return Err(Error::internal(format!("the sweeper ended: {ended:?}")).into()),
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    // The provider may already have replaced the refresh token: losing its answer would cost the connection.
    drop(tokio::time::timeout(SHUTDOWN_GRACE, refresher.idle()).await);
    // Shutting the runtime down would wait for blocked threads.
    std::process::exit(0)
}

/// The base URI that a browser on this machine can open.
fn base_uri(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    format!("http://{address}")
}

fn welcome(base_uri: &str, data: &Path, link: &str) -> String {
    let (version, data) = (env!("CARGO_PKG_VERSION"), data.display());
    format!(
        "Larder {version} is running at {base_uri}\n\n\
         Open this link, which works once:\n\
         {link}\n\n\
         Data is in {data}. Press Ctrl-C to stop."
    )
}

/// The environment of the Lambda binaries on this machine, for `cargo lambda watch --env-file`.
fn lambda_env(data: &DataDir, connectors: &[PathBuf], door: &Door) -> io::Result<String> {
    let mut folders = vec![bundled_connectors_dir()];
    folders.extend(connectors.iter().map(|folder| folder.canonicalize()).collect::<Result<Vec<_>, _>>()?);
    let folders = std::env::join_paths(folders).map_err(io::Error::other)?;
    let here = format!("http://127.0.0.1:{LAMBDA_PORT}");
    let lines = [
        ("AWS_ENDPOINT_URL_DYNAMODB", door.endpoint()),
        ("AWS_ENDPOINT_URL_LAMBDA", here.clone()),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_ACCESS_KEY_ID", Door::ACCESS_KEY_ID.into()),
        ("AWS_SECRET_ACCESS_KEY", door.secret().expose().into()),
        ("BASE_URI", here),
        ("CONNECTORS_DIR", folders.to_string_lossy().into_owned()),
        ("LARDER_LOCAL", "1".into()),
        ("SEAL_KEY_FILE", data.seal_key().display().to_string()),
        ("SECRETS_FILE", data.secrets().display().to_string()),
    ];
    // The binaries must use the same credential store, and allow the same origins.
    let same = [
        "CORS_ORIGINS",
        "CONNECTION_CREDENTIALS_STORAGE_TYPE",
        "CONNECTION_CREDENTIALS_EXTERNAL_API_ENDPOINT_URL",
        "CONNECTION_CREDENTIALS_FILE_DIR",
    ];
    let same = same.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
    Ok(lines.into_iter().chain(same).map(|(name, value)| format!("{name}=\"{value}\"\n")).collect())
}
