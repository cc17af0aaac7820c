//! The runs that hold a slot: from their claim to their ending.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use execution_ledger_domain::execution::{Command, Execution, Running, SignalSent};
use execution_ledger_domain::{ClaimId, ExecutionId, StreamName, limits};
use execution_ledger_store::{ExecuteError, StoreError};
use nix::sys::signal::Signal;
use tracing::Instrument;

use super::cost_limit::{self, CostLimit};
use super::effects;
use super::giving_up::{self, GivenUp};
use super::launch::{self, Begun, LaunchError, Task};
use super::observe::StartedAs;
use super::{Shared, ending, trace};
use crate::failpoint;
use crate::nodes::term::lasts_until;
use crate::orders::{RunFiles, supervisor_signal};
use crate::status::Status;
use crate::supervisor::{self, Handle, News, Probe};

/// How often a claim whose supervisor never came to its lock is launched again.
const LAUNCHES_MAX: u32 = 3;
/// Rest between two attempts at something that failed for a reason that may pass.
const REST: Duration = Duration::from_secs(1);
/// How long a supervisor has to end a run whose slot has lapsed, before it is killed itself.
const LAPSE_GRACE: Duration = Duration::from_secs(10);

/// Why a claim is given up that another node may have judged by now, or whose term is not known.
const TERM_OVER: &str = "its node was started again, or was not heard of for longer than its lease, \
                         between its claim and its start";

/// What the manager remembers of the runs that it looks after.
#[derive(Default)]
pub(crate) struct Runs(Mutex<HashMap<ExecutionId, Run>>);

#[derive(Clone)]
struct Run {
    claim: ClaimId,
    /// Since when this process looks after it.
    since: Instant,
    /// The strongest signal that its supervisor is to be sent as soon as there is one.
    wanted: Option<Signal>,
    lapsed: bool,
    handle: Option<Arc<Handle>>,
}

impl Run {
    fn new(claim: ClaimId) -> Self {
        Self { claim, since: Instant::now(), wanted: None, lapsed: false, handle: None }
    }
}

impl Runs {
    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionId, Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its ending is in the log.
    pub(super) fn forget(&self, execution: ExecutionId) {
        self.lock().remove(&execution);
    }

    /// Whether somebody wants the run to stop.
    fn is_to_stop(&self, execution: ExecutionId) -> bool {
        self.lock().get(&execution).is_some_and(|run| run.wanted.is_some())
    }

    /// Whether a run's slot has lapsed, as far as this process has seen.
    pub(super) fn has_lapsed(&self, execution: ExecutionId) -> bool {
        self.lock().get(&execution).is_some_and(|run| run.lapsed)
    }

    /// Whether a run of this execution is looked after.
    pub(super) fn has(&self, execution: ExecutionId) -> bool {
        self.lock().contains_key(&execution)
    }
}

/// Tells a run's supervisor something, now or as soon as it is there. False where nobody looks after
/// the run at the moment.
pub(super) fn signal(
    shared: &Shared,
    execution: ExecutionId,
    claim: ClaimId,
    signal: Signal,
) -> bool {
    let handle = {
        let mut runs = shared.runs.lock();
        let Some(run) = runs.get_mut(&execution).filter(|run| run.claim == claim) else {
            return false;
        };
        run.wanted = Some(signal);
        run.handle.clone()
    };
    failpoint::reach("manager.before_signal");
    if let Some(handle) = handle {
        send(&handle, execution, signal);
    }
    true
}

/// A run's end was recorded by somebody else, who had taken its node for dead. Where it is alive after
/// all, it stops now.
pub(super) fn ended_elsewhere(shared: &Shared, execution: ExecutionId) {
    let handle = shared.runs.lock().get(&execution).and_then(|run| run.handle.clone());
    if let Some(handle) = handle {
        tracing::warn!(%execution, "a run whose end was recorded by another node is stopped");
        send(&handle, execution, supervisor_signal::CANCEL);
    }
}

/// Has a run's tree killed because its slot has lapsed, and its supervisor too if it does not obey.
///
/// The supervisor keeps the lease by a clock that does not jump and obeys only where it has lapsed
/// by that one; it is killed only where this process has seen the whole lease go by as well. Answers
/// whether the lapse is to be looked at again.
pub(super) async fn lapse(shared: &Arc<Shared>, execution: ExecutionId, claim: ClaimId) -> bool {
    signal(shared, execution, claim, supervisor_signal::LEASE_LAPSED);
    tokio::time::sleep(LAPSE_GRACE).await;
    let stream = StreamName::execution(execution);
    let lease = match shared.ledger.load::<Execution>(&stream).await {
        Ok(Execution::Running { pending, .. }) => {
            Duration::from_secs(pending.timeout_s.saturating_add(limits::LEASE_MARGIN_S))
        }
        Ok(_) => return false,
        Err(_) => return true,
    };
    let handle = {
        let mut runs = shared.runs.lock();
        let Some(run) = runs.get_mut(&execution).filter(|run| run.claim == claim) else {
            return true;
        };
        run.lapsed = run.since.elapsed() >= lease;
        run.handle.clone().filter(|_| run.lapsed)
    };
    if let Some(handle) = handle {
        send(&handle, execution, Signal::SIGKILL);
    }
    true
}

/// Tells a supervisor something.
pub(super) fn send(handle: &Handle, execution: ExecutionId, signal: Signal) {
    if let Err(error) = handle.signal(signal) {
        tracing::error!(%execution, %signal, %error, "a supervisor could not be signalled");
    }
}

/// A run that is looked after; dropped, it is not any more.
pub(super) struct Entered {
    shared: Arc<Shared>,
    execution: ExecutionId,
    claim: ClaimId,
    /// In which term of its node it was claimed, by that term's file.
    term: Option<PathBuf>,
}

impl Entered {
    /// Claimed in this term of its node.
    pub(super) fn in_term(mut self, term: Option<PathBuf>) -> Self {
        self.term = term;
        self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut runs = self.shared.runs.lock();
        if runs.get(&self.execution).is_some_and(|run| run.claim == self.claim) {
            runs.remove(&self.execution);
        }
    }
}

/// Begins to look after a run. A wish to stop it may have come first: it stays.
pub(super) fn enter(shared: &Arc<Shared>, execution: ExecutionId, claim: ClaimId) -> Entered {
    let mut runs = shared.runs.lock();
    runs.entry(execution).or_insert_with(|| Run::new(claim));
    drop(runs);
    Entered { shared: Arc::clone(shared), execution, claim, term: None }
}

/// A claim was won just now: start its supervisor and look after it until the ending is recorded.
/// `task` is what was accepted, where it was read meanwhile.
pub(super) async fn begin(entered: Entered, running: Running, task: Option<Task>) {
    let span = trace::span(entered.execution);
    live(entered, running, task).instrument(span).await;
}

async fn live(entered: Entered, running: Running, task: Option<Task>) {
    let (shared, execution, claim) = (&entered.shared, entered.execution, entered.claim);
    let known = task.map(|task| (running, task));
    match launch_claim(shared, execution, claim, known, entered.term.as_deref()).await {
        Launched::Alive(begun) => {
            failpoint::reach("manager.started");
            let handle = Arc::new(begun.handle);
            let said = look_after(shared, execution, claim, &handle, begun.limit).await;
            conclude(shared, execution, claim, said.map(|status| (status, begun.program))).await;
            drop(entered);
            let_go(execution, &handle).await;
        }
        Launched::Uncertain => conclude(shared, execution, claim, None).await,
        // Nobody else has given orders for this claim.
        Launched::GivenUp(why) => giving_up::record(shared, execution, claim, why).await,
        Launched::Ended => {}
    }
}

/// A claim that nobody looks after, from before a restart or after a fault: find out what has become
/// of it, and go on from there.
pub(super) async fn take_up(entered: Entered) {
    let (shared, execution, claim) = (&entered.shared, entered.execution, entered.claim);
    conclude(shared, execution, claim, None).instrument(trace::span(execution)).await;
}

/// What came of starting a supervisor.
enum Launched {
    /// It lives, as far as is known.
    Alive(Begun),
    /// It is gone, and its files say whether it had begun.
    Uncertain,
    /// It is not to begin, and nothing of it has.
    GivenUp(GivenUp),
    /// Nothing of it is left to do.
    Ended,
}

/// Starts the supervisor, unless the run is to stop already. `known` is what the log said a moment
/// ago.
async fn launch_claim(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    claim: ClaimId,
    mut known: Option<(Running, Task)>,
    term: Option<&Path>,
) -> Launched {
    loop {
        if shared.station.is_some() && term.and_then(lasts_until).is_none() {
            return Launched::GivenUp(GivenUp::Impossible(TERM_OVER.to_owned()));
        }
        let current = match known.take().filter(|_| !shared.runs.is_to_stop(execution)) {
            Some(known) => Ok(Some(known)),
            None => look_up(shared, execution, claim).await,
        };
        let launched = match current {
            Ok(Some((running, task))) => {
                launch::launch(shared, execution, &running, task, term).await
            }
            Ok(None) => return Launched::Ended,
            Err(error) => Err(error),
        };
        match launched {
            Ok(begun) => return Launched::Alive(begun),
            Err(LaunchError::Store(error)) => {
                tracing::error!(%execution, %error, "a run waits for the log before it can start");
                tokio::time::sleep(REST).await;
            }
            Err(LaunchError::Cancelled) => return Launched::GivenUp(GivenUp::Cancelled),
            Err(LaunchError::Impossible(reason)) => {
                return Launched::GivenUp(GivenUp::Impossible(reason));
            }
            Err(LaunchError::Uncertain(error)) => {
                tracing::error!(%execution, %error, "a supervisor could not be watched and was ended");
                return Launched::Uncertain;
            }
        }
    }
}

/// Starts a supervisor for a claim that none has taken, unless that was tried too often.
async fn launch_again(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    claim: ClaimId,
    launches: u32,
) -> Launched {
    if launches > LAUNCHES_MAX {
        let reason = format!("its supervisor died {LAUNCHES_MAX} times before it began");
        return Launched::GivenUp(GivenUp::Impossible(reason));
    }
    launch_claim(shared, execution, claim, None, None).await
}

/// What the log says of a claim that is to be launched; nothing where it is not any more.
async fn look_up(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    claim: ClaimId,
) -> Result<Option<(Running, Task)>, LaunchError> {
    match shared.ledger.load::<Execution>(&StreamName::execution(execution)).await {
        Ok(Execution::Running { cancellation: Some(_), .. }) => Err(LaunchError::Cancelled),
        Ok(Execution::Running { running, cancellation: None, .. }) if running.claim == claim => {
            Ok(Some((running, launch::prepare(shared, execution).await?)))
        }
        Ok(_) => Ok(None),
        Err(ExecuteError::Store(error)) => Err(error.into()),
        Err(error) => Err(StoreError::Fault(error.to_string()).into()),
    }
}

/// Waits until the run has ended; passes on what its supervisor is to be told. Answers how it ended,
/// where the supervisor said it.
async fn look_after(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    claim: ClaimId,
    handle: &Arc<Handle>,
    limit: Option<CostLimit>,
) -> Option<Status> {
    let wanted = {
        let mut runs = shared.runs.lock();
        runs.get_mut(&execution).filter(|run| run.claim == claim).and_then(|run| {
            run.handle = Some(Arc::clone(handle));
            run.wanted
        })
    };
    if let Some(signal) = wanted {
        send(handle, execution, signal);
    }
    let following = limit.map(|limit| cost_limit::keep(shared, execution, handle, limit));
    let said = loop {
        match handle.news().await {
            Ok(Some(News::Signal(sent))) => note_signal(shared, execution, claim, sent).await,
            Ok(Some(News::Ending(status))) => break Some(*status),
            Ok(None) => break None,
            Err(error) => {
                tracing::error!(%execution, %error, "a supervisor can't be watched; its lock is asked instead");
                break None;
            }
        }
    };
    drop(following);
    if let Some(run) = shared.runs.lock().get_mut(&execution) {
        run.handle = None;
    }
    said
}

/// Records that an agent was sent a signal, as it happens. It is tried once: the ending names each
/// signal again and records those that are missing.
async fn note_signal(shared: &Shared, execution: ExecutionId, claim: ClaimId, sent: SignalSent) {
    let note = Command::NoteSignal { claim, sent };
    match effects::command_on(shared, execution, note, &[]).await {
        Ok(_) | Err(ExecuteError::Refused(_)) => {}
        Err(error) => {
            tracing::warn!(%execution, %error, "a signal is recorded only with the ending");
        }
    }
}

/// Waits for the exit of a supervisor that has said everything, so that it leaves the process table.
async fn let_go(execution: ExecutionId, handle: &Handle) {
    if let Err(error) = handle.exited().await {
        tracing::debug!(%execution, %error, "the exit of a supervisor was not seen");
    }
}

/// Finds out how a claim stands, and brings it to its recorded ending. `said` is what its supervisor
/// told this process, and of which program.
async fn conclude(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    claim: ClaimId,
    said: Option<(Status, StartedAs)>,
) {
    let files = RunFiles::new(&shared.options.runs, execution, claim);
    if let Some((status, program)) = said {
        return ending::finish(shared, execution, &files, status, Some(program)).await;
    }
    let mut launches = 0;
    loop {
        let asked = files.clone();
        let probe = tokio::task::spawn_blocking(move || supervisor::probe(&asked)).await;
        let (handle, limit) = match probe {
            Ok(Ok(Probe::Alive(handle))) => (handle, CostLimit::of_run(shared, execution).await),
            Ok(Ok(Probe::Finished(status))) => {
                return ending::finish(shared, execution, &files, *status, None).await;
            }
            Ok(Ok(Probe::Lost { other_boot })) => {
                return ending::lost(shared, execution, &files, other_boot).await;
            }
            Ok(Ok(Probe::NotStarted)) => {
                launches += 1;
                match launch_again(shared, execution, claim, launches).await {
                    Launched::Alive(begun) => (begun.handle, begun.limit),
                    Launched::Ended => return,
                    Launched::GivenUp(why) => {
                        if giving_up::seal_and_record(shared, execution, &files, why).await {
                            return;
                        }
                        // A supervisor that had its orders before was quicker.
                        continue;
                    }
                    // The next look at its files tells.
                    Launched::Uncertain => continue,
                }
            }
            Ok(Ok(Probe::Sealed)) => {
                return giving_up::record_sealed(shared, execution, claim).await;
            }
            Ok(Err(error)) => {
                tracing::error!(%execution, %error, "a run's directory can't be read");
                tokio::time::sleep(REST).await;
                continue;
            }
            Err(panic) => {
                tracing::error!(%execution, %panic, "probing a run panicked");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        // A supervisor that is found again says nothing to this process: its files do.
        let handle = Arc::new(handle);
        look_after(shared, execution, claim, &handle, limit).await;
        if handle.exited().await.is_err() {
            tokio::time::sleep(REST).await;
        }
    }
}
