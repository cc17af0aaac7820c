//! What the tools are called, what they say of themselves, and their schemas.

use std::sync::LazyLock;

use rmcp::model::{Tool, ToolAnnotations};
use schemars::JsonSchema;

use super::{answers, chat, look, schema, stop};

/// Gives an agent a task.
pub(super) const CHAT: &str = "chat_with_agent";
/// Lists executions.
pub(super) const LIST: &str = "list_recent_executions";
/// Looks one up.
pub(super) const RESULT: &str = "get_execution_result";
/// Sums up.
pub(super) const SUMMARY: &str = "get_agent_activity_summary";
/// Stops one.
pub(super) const CANCEL: &str = "cancel_execution";
/// Tells what happened to one.
pub(super) const EVENTS: &str = "get_execution_events";

/// What a client tells its model about this server.
pub(super) const INSTRUCTIONS: &str = "Runs tasks on agents and remembers every run. \
     chat_with_agent gives an agent (also yourself) a task; with async: true it answers at once with \
     an execution_id and the agent works in the background. get_execution_result looks the result \
     up, with wait_s to wait for it. A call that is repeated unchanged starts nothing twice; \
     repeat: true starts another run. Refusals name a code and what to do about it.";

/// All tools.
pub(super) static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
    vec![
        tool::<chat::Arguments, answers::ChatAnswer>(
            CHAT,
            "Give an agent a task",
            "Gives an agent a task and answers its result, or, with async: true, the execution_id \
             at once while the agent works in the background. Use async for anything that may take \
             longer than half a minute, and for several tasks at the same time. Waiting ends after \
             45 s: then status is pending or running, the agent goes on, and \
             get_execution_result has the result later. Calling again with the same arguments does \
             not start the task twice, but answers the same execution with replayed: true until 60 \
             s after its end; repeat: true starts another. Calling your own agent_name starts a \
             background task of yourself; with inject_result and chat_session_id its result is put \
             into that chat session.",
            ToolAnnotations::new().read_only(false).destructive(false).idempotent(true),
        ),
        tool::<look::ListArguments, answers::ExecutionList>(
            LIST,
            "List recent executions",
            "Lists recent executions that you may see, the newest first, with the beginnings of \
             their messages and answers. get_execution_result has one of them whole.",
            looks(),
        ),
        tool::<look::ResultArguments, answers::ExecutionResult>(
            RESULT,
            "Get an execution's result",
            "Answers how an execution stands: its status, the agent's answer once it has ended, its \
             cost, or why it still waits. wait_s waits for the end; include_log adds the last lines \
             that the agent's program printed.",
            looks(),
        ),
        tool::<look::SummaryArguments, answers::ActivitySummary>(
            SUMMARY,
            "Summarise an agent's activity",
            "Counts the executions of the last hours by status and by trigger, with success rate, \
             cost, durations, and the last failures.",
            looks(),
        ),
        tool::<stop::Arguments, answers::StopAnswer>(
            CANCEL,
            "Stop an execution",
            "Stops an execution: one that waits never starts, one that runs is interrupted and \
             killed if it does not obey. cancelling means that it is being stopped; \
             get_execution_result tells when it has ended.",
            ToolAnnotations::new().read_only(false).destructive(true).idempotent(true),
        ),
        tool::<look::EventsArguments, answers::EventList>(
            EVENTS,
            "Get an execution's events",
            "Answers every recorded fact about an execution in order: when it was accepted, started, \
             stopped and ended, and who caused it.",
            looks(),
        ),
    ]
});

/// The tool of that name.
pub(super) fn named(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

fn looks() -> ToolAnnotations {
    ToolAnnotations::new().read_only(true).idempotent(true)
}

fn tool<I, O>(
    name: &'static str,
    title: &str,
    description: &'static str,
    annotations: ToolAnnotations,
) -> Tool
where
    I: JsonSchema,
    O: JsonSchema,
{
    // What a tool reaches is this ledger and its agents.
    let annotations = annotations.open_world(name == CHAT);
    Tool::new(name, description, schema::of_input::<I>())
        .with_title(title)
        .with_raw_output_schema(schema::of_output::<O>())
        .with_annotations(annotations)
}
