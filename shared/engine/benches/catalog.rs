//! Measures the cost of finding and loading the bundled connectors.
#![expect(clippy::print_stdout, reason = "measurements are printed")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use larder_engine::connector::Catalog;

const ROUNDS: usize = 50;

fn main() {
    let dir = [PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../connectors")];
    let rounds: Vec<_> = (0..ROUNDS).map(|_| round(&dir)).collect();
    let median = |part: fn(&[Duration; 3]) -> Duration| {
        let mut times: Vec<_> = rounds.iter().map(part).collect();
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64() * 1e3
    };
    let (found, first, all) = (median(|times| times[0]), median(|times| times[1]), median(|times| times[2]));
    println!("found in {found:.2} ms, the first of them in {first:.2} ms, all in {all:.2} ms (median of {ROUNDS})");
}

/// Times finding the folders, loading the connector whose folder comes last in the search, and loading all the others.
fn round(dir: &[PathBuf; 1]) -> [Duration; 3] {
    let started = Instant::now();
    let catalog = Catalog::default().with_dirs(dir);
    let found = started.elapsed();
    assert!(catalog.get("airtable").is_some(), "airtable is bundled");
    let first = started.elapsed();
    assert!(catalog.iter().count() > 1 && catalog.broken().count() == 0, "every bundled connector loads");
    [found, first - found, started.elapsed() - first]
}
