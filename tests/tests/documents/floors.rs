//! The modules of the two common crates use only modules declared before them in `lib.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use larder_tests::root;

#[test]
fn modules_use_only_modules_declared_before_them() {
    for (source, fewest) in [("shared/src", 25), ("shared/engine/src", 12)] {
        let source = root().join(source);
        let library = fs::read_to_string(source.join("lib.rs")).unwrap();
        let order = modules(&library);
        assert!(order.len() >= fewest, "{order:?}");
        let mut upward = Vec::new();
        for (at, module) in order.iter().enumerate() {
            for file in files_of(&source, module) {
                let text = fs::read_to_string(&file).unwrap();
                let used = used_modules(&text);
                let below = order[at + 1..].iter().filter(|below| used.contains(below.as_str()));
                upward.extend(below.map(|below| format!("{} uses {below}", file.display())));
            }
        }
        assert!(upward.is_empty(), "{upward:#?}");
    }
}

#[test]
fn uses_are_found_in_every_notation() {
    let text = "use crate::a::{B, C};\nuse crate::{b, c::D, e};\nfn f() { crate::g::h(); }\n// crate::comment\n\
                #[cfg(test)]\nmod tests {\n    use crate::tested;\n}\n";
    assert_eq!(used_modules(text), BTreeSet::from(["a", "b", "c", "e", "g"]));
}

/// The modules that a `lib.rs` declares, in order.
fn modules(library: &str) -> Vec<String> {
    let declared =
        library.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let mut modules: Vec<_> = declared.map(str::to_owned).collect();
    // A module may be declared twice, once for each side of a `cfg`.
    modules.dedup();
    modules
}

/// The source files of a module, except those compiled only for tests.
fn files_of(source: &Path, module: &str) -> Vec<PathBuf> {
    let mut files = vec![source.join(format!("{module}.rs"))];
    let mut folders = vec![source.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let is_for_tests = path.file_stem().is_some_and(|name| name == "tests" || name == "testing");
            match path.is_dir() {
                _ if is_for_tests => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.retain(|file| file.is_file() && file.extension().is_some_and(|it| it == "rs"));
    files
}

/// The modules of its own crate that a source file names outside comments and unit tests.
fn used_modules(text: &str) -> BTreeSet<&str> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut used = BTreeSet::new();
    for line in text.lines().map(|line| line.split("//").next().unwrap_or_default()) {
        for rest in line.split("crate::").skip(1) {
            let names = match rest.strip_prefix('{').and_then(|rest| rest.split('}').next()) {
                Some(list) => list.split(',').map(str::trim).collect(),
                None => vec![rest],
            };
            used.extend(
                names.into_iter().filter_map(|name| name.split(|c: char| !c.is_alphanumeric() && c != '_').next()),
            );
        }
    }
    used
}
