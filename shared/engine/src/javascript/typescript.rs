//! TypeScript: its types become blanks, so that every place in a file stays where it is.
//!
//! # Decisions
//!
//! Types are blanked, not compiled, so lines and columns stay and no source map is needed. Syntax that is more than
//! types is rejected.

/// Why a file cannot be stripped.
pub(super) struct Problem {
    pub(super) message: String,
    /// `line:column`.
    pub(super) at: Option<String>,
}

/// JavaScript of TypeScript. What is more than types, such as an `enum`, is refused.
pub(super) fn strip(text: &str) -> Result<String, Problem> {
    let stripped = tsv_ts::strip(text).map_err(|error| Problem {
        at: error.to_report().map(|report| format!("{}:{}", report.start.line, report.start.column + 1)),
        message: error.message().to_string(),
    })?;
    Ok(stripped.code)
}
