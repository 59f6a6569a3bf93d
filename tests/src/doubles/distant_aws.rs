//! A fake of AWS with network delays: DynamoDB (the embedded database), and the Secrets Manager and KMS calls that functions
//! make on a read, with or without TLS. Each service has its own port, like the hosts in AWS.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use larder::random::{Rng as _, SystemRng};
use larder_local::embedded_dynamodb::EmbeddedDynamoDb;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::loopback::listen;

/// AWS services on local ports. They stop with the test.
#[derive(Clone)]
pub struct DistantAws {
    state: Arc<DistantAwsState>,
    /// The services' names as in environment variables, and their addresses.
    addresses: Vec<(&'static str, SocketAddr)>,
    /// A file of root certificates: the machine's and ours.
    roots: Arc<NamedTempFile>,
}

struct DistantAwsState {
    dynamodb: EmbeddedDynamoDb,
    tls: TlsAcceptor,
    /// The database's answers to reads since the last write. With this cache, its own time is not measured.
    read: Mutex<HashMap<(String, Bytes), Bytes>>,
    secrets: Mutex<HashMap<String, String>>,
    delay_micros: AtomicU64,
    /// The names of the recorded operations, in order.
    calls: Mutex<Vec<String>>,
    /// The number of running calls, and its maximum.
    under_way: Mutex<(usize, usize)>,
}

impl DistantAws {
    const SERVICES: [&str; 7] = ["DYNAMODB", "SECRETS_MANAGER", "KMS", "LAMBDA", "SQS", "EVENTBRIDGE", "SCHEDULER"];

    /// Starts the services in front of a database.
    pub async fn start(dynamodb: &EmbeddedDynamoDb) -> Self {
        let (tls, roots) = certificate();
        let state = Arc::new(DistantAwsState {
            dynamodb: dynamodb.clone(),
            tls,
            read: Mutex::default(),
            secrets: Mutex::default(),
            delay_micros: AtomicU64::new(0),
            calls: Mutex::default(),
            under_way: Mutex::default(),
        });
        let mut addresses = Vec::new();
        for service in Self::SERVICES {
            addresses.push((service, serve(Arc::clone(&state)).await));
        }
        Self { state, addresses, roots: Arc::new(roots) }
    }

    /// The environment variables that make a function use these services, over `http` or `https`.
    pub fn variables(&self, scheme: &str) -> Vec<(String, String)> {
        let named = [
            ("AWS_ACCESS_KEY_ID", "id".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("KMS_KEY_ID", "alias/larder".to_owned()),
            ("SSL_CERT_FILE", self.roots.path().display().to_string()),
        ];
        let endpoints = self.addresses.iter();
        let endpoints = endpoints.map(|(name, at)| (format!("AWS_ENDPOINT_URL_{name}"), format!("{scheme}://{at}")));
        named.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(endpoints).collect()
    }

    /// An endpoint for clients in this process. Every address serves all services.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addresses[0].1)
    }

    /// Sets the delay of every new connection and of every call.
    pub fn set_delay(&self, delay: Duration) {
        let micros = delay.as_micros().try_into().expect("a short delay");
        self.state.delay_micros.store(micros, Ordering::Relaxed);
    }

    /// Stores a secret.
    pub fn put_secret(&self, name: &str, value: &Value) {
        self.state.secrets.lock().expect("the lock is not poisoned").insert(name.to_owned(), value.to_string());
    }

    /// Takes the names of the operations since the last call, for example `DynamoDB_20120810.GetItem`.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state.calls.lock().expect("the lock is not poisoned"))
    }

    /// Takes the largest number of concurrent calls since the last call.
    pub fn take_max_concurrency(&self) -> usize {
        std::mem::take(&mut self.state.under_way.lock().expect("the lock is not poisoned").1)
    }
}

async fn serve(state: Arc<DistantAwsState>) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(greet(Arc::clone(&state), stream));
        }
    });
    address
}

/// Serves a connection. Its first byte shows whether it is TLS.
async fn greet(state: Arc<DistantAwsState>, stream: TcpStream) {
    const HANDSHAKE: u8 = 22;
    stream.set_nodelay(true).expect("a TCP socket");
    state.wait().await;
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == HANDSHAKE => match state.tls.accept(stream).await {
            Ok(stream) => talk(state, stream).await,
            Err(error) => panic!("the TLS handshake failed: {error}"),
        },
        Ok(_) => talk(state, stream).await,
        Err(_) => {}
    }
}

async fn talk(state: Arc<DistantAwsState>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|request| async { Ok::<_, Infallible>(state.answer(request).await) });
    // A function may exit while its connections are open.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// Generates a certificate for this machine, and a file of root certificates that includes it.
fn certificate() -> (TlsAcceptor, NamedTempFile) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("TLS 1.2 and 1.3").with_no_client_auth();
    let config = config.with_single_cert(vec![cert.der().clone()], key).expect("a certificate and its key");
    let mut roots = NamedTempFile::new().expect("a file");
    // The locations on Debian and Amazon Linux.
    for machine in ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"] {
        roots.write_all(&std::fs::read(machine).unwrap_or_default()).expect("a file");
    }
    roots.write_all(cert.pem().as_bytes()).expect("a file");
    (TlsAcceptor::from(Arc::new(config)), roots)
}

impl DistantAwsState {
    async fn wait(&self) {
        let delay = self.delay_micros.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_micros(delay)).await;
        }
    }

    async fn answer(&self, request: hyper::Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let Some(target) = target else { return answer(StatusCode::NOT_FOUND, &json!({})) };
        self.calls.lock().expect("the lock is not poisoned").push(target.to_owned());
        self.count(1);
        self.wait().await;
        self.count(-1);
        if target.starts_with("DynamoDB_") {
            return self.database(target.to_owned(), body);
        }
        let body: Value = serde_json::from_slice(&body).expect("the SDK sends JSON");
        let answered = match target.rsplit('.').next().unwrap_or_default() {
            "GetSecretValue" => self.secret(text(&body, "SecretId")),
            "PutSecretValue" => self.replace_secret(text(&body, "SecretId"), text(&body, "SecretString")),
            "CreateSecret" => Ok(self.write_secret(text(&body, "Name"), text(&body, "SecretString"))),
            "GenerateDataKey" => {
                let mut key = [0; 32];
                SystemRng.fill(&mut key);
                let wrapped = STANDARD.encode(key.map(|byte| byte ^ 0xff));
                Ok(json!({"Plaintext": STANDARD.encode(key), "CiphertextBlob": wrapped, "KeyId": body["KeyId"]}))
            }
            "Decrypt" => {
                let wrapped = STANDARD.decode(text(&body, "CiphertextBlob")).expect("the SDK sends base64");
                let key: Vec<_> = wrapped.into_iter().map(|byte| byte ^ 0xff).collect();
                Ok(json!({"Plaintext": STANDARD.encode(key), "KeyId": body["KeyId"]}))
            }
            _ => Err("UnknownOperationException"),
        };
        match answered {
            Ok(body) => answer(StatusCode::OK, &body),
            Err(error) => answer(StatusCode::BAD_REQUEST, &json!({"__type": error})),
        }
    }

    fn count(&self, change: isize) {
        let (now, most) = &mut *self.under_way.lock().expect("the lock is not poisoned");
        *now = now.saturating_add_signed(change);
        *most = (*most).max(*now);
    }

    fn database(&self, target: String, body: Bytes) -> Response<Full<Bytes>> {
        let is_read = target.ends_with(".GetItem") || target.ends_with(".Query");
        let call = (target, body.clone());
        if let Some(answer) = self.read.lock().expect("the lock is not poisoned").get(&call) {
            return dynamodb_answer(StatusCode::OK, answer.clone());
        }
        let (status, answer) = self.dynamodb.answer(&call.0, &body);
        let (status, answer) = (StatusCode::from_u16(status).expect("a status"), Bytes::from(answer));
        let mut read = self.read.lock().expect("the lock is not poisoned");
        if is_read && status.is_success() {
            read.insert(call, answer.clone());
        } else {
            read.clear();
        }
        dynamodb_answer(status, answer)
    }

    fn secret(&self, name: &str) -> Result<Value, &'static str> {
        let secrets = self.secrets.lock().expect("the lock is not poisoned");
        let value = secrets.get(name).ok_or("ResourceNotFoundException")?;
        Ok(json!({"Name": name, "SecretString": value, "VersionId": "1"}))
    }

    fn replace_secret(&self, name: &str, value: &str) -> Result<Value, &'static str> {
        self.secret(name)?;
        Ok(self.write_secret(name, value))
    }

    fn write_secret(&self, name: &str, value: &str) -> Value {
        self.secrets.lock().expect("the lock is not poisoned").insert(name.to_owned(), value.to_owned());
        json!({"Name": name, "VersionId": "1"})
    }
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {body}"))
}

fn dynamodb_answer(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
    response.body(Full::from(body)).expect("valid headers")
}

fn answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    response.body(Full::from(body.to_string())).expect("valid headers")
}
