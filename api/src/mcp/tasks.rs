//! The Tasks extension (SEP-2663): a call that waits is answered with a task, whose id is the
//! execution's. Nothing is kept of tasks: every question is answered from the log.

use execution_ledger_domain::{ExecutionId, Right};
use execution_ledger_process::tasks::Submitted;
use execution_ledger_projections::{ExecutionRecord, Status};
use rmcp::ErrorData;
use rmcp::model::{
    CallToolResponse, CreateTaskResult, DetailedTask, GetTaskResult, JsonObject, Task, TaskPayload,
    TaskStatus,
};
use serde_json::Value;

use super::call::Call;
use super::{chat, stop};
use crate::problem::{Code, Problem};

/// How often a client should ask, in milliseconds.
const POLL_INTERVAL_MS: u64 = 1_000;

/// The task that a call is answered with.
pub(super) async fn created(
    call: &Call,
    submitted: &Submitted,
) -> Result<CreateTaskResult, Problem> {
    let (record, _) = call.execution(submitted.execution_id).await?;
    Ok(CreateTaskResult::new(task(&record)))
}

/// How a task stands, with its result once it is there.
pub(super) async fn get(call: &Call, task_id: &str) -> Result<GetTaskResult, ErrorData> {
    let found = async {
        call.needs(Right::Read)?;
        let (record, recorded) = call.execution(id(task_id)?).await?;
        let payload = match record.status {
            Status::Pending | Status::Running => TaskPayload::Working,
            Status::Cancelled => TaskPayload::Cancelled,
            Status::Completed | Status::Failed => {
                let submitted = Submitted {
                    execution_id: record.execution_id,
                    position: recorded.first().map(|first| first.position).unwrap_or_default(),
                    redactions: record.redactions,
                    replayed: false,
                };
                TaskPayload::Completed { result: object(chat::finished(call, &submitted).await?)? }
            }
        };
        Ok(GetTaskResult::new(DetailedTask::new(task(&record), payload)))
    };
    found.await.map_err(|problem: Problem| refused(&problem))
}

/// Stops the execution of a task.
pub(super) async fn cancel(call: &Call, task_id: &str) -> Result<(), ErrorData> {
    let stopped = async {
        call.needs(Right::Operate)?;
        stop::stop(call, id(task_id)?).await
    };
    stopped.await.map(drop).map_err(|problem| refused(&problem))
}

/// Takes answers to questions of a task. No task ever asks: what is sent for one is passed over.
pub(super) async fn update(call: &Call, task_id: &str) -> Result<(), ErrorData> {
    let known = async {
        call.needs(Right::Operate)?;
        call.execution(id(task_id)?).await
    };
    known.await.map(drop).map_err(|problem| refused(&problem))
}

fn id(task_id: &str) -> Result<ExecutionId, Problem> {
    task_id.parse().map_err(|_| {
        Problem::new(Code::ExecutionNotFound, "there is no task of that id").field("taskId")
    })
}

fn task(record: &ExecutionRecord) -> Task {
    let (status, words) = match record.status {
        Status::Pending => (TaskStatus::Working, "waits for a slot"),
        Status::Running => (TaskStatus::Working, "runs"),
        Status::Completed => (TaskStatus::Completed, "completed"),
        Status::Failed => (TaskStatus::Completed, "failed"),
        Status::Cancelled => (TaskStatus::Cancelled, "cancelled"),
    };
    let changed = record.completed_at.or(record.started_at).unwrap_or(record.created_at);
    Task::new(
        record.execution_id.to_string(),
        status,
        record.created_at.to_string(),
        changed.to_string(),
    )
    .with_status_message(format!(
        "execution {} on {} {words}",
        record.execution_id, record.agent_name
    ))
    .with_poll_interval_ms(POLL_INTERVAL_MS)
}

fn object(result: CallToolResponse) -> Result<JsonObject, Problem> {
    let value = match result {
        CallToolResponse::Complete(result) => serde_json::to_value(result),
        _ => return Err(Problem::internal(&"a task ended with something else than a result")),
    };
    match value {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::internal(&"a result is no object")),
        Err(error) => Err(Problem::internal(&error)),
    }
}

/// Questions about tasks have no results of their own to carry a refusal.
fn refused(problem: &Problem) -> ErrorData {
    if let Some(cause) = problem.cause() {
        tracing::error!(cause, "a task could not be answered by a fault of the ledger");
    }
    let text = format!("{}: {}", problem.code().as_str(), problem.detail());
    let data = Some(Value::Object(problem.members()));
    if problem.code().status().is_client_error() {
        ErrorData::invalid_params(text, data)
    } else {
        ErrorData::internal_error(text, data)
    }
}
