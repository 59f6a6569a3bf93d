//! The facts about providers, and the differences that are intended: `facts.json` and `differences.yml`.

use std::collections::BTreeMap;
use std::fs;

use larder_tests::root;
use larder_tests::scenario::DIFFERENCES;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::claims::Claims;

/// `facts.json`.
#[derive(Deserialize)]
pub(crate) struct Facts {
    /// The sources, with their licenses.
    pub(crate) sources: BTreeMap<String, String>,
    /// The facts, ordered by key.
    pub(crate) facts: Vec<FactSheet>,
}

/// The facts about a provider.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FactSheet {
    /// Its key among the facts.
    pub(crate) key: String,
    /// The connector it belongs to.
    pub(crate) preset: String,
    /// Whether it is one of several products that the connector is for. Only the way to connect must be the same.
    #[serde(default)]
    pub(crate) is_product: bool,
    /// The ways to connect.
    pub(crate) ways: Vec<FactWay>,
    /// The sources.
    pub(crate) sources: Vec<String>,
}

/// A way to connect. `{name}` in a URL stands for a part that depends on the account.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FactWay {
    /// `oauth2`, `oauth1`, `api-key`, `basic` or `client-credentials`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// How many independent sources agree on it.
    pub(crate) sources: u32,
    pub(crate) request_token_uri: Option<String>,
    pub(crate) authorize_uri: Option<String>,
    pub(crate) token_uri: Option<String>,
    pub(crate) refresh_uri: Option<String>,
    pub(crate) revocation_uri: Option<String>,
    #[serde(default)]
    pub(crate) scope_separators: Vec<String>,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    #[serde(default)]
    pub(crate) pkce: bool,
    /// Where the client's secret goes: `headers` or `body`, or both if the sources use either.
    #[serde(default)]
    pub(crate) secret_in: Vec<String>,
    pub(crate) token_request_format: Option<String>,
    #[serde(default)]
    pub(crate) authorize_names: Map<String, Value>,
    #[serde(default)]
    pub(crate) token_names: Map<String, Value>,
    /// Further parameters of the authorize URL.
    #[serde(default)]
    pub(crate) extra: Map<String, Value>,
    /// The place of an API key.
    pub(crate) key: Option<Placement>,
    /// The place of a token, if it is not the usual one.
    pub(crate) token: Option<Placement>,
    /// The user name and the password.
    pub(crate) basic: Option<Basic>,
    /// The address of the API.
    pub(crate) base_uri: Option<String>,
    /// A request that shows whether credentials work, as `GET https://…`.
    pub(crate) test: Option<String>,
}

/// The place of a secret in requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Placement {
    /// `header`, `query`, `body` or `path`.
    #[serde(rename = "in")]
    pub(crate) place: String,
    /// The name of the header or parameter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    /// The word before it; `None` if the sources don't say.
    #[serde(default = "no_prefix")]
    pub(crate) prefix: Option<String>,
}

/// HTTP Basic credentials, as templates.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Basic {
    pub(crate) username: String,
    pub(crate) password: String,
}

/// `differences.yml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Differences {
    /// Connectors whose facts have another key, or several. Only for the program that makes the facts.
    pub(crate) names: BTreeMap<String, Value>,
    /// Connectors without facts, with the reasons.
    pub(crate) without: BTreeMap<String, String>,
    /// The intended differences by connector (and option), and by what differs.
    pub(crate) differences: BTreeMap<String, BTreeMap<String, Intended>>,
}

/// An intended difference.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Intended {
    /// The preset in the form of the facts.
    #[serde(default)]
    pub(crate) is: Value,
    /// The reason.
    pub(crate) because: String,
}

impl Placement {
    /// The place alone.
    pub(crate) fn bare(self) -> Self {
        Self { name: String::new(), prefix: None, ..self }
    }

    /// Whether a secret goes where the facts say. A scheme such as `Bearer` has no case.
    pub(crate) fn fits(&self, fact: &Self) -> bool {
        let prefix = |it: &Self| it.prefix.clone().unwrap_or_default().to_lowercase();
        self.place == fact.place
            && (self.name.eq_ignore_ascii_case(&fact.name) || self.name.is_empty())
            && (fact.prefix.is_none() || prefix(self) == prefix(fact) || self.prefix.is_none())
    }
}

fn no_prefix() -> Option<String> {
    Some(String::new())
}

impl Facts {
    /// Reads them.
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(root().join("tests/providers/facts.json")).expect("it is there");
        serde_json::from_str(&text).expect("facts")
    }

    /// The facts about a connector's provider.
    pub(crate) fn of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a FactSheet> {
        self.facts.iter().filter(move |sheet| sheet.preset == key)
    }
}

impl Differences {
    /// Reads them.
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(root().join("tests/providers").join(DIFFERENCES)).expect("it is there");
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{DIFFERENCES}: {error}"))
    }

    /// An intended difference.
    pub(crate) fn intended(&self, subject: &str, field: &str) -> Option<&Intended> {
        self.differences.get(subject)?.get(field)
    }
}

impl FactWay {
    /// The addresses of the API.
    pub(crate) fn hosts(&self) -> Vec<&str> {
        self.test.iter().chain(&self.base_uri).map(String::as_str).collect()
    }

    /// These facts, with the preset's own addresses for those that it has only with other values than the usual ones.
    pub(crate) fn as_by_default(&self, named: &Claims, valid: &Claims) -> Self {
        let mut way = self.clone();
        let facts = [("authorizeUri", &self.authorize_uri), ("tokenUri", &self.token_uri)];
        let others = [("requestTokenUri", &self.request_token_uri), ("revocationUri", &self.revocation_uri)];
        for (key, fact) in facts.into_iter().chain(others) {
            let (Some(fact), Some(claimed)) = (fact, named.uri(key)) else { continue };
            if !fits(fact, claimed) && valid.uri(key).is_some_and(|uri| !fits(fact, uri)) {
                way = way.with(key, &json!(claimed));
            }
        }
        let fits_hosts = |test: &str| way.hosts().iter().any(|fact| fits(origin(fact), origin(test)));
        match (&named.test, &valid.test) {
            (Some(claimed), Some(valid)) if !fits_hosts(claimed) && !fits_hosts(valid) && !way.hosts().is_empty() => {
                way.with("test", &json!(claimed))
            }
            _ => way,
        }
    }

    /// These facts with another value for a field.
    pub(crate) fn with(&self, field: &str, is: &Value) -> Self {
        let mut way = json!(self);
        way[field] = is.clone();
        if field == "test" {
            way["baseUri"] = Value::Null;
        }
        serde_json::from_value(way).unwrap_or_else(|error| panic!("{field}: {is} {error}"))
    }
}

/// The part of a URL (or of `GET url`) before its path.
pub(crate) fn origin(uri: &str) -> &str {
    let uri = uri.split_once(' ').map_or(uri, |(_, uri)| uri);
    let start = uri.find("://").map_or(0, |at| at + 3);
    let end = uri[start..].find(['/', '?', '#']).map_or(uri.len(), |at| start + at);
    &uri[..end]
}

/// Whether a URL is one of a template, apart from its query. `{name}` stands for a part of a host or a segment; at the
/// beginning, it stands for an address.
pub(crate) fn fits(template: &str, uri: &str) -> bool {
    normal_matches(&normal(template), &normal(uri), true)
}

fn normal(uri: &str) -> String {
    let uri = uri.split(['?', '#']).next().unwrap_or_default();
    let origin = origin(uri);
    format!("{}{}", origin.to_lowercase(), uri[origin.len()..].trim_end_matches('/'))
}

fn normal_matches(template: &str, uri: &str, is_start: bool) -> bool {
    let Some((before, rest)) = template.split_once('{') else { return template == uri };
    let Some((_, after)) = rest.split_once('}') else { return template == uri };
    let Some(from) = uri.strip_prefix(before) else { return false };
    let is_address = is_start && before.is_empty();
    let ends = from.char_indices().map(|(at, char)| at + char.len_utf8());
    let mut ends = ends.take_while(|end| is_address || !from[..*end].contains('/'));
    ends.any(|end| normal_matches(after, &from[end..], false))
}

#[test]
fn facts_come_from_sources_with_permissive_licenses() {
    const PERMISSIVE: [&str; 7] = ["MIT", "ISC", "BSD", "BSD-3-Clause", "Apache-2.0", "CC0-1.0", "MPL-2.0"];
    let facts = Facts::read();
    for (source, licenses) in &facts.sources {
        assert!(licenses.split(" or ").all(|license| PERMISSIVE.contains(&license)), "{source}: {licenses}");
    }
    for sheet in &facts.facts {
        assert!(sheet.sources.iter().all(|source| facts.sources.contains_key(source)), "{}", sheet.key);
    }
    assert!(facts.facts.is_sorted_by_key(|sheet| (sheet.key.clone(), sheet.preset.clone())));
}

#[test]
fn a_template_fits_only_urls_of_its_form() {
    for (template, uri, expected) in [
        ("https://{shop}.acme.com/authorize", "https://eu-1.acme.com/authorize/", true),
        ("https://{shop}.acme.com/authorize", "https://eu.1.acme.com/authorize?a=b", true),
        ("https://{shop}.acme.com/authorize", "https://evil.com/.acme.com/authorize", false),
        ("https://{shop}.acme.com/authorize", "https://.acme.com/authorize", false),
        ("https://ACME.com/Token", "https://acme.com/Token", true),
        ("https://acme.com/Token", "https://acme.com/token", false),
        ("{baseUri}/api", "https://acme.com/v1/api", true),
        ("https://acme.com/v1/token", "https://acme.com/v2/token", false),
    ] {
        assert_eq!(fits(template, uri), expected, "{template} {uri}");
    }
    assert_eq!(origin("GET https://acme.com/me?x"), "https://acme.com");
}
