//! The HTTP client of the commands.
//!
//! # Decisions
//!
//! The person who runs a command chooses the addresses, unlike those of providers, which tenants and connectors influence. So
//! this client may call private addresses, for a Larder or Nango in the same network. It does not follow redirects: tokens go
//! nowhere else.
//!
//! For a Larder on this machine, each request gets a new token that is valid for five minutes, so that an import of hours needs
//! no token that lasts as long.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::{HeaderValue, Method, StatusCode};
use larder::clock::{Clock as _, SystemClock};
use larder::secret::Secret;
use larder::secret_store::{SecretFile, Workspaces};
use larder_engine::response::retry_after;
use reqwest::redirect::Policy;
use serde_json::{Map, Value};
use url::{Host, Url};

use crate::bundle::{Grant, LocalError, mint};
use crate::terminal::clean;

/// The Larder on this machine.
const LOCAL_URL: &str = "http://127.0.0.1:9000";
/// How long to wait for an answer. API Gateway waits for 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The lifetime in seconds of a token for the Larder on this machine.
const TOKEN_SECS: i64 = 300;

/// The Larder that a command calls.
#[derive(Debug, Clone, Args)]
pub struct LarderArgs {
    /// URL of Larder [default: LARDER_URL, or http://127.0.0.1:9000]
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub url: Option<Url>,
    /// Data folder of the Larder on this machine; its secret signs the token if LARDER_TOKEN is not set
    #[arg(long, value_name = "DIR", default_value = ".larder")]
    pub data: PathBuf,
}

/// The reasons why a command fails.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The command line or the environment is incomplete.
    #[error("{0}")]
    Usage(String),
    /// An id or a key cannot be part of a URL's path, which would then name something else.
    #[error("an id or key must not be empty, `.` or `..`, or contain tabs or line breaks")]
    Path,
    /// The command cannot continue.
    #[error("{0}")]
    Failed(String),
    /// No complete answer arrived.
    #[error("{url} does not answer: {reason}")]
    Unreachable {
        /// The server.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The server answered with an error.
    #[error(transparent)]
    Rejected(Box<Rejection>),
    /// This machine's secret cannot be read.
    #[error(transparent)]
    Local(#[from] LocalError),
}

/// An answer that reports an error.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The status.
    pub status: StatusCode,
    /// The message for people.
    pub message: String,
    /// The body, or null if it is not JSON.
    pub body: Value,
    /// How long to wait before the next attempt.
    pub retry_after: Option<Duration>,
}

impl CommandError {
    /// The exit code: 2 for a mistake in the command line, as clap has it.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Usage(_) | Self::Path) { 2 } else { 1 }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Rejected(rejection) => matches!(rejection.status.as_u16(), 429 | 502..=504),
            _ => false,
        }
    }

    /// Whether the request has no URL, so that it was not sent.
    pub fn has_no_url(&self) -> bool {
        matches!(self, Self::Path)
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Rejected(rejection) = self { rejection.retry_after } else { None }
    }

    /// The status of the answer, if there is one.
    pub fn status(&self) -> Option<StatusCode> {
        if let Self::Rejected(rejection) = self { Some(rejection.status) } else { None }
    }

    /// The `key` of the API's error.
    pub fn key(&self) -> Option<&str> {
        if let Self::Rejected(rejection) = self { rejection.body.get("key")?.as_str() } else { None }
    }
}

/// Parses the URL of a server.
///
/// # Errors
/// When it is not http or https.
pub fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    url.ok_or_else(|| "give a URL that starts with http:// or https://".to_owned())
}

/// Returns the given URL of Larder, or that of the environment, or the default one.
///
/// # Errors
/// When `LARDER_URL` is not a URL.
pub fn larder_url(given: Option<&Url>) -> Result<Url, CommandError> {
    let from_env = || match variable("LARDER_URL") {
        Some(text) => http_url(&text).map_err(|error| CommandError::Usage(format!("LARDER_URL: {error}"))),
        None => http_url(LOCAL_URL).map_err(CommandError::Usage),
    };
    given.cloned().map_or_else(from_env, Ok)
}

/// A client of Larder's API.
pub struct Client {
    server: Server,
    access: Access,
}

/// The source of the tokens.
enum Access {
    Given(Secret),
    Local { workspaces: Workspaces, grant: Grant, data: PathBuf },
}

impl Client {
    /// Creates a client that acts as an admin, or as the owner of the token in `LARDER_TOKEN`.
    ///
    /// # Errors
    /// When the environment lacks a token for a Larder elsewhere.
    pub fn new(args: &LarderArgs) -> Result<Self, CommandError> {
        Self::with_grant(args, Grant { tenant: None, is_admin: true, expires_in: TOKEN_SECS, ..Grant::default() })
    }

    /// As [`Self::new`], but acts as this tenant at a Larder on this machine.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_tenant(args: &LarderArgs, tenant: &str) -> Result<Self, CommandError> {
        let tenant = Some(tenant.to_owned());
        Self::with_grant(args, Grant { tenant, expires_in: TOKEN_SECS, ..Grant::default() })
    }

    fn with_grant(args: &LarderArgs, grant: Grant) -> Result<Self, CommandError> {
        let url = larder_url(args.url.as_ref())?;
        let access = match secret_variable("LARDER_TOKEN")? {
            Some(token) => Access::Given(token),
            None if is_loopback(&url) => {
                let secrets = Arc::new(SecretFile::new(args.data.join("secrets.json")));
                let workspaces = Workspaces::new(secrets, Arc::new(SystemClock));
                Access::Local { workspaces, grant, data: args.data.clone() }
            }
            None => {
                let message = format!("set LARDER_TOKEN to a token that the Larder at {url} accepts");
                return Err(CommandError::Usage(message));
            }
        };
        Ok(Self { server: Server::new(url)?, access })
    }

    /// Whether the caller is the owner of `LARDER_TOKEN`, who may be an admin or a tenant.
    pub fn has_given_token(&self) -> bool {
        matches!(self.access, Access::Given(_))
    }

    /// Reads from the API.
    ///
    /// # Errors
    /// When Larder does not answer, or with an error.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, CommandError> {
        self.call(Method::GET, path, query, None).await
    }

    /// Calls the API.
    ///
    /// # Errors
    /// When Larder does not answer, or with an error.
    pub async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Value, CommandError> {
        let token = match &self.access {
            Access::Given(token) => token.clone(),
            Access::Local { workspaces, grant, .. } => {
                Secret::new(mint(workspaces, grant, &SystemClock).await.map_err(LocalError::from)?)
            }
        };
        let answer = self.server.call(method, path, query, body, &token).await;
        answer.map_err(|error| self.explained(error))
    }

    /// Calls the API with a token that is good for this request only.
    ///
    /// # Errors
    /// When Larder does not answer, or with an error.
    pub async fn get_with(&self, token: &Secret, path: &[&str]) -> Result<Value, CommandError> {
        self.server.call(Method::GET, path, &[], None, token).await
    }

    /// Adds what to do to errors whose reason is the command's set-up.
    fn explained(&self, error: CommandError) -> CommandError {
        let url = self.server.name();
        match (error, &self.access) {
            (CommandError::Unreachable { reason, .. }, _) if is_loopback(&self.server.url) => {
                let reason =
                    format!("{reason}; start it with `cargo run`, or put another Larder's URL into LARDER_URL");
                CommandError::Unreachable { url, reason }
            }
            (CommandError::Rejected(mut rejection), access) if rejection.status == StatusCode::UNAUTHORIZED => {
                rejection.message = match access {
                    Access::Given(_) => format!("{url} does not accept the token in LARDER_TOKEN; set a valid one"),
                    Access::Local { data, .. } => format!(
                        "{url} does not accept a token signed with the secret in {}; name its data folder with --data, or \
                         set LARDER_TOKEN",
                        data.display()
                    ),
                };
                CommandError::Rejected(rejection)
            }
            (error, _) => error,
        }
    }
}

/// A JSON API that takes bearer tokens.
pub struct Server {
    http: reqwest::Client,
    url: Url,
}

impl Server {
    /// Creates a client for the API at `url`.
    ///
    /// # Errors
    /// When the machine's certificate authorities cannot be used.
    pub fn new(url: Url) -> Result<Self, CommandError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the user of a command names the address, see the module's Decisions"
        )]
        let builder = reqwest::Client::builder();
        let http = builder.redirect(Policy::none()).timeout(TIMEOUT).build();
        let http =
            http.map_err(|error| CommandError::Failed(format!("cannot create an HTTP client: {}", cause(&error))))?;
        Ok(Self { http, url })
    }

    /// The URL as the user gave it, without a user, a password or a query.
    pub fn name(&self) -> String {
        let path = self.url.path().trim_end_matches('/');
        format!("{}{path}", self.url.origin().ascii_serialization())
    }

    /// Sends a request and reads the JSON of the answer, or null if it is empty.
    ///
    /// # Errors
    /// When the server does not answer, or with an error.
    pub async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<String>,
        token: &Secret,
    ) -> Result<Value, CommandError> {
        if !path.iter().all(|segment| is_segment(segment)) {
            return Err(CommandError::Path);
        }
        let mut url = self.url.clone();
        url.set_query(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).bearer_auth(token.expose());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let unreachable = |error: reqwest::Error| CommandError::Unreachable { url: self.name(), reason: cause(&error) };
        let response = request.send().await.map_err(unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.map_err(unreachable)?;
        let body = if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text) };
        match body {
            Ok(body) if status.is_success() => Ok(body),
            body => {
                let body = body.ok().filter(|_| !status.is_success()).unwrap_or_default();
                let message = said(&body).map_or_else(|| unexplained(&self.name(), status), clean);
                let retry_after = retry_after(&headers, SystemClock.now());
                Err(CommandError::Rejected(Box::new(Rejection { status, message, body, retry_after })))
            }
        }
    }
}

/// The message in an error's JSON: Larder's own, or one of the usual places.
fn said(body: &Value) -> Option<&str> {
    let error = body.get("error");
    [body.get("message"), error.and_then(|error| error.get("message")), error]
        .into_iter()
        .flatten()
        .find_map(Value::as_str)
}

/// The message of an answer that has none. Servers that are overloaded or broken are nevertheless the right ones.
fn unexplained(server: &str, status: StatusCode) -> String {
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        format!("{server} answers {status}")
    } else {
        format!("{server} answers {status}, not as expected; check the URL")
    }
}

/// Whether a URL's path can have this segment. URLs resolve dots, and are parsed without tabs and line breaks.
fn is_segment(text: &str) -> bool {
    !["", ".", ".."].contains(&text) && !text.contains(['\t', '\r', '\n'])
}

/// The innermost cause, which says most.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() { "it took too long".to_owned() } else { innermost.to_string() }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// An environment variable that is not empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A secret in an environment variable that is not empty.
///
/// # Errors
/// When no header of a request could carry it.
pub fn secret_variable(name: &str) -> Result<Option<Secret>, CommandError> {
    variable(name).map(|secret| header_secret(name, secret)).transpose()
}

fn header_secret(name: &str, secret: String) -> Result<Secret, CommandError> {
    if HeaderValue::from_bytes(secret.as_bytes()).is_err() {
        let message = format!("{name} contains a line break or another control character; set it without");
        return Err(CommandError::Usage(message));
    }
    Ok(Secret::new(secret))
}

/// A page of a list in the API.
pub struct Page {
    /// The items.
    pub items: Vec<Value>,
    /// The start of the next page, if there is one.
    pub cursor: Option<String>,
}

impl Page {
    /// Reads a page from an answer.
    ///
    /// # Errors
    /// When it is not a list.
    pub fn of(mut answer: Value) -> Result<Self, CommandError> {
        let cursor = answer.get("cursor").and_then(Value::as_str).map(ToOwned::to_owned);
        match answer.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(Self { items, cursor }),
            _ => Err(CommandError::Failed("the answer is not a list; is this the URL of a Larder?".to_owned())),
        }
    }

    /// Returns the page as the API has it.
    pub fn into_json(self) -> Value {
        let mut page = Map::from_iter([("items".to_owned(), Value::Array(self.items))]);
        page.extend(self.cursor.map(|cursor| ("cursor".to_owned(), cursor.into())));
        Value::Object(page)
    }
}

/// Returns a string member, or an empty string.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn servers_are_named_by_http_urls_without_secrets() {
        for wrong in ["localhost:9000", "127.0.0.1:9000", "ftp://larder.example", ""] {
            assert!(http_url(wrong).is_err(), "{wrong}");
        }
        let url = http_url("https://user:password@larder.example/prod/?token=x").expect("a URL");
        assert_eq!(Server::new(url).expect("a client").name(), "https://larder.example/prod");
    }

    #[test]
    fn only_a_larder_on_this_machine_gets_a_token_of_its_own() {
        for (url, expected) in [
            ("http://127.0.0.1:9000", true),
            ("http://localhost:9000", true),
            ("http://[::1]:9000", true),
            ("http://192.168.0.1:9000", false),
            ("https://larder.example", false),
            ("https://localhost.example", false),
        ] {
            assert_eq!(is_loopback(&http_url(url).expect("a URL")), expected, "{url}");
        }
    }

    #[test]
    fn a_secret_with_a_line_break_is_a_mistake_in_its_variable() {
        for wrong in ["go\nod", "good\n", "good\r", "go\0od"] {
            let error = header_secret("LARDER_TOKEN", wrong.to_owned()).expect_err("no header has it");
            assert_eq!(error.exit_code(), 2);
            let message = error.to_string();
            assert!(message.contains("LARDER_TOKEN") && !message.contains("go"), "{message}");
        }
        assert_eq!(header_secret("LARDER_TOKEN", "good".to_owned()).ok(), Some(Secret::new("good")));
    }

    #[tokio::test]
    async fn no_request_is_sent_to_a_path_that_means_something_else() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a mode");
        let server = Server::new(http_url(&format!("http://{address}")).expect("a URL")).expect("a client");
        for wrong in ["", ".", "..", ".\n.", "a\tb"] {
            let (path, token) = (["connections", wrong], Secret::new("t"));
            let call = server.call(Method::GET, &path, &[], None, &token);
            let error = call.await.expect_err("it has no URL");
            assert_eq!((error.exit_code(), error.has_no_url()), (2, true), "{wrong:?}");
        }
        assert!(listener.accept().is_err(), "nobody connected");
    }

    #[test]
    fn the_url_is_doubted_only_if_the_server_may_be_another() {
        let doubts = |status| unexplained("http://larder.example", status).contains("check the URL");
        assert!(doubts(StatusCode::OK) && doubts(StatusCode::NOT_FOUND));
        assert!(!doubts(StatusCode::TOO_MANY_REQUESTS) && !doubts(StatusCode::INTERNAL_SERVER_ERROR));
    }

    #[test]
    fn the_message_of_an_error_is_found_where_servers_put_it() {
        assert_eq!(said(&json!({"type": "bad_request", "message": "no"})), Some("no"));
        assert_eq!(said(&json!({"error": {"code": "x", "message": "no"}})), Some("no"));
        assert_eq!(said(&json!({"error": "no"})), Some("no"));
        assert_eq!(said(&json!({"error": {}})), None);
    }
}
