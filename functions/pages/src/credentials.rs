//! The credentials page: the list of `GET /`.

use http::StatusCode;
use larder::clock::later;
use larder::error::Error;
use larder::http::{Parameters, Request, Response, raw_json};
use larder::scope::Scope;
use larder_engine::manage::{Filters, Overview};
use larder_engine::pages::{self, Frame, ListPage, ListQuery, Notice, Tone, Viewer, words};

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
        let filters = Filters::read(&parameters, caller)?;
        let (components, page) =
            tokio::try_join!(self.management.components(caller), self.management.page(caller, &filters))?;
        let query = ListQuery::new(&parameters);
        let is_complete = !query.filters() && !query.is_continued() && page.cursor.is_none();
        let overview = if is_complete { Overview::of(&page.items) } else { self.overview(visit).await? };
        let viewer =
            Viewer { language: visit.language, now: self.management.clock.now(), caller, components: &components };
        let done = self.done(visit, &parameters)?;
        let outcome = done.filter(|(_, id)| page.items.iter().any(|it| it.key.id == *id));
        let notice = match (done, outcome) {
            (_, Some(_)) => None,
            (Some((done, id)), None) => Some(away(done, id, visit)),
            (None, None) => self.notice(visit, &parameters).await?,
        };
        let title = words::CREDENTIALS.say(visit.language).to_owned();
        let frame = Frame { notice, ..visit.frame(title, "./") };
        let list = ListPage {
            viewer,
            query: &query,
            items: &page.items,
            cursor: page.cursor.as_deref(),
            counts: &overview.by_integration,
            attention: overview.attention,
            outcome: outcome.map(|(done, id)| (id, done.words().say(visit.language))),
        };
        Ok(pages::credentials(frame, &list))
    }

    /// Returns the numbers beside the list, from memory if they are not old.
    pub(crate) async fn overview(&self, visit: &Visit) -> Result<Overview, Error> {
        let caller = &visit.visitor.caller;
        if caller.is_limited() {
            return self.management.overview(caller).await;
        }
        let key = (caller.workspace.clone(), caller.tenant.clone().filter(|_| !caller.admin));
        if let Some(overview) = self.overviews.get(&key) {
            return Ok(overview);
        }
        let overview = self.management.overview(caller).await?;
        self.overviews.insert(key, overview.clone(), later(self.management.clock.now(), overview.lifetime()));
        Ok(overview)
    }

    /// Says how connecting an account ended.
    async fn notice(&self, visit: &Visit, parameters: &Parameters) -> Result<Option<Notice>, Error> {
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
                let message = ended["resultError"]["message"].as_str().unwrap_or_default().replace('`', "");
                let detail = Some(pages::sentence(&message));
                Notice { detail, ..Notice::new(words::NOT_CONNECTED.say(language), Tone::Bad) }
            }
            _ => Notice::new(words::STILL_PENDING.say(language), Tone::None),
        };
        Some((notice, ended["resultConnectionId"].as_str().map(ToOwned::to_owned)))
    }
}

/// Says what was done to a credential that the list does not show.
fn away(done: Done, id: &str, visit: &Visit) -> Notice {
    // It can be restored on its own page.
    let link = || (words::UNDO.say(visit.language).to_owned(), Some(format!("c/{}", pages::path_segment(id))));
    Notice {
        title: done.words().say(visit.language).to_owned(),
        detail: None,
        links: (done == Done::Deleted).then(link).into_iter().collect(),
        tone: Tone::Good,
    }
}

impl Visit {
    /// The frame of a page of this visitor.
    pub(crate) fn frame(&self, title: String, root: &'static str) -> Frame<'_> {
        Frame::new(self.language, title, root, &self.visitor.caller, &self.visitor.form_token)
    }
}
