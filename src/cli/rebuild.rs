//! `rebuild`: makes the read models anew from the log, while no server runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use execution_ledger_projections::{Health, Progress, Views, ViewsOptions};
use execution_ledger_replay::{Comparison, compare_views};
use execution_ledger_store::EventStore;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{Exit, Failure, Global, block_on};
use crate::compose::data_dir::DataDir;
use crate::compose::log::{self, Writable};
use crate::config::Settings;
use crate::output::{Output, duration, number};

const AFTER_HELP: &str = "\
The read models (views.db) hold nothing that is not in the log (events.db). This
command drops them and folds the whole log again; the answers are the same
afterwards. A server that runs on the data directory must be stopped first. If
it is interrupted, the next start of the server finishes it.

Examples:
  execution-ledger rebuild
  execution-ledger rebuild --check    compare; exit code 1 where they differ
  execution-ledger rebuild --data-dir /srv/ledger
";

/// Make the read models anew from the log (off-line).
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Rebuild {
    /// Change nothing: make the read models anew beside, and say whether they are what the log says.
    #[arg(long)]
    check: bool,
}

/// Does it.
pub fn execute(rebuild: &Rebuild, global: &Global, output: &Output) -> Result<Exit, Failure> {
    let settings = global.settings_from_environment()?;
    let data_dir = DataDir::at(&settings.data_dir);
    if !log::may_exist(&settings, &data_dir) {
        return Err(Failure::Argument(format!(
            "there is no log in {}: nothing was ever recorded there",
            data_dir.path().display()
        )));
    }
    let fault = |error: &dyn std::fmt::Display| Failure::Fault(error.to_string());
    let began = Instant::now();
    // Held to the end: while it is open, no server can start on the log.
    let opened = open(&settings, &data_dir)?;
    let store = Arc::clone(&opened.store);
    if rebuild.check {
        return check(&data_dir, &store, output);
    }
    remove_views(&data_dir.views())?;
    let events = block_on(async {
        let views = Views::open(&data_dir.views(), store, ViewsOptions::default())
            .map_err(|error| fault(&error))?;
        follow(&views).await?;
        Ok(views.position().number())
    })?;
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if output.is_json() {
        output.json(&json!({"head": events, "duration_ms": took}))?;
    } else {
        output.line(&format!(
            "the read models are rebuilt up to event {} in {}",
            number(events),
            duration(took)
        ))?;
    }
    Ok(Exit::Success)
}

/// The log, where no server has it.
pub(super) fn open(settings: &Settings, data_dir: &DataDir) -> Result<Writable, Failure> {
    block_on(async {
        let opened = log::open(settings, data_dir).await;
        opened.map_err(|error| Failure::Fault(error.to_string()))
    })
}

/// Has the read models catch up, and compares them with what the log leads to.
pub(super) fn compared(
    data_dir: &DataDir,
    store: &Arc<dyn EventStore>,
) -> Result<Comparison, Failure> {
    let fault = |error: &dyn std::fmt::Display| Failure::Fault(error.to_string());
    block_on(async {
        let views = Views::open(&data_dir.views(), Arc::clone(store), ViewsOptions::default())
            .map_err(|error| fault(&error))?;
        follow(&views).await?;
        drop(views);
        let bar = progress_bar();
        let (shown, scratch) = (bar.clone(), data_dir.path().join("views.check.db"));
        let told = move |progress| show(&shown, progress);
        let compared = compare_views(store, &data_dir.views(), &scratch, told).await;
        bar.finish_and_clear();
        compared.map_err(|error| fault(&error))
    })
}

/// Says whether the read models are what the log leads to.
fn check(
    data_dir: &DataDir,
    store: &Arc<dyn EventStore>,
    output: &Output,
) -> Result<Exit, Failure> {
    let compared = compared(data_dir, store)?;
    let equal = compared.differences.is_empty();
    if output.is_json() {
        output.json(&json!(compared))?;
    } else {
        output.line(&format!(
            "{} rows of {} tables compared with {} events: {}",
            number(compared.rows),
            compared.tables,
            number(compared.events),
            if equal { "equal" } else { "NOT equal" },
        ))?;
        for difference in &compared.differences {
            let rows = |rows: Option<u64>| rows.map_or_else(|| "no".to_owned(), number);
            output.line(&format!(
                "  {}: {} rows found, {} expected; run `execution-ledger rebuild`",
                difference.table,
                rows(difference.found_rows),
                rows(difference.expected_rows),
            ))?;
        }
    }
    Ok(if equal { Exit::Success } else { Exit::Failed })
}

/// Removes the read models and what SQLite keeps beside them.
fn remove_views(views: &Path) -> Result<(), Failure> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut path = views.as_os_str().to_owned();
        path.push(suffix);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::Fault(format!("{}: {error}", path.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Runs the read models until they have caught up, with a bar on a terminal.
async fn follow(views: &Views) -> Result<(), Failure> {
    let bar = progress_bar();
    let mut health = views.health_changes();
    let mut ended = None;
    let caught_up = async {
        loop {
            let now = health.borrow_and_update().clone();
            match &now {
                Health::Rebuilding(progress) => show(&bar, *progress),
                Health::Waiting(why) => bar.set_message(format!("waiting: {why}")),
                Health::CatchingUp { .. } => {}
                Health::Live | Health::Stopped(_) | Health::Failed(_) | Health::Closed => {
                    ended = Some(now);
                    return;
                }
            }
            if health.changed().await.is_err() {
                return;
            }
        }
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        // Either way it is time to stop.
        drop(stopped.await);
    };
    tokio::join!(views.run(shutdown), async {
        caught_up.await;
        // Nobody waits where the read models ended by themselves.
        drop(stop);
    });
    bar.finish_and_clear();
    match ended.unwrap_or_else(|| views.health()) {
        Health::Stopped(poison) => Err(Failure::Fault(format!(
            "the read models stopped at event {} (position {}): {}; nothing is skipped, so they \
             stay there until a version that understands it is started",
            poison.event_id,
            poison.position.number(),
            poison.reason
        ))),
        Health::Failed(why) => Err(Failure::Fault(format!("the read models failed: {why}"))),
        _ => Ok(()),
    }
}

pub(super) fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = "{bar:32} {pos}/{len} events  {per_sec}  {eta} left  {msg}";
    bar.with_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.head);
    bar.set_position(progress.done);
    if progress.indexing {
        bar.set_message("making indexes");
    }
}
