//! The documents at the root, as far as tests read them.

use std::fs;
use std::path::{Path, PathBuf};

use larder::routes::ROUTES;

/// The root of the source tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("a folder")
}

/// A file of the repository.
///
/// # Panics
/// If it is not there.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of each row of the table that follows a heading.
///
/// # Panics
/// If there is no such heading.
pub fn rows<'a>(document: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, section) = document.split_once(heading).unwrap_or_else(|| panic!("there is no {heading:?}"));
    let rows = section.lines().skip_while(|line| !line.starts_with("|-")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// What is in backquotes in a cell.
pub fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Method, path and function of every route.
pub fn routes() -> Vec<(String, String, String)> {
    let routes = ROUTES.iter();
    routes.map(|it| (it.method.to_string(), it.path.to_owned(), it.function.name().to_owned())).collect()
}
