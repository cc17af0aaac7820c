//! Any program: its answer is what it prints, its success is that it exits with 0.

use execution_ledger_domain::agent::{AgentConfig, PromptBy};
use execution_ledger_domain::execution::Exit;

use super::plan::{Plan, PlanError, RunRequest, as_argument};
use super::reading::{Ended, ReadEvidence, Reading, STDERR_TAIL_MAX_BYTES, without_a_word};
use super::text::Tail;
use crate::transcript::{Line, OutputStream};

/// How much of the end of standard output is the answer, in bytes.
pub const RESPONSE_TAIL_MAX_BYTES: usize = 64 * 1024;

/// The agent's own command, with the message as its last argument or on its standard input.
pub(super) fn plan(config: &AgentConfig, run: &RunRequest<'_>) -> Result<Plan, PlanError> {
    if config.command.is_empty() {
        return Err(PlanError::NoCommand);
    }
    let mut plan = Plan { argv: config.command.clone(), ..Plan::default() };
    match config.prompt {
        PromptBy::Argument => plan.argv.push(as_argument(run.message)?),
        PromptBy::Stdin => plan.stdin = Some(run.message.to_owned()),
    }
    Ok(plan)
}

/// The answer and the outcome; a program says nothing of cost, tokens or models.
pub(super) fn read(lines: impl IntoIterator<Item = Line>, ended: &Ended) -> Reading {
    let mut stdout = Tail::of(RESPONSE_TAIL_MAX_BYTES);
    let mut stderr = Tail::of(STDERR_TAIL_MAX_BYTES);
    for line in lines {
        match line.stream {
            OutputStream::Stdout => stdout.push(&line),
            OutputStream::Stderr => stderr.push(&line),
        }
    }
    let (response, response_cut) = stdout.finish();
    let evidence = if ended.exit == Some(Exit::Code(0)) && !ended.signalled {
        ReadEvidence::Success
    } else {
        without_a_word(ended, stderr, None)
    };
    Reading {
        evidence,
        response: (!response.is_empty()).then_some(response),
        response_cut,
        ..Reading::default()
    }
}
