//! `costs feed`: every fact about money, once, from any position on.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::task::text;
use super::{Exit, Failure, Global, block_on};
use crate::client::{Client, ClientError, Page};
use crate::output::{Align, Output, Sheet, Tone, amount, neutral_json, neutral_text};

/// Rows of one request.
const PAGE_ROWS: u32 = 10_000;
/// How long the server waits for a row where there is none, in seconds.
const WAIT_S: u32 = 30;
/// Requests in a row that fail before it is given up.
const FAILURES_MAX: u32 = 10;
/// The wait after the first of them; it doubles up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(200);
/// The longest wait between two requests that fail.
const WAIT_MAX: Duration = Duration::from_secs(5);

const AFTER_HELP: &str = "\
A row for each run that ended (run_cost), each correction as a difference, each
payment that came and each refund that is owed. No row ever changes. The sums of
the rows are what `execution-ledger costs` says.

At the end, the position to go on after is told on standard error: keep it with
what was made of the rows, and give it to --after the next time. Nothing is left
out and nothing comes twice.

Examples:
  execution-ledger costs feed --format csv > costs.csv
  execution-ledger costs feed --after POSITION --format cloudevents
  execution-ledger costs feed --follow | jq .amount
";

/// The form of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A JSON object a line.
    Json,
    /// A table of comma-separated values with a head.
    Csv,
    /// A CloudEvent 1.0 a line.
    Cloudevents,
}

/// Read what runs cost and earned, each exactly once.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Feed {
    /// Begin after this position [default: with the first row].
    #[arg(long, value_name = "POSITION")]
    after: Option<String>,
    /// The form of the rows [default: a table on a terminal, JSON elsewhere].
    #[arg(long, value_name = "FORM")]
    format: Option<Form>,
    /// Go on with what comes, until Ctrl-C.
    #[arg(long)]
    follow: bool,
}

impl Feed {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        let form = self.format.or_else(|| output.is_json().then_some(Form::Json));
        block_on(async {
            let mut after = self.after.clone();
            let mut first = true;
            loop {
                let page = self.page(&client, form, after.as_deref()).await?;
                write(&page, form, first, output)?;
                first = false;
                let before = after.replace(page.resume_after);
                if !page.more && !self.follow {
                    break;
                }
                if page.more && before == after {
                    let why = "the server gives the same page again".to_owned();
                    return Err(ClientError::Unexpected(why).into());
                }
            }
            output.remark(&format!("go on with --after {}", after.unwrap_or_default()));
            Ok(Exit::Success)
        })
    }

    /// The page after a position. A follower outlives a server that is started again.
    async fn page(
        &self,
        client: &Client,
        form: Option<Form>,
        after: Option<&str>,
    ) -> Result<Page, Failure> {
        let format = match form {
            Some(Form::Csv) => "csv",
            Some(Form::Cloudevents) => "cloudevents",
            Some(Form::Json) => "ndjson",
            None => "json",
        };
        let mut query = vec![("format", format.to_owned()), ("limit", PAGE_ROWS.to_string())];
        query.extend(after.map(|after| ("after", after.to_owned())));
        if self.follow {
            query.push(("wait", WAIT_S.to_string()));
        }
        let mut wait = WAIT_FIRST;
        for _ in 1..FAILURES_MAX {
            match client.page(&["api", "costs", "feed"], &query).await {
                Err(error) if self.follow && passes(&error) => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(WAIT_MAX);
                }
                answered => return Ok(answered?),
            }
        }
        Ok(client.page(&["api", "costs", "feed"], &query).await?)
    }
}

fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Interrupted(_) => true,
        ClientError::Refused(problem) => problem.status == 429 || problem.status >= 500,
        _ => false,
    }
}

fn write(page: &Page, form: Option<Form>, first: bool, output: &Output) -> Result<(), Failure> {
    let body = page.body.as_str();
    match form {
        Some(Form::Json) => match body.strip_suffix('\n') {
            Some(lines) => output.line(&neutral_json(lines)),
            None => Ok(()),
        },
        Some(Form::Cloudevents) => {
            let events: Vec<&RawValue> = serde_json::from_str(body).map_err(unreadable)?;
            let lines: Vec<&str> = events.iter().map(|event| event.get()).collect();
            if lines.is_empty() {
                return Ok(());
            }
            output.line(&neutral_json(&lines.join("\n")))
        }
        Some(Form::Csv) => {
            let rows =
                if first { Some(body) } else { body.split_once("\r\n").map(|(_, rows)| rows) };
            let Some(rows) = rows.and_then(|rows| rows.strip_suffix("\r\n")) else { return Ok(()) };
            if io::stdout().is_terminal() {
                let rows: Vec<_> = rows.split("\r\n").map(neutral_text).collect();
                return output.line(&rows.join("\n"));
            }
            // The line's own end completes the row's.
            output.line(&format!("{rows}\r"))
        }
        None => table(body, output),
    }
}

fn table(body: &str, output: &Output) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct List {
        rows: Vec<Value>,
    }
    let list: List = serde_json::from_str(body).map_err(unreadable)?;
    if list.rows.is_empty() {
        return Ok(());
    }
    let mut sheet = Sheet::new(&[
        ("AT", Align::Left),
        ("KIND", Align::Left),
        ("AGENT", Align::Left),
        ("MODEL", Align::Left),
        ("AMOUNT", Align::Right),
        ("UNIT", Align::Left),
        ("BASIS", Align::Left),
        ("EXECUTION", Align::Left),
    ]);
    for row in &list.rows {
        let how_much = match row.get("amount") {
            Some(Value::String(units)) => units.clone(),
            amount_or_none => amount(amount_or_none.unwrap_or(&Value::Null)),
        };
        let tone =
            if row.get("amount").is_some_and(Value::is_null) { Tone::Warn } else { Tone::Plain };
        let cells = ["at", "kind", "agent", "model"].map(|name| (text(row, name), Tone::Plain));
        let mut cells = Vec::from(cells);
        cells.push((how_much, tone));
        cells.extend(["unit", "basis", "execution_id"].map(|name| (text(row, name), Tone::Plain)));
        sheet.row(cells);
    }
    output.sheet(&sheet)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn unreadable(error: serde_json::Error) -> Failure {
    ClientError::Unexpected(format!("its answer is no page of the feed: {error}")).into()
}
