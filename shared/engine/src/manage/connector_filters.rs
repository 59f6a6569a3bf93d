//! The parameters of `GET /connectors`.

use larder::error::Error;
use larder::http::Parameters;

use super::filters::{key_after, key_cursor, page_size};
use crate::connector::index::IndexEntry;

/// Which connectors to list, and how many.
#[derive(Debug)]
pub struct ConnectorFilters {
    pub(super) limit: usize,
    pub(super) after: Option<String>,
    search: Option<String>,
    category: Option<String>,
    auth_type: Option<String>,
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
            let value = parameters.optional(name)?.filter(|value| !value.is_empty());
            Ok::<_, Error>(value.map(str::to_owned))
        };
        Ok(Self {
            limit: page_size(parameters, Self::PAGE)?,
            after: key_after(parameters, Self::LIST)?,
            search: text("search")?,
            category: text("category")?,
            auth_type: text("authType")?,
        })
    }

    pub(super) fn cursor(key: &str) -> String {
        key_cursor(Self::LIST, key)
    }

    pub(super) fn match_entry(&self, entry: &IndexEntry) -> bool {
        self.after.as_ref().is_none_or(|after| entry.key > *after)
            && self.search.as_ref().is_none_or(|search| entry.is_found_by(search))
            && self.category.as_ref().is_none_or(|category| entry.categories.contains(category))
            && self.auth_type.as_ref().is_none_or(|auth_type| entry.has_type(auth_type))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(query: &str) -> Result<Vec<&'static str>, Error> {
        let filters = ConnectorFilters::read(&Parameters::parse(query.as_bytes()))?;
        let entry = |key: &str, extends: Option<&str>, category: &str| {
            let entry = json!({"key": key, "name": key.to_uppercase(), "type": "client-credentials", "file": key,
                               "extends": extends, "categories": [category], "aliases": [format!("{key}-old")]});
            serde_json::from_value::<IndexEntry>(entry).expect("is valid")
        };
        let entries = [("crm-a", Some("api-key"), "crm"), ("crm-b", None, "crm"), ("mail", Some("basic"), "messaging")];
        let matching =
            entries.into_iter().filter(|(key, extends, category)| filters.match_entry(&entry(key, *extends, category)));
        Ok(matching.map(|(key, ..)| key).collect())
    }

    #[test]
    fn filters_narrow_the_list_together() {
        let cursor = ConnectorFilters::cursor("crm-a");
        for (query, expected) in [
            ("", vec!["crm-a", "crm-b", "mail"]),
            ("search=CRM", vec!["crm-a", "crm-b"]),
            ("search=mail-old", vec!["mail"]),
            ("category=crm&authType=api-key", vec!["crm-a"]),
            ("authType=client-credentials&category=messaging", vec!["mail"]),
            ("category=cr", vec![]),
            (&format!("cursor={cursor}"), vec!["crm-b", "mail"]),
            ("cursor=0&limit=1000&includeArchived=1", vec!["crm-a", "crm-b", "mail"]),
        ] {
            assert_eq!(found(query).expect("is valid"), expected, "{query}");
        }
        let of_integrations = key_cursor("integration", "crm-a");
        for wrong in ["limit=0", "limit=1001", "cursor=zzz", &format!("cursor={of_integrations}"), "search=a&search=b"]
        {
            assert!(found(wrong).is_err(), "{wrong}");
        }
    }
}
