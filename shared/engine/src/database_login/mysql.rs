//! MySQL and MariaDB: <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>.

use std::net::SocketAddr;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, DriverError, Error, IoError, OptsBuilder, SslOpts};
use rustls::RootCertStore;

use super::{Failure, NO_TLS, tls};
use crate::connector::database_login::{Driver, Login, Tls};

/// The largest message that is read, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

pub(super) async fn verify(login: &Login, addresses: &[SocketAddr], mode: Tls) -> Result<(), Failure> {
    let options = options(login, addresses);
    let encrypted = match mode {
        Tls::Disable => None,
        Tls::Require => Some(checked()),
        // Some roots there must be; they are not heeded.
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
        // A server could name any socket of this machine.
        .prefer_socket(false)
        .user(Some(&login.user))
        .pass(Some(login.password.expose()))
        .db_name(Some(&login.database))
        // What is set here is not asked from the server.
        .max_allowed_packet(Some(MAX_MESSAGE_BYTES))
        .wait_timeout(Some(60))
}

/// The machine's roots and no others. One that the client cannot read would fail it.
fn checked() -> SslOpts {
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

fn failure(error: &Error) -> Failure {
    match error {
        Error::Server(error) => by_code(error.code),
        Error::Io(IoError::Tls(error)) => Failure::Tls(error.to_string()),
        Error::Io(IoError::Io(error)) => Failure::of_stream(error, Driver::MySql),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => Failure::Tls(NO_TLS.into()),
        Error::Driver(DriverError::ConnectionClosed) => Failure::Unavailable("it closed the connection".into()),
        Error::Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled,
        ) => Failure::Refused("it asks for a way to log in that is not supported".into()),
        _ => Failure::no_protocol(Driver::MySql),
    }
}

/// By the code of the error: <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>, and those of
/// MariaDB from 4000 on.
fn by_code(code: u16) -> Failure {
    let (meaning, may_pass) = match code {
        1040 | 1203 => ("it has too many connections", true),
        1129 => ("it has blocked this address after many errors", true),
        1226 => ("the user has used up what it may use", true),
        1053 | 1077..=1079 => ("it is shutting down", true),
        1045 | 1698 => ("the user or the password is wrong", false),
        1044 => ("the user may not use this database", false),
        1049 => ("the database does not exist", false),
        1130 => ("the user may not log in from here", false),
        1251 => ("it asks for a way to log in that is not supported", false),
        1820 | 1862 => ("the password has expired", false),
        3118 | 4151 => ("the user is locked", false),
        3159 => ("it demands an encrypted connection", false),
        _ => ("an error", false),
    };
    let text = format!("{meaning} (error {code})");
    if may_pass { Failure::Unavailable(text) } else { Failure::Refused(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_what_may_pass_from_what_stays() {
        for (code, expected) in [
            (1045, Failure::Refused("the user or the password is wrong (error 1045)".into())),
            (1049, Failure::Refused("the database does not exist (error 1049)".into())),
            (1040, Failure::Unavailable("it has too many connections (error 1040)".into())),
            (9999, Failure::Refused("an error (error 9999)".into())),
        ] {
            assert_eq!(by_code(code), expected);
        }
    }
}
