//! Follows the log: a rebuild where one is needed, then what was missed, then what comes.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_store::{Batch, Position, Recorded, StoreError, Subscription};
use futures::FutureExt;
use rusqlite::ErrorCode;

use super::file::{self, FileState};
use super::rebuild::{RebuildError, rebuild};
use super::scrub::Scrub;
use super::writer::{Decoded, Writer};
use crate::health::{Health, Progress};
use crate::views::Shared;

/// Events that are taken in by one transaction, about: batches are joined up to here.
const JOINED_EVENTS: usize = 4_096;
/// Size of the events and texts that are taken in by one transaction, about, in bytes.
const JOINED_BYTES: usize = 16 * 1024 * 1024;
/// First wait before something that failed is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(50);
/// Longest wait before something that failed is tried again.
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// How often a fault other than a full or busy disk is tried again before the runner gives up.
const FAULTS_MAX: u32 = 20;
/// Between two steps of overwriting what is left of forgotten texts: events are waited for so long.
const SCRUB_PAUSE: Duration = Duration::from_millis(10);
/// How often a file that turned out to be damaged is made anew before the runner gives up.
const REBUILDS_MAX: u32 = 3;

/// Why one pass over the log came to its end.
enum Ended {
    /// The store was closed, or the read models stopped and said why.
    Done,
    /// The file is damaged.
    Damaged(String),
}

/// Follows the log until its end; sets position and health in `shared`.
pub(crate) async fn run(shared: Arc<Shared>) {
    for _ in 0..REBUILDS_MAX {
        let Some(position) = ready_file(&shared).await else { return };
        match follow(&shared, position).await {
            Ended::Done => return,
            Ended::Damaged(reason) => {
                tracing::error!(%reason, "the read models' file is damaged and is made anew");
                shared.damaged(reason);
            }
        }
    }
    shared.set_health(Health::Failed(format!(
        "the read models' file was damaged {REBUILDS_MAX} times; is the disk sound?"
    )));
}

/// Sees to it that the file is current and opens its readers; its position, or nothing where that
/// can't be had.
async fn ready_file(shared: &Arc<Shared>) -> Option<Position> {
    let mut retry = Retry::default();
    loop {
        match make_ready(shared).await {
            Ok(position) => {
                shared.open_readers(position);
                return Some(position);
            }
            Err(error) => {
                let reason = error.to_string();
                tracing::error!(%reason, "the read models can't be made ready");
                if !retry.wait(shared, &reason, is_passing(&error)).await {
                    return None;
                }
            }
        }
    }
}

async fn make_ready(shared: &Arc<Shared>) -> Result<Position, RebuildError> {
    let head = shared.store.head().await?;
    let (path, log) = (shared.path.clone(), shared.store.log_id().clone());
    let damaged = shared.take_damage();
    let state = tokio::task::spawn_blocking(move || file::inspect(&path, &log, head))
        .await
        .map_err(|panic| StoreError::Fault(panic.to_string()))?;
    let reason = match (damaged, state) {
        (None, FileState::Current(position)) => return Ok(position),
        (Some(reason), _) | (None, FileState::Stale(reason)) => reason,
    };
    tracing::info!(%reason, head = head.number(), "the read models are made anew");
    shared.set_health(Health::Rebuilding(Progress { head: head.number(), ..Progress::default() }));
    let told = Arc::clone(shared);
    let progress = move |progress| told.set_health(Health::Rebuilding(progress));
    let rebuilt = rebuild(&shared.path, &shared.store, progress).await?;
    tracing::info!(events = rebuilt.events, "the read models are made");
    Ok(rebuilt.position)
}

/// Takes in what comes after `position`.
async fn follow(shared: &Arc<Shared>, position: Position) -> Ended {
    let mut retry = Retry::default();
    let path = shared.path.clone();
    let opened = tokio::task::spawn_blocking(move || file::open_live(&path)).await;
    let mut writer = match opened {
        Ok(Ok(connection)) => Writer::new(connection, position),
        Ok(Err(error)) => return Ended::Damaged(error.to_string()),
        Err(panic) => return failed(shared, format!("opening panicked: {panic}")),
    };
    let head = match shared.store.head().await {
        Ok(head) => head,
        Err(error) => return failed(shared, error.to_string()),
    };
    set_going(shared, position, head);
    let mut scrub = match Scrub::is_owed(writer.connection()) {
        Ok(owed) => owed.then(Scrub::new),
        Err(error) => return Ended::Damaged(error.to_string()),
    };
    shared.set_scrubbing(scrub.is_some());
    loop {
        let mut subscription = match shared.store.subscribe(writer.position()).await {
            Ok(subscription) => subscription,
            Err(error) => {
                if retry.wait(shared, &error.to_string(), false).await {
                    continue;
                }
                return Ended::Done;
            }
        };
        loop {
            let coming = joined(&mut subscription);
            let news = match &mut scrub {
                None => Ok(coming.await),
                Some(_) => tokio::time::timeout(SCRUB_PAUSE, coming).await,
            };
            let Ok((batches, fault)) = news else {
                writer = match overwrite(shared, writer, &mut scrub, &mut retry).await {
                    Ok(writer) => writer,
                    Err(ended) => return ended,
                };
                continue;
            };
            if !batches.is_empty() {
                let erased;
                (writer, erased) = match take_in(shared, writer, batches, &mut retry).await {
                    Ok(taken) => taken,
                    Err(ended) => return ended,
                };
                if erased {
                    scrub = Some(Scrub::new());
                }
                set_going(shared, writer.position(), head);
            }
            match fault {
                None => {}
                Some(Interrupted::Closed) => return Ended::Done,
                Some(Interrupted::Fault(error)) => {
                    tracing::warn!(%error, "the read models can't read the log");
                    if !retry.wait(shared, &error.to_string(), false).await {
                        return Ended::Done;
                    }
                    break;
                }
            }
        }
    }
}

fn set_going(shared: &Shared, position: Position, head: Position) {
    let health = if position >= head { Health::Live } else { Health::CatchingUp { head } };
    shared.set_health(health);
}

fn failed(shared: &Shared, reason: String) -> Ended {
    shared.set_health(Health::Failed(reason));
    Ended::Done
}

/// Why no more events come from a subscription.
enum Interrupted {
    Closed,
    Fault(StoreError),
}

/// The next events, joined with those that are there already, and what came after them if that was
/// no event.
async fn joined(subscription: &mut Subscription) -> (Vec<Batch>, Option<Interrupted>) {
    let mut batches = Vec::new();
    let (mut events, mut bytes) = (0, 0);
    let mut next = subscription.next().await;
    loop {
        match next {
            Some(Ok(batch)) => {
                events += batch.len();
                bytes += batch.iter().map(size_of).sum::<usize>();
                batches.push(batch);
            }
            Some(Err(error)) => return (batches, Some(Interrupted::Fault(error))),
            None => return (batches, Some(Interrupted::Closed)),
        }
        if events >= JOINED_EVENTS || bytes >= JOINED_BYTES {
            return (batches, None);
        }
        match subscription.next().now_or_never() {
            Some(ready) => next = ready,
            None => return (batches, None),
        }
    }
}

fn size_of(recorded: &Recorded) -> usize {
    let texts = recorded.contents.iter().filter_map(|stored| stored.content.as_ref());
    recorded.data.len() + texts.map(|content| content.text.len()).sum::<usize>()
}

/// Does a part of overwriting what is left of forgotten texts.
async fn overwrite(
    shared: &Arc<Shared>,
    writer: Writer,
    scrub: &mut Option<Scrub>,
    retry: &mut Retry,
) -> Result<Writer, Ended> {
    let Some(mut work) = scrub.take() else { return Ok(writer) };
    let step = tokio::task::spawn_blocking(move || {
        let more = work.step(writer.connection());
        (writer, work, more)
    });
    let (writer, work, more) = match step.await {
        Ok(stepped) => stepped,
        Err(panic) => return Err(failed(shared, format!("overwriting panicked: {panic}"))),
    };
    match more {
        Ok(true) => *scrub = Some(work),
        Ok(false) => shared.set_scrubbing(false),
        Err(error) if is_damage(&error) => return Err(Ended::Damaged(error.to_string())),
        Err(error) => {
            tracing::warn!(%error, "what is left of erased texts can't be overwritten yet");
            *scrub = Some(work);
            if !retry.wait(shared, &reason_of(&error), is_full_or_busy(&error)).await {
                return Err(Ended::Done);
            }
        }
    }
    Ok(writer)
}

/// Writes batches, again and again where the disk is full or busy; also whether a text was erased.
async fn take_in(
    shared: &Arc<Shared>,
    mut writer: Writer,
    batches: Vec<Batch>,
    retry: &mut Retry,
) -> Result<(Writer, bool), Ended> {
    let decode = move || batches.into_iter().map(Decoded::of).collect::<Vec<_>>();
    let mut work: Box<dyn FnOnce() -> Vec<Decoded> + Send> = Box::new(decode);
    loop {
        let written = tokio::task::spawn_blocking(move || {
            let started = std::time::Instant::now();
            let batches = work();
            let applied = writer.apply(&batches);
            (writer, batches, applied, started.elapsed())
        });
        let (back, batches, applied, took) = match written.await {
            Ok(written) => written,
            Err(panic) => return Err(failed(shared, format!("a projection panicked: {panic}"))),
        };
        writer = back;
        match applied {
            Ok(applied) => {
                retry.reset();
                if applied.erased {
                    // Before the position: who has waited for that then waits for this.
                    shared.set_scrubbing(true);
                }
                shared.set_position(applied.position);
                let events: usize = batches.iter().map(|b| b.up_to(applied.position)).sum();
                metrics::counter!("ledger_projection_events_total").increment(events as u64);
                metrics::histogram!("ledger_projection_batch_seconds").record(took.as_secs_f64());
                let Some(poison) = applied.poison else {
                    return Ok((writer, applied.erased));
                };
                tracing::error!(position = poison.position.number(), event_id = %poison.event_id,
                    reason = %poison.reason, "the read models stop before an event");
                shared.set_health(Health::Stopped(poison));
                return Err(Ended::Done);
            }
            Err(error) if is_damage(&error) => return Err(Ended::Damaged(error.to_string())),
            Err(error) => {
                tracing::warn!(%error, "the read models can't write");
                let passing = is_full_or_busy(&error);
                if !retry.wait(shared, &reason_of(&error), passing).await {
                    return Err(Ended::Done);
                }
                work = Box::new(move || batches);
            }
        }
    }
}

fn code_of(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

fn is_damage(error: &rusqlite::Error) -> bool {
    let codes = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
    code_of(error).is_some_and(|code| codes.contains(&code))
}

fn is_full_or_busy(error: &rusqlite::Error) -> bool {
    let codes = [ErrorCode::DiskFull, ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
    code_of(error).is_some_and(|code| codes.contains(&code))
}

fn reason_of(error: &rusqlite::Error) -> String {
    if code_of(error) == Some(ErrorCode::DiskFull) {
        "the disk is full: the read models wait for free space".to_owned()
    } else {
        error.to_string()
    }
}

/// Whether waiting may cure it, however long it takes.
fn is_passing(error: &RebuildError) -> bool {
    match error {
        RebuildError::Sqlite(error) => is_full_or_busy(error),
        RebuildError::Store(
            StoreError::DiskFull
            | StoreError::Busy(_)
            | StoreError::Unreachable(_)
            | StoreError::TimedOut(_),
        ) => true,
        RebuildError::File(error) => error.kind() == std::io::ErrorKind::StorageFull,
        RebuildError::Store(_) | RebuildError::Stopped => false,
    }
}

/// Waits that grow, and a count of faults.
#[derive(Default)]
struct Retry {
    waits: u32,
    faults: u32,
}

impl Retry {
    fn reset(&mut self) {
        *self = Self::default();
    }

    /// Says why and waits; `false` once there were too many faults.
    async fn wait(&mut self, shared: &Shared, reason: &str, passing: bool) -> bool {
        self.faults += u32::from(!passing);
        if self.faults > FAULTS_MAX {
            shared.set_health(Health::Failed(reason.to_owned()));
            return false;
        }
        shared.set_health(Health::Waiting(reason.to_owned()));
        let wait = RETRY_FIRST.saturating_mul(1 << self.waits.min(16)).min(RETRY_LONGEST);
        self.waits = self.waits.saturating_add(1);
        tokio::time::sleep(wait).await;
        true
    }
}
