//! `prove`: one execution in a file that others can check without the ledger.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::Args;
use execution_ledger_domain::ExecutionId;
use execution_ledger_replay::proof::{ProveError, prove, prove_consistency};
use serde_json::json;

use super::{Exit, Failure, Global, block_on, log_to_read, verify};
use crate::compose::data_dir::DataDir;
use crate::output::{Output, number};

const AFTER_HELP: &str = "\
The file holds the execution's events as they are stored, its texts, the hashes
that lead from each event to the tree's, and the signed checkpoint. With it and
the ledger's public key (notary/verifier in the data directory) anybody checks,
without the ledger, that all of this stood in the log when it was signed:

  execution-ledger verify --proof FILE --key VERIFIER

It holds what was asked and answered: give it to whom that may be shown. A
server may run meanwhile; events are covered within seconds.

--consistency FILE proves something else: the log only grew from a checkpoint
that somebody kept to the last one of today, with no event of it changed. It
holds no events, so it can be given to anybody:

  execution-ledger verify --proof FILE --key VERIFIER --checkpoint KEPT

Exit codes: 0 made; 1 not possible; 2 the command line is wrong; 4 there is no
such execution.

Examples:
  execution-ledger prove 0193f6f0-a1b2-7c3d-8e9f-001122334455 --to proof.json
  execution-ledger prove --consistency march.txt --to grown.json
";

/// Make a file that proves one execution's events to others (off-line).
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Prove {
    /// The execution.
    #[arg(required_unless_present = "consistency", conflicts_with = "consistency")]
    execution: Option<ExecutionId>,
    /// Prove instead that the log grew from the checkpoint in this file.
    #[arg(long, value_name = "FILE")]
    consistency: Option<PathBuf>,
    /// The file to make; it must not be there yet [default: standard output].
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Does it.
pub fn execute(asked: &Prove, global: &Global, output: &Output) -> Result<Exit, Failure> {
    let settings = global.settings_from_environment()?;
    let data_dir = DataDir::at(&settings.data_dir);
    let fault = |error: &dyn std::fmt::Display| Failure::Fault(error.to_string());
    let store = log_to_read(&settings)?;
    let folder = data_dir.notary();
    let (proof, told) = match (&asked.consistency, asked.execution) {
        (Some(path), _) => {
            let older = verify::kept(path)?.signed;
            let made = prove_consistency(&store, &folder, &older);
            let proof = block_on(async { made.await.map_err(|error| fault(&error)) })?;
            let told = format!("it shows that the log grew from {}", path.display());
            (json!(proof), told)
        }
        (None, Some(execution)) => {
            match block_on(async { Ok(prove(&store, &folder, execution).await) })? {
                Ok(proof) => {
                    let told = format!("{} events proven", number(proof.events.len() as u64));
                    (json!(proof), told)
                }
                Err(error @ ProveError::NoExecution(_)) => {
                    output.remark(&error.to_string());
                    return Ok(Exit::NotFound);
                }
                Err(error) => return Err(fault(&error)),
            }
        }
        (None, None) => return Err(Failure::Argument("give an execution".to_owned())),
    };
    let Some(path) = &asked.to else {
        output.json(&proof)?;
        return Ok(Exit::Success);
    };
    let text = serde_json::to_vec(&proof).map_err(|error| fault(&error))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        })
        .map_err(|error| Failure::Fault(format!("{}: {error}", path.display())))?;
    if output.is_json() {
        let events = proof["events"].as_array().map(Vec::len);
        output.json(&json!({"file": path, "events": events, "key": proof["key"]}))?;
    } else {
        output.line(&format!("{}: {told}", path.display()))?;
    }
    Ok(Exit::Success)
}
