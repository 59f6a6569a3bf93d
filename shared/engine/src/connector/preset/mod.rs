//! Presets: connectors in one file, made from a generic connector by fixing its parameters.
//!
//! ```yaml
//! extends: api-key
//! name: Acme
//! inputs:
//!   site: { title: Site, example: acme, pattern: "^[a-z0-9-]+$" }
//! baseUri: https://{site}.acme.example/v1
//! parameters:
//!   headers: { X-Api-Key: "{apiKey}" }
//! test: /me
//! ```
//!
//! # Decisions
//!
//! A preset is expanded into the `spec.yml` of an ordinary connector, with all functions inline, before anything else sees it.
//! Every `$var: connectorParameters.NAME` of the generic connector is replaced by the preset's expression, so a fixed value
//! cannot be overridden by anyone, and the checks of hosts and secrets see it where it is used. The expanded document keeps
//! the preset's lines, so problems are reported where they were written.
//!
//! `{name}` in a preset's strings becomes the format's own `$tpl` with a value for each name: its result is the same as if it
//! had been written by hand, and a misspelled name is an error instead of a silent gap.
//!
//! With `options`, each way to connect becomes a preset of its own (`ways`), is expanded alone, and is put together with the
//! others. The first is the one that the top level describes, so that a preset can gain others without a change to it. An
//! option is an alternative unless it needs parameters of its own: integrations with an OAuth client keep their only way.
//!
//! Only folders whose `spec.yml` has `presets` can be extended. They are looked up in the preset's own directory, then in those
//! before it, so a user's directory cannot change the bundled presets.

mod expand;
pub(crate) mod template;
#[cfg(test)]
mod tests;
pub(crate) mod ways;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use expand::expand;
pub(crate) use expand::{CLOSED, TEST_URI, expand_document};
use serde_json::{Map, Value};

use super::folder::{Files, Problems};
use super::yaml::Document;
use super::{FolderProblem, FunctionName, pointer};

/// The keys of a preset.
pub(crate) const KEYS: [&str; 26] = [
    "account",
    "aliases",
    "apiDocsUri",
    "baseUri",
    "categories",
    "customCredentialsSchema",
    "defaults",
    "description",
    "disconnect",
    "evidence",
    "extends",
    "helpUri",
    "inputs",
    "lifetimes",
    "logoUri",
    "name",
    "openParameters",
    "options",
    "parameters",
    "quirks",
    "scopes",
    "setup",
    "steps",
    "test",
    "testReason",
    "title",
];

/// A generic connector that presets extend: its `spec.yml` with all functions inline.
#[derive(Debug)]
pub struct GenericConnector {
    key: String,
    spec: Value,
}

impl GenericConnector {
    /// Reads a generic connector from its folder's files.
    ///
    /// # Errors
    /// When `spec.yml` cannot be read, or doesn't say what presets inherit.
    pub fn read(key: &str, files: &Files) -> Result<Self, String> {
        let text = files.get("spec.yml").ok_or_else(|| format!("`{key}` has no spec.yml"))?;
        let mut spec = parsed(key, "spec.yml", text)?;
        if !spec.get("presets").is_some_and(Value::is_object) || !spec.get("auth").is_some_and(Value::is_object) {
            return Err(format!("`{key}` is not a generic connector"));
        }
        for name in FunctionName::ALL {
            let Some(entry) = spec["auth"].get_mut(name.spec_key()).and_then(Value::as_object_mut) else { continue };
            let candidates = match entry.remove("filePath") {
                Some(path) => vec![format!("auth/{}", path.as_str().unwrap_or_default())],
                None => name.file_names().iter().flat_map(|base| suffixed(base)).collect(),
            };
            let found = candidates.iter().find_map(|path| files.get_key_value(path));
            let (path, text) = found.ok_or_else(|| format!("`{key}` has no file for `{}`", name.spec_key()))?;
            entry.insert("mapping".to_owned(), parsed(key, path, text)?);
        }
        Ok(Self { key: key.to_owned(), spec })
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The schema of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&Value> {
        self.spec["parametersSchema"]["properties"].get(name)
    }

    /// The names of all parameters.
    fn parameters(&self) -> impl Iterator<Item = &str> {
        self.spec["parametersSchema"]["properties"].as_object().into_iter().flat_map(Map::keys).map(String::as_str)
    }

    /// The schema of an input.
    fn input(&self, name: &str) -> Option<&Value> {
        self.spec["auth"]["inputSchema"]["properties"].get(name)
    }

    /// The names in a list under `presets`.
    fn listed(&self, list: &str) -> Vec<&str> {
        self.spec["presets"][list].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether the credentials are the end user's input, unchanged.
    pub(crate) fn is_entered(&self) -> bool {
        let minting = FunctionName::GetCredentialsFromConnectionParameters.spec_key();
        self.spec["auth"]["type"] == "client-credentials" && self.spec["auth"].get(minting).is_none()
    }
}

fn parsed(key: &str, path: &str, text: &str) -> Result<Value, String> {
    let document = Document::parse(text).map_err(|error| format!("{path} of `{key}`: {}", error.message))?;
    Ok(document.value)
}

fn suffixed(base: &str) -> [String; 2] {
    [".map.yml", ".rest.yml"].map(|suffix| format!("auth/{base}{suffix}"))
}

/// Finds a generic connector by its key.
pub type FindGeneric<'a> = &'a dyn Fn(&str) -> Result<Arc<GenericConnector>, String>;

/// A preset in the form of an ordinary connector.
pub struct ExpandedPreset {
    /// The `spec.yml`, with all functions inline and the preset's lines.
    pub(crate) spec: Document,
    /// The parameters of the generic connectors that integrations cannot set.
    pub(crate) fixed: BTreeSet<String>,
    /// The generic connectors of its ways to connect.
    pub(crate) generics: Vec<String>,
}

/// Parses a preset's file.
///
/// # Errors
/// When it isn't an object in YAML.
pub(crate) fn parse_file(file: &str, text: &str) -> Result<Document, Vec<FolderProblem>> {
    let mut problems = Problems::default();
    let document = problems.parse_yaml(file, text);
    match document {
        Some(document) if document.value.is_object() => return Ok(document),
        Some(document) => {
            let help = "write `extends:` and `name:`".to_owned();
            problems.add(file, document.line(""), "the file must contain an object".to_owned(), help);
        }
        None => {}
    }
    Err(problems.into_sorted())
}

/// The pointer to a member of a preset.
fn at(key: &str, name: &str) -> String {
    pointer::child(&format!("/{key}"), name)
}
