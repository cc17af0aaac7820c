//! `verify`: whether the history is what it was, off-line.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use execution_ledger_api::transcript_state;
use execution_ledger_process::transcript::Transcripts;
use execution_ledger_replay::notary::{SignedCheckpoint, Verifier};
use execution_ledger_replay::proof::{
    CONSISTENCY_FORMAT, PROOF_MAX_BYTES, ProofError, check, check_consistency,
};
use execution_ledger_replay::verify::{Check, Checked, Inputs, Kept, Report, verify};
use serde::Deserialize;
use serde_json::json;

use super::{Exit, Failure, Global, block_on, log_to_read, rebuild};
use crate::compose::data_dir::DataDir;
use crate::compose::witnesses;
use crate::config::Settings;
use crate::output::{Output, duration, neutral_line, number};

/// The longest checkpoint file that is read, in bytes.
const CHECKPOINT_MAX_BYTES: u64 = 64 * 1024;

/// What is said where nobody gave a key.
const KEY_OF_PROOF: &str = "the key was taken from the proof itself, where anybody can put one: compare \
    it, or give the ledger's with --key";

const AFTER_HELP: &str = "\
Reads the whole log and says whether it is what it was: the revisions of every
stream, the schema of every event, the hashes of texts, the Merkle tree, every
checkpoint that the ledger signed, the digests of transcripts, and, where no
server runs on the data directory, the read models against a rebuild. Nothing
is changed, but that the read models catch up with the log.

A checkpoint that you kept apart from the ledger (GET /tlog/checkpoint) shows
what the ledger's own can't: that nobody changed log and checkpoints together.

Exit codes: 0 nothing is wrong; 1 something is, or it could not be checked;
2 the command line is wrong.

Examples:
  execution-ledger verify
  execution-ledger verify --checkpoint march.txt --key \"$(cat ledger.key)\"
  execution-ledger verify --proof proof.json --key \"$(cat ledger.key)\"
  execution-ledger verify --proof grown.json --checkpoint march.txt
  execution-ledger verify --json | jq '.problems[]'
";

/// Check that nothing in the history was changed (off-line).
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Verify {
    /// A checkpoint that was kept apart: it must be signed by this ledger and agree with the log.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The public key that must have signed [default: the one in the data directory].
    #[arg(long, value_name = "VERIFIER")]
    key: Option<Verifier>,
    /// Check this proof, made by `prove`, and nothing else; no ledger is needed. With --checkpoint, one
    /// that was made by `prove --consistency` must begin at that checkpoint.
    #[arg(long, value_name = "FILE", conflicts_with = "skip_read_models")]
    proof: Option<PathBuf>,
    /// Leave the read models out: they hold nothing that is not in the log.
    #[arg(long)]
    skip_read_models: bool,
}

/// What a file says that it is.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// Does it.
pub fn execute(asked: &Verify, global: &Global, output: &Output) -> Result<Exit, Failure> {
    if let Some(path) = &asked.proof {
        return check_proof(path, asked, output);
    }
    let settings = global.settings_from_environment()?;
    let data_dir = DataDir::at(&settings.data_dir);
    let began = Instant::now();
    let kept = asked.checkpoint.iter().map(|path| kept(path)).collect::<Result<_, _>>()?;
    let store = log_to_read(&settings)?;
    let stored = Transcripts::new(data_dir.runs(), data_dir.transcripts());
    let witnesses = witnesses::named(&settings)?;
    let inputs = Inputs {
        notary: data_dir.notary(),
        key: asked.key.clone(),
        kept,
        witnesses: (
            witnesses.into_iter().map(|witness| witness.key).collect(),
            settings.notary_quorum.narrow::<usize>(),
        ),
        transcripts: Box::new(move |execution, expected| {
            transcript_state(&stored, execution, expected)
        }),
    };
    let bar = rebuild::progress_bar();
    let shown = bar.clone();
    let mut report = block_on(async move {
        let told = move |checked: Checked| {
            let behind = checked.head.saturating_sub(checked.position);
            shown.set_length(checked.events + behind);
            shown.set_position(checked.events);
        };
        let verified = verify(&store, inputs, told).await;
        verified.map_err(|error| Failure::Fault(error.to_string()))
    })?;
    bar.finish_and_clear();
    if !asked.skip_read_models {
        read_models(&settings, &data_dir, &mut report, output);
    }
    let sound = report.is_sound();
    if output.is_json() {
        let mut value = json!(report);
        value["sound"] = json!(sound);
        output.json(&value)?;
    } else {
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tell(&report, took, output)?;
    }
    Ok(if sound { Exit::Success } else { Exit::Failed })
}

/// Checks a proof with nothing but the key.
fn check_proof(path: &Path, asked: &Verify, output: &Output) -> Result<Exit, Failure> {
    let (text, key) = (read(path, PROOF_MAX_BYTES)?, asked.key.as_ref());
    let format = serde_json::from_slice::<Format>(&text).ok().map(|format| format.format);
    if format.as_deref() == Some(CONSISTENCY_FORMAT) {
        return check_growth(path, &text, asked, output);
    }
    if !asked.checkpoint.is_empty() {
        let problem = "--checkpoint belongs to a proof that was made by `prove --consistency`";
        return Err(Failure::Argument(problem.to_owned()));
    }
    let proven = match check(&text, key) {
        Ok(proven) => proven,
        Err(error) => return wrong(path, &error, output),
    };
    if !proven.key_was_given {
        output.remark(KEY_OF_PROOF);
    }
    if output.is_json() {
        let mut value = json!(proven);
        value["sound"] = json!(true);
        output.json(&value)?;
    } else {
        output.line(&format!(
            "{} events of execution {} and {} of their texts stood in the log when its first {} \
             events were signed by {}",
            number(proven.events),
            proven.execution_id,
            number(proven.texts),
            number(proven.tree_size),
            neutral_line(&proven.key)
        ))?;
    }
    Ok(Exit::Success)
}

/// Checks a proof that a log only grew.
fn check_growth(
    path: &Path,
    text: &[u8],
    asked: &Verify,
    output: &Output,
) -> Result<Exit, Failure> {
    let kept = match asked.checkpoint.as_slice() {
        [] => None,
        [one] => Some(kept(one)?.signed.checkpoint),
        _ => return Err(Failure::Argument("--proof takes one --checkpoint".to_owned())),
    };
    let shown = match check_consistency(text, asked.key.as_ref(), kept.as_ref()) {
        Ok(shown) => shown,
        Err(error) => return wrong(path, &error, output),
    };
    if !shown.key_was_given {
        output.remark(KEY_OF_PROOF);
    }
    if output.is_json() {
        let mut value = json!(shown);
        value["sound"] = json!(true);
        output.json(&value)?;
    } else {
        output.line(&format!(
            "the first {} events stood unchanged in the log when its first {} events were signed by \
             {}",
            number(shown.older_size),
            number(shown.newer_size),
            neutral_line(&shown.key)
        ))?;
    }
    Ok(Exit::Success)
}

/// Says that a proof shows nothing.
fn wrong(path: &Path, error: &ProofError, output: &Output) -> Result<Exit, Failure> {
    let error = error.to_string();
    let problem = neutral_line(&error);
    if output.is_json() {
        output.json(&json!({"sound": false, "problem": problem}))?;
    } else {
        output.line(&format!("WRONG {}: {problem}", path.display()))?;
    }
    Ok(Exit::Failed)
}

/// A file of at most so many bytes.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::Argument(format!("{} can't be read: {why}", path.display()))
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > most { Err(failed(&"it is too large")) } else { Ok(bytes) }
}

/// A checkpoint in a file.
pub(super) fn kept(path: &Path) -> Result<Kept, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::Argument(format!("{} is no checkpoint: {why}", path.display()))
    };
    let text = read(path, CHECKPOINT_MAX_BYTES)?;
    let text = String::from_utf8(text).map_err(|error| wrong(&error))?;
    let signed = SignedCheckpoint::parse(&text).map_err(|error| wrong(&error))?;
    Ok(Kept { source: path.display().to_string(), signed })
}

/// Compares the read models with a rebuild, unless a server has the log.
fn read_models(settings: &Settings, data_dir: &DataDir, report: &mut Report, output: &Output) {
    if !data_dir.views().exists() {
        output.remark("there are no read models: the server makes them when it starts");
        return;
    }
    let opened = match rebuild::open(settings, data_dir) {
        Ok(opened) => opened,
        Err(failure) => {
            output.remark(&format!("the read models were not compared: {failure}"));
            return;
        }
    };
    match rebuild::compared(data_dir, &opened.store) {
        Err(failure) => report.add(Check::ReadModel, "views.db", failure.to_string()),
        Ok(compared) => {
            report.rows = Some(compared.rows);
            for difference in compared.differences {
                let rows = |rows: Option<u64>| rows.map_or_else(|| "no".to_owned(), number);
                let problem = format!(
                    "its rows are not what the log leads to ({} rows found, {} expected); run \
                     `execution-ledger rebuild`",
                    rows(difference.found_rows),
                    rows(difference.expected_rows)
                );
                report.add(Check::ReadModel, format!("table {}", difference.table), problem);
            }
        }
    }
}

fn tell(report: &Report, took_ms: u64, output: &Output) -> Result<(), Failure> {
    let n = number;
    let missing = |count: u64, what: &str| match count {
        0 => String::new(),
        count => format!(" ({} {what})", n(count)),
    };
    let rows =
        report.rows.map_or_else(|| "not compared".to_owned(), |rows| format!("{} rows", n(rows)));
    let lines = [
        format!("events       {} in {} streams", n(report.events), n(report.streams)),
        format!("texts        {}{}", n(report.contents), missing(report.contents_erased, "erased")),
        format!("tiles        {}{}", n(report.tiles), missing(report.tiles_missing, "missing")),
        format!(
            "checkpoints  {}, the last of {} events; kept by others: {}",
            n(report.checkpoints),
            n(report.signed_events),
            n(report.kept_checkpoints)
        ),
        format!(
            "witnesses    {} signatures, the last checkpoint with enough of them of {} events",
            n(report.cosignatures),
            n(report.witnessed_events)
        ),
        format!(
            "transcripts  {}{}{}",
            n(report.transcripts),
            missing(report.transcripts_absent, "not here: removed as old, or of another node"),
            missing(report.transcripts_erased, "erased")
        ),
        format!("read models  {rows}"),
        format!("tree         {}", report.root),
        format!(
            "key          {}{}",
            report.key.as_deref().unwrap_or("none"),
            missing(report.keys_before.len() as u64, "before it")
        ),
    ];
    for line in lines {
        output.line(&line)?;
    }
    if report.clocks_apart > 0 {
        let (events, ms) = (n(report.clocks_apart), n(report.clocks_apart_ms));
        output.line(&format!(
            "clocks       of {events} events a little behind another node's, by {ms} ms at most"
        ))?;
    }
    for problem in &report.problems {
        let (check, place) = (problem.check.as_str(), neutral_line(&problem.place));
        output.line(&format!("WRONG {check}: {place}: {}", neutral_line(&problem.problem)))?;
    }
    if report.problems_untold > 0 {
        output.line(&format!("... and {} more", n(report.problems_untold)))?;
    }
    let verdict = if report.is_sound() { "nothing is wrong" } else { "something is WRONG" };
    output.line(&format!("{verdict} (checked in {})", duration(took_ms)))
}
