//! Errors of usage: the command line asks for something that does not exist or is contradictory.

use std::process::ExitCode;

use candor::error::one_line;

use crate::output;

/// Exit code for an error of usage: the command line names something that does not exist, or is contradictory. It is the same in every
/// command.
pub const USAGE: u8 = 2;
/// Exit code for all other errors: a file, a model or an engine failed.
const FAILED: u8 = 1;

/// An error of usage.
#[derive(Debug)]
pub struct Usage(
    /// What is wrong, in one line.
    pub String,
);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Turns any error into one of usage, for errors that depend only on the command line.
pub fn usage(error: impl std::error::Error) -> anyhow::Error {
    Usage(one_line(&error)).into()
}

/// 2 for an error of usage, 1 for any other error.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(if is_usage(error) { USAGE } else { FAILED })
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Usage>()
            || cause.downcast_ref().is_some_and(candor::Error::is_usage)
            || cause.downcast_ref().is_some_and(candor_report::ReportError::is_usage)
            || cause.downcast_ref().is_some_and(candor_eval::error::Error::is_usage)
            || cause.downcast_ref().is_some_and(candor_adversarial::error::Error::is_usage)
    })
}

/// Ends the program after arguments that cannot be parsed: with help if it was requested, else with one line.
pub fn refuse(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    match error.kind() {
        DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand => {
            // If the reader closed the pipe, there is nobody to tell.
            let _ = error.print();
        }
        _ => output::error(&format!("{}; see --help", told(error))),
    }
    ExitCode::from(error.exit_code() as u8)
}

/// What is wrong with arguments that cannot be parsed, as one line.
pub fn told(error: &clap::Error) -> String {
    joined(&error.render().to_string())
}

/// The first paragraphs of an error of clap, with the error and the suggestion, as one line.
fn joined(rendered: &str) -> String {
    let text = rendered.strip_prefix("error: ").unwrap_or(rendered);
    let told =
        text.split("\n\n").take_while(|p| !p.starts_with("Usage:") && !p.starts_with("For more information"));
    // Arguments after -- are photos or names of files: nobody means them as an option.
    let tip =
        |paragraph: &&str| paragraph.contains("tip: to pass '") && paragraph.contains("as a value, use '");
    let line = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    told.filter(|p| !tip(p)).map(line).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn what_clap_says_in_paragraphs_is_one_line() {
        let rendered = "error: unexpected argument '--mehtod' found\n\n  tip: a similar argument exists: '--method'\n\n\
                        Usage: candor explain --method <NAME> <MODEL> <IMAGES>...\n\nFor more information, try '--help'.\n";
        let line = "unexpected argument '--mehtod' found; tip: a similar argument exists: '--method'";
        assert_eq!(joined(rendered), line);
        let unknown = "error: unexpected argument '--hurry' found\n\n  tip: to pass '--hurry' as a value, use '-- --hurry'\n\n\
                       Usage: …\n";
        assert_eq!(joined(unknown), "unexpected argument '--hurry' found");
        let missing = "error: the following required arguments were not provided:\n  <MODEL>\n  <IMAGES>...\n\nUsage: …\n";
        assert_eq!(
            joined(missing),
            "the following required arguments were not provided: <MODEL> <IMAGES>..."
        );
    }
}
