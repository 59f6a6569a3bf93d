//! The one way out: every request to a provider goes through [`Egress`], which guards against SSRF, floods and stalls.
//!
//! **A lost answer is asked for once more.** A provider that rotates refresh tokens has replaced the token when its answer is
//! lost on the way. Many accept the old one for some seconds more, but not for the minute until the next attempt. So a request
//! whose answer may hold the only copy of credentials is repeated at once, within the same deadline, if it was sent.
//!
//! **Memory is limited where it is used.** A parsed value of JSON takes some eighty bytes, so bodies have a limit of values,
//! counted before anything is parsed. Bodies above 64 KiB wait for one of a few permits, which are held for as long as
//! anything that was made of the body. Token responses are smaller and wait for nobody.

mod encoding;
mod guard;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use guard::GuardedResolver;
pub use guard::{ORIGIN, Reach};
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

/// An HTTP client that reaches public addresses over https only.
///
/// Names are resolved, checked and used in one step, so that a second look-up cannot answer otherwise. Redirects are not
/// followed: a token request that is redirected would hand its secret to somebody else (RFC 9700 §4.11).
#[derive(Clone)]
pub struct Egress {
    transport: Arc<dyn Transport>,
    reach: Reach,
    large_answers: Arc<Semaphore>,
}

/// Carries a request and its response. It is the internet, but for tests that make their own.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends the request once and reads the whole answer, unless its body is too long. The caller sets the deadline, and drops
    /// the exchange when it has passed.
    ///
    /// # Errors
    /// If no whole answer arrives: its body is too long, the address is forbidden, or the network failed.
    async fn exchange(&self, request: http::Request<Vec<u8>>, limits: Limits) -> Result<Response, EgressError>;
}

/// The internet.
struct Internet {
    client: reqwest::Client,
    large_answers: Arc<Semaphore>,
}

/// How long a connection is kept for the next request. Servers close theirs after five seconds and more; a request on its
/// way then fails, and nobody knows whether it was carried out.
const IDLE: Duration = Duration::from_secs(4);

/// Answers above this size need one of [`LARGE_ANSWERS`] permits before the rest of them is read, and for as long as they are
/// in use. The answers of token endpoints are smaller, so nobody waits but for who sends more than they need.
const LARGE_BYTES: usize = 64 * 1024;
/// The same for values of JSON, but not where tokens are asked for: these answers have no more.
const LARGE_VALUES: usize = 2_000;
/// How many large answers are in memory at once. Parsed, each may take some ten times its size.
const LARGE_ANSWERS: usize = 8;

/// The limits of one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first byte sent to the last byte read, of both tries if there are two.
    pub deadline: Duration,
    /// Of the response's body, before and after it is decoded.
    pub max_body_bytes: usize,
    /// Of a body of JSON. In `[0,0,…` a value takes two bytes, and forty times that when it is parsed; in real answers there is
    /// one in every twenty bytes or so.
    pub max_values: usize,
    /// Whether the request is sent once more, at once, if it was sent and no answer came: for those whose answer may have
    /// replaced the credentials that were sent. Many providers tolerate that; where one does not, nothing is lost by it.
    pub repeats_lost: bool,
    /// Whether the caller holds the permit of another large answer, and so needs none for this one.
    pub has_permit: bool,
}

impl Limits {
    /// For requests of flows: seconds and kilobytes are the rule there.
    pub const TOKEN: Self = Self {
        deadline: Duration::from_secs(20),
        max_body_bytes: 1024 * 1024,
        max_values: 20_000,
        repeats_lost: false,
        has_permit: false,
    };
    /// For requests that give new tokens. No answer to one of them has a thousand values.
    pub const CREDENTIALS: Self = Self { max_values: 2_000, repeats_lost: true, ..Self::TOKEN };
    /// For other calls of an API, such as tests of connections.
    pub const API: Self = Self { max_body_bytes: 10 * 1024 * 1024, max_values: 200_000, ..Self::TOKEN };
}

/// A whole response.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers; of the encoding of the body nothing is left.
    pub headers: HeaderMap,
    /// The body, decoded.
    pub body: Bytes,
    /// Whether it answers a request that had to be sent twice, for the answer to the first was lost.
    pub is_second: bool,
    /// Goes with everything that is made of a large body: while it is there, the body counts.
    pub permit: Option<Permit>,
}

/// The right to keep a large answer in memory.
#[derive(Clone)]
pub struct Permit {
    _permit: Arc<OwnedSemaphorePermit>,
}

async fn permit(large_answers: &Arc<Semaphore>) -> Option<Permit> {
    let permit = Arc::clone(large_answers).acquire_owned().await.ok()?;
    Some(Permit { _permit: Arc::new(permit) })
}

impl Response {
    /// A response with a body as it is.
    pub fn new(status: StatusCode, headers: HeaderMap, body: impl Into<Bytes>) -> Self {
        Self { status, headers, body: body.into(), is_second: false, permit: None }
    }
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
    /// Name resolution, connecting or TLS failed: the request was not sent.
    #[error("{host} could not be reached: {reason}")]
    Unreachable {
        /// The host of the URL.
        host: String,
        /// The network's reason.
        reason: String,
    },
    /// The request was sent, at least in part, and no whole answer came. It may have been carried out.
    #[error("the answer of {host} was lost: {reason}")]
    AnswerLost {
        /// The host of the URL.
        host: String,
        /// The network's reason.
        reason: String,
    },
    /// The body is JSON with more values than allowed.
    #[error("{host} answered with more than {limit} values of JSON")]
    TooManyValues {
        /// The host of the URL.
        host: String,
        /// The limit.
        limit: usize,
    },
    /// The body is encoded in a way that nobody asked for and that cannot be decoded.
    #[error("{host} answered with a body that cannot be decoded: {reason}")]
    Undecodable {
        /// The host of the URL.
        host: String,
        /// Why.
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
    /// A client that may go as far as `reach` says and trusts the machine's certificate authorities.
    ///
    /// # Errors
    /// When the machine's root certificates cannot be read.
    pub fn new(reach: Reach) -> Result<Self, reqwest::Error> {
        Self::trusting(&Trust::Machine, reach)
    }

    /// The same with other certificate authorities.
    ///
    /// # Errors
    /// When the machine's root certificates are wanted and cannot be read.
    pub fn trusting(trust: &Trust, reach: Reach) -> Result<Self, reqwest::Error> {
        #[expect(clippy::disallowed_methods, reason = "the one place where a client is made")]
        let builder = reqwest::Client::builder();
        let builder = match trust {
            Trust::CompiledIn => builder.tls_backend_preconfigured(mozilla_roots()),
            Trust::Machine | Trust::Bundle(_) => builder,
        };
        let client = builder
            .dns_resolver(GuardedResolver::new(reach))
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(IDLE)
            .build()?;
        let large_answers = Arc::new(Semaphore::new(LARGE_ANSWERS));
        let internet = Internet { client, large_answers: Arc::clone(&large_answers) };
        Ok(Self { transport: Arc::new(internet), reach, large_answers })
    }

    /// A client of public addresses, all of which `transport` reaches.
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport, reach: Reach::Public, large_answers: Arc::new(Semaphore::new(LARGE_ANSWERS)) }
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
            let request = self.reach.reroute(request);
            let exchange = self.exchange(request, limits);
            let result = match tokio::time::timeout(limits.deadline, exchange).await {
                Ok(result) => result,
                Err(_) => Err(EgressError::TimedOut { host: host.clone(), deadline: limits.deadline }),
            };
            let status = result.as_ref().ok().map(|response| response.status.as_u16());
            tracing::debug!(status, durationMs = started.elapsed().as_millis() as u64, "the exchange is over");
            result
        };
        record::waiting_for_provider(exchange.instrument(span)).await
    }

    /// Sends a request, once more if that is wanted and the answer is lost, and decodes what comes.
    async fn exchange(&self, request: http::Request<Vec<u8>>, limits: Limits) -> Result<Response, EgressError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let again = limits.repeats_lost.then(|| request.clone());
        let mut response = match (self.transport.exchange(request, limits).await, again) {
            (Err(lost @ EgressError::AnswerLost { .. }), Some(again)) => {
                tracing::warn!(error = %lost, "the request is sent once more");
                Response { is_second: true, ..self.transport.exchange(again, limits).await? }
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
            response.permit = permit(&self.large_answers).await;
        }
        Ok(response)
    }

    /// Decodes a body; one that becomes large needs a permit like any other large answer.
    async fn decode(&self, response: &mut Response, limits: Limits) -> Result<(), &'static str> {
        if response.permit.is_none() && !limits.has_permit {
            match encoding::decode(response, limits.max_body_bytes.min(LARGE_BYTES)) {
                Err(encoding::TOO_LARGE) => response.permit = permit(&self.large_answers).await,
                result => return result,
            }
        }
        encoding::decode(response, limits.max_body_bytes)
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
    async fn exchange(&self, request: http::Request<Vec<u8>>, limits: Limits) -> Result<Response, EgressError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let limit = limits.max_body_bytes;
        let failed = |error: reqwest::Error| {
            let (was_sent, host) = (!error.is_connect() && !error.is_builder(), host.clone());
            let reason = chain(&error.without_url());
            match reason.contains(guard::REFUSED) {
                true => EgressError::Refused { host, reason: guard::REFUSED },
                false if was_sent => EgressError::AnswerLost { host, reason },
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
                permit = self::permit(&self.large_answers).await;
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
