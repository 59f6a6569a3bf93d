//! The one way out: every request to a provider goes through [`Egress`], which guards against SSRF, floods and stalls.

mod guard;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::redirect::Policy;
use tracing::Instrument as _;

use crate::error::chain;
use crate::invocation;
use guard::GuardedResolver;
pub use guard::{ORIGIN, Reach};

/// An HTTP client that reaches public addresses over https only.
///
/// Names are resolved, checked and used in one step, so that a second look-up cannot answer otherwise. Redirects are not
/// followed: a token request that is redirected would hand its secret to somebody else (RFC 9700 §4.11).
#[derive(Clone)]
pub struct Egress {
    transport: Arc<dyn Transport>,
    reach: Reach,
}

/// Carries a request and its response. It is the internet, but for tests that make their own.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends the request and reads the whole answer, unless its body is longer than `max_body_bytes`. Whoever calls sets
    /// the deadline, and drops the exchange when it has passed.
    async fn exchange(&self, request: http::Request<Vec<u8>>, max_body_bytes: usize) -> Result<Response, EgressError>;
}

/// The internet.
struct Internet {
    client: reqwest::Client,
}

/// How long a connection is kept for the next request. Servers close theirs after five seconds and more; a request on its
/// way then fails, and nobody knows whether it was carried out.
const IDLE: Duration = Duration::from_secs(4);

/// What one exchange may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first byte sent to the last byte read.
    pub deadline: Duration,
    /// Of the response's body.
    pub max_body_bytes: usize,
}

impl Limits {
    /// For token endpoints: seconds and kilobytes are the rule there.
    pub const TOKEN: Self = Self { deadline: Duration::from_secs(20), max_body_bytes: 1024 * 1024 };
    /// For tests of connections.
    pub const API: Self = Self { deadline: Duration::from_secs(20), max_body_bytes: 10 * 1024 * 1024 };
}

/// A whole response.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no response. The text names the host, never the request's path, query or contents.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The address may not be reached from here.
    #[error("requests to {host} are not allowed: {reason}")]
    Refused {
        /// The host of the URL.
        host: String,
        /// Why.
        reason: &'static str,
    },
    /// Name resolution, connecting, TLS or the exchange itself failed.
    #[error("{host} could not be reached: {reason}")]
    Unreachable {
        /// The host of the URL.
        host: String,
        /// What the network said.
        reason: String,
    },
    /// The deadline passed.
    #[error("{host} did not answer within {} seconds", .deadline.as_secs())]
    TimedOut {
        /// The host of the URL.
        host: String,
        /// The deadline.
        deadline: Duration,
    },
    /// The body was larger than allowed.
    #[error("{host} answered with more than {limit} bytes")]
    TooLarge {
        /// The host of the URL.
        host: String,
        /// The limit.
        limit: usize,
    },
}

impl Egress {
    /// A client that may go as far as `reach` says.
    ///
    /// # Errors
    /// When the machine's root certificates cannot be read.
    pub fn new(reach: Reach) -> Result<Self, reqwest::Error> {
        #[expect(clippy::disallowed_methods, reason = "the one place where a client is made")]
        let client = reqwest::Client::builder()
            .dns_resolver(GuardedResolver::new(reach))
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(IDLE)
            .build()?;
        Ok(Self { transport: Arc::new(Internet { client }), reach })
    }

    /// A client of public addresses, all of which `transport` reaches.
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport, reach: Reach::Public }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When the address may not be reached, the network fails, or a limit is passed.
    pub async fn send(&self, request: http::Request<Vec<u8>>, limits: Limits) -> Result<Response, EgressError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        if let Err(reason) = self.reach.allows_uri(request.uri()) {
            return Err(EgressError::Refused { host, reason });
        }
        // Neither path nor query: they may hold secrets.
        let span = tracing::debug_span!("request to a provider", host, method = request.method().as_str());
        let exchange = async {
            let started = tokio::time::Instant::now();
            let exchange = self.transport.exchange(self.reach.reroute(request), limits.max_body_bytes);
            let result = match tokio::time::timeout(limits.deadline, exchange).await {
                Ok(result) => result,
                Err(_) => Err(EgressError::TimedOut { host: host.clone(), deadline: limits.deadline }),
            };
            let status = result.as_ref().ok().map(|response| response.status.as_u16());
            tracing::debug!(status, durationMs = started.elapsed().as_millis() as u64, "the exchange is over");
            result
        };
        invocation::waiting_for_provider(exchange.instrument(span)).await
    }

    /// Where a host may be reached, for protocols other than HTTP. These addresses have been checked: connect to them, and
    /// never to the name, which may lead elsewhere the next time.
    ///
    /// # Errors
    /// When the name does not resolve, or to forbidden addresses only.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
        let host = host.to_owned();
        match self.reach.resolve(&host, port).await {
            Ok(addresses) if addresses.is_empty() => Err(EgressError::Refused { host, reason: guard::REFUSED }),
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(EgressError::Unreachable { host, reason: error.to_string() }),
        }
    }
}

#[async_trait]
impl Transport for Internet {
    async fn exchange(&self, request: http::Request<Vec<u8>>, limit: usize) -> Result<Response, EgressError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let failed = |error: reqwest::Error| {
            let (error, host) = (error.without_url(), host.clone());
            let reason = chain(&error);
            if reason.contains(guard::REFUSED) {
                return EgressError::Refused { host, reason: guard::REFUSED };
            }
            EgressError::Unreachable { host, reason }
        };
        let request = reqwest::Request::try_from(request).map_err(failed)?;
        let mut response = self.client.execute(request).await.map_err(failed)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > limit {
                return Err(EgressError::TooLarge { host, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status: response.status(), headers: std::mem::take(response.headers_mut()), body: body.freeze() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::testing::Lines;

    #[tokio::test]
    async fn the_line_of_an_exchange_tells_its_host_and_its_trace_but_no_path() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/path-8f14e45f?key=query-8f14e45f", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let lines = Lines::of("larder=debug", async {
            let egress = Egress::new(Reach::PublicAndLoopback).unwrap();
            let span = tracing::info_span!(target: "larder", "invocation", xrayTraceId = "Root=1-5759e988-bd86");
            let request = http::Request::get(uri).body(Vec::new()).unwrap();
            let response = egress.send(request, Limits::API).instrument(span).await.unwrap();
            assert_eq!(response.status, StatusCode::NO_CONTENT);
        });
        let lines = lines.await;
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((&line["level"], &line["status"]), (&json!("DEBUG"), &json!(204)), "{line}");
        assert_eq!(line["spans"][0]["xrayTraceId"], "Root=1-5759e988-bd86", "{line}");
        assert_eq!((&line["spans"][1]["host"], &line["spans"][1]["method"]), (&json!("127.0.0.1"), &json!("GET")));
        assert!(!line.to_string().contains("8f14e45f"), "{line}");
        let request = serving.await.unwrap();
        assert!(request.starts_with("GET /path-8f14e45f") && !request.contains("5759e988"), "{request}");
    }

    #[tokio::test]
    async fn forbidden_addresses_are_not_given_however_they_are_written() {
        let egress = Egress::new(Reach::Public).unwrap();
        for host in ["localhost", "127.0.0.1", "0x7f.1", "2130706433", "::1", "::ffff:10.0.0.1", "169.254.169.254"] {
            let error = egress.addresses(host, 5432).await.unwrap_err();
            assert!(matches!(error, EgressError::Refused { .. }), "{host}: {error}");
        }
        assert_eq!(egress.addresses("8.8.8.8", 5432).await.unwrap(), ["8.8.8.8:5432".parse().unwrap()]);
    }

    #[tokio::test]
    async fn this_machine_is_given_in_local_mode_only() {
        let egress = Egress::new(Reach::PublicAndLoopback).unwrap();
        let addresses = egress.addresses("localhost", 5432).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 5432));
        assert!(egress.addresses("10.0.0.1", 5432).await.is_err());
    }
}
