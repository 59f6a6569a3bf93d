//! Connector folders and presets.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use larder_engine::connector::folder::{parse, parse_preset};
use larder_engine::connector::{Catalog, Files, Folder};
use larder_engine::lint::{Severity, lint, lint_preset};
use larder_local::bundle::bundled_connectors;

/// Takes a preset, if the text starts with `extends`, or a folder's files, each after a line `=== PATH`. The part before the
/// first such line is `spec.yml`.
pub fn spec(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if text.starts_with("extends") {
        return preset(&text);
    }
    let files = files(&text);
    let findings = lint("folder", &files).findings;
    match parse("folder", &files) {
        Ok(connector) => {
            assert_eq!(parse("folder", &files).as_ref(), Ok(&connector));
            assert!(!connector.options.is_empty());
            assert!((1..=100).contains(&connector.key.len()), "{}", connector.key);
            for option in &connector.options {
                assert!(option.functions.keys().all(|name| name.belongs_to(&option.kind)), "{option:?}");
            }
            // The catalog, which only reads the head of `spec.yml`, finds the connector by its key.
            let catalog = Catalog::new([Folder::in_memory("folder", "here", files.clone())]);
            assert_eq!(catalog.get(&connector.key).map(|found| found.key.clone()), Some(connector.key));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.is_sorted_by(|a, b| (&a.file, a.line) <= (&b.file, b.line)), "{problems:?}");
            for problem in &problems {
                let is_reported = findings.iter().any(|it| it.severity == Severity::Error && it.problem == *problem);
                assert!(is_reported, "lint does not report {problem:?}");
            }
        }
    }
    for finding in &findings {
        let lines = files.get(&finding.problem.file).map(|text| text.split(['\n', '\r']).count() as u64 + 1);
        let line = finding.problem.line;
        assert!(line.is_none_or(|line| line > 0 && lines.is_some_and(|lines| line <= lines)), "{finding:?}");
    }
}

fn preset(text: &str) {
    static BUNDLED: LazyLock<Catalog> = LazyLock::new(bundled_connectors);
    let find = |key: &str| BUNDLED.generic_connector(key);
    let findings = lint_preset("acme", "acme.yml", text, &find).findings;
    match parse_preset("acme", "acme.yml", text, &find) {
        Ok(connector) => {
            let schema = connector.parameters_schema.unwrap_or_default();
            let open = schema["properties"].as_object().cloned().unwrap_or_default();
            assert!(open.keys().all(|name| !connector.fixed.contains(name)), "{open:?}");
            assert!(connector.options.iter().all(|option| option.extends.is_some()));
            let keys: BTreeSet<&str> = connector.options.iter().map(|option| option.key.as_str()).collect();
            assert_eq!(keys.len(), connector.options.len());
        }
        Err(problems) => {
            for problem in &problems {
                let is_reported = findings.iter().any(|it| it.severity == Severity::Error && it.problem == *problem);
                assert!(is_reported, "lint does not report {problem:?}");
            }
        }
    }
    let lines = text.split(['\n', '\r']).count() as u64 + 1;
    for finding in &findings {
        assert_eq!(finding.problem.file, "acme.yml");
        assert!(finding.problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{finding:?}");
    }
}

fn files(text: &str) -> Files {
    let mut files = Files::new();
    let (mut path, mut lines) = ("spec.yml", String::new());
    for line in text.split_inclusive('\n') {
        if let Some(next) = line.strip_prefix("=== ") {
            files.insert(path.to_owned(), std::mem::take(&mut lines));
            path = next.trim_end();
        } else {
            lines.push_str(line);
        }
    }
    files.insert(path.to_owned(), lines);
    files
}
