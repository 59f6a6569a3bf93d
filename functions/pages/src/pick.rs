//! The picker: somebody who builds a flow in an application chooses a credential for it, or adds one.
//!
//! The application opens `/pick` in a popup or in its own window. The result arrives as that of `/connect`: by redirect, by message
//! to the opener, or on a page. If the application names a flow, the credential is marked as used by it.
//!
//! # Decisions
//!
//! The picker signs nobody in, and takes no token: the visitor is the one of the session's cookie. So another website can open it,
//! but not as somebody else (login CSRF). Without a session, a page says how to sign in. The header shows whose credentials
//! these are.
//!
//! Nobody may frame it, since a click would hand over a credential. A `GET` changes and sends nothing, not even for the account that
//! was just connected: the visitor presses a button, whose form only a page of ours can send.
//!
//! A result goes only where a result of `/connect` may go: to one of the integration's `redirectUris`, or to their origins. Its
//! message contains the connection as the API shows it, without secrets.
//!
//! The name and the address of a flow come from whoever made the link. The page shows them before anything is marked, and the address
//! must be of an origin that may receive results: it becomes a link that others click.
//!
//! Only a credential that works can be chosen. A new one is tested before it is stored, and comes back to this page.

use std::collections::BTreeMap;

use http::StatusCode;
use larder::connection::{Connection, Flow};
use larder::dynamodb::Integration;
use larder::error::Error;
use larder::http::{Parameters, Request, Response, noted, status_of};
use larder::scope::Scope;
use larder_engine::connect::{ConnectFailure, Delivery, RequestedConnection, picker_page};
use larder_engine::manage::Filters;
use larder_engine::pages::{self, ForPeople, Frame, Notice, Origin, PickPage, Viewer, words};

use crate::Pages;
use crate::credential::refused;
use crate::visit::Visit;

/// The way to the first page.
const ROOT: &str = "./";
/// The most credentials on a page.
const PAGE: &str = "25";

/// The parameters of an application.
const PARAMETERS: [&str; 6] = ["integrationKey", "requestId", "redirectUri", "flow", "flowName", "flowUri"];

/// An application's wish for a credential.
struct Wish {
    integration: Integration,
    delivery: Delivery,
    flow: Option<(String, Flow)>,
    /// The parameters as they were given.
    parameters: Vec<(String, String)>,
}

impl Pages {
    /// `GET /pick?integrationKey=…`
    pub(crate) async fn open_picker(&self, request: &Request) -> Result<Response, Error> {
        let visit = self.visit(request).await?;
        let query = Parameters::of_query(request);
        let showing = async {
            let wish = self.wish(&visit, &query).await?;
            let (notice, connection) = match query.optional("for")?.and(query.optional("requestId")?) {
                Some(id) => self.connected(&visit, id).await.unzip(),
                None => (None, None),
            };
            let fresh = match connection.flatten() {
                Some(id) => self.usable(&visit, &wish, &id).await.ok(),
                None => None,
            };
            let detail = fresh.as_ref().map(|_| ForPeople::own(words::NOW_CHOOSE, visit.language));
            let notice = notice.map(|notice| Notice { detail: detail.or_else(|| notice.detail.clone()), ..notice });
            self.picker(&visit, &wish, &query, StatusCode::OK, notice, fresh.as_ref()).await
        };
        let page = Box::pin(showing).await;
        Ok(page.unwrap_or_else(|error| Self::failure_of(&visit, ROOT, &error, words::NO_SUCH_INTEGRATION)))
    }

    /// `POST /pick`
    pub(crate) async fn pick(&self, request: &Request) -> Result<Response, Error> {
        let (visit, form) = self.submission(request).await?;
        let query = Parameters::of_query(request);
        let picking = async {
            let wish = self.wish(&visit, &query).await?;
            match self.act_on_wish(&visit, &wish, &form).await {
                Ok(response) => Ok(response),
                Err(error) => {
                    let notice = Some(refused(&error, &visit));
                    let page = self.picker(&visit, &wish, &query, status_of(&error), notice, None).await?;
                    Ok(noted(page, &error))
                }
            }
        };
        let page: Result<Response, Error> = Box::pin(picking).await;
        Ok(page.unwrap_or_else(|error| Self::failure_of(&visit, ROOT, &error, words::NO_SUCH_INTEGRATION)))
    }

    async fn act_on_wish(&self, visit: &Visit, wish: &Wish, form: &Parameters) -> Result<Response, Error> {
        let caller = &visit.visitor.caller;
        let language = visit.language;
        if let Some(id) = form.optional("choose")? {
            let connection = self.usable(visit, wish, id).await?;
            if let Some((flow, details)) = &wish.flow {
                caller.require(Scope::ConnectionsWrite)?;
                self.management.put_flow(caller, &connection.key.id, None, flow, details).await?;
            }
            // The message shows the connection with its flows.
            let connection = self.management.find(caller, &connection.key.id, None).await?;
            return Ok(pages::back_to_application(wish.delivery.chosen(&connection), language));
        }
        if form.optional("do")? == Some("cancel") {
            let error = Error::connection(Some("cancelled"), "the end user canceled the choice");
            let failure = ConnectFailure { error, connection_id: None };
            return Ok(pages::back_to_application(wish.delivery.failure(&failure), language));
        }
        caller.require(Scope::ConnectionsConnect)?;
        self.overviews.clear();
        let returning =
            picker_page(&self.base_uri, &encoded(wish.parameters.iter().map(|(name, value)| (name, value))));
        let wanted = RequestedConnection { redirect_uri: Some(returning), ..RequestedConnection::default() };
        let wanted = match (form.optional("reconnect")?, form.optional("do")?) {
            (Some(id), _) => {
                let connection = self.of_wish(visit, wish, id).await?;
                RequestedConnection { connection_id: Some(connection.key.id), ..wanted }
            }
            (None, Some("add")) => RequestedConnection {
                integration_keys: vec![wish.integration.key.clone()],
                allow_multiple_connections: true,
                ..wanted
            },
            _ => return Err(Error::bad_request("`do` must be one of the page's actions")),
        };
        self.lead_to_form(visit, ROOT, wanted).await
    }

    /// Reads the parameters of an application, which `for` has if the visitor comes back from connecting an account.
    async fn wish(&self, visit: &Visit, query: &Parameters) -> Result<Wish, Error> {
        let caller = &visit.visitor.caller;
        caller.require(Scope::ConnectionsRead)?;
        let within = query.optional("for")?.map(|wish| Parameters::parse(wish.as_bytes()));
        let given = within.as_ref().unwrap_or(query);
        let mut values = BTreeMap::new();
        for name in PARAMETERS {
            if let Some(value) = given.optional(name)?.filter(|value| !value.is_empty()) {
                values.insert(name, value);
            }
        }
        let value = |name: &str| values.get(name).map(|value| (*value).to_owned());
        let key = given.required("integrationKey")?;
        let integration = self.management.connector_setup.integration_for(caller, key).await?;
        let delivery = Delivery::new(&integration, value("redirectUri"), value("requestId"), &self.base_uri)?;
        let delivery = Delivery { language: visit.language, ..delivery };
        let flow = match value("flow") {
            None => None,
            Some(id) => {
                let flow = Flow { name: value("flowName"), uri: value("flowUri"), active: true };
                flow.check(&id)?;
                check_address(&flow, &delivery)?;
                Some((id, flow))
            }
        };
        let parameters = PARAMETERS.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect();
        Ok(Wish { integration, delivery, flow, parameters })
    }

    /// Returns a connection of the wish's integration that can be chosen.
    async fn usable(&self, visit: &Visit, wish: &Wish, id: &str) -> Result<Connection, Error> {
        let connection = self.of_wish(visit, wish, id).await?;
        if !connection.is_usable() {
            return Err(Error::conflict("").for_people(words::NOT_USABLE.say(visit.language)));
        }
        Ok(connection)
    }

    async fn of_wish(&self, visit: &Visit, wish: &Wish, id: &str) -> Result<Connection, Error> {
        let connection = self.management.find(&visit.visitor.caller, id, None).await?;
        let integration = connection.integration.as_ref().map(|integration| &integration.key);
        if integration != Some(&wish.integration.key) {
            return Err(Error::not_found(words::NO_SUCH_CREDENTIAL.say(visit.language)));
        }
        Ok(connection)
    }

    async fn picker(
        &self,
        visit: &Visit,
        wish: &Wish,
        query: &Parameters,
        status: StatusCode,
        notice: Option<Notice>,
        fresh: Option<&Connection>,
    ) -> Result<Response, Error> {
        let caller = &visit.visitor.caller;
        let (search, cursor) = (query.optional("search")?, query.optional("cursor")?);
        let (search, cursor) = (search.unwrap_or_default(), cursor.unwrap_or_default());
        let key = wish.integration.key.as_str();
        let list = [("integrationKey", key), ("search", search), ("cursor", cursor), ("limit", PAGE)];
        let filters = Filters::read(&Parameters::parse(encoded(list).as_bytes()), caller)?;
        let page = self.management.page(caller, &filters).await?;
        let components = [self.management.component(&wish.integration)];
        let viewer =
            Viewer { language: visit.language, now: self.management.clock.now(), caller, components: &components };
        let may = |scope| caller.scopes.include(scope);
        let shown = PickPage {
            viewer,
            items: &page.items,
            fresh,
            flow: wish.flow.as_ref().map(|(id, flow)| (id.as_str(), flow)),
            parameters: &wish.parameters,
            search,
            cursor: page.cursor.as_deref(),
            is_first: cursor.is_empty(),
            may_choose: wish.flow.is_none() || may(Scope::ConnectionsWrite),
            may_connect: may(Scope::ConnectionsConnect),
            can_cancel: wish.delivery.is_awaited(),
        };
        let title = words::PICK_ONE.with(visit.language, &components[0].name);
        Ok(pages::pick(status, Frame { notice, ..visit.frame(title, ROOT) }, &shown))
    }
}

/// Checks that the address of a flow is one of an application that the workspace trusts.
fn check_address(flow: &Flow, delivery: &Delivery) -> Result<(), Error> {
    let Some(uri) = &flow.uri else { return Ok(()) };
    let origin = Origin::of_redirect_uri(uri.split('#').next().unwrap_or_default());
    if origin.is_ok_and(|origin| delivery.message_origins.contains(&origin)) {
        return Ok(());
    }
    Err(Error::bad_request("`flowUri` must have the origin of one of the integration's `redirectUris`"))
}

fn encoded<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
