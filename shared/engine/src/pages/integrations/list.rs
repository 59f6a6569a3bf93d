//! The list of integrations.

use std::collections::BTreeMap;

use askama::Template;
use http::StatusCode;
use larder::http::Response;
use serde_json::Value;

use super::super::{Frame, Mark, Tone, framed, words};
use super::{DONE, auth_name, text};

/// A page of the list.
pub struct IntegrationsPage<'a> {
    /// The integrations, as the API shows them to admins.
    pub items: &'a [Value],
    /// The names of their connectors, by key.
    pub connectors: &'a BTreeMap<String, String>,
    /// How many connections each has, and whether there may be more.
    pub counts: &'a (BTreeMap<String, u64>, bool),
    /// The current search.
    pub search: &'a str,
    /// The start of the next page.
    pub cursor: Option<&'a str>,
    /// Whether this is the first page.
    pub is_first: bool,
    /// Whether the visitor may change integrations.
    pub may_change: bool,
}

#[derive(Template)]
#[template(path = "integrations.html")]
struct IntegrationsTemplate<'a> {
    frame: Frame<'a>,
    rows: Vec<Row<'a>>,
    search: &'a str,
    next: Option<String>,
    is_first: bool,
    may_change: bool,
}

struct Row<'a> {
    key: &'a str,
    name: &'a str,
    mark: Mark,
    connector: &'a str,
    auth: &'static str,
    description: &'a str,
    tone: Tone,
    state: &'static str,
    count: String,
    count_tone: Tone,
}

/// Renders the list.
pub fn integrations(frame: Frame<'_>, page: &IntegrationsPage<'_>) -> Response {
    let rows: Vec<_> = page.items.iter().map(|view| Row::new(view, page)).collect();
    let marks: Vec<_> = rows.iter().map(|row| row.mark.clone()).collect();
    let template = IntegrationsTemplate {
        frame,
        rows,
        search: page.search,
        next: page.cursor.map(|cursor| address(page.search, cursor)),
        is_first: page.is_first,
        may_change: page.may_change,
    };
    framed(StatusCode::OK, template.render(), &marks, Some(DONE))
}

fn address(search: &str, cursor: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if !search.is_empty() {
        query.append_pair("search", search);
    }
    format!("i?{}", query.append_pair("cursor", cursor).finish())
}

impl<'a> Row<'a> {
    fn new(view: &'a Value, page: &IntegrationsPage<'a>) -> Self {
        let (key, name, connector) = (text(view, "key"), text(view, "name"), text(view, "connectorKey"));
        let (counts, has_more) = page.counts;
        let number = counts.get(key).copied().unwrap_or_default();
        let more = if *has_more { "+" } else { "" };
        let noun = if number == 1 && !has_more { "credential" } else { "credentials" };
        let is_ready = view["state"] == "READY";
        Self {
            key,
            name,
            mark: Mark::new(key, name, view["logoUri"].as_str()),
            connector: page.connectors.get(connector).map_or(connector, String::as_str),
            auth: auth_name(text(view, "authType")),
            description: text(view, "description"),
            tone: if is_ready { Tone::Good } else { Tone::Bad },
            state: if is_ready { "Ready" } else { "Connector does not load" },
            count: format!("{number}{more} {noun}"),
            count_tone: if number == 0 { Tone::None } else { Tone::Good },
        }
    }
}
