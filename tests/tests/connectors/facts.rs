//! Presets say what the collected facts say. `tests/providers/facts.json` has the facts, each from public sources with a
//! permissive license, and `tests/providers/differences.yml` the differences that are intended.

use std::collections::{BTreeMap, BTreeSet};

use larder_engine::connector::{AuthOption, Catalog, Connector};
use larder_local::bundle::bundled_connectors;
use larder_tests::scenario::DIFFERENCES;

use crate::claims::{self, Source};
use crate::comparison::{Difference, compare};
use crate::fact_sheets::{Differences, Facts};

/// Connectors without a provider.
const GENERIC: [&str; 7] = ["api-key", "basic", "client-credentials", "demo", "oauth1", "oauth2", "two-step"];

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
