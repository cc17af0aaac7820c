//! (l) Checking the whole log, writing it into a file, and making a ledger from that file.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::figures::{Figure, Section, Target};
use crate::server::{PROGRAM, clean};
use crate::{Failure, Sizes};

/// Events a second that `verify` is to check on one core.
const VERIFIED_PER_S: f64 = 100_000.0;

/// Runs the real commands on the large log, on one core.
pub async fn measure(work: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let data_dir = work.join("data");
    let log = data_dir.join("events.db");
    let reading = Connection::open_with_flags(&log, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let events: i64 = reading.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
    drop(reading);
    let file = work.join("history.ndjson");
    let copy = work.join("imported");
    let (verified_s, verified) =
        timed(&data_dir, &["verify", "--skip-read-models", "--json"]).await?;
    let report: Value = serde_json::from_slice(&verified.stdout)
        .map_err(|_| String::from_utf8_lossy(&verified.stderr).into_owned())?;
    let written = file.display().to_string();
    let (exported_s, exported) = timed(&data_dir, &["export", "-o", &written, "--json"]).await?;
    let (imported_s, imported) = timed(&copy, &["import", &written, "--json"]).await?;
    for done in [&exported, &imported] {
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into());
        }
    }
    let megabytes = std::fs::metadata(&file)?.len() / 1_000_000;
    std::fs::remove_file(&file)?;
    std::fs::remove_dir_all(&copy)?;
    let rate = |seconds: f64| events as f64 / seconds;
    let figures = vec![
        Figure::new(format!("verify {events} events on one core"), rate(verified_s), "/s")
            .target(Target::AtLeast(VERIFIED_PER_S)),
        Figure::new(format!("export into a file of {megabytes} MB"), rate(exported_s), "/s"),
        Figure::new("import of that file", rate(imported_s), "/s"),
    ];
    let sound = report["sound"].as_bool().unwrap_or(false);
    let notes = vec![format!(
        "{} executions; the whole command each, from its start to its end, held to one core. Verified were \
         revisions, schema, hashes of texts, the tree and the checkpoints, not the read models; sound: {}",
        sizes.executions,
        if sound { "yes" } else { "no" },
    )];
    Ok(Section { letter: 'l', title: "verify, export and import", figures, notes })
}

/// Runs a command on a data directory, on one core: seconds, and what it said.
async fn timed(data_dir: &Path, arguments: &[&str]) -> Result<(f64, Output), Failure> {
    let mut command = Command::new("taskset");
    clean(&mut command)
        .args(["--cpu-list", "0", PROGRAM])
        .args(arguments)
        .env("EXECUTION_LEDGER_DATA_DIR", data_dir);
    let began = Instant::now();
    let done = tokio::task::spawn_blocking(move || command.output()).await??;
    Ok((began.elapsed().as_secs_f64(), done))
}
