//! The first minute: the page behind the link that the program prints. It shows three steps, each with how far it has come.
//!
//! # Decisions
//!
//! The page's script fetches the page itself and takes over the parts whose `data-live` has changed. So there is one rendering,
//! with JavaScript and without.
//!
//! The line for the terminal has a token that reads the demo's credentials, but no refresh tokens, for two hours.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use connect::find_own_connection;
use larder::caller::Caller;
use larder::clock::milliseconds;
use larder::connection::{Connection, State};
use larder::dynamodb::Selection;
use larder::error::Error;
use larder::http::{Parameters, Request, Response, redirect};
use larder_engine::connect::RequestedConnection;
use larder_engine::manage::Management;
use larder_engine::pages::sentence;

use super::provider::DemoProvider;
use super::{Demo, page};
use crate::bundle::{Bundle, Grant, LocalError};
use crate::{TENANT, WORKSPACE};

const SCRIPT: &str = include_str!("../../templates/welcome.js");

/// The page, and the form on it.
pub(super) struct Welcome {
    bundle: Arc<Bundle>,
    management: Management,
    folder: String,
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage<'a> {
    base_uri: &'a str,
    folder: &'a str,
    form_token: &'a str,
    /// Why the last attempt to connect failed.
    problem: Option<String>,
    /// The name of the account, if it is connected.
    account: Option<String>,
    needs_reconnect: bool,
    renewal: Option<Renewal>,
    token: String,
    is_read: bool,
}

/// The current token, and when the next one comes. Times are in milliseconds since 1970.
struct Renewal {
    number: u64,
    from: i64,
    until: i64,
    age: i64,
    lifetime: u64,
    /// The time that is left, such as `0:22`.
    left: String,
    error: Option<String>,
}

impl Welcome {
    /// The path of the page.
    pub(super) const PATH: &str = "/welcome";
    /// The path to which its form leads.
    pub(super) const CONNECT_PATH: &str = "/welcome/connect";

    pub(super) fn new(bundle: &Arc<Bundle>, folder: String) -> Result<Self, LocalError> {
        Ok(Self { management: bundle.management()?, bundle: Arc::clone(bundle), folder })
    }

    /// Whether the workspace has nothing but the demo.
    pub(super) async fn is_first(&self) -> bool {
        let setup = &self.management.connector_setup;
        let Ok(integrations) = setup.integrations.list(WORKSPACE).await else { return false };
        let connections = self.management.connections.list(WORKSPACE, Selection::default(), 2, None).await;
        let is_of_demo = |it: &Connection| it.integration.as_ref().is_some_and(|it| it.key == Demo::KEY);
        integrations.iter().all(|integration| integration.key == Demo::KEY)
            && connections.is_ok_and(|page| page.items.iter().all(is_of_demo))
    }

    /// Shows the page to an admin.
    pub(super) async fn show(&self, provider: &DemoProvider, request: &Request) -> Response {
        let visit = match self.bundle.pages().visit(request).await {
            Ok(visit) if visit.visitor.caller.admin => visit,
            Ok(_) => return redirect("./"),
            Err(error) => return self.bundle.pages().refused(request, &error),
        };
        match self.render(provider, request, &visit.visitor.form_token).await {
            Ok(response) => response,
            Err(error) => self.bundle.pages().refused(request, &error),
        }
    }

    async fn render(&self, provider: &DemoProvider, request: &Request, form_token: &str) -> Result<Response, Error> {
        let connections = &self.management.connections;
        let found = find_own_connection(connections, WORKSPACE, Demo::KEY, Some(TENANT)).await?.ok();
        let connection = found.filter(|it| it.archived_at.is_none() && it.state != State::Building);
        let account = |it: &Connection| it.account.as_ref().and_then(|account| account.label.clone());
        let is_ready = connection.as_ref().is_some_and(|it| it.state == State::Ready);
        let renewal = match &connection {
            Some(connection) if is_ready => Some(self.renewal(provider, connection).await?),
            _ => None,
        };
        let grant = Grant { scope: Some("connections:read credentials:read"), ..Grant::default() };
        let page = WelcomePage {
            base_uri: &self.bundle.environment().settings.base_uri,
            folder: &self.folder,
            form_token,
            problem: self.problem(request).await?,
            account: connection.as_ref().filter(|_| is_ready).map(|it| account(it).unwrap_or_else(|| "demo".into())),
            needs_reconnect: connection.is_some() && !is_ready,
            renewal,
            token: self.bundle.token(&grant).await?,
            is_read: connection.is_some_and(|it| it.details.last_used_at.is_some()),
        };
        Ok(page::live(page.render(), SCRIPT))
    }

    async fn renewal(&self, provider: &DemoProvider, connection: &Connection) -> Result<Renewal, Error> {
        let now = self.management.clock.now();
        let credentials = self.management.vault.open(connection).await?.credentials.map(|it| it.to_value());
        let number = credentials.and_then(|it| provider.number_of(it["access_token"].as_str()?)).unwrap_or(1);
        let from = connection.expiry.map_or(now, |expiry| expiry.from);
        let until = connection.next_refresh_at.unwrap_or(now);
        let left = Duration::try_from(until - now).unwrap_or_default().as_secs();
        Ok(Renewal {
            number,
            from: milliseconds(from),
            until: milliseconds(until),
            age: (now - from).whole_seconds(),
            lifetime: DemoProvider::ACCESS_LIFETIME.as_secs(),
            left: format!("{}:{:02}", left / 60, left % 60),
            error: connection.problem.as_ref().map(|problem| problem.message.clone()),
        })
    }

    /// Returns why the end user came back without a connection. Only the request knows: anybody can write a query.
    async fn problem(&self, request: &Request) -> Result<Option<String>, Error> {
        let query = Parameters::of_query(request);
        let (Some(_), Some(id)) = (query.optional("error")?, query.optional("requestId")?) else { return Ok(None) };
        let ended = self.management.get_request(&end_user(), id).await;
        Ok(ended.ok().and_then(|ended| Some(sentence(ended["resultError"]["message"].as_str()?))))
    }

    /// Leads the browser to the demo provider, by a connection request.
    pub(super) async fn connect(&self, request: &Request) -> Response {
        match self.request_connection(request).await {
            Ok(response) => response,
            Err(error) => self.bundle.pages().refused(request, &error),
        }
    }

    async fn request_connection(&self, request: &Request) -> Result<Response, Error> {
        let (visit, _) = self.bundle.pages().submission(request).await?;
        visit.visitor.caller.require_admin()?;
        let wanted = RequestedConnection {
            integration_keys: vec![Demo::KEY.to_owned()],
            redirect_uri: Some(format!("{}{}", self.bundle.environment().settings.base_uri, Self::PATH)),
            ..RequestedConnection::default()
        };
        let created = self.management.create_request(&end_user(), wanted, None).await?;
        Ok(redirect(created["url"].as_str().unwrap_or_default()))
    }
}

fn end_user() -> Caller {
    Caller::of_link(WORKSPACE, Some(TENANT.to_owned()))
}
