//! Outgoing requests: every request to a provider goes through [`Egress`], which protects against SSRF, floods and
//! stalls.
//!
//! **A request is repeated if its response is lost.** A provider that rotates refresh tokens has already replaced the
//! token when its response gets lost. Many providers accept the old one for a few more seconds, but not until the next
//! attempt a minute later. So a request whose response may hold the only copy of credentials is repeated at once,
//! within the same deadline, provided that it was sent.
//!
//! **Memory is limited.** A parsed JSON value takes about eighty bytes, so bodies have a maximum number of values,
//! which are counted before parsing. Bodies above 64 KiB need one of a few permits, which are held for as long as
//! anything made from the body is in use. Token responses are smaller and never wait.

mod encoding;
mod guard;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use guard::GuardedResolver;
pub use guard::{AddressPolicy, ORIGIN};
use http::{HeaderMap, StatusCode};
use larder::error::chain;
use larder::record;
use larder::trust::Trust;
use larder::values::has_too_many_values;
use reqwest::redirect::Policy;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

/// An HTTP client that only reaches public addresses over HTTPS.
///
/// Names are resolved, checked and used in one step, so a second lookup cannot return another address. Redirects are
/// not followed: a redirected token request would hand its secret to a third party (RFC 9700 §4.11).
#[derive(Clone)]
pub struct Egress {
    transport: Arc<dyn Transport>,
    policy: AddressPolicy,
    large_responses: Arc<Semaphore>,
}

/// Sends a request and receives its response: over the internet, except in tests.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends the request once and reads the whole response, unless its body is too long. The caller enforces the
    /// deadline by dropping the future.
    ///
    /// # Errors
    /// If no complete response arrives: the body is too long, the address is forbidden, or the network failed.
    async fn exchange(&self, request: http::Request<Vec<u8>>, limits: Limits) -> Result<Response, EgressError>;
}

/// The transport over the internet.
struct Internet {
    client: reqwest::Client,
    large_responses: Arc<Semaphore>,
}

/// How long an idle connection is kept for the next request. Servers close idle connections after five seconds or more;
/// a request in flight at that moment fails, and we can't know whether it was processed.
const MAX_IDLE: Duration = Duration::from_secs(4);

/// Responses above this size need one of [`LARGE_RESPONSES`] permits before the rest is read, and for as long as they
/// are in use. Token responses are smaller, so they never wait.
const LARGE_BYTES: usize = 64 * 1024;
/// The same limit in JSON values. It does not apply to token requests, whose limit is no higher.
const LARGE_VALUES: usize = 2_000;
/// The number of large responses in memory at once. Parsed, each may take about ten times its size.
const LARGE_RESPONSES: usize = 8;

/// The limits of a request and its response.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The time from the first byte sent to the last byte read, over both attempts if there are two.
    pub deadline: Duration,
    /// The maximum size of the response's body, both before and after decoding.
    pub max_body_bytes: usize,
    /// The maximum number of values in a JSON body. In `[0,0,…` a value takes two bytes, and forty times as much once
    /// parsed; real responses have about one value per twenty bytes.
    pub max_values: usize,
    /// Whether to repeat the request at once if it was sent but the response was lost. For requests that may have
    /// replaced the credentials. Many providers tolerate the repetition; with the others, nothing more is lost by it.
    pub repeats_lost: bool,
    /// Whether the caller already holds a permit for another large response, and so needs none for this one.
    pub has_permit: bool,
}

impl Limits {
    /// The limits of requests during a flow, which usually take seconds and kilobytes.
    pub const TOKEN: Self = Self {
        deadline: Duration::from_secs(20),
        max_body_bytes: 1024 * 1024,
        max_values: 20_000,
        repeats_lost: false,
        has_permit: false,
    };
    /// The limits of requests for new tokens. Their responses have fewer than a thousand values.
    pub const CREDENTIALS: Self = Self { max_values: 2_000, repeats_lost: true, ..Self::TOKEN };
    /// The limits of other API calls, like testing a connection.
    pub const API: Self = Self { max_body_bytes: 10 * 1024 * 1024, max_values: 200_000, ..Self::TOKEN };
}

/// A complete response.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those of the body's encoding.
    pub headers: HeaderMap,
    /// The body, decoded.
    pub body: Bytes,
    /// Whether the request was sent twice because the first response was lost.
    pub is_second: bool,
    /// The permit of a large body. Keep it with everything made from the body, for as long as that is in use.
    pub permit: Option<Permit>,
}

/// The right to keep a large response in memory.
#[derive(Clone)]
pub struct Permit {
    _permit: Arc<OwnedSemaphorePermit>,
}

async fn permit(large_responses: &Arc<Semaphore>) -> Option<Permit> {
    let permit = Arc::clone(large_responses).acquire_owned().await.ok()?;
    Some(Permit { _permit: Arc::new(permit) })
}

impl Response {
    /// Creates a response with a body that needs no decoding.
    pub fn new(status: StatusCode, headers: HeaderMap, body: impl Into<Bytes>) -> Self {
        Self { status, headers, body: body.into(), is_second: false, permit: None }
    }
}

/// The reason why there is no response. Messages contain the host, but never the request's path, query or body.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The address is off limits.
    #[error("requests to {host} are not allowed: {reason}")]
    Refused {
        /// The host of the URL.
        host: String,
        /// The reason.
        reason: &'static str,
    },
    /// Name resolution, connecting or TLS failed, so the request was not sent.
    #[error("{host} could not be reached: {reason}")]
    Unreachable {
        /// The host of the URL.
        host: String,
        /// The network error.
        reason: String,
    },
    /// The request was at least partially sent, but no complete response arrived. It may have been processed.
    #[error("the response from {host} was lost: {reason}")]
    ResponseLost {
        /// The host of the URL.
        host: String,
        /// The network error.
        reason: String,
    },
    /// The JSON body has too many values.
    #[error("{host} responded with more than {limit} JSON values")]
    TooManyValues {
        /// The host of the URL.
        host: String,
        /// The limit.
        limit: usize,
    },
    /// The body has an encoding that we did not request and cannot decode.
    #[error("{host} responded with a body that cannot be decoded: {reason}")]
    Undecodable {
        /// The host of the URL.
        host: String,
        /// The reason.
        reason: &'static str,
    },
    /// The deadline passed.
    #[error("{host} did not answer within {} seconds", .deadline.as_secs())]
    TimedOut {
        /// The host of the URL.
        host: String,
        /// The deadline.
        deadline: Duration,
    },
    /// The body is too large.
    #[error("{host} responded with more than {limit} bytes")]
    TooLarge {
        /// The host of the URL.
        host: String,
        /// The limit.
        limit: usize,
    },
}

impl Egress {
    /// Creates a client that sends requests over the internet and trusts the machine's certificate authorities.
    ///
    /// # Errors
    /// If this machine's root certificates cannot be read.
    pub fn new(policy: AddressPolicy) -> Result<Self, reqwest::Error> {
        Self::trusting(&Trust::Machine, policy)
    }

    /// Creates a client that trusts these certificate authorities.
    ///
    /// # Errors
    /// If this machine's root certificates are needed and cannot be read.
    pub fn trusting(trust: &Trust, policy: AddressPolicy) -> Result<Self, reqwest::Error> {
        #[expect(clippy::disallowed_methods, reason = "the only place that creates a client")]
        let builder = reqwest::Client::builder();
        let builder = match trust {
            Trust::CompiledIn => builder.tls_backend_preconfigured(mozilla_roots()),
            Trust::Machine | Trust::Bundle(_) => builder,
        };
        let client = builder
            .dns_resolver(GuardedResolver::new(policy))
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(MAX_IDLE)
            .build()?;
        let large_responses = Arc::new(Semaphore::new(LARGE_RESPONSES));
        let internet = Internet { client, large_responses: Arc::clone(&large_responses) };
        Ok(Self { transport: Arc::new(internet), policy, large_responses })
    }

    /// Creates a client that sends requests to public addresses over `transport`.
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport, policy: AddressPolicy::Public, large_responses: Arc::new(Semaphore::new(LARGE_RESPONSES)) }
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    /// If the address is forbidden, the network fails, or a limit is exceeded.
    pub async fn send(&self, request: http::Request<Vec<u8>>, limits: Limits) -> Result<Response, EgressError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        if let Err(reason) = self.policy.allows_uri(request.uri()) {
            return Err(EgressError::Refused { host, reason });
        }
        // Do not log the path and the query: they may contain secrets.
        let span = tracing::debug_span!("request to a provider", host, method = request.method().as_str());
        let exchange = async {
            let started = tokio::time::Instant::now();
            let request = self.policy.reroute(request);
            let exchange = self.exchange(request, limits);
            let result = match tokio::time::timeout(limits.deadline, exchange).await {
                Ok(result) => result,
                Err(_) => Err(EgressError::TimedOut { host: host.clone(), deadline: limits.deadline }),
            };
            let status = result.as_ref().ok().map(|response| response.status.as_u16());
            tracing::debug!(status, durationMs = started.elapsed().as_millis() as u64, "the exchange finished");
            result
        };
        record::waiting_for_provider(exchange.instrument(span)).await
    }

    /// Sends a request, repeats it if the response is lost and `limits` says so, and decodes the response.
    async fn exchange(&self, request: http::Request<Vec<u8>>, limits: Limits) -> Result<Response, EgressError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let repetition = limits.repeats_lost.then(|| request.clone());
        let mut response = match (self.transport.exchange(request, limits).await, repetition) {
            (Err(lost @ EgressError::ResponseLost { .. }), Some(repetition)) => {
                tracing::warn!(error = %lost, "repeating the request");
                Response { is_second: true, ..self.transport.exchange(repetition, limits).await? }
            }
            (result, _) => result?,
        };
        self.decode(&mut response, limits).await.map_err(|reason| match reason {
            encoding::TOO_LARGE => EgressError::TooLarge { host: host.clone(), limit: limits.max_body_bytes },
            reason => EgressError::Undecodable { host: host.clone(), reason },
        })?;
        if has_too_many_values(&response.body, limits.max_values) {
            return Err(EgressError::TooManyValues { host, limit: limits.max_values });
        }
        let may_be_large = response.permit.is_none() && !limits.has_permit && !limits.repeats_lost;
        if may_be_large && has_too_many_values(&response.body, LARGE_VALUES) {
            response.permit = permit(&self.large_responses).await;
        }
        Ok(response)
    }

    /// Decodes a body. If that makes it large, it needs a permit like any other large response.
    async fn decode(&self, response: &mut Response, limits: Limits) -> Result<(), &'static str> {
        if response.permit.is_none() && !limits.has_permit {
            match encoding::decode(response, limits.max_body_bytes.min(LARGE_BYTES)) {
                Err(encoding::TOO_LARGE) => response.permit = permit(&self.large_responses).await,
                result => return result,
            }
        }
        encoding::decode(response, limits.max_body_bytes)
    }

    /// Returns a host's allowed addresses, for protocols other than HTTP. Connect to these checked addresses, never to
    /// the name, which may resolve to another address the next time.
    ///
    /// # Errors
    /// If the name does not resolve, or only to forbidden addresses.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
        let host = host.to_owned();
        match self.policy.resolve(&host, port).await {
            Ok(addresses) if addresses.is_empty() => Err(EgressError::Refused { host, reason: guard::REFUSED }),
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(EgressError::Unreachable { host, reason: error.to_string() }),
        }
    }
}

#[async_trait]
impl Transport for Internet {
    async fn exchange(&self, request: http::Request<Vec<u8>>, limits: Limits) -> Result<Response, EgressError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let limit = limits.max_body_bytes;
        let failed = |error: reqwest::Error| {
            let (was_sent, host) = (!error.is_connect() && !error.is_builder(), host.clone());
            let reason = chain(&error.without_url());
            match reason.contains(guard::REFUSED) {
                true => EgressError::Refused { host, reason: guard::REFUSED },
                false if was_sent => EgressError::ResponseLost { host, reason },
                false => EgressError::Unreachable { host, reason },
            }
        };
        let request = reqwest::Request::try_from(request).map_err(failed)?;
        let mut response = self.client.execute(request).await.map_err(failed)?;
        let (mut body, mut permit) = (BytesMut::new(), None);
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > limit {
                return Err(EgressError::TooLarge { host, limit });
            }
            if permit.is_none() && !limits.has_permit && body.len() + chunk.len() > LARGE_BYTES {
                permit = self::permit(&self.large_responses).await;
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Response { permit, ..Response::new(response.status(), headers, body.freeze()) })
    }
}

/// TLS with the authorities that Mozilla trusts, which need no parsing.
fn mozilla_roots() -> ClientConfig {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("AWS-LC has the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use larder::testing::Lines;
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn log_lines_have_the_host_and_the_trace_but_no_path() {
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
            let egress = Egress::new(AddressPolicy::PublicAndLoopback).unwrap();
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
    async fn addresses_never_returns_a_forbidden_address() {
        let egress = Egress::new(AddressPolicy::Public).unwrap();
        for host in ["localhost", "127.0.0.1", "0x7f.1", "2130706433", "::1", "::ffff:10.0.0.1", "169.254.169.254"] {
            let error = egress.addresses(host, 5432).await.unwrap_err();
            assert!(matches!(error, EgressError::Refused { .. }), "{host}: {error}");
        }
        assert_eq!(egress.addresses("8.8.8.8", 5432).await.unwrap(), ["8.8.8.8:5432".parse().unwrap()]);
    }

    #[tokio::test]
    async fn addresses_returns_this_machine_only_in_local_mode() {
        let egress = Egress::new(AddressPolicy::PublicAndLoopback).unwrap();
        let addresses = egress.addresses("localhost", 5432).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 5432));
        assert!(egress.addresses("10.0.0.1", 5432).await.is_err());
    }
}
