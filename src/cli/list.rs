//! `list`: executions.

use clap::Args;
use clap::builder::PossibleValuesParser;
use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{AgentName, Timestamp};
use execution_ledger_projections::Status;
use serde_json::Value;

use super::task::{moment, now, status, text, time};
use super::{Exit, Failure, Global, block_on};
use crate::client::Ordered;
use crate::output::{Align, Output, Sheet, Tone, ago, amount, duration, exact};

/// Rows of one request: most.
const PAGE_MAX: u32 = 200;
/// Rows in all: most. More are for the API and its cursors.
const ROWS_MAX: u32 = 100_000;

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
    /// Only with these words in message or response; a word may end in *.
    #[arg(long, short = 'q', value_name = "WORDS")]
    search: Option<String>,
    /// Only if known to have cost at least this many dollars.
    #[arg(long, value_name = "USD")]
    min_cost: Option<f64>,
    /// Only of this model.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
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
        let (rows, printed, cursor) = block_on(async {
            let mut rows: Vec<Value> = Vec::new();
            let mut printed: Vec<Ordered> = Vec::new();
            let mut cursor: Option<String> = None;
            // Ends: every page but the last has rows, and there are at most `limit` rows.
            loop {
                let missing = self.limit - u32::try_from(rows.len()).unwrap_or(self.limit);
                let query = self.query(missing.min(PAGE_MAX), cursor.as_deref());
                let page = client.get(&["api", "executions"], &query).await?;
                let found = page.get("executions").and_then(Value::as_array);
                let found = found.cloned().unwrap_or_default();
                if output.is_json()
                    && let Some(Ordered::List(items)) = page.ordered()?.take("executions")
                {
                    printed.extend(items);
                }
                cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
                let empty = found.is_empty();
                rows.extend(found);
                if empty || cursor.is_none() || rows.len() >= self.limit as usize {
                    return Ok((rows, printed, cursor));
                }
            }
        })?;
        if output.is_json() {
            output.json(&Ordered::Fields(vec![
                ("executions".to_owned(), Ordered::List(printed)),
                ("next_cursor".to_owned(), Ordered::Scalar(cursor.into())),
            ]))?;
        } else if rows.is_empty() {
            output.remark("no executions");
        } else {
            output.sheet(&self.sheet(&rows))?;
            if cursor.is_some() {
                output.remark("there are more: raise --limit or narrow the filters");
            }
        }
        Ok(Exit::Success)
    }

    fn query(&self, limit: u32, cursor: Option<&str>) -> Vec<(&'static str, String)> {
        let text = |given: Option<&dyn std::fmt::Display>| given.map(ToString::to_string);
        let parts: [(&'static str, Option<String>); 11] = [
            ("agent", text(self.agent.as_ref().map(|v| v as _))),
            ("status", self.status.clone()),
            ("triggered_by", self.triggered_by.clone()),
            ("from", text(self.from.as_ref().map(|v| v as _))),
            ("to", text(self.to.as_ref().map(|v| v as _))),
            ("q", self.search.clone()),
            ("min_cost", text(self.min_cost.as_ref().map(|v| v as _))),
            ("model", self.model.clone()),
            ("sort", self.sort.clone()),
            ("as_of", self.as_of.clone()),
            ("cursor", cursor.map(str::to_owned)),
        ];
        let mut query: Vec<_> =
            parts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        query.push(("limit", limit.to_string()));
        query
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
            let message: String = text(record, "message").chars().take(60).collect();
            sheet.row(vec![
                (text(record, "execution_id"), Tone::Plain),
                (text(record, "agent_name"), Tone::Plain),
                status(record),
                (text(record, "triggered_by"), Tone::Plain),
                (created, Tone::Plain),
                (took.map_or_else(|| "-".to_owned(), duration), Tone::Plain),
                (amount(record.get("cost_usd").unwrap_or(&Value::Null)), Tone::Plain),
                (message.split_whitespace().collect::<Vec<_>>().join(" "), Tone::Quiet),
            ]);
        }
        sheet
    }
}
