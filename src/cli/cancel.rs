//! `cancel`: stops executions.

use clap::Args;
use execution_ledger_domain::{AgentName, ExecutionId};
use reqwest::Method;
use serde_json::{Value, json};

use super::filters::Filters;
use super::run_settings::given;
use super::task::{Which, execution_id, text};
use super::{Exit, Failure, Global, block_on};
use crate::client::{Answer, Client};
use crate::output::{Align, Output, Sheet, Tone, neutral_line};

/// Executions of one request by filters: most.
const FILTERED_MAX: u32 = 1_000;

/// What says which executions are meant where no ids are given.
const WHICH: [&str; 4] = ["agent", "status", "filters", "all"];

const AFTER_HELP: &str = "\
A run is sent SIGINT and, after its agent's grace period, SIGKILL with all its
processes; it is `running` until its end was seen. What waits is never started.
What has ended stays as it is. By filters, what waits and what runs is stopped;
--dry-run says which these are, and changes nothing.

Examples:
  execution-ledger cancel 0193a1b2-...
  execution-ledger cancel --agent demo --status pending --dry-run
  execution-ledger cancel --search 'report*'
  execution-ledger cancel --all
";

/// Stop executions: by their ids, or all that filters find.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Cancel {
    /// The executions' ids.
    #[arg(value_name = "EXECUTION", num_args = 0..=1000)]
    #[arg(value_parser = execution_id, required_unless_present_any = WHICH)]
    #[arg(conflicts_with_all = ["status", "filters", "all", "dry_run", "limit"])]
    ids: Vec<ExecutionId>,
    /// The agent that runs them. With ids it can be left out.
    #[arg(long, short, value_name = "NAME")]
    agent: Option<AgentName>,
    #[command(flatten)]
    which: ByFilters,
}

/// Which executions are meant where no ids are given.
#[derive(Debug, Args)]
struct ByFilters {
    /// Only what waits, or only what runs.
    #[arg(long, short, value_name = "STATUS", value_parser = ["pending", "running"])]
    status: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// All that the key may stop.
    #[arg(long)]
    all: bool,
    /// Change nothing; say what would be stopped.
    #[arg(long)]
    dry_run: bool,
    /// How many, at most.
    #[arg(long, short = 'n', value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(FILTERED_MAX)))]
    limit: Option<u32>,
}

impl Cancel {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        if self.ids.is_empty() {
            return self.by_filters(&client, output);
        }
        let mut exit = Exit::Success;
        for id in self.ids {
            let which = Which::new(id, self.agent.clone());
            let answer = block_on(async {
                let execution = which.find(&client).await?;
                let path = execution.path(&["terminate"]);
                Ok(client.change(Method::POST, &path, Some(&json!({}))).await?)
            });
            match answer {
                Ok(answer) => told(id, &answer, output)?,
                Err(failure) => {
                    output.explain(&failure);
                    exit = failure.exit();
                    if exit == Exit::Unreachable {
                        return Ok(exit);
                    }
                }
            }
        }
        Ok(exit)
    }

    fn by_filters(&self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let body = self.which.body(self.agent.as_ref());
        let path = ["api", "executions", "terminate"];
        let answer =
            block_on(async { Ok(client.change(Method::POST, &path, Some(&body)).await?) })?;
        told_all(&answer, output)?;
        let failed = answer.get("failed").and_then(Value::as_u64).unwrap_or(0);
        Ok(if failed == 0 { Exit::Success } else { Exit::Failed })
    }
}

impl ByFilters {
    /// What the API is asked.
    fn body(&self, agent: Option<&AgentName>) -> Value {
        let mut body = given([
            ("agent", json!(agent)),
            ("status", json!(self.status)),
            ("limit", json!(self.limit)),
            ("all", self.all.then_some(true).into()),
            ("dry_run", json!(self.dry_run)),
        ]);
        body.extend(given(self.filters.named().map(|(name, value)| (name, value.into()))));
        Value::Object(body)
    }
}

fn told(id: ExecutionId, answer: &Value, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        let status = answer.get("status").cloned().unwrap_or_default();
        return output.json_line(&json!({"execution_id": id, "status": status}));
    }
    let words = match text(answer, "status").as_str() {
        "cancelling" => "is being stopped".to_owned(),
        "cancelled" => "is cancelled; it was not started".to_owned(),
        "already_finished" => "had ended already".to_owned(),
        other => neutral_line(other).into_owned(),
    };
    output.line(&format!("{id} {words}"))
}

fn told_all(answer: &Answer, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&answer.ordered()?);
    }
    let dry = answer.get("dry_run").and_then(Value::as_bool).unwrap_or(false);
    let mut sheet = Sheet::new(&[
        ("EXECUTION", Align::Left),
        ("AGENT", Align::Left),
        ("WAS", Align::Left),
        (if dry { "WOULD BE" } else { "IS" }, Align::Left),
    ]);
    for found in answer.get("executions").and_then(Value::as_array).into_iter().flatten() {
        let status = text(found, "status");
        let tone = Tone::of_status(&status);
        sheet.row(vec![
            (text(found, "execution_id"), Tone::Plain),
            (text(found, "agent_name"), Tone::Plain),
            (status, tone),
            (text(found, "outcome").replace('_', " "), Tone::Plain),
        ]);
    }
    if sheet.is_empty() {
        output.remark("nothing that waits or runs is meant by this");
        return Ok(());
    }
    output.sheet(&sheet)?;
    let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    let what = if dry { "would be " } else { "" };
    output.remark(&format!(
        "{} {what}cancelled, {} {what}being stopped, {} had ended, {} failed",
        count("cancelled"),
        count("cancelling"),
        count("already_finished"),
        count("failed"),
    ));
    if answer.get("truncated").and_then(Value::as_bool).unwrap_or(false) {
        output.remark("there are more: repeat it");
    }
    Ok(())
}
