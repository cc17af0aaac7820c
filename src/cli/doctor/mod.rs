//! `doctor`: checks this machine and this set-up, and says what to do.

mod agents;
mod checks;
mod paid;
mod system;

use clap::Args;
use serde_json::json;

use super::{Exit, Failure, Global};
use crate::config::unknown_variables;
use crate::output::{Align, Output, Sheet, Tone};

const AFTER_HELP: &str = "\
Each check is ok, warn (it works, but look at it) or fail (it does not work).
Nothing is changed. The exit code is 1 where a check fails.

Examples:
  execution-ledger doctor
  execution-ledger doctor --json | jq '.checks[] | select(.result != \"ok\")'
";

/// Check this machine and this set-up.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Doctor {}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub check: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty where there is nothing.
    pub next: String,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), next: String::new() }
    }

    /// Somebody should look at it.
    pub fn warn(check: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, found: found.into(), next: next.into() }
    }

    /// It does not work.
    pub fn fail(check: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fail, found: found.into(), next: next.into() }
    }
}

/// Does it.
pub fn execute(global: &Global, output: &Output) -> Result<Exit, Failure> {
    let mut findings =
        vec![variables(&unknown_variables(std::env::vars_os().map(|(name, _)| name)))];
    match global.settings_from_environment() {
        Ok(settings) => {
            findings.push(Finding::ok("settings", "every setting is within its range"));
            findings.extend(checks::files(&settings));
            findings.extend(checks::server(global, &settings));
            findings.extend(paid::all(&settings));
        }
        Err(failure) => findings.push(Finding::fail(
            "settings",
            failure.to_string(),
            "correct it; `execution-ledger serve --help` lists all settings",
        )),
    }
    findings.extend(system::all());
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    tell(&findings, output)?;
    Ok(if failed { Exit::Failed } else { Exit::Success })
}

/// Variables that look like settings and are none: most likely slips in their names.
fn variables(unknown: &[String]) -> Finding {
    const CHECK: &str = "variables";
    if unknown.is_empty() {
        return Finding::ok(CHECK, "every EXECUTION_LEDGER_* variable has a meaning");
    }
    let next = "the server does not start with them: correct or unset them; `execution-ledger serve \
                --help` lists all settings with their variables";
    Finding::warn(CHECK, format!("these mean nothing: {}", unknown.join(", ")), next)
}

fn tell(findings: &[Finding], output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        let checks: Vec<_> = findings
            .iter()
            .map(|finding| {
                json!({
                    "check": finding.check,
                    "result": finding.verdict.as_str(),
                    "found": finding.found,
                    "next": finding.next,
                })
            })
            .collect();
        return output.json(&json!({ "checks": checks }));
    }
    let mut sheet =
        Sheet::new(&[("CHECK", Align::Left), ("RESULT", Align::Left), ("FOUND", Align::Left)]);
    for finding in findings {
        let verdict = finding.verdict.as_str();
        sheet.row(vec![
            (finding.check.to_owned(), Tone::Plain),
            (verdict.to_owned(), Tone::of_status(verdict)),
            (finding.found.clone(), Tone::Plain),
        ]);
    }
    output.sheet(&sheet)?;
    for finding in findings.iter().filter(|finding| !finding.next.is_empty()) {
        output.line(&format!(
            "\n{}: {}",
            finding.check,
            crate::output::neutral_text(&finding.next)
        ))?;
    }
    Ok(())
}
