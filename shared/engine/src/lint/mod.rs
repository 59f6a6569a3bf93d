//! Finds likely mistakes in a connector's folder, in addition to the problems that prevent it from loading.
//!
//! Everything is read from the raw files, so folders that don't load are linted too. An unknown key that resembles a known
//! one is an error, because its intended effect does not happen. Any other unknown key is a warning, because it may belong
//! to another program.

mod about;
mod chain;
mod deputies;
mod flow;
mod hosts;
mod keys;
mod mappings;
mod preset;
mod context;
mod schemas;
mod script;
mod sent;
mod sources;

use std::rc::Rc;

use context::OptionContext;
pub use preset::lint_preset;
use serde_json::{Map, Value};
use sources::AuthScope;

use crate::connector::folder::{self, Files, FolderProblem};
use crate::connector::yaml::Document;
use crate::connector::{Connector, Function, pointer, schema, spelling};
use crate::javascript::{self, ScriptProblem};

/// A problem to fix or to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The problem and its location.
    pub problem: FolderProblem,
    /// The severity.
    pub severity: Severity,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The connector does not load, or does not do what it says.
    Error,
    /// The connector works, but may not do what its author meant.
    Warning,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A connector with its findings.
#[derive(Debug)]
pub struct Linted {
    /// The connector, if it loads.
    pub connector: Option<Connector>,
    /// The findings, ordered by file and line.
    pub findings: Vec<Finding>,
}

/// Lints a folder.
pub fn lint(folder_name: &str, files: &Files) -> Linted {
    let mut findings = Findings::default();
    let connector = findings.loaded(folder::parse(folder_name, files));
    let spec = files.get("spec.yml").and_then(|text| Document::parse(text).ok());
    if let Some(spec) = spec.filter(|spec| spec.value.is_object()) {
        check_spec(&Rc::new(spec), files, &mut findings);
    }
    Linted { connector, findings: findings.sorted() }
}

/// Checks scripts and schemas, which are not checked on load because it would slow down every start.
fn check_loaded(connector: &Connector, findings: &mut Findings) {
    for option in &connector.options {
        for function in option.functions.values() {
            let Function::JavaScript(script) = function else { continue };
            for ScriptProblem { file, line, column, message, help } in
                javascript::check(script).err().unwrap_or_default()
            {
                let message = column.map_or(message.clone(), |column| format!("column {column}: {message}"));
                findings.add(Severity::Error, &file, line, message, help);
            }
        }
        for schema in [&option.input_schema, &option.parameters_schema] {
            if let Err(unusable) = schema::validate(schema.as_ref(), &Map::new()) {
                let help = "see the JSON Schema keywords".to_owned();
                findings.add(Severity::Error, "spec.yml", None, unusable.to_string(), help);
            }
        }
    }
}

fn check_spec(spec: &Rc<Document>, files: &Files, findings: &mut Findings) {
    let file = LintedFile { path: "spec.yml", document: spec };
    let scopes = AuthScope::all(&spec.value);
    keys::check_spec(&file, &scopes, findings);
    schemas::check_spec(&file, &scopes, findings);
    let mut used = Vec::new();
    for scope in &scopes {
        let sources = scope.sources(spec, files);
        let context = OptionContext::new(scope, &spec.value, &scopes, spec, files);
        for source in sources {
            if let Some(file) = source.file {
                used.push(file);
            }
            mappings::check(&source, scope, findings);
            script::check(&source, findings);
            hosts::check(&source, &context, findings);
            deputies::check(&source, &context, findings);
        }
    }
    about::check(&file, findings);
    sources::check_unused(&used, files, findings);
}

/// The findings so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, severity: Severity, file: &str, line: Option<u64>, message: String, help: String) {
        let problem = FolderProblem { file: file.to_owned(), line, message, help };
        self.0.push(Finding { problem, severity });
    }

    /// Adds the problems that keep a connector from loading, or checks the loaded one.
    fn loaded(&mut self, result: Result<Connector, Vec<FolderProblem>>) -> Option<Connector> {
        match result {
            Ok(connector) => {
                check_loaded(&connector, self);
                Some(connector)
            }
            Err(problems) => {
                self.0.extend(problems.into_iter().map(|problem| Finding { problem, severity: Severity::Error }));
                None
            }
        }
    }

    fn sorted(self) -> Vec<Finding> {
        let mut findings = self.0;
        findings.sort_by_key(|finding| (finding.problem.file.clone(), finding.problem.line));
        findings.dedup();
        findings
    }

    /// Reports an object's unknown keys, unless the object is a formula.
    fn check_keys(&mut self, file: &LintedFile<'_>, at: &str, known: &[&str], what: &str) {
        let Some(object) = file.document.value.pointer(at).and_then(Value::as_object) else { return };
        if object.keys().next().is_some_and(|key| key.starts_with('$')) {
            return;
        }
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let (severity, help) = match spelling::nearest(key, known.iter().copied()) {
                Some(meant) => (Severity::Error, format!("did you mean `{meant}`?")),
                None => (Severity::Warning, "it is ignored; remove it".to_owned()),
            };
            let message = format!("unknown key `{key}` in {what}");
            file.report(self, severity, &pointer::child(at, key), message, help);
        }
    }
}

/// A file with findings.
struct LintedFile<'a> {
    path: &'a str,
    document: &'a Document,
}

impl LintedFile<'_> {
    fn report(&self, findings: &mut Findings, severity: Severity, at: &str, message: String, help: String) {
        findings.add(severity, self.path, self.document.line(at), message, help);
    }
}

#[cfg(test)]
mod tests;
