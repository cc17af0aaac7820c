//! The tools that only look: lists, results, sums, events.

use std::time::Duration;

use execution_ledger_domain::execution::ExecutionEvent;
use execution_ledger_domain::{AgentName, Event, ExecutionId, NanoUsd, NodeId, Right, Timestamp};
use execution_ledger_projections::{
    At, Bucket, ExecutionFilters, ExecutionQuery, ExecutionRecord, Status as RecordStatus,
};
use execution_ledger_store::Recorded;
use rmcp::model::{CallToolResult, JsonObject};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answers::{
    ActivitySummary, EventAnswer, EventList, ExecutionList, ExecutionResult, Listed, OfTrigger,
    Status, Waiting,
};
use super::call::{Call, arguments};
use super::outcome::answered;
use super::{transcript, wait};
use crate::peers;
use crate::position::WAIT_FOR_MAX;
use crate::problem::Problem;
use crate::state::no_agent;

/// Executions of a list: most, and as many as nobody asks for.
const LIST_MAX: u32 = 100;
const LIST_DEFAULT: u32 = 20;
/// How far a summary looks back, in hours: a year at most.
const HOURS_MAX: u64 = 8_784;
const HOURS_DEFAULT: u64 = 24;
/// Failures that a summary names.
const FAILURES_SHOWN: u32 = 5;
/// Events of a page: most, and as many as nobody asks for.
const EVENTS_MAX: u32 = 200;
const EVENTS_DEFAULT: u32 = 100;
const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// What `list_recent_executions` is called with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListArguments {
    /// Executions of this agent only.
    #[serde(default)]
    #[schemars(with = "AgentName")]
    agent_name: Option<AgentName>,
    /// How many, 1 to 100. Default 20.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1, max = 100))]
    limit: Option<u32>,
    /// Executions in this status only.
    #[serde(default)]
    #[schemars(with = "Status")]
    status: Option<Status>,
}

/// Recent executions, the newest first.
pub(super) async fn list(
    call: &Call,
    given: Option<JsonObject>,
) -> Result<CallToolResult, Problem> {
    call.needs(Right::Read)?;
    let given: ListArguments = arguments(given)?;
    let filters = ExecutionFilters {
        agent: given.agent_name,
        status: given.status.map(Into::into),
        ..ExecutionFilters::default()
    };
    let limit = within("limit", given.limit, LIST_DEFAULT, LIST_MAX)?;
    let (records, more) = records(call, filters.clone(), limit).await?;
    if let (true, Some(agent)) = (records.is_empty(), &filters.agent) {
        known(call, agent).await?;
    }
    let executions = records.into_iter().map(Listed::from).collect();
    answered(&ExecutionList { executions, more })
}

async fn records(
    call: &Call,
    filters: ExecutionFilters,
    limit: u32,
) -> Result<(Vec<ExecutionRecord>, bool), Problem> {
    let query = ExecutionQuery { filters, limit, ..ExecutionQuery::default() };
    let page = call.app.views().executions(call.scope(), At::Now, &query).await?.value;
    Ok((page.items, page.next_cursor.is_some()))
}

/// Refuses an agent that the caller can't see. One whose runs the caller started is known to the
/// caller, even where its settings are not.
async fn known(call: &Call, agent: &AgentName) -> Result<(), Problem> {
    let seen = call.app.views().agent(call.scope(), At::Now, agent).await?;
    if seen.value.is_some() {
        return Ok(());
    }
    let filters = ExecutionFilters { agent: Some(agent.clone()), ..ExecutionFilters::default() };
    let (records, _) = records(call, filters, 1).await?;
    if records.is_empty() { Err(no_agent(agent)) } else { Ok(()) }
}

fn within(name: &'static str, given: Option<u32>, default: u32, most: u32) -> Result<u32, Problem> {
    match given {
        None => Ok(default),
        Some(given) if (1..=most).contains(&given) => Ok(given),
        Some(_) => {
            let detail = format!("it must be a whole number from 1 to {most}");
            Err(Problem::invalid_parameter(name, detail).limit(most.into()))
        }
    }
}

/// What `get_execution_result` is called with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultArguments {
    /// The execution, as chat_with_agent answered it.
    execution_id: ExecutionId,
    /// Also bring the last lines that the agent's program printed. Default false.
    #[serde(default)]
    #[schemars(with = "bool")]
    include_log: Option<bool>,
    /// Wait up to so many seconds for the end, 0 to 45. Default 0: say how it stands now.
    #[serde(default)]
    #[schemars(with = "u64", range(max = 45))]
    wait_s: Option<u64>,
}

/// One execution, with its result once it is there.
pub(super) async fn result(
    call: &Call,
    given: Option<JsonObject>,
) -> Result<CallToolResult, Problem> {
    call.needs(Right::Read)?;
    let given: ResultArguments = arguments(given)?;
    let id = given.execution_id;
    let (mut record, mut recorded) = call.execution(id).await?;
    let wait = Duration::from_secs(given.wait_s.unwrap_or(0));
    if wait > wait::WAIT_MAX {
        let most = wait::WAIT_MAX.as_secs();
        let detail = format!("it must be a whole number from 0 to {most}");
        return Err(Problem::invalid_parameter("wait_s", detail).limit(most));
    }
    if !record.status.is_terminal() && !wait.is_zero() {
        let _room = call.app.gate().stream()?;
        let what = format!("goes on, on {}", record.agent_name);
        let end = wait::for_end(call, &call.register(), id, &what, wait).await?;
        if let wait::End::Reached(ended) = end {
            call.app.wait_for(ended, WAIT_FOR_MAX).await?;
        }
        (record, recorded) = call.execution(id).await?;
    }
    let (status, kept) = (record.status, record.transcript);
    let mut answer = ExecutionResult::from(record);
    if status == RecordStatus::Pending {
        let why = call.app.tasks().why_waiting(id);
        answer.waiting =
            why.map(|why| Waiting { reason: why.blocker.as_str().to_owned(), place: why.place });
    }
    if !status.is_terminal() {
        let next = "it goes on: call again with wait_s, or do something else first";
        answer.next = Some(next.to_owned());
    }
    if given.include_log.unwrap_or(false) {
        call.app.access_log().transcript_read(&call.access, id).await?;
        let gone = match &kept {
            Some(kept) => call.app.eraser().is_transcript_erased(id, kept.sha256).await?,
            None => false,
        };
        if !gone {
            answer.log = match peers::other(&call.app, ran_on(&recorded)) {
                Some(node) => peers::end(&call.app, node, id).await?,
                None => transcript::tail(call.app.transcripts(), id).await?,
            };
        }
        if answer.log.is_none() && kept.is_some_and(|kept| kept.lines > 0) {
            let how = if gone { "erased" } else { "removed, as the settings say" };
            answer.next = Some(format!("its transcript was {how}"));
        }
    }
    answered(&answer)
}

/// On which of several nodes an execution runs or ran.
fn ran_on(recorded: &[Recorded]) -> Option<NodeId> {
    recorded.iter().find_map(|recorded| match recorded.event().ok()? {
        Event::Execution(ExecutionEvent::Running(running)) => running.node,
        _ => None,
    })
}

/// What `get_agent_activity_summary` is called with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SummaryArguments {
    /// The agent. Without it: all that you may see.
    #[serde(default)]
    #[schemars(with = "AgentName")]
    agent_name: Option<AgentName>,
    /// How far to look back, in hours, 1 to 8784. Default 24.
    #[serde(default)]
    #[schemars(with = "u64", range(min = 1, max = 8_784))]
    hours: Option<u64>,
}

/// Counts and sums of the last hours.
pub(super) async fn summary(
    call: &Call,
    given: Option<JsonObject>,
) -> Result<CallToolResult, Problem> {
    call.needs(Right::Read)?;
    let given: SummaryArguments = arguments(given)?;
    let hours = given.hours.unwrap_or(HOURS_DEFAULT);
    if !(1..=HOURS_MAX).contains(&hours) {
        let detail = format!("it must be a whole number from 1 to {HOURS_MAX}");
        return Err(Problem::invalid_parameter("hours", detail).limit(HOURS_MAX));
    }
    if let Some(agent) = &given.agent_name {
        known(call, agent).await?;
    }
    let back = i64::try_from(hours).unwrap_or(i64::MAX).saturating_mul(MICROS_PER_HOUR);
    let since = Timestamp::from_micros(call.app.now().micros().saturating_sub(back));
    let filters = ExecutionFilters {
        agent: given.agent_name,
        from: Some(since),
        ..ExecutionFilters::default()
    };
    let views = call.app.views();
    let stats = views.stats(call.scope(), At::Now, &filters).await?.value;
    let by_trigger = views.timeline(call.scope(), At::Now, &filters, Bucket::Trigger).await?.value;
    let failed = ExecutionFilters { status: Some(RecordStatus::Failed), ..filters.clone() };
    let (failures, _) = records(call, failed, FAILURES_SHOWN).await?;
    let of_trigger = |bucket: execution_ledger_projections::TimelineBucket| OfTrigger {
        trigger: bucket.bucket,
        total: bucket.total,
        completed: bucket.completed,
        failed: bucket.failed,
        cancelled: bucket.cancelled,
        cost_usd: bucket.cost.to_usd(),
    };
    let used = by_trigger.buckets.into_iter().filter(|bucket| bucket.total > 0);
    answered(&ActivitySummary {
        agent_name: filters.agent.map(String::from),
        since,
        total: stats.total,
        pending: stats.pending,
        running: stats.running,
        completed: stats.completed,
        failed: stats.failed,
        cancelled: stats.cancelled,
        success_rate: stats.success_rate,
        cost_usd: NanoUsd::to_usd(stats.cost),
        cost_unknown: stats.cost_unknown,
        duration_ms_p50: stats.duration_ms_p50,
        duration_ms_p95: stats.duration_ms_p95,
        by_trigger: used.map(of_trigger).collect(),
        recent_failures: failures.into_iter().map(Listed::from).collect(),
    })
}

/// What `get_execution_events` is called with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsArguments {
    /// The execution.
    execution_id: ExecutionId,
    /// Events after this revision only, as next_after_revision of the page before answered it.
    #[serde(default)]
    #[schemars(with = "u64")]
    after_revision: Option<u64>,
    /// How many, 1 to 200. Default 100.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1, max = 200))]
    limit: Option<u32>,
}

/// What happened to an execution.
pub(super) async fn events(
    call: &Call,
    given: Option<JsonObject>,
) -> Result<CallToolResult, Problem> {
    call.needs(Right::Read)?;
    let given: EventsArguments = arguments(given)?;
    let (_, recorded) = call.execution(given.execution_id).await?;
    let limit = within("limit", given.limit, EVENTS_DEFAULT, EVENTS_MAX)? as usize;
    let from = given.after_revision.map_or(0, |after| after.saturating_add(1));
    let mut after = recorded.iter().filter(|event| event.revision >= from);
    let page: Vec<&Recorded> = after.by_ref().take(limit).collect();
    let last = page.last().map(|event| event.revision);
    let next_after_revision = after.next().and(last);
    let events = page.into_iter().map(|event| answer(call, event)).collect::<Result<_, _>>()?;
    let execution_id = given.execution_id.to_string();
    answered(&EventList { execution_id, events, next_after_revision })
}

fn answer(call: &Call, recorded: &Recorded) -> Result<EventAnswer, Problem> {
    let unreadable = |error: serde_json::Error| Problem::internal(&error);
    let metadata = recorded.parsed_metadata().map_err(unreadable)?;
    Ok(EventAnswer {
        position: call.app.position_text(recorded.position),
        revision: recorded.revision,
        type_name: recorded.type_name.clone(),
        recorded_at: recorded.recorded_at,
        actor: object(&serde_json::to_string(&metadata.actor).map_err(unreadable)?)?,
        data: object(&recorded.data)?,
    })
}

fn object(json: &str) -> Result<Map<String, Value>, Problem> {
    serde_json::from_str(json).map_err(|error| Problem::internal(&error))
}
