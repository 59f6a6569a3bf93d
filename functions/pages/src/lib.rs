//! The pages that people open in a browser. They are rendered here, complete without JavaScript, from what the API shows: pages
//! call [`Management`] in this process, with the rights of the visitor. Some are shown in frames of applications; see the module
//! `screens`.
//!
//! # Decisions
//!
//! A visitor has a session, which begins with a page link. The cookie holds an opaque id and only this function reads it, so no other
//! function can be used with a visitor's cookie by another website.
//!
//! A submitted form must come from a page of ours (`Origin`, `Sec-Fetch-Site`) and carry the session's form token. Either
//! suffices against today's browsers; the token also holds where a browser or a proxy leaves the headers out.

mod add;
mod credential;
mod credentials;
mod done;
mod integration;
mod integrations;
mod pick;
mod screens;
mod module;
mod sign_in;
mod visit;

use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use connect::{Connect, Tickets};
use http::{Method, StatusCode, header};
use larder::cache::Cache;
use larder::cors::AllowedOrigins;
use larder::environment::SettingError;
use larder::error::{Error, ErrorClass, ErrorType};
use larder::http::{Handler, Request, Response, empty, is_prefetch, noted, redirect};
use larder::routes::{Function, path_within};
use larder_engine::connector_setup::ConnectorSetup;
use larder_engine::environment::Environment;
use larder_engine::manage::{Management, Overview};
use larder_engine::pages::{self, ForPeople, Language, words};
use larder_engine::router::{Found, Router};
use sign_in::is_page;
pub use visit::Visit;

static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::of(Function::Pages));

/// The work of a route.
type Work<'a> = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send + 'a>>;

/// Serves `/`, `/c/…`, `/add`, `/i…`, `/new…`, `/pick`, `/sign-in`, `/sign-out`, `/connect.js`, `/embed/…` and `/screens/…`.
pub struct Pages {
    management: Management,
    /// The numbers beside lists, by the visitors who see them.
    overviews: Cache<String, Overview>,
    connect: Connect,
    tickets: Tickets,
    base_uri: String,
    cors_origins: AllowedOrigins,
    is_local: bool,
}

impl Pages {
    /// Creates the function from its environment.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn new(environment: &Environment, connector_setup: Arc<ConnectorSetup>) -> Result<Self, SettingError> {
        Ok(Self {
            connect: Connect::new(environment, Arc::clone(&connector_setup))?,
            management: environment.management(connector_setup)?,
            overviews: Cache::new(Arc::clone(&environment.clock)),
            tickets: Tickets::new(environment, screens::KIND, screens::LIFETIME)?,
            base_uri: environment.settings.base_uri.clone(),
            cors_origins: environment.settings.cors_origins.clone(),
            is_local: environment.settings.is_local,
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        let method = if *request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let path = path_within(&self.base_uri, request.uri().path());
        match ROUTER.find(method, path) {
            // The links of a page count the segments of its path.
            Ok(found) if !has_empty_segments(path) || !accepts_html(request) => self.handler(&found, request).await,
            Ok(_) if *method == Method::GET => Ok(redirect(&without_empty_segments(path, request.uri().query()))),
            Ok(_) => Ok(self.no_such_page(request, &Error::not_found(format!("there is no route {path}")))),
            // Programs try paths, too.
            Err(unknown) if !accepts_html(request) => Ok(unknown.into()),
            Err(unknown) => Ok(self.no_such_page(request, &unknown)),
        }
    }

    /// Returns the work of a route. The futures are created here, since in a debug build `respond` would need space on the
    /// stack for all of them.
    fn handler<'a>(&'a self, found: &'a Found, request: &'a Request) -> Work<'a> {
        match (found.route.method.as_str(), found.route.path) {
            ("GET", "/") => Box::pin(self.home(request)),
            ("GET", "/c/{id}") => Box::pin(self.open_credential(found.parameter(0), request)),
            ("POST", "/c/{id}") => Box::pin(self.change_credential(found.parameter(0), request)),
            ("GET", "/add") => Box::pin(self.open_add(request)),
            ("POST", "/add") => Box::pin(self.add(request)),
            ("GET", "/i") => Box::pin(self.open_integrations(request)),
            ("GET", "/i/{key}") => Box::pin(self.open_integration(found.parameter(0), request)),
            ("POST", "/i/{key}") => Box::pin(self.change_integration(found.parameter(0), request)),
            ("GET", "/new") => Box::pin(self.open_connectors(request)),
            ("GET", "/new/{connector}") => Box::pin(self.open_new_integration(found.parameter(0), request)),
            ("POST", "/new/{connector}") => Box::pin(self.create_integration(found.parameter(0), request)),
            ("GET", "/pick") => Box::pin(self.open_picker(request)),
            ("POST", "/pick") => Box::pin(self.pick(request)),
            ("GET", "/sign-in") => Box::pin(self.open_sign_in(request)),
            ("POST", "/sign-in") => Box::pin(self.sign_in(request)),
            ("POST", "/sign-out") => Box::pin(self.sign_out(request)),
            ("GET", "/embed/integrations/{key}/connect") | ("POST", "/screens/integrations/{key}/connect") => {
                Box::pin(self.integration_screen(request, found))
            }
            ("GET", "/embed/connections/{id}/refresh") => Box::pin(self.reconnect_screen(request, found)),
            ("POST", "/screens/connect") => Box::pin(self.connect_screen(request, found)),
            ("POST", "/screens/connection") => Box::pin(self.connection_screen(request, found)),
            ("GET", "/connect.js") => Box::pin(self.module(request)),
            (method, path) => {
                let error = Error::internal(format!("there is no handler for {method} {path}"));
                Box::pin(std::future::ready(Err(error)))
            }
        }
    }

    /// Renders the page of an error.
    pub fn refused(&self, request: &Request, error: &Error) -> Response {
        // Other errors about who somebody is are of tokens, and in words for people.
        let is_signed_out = error.class == ErrorClass::NotAuthenticated && !error.is_for_people;
        if is_signed_out && let Ok(page) = self.ask_to_sign_in(request) {
            return noted(page, error);
        }
        let language = Language::of(request.headers());
        let shown = match (error.kind, error.is_for_people) {
            (ErrorType::BadRequest, false) => ForPeople::instead_of(error, words::NOT_RIGHT, language),
            _ => ForPeople::of(error, language),
        };
        // The page whose form was sent, as it is now.
        let is_form = *request.method() == Method::POST && is_page(path_within(&self.base_uri, request.uri().path()));
        let link = is_form.then_some((words::RELOAD, ""));
        pages::failed_with_link(error, language, words::NOT_POSSIBLE, &shown, link)
    }

    fn no_such_page(&self, request: &Request, error: &Error) -> Response {
        let language = Language::of(request.headers());
        let path = path_within(&self.base_uri, request.uri().path());
        let root = way_to_root(path);
        let shown = ForPeople::instead_of(error, words::NO_SUCH_PAGE, language);
        let link = Some((words::ALL_CREDENTIALS, root.as_str()));
        pages::failed_with_link(error, language, words::PAGE_NOT_FOUND, &shown, link)
    }

    /// `GET /connect.js`
    async fn module(&self, request: &Request) -> Result<Response, Error> {
        Ok(self.cors_origins.answer(request, async { Ok(module::response(request.headers())) }).await)
    }
}

/// Returns the way from a path within Larder to the first page.
fn way_to_root(path: &str) -> String {
    format!("./{}", "../".repeat(path.matches('/').count().saturating_sub(1)))
}

/// Whether a path within Larder has a slash too many.
fn has_empty_segments(path: &str) -> bool {
    path.contains("//") || path.len() > 1 && path.ends_with('/')
}

/// Returns the address of a page, relative to the one with a slash too many, which the router takes for the same.
fn without_empty_segments(path: &str, query: Option<&str>) -> String {
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{}{query}", way_to_root(path), segments.join("/"))
}

/// Whether the client wants a page (RFC 9110 §12.5.1).
pub fn accepts_html(request: &Request) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|range| range.eq_ignore_ascii_case("text/html"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|weight| weight.parse::<f32>().ok());
        is_html && weight != Some(0.0)
    })
}

#[async_trait]
impl Handler for Pages {
    async fn handle(&self, request: Request) -> Response {
        // A page that is rendered ahead needs its module.
        let is_module = path_within(&self.base_uri, request.uri().path()) == "/connect.js";
        if is_prefetch(request.headers()) && !is_module {
            return empty(StatusCode::NO_CONTENT);
        }
        match self.respond(&request).await {
            Ok(response) => response,
            Err(error) => self.refused(&request, &error),
        }
    }
}
