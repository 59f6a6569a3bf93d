//! The parameters of one request, on their way into a query, a form or JSON.

use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

/// Parameters in order, no name twice.
///
/// In a query or a form, numbers and booleans become text, an array is joined by spaces, as OAuth's own lists are, but
/// `resource` is repeated instead (RFC 8707 §2), and an object becomes JSON text.
#[derive(Default)]
pub(crate) struct Parameters(Map<String, Value>);

impl Parameters {
    /// Adds a parameter, if it has a name: without one the connector leaves it out.
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

    /// Puts others over these: each takes the place of the one of its name or is appended, `null` removes it.
    pub(crate) fn put_over<'a>(&mut self, others: impl IntoIterator<Item = (&'a String, &'a Value)>) {
        for (name, value) in others {
            if value.is_null() {
                self.0.shift_remove(name);
            } else {
                self.0.insert(name.clone(), value.clone());
            }
        }
    }

    /// As a form (RFC 6749 appendix B), so a space is `+`.
    pub(crate) fn to_form(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs()).finish()
    }

    /// As a JSON object.
    pub(crate) fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// Where a browser is sent: in the query of `url`, or of the route in its fragment if that is one. Programs in one page keep
    /// their routes there (`#/authorize`, `#!/authorize`) and read the query behind it.
    pub(crate) fn onto_page(&self, url: &Url, dropped: impl Fn(&str) -> bool) -> Url {
        let Some(route) = url.fragment().filter(|fragment| fragment.starts_with(['/', '!'])) else {
            return self.onto(url, dropped);
        };
        let (route, query) = route.split_once('?').unwrap_or((route, ""));
        let mut page = url.clone();
        page.set_fragment(Some(&format!("{route}?{}", self.behind(query, &dropped))));
        page.set_query(
            Some(self.others(url.query().unwrap_or_default(), &dropped).as_str()).filter(|query| !query.is_empty()),
        );
        page
    }

    /// In the query of `url`, behind what is there, less what has the same name or is to be `dropped`: no key is added a
    /// second time (RFC 6749 §3.1). What stays keeps its own encoding.
    pub(crate) fn onto(&self, url: &Url, dropped: impl Fn(&str) -> bool) -> Url {
        let query = self.behind(url.query().unwrap_or_default(), &dropped);
        let mut url = url.clone();
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        url
    }

    fn behind(&self, query: &str, dropped: &dyn Fn(&str) -> bool) -> String {
        let parts = [self.others(query, dropped), self.to_form()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&")
    }

    /// The part of a query that stays beside these parameters.
    fn others(&self, query: &str, dropped: &dyn Fn(&str) -> bool) -> String {
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
