//! `budgets`: what may be spent, and what is.

use clap::{Args, Subcommand};
use execution_ledger_domain::{BudgetScope, NanoUsd};
use reqwest::Method;
use serde_json::{Value, json};

use super::pages::{ROWS_MAX, Rows};
use super::task::{moment, now, text};
use super::{Exit, Failure, Global, block_on};
use crate::client::Answer;
use crate::output::{Align, Output, Sheet, Tone, ago, amount};

const AFTER_HELP: &str = "\
A budget is `global`, `agent-NAME` or `user-NAME`. Days and months are those of
UTC. A task that a budget does not allow is refused (budget_exceeded); what was
accepted goes on, and is stopped at its own most. An execution keeps its most
until its cost is known.

Examples:
  execution-ledger budgets
  execution-ledger budgets set global --day 20 --month 300 --execution 2
  execution-ledger budgets set agent-review --day 5
  execution-ledger budgets lift agent-review
";

/// Cells of a bar.
const BAR_CELLS: u64 = 10;

/// Budgets: list (also without a command), show, set, lift.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Budgets {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List budgets, with what is spent of them.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one budget.
    Show {
        /// Which: global, agent-NAME or user-NAME.
        #[arg(value_name = "BUDGET")]
        scope: BudgetScope,
        /// As it was at this time or position.
        #[arg(long, value_name = "TIME|POSITION")]
        as_of: Option<String>,
    },
    /// Set a budget's limits, in place of all those before.
    Set(Set),
    /// Lift budgets: they limit nothing any more.
    Lift {
        /// Which: global, agent-NAME or user-NAME.
        #[arg(required = true, value_name = "BUDGET")]
        scopes: Vec<BudgetScope>,
    },
}

#[derive(Debug, Default, Args)]
struct List {
    /// As it was at this time or position.
    #[arg(long, value_name = "TIME|POSITION")]
    as_of: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("limits").required(true).multiple(true))]
struct Set {
    /// Which: global, agent-NAME or user-NAME.
    #[arg(value_name = "BUDGET")]
    scope: BudgetScope,
    /// What may be spent in a day; not given: not limited.
    #[arg(long, value_name = "USD", value_parser = dollars, group = "limits")]
    day: Option<NanoUsd>,
    /// What may be spent in a month; not given: not limited.
    #[arg(long, value_name = "USD", value_parser = dollars, group = "limits")]
    month: Option<NanoUsd>,
    /// What one execution may cost; not given: not limited.
    #[arg(long, value_name = "USD", value_parser = dollars, group = "limits")]
    execution: Option<NanoUsd>,
}

/// An amount, from an argument.
fn dollars(text: &str) -> Result<NanoUsd, &'static str> {
    let amount = text.parse().ok().and_then(|usd| NanoUsd::from_usd(usd).ok());
    amount
        .filter(|amount| *amount >= NanoUsd::ZERO)
        .ok_or("an amount is a number of dollars from 0, with at most nine places, as 12.50")
}

impl Budgets {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        block_on(async {
            match self.command.unwrap_or(Command::List(List::default())) {
                Command::List(List { as_of }) => {
                    let filters = [("as_of", as_of)];
                    let rows = Rows::fetch(&client, "budgets", filters, ROWS_MAX, output).await?;
                    rows.write(
                        "no budgets: `execution-ledger budgets set global --day 20` makes one",
                        sheet,
                        output,
                    )
                }
                Command::Show { scope, as_of } => {
                    let query: Vec<_> = as_of.map(|at| ("as_of", at)).into_iter().collect();
                    show(
                        &client.get(&["api", "budgets", &scope.to_string()], &query).await?,
                        output,
                    )
                }
                Command::Set(set) => {
                    let usd = |amount: Option<NanoUsd>| amount.map(NanoUsd::to_usd);
                    let body = json!({
                        "per_execution_usd": usd(set.execution),
                        "per_day_usd": usd(set.day),
                        "per_month_usd": usd(set.month),
                    });
                    let scope = set.scope.to_string();
                    let path = ["api", "budgets", &scope];
                    show(&client.change(Method::PUT, &path, Some(&body)).await?, output)
                }
                Command::Lift { scopes } => {
                    for scope in scopes {
                        let scope = scope.to_string();
                        let path = ["api", "budgets", &scope];
                        let lifted = client.change(Method::DELETE, &path, None).await?;
                        if output.is_json() {
                            output.json(&lifted.ordered()?)?;
                        } else {
                            output.line(&format!("{scope} is lifted"))?;
                        }
                    }
                    Ok(Exit::Success)
                }
            }
        })
    }
}

fn show(budget: &Answer, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&budget.ordered()?)?;
    } else {
        output.sheet(&sheet(std::slice::from_ref(budget)))?;
    }
    Ok(Exit::Success)
}

/// A line for each limit.
fn sheet(rows: &[Value]) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("BUDGET", Align::Left),
        ("PER", Align::Left),
        ("LIMIT", Align::Right),
        ("SPENT", Align::Right),
        ("KEPT", Align::Right),
        ("LEFT", Align::Right),
        ("USED", Align::Left),
        ("RESETS", Align::Left),
    ]);
    for budget in rows {
        let name = text(budget, "budget");
        for period in ["day", "month"] {
            if let Some(sums) = budget.get(period).filter(|sums| !sums.is_null()) {
                sheet.row(period_row(&name, period, sums));
            }
        }
        if let Some(limit) = budget.get("per_execution_usd").filter(|limit| !limit.is_null()) {
            let mut row = vec![name, "execution".to_owned(), amount(limit)];
            row.resize(8, "-".to_owned());
            sheet.row(row.into_iter().map(|text| (text, Tone::Plain)).collect());
        }
    }
    sheet
}

fn period_row(name: &str, period: &str, sums: &Value) -> Vec<(String, Tone)> {
    let money = |field: &str| amount(sums.get(field).unwrap_or(&Value::Null));
    let percent = sums.get("percent").and_then(Value::as_u64);
    let tone = match percent {
        None | Some(100..) => Tone::Bad,
        Some(80..) => Tone::Warn,
        Some(_) => Tone::Good,
    };
    let resets = moment(sums, "resets_at").map_or_else(|| "-".to_owned(), |at| ago(at, now()));
    let plain = [
        name.to_owned(),
        period.to_owned(),
        money("limit_usd"),
        money("committed_usd"),
        money("reserved_usd"),
        money("remaining_usd"),
    ];
    let mut row: Vec<_> = plain.into_iter().map(|text| (text, Tone::Plain)).collect();
    row.push((bar(percent), tone));
    row.push((resets, Tone::Plain));
    row
}

/// How much of a limit is used; of no money at all there is no part.
fn bar(percent: Option<u64>) -> String {
    let Some(percent) = percent else { return "nothing may be spent".to_owned() };
    let full = (percent * BAR_CELLS / 100).min(BAR_CELLS);
    let cells = |number: u64, cell: &str| cell.repeat(usize::try_from(number).unwrap_or(0));
    format!("{}{} {percent} %", cells(full, "█"), cells(BAR_CELLS - full, "░"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_how_much_is_used_and_never_more_than_all_of_it() {
        assert_eq!(bar(Some(0)), "░░░░░░░░░░ 0 %");
        assert_eq!(bar(Some(55)), "█████░░░░░ 55 %");
        assert_eq!(bar(Some(250)), "██████████ 250 %");
        assert_eq!(bar(None), "nothing may be spent");
    }

    #[test]
    fn amounts_are_exact_and_finite() {
        assert_eq!(dollars("12.5").map(NanoUsd::nanos), Ok(12_500_000_000));
        for bad in ["", "-1", "nan", "inf", "1e300", "0.0000000001", "5 dollars"] {
            assert!(dollars(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_budget_is_a_line_for_each_of_its_limits() {
        let budget = json!({
            "budget": "global", "per_execution_usd": 2.0, "month": null,
            "day": {"limit_usd": 20.0, "committed_usd": 12.5, "reserved_usd": 4.0,
                "remaining_usd": 3.5, "percent": 82, "resets_at": "2026-11-22T00:00:00Z"},
        });
        let shown = sheet(&[budget]).render(false);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        for part in ["global", "day", "$20.00", "$12.50", "$4.00", "$3.50", "████████░░ 82 %"]
        {
            assert!(lines[1].contains(part), "{part}: {shown}");
        }
        assert!(lines[2].contains("execution") && lines[2].contains("$2.00"), "{shown}");
    }
}
