//! Calls from this process to its own database: the SDK's HTTP client is a function call.
//!
//! The work is done on the thread that polls the request. An operation takes a few hundred microseconds, and `cargo run`
//! polls requests and refreshes on threads that may block (`larder::isolation`). It is also deterministic, which the
//! simulation depends on.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;

use super::{CONTENT_TYPE, EmbeddedDynamoDb};

#[derive(Debug)]
struct InProcessConnector(EmbeddedDynamoDb);

impl HttpConnector for InProcessConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self(database) = self;
        let database = database.clone();
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let (status, body) = database.answer(target, request.body().bytes().unwrap_or_default());
            Ok(response(status, body))
        })
    }
}

/// A DynamoDB response in the form that the SDK expects.
pub fn response(status: u16, body: String) -> HttpResponse {
    let status = status.try_into().unwrap_or_else(|_| unreachable!("DynamoDB answers with an HTTP status"));
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    response.headers_mut().insert("content-type", CONTENT_TYPE);
    response
}

pub(super) fn sdk_config(database: &EmbeddedDynamoDb) -> SdkConfig {
    let connector = SharedHttpConnector::new(InProcessConnector(database.clone()));
    // The SDK signs requests even though nothing verifies them here.
    let credentials = Credentials::new("larder", "", None, None, "larder");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("local"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url("http://embedded")
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build()
}
