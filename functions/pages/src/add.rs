//! Adding a credential: the visitor chooses an integration, and gets its form.

use larder::error::Error;
use larder::http::{Request, Response};
use larder::scope::Scope;
use larder_engine::connect::RequestedConnection;
use larder_engine::pages::{self, AddPage, Viewer, words};

use crate::Pages;
use crate::visit::Visit;

impl Pages {
    /// `GET /add`
    pub(crate) async fn open_add(&self, request: &Request) -> Result<Response, Error> {
        let visit = self.visit(request).await?;
        match self.choice(&visit).await {
            Ok(page) => Ok(page),
            Err(error) => Ok(Self::failure(&visit, "./", &error)),
        }
    }

    /// `POST /add`
    pub(crate) async fn add(&self, request: &Request) -> Result<Response, Error> {
        let (visit, form) = self.submission(request).await?;
        self.overviews.clear();
        let leading = async {
            visit.visitor.caller.require(Scope::ConnectionsConnect)?;
            let wanted = RequestedConnection {
                integration_keys: vec![form.required("integrationKey")?.to_owned()],
                // A workspace may have several credentials for one service, such as for staging and production.
                allow_multiple_connections: true,
                ..RequestedConnection::default()
            };
            self.lead_to_form(&visit, "./", wanted).await
        };
        match Box::pin(leading).await {
            Ok(page) => Ok(page),
            Err(error) => Ok(Self::failure_of(&visit, "./", &error, words::NO_SUCH_INTEGRATION)),
        }
    }

    async fn choice(&self, visit: &Visit) -> Result<Response, Error> {
        let caller = &visit.visitor.caller;
        caller.require(Scope::ConnectionsConnect)?;
        let components = self.management.components(caller).await?;
        let viewer =
            Viewer { language: visit.language, now: self.management.clock.now(), caller, components: &components };
        let title = words::ADD_CREDENTIAL.say(visit.language).to_owned();
        Ok(pages::add(visit.frame(title, "./"), &AddPage { viewer }))
    }
}
