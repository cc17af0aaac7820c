//! `export`: the history as a file.

mod download;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use execution_ledger_domain::{Event, Timestamp};
use execution_ledger_replay::{ExportError, ExportFilter, ExportFormat, Exported, export};
use execution_ledger_store::EventStore;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::task::{now, time};
use super::{Exit, Failure, Global, block_on, log_to_read};
use crate::client::{Client, ClientError};
use crate::output::{Output, number, size};

/// What is held back before it is written, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

const AFTER_HELP: &str = "\
A server that runs on the data directory, or that is named by --url, gives the
file and records who took it; where none runs, or with --offline, the log is
read where it lies. The file holds the events up to the moment of the command,
with all texts that were not erased: keep it as safe as the data directory.
Transcripts are files of their own and are not in it.

NDJSON without a filter is what `import` takes. Its last line tells a whole file
from one that was cut off or changed. A table (CSV) is for people; what a
spreadsheet would take for a formula gets an apostrophe before it.

Examples:
  execution-ledger export -o history.ndjson
  execution-ledger export --format csv --type execution.failed -o failed.csv
  execution-ledger export --from 2026-11-01T00:00:00Z | jq .type
";

/// The form of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A JSON object a line, with everything that `import` needs.
    Ndjson,
    /// A table for people.
    Csv,
}

/// Write the history into a file.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Export {
    /// The form of the file.
    #[arg(long, value_name = "FORM", default_value = "ndjson")]
    format: Form,
    /// The file to make [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only streams whose name begins so, such as `execution-`.
    #[arg(long, value_name = "PREFIX")]
    stream: Option<String>,
    /// Only events of this type, such as `execution.failed`.
    #[arg(long = "type", value_name = "TYPE", value_parser = known_type)]
    type_name: Option<String>,
    /// Only what was recorded at this time or later (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Only what was recorded before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// Read the data directory itself, also while a server runs on it; nothing is recorded then.
    #[arg(long)]
    offline: bool,
}

/// Where the history comes from.
enum Source {
    Server(Box<Client>),
    Log(Arc<dyn EventStore>),
}

fn known_type(text: &str) -> Result<String, String> {
    if Event::TYPES.iter().any(|(name, _)| *name == text) {
        return Ok(text.to_owned());
    }
    let mut names: Vec<_> = Event::TYPES.iter().map(|(name, _)| *name).collect();
    names.dedup();
    Err(format!("the types of events are {}", names.join(", ")))
}

impl Export {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let source = self.source(global)?;
        let Some(path) = &self.output else {
            let out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
            return match self.write(&source, out) {
                Ok((exported, _)) => {
                    output.remark(&said(&exported, "standard output"));
                    Ok(Exit::Success)
                }
                // A reader that went away (`| head`) is no failure.
                Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                    Ok(Exit::Success)
                }
                Err(error) => Err(Failure::Fault(error.to_string())),
            };
        };
        let exported = self.write_file(&source, path)?;
        if output.is_json() {
            let mut answer = json!(exported);
            answer["file"] = json!(path.display().to_string());
            output.json(&answer)?;
        } else {
            output.line(&said(&exported, &path.display().to_string()))?;
        }
        Ok(Exit::Success)
    }

    fn source(&self, global: &Global) -> Result<Source, Failure> {
        if !self.offline {
            match global.client() {
                Ok(client) => return Ok(Source::Server(Box::new(client))),
                Err(ClientError::NoServer { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let settings = global.settings_from_environment()?;
        Ok(Source::Log(log_to_read(&settings)?))
    }

    /// What the server is asked.
    fn query(&self) -> Vec<(&'static str, String)> {
        let format = match self.format {
            Form::Ndjson => "ndjson",
            Form::Csv => "csv",
        };
        let moment = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let given = [
            ("format", Some(format.to_owned())),
            ("stream", self.stream.clone()),
            ("type", self.type_name.clone()),
            ("from", moment(self.from)),
            ("to", moment(self.to)),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    fn write<W: Write + Send>(
        &self,
        source: &Source,
        mut out: W,
    ) -> Result<(Exported, W), ExportError> {
        let store = match source {
            Source::Log(store) => store,
            Source::Server(client) => {
                let whole = self.format == Form::Ndjson;
                let taken = block_on(async {
                    Ok(download::history(client, &self.query(), whole, &mut out).await)
                });
                let exported = taken.unwrap_or_else(|failure| {
                    Err(ExportError::Write(io::Error::other(failure.to_string())))
                })?;
                return Ok((exported, out));
            }
        };
        let filter = ExportFilter {
            stream: self.stream.clone(),
            type_name: self.type_name.clone(),
            from: self.from,
            to: self.to,
        };
        let format = match self.format {
            Form::Ndjson => ExportFormat::Ndjson,
            Form::Csv => ExportFormat::Csv,
        };
        let bar = bar("{bar:32} {pos}/{len} events  {per_sec}  {eta} left");
        let mut written = None;
        let done = block_on(async {
            let told = |progress: execution_ledger_replay::ExportProgress| {
                bar.set_length(progress.until.number());
                bar.set_position(progress.at.number());
            };
            written = Some(export(store, &filter, format, now(), &mut out, told).await);
            Ok(())
        });
        bar.finish_and_clear();
        match (done, written) {
            (Ok(()), Some(written)) => Ok((written?, out)),
            (done, _) => {
                let why = done.err().map_or_else(String::new, |failure| failure.to_string());
                Err(ExportError::Write(io::Error::other(why)))
            }
        }
    }

    /// Under its name only when it is whole and on the disk; nothing is overwritten.
    fn write_file(&self, source: &Source, path: &Path) -> Result<Exported, Failure> {
        if path.exists() {
            let why = "it is there already; nothing is overwritten";
            return Err(Failure::Argument(format!("{}: {why}", path.display())));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let failed = |error: io::Error| Failure::Fault(format!("{}: {error}", path.display()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let why = "it is left from an attempt that did not end: remove it";
                return Err(Failure::Argument(format!("{}: {why}", partial.display())));
            }
            opened => opened.map_err(failed)?,
        };
        let written = self
            .write(source, BufWriter::with_capacity(BUFFER_BYTES, file))
            .map_err(|error| Failure::Fault(error.to_string()))
            .and_then(|(exported, out)| {
                let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
                file.sync_all().map_err(failed)?;
                // Unlike a rename, a link never replaces a file.
                fs::hard_link(&partial, path).map_err(failed)?;
                Ok(exported)
            });
        let removed = fs::remove_file(&partial).map_err(failed);
        let exported = written?;
        removed?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(exported)
    }
}

fn said(exported: &Exported, to: &str) -> String {
    let erased = match exported.erased_texts {
        0 => String::new(),
        erased => format!(", {} texts are erased", number(erased)),
    };
    let (events, bytes) = (number(exported.events), size(exported.bytes));
    format!("{events} events up to {} to {to}: {bytes}{erased}", exported.until)
}

/// A bar on a terminal.
pub(super) fn bar(template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
