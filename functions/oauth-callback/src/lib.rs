//! `GET` and `POST /oauth-callback`: finishes an OAuth connection. The provider sends the browser here.
//!
//! The checks come in this order: form of the query, state (single use, in time, the same browser), issuer, error, code.
//! Then the code is exchanged, the credentials are tested, and only what passed is stored. The answer is kept for a minute,
//! for the same browser and the very same callback.

mod form_post;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, Method, StatusCode, header};
use larder::clock::Clock;
use larder::connection::Connection;
use larder::dynamodb::{Session, SessionError, Sessions, Taken, Visit};
use larder::environment::SettingError;
use larder::error::{Error, log_cause};
use larder::http::{Handler, Request, Response, cookie, empty, host, is_prefetch};
use larder::record;
use larder::seal::Sealer;
use larder::secret::Secret;
use larder_engine::connect::{
    ConnectFailure, ConnectionWriter, Delivery, Flow, FlowOutcome, OUTCOME_LIFETIME, browser_cookie,
    browser_cookie_name, browser_digest, callback_digest, page,
};
use larder_engine::connector_setup::{ConnectInputs, ConnectorSetup};
use larder_engine::environment::Environment;
use larder_engine::oauth2::{Callback, CallbackOutcome, OAuthState, parse_callback, refusal};
use larder_engine::provider::{Authorization, ConnectorContext, ObtainedCredentials};

/// How often, and how long each time, a callback waits for the same one that is at work.
const WAITS: usize = 10;
const WAIT: Duration = Duration::from_millis(250);
/// How long the answer waits for being kept.
const KEEP_WITHIN: Duration = Duration::from_secs(1);

/// Serves `/oauth-callback`.
pub struct OAuthCallback {
    connector_setup: Arc<ConnectorSetup>,
    writer: ConnectionWriter,
    sessions: Sessions,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
}

impl OAuthCallback {
    /// Wires the function.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(environment: &Environment, connector_setup: Arc<ConnectorSetup>) -> Result<Self, SettingError> {
        Ok(Self {
            connector_setup,
            writer: environment.connection_writer()?,
            sessions: environment.sessions(),
            sealer: environment.sealer()?,
            clock: Arc::clone(&environment.clock),
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        match *request.method() {
            // The browser opens it in earnest later, if anybody does.
            Method::GET if is_prefetch(request.headers()) => Ok(empty(StatusCode::NO_CONTENT)),
            Method::GET => self.come_back(request).await,
            Method::POST => form_post::repeat(request),
            _ => Err(Error::method_not_allowed("GET, POST")),
        }
    }

    async fn come_back(&self, request: &Request) -> Result<Response, Error> {
        let query = request.uri().query().unwrap_or_default();
        let callback = read_callback(query)?;
        let id = OAuthState::parse(callback.state.as_deref().unwrap_or_default()).0.digest();
        let cookie_name = browser_cookie_name(&self.connector_setup.base_uri, &id);
        let browser = cookie(request.headers(), &cookie_name).unwrap_or_default();
        let visit = Visit { id: &id, browser: &browser_digest(browser), callback: &callback_digest(query) };
        for _ in 0..WAITS {
            match self.sessions.take(visit, self.clock.now(), OUTCOME_LIFETIME).await {
                Ok(Taken::Session(session)) => return self.conclude(&session, visit, browser, callback).await,
                Ok(Taken::Finished { workspace, outcome }) => {
                    return FlowOutcome::open(&self.sealer, &workspace, &id, &outcome).await?.into_response();
                }
                Ok(Taken::Unfinished) => tokio::time::sleep(WAIT).await,
                Err(error) => return Err(self.refused(error, request)),
            }
        }
        let detail = "Your account is still being connected. This page checks again by itself.";
        Ok(page::onward(StatusCode::ACCEPTED, "Almost there", detail, Duration::from_secs(2), ""))
    }

    async fn conclude(
        &self,
        session: &Session,
        visit: Visit<'_>,
        browser: &str,
        callback: Callback,
    ) -> Result<Response, Error> {
        let flow = Flow::open(&self.sealer, session).await?;
        record::note(|record| record.connection(&flow.connection.key()));

        let mut response = match self.finish(&flow, callback).await {
            Ok(connection) => flow.delivery.success(&connection),
            Err(error) => {
                let connection_id = Some(flow.connection.connection_id.clone());
                flow.delivery.failure(&ConnectFailure { error, connection_id })
            }
        };
        self.keep(session, visit, &response).await;
        // It opens the outcome, for as long as there is one.
        let last = browser_cookie(&self.connector_setup.base_uri, visit.id, browser, OUTCOME_LIFETIME);
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::try_from(last).map_err(Error::internal)?);
        Ok(response)
    }

    /// Keeps the answer to be shown again. The person who waits for it does not wait long for that.
    async fn keep(&self, session: &Session, visit: Visit<'_>, response: &Response) {
        let keep = async {
            let outcome = FlowOutcome::of(response).seal(&self.sealer, &session.workspace, visit.id).await?;
            Ok::<_, Error>(self.sessions.keep(visit, outcome, self.clock.now() + OUTCOME_LIFETIME).await?)
        };
        match tokio::time::timeout(KEEP_WITHIN, keep).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log_cause("the outcome of a flow was not kept", &error),
            Err(late) => log_cause("the outcome of a flow was not kept", &late),
        }
    }

    async fn finish(&self, flow: &Flow, callback: Callback) -> Result<Connection, Error> {
        let new = &flow.connection;
        let integration = self.connector_setup.integration(&new.workspace, &new.integration_key).await?;
        let choice = ConnectInputs {
            option_key: &new.option_key,
            tenant: new.tenant.as_deref(),
            connector_parameters: &new.connector_parameters,
            input: &new.input,
            given: None,
        };
        let auth = self.connector_setup.auth_for(&integration, &choice).await?;
        let obtained = self.obtain(flow, &auth, callback).await?;
        self.writer.create_or_renew(new, &integration, &auth, obtained).await
    }

    async fn obtain(
        &self,
        flow: &Flow,
        auth: &Arc<ConnectorContext>,
        callback: Callback,
    ) -> Result<ObtainedCredentials, Error> {
        let provider = &self.writer.provider;
        if let Some(request_token) = &flow.request_token {
            if let Some(refusal) = refusal(&callback.parameters) {
                return Err(Error::connection(None, refusal.to_string()));
            }
            return Ok(provider.exchange_verifier(auth, request_token, &callback.parameters).await?);
        }
        let config = provider.oauth2_config(auth, None).await?;
        callback.check_issuer(config.issuer.as_deref()).map_err(|error| Error::bad_request(error.to_string()))?;
        let outcome = callback.outcome(&config).map_err(|error| Error::bad_request(error.to_string()))?;
        let code = match &outcome {
            CallbackOutcome::Code(code) => code,
            CallbackOutcome::Refused(refusal) => return Err(Error::connection(None, refusal.to_string())),
        };
        let authorization = Authorization {
            code: code.expose(),
            code_verifier: flow.code_verifier.as_ref().map(Secret::expose),
            redirect_uri: &flow.redirect_uri,
            query_parameters: callback.parameters.clone(),
        };
        Ok(provider.exchange_code(auth, &config, authorization).await?)
    }

    fn refused(&self, error: SessionError, request: &Request) -> Error {
        match error {
            SessionError::Store(error) => error.into(),
            SessionError::OtherBrowser { host: Some(began) }
                if host(request).is_some_and(|here| !is_same_name(here, &began)) =>
            {
                // A stranger can begin a flow and choose this name, so only names of this machine are repeated.
                let began =
                    if is_of_this_machine(&began) { format!("http://{began}") } else { "another address".into() };
                let here = host(request).filter(|here| is_of_this_machine(here)).map(|here| format!("http://{here}"));
                let here = here.unwrap_or_else(|| self.connector_setup.base_uri.clone());
                Error::bad_request(format!(
                    "this connect flow was begun at {began}, but the application sends the browser back to {here}, which \
                     does not get its cookie; begin again at {here}"
                ))
            }
            error => Error::bad_request(format!("{error}; begin again where you came from")),
        }
    }
}

/// A callback that can belong to a flow. One without a state cannot, and ends none; if it is a refusal, it is shown.
fn read_callback(query: &str) -> Result<Callback, Error> {
    let callback = parse_callback(query).map_err(|error| Error::bad_request(error.to_string()))?;
    match (&callback.state, refusal(&callback.parameters)) {
        (Some(_), _) => Ok(callback),
        (None, Some(refusal)) => {
            Err(Error::connection(None, format!("{refusal}; to try once more, begin again where you came from")))
        }
        (None, None) => Err(Error::bad_request("the callback has no state; begin again at /connect")),
    }
}

/// Cookies are kept by the name of a host, whatever its port.
fn is_same_name(one: &str, other: &str) -> bool {
    name_of(one).eq_ignore_ascii_case(name_of(other))
}

fn is_of_this_machine(host: &str) -> bool {
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = host.strip_prefix(name_of(host)).unwrap_or_default();
    matches!(name_of(host), "localhost" | "127.0.0.1" | "[::1]")
        && (port.is_empty() || is_port(port.trim_start_matches(':')))
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, _)) if !name.starts_with('[') || name.ends_with(']') => name,
        _ => host,
    }
}

#[async_trait]
impl Handler for OAuthCallback {
    async fn handle(&self, request: Request) -> Response {
        match self.respond(&request).await {
            Ok(response) => response,
            // Without a flow, nobody is known to wait for the result; the person before the browser is told.
            Err(error) => Delivery::default().failure(&ConnectFailure { error, connection_id: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_by_name_and_only_those_of_this_machine_are_shown() {
        for (one, other, is_same) in [
            ("localhost:9000", "LOCALHOST:1", true),
            ("localhost", "localhost:9000", true),
            ("localhost:9000", "127.0.0.1:9000", false),
            ("[::1]:9000", "[::1]", true),
            ("[::1]", "[::2]", false),
        ] {
            assert_eq!(is_same_name(one, other), is_same, "{one} {other}");
        }
        for host in ["localhost", "localhost:9000", "127.0.0.1:9000", "[::1]:9000"] {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "localhost:evil", "localhost:80/@evil.example", "", ":"]
        {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }
}
