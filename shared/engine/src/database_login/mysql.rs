//! MySQL and MariaDB: <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>.

use std::net::SocketAddr;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, DriverError, Error, IoError, OptsBuilder, SslOpts};
use rustls::RootCertStore;

use super::{LoginFailure, NO_TLS, tls};
use crate::connector::database_login::{Driver, Login, Tls};

/// The largest message to read, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

pub(super) async fn verify(login: &Login, addresses: &[SocketAddr], mode: Tls) -> Result<(), LoginFailure> {
    let options = options(login, addresses);
    let encrypted = match mode {
        Tls::Disable => None,
        Tls::Require => Some(with_system_roots()),
        // The client insists on roots but does not check against them.
        Tls::Prefer => Some(SslOpts::default().with_danger_accept_invalid_certs(true)),
    };
    let result = log_in(options.clone().ssl_opts(encrypted)).await;
    let result = match result {
        Err(Error::Driver(DriverError::NoClientSslFlagFromServer)) if mode == Tls::Prefer => log_in(options).await,
        result => result,
    };
    result.map_err(|error| failure(&error))
}

fn options(login: &Login, addresses: &[SocketAddr]) -> OptsBuilder {
    let addresses: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    OptsBuilder::default()
        .ip_or_hostname(&login.host)
        .resolved_ips(Some(addresses))
        .tcp_port(login.port)
        // Otherwise the server could name any socket on this machine.
        .prefer_socket(false)
        .user(Some(&login.user))
        .pass(Some(login.password.expose()))
        .db_name(Some(&login.database))
        // The client queries the server for these unless they are set.
        .max_allowed_packet(Some(MAX_MESSAGE_BYTES))
        .wait_timeout(Some(60))
}

/// Checks certificates against this machine's root certificates. Unreadable ones are left out: the client would fail.
fn with_system_roots() -> SslOpts {
    let mut store = RootCertStore::empty();
    let readable = tls::roots().into_iter().filter(|root| store.add(root.clone()).is_ok());
    let roots = readable.map(|root| root.to_vec().into()).collect();
    SslOpts::default().with_disable_built_in_roots(true).with_root_certs(roots)
}

async fn log_in(options: OptsBuilder) -> Result<(), Error> {
    let mut connection = Conn::new(options).await?;
    connection.query_drop("SELECT 1").await?;
    connection.disconnect().await
}

fn failure(error: &Error) -> LoginFailure {
    match error {
        Error::Server(error) => by_code(error.code),
        Error::Io(IoError::Tls(error)) => LoginFailure::Tls(error.to_string()),
        Error::Io(IoError::Io(error)) => LoginFailure::of_stream(error, Driver::MySql),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => LoginFailure::Tls(NO_TLS.into()),
        Error::Driver(DriverError::ConnectionClosed) => LoginFailure::Unavailable("it closed the connection".into()),
        Error::Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled,
        ) => LoginFailure::Refused("it requires an unsupported authentication method".into()),
        _ => LoginFailure::no_protocol(Driver::MySql),
    }
}

/// Classifies an error by its code: see <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>.
/// Codes from 4000 on are MariaDB's.
fn by_code(code: u16) -> LoginFailure {
    let (meaning, is_temporary) = match code {
        1040 | 1203 => ("it has too many connections", true),
        1129 => ("it has blocked this address after many errors", true),
        1226 => ("the user has exceeded a resource limit", true),
        1053 | 1077..=1079 => ("it is shutting down", true),
        1045 | 1698 => ("the user or the password is wrong", false),
        1044 => ("the user may not access this database", false),
        1049 => ("the database does not exist", false),
        1130 => ("the user may not log in from this address", false),
        1251 => ("it requires an unsupported authentication method", false),
        1820 | 1862 => ("the password has expired", false),
        3118 | 4151 => ("the user is locked", false),
        3159 => ("it requires an encrypted connection", false),
        _ => ("an error", false),
    };
    let message = format!("{meaning} (error {code})");
    match code {
        1045 | 1698 => LoginFailure::WrongPassword(message),
        _ if is_temporary => LoginFailure::Unavailable(message),
        _ => LoginFailure::Refused(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_distinguish_temporary_from_permanent_errors() {
        for (code, expected) in [
            (1045, LoginFailure::WrongPassword("the user or the password is wrong (error 1045)".into())),
            (1049, LoginFailure::Refused("the database does not exist (error 1049)".into())),
            (1040, LoginFailure::Unavailable("it has too many connections (error 1040)".into())),
            (9999, LoginFailure::Refused("an error (error 9999)".into())),
        ] {
            assert_eq!(by_code(code), expected);
        }
    }
}
