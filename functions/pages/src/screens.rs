//! The hosted screens of the Membrane SDKs: the form to connect with, and one connection, in a frame of the application.
//!
//! ```text
//! the SDK's token ──▶ choice ──▶ form ⇄ errors ──▶ the connection, for the application
//!                        └──▶ departure: the provider, in another window ──┘
//! ```
//!
//! # Decisions
//!
//! The form is that of `/connect`: this function links the crate `connect` ([`Connect::screen`](connect::Connect::screen)). A
//! second form would differ in what it tests and how, and moving the form into the engine would move what only these two use.
//!
//! A frame has no cookie: browsers don't send one to a frame of another website. Its forms carry a sealed ticket, which is good
//! for 15 minutes, and no other website can send it, since it takes our own origin, too.
//!
//! Only the integration says which origins may show a frame. So errors before it is known cannot be shown there, and the SDK
//! reports that it is unable to connect.
//!
//! A ticket that has expired still says where its page may be shown, so that the end user learns that it has.

use std::time::Duration;

use connect::{ConnectRequest, Screen, ScreenStep, Ticket};
use http::header;
use larder::caller::Caller;
use larder::connection::Connection;
use larder::dynamodb::{Integration, RequestOutcome};
use larder::error::{Error, ErrorClass};
use larder::http::{Parameters, Request, Response, is_form, noted};
use larder::random;
use larder_engine::connect::{Delivery, RequestedConnection};
use larder_engine::connector_setup::logo;
use larder_engine::manage::NewRequest;
use larder_engine::pages::{
    self, Departure, ForPeople, FormHead, Language, Mark, ScreenEnd, ScreenFrame, Theme, words,
};
use larder_engine::router::Found;
use serde::{Deserialize, Serialize};

use crate::Pages;

/// How long a page in a frame can be submitted.
pub(crate) const LIFETIME: Duration = Duration::from_mins(15);
/// The kind of its tickets.
pub(crate) const KIND: &str = "screen";
/// The name of the field with the ticket.
const TICKET: &str = "formTicket";

/// A page's verified request, which its forms continue. It is sealed.
#[derive(Clone, Serialize, Deserialize)]
struct ScreenTicket {
    caller: Caller,
    wanted: ConnectRequest,
    new_id: String,
    theme: Theme,
    /// The connection request behind the window with the provider.
    departure: Option<MadeRequest>,
}

/// A connection request, and how to follow it.
#[derive(Clone, Serialize, Deserialize)]
struct MadeRequest {
    id: String,
    url: String,
    status_token: String,
}

/// The request for a page in a frame.
struct FrameVisit<'a> {
    request: &'a Request,
    ticket: ScreenTicket,
    /// The sealed ticket.
    sealed: String,
    integration: Integration,
    delivery: Delivery,
    /// The path from this page to the root.
    to_root: String,
    action: String,
}

impl FrameVisit<'_> {
    fn frame(&self) -> ScreenFrame<'_> {
        ScreenFrame { origins: &self.delivery.message_origins, action: &self.action, theme: self.ticket.theme }
    }

    fn end(&self, end: ScreenEnd<'_>) -> Response {
        pages::screen_end(self.delivery.language, self.frame(), end)
    }

    fn failed(&self, error: &Error) -> Response {
        let shown = ForPeople::of(error, self.delivery.language);
        noted(self.end(ScreenEnd::Failed(error, &shown)), error)
    }
}

impl Pages {
    /// `GET /embed/integrations/{key}/connect` and `POST /screens/integrations/{key}/connect`
    pub(crate) async fn integration_screen(&self, request: &Request, found: &Found) -> Result<Response, Error> {
        let (caller, wanted) = self.caller(request, found).await?;
        let wanted = wanted.in_frame(Some(found.parameter(0).to_owned()), None);
        self.open_form(request, found, caller, wanted).await
    }

    /// `GET /embed/connections/{id}/refresh`
    pub(crate) async fn reconnect_screen(&self, request: &Request, found: &Found) -> Result<Response, Error> {
        let (caller, wanted) = self.caller(request, found).await?;
        let connection = self.management.find(&caller, found.parameter(0), None).await?;
        let wanted = wanted.in_frame(None, Some(connection.key.id));
        self.open_form(request, found, caller, wanted).await
    }

    /// `POST /screens/connect`: opens a form with a caller's token, or continues one with its ticket.
    pub(crate) async fn connect_screen(&self, request: &Request, found: &Found) -> Result<Response, Error> {
        let form = form_of(request);
        if let Some(ticket) = form.optional(TICKET)? {
            return self.continue_form(request, found, ticket, &form).await;
        }
        let (caller, wanted) = self.caller(request, found).await?;
        let text = |name: &str| Ok::<_, Error>(form.optional(name)?.filter(|text| !text.is_empty()));
        let connection_key = text("connectionKey")?;
        let wanted = match wanted.connection_id().or(connection_key) {
            Some(selector) => {
                let connection = self.management.find(&caller, selector, None).await?;
                wanted.in_frame(None, Some(connection.key.id))
            }
            None => {
                let key = match (wanted.integration_key(), text("connectorKey")?) {
                    (None, Some(connector)) => Some(self.only_integration(&caller, connector).await?),
                    (key, _) => key.map(ToOwned::to_owned),
                };
                wanted.in_frame(key, None)
            }
        };
        self.open_form(request, found, caller, wanted).await
    }

    /// `POST /screens/connection`: shows one connection, and lets the end user reconnect it.
    pub(crate) async fn connection_screen(&self, request: &Request, found: &Found) -> Result<Response, Error> {
        let (caller, wanted) = self.caller(request, found).await?;
        let missing = || Error::bad_request("`connectionId` is missing; add a connection's id");
        let connection = self.management.find(&caller, wanted.connection_id().ok_or_else(missing)?, None).await?;
        let wanted = wanted.in_frame(None, Some(connection.key.id.clone()));
        let visit = self.open_visit(request, found, caller, wanted).await?;
        self.with_head(&visit, |head| pages::connection(head, &connection))
    }

    /// Returns the caller, from its token, and what it asks for.
    async fn caller(&self, request: &Request, found: &Found) -> Result<(Caller, ConnectRequest), Error> {
        let wanted = ConnectRequest::read(request)?;
        let caller = self.connect.caller(request, &wanted, found.route).await?;
        Ok((caller, wanted))
    }

    /// Returns the key of the only integration of a connector.
    async fn only_integration(&self, caller: &Caller, connector: &str) -> Result<String, Error> {
        let all = self.management.connector_setup.integrations.list(&caller.workspace).await?;
        let mut keys = all.into_iter().filter(|it| it.connector_key == connector && caller.may_use(&it.key));
        match (keys.next(), keys.next()) {
            (Some(only), None) => Ok(only.key),
            (None, _) => Err(Error::not_found(format!("there is no integration of the connector `{connector}`"))),
            (Some(_), Some(_)) => {
                let message =
                    format!("the connector `{connector}` has several integrations; name one by `integrationKey`");
                Err(Error::bad_request(message))
            }
        }
    }

    async fn open_form(
        &self,
        request: &Request,
        found: &Found,
        caller: Caller,
        wanted: ConnectRequest,
    ) -> Result<Response, Error> {
        let visit = self.open_visit(request, found, caller, wanted).await?;
        Ok(self.show(visit, &Parameters::default()).await)
    }

    /// Begins with a caller's request.
    async fn open_visit<'a>(
        &self,
        request: &'a Request,
        found: &Found,
        caller: Caller,
        wanted: ConnectRequest,
    ) -> Result<FrameVisit<'a>, Error> {
        let parameters = if is_form(request.headers()) { form_of(request) } else { Parameters::of_query(request) };
        let theme = Theme::of(parameters.optional("theme")?.unwrap_or_default());
        let new_id = random::token::<16>(&*self.management.writer.rng);
        let ticket = ScreenTicket { caller, wanted, new_id, theme, departure: None };
        let sealed = self.tickets.seal(&ticket.caller.workspace, &ticket).await?;
        let visit = self.visit_of(request, found, ticket, sealed).await?;
        // A page of another origin would see an empty frame, and its developer no reason.
        let opener = Delivery { request_id: Some(String::new()), ..visit.delivery.clone() };
        opener.check_opener(&visit.integration, request.headers().get(header::ORIGIN))?;
        Ok(visit)
    }

    async fn visit_of<'a>(
        &self,
        request: &'a Request,
        found: &Found,
        ticket: ScreenTicket,
        sealed: String,
    ) -> Result<FrameVisit<'a>, Error> {
        let integration = self.connect.integration(&ticket.caller, &ticket.wanted).await?;
        let delivery = Delivery::new(&integration, None, None, &self.base_uri)?;
        let delivery = Delivery { language: Language::of(request.headers()), ..delivery };
        let to_root = "../".repeat(found.route.path.matches('/').count() - 1);
        let action = format!("{to_root}screens/connect");
        Ok(FrameVisit { request, ticket, sealed, integration, delivery, to_root, action })
    }

    /// Continues with a form of ours.
    async fn continue_form(
        &self,
        request: &Request,
        found: &Found,
        sealed: &str,
        form: &Parameters,
    ) -> Result<Response, Error> {
        let language = Language::of(request.headers());
        if !self.is_own_form(request) {
            return Err(Error::access_denied("").for_people(words::OTHER_SITE.say(language)));
        }
        let expired = || Error::bad_request("").for_people(words::PAGE_EXPIRED.say(language));
        let (workspace, ticket): (String, Ticket<ScreenTicket>) =
            self.tickets.open(sealed).await?.ok_or_else(expired)?;
        let is_expired = self.tickets.is_expired(&ticket);
        if ticket.contents.caller.workspace != workspace {
            return Err(expired());
        }
        let visit = self.visit_of(request, found, ticket.contents, sealed.to_owned()).await?;
        if is_expired {
            return Ok(visit.failed(&expired()));
        }
        Ok(self.show(visit, form).await)
    }

    /// Returns the next page, which may be that of an error.
    async fn show(&self, mut visit: FrameVisit<'_>, form: &Parameters) -> Response {
        match self.next_page(&mut visit, form).await {
            Ok(page) => page,
            Err(error) if error.key == Some("cancelled") => visit.end(ScreenEnd::Canceled),
            Err(error) => visit.failed(&error),
        }
    }

    async fn next_page(&self, visit: &mut FrameVisit<'_>, form: &Parameters) -> Result<Response, Error> {
        if let Some(made) = visit.ticket.departure.clone() {
            if let Some(page) = self.follow(visit, &made, form).await? {
                return Ok(page);
            }
            visit.ticket.departure = None;
            visit.sealed = self.tickets.seal(&visit.ticket.caller.workspace, &visit.ticket).await?;
        }
        let ScreenTicket { caller, wanted, new_id, .. } = &visit.ticket;
        let screen = Screen {
            request: visit.request,
            caller,
            integration: &visit.integration,
            delivery: &visit.delivery,
            frame: visit.frame(),
            hidden: &[(TICKET, &visit.sealed)],
        };
        match self.connect.screen(&screen, wanted.clone().with_new_id(new_id.clone()), form).await? {
            ScreenStep::Ask(page) => Ok(page),
            ScreenStep::Connected(connection) => Ok(visit.end(ScreenEnd::Connected(&connection))),
            ScreenStep::Leave(requested) => self.depart(visit, *requested).await,
        }
    }

    /// Makes a connection request, whose link leads to the provider in another window.
    async fn depart(&self, visit: &mut FrameVisit<'_>, requested: RequestedConnection) -> Result<Response, Error> {
        let made = self.management.make_request(&visit.ticket.caller, requested, Some(LIFETIME.as_secs())).await?;
        let NewRequest { request, url, status_token } = made;
        visit.ticket.departure = Some(MadeRequest { id: request.id, url, status_token });
        visit.sealed = self.tickets.seal(&visit.ticket.caller.workspace, &visit.ticket).await?;
        self.departure(visit, None).await
    }

    /// Returns the page for a connection request that was made before. `None` if the end user wants to connect in another way.
    async fn follow(
        &self,
        visit: &FrameVisit<'_>,
        made: &MadeRequest,
        form: &Parameters,
    ) -> Result<Option<Response>, Error> {
        let caller = &visit.ticket.caller;
        let leaves = form.optional("cancel")?.is_some() || form.optional("choose")?.is_some();
        if leaves {
            match self.management.cancel_request(caller, &made.id).await {
                Ok(()) => return Ok(None),
                // It has led to a connection.
                Err(error) if error.class == ErrorClass::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        let request = self.management.requests.get(&made.id, self.management.clock.now()).await?;
        let language = visit.delivery.language;
        match request.and_then(|request| request.outcome) {
            Some(RequestOutcome::Connected { connection_id }) => {
                let connection: Connection = self.management.find(caller, &connection_id, None).await?;
                Ok(Some(visit.end(ScreenEnd::Connected(&connection))))
            }
            Some(RequestOutcome::Failed(problem)) => {
                let message = problem["message"].as_str().unwrap_or_default();
                self.departure(visit, Some(message)).await.map(Some)
            }
            Some(RequestOutcome::Canceled) => Err(Error::conflict("").for_people(words::LINK_CANCELED.say(language))),
            None | Some(RequestOutcome::Unconfirmed { .. }) => self.departure(visit, None).await.map(Some),
        }
    }

    async fn departure(&self, visit: &FrameVisit<'_>, problem: Option<&str>) -> Result<Response, Error> {
        let Some(made) = &visit.ticket.departure else { return Err(Error::internal("no departure")) };
        let overrides = serde_json::Map::new();
        let (_, options) = self.management.connector_setup.options(&visit.integration, &overrides).await?;
        let url = format!("{}connection-requests/{}", visit.to_root, made.id);
        let departure = Departure {
            link: &made.url,
            status: (&url, &made.status_token),
            problem,
            has_other_ways: options.len() > 1,
        };
        self.with_head(visit, |head| pages::departure(head, departure))
    }

    fn with_head(
        &self,
        visit: &FrameVisit<'_>,
        page: impl FnOnce(FormHead<'_>) -> Response,
    ) -> Result<Response, Error> {
        let integration = &visit.integration;
        let connector = self.management.connector_setup.connector(&integration.connector_key)?;
        let name = integration.name.as_ref().unwrap_or(&connector.name);
        Ok(page(FormHead {
            language: visit.delivery.language,
            name,
            mark: &Mark::new(&integration.key, name, logo(integration, Some(&connector))),
            is_reconnect: visit.ticket.wanted.connection_id().is_some(),
            connection: None,
            hidden: &[(TICKET, &visit.sealed)],
            can_cancel: true,
            frame: Some(visit.frame()),
        }))
    }
}

/// Returns the fields of a request's form.
fn form_of(request: &Request) -> Parameters {
    if is_form(request.headers()) { Parameters::parse(request.body()) } else { Parameters::default() }
}
