//! The picker: the credentials of one integration, of which an application gets the one that its user chooses.

use askama::Template;
use http::StatusCode;
use larder::connection::{Connection, Flow};
use larder::http::Response;

use super::super::{Frame, Language, Mark, framed, words};
use super::LIVE;
use super::card::{Card, Viewer};

/// The contents of the picker.
pub struct PickPage<'a> {
    /// The visitor's point of view, with the integration as the only component.
    pub viewer: Viewer<'a>,
    /// The connections.
    pub items: &'a [Connection],
    /// The connection that was just made.
    pub fresh: Option<&'a Connection>,
    /// The flow that the choice is for.
    pub flow: Option<(&'a str, &'a Flow)>,
    /// The parameters of the application, for links and forms.
    pub parameters: &'a [(String, String)],
    /// The current search.
    pub search: &'a str,
    /// The start of the next page.
    pub cursor: Option<&'a str>,
    /// Whether this is the first page.
    pub is_first: bool,
    /// Whether the visitor may use a connection, which marks it if the choice is for a flow.
    pub may_choose: bool,
    /// Whether the visitor may connect accounts.
    pub may_connect: bool,
    /// Whether somebody waits for a result, so that the visitor can cancel.
    pub can_cancel: bool,
}

#[derive(Template)]
#[template(path = "pick.html")]
struct PickTemplate<'a> {
    frame: Frame<'a>,
    language: Language,
    heading: String,
    mark: Mark,
    flow: Option<FlowView<'a>>,
    cards: Vec<(Card, Choice)>,
    parameters: &'a [(String, String)],
    action: String,
    search: &'a str,
    next: Option<String>,
    first: Option<String>,
    may_connect: bool,
    can_cancel: bool,
}

/// A flow, with the host of its address, which is not a link: the page must stay open.
struct FlowView<'a> {
    name: &'a str,
    host: Option<String>,
}

/// The buttons of a card.
struct Choice {
    id: String,
    is_choosable: bool,
    is_fresh: bool,
    needs_reconnect: bool,
}

/// Renders the picker.
pub fn pick(status: StatusCode, frame: Frame<'_>, page: &PickPage<'_>) -> Response {
    let language = frame.language;
    let component = page.viewer.components.first();
    let (name, mark) = component.map_or_else(
        || (String::new(), Mark::new("", "", None)),
        |component| (component.name.clone(), component.mark.clone()),
    );
    let others = page.items.iter().filter(|it| page.fresh.is_none_or(|fresh| fresh.key != it.key));
    let cards =
        page.fresh.into_iter().chain(others).map(|it| (Card::new(it, page.viewer), Choice::new(it, page))).collect();
    let template = PickTemplate {
        language,
        heading: words::PICK_ONE.with(language, &name),
        mark: mark.clone(),
        flow: page.flow.map(|(id, flow)| FlowView::new(id, flow)),
        cards,
        parameters: page.parameters,
        action: address(page.parameters, &[]),
        search: page.search,
        next: page.cursor.map(|cursor| address(page.parameters, &[("search", page.search), ("cursor", cursor)])),
        first: (!page.is_first).then(|| address(page.parameters, &[("search", page.search)])),
        may_connect: page.may_connect,
        can_cancel: page.can_cancel,
        frame,
    };
    framed(status, template.render(), [&mark], Some(LIVE))
}

fn address(parameters: &[(String, String)], more: &[(&str, &str)]) -> String {
    let more = more.iter().filter(|(_, value)| !value.is_empty());
    format!(
        "pick?{}",
        form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).extend_pairs(more).finish()
    )
}

impl<'a> FlowView<'a> {
    fn new(id: &'a str, flow: &'a Flow) -> Self {
        let host = flow.uri.as_deref().and_then(|uri| url::Url::parse(uri).ok()?.host_str().map(str::to_owned));
        Self { name: flow.name.as_deref().unwrap_or(id), host }
    }
}

impl Choice {
    fn new(connection: &Connection, page: &PickPage<'_>) -> Self {
        let is_usable = connection.is_usable();
        Self {
            id: connection.key.id.clone(),
            is_choosable: is_usable && page.may_choose,
            is_fresh: page.fresh.is_some_and(|fresh| fresh.key == connection.key),
            needs_reconnect: !is_usable && !connection.details.is_deactivated && page.may_connect,
        }
    }
}
