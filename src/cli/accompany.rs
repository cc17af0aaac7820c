//! Following a run to its end, and ending as it ends.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::follow::{Shown, follow};
use super::task::{Execution, status, text};
use super::{Exit, Failure};
use crate::client::{Answer, Client};
use crate::output::{Output, Tone, amount, duration, neutral_text, paint};

/// How often the record is read until it shows the end that the transcript told.
const RECORD_READS_MAX: u32 = 200;
/// Between two of these reads.
const RECORD_WAIT: Duration = Duration::from_millis(50);

/// Follows the run; Ctrl-C asks to stop it, a second one leaves it.
pub async fn accompany(
    client: &Client,
    execution: &Execution,
    raw: bool,
    output: &Output,
) -> Result<Exit, Failure> {
    let shown = match (output.is_json(), raw) {
        (true, _) => Shown::Nothing,
        (_, true) => Shown::Raw,
        _ => Shown::Readable,
    };
    let following = follow(client, execution, 0, shown, output);
    let mut following = std::pin::pin!(following);
    let mut asked = false;
    loop {
        tokio::select! {
            followed = &mut following => {
                followed?;
                break;
            }
            _ = tokio::signal::ctrl_c() => {
                if asked {
                    output.remark(&format!("left; it goes on: execution-ledger tail {}", execution.id));
                    return Ok(Exit::Cancelled);
                }
                asked = true;
                output.remark("asking to stop; Ctrl-C again leaves it to itself");
                let path = execution.path(&["terminate"]);
                if let Err(error) = client.change(Method::POST, &path, Some(&json!({}))).await {
                    output.explain(&error.into());
                }
            }
        }
    }
    let record = ended_record(client, execution).await?;
    if output.is_json() {
        let mut record = record.ordered()?;
        // The record says how it ended; `show --events` says by what steps.
        drop(record.take("events"));
        output.json(&record)?;
    } else {
        summary(&record, output)?;
    }
    Ok(match text(&record, "status").as_str() {
        "completed" => Exit::Success,
        "cancelled" => Exit::Cancelled,
        _ => Exit::Failed,
    })
}

/// The record once it shows the end; the read models follow the log within moments.
async fn ended_record(client: &Client, execution: &Execution) -> Result<Answer, Failure> {
    for _ in 0..RECORD_READS_MAX {
        let record = execution.record(client).await?;
        if matches!(text(&record, "status").as_str(), "completed" | "failed" | "cancelled") {
            return Ok(record);
        }
        tokio::time::sleep(RECORD_WAIT).await;
    }
    Err(Failure::Fault(format!(
        "the transcript of {} has ended, but its record does not show the end yet",
        execution.id
    )))
}

fn summary(record: &Value, output: &Output) -> Result<(), Failure> {
    let (status, tone) = status(record);
    let mut words = vec![paint(&status, tone, output.colour())];
    let took = record.get("duration_ms").and_then(Value::as_u64);
    words.extend(took.map(|ms| format!("in {}", duration(ms))));
    if let Some(cost) = record.get("cost_usd").filter(|cost| !cost.is_null()) {
        words.push(format!("for {}", amount(cost)));
    }
    if let Some(code) = record.pointer("/error/code").and_then(Value::as_str) {
        words.push(format!("({})", neutral_text(code)));
    }
    if let Some(response) = record.get("response").and_then(Value::as_str) {
        let head = paint("response", Tone::Quiet, output.colour());
        output.line(&format!("\n{head}\n{}", neutral_text(response.trim_end())))?;
    }
    if let Some(error) = record.pointer("/error/message").and_then(Value::as_str) {
        output.line(&format!(
            "\n{}",
            paint(&neutral_text(error.trim_end()), Tone::Bad, output.colour())
        ))?;
    }
    output.line(&format!("\n{}", words.join(" ")))
}
