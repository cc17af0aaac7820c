//! Executions by their ids, and what people read of a record.

use std::io::{IsTerminal as _, Read as _};

use clap::Args;
use execution_ledger_domain::limits::MESSAGE_MAX_BYTES;
use execution_ledger_domain::{AgentName, ExecutionId, Timestamp};
use serde_json::Value;

use super::Failure;
use crate::client::{Answer, Client, ClientError, Problem};
use crate::output::{Tone, ago, amount, exact};

/// An execution's id, from an argument.
pub fn execution_id(text: &str) -> Result<ExecutionId, &'static str> {
    text.parse().map_err(|_| {
        "an execution's id is a UUID such as 0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b; \
         `execution-ledger list` shows them"
    })
}

/// A moment, from an argument.
pub fn time(text: &str) -> Result<Timestamp, &'static str> {
    text.parse().map_err(|_| "a time is given as in 2026-11-01T00:00:00Z (RFC 3339)")
}

/// Which execution is meant.
#[derive(Debug, Args)]
pub struct Which {
    /// The execution's id.
    #[arg(value_name = "EXECUTION", value_parser = execution_id)]
    pub id: ExecutionId,
    /// The agent that runs it; found by the id where it is not given.
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentName>,
}

impl Which {
    /// That execution, of that agent where it is known.
    pub fn new(id: ExecutionId, agent: Option<AgentName>) -> Self {
        Self { id, agent }
    }

    /// The execution, with its agent.
    pub async fn find(&self, client: &Client) -> Result<Execution, Failure> {
        let agent = match &self.agent {
            Some(agent) => agent.to_string(),
            None => agent_of(client, self.id).await?,
        };
        Ok(Execution { agent, id: self.id.to_string() })
    }
}

/// An execution, as paths name it.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Its agent.
    pub agent: String,
    /// Its id.
    pub id: String,
}

impl Execution {
    /// The path of its record, and below it that of `part`.
    pub fn path<'a>(&'a self, part: &'a [&'a str]) -> Vec<&'a str> {
        let own = ["api", "agents", &self.agent, "executions", &self.id];
        own.into_iter().chain(part.iter().copied()).collect()
    }

    /// Its record.
    pub async fn record(&self, client: &Client) -> Result<Answer, Failure> {
        Ok(client.get(&self.path(&[]), &[]).await?)
    }
}

/// The agent of an execution: its first event names it.
async fn agent_of(client: &Client, id: ExecutionId) -> Result<String, Failure> {
    let query = [("stream", format!("execution-{id}")), ("limit", "1".to_owned())];
    let answer = client.get(&["api", "events"], &query).await?;
    let agent = answer.pointer("/events/0/data/agent").and_then(Value::as_str);
    agent.map(str::to_owned).ok_or_else(|| {
        let body = format!(
            r#"{{"code":"execution_not_found","title":"There is no such execution","detail":"{id}"}}"#
        );
        ClientError::Refused(Box::new(Problem::from_answer(404, None, body.as_bytes()))).into()
    })
}

/// A message, from an argument, or from standard input where that is `-` or missing.
pub fn message(given: Option<&str>) -> Result<String, Failure> {
    match given {
        Some(message) if message != "-" => return Ok(message.to_owned()),
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::Argument(
                "there is no message: give it as the second argument, or by standard input"
                    .to_owned(),
            ));
        }
        _ => {}
    }
    let mut message = String::new();
    let most = MESSAGE_MAX_BYTES as u64 + 1;
    let read = std::io::stdin().lock().take(most).read_to_string(&mut message);
    read.map_err(|error| Failure::Argument(format!("standard input: {error}")))?;
    if message.len() > MESSAGE_MAX_BYTES {
        let problem = format!("the message is longer than {MESSAGE_MAX_BYTES} bytes");
        return Err(Failure::Argument(problem));
    }
    Ok(message.trim_end_matches(['\n', '\r']).to_owned())
}

/// A field's text; `-` where there is none.
pub fn text(record: &Value, field: &str) -> String {
    match record.get(field) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// What it cost: an amount, `unknown` where it ran and nobody knows, `-` where it has not ended or never
/// ran.
pub fn cost(record: &Value) -> String {
    match record.get("cost_usd").unwrap_or(&Value::Null) {
        Value::Null if text(record, "cost_basis") == "unknown" => "unknown".to_owned(),
        known => amount(known),
    }
}

/// A status cell in its colour.
pub fn status(record: &Value) -> (String, Tone) {
    let status = text(record, "status");
    let stopping = status == "running"
        && record.get("cancellation_requested_at").is_some_and(|at| !at.is_null());
    let tone = Tone::of_status(&status);
    (if stopping { "running (stopping)".to_owned() } else { status }, tone)
}

/// A moment of a record.
pub fn moment(record: &Value, field: &str) -> Option<Timestamp> {
    record.get(field)?.as_str()?.parse().ok()
}

/// A moment as people read it: how long ago, and exactly.
pub fn when(record: &Value, field: &str) -> String {
    let told = |at| format!("{} ({})", exact(at), ago(at, now()));
    moment(record, field).map_or_else(|| "-".to_owned(), told)
}

/// Now.
pub fn now() -> Timestamp {
    chrono::Utc::now().into()
}
