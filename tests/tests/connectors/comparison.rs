//! Compares what a connector says about a way to connect with the facts.

use std::collections::BTreeSet;

use larder_engine::connector::{AuthOption, Connector};
use serde_json::{Map, Value, json};

use crate::claims::{self, Claims, Source};
use crate::fact_sheets::{Differences, FactSheet, FactWay, Facts, fits, origin};
use crate::samples::{Fields, Sample};

/// A difference between a preset and the facts.
pub(crate) struct Difference {
    /// The name of the value that differs.
    pub(crate) field: &'static str,
    /// The value of the facts.
    pub(crate) facts: Value,
    /// The value of the connector, in the form of the facts.
    pub(crate) is: Value,
}

/// A way to connect, with what is agreed on it.
#[derive(Clone)]
pub(crate) struct Agreed {
    /// The facts, changed by the intended differences; `None` if there are none.
    pub(crate) facts: Option<FactWay>,
    /// The value of the preset.
    pub(crate) claims: Claims,
}

/// A way to connect, compared with the facts.
pub(crate) struct Comparison {
    /// The accepted value.
    pub(crate) agreed: Agreed,
    /// The differences, each with the name that it has in `differences.yml`.
    pub(crate) differences: Vec<(String, Difference)>,
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

/// The two sides of a comparison.
struct View<'a> {
    way: &'a FactWay,
    /// The preset's values, with names in place of inputs.
    named: &'a Claims,
    /// Its values for other inputs.
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
        // A template is for a value that the end user enters.
        let part_fits =
            |fact: &str, claimed: &str| if fact.contains('{') { claimed.contains('{') } else { fact == claimed };
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
