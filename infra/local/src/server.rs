//! The HTTP server in front of the functions, with Lambda's limits.
//!
//! As in AWS, scripts of other origins can call the JSON routes and read the responses, which need a token, but not those of
//! the routes that browsers open. A page that reaches this port under its own host name (DNS rebinding) can read all responses
//! but gains nothing: every route needs a token, or a flow's state and cookie, and browsers keep cookies by host name. `demo`
//! guards its own pages.

use std::sync::Arc;

use hyper::body::Incoming;
use larder::error::Error;
use larder::http::Response;
use larder::isolation::isolated;
use tokio::net::TcpListener;

use crate::bundle::Bundle;
use crate::demo::Demo;
use crate::listener;

/// The largest request that Lambda accepts.
const MAX_BODY: usize = 6 * 1024 * 1024;

/// Serves the functions, and the demo if there is one, until the process ends.
pub async fn serve(listener: TcpListener, bundle: Arc<Bundle>, demo: Option<Arc<Demo>>) {
    let answer = move |request| {
        let (bundle, demo) = (Arc::clone(&bundle), demo.clone());
        async move { answer(&bundle, demo.as_deref(), request).await }
    };
    listener::serve(listener, answer).await;
}

async fn answer(bundle: &Arc<Bundle>, demo: Option<&Demo>, request: hyper::Request<Incoming>) -> Response {
    let (parts, body) = request.into_parts();
    let body = match listener::read(body, MAX_BODY).await {
        Ok(body) => body,
        Err(error) => return error.into(),
    };
    let request = http::Request::from_parts(parts, body);
    match demo {
        Some(demo) if Demo::has(request.uri().path()) => demo.handle(&request).await,
        _ => {
            let is_sign_in = request.uri().path() == "/sign-in";
            // As in Lambda, requests are isolated from each other, and the function finishes even if its caller hangs up,
            // so that tokens from the provider are saved.
            let bundle = Arc::clone(bundle);
            let handled = isolated(async move { bundle.handle(request).await });
            let response = handled.await.unwrap_or_else(|panicked| Error::internal(panicked).into());
            match demo {
                Some(demo) if is_sign_in => demo.lead(response).await,
                _ => response,
            }
        }
    }
}
