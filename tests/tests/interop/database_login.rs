//! Logins to real database servers.

use std::{env, fs};

use http::{Method, StatusCode};
use larder::secret::Secret;
use larder_engine::connector::database_login::{Driver, Login, Tls};
use larder_engine::database_login::LoginError;
use larder_tests::database::{Certificate, Database, log_in};
use larder_tests::{Browser, World, repeat};
use serde_json::json;

/// Tells a repetition of a test, whose environment trusts the server's certificate, where the server is.
const PORT: &str = "LARDER_TEST_DATABASE_PORT";

async fn refused(server: &Database, login: Login) -> String {
    match log_in(&login).await {
        Err(error @ LoginError::Refused { .. }) => {
            let text = format!("{error} {error:?}");
            assert!(!text.contains(Database::PASSWORD) && !text.contains("letmein"), "{text}");
            error.to_string()
        }
        other => panic!("{other:?}\n{}", server.log()),
    }
}

/// What every server does, with the codes of this one.
async fn logs_in_or_says_why_not(driver: Driver, [wrong, unknown_user, unknown_database, forbidden]: [&str; 4]) {
    let mut server = Database::start(driver, None).await;
    let login = server.login();
    log_in(&login).await.expect("it lets larder in");
    let expect = |message: &str| format!("localhost rejected the login: {message}");

    let mistyped = Login { password: Secret::new("letmein"), ..login.clone() };
    assert_eq!(refused(&server, mistyped).await, expect(wrong));
    let stranger = Login { user: "stranger".into(), ..login.clone() };
    assert_eq!(refused(&server, stranger).await, expect(unknown_user));
    let elsewhere = Login { database: "nowhere".into(), ..login.clone() };
    assert_eq!(refused(&server, elsewhere).await, expect(unknown_database));
    let guest = Login { user: "guest".into(), ..login.clone() };
    assert_eq!(refused(&server, guest).await, expect(forbidden));

    server.stop();
    let error = log_in(&login).await.expect_err("nobody is there");
    assert!(matches!(error, LoginError::Unavailable { .. }), "{error}");
}

async fn demands_what_was_asked_for(driver: Driver) {
    let plain = Database::start(driver, None).await;
    let with = |server: &Database, tls| Login { tls: Some(tls), ..server.login() };
    log_in(&with(&plain, Tls::Prefer)).await.expect("it does without");
    log_in(&with(&plain, Tls::Disable)).await.expect("it does without");
    let error = log_in(&with(&plain, Tls::Require)).await.expect_err("there is no encryption");
    assert_eq!(error.to_string(), "no secure connection to localhost: the server does not support encryption");

    let encrypting = Database::start(driver, Some(&Certificate::generate())).await;
    log_in(&with(&encrypting, Tls::Prefer)).await.expect("the certificate does not matter");
    log_in(&with(&encrypting, Tls::Disable)).await.expect("the server does not insist");
    let error = log_in(&with(&encrypting, Tls::Require)).await.expect_err("nobody vouches for it");
    assert!(matches!(&error, LoginError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
}

/// The machine's roots are read from the environment: the test runs once more, in one that trusts the certificate.
async fn takes_a_certificate_that_is_trusted_for_its_name(driver: Driver, test: &str) {
    let certificate = Certificate::generate();
    let server = Database::start(driver, Some(&certificate)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, &certificate.certificate).expect("it is written");
    let (roots, port) = (roots.to_str().expect("a path in UTF-8"), server.login().port.to_string());
    repeat(test, &[("SSL_CERT_FILE", roots), (PORT, &port)]).await;
}

/// The second half of that, if this is the repetition.
async fn repetition(driver: Driver) -> bool {
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
    log_in(&login("localhost")).await.expect("the certificate is good");
    let error = log_in(&login("127.0.0.1")).await.expect_err("it is for another name");
    assert!(matches!(&error, LoginError::Tls { .. }), "{error}");
    true
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn postgresql_lets_in_or_says_why_not() {
    let codes = [
        "the user or the password is wrong (SQLSTATE 28P01)",
        "the user or the password is wrong (SQLSTATE 28P01)",
        "the database does not exist (SQLSTATE 3D000)",
        "the user may not access this database (SQLSTATE 42501)",
    ];
    logs_in_or_says_why_not(Driver::Postgres, codes).await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn mysql_lets_in_or_says_why_not() {
    let codes = [
        "the user or the password is wrong (error 1045)",
        "the user or the password is wrong (error 1045)",
        "the database does not exist (error 1049)",
        "the user may not access this database (error 1044)",
    ];
    logs_in_or_says_why_not(Driver::MySql, codes).await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn postgresql_is_encrypted_as_was_asked_for() {
    demands_what_was_asked_for(Driver::Postgres).await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn mysql_is_encrypted_as_was_asked_for() {
    demands_what_was_asked_for(Driver::MySql).await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn postgresql_takes_a_certificate_that_is_trusted_for_its_name() {
    if !repetition(Driver::Postgres).await {
        let test = "database_login::postgresql_takes_a_certificate_that_is_trusted_for_its_name";
        takes_a_certificate_that_is_trusted_for_its_name(Driver::Postgres, test).await;
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn mysql_takes_a_certificate_that_is_trusted_for_its_name() {
    if !repetition(Driver::MySql).await {
        let test = "database_login::mysql_takes_a_certificate_that_is_trusted_for_its_name";
        takes_a_certificate_that_is_trusted_for_its_name(Driver::MySql, test).await;
    }
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn postgresql_takes_older_passwords_and_sees_a_proper_goodbye() {
    let server = Database::start(Driver::Postgres, Some(&Certificate::generate())).await;
    let older = Login { user: "older".into(), ..server.login() };
    log_in(&older).await.expect("MD5 will do");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await; // the server logs what happened after we are gone
    let log = server.log();
    assert!(log.contains("disconnection: ") && log.contains("user=older"), "{log}");
    assert!(!log.contains("unexpected EOF"), "{log}");
}

/// Through the bundled connector, as an end user enters it.
async fn is_stored_only_if_it_works(driver: Driver, connector: &str) {
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
    is_stored_only_if_it_works(Driver::Postgres, "postgres").await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_login_to_mysql_is_stored_only_if_it_works() {
    is_stored_only_if_it_works(Driver::MySql, "mysql").await;
}
