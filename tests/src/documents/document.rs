//! Helpers that read Markdown documents and their tables.

use std::fs;
use std::path::{Path, PathBuf};

use larder::routes::ROUTES;

/// Returns the root of the source tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("a folder")
}

/// Reads a file of the repository.
///
/// # Panics
/// If the file cannot be read.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the cells of each row of the first table below a heading.
///
/// # Panics
/// If the heading does not exist.
pub fn rows<'a>(document: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, section) = document.split_once(heading).unwrap_or_else(|| panic!("there is no {heading:?}"));
    let rows = section.lines().skip_while(|line| !line.starts_with("|-")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// Returns the code spans in a table cell.
pub fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Returns the method, path and function of every route.
pub fn routes() -> Vec<(String, String, String)> {
    let routes = ROUTES.iter();
    routes.map(|it| (it.method.to_string(), it.path.to_owned(), it.function.name().to_owned())).collect()
}
