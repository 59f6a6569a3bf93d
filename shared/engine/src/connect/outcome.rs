//! The outcome of a flow, kept for a moment because browsers may open a callback twice and people reload pages.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use larder::digest::sha256_base64url;
use larder::error::Error;
use larder::http::Response;
use larder::seal::{SealContext, Sealer};
use serde::{Deserialize, Serialize};

/// How long the outcome of a flow can be shown again to its browser.
pub const OUTCOME_LIFETIME: Duration = Duration::from_mins(1);

/// The response to a callback, kept so that it can be repeated. It is sealed in the session.
#[derive(Serialize, Deserialize)]
pub struct FlowOutcome {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl FlowOutcome {
    /// Records a response.
    pub fn of(response: &Response) -> Self {
        let text =
            |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
        Self {
            status: response.status().as_u16(),
            headers: response.headers().iter().filter_map(text).collect(),
            body: response.body().clone(),
        }
    }

    /// Returns the recorded response.
    ///
    /// # Errors
    /// 500 when the record is damaged.
    pub fn into_response(self) -> Result<Response, Error> {
        let mut response = Response::new(self.body);
        *response.status_mut() = StatusCode::from_u16(self.status).map_err(Error::internal)?;
        for (name, value) in self.headers {
            let name = HeaderName::try_from(name).map_err(Error::internal)?;
            response.headers_mut().append(name, HeaderValue::try_from(value).map_err(Error::internal)?);
        }
        Ok(response)
    }

    /// Seals the outcome for the session with that id.
    ///
    /// # Errors
    /// 503 when the key service fails.
    pub async fn seal(&self, sealer: &Sealer, workspace: &str, session_id: &str) -> Result<Vec<u8>, Error> {
        let bytes = serde_json::to_vec(self).map_err(Error::internal)?;
        Ok(sealer.seal(seal_context(workspace, session_id), &bytes).await?)
    }

    /// Opens a session's outcome.
    ///
    /// # Errors
    /// 503 when the key service fails; 500 when the outcome was tampered with.
    pub async fn open(sealer: &Sealer, workspace: &str, session_id: &str, sealed: &[u8]) -> Result<Self, Error> {
        let bytes = sealer.open(seal_context(workspace, session_id), sealed).await?;
        serde_json::from_slice(&bytes).map_err(|_| Error::internal("a session's outcome is damaged"))
    }
}

fn seal_context<'a>(workspace: &'a str, session_id: &'a str) -> SealContext<'a> {
    SealContext { workspace, kind: "outcome", id: session_id, version: 0 }
}

/// Returns the digest by which a session recognizes the callback that used it. The query contains the code and a state that
/// cannot be guessed.
pub fn callback_digest(query: &str) -> String {
    sha256_base64url(query)
}
