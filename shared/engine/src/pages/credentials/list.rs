//! The list of credentials.

use std::collections::BTreeMap;

use askama::Template;
use http::StatusCode;
use larder::connection::Connection;
use larder::dynamodb::Count as Counted;
use larder::http::Response;
use larder::scope::Scope;

use super::super::{Count, Frame, Language, NavItem, Tone, framed, words};
use super::LIVE;
use super::card::{Card, Viewer};
use super::query::ListQuery;

/// The filter of the connections that need attention.
const ATTENTION: &str = "CLIENT_ACTION_REQUIRED";

/// A page of the list.
pub struct ListPage<'a> {
    /// The visitor's point of view.
    pub viewer: Viewer<'a>,
    /// The filters of the list.
    pub query: &'a ListQuery,
    /// The connections.
    pub items: &'a [Connection],
    /// The start of the next page.
    pub cursor: Option<&'a str>,
    /// The connections by integration, and whether there may be more. `None` if they were not counted yet.
    pub counts: Option<&'a (BTreeMap<String, u64>, bool)>,
    /// The connections that need attention, if they could be counted.
    pub attention: Option<Counted>,
    /// The address of the same page with these numbers.
    pub counted: String,
    /// The connection that the visitor just changed, and how that ended.
    pub outcome: Option<(&'a str, &'static str, Tone)>,
}

#[derive(Template)]
#[template(path = "credentials.html")]
struct CredentialsPage<'a> {
    frame: Frame<'a>,
    language: Language,
    heading: String,
    cards: Vec<Card>,
    /// The other filters, which the one for the state keeps.
    filters: Vec<(&'a str, &'a str)>,
    states: Vec<(&'static str, &'static str, bool)>,
    /// The filters in words, each with the address of the list without it.
    chips: Vec<(String, String)>,
    back: String,
    next: Option<String>,
    first: Option<String>,
    empty: Option<Empty>,
    /// The address of the page with its numbers, if they are still missing.
    counted: Option<String>,
}

/// The words that stand in place of credentials.
struct Empty {
    title: &'static str,
    detail: &'static str,
    link: Option<(String, &'static str)>,
}

/// Renders a page of the list.
pub fn credentials(frame: Frame<'_>, page: &ListPage<'_>) -> Response {
    let language = frame.language;
    let ListPage { viewer, query, items, cursor, .. } = page;
    let chosen = viewer.components.iter().find(|component| component.key == query.get("integrationKey"));
    let heading = match chosen {
        Some(component) => component.name.clone(),
        None if query.get("state") == ATTENTION => words::NEEDS_ATTENTION.say(language).to_owned(),
        None => words::CREDENTIALS.say(language).to_owned(),
    };
    let states = [("", words::ANY_STATE), ("READY", words::NO_ATTENTION), (ATTENTION, words::NEEDS_ATTENTION)];
    let states = states.map(|(value, words)| (value, words.say(language), value == query.get("state")));
    let nav = navigation(page, language);
    let marks: Vec<_> = viewer.components.iter().map(|component| component.mark.clone()).collect();
    let outcome = |id: &str| page.outcome.filter(|(changed, ..)| *changed == id).map(|(_, words, tone)| (words, tone));
    let cards = items.iter().map(|it| Card { outcome: outcome(&it.key.id), ..Card::new(it, *viewer) }).collect();
    let page = CredentialsPage {
        language,
        heading,
        cards,
        filters: query.filters_but("state").map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        chips: chips(page, language),
        states: states.to_vec(),
        back: query.encoded(),
        next: cursor.map(|cursor| query.page(Some(cursor))),
        first: query.is_continued().then(|| query.page(None)),
        empty: items.is_empty().then(|| Empty::new(page, language)),
        counted: page.counts.is_none().then(|| page.counted.clone()),
        frame: Frame {
            search: query.get("search"),
            kept: query.filters_but("search").cloned().collect(),
            nav,
            ..frame
        },
    };
    framed(StatusCode::OK, page.render(), &marks, Some(LIVE))
}

fn navigation(page: &ListPage<'_>, language: Language) -> Vec<NavItem> {
    let ListPage { viewer, query, counts, attention, .. } = page;
    let spoken = |number: &str| words::N_CREDENTIALS.with(language, number);
    let unknown = || Count { number: "…".to_owned(), spoken: spoken("…"), tone: Tone::None };
    let count = |counted: Counted, if_any| {
        let number = grouped(counted.number, counted.has_more);
        let tone = if counted.number == 0 { Tone::None } else { if_any };
        Count { spoken: spoken(&number), number, tone }
    };
    let of_integrations = |number: &dyn Fn(&BTreeMap<String, u64>) -> u64| match counts {
        Some((counts, has_more)) => count(Counted { number: number(counts), has_more: *has_more }, Tone::Good),
        None => unknown(),
    };
    let is_all = !query.filters();
    let item = |href: &str, words: words::Words, count, is_current| NavItem {
        href: href.to_owned(),
        name: words.say(language).to_owned(),
        mark: None,
        count,
        is_current,
    };
    let all = of_integrations(&|counts| counts.values().sum());
    let alarm = if counts.is_some() { attention.map(|it| count(it, Tone::Bad)) } else { Some(unknown()) };
    let is_attention = query.get("state") == ATTENTION && query.get("integrationKey").is_empty();
    let mut nav = vec![
        item("./", words::ALL_CREDENTIALS, Some(all), is_all),
        item(&format!("./?state={ATTENTION}"), words::NEEDS_ATTENTION, alarm, is_attention),
    ];
    nav.extend(viewer.components.iter().map(|component| NavItem {
        href: query.with("integrationKey", Some(&component.key)),
        name: component.name.clone(),
        mark: Some(component.mark.clone()),
        count: Some(of_integrations(&|counts| counts.get(&component.key).copied().unwrap_or_default())),
        is_current: query.get("integrationKey") == component.key,
    }));
    nav
}

/// Says how the list is filtered, except by the state, which the page's own filter shows.
fn chips(page: &ListPage<'_>, language: Language) -> Vec<(String, String)> {
    let ListPage { viewer, query, .. } = page;
    let is_on = |value: &str| matches!(value, "1" | "true");
    let words = |name: &str, value: &str| match name {
        "search" => format!("“{value}”"),
        "integrationKey" | "integrationId" => {
            let component = viewer.components.iter().find(|component| component.key == value);
            component.map_or(value, |component| component.name.as_str()).to_owned()
        }
        "tenantId" | "userId" => format!("{}: {value}", words::END_USER.say(language)),
        "connected" | "disconnected" if is_on(value) == (name == "connected") => {
            words::NO_ATTENTION.say(language).to_owned()
        }
        "connected" | "disconnected" => words::NEEDS_ATTENTION.say(language).to_owned(),
        "includeArchived" => words::WITH_DELETED.say(language).to_owned(),
        "isTest" => words::ONLY_TESTS.say(language).to_owned(),
        _ => match name.strip_prefix("tags[").and_then(|name| name.strip_suffix(']')) {
            Some(tag) => format!("{tag}: {value}"),
            None => value.to_owned(),
        },
    };
    // Turned off, these filter nothing.
    let is_moot = |name: &str, value: &str| matches!(name, "includeArchived" | "isTest") && !is_on(value);
    let shown = query.filters_but("state").filter(|(name, value)| name != ListQuery::LIMIT && !is_moot(name, value));
    shown.map(|(name, value)| (words(name, value), query.with(name, None))).collect()
}

impl Empty {
    fn new(page: &ListPage<'_>, language: Language) -> Self {
        let ListPage { viewer, query, cursor, .. } = page;
        let add = |words: words::Words| Some(("add".to_owned(), words.say(language)));
        let is_filtered_beyond = |name| query.filters_but(name).any(|(it, _)| it != ListQuery::LIMIT);
        let (title, detail, link) = match cursor {
            Some(cursor) => {
                (words::NOTHING_YET, words::LOOK_FURTHER, Some((query.page(Some(cursor)), words::NEXT.say(language))))
            }
            None if query.is_continued() => {
                let first = (query.page(None), words::FIRST_PAGE.say(language));
                (words::NO_MORE, words::LIST_ENDS, Some(first))
            }
            None if query.get("state") == ATTENTION && !is_filtered_beyond("state") => {
                (words::ALL_WELL, words::NOTHING_NEEDS_ATTENTION, None)
            }
            None if is_filtered_beyond("integrationKey") => {
                let all = Some(("./".to_owned(), words::SHOW_ALL.say(language)));
                (words::NO_RESULTS, words::TRY_OTHER_WORDS, all)
            }
            None if viewer.components.is_empty() && viewer.caller.admin => {
                let link = Some(("i".to_owned(), words::INTEGRATIONS.say(language)));
                (words::FIRST_INTEGRATION, words::SET_UP_FIRST, link)
            }
            None if viewer.components.is_empty() => (words::NOTHING_TO_CONNECT, words::ASK_ADMIN, None),
            None => {
                let may_add = viewer.may(Scope::ConnectionsConnect);
                (words::NO_CREDENTIALS, words::ADD_FIRST, add(words::ADD_CREDENTIAL).filter(|_| may_add))
            }
        };
        Self { title: title.say(language), detail: detail.say(language), link }
    }
}

/// Returns a number with commas, and a plus sign if there may be more.
fn grouped(number: u64, has_more: bool) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if has_more {
        text.push('+');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_may_be_lower_bounds() {
        for (number, has_more, expected) in
            [(0, false, "0"), (999, false, "999"), (1000, true, "1,000+"), (1_234_567, false, "1,234,567")]
        {
            assert_eq!(grouped(number, has_more), expected);
        }
    }
}
