//! `import`: a data directory from the file of an export.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use execution_ledger_replay::{ImportFileError, Imported, check_file, import};
use execution_ledger_store::NewLog;
use execution_ledger_store::kurrentdb::KurrentImport;
use execution_ledger_store::sqlite::{Importer, OpenError};
use serde_json::json;

use super::backup::Place;
use super::export::bar;
use super::task::now;
use super::{Exit, Failure, Global, block_on};
use crate::compose::data_dir::DataDir;
use crate::compose::log::kurrent_options;
use crate::config::{Settings, StoreKind};
use crate::output::{Output, number};

/// What is read at a time, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

const AFTER_HELP: &str = "\
The data directory must not be there yet, or be empty. It appears under its name
only when the whole file was checked and is on the disk: all of it, or nothing.
An import that was cut off goes on where it was when the command is repeated.

Where the settings name a KurrentDB as the store, a log there is filled instead:
one that holds nothing, or nothing but the first events of the file. No ledger
opens it before the import has ended.

Events keep their ids, times, revisions, order and bytes, so every answer and
every hash is the same afterwards. The log is another one, with an id of its
own: positions and cursors of the old log are refused, because the old one may
have gone on since.

Transcripts are not in the file: copy the folder `transcripts` beside.

Examples:
  execution-ledger import history.ndjson --data-dir /srv/ledger
  zstd -dc history.ndjson.zst | execution-ledger import - --data-dir /srv/ledger
  execution-ledger import history.ndjson --config kurrentdb.toml
";

/// Make a ledger from the file of an export.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Import {
    /// The file; `-` for standard input.
    file: PathBuf,
}

impl Import {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let settings = global.settings_from_environment()?;
        let (imported, key, to) = match settings.store {
            StoreKind::Sqlite => {
                let imported = self.fill_directory(&settings.data_dir)?;
                (imported, "directory", settings.data_dir.display().to_string())
            }
            StoreKind::Kurrentdb => {
                let imported = self.fill_server(&settings)?;
                (imported, "server", place(&settings))
            }
        };
        if output.is_json() {
            let mut answer = json!(imported);
            answer[key] = json!(to);
            output.json(&answer)?;
            return Ok(Exit::Success);
        }
        let before = match imported.held {
            0 => String::new(),
            held => format!(" ({} of them were there already)", number(held)),
        };
        output.line(&format!(
            "{} events of the log {} imported to {to}{before}, as the log {}",
            number(imported.events),
            imported.from_log,
            imported.log_id
        ))?;
        Ok(Exit::Success)
    }

    /// Makes a data directory.
    fn fill_directory(&self, data_dir: &Path) -> Result<Imported, Failure> {
        let (input, length) = self.input()?;
        let (place, is_new) = Place::resumed(data_dir)?;
        let events = DataDir::at(place.draft()).events();
        let log = Importer::open(&events, now()).map_err(|error| match error {
            OpenError::InUse { .. } => Failure::Argument(error.to_string()),
            other => Failure::Fault(other.to_string()),
        })?;
        let imported = fill(Box::new(log), input, length);
        let imported = imported.map_err(|error| not_now(&place, is_new, &error))?;
        place.finish()?;
        Ok(imported)
    }

    /// Fills a log on a server, from which nothing can be taken back: so a file is first read to its end.
    fn fill_server(&self, settings: &Settings) -> Result<Imported, Failure> {
        if self.file.as_os_str() != "-" {
            let (input, length) = self.input()?;
            let bar = self::bar("checking {bar:32} {bytes}/{total_bytes}  {eta} left");
            bar.set_length(length);
            let input = BufReader::with_capacity(BUFFER_BYTES, input);
            let checked = check_file(input, |bytes| bar.set_position(bytes));
            bar.finish_and_clear();
            checked.map_err(|error| Failure::Fault(format!("nothing was imported: {error}")))?;
        }
        let (input, length) = self.input()?;
        let log = block_on(async {
            let fault = |error: &dyn std::fmt::Display| Failure::Fault(error.to_string());
            let options = kurrent_options(settings).map_err(|error| fault(&error))?;
            KurrentImport::open(options).await.map_err(|error| fault(&error))
        })?;
        fill(Box::new(log), input, length).map_err(|error| {
            let then = match &error {
                error if error.may_pass() => {
                    "what came is there: repeat the command to go on".to_owned()
                }
                _ => format!("{} holds what no ledger opens: take another prefix", place(settings)),
            };
            Failure::Fault(format!("the import did not end: {error}; {then}"))
        })
    }

    /// The file, and its length in bytes where that is known.
    fn input(&self) -> Result<(Box<dyn Read + Send>, u64), Failure> {
        if self.file.as_os_str() == "-" {
            return Ok((Box::new(io::stdin()), 0));
        }
        let failed =
            |error: io::Error| Failure::Argument(format!("{}: {error}", self.file.display()));
        let file = File::open(&self.file).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok((Box::new(file), length))
    }
}

/// Where a log on a server is, in words.
fn place(settings: &Settings) -> String {
    let server = settings.kurrentdb.as_ref().map(|place| place.get().to_string());
    format!("{} of {}", settings.kurrentdb_prefix.get(), server.unwrap_or_default())
}

/// What is left of an import that failed: what the same command may go on with; nothing of a file that
/// can't be imported.
fn not_now(place: &Place, is_new: bool, error: &ImportFileError) -> Failure {
    let draft = place.draft().display();
    let then = match error {
        error if error.may_pass() => {
            format!("what came is kept in {draft}: repeat the command to go on, or remove it")
        }
        _ if !is_new => {
            format!("{draft} is left from an import before: repeat that one, or remove it")
        }
        _ => match fs::remove_dir_all(place.draft()) {
            // Ours alone, and of no use.
            Ok(()) => "nothing is left of it".to_owned(),
            Err(why) => format!("{draft} is left: {why}"),
        },
    };
    Failure::Fault(format!("nothing was imported: {error}; {then}"))
}

/// Fills a log from a file.
fn fill(
    log: Box<dyn NewLog>,
    input: Box<dyn Read + Send>,
    length: u64,
) -> Result<Imported, ImportFileError> {
    let bar = bar("{bar:32} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left");
    bar.set_length(length);
    let input = BufReader::with_capacity(BUFFER_BYTES, input);
    let imported = import(input, log, |bytes| bar.set_position(bytes));
    let imported = block_on(async { Ok(imported.await) });
    bar.finish_and_clear();
    imported
        .unwrap_or_else(|failure| Err(ImportFileError::Read(io::Error::other(failure.to_string()))))
}
