//! PostgreSQL: <https://www.postgresql.org/docs/current/protocol-flow.html>.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, Error, NoTls};

use super::{LoginFailure, NO_TLS, tls};
use crate::connector::database_login::{Driver, Login, Tls};

/// The number of bytes to read from a server in total. The client keeps whole messages in memory.
const MAX_BYTES: u64 = 256 * 1024;

/// The SSLRequest message: its length, and the code that asks whether the server supports encryption.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

pub(super) async fn verify(login: &Login, addresses: &[SocketAddr], mode: Tls) -> Result<(), LoginFailure> {
    let failed = |error: io::Error| LoginFailure::of_stream(&error, Driver::Postgres);
    let mut stream = TcpStream::connect(addresses).await.map_err(failed)?;
    if mode != Tls::Disable {
        stream.write_all(&SSL_REQUEST).await.map_err(failed)?;
        // Read a single byte: anything more that arrived in plaintext would pass for encrypted.
        match stream.read_u8().await.map_err(failed)? {
            b'S' => {
                let stream = tls::connect(stream, &login.host, mode == Tls::Require).await.map_err(failed)?;
                return log_in(login, stream).await;
            }
            b'N' if mode == Tls::Prefer => {}
            b'N' => return Err(LoginFailure::Tls(NO_TLS.into())),
            _ => return Err(LoginFailure::no_protocol(Driver::Postgres)),
        }
    }
    log_in(login, stream).await
}

async fn log_in(login: &Login, stream: impl AsyncRead + AsyncWrite) -> Result<(), LoginFailure> {
    let (reader, writer) = tokio::io::split(stream);
    let mut config = Config::new();
    config.user(&login.user).password(login.password.expose()).dbname(&login.database);
    config.application_name("larder").ssl_mode(SslMode::Disable); // it is encrypted already
    let limited = tokio::io::join(reader.take(MAX_BYTES), writer);
    let (client, connection) = config.connect_raw(limited, NoTls).await.map_err(|error| failure(&error))?;
    let query = async {
        let result = client.simple_query("SELECT 1").await;
        drop(client); // says goodbye and closes the connection
        result
    };
    let (result, _) = tokio::join!(query, connection);
    result.map(|_| ()).map_err(|error| failure(&error))
}

fn failure(error: &Error) -> LoginFailure {
    if let Some(state) = error.code() {
        return by_state(state.code());
    }
    match error.source().and_then(|cause| cause.downcast_ref::<io::Error>()) {
        Some(cause) => LoginFailure::of_stream(cause, Driver::Postgres),
        None if error.is_closed() => LoginFailure::Unavailable("it closed the connection".into()),
        None => LoginFailure::no_protocol(Driver::Postgres),
    }
}

/// Classifies an error by its SQLSTATE: see <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn by_state(state: &str) -> LoginFailure {
    let meaning = match state {
        "28P01" => "the user or the password is wrong",
        "28000" => "the user does not exist, or may not log in from this address in this way",
        "3D000" => "the database does not exist",
        "42501" => "the user may not access this database",
        "53300" => "it has too many connections",
        "57P03" => "it is starting or shutting down",
        _ => "an error",
    };
    // The code comes from the server: repeat it only if it looks like one.
    let is_code = state.len() == 5 && state.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let message = if is_code { format!("{meaning} (SQLSTATE {state})") } else { meaning.to_owned() };
    // Connection exceptions, insufficient resources, operator intervention, system errors, internal errors.
    let is_temporary = ["08", "53", "57", "58", "XX"].iter().any(|class| state.starts_with(class));
    match state {
        "28P01" => LoginFailure::WrongPassword(message),
        _ if is_temporary => LoginFailure::Unavailable(message),
        _ => LoginFailure::Refused(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_distinguish_temporary_from_permanent_errors() {
        for (state, expected) in [
            ("28P01", LoginFailure::WrongPassword("the user or the password is wrong (SQLSTATE 28P01)".into())),
            ("3D000", LoginFailure::Refused("the database does not exist (SQLSTATE 3D000)".into())),
            ("53300", LoginFailure::Unavailable("it has too many connections (SQLSTATE 53300)".into())),
            ("57P01", LoginFailure::Unavailable("an error (SQLSTATE 57P01)".into())),
            ("XX000", LoginFailure::Unavailable("an error (SQLSTATE XX000)".into())),
            ("0A000", LoginFailure::Refused("an error (SQLSTATE 0A000)".into())),
        ] {
            assert_eq!(by_state(state), expected);
        }
    }

    #[test]
    fn anything_but_a_code_is_not_repeated() {
        assert_eq!(by_state("hunter2"), LoginFailure::Refused("an error".into()));
        assert_eq!(by_state("a b c"), LoginFailure::Refused("an error".into()));
    }
}
