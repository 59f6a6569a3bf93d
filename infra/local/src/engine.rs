//! DynamoDB as an embedded engine: a SQLite file behind the real API, on a loopback port.
//!
//! Any program of the machine, and any page in its browser, can reach that port. So a request must be signed with a key
//! that is made at every start and stands nowhere but in `lambda.env`, and must not come from a page.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use dynoxide::Database;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use hyper::body::Incoming;
use larder::http::{Response, raw_json};
use larder::random::{self, Rng};
use larder::secret::Secret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::net::TcpListener;
use url::Url;

use crate::{listener, signature};

/// The largest request that DynamoDB takes.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// A running engine. It ends with the process.
#[derive(Debug, Clone)]
pub struct Engine {
    address: SocketAddr,
    secret: Secret,
}

impl Engine {
    /// The id of the key that requests are signed with.
    pub const ACCESS_KEY_ID: &str = "larder";

    /// Opens the database file, or makes one that only its owner can read, and serves it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the file or the port cannot be opened.
    pub async fn start(file: &Path, rng: &dyn Rng) -> io::Result<Self> {
        // SQLite gives the files beside it the mode of this one.
        let private = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file)?;
        private.set_permissions(Permissions::from_mode(0o600))?;
        // Before SQLite opens the file: closing any descriptor of it would end the locks of the process.
        drop(private);
        let database = Database::new(&file.to_string_lossy()).map_err(io::Error::other)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let engine = Self { address: listener.local_addr()?, secret: Secret::new(random::token::<32>(rng)) };
        let (database, secret) = (Arc::new(database), Arc::new(engine.secret.clone()));
        tokio::spawn(listener::serve(listener, move |request| {
            let (database, secret) = (Arc::clone(&database), Arc::clone(&secret));
            async move { answer(&database, &secret, request).await }
        }));
        Ok(engine)
    }

    /// What `AWS_ENDPOINT_URL_DYNAMODB` is set to for other processes on this machine.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The value of `AWS_SECRET_ACCESS_KEY` for them.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// An SDK configuration that leads to the engine. Its credentials open nothing else.
    pub fn sdk_config(&self) -> SdkConfig {
        let credentials = Credentials::new(Self::ACCESS_KEY_ID, self.secret.expose(), None, None, "larder");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("local"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(self.endpoint())
            .build()
    }
}

async fn answer(database: &Database, secret: &Secret, request: hyper::Request<Incoming>) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST || is_of_a_page(&parts) || !is_for_this_machine(&parts) {
        return refusal("AccessDeniedException", "only programs of this machine that have its key are answered");
    }
    let body = match listener::read(body, MAX_BODY).await {
        Ok(body) => body,
        Err(error) => return refusal("SerializationException", &error.message),
    };
    if !signature::verify(&parts, &body, Engine::ACCESS_KEY_ID, secret) {
        return refusal("InvalidSignatureException", "sign with the key in lambda.env of the data folder");
    }
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let (status, body) = match (target.strip_prefix("DynamoDB_20120810."), std::str::from_utf8(&body)) {
        (Some(operation), Ok(body)) => match execute(database, operation, body) {
            Ok(body) => (StatusCode::OK, body),
            Err((status, body)) => (StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), body),
        },
        _ => return refusal("UnknownOperationException", "this is DynamoDB alone"),
    };
    let mut response = raw_json(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    response
}

/// Browsers send `Origin` with whatever a page of another origin can make them POST, and no program sends it.
fn is_of_a_page(parts: &Parts) -> bool {
    parts.headers.contains_key(header::ORIGIN) || parts.headers.contains_key("sec-fetch-site")
}

/// A page that has this address under a name of its own is of the same origin as its requests (DNS rebinding), and names
/// itself in `Host`.
fn is_for_this_machine(parts: &Parts) -> bool {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let url = host.and_then(|host| Url::parse(&format!("http://{host}")).ok());
    url.is_some_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}

fn refusal(kind: &str, message: &str) -> Response {
    raw_json(StatusCode::BAD_REQUEST, json!({ "__type": kind, "message": message }).to_string())
}

/// Carries out an operation of DynamoDB: its answer, or the status and the body of its error.
///
/// # Errors
/// Those of DynamoDB, and one for operations that nothing here needs.
pub fn execute(database: &Database, operation: &str, body: &str) -> Result<String, (u16, String)> {
    fn with<T: DeserializeOwned, R: Serialize>(
        body: &str,
        act: impl FnOnce(T) -> dynoxide::Result<R>,
    ) -> Result<String, (u16, String)> {
        let malformed = |error: serde_json::Error| {
            (400, json!({ "__type": "SerializationException", "message": error.to_string() }).to_string())
        };
        let request = serde_json::from_str(body).map_err(malformed)?;
        let response = act(request).map_err(|error| (error.status_code(), error.to_json()))?;
        serde_json::to_string(&response).map_err(malformed)
    }
    match operation {
        "GetItem" => with(body, |request| database.get_item(request)),
        "PutItem" => with(body, |request| database.put_item(request)),
        "UpdateItem" => with(body, |request| database.update_item(request)),
        "DeleteItem" => with(body, |request| database.delete_item(request)),
        "Query" => with(body, |request| database.query(request)),
        "Scan" => with(body, |request| database.scan(request)),
        "BatchGetItem" => with(body, |request| database.batch_get_item(request)),
        "BatchWriteItem" => with(body, |request| database.batch_write_item(request)),
        "TransactGetItems" => with(body, |request| database.transact_get_items(request)),
        "TransactWriteItems" => with(body, |request| database.transact_write_items(request)),
        "CreateTable" => with(body, |request| database.create_table(request)),
        "DeleteTable" => with(body, |request| database.delete_table(request)),
        "DescribeTable" => with(body, |request| database.describe_table(request)),
        "UpdateTable" => with(body, |request| database.update_table(request)),
        "ListTables" => with(body, |request| database.list_tables(request)),
        "DescribeTimeToLive" => with(body, |request| database.describe_time_to_live(request)),
        "UpdateTimeToLive" => with(body, |request| database.update_time_to_live(request)),
        _ => Err((400, json!({ "__type": "UnknownOperationException" }).to_string())),
    }
}
