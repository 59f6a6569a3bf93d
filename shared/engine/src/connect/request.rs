//! Connection requests: the connection that a link leads to, and how its flow reports back.
//!
//! # Decisions
//!
//! A link has a secret of 256 bits, and the id of its request is the digest of that secret. So a link leads to its request in
//! one call, and neither the id nor the table reveals a link.
//!
//! A connection that must be confirmed comes with a code, which only the browser that approved it takes to the application. The
//! code verifier alone would prove that the application knows who asked for the link, but not that the same person came back:
//! whoever asked could open the application's page after somebody else has approved.

use std::collections::BTreeMap;

use larder::connection::{Confirmation, Connection};
use larder::digest::sha256_base64url;
use larder::dynamodb::{Claim, Claiming, ConnectionRequest, ConnectionRequests, LinkError, RequestOutcome, Write};
use larder::error::{Error, log_cause};
use larder::random::{self, Rng};
use larder::seal::{SealContext, Sealer};
use larder::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::ConnectionWriter;
use super::flow::seal_json;

/// The connection that a request asks for. It is sealed in the request.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestedConnection {
    /// The integrations that the end user can choose from.
    pub integration_keys: Vec<String>,
    /// The connection to reconnect.
    pub connection_id: Option<String>,
    /// The auth option.
    pub option_key: Option<String>,
    /// The connection's name.
    pub name: Option<String>,
    /// The connection's key.
    pub key: Option<String>,
    /// The connection's tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// The connection's JSON of the caller's own.
    pub meta: Option<Map<String, Value>>,
    /// Values that the end user would enter.
    pub input: Map<String, Value>,
    /// Whether these are what the end user entered, so that an empty input means what it says.
    pub is_filled_in: bool,
    /// Values that the end user cannot change.
    pub locked_input: Map<String, Value>,
    /// The destination of the result.
    pub redirect_uri: Option<String>,
    /// The application's own state, for the provider.
    pub custom_state: Option<String>,
    /// Whether to make another connection if the end user has one through the integration.
    pub allow_multiple_connections: bool,
    /// The challenge (RFC 7636, S256) whose verifier confirms the connection.
    pub code_challenge: Option<String>,
}

impl RequestedConnection {
    /// Seals it for the request with that id.
    ///
    /// # Errors
    /// 413 when the values are too large; 503 when the key service fails.
    pub async fn seal(&self, sealer: &Sealer, workspace: &str, id: &str) -> Result<Vec<u8>, Error> {
        seal_json(sealer, seal_context(workspace, id), self).await
    }

    /// Opens the connection that a request asks for.
    ///
    /// # Errors
    /// 503 when the key service fails; 500 when the request was tampered with.
    pub async fn open(sealer: &Sealer, request: &ConnectionRequest) -> Result<Self, Error> {
        let bytes = sealer.open(seal_context(&request.workspace, &request.id), &request.sealed).await?;
        serde_json::from_slice(&bytes).map_err(|_| Error::internal("the contents of a connection request are damaged"))
    }
}

fn seal_context<'a>(workspace: &'a str, id: &'a str) -> SealContext<'a> {
    SealContext { workspace, kind: "request", id, version: 0 }
}

/// Returns the id of the request to which a link's secret leads.
pub fn request_id(secret: &str) -> String {
    sha256_base64url(secret)
}

/// Returns the id of the connection that a request makes, unless the end user has one that it reconnects. A flow that was
/// interrupted before it recorded the connection makes no second one when it is repeated.
pub fn new_connection_id(request_id: &str) -> String {
    // As long as a random one.
    const LENGTH: usize = 22;
    let mut id = sha256_base64url(format!("connection of {request_id}"));
    id.truncate(LENGTH);
    id
}

/// The connection request to which a flow belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRequest {
    /// The request's id.
    pub id: String,
    /// The code that the end user's browser takes to the application, if the connection must be confirmed.
    pub code: Option<Secret>,
}

impl FlowRequest {
    /// The request of a new flow.
    pub fn new(request: &ConnectionRequest, wanted: &RequestedConnection, rng: &dyn Rng) -> Self {
        let code = wanted.code_challenge.as_ref().map(|_| Secret::new(random::token::<16>(rng)));
        Self { id: request.id.clone(), code }
    }

    /// Carries out the last step of the flow of a request, and records how it ended. Meanwhile nothing else can end the request:
    /// it is neither canceled nor finished by another flow.
    ///
    /// `connect` gets the confirmation that the connection needs. Its credentials wait until the request expires. An error
    /// that `may_correct` accepts is not recorded: the end user sees it on the form, and enters something else.
    ///
    /// # Errors
    /// 409 if the request has been canceled or has led to a connection, or something else is ending it; those of `connect`.
    pub async fn finish<F: Future<Output = Result<Connection, Error>>>(
        &self,
        requests: &ConnectionRequests,
        writer: &ConnectionWriter,
        connect: impl FnOnce(Option<Confirmation>) -> F,
        may_correct: impl Fn(&Error) -> bool,
    ) -> Result<Connection, Error> {
        let (claim, now) = (random::token::<16>(&*writer.rng), writer.clock.now());
        let request = match requests.claim(&self.id, &claim, Claiming::Flow, now).await? {
            Claim::Taken(request) => request,
            Claim::Refused(refused) => {
                refused.ok_or(LinkError::Unknown)?.check_open(now)?;
                return Err(LinkError::Busy.into());
            }
        };
        let confirmation =
            self.code.as_ref().map(|_| Confirmation { request_id: self.id.clone(), expires_at: request.expires_at });
        // Boxed, as futures of whole flows are large.
        let result = Box::pin(connect(confirmation)).await;
        if let Err(error) = &result
            && may_correct(error)
        {
            if let Err(error) = requests.release(&self.id, &claim).await {
                log_cause("the table; a connection request is held for a minute", &error);
            }
            return result;
        }
        let outcome = match (&result, &self.code) {
            (Ok(connection), None) => RequestOutcome::Connected { connection_id: connection.key.id.clone() },
            (Ok(connection), Some(_)) => RequestOutcome::Unconfirmed { connection_id: connection.key.id.clone() },
            (Err(error), _) => RequestOutcome::Failed(problem(error)),
        };
        let digest = self.code.as_ref().map(|code| sha256_base64url(code.expose()));
        let digest = digest.as_deref().filter(|_| result.is_ok());
        match requests.finish(&self.id, &claim, &outcome, digest).await {
            Ok(Write::Conflict) if result.is_ok() => Err(LinkError::Busy.into()),
            Ok(_) => result,
            // It must not hide the result from the end user.
            Err(error) => {
                log_cause("the table; the status of a connection request was not recorded", &error);
                result
            }
        }
    }

    /// Records an attempt that failed before its last step. A failure of the table is only logged.
    pub async fn fail(&self, requests: &ConnectionRequests, error: &Error, now: OffsetDateTime) {
        if let Err(error) = requests.fail(&self.id, problem(error), now).await {
            log_cause("the table; the status of a connection request was not recorded", &error);
        }
    }
}

/// An error as the status of a request shows it.
fn problem(error: &Error) -> Value {
    json!(Error { data: None, ..error.clone() })
}
