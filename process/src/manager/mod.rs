//! The process manager: follows the log, and does what the policy says is to be done.
//!
//! It holds nothing that is not in the log or in the run directories, so it can die at any instant.
//! At start it takes up every run that holds a slot; then it follows the log, and after each batch
//! of events it begins what follows from the policy's state.

mod cost_limit;
mod effects;
mod ending;
mod giving_up;
mod injection;
mod janitor;
mod launch;
mod observe;
mod retry;
mod runs;
pub(crate) mod told;
mod trace;
mod turns;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::access::AccessEvent;
use execution_ledger_domain::execution::ExecutionEvent;
use execution_ledger_domain::policy::Effect;
use execution_ledger_domain::{Event, ExecutionId, Timestamp};
use execution_ledger_store::{Batch, Ledger, Recorded, StoreError, Subscription};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::budgets;
use crate::desk::Desk;
use crate::following::{Faults, told_to_stop};
use crate::nodes::Station;
use crate::pricing::PriceBook;
use crate::run_token::LedgerSecret;
use crate::supervisor::Starter;
use crate::tasks::SessionIndex;
use crate::transcript::TranscriptHub;
use runs::Runs;

/// Effects that are under way at once.
const EFFECTS_MAX: usize = 64;
/// Longest that the manager sleeps before it looks at the clock again: clocks jump.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What the manager needs to know of the place that it runs in.
#[derive(Clone, Debug)]
pub struct ManagerOptions {
    /// `runs/` of the data directory.
    pub runs: PathBuf,
    /// `transcripts/` of the data directory.
    pub transcripts: PathBuf,
    /// Where agents without a `cwd` have their work folders.
    pub work: PathBuf,
    /// Where runs reach the ledger.
    pub ledger_url: String,
    /// How much output a run may print, in bytes.
    pub output_max_bytes: u64,
    /// No starts while less is free on the disk of the data directory, in bytes.
    pub min_free_bytes: u64,
    /// How large all transcripts may be together, in bytes.
    pub transcripts_max_bytes: Option<u64>,
    /// How long transcripts are kept, in days.
    pub transcripts_keep_days: Option<u32>,
    /// What tokens cost that nobody else has priced.
    pub price_book: Arc<PriceBook>,
}

/// What all parts of the manager share.
pub(crate) struct Shared {
    pub ledger: Ledger,
    pub desk: Arc<Desk>,
    pub hub: TranscriptHub,
    pub secret: LedgerSecret,
    pub sessions: Arc<dyn SessionIndex>,
    pub options: ManagerOptions,
    pub runs: Runs,
    pub starter: Arc<Starter>,
    pub archive: tokio::sync::mpsc::Sender<ExecutionId>,
    /// This node among others; nothing where it is alone.
    pub station: Option<Station>,
}

/// The process manager.
pub struct Manager {
    shared: Arc<Shared>,
    to_archive: tokio::sync::mpsc::Receiver<ExecutionId>,
}

/// Why the manager stopped.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The log can't be followed any more.
    #[error("the process manager can't follow the log")]
    Log(#[source] StoreError),
    /// A stored event can't be read; starting runs without it could start one twice.
    #[error("the process manager stopped before event {position}: {reason}")]
    Unreadable {
        /// Its number in the log.
        position: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl Manager {
    /// Over a desk whose policy has seen the log up to where the subscription of [`Manager::run`]
    /// begins.
    pub fn new(
        ledger: Ledger,
        desk: Arc<Desk>,
        hub: TranscriptHub,
        secret: LedgerSecret,
        sessions: Arc<dyn SessionIndex>,
        options: ManagerOptions,
    ) -> Self {
        let (archive, to_archive) = tokio::sync::mpsc::channel(janitor::ARCHIVE_QUEUE_MAX);
        let runs = Runs::default();
        let starter = Arc::new(Starter::new(options.runs.clone()));
        let station = None;
        let shared = Shared {
            ledger,
            desk,
            hub,
            secret,
            sessions,
            options,
            runs,
            starter,
            archive,
            station,
        };
        Self { shared: Arc::new(shared), to_archive }
    }

    /// As one of several nodes: it starts what it holds the lease of.
    #[must_use]
    pub fn among(mut self, station: Station) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.station = Some(station);
        }
        self
    }

    /// Works until `stop` turns true or the log ends. Runs outlive it: their supervisors keep them.
    ///
    /// # Errors
    /// [`ManagerError`] where the log can't be followed: nothing is started any more then.
    pub async fn run(
        self,
        mut log: Subscription,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), ManagerError> {
        let shared = self.shared;
        let mut work = JoinSet::new();
        work.spawn(janitor::work(Arc::clone(&shared), self.to_archive));
        work.spawn(janitor::watch_disk(Arc::clone(&shared)));
        work.spawn(budgets::watch(shared.ledger.clone(), Arc::clone(&shared.desk)));
        let mut effects = Effects::default();
        let mut rounds = tokio::time::interval(LOOK_AGAIN);
        let mut faults = Faults::default();
        let mut stopping = false;
        launch::prepare_next(&shared);
        take_up_all(&shared, &mut work);
        loop {
            if stopping && effects.running.is_empty() {
                return Ok(());
            }
            if !stopping {
                effects.begin(&shared);
            }
            tokio::select! {
                batch = log.next() => match batch {
                    Some(batch) => {
                        let batch = faults.endured(batch).await.map_err(ManagerError::Log)?;
                        if let Some(batch) = batch {
                            apply(&shared, &batch).await?;
                        }
                    }
                    None => return Ok(()),
                },
                Some(ended) = effects.running.join_next_with_id(), if !effects.running.is_empty() => {
                    effects.ended(&shared, ended);
                }
                () = shared.desk.woken() => {}
                _ = rounds.tick(), if !stopping => take_up_all(&shared, &mut work),
                () = tokio::time::sleep(until_deadline(&shared)), if !stopping => {}
                () = told_to_stop(&mut stop), if !stopping => stopping = true,
            }
            // What has ended of the work in the background is of no interest any more.
            while work.try_join_next().is_some() {}
        }
    }
}

/// Effects that are under way.
#[derive(Default)]
struct Effects {
    running: JoinSet<Option<Effect>>,
    begun: HashMap<tokio::task::Id, Effect>,
}

impl Effects {
    /// Begins what the policy says is to be done.
    fn begin(&mut self, shared: &Arc<Shared>) {
        let room = EFFECTS_MAX.saturating_sub(self.running.len());
        if let Some(station) = &shared.station {
            let acts = station.may_act();
            shared.desk.policy().may_act(acts);
        }
        for effect in shared.desk.policy().begin(shared.ledger.now(), room) {
            let task = self.running.spawn(effects::carry_out(Arc::clone(shared), effect.clone()));
            self.begun.insert(task.id(), effect);
        }
    }

    /// Gives back what led to no event, also where its task panicked.
    fn ended(
        &mut self,
        shared: &Shared,
        ended: Result<(tokio::task::Id, Option<Effect>), tokio::task::JoinError>,
    ) {
        let unfinished = match ended {
            Ok((id, unfinished)) => {
                let begun = self.begun.remove(&id);
                if let (None, Some(begun)) = (&unfinished, begun) {
                    shared.desk.policy().done(&begun);
                }
                unfinished
            }
            Err(panic) => {
                tracing::error!(%panic, "an effect panicked and will be repeated");
                self.begun.remove(&panic.id())
            }
        };
        if let Some(effect) = unfinished {
            shared.desk.policy().give_back(&effect);
        }
    }
}

/// Takes up every run that holds a slot and that nobody looks after: all of them at start, and later
/// whatever a fault has left alone.
fn take_up_all(shared: &Arc<Shared>, work: &mut JoinSet<()>) {
    let holding = shared.desk.policy().holding();
    for (execution, _, claim) in holding {
        if !shared.runs.has(execution) {
            work.spawn(runs::take_up(runs::enter(shared, execution, claim)));
        }
    }
}

fn until_deadline(shared: &Shared) -> Duration {
    let now: Timestamp = shared.ledger.now();
    let deadline = shared.desk.policy().next_deadline();
    let wait = deadline.map_or(LOOK_AGAIN, |at| Duration::from_millis(at.ms_since(now) + 1));
    wait.min(LOOK_AGAIN)
}

/// Takes a batch of events into the policy, and tells those who wait for endings.
async fn apply(shared: &Shared, batch: &Batch) -> Result<(), ManagerError> {
    for recorded in batch.iter() {
        let unreadable = |reason: String| ManagerError::Unreadable {
            position: recorded.position.number(),
            reason,
        };
        let event = recorded.event().map_err(|error| unreadable(error.to_string()))?;
        match event {
            Event::Execution(event) => {
                let id = recorded
                    .stream
                    .execution_id()
                    .ok_or_else(|| unreadable(format!("{} is no execution", recorded.stream)))?;
                apply_execution(shared, recorded, id, &event).await?;
                if let (ExecutionEvent::Running(running), Some(station)) = (&event, &shared.station)
                    && running.node.is_some_and(|node| node != station.me())
                {
                    shared.hub.elsewhere(id);
                }
                if let Some(outcome) = event.outcome() {
                    let outcome = outcome.as_str();
                    metrics::counter!("ledger_executions_ended_total", "outcome" => outcome)
                        .increment(1);
                    if shared.station.is_some() {
                        runs::ended_elsewhere(shared, id);
                    }
                    shared.runs.forget(id);
                    shared.hub.ended(id);
                    shared.desk.announce_end(id, recorded.position);
                }
            }
            Event::Agent(event) => {
                let name = recorded
                    .stream
                    .agent_name()
                    .ok_or_else(|| unreadable(format!("{} is no agent", recorded.stream)))?;
                shared.desk.policy().apply_agent(&name, &event);
            }
            Event::Session(event) => {
                let id = recorded
                    .stream
                    .session_id()
                    .ok_or_else(|| unreadable(format!("{} is no session", recorded.stream)))?;
                shared.desk.policy().apply_session(id, &event);
            }
            Event::Key(event) => {
                let id = recorded
                    .stream
                    .key_id()
                    .ok_or_else(|| unreadable(format!("{} is no key", recorded.stream)))?;
                shared.desk.keys().apply(id, &event);
            }
            Event::Budget(event) => {
                let scope = recorded
                    .stream
                    .budget_scope()
                    .ok_or_else(|| unreadable(format!("{} is no budget", recorded.stream)))?;
                let mut policy = shared.desk.policy();
                policy.budgets_mut().apply_budget(recorded.recorded_at, &scope, &event);
            }
            Event::Lease(event) => {
                let name = recorded
                    .stream
                    .lease_name()
                    .ok_or_else(|| unreadable(format!("{} is no lease", recorded.stream)))?;
                shared.desk.policy().apply_lease(&name, &event);
            }
            Event::Access(AccessEvent::SignedOut(session)) => {
                shared.desk.signed_out().add(&session, shared.ledger.now());
            }
            Event::Access(AccessEvent::Read(_) | AccessEvent::Refused(_))
            | Event::Schedule(_)
            | Event::Payment(_)
            | Event::Webhook(_)
            | Event::Erasure(_)
            | Event::Notary(_) => {}
        }
    }
    if let Some(last) = batch.last() {
        shared.desk.announce_applied(last.position);
    }
    Ok(())
}

/// Takes an event of an execution into the queues and into what is spent, under one lock.
async fn apply_execution(
    shared: &Shared,
    recorded: &Recorded,
    id: ExecutionId,
    event: &ExecutionEvent,
) -> Result<(), ManagerError> {
    let correction = match event {
        ExecutionEvent::CostCorrected(corrected) => {
            let read = budgets::correction(&shared.ledger, recorded, corrected).await;
            read.map_err(ManagerError::Log)?
        }
        _ => None,
    };
    let mut policy = shared.desk.policy();
    policy.apply_execution(recorded.position.number(), id, event);
    let budgets = policy.budgets_mut();
    budgets.apply_execution(recorded.recorded_at, id, event);
    if let Some(correction) = correction {
        budgets.correct(recorded.recorded_at, &correction);
    }
    Ok(())
}
