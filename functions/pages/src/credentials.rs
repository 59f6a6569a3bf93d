//! The credentials page: the list of `GET /`.
//!
//! # Decisions
//!
//! A list that doesn't fit on a page needs numbers from indexes, which takes dozens of queries for 100,000 credentials. The page
//! does not wait for them: unless they are in memory, its script asks for them next (`?counts=1`), or else the browser, by a
//! refresh. Capped numbers would need a query for each integration.

use http::StatusCode;
use larder::caller::Caller;
use larder::clock::later;
use larder::error::Error;
use larder::http::{Parameters, Request, Response, raw_json};
use larder::scope::Scope;
use larder_engine::manage::{Filters, Overview};
use larder_engine::pages::{self, ForPeople, Frame, ListPage, ListQuery, Notice, Tone, Viewer, words};
use serde_json::json;

use crate::done::Done;
use crate::visit::Visit;
use crate::{Pages, accepts_html};

impl Pages {
    /// `GET /`: the credentials for people, and whether Larder is there for programs.
    pub(crate) async fn home(&self, request: &Request) -> Result<Response, Error> {
        if !accepts_html(request) {
            return Ok(raw_json(StatusCode::OK, r#"{"status":"ok"}"#.to_owned()));
        }
        let visit = self.visit(request).await?;
        match Box::pin(self.list(&visit, request)).await {
            Ok(page) => Ok(page),
            Err(error) => Ok(Self::failure(&visit, "./", &error)),
        }
    }

    async fn list(&self, visit: &Visit, request: &Request) -> Result<Response, Error> {
        let caller = &visit.visitor.caller;
        caller.require(Scope::ConnectionsRead)?;
        let parameters = Parameters::of_query(request);
        let filters = Filters::read(&parameters, caller)?.by_attention();
        let (components, page) = if filters.needs_names() {
            let components = self.management.components(caller).await?;
            let filters = filters.searching_names(&components);
            let page = self.management.page(caller, &filters).await?;
            (components, page)
        } else {
            tokio::try_join!(self.management.components(caller), self.management.page(caller, &filters))?
        };
        let query = ListQuery::new(&parameters);
        let is_complete = !query.filters() && !query.is_continued() && page.cursor.is_none();
        let overview = match (is_complete, parameters.optional("counts")?) {
            (true, _) => Some(self.keep(LISTED, visit, Overview::of(&page.items))),
            (false, Some(_)) => Some(self.overview(visit).await?),
            (false, None) => {
                let known = |from| self.overviews.get(&overview_key(from, visit));
                known(COUNTED).or_else(|| known(LISTED))
            }
        };
        let viewer =
            Viewer { language: visit.language, now: self.management.clock.now(), caller, components: &components };
        let done = self.done(visit, &parameters)?;
        let outcome = done.filter(|(_, id)| page.items.iter().any(|it| it.key.id == *id));
        let notice = match (done, outcome) {
            (_, Some(_)) => None,
            (Some((done, id)), None) => Some(self.away(done, id, visit).await),
            (None, None) => self.notice(visit, &parameters).await?,
        };
        let title = words::CREDENTIALS.say(visit.language).to_owned();
        let frame = Frame { notice, ..visit.frame(title, "./") };
        let list = ListPage {
            viewer,
            query: &query,
            items: &page.items,
            cursor: page.cursor.as_deref(),
            counts: overview.as_ref().map(|overview| &overview.by_integration),
            attention: overview.as_ref().and_then(|overview| overview.attention),
            counted: format!("?{}&counts=1", request.uri().query().unwrap_or_default()),
            outcome: outcome.map(|(done, id)| (id, done.words().say(visit.language), done.tone())),
        };
        Ok(pages::credentials(frame, &list))
    }

    /// Returns the numbers beside the list, from memory if they are not old.
    pub(crate) async fn overview(&self, visit: &Visit) -> Result<Overview, Error> {
        let caller = &visit.visitor.caller;
        match self.overviews.get(&overview_key(COUNTED, visit)) {
            Some(overview) => Ok(overview),
            None => Ok(self.keep(COUNTED, visit, self.management.overview(caller).await?)),
        }
    }

    /// Keeps the numbers beside a list in memory for the visitor's next pages.
    fn keep(&self, from: &str, visit: &Visit, overview: Overview) -> Overview {
        let until = later(self.management.clock.now(), overview.lifetime());
        self.overviews.insert(overview_key(from, visit), overview.clone(), until);
        overview
    }

    /// Says what was done to a credential that the list does not show.
    async fn away(&self, done: Done, id: &str, visit: &Visit) -> Notice {
        // It can be restored on its own page, unless it was only stored.
        let is_kept =
            done == Done::Deleted && self.management.find_with_archived(&visit.visitor.caller, id, None).await.is_ok();
        let link = || (words::UNDO.say(visit.language).to_owned(), Some(format!("c/{}", pages::path_segment(id))));
        Notice {
            title: done.words().say(visit.language).to_owned(),
            detail: None,
            links: is_kept.then(link).into_iter().collect(),
            tone: done.tone(),
        }
    }

    /// Says how connecting an account ended.
    pub(crate) async fn notice(&self, visit: &Visit, parameters: &Parameters) -> Result<Option<Notice>, Error> {
        if let Some(id) = parameters.optional("requestId")? {
            return Ok(self.connected(visit, id).await.map(|(notice, _)| notice));
        }
        Ok(None)
    }

    /// Returns what a form of ours has just done, and to which credential.
    fn done<'a>(&self, visit: &Visit, parameters: &'a Parameters) -> Result<Option<(Done, &'a str)>, Error> {
        let (Some(done), Some(id)) = (parameters.optional("done")?, parameters.optional("on")?) else {
            return Ok(None);
        };
        Ok(Done::read(done, id, visit, self.management.clock.now().unix_timestamp()).map(|done| (done, id)))
    }

    /// Says how connecting an account ended, which began with this connection request, and returns the connection's id.
    pub(crate) async fn connected(&self, visit: &Visit, request: &str) -> Option<(Notice, Option<String>)> {
        let language = visit.language;
        // The URL may come from anybody, so only what is stored is shown.
        let ended = self.management.get_request(&visit.visitor.caller, request).await.ok()?;
        let notice = match ended["status"].as_str() {
            Some("success") => Notice::new(words::CONNECTED.say(language), Tone::Good),
            Some("error") if ended["resultError"]["key"] == "cancelled" => {
                Notice::new(words::YOU_CANCELED.say(language), Tone::None)
            }
            Some("error") => {
                let message = ended["resultError"]["message"].as_str().unwrap_or_default();
                let detail = Some(ForPeople::of_message(message, language));
                Notice { detail, ..Notice::new(words::NOT_CONNECTED.say(language), Tone::Bad) }
            }
            _ => Notice::new(words::STILL_PENDING.say(language), Tone::None),
        };
        Some((notice, ended["resultConnectionId"].as_str().map(ToOwned::to_owned)))
    }
}

/// Numbers from an index.
const COUNTED: &str = "counted";
/// Numbers from a list that fits on its page.
const LISTED: &str = "listed";

/// The key of the numbers from one of these places, for all visitors who see the same.
fn overview_key(from: &str, visit: &Visit) -> String {
    let Caller { workspace, tenant, admin, connection_ids, integration_keys, .. } = &visit.visitor.caller;
    json!([from, workspace, tenant.as_ref().filter(|_| !admin), admin, connection_ids, integration_keys]).to_string()
}

impl Visit {
    /// The frame of a page of this visitor.
    pub(crate) fn frame(&self, title: String, root: &'static str) -> Frame<'_> {
        Frame::new(self.language, title, root, &self.visitor.caller, &self.visitor.form_token)
    }
}
