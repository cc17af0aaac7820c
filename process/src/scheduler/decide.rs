//! Deciding the ticks of one schedule that are due, and submitting what they fire.

use std::time::Duration;

use execution_ledger_domain::policy::NotAdmitted;
use execution_ledger_domain::schedule::{
    Active, CatchUp, Cause, Command, Due, Fired, Overlap, Rejection, Settings, Skip, Skipped,
};
use execution_ledger_domain::{Actor, ExecutionId, ScheduleId, Timestamp};
use execution_ledger_store::{Context, ExecuteError, Position, StoreError};

use super::entry::{Entry, Run};
use super::words::Words;
use super::{Schedules, story};
use crate::desk::Reservation;
use crate::failpoint;
use crate::tasks::{FiredTask, Prepared, Request, SubmitError, ToReserve, scheduler};

/// Decisions of one schedule before others get their turn.
const DECISIONS_IN_A_ROW: usize = 200;
/// How long a schedule rests after the store failed a decision.
const REST_AFTER_FAULT: Duration = Duration::from_secs(1);
/// How long a schedule rests after it turned out to be another than was known.
const REST_AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// An execution that is being fired and submitted: nobody else submits it meanwhile, and somebody else
/// does if that fails.
struct Flight<'a> {
    schedules: &'a Schedules,
    id: ScheduleId,
    execution: ExecutionId,
}

impl<'a> Flight<'a> {
    fn begin(schedules: &'a Schedules, id: ScheduleId, execution: ExecutionId) -> Self {
        schedules.book().take_off(execution);
        Self { schedules, id, execution }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.schedules.book().land(self.id, self.execution);
        self.schedules.wake();
    }
}

/// Why the next tick was not decided.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undecided {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] ExecuteError<Rejection>),
    #[error("{0}")]
    Task(SubmitError),
    #[error("the tick is decided already")]
    TooLate,
}

/// That a schedule is to fire.
pub(super) struct Order<'a> {
    pub id: ScheduleId,
    pub entry: &'a Entry,
    pub active: &'a Active,
    pub fired: Fired,
    /// The executions whose place it takes.
    pub replaced: Vec<ExecutionId>,
    /// Who fires it.
    pub actor: Actor,
    /// The request that asked for it, where one did.
    pub request: Option<Request>,
}

impl Schedules {
    /// Submits what the schedule has fired and decides what is due of it, until nothing is or others
    /// are to get their turn. What fails is tried again in a later round.
    pub(super) async fn work_on(&self, id: ScheduleId) {
        if let Err(error) = self.try_work_on(id).await {
            tracing::error!(schedule = %id, %error, "a tick could not be decided and will be");
            tokio::time::sleep(REST_AFTER_FAULT).await;
        }
    }

    async fn try_work_on(&self, id: ScheduleId) -> Result<(), Undecided> {
        self.submit_owed(id).await?;
        for _ in 0..DECISIONS_IN_A_ROW {
            let Some(entry) = self.book().entry(id).cloned() else { return Ok(()) };
            let (Some(active), Some(cron), None) =
                (entry.state.active(), &entry.cron, entry.awaited)
            else {
                return Ok(());
            };
            let (now, watched_since) = self.look();
            let decided = match active.due(cron, now, watched_since) {
                None => return Ok(()),
                Some(Due::Skip(skipped)) => self.skip(id, &entry, active, skipped).await,
                Some(Due::Fire { tick, cause }) => self.fire(id, &entry, active, tick, cause).await,
            };
            match decided {
                Ok(()) => {}
                // Somebody changed it meanwhile: the log tells in a moment what it is like now.
                Err(Undecided::TooLate | Undecided::Write(ExecuteError::Refused(_))) => {
                    tracing::debug!(schedule = %id, "a decision came too late");
                    tokio::time::sleep(REST_AFTER_REFUSAL).await;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn skip(
        &self,
        id: ScheduleId,
        entry: &Entry,
        active: &Active,
        skipped: Skipped,
    ) -> Result<(), Undecided> {
        let (reason, count) = (skipped.reason, skipped.count);
        let context = Context {
            actor: scheduler(&active.user),
            correlation_id: Some(story(id)),
            causation_id: None,
            traceparent: None,
        };
        let done = self.command(id, entry, Command::Skip(skipped), &[], &context).await?;
        if done.events.is_empty() {
            return Err(Undecided::TooLate);
        }
        metrics::counter!("ledger_schedule_ticks_total", "decision" => reason.as_str())
            .increment(count);
        Ok(())
    }

    async fn fire(
        &self,
        id: ScheduleId,
        entry: &Entry,
        active: &Active,
        tick: Timestamp,
        cause: Cause,
    ) -> Result<(), Undecided> {
        let skip = |reason| self.skip(id, entry, active, Skipped::one(tick, reason));
        let settings = &active.settings;
        let overlap = overlap_of(settings, cause);
        let execution = ExecutionId::of_tick(id, tick);
        if overlap == Overlap::Skip && self.has_open(id, execution).await? {
            return skip(Skip::Overlap).await;
        }
        let Some(words) = self.words(id, entry, active).await? else {
            return skip(Skip::MessageErased).await;
        };
        let tasks = &self.0.tasks;
        let prompt = words.system_prompt.as_deref();
        let mut prepared = match tasks.prepare_scheduled(settings, &words.message, prompt) {
            Ok(prepared) => prepared,
            Err(SubmitError::NotAdmitted(reason)) => return skip(reason_of(&reason)).await,
            Err(SubmitError::Invalid { code, .. }) => {
                let code = Some(code.to_owned());
                let skipped = Skipped { code, ..Skipped::one(tick, Skip::Refused) };
                return self.skip(id, entry, active, skipped).await;
            }
            Err(other) => return Err(Undecided::Task(other)),
        };
        let replaced = self.replaced(id, execution, overlap);
        let actor = scheduler(&active.user);
        let to_reserve = ToReserve { id: execution, settings, actor: &actor, user: &active.user };
        let reservation = match tasks.reserve_scheduled(&replaced, &to_reserve, &mut prepared).await
        {
            Ok(reservation) => reservation,
            Err(reason) => {
                let code = code_of(&reason).map(str::to_owned);
                let skipped = Skipped { code, ..Skipped::one(tick, reason_of(&reason)) };
                return self.skip(id, entry, active, skipped).await;
            }
        };
        let fired = Fired { tick, execution_id: execution, cause };
        let order = Order { id, entry, active, fired, replaced, actor, request: None };
        let fired = self.carry_out(order, prepared, words, reservation).await?;
        fired.map(|_| ()).ok_or(Undecided::TooLate)
    }

    /// Records that a schedule fires, cancels what it replaces, and submits the execution. Answers the
    /// position of its event, or nothing where it was so already.
    ///
    /// In this order: nothing is cancelled for a tick that does not fire, and whoever finds a fired
    /// execution that is not there knows that what it replaces may be open still.
    pub(super) async fn carry_out(
        &self,
        order: Order<'_>,
        prepared: Prepared,
        words: Words,
        reservation: Reservation<'_>,
    ) -> Result<Option<Position>, Undecided> {
        let Order { id, entry, active, fired, replaced, actor, request } = order;
        let execution = fired.execution_id;
        let _flight = Flight::begin(self, id, execution);
        let (causation_id, traceparent) =
            request.map_or((None, None), |request| (Some(request.id), request.traceparent));
        let context = Context {
            actor: actor.clone(),
            correlation_id: Some(execution.to_string()),
            causation_id,
            traceparent: traceparent.clone(),
        };
        let done = self.command(id, entry, Command::Fire(fired), &[], &context).await?;
        let Some(head) = done.head.filter(|_| !done.events.is_empty()) else { return Ok(None) };
        metrics::counter!("ledger_schedule_ticks_total", "decision" => "fired").increment(1);
        failpoint::reach("scheduler.fired");
        self.supersede(&replaced, &actor).await?;
        let task = FiredTask {
            id: execution,
            schedule: id,
            settings: &active.settings,
            actor: &actor,
            user: &active.user,
            cause: head.id.to_string(),
            traceparent,
        };
        let position = self.0.tasks.submit_fired(task, prepared, words.texts()?).await?;
        reservation.keep();
        self.book().submitted(execution);
        Ok(Some(position.unwrap_or(done.position)))
    }

    /// The executions that are to be cancelled as `execution` takes their place.
    pub(super) fn replaced(
        &self,
        id: ScheduleId,
        execution: ExecutionId,
        overlap: Overlap,
    ) -> Vec<ExecutionId> {
        if overlap != Overlap::CancelPrevious {
            return Vec::new();
        }
        self.book().others(id, execution).into_iter().map(|(other, _)| other).collect()
    }

    pub(super) async fn supersede(
        &self,
        replaced: &[ExecutionId],
        actor: &Actor,
    ) -> Result<(), StoreError> {
        for other in replaced {
            self.0.tasks.supersede(*other, actor).await?;
        }
        Ok(())
    }

    /// Whether an execution of the schedule other than `execution` is open, as the log has it now.
    async fn has_open(&self, id: ScheduleId, execution: ExecutionId) -> Result<bool, Undecided> {
        let others = self.book().others(id, execution);
        for (other, run) in others {
            if run != Run::Submitted || self.0.tasks.is_open(other).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What becomes of an execution that fires while earlier ones are open.
pub(super) fn overlap_of(settings: &Settings, cause: Cause) -> Overlap {
    match (cause, settings.catch_up) {
        // Ticks that are all caught up with run one after the other: that is what `all` asks for.
        (Cause::CatchUp, CatchUp::All) | (Cause::Triggered, _) => Overlap::Queue,
        (Cause::CatchUp | Cause::OnTime, _) => settings.overlap,
    }
}

fn reason_of(refusal: &NotAdmitted) -> Skip {
    match refusal {
        NotAdmitted::UnknownAgent(_) => Skip::AgentUnknown,
        NotAdmitted::Retired(_) => Skip::AgentRetired,
        NotAdmitted::QueueFull { .. } => Skip::QueueFull,
        NotAdmitted::OverBudget(_) => Skip::Refused,
    }
}

/// What says more of why a task is refused, where its reason does not say it.
fn code_of(refusal: &NotAdmitted) -> Option<&'static str> {
    matches!(refusal, NotAdmitted::OverBudget(_)).then_some("budget_exceeded")
}
