//! Connections to a port of this machine. A client that says nothing, or says it slowly, does not keep one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

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

/// How many connections are served at once. More wait until one of them ends.
const MAX_CONNECTIONS: usize = 256;
/// How long a client may take for the headers of a request, or stay silent between two requests.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may take for a body: as long as the API waits in AWS.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Answers every request until the process ends.
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
                tracing::warn!(%error, "a connection was not accepted");
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

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// 413 when it is larger; 400 when it does not come to its end.
pub(crate) async fn read(body: Incoming, limit: usize) -> Result<Bytes, Error> {
    match tokio::time::timeout(BODY_WITHIN, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Error::too_large(format!("a request has at most {limit} bytes")))
        }
        Ok(Err(_)) => Err(Error::bad_request("the request body was cut off")),
        Err(_) => Err(Error::bad_request(format!("the request body takes longer than {} s", BODY_WITHIN.as_secs()))),
    }
}
