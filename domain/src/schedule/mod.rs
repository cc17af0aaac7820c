//! A schedule: a task that comes by the clock.
//!
//! Its stream decides every tick once: as fired, with the execution that it leads to, or as skipped,
//! with the reason. What comes next follows from the last tick that was decided, so it makes no
//! difference to a schedule whether the ledger ran meanwhile, or which way the clock jumped.

mod cron;
mod decide;
mod due;
mod event;
mod settings;

pub use cron::{Cron, CronError, tidy};
pub use decide::{Active, Command, Rejection, Schedule};
pub use due::Due;
pub use event::{
    Cause, Changed, Created, Deleted, Disabled, Enabled, Fired, ScheduleEvent, Skip, Skipped,
};
pub use settings::{CatchUp, Overlap, Settings, SettingsError};

#[cfg(test)]
mod tests;
