//! `costs correct` and `costs prices`: what a run cost, known better later, and the price book.

use clap::Args;
use execution_ledger_process::pricing::PriceBook;
use serde_json::{Value, json};

use super::task::{Which, text};
use super::{Exit, Failure, Global, block_on};
use crate::output::{Align, Output, Sheet, Tone, amount};

const CORRECT_HELP: &str = "\
What was recorded at the run's end stays; the correction stands behind it with
its reason and who made it, and holds from then on in the record and all sums.

Examples:
  execution-ledger costs correct 0193a1b2-... --cost 0.12 --reason \"invoice\"
  execution-ledger costs correct 0193a1b2-... --reprice --reason \"new price\"
";

const PRICES_HELP: &str = "\
Tokens that come without dollars are priced by this book, in dollars for a
million tokens. Another book is set with the server's setting price_book; it
takes the place of the built-in one as a whole.

Examples:
  execution-ledger costs prices
  execution-ledger costs prices --toml > prices.toml
";

/// The classes of tokens, as the book names them.
const CLASSES: [&str; 5] = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"];

/// Correct what an ended execution cost.
#[derive(Debug, Args)]
#[command(after_help = CORRECT_HELP)]
pub struct Correct {
    #[command(flatten)]
    which: Which,
    /// What it cost, in dollars.
    #[arg(long, value_name = "USD", required_unless_present = "reprice")]
    #[arg(conflicts_with = "reprice")]
    cost: Option<f64>,
    /// Where that comes from [default: provider_reported, as of an invoice].
    #[arg(long, value_name = "BASIS", conflicts_with = "reprice")]
    #[arg(value_parser = ["provider_reported", "derived_from_partials", "priced_locally"])]
    basis: Option<String>,
    /// Price its recorded tokens again, by the price book in use and the day of the run.
    #[arg(long)]
    reprice: bool,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Correct {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        let mut body = json!({"reason": self.reason});
        if self.reprice {
            body["reprice"] = Value::Bool(true);
        }
        if let Some(cost) = self.cost {
            body["cost_usd"] = Value::from(cost);
        }
        if let Some(basis) = &self.basis {
            body["cost_basis"] = Value::from(basis.as_str());
        }
        let done = block_on(async {
            let execution = self.which.find(&client).await?;
            let path = execution.path(&["cost"]);
            Ok(client.change(reqwest::Method::POST, &path, Some(&body)).await?)
        })?;
        if output.is_json() {
            output.json(&done.ordered()?)?;
            return Ok(Exit::Success);
        }
        let cost = amount(done.get("cost_usd").unwrap_or(&Value::Null));
        let before = match done.get("cost_before_usd").filter(|cost| !cost.is_null()) {
            Some(before) => amount(before),
            None => "unknown".to_owned(),
        };
        let changed = done.get("changed").and_then(Value::as_bool).unwrap_or(true);
        let by = text(&done, "price_book");
        let by = if by == "-" { String::new() } else { format!(" by the price book {by}") };
        output.line(&if changed {
            format!("{cost} ({}){by}; before: {before}", text(&done, "cost_basis"))
        } else {
            format!("{cost} is what is recorded already; nothing was changed")
        })?;
        Ok(Exit::Success)
    }
}

/// Show the price book that the server uses.
#[derive(Debug, Args)]
#[command(after_help = PRICES_HELP)]
pub struct Prices {
    /// Write the built-in book as a file to begin with; asks no server.
    #[arg(long)]
    toml: bool,
}

impl Prices {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        if self.toml {
            output.line(PriceBook::built_in_text().trim_end())?;
            return Ok(Exit::Success);
        }
        let client = global.client()?;
        let path = ["api", "costs", "prices"];
        let book = block_on(async { Ok(client.get(&path, &[]).await?) })?;
        if output.is_json() {
            output.json(&book.ordered()?)?;
            return Ok(Exit::Success);
        }
        let mut sheet = Sheet::new(&[
            ("MODEL", Align::Left),
            ("FROM", Align::Left),
            ("INPUT", Align::Right),
            ("OUTPUT", Align::Right),
            ("CACHE READ", Align::Right),
            ("WRITE 5M", Align::Right),
            ("WRITE 1H", Align::Right),
            ("PROMPTS UP TO", Align::Right),
        ]);
        for entry in book.get("prices").and_then(Value::as_array).into_iter().flatten() {
            let mut row =
                vec![(text(entry, "model"), Tone::Plain), (text(entry, "from"), Tone::Plain)];
            let price = |class: &&str| match entry.get(*class).filter(|price| !price.is_null()) {
                Some(price) => (amount(price), Tone::Plain),
                None => ("unknown".to_owned(), Tone::Quiet),
            };
            row.extend(CLASSES.iter().map(price));
            row.push((text(entry, "prompt_tokens_max"), Tone::Plain));
            sheet.row(row);
        }
        output.sheet(&sheet)?;
        output.remark(&format!(
            "price book {}; dollars for a million tokens",
            text(&book, "version")
        ));
        Ok(Exit::Success)
    }
}
