//! Schedules: what callers do with them, and the part that decides their ticks.
//!
//! A tick is decided by an event in its schedule's stream: `fired`, with an execution whose id is
//! derived from the schedule and the tick, or `skipped`. The event is appended first and the execution
//! is submitted after it, so dying between the two leaves an execution that is known and missing: it is
//! submitted at the next start. The clock is only asked what is due by now; which ticks are decided is
//! in the log, so a clock that jumps back decides nothing twice.

mod book;
mod change;
mod decide;
mod draft;
mod entry;
mod owed;
mod run;
mod trigger;
mod watch;
mod words;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use execution_ledger_domain::schedule::{Command, Rejection, Schedule, SettingsError};
use execution_ledger_domain::{Caller, Content, ScheduleId, Scope, StreamName, Timestamp};
use execution_ledger_store::{Context, ExecuteError, Executed, Ledger, StoreError};
use tokio::sync::Notify;

use crate::tasks::{SubmitError, Tasks};
use book::Book;
use entry::Entry;

pub use draft::Draft;
pub use entry::{LoadedRun, LoadedSchedule};
pub use run::SchedulerError;
pub use trigger::Triggered;
use watch::Watch;

#[cfg(test)]
mod tests;

/// Why a schedule was not made, changed or triggered.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There is none of that id that the caller may see.
    #[error("there is no such schedule")]
    NotFound,
    /// There is no execution of that id that the caller may see.
    #[error("there is no such execution")]
    ExecutionNotFound,
    /// Only what has ended is repeated.
    #[error("the execution has not ended yet")]
    ExecutionOpen,
    /// A text that is needed was erased.
    #[error("the text was erased; give another one")]
    Erased,
    /// There are as many as may be.
    #[error("there are {0} schedules already, which is the most")]
    TooMany(usize),
    /// A setting breaks a rule.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The agent would not take the task.
    #[error(transparent)]
    Task(#[from] SubmitError),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<Rejection>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What callers can do with schedules, and what the scheduler knows. Cheap to clone.
#[derive(Clone)]
pub struct Schedules(Arc<Shared>);

struct Shared {
    ledger: Ledger,
    tasks: Tasks,
    book: Mutex<Book>,
    watch: Mutex<Watch>,
    wake: Notify,
}

impl Schedules {
    /// Over what the read models know as of the position from which [`Schedules::run`] follows the log.
    pub fn new(
        ledger: Ledger,
        tasks: Tasks,
        schedules: Vec<LoadedSchedule>,
        runs: Vec<LoadedRun>,
    ) -> Self {
        let book = Mutex::new(Book::load(schedules, runs));
        let watch = Mutex::new(Watch::begin(ledger.now()));
        Self(Arc::new(Shared { ledger, tasks, book, watch, wake: Notify::new() }))
    }

    /// The next tick of any schedule that is to be decided.
    pub fn next_tick(&self) -> Option<Timestamp> {
        self.book().next_tick()
    }

    /// Now, by the clock that decides.
    pub fn now(&self) -> Timestamp {
        self.0.ledger.now()
    }

    /// Lets the scheduler look at the clock again.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// What is known. Held for a moment only, never across an await.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the clock: what it says, and since when it has been watched without a break.
    fn look(&self) -> (Timestamp, Timestamp) {
        let mut watch = self.0.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.0.ledger.now();
        (now, watch.look(now))
    }

    /// A schedule that the caller may see.
    fn entry_for(&self, caller: &Caller, id: ScheduleId) -> Result<Entry, ScheduleError> {
        let entry = self.book().entry(id).cloned().ok_or(ScheduleError::NotFound)?;
        let active = entry.state.active().ok_or(ScheduleError::NotFound)?;
        let covered = match &caller.scope {
            Scope::All => true,
            Scope::User(user) => *user == active.user,
            Scope::Agent(_) | Scope::AgentFor { .. } => false,
        };
        if covered { Ok(entry) } else { Err(ScheduleError::NotFound) }
    }

    /// Gives a command on what is known of a schedule, and learns what it led to.
    async fn command(
        &self,
        id: ScheduleId,
        entry: &Entry,
        command: Command,
        contents: &[Content],
        context: &Context,
    ) -> Result<Executed<Schedule>, ExecuteError<Rejection>> {
        let known = (entry.state.clone(), entry.head);
        let stream = StreamName::schedule(id);
        let done = self.0.ledger.execute_from(&stream, known, command, contents, context).await?;
        self.learn(id, &done);
        Ok(done)
    }

    fn learn(&self, id: ScheduleId, done: &Executed<Schedule>) {
        if let Some(head) = done.head {
            self.book().learn(id, &done.state, head, &done.events);
        }
        self.wake();
    }
}

/// Where the story of a schedule's own events is found.
fn story(id: ScheduleId) -> String {
    format!("schedule-{id}")
}
