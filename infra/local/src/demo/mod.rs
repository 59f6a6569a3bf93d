//! The demo: a provider to connect, the page of the first minute, and an example application.
//!
//! Only this program has these pages, since only here there is a provider that anybody may use.
//!
//! # Decisions
//!
//! Several programs may share a data folder, but the demo's integration leads to the address of one of them. So the first one has
//! the demo, and holds a lock on a file in the folder for as long as it runs; the others say who has it.

mod app;
mod page;
mod provider;
mod welcome;

use std::fs::File;
use std::sync::Arc;

use http::{Method, header};
use larder::error::Error;
use larder::http::{Request, Response, redirect};
use larder::secret_store::SecretFile;
pub use provider::DemoProvider;
use welcome::Welcome;

use crate::bundle::{Bundle, DataDir, LocalError};
use crate::{WORKSPACE, listener};

/// The style sheet of these pages, after that of every page.
const STYLE: &str = include_str!("../../templates/demo.css");

/// The demo of a running Larder.
pub struct Demo {
    provider: DemoProvider,
    welcome: Welcome,
    bundle: Arc<Bundle>,
    /// It is locked.
    _claim: File,
}

impl Demo {
    /// The key of the integration.
    pub const KEY: &str = "demo";

    /// Creates the demo, and the integration with its provider. `folder` is the name of the data folder for people. `None` if
    /// another program with the same folder has the demo, which is logged.
    ///
    /// # Errors
    /// When a file or the database cannot be used.
    pub async fn open(bundle: &Arc<Bundle>, data: &DataDir, folder: String) -> Result<Option<Self>, LocalError> {
        let environment = bundle.environment();
        let claimed = data.claim_demo(&environment.settings.base_uri);
        let claim = match claimed.map_err(|error| LocalError::Io("the file demo.lock".into(), error))? {
            Ok(claim) => claim,
            Err(holder) => {
                tracing::warn!(
                    "the demo is at {holder}: the Larder there uses the same data folder, so this one has no demo"
                );
                return Ok(None);
            }
        };
        let before = environment.integrations().get(WORKSPACE, Self::KEY).await?;
        let redirect_uris = before.map(|integration| integration.redirect_uris).unwrap_or_default();
        let base_uri = &environment.settings.base_uri;
        bundle.put_integration(Self::KEY, &DemoProvider::integration(base_uri, redirect_uris)).await?;
        let (clock, rng) = (Arc::clone(&environment.clock), Arc::clone(&environment.rng));
        let provider = DemoProvider::open(&SecretFile::new(data.secrets()), clock, rng).await?;
        let (welcome, bundle) = (Welcome::new(bundle, folder)?, Arc::clone(bundle));
        Ok(Some(Self { provider, welcome, bundle, _claim: claim }))
    }

    /// Whether a path is one of the demo's.
    pub fn has(path: &str) -> bool {
        path.starts_with(DemoProvider::PREFIX) || path == Welcome::PATH || path == Welcome::CONNECT_PATH
    }

    /// Answers a request to one of its paths.
    pub async fn handle(&self, request: &Request) -> Response {
        let is_get = [Method::GET, Method::HEAD].contains(request.method());
        match request.uri().path() {
            Welcome::PATH if is_get => Box::pin(self.welcome.show(&self.provider, request)).await,
            Welcome::CONNECT_PATH if request.method() == Method::POST => Box::pin(self.welcome.connect(request)).await,
            Welcome::PATH => Error::method_not_allowed("GET").into(),
            Welcome::CONNECT_PATH => Error::method_not_allowed("POST").into(),
            // The page contains a token.
            app::PATH if is_get && listener::is_for_this_machine(request.headers()) => app::show(&self.bundle).await,
            app::PATH if is_get => Error::access_denied("open this page by the address that Larder prints").into(),
            _ => self.provider.handle(request),
        }
    }

    /// Leads a browser that has just signed in to the first minute, as long as there is nothing else to see.
    pub async fn lead(&self, response: Response) -> Response {
        let is_home = response.headers().get(header::LOCATION).is_some_and(|location| location == "./");
        if !is_home || !self.welcome.is_first().await {
            return response;
        }
        let mut led = redirect(&Welcome::PATH[1..]);
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            led.headers_mut().append(header::SET_COOKIE, cookie.clone());
        }
        led.extensions_mut().extend(response.extensions().clone());
        led
    }
}
