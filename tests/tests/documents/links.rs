//! Relative links of documents lead to files and headings that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use larder_tests::root;

use crate::markdown::{BlockKind, blocks, code_and_prose, documents};

/// The targets of links that lead into this repository, with their lines.
fn relative_links(document: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for block in blocks(document).into_iter().filter(|block| block.kind != BlockKind::Code) {
        let (_, prose) = code_and_prose(&block.text);
        for rest in prose.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                links.push((block.line, target.to_owned()));
            }
        }
    }
    links
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for block in blocks(document).into_iter().filter(|block| block.kind == BlockKind::Heading) {
        let kept = block.text.to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = times.entry(slug.clone()).or_default();
        anchors.insert(if *before == 0 { slug } else { format!("{slug}-{before}") });
        *before += 1;
    }
    anchors
}

/// A path without `.` and `..`, from the root of the repository.
fn normalized(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[test]
fn every_relative_link_leads_somewhere() {
    let documents: BTreeMap<_, _> = documents().into_iter().collect();
    let mut broken = Vec::new();
    for (path, document) in &documents {
        let folder = Path::new(path).parent().unwrap().to_str().unwrap();
        for (line, target) in relative_links(document) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { path.clone() } else { normalized(&format!("{folder}/{file}")) };
            let leads_to_a_heading = || documents.get(&file).is_some_and(|document| anchors(document).contains(anchor));
            if !root().join(&file).exists() || (!anchor.is_empty() && !leads_to_a_heading()) {
                broken.push(format!("{path}:{line}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn links_are_found_but_not_in_code() {
    let document = "[a](b.md#c), [`d`](#e) and `[f](g)`.\n\n| [h](../i) |\n\n```\n[j](k)\n```\n[l](https://m)\n";
    let links = relative_links(document);
    assert_eq!(links.iter().map(|(_, link)| link.as_str()).collect::<Vec<_>>(), ["b.md#c", "#e", "../i"]);
}

#[test]
fn anchors_are_those_of_github() {
    let document = "# The `oauth2` connector, 1.0\n## A_b – c\n```\n# Code\n```\n## Keys\n### Keys\n";
    let expected = ["the-oauth2-connector-10", "a_b--c", "keys", "keys-1"];
    assert_eq!(anchors(document), expected.map(str::to_owned).into());
}

#[test]
fn paths_are_resolved() {
    assert_eq!(normalized("shared/connectors/../../README.md"), "README.md");
    assert_eq!(normalized("/./a//b"), "a/b");
}
