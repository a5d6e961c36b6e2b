//! JSON: the command line's contract, exactly the bytes that `--json` prints.

use std::path::Path;

use super::atomic;
use super::error::ReportError;
use super::result::ExplainResult;

/// The result as one indented JSON document with a final line break. Numbers that JSON does not support (NaN, infinity)
/// become `null`.
///
/// # Errors
/// [`ReportError::Encode`]; a valid result never causes it.
pub fn to_string(result: &ExplainResult) -> Result<String, ReportError> {
    let mut text = serde_json::to_string_pretty(result).map_err(ReportError::encode("the result as JSON"))?;
    text.push('\n');
    Ok(text)
}

/// Writes [`to_string`] to `path` atomically.
///
/// # Errors
/// [`ReportError::Write`] names `path` and the reason.
pub fn write(path: &Path, result: &ExplainResult) -> Result<(), ReportError> {
    atomic::write(path, to_string(result)?.as_bytes())
}
