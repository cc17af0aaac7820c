//! (e) Making all read models anew from a large log.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rusqlite::{Connection, OpenFlags, params};
use serde_json::Value;

use crate::figures::{Figure, Section, Target};
use crate::server::{PROGRAM, clean};
use crate::{Failure, Sizes};

/// Events a second that are asked for.
const PER_S: f64 = 150_000.0;

/// Runs the real command, then reads and writes as many rows by hand.
pub async fn measure(work: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let data_dir = work.join("data");
    let mut command = Command::new(PROGRAM);
    clean(&mut command).args(["rebuild", "--json"]).env("EXECUTION_LEDGER_DATA_DIR", &data_dir);
    let began = Instant::now();
    let done = tokio::task::spawn_blocking(move || command.output()).await??;
    let took = began.elapsed().as_secs_f64();
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into());
    }
    let answer: Value = serde_json::from_slice(&done.stdout)?;
    let events = answer["head"].as_u64().ok_or("no head")?;
    let log = data_dir.join("events.db");
    let beside = work.join("rows.db");
    let (read_s, write_s) = tokio::task::spawn_blocking(move || by_hand(&log, &beside)).await??;
    let views_bytes = std::fs::metadata(data_dir.join("views.db"))?.len();
    let log_bytes = std::fs::metadata(data_dir.join("events.db"))?.len();
    let figures = vec![
        Figure::new(
            format!("rebuild of {events} events, with all indexes"),
            events as f64 / took,
            "/s",
        )
        .beside(
            "reading the log + inserting a plain row for each event",
            events as f64 / (read_s + write_s),
        )
        .target(Target::AtLeast(PER_S)),
        Figure::new("the whole command", took, "s"),
    ];
    let notes = vec![format!(
        "{} executions; events.db {} MB, views.db {} MB; by hand: reading {read_s:.1} s, inserting \
         {write_s:.1} s",
        sizes.executions,
        log_bytes / 1_000_000,
        views_bytes / 1_000_000,
    )];
    Ok(Section { letter: 'e', title: "rebuild of the read models", figures, notes })
}

/// Seconds of reading all of the log in order, and of inserting as many rows into a table of its
/// own, in one transaction and without any index.
fn by_hand(log: &Path, beside: &Path) -> Result<(f64, f64), Failure> {
    let began = Instant::now();
    let reading = Connection::open_with_flags(log, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut bytes = 0;
    for query in [
        "SELECT stream, type, metadata, data FROM events ORDER BY position",
        "SELECT body FROM contents ORDER BY id",
    ] {
        let mut statement = reading.prepare(query)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                bytes += row.get_ref(column)?.as_str_or_null()?.map_or(0, str::len);
            }
        }
    }
    std::hint::black_box(bytes);
    let read_s = began.elapsed().as_secs_f64();
    let events: i64 = reading.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;

    let began = Instant::now();
    let mut writing = Connection::open(beside)?;
    writing.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
         CREATE TABLE rows(no INTEGER PRIMARY KEY, id BLOB, agent TEXT, status INTEGER, cost INTEGER, at INTEGER)",
    )?;
    let tx = writing.transaction()?;
    {
        let mut insert = tx.prepare("INSERT INTO rows VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        for no in 0..events {
            let id = i128::from(no).to_be_bytes();
            insert.execute(params![no, id.as_slice(), "agent", no % 5, no, no])?;
        }
    }
    tx.commit()?;
    let write_s = began.elapsed().as_secs_f64();
    drop(writing);
    std::fs::remove_file(beside)?;
    Ok((read_s, write_s))
}
