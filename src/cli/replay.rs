//! `replay`: the history of one thing, event by event, or the list of executions at a moment.

mod walk;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use clap::{Args, Subcommand};
use execution_ledger_domain::{AgentName, ExecutionId, KeyId, ScheduleId, SessionId};
use execution_ledger_replay::history::{
    Change, HistoryError, LIST_MAX, Moment, Replay as History, Step, Subject, list_at,
};
use execution_ledger_store::{EventStore, LogPosition, Position};
use serde_json::{Value, json};

use super::export::bar;
use super::task::execution_id;
use super::{Exit, Failure, Global, block_on, log_to_read};
use crate::output::{Align, Output, Sheet, Tone, exact, neutral_line, number, paint};

/// The longest value that is shown of a change, in characters; JSON has it whole.
const VALUE_MAX_CHARS: usize = 100;

const AFTER_HELP: &str = "\
What is shown follows from the log alone, not from the read models. The log is
read where it lies, in the data directory; a server may run on it meanwhile.

On a terminal, Enter or an arrow goes to the next event, p to the one before, q
ends. Elsewhere all events come at once. Texts that were erased are gone here
too.

Examples:
  execution-ledger replay execution 0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b
  execution-ledger replay agent demo --at 2026-11-21T14:02:00Z --state
  execution-ledger replay executions --at 2026-11-21T14:02:00Z
";

/// Walk through the history of one thing, or see the list of executions as it was.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Replay {
    /// Up to and including this moment: a position of the log, or a time (RFC 3339) [default: now].
    #[arg(long, global = true, value_name = "MOMENT")]
    at: Option<Moment>,
    /// Only the state at the end, not the way to it.
    #[arg(long, global = true)]
    state: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// A run of a task.
    Execution {
        /// Its id.
        #[arg(value_name = "EXECUTION", value_parser = execution_id)]
        id: ExecutionId,
    },
    /// A chat: how it was opened, its turns, its end.
    Session {
        /// Its id.
        #[arg(value_name = "SESSION")]
        id: SessionId,
    },
    /// An agent and its settings.
    Agent {
        /// Its name.
        #[arg(value_name = "AGENT")]
        name: AgentName,
    },
    /// A schedule and its settings.
    Schedule {
        /// Its id.
        #[arg(value_name = "SCHEDULE")]
        id: ScheduleId,
    },
    /// A key; never its secret.
    Key {
        /// Its id.
        #[arg(value_name = "KEY")]
        id: KeyId,
    },
    /// The list of executions.
    Executions {
        /// Only those of this agent.
        #[arg(long, value_name = "NAME")]
        agent: Option<AgentName>,
        /// So many of the newest.
        #[arg(short = 'n', long, value_name = "COUNT", default_value = "50")]
        #[arg(value_parser = clap::value_parser!(u64).range(1..=LIST_MAX as u64))]
        limit: u64,
    },
}

impl Replay {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let store = log(global)?;
        let until = block_on(position(&store, self.at.as_ref()))?;
        let subject = match &self.what {
            What::Execution { id } => Subject::Execution(*id),
            What::Session { id } => Subject::Session(*id),
            What::Agent { name } => Subject::Agent(name.clone()),
            What::Schedule { id } => Subject::Schedule(*id),
            What::Key { id } => Subject::Key(*id),
            What::Executions { agent, limit } => {
                let limit = usize::try_from(*limit).unwrap_or(LIST_MAX);
                return list(&store, until, agent.as_ref(), limit, output);
            }
        };
        let history = block_on(async {
            History::read(&store, &subject, until).await.map_err(|error| fault(&error))
        })?;
        if history.is_empty() {
            output.remark(&format!("{} has no events at that moment", subject.stream()));
            return Ok(Exit::NotFound);
        }
        let state = history.state(history.len());
        if output.is_json() {
            let at = LogPosition { log: store.log_id().clone(), position: until }.to_string();
            let mut answer = json!({"stream": subject.stream().as_str(), "at": at, "state": state});
            if !self.state {
                answer["events"] = json!(history.steps().map_err(|error| fault(&error))?);
            }
            output.json(&answer)?;
        } else if self.state {
            output.sheet(&facts(&state))?;
        } else if io::stdin().is_terminal() && io::stdout().is_terminal() {
            return walk::walk(&history, output);
        } else {
            for (index, step) in history.steps().map_err(|error| fault(&error))?.iter().enumerate()
            {
                output.line(&told(step, index, history.len(), output.colour()))?;
            }
        }
        Ok(Exit::Success)
    }
}

/// The log of the data directory.
pub(super) fn log(global: &Global) -> Result<Arc<dyn EventStore>, Failure> {
    log_to_read(&global.settings_from_environment()?)
}

/// The position of a moment, or of the log's end.
pub(super) async fn position(
    store: &Arc<dyn EventStore>,
    at: Option<&Moment>,
) -> Result<Position, Failure> {
    match at {
        Some(at) => at.position(store).await.map_err(|error| Failure::Argument(error.to_string())),
        None => store.head().await.map_err(|error| Failure::Fault(error.to_string())),
    }
}

/// A failure to read the history.
pub(super) fn fault(error: &HistoryError) -> Failure {
    Failure::Fault(error.to_string())
}

fn list(
    store: &Arc<dyn EventStore>,
    until: Position,
    agent: Option<&AgentName>,
    limit: usize,
    output: &Output,
) -> Result<Exit, Failure> {
    let bar = bar("{bar:32} {pos}/{len} events  {per_sec}  {eta} left");
    bar.set_length(until.number());
    let told = |at: Position| bar.set_position(at.number());
    let list = block_on(async {
        list_at(store, until, agent, limit, told).await.map_err(|error| fault(&error))
    });
    bar.finish_and_clear();
    let list = list?;
    if output.is_json() {
        output.json(&list)?;
        return Ok(Exit::Success);
    }
    let mut sheet = Sheet::new(&[
        ("EXECUTION", Align::Left),
        ("AGENT", Align::Left),
        ("STATUS", Align::Left),
        ("CREATED", Align::Left),
        ("MESSAGE", Align::Left),
    ]);
    for record in &list.executions {
        let status = record.status.as_str();
        sheet.row(vec![
            (record.execution_id.to_string(), Tone::Plain),
            (record.agent_name.to_string(), Tone::Plain),
            (status.to_owned(), Tone::of_status(status)),
            (exact(record.created_at), Tone::Plain),
            (cut(record.message.as_deref().unwrap_or("-")), Tone::Plain),
        ]);
    }
    output.sheet(&sheet)?;
    let counts = list.counts.by_status.iter().filter(|(_, count)| **count > 0);
    let counts: Vec<_> =
        counts.map(|(status, count)| format!("{} {status}", number(*count))).collect();
    output.remark(&format!(
        "{} executions at {}: {}",
        list.counts.total,
        list.position,
        counts.join(", ")
    ));
    Ok(Exit::Success)
}

/// One event with what it changed, as lines.
fn told(step: &Step, index: usize, of: usize, colour: bool) -> String {
    let actor = &step.actor;
    let head = format!(
        "[{}/{of}] {}  {}  by {} ({})  {}",
        index + 1,
        step.type_name,
        step.recorded_at,
        actor.id,
        actor.user,
        step.position
    );
    let mut lines = vec![paint(&neutral_line(&head), Tone::Active, colour)];
    lines.extend(step.changes.iter().map(|change| format!("    {}", neutral_line(&line(change)))));
    lines.join("\n")
}

fn line(change: &Change) -> String {
    let Change { field, before, after } = change;
    match before {
        Value::Null => format!("{field}: {}", value(after)),
        _ => format!("{field}: {} -> {}", value(before), value(after)),
    }
}

/// A value in a line.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => cut(text),
        other => cut(&other.to_string()),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The fields of a state that are known.
fn facts(state: &Value) -> Sheet {
    let mut sheet = Sheet::new(&[("FIELD", Align::Left), ("VALUE", Align::Left)]);
    for (field, found) in state.as_object().into_iter().flatten() {
        if !found.is_null() {
            sheet.row(vec![(field.clone(), Tone::Plain), (value(found), Tone::Plain)]);
        }
    }
    sheet
}
