//! The parameters of `GET /connectors`.

use std::collections::BTreeSet;

use larder::dynamodb::ListError;
use larder::error::Error;
use larder::http::Parameters;

use super::filters::{key_cursor, page_size, place_after};
use crate::connector::index::IndexEntry;
use crate::connector::search::{Rank, Search, is_same};

/// Which connectors to list, and how many.
#[derive(Debug)]
pub struct ConnectorFilters {
    limit: usize,
    after: Option<(Rank, String)>,
    search: Option<Search>,
    category: Option<String>,
    auth_type: Option<String>,
}

/// A page of connectors.
#[derive(Debug)]
pub(super) struct ConnectorList {
    /// The best matches first, and equally good ones in the order of their keys.
    pub(super) page: Vec<IndexEntry>,
    /// The start of the next page.
    pub(super) cursor: Option<String>,
    /// Connectors with similar names, if the search finds none.
    pub(super) suggestions: Vec<IndexEntry>,
}

impl ConnectorFilters {
    /// The name of the list in a cursor.
    const LIST: &str = "connector";

    /// The size of a page by default.
    const PAGE: usize = 100;

    /// Reads the query of a request. Unknown parameters are ignored, as the SDKs send some.
    ///
    /// # Errors
    /// 400 with the name of the parameter.
    pub fn read(parameters: &Parameters) -> Result<Self, Error> {
        let text = |name: &str| {
            let value = parameters.optional(name)?.map(str::trim).filter(|value| !value.is_empty());
            Ok::<_, Error>(value.map(str::to_owned))
        };
        let after = place_after(parameters, Self::LIST)?;
        let after = after.map(|place| place_of(&place).ok_or(ListError::Cursor)).transpose()?;
        Ok(Self {
            limit: page_size(parameters, Self::PAGE)?,
            after,
            search: text("search")?.map(|text| Search::new(&text)),
            category: text("category")?,
            auth_type: text("authType")?,
        })
    }

    pub(super) fn is_first(&self) -> bool {
        self.after.is_none()
    }

    /// Returns a page of these connectors, which are ordered by key.
    ///
    /// # Errors
    /// 400 for a category or an auth type that no connector has.
    pub(super) fn apply(&self, entries: Vec<IndexEntry>) -> Result<ConnectorList, Error> {
        let categories = entries.iter().flat_map(|entry| &entry.categories).map(String::as_str);
        let category = chosen("category", self.category.as_deref(), categories)?;
        let auth_type = chosen("authType", self.auth_type.as_deref(), entries.iter().flat_map(IndexEntry::auth_types))?;
        let is_wanted = |entry: &&IndexEntry| {
            category.is_none_or(|category| entry.categories.iter().any(|it| it == category))
                && auth_type.is_none_or(|auth_type| entry.auth_types().contains(&auth_type))
        };
        let wanted: Vec<&IndexEntry> = entries.iter().filter(is_wanted).collect();
        let rank = |entry: &&IndexEntry| match &self.search {
            None => Some(Rank::default()),
            Some(search) => search.rank(entry),
        };
        let mut found: Vec<_> = wanted.iter().filter_map(|entry| Some((rank(entry)?, *entry))).collect();
        found.sort_by_key(|(rank, _)| *rank);
        let suggestions = match &self.search {
            Some(search) if found.is_empty() => search.nearest(wanted).into_iter().cloned().collect(),
            _ => Vec::new(),
        };
        if let Some((rank, key)) = &self.after {
            found.retain(|(own, entry)| (own, &entry.key) > (rank, key));
        }
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        let cursor = found.last().filter(|_| has_more).map(|(rank, entry)| cursor(*rank, &entry.key));
        Ok(ConnectorList { page: found.into_iter().map(|(_, entry)| entry.clone()).collect(), cursor, suggestions })
    }
}

fn cursor(rank: Rank, key: &str) -> String {
    let rank = Rank::ALL.iter().position(|it| *it == rank).unwrap_or_default();
    key_cursor(ConnectorFilters::LIST, &format!("{rank}.{key}"))
}

fn place_of(place: &str) -> Option<(Rank, String)> {
    let (rank, key) = place.split_once('.')?;
    Some((*Rank::ALL.get(rank.parse::<usize>().ok()?)?, key.to_owned()))
}

/// Returns the known value that is meant, in any case.
fn chosen<'a>(
    name: &str,
    written: Option<&str>,
    known: impl Iterator<Item = &'a str>,
) -> Result<Option<&'a str>, Error> {
    let Some(written) = written else { return Ok(None) };
    let known: BTreeSet<&str> = known.collect();
    let meant = known.iter().copied().find(|known| is_same(known, written));
    let list = || known.iter().copied().collect::<Vec<_>>().join(", ");
    meant.map(Some).ok_or_else(|| Error::bad_request(format!("`{name}` must be one of {}", list())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn catalog() -> Vec<IndexEntry> {
        let entry = |(key, extends, category): (&str, Option<&str>, &str)| {
            let entry = json!({"key": key, "name": key.to_uppercase(), "type": "client-credentials", "file": key,
                               "extends": extends, "categories": [category], "aliases": [format!("{key}-old")]});
            serde_json::from_value(entry).expect("is valid")
        };
        let entries = [
            ("a-crm", None, "messaging"),
            ("crm-a", Some("api-key"), "crm"),
            ("crm-b", None, "crm"),
            ("mail", Some("basic"), "messaging"),
        ];
        entries.map(entry).into()
    }

    fn list(query: &str) -> Result<ConnectorList, Error> {
        ConnectorFilters::read(&Parameters::parse(query.as_bytes()))?.apply(catalog())
    }

    fn keys(entries: &[IndexEntry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.key.as_str()).collect()
    }

    #[test]
    fn filters_narrow_the_list_together() {
        for (query, expected) in [
            ("", vec!["a-crm", "crm-a", "crm-b", "mail"]),
            ("search=+", vec!["a-crm", "crm-a", "crm-b", "mail"]),
            ("search=CRM", vec!["crm-a", "crm-b", "a-crm"]),
            ("search=mail-old", vec!["mail"]),
            ("category=CRM&authType=API_key", vec!["crm-a"]),
            ("authType=client-credentials", vec!["a-crm", "crm-b"]),
            ("cursor=0&limit=1000&includeArchived=1", vec!["a-crm", "crm-a", "crm-b", "mail"]),
        ] {
            assert_eq!(keys(&list(query).expect("is valid").page), expected, "{query}");
        }
    }

    #[test]
    fn pages_follow_the_order_of_a_search() {
        for (search, expected) in [("crm", ["crm-a", "crm-b", "a-crm"].as_slice()), ("mail", &["mail"])] {
            let (mut seen, mut query) = (Vec::new(), format!("search={search}&limit=1"));
            while let ConnectorList { page, cursor: Some(cursor), .. } = list(&query).expect("is valid") {
                seen.extend(page);
                query = format!("search={search}&limit=1&cursor={cursor}");
            }
            seen.extend(list(&query).expect("is valid").page);
            assert_eq!(keys(&seen), expected);
        }
    }

    #[test]
    fn a_search_without_results_suggests_similar_names() {
        let found = list("search=crm-bb").expect("is valid");
        assert_eq!((found.page, keys(&found.suggestions)), (Vec::new(), vec!["crm-b"]));
        assert!(list("search=mail").expect("is valid").suggestions.is_empty());
        assert!(list("search=crm-bb&category=messaging").expect("is valid").suggestions.is_empty());
    }

    #[test]
    fn wrong_filters_are_named() {
        let of_integrations = format!("cursor={}", key_cursor("integration", "crm-a"));
        let without_rank = format!("cursor={}", key_cursor(ConnectorFilters::LIST, "crm-a"));
        for (query, expected) in [
            ("limit=0", "`limit`"),
            ("limit=1001", "`limit`"),
            ("cursor=zzz", "`cursor`"),
            (&of_integrations, "`cursor`"),
            (&without_rank, "`cursor`"),
            ("search=a&search=b", "`search`"),
            ("category=cr", "`category` must be one of crm, messaging"),
            ("authType=key", "`authType` must be one of api-key, basic, client-credentials"),
        ] {
            let error = list(query).expect_err(query);
            assert!(error.message.contains(expected), "{query}: {error}");
        }
    }
}
