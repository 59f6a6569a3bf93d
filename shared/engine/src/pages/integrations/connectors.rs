//! The choice of a connector for a new integration.

use askama::Template;
use http::StatusCode;
use larder::http::Response;
use serde_json::Value;

use super::super::{Frame, Mark, framed, words};
use super::{auth_name, text, texts};
use crate::connector::index::IndexEntry;

/// A page of the catalog.
pub struct ConnectorsPage<'a> {
    /// The connectors, as the API shows them.
    pub items: &'a [Value],
    /// Those with similar names, if none is found.
    pub suggestions: &'a [Value],
    /// The connectors that don't load, as the API shows them.
    pub broken: &'a [Value],
    /// The connectors that others extend, which suit any service.
    pub generic: &'a [IndexEntry],
    /// All categories.
    pub categories: &'a [String],
    /// The current search.
    pub search: &'a str,
    /// The chosen category.
    pub category: &'a str,
    /// The start of the next page.
    pub cursor: Option<&'a str>,
    /// Whether this is the first page.
    pub is_first: bool,
}

#[derive(Template)]
#[template(path = "connectors.html")]
struct ConnectorsTemplate<'a> {
    frame: Frame<'a>,
    tiles: Vec<Tile>,
    suggestions: Vec<Tile>,
    generic: Vec<Tile>,
    broken: Vec<(&'a str, Vec<String>)>,
    categories: Vec<(&'a str, String, bool)>,
    search: &'a str,
    next: Option<String>,
    first: Option<String>,
}

/// A connector to choose.
struct Tile {
    key: String,
    name: String,
    mark: Mark,
    about: String,
}

/// Renders the choice.
pub fn connectors(frame: Frame<'_>, page: &ConnectorsPage<'_>) -> Response {
    let is_filtered = !page.search.is_empty() || !page.category.is_empty();
    let tiles: Vec<_> = page.items.iter().map(Tile::of_view).collect();
    // Without a search, they come first; otherwise they are among the results.
    let shows_generic = page.is_first && !is_filtered;
    let generic: Vec<_> = page.generic.iter().filter(|_| shows_generic).map(Tile::of_entry).collect();
    let suggestions: Vec<_> = page.suggestions.iter().map(Tile::of_view).collect();
    let marks: Vec<_> = tiles.iter().chain(&suggestions).chain(&generic).map(|tile| tile.mark.clone()).collect();
    let categories = page.categories.iter().map(|it| (it.as_str(), named(it), it == page.category)).collect();
    let template = ConnectorsTemplate {
        frame,
        tiles,
        suggestions,
        generic,
        broken: page.broken.iter().map(|view| (text(view, "folder"), texts(view, "problems"))).collect(),
        categories,
        search: page.search,
        next: page.cursor.map(|cursor| address(page, Some(cursor))),
        first: (!page.is_first).then(|| address(page, None)),
    };
    framed(StatusCode::OK, template.render(), &marks, None)
}

/// Returns a category such as `customer-support` for people.
fn named(category: &str) -> String {
    match category {
        "ai" | "crm" | "hr" | "it" => return category.to_uppercase(),
        "dev" => return "Development".to_owned(),
        "ecommerce" => return "E-commerce".to_owned(),
        "iot" => return "IoT".to_owned(),
        _ => {}
    }
    let spaced = category.replace(['-', '_'], " ");
    let (first, rest) = spaced.split_at(spaced.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest}", first.to_uppercase())
}

fn address(page: &ConnectorsPage<'_>, cursor: Option<&str>) -> String {
    let parameters = [("search", page.search), ("category", page.category), ("cursor", cursor.unwrap_or_default())];
    let given = parameters.into_iter().filter(|(_, value)| !value.is_empty());
    format!("new?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish())
}

impl Tile {
    fn of_view(view: &Value) -> Self {
        let (key, name) = (text(view, "key"), text(view, "name"));
        let categories = texts(view, "categories");
        Self::new(key, name, view["logoUri"].as_str(), text(view, "authType"), &categories)
    }

    fn of_entry(entry: &IndexEntry) -> Self {
        Self::new(&entry.key, &entry.name, entry.logo_uri.as_deref(), &entry.auth_type, &entry.categories)
    }

    fn new(key: &str, name: &str, logo: Option<&str>, auth_type: &str, categories: &[String]) -> Self {
        let categories: Vec<_> = categories.iter().map(|category| named(category)).collect();
        let about = if categories.is_empty() { auth_name(auth_type).to_owned() } else { categories.join(", ") };
        Self { key: key.to_owned(), name: name.to_owned(), mark: Mark::new(key, name, logo), about }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_shown_as_words() {
        for (category, expected) in [("crm", "CRM"), ("customer-support", "Customer support"), ("é", "É"), ("", "")] {
            assert_eq!(named(category), expected);
        }
    }
}
