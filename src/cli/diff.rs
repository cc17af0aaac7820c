//! `diff`: two executions side by side, or the list of executions at two moments.

use clap::Args;
use execution_ledger_domain::{AgentName, ExecutionId};
use execution_ledger_replay::diff::{DIFF_MAX, diff_executions, diff_lists};
use execution_ledger_replay::history::Moment;
use serde_json::Value;

use super::replay::{fault, log, position, value};
use super::task::execution_id;
use super::{Exit, Failure, Global, block_on};
use crate::output::{Align, Output, Sheet, Tone, number};

const AFTER_HELP: &str = "\
What is shown follows from the log alone, which is read where it lies, in the
data directory; a server may run on it meanwhile. The exit code is 0 whether or
not something differs.

Examples:
  execution-ledger diff 0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b \\
    0192f0c1-91d4-7b1c-9f70-0c5f2b9a7e44
  execution-ledger diff --at 2026-11-21T14:00:00Z --at 2026-11-21T15:00:00Z
";

/// Compare two executions, or the list of executions at two moments.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Diff {
    /// Two executions.
    #[arg(value_name = "EXECUTION", value_parser = execution_id, num_args = 2)]
    #[arg(required_unless_present = "at")]
    executions: Vec<ExecutionId>,
    /// A moment, a position of the log or a time (RFC 3339): twice for the list, at most once for
    /// two executions [default: now].
    #[arg(long, value_name = "MOMENT")]
    at: Vec<Moment>,
    /// Only the executions of this agent, of the list.
    #[arg(long, value_name = "NAME", conflicts_with = "executions")]
    agent: Option<AgentName>,
}

impl Diff {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        match (self.executions.as_slice(), self.at.as_slice()) {
            ([a, b], [] | [_]) => self.executions(*a, *b, global, output),
            ([], [from, to]) => self.lists(from, Some(to), global, output),
            ([], [from]) => self.lists(from, None, global, output),
            _ => Err(Failure::Argument(
                "give two executions and at most one --at, or one or two --at alone".to_owned(),
            )),
        }
    }

    fn executions(
        &self,
        a: ExecutionId,
        b: ExecutionId,
        global: &Global,
        output: &Output,
    ) -> Result<Exit, Failure> {
        let store = log(global)?;
        let diff = block_on(async {
            let until = position(&store, self.at.first()).await?;
            diff_executions(&store, a, b, until).await.map_err(|error| fault(&error))
        })?;
        let diff = match diff {
            Ok(diff) => diff,
            Err(missing) => {
                output.remark(&format!("there is no execution {missing} at that moment"));
                return Ok(Exit::NotFound);
            }
        };
        if output.is_json() {
            output.json(&diff)?;
            return Ok(Exit::Success);
        }
        let mut sheet = Sheet::new(&[
            ("FIELD", Align::Left),
            ("A", Align::Left),
            ("B", Align::Left),
            ("B - A", Align::Right),
        ]);
        for change in &diff.differences {
            sheet.row(vec![
                (change.field.clone(), Tone::Plain),
                (value(&change.before), Tone::Plain),
                (value(&change.after), Tone::Plain),
                (distance(&change.before, &change.after), Tone::Quiet),
            ]);
        }
        output.sheet(&sheet)?;
        if diff.differences.is_empty() {
            output.remark("nothing differs but ids and times");
        }
        Ok(Exit::Success)
    }

    fn lists(
        &self,
        from: &Moment,
        to: Option<&Moment>,
        global: &Global,
        output: &Output,
    ) -> Result<Exit, Failure> {
        let store = log(global)?;
        let diff = block_on(async {
            let (from, to) = (position(&store, Some(from)).await?, position(&store, to).await?);
            if from > to {
                let why = "the first --at must not be later than the second";
                return Err(Failure::Argument(why.to_owned()));
            }
            diff_lists(&store, from, to, self.agent.as_ref()).await.map_err(|error| fault(&error))
        })?;
        if output.is_json() {
            output.json(&diff)?;
            return Ok(Exit::Success);
        }
        let mut counts = Sheet::new(&[
            ("STATUS", Align::Left),
            ("BEFORE", Align::Right),
            ("AFTER", Align::Right),
        ]);
        for (status, after) in &diff.after.by_status {
            let before = diff.before.by_status.get(status).copied().unwrap_or_default();
            let tone = if before == *after { Tone::Quiet } else { Tone::Plain };
            let cells = [(*status).to_owned(), number(before), number(*after)];
            counts.row(cells.into_iter().map(|cell| (cell, tone)).collect());
        }
        output.sheet(&counts)?;
        output.line("")?;
        let mut sheet = Sheet::new(&[
            ("EXECUTION", Align::Left),
            ("AGENT", Align::Left),
            ("BEFORE", Align::Left),
            ("AFTER", Align::Left),
        ]);
        for moved in &diff.executions {
            let before = moved.before.map_or("-", |status| status.as_str());
            let after = moved.after.as_str();
            sheet.row(vec![
                (moved.execution_id.to_string(), Tone::Plain),
                (moved.agent_name.to_string(), Tone::Plain),
                (before.to_owned(), Tone::of_status(before)),
                (after.to_owned(), Tone::of_status(after)),
            ]);
        }
        output.sheet(&sheet)?;
        if diff.truncated {
            output.remark(&format!("more than {} differ", number(DIFF_MAX as u64)));
        }
        Ok(Exit::Success)
    }
}

/// How far two whole numbers are apart.
fn distance(a: &Value, b: &Value) -> String {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => format!("{:+}", b.saturating_sub(a)),
        _ => String::new(),
    }
}
