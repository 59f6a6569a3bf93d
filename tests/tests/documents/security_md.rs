//! SECURITY.md cites tests for each attack and each fault, and these tests exist.
//!
//! The tests are looked up in their source files. `cargo test -- --list` would be more precise, but a test binary lists only
//! its own tests, and asking all of them would mean building the whole workspace.

use std::collections::BTreeSet;
use std::fs;

use larder_tests::document::{quoted, read, rows};
use larder_tests::root;

const HEADING: &str = "## Attacks and faults, and the test of each";

/// Each row's number, promise, and tests as `path::function`.
fn table(document: &str) -> Vec<(u32, &str, Vec<&str>)> {
    let row = |cells: Vec<_>| {
        let [number, promise, tests] = cells[..] else { panic!("{cells:?}") };
        (str::parse(number).unwrap(), promise, quoted(tests))
    };
    rows(document, HEADING).into_iter().map(row).collect()
}

/// The unconditionally compiled tests of a source file.
fn tests_of(source: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut attributes: Vec<&str> = Vec::new();
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
            continue;
        }
        let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        let name = name.and_then(|rest| rest.split(['(', '<']).next());
        let is_test = attributes.iter().any(|it| *it == "#[test]" || it.starts_with("#[tokio::test"));
        let is_conditional = attributes.iter().any(|it| it.starts_with("#[cfg"));
        found.extend(name.filter(|_| is_test && !is_conditional));
        attributes.clear();
    }
    found
}

/// Whether a file of a workspace member is compiled for the tests.
fn is_compiled(path: &str) -> bool {
    let manifest: toml::Value = toml::from_str(&read("Cargo.toml")).unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let is_member = |folder: &str| {
        members.iter().any(|member| {
            let member = member.as_str().unwrap();
            member == folder
                || member
                    .strip_suffix("/*")
                    .is_some_and(|parent| folder.rsplit_once('/').is_some_and(|(it, _)| it == parent))
        })
    };
    if let Some((folder, file)) = path.split_once("/tests/").filter(|(folder, _)| is_member(folder)) {
        // Cargo discovers `main.rs` in each folder of `tests/`.
        let own: toml::Value = toml::from_str(&read(&format!("{folder}/Cargo.toml"))).unwrap();
        let is_automatic = own["package"].get("autotests").is_none() && own.get("test").is_none();
        let Some((theme, module)) = file.split_once('/') else { return false };
        return is_automatic && is_declared(&format!("{folder}/tests/{theme}"), module);
    }
    let Some((folder, file)) = path.split_once("/src/").filter(|(folder, _)| is_member(folder)) else { return false };
    is_declared(&format!("{folder}/src"), file)
}

/// Whether `mod` declarations lead from the crate root to this file.
fn is_declared(src: &str, file: &str) -> bool {
    let module = file.strip_suffix("/mod.rs").or_else(|| file.strip_suffix(".rs")).unwrap();
    if matches!(module, "lib" | "main") {
        return true;
    }
    let (parents, name) = match module.rsplit_once('/') {
        Some((parent, name)) => (vec![format!("{parent}.rs"), format!("{parent}/mod.rs")], name),
        None => (vec!["lib.rs".to_owned(), "main.rs".to_owned()], module),
    };
    parents.iter().any(|parent| {
        let path = format!("{src}/{parent}");
        declares(&path, name) && is_declared(src, parent)
    })
}

fn declares(path: &str, name: &str) -> bool {
    let words = ["", "pub ", "pub(crate) ", "pub(super) "];
    let source = fs::read_to_string(root().join(path)).unwrap_or_default();
    source.lines().any(|line| words.iter().any(|word| line == format!("{word}mod {name};")))
}

#[test]
fn every_attack_and_fault_cites_existing_tests() {
    let document = read("SECURITY.md");
    let table = table(&document);
    let numbers: Vec<_> = table.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=122).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for (number, promise, tests) in table {
        assert!(!promise.is_empty() && !tests.is_empty(), "{number} cites no test");
        for cited in tests {
            let Some((path, name)) = cited.split_once("::") else { panic!("{number}: {cited} is not path::function") };
            if !root().join(path).is_file() {
                wrong.push(format!("{number}: there is no file {path}"));
            } else if !tests_of(&read(path)).contains(name) {
                wrong.push(format!("{number}: {path} has no test {name}"));
            } else if !is_compiled(path) {
                wrong.push(format!("{number}: {path} is not compiled"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn citations_count_only_if_the_test_is_compiled() {
    let source = "#[test]\nfn a() {}\n    #[tokio::test(flavor = \"multi_thread\")]\n    #[ignore = \"x\"]\n    async fn b() {}\n\
                  fn c() {}\n// #[test]\nfn d() {}\n#[test]\n#[cfg(windows)]\nfn e() {}\n";
    assert_eq!(tests_of(source), BTreeSet::from(["a", "b"]));
    for path in [
        "tests/tests/documents/security_md.rs",
        "tests/tests/interop/mapping/mod.rs",
        "tests/tests/fuzz/main.rs",
        "shared/engine/src/javascript/tests/limits.rs",
        "shared/engine/src/oauth2/token_response/tests.rs",
        "shared/src/connection/mod.rs",
        "functions/connections/src/integrations.rs",
    ] {
        assert!(root().join(path).is_file() && is_compiled(path), "{path}");
    }
    for path in [
        "tests/tests/api/snapshots/x.rs",
        "tests/tests/x.rs",
        "shared/src/nobody.rs",
        "shared/engine/src/oauth2/tests.rs",
        "elsewhere/src/lib.rs",
    ] {
        assert!(!is_compiled(path), "{path}");
    }
}

#[test]
fn tests_that_need_other_programs_run_too() {
    assert!(read("tests/run").contains("--include-ignored"));
}

#[test]
fn the_price_and_pace_of_secrets_manager_are_documented() {
    let readme = read("infra/README.md");
    let offered = readme.lines().find(|line| line.starts_with("Secrets Manager costs")).expect("a paragraph");
    assert!(offered.contains("$0.40 a month for each secret") && offered.contains("once in ten minutes"), "{offered}");
    let before = readme.split_once(offered).unwrap().0;
    assert!(before.rsplit("\n## ").next().unwrap().contains("secrets_manager"), "the paragraph is in another section");
}
