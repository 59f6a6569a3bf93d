//! Database servers, each in its own process with its own folder.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use larder::secret::Secret;
use larder_engine::connector::database_login::{Driver, Login, Tls};
use larder_engine::database_login::{LoginError, verify};
use larder_engine::egress::{AddressPolicy, Egress};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::port::free_port;

use crate::eventually;

/// A server's certificate and key, as PEM.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// A running server. It stops when dropped.
#[derive(Debug)]
pub struct Database {
    driver: Driver,
    port: u16,
    folder: TempDir,
    process: Child,
}

/// The user `nobody`, since the servers refuse to run as root.
const NOBODY: u32 = 65534;

const POSTGRES_SETUP: &str = "\
CREATE ROLE larder LOGIN PASSWORD 'hunter2';
SET password_encryption = 'md5'; CREATE ROLE older LOGIN PASSWORD 'hunter2';
CREATE ROLE guest LOGIN PASSWORD 'hunter2';
CREATE DATABASE crm;
REVOKE CONNECT ON DATABASE crm FROM PUBLIC; GRANT CONNECT ON DATABASE crm TO larder, older;
";

const MARIADB_SETUP: &str = "\
CREATE DATABASE crm;
CREATE USER larder@'%' IDENTIFIED BY 'hunter2';
GRANT ALL ON *.* TO larder@'%';
CREATE USER guest@'%' IDENTIFIED BY 'hunter2';
";

impl Database {
    /// The password of all users: `larder`, who can use the database `crm`, and `guest`, who cannot.
    pub const PASSWORD: &str = "hunter2";

    /// Starts a server, with TLS if there is a certificate, and waits until `larder` can log in.
    pub async fn start(driver: Driver, certificate: Option<&Certificate>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        give_away(folder.path());
        if let Some(certificate) = certificate {
            write(&folder.path().join("certificate.pem"), &certificate.certificate);
            write(&folder.path().join("key.pem"), &certificate.key);
        }
        let port = free_port();
        let command = match driver {
            Driver::Postgres => postgres(folder.path(), port, certificate.is_some()).await,
            Driver::MySql => mariadb(folder.path(), port, certificate.is_some()).await,
        };
        let process = start(command, folder.path());
        let server = Self { driver, port, folder, process };
        server.wait().await;
        server
    }

    async fn wait(&self) {
        let login = Login { tls: Some(Tls::Prefer), ..self.login() };
        let is_up = eventually(async || log_in(&login).await.is_ok()).await;
        assert!(is_up, "the server does not answer: {}", self.log());
    }

    /// The login of `larder`.
    pub fn login(&self) -> Login {
        Login {
            driver: self.driver,
            host: "localhost".into(),
            port: self.port,
            user: "larder".into(),
            password: Secret::new(Self::PASSWORD),
            database: "crm".into(),
            tls: None,
        }
    }

    /// The server's log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("a log")
    }

    /// Stops the server and waits for it to exit. If it were killed, PostgreSQL would leave shared memory behind.
    pub fn stop(&mut self) {
        let Some(id) = self.process.id() else { return };
        let asked = std::process::Command::new("sh").args(["-c", &format!("kill {id}")]).status();
        assert!(asked.is_ok(), "{asked:?}");
        for _ in 0..200 {
            if self.process.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Logs in, with the egress rules of local mode.
///
/// # Errors
/// Those of [`verify`].
pub async fn log_in(login: &Login) -> Result<(), LoginError> {
    let egress = Egress::new(AddressPolicy::PublicAndLoopback).expect("roots");
    verify(&egress, login, Duration::from_secs(20)).await
}

impl Certificate {
    /// Generates a self-signed certificate for `localhost`.
    pub fn generate() -> Self {
        let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        Self { certificate: generated.cert.pem(), key: generated.signing_key.serialize_pem() }
    }
}

async fn postgres(folder: &Path, port: u16, is_encrypted: bool) -> Command {
    let data = folder.join("data");
    write(&folder.join("password"), "postgres");
    let mut initdb = unprivileged("initdb");
    initdb.args(["--auth=md5", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"]);
    run(initdb.arg("--pwfile").arg(folder.join("password")).arg("--pgdata").arg(&data), "").await;
    run(unprivileged("postgres").arg("--single").arg("-D").arg(&data).arg("postgres"), POSTGRES_SETUP).await;
    let mut command = unprivileged("postgres");
    command.arg("-D").arg(&data);
    let settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "log_disconnections=on"];
    for setting in settings.map(ToOwned::to_owned).into_iter().chain([format!("port={port}")]) {
        command.args(["-c", &setting]);
    }
    if is_encrypted {
        command.args(["-c", "ssl=on"]);
        command.arg("-c").arg(format!("ssl_cert_file={}", folder.join("certificate.pem").display()));
        command.arg("-c").arg(format!("ssl_key_file={}", folder.join("key.pem").display()));
    }
    command
}

async fn mariadb(folder: &Path, port: u16, is_encrypted: bool) -> Command {
    let path = |option: &str, name: &str| format!("--{option}={}", folder.join(name).display());
    write(&folder.join("setup.sql"), MARIADB_SETUP);
    let mut install = unprivileged("mariadb-install-db");
    install.args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]);
    // In a shared folder, servers that start at the same time could remove each other's temporary tables.
    install.env("TMPDIR", folder);
    run(install.arg(path("datadir", "data")), "").await;
    let mut command = unprivileged("mariadbd");
    command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--log-warnings=9"]);
    command.arg(format!("--port={port}")).env("TMPDIR", folder);
    command.args([
        path("datadir", "data"),
        path("socket", "socket"),
        path("pid-file", "pid"),
        path("init-file", "setup.sql"),
    ]);
    if is_encrypted {
        command.args([path("ssl-cert", "certificate.pem"), path("ssl-key", "key.pem")]);
    }
    command
}

/// A command for one of the servers' programs, run as `nobody` if this is root. `tests/run` puts them on the PATH.
fn unprivileged(program: &str) -> Command {
    let mut command = if is_root() { Command::new("setpriv") } else { Command::new(program) };
    if is_root() {
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups", program]);
    }
    command.current_dir("/").env("LC_ALL", "C").kill_on_drop(true);
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("/proc").uid() == 0
}

fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root can change owners");
    }
}

/// Writes a file that only the server can read.
fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("it is written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    give_away(path);
}

/// Runs a program until it exits.
async fn run(command: &mut Command, input: &str) {
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; run tests/run"));
    let mut stdin = process.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).await.expect("it reads");
    drop(stdin);
    let output = process.wait_with_output().await.expect("it ends");
    assert!(output.status.success(), "{command:?} failed: {output:?}");
}

fn start(mut command: Command, folder: &Path) -> Child {
    let log = fs::File::create(folder.join("log")).expect("a file");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; run tests/run"))
}
