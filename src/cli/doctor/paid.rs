//! Checks of what is sold: the file, and whether the facilitator serves the networks in it.

use super::super::block_on;
use super::Finding;
use crate::compose::{install_crypto, paid};
use crate::config::Settings;

const CHECK: &str = "paid runs";

/// What is sold, if anything is.
pub fn all(settings: &Settings) -> Vec<Finding> {
    let selling = match paid::selling(settings) {
        Ok(Some(selling)) => selling,
        Ok(None) => return Vec::new(),
        Err(problem) => {
            let next =
                "correct the file; docs/OPERATIONS.md shows one. The server does not start so";
            return vec![Finding::fail(CHECK, problem, next)];
        }
    };
    install_crypto();
    let unasked: Vec<&str> = selling
        .assets
        .iter()
        .filter(|asset| asset.rpc_url.is_none())
        .map(|asset| asset.network.as_str())
        .collect();
    let mut findings = Vec::new();
    if !unasked.is_empty() {
        let found = format!("{} has no rpc_url", unasked.join(", "));
        let next = "without it, a person decides payments of which the facilitator leaves it open \
                    whether they were made";
        findings.push(Finding::warn(CHECK, found, next));
    }
    let agents = selling.agents.len();
    let facilitator = selling.facilitator.to_string();
    let supported =
        block_on(async { Ok(execution_ledger_process::paid::check_facilitator(selling).await) });
    findings.push(match supported {
        Ok(Ok(missing)) if missing.is_empty() => {
            let sold = if agents == 1 { "1 agent is" } else { &format!("{agents} agents are") };
            Finding::ok(CHECK, format!("{sold} for sale; {facilitator} serves the networks"))
        }
        Ok(Ok(missing)) => {
            let found = format!("{facilitator} does not serve: {}", missing.join(", "));
            Finding::fail(CHECK, found, "choose another facilitator, or remove these networks")
        }
        Ok(Err(problem)) => {
            let found = format!("{facilitator} does not answer: {problem}");
            Finding::fail(CHECK, found, "nobody can pay until it does")
        }
        Err(failure) => Finding::fail(CHECK, failure.to_string(), "try again"),
    });
    findings
}
