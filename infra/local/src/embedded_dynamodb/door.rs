//! The loopback port through which other processes reach the embedded database.
//!
//! Any program on this machine, and any page in its browser, can reach the port. So a request must be signed with a key
//! that is generated at every start and written only to `lambda.env`, and it must not come from a page.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use hyper::body::Incoming;
use larder::http::{Response, raw_json};
use larder::random::{self, Rng};
use larder::secret::Secret;
use serde_json::json;
use tokio::net::TcpListener;

use super::{CONTENT_TYPE, EmbeddedDynamoDb, signature};
use crate::listener;

/// The largest request that DynamoDB accepts.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// An open port, served until the process ends.
#[derive(Debug, Clone)]
pub struct Door {
    address: SocketAddr,
    secret: Secret,
}

impl Door {
    /// The access key id that requests are signed with.
    pub const ACCESS_KEY_ID: &str = "larder";

    /// Serves a database on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub async fn open(database: EmbeddedDynamoDb, rng: &dyn Rng) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let door = Self { address: listener.local_addr()?, secret: Secret::new(random::token::<32>(rng)) };
        let secret = Arc::new(door.secret.clone());
        tokio::spawn(listener::serve(listener, move |request| {
            let (database, secret) = (database.clone(), Arc::clone(&secret));
            async move { answer(&database, &secret, request).await }
        }));
        Ok(door)
    }

    /// The value of `AWS_ENDPOINT_URL_DYNAMODB` for other processes on this machine.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The value of `AWS_SECRET_ACCESS_KEY` for them.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

async fn answer(database: &EmbeddedDynamoDb, secret: &Secret, request: hyper::Request<Incoming>) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST || is_from_a_page(&parts) || !listener::is_for_this_machine(&parts.headers) {
        return refusal("AccessDeniedException", "only programs on this machine that sign their requests are served");
    }
    let body = match listener::read(body, MAX_BODY).await {
        Ok(body) => body,
        Err(error) => return refusal("SerializationException", &error.message),
    };
    if !signature::verify(&parts, &body, Door::ACCESS_KEY_ID, secret) {
        return refusal("InvalidSignatureException", "sign with the key in lambda.env of the data folder");
    }
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let (status, body) = database.answer(target, &body);
    respond(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), body)
}

/// Whether a page sent the request. Browsers add `Origin` to every POST to another origin, and SDKs never send it.
fn is_from_a_page(parts: &Parts) -> bool {
    parts.headers.contains_key(header::ORIGIN) || parts.headers.contains_key("sec-fetch-site")
}

/// An error as plain JSON, which a browser displays.
fn refusal(kind: &str, message: &str) -> Response {
    raw_json(StatusCode::BAD_REQUEST, json!({ "__type": kind, "message": message }).to_string())
}

fn respond(status: StatusCode, body: String) -> Response {
    let mut response = raw_json(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}
