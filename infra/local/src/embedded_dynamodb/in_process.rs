//! The way of this process to its own database: the HTTP client of the SDK is a call.
//!
//! The work is done where the request is polled, on no thread of its own. An operation takes some hundred microseconds, and
//! `cargo run` polls requests and refreshes on threads that may stand still (`larder::isolation`). Besides, it is
//! deterministic: the simulation depends on that.

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
struct Connector(EmbeddedDynamoDb);

impl HttpConnector for Connector {
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

/// A response as DynamoDB sends it, for the SDK.
pub fn response(status: u16, body: String) -> HttpResponse {
    let status = status.try_into().unwrap_or_else(|_| unreachable!("DynamoDB answers with a status of HTTP"));
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    response.headers_mut().insert("content-type", CONTENT_TYPE);
    response
}

pub(super) fn sdk_config(database: &EmbeddedDynamoDb) -> SdkConfig {
    let connector = SharedHttpConnector::new(Connector(database.clone()));
    // Requests are signed, though nobody looks.
    let credentials = Credentials::new("larder", "", None, None, "larder");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("local"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url("http://embedded")
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build()
}
