//! `larder check`: checks connectors for mistakes, and keeps the index of a directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_engine::connector::catalog::list;
use larder_engine::connector::folder::FolderProblem;
use larder_engine::connector::index::{self, IndexEntry};
use larder_engine::connector::{AuthOption, BrokenConnector, Catalog, Connector, Folder, FunctionName};
use larder_engine::lint::{Finding, Linted, Severity, lint, lint_preset};
use serde_json::{Value, json};

use crate::bundle::bundled_connectors;

/// The findings, and what there is in directories with an index. File names start with the folder as it was given.
#[derive(Debug, Default)]
pub struct CheckReport {
    findings: Vec<Finding>,
    /// How many connectors were checked.
    checked: usize,
    summary: String,
    is_verbose: bool,
}

/// Checks connectors. Each path is a preset, a connector's folder, or a directory of connectors. `writes_index` makes the
/// directories' indexes, and `is_verbose` lists the connectors without a test.
#[must_use]
pub fn check(paths: &[PathBuf], writes_index: bool, is_verbose: bool) -> CheckReport {
    let mut report = CheckReport { is_verbose, ..CheckReport::default() };
    for path in paths {
        report.check_path(path, writes_index);
    }
    report
}

impl CheckReport {
    /// Whether there are no errors. Warnings are allowed.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }

    /// One line per finding: `file:line: error: message; help`. Their number and a summary of directories with an index
    /// follow.
    #[must_use]
    pub fn to_text(&self) -> String {
        let line = |Finding { problem, severity }: &Finding| {
            let FolderProblem { file, line, message, help } = problem;
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            let help = if help.is_empty() { String::new() } else { format!("; {help}") };
            format!("{file}{line}: {severity}: {message}{help}\n")
        };
        self.findings.iter().map(line).chain([self.total(), self.summary.clone()]).collect()
    }

    fn total(&self) -> String {
        let number =
            |severity, name: &str| match self.findings.iter().filter(|finding| finding.severity == severity).count() {
                0 => format!("no {name}s"),
                1 => format!("1 {name}"),
                number => format!("{number} {name}s"),
            };
        let (errors, warnings) = (number(Severity::Error, "error"), number(Severity::Warning, "warning"));
        let checked = if self.checked == 1 { "1 connector".to_owned() } else { format!("{} connectors", self.checked) };
        format!("{checked}: {errors}, {warnings}\n")
    }

    /// An array of objects with `file`, `line`, `severity`, `message` and `help`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let object = |Finding { problem, severity }: &Finding| {
            let FolderProblem { file, line, message, help } = problem;
            json!({"file": file, "line": line, "severity": severity.to_string(), "message": message, "help": help})
        };
        self.findings.iter().map(object).collect()
    }

    fn check_path(&mut self, path: &Path, writes_index: bool) {
        let is_folder = ["spec.yml", "auth"].iter().any(|name| path.join(name).exists());
        if !is_folder && !path.is_file() {
            return self.check_directory(path, writes_index);
        }
        match path.canonicalize() {
            Ok(real) => {
                let parent = real.parent().map(Path::to_owned).unwrap_or_default();
                let folder = Folder::on_disk(real);
                self.check_bundled(std::slice::from_ref(&folder));
                let dir = if path.is_file() { path.parent().unwrap_or(path) } else { path };
                drop(self.add(linted(&folder, dir, &generics(&parent))));
            }
            Err(error) => self.fail(path, format!("the folder cannot be read: {error}"), ""),
        }
    }

    fn check_directory(&mut self, dir: &Path, writes_index: bool) {
        let folders = match list(dir) {
            Ok(folders) => folders,
            Err(broken) => return self.fail_all(broken),
        };
        if folders.is_empty() {
            let help = "give a preset, a folder with a spec.yml, or a directory that contains such files and folders";
            return self.fail(dir, "there is no connector in this folder".to_owned(), help);
        }
        let generics = generics(dir);
        self.check_bundled(&folders);
        let mut connectors = Vec::new();
        for (linted, folder) in all_linted(&folders, dir, &generics).into_iter().zip(&folders) {
            connectors.extend(self.add(linted).map(|connector| (connector, folder)));
        }
        let file = dir.join(index::FILE);
        if writes_index || file.exists() {
            self.check_names(&connectors);
            self.check_index(&file, &connectors, writes_index);
            self.summarize(&connectors);
        }
    }

    /// Adds the findings of a connector, and returns it if it loads.
    fn add(&mut self, linted: Result<Linted, BrokenConnector>) -> Option<Connector> {
        self.checked += 1;
        match linted {
            Ok(Linted { connector, findings }) => {
                self.findings.extend(findings);
                connector
            }
            Err(broken) => {
                self.fail_all(broken);
                None
            }
        }
    }

    /// Reports connectors that take the place of bundled ones. A directory with the generic connectors is the bundled one, or
    /// a copy of it.
    fn check_bundled(&mut self, folders: &[Folder]) {
        let parent = |folder: &Folder| Path::new(folder.location()).parent().map(|dir| dir.join("oauth2/spec.yml"));
        if folders.first().and_then(parent).is_some_and(|spec| spec.is_file()) {
            return;
        }
        let bundled = bundled_connectors().entries();
        for folder in folders.iter().filter(|folder| bundled.iter().any(|entry| entry.key == folder.name())) {
            let problem = FolderProblem {
                file: folder.location().to_owned(),
                line: None,
                message: format!("it replaces the bundled connector `{}`", folder.name()),
                help: "choose another key if it is for something else".to_owned(),
            };
            self.findings.push(Finding { problem, severity: Severity::Warning });
        }
    }

    /// In a directory with an index, keys lead to files by name.
    fn check_names(&mut self, connectors: &[(Connector, &Folder)]) {
        for (connector, folder) in connectors.iter().filter(|(connector, folder)| connector.key != folder.name()) {
            let message = format!("the folder of the connector `{}` has another name", connector.key);
            self.fail(
                Path::new(folder.location()),
                message,
                "name it after the key, because the directory has an index",
            );
        }
    }

    fn check_index(&mut self, file: &Path, connectors: &[(Connector, &Folder)], writes_index: bool) {
        let entries: Vec<_> =
            connectors.iter().map(|(connector, folder)| IndexEntry::of(connector, &folder.file())).collect();
        let current = index::write(&entries);
        if std::fs::read_to_string(file).is_ok_and(|written| written == current) {
            return;
        }
        if !writes_index {
            let dir = file.parent().unwrap_or(file).display();
            let help = format!("make it again with `larder check {dir} --write-index`");
            self.fail(file, "the index is out of date".to_owned(), &help);
        } else if let Err(error) = std::fs::write(file, current) {
            self.fail(file, format!("the index cannot be written: {error}"), "");
        }
    }

    fn summarize(&mut self, connectors: &[(Connector, &Folder)]) {
        let presets = connectors.iter().filter(|(connector, _)| connector.extends().is_some()).count();
        let aliases: usize = connectors.iter().map(|(connector, _)| connector.about.aliases.len()).sum();
        let auth_type =
            |option: &'_ Arc<AuthOption>| option.extends.clone().unwrap_or_else(|| option.kind.spec_name().to_owned());
        let types = counted(connectors.iter().filter_map(|(connector, _)| connector.options.first().map(auth_type)));
        let further = connectors.iter().flat_map(|(connector, _)| connector.options.iter().skip(1));
        let further = counted(further.map(auth_type));
        let categories = counted(connectors.iter().flat_map(|(connector, _)| connector.about.categories.clone()));
        let is_untested = |connector: &Connector| {
            connector.options.iter().any(|option| option.function(FunctionName::Test).is_none())
        };
        let untested: Vec<&Connector> =
            connectors.iter().map(|(connector, _)| connector).filter(|connector| is_untested(connector)).collect();
        let folders = connectors.len() - presets;
        writeln!(self.summary, "{presets} presets, {folders} folders; {aliases} aliases").ok();
        let number = match untested.len() {
            0 => String::new(),
            number if self.is_verbose => number.to_string(),
            number => format!("{number} (listed with --verbose)"),
        };
        for (name, numbers) in [
            ("types", types),
            ("further ways to connect", further),
            ("categories", categories),
            ("evidence", evidence(connectors)),
            ("without a test", number),
        ] {
            if !numbers.is_empty() {
                writeln!(self.summary, "{name}: {numbers}").ok();
            }
        }
        if self.is_verbose {
            self.summary += &by_reason(&untested);
        }
    }

    fn fail_all(&mut self, broken: BrokenConnector) {
        for FolderProblem { message, help, .. } in broken.problems {
            self.fail(Path::new(&broken.location), message, &help);
        }
    }

    fn fail(&mut self, path: &Path, message: String, help: &str) {
        let problem = FolderProblem { file: path.display().to_string(), line: None, message, help: help.to_owned() };
        self.findings.extend(errors(vec![problem]));
    }
}

/// Checks the connectors of a directory, on all processors.
fn all_linted(folders: &[Folder], dir: &Path, generics: &Catalog) -> Vec<Result<Linted, BrokenConnector>> {
    let one = |folder: &Folder| {
        let location = if folder.is_preset() { dir } else { Path::new(folder.location()) };
        linted(folder, location, generics)
    };
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let parts = folders.chunks(folders.len().div_ceil(processors));
        let parts: Vec<_> = parts.map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>())).collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Checks a connector, whose files are relative to `dir`.
fn linted(folder: &Folder, dir: &Path, generics: &Catalog) -> Result<Linted, BrokenConnector> {
    let generic = |key: &str| generics.generic_connector(key);
    let files = folder.files()?;
    let mut linted = if folder.is_preset() {
        let file = folder.file();
        let text = files.get(&file).map(String::as_str).unwrap_or_default();
        lint_preset(folder.name(), &file, text, &generic)
    } else {
        lint(folder.name(), &files)
    };
    for Finding { problem, .. } in &mut linted.findings {
        problem.file = dir.join(&problem.file).display().to_string();
    }
    Ok(linted)
}

/// The generic connectors that presets in a directory can extend: its own, and the bundled ones.
pub(crate) fn generics(dir: &Path) -> Catalog {
    bundled_connectors().with_dirs(&[dir.to_owned()])
}

fn errors(problems: Vec<FolderProblem>) -> Vec<Finding> {
    problems.into_iter().map(|problem| Finding { problem, severity: Severity::Error }).collect()
}

/// Connectors without a test, by the reason for it: the most frequent first, and each followed by its connectors.
fn by_reason(untested: &[&Connector]) -> String {
    let mut by_reason = BTreeMap::<&str, Vec<&str>>::new();
    for connector in untested {
        let reason = connector.about.details.get("testReason").and_then(Value::as_str).unwrap_or("no reason is given");
        by_reason.entry(reason).or_default().push(&connector.key);
    }
    let mut by_reason: Vec<_> = by_reason.into_iter().collect();
    by_reason.sort_by_key(|(_, keys)| std::cmp::Reverse(keys.len()));
    by_reason.iter().map(|(reason, keys)| format!("  {reason}\n{}", wrapped(keys))).collect()
}

/// Words in lines of at most 100 characters, indented.
fn wrapped(words: &[&str]) -> String {
    let mut lines = vec![String::new()];
    for word in words {
        if lines.last().is_some_and(|line| line.len() + word.len() > 94) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            *line += if line.is_empty() { "    " } else { " " };
            *line += word;
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// How often each word occurs, the most frequent first.
fn counted(words: impl Iterator<Item = String>) -> String {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_insert(0) += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let counts: Vec<String> = counts.into_iter().map(|(word, count)| format!("{word} {count}")).collect();
    counts.join(", ")
}

/// How many connectors rest on documentation, and how many on each number of sources.
fn evidence(connectors: &[(Connector, &Folder)]) -> String {
    let mut counts = BTreeMap::new();
    for (connector, _) in connectors {
        let name = match connector.about.details.get("evidence") {
            Some(Value::Number(number)) => (1, number.as_u64().unwrap_or_default()),
            Some(_) => (0, 0),
            None => (2, 0),
        };
        *counts.entry(name).or_insert(0_usize) += 1;
    }
    let counts = counts.into_iter().map(|(name, count)| match name {
        (0, _) => format!("docs {count}"),
        (1, 1) => format!("1 source {count}"),
        (1, sources) => format!("{sources} sources {count}"),
        _ => format!("none {count}"),
    });
    counts.collect::<Vec<_>>().join(", ")
}
