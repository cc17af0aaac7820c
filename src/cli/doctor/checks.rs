//! Checks of the data directory and of the server on it.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use execution_ledger_domain::Timestamp;
use execution_ledger_store::sqlite::SqliteStore;

use super::super::task::now;
use super::super::{Global, block_on, log_to_read};
use super::{Finding, agents};
use crate::compose::data_dir::{DataDir, OTHERS};
use crate::compose::server_file::ServerFile;
use crate::config::{Settings, StoreKind};
use crate::output::size;

/// How far the newest file of the data directory may lie in the future, in milliseconds.
const CLOCK_SLACK_MS: u64 = 60_000;

/// The data directory and what is in it.
pub fn files(settings: &Settings) -> Vec<Finding> {
    let data_dir = DataDir::at(&settings.data_dir);
    let mut findings = vec![rights("data directory", data_dir.path())];
    if data_dir.path().exists() {
        findings.push(rights("admin.key", &data_dir.admin_key()));
        findings.push(rights("ledger.secret", &data_dir.ledger_secret()));
        findings.push(log(settings, &data_dir));
        findings.push(clock(&data_dir.events()));
    }
    findings.push(free(settings));
    findings.push(work_dir(&settings.work_dir));
    findings
}

/// Whether only its owner, who is this user, can use a file or folder.
fn rights(check: &'static str, path: &Path) -> Finding {
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let found = format!("{} is not there yet", path.display());
            return Finding::ok(check, format!("{found}; the next start of the server makes it"));
        }
        Err(error) => {
            let found = format!("{}: {error}", path.display());
            return Finding::fail(check, found, "run this as the user that the server runs as");
        }
    };
    let own = nix::unistd::geteuid().as_raw();
    let mode = found.permissions().mode() & 0o777;
    if found.uid() != own {
        let found = format!("{} belongs to the user id {}", path.display(), found.uid());
        return Finding::warn(check, found, "run this, and the server, as the owner");
    }
    if mode & OTHERS != 0 {
        let next = format!("chmod go= {}", path.display());
        return Finding::fail(check, format!("others can use {} ({mode:o})", path.display()), next);
    }
    Finding::ok(check, format!("{} ({mode:o})", path.display()))
}

fn log(settings: &Settings, data_dir: &DataDir) -> Finding {
    const CHECK: &str = "event log";
    if let (StoreKind::Kurrentdb, Some(place)) = (settings.store, &settings.kurrentdb) {
        return match log_to_read(settings) {
            Ok(log) => Finding::ok(CHECK, format!("{} answers, log {}", place.get(), log.log_id())),
            Err(failure) => Finding::fail(
                CHECK,
                failure.to_string(),
                "a log that was never begun is made by the first start of the server; else see that \
                 the server runs, and the settings kurrentdb, kurrentdb_credentials_file and \
                 kurrentdb_prefix",
            ),
        };
    }
    let path = data_dir.events();
    if !path.exists() {
        return Finding::ok(CHECK, "there is none yet; the next start of the server makes it");
    }
    let bytes = std::fs::metadata(&path).map_or(0, |found| found.len());
    match SqliteStore::open_read_only(&path) {
        Ok(_) => Finding::ok(CHECK, format!("{} opens, {}", path.display(), size(bytes))),
        Err(error) => Finding::fail(
            CHECK,
            error.to_string(),
            "if the file is damaged, stop the server and restore the last backup",
        ),
    }
}

/// Whether the clock has fallen behind what was written before.
fn clock(events: &Path) -> Finding {
    const CHECK: &str = "clock";
    let written = std::fs::metadata(events).and_then(|found| found.modified()).ok();
    let written = written.map(|at| Timestamp::from(chrono::DateTime::<chrono::Utc>::from(at)));
    let now = now();
    match written {
        Some(at) if at.ms_since(now) > CLOCK_SLACK_MS => Finding::warn(
            CHECK,
            format!("it is {now}, but the log was written at {at}"),
            "the clock was set back: recorded times stand still until it has caught up; check NTP",
        ),
        _ => Finding::ok(CHECK, format!("it is {now}")),
    }
}

fn free(settings: &Settings) -> Finding {
    const CHECK: &str = "free space";
    let mut place = settings.data_dir.as_path();
    while !place.exists() {
        let Some(parent) = place.parent() else { break };
        place = parent;
    }
    let free = match nix::sys::statvfs::statvfs(place) {
        Ok(found) => found.blocks_available() * found.fragment_size(),
        Err(error) => {
            return Finding::warn(CHECK, format!("{}: {error}", place.display()), "");
        }
    };
    let least = settings.min_free_bytes.get();
    let found = format!("{} on the disk of {}", size(free), place.display());
    if free < least {
        let next =
            format!("no run is started below {}: make room, or lower min_free_bytes", size(least));
        Finding::fail(CHECK, found, next)
    } else if free < least.saturating_mul(4) {
        Finding::warn(CHECK, found, format!("runs are started down to {} only", size(least)))
    } else {
        Finding::ok(CHECK, found)
    }
}

fn work_dir(path: &Path) -> Finding {
    const CHECK: &str = "work folders";
    if path.exists() && !path.is_dir() {
        let found = format!("{} is no folder", path.display());
        return Finding::fail(CHECK, found, "choose another work_dir");
    }
    Finding::ok(CHECK, format!("agents without a cwd work below {}", path.display()))
}

/// The server: whether one runs, whether it answers, and what its agents may do.
pub fn server(global: &Global, settings: &Settings) -> Vec<Finding> {
    const CHECK: &str = "server";
    let named = global.url.is_some();
    let running = ServerFile::read(&settings.data_dir);
    match running {
        _ if named => {}
        Ok(Some(server)) if server.is_alive() => {}
        Ok(Some(server)) => {
            let found = format!("process {} is gone without having stopped in order", server.pid);
            let next = "start it again: runs that went on are found by their supervisors";
            return vec![Finding::warn(CHECK, found, next), address(settings)];
        }
        Ok(None) => {
            let found = "none runs on this data directory";
            return vec![
                Finding::warn(CHECK, found, "start it with `execution-ledger serve`"),
                address(settings),
            ];
        }
        Err(error) => return vec![Finding::fail(CHECK, error.to_string(), "remove the file")],
    }
    match global.client() {
        Ok(client) => {
            // Of another machine's agents only the rights can be told from here.
            let work_dir = (!named).then_some(settings.work_dir.as_path());
            let mut findings = vec![ready(&client)];
            findings.extend(agents::all(&client, work_dir));
            findings
        }
        Err(error) => {
            vec![Finding::fail(CHECK, error.to_string(), error.hint().unwrap_or_default())]
        }
    }
}

fn ready(client: &crate::client::Client) -> Finding {
    const CHECK: &str = "server";
    match block_on(async { Ok(client.get(&["readyz"], &[]).await?) }) {
        Ok(_) => Finding::ok(CHECK, format!("{} answers and is ready", client.base())),
        Err(failure) => {
            Finding::fail(CHECK, failure.to_string(), failure.hint().unwrap_or_default())
        }
    }
}

/// Whether the server could listen on its address.
fn address(settings: &Settings) -> Finding {
    const CHECK: &str = "address";
    match TcpListener::bind(settings.listen.0) {
        Ok(_) => Finding::ok(CHECK, format!("{} is free", settings.listen)),
        Err(error) => Finding::fail(
            CHECK,
            format!("{}: {error}", settings.listen),
            "stop what listens there, or choose another address with --listen",
        ),
    }
}
