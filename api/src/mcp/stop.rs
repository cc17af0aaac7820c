//! `cancel_execution`: stopping an execution.

use execution_ledger_domain::{ExecutionId, Right};
use execution_ledger_process::tasks::Stopped;
use rmcp::model::{CallToolResult, JsonObject};
use schemars::JsonSchema;
use serde::Deserialize;

use super::answers::StopAnswer;
use super::call::{Call, arguments};
use super::outcome::answered;
use crate::problem::Problem;

/// What `cancel_execution` is called with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The execution to stop.
    execution_id: ExecutionId,
}

/// Stops an execution, or lets it never start.
pub(super) async fn call(
    call: &Call,
    given: Option<JsonObject>,
) -> Result<CallToolResult, Problem> {
    call.needs(Right::Operate)?;
    let given: Arguments = arguments(given)?;
    answered(&stop(call, given.execution_id).await?)
}

/// The same, for whoever has asked for the right already.
pub(super) async fn stop(call: &Call, id: ExecutionId) -> Result<StopAnswer, Problem> {
    let (stopped, position) = call.app.tasks().stop(call.caller(), id, &call.cause()).await?;
    call.settle(position).await;
    let status = match stopped {
        Stopped::Cancelling => "cancelling",
        Stopped::Cancelled => "cancelled",
        Stopped::AlreadyFinished => "already_finished",
    };
    Ok(StopAnswer {
        execution_id: id.to_string(),
        status: status.to_owned(),
        position: call.app.position_text(position),
    })
}
