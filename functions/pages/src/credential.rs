//! The page of one credential, and its buttons.
//!
//! # Decisions
//!
//! All buttons post to the page's own address, with the action in the field `do`. If it works, the browser is sent on, so that
//! reloading repeats nothing; otherwise the answer is the page with the reason.

use std::time::Duration;

use http::StatusCode;
use larder::connection::{Connection, Details, DetailsPatch, NextStep, Trigger};
use larder::error::{Error, ErrorClass, ErrorType};
use larder::http::{Parameters, Request, Response, noted, redirect, status_of};
use larder::scope::Scope;
use larder_engine::connect::{RequestedConnection, connection_page, first_page};
use larder_engine::manage::Deletion;
use larder_engine::pages::words::{self, Words};
use larder_engine::pages::{self, Detail, DetailPage, ForPeople, Frame, ListQuery, Notice, Question, Tone, Viewer};

use crate::Pages;
use crate::done::Done;
use crate::visit::Visit;

/// The way from a credential's page to the first one.
const ROOT: &str = "../";
/// How long the link works that an admin sends to an end user, in seconds.
const LINK_LIFETIME: u64 = 24 * 60 * 60;

/// How an action ended.
enum Ended {
    /// It is done.
    Done(Done),
    /// The browser continues elsewhere.
    Leads(Response),
    /// The page shows it.
    Shown(DetailPage),
}

impl Pages {
    /// `GET /c/{id}`
    pub(crate) async fn open_credential(&self, id: &str, request: &Request) -> Result<Response, Error> {
        let visit = self.visit(request).await?;
        let parameters = Parameters::of_query(request);
        let now = self.management.clock.now().unix_timestamp();
        let done = parameters.optional("done")?.and_then(|done| Done::read(done, id, &visit, now));
        let notice = match done {
            Some(done) => Some(Notice::new(done.words().say(visit.language), done.tone())),
            None => self.notice(&visit, &parameters).await?,
        };
        let asks = match parameters.optional("ask")? {
            Some("delete") => Some(Question::Delete),
            Some("disconnect") => Some(Question::Disconnect),
            _ => None,
        };
        let page = DetailPage { asks, ..DetailPage::default() };
        match Box::pin(self.detail(&visit, id, StatusCode::OK, notice, page)).await {
            Ok(page) => Ok(page),
            Err(error) => Ok(Self::failure(&visit, ROOT, &error)),
        }
    }

    /// `POST /c/{id}`
    pub(crate) async fn change_credential(&self, id: &str, request: &Request) -> Result<Response, Error> {
        let (visit, form) = self.submission(request).await?;
        self.overviews.clear();
        match Box::pin(self.act(&visit, id, &form)).await {
            Ok(Ended::Done(done)) => {
                let signed = done.signed(id, &visit, self.management.clock.now().unix_timestamp());
                Ok(redirect(&after(done, &signed, id, form.optional("back")?)))
            }
            Ok(Ended::Leads(response)) => Ok(response),
            Ok(Ended::Shown(page)) => match Box::pin(self.detail(&visit, id, StatusCode::OK, None, page)).await {
                Ok(page) => Ok(page),
                Err(error) => Ok(Self::failure(&visit, ROOT, &error)),
            },
            Err(error) => {
                let is_in_use = error.key == Some("in_use");
                let page = DetailPage {
                    asks: (is_in_use && visit.visitor.caller.admin).then_some(Question::Delete),
                    offers_force: is_in_use && visit.visitor.caller.admin,
                    entered_name: form.optional("name")?.map(ToOwned::to_owned),
                    ..DetailPage::default()
                };
                let notice = if is_in_use { in_use(&error, &visit) } else { refused(&error, &visit) };
                match Box::pin(self.detail(&visit, id, status_of(&error), Some(notice), page)).await {
                    Ok(page) => Ok(noted(page, &error)),
                    // There is no page to show it on.
                    Err(_) => Ok(Self::failure(&visit, ROOT, &error)),
                }
            }
        }
    }

    async fn act(&self, visit: &Visit, id: &str, form: &Parameters) -> Result<Ended, Error> {
        let caller = &visit.visitor.caller;
        let action = form.required("do")?;
        let scope =
            if matches!(action, "reconnect" | "link") { Scope::ConnectionsConnect } else { Scope::ConnectionsWrite };
        caller.require(scope)?;
        let done = match action {
            "test" => {
                let result = self.management.test(caller, id, None).await?;
                if result["success"] == true { Done::Tested } else { Done::TestFailed }
            }
            "refresh" => {
                let seen = self.management.find(caller, id, None).await?;
                let now = self.management.clock.now();
                // The provider would not be called.
                if seen.next_step(None, Trigger::Forced, false, now) == NextStep::TooSoon {
                    Done::TooSoon
                } else {
                    self.management.refresh_found(caller, id, &seen).await?;
                    Done::Refreshed
                }
            }
            "rename" => {
                let name = form.optional("name")?.map(str::trim).filter(|name| !name.is_empty());
                if name.is_some_and(|name| name.len() > Details::MAX_NAME_BYTES) {
                    return Err(Error::bad_request("").for_people(words::NAME_TOO_LONG.say(visit.language)));
                }
                self.patch(
                    visit,
                    id,
                    DetailsPatch { name: Some(name.map(ToOwned::to_owned)), ..DetailsPatch::default() },
                )
                .await?;
                Done::Renamed
            }
            "deactivate" | "activate" => {
                let is_deactivated = action == "deactivate";
                self.patch(visit, id, DetailsPatch { is_deactivated: Some(is_deactivated), ..DetailsPatch::default() })
                    .await?;
                if is_deactivated { Done::Deactivated } else { Done::Activated }
            }
            "disconnect" => {
                self.management.disconnect(caller, id, None).await?;
                Done::Disconnected
            }
            "delete" => {
                let force = form.optional("force")? == Some("true");
                self.management.delete(caller, id, None, Deletion { force, permanent: false }).await?;
                Done::Deleted
            }
            "restore" => {
                self.management.restore(caller, id).await?;
                Done::Restored
            }
            "reconnect" => {
                let wanted = RequestedConnection {
                    connection_id: Some(id.to_owned()),
                    redirect_uri: Some(connection_page(&self.management.connector_setup.base_uri, id)),
                    ..RequestedConnection::default()
                };
                return Ok(Ended::Leads(self.lead_to_form(visit, ROOT, wanted).await?));
            }
            "link" => {
                caller.require_admin()?;
                let wanted =
                    RequestedConnection { connection_id: Some(id.to_owned()), ..RequestedConnection::default() };
                let created = self.management.create_request(caller, wanted, Some(LINK_LIFETIME)).await?;
                let link = created["url"].as_str().map(ToOwned::to_owned);
                return Ok(Ended::Shown(DetailPage { link, ..DetailPage::default() }));
            }
            _ => return Err(Error::bad_request("`do` must be one of the page's actions")),
        };
        Ok(Ended::Done(done))
    }

    async fn patch(&self, visit: &Visit, id: &str, patch: DetailsPatch) -> Result<Connection, Error> {
        self.management.patch(&visit.visitor.caller, id, None, &patch).await
    }

    /// Leads the visitor to the form to connect with, by a connection request that ends on the first page, or another one of ours.
    pub(crate) async fn lead_to_form(
        &self,
        visit: &Visit,
        root: &str,
        wanted: RequestedConnection,
    ) -> Result<Response, Error> {
        let first = || first_page(&self.management.connector_setup.base_uri);
        let wanted =
            RequestedConnection { redirect_uri: Some(wanted.redirect_uri.clone().unwrap_or_else(first)), ..wanted };
        let created = self.management.create_request(&visit.visitor.caller, wanted, None).await?;
        let link = created["url"].as_str().and_then(|url| url.split_once('?')).map(|(_, query)| query);
        let language = visit.language;
        let (title, detail) = (words::CONNECTING.say(language), words::ONE_MOMENT.say(language));
        // A page of ours, since browsers would apply our `form-action` to the provider's, too.
        let url = format!("{root}connect?{}", link.unwrap_or_default());
        Ok(pages::onward(StatusCode::OK, language, title, detail, Duration::ZERO, &url))
    }

    async fn detail(
        &self,
        visit: &Visit,
        id: &str,
        status: StatusCode,
        notice: Option<Notice>,
        page: DetailPage,
    ) -> Result<Response, Error> {
        let caller = &visit.visitor.caller;
        caller.require(Scope::ConnectionsRead)?;
        let (components, connection) =
            tokio::try_join!(self.management.components(caller), self.management.find_with_archived(caller, id, None))?;
        let attempts = self.management.attempts.list(&connection).await?;
        let viewer =
            Viewer { language: visit.language, now: self.management.clock.now(), caller, components: &components };
        let frame = Frame { notice, ..visit.frame(words::CREDENTIALS.say(visit.language).to_owned(), ROOT) };
        Ok(pages::credential(status, frame, Detail { viewer, connection: &connection, attempts: &attempts }, page))
    }

    /// Renders an error in the frame of a visitor's pages.
    pub(crate) fn failure(visit: &Visit, root: &'static str, error: &Error) -> Response {
        Self::failure_of(visit, root, error, words::NO_SUCH_CREDENTIAL)
    }

    /// Renders an error as [`Self::failure`] does. `not_found` says what is missing.
    pub(crate) fn failure_of(visit: &Visit, root: &'static str, error: &Error, not_found: Words) -> Response {
        let language = visit.language;
        let own = own_words(error, visit, not_found);
        let frame = visit.frame(words::NOT_POSSIBLE.say(language).to_owned(), root);
        let message = error.message.replace('`', "");
        noted(pages::failure(status_of(error), frame, &message, own.as_deref()), error)
    }
}

/// Returns the words of an error in the visitor's language. `None` for the words of a provider, and for an admin, those about
/// parameters and the integration. `not_found` says what is missing.
fn own_words(error: &Error, visit: &Visit, not_found: Words) -> Option<String> {
    if error.is_for_people {
        return Some(error.message.clone());
    }
    let is_admin = visit.visitor.caller.admin;
    let words = match (error.class, error.kind) {
        (ErrorClass::NotFound, _) => not_found,
        (ErrorClass::Denied, _) => words::NOT_ALLOWED,
        (_, ErrorType::Internal) => words::TRY_LATER,
        (_, ErrorType::BadRequest) if !is_admin => words::NOT_RIGHT,
        (_, ErrorType::Configuration) if !is_admin => words::SET_UP_FAULT,
        _ => {
            let shown = ForPeople::of_message(&error.message, visit.language);
            return (!shown.is_english).then_some(shown.text);
        }
    };
    Some(ForPeople::instead_of(error, words, visit.language).text)
}

/// Returns the address to go to after an action: the list that it came from, or the credential's own page.
fn after(done: Done, signed: &str, id: &str, back: Option<&str>) -> String {
    let segment = pages::path_segment(id);
    match back {
        None if done != Done::Deleted => format!("{segment}?done={signed}"),
        back => {
            // Only the parameters of the list: a form must not choose where the browser goes.
            let list = ListQuery::new(&Parameters::parse(back.unwrap_or_default().as_bytes())).encoded();
            let separator = if list.is_empty() { "" } else { "&" };
            format!("{ROOT}?{list}{separator}done={signed}&on={segment}#c-{segment}")
        }
    }
}

/// Says which flows use a credential, with links to them.
fn in_use(error: &Error, visit: &Visit) -> Notice {
    let flows = error.data.as_ref().and_then(|data| data["flows"].as_array());
    let link = |flow: &serde_json::Value| {
        let text = |name: &str| flow[name].as_str().map(ToOwned::to_owned);
        (text("name").or_else(|| text("id")).unwrap_or_default(), text("uri").filter(|uri| pages::is_web_address(uri)))
    };
    Notice {
        title: words::IN_USE.say(visit.language).to_owned(),
        detail: None,
        links: flows.into_iter().flatten().map(link).collect(),
        tone: Tone::Bad,
    }
}

pub(crate) fn refused(error: &Error, visit: &Visit) -> Notice {
    let (title, detail) = match own_words(error, visit, words::NO_SUCH_CREDENTIAL) {
        Some(own) => (pages::sentence(&own), None),
        None => {
            let title = words::NOT_POSSIBLE.say(visit.language).to_owned();
            (title, Some(ForPeople::of_message(&error.message, visit.language)))
        }
    };
    Notice { title, detail, links: Vec::new(), tone: Tone::Bad }
}
