//! Presets say what the collected facts say. `tests/providers/facts.json` has the facts, each from public sources with a
//! permissive license, and `tests/providers/differences.yml` the differences that are intended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use larder_engine::connector::{AuthOption, Catalog, Connector};
use larder_local::bundle::bundled_connectors;
use larder_tests::root;
use larder_tests::scenario::DIFFERENCES;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::claims::{self, Claims, Source};
use crate::samples::{Fields, Sample};

/// Connectors without a provider.
const GENERIC: [&str; 7] = ["api-key", "basic", "client-credentials", "demo", "oauth1", "oauth2", "two-step"];

/// `facts.json`.
#[derive(Deserialize)]
pub(crate) struct Facts {
    /// The sources, with their licenses.
    sources: BTreeMap<String, String>,
    /// The facts, ordered by key.
    facts: Vec<FactSheet>,
}

/// What the sources say about a provider.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FactSheet {
    /// Its key among the facts.
    key: String,
    /// The connector it belongs to.
    preset: String,
    /// Whether it is one of several products that the connector is for. Only the way to connect must be the same.
    #[serde(default)]
    is_product: bool,
    /// The ways to connect.
    ways: Vec<FactWay>,
    /// The sources.
    sources: Vec<String>,
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
    names: BTreeMap<String, Value>,
    /// Connectors without facts, with the reasons.
    without: BTreeMap<String, String>,
    /// The intended differences by connector (and option), and by what differs.
    differences: BTreeMap<String, BTreeMap<String, Intended>>,
}

/// An intended difference.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intended {
    /// What the preset says, in the form of the facts.
    #[serde(default)]
    is: Value,
    /// The reason.
    because: String,
}

/// A difference between a preset and the facts.
struct Difference {
    field: &'static str,
    facts: Value,
    is: Value,
}

/// A way to connect, with what is agreed on it.
#[derive(Clone)]
pub(crate) struct Agreed {
    /// The facts, changed by the intended differences; `None` if there are none.
    pub(crate) facts: Option<FactWay>,
    /// What the preset says.
    pub(crate) claims: Claims,
}

impl Placement {
    /// The place alone.
    pub(crate) fn bare(self) -> Self {
        Self { name: String::new(), prefix: None, ..self }
    }

    /// Whether a secret goes where the facts say. A scheme such as `Bearer` has no case.
    fn fits(&self, fact: &Self) -> bool {
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
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(root().join("tests/providers/facts.json")).expect("it is there");
        serde_json::from_str(&text).expect("facts")
    }

    fn of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a FactSheet> {
        self.facts.iter().filter(move |sheet| sheet.preset == key)
    }
}

impl Differences {
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(root().join("tests/providers").join(DIFFERENCES)).expect("it is there");
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{DIFFERENCES}: {error}"))
    }

    fn intended(&self, subject: &str, field: &str) -> Option<&Intended> {
        self.differences.get(subject)?.get(field)
    }
}

/// Compares one way to connect with the facts: what is agreed, and the differences by subject.
pub(crate) struct Comparison {
    pub(crate) agreed: Agreed,
    differences: Vec<(String, Difference)>,
}

/// Compares a way to connect. `subject` is the connector's key, with that of the option if there are several.
///
/// # Errors
/// A message, if the connector cannot be evaluated.
pub(crate) fn compare(
    facts: &Facts,
    intended: &Differences,
    connector: &Connector,
    (subject, option): (&str, &AuthOption),
    source: &Source,
) -> Result<Comparison, String> {
    let fields = Fields::of(option);
    let claims_of = |sample: &Sample| Claims::of(option, source, &fields, sample);
    let named = claims_of(&fields.named())?;
    let mut variants = vec![claims_of(&fields.valid())?];
    variants.extend(fields.variants().iter().filter_map(|sample| claims_of(sample).ok()));
    let evidence = connector.about.details.get("evidence").cloned().unwrap_or_default();
    let is_first = subject == connector.key;
    let mut differences = Vec::new();
    let mut agreed = None;
    let mut has_way = false;
    let mut sheets: Vec<&FactSheet> = facts.of(&connector.key).collect();
    sheets.sort_by_key(|sheet| (sheet.is_product, sheet.key != connector.key));
    for (index, sheet) in sheets.iter().enumerate() {
        let subject = if index == 0 { subject.to_owned() } else { format!("{subject} as {}", sheet.key) };
        let Some(way) = sheet.ways.iter().find(|way| is_way(way, &named)) else { continue };
        has_way = true;
        let view = View { way, named: &named, variants: &variants, evidence: &evidence, is_product: sheet.is_product };
        let found = view.differences(is_first);
        if !sheet.is_product && agreed.is_none() {
            let changes = found.iter().filter_map(|it| Some((it.field, intended.intended(&subject, it.field)?)));
            let way = changes.fold(way.clone(), |way, (field, intended)| way.with(field, &intended.is));
            agreed = Some(way.as_by_default(&named, &variants[0]));
        }
        differences.extend(found.into_iter().map(|difference| (subject.clone(), difference)));
    }
    if !has_way && !sheets.is_empty() {
        let kinds: BTreeSet<&str> = sheets.iter().flat_map(|sheet| &sheet.ways).map(|way| way.kind.as_str()).collect();
        let difference = Difference { field: "type", facts: json!(kinds), is: json!(named.kind) };
        differences.push((subject.to_owned(), difference));
    }
    Ok(Comparison { agreed: Agreed { facts: agreed, claims: named }, differences })
}

/// Whether a way of the facts is that of a preset. A key is also sent by HTTP Basic.
fn is_way(way: &FactWay, claims: &Claims) -> bool {
    let is_basic_key =
        || way.key.as_ref().and_then(|key| key.prefix.as_deref()).is_some_and(|it| it.eq_ignore_ascii_case("basic"));
    way.kind == claims.kind || (way.kind == "api-key" && claims.kind == "basic" && is_basic_key())
}

/// What is compared.
struct View<'a> {
    way: &'a FactWay,
    /// What the preset says, with names for values.
    named: &'a Claims,
    /// What it says with other values.
    variants: &'a [Claims],
    evidence: &'a Value,
    is_product: bool,
}

impl View<'_> {
    fn differences(&self, is_first: bool) -> Vec<Difference> {
        if self.is_product {
            return self.product().into_iter().collect();
        }
        let mut found = Vec::new();
        found.extend(self.uri("requestTokenUri", self.way.request_token_uri.as_deref()));
        found.extend(self.uri("authorizeUri", self.way.authorize_uri.as_deref()));
        found.extend(self.uri("tokenUri", self.way.token_uri.as_deref()));
        found.extend(self.placement());
        found.extend(self.basic());
        found.extend(self.refresh());
        found.extend(self.revocation());
        found.extend(self.separator());
        found.extend(self.scopes());
        found.extend(self.pkce());
        found.extend(self.secret());
        found.extend(self.format());
        found.extend(self.names("authorizeNames", "authorizeParameterNames", &self.way.authorize_names));
        found.extend(self.names("tokenNames", "tokenParameterNames", &self.way.token_names));
        found.extend(self.extra());
        found.extend(self.test());
        found.extend(self.sources(is_first));
        found
    }

    /// Whether the preset rests on the collected facts alone, so that it must not say more.
    fn is_collected(&self) -> bool {
        self.evidence.is_number()
    }

    fn any(&self, fits: impl Fn(&Claims) -> bool) -> bool {
        fits(self.named) || self.variants.iter().any(fits)
    }

    fn uri(&self, key: &'static str, fact: Option<&str>) -> Option<Difference> {
        let fact = fact?;
        let fits_fact = |claims: &Claims| claims.uri(key).is_some_and(|uri| fits(fact, uri));
        (!self.any(fits_fact)).then(|| self.difference(key, json!(fact), json!(self.named.uri(key))))
    }

    /// A product must be at the same company.
    fn product(&self) -> Option<Difference> {
        let facts = [&self.way.authorize_uri, &self.way.token_uri, &self.way.test, &self.way.base_uri];
        let facts: Vec<&str> = facts.into_iter().flatten().map(|uri| origin(uri)).collect();
        let origins = |claims: &Claims| {
            let config = [claims.uri("authorizeUri"), claims.uri("tokenUri")];
            let others = [&claims.test, &claims.base_uri].map(|uri| uri.as_deref());
            config.into_iter().chain(others).flatten().map(|uri| origin(uri).to_owned()).collect::<Vec<_>>()
        };
        let is_same =
            |fact: &str, claimed: &str| claims::domain(fact) == claims::domain(claimed) || fits(fact, claimed);
        let any_is_same =
            |claims: &Claims| origins(claims).iter().any(|claimed| facts.iter().any(|fact| is_same(fact, claimed)));
        (!self.any(any_is_same)).then(|| self.difference("company", json!(facts), json!(origins(self.named))))
    }

    fn refresh(&self) -> Option<Difference> {
        let uri = |claims: &Claims| claims.uri("refreshUri").or(claims.uri("tokenUri")).map(str::to_owned);
        let silent = || self.is_collected() && self.named.uri("refreshUri").is_some();
        let differs = match &self.way.refresh_uri {
            Some(fact) => !self.any(|claims| uri(claims).is_some_and(|uri| fits(fact, &uri))),
            None => silent(),
        };
        differs.then(|| self.difference("refreshUri", json!(self.way.refresh_uri), json!(uri(self.named))))
    }

    fn revocation(&self) -> Option<Difference> {
        let uri =
            |claims: &Claims| claims.uri("revocationUri").map(str::to_owned).or_else(|| claims.disconnect.clone());
        let claimed = uri(self.named);
        match (&self.way.revocation_uri, claimed) {
            (Some(fact), claimed) => {
                let fits_fact = |claims: &Claims| uri(claims).is_some_and(|uri| fits(fact, &uri));
                (!self.any(fits_fact)).then(|| self.difference("revocationUri", json!(fact), json!(claimed)))
            }
            (None, Some(claimed)) if self.is_collected() => {
                Some(self.difference("revocationUri", Value::Null, json!(claimed)))
            }
            (None, _) => None,
        }
    }

    fn separator(&self) -> Option<Difference> {
        let claimed = self.named.uri("scopeSeparator").unwrap_or(" ");
        // A `+` in a query is a space.
        let separators: Vec<String> = self.way.scope_separators.iter().map(|it| it.replace('+', " ")).collect();
        let is_fine = if separators.is_empty() {
            !self.is_collected() || claimed == " "
        } else {
            separators.iter().any(|it| it == claimed)
        };
        (!is_fine && self.named.kind == "oauth2")
            .then(|| self.difference("scopeSeparators", json!(separators), json!([claimed])))
    }

    fn scopes(&self) -> Option<Difference> {
        let claimed = self.named.scopes();
        let known: Vec<&str> = self.way.scopes.iter().flat_map(|scope| scope.split([',', ' '])).collect();
        let is_known = claimed.iter().all(|scope| known.contains(&scope.as_str()));
        (self.is_collected() && !self.way.scopes.is_empty() && !is_known)
            .then(|| self.difference("scopes", json!(self.way.scopes), json!(claimed)))
    }

    fn pkce(&self) -> Option<Difference> {
        let skips = self.named.flag("skipPkce");
        (self.way.pkce && skips).then(|| self.difference("pkce", json!(true), json!(false)))
    }

    fn secret(&self) -> Option<Difference> {
        let facts = &self.way.secret_in;
        let claimed = self.named.uri("clientAuthLocation").unwrap_or("headers, then body");
        let is_fine = facts.is_empty() || facts.iter().any(|it| it == claimed) || facts.len() == 2;
        (!is_fine).then(|| self.difference("secretIn", json!(facts), json!([claimed])))
    }

    fn format(&self) -> Option<Difference> {
        let claimed = self.named.uri("tokenRequestFormat").unwrap_or("form");
        let differs = match self.way.token_request_format.as_deref() {
            Some(fact) => fact != claimed,
            None => self.is_collected() && claimed != "form",
        };
        differs.then(|| self.difference("tokenRequestFormat", json!(self.way.token_request_format), json!(claimed)))
    }

    fn names(&self, field: &'static str, key: &str, facts: &Map<String, Value>) -> Option<Difference> {
        let claimed = self.named.config.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        let differs = facts.iter().any(|(name, fact)| claimed.get(name) != Some(fact));
        differs.then(|| self.difference(field, json!(facts), json!(claimed)))
    }

    fn extra(&self) -> Option<Difference> {
        let mut claimed = self.named.config.get("extra").and_then(Value::as_object).cloned().unwrap_or_default();
        if self.named.kind == "oauth2" {
            claimed.entry("access_type").or_insert_with(|| json!("offline"));
        }
        let differs = self.way.extra.iter().any(|(name, fact)| claimed.get(name) != Some(fact));
        claimed.retain(|name, _| self.way.extra.contains_key(name));
        differs.then(|| self.difference("extra", json!(self.way.extra), json!(claimed)))
    }

    fn placement(&self) -> Option<Difference> {
        let (field, fact) = match self.named.kind {
            "api-key" => ("key", self.way.key.clone()?),
            "oauth2" | "client-credentials" => ("token", self.way.token.clone()?),
            _ => return None,
        };
        let is_there = self.named.placements.iter().any(|placement| placement.fits(&fact));
        (!is_there).then(|| self.difference(field, json!(fact), json!(self.named.placements.first())))
    }

    fn basic(&self) -> Option<Difference> {
        let fact = self.way.basic.as_ref().filter(|_| self.named.kind == "basic")?;
        let part_fits = |fact: &str, claimed: &str| match fact.starts_with('{') || fact.contains('{') {
            // The end user enters it.
            true => claimed.contains('{'),
            false => fact == claimed,
        };
        let fits = self
            .named
            .basic
            .as_ref()
            .is_some_and(|it| part_fits(&fact.username, &it.username) && part_fits(&fact.password, &it.password));
        (!fits).then(|| self.difference("basic", json!(fact), json!(self.named.basic)))
    }

    fn test(&self) -> Option<Difference> {
        let facts: Vec<&str> = self.way.hosts();
        let claimed = self.named.test.as_deref()?;
        let fits_fact = |claims: &Claims| {
            claims.test.as_deref().is_some_and(|test| facts.iter().any(|fact| fits(origin(fact), origin(test))))
        };
        (!facts.is_empty() && !self.any(fits_fact)).then(|| {
            self.difference(
                "test",
                json!(facts.iter().map(|fact| origin(fact)).collect::<Vec<_>>()),
                json!(origin(claimed)),
            )
        })
    }

    /// A number of sources must be the number of the facts.
    fn sources(&self, is_first: bool) -> Option<Difference> {
        let differs = is_first && self.is_collected() && *self.evidence != json!(self.way.sources);
        differs.then(|| self.difference("sources", json!(self.way.sources), self.evidence.clone()))
    }

    fn difference(&self, field: &'static str, facts: Value, is: Value) -> Difference {
        Difference { field, facts, is }
    }
}

impl FactWay {
    /// The addresses of the API.
    pub(crate) fn hosts(&self) -> Vec<&str> {
        self.test.iter().chain(&self.base_uri).map(String::as_str).collect()
    }

    /// These facts, with the preset's own addresses for those that it has only with other values than the usual ones.
    fn as_by_default(&self, named: &Claims, valid: &Claims) -> Self {
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
    fn with(&self, field: &str, is: &Value) -> Self {
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

/// Runs a check on every way to connect to a provider.
fn every_way(catalog: &Catalog, mut check: impl FnMut(&Connector, (&str, &AuthOption), &Source)) {
    for entry in catalog.entries().into_iter().filter(|entry| !GENERIC.contains(&entry.key.as_str())) {
        let connector = catalog.get(&entry.key).unwrap_or_else(|| panic!("{} does not load", entry.key));
        let source = Source::read(&entry);
        for (subject, option) in claims::ways(&connector) {
            check(&connector, (&subject, option), &source);
        }
    }
}

#[test]
fn presets_say_what_the_facts_say() {
    let (facts, intended) = (Facts::read(), Differences::read());
    let mut unused: BTreeSet<(String, String)> = BTreeSet::new();
    for (subject, fields) in &intended.differences {
        unused.extend(fields.keys().map(|field| (subject.clone(), field.clone())));
    }
    let mut unexplained: BTreeMap<String, String> = BTreeMap::new();
    every_way(&bundled_connectors(), |connector, way, source| {
        if intended.without.contains_key(&connector.key) {
            return;
        }
        let compared = match compare(&facts, &intended, connector, way, source) {
            Ok(compared) => compared,
            Err(error) => return drop(unexplained.insert(way.0.to_owned(), format!("    # {error}\n"))),
        };
        for (subject, Difference { field, facts, is }) in compared.differences {
            let known = intended.intended(&subject, field).filter(|it| it.is == is);
            if known.is_some() {
                unused.remove(&(subject, field.to_owned()));
                continue;
            }
            let line = format!("    {field}: {{ is: {is}, because: \"\" }} # the facts: {facts}\n");
            unexplained.entry(subject).or_default().push_str(&line);
        }
    });
    let listed: String = unexplained.iter().map(|(subject, lines)| format!("  {subject}:\n{lines}")).collect();
    let unused: String = unused.iter().map(|(subject, field)| format!("  {subject}: {field}\n")).collect();
    assert!(
        listed.is_empty() && unused.is_empty(),
        "\nCorrect the presets, or add the reasons to tests/providers/{DIFFERENCES}:\n{listed}\nThese are not differences \
         any more:\n{unused}"
    );
}

#[test]
fn every_preset_has_facts_and_every_fact_has_a_preset() {
    let (facts, intended) = (Facts::read(), Differences::read());
    let keys: BTreeSet<String> = bundled_connectors().entries().into_iter().map(|entry| entry.key).collect();
    let known: BTreeSet<&str> = facts.facts.iter().map(|sheet| sheet.preset.as_str()).collect();
    let has_none = |key: &&String| !known.contains(key.as_str()) && !GENERIC.contains(&key.as_str());
    let missing: BTreeSet<&String> = keys.iter().filter(has_none).collect();
    assert_eq!(missing, intended.without.keys().collect());
    assert!(known.iter().all(|key| keys.contains(*key)), "facts of {known:?}");
    assert!(intended.names.keys().all(|key| keys.contains(key)));
    let reasons = intended.differences.values().flat_map(BTreeMap::values).map(|it| &it.because);
    assert!(reasons.chain(intended.without.values()).all(|reason| reason.len() >= 20), "a reason is too short");
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
