//! Checking whether a script can be called, without calling it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder::random::SystemRng;
use serde_json::Map;

use super::error::JavaScriptError;
use super::host::CallSettings;
use super::host::console::Log;
use super::limits::THREAD_STACK_BYTES;
use super::masking::Masking;
use super::{Limits, engine, modules};
use crate::connector::script::Script;

/// The time limit for loading.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A reason why a script cannot be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptProblem {
    /// The file.
    pub file: String,
    /// The line, starting at 1.
    pub line: Option<u64>,
    /// The column, starting at 1.
    pub column: Option<u64>,
    /// The problem.
    pub message: String,
    /// A suggestion, or an empty string.
    pub help: String,
}

/// Checks whether a script's function can be called: its files parse, their imports exist, and the function is
/// exported. Loads the files in an engine, with a time limit of a few seconds and without network access.
///
/// # Errors
/// All problems.
pub fn check(script: &Script) -> Result<(), Vec<ScriptProblem>> {
    let limits = Limits { wall_clock: LOAD_TIMEOUT, ..Limits::default() };
    let (sender, events) = std::sync::mpsc::channel();
    let settings = CallSettings {
        network: None,
        rng: Arc::new(SystemRng),
        limits,
        deadline: Instant::now() + LOAD_TIMEOUT,
        log: Arc::new(Log::new(&limits, Masking::new(Arc::new(Map::new())))),
        events: sender,
        is_over: Arc::default(),
    };
    let checked = script.clone();
    let thread = std::thread::Builder::new()
        .stack_size(THREAD_STACK_BYTES)
        .spawn(move || engine::load(&checked, settings, &events))
        .map(std::thread::JoinHandle::join);
    let (outcome, files) = match thread {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(_)) => (Err(JavaScriptError::Engine { message: "the thread ended early".to_owned() }), Vec::new()),
        Err(error) => (Err(JavaScriptError::Engine { message: error.to_string() }), Vec::new()),
    };
    let mut problems: Vec<ScriptProblem> = outcome.err().map(|error| problem(script, &error)).into_iter().collect();
    for file in files {
        for found in late_imports(script, &file) {
            if !problems.iter().any(|known| known.message == found.message) {
                problems.push(found);
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn problem(script: &Script, error: &JavaScriptError) -> ScriptProblem {
    let (message, at, help) = match error {
        JavaScriptError::Load { message, at } => (message.clone(), at.clone(), String::new()),
        JavaScriptError::Thrown(thrown) => (
            format!("the file throws an error while loading: {}", thrown.message),
            thrown.at.clone(),
            "move everything but definitions into the function".to_owned(),
        ),
        other => (other.to_string(), None, "move everything but definitions into the function".to_owned()),
    };
    let at = at.unwrap_or_else(|| script.entry().to_owned());
    let mut parts = at.rsplitn(3, ':');
    let (last, middle, first) = (parts.next(), parts.next(), parts.next());
    let (file, line, column) = match (first, middle, last) {
        (Some(file), Some(line), Some(column)) => (file, line.parse().ok(), column.parse().ok()),
        _ => (at.as_str(), None, None),
    };
    ScriptProblem { file: file.to_owned(), line, column, message, help }
}

/// Finds `require("…")` and `import("…")` of missing modules that only run when the function is called.
fn late_imports(script: &Script, file: &str) -> Vec<ScriptProblem> {
    let Some(text) = script.file(file).filter(|_| !file.ends_with(".json")) else { return Vec::new() };
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for call in ["require(", "import("] {
            for (at, _) in line.match_indices(call) {
                let (before, after) = (&line[..at], line[at + call.len()..].trim_start());
                let is_code = !before.contains("//") && !before.trim_start().starts_with('*');
                let is_word = before.ends_with(|last: char| last.is_alphanumeric() || "_$.".contains(last));
                let quote = after.chars().next().filter(|quote| "\"'".contains(*quote));
                let specifier = quote.and_then(|quote| after[1..].split_once(quote)).map(|(specifier, _)| specifier);
                let Some(specifier) = specifier.filter(|_| is_code && !is_word) else { continue };
                if let Err(message) = modules::resolve(script, file, specifier) {
                    found.push(ScriptProblem {
                        file: file.to_owned(),
                        line: Some(index as u64 + 1),
                        column: Some(before.chars().count() as u64 + 1),
                        message,
                        help: String::new(),
                    });
                }
            }
        }
    }
    found
}
