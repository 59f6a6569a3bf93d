//! What a function that needs connectors pays for the bundled ones when it starts.
#![expect(clippy::print_stdout, reason = "measurements are printed")]

use std::path::PathBuf;
use std::time::Instant;

use larder::connector::Catalog;
use larder::connector::catalog::read_dirs;

const ROUNDS: usize = 50;

fn main() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("connectors");
    let mut times: Vec<_> = (0..ROUNDS).map(|_| round(&dir)).collect();
    times.sort_unstable_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)));
    let (read, parsed, count) = times[ROUNDS / 2];
    println!("{count} connectors: read in {read:.2} ms, parsed in {parsed:.2} ms (median of {ROUNDS})");
}

/// Milliseconds of reading and of parsing, and how many connectors there are.
fn round(dir: &PathBuf) -> (f64, f64, usize) {
    let started = Instant::now();
    let (folders, broken) = read_dirs(std::slice::from_ref(dir));
    let read = started.elapsed();
    let catalog = Catalog::new(folders).with_broken(broken);
    assert!(catalog.broken().is_empty(), "every bundled connector loads");
    let parsed = started.elapsed() - read;
    (read.as_secs_f64() * 1e3, parsed.as_secs_f64() * 1e3, catalog.iter().count())
}
