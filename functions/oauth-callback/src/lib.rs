//! `GET` and `POST /oauth-callback`: finishes an OAuth connection. The provider sends the browser here.
//!
//! The checks are, in this order: query syntax, state (used once, in time, by the same browser), issuer, error, code.
//! Then the code is exchanged and the credentials are tested; they are stored only if they pass. For a minute, the same
//! callback from the same browser gets the same response.
//!
//! # Decisions
//!
//! The state is checked before `iss` because the expected issuer belongs to the integration, which only the state leads
//! to. A malformed query is rejected before the state is consumed.

mod form_post;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, Method, StatusCode, header};
use larder::clock::Clock;
use larder::connection::{Confirmation, Connection};
use larder::dynamodb::{ConnectionRequests, Session, SessionError, Sessions, Taken, Visit};
use larder::environment::SettingError;
use larder::error::{Error, log_cause};
use larder::http::{Handler, Request, Response, cookie, empty, host, is_prefetch};
use larder::record;
use larder::seal::Sealer;
use larder::secret::Secret;
use larder_engine::connect::{
    ConnectFailure, ConnectionWriter, Delivery, Flow, FlowOutcome, OUTCOME_LIFETIME, browser_cookie,
    browser_cookie_name, browser_digest, callback_digest,
};
use larder_engine::connector_setup::{ConnectInputs, ConnectorSetup};
use larder_engine::environment::Environment;
use larder_engine::oauth2::{Callback, CallbackOutcome, OAuthState, parse_callback, refusal};
use larder_engine::pages::{self, Language, words};
use larder_engine::provider::{Authorization, ConnectorContext, ObtainedCredentials};

/// How often a callback waits for an identical one that is still running, and how long each time.
const WAITS: usize = 10;
const WAIT: Duration = Duration::from_millis(250);
/// How long the response may be delayed while its outcome is being kept.
const KEEP_WITHIN: Duration = Duration::from_secs(1);

/// Serves `/oauth-callback`.
pub struct OAuthCallback {
    connector_setup: Arc<ConnectorSetup>,
    writer: ConnectionWriter,
    sessions: Sessions,
    requests: ConnectionRequests,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
}

impl OAuthCallback {
    /// Creates the function from its environment.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn new(environment: &Environment, connector_setup: Arc<ConnectorSetup>) -> Result<Self, SettingError> {
        Ok(Self {
            connector_setup,
            writer: environment.connection_writer()?,
            sessions: environment.sessions(),
            requests: environment.connection_requests(),
            sealer: environment.sealer()?,
            clock: Arc::clone(&environment.clock),
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        match *request.method() {
            // A prefetch must not use up the code. The browser sends the real request if someone opens the page.
            Method::GET if is_prefetch(request.headers()) => Ok(empty(StatusCode::NO_CONTENT)),
            Method::GET => self.come_back(request).await,
            // A POST from the provider's site comes without our cookie.
            Method::POST => form_post::repeat(request),
            _ => Err(Error::method_not_allowed("GET, POST")),
        }
    }

    async fn come_back(&self, request: &Request) -> Result<Response, Error> {
        let query = request.uri().query().unwrap_or_default();
        // A malformed callback is rejected before it can use up a session.
        let callback = read_callback(query)?;
        // The session's id is the digest of the state, so a leaked table reveals no state.
        let id = OAuthState::parse(callback.state.as_deref().unwrap_or_default()).0.digest();
        // The cookie proves that this browser started the flow. Otherwise, a victim could be lured into finishing an
        // attacker's.
        let cookie_name = browser_cookie_name(&self.connector_setup.base_uri, &id);
        let browser = cookie(request.headers(), &cookie_name).unwrap_or_default();
        let visit = Visit { id: &id, browser: &browser_digest(browser), callback: &callback_digest(query) };
        for _ in 0..WAITS {
            match self.sessions.take(visit, self.clock.now(), OUTCOME_LIFETIME).await {
                Ok(Taken::Session(session)) => return self.conclude(&session, visit, browser, callback).await,
                Ok(Taken::Finished { workspace, outcome }) => {
                    return FlowOutcome::open(&self.sealer, &workspace, &id, &outcome).await?.into_response();
                }
                // Browsers may open a callback twice. The second one waits for the outcome of the first.
                Ok(Taken::Unfinished) => tokio::time::sleep(WAIT).await,
                Err(error) => return Err(self.refused(error, request)),
            }
        }
        // The other request takes longer than a browser should wait without a page.
        let language = Language::of(request.headers());
        let (title, detail) = (words::ALMOST_THERE.say(language), words::STILL_CONNECTING.say(language));
        Ok(pages::onward(StatusCode::ACCEPTED, language, title, detail, Duration::from_secs(2), ""))
    }

    async fn conclude(
        &self,
        session: &Session,
        visit: Visit<'_>,
        browser: &str,
        callback: Callback,
    ) -> Result<Response, Error> {
        let flow = &Flow::open(&self.sealer, session).await?;
        record::note(|record| record.connection(&flow.connection.key()));

        // From here on, the flow says where its result is expected, failures included.
        let connect = |confirmation: Option<Confirmation>| async move {
            let finishing = self.finish(flow, callback, confirmation.as_ref());
            self.writer.recorded(&flow.connection, finishing).await
        };
        let result = match &flow.delivery.request {
            Some(request) => request.finish(&self.requests, &self.writer, connect, |_| false).await,
            None => Box::pin(connect(None)).await,
        };
        let mut response = match result {
            Ok(connection) => flow.delivery.success(&connection),
            Err(error) => {
                let connection_id = Some(flow.connection.connection_id.clone());
                flow.delivery.failure(&ConnectFailure { error, connection_id })
            }
        };
        // The code is used up, so a reload can only be answered from memory.
        self.keep(session, visit, &response).await;
        // The cookie gives access to that outcome and expires with it.
        let last = browser_cookie(&self.connector_setup.base_uri, visit.id, browser, OUTCOME_LIFETIME);
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::try_from(last).map_err(Error::internal)?);
        Ok(response)
    }

    /// Keeps the response so that it can be shown again. Does not delay the response for long.
    async fn keep(&self, session: &Session, visit: Visit<'_>, response: &Response) {
        let keep = async {
            let outcome = FlowOutcome::of(response).seal(&self.sealer, &session.workspace, visit.id).await?;
            Ok::<_, Error>(self.sessions.keep(visit, outcome, self.clock.now() + OUTCOME_LIFETIME).await?)
        };
        match tokio::time::timeout(KEEP_WITHIN, keep).await {
            Ok(Ok(())) => {}
            // The flow is finished anyway, so this is only logged.
            Ok(Err(error)) => log_cause("the outcome of a flow was not kept", &error),
            Err(late) => log_cause("the outcome of a flow was not kept", &late),
        }
    }

    async fn finish(
        &self,
        flow: &Flow,
        callback: Callback,
        confirmation: Option<&Confirmation>,
    ) -> Result<Connection, Error> {
        let new = &flow.connection;
        // The integration is read again: it may have changed, or be gone, since the flow started.
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
        // The writer tests the credentials, so that bad ones never replace working ones.
        self.writer.create_or_renew(new, &integration, &auth, obtained, confirmation).await
    }

    async fn obtain(
        &self,
        flow: &Flow,
        auth: &Arc<ConnectorContext>,
        callback: Callback,
    ) -> Result<ObtainedCredentials, Error> {
        let provider = &self.writer.provider;
        if let Some(request_token) = &flow.request_token {
            // OAuth 1.0: the flow has a request token instead of a code verifier.
            if let Some(refusal) = refusal(&callback.parameters) {
                return Err(Error::connection(None, refusal.to_string()));
            }
            return Ok(provider.exchange_verifier(auth, request_token, &callback.parameters).await?);
        }
        let config = provider.oauth2_config(auth, None).await?;
        // The issuer comes first: a code from another provider must not be sent to this one's token endpoint (RFC 9207).
        callback.check_issuer(config.issuer.as_deref()).map_err(|error| Error::bad_request(error.to_string()))?;
        let outcome = callback.outcome(&config).map_err(|error| Error::bad_request(error.to_string()))?;
        let code = match &outcome {
            CallbackOutcome::Code(code) => code,
            CallbackOutcome::Refused(refusal) => return Err(Error::connection(None, refusal.to_string())),
        };
        // The verifier and the redirect URI are those of the authorization request, even if the connector has changed
        // since.
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
                // A stranger can start a flow under any host name, so only names of this machine are repeated on the page.
                let began =
                    if is_of_this_machine(&began) { format!("http://{began}") } else { "another address".into() };
                let here = host(request).filter(|here| is_of_this_machine(here)).map(|here| format!("http://{here}"));
                let here = here.unwrap_or_else(|| self.connector_setup.base_uri.clone());
                Error::bad_request(format!(
                    "this connection attempt was started at {began}, but the provider sends the browser back to {here}, \
                     where its cookie is missing; start over at {here}"
                ))
            }
            error => Error::bad_request(format!("{error}; go back to where you came from and start over")),
        }
    }
}

/// Parses a callback that can belong to a flow. Without a state it cannot, and ends no flow; a refusal is shown anyway.
fn read_callback(query: &str) -> Result<Callback, Error> {
    let callback = parse_callback(query).map_err(|error| Error::bad_request(error.to_string()))?;
    match (&callback.state, refusal(&callback.parameters)) {
        (Some(_), _) => Ok(callback),
        (None, Some(refusal)) => Err(Error::connection(
            None,
            format!("{refusal}; to try again, go back to where you came from and start over"),
        )),
        (None, None) => {
            Err(Error::bad_request("the callback has no state; go back to where you came from and start over"))
        }
    }
}

/// Whether two hosts share cookies, which ignore the port.
fn is_same_name(one: &str, other: &str) -> bool {
    name_of(one).eq_ignore_ascii_case(name_of(other))
}

fn is_of_this_machine(host: &str) -> bool {
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = host.strip_prefix(name_of(host)).unwrap_or_default();
    matches!(name_of(host), "localhost" | "127.0.0.1" | "[::1]")
        && (port.is_empty() || is_port(port.trim_start_matches(':')))
}

/// Returns a host without its port.
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
            // Without a flow, it is not known where a result is expected, so the error is shown on a page.
            Err(error) => {
                let delivery = Delivery { language: Language::of(request.headers()), ..Delivery::default() };
                delivery.failure(&ConnectFailure { error, connection_id: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_this_machine_are_shown() {
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
