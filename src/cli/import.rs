//! `import`: a data directory from the file of an export.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use clap::Args;
use execution_ledger_replay::{ImportFileError, Imported, import};
use serde_json::json;

use super::backup::Place;
use super::export::bar;
use super::task::now;
use super::{Exit, Failure, Global};
use crate::compose::data_dir::DataDir;
use crate::output::{Output, number};

/// What is read at a time, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

const AFTER_HELP: &str = "\
The data directory must not be there yet, or be empty. It appears under its name
only when the whole file was checked and is on the disk: all of it, or nothing.

Events keep their ids, times, revisions, order and bytes, so every answer and
every hash is the same afterwards. The log is another one, with an id of its
own: positions and cursors of the old log are refused, because the old one may
have gone on since.

Transcripts are not in the file: copy the folder `transcripts` beside.

Examples:
  execution-ledger import history.ndjson --data-dir /srv/ledger
  zstd -dc history.ndjson.zst | execution-ledger import - --data-dir /srv/ledger
";

/// Make a data directory from the file of an export.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Import {
    /// The file; `-` for standard input.
    file: PathBuf,
}

impl Import {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let settings = global.settings_from_environment()?;
        let (input, length): (Box<dyn Read>, u64) = if self.file.as_os_str() == "-" {
            (Box::new(io::stdin()), 0)
        } else {
            let failed =
                |error: io::Error| Failure::Argument(format!("{}: {error}", self.file.display()));
            let file = File::open(&self.file).map_err(failed)?;
            let length = file.metadata().map_err(failed)?.len();
            (Box::new(file), length)
        };
        let place = Place::new(&settings.data_dir)?;
        let imported = match fill(&place, input, length) {
            Ok(imported) => imported,
            Err(error) => {
                // Ours alone, and of no use.
                let kept = fs::remove_dir_all(place.draft()).err();
                let kept = kept.map_or_else(String::new, |why| {
                    format!("; {} is left: {why}", place.draft().display())
                });
                return Err(Failure::Fault(format!("nothing was imported: {error}{kept}")));
            }
        };
        place.finish()?;
        let to = settings.data_dir.display().to_string();
        if output.is_json() {
            let mut answer = json!(imported);
            answer["directory"] = json!(to);
            output.json(&answer)?;
        } else {
            output.line(&format!(
                "{} events of the log {} imported to {to}, as the log {}",
                number(imported.events),
                imported.from_log,
                imported.log_id
            ))?;
        }
        Ok(Exit::Success)
    }
}

/// Fills the draft of a data directory.
fn fill(place: &Place, input: Box<dyn Read>, length: u64) -> Result<Imported, ImportFileError> {
    let bar = bar("{bar:32} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left");
    bar.set_length(length);
    let input = BufReader::with_capacity(BUFFER_BYTES, input);
    let events = DataDir::at(place.draft()).events();
    let imported = import(input, &events, now(), |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    imported
}
