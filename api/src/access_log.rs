//! What the log is told of access: who read transcripts or took exports, which browsers left, and how
//! often callers were turned away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use execution_ledger_domain::access::{AccessEvent, Read, ReadKind, SignedOut};
use execution_ledger_domain::{Actor, ExecutionId, StreamName, Timestamp};
use execution_ledger_store::{Context, Ledger};
use tokio::sync::OnceCell;
use tokio::time::MissedTickBehavior;

use crate::auth::Access;
use crate::problem::Problem;
use crate::refusals::Refusals;
use crate::state::App;

/// How often it is looked whether a minute is over.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Readers and what they read in an hour that are remembered: most. With more some may be told twice.
const READS_MAX: usize = 20_000;
/// An hour, in microseconds.
const HOUR: i64 = 3_600 * 1_000_000;

/// Set once the log holds that somebody read something.
type Told = Arc<OnceCell<()>>;

/// What was read in an hour, and by whom.
#[derive(Default)]
struct Reads {
    hour: i64,
    known: HashMap<(String, ExecutionId), Told>,
}

impl Reads {
    /// Whether the log holds the reading by that reader in that hour, or is being told of it.
    fn told(&mut self, hour: i64, reader: &str, execution: ExecutionId) -> Told {
        if self.hour != hour || self.known.len() >= READS_MAX {
            self.hour = hour;
            self.known.clear();
        }
        Arc::clone(self.known.entry((reader.to_owned(), execution)).or_default())
    }
}

/// What the log is told of access.
pub(crate) struct AccessLog {
    ledger: Ledger,
    reads: Mutex<Reads>,
}

impl AccessLog {
    /// Over the one write path.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, reads: Mutex::default() }
    }

    /// Tells the log that a transcript is read, before any of it is answered: once for each key,
    /// execution and hour. A run that reads its own is not told.
    pub async fn transcript_read(
        &self,
        access: &Access,
        execution_id: ExecutionId,
    ) -> Result<(), Problem> {
        let caller = &access.caller;
        if caller.run.as_ref().is_some_and(|run| run.execution_id == execution_id) {
            return Ok(());
        }
        let now = self.ledger.now();
        let (hour, reader) = (now.micros().div_euclid(HOUR), &caller.actor.id);
        let told = self.locked_reads().told(hour, reader, execution_id);
        // Whoever comes while the first is still telling waits for that, and tells it where the first
        // fails or is given up.
        told.get_or_try_init(|| self.tell_read(access, execution_id, now)).await?;
        Ok(())
    }

    /// Tells the log that the history is taken as a file, before any of it is answered: each time.
    pub async fn exported(&self, access: &Access) -> Result<(), Problem> {
        let read = Read { execution_id: None, kind: ReadKind::Export };
        let story = access.request.id.to_string();
        self.tell_of(access, AccessEvent::Read(read), story, self.ledger.now()).await
    }

    /// Tells the log that a browser was signed out, so that every node knows it, also after a restart.
    pub async fn signed_out(&self, access: &Access, browser: SignedOut) -> Result<(), Problem> {
        let story = access.request.id.to_string();
        self.tell_of(access, AccessEvent::SignedOut(browser), story, self.ledger.now()).await
    }

    async fn tell_read(
        &self,
        access: &Access,
        execution_id: ExecutionId,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let read = Read { execution_id: Some(execution_id), kind: ReadKind::Transcript };
        self.tell_of(access, AccessEvent::Read(read), execution_id.to_string(), now).await
    }

    async fn tell_of(
        &self,
        access: &Access,
        fact: AccessEvent,
        story: String,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let context = Context {
            actor: access.caller.actor.clone(),
            correlation_id: Some(story),
            causation_id: Some(access.request.id.to_string()),
            traceparent: access.request.traceparent.clone(),
        };
        let noted = self.ledger.note(&StreamName::access(now), &[fact.into()], &context).await;
        noted.map(drop).map_err(crate::faults::not_noted)
    }

    /// Tells the log how often callers were turned away in the minutes that are over, or in all. What
    /// can't be told is lost.
    pub async fn tell(&self, refusals: &Refusals, all: bool) {
        let mut days: HashMap<StreamName, Vec<_>> = HashMap::new();
        for refused in refusals.take(self.ledger.now(), all) {
            let stream = StreamName::access(refused.minute);
            days.entry(stream).or_default().push(AccessEvent::Refused(refused).into());
        }
        for (stream, facts) in days {
            let context = Context {
                actor: Actor::system("access"),
                correlation_id: Some(stream.to_string()),
                causation_id: None,
                traceparent: None,
            };
            if let Err(error) = self.ledger.note(&stream, &facts, &context).await {
                tracing::warn!(%error, minutes = facts.len(), "refusals can't be recorded");
            }
        }
    }

    fn locked_reads(&self) -> std::sync::MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the log of each minute when it is over, until the server is to stop.
pub(crate) async fn keep(app: App) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = app.gate().stopping().clone();
    while stopping.run_until_cancelled(look.tick()).await.is_some() {
        app.access_log().tell(&app.gate().refusals, false).await;
    }
}

#[cfg(test)]
mod tests;
