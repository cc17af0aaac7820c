//! A schedule as callers write and read it.

use std::collections::BTreeSet;

use execution_ledger_domain::schedule::{CatchUp, Cron, Overlap};
use execution_ledger_domain::{AgentName, ExecutionId, NanoUsd, ScheduleId, Timestamp, UserName};
use execution_ledger_process::scheduler::Draft;
use execution_ledger_projections::{ScheduleRow, TickRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tasks::dollars;
use crate::problem::{Code, Problem};
use crate::state::App;

/// What a schedule is to do, and when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleBody {
    /// An execution that has ended, to be repeated: all that is not given here is as it had it. Only
    /// where a schedule is made.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub(super) execution_id: Option<ExecutionId>,
    /// What people call it: 1 to 100 characters. The beginning of the message by default.
    #[serde(default)]
    #[schema(example = "Nightly clean-up")]
    name: Option<String>,
    /// The agent that runs its tasks.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "demo")]
    pub(super) agent_name: Option<AgentName>,
    /// What the agent is to do: 1 byte to 256 KiB of UTF-8.
    #[serde(default)]
    #[schema(example = "Summarise what happened today")]
    pub(super) message: Option<String>,
    /// Five fields: minute, hour, day of the month, month, day of the week.
    #[serde(default)]
    #[schema(example = "30 2 * * MON-FRI")]
    cron: Option<String>,
    /// The IANA name of the time zone in which they are meant; UTC by default.
    #[serde(default)]
    #[schema(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// What becomes of a tick while an earlier execution of the schedule is open: skip (default),
    /// queue or cancel_previous.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    overlap: Option<Overlap>,
    /// What becomes of ticks that were missed: one (default; the latest fires), all (each fires, up to
    /// 100) or none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    catch_up: Option<CatchUp>,
    /// Whether its ticks fire; true by default.
    #[serde(default)]
    enabled: Option<bool>,
    /// The model, from the agent's list.
    #[serde(default)]
    model: Option<String>,
    /// How long a run may take, in seconds; at most the agent's own limit.
    #[serde(default)]
    timeout_s: Option<u64>,
    /// What a run may cost, in dollars with at most nine decimal places; at most the agent's own limit.
    #[serde(default)]
    max_cost_usd: Option<f64>,
    /// The tools that a run may use, of the agent's.
    #[serde(default)]
    allowed_tools: Option<Vec<String>>,
    /// A system prompt, where the agent permits it.
    #[serde(default)]
    system_prompt: Option<String>,
    /// How many turns a run may take; at most the agent's own limit.
    #[serde(default)]
    max_turns: Option<u32>,
}

impl ScheduleBody {
    /// The draft with what is given here in its place; null puts a setting back to its default.
    pub(super) fn over(self, given: &BTreeSet<String>, mut draft: Draft) -> Result<Draft, Problem> {
        macro_rules! take {
            ($($field:ident = $value:expr;)*) => {
                $( if given.contains(stringify!($field)) { draft.$field = $value; } )*
            };
        }
        take! {
            name = self.name;
            timezone = self.timezone.unwrap_or_else(|| "UTC".to_owned());
            overlap = self.overlap.unwrap_or_default();
            catch_up = self.catch_up.unwrap_or_default();
            enabled = self.enabled.unwrap_or(true);
            model = self.model;
            timeout_s = self.timeout_s;
            allowed_tools = self.allowed_tools;
            system_prompt = self.system_prompt;
            max_turns = self.max_turns;
        }
        if given.contains("max_cost_usd") {
            draft.max_cost = dollars("max_cost_usd", self.max_cost_usd)?;
        }
        if given.contains("agent_name") {
            draft.agent = needed("agent_name", self.agent_name)?;
        }
        if given.contains("message") {
            draft.message = needed("message", self.message)?;
        }
        if given.contains("cron") || draft.cron.is_empty() {
            draft.cron = needed("cron", self.cron)?;
        }
        Ok(draft)
    }
}

/// A field without which there is no schedule.
pub(super) fn needed<T>(field: &'static str, value: Option<T>) -> Result<T, Problem> {
    let detail = "it must be given and can't be null";
    value.ok_or_else(|| Problem::new(Code::MissingField, detail).field(field))
}

/// A time at which a schedule comes.
#[derive(Serialize, ToSchema)]
pub(super) struct Moment {
    /// In UTC.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// In the schedule's time zone, with its offset then.
    #[schema(format = DateTime)]
    local: String,
}

impl Moment {
    pub(super) fn of(cron: &Cron, at: Timestamp) -> Self {
        Self { at, local: cron.local(at).to_rfc3339() }
    }
}

/// What a schedule decided.
#[derive(Serialize, ToSchema)]
pub(super) struct TickAnswer {
    /// The time that was scheduled; the first, where several were skipped together.
    #[schema(value_type = String, format = DateTime)]
    tick: Timestamp,
    /// The last of them, where several were skipped together.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// How many ticks this is about.
    count: u64,
    /// fired or skipped.
    decision: &'static str,
    /// Of a fired one: on_time, catch_up or triggered. Of a skipped one: overlap, missed, queue_full,
    /// agent_unknown, agent_retired, refused, message_erased, changed, disabled or deleted.
    reason: String,
    /// Which rule of the agent's refused the task, where one did.
    code: Option<String>,
    /// The execution that it led to.
    #[schema(value_type = Option<String>, format = Uuid)]
    execution_id: Option<ExecutionId>,
    /// When that was decided.
    #[schema(value_type = String, format = DateTime)]
    decided_at: Timestamp,
    /// Position of the decision.
    position: String,
}

impl TickAnswer {
    pub(super) fn of(app: &App, row: TickRow) -> Self {
        Self {
            tick: row.tick,
            until: row.until,
            count: row.count,
            decision: if row.fired { "fired" } else { "skipped" },
            reason: row.reason,
            code: row.code,
            execution_id: row.execution_id,
            decided_at: row.decided_at,
            position: app.position_text(row.position),
        }
    }
}

/// A schedule.
#[derive(Serialize, ToSchema)]
pub(super) struct ScheduleAnswer {
    #[schema(value_type = String, format = Uuid)]
    schedule_id: ScheduleId,
    name: String,
    #[schema(value_type = String)]
    agent_name: AgentName,
    /// Whether its ticks fire.
    enabled: bool,
    cron: String,
    /// The IANA name of its time zone.
    timezone: String,
    /// What the expression says, in words.
    description: String,
    /// When it comes next; null while it is disabled, and in answers as of another moment.
    next: Option<Moment>,
    /// What it decided last.
    last: Option<TickAnswer>,
    /// What the agent is to do; null once it was erased. Cut in lists.
    message: Option<String>,
    /// How many secrets were redacted in the message.
    redactions: u32,
    /// skip, queue or cancel_previous.
    overlap: &'static str,
    /// one, all or none.
    catch_up: &'static str,
    model: Option<String>,
    timeout_s: Option<u64>,
    max_cost_usd: Option<f64>,
    allowed_tools: Option<Vec<String>>,
    system_prompt: Option<String>,
    max_turns: Option<u32>,
    /// The user that it and its executions belong to.
    #[schema(value_type = String)]
    user: UserName,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// Position of its last change.
    position: String,
}

impl ScheduleAnswer {
    /// The schedule, and when it comes next where that is known.
    pub(super) fn of(app: &App, row: ScheduleRow, next: Option<Timestamp>) -> Self {
        let settings = row.settings;
        let cron = settings.cron();
        let next = cron.as_ref().zip(next).map(|(cron, next)| Moment::of(cron, next));
        Self {
            schedule_id: row.id,
            name: row.name,
            agent_name: settings.agent,
            enabled: row.enabled,
            description: cron.map(|cron| cron.describe()).unwrap_or_default(),
            cron: settings.cron,
            timezone: settings.timezone,
            next,
            last: row.last.map(|last| TickAnswer::of(app, last)),
            message: row.message,
            redactions: settings.redactions,
            overlap: settings.overlap.as_str(),
            catch_up: settings.catch_up.as_str(),
            model: settings.model,
            timeout_s: settings.timeout_s,
            max_cost_usd: settings.max_cost_nano_usd.map(NanoUsd::to_usd),
            allowed_tools: settings.allowed_tools,
            system_prompt: row.system_prompt,
            max_turns: settings.max_turns,
            user: row.user,
            created_at: row.created_at,
            changed_at: row.changed_at,
            position: app.position_text(row.position),
        }
    }
}
