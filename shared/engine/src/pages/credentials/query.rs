//! The query of the list: which credentials it shows.

use larder::http::Parameters;

/// The parameters of the list that have a value, in their order. Others are left out of all links.
#[derive(Clone, Debug, Default)]
pub struct ListQuery(Vec<(String, String)>);

impl ListQuery {
    /// The parameters that filter the list, apart from `tags[…]`.
    const NAMES: [&'static str; 13] = [
        "search",
        "state",
        "connected",
        "disconnected",
        "integrationKey",
        "integrationId",
        "tenantId",
        "userId",
        "connectorKey",
        "connectorId",
        "key",
        "includeArchived",
        "isTest",
    ];
    /// The parameter with the start of the page.
    const CURSOR: &'static str = "cursor";
    /// The parameter with the size of the page.
    pub(super) const LIMIT: &'static str = "limit";

    /// Reads the query of a page.
    pub fn new(parameters: &Parameters) -> Self {
        let is_known = |name: &str| {
            Self::NAMES.contains(&name) || [Self::CURSOR, Self::LIMIT].contains(&name) || name.starts_with("tags[")
        };
        let known = parameters.iter().filter(|(name, value)| is_known(name) && !value.is_empty());
        Self(known.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Returns a parameter's value.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value)
    }

    /// Whether it shows some of the credentials only.
    pub fn filters(&self) -> bool {
        self.0.iter().any(|(name, _)| ![Self::CURSOR, Self::LIMIT].contains(&&**name))
    }

    /// Whether it starts in the middle of the list.
    pub fn is_continued(&self) -> bool {
        !self.get(Self::CURSOR).is_empty()
    }

    /// Returns the query as part of a URL.
    pub fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// Returns the address of the same list from `cursor` on; the start without one.
    pub(super) fn page(&self, cursor: Option<&str>) -> String {
        let others = self.0.iter().filter(|(name, _)| name != Self::CURSOR).cloned();
        let cursor = cursor.map(|cursor| (Self::CURSOR.to_owned(), cursor.to_owned()));
        Self(others.chain(cursor).collect()).address()
    }

    /// Returns the address of the list with another value of a parameter, or without the parameter, from its start.
    pub(super) fn with(&self, name: &str, value: Option<&str>) -> String {
        let others = self.filters_but(name).cloned();
        Self(others.chain(value.map(|value| (name.to_owned(), value.to_owned()))).collect()).address()
    }

    /// Returns the filters but one, which a form of the page sets.
    pub(super) fn filters_but(&self, name: &str) -> impl Iterator<Item = &(String, String)> {
        self.0.iter().filter(move |(it, _)| it != name && it != Self::CURSOR)
    }

    fn address(&self) -> String {
        if self.0.is_empty() { "./".to_owned() } else { format!("./?{}", self.encoded()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_the_filters_and_nothing_else() {
        let query = ListQuery::new(&Parameters::parse(
            b"search=a%26b&state=READY&tags%5Bteam%5D=x&cursor=abc&done=tested&on=1&integrationKey=&counts=1",
        ));
        assert_eq!(query.encoded(), "search=a%26b&state=READY&tags%5Bteam%5D=x&cursor=abc");
        assert_eq!(query.page(Some("d e")), "./?search=a%26b&state=READY&tags%5Bteam%5D=x&cursor=d+e");
        assert_eq!(query.page(None), "./?search=a%26b&state=READY&tags%5Bteam%5D=x");
        assert_eq!(query.filters_but("state").count(), 2);
        assert_eq!(query.with("state", None), "./?search=a%26b&tags%5Bteam%5D=x");
        assert_eq!(query.with("state", Some("x")), "./?search=a%26b&tags%5Bteam%5D=x&state=x");
        assert!(query.filters() && query.is_continued());
        let none = ListQuery::new(&Parameters::parse(b"done=tested&limit=5"));
        assert!(!none.filters() && !none.is_continued() && none.page(None) == "./?limit=5");
    }
}
