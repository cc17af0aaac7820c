//! `costs`: what runs cost.

use clap::{Args, Subcommand, ValueEnum};
use execution_ledger_domain::Timestamp;
use serde_json::Value;

use super::feed::Feed;
use super::prices::{Correct, Prices};
use super::task::{text, time};
use super::{Exit, Failure, Global, block_on};
use crate::output::{Align, Output, Sheet, Tone, amount, number};

const AFTER_HELP: &str = "\
Costs are what agents reported, or what their tokens cost by the price book, or
what a person corrected them to, exact to a billionth of a
dollar. Runs whose cost nobody knows are counted, not guessed.

Examples:
  execution-ledger costs
  execution-ledger costs --by agent --from 2026-11-01T00:00:00Z
  execution-ledger costs feed --format csv
  execution-ledger costs correct 0193a1b2-... --cost 0.12 --reason \"invoice\"
  execution-ledger costs prices
";

/// What costs are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// The day of the run's end, in UTC.
    Day,
    /// The agent.
    Agent,
    /// The model that answered.
    Model,
    /// The trigger.
    Trigger,
}

#[derive(Debug, Subcommand)]
enum Part {
    Feed(Feed),
    Correct(Correct),
    Prices(Prices),
}

/// Sum what runs cost.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub struct Costs {
    #[command(subcommand)]
    part: Option<Part>,
    /// What to group by.
    #[arg(long, value_name = "WHAT", default_value = "day")]
    by: By,
    /// Only recorded at this time or later (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Only recorded before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
}

impl Costs {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        match &self.part {
            Some(Part::Feed(feed)) => return feed.execute(global, output),
            Some(Part::Correct(correct)) => return correct.execute(global, output),
            Some(Part::Prices(prices)) => return prices.execute(global, output),
            None => {}
        }
        let client = global.client()?;
        let (name, head) = match self.by {
            By::Day => ("day", "DAY"),
            By::Agent => ("agent", "AGENT"),
            By::Model => ("model", "MODEL"),
            By::Trigger => ("trigger", "TRIGGER"),
        };
        let mut query = vec![("by", name.to_owned())];
        query.extend(self.from.map(|from| ("from", from.to_string())));
        query.extend(self.to.map(|to| ("to", to.to_string())));
        let answer = block_on(async { Ok(client.get(&["api", "costs"], &query).await?) })?;
        if output.is_json() {
            output.json(&answer.ordered()?)?;
            return Ok(Exit::Success);
        }
        let mut sheet = Sheet::new(&[
            (head, Align::Left),
            ("RUNS", Align::Right),
            ("COST", Align::Right),
            ("OF UNKNOWN COST", Align::Right),
        ]);
        let groups = answer.get("costs").and_then(Value::as_array).into_iter().flatten();
        for group in groups {
            sheet.row(cells(text(group, "key"), group, Tone::Plain));
        }
        if let Some(total) = answer.get("total") {
            sheet.row(cells("total".to_owned(), total, Tone::Active));
        }
        output.sheet(&sheet)?;
        if answer.get("truncated").and_then(Value::as_bool).unwrap_or(false) {
            output.remark("there are more groups; the total holds them all");
        }
        Ok(Exit::Success)
    }
}

fn cells(name: String, group: &Value, tone: Tone) -> Vec<(String, Tone)> {
    let count =
        |field: &str| group.get(field).and_then(Value::as_u64).map_or("-".to_owned(), number);
    let cost = amount(group.get("cost_usd").unwrap_or(&Value::Null));
    [name, count("runs"), cost, count("unknown")].into_iter().map(|text| (text, tone)).collect()
}
