//! Logging in to a database, the only way to find out whether a login works.
//!
//! [`verify`] connects to addresses that [`Egress`] has checked, encrypts the connection, logs in, runs `SELECT 1` and
//! disconnects. It reports the server's error codes but never its messages, which might echo the password.

mod mysql;
mod postgres;
mod tls;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use crate::connector::database_login::{Driver, Login, Tls};
use crate::egress::{Egress, EgressError};

/// The reason why a login failed or was not attempted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The user or the password is wrong.
    #[error("{host} rejected the login: {message}")]
    WrongPassword {
        /// The host.
        host: String,
        /// The meaning of the server's error code.
        message: String,
    },
    /// The server rejected the login, and would again: an unknown database, a missing permission.
    #[error("{host} rejected the login: {message}")]
    Refused {
        /// The host.
        host: String,
        /// The meaning of the server's error code.
        message: String,
    },
    /// The network failed, the deadline passed, or the server is busy or starting. It may work later.
    #[error("{host} is not available: {reason}")]
    Unavailable {
        /// The host.
        host: String,
        /// The reason.
        reason: String,
    },
    /// The address is off limits.
    #[error("logins to {host} are not allowed: {reason}")]
    NotAllowed {
        /// The host.
        host: String,
        /// The reason.
        reason: &'static str,
    },
    /// The server does not support encryption, or its certificate is not valid for its host.
    #[error("no secure connection to {host}: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// The reason.
        reason: String,
    },
}

/// Logs in and out again.
///
/// A login that does not specify `tls` requires encryption, except on this machine, where encryption is used if the
/// server supports it.
///
/// # Errors
/// See [`LoginError`]. None of its strings comes from the server or contains the password.
pub async fn verify(egress: &Egress, login: &Login, deadline: Duration) -> Result<(), LoginError> {
    let attempt = async {
        let addresses = egress.addresses(&login.host, login.port).await.map_err(|error| match error {
            EgressError::Refused { reason, .. } => LoginFailure::NotAllowed(reason),
            EgressError::Unreachable { reason, .. } => LoginFailure::Unavailable(reason),
            other => LoginFailure::Unavailable(other.to_string()),
        })?;
        let tls = login.tls.unwrap_or_else(|| default_tls(&addresses));
        match login.driver {
            Driver::Postgres => postgres::verify(login, &addresses, tls).await,
            Driver::MySql => mysql::verify(login, &addresses, tls).await,
        }
    };
    let late = || Err(LoginFailure::Unavailable(format!("no response within {} seconds", deadline.as_secs())));
    let result = tokio::time::timeout(deadline, attempt).await.unwrap_or_else(|_| late());
    result.map_err(|failure| failure.at(&login.host))
}

fn default_tls(addresses: &[SocketAddr]) -> Tls {
    let is_here = addresses.iter().all(|address| address.ip().is_loopback());
    if is_here { Tls::Prefer } else { Tls::Require }
}

/// A [`LoginError`] without its host.
#[derive(Debug, PartialEq)]
enum LoginFailure {
    WrongPassword(String),
    Refused(String),
    Unavailable(String),
    NotAllowed(&'static str),
    Tls(String),
}

impl LoginFailure {
    fn at(self, host: &str) -> LoginError {
        let host = host.to_owned();
        match self {
            Self::WrongPassword(message) => LoginError::WrongPassword { host, message },
            Self::Refused(message) => LoginError::Refused { host, message },
            Self::Unavailable(reason) => LoginError::Unavailable { host, reason },
            Self::NotAllowed(reason) => LoginError::NotAllowed { host, reason },
            Self::Tls(reason) => LoginError::Tls { host, reason },
        }
    }

    /// Classifies an I/O error. rustls and the protocol codecs report theirs as I/O errors, too.
    fn of_stream(error: &io::Error, driver: Driver) -> Self {
        match (error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()), error.kind()) {
            (Some(cause), _) => Self::Tls(cause.to_string()),
            (None, ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::Other) => Self::no_protocol(driver),
            (None, _) => Self::Unavailable(error.to_string()),
        }
    }

    fn no_protocol(driver: Driver) -> Self {
        Self::Refused(format!("it does not respond like a {} server", driver.name()))
    }
}

const NO_TLS: &str = "the server does not support encryption";

#[cfg(test)]
mod tests {
    use larder::secret::Secret;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::egress::AddressPolicy;

    const DEADLINE: Duration = Duration::from_secs(5);

    fn login(driver: Driver, host: &str, port: u16) -> Login {
        let password = Secret::new("hunter2");
        Login { driver, host: host.into(), port, user: "larder".into(), password, database: "crm".into(), tls: None }
    }

    /// Starts a server that sends `says` to each client, then reads until the client disconnects. Returns its port.
    async fn server(says: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = stream.write_all(says).await;
                    let mut sink = [0; 1024];
                    while stream.read(&mut sink).await.is_ok_and(|length| length > 0) {}
                });
            }
        });
        port
    }

    async fn verify_error(login: &Login, deadline: Duration) -> LoginError {
        let egress = Egress::new(AddressPolicy::PublicAndLoopback).unwrap();
        verify(&egress, login, deadline).await.unwrap_err()
    }

    #[tokio::test]
    async fn private_addresses_are_never_contacted() {
        let egress = Egress::new(AddressPolicy::Public).unwrap();
        for driver in [Driver::Postgres, Driver::MySql] {
            for host in ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1", "::ffff:127.0.0.1", "0x7f.1"] {
                let error = verify(&egress, &login(driver, host, 5432), DEADLINE).await.unwrap_err();
                assert!(matches!(error, LoginError::NotAllowed { .. }), "{host}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_unavailable() {
        let error = verify_error(&login(Driver::Postgres, "nowhere.invalid", 5432), DEADLINE).await;
        assert!(matches!(error, LoginError::Unavailable { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_silent_server_runs_into_the_deadline() {
        let port = server(b"").await;
        for driver in [Driver::Postgres, Driver::MySql] {
            let error = verify_error(&login(driver, "127.0.0.1", port), Duration::from_secs(1)).await;
            assert_eq!(error.to_string(), "127.0.0.1 is not available: no response within 1 seconds");
        }
    }

    #[tokio::test]
    async fn a_server_of_another_kind_is_recognized() {
        let port = server(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        for (driver, name) in [(Driver::Postgres, "PostgreSQL"), (Driver::MySql, "MySQL")] {
            let error = verify_error(&login(driver, "127.0.0.1", port), DEADLINE).await;
            let expected = format!("127.0.0.1 rejected the login: it does not respond like a {name} server");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn encryption_is_required_except_on_this_machine() {
        let addresses =
            |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect::<Vec<SocketAddr>>();
        assert_eq!(default_tls(&addresses(&["127.0.0.1:1", "[::1]:1"])), Tls::Prefer);
        assert_eq!(default_tls(&addresses(&["127.0.0.1:1", "8.8.8.8:1"])), Tls::Require);
        assert_eq!(default_tls(&addresses(&["8.8.8.8:1"])), Tls::Require);
    }
}
