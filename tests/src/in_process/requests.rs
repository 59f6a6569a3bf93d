//! Observes Larder's requests to DynamoDB, and fails the test if one changes a row of `connections` unconditionally.

use std::sync::{Arc, Mutex, MutexGuard};

use aws_config::SdkConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::http::{
    HttpClient as _, HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use futures::future::BoxFuture;
use serde_json::Value;

/// The recorded operations, in order.
#[derive(Default, Clone)]
pub struct Requests(Arc<Mutex<RequestsState>>);

#[derive(Default)]
struct RequestsState {
    seen: Vec<String>,
    before: Option<(&'static str, BoxFuture<'static, ()>)>,
}

impl Requests {
    /// Returns a copy of an SDK configuration whose requests are recorded here.
    pub fn of(&self, sdk: &SdkConfig) -> SdkConfig {
        let (requests, inner) = (self.clone(), sdk.http_client().unwrap_or_else(|| Builder::new().build_http()));
        let client = http_client_fn(move |settings, components| {
            let inner = inner.http_connector(settings, components);
            SharedHttpConnector::new(RecordingConnector { requests: requests.clone(), inner })
        });
        sdk.to_builder().http_client(client).build()
    }

    /// Takes the operations since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.state().seen)
    }

    /// Runs a future just before the next request for this operation. `Save` means a write of a connection's sealed contents.
    pub fn before(&self, operation: &'static str, meanwhile: impl Future<Output = ()> + Send + 'static) {
        self.state().before = Some((operation, Box::pin(meanwhile)));
    }

    /// Whether that future has not run yet.
    pub fn is_waiting(&self) -> bool {
        self.state().before.is_some()
    }

    fn state(&self) -> MutexGuard<'_, RequestsState> {
        self.0.lock().expect("the lock is not poisoned")
    }
}

/// Whether a request writes a connection's sealed contents. Leases and people's changes do not.
pub fn is_save(operation: &str, body: &str) -> bool {
    matches!(operation, "PutItem" | "UpdateItem") && body.contains(r#""sealed""#)
}

/// Whether a request changes a row of `connections` without a condition.
pub fn is_unconditional(operation: &str, request: &Value) -> bool {
    let is_of_connections = |it: &Value| it["TableName"].as_str().is_some_and(|name| name.ends_with("-connections"));
    let is_unconditional = |it: &Value| is_of_connections(it) && !it["ConditionExpression"].is_string();
    match operation {
        "PutItem" | "UpdateItem" | "DeleteItem" => is_unconditional(request),
        "TransactWriteItems" => {
            let items = request["TransactItems"].as_array().into_iter().flatten();
            items.flat_map(|item| ["Put", "Update", "Delete"].map(|kind| &item[kind])).any(is_unconditional)
        }
        // It has no conditions.
        "BatchWriteItem" => request["RequestItems"]
            .as_object()
            .is_some_and(|tables| tables.keys().any(|it| it.ends_with("-connections"))),
        _ => false,
    }
}

struct RecordingConnector {
    requests: Requests,
    inner: SharedHttpConnector,
}

impl std::fmt::Debug for RecordingConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordingConnector")
    }
}

impl HttpConnector for RecordingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        if let Some(operation) = target.strip_prefix("DynamoDB_20120810.") {
            self.requests.state().seen.push(operation.to_owned());
            let is_write =
                ["Put", "Update", "Delete", "Transact", "BatchWrite"].iter().any(|it| operation.starts_with(it));
            let body = request.body().bytes().filter(|_| is_write).unwrap_or_default();
            let is_save = is_save(operation, &String::from_utf8_lossy(body));
            let body = serde_json::from_slice(body).unwrap_or_default();
            assert!(!is_unconditional(operation, &body), "{operation} changes a connection unconditionally: {body}");
            let meanwhile = self
                .requests
                .state()
                .before
                .take_if(|(before, _)| *before == operation || (*before == "Save" && is_save));
            if let Some((_, meanwhile)) = meanwhile {
                let inner = self.inner.clone();
                return HttpConnectorFuture::new(async move {
                    meanwhile.await;
                    inner.call(request).await
                });
            }
        }
        self.inner.call(request)
    }
}
