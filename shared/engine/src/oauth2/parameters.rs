//! The parameters of a request, and their encoding as a query, a form or JSON.

use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

/// Parameters in order, with unique names.
///
/// In a query or a form, numbers and booleans become strings, an object becomes JSON, and an array is joined with spaces like
/// OAuth's own lists, except that `resource` is repeated instead (RFC 8707 §2).
#[derive(Default)]
pub(crate) struct Parameters(Map<String, Value>);

impl Parameters {
    /// Adds a parameter, unless the connector omits it by giving it no name.
    pub(crate) fn add(&mut self, name: Option<&str>, value: impl Into<Value>) {
        if let Some(name) = name {
            self.0.insert(name.to_owned(), value.into());
        }
    }

    /// Adds the resource indicators, if there are any.
    pub(crate) fn add_resources(&mut self, resources: &[String]) {
        match resources {
            [] => {}
            [resource] => self.add(Some("resource"), resource.as_str()),
            resources => self.add(Some("resource"), resources),
        }
    }

    /// Applies other parameters: each replaces the one with its name or is appended, and `null` removes it.
    pub(crate) fn put_over<'a>(&mut self, others: impl IntoIterator<Item = (&'a String, &'a Value)>) {
        for (name, value) in others {
            if value.is_null() {
                self.0.shift_remove(name);
            } else {
                self.0.insert(name.clone(), value.clone());
            }
        }
    }

    /// Encodes the parameters as a form (RFC 6749 appendix B), so a space is `+`.
    pub(crate) fn to_form(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs()).finish()
    }

    /// Encodes the parameters as a JSON object.
    pub(crate) fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// Adds the parameters to the URL that a browser is sent to: to its query or, if its fragment is a route, to the route's
    /// query. Single-page applications have such routes (`#/authorize`, `#!/authorize`) and read the query after them.
    pub(crate) fn onto_page(&self, url: &Url, dropped: impl Fn(&str) -> bool) -> Url {
        let Some(route) = url.fragment().filter(|fragment| fragment.starts_with(['/', '!'])) else {
            return self.onto(url, dropped);
        };
        let (route, query) = route.split_once('?').unwrap_or((route, ""));
        let mut page = url.clone();
        page.set_fragment(Some(&format!("{route}?{}", self.appended_query(query, &dropped))));
        page.set_query(
            Some(self.kept_query(url.query().unwrap_or_default(), &dropped).as_str()).filter(|query| !query.is_empty()),
        );
        page
    }

    /// Appends the parameters to the query of `url`. Existing ones with the same name or that are `dropped` are removed,
    /// because no key may occur twice (RFC 6749 §3.1). The others keep their encoding.
    pub(crate) fn onto(&self, url: &Url, dropped: impl Fn(&str) -> bool) -> Url {
        let query = self.appended_query(url.query().unwrap_or_default(), &dropped);
        let mut url = url.clone();
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        url
    }

    fn appended_query(&self, query: &str, dropped: &dyn Fn(&str) -> bool) -> String {
        let parts = [self.kept_query(query, dropped), self.to_form()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&")
    }

    /// Returns the part of a query that stays in front of these parameters.
    fn kept_query(&self, query: &str, dropped: &dyn Fn(&str) -> bool) -> String {
        let stays = |pair: &&str| {
            let name = form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name);
            name.is_some_and(|name| !self.0.contains_key(&*name) && !dropped(&name))
        };
        query.split('&').filter(stays).collect::<Vec<_>>().join("&")
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().flat_map(|(name, value)| texts(name, value).into_iter().map(|text| (name.as_str(), text)))
    }
}

pub(super) fn texts(name: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) if name == "resource" => items.iter().filter_map(text).collect(),
        value => text(value).into_iter().collect(),
    }
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(items.iter().filter_map(text).collect::<Vec<_>>().join(" ")),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(value.to_string()),
    }
}
