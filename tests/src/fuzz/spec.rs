//! Connector folders.

use larder_engine::connector::folder::parse;
use larder_engine::connector::{Catalog, Files, Folder};
use larder_engine::lint::{Severity, lint};

/// Takes the folder's files, each after a line `=== PATH`. The part before the first such line is `spec.yml`.
pub fn spec(data: &[u8]) {
    let files = files(&String::from_utf8_lossy(data));
    let findings = lint("folder", &files);
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
