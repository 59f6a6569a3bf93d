//! Logging in to a database, which is the only way to know whether a login works.
//!
//! [`verify`] connects to addresses that [`Egress`] has checked, encrypts, logs in, runs `SELECT 1` and says goodbye. What
//! the server says in words is never repeated, for it may repeat what it was sent: only its codes are.

mod mysql;
mod postgres;
mod tls;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use crate::connector::database_login::{Driver, Login, Tls};
use crate::egress::{Egress, EgressError};

/// Why a login does not work, or was not tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The server said no, and will say so again: a wrong password, an unknown database, a missing permission.
    #[error("{host} refused the login: {message}")]
    Refused {
        /// The host.
        host: String,
        /// What its code means.
        message: String,
    },
    /// The network, a deadline, or a server that is busy or starting: it may work later.
    #[error("{host} is not available: {reason}")]
    Unavailable {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// The address may not be reached from here.
    #[error("logins to {host} are not allowed: {reason}")]
    NotAllowed {
        /// The host.
        host: String,
        /// Why.
        reason: &'static str,
    },
    /// The server does not encrypt, or its certificate is not valid for its host.
    #[error("{host} offers no secure connection: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
}

/// Logs in and out again.
///
/// A login that does not say whether to encrypt must be encrypted, but for one to this machine itself, where it is
/// encrypted if the server can.
///
/// # Errors
/// See [`LoginError`]. No text in it comes from the server, or has the password in it.
pub async fn verify(egress: &Egress, login: &Login, deadline: Duration) -> Result<(), LoginError> {
    let attempt = async {
        let addresses = egress.addresses(&login.host, login.port).await.map_err(|error| match error {
            EgressError::Refused { reason, .. } => Failure::NotAllowed(reason),
            EgressError::Unreachable { reason, .. } => Failure::Unavailable(reason),
            other => Failure::Unavailable(other.to_string()),
        })?;
        let tls = login.tls.unwrap_or_else(|| default_tls(&addresses));
        match login.driver {
            Driver::Postgres => postgres::verify(login, &addresses, tls).await,
            Driver::MySql => mysql::verify(login, &addresses, tls).await,
        }
    };
    let late = || Err(Failure::Unavailable(format!("no answer within {} seconds", deadline.as_secs())));
    let result = tokio::time::timeout(deadline, attempt).await.unwrap_or_else(|_| late());
    result.map_err(|failure| failure.of(&login.host))
}

fn default_tls(addresses: &[SocketAddr]) -> Tls {
    let is_here = addresses.iter().all(|address| address.ip().is_loopback());
    if is_here { Tls::Prefer } else { Tls::Require }
}

/// A [`LoginError`] without its host.
#[derive(Debug, PartialEq)]
enum Failure {
    Refused(String),
    Unavailable(String),
    NotAllowed(&'static str),
    Tls(String),
}

impl Failure {
    fn of(self, host: &str) -> LoginError {
        let host = host.to_owned();
        match self {
            Self::Refused(message) => LoginError::Refused { host, message },
            Self::Unavailable(reason) => LoginError::Unavailable { host, reason },
            Self::NotAllowed(reason) => LoginError::NotAllowed { host, reason },
            Self::Tls(reason) => LoginError::Tls { host, reason },
        }
    }

    /// A connection that failed. rustls and the codecs of the protocols speak up as errors of the stream.
    fn of_stream(error: &io::Error, driver: Driver) -> Self {
        match (error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()), error.kind()) {
            (Some(cause), _) => Self::Tls(cause.to_string()),
            (None, ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::Other) => Self::no_protocol(driver),
            (None, _) => Self::Unavailable(error.to_string()),
        }
    }

    fn no_protocol(driver: Driver) -> Self {
        Self::Refused(format!("it does not answer as a {} server does", driver.name()))
    }
}

const NO_TLS: &str = "it does not encrypt connections";

#[cfg(test)]
mod tests {
    use larder::secret::Secret;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::egress::Reach;

    const DEADLINE: Duration = Duration::from_secs(5);

    fn login(driver: Driver, host: &str, port: u16) -> Login {
        let password = Secret::new("hunter2");
        Login { driver, host: host.into(), port, user: "larder".into(), password, database: "crm".into(), tls: None }
    }

    /// A server that says something to whoever comes, and then reads on.
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

    async fn verified(login: &Login, deadline: Duration) -> LoginError {
        let egress = Egress::new(Reach::PublicAndLoopback).unwrap();
        verify(&egress, login, deadline).await.unwrap_err()
    }

    #[tokio::test]
    async fn nothing_private_is_reached() {
        let egress = Egress::new(Reach::Public).unwrap();
        for driver in [Driver::Postgres, Driver::MySql] {
            for host in ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1", "::ffff:127.0.0.1", "0x7f.1"] {
                let error = verify(&egress, &login(driver, host, 5432), DEADLINE).await.unwrap_err();
                assert!(matches!(error, LoginError::NotAllowed { .. }), "{host}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_unavailable() {
        let error = verified(&login(Driver::Postgres, "nowhere.invalid", 5432), DEADLINE).await;
        assert!(matches!(error, LoginError::Unavailable { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_runs_into_the_deadline() {
        let port = server(b"").await;
        for driver in [Driver::Postgres, Driver::MySql] {
            let error = verified(&login(driver, "127.0.0.1", port), Duration::from_secs(1)).await;
            assert_eq!(error.to_string(), "127.0.0.1 is not available: no answer within 1 seconds");
        }
    }

    #[tokio::test]
    async fn a_server_of_another_kind_is_told_apart() {
        let port = server(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        for (driver, name) in [(Driver::Postgres, "PostgreSQL"), (Driver::MySql, "MySQL")] {
            let error = verified(&login(driver, "127.0.0.1", port), DEADLINE).await;
            let expected = format!("127.0.0.1 refused the login: it does not answer as a {name} server does");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn only_this_machine_is_logged_in_to_without_a_demand_for_encryption() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        assert_eq!(default_tls(&addresses(&["127.0.0.1:1", "[::1]:1"])), Tls::Prefer);
        assert_eq!(default_tls(&addresses(&["127.0.0.1:1", "8.8.8.8:1"])), Tls::Require);
        assert_eq!(default_tls(&addresses(&["8.8.8.8:1"])), Tls::Require);
    }
}
