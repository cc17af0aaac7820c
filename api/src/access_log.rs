//! What the log is told of access: who read transcripts, and how often callers were turned away.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use execution_ledger_domain::access::{AccessEvent, Read, ReadKind, Refused, RefusedFor};
use execution_ledger_domain::{Actor, ExecutionId, StreamName, Timestamp};
use execution_ledger_store::{Context, Ledger};
use tokio::time::MissedTickBehavior;

use crate::auth::Access;
use crate::gate::network;
use crate::problem::Problem;
use crate::state::App;

/// Sources that are told apart in one minute: most. All others are summed as one.
const SOURCES_MAX: usize = 32;
/// How often it is looked whether a minute is over.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Readers and what they read in an hour that are remembered: most. With more some may be told twice.
const READS_MAX: usize = 20_000;
/// A minute, in microseconds.
const MINUTE: i64 = 60 * 1_000_000;
/// An hour, in microseconds.
const HOUR: i64 = 60 * MINUTE;

/// Sums of callers that were turned away, by when the minute began, source and reason. A source that
/// is not told apart is none.
type Sums = HashMap<(i64, Option<IpAddr>, RefusedFor), u64>;

/// What was read in an hour, and by whom.
#[derive(Default)]
struct Reads {
    hour: i64,
    known: HashSet<(String, ExecutionId)>,
}

impl Reads {
    /// Whether this is the first reading by that reader in that hour.
    fn is_first(&mut self, hour: i64, reader: &str, execution: ExecutionId) -> bool {
        if self.hour != hour || self.known.len() >= READS_MAX {
            self.hour = hour;
            self.known.clear();
        }
        self.known.insert((reader.to_owned(), execution))
    }
}

/// What the log is told of access.
pub(crate) struct AccessLog {
    ledger: Ledger,
    refused: Mutex<Sums>,
    reads: Mutex<Reads>,
}

impl AccessLog {
    /// Over the one write path.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, refused: Mutex::default(), reads: Mutex::default() }
    }

    /// Counts a caller that was turned away. The log is told when the minute is over.
    pub fn refused(&self, source: IpAddr, code: RefusedFor) {
        let minute = begin_of(self.ledger.now(), MINUTE);
        let mut sums = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let own = (minute, Some(network(source)), code);
        let told_apart = sums.contains_key(&own)
            || sums.keys().filter(|(of, source, _)| *of == minute && source.is_some()).count()
                < SOURCES_MAX;
        let counted = if told_apart { own } else { (minute, None, code) };
        *sums.entry(counted).or_default() += 1;
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
        let (hour, reader) = (begin_of(now, HOUR), &caller.actor.id);
        if !self.locked_reads().is_first(hour, reader, execution_id) {
            return Ok(());
        }
        let fact = AccessEvent::Read(Read { execution_id, kind: ReadKind::Transcript });
        let context = Context {
            actor: caller.actor.clone(),
            correlation_id: Some(execution_id.to_string()),
            causation_id: Some(access.request.id.to_string()),
            traceparent: access.request.traceparent.clone(),
        };
        let told = self.ledger.note(&StreamName::access(now), &[fact.into()], &context).await;
        if told.is_err() {
            // Whoever comes next tries again.
            self.locked_reads().known.remove(&(reader.clone(), execution_id));
        }
        told.map(|_| ()).map_err(crate::faults::not_noted)
    }

    /// Tells the log of the minutes that are over, or of all. A minute that can't be told is lost.
    pub async fn tell(&self, all: bool) {
        let now = begin_of(self.ledger.now(), MINUTE);
        let over: Vec<_> = {
            let mut sums = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            sums.extract_if(|(minute, _, _), _| all || *minute != now).collect()
        };
        let mut days: HashMap<StreamName, Vec<_>> = HashMap::new();
        for ((minute, source, code), count) in over {
            let minute = Timestamp::from_micros(minute);
            let source = source.map(|source| source.to_string());
            let fact = AccessEvent::Refused(Refused { source, minute, code, count });
            days.entry(StreamName::access(minute)).or_default().push(fact.into());
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

fn begin_of(at: Timestamp, step: i64) -> i64 {
    at.micros() - at.micros().rem_euclid(step)
}

/// Tells the log of each minute when it is over, until the server is to stop.
pub(crate) async fn keep(app: App) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = app.gate().stopping().clone();
    while stopping.run_until_cancelled(look.tick()).await.is_some() {
        app.access_log().tell(false).await;
    }
}
