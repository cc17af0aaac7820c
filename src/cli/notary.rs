//! `notary`: the keys that sign checkpoints.

use clap::{Args, Subcommand};
use execution_ledger_process::failpoint;
use execution_ledger_replay::notary::{
    KEY_FILE, KeyChain, NEXT_KEY_FILE, NotaryError, Rotation, Step, rotate,
};
use serde_json::{Value, json};

use super::{Exit, Failure, Global, block_on, log_to_read, rebuild};
use crate::compose::data_dir::DataDir;
use crate::compose::{log, secret};
use crate::config::Settings;
use crate::output::{Output, number};

const ROTATE_HELP: &str = "\
Stop the server first. All that is recorded is signed with the key of today, the
log tells of the new key, the key of today signs that as its last, and the new
key takes its place. The seed of the key before is gone then, but for backups.

Whoever has the public key of before need do nothing: it leads to the new one,
and `verify` and `verify --proof` follow. Checkpoints and proofs of before stay
valid. Nothing that the key before signs later counts, so rotate at once where
it may be known to others.

It may be cut off at any moment: run again, or start the server.

Examples:
  execution-ledger notary rotate
  execution-ledger notary rotate --json | jq -r .key > ledger.key
";

/// The notary: its public keys (also without a command), and a new one (off-line).
#[derive(Debug, Args)]
pub struct Notary {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the public keys that have signed checkpoints, the first one first (off-line).
    Keys,
    /// Have a new key sign from now on (off-line).
    #[command(after_help = ROTATE_HELP)]
    Rotate,
}

impl Notary {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let settings = global.settings_from_environment()?;
        let data_dir = DataDir::at(&settings.data_dir);
        match self.command {
            None | Some(Command::Keys) => keys(&settings, &data_dir, output),
            Some(Command::Rotate) => new_key(&settings, &data_dir, output),
        }
    }
}

fn keys(settings: &Settings, data_dir: &DataDir, output: &Output) -> Result<Exit, Failure> {
    let store = log_to_read(settings)?;
    let read = block_on(async { Ok(KeyChain::read(&store, &data_dir.notary()).await) })?;
    let chain = read.map_err(|error| fault(&error))?.ok_or_else(no_key)?;
    let rows: Vec<Value> = (0..)
        .zip(chain.keys())
        .map(|(at, key): (usize, _)| {
            let until = chain.rotations().get(at).map(Rotation::covered);
            json!({"key": key.to_string(), "signed_events_until": until})
        })
        .collect();
    if output.is_json() {
        output.json(&json!({"keys": rows}))?;
        return Ok(Exit::Success);
    }
    for (at, key) in chain.keys().into_iter().enumerate() {
        let until = match chain.rotations().get(at) {
            Some(rotation) => format!("up to {} events", number(rotation.covered())),
            None => "signs now".to_owned(),
        };
        output.line(&format!("{key}  {until}"))?;
    }
    Ok(Exit::Success)
}

fn new_key(settings: &Settings, data_dir: &DataDir, output: &Output) -> Result<Exit, Failure> {
    let folder = data_dir.notary();
    let key = folder.join(KEY_FILE);
    if !log::may_exist(settings, data_dir) || secret::read(&key)?.is_none() {
        return Err(no_key());
    }
    // While it is open, no server can start on the log.
    let opened = rebuild::open(settings, data_dir)?;
    let seed = secret::load_or_make(&key)?;
    let next = secret::load_or_make(&folder.join(NEXT_KEY_FILE))?;
    let reached = |step: Step| failpoint::reach(&format!("notary.{}", step.as_str()));
    let done = block_on(async {
        let done = rotate(&opened.store, &folder, (&seed, &next), &reached).await;
        opened.store.close().await;
        Ok(done)
    })?;
    let rotated = done.map_err(|error| fault(&error))?;
    if output.is_json() {
        output.json(&json!({
            "previous_key": rotated.previous.to_string(),
            "key": rotated.key.to_string(),
            "signed_events": rotated.covered,
        }))?;
    } else {
        output.line(&format!("the key that signs now: {}", rotated.key))?;
        output.line(&format!(
            "the key before has signed the change as event {} of the tree, its last: {}",
            number(rotated.covered),
            rotated.previous
        ))?;
    }
    Ok(Exit::Success)
}

fn fault(error: &NotaryError) -> Failure {
    Failure::Fault(format!("{error}; run `execution-ledger verify` to see what is wrong"))
}

fn no_key() -> Failure {
    Failure::Argument("there is no key yet: the first start of the server makes one".to_owned())
}
