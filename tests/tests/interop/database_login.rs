//! Logins to real database servers.

use std::{env, fs};

use http::{Method, StatusCode};
use larder::secret::Secret;
use larder_engine::connector::database_login::{Driver, Login, Tls};
use larder_engine::database_login::LoginError;
use larder_tests::database::{Certificate, Database, log_in};
use larder_tests::{Browser, World, repeat};
use serde_json::json;

/// The server's port, set for a test that runs again with the server's certificate among its trusted roots.
const PORT: &str = "LARDER_TEST_DATABASE_PORT";

async fn rejection(server: &Database, login: Login) -> String {
    match log_in(&login).await {
        Err(error @ (LoginError::WrongPassword { .. } | LoginError::Refused { .. })) => {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(Database::PASSWORD) && !shown.contains("letmein"), "{shown}");
            error.to_string()
        }
        other => panic!("{other:?}\n{}", server.log()),
    }
}

/// Checks logins that work and that fail, given this server's error codes.
async fn check_logins(driver: Driver, [wrong, unknown_user, unknown_database, forbidden]: [&str; 4]) {
    let mut server = Database::start(driver, None).await;
    let login = server.login();
    log_in(&login).await.expect("the server accepts the login");
    let expect = |message: &str| format!("localhost rejected the login: {message}");

    let mistyped = Login { password: Secret::new("letmein"), ..login.clone() };
    assert_eq!(rejection(&server, mistyped).await, expect(wrong));
    let stranger = Login { user: "stranger".into(), ..login.clone() };
    assert_eq!(rejection(&server, stranger).await, expect(unknown_user));
    let elsewhere = Login { database: "nowhere".into(), ..login.clone() };
    assert_eq!(rejection(&server, elsewhere).await, expect(unknown_database));
    let guest = Login { user: "guest".into(), ..login.clone() };
    assert_eq!(rejection(&server, guest).await, expect(forbidden));

    server.stop();
    let error = log_in(&login).await.expect_err("the server is stopped");
    assert!(matches!(error, LoginError::Unavailable { .. }), "{error}");
}

async fn check_encryption(driver: Driver) {
    let plain = Database::start(driver, None).await;
    let with = |server: &Database, tls| Login { tls: Some(tls), ..server.login() };
    log_in(&with(&plain, Tls::Prefer)).await.expect("a login without encryption");
    log_in(&with(&plain, Tls::Disable)).await.expect("a login without encryption");
    let error = log_in(&with(&plain, Tls::Require)).await.expect_err("the server offers no encryption");
    assert_eq!(error.to_string(), "no secure connection to localhost: the server does not support encryption");

    let encrypting = Database::start(driver, Some(&Certificate::generate())).await;
    log_in(&with(&encrypting, Tls::Prefer)).await.expect("any certificate is good enough");
    log_in(&with(&encrypting, Tls::Disable)).await.expect("the server allows plain connections");
    let error = log_in(&with(&encrypting, Tls::Require)).await.expect_err("the certificate is not trusted");
    assert!(matches!(&error, LoginError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
}

/// Runs the test again in an environment that trusts the certificate, because the root certificates come from the
/// environment.
async fn repeat_with_a_trusted_certificate(driver: Driver, test: &str) {
    let certificate = Certificate::generate();
    let server = Database::start(driver, Some(&certificate)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, &certificate.certificate).expect("a written file");
    let (roots, port) = (roots.to_str().expect("a path in UTF-8"), server.login().port.to_string());
    repeat(test, &[("SSL_CERT_FILE", roots), (PORT, &port)]).await;
}

/// Checks the certificate if this is the repeated run. Returns whether it is.
async fn checked_certificate(driver: Driver) -> bool {
    let Some(port) = env::var(PORT).ok().and_then(|port| port.parse().ok()) else { return false };
    let password = Secret::new(Database::PASSWORD);
    let tls = Some(Tls::Require);
    let login = |host: &str| Login {
        driver,
        host: host.into(),
        port,
        user: "larder".into(),
        password: password.clone(),
        database: "crm".into(),
        tls,
    };
    log_in(&login("localhost")).await.expect("the certificate is trusted");
    let error = log_in(&login("127.0.0.1")).await.expect_err("the certificate is for another name");
    assert!(matches!(&error, LoginError::Tls { .. }), "{error}");
    true
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn postgresql_logs_in_or_says_why_not() {
    let codes = [
        "the user or the password is wrong (SQLSTATE 28P01)",
        "the user or the password is wrong (SQLSTATE 28P01)",
        "the database does not exist (SQLSTATE 3D000)",
        "the user may not access this database (SQLSTATE 42501)",
    ];
    check_logins(Driver::Postgres, codes).await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn mysql_logs_in_or_says_why_not() {
    let codes = [
        "the user or the password is wrong (error 1045)",
        "the user or the password is wrong (error 1045)",
        "the database does not exist (error 1049)",
        "the user may not access this database (error 1044)",
    ];
    check_logins(Driver::MySql, codes).await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn postgresql_connections_use_the_requested_encryption() {
    check_encryption(Driver::Postgres).await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn mysql_connections_use_the_requested_encryption() {
    check_encryption(Driver::MySql).await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn postgresql_needs_a_trusted_certificate_for_its_name() {
    if !checked_certificate(Driver::Postgres).await {
        let test = "database_login::postgresql_needs_a_trusted_certificate_for_its_name";
        repeat_with_a_trusted_certificate(Driver::Postgres, test).await;
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn mysql_needs_a_trusted_certificate_for_its_name() {
    if !checked_certificate(Driver::MySql).await {
        let test = "database_login::mysql_needs_a_trusted_certificate_for_its_name";
        repeat_with_a_trusted_certificate(Driver::MySql, test).await;
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn postgresql_accepts_md5_passwords_and_sees_a_clean_disconnect() {
    let server = Database::start(Driver::Postgres, Some(&Certificate::generate())).await;
    let older = Login { user: "older".into(), ..server.login() };
    log_in(&older).await.expect("an MD5 password works");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await; // the server logs the disconnection a little later
    let log = server.log();
    assert!(log.contains("disconnection: ") && log.contains("user=older"), "{log}");
    assert!(!log.contains("unexpected EOF"), "{log}");
}

/// Enters a login through the bundled connector, as an end user does.
async fn check_stored_only_if_it_works(driver: Driver, connector: &str) {
    let server = Database::start(driver, None).await;
    let world = World::new().await;
    let body = json!({"connectorKey": connector, "redirectUris": ["https://app.example/done"]});
    let made = world.send(Method::PUT, "/integrations/db", &world.admin, Some(&body)).await;
    made.expect(StatusCode::CREATED);
    let Login { host, port, user, database, .. } = server.login();
    let input = |password: &str| json!({"host": host, "port": port, "database": database, "username": user, "password": password, "tls": "prefer"});
    let uri = format!("/credentials?connectionId={}", connect::own_connection_id("local", "db", Some("alice")));
    for (password, status) in [("letmein", StatusCode::BAD_REQUEST), (Database::PASSWORD, StatusCode::OK)] {
        let payload = json!({"token": world.alice, "integrationKey": "db", "input": input(password)}).to_string();
        let page = Browser::default().post(&world, "/connect", &[("payload", &payload)]).await.expect(status);
        assert!(!page.text().contains(password), "{}", page.text());
        let stored = if status.is_success() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        world.get(&uri).await.expect(stored);
    }
    assert_eq!(world.get(&uri).await.json()["credentials"], input(Database::PASSWORD));
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_login_to_postgresql_is_stored_only_if_it_works() {
    check_stored_only_if_it_works(Driver::Postgres, "postgres").await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_login_to_mysql_is_stored_only_if_it_works() {
    check_stored_only_if_it_works(Driver::MySql, "mysql").await;
}
