//! `list`: executions.

use clap::Args;
use clap::builder::PossibleValuesParser;
use execution_ledger_domain::AgentName;
use execution_ledger_projections::Status;
use serde_json::Value;

use super::filters::Filters;
use super::pages::{ROWS_MAX, Rows};
use super::show::erased;
use super::task::{cost, moment, now, status, text};
use super::{Exit, Failure, Global, block_on};
use crate::output::{Align, Output, Sheet, Tone, ago, duration, exact};

const AFTER_HELP: &str = "\
Examples:
  execution-ledger list
  execution-ledger list --agent demo --status running
  execution-ledger list --from 2026-11-01T00:00:00Z --search 'time*'
  execution-ledger list --sort=-cost --limit 10
  execution-ledger list --json | jq '.executions[].cost_usd'
";

/// List executions, the newest first.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct List {
    /// Only of this agent.
    #[arg(long, short, value_name = "NAME")]
    agent: Option<AgentName>,
    /// Only in this status.
    #[arg(long, short, value_name = "STATUS")]
    #[arg(value_parser = PossibleValuesParser::new(Status::ALL.map(Status::as_str)))]
    status: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// Only if known to have cost at least this many dollars.
    #[arg(long, value_name = "USD")]
    min_cost: Option<f64>,
    /// The order; - for the newest or the dearest first.
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true)]
    #[arg(value_parser = ["-created_at", "created_at", "-cost"])]
    sort: Option<String>,
    /// How many, at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(ROWS_MAX)))]
    limit: u32,
    /// As it was at this time or position.
    #[arg(long, value_name = "TIME|POSITION")]
    as_of: Option<String>,
    /// Show times exactly.
    #[arg(long, short)]
    exact: bool,
}

impl List {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        let own = [
            ("agent", self.agent.as_ref().map(ToString::to_string)),
            ("status", self.status.clone()),
            ("min_cost", self.min_cost.as_ref().map(ToString::to_string)),
            ("sort", self.sort.clone()),
            ("as_of", self.as_of.clone()),
        ];
        let filters = own.into_iter().chain(self.filters.named());
        let rows = block_on(Rows::fetch(&client, "executions", filters, self.limit, output))?;
        rows.write("no executions", |rows| self.sheet(rows), output)
    }

    fn sheet(&self, rows: &[Value]) -> Sheet {
        let mut sheet = Sheet::new(&[
            ("EXECUTION", Align::Left),
            ("AGENT", Align::Left),
            ("STATUS", Align::Left),
            ("TRIGGER", Align::Left),
            ("CREATED", Align::Left),
            ("DURATION", Align::Right),
            ("COST", Align::Right),
            ("MESSAGE", Align::Left),
        ]);
        let now = now();
        for record in rows {
            let created = match moment(record, "created_at") {
                Some(at) if self.exact => exact(at),
                Some(at) => ago(at, now),
                None => "-".to_owned(),
            };
            let took = record.get("duration_ms").and_then(Value::as_u64);
            let message: String = if erased(record).contains(&"message") {
                "(erased)".to_owned()
            } else {
                text(record, "message").chars().take(60).collect()
            };
            sheet.row(vec![
                (text(record, "execution_id"), Tone::Plain),
                (text(record, "agent_name"), Tone::Plain),
                status(record),
                (text(record, "triggered_by"), Tone::Plain),
                (created, Tone::Plain),
                (took.map_or_else(|| "-".to_owned(), duration), Tone::Plain),
                (cost(record), Tone::Plain),
                (message.split_whitespace().collect::<Vec<_>>().join(" "), Tone::Quiet),
            ]);
        }
        sheet
    }
}
