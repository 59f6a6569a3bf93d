//! One HTTP client for all clients of the AWS SDK.
//!
//! Left to themselves, each of them reads the machine's root certificates twice before its first call. This one reads them
//! once, when the first call goes to an https URL, and calls to one host share their connections.
//!
//! # Decisions
//!
//! Credentials come only from Lambda's environment variables: the SDK's default chain makes an HTTP client for every
//! other place where there could be some.
//!
//! Connections to AWS are not opened during a cold start. A call ahead of the first event costs as much as it saves if
//! the event is already there, as in every start on demand, and would mean three more requests per start.

use std::sync::OnceLock;
use std::time::Duration;

use aws_smithy_http_client::ConnectorBuilder;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::timeout::TimeoutConfig;

/// How long a connection may take until it is made; the SDK's own.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// How long a call may take, and with all its repetitions. They take milliseconds; a service that hangs must leave the time
/// to do something else. Left to itself, the SDK waits for ever.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(Duration::from_secs(4))
        .operation_timeout(Duration::from_secs(9))
        .build()
}

/// A client of its own. Give the same one to all that shall share it.
pub fn client() -> SharedHttpClient {
    let connector = connector_for_all();
    http_client_fn(move |_, _| connector.clone())
}

/// The same for calls that no SDK makes. It follows no redirect.
pub fn connector_for_all() -> SharedHttpConnector {
    SharedHttpConnector::new(Connectors::default())
}

#[derive(Debug, Default)]
struct Connectors {
    http: OnceLock<SharedHttpConnector>,
    https: OnceLock<SharedHttpConnector>,
}

impl HttpConnector for Connectors {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = if request.uri().starts_with("https:") {
            self.https.get_or_init(|| connector(TrustStore::default()))
        } else {
            self.http.get_or_init(|| connector(TrustStore::empty()))
        };
        connector.call(request)
    }
}

fn connector(roots: TrustStore) -> SharedHttpConnector {
    let tls = TlsContext::builder().with_trust_store(roots).build().expect("a trust store is all that it needs");
    let builder = ConnectorBuilder::default()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls)
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .proxy_config(ProxyConfig::from_env());
    SharedHttpConnector::new(builder.build())
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
    use aws_types::SdkConfig;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn sdk(endpoint: String) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .endpoint_url(endpoint)
            .timeout_config(timeouts())
            .http_client(client())
            .build()
    }

    #[tokio::test]
    async fn clients_of_one_host_share_a_connection() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let sdk = sdk(format!("http://{}", listener.local_addr().unwrap()));
        // Whoever connects a second time waits for ever.
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..2 {
                let mut request = Vec::new();
                while !request.ends_with(b"{}") {
                    stream.read_buf(&mut request).await.unwrap();
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            }
        };
        let clients = async {
            aws_sdk_kms::Client::new(&sdk).list_keys().send().await.unwrap();
            aws_sdk_secretsmanager::Client::new(&sdk).list_secrets().send().await.unwrap();
        };
        let both = async { tokio::join!(server, clients) };
        tokio::time::timeout(Duration::from_secs(10), both).await.expect("both calls are answered");
    }

    #[tokio::test]
    async fn an_https_url_is_spoken_to_in_tls() {
        const HANDSHAKE: u8 = 22;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let sdk = sdk(format!("https://{}", listener.local_addr().unwrap()));
        let first_byte = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap()
        };
        let client = aws_sdk_kms::Client::new(&sdk);
        tokio::select! {
            first_byte = first_byte => assert_eq!(first_byte, HANDSHAKE),
            answer = client.list_keys().send() => panic!("{answer:?}"),
        }
    }

    #[tokio::test]
    async fn a_service_that_takes_a_call_and_hangs_is_given_up() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let sdk = sdk(format!("http://{}", listener.local_addr().unwrap()));
        let client = aws_sdk_kms::Client::new(&sdk);
        let call = tokio::time::timeout(Duration::from_secs(60), client.list_keys().send());
        assert!(call.await.expect("is given up").is_err());
    }
}
