//! The routes of connection requests.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use larder::caller::{Caller, bearer};
use larder::error::Error;
use larder::http::{Request, Response, empty, json, present, read_json};
use larder::secret::Secret;
use larder_engine::connect::RequestedConnection;
use larder_engine::manage::ConfirmationProof;
use larder_engine::router::Found;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Connections;

/// The body of `POST /connection-requests`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestBody {
    integration_key: Option<String>,
    integration_id: Option<String>,
    integration_keys: Option<Vec<String>>,
    connection_id: Option<String>,
    auth_option_key: Option<String>,
    key: Option<String>,
    name: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    meta: Option<Map<String, Value>>,
    allow_multiple_connections: Option<bool>,
    input: Option<Map<String, Value>>,
    locked_input: Option<Map<String, Value>>,
    redirect_uri: Option<String>,
    expires_in: Option<u64>,
    code_challenge: Option<String>,
}

/// The body of `POST /connection-requests/{id}/confirm`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConfirmBody {
    code_verifier: String,
    /// `null` is what a page reads from a URL that has no code, so it is a wrong code.
    #[serde(default, deserialize_with = "present")]
    confirmation: Option<Option<String>>,
}

impl RequestBody {
    /// Returns the integrations that it names in one of three ways.
    fn integration_keys(&mut self) -> Result<Vec<String>, Error> {
        let one = |key: Option<String>| key.filter(|key| !key.is_empty()).map(|key| vec![key]);
        let named = [one(self.integration_key.take()), one(self.integration_id.take()), self.integration_keys.take()];
        let mut named = named.into_iter().flatten();
        let keys = named.next().unwrap_or_default();
        if named.any(|others| others != keys) {
            let message = "`integrationKey`, `integrationId` and `integrationKeys` must be the same; give only one";
            return Err(Error::bad_request(message));
        }
        Ok(keys)
    }
}

impl Connections {
    pub(crate) async fn create_request(&self, caller: &Caller, request: &Request) -> Result<Response, Error> {
        let mut body: RequestBody = read_json(request)?;
        let wanted = RequestedConnection {
            integration_keys: body.integration_keys()?,
            connection_id: body.connection_id,
            option_key: body.auth_option_key,
            name: body.name,
            key: body.key,
            tags: body.tags,
            meta: body.meta,
            input: body.input.unwrap_or_default(),
            locked_input: body.locked_input.unwrap_or_default(),
            redirect_uri: body.redirect_uri,
            allow_multiple_connections: body.allow_multiple_connections.unwrap_or_default(),
            code_challenge: body.code_challenge,
            ..RequestedConnection::default()
        };
        let created = self.management.create_request(caller, wanted, body.expires_in).await?;
        Ok(json(StatusCode::CREATED, &created))
    }

    pub(crate) async fn get_request(&self, caller: &Caller, id: &str) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.management.get_request(caller, id).await?))
    }

    /// Shows a request to the holder of its status token. `None` if the request has another kind of token.
    pub(crate) async fn get_request_by_token(
        &self,
        found: &Result<Found, Error>,
        request: &Request,
    ) -> Option<Result<Response, Error>> {
        let found = found.as_ref().ok()?;
        let is_status = found.route.method == Method::GET && found.route.path == "/connection-requests/{id}";
        // Callers' tokens have three parts.
        let token = bearer(request.headers()).filter(|token| is_status && !token.contains('.'))?;
        let view = self.management.get_request_by_token(found.parameter(0), token).await;
        Some(view.map(|view| json(StatusCode::OK, &view)))
    }

    pub(crate) async fn confirm_request(
        &self,
        caller: &Caller,
        id: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        let body: ConfirmBody = read_json(request)?;
        let proof = ConfirmationProof {
            code_verifier: Secret::new(body.code_verifier),
            confirmation: body.confirmation.map(|code| Secret::new(code.unwrap_or_default())),
        };
        Ok(json(StatusCode::OK, &self.management.confirm_request(caller, id, &proof).await?))
    }

    pub(crate) async fn cancel_request(&self, caller: &Caller, id: &str) -> Result<Response, Error> {
        self.management.cancel_request(caller, id).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }
}
