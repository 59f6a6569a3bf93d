//! HTTP in front of the functions, with the limits that Lambda has.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use larder::error::Error;
use larder::http::Response;
use larder::isolation::isolated;
use tokio::net::TcpListener;

use crate::bundle::Bundle;
use crate::demo::DemoProvider;

/// The largest request that a Lambda function takes.
const MAX_BODY: usize = 6 * 1024 * 1024;

/// Serves the functions, and the demo provider if there is one, until the process ends.
pub async fn serve(listener: TcpListener, bundle: Arc<Bundle>, demo: Option<Arc<DemoProvider>>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (bundle, demo) = (Arc::clone(&bundle), demo.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (bundle, demo) = (Arc::clone(&bundle), demo.clone());
                async move { Ok::<_, Infallible>(answer(&bundle, demo.as_deref(), request).await.map(Full::<Bytes>::from)) }
            });
            let server = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}

async fn answer(bundle: &Arc<Bundle>, demo: Option<&DemoProvider>, request: hyper::Request<Incoming>) -> Response {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return Error::too_large(format!("a request has at most {MAX_BODY} bytes")).into_response();
        }
        Err(_) => return Error::bad_request("the request body was cut off").into_response(),
    };
    let request = http::Request::from_parts(parts, Bytes::clone(&body));
    match demo {
        Some(demo) if request.uri().path().starts_with(DemoProvider::PREFIX) => demo.handle(&request),
        _ => {
            // As in Lambda, requests do not disturb each other, and the function goes on when its caller does not wait for
            // it: what a provider gave is saved.
            let bundle = Arc::clone(bundle);
            let handled = isolated(async move { bundle.handle(request).await });
            handled.await.unwrap_or_else(|panicked| Error::internal(panicked).into_response())
        }
    }
}
