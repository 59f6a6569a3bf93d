//! One HTTP client for all AWS SDK clients.
//!
//! On its own, each SDK client reads the machine's root certificates twice before its first call. This client makes its TLS
//! configuration once, on the first call to an https URL, and calls to the same host share their connections.
//!
//! In a Lambda function, calls to AWS trust only Amazon's own certificate authorities, which are compiled in
//! ([`Trust::CompiledIn`]): parsing these five takes a few microseconds, reading the machine's store two to three
//! milliseconds of every cold start. AWS asks clients to trust these five: <https://www.amazontrust.com/repository/>.
//!
//! # Decisions
//!
//! Credentials come only from Lambda's environment variables: the SDK's default chain creates an HTTP client for every
//! other possible source.
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

use crate::trust::Trust;

/// The timeout for opening a connection, which is the SDK's default.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// Returns the timeouts of one attempt at a call, and of all its attempts together. Calls normally take milliseconds; if a
/// service hangs, there must be time left to do something else. By default, the SDK waits forever.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(Duration::from_secs(4))
        .operation_timeout(Duration::from_secs(9))
        .build()
}

/// Creates a client. Pass the same one to all SDK clients that should share connections.
pub fn client(trust: Trust) -> SharedHttpClient {
    let connector = connector_for_all(trust);
    http_client_fn(move |_, _| connector.clone())
}

/// Creates a connector for calls without an SDK client. It does not follow redirects.
pub fn connector_for_all(trust: Trust) -> SharedHttpConnector {
    SharedHttpConnector::new(Connectors { trust, ..Connectors::default() })
}

#[derive(Debug, Default)]
struct Connectors {
    trust: Trust,
    http: OnceLock<SharedHttpConnector>,
    https: OnceLock<SharedHttpConnector>,
    aws: OnceLock<SharedHttpConnector>,
}

impl HttpConnector for Connectors {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = match Peer::of(request.uri()) {
            Peer::Unencrypted => self.http.get_or_init(|| connector(TrustStore::empty())),
            Peer::Aws if self.trust == Trust::CompiledIn => {
                self.aws.get_or_init(|| connector(TrustStore::empty().with_pem_certificate(AMAZON_ROOTS)))
            }
            Peer::Aws | Peer::Other => self.https.get_or_init(|| connector(self.trust.machine_store())),
        };
        connector.call(request)
    }
}

/// Amazon Root CA 1 to 4 and Starfield Services Root G2: <https://www.amazontrust.com/repository/>.
const AMAZON_ROOTS: &[u8] = include_bytes!("aws_http/amazon_roots.pem");

/// The domains whose certificates Amazon issues. Those of other partitions (China's `amazonaws.com.cn`) are left to the
/// machine's store.
const AWS_DOMAINS: [&str; 2] = [".amazonaws.com", ".api.aws"];

/// The kind of server at a URL, which decides on the trusted authorities.
#[derive(Debug, PartialEq)]
enum Peer {
    Unencrypted,
    Aws,
    Other,
}

impl Peer {
    fn of(uri: &str) -> Self {
        let Some(rest) = uri.strip_prefix("https://") else { return Self::Unencrypted };
        let authority = rest.split(['/', '?']).next().unwrap_or(rest);
        let host = authority.split(':').next().unwrap_or(authority);
        if AWS_DOMAINS.iter().any(|domain| host.ends_with(domain)) { Self::Aws } else { Self::Other }
    }
}

impl Trust {
    fn machine_store(&self) -> TrustStore {
        match self {
            Self::Bundle(pem) => TrustStore::default().with_pem_certificate(pem.to_vec()),
            Self::CompiledIn | Self::Machine => TrustStore::default(),
        }
    }
}

fn connector(roots: TrustStore) -> SharedHttpConnector {
    let tls = TlsContext::builder().with_trust_store(roots).build().expect("a TLS context needs only a trust store");
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
            .http_client(client(Trust::Machine))
            .build()
    }

    #[tokio::test]
    async fn clients_of_one_host_share_a_connection() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let sdk = sdk(format!("http://{}", listener.local_addr().unwrap()));
        // A second connection would wait forever.
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
    async fn https_urls_are_called_over_tls() {
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
    async fn a_call_to_a_service_that_hangs_times_out() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let sdk = sdk(format!("http://{}", listener.local_addr().unwrap()));
        let client = aws_sdk_kms::Client::new(&sdk);
        let call = tokio::time::timeout(Duration::from_secs(60), client.list_keys().send());
        assert!(call.await.expect("the call times out").is_err());
    }

    #[test]
    fn only_aws_hosts_use_amazons_roots() {
        for (uri, expected) in [
            ("https://kms.us-east-1.amazonaws.com/", Peer::Aws),
            ("https://dynamodb.eu-central-1.amazonaws.com:443/?a", Peer::Aws),
            ("https://sqs.eu-west-1.api.aws/", Peer::Aws),
            ("https://kms.cn-north-1.amazonaws.com.cn/", Peer::Other),
            ("https://amazonaws.com.example/", Peer::Other),
            ("https://vault.example/.amazonaws.com", Peer::Other),
            ("http://127.0.0.1:4566/", Peer::Unencrypted),
        ] {
            assert_eq!(Peer::of(uri), expected, "{uri}");
        }
    }

    #[test]
    fn the_compiled_in_roots_can_be_read() {
        // Panics if one cannot.
        connector(TrustStore::empty().with_pem_certificate(AMAZON_ROOTS));
        assert_eq!(String::from_utf8_lossy(AMAZON_ROOTS).matches("BEGIN CERTIFICATE").count(), 5);
    }
}
