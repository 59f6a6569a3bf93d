//! `console`: keeps lines for the function's caller instead of printing them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rquickjs::Result;

use super::Functions;
use crate::javascript::Limits;
use crate::javascript::masking::Masking;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LogLine {
    /// The level: `log`, `info`, `warn`, `error`, `debug` or `trace`.
    pub level: String,
    /// The arguments as a string.
    pub text: String,
}

/// The lines of a call. The caller can read them even if the engine's thread is stuck.
pub(in super::super) struct Log {
    lines: Mutex<Lines>,
    masking: Masking,
    max_lines: usize,
    max_length: usize,
}

#[derive(Default)]
struct Lines {
    kept: Vec<LogLine>,
    dropped: usize,
}

impl Log {
    pub(in super::super) fn new(limits: &Limits, masking: Masking) -> Self {
        Self { lines: Mutex::default(), masking, max_lines: limits.log_lines, max_length: limits.log_line_length }
    }

    /// Returns the masking that keeps secrets out of the lines.
    pub(in super::super) fn masking(&self) -> &Masking {
        &self.masking
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, level: String, text: &str) {
        let mut lines = self.lock();
        if lines.kept.len() >= self.max_lines {
            lines.dropped += 1;
            return;
        }
        let text = self.masking.text(text, self.max_length);
        lines.kept.push(LogLine { level, text });
    }

    /// Takes the lines, plus a last one with the number of omitted lines.
    pub(in super::super) fn take(&self) -> Vec<LogLine> {
        let Lines { mut kept, dropped } = std::mem::take(&mut *self.lock());
        if dropped > 0 {
            kept.push(LogLine { level: "warn".to_owned(), text: format!("{dropped} more lines were omitted") });
        }
        kept
    }
}

/// Adds `log(level, text)`.
pub(super) fn add(functions: &Functions<'_, '_>) -> Result<()> {
    let log = Arc::clone(&functions.host.settings.log);
    functions.add("log", move |level: String, text: String| log.write(level, &text))
}
