//! `backup` and `restore`: a consistent copy of the data directory, and the way back.

mod copy;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use execution_ledger_store::sqlite::{SqliteStore, assign_new_log_id};
use serde_json::json;

use super::task::now;
use super::{Exit, Failure, Global, block_on};
use crate::compose::data_dir::DataDir;
use crate::config::StoreKind;
use crate::output::{Output, number, size};
use copy::{Copied, copy_file, copy_folder, sync};

/// The configuration file, where it lies in the data directory.
const CONFIG: &str = "config.toml";

const BACKUP_HELP: &str = "\
Copies the log, what supervisors hold of runs that go on, transcripts, notary
checkpoints and keys into a folder that is not there yet. A server may run
meanwhile; the log is copied as of one moment. The folder appears under its name
only when all of it is on the disk.

It holds the keys and everything that agents were told: keep it as safe as the
data directory.

Examples:
  execution-ledger backup /backup/ledger-2026-11-21
";

const RESTORE_HELP: &str = "\
The data directory must not be there yet, or be empty. The log is given a new
id, so that positions and cursors that clients kept from before are refused
instead of skipping what the backup does not hold.

Do not start a restored copy on a machine where the original still runs: both
would take the same runs for theirs.

Examples:
  execution-ledger restore /backup/ledger-2026-11-21 --data-dir /srv/ledger
";

/// Copy everything that must last into a new folder; a server may run meanwhile.
#[derive(Debug, Args)]
#[command(after_help = BACKUP_HELP)]
pub struct Backup {
    /// The folder to make.
    to: PathBuf,
}

/// Make a data directory from a backup.
#[derive(Debug, Args)]
#[command(after_help = RESTORE_HELP)]
pub struct Restore {
    /// The folder of the backup.
    from: PathBuf,
}

impl Backup {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let settings = global.settings_from_environment()?;
        if settings.store == StoreKind::Kurrentdb {
            return Err(Failure::Argument(
                "the log lies on a KurrentDB, which has a backup of its own; `execution-ledger \
                 export` copies the log into a file"
                    .to_owned(),
            ));
        }
        let source = DataDir::at(&settings.data_dir);
        let place = Place::new(&self.to)?;
        let target = DataDir::at(&place.draft);
        let log = SqliteStore::open_read_only(&source.events())
            .map_err(|error| Failure::Fault(error.to_string()))?;
        // Before the log: a checkpoint must not speak of events that the copy does not hold.
        let mut copied = Copied::default();
        copy_folder(&source.notary(), &target.notary(), &mut copied)?;
        block_on(async {
            let copied = log.backup(&target.events()).await;
            copied.map_err(|error| Failure::Fault(error.to_string()))
        })?;
        // After the log, so that nothing is missing that it knows of; runs before transcripts,
        // because a run's output moves from the first to the second.
        copied.add(copy_parts(&source, &target)?);
        place.finish()?;
        told(&self.to, "backed up to", copied, output)
    }
}

impl Restore {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let settings = global.settings_from_environment()?;
        let source = DataDir::at(&self.from);
        if !source.events().is_file() {
            return Err(Failure::Argument(format!(
                "{} is no backup: it has no events.db",
                self.from.display()
            )));
        }
        let place = Place::new(&settings.data_dir)?;
        let target = DataDir::at(&place.draft);
        let mut copied = Copied::default();
        copy_file(&source.events(), &target.events(), &mut copied)?;
        copy_folder(&source.notary(), &target.notary(), &mut copied)?;
        copied.add(copy_parts(&source, &target)?);
        assign_new_log_id(&target.events(), now())
            .map_err(|error| Failure::Fault(error.to_string()))?;
        place.finish()?;
        told(&settings.data_dir, "restored to", copied, output)
    }
}

/// Copies all but the log, the notary's folder, and what can be made anew.
fn copy_parts(source: &DataDir, target: &DataDir) -> Result<Copied, Failure> {
    let mut copied = Copied::default();
    for (from, to) in [(source.runs(), target.runs()), (source.transcripts(), target.transcripts())]
    {
        copy_folder(&from, &to, &mut copied)?;
    }
    for (from, to) in [
        (source.admin_key(), target.admin_key()),
        (source.ledger_secret(), target.ledger_secret()),
        (source.path().join(CONFIG), target.path().join(CONFIG)),
    ] {
        copy_file(&from, &to, &mut copied)?;
    }
    Ok(copied)
}

/// A folder that appears under its name only when it is whole.
pub(super) struct Place {
    draft: PathBuf,
    name: PathBuf,
}

impl Place {
    /// A draft beside the name, which must be free or an empty folder.
    pub(super) fn new(name: &Path) -> Result<Self, Failure> {
        let place = Self::beside(name, ".partial")?;
        if place.draft.exists() {
            let why = "it is left from an attempt that did not end: remove it";
            return Err(Failure::Argument(format!("{}: {why}", place.draft.display())));
        }
        copy::make_folder(&place.draft)?;
        Ok(place)
    }

    /// The same with a draft that may be left from an attempt that did not end, to go on with it. Also
    /// whether there was none.
    pub(super) fn resumed(name: &Path) -> Result<(Self, bool), Failure> {
        let place = Self::beside(name, ".importing")?;
        let is_new = !place.draft.is_dir();
        if is_new {
            copy::make_folder(&place.draft)?;
        }
        Ok((place, is_new))
    }

    fn beside(name: &Path, ending: &str) -> Result<Self, Failure> {
        let failed = |path: &Path, why: &dyn std::fmt::Display| {
            Failure::Fault(format!("{}: {why}", path.display()))
        };
        let name = std::path::absolute(name).map_err(|error| failed(name, &error))?;
        let is_empty = fs::read_dir(&name).is_ok_and(|mut entries| entries.next().is_none());
        if name.exists() && !is_empty {
            let why =
                "it is there already; nothing is overwritten: choose another, or move it away";
            return Err(Failure::Argument(format!("{}: {why}", name.display())));
        }
        let mut draft = name.clone().into_os_string();
        draft.push(ending);
        Ok(Self { draft: PathBuf::from(draft), name })
    }

    /// Where it is filled.
    pub(super) fn draft(&self) -> &Path {
        &self.draft
    }

    /// Gives it its name.
    pub(super) fn finish(self) -> Result<(), Failure> {
        sync(&self.draft)?;
        fs::rename(&self.draft, &self.name)
            .map_err(|error| Failure::Fault(format!("{}: {error}", self.name.display())))?;
        self.name.parent().map_or(Ok(()), sync)
    }
}

fn told(place: &Path, what: &str, copied: Copied, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        let place = place.display().to_string();
        output.json(&json!({"directory": place, "files": copied.files, "bytes": copied.bytes}))?;
    } else {
        output.line(&format!(
            "{what} {}: the log, and {} files with {}",
            place.display(),
            number(copied.files),
            size(copied.bytes)
        ))?;
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn everything_but_what_can_be_made_anew_is_copied_for_its_owner_only() {
        let temp = tempfile::tempdir().expect("a folder");
        let source = DataDir::open(&temp.path().join("data")).expect("a data directory");
        fs::create_dir(source.runs().join("r")).expect("made");
        fs::write(source.runs().join("r/x.spool"), "line\n").expect("written");
        fs::write(source.transcripts().join("t.ndjson.zst"), "z").expect("written");
        fs::write(source.admin_key(), "elk_x\n").expect("written");
        fs::write(source.views(), "views").expect("written");
        std::os::unix::fs::symlink("/etc/passwd", source.runs().join("link")).expect("linked");

        let name = temp.path().join("copy");
        let place = Place::new(&name).expect("a place");
        let target = DataDir::at(&place.draft);
        let copied = copy_parts(&source, &target).expect("copied");
        assert!(!name.exists(), "not there before it is whole");
        place.finish().expect("finished");

        let target = DataDir::at(&name);
        assert_eq!(copied.files, 3);
        assert_eq!(fs::read(target.runs().join("r/x.spool")).expect("there"), b"line\n");
        assert!(target.transcripts().join("t.ndjson.zst").exists());
        assert!(!target.views().exists() && !target.runs().join("link").exists());
        let mode = fs::metadata(target.admin_key()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn nothing_is_overwritten() {
        let temp = tempfile::tempdir().expect("a folder");
        fs::write(temp.path().join("x"), "x").expect("written");
        assert!(matches!(Place::new(temp.path()), Err(Failure::Argument(_))));
    }
}
