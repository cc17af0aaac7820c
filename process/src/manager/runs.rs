//! The runs that hold a slot: from their claim to their ending.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use execution_ledger_domain::execution::{Command, Execution, FailureCode};
use execution_ledger_domain::{ClaimId, Content, ExecutionId, StreamName, limits};
use execution_ledger_store::ExecuteError;
use nix::sys::signal::Signal;

use super::launch::{self, LaunchError, command_on};
use super::{Shared, observe};
use crate::failpoint;
use crate::orders::{RunFiles, supervisor_signal};
use crate::salt;
use crate::supervisor::{self, Handle, Probe};

/// How often a claim whose supervisor never came to its lock is launched again.
const LAUNCHES_MAX: u32 = 3;
/// Rest between two attempts at something that failed for a reason that may pass.
const REST: Duration = Duration::from_secs(1);
/// How long a supervisor has to end a run whose slot has lapsed, before it is killed itself.
const LAPSE_GRACE: Duration = Duration::from_secs(10);

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
    if let Some(handle) = handle {
        send(&handle, execution, signal);
    }
    true
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

fn send(handle: &Handle, execution: ExecutionId, signal: Signal) {
    if let Err(error) = handle.signal(signal) {
        tracing::error!(%execution, %signal, %error, "a supervisor could not be signalled");
    }
}

/// A run that is looked after; dropped, it is not any more.
pub(super) struct Entered {
    shared: Arc<Shared>,
    execution: ExecutionId,
    claim: ClaimId,
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
    Entered { shared: Arc::clone(shared), execution, claim }
}

/// A claim was won just now: start its supervisor and look after it until the ending is recorded.
pub(super) async fn begin(entered: Entered) {
    let (shared, execution, claim) = (&entered.shared, entered.execution, entered.claim);
    match launch_claim(shared, execution, claim).await {
        Launched::Alive(handle) => {
            failpoint::reach("manager.started");
            look_after(shared, execution, claim, handle).await;
            conclude(shared, execution, claim).await;
        }
        Launched::Uncertain => conclude(shared, execution, claim).await,
        Launched::Ended => {}
    }
}

/// A claim that nobody looks after, from before a restart or after a fault: find out what has become
/// of it, and go on from there.
pub(super) async fn take_up(entered: Entered) {
    conclude(&entered.shared, entered.execution, entered.claim).await;
}

/// What came of starting a supervisor.
enum Launched {
    /// It lives, as far as is known.
    Alive(Handle),
    /// It is gone, and its files say whether it had begun.
    Uncertain,
    /// The run was ended instead, or nothing of it is left to do.
    Ended,
}

/// Starts the supervisor, unless the run is to stop already.
async fn launch_claim(shared: &Arc<Shared>, execution: ExecutionId, claim: ClaimId) -> Launched {
    loop {
        // Cancelled before it was started: then it never is.
        let state = shared.ledger.load::<Execution>(&StreamName::execution(execution)).await;
        let running = match state {
            Ok(Execution::Running { cancellation: Some(_), .. }) => {
                end(shared, execution, Command::Abandon { claim }, &[]).await;
                return Launched::Ended;
            }
            Ok(Execution::Running { running, cancellation: None, .. })
                if running.claim == claim =>
            {
                running
            }
            Ok(_) => return Launched::Ended,
            Err(error) => {
                tracing::error!(%execution, %error, "a run waits for the log before it can start");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        match launch::launch(shared, execution, &running).await {
            Ok(handle) => return Launched::Alive(handle),
            Err(LaunchError::Store(error)) => {
                tracing::error!(%execution, %error, "a run waits for the log before it can start");
                tokio::time::sleep(REST).await;
            }
            Err(LaunchError::Impossible(reason)) => {
                lose(shared, execution, claim, FailureCode::SpawnFailed, &reason).await;
                return Launched::Ended;
            }
            Err(LaunchError::Uncertain(error)) => {
                tracing::error!(%execution, %error, "a supervisor could not be watched and was ended");
                return Launched::Uncertain;
            }
        }
    }
}

/// Waits until the supervisor has exited; passes on what it is to be told.
async fn look_after(shared: &Arc<Shared>, execution: ExecutionId, claim: ClaimId, handle: Handle) {
    let handle = Arc::new(handle);
    let wanted = {
        let mut runs = shared.runs.lock();
        runs.get_mut(&execution).filter(|run| run.claim == claim).and_then(|run| {
            run.handle = Some(Arc::clone(&handle));
            run.wanted
        })
    };
    if let Some(signal) = wanted {
        send(&handle, execution, signal);
    }
    if let Err(error) = handle.exited().await {
        tracing::error!(%execution, %error, "a supervisor can't be watched; its lock is asked instead");
        tokio::time::sleep(REST).await;
    }
    if let Some(run) = shared.runs.lock().get_mut(&execution) {
        run.handle = None;
    }
}

/// Finds out how a claim stands, and brings it to its recorded ending.
async fn conclude(shared: &Arc<Shared>, execution: ExecutionId, claim: ClaimId) {
    let files = RunFiles::new(&shared.options.runs, execution, claim);
    let mut launches = 0;
    loop {
        let asked = files.clone();
        let probe = tokio::task::spawn_blocking(move || supervisor::probe(&asked)).await;
        match probe {
            Ok(Ok(Probe::Alive(handle))) => look_after(shared, execution, claim, handle).await,
            Ok(Ok(Probe::Finished(status))) => {
                failpoint::reach("manager.before_ending");
                let finished = observe::finished(shared, execution, &files, *status).await;
                record(shared, execution, finished).await;
                return;
            }
            Ok(Ok(Probe::Lost { other_boot })) => {
                let code = lost_because(shared, execution, other_boot);
                let lost = observe::lost(shared, execution, &files, code).await;
                record(shared, execution, lost).await;
                return;
            }
            Ok(Ok(Probe::NotStarted)) if launches < LAUNCHES_MAX => {
                launches += 1;
                match launch_claim(shared, execution, claim).await {
                    Launched::Alive(handle) => look_after(shared, execution, claim, handle).await,
                    // The next look at its files tells.
                    Launched::Uncertain => {}
                    Launched::Ended => return,
                }
            }
            Ok(Ok(Probe::NotStarted)) => {
                let reason = format!("its supervisor died {LAUNCHES_MAX} times before it began");
                lose(shared, execution, claim, FailureCode::SpawnFailed, &reason).await;
                return;
            }
            Ok(Err(error)) => {
                tracing::error!(%execution, %error, "a run's directory can't be read");
                tokio::time::sleep(REST).await;
            }
            Err(panic) => {
                tracing::error!(%execution, %panic, "probing a run panicked");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

fn lost_because(shared: &Shared, execution: ExecutionId, other_boot: bool) -> FailureCode {
    let lapsed = shared.runs.lock().get(&execution).is_some_and(|run| run.lapsed);
    match (lapsed, other_boot) {
        (true, _) => FailureCode::LeaseExpired,
        (false, true) => FailureCode::Interrupted,
        (false, false) => FailureCode::SupervisorLost,
    }
}

async fn lose(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    claim: ClaimId,
    code: FailureCode,
    reason: &str,
) {
    let (reason, _) = crate::redact::Redactor::global().redact(reason);
    let message = loop {
        match salt() {
            Ok(salt) => break Content::new(salt, reason.as_ref()),
            Err(error) => {
                tracing::error!(%execution, %error, "an ending waits for random bytes");
                tokio::time::sleep(REST).await;
            }
        }
    };
    let command = Command::Lose { claim, code, message: message.reference(), observed: None };
    end(shared, execution, command, &[message]).await;
}

async fn record(shared: &Arc<Shared>, execution: ExecutionId, seen: observe::Seen) {
    end(shared, execution, seen.command, &seen.contents).await;
    failpoint::reach("manager.ended");
    if shared.archive.try_send(execution).is_err() {
        tracing::debug!(%execution, "the archive is behind; its next round takes this transcript up");
    }
}

/// Records an ending. What was observed must not be lost, so a failing log is tried again until it
/// takes it or the process ends; then the run's own files still say how it ended.
async fn end(shared: &Shared, execution: ExecutionId, command: Command, contents: &[Content]) {
    loop {
        match command_on(shared, execution, command.clone(), contents).await {
            Ok(_) => return,
            Err(ExecuteError::Refused(refused)) => {
                tracing::debug!(%execution, %refused, "this ending was recorded before");
                return;
            }
            Err(error) => {
                tracing::error!(%execution, %error, "an ending waits for the log");
                tokio::time::sleep(REST).await;
            }
        }
    }
}
