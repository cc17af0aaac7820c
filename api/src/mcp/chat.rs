//! `chat_with_agent`: giving an agent a task.

use std::time::Duration;

use execution_ledger_domain::execution::{Execution, Outcome};
use execution_ledger_domain::{AgentName, ExecutionId, NanoUsd, Right, SessionId};
use execution_ledger_process::tasks::{ANSWERS_AFTER_END_S, NewTask, Submitted, Via, Waited};
use execution_ledger_projections::{At, Status as RecordStatus};
use rmcp::model::{CallToolResponse, JsonObject};
use schemars::JsonSchema;
use serde::Deserialize;

use super::answers::{ChatAnswer, Failure, Status};
use super::call::{Call, arguments};
use super::outcome::{answered, answered_failure};
use super::wait::{self, End, WAIT_MAX};
use super::{stop, tasks};
use crate::position::WAIT_FOR_MAX;
use crate::problem::Problem;

/// What `chat_with_agent` is called with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The agent to call. Your own name (EXECUTION_LEDGER_AGENT) starts a background task of yourself.
    agent_name: AgentName,
    /// What the agent is to do: all that it needs to know, because it does not see your conversation.
    #[schemars(length(min = 1, max = 262_144))]
    message: String,
    /// The task is to run beside your own turn: without async said otherwise, the answer comes at
    /// once. Default false.
    #[serde(default)]
    #[schemars(with = "bool")]
    parallel: Option<bool>,
    /// true: answer at once with the execution_id, and look the result up later. false: wait for the
    /// result, up to 45 s. Default: the value of parallel.
    #[serde(default, rename = "async")]
    #[schemars(with = "bool")]
    is_async: Option<bool>,
    /// Put the result into the chat session once it is there. Needs chat_session_id. Default false.
    #[serde(default)]
    #[schemars(with = "bool")]
    inject_result: Option<bool>,
    /// The chat session that the task belongs to (EXECUTION_LEDGER_SESSION_ID in a chat turn).
    #[serde(default)]
    #[schemars(with = "SessionId")]
    chat_session_id: Option<SessionId>,
    /// A model of the agent's list, instead of its default.
    #[serde(default)]
    #[schemars(with = "String")]
    model: Option<String>,
    /// How long the run may take, in seconds; at most the agent's own limit, which is the default.
    #[serde(default)]
    #[schemars(with = "u64", range(min = 1))]
    timeout_s: Option<u64>,
    /// Start another run although an equal call goes on or ended within the last minute. Default
    /// false: such a call is taken for a retry and answered with the first run.
    #[serde(default)]
    #[schemars(with = "bool")]
    repeat: Option<bool>,
}

impl Arguments {
    fn waits(&self) -> bool {
        !self.is_async.or(self.parallel).unwrap_or(false)
    }

    fn into_task(self) -> NewTask {
        NewTask {
            via: Via::Mcp,
            waits: self.waits(),
            message: self.message,
            inject_result: self.inject_result.unwrap_or(false),
            chat_session_id: self.chat_session_id,
            model: self.model,
            timeout_s: self.timeout_s,
            max_cost: None,
            allowed_tools: None,
            system_prompt: None,
            max_turns: None,
            resume_session_id: None,
            parent_execution_id: None,
            idempotency_key: None,
        }
    }
}

/// Gives an agent a task; waits for its end where the caller wants that.
pub(super) async fn call(
    call: &Call,
    given: Option<JsonObject>,
) -> Result<CallToolResponse, Problem> {
    call.needs(Right::Operate)?;
    let given: Arguments = arguments(given)?;
    let (agent, waits) = (given.agent_name.clone(), given.waits());
    let by_task = waits && call.takes_tasks();
    // Before anything is stored: whoever can't wait here is told so first.
    let room =
        if waits && !by_task { Some((call.app.gate().stream()?, call.register())) } else { None };
    let repeat = given.repeat.unwrap_or(false);
    let submitted = call
        .app
        .tasks()
        .submit_unless_retried(call.caller(), &agent, given.into_task(), repeat, &call.cause())
        .await?;
    if by_task {
        return tasks::created(call, &submitted).await.map(CallToolResponse::Task);
    }
    let Some((_room, registered)) = room else {
        if submitted.replayed && has_ended(call, submitted.execution_id).await? {
            return finished(call, &submitted).await;
        }
        call.settle(submitted.position).await;
        let answer = open(call, &agent, &submitted, background(&submitted)).await?;
        return answered(&answer).map(Into::into);
    };
    let id = submitted.execution_id;
    let what = format!("goes on, on {agent}");
    match wait::for_end(call, &registered, id, &what, WAIT_MAX).await? {
        End::Reached(ended) => {
            call.app.wait_for(ended, WAIT_FOR_MAX).await?;
            finished(call, &submitted).await
        }
        End::NotYet => {
            let next =
                "it goes on, and waiting for it is over: call get_execution_result with this \
                        execution_id and wait_s, not this tool again"
                    .to_owned();
            answered(&open(call, &agent, &submitted, next).await?).map(Into::into)
        }
        End::Stopping => {
            let next = "the ledger is being restarted and the execution goes on: call \
                        get_execution_result with this execution_id in half a minute";
            answered(&open(call, &agent, &submitted, next.to_owned()).await?).map(Into::into)
        }
        End::Cancelled => {
            // What an earlier call started is not this call's to stop.
            if !submitted.replayed {
                stop::stop(call, id).await?;
            }
            let next = "the call was cancelled";
            answered(&open(call, &agent, &submitted, next.to_owned()).await?).map(Into::into)
        }
    }
}

/// Whether what an equal call started has ended meanwhile; its result can be read then.
async fn has_ended(call: &Call, id: ExecutionId) -> Result<bool, Problem> {
    let waited = call.app.tasks().wait_for_end(id, Duration::ZERO).await?;
    let Waited::Ended(position) = waited else { return Ok(false) };
    call.app.wait_for(position, WAIT_FOR_MAX).await?;
    Ok(true)
}

fn background(submitted: &Submitted) -> String {
    let first = if submitted.replayed {
        "an equal call came before and this is its execution (repeat: true starts another); "
    } else {
        ""
    };
    format!(
        "{first}the agent works in the background: call get_execution_result with this \
         execution_id for the result, cancel_execution to stop it"
    )
}

/// The answer while the execution goes on, or without looking at what it led to.
async fn open(
    call: &Call,
    agent: &AgentName,
    submitted: &Submitted,
    next: String,
) -> Result<ChatAnswer, Problem> {
    let state = call.app.execution_now(call.scope(), agent, submitted.execution_id).await?;
    Ok(ChatAnswer {
        execution_id: submitted.execution_id.to_string(),
        agent_name: agent.to_string(),
        status: status_of(&state),
        replayed: submitted.replayed,
        position: call.app.position_text(submitted.position),
        redactions: submitted.redactions,
        response: None,
        error: None,
        cost_usd: None,
        duration_ms: None,
        agent_session_id: None,
        next: Some(next),
    })
}

fn status_of(state: &Execution) -> Status {
    match state {
        Execution::Absent | Execution::Pending(_) => Status::Pending,
        Execution::Running { .. } => Status::Running,
        Execution::Ended { outcome: Outcome::Completed, .. } => Status::Completed,
        Execution::Ended { outcome: Outcome::Failed, .. } => Status::Failed,
        Execution::Ended { outcome: Outcome::Cancelled, .. } => Status::Cancelled,
    }
}

/// The answer of an execution that has ended; marked as an error unless it ended with success.
pub(super) async fn finished(
    call: &Call,
    submitted: &Submitted,
) -> Result<CallToolResponse, Problem> {
    let id = submitted.execution_id;
    let seen = call.app.views().execution(call.scope(), At::Now, id).await?;
    let record = seen.value.ok_or_else(|| {
        Problem::internal(&format!("the ended execution {id} is in no read model"))
    })?;
    let succeeded = record.status == RecordStatus::Completed;
    let replayed = format!(
        "an equal call came before and this is its result; within {ANSWERS_AFTER_END_S} s of its \
         end, repeat: true starts another"
    );
    let answer = ChatAnswer {
        execution_id: id.to_string(),
        agent_name: record.agent_name.to_string(),
        status: record.status.into(),
        replayed: submitted.replayed,
        position: call.app.position_text(submitted.position),
        redactions: submitted.redactions,
        response: record.response,
        error: record.error.map(|error| Failure { code: error.code, message: error.message }),
        cost_usd: record.cost.map(NanoUsd::to_usd),
        duration_ms: record.duration_ms,
        agent_session_id: record.agent_session_id,
        next: submitted.replayed.then_some(replayed),
    };
    let result = if succeeded { answered(&answer)? } else { answered_failure(&answer)? };
    Ok(result.into())
}
