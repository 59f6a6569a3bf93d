//! HTTP in front of the functions, with the limits that Lambda has.
//!
//! Other origins' scripts may send requests here, as they may in AWS, and read no answer: no CORS header allows it. A page
//! that reaches this port under a name of its own (DNS rebinding) can read answers, but gains nothing: every route needs a
//! token, or the state and the cookie of a flow, and cookies are kept by name. `demo` guards its own form.

use std::sync::Arc;

use hyper::body::Incoming;
use larder::error::Error;
use larder::http::Response;
use larder::isolation::isolated;
use tokio::net::TcpListener;

use crate::bundle::Bundle;
use crate::demo::DemoProvider;
use crate::listener;

/// The largest request that a Lambda function takes.
const MAX_BODY: usize = 6 * 1024 * 1024;

/// Serves the functions, and the demo provider if there is one, until the process ends.
pub async fn serve(listener: TcpListener, bundle: Arc<Bundle>, demo: Option<Arc<DemoProvider>>) {
    let answer = move |request| {
        let (bundle, demo) = (Arc::clone(&bundle), demo.clone());
        async move { answer(&bundle, demo.as_deref(), request).await }
    };
    listener::serve(listener, answer).await;
}

async fn answer(bundle: &Arc<Bundle>, demo: Option<&DemoProvider>, request: hyper::Request<Incoming>) -> Response {
    let (parts, body) = request.into_parts();
    let body = match listener::read(body, MAX_BODY).await {
        Ok(body) => body,
        Err(error) => return error.into(),
    };
    let request = http::Request::from_parts(parts, body);
    match demo {
        Some(demo) if request.uri().path().starts_with(DemoProvider::PREFIX) => demo.handle(&request),
        _ => {
            // As in Lambda, requests do not disturb each other, and the function goes on when its caller does not wait for
            // it: what a provider gave is saved.
            let bundle = Arc::clone(bundle);
            let handled = isolated(async move { bundle.handle(request).await });
            handled.await.unwrap_or_else(|panicked| Error::internal(panicked).into())
        }
    }
}
