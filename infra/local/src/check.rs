//! `larder check`: looks through connector folders.

use std::path::{Path, PathBuf};

use larder_engine::connector::BrokenConnector;
use larder_engine::connector::catalog::find;
use larder_engine::connector::folder::{self, Files, FolderProblem};
use larder_engine::lint::{Finding, Severity, lint};
use serde_json::{Value, json};

/// What was found. The files of its problems begin with the folder as it was given.
#[derive(Debug)]
pub struct Report(Vec<Finding>);

/// Looks through folders, each a connector or a folder of connectors.
#[must_use]
pub fn check(dirs: &[PathBuf]) -> Report {
    Report(dirs.iter().flat_map(|dir| check_dir(dir)).collect())
}

impl Report {
    /// Whether nothing must be mended.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.0.iter().all(|finding| finding.severity != Severity::Error)
    }

    /// A line for each finding: `file:line: error: message; help`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let line = |Finding { problem, severity }: &Finding| {
            let FolderProblem { file, line, message, help } = problem;
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            let help = if help.is_empty() { String::new() } else { format!("; {help}") };
            format!("{file}{line}: {severity}: {message}{help}\n")
        };
        self.0.iter().map(line).collect()
    }

    /// One array of objects with `file`, `line`, `severity`, `message` and `help`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let object = |Finding { problem, severity }: &Finding| {
            let FolderProblem { file, line, message, help } = problem;
            json!({"file": file, "line": line, "severity": severity.to_string(), "message": message, "help": help})
        };
        self.0.iter().map(object).collect()
    }
}

fn check_dir(dir: &Path) -> Vec<Finding> {
    if ["spec.yml", "auth"].iter().any(|name| dir.join(name).exists()) {
        return match dir.canonicalize().and_then(|path| Ok((folder::read(&path)?, path))) {
            Ok((files, path)) => check_files(&path.file_name().unwrap_or_default().to_string_lossy(), dir, &files),
            Err(error) => vec![failure(dir, format!("the folder cannot be read: {error}"), "")],
        };
    }
    let (folders, broken) = find(&[dir.to_owned()]);
    if folders.is_empty() && broken.is_empty() {
        let help = "name a folder with a spec.yml, or one that holds such folders";
        return vec![failure(dir, "there is no connector in this folder".to_owned(), help)];
    }
    let found = folders.iter().flat_map(|folder| match folder.files() {
        Ok(files) => check_files(folder.name(), Path::new(folder.location()), &files),
        Err(broken) => failures(broken),
    });
    broken.into_iter().flat_map(failures).chain(found).collect()
}

fn failures(broken: BrokenConnector) -> Vec<Finding> {
    let BrokenConnector { location, problems, .. } = broken;
    let problems = problems.into_iter();
    problems.map(|problem| failure(Path::new(&location), problem.message, &problem.help)).collect()
}

/// Looks through one connector. The files are named so that they can be opened from where the program was started.
fn check_files(name: &str, dir: &Path, files: &Files) -> Vec<Finding> {
    let mut findings = lint(name, files);
    for Finding { problem, .. } in &mut findings {
        problem.file = dir.join(&problem.file).display().to_string();
    }
    findings
}

fn failure(dir: &Path, message: String, help: &str) -> Finding {
    let problem = FolderProblem { file: dir.display().to_string(), line: None, message, help: help.to_owned() };
    Finding { problem, severity: Severity::Error }
}
