//! Stripping types from TypeScript. They are replaced with blanks, so all positions in a file stay the same.

/// The reason why a file's types cannot be stripped.
pub(super) struct StripError {
    pub(super) message: String,
    /// `line:column`.
    pub(super) at: Option<String>,
}

/// Converts TypeScript to JavaScript. Syntax beyond types, like an `enum`, is an error.
pub(super) fn strip(text: &str) -> Result<String, StripError> {
    let stripped = tsv_ts::strip(text).map_err(|error| StripError {
        at: error.to_report().map(|report| format!("{}:{}", report.start.line, report.start.column + 1)),
        message: error.message().to_string(),
    })?;
    Ok(stripped.code)
}
