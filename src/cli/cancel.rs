//! `cancel`: stops executions.

use clap::Args;
use clap::builder::PossibleValuesParser;
use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{AgentName, ExecutionId, Timestamp};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::task::{Which, execution_id, text, time};
use super::{Exit, Failure, Global, block_on};
use crate::client::{Answer, Client};
use crate::output::{Align, Output, Sheet, Tone, neutral_line};

/// Executions of one request by filters: most.
const FILTERED_MAX: u32 = 1_000;

/// What says which executions are meant where no ids are given.
const WHICH: [&str; 8] =
    ["agent", "status", "triggered_by", "from", "to", "search", "model", "all"];

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
    ids: Vec<ExecutionId>,
    /// The agent that runs them. With ids it can be left out.
    #[arg(long, short, value_name = "NAME")]
    agent: Option<AgentName>,
    #[command(flatten)]
    filters: Filters,
}

/// Which executions are meant where no ids are given.
#[derive(Debug, Args)]
#[group(id = "by_filters", multiple = true, conflicts_with = "ids")]
struct Filters {
    /// Only what waits, or only what runs.
    #[arg(long, short, value_name = "STATUS", value_parser = ["pending", "running"])]
    status: Option<String>,
    /// Only triggered in this way.
    #[arg(long, visible_alias = "trigger", value_name = "TRIGGER")]
    #[arg(value_parser = PossibleValuesParser::new(Trigger::ALL.map(Trigger::as_str)))]
    triggered_by: Option<String>,
    /// Only accepted at this time or later (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Only accepted before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// Only with these words in the message; a word may end in *.
    #[arg(long, short = 'q', value_name = "WORDS")]
    search: Option<String>,
    /// Only of this model.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
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
        let mut body = self.filters.body(self.agent.as_ref());
        if self.filters.all {
            body.insert("all".to_owned(), json!(true));
        }
        body.insert("dry_run".to_owned(), json!(self.filters.dry_run));
        body.extend(self.filters.limit.map(|limit| ("limit".to_owned(), json!(limit))));
        let path = ["api", "executions", "terminate"];
        let body = Value::Object(body);
        let answer =
            block_on(async { Ok(client.change(Method::POST, &path, Some(&body)).await?) })?;
        told_all(&answer, output)?;
        let failed = answer.get("failed").and_then(Value::as_u64).unwrap_or(0);
        Ok(if failed == 0 { Exit::Success } else { Exit::Failed })
    }
}

impl Filters {
    /// By their names in the API.
    fn body(&self, agent: Option<&AgentName>) -> Map<String, Value> {
        let given = [
            ("agent", agent.map(|v| json!(v))),
            ("status", self.status.as_ref().map(|v| json!(v))),
            ("triggered_by", self.triggered_by.as_ref().map(|v| json!(v))),
            ("from", self.from.map(|v| json!(v))),
            ("to", self.to.map(|v| json!(v))),
            ("q", self.search.as_ref().map(|v| json!(v))),
            ("model", self.model.as_ref().map(|v| json!(v))),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
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
