//! Connections to a local port. Silent and slow clients are disconnected.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use larder::error::Error;
use larder::http::Response;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use url::Url;

/// The most connections that are served at once. Others wait until one ends.
const MAX_CONNECTIONS: usize = 256;
/// How long a client may take to send a request's headers, or stay silent between two requests.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may take to send a body: as long as the API waits in AWS.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Serves requests until the process ends.
pub(crate) async fn serve<F>(
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Response> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await.map(Full::<Bytes>::from)) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
}

/// Whether `Host` is this machine. A page whose own host name resolves to this address (DNS rebinding) sends same-origin
/// requests, but its `Host` is that name.
pub(crate) fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let url = host.and_then(|host| Url::parse(&format!("http://{host}")).ok());
    url.is_some_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// 413 when it is larger; 400 when it is cut off or too slow.
pub(crate) async fn read(body: Incoming, limit: usize) -> Result<Bytes, Error> {
    match tokio::time::timeout(BODY_WITHIN, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Error::too_large(format!("the request body is larger than {limit} bytes")))
        }
        Ok(Err(_)) => Err(Error::bad_request("the request body was cut off")),
        Err(_) => Err(Error::bad_request(format!("the request body took longer than {} s", BODY_WITHIN.as_secs()))),
    }
}
