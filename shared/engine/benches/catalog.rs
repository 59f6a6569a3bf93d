//! Measures the cost of finding and loading connectors: the bundled ones, and 1,050 presets with an index.
#![expect(clippy::print_stdout, reason = "measurements are printed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use larder_engine::connector::{Catalog, index};

const ROUNDS: usize = 50;
const PRESETS: usize = 1_050;

fn main() {
    let bundled = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../connectors");
    measure("bundled", std::slice::from_ref(&bundled), "airtable");
    let thousand = tempfile::tempdir().expect("a folder");
    write_presets(&bundled, thousand.path());
    measure("1,050 presets", &[bundled.clone(), thousand.path().to_owned()], "preset-500");
    fs::remove_file(thousand.path().join(index::FILE)).expect("the index is there");
    measure("the same without an index", &[bundled, thousand.path().to_owned()], "preset-500");
}

/// Writes copies of a preset, and their index.
fn write_presets(bundled: &Path, dir: &Path) {
    let text = fs::read_to_string(bundled.join("airtable.yml")).expect("it is bundled");
    let keys = (0..PRESETS).map(|number| format!("preset-{number}"));
    let original = Catalog::default().with_dirs(&[bundled.to_owned()]).entries();
    let original = original.into_iter().find(|entry| entry.key == "airtable").expect("it is bundled");
    let entries = keys.map(|key| {
        fs::write(dir.join(format!("{key}.yml")), &text).expect("the file is written");
        index::IndexEntry { file: format!("{key}.yml"), key, ..original.clone() }
    });
    let entries: Vec<_> = entries.collect();
    fs::write(dir.join(index::FILE), index::write(&entries)).expect("the index is written");
}

fn measure(name: &str, dirs: &[PathBuf], key: &str) {
    let rounds: Vec<_> = (0..ROUNDS).map(|_| round(dirs, key)).collect();
    let median = |part: fn(&[Duration; 3]) -> Duration| {
        let mut times: Vec<_> = rounds.iter().map(part).collect();
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64() * 1e3
    };
    let (found, first, all) = (median(|times| times[0]), median(|times| times[1]), median(|times| times[2]));
    println!(
        "{name}: found in {found:.2} ms, one of them in {first:.2} ms, listed in {all:.2} ms (median of {ROUNDS})"
    );
}

/// Times finding the directories, loading one connector, and listing them all.
fn round(dirs: &[PathBuf], key: &str) -> [Duration; 3] {
    let started = Instant::now();
    let catalog = Catalog::default().with_dirs(dirs);
    let found = started.elapsed();
    assert!(catalog.get(key).is_some(), "{key} is there");
    let first = started.elapsed();
    assert!(catalog.entries().len() > 1, "the connectors are listed");
    [found, first - found, started.elapsed() - first]
}
